/* condition.h: one condition language for where:, drop_where:, rules and routes, parsed into a tree
 * that the engine compiles to column operations (engine/match.h). Open because the engine walks it;
 * constant after parsing; memory is the configuration's pool.
 *
 * A test compares one field. Where the field is missing a test is false, but for `exists: false`.
 * Level tests are bit masks by the time they leave here; time operands are unix milliseconds;
 * patterns are compiled.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_CONDITION_H
#define SL_RUNTIME_CONFIG_CONDITION_H

#include "runtime/config/diag.h"
#include "runtime/config/name.h"
#include "runtime/config/number.h"

struct sl_pool;
struct sl_yaml;

enum sl_cond_kind { SL_COND_ALL, SL_COND_ANY, SL_COND_NOT, SL_COND_TEST };
enum sl_cond_op {
    SL_COND_IN,
    SL_COND_GLOB,
    SL_COND_MATCHES,
    SL_COND_GTE,
    SL_COND_GT,
    SL_COND_LTE,
    SL_COND_LT,
    SL_COND_EXISTS
};

struct sl_operand {
    struct sl_slice text;    /* as written; NUL-terminated too */
    struct sl_number number; /* .is false where it is quoted or no number */
};

struct sl_cond {
    enum sl_cond_kind kind;
    struct sl_cond **items; /* ALL, ANY: at least one; NOT: one */
    uint32_t count;
    /* SL_COND_TEST */
    struct sl_name name;
    enum sl_cond_op op;                /* eq is IN with one operand */
    const struct sl_operand *operands; /* IN, GLOB: any of them; GTE … LT: one */
    uint32_t operands_count;
    bool exists;    /* EXISTS */
    uint8_t levels; /* name LEVEL, any op: bit (1 << enum sl_level) of each level that matches;
                       NONE's only by exists: false */
    const int64_t *times_unix_ms; /* names TIME and APPEND_TIME: the operands as instants */
    void *const *patterns; /* MATCHES: pcre2_code_8 *, JIT-compiled, operands_count of them */
    uint32_t line, column;
};

enum { SL_COND_DEPTH = 32, SL_PATTERN_BYTES = 4096 };

/* NULL with diags. `setting` is the dotted name of the setting that holds it. */
struct sl_cond *sl_cond_parse(struct sl_pool *pool, const struct sl_yaml *node, const char *file,
                              const char *setting, struct sl_diags *diags);
/* Equal conditions give equal hashes, whatever file they came from. */
uint64_t sl_cond_hash(const struct sl_cond *cond, uint64_t seed);

/* RFC 3339 with at most milliseconds. 0, or -1. */
int sl_cond_time(const char *text, int64_t *ret_unix_ms);

#endif
