/* yaml_env.c: ${VAR} and ${VAR:-default} in scalars. What a variable holds is not looked into
 * again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

struct env_out {
    struct sl_pool *pool;
    char *text;
    size_t bytes, capacity;
};

/* False where the text would become longer than a whole file may be. */
static bool env_put(struct env_out *out, const char *text, size_t bytes)
{
    if (out->bytes + bytes > SL_YAML_BYTES)
        return false;
    if (out->bytes + bytes + 1 > out->capacity) {
        char *larger = sl_pool_alloc(out->pool, 2 * (out->bytes + bytes) + 64);
        if (out->bytes > 0)
            memcpy(larger, out->text, out->bytes);
        out->capacity = 2 * (out->bytes + bytes) + 64;
        out->text = larger;
    }
    memcpy(out->text + out->bytes, text, bytes);
    out->bytes += bytes;
    out->text[out->bytes] = '\0';
    return true;
}

static bool env_is_name(const char *name)
{
    if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9'))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
           strlen(name);
}

/* `inner` is what stands between the braces. */
static const char *env_value(struct sl_pool *pool, char *inner, const char **ret_problem,
                             const char **ret_remedy)
{
    char *fallback = strstr(inner, ":-");
    const char *value;

    if (fallback != NULL) {
        *fallback = '\0';
        fallback += 2;
    }
    if (!env_is_name(inner)) {
        *ret_problem = sl_pool_printf(pool, "\"${%.64s}\" names no environment variable", inner);
        *ret_remedy = "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign";
        return NULL;
    }
    value = getenv(inner);
    if (fallback != NULL)
        return value == NULL || value[0] == '\0' ? fallback : value;
    if (value == NULL) {
        *ret_problem = sl_pool_printf(pool, "the environment variable %.64s is not set", inner);
        *ret_remedy = sl_pool_printf(pool, "set it, or write ${%.64s:-default}", inner);
    }
    return value;
}

/* One ${…} at *at, which moves behind it. */
static const char *env_braces(struct sl_pool *pool, const char **at, const char **ret_problem,
                              const char **ret_remedy)
{
    const char *end = strchr(*at, '}'), *begin = *at + 2;

    if (end == NULL) {
        *ret_problem = sl_pool_printf(pool, "\"%.64s\" opens ${ and does not close it", *at);
        *ret_remedy = "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign";
        return NULL;
    }
    *at = end + 1;
    return env_value(pool, sl_pool_text(pool, begin, (size_t)(end - begin)), ret_problem,
                     ret_remedy);
}

const char *sl_yaml_substitute(struct sl_pool *pool, const char *text, const char **ret_problem,
                               const char **ret_remedy)
{
    struct env_out out = {.pool = pool};
    bool fits = true;

    if (strchr(text, '$') == NULL)
        return text;
    while (*text != '\0' && fits) {
        size_t plain = strcspn(text, "$");
        fits = env_put(&out, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '{') {
            const char *value = env_braces(pool, &text, ret_problem, ret_remedy);
            if (value == NULL)
                return NULL;
            fits = fits && env_put(&out, value, strlen(value));
        } else if (text[0] == '$') {
            fits = fits && env_put(&out, "$", 1);
            text += text[1] == '$' ? 2 : 1;
        }
    }
    if (!fits) {
        *ret_problem = "the text is longer than 1MiB once its variables are written out";
        *ret_remedy = "use shorter values";
        return NULL;
    }
    return out.text == NULL ? "" : out.text;
}
