/* fuzz_condition.c: the first line as a condition, the rest as the value that it is asked about: no
 * crash, no endless match.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/condition.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"
#include "runtime/engine/match.h"
#include "runtime/engine/op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int fuzz_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    (void)names;
    (void)name;
    (void)err;
    return 0;
}

/* Two records: the value as text and as a number; the second has no service, level or key. */
static void fuzz_eval(struct sl_bound_cond *bound, struct sl_slice text)
{
    struct sl_slice values[2] = {text, text}, keys[2] = {text, {NULL, 0}}, raw[2] = {text, text};
    uint8_t types[2] = {SL_T_STRING, SL_T_NUMBER}, level[2] = {SL_LEVEL_ERROR, SL_LEVEL_NONE},
            match[2] = {7, 7};
    int64_t times[2] = {0, INT64_MAX};
    uint32_t service[2] = {0, 0};
    uint16_t sel[2] = {0, 1};
    struct sl_column column = {.value = values, .type = types};
    const struct sl_batch batch = {.count = 2, .raw = raw, .append_unix_ms = times, .key = keys};
    const struct sl_decoded decoded = {.time_unix_ms = times,
                                       .service = service,
                                       .level = level,
                                       .columns = &column,
                                       .columns_count = 1,
                                       .trace = 0};
    const struct sl_view view = {.batch = &batch, .decoded = &decoded, .sel = sel, .sel_count = 2};

    sl_cond_eval(bound, &view, match);
    assert(match[0] <= 1 && match[1] <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = memchr(data, '\n', bytes);
    size_t first = end == NULL ? bytes : (size_t)(end - data);
    size_t rest = end == NULL ? 0 : bytes - first - 1;
    struct sl_names names = {.column = fuzz_column};
    struct sl_bound_cond *bound = NULL;
    struct sl_diags diags;
    struct sl_pool pool;
    const struct sl_yaml *root;
    const struct sl_cond *cond;
    char *value = malloc(rest + 1); /* its own block, so that a read past its end is seen */

    if (value == NULL || bytes > 65536) {
        free(value);
        return 0;
    }
    if (rest > 0)
        memcpy(value, data + first + 1, rest);
    sl_pool_init(&pool);
    sl_diags_init(&diags);
    root = sl_yaml_parse(&pool, "fuzz", bytes == 0 ? "" : (const char *)data, first, &diags);
    cond = root == NULL ? NULL : sl_cond_parse(&pool, root, "fuzz", "where", &diags);
    assert(cond != NULL || diags.errors > 0);
    if (cond != NULL && sl_cond_bind(cond, &names, &bound, NULL) == 0)
        fuzz_eval(bound, (struct sl_slice){value, (uint32_t)rest});
    (void)sl_cond_unbind(bound);
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    free(value);
    return 0;
}
