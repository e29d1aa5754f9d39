/* yaml_json.c: a YAML node as the JSON value that it stands for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/yaml_json.h"

#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/config/number.h"
#include "runtime/config/pool.h"

static void yaml_json_scalar(struct sl_buf *buf, const struct sl_yaml *node)
{
    bool word = !node->quoted && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0 ||
                                  sl_number_of(sl_slice_of(node->text)).is);

    if (sl_yaml_is_null(node))
        sl_buf_text(buf, "null");
    else if (word)
        sl_buf_text(buf, node->text);
    else
        sl_json_quote(buf, sl_slice_of(node->text));
}

/* As deep as YAML may be (SL_YAML_DEPTH). */
static void yaml_json_write(struct sl_buf *buf, const struct sl_yaml *node)
{
    bool map = node->kind == SL_YAML_MAP;

    if (node->kind == SL_YAML_SCALAR) {
        yaml_json_scalar(buf, node);
        return;
    }
    sl_buf_char(buf, map ? '{' : '[');
    for (uint32_t i = 0; i < node->count; i++) {
        if (i > 0)
            sl_buf_char(buf, ',');
        if (map) {
            sl_json_quote(buf, sl_slice_of(node->items[i].key));
            sl_buf_char(buf, ':');
        }
        yaml_json_write(buf, node->items[i].value);
    }
    sl_buf_char(buf, map ? '}' : ']');
}

const char *sl_yaml_json(struct sl_pool *pool, const struct sl_yaml *node)
{
    struct sl_buf buf;
    const char *json;

    sl_buf_init(&buf);
    yaml_json_write(&buf, node);
    json = sl_pool_text(pool, sl_buf_str(&buf), buf.bytes);
    sl_buf_fini(&buf);
    return json;
}
