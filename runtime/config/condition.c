/* condition.c: the condition language: YAML nodes into a tree.
 *
 * condition := map (its entries AND) | list of conditions (OR)
 * entry     := any: [condition …] | all: [condition …] | not: condition | FIELD: matcher
 * matcher   := scalar (equals) | list of matchers (OR) | map of comparisons (AND)
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/condition.h"

#include <assert.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/config/glob.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"
#include "runtime/json/level.h"

struct cond_parse {
    struct sl_pool *pool;
    const char *file, *setting;
    struct sl_diags *diags;
    struct sl_name name; /* of the entry being read */
    const char *field;   /* as written */
    uint32_t depth;
};

#define cond_refuse(parse, node, remedy, ...)                                                      \
    (sl_diags_add((parse)->diags, false, (parse)->file, (node)->line, (node)->column, remedy,      \
                  __VA_ARGS__),                                                                    \
     (struct sl_cond *)NULL)

static const char *const cond_words[] = {"eq", "in",  "glob", "matches", "gte",
                                         "gt", "lte", "lt",   "exists",  NULL};
enum cond_word {
    WORD_EQ,
    WORD_IN,
    WORD_GLOB,
    WORD_MATCHES,
    WORD_GTE,
    WORD_GT,
    WORD_LTE,
    WORD_LT,
    WORD_EXISTS,
    WORD_NONE
};

static struct sl_cond *cond_any_node(struct cond_parse *parse, const struct sl_yaml *node);

static struct sl_cond *cond_new(struct cond_parse *parse, const struct sl_yaml *node,
                                enum sl_cond_kind kind)
{
    struct sl_cond *cond = sl_pool_alloc(parse->pool, sizeof(*cond));

    cond->kind = kind;
    cond->line = node->line;
    cond->column = node->column;
    return cond;
}

/* Adds to a node that is still being built; NULL (already reported) is left out, and told by the
 * result. */
static bool cond_add(struct cond_parse *parse, struct sl_cond *to, struct sl_cond *item)
{
    if (item == NULL)
        return false;
    to->items = sl_pool_grow(parse->pool, to->items, to->count, sizeof(*to->items));
    to->items[to->count++] = item;
    return true;
}

/* ---- operands ---- */

static bool cond_is_time(const struct cond_parse *parse)
{
    return parse->name.kind == SL_NAME_TIME || parse->name.kind == SL_NAME_APPEND_TIME;
}

static bool cond_operand(struct cond_parse *parse, const struct sl_yaml *node,
                         struct sl_operand *ret_operand)
{
    if (node->kind != SL_YAML_SCALAR) {
        (void)cond_refuse(parse, node, "write one word or number", "%s: %s is compared with a %s",
                          parse->setting, parse->field,
                          node->kind == SL_YAML_LIST ? "list inside a list" : "mapping");
        return false;
    }
    if (!node->quoted && (node->text[0] == '\0' || strcmp(node->text, "~") == 0)) {
        (void)cond_refuse(
            parse, node, "write a value, \"\" for empty text, or exists: false for a missing field",
            "%s: %s is compared with nothing", parse->setting, parse->field);
        return false;
    }
    ret_operand->text = sl_slice_of(node->text);
    if (!node->quoted)
        ret_operand->number = sl_number_of(ret_operand->text);
    return true;
}

static bool cond_add_operand(struct cond_parse *parse, struct sl_cond *test,
                             const struct sl_yaml *node)
{
    struct sl_operand *operands, operand = {.text = {NULL, 0}};

    if (!cond_operand(parse, node, &operand))
        return false;
    operands = sl_pool_alloc(parse->pool, sizeof(operand));
    *operands = operand;
    test->operands = operands;
    test->operands_count = 1;
    return true;
}

/* One operand, or with `many` a list of them. */
static bool cond_operands(struct cond_parse *parse, struct sl_cond *test,
                          const struct sl_yaml *node, bool many)
{
    struct sl_operand *operands;

    if (node->kind != SL_YAML_LIST || !many)
        return cond_add_operand(parse, test, node);
    if (node->count == 0)
        return cond_refuse(parse, node, "write at least one value",
                           "%s: %s is compared with an empty list", parse->setting,
                           parse->field) != NULL;
    operands = sl_pool_alloc(parse->pool, node->count * sizeof(*operands));
    for (uint32_t i = 0; i < node->count; i++)
        if (!cond_operand(parse, node->items[i].value, &operands[i]))
            return false;
    test->operands = operands;
    test->operands_count = node->count;
    return true;
}

/* Where operand `index` stands, for messages. */
static const struct sl_yaml *cond_place(const struct sl_yaml *node, uint32_t index)
{
    return node->kind == SL_YAML_LIST ? node->items[index].value : node;
}

/* ---- levels ---- */

static bool cond_level_fits(const struct sl_cond *test, enum sl_level level, enum sl_level than,
                            uint32_t index)
{
    switch (test->op) {
    case SL_COND_IN:
        return level == than;
    case SL_COND_GTE:
        return level >= than;
    case SL_COND_GT:
        return level > than;
    case SL_COND_LTE:
        return level <= than;
    case SL_COND_LT:
        return level < than;
    case SL_COND_GLOB:
        return sl_glob_match(test->operands[index].text.data,
                             sl_slice_of(sl_level_name(level)));
    case SL_COND_MATCHES:
    case SL_COND_EXISTS:
        break;
    }
    return false;
}

static bool cond_level_matches(const struct sl_cond *test, enum sl_level level, uint32_t index)
{
    const char *name = sl_level_name(level);
    pcre2_code *code = test->patterns[index];
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int found =
        data == NULL ? -1 : pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, NULL);

    pcre2_match_data_free(data);
    return found >= 0;
}

static bool cond_level(struct cond_parse *parse, struct sl_cond *test, const struct sl_yaml *node)
{
    bool pattern = test->op == SL_COND_GLOB || test->op == SL_COND_MATCHES;

    for (uint32_t i = 0; i < test->operands_count; i++) {
        enum sl_level than = SL_LEVEL_NONE;
        if (!pattern && sl_level_parse(test->operands[i].text, SL_T_STRING, &than) != 0) {
            (void)cond_refuse(
                parse, cond_place(node, i),
                "write trace, debug, info, warn, error or fatal (.level is the payload's own text)",
                "%s: \"%.64s\" is no level", parse->setting, test->operands[i].text.data);
            return false;
        }
        for (int level = SL_LEVEL_TRACE; level < SL_LEVELS; level++)
            if (test->op == SL_COND_MATCHES ? cond_level_matches(test, (enum sl_level)level, i)
                                            : cond_level_fits(test, (enum sl_level)level, than, i))
                test->levels |= (uint8_t)(1u << level);
    }
    return true;
}

/* ---- instants ---- */

static bool cond_times(struct cond_parse *parse, struct sl_cond *test, const struct sl_yaml *node)
{
    int64_t *times = sl_pool_alloc(parse->pool, test->operands_count * sizeof(*times));

    if (test->op == SL_COND_GLOB || test->op == SL_COND_MATCHES)
        return cond_refuse(parse, node, "use gte, gt, lte, lt, eq or in with RFC 3339 times",
                           "%s: %s is an instant, not text", parse->setting, parse->field) != NULL;
    for (uint32_t i = 0; i < test->operands_count; i++)
        if (sl_cond_time(test->operands[i].text.data, &times[i]) != 0)
            return cond_refuse(parse, cond_place(node, i),
                               "write an absolute time such as 2026-11-22T08:00:00Z, with "
                               "milliseconds at most; a time relative to now would "
                               "give another result at every replay",
                               "%s: \"%.64s\" is no instant", parse->setting,
                               test->operands[i].text.data) != NULL;
    test->times_unix_ms = times;
    return true;
}

/* ---- patterns ---- */

static void cond_free_pattern(void *code)
{
    pcre2_code_free(code);
}

static void *cond_compile(struct cond_parse *parse, const struct sl_yaml *node, const char *pattern)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_SIZE offset = 0;
    pcre2_code *code = NULL;
    int error = 0;

    if (context != NULL) {
        (void)pcre2_set_max_pattern_length(context, SL_PATTERN_BYTES);
        (void)pcre2_set_parens_nest_limit(context, 100);
        code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                             PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error,
                             &offset, context);
    }
    pcre2_compile_context_free(context);
    if (code == NULL) {
        PCRE2_UCHAR why[160] = "no memory";
        if (context != NULL)
            (void)pcre2_get_error_message(error, why, sizeof(why));
        (void)cond_refuse(parse, node,
                          "write a PCRE2 pattern; quote it, and double no backslashes inside '…'",
                          "%s: the pattern \"%.64s\" fails at character %u: %s", parse->setting,
                          pattern, (unsigned)offset + 1, (char *)why);
        return NULL;
    }
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it the interpreter serves */
    sl_pool_on_fini(parse->pool, cond_free_pattern, code);
    return code;
}

static bool cond_patterns(struct cond_parse *parse, struct sl_cond *test,
                          const struct sl_yaml *node)
{
    void **patterns = sl_pool_alloc(parse->pool, test->operands_count * sizeof(*patterns));

    for (uint32_t i = 0; i < test->operands_count; i++) {
        patterns[i] = cond_compile(parse, cond_place(node, i), test->operands[i].text.data);
        if (patterns[i] == NULL)
            return false;
    }
    test->patterns = patterns;
    return true;
}

static bool cond_globs(struct cond_parse *parse, const struct sl_cond *test,
                       const struct sl_yaml *node)
{
    for (uint32_t i = 0; i < test->operands_count; i++) {
        struct sl_err err;
        const char *remedy;
        if (sl_glob_check(test->operands[i].text.data, &err) == 0)
            continue;
        remedy = strstr(err.text, ": write ");
        assert(remedy != NULL);
        return cond_refuse(parse, cond_place(node, i), remedy + 2, "%s: %.*s", parse->setting,
                           (int)(remedy - err.text), err.text) != NULL;
    }
    return true;
}

/* ---- one test ---- */

static bool cond_exists(struct cond_parse *parse, struct sl_cond *test, const struct sl_yaml *node)
{
    bool yes = node->kind == SL_YAML_SCALAR && !node->quoted && strcmp(node->text, "true") == 0;
    bool no = node->kind == SL_YAML_SCALAR && !node->quoted && strcmp(node->text, "false") == 0;

    if (!yes && !no)
        return cond_refuse(parse, node, "write exists: true or exists: false",
                           "%s: exists is neither true nor false", parse->setting) != NULL;
    test->exists = yes;
    test->levels = yes ? (uint8_t)(0xfeu & ((1u << SL_LEVELS) - 1)) : 1u << SL_LEVEL_NONE;
    return true;
}

static struct sl_cond *cond_test(struct cond_parse *parse, const struct sl_yaml *node,
                                 enum cond_word word)
{
    static const enum sl_cond_op ops[] = {SL_COND_IN,      SL_COND_IN,  SL_COND_GLOB,
                                          SL_COND_MATCHES, SL_COND_GTE, SL_COND_GT,
                                          SL_COND_LTE,     SL_COND_LT,  SL_COND_EXISTS};
    struct sl_cond *test = cond_new(parse, node, SL_COND_TEST);
    bool many = word == WORD_IN || word == WORD_GLOB || word == WORD_MATCHES;

    test->name = sl_name_copy(parse->pool, &parse->name);
    test->op = ops[word];
    if (word == WORD_EXISTS)
        return cond_exists(parse, test, node) ? test : NULL;
    if (word == WORD_IN && node->kind != SL_YAML_LIST)
        return cond_refuse(parse, node, "write in: [first, second]", "%s: %s: in needs a list",
                           parse->setting, parse->field);
    if (word == WORD_EQ && node->kind == SL_YAML_LIST)
        return cond_refuse(parse, node, "write in: [first, second]", "%s: %s: eq needs one value",
                           parse->setting, parse->field);
    if (!cond_operands(parse, test, node, many))
        return NULL;
    if (test->op == SL_COND_MATCHES && !cond_patterns(parse, test, node))
        return NULL;
    if (test->op == SL_COND_GLOB && !cond_globs(parse, test, node))
        return NULL;
    if (parse->name.kind == SL_NAME_LEVEL && !cond_level(parse, test, node))
        return NULL;
    if (cond_is_time(parse) && !cond_times(parse, test, node))
        return NULL;
    return test;
}

/* ---- matchers ---- */

static struct sl_cond *cond_unknown_word(struct cond_parse *parse, const struct sl_yaml_item *item)
{
    struct sl_yaml place = {.line = item->key_line, .column = item->key_column};
    struct sl_nearest nearest;
    const char *remedy;

    sl_nearest_init(&nearest, item->key);
    for (uint32_t i = 0; cond_words[i] != NULL; i++)
        sl_nearest_offer(&nearest, cond_words[i]);
    if (strcmp(item->key, "not") == 0 || strcmp(item->key, "any") == 0 ||
        strcmp(item->key, "all") == 0)
        remedy =
            sl_pool_printf(parse->pool, "write %.8s: around the field, as in %.8s: { %.64s: … }",
                           item->key, item->key, parse->field);
    else if (nearest.best != NULL)
        remedy = sl_pool_printf(
            parse->pool, "did you mean %s? Known: eq, in, glob, matches, gte, gt, lte, lt, exists",
            nearest.best);
    else
        remedy = sl_pool_printf(parse->pool,
                                "known: eq, in, glob, matches, gte, gt, lte, lt, exists; a field "
                                "inside %.64s is written %.64s.%.64s",
                                parse->field, parse->field, item->key);
    return cond_refuse(parse, &place, remedy, "%s: %s: unknown comparison \"%.64s\"",
                       parse->setting, parse->field, item->key);
}

static enum cond_word cond_word_of(const char *key)
{
    for (uint32_t i = 0; cond_words[i] != NULL; i++)
        if (strcmp(cond_words[i], key) == 0)
            return (enum cond_word)i;
    return WORD_NONE;
}

static struct sl_cond *cond_matcher_map(struct cond_parse *parse, const struct sl_yaml *node)
{
    struct sl_cond *all = cond_new(parse, node, SL_COND_ALL);
    bool fine = true;

    if (node->count == 0)
        return cond_refuse(parse, node, "write a comparison such as { eq: 5 }",
                           "%s: %s is compared with nothing", parse->setting, parse->field);
    for (uint32_t i = 0; i < node->count; i++) {
        enum cond_word word = cond_word_of(node->items[i].key);
        struct sl_cond *test = word == WORD_NONE ? cond_unknown_word(parse, &node->items[i])
                                                 : cond_test(parse, node->items[i].value, word);
        fine = cond_add(parse, all, test) && fine;
    }
    return fine ? all : NULL;
}

static bool cond_all_scalars(const struct sl_yaml *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].value->kind != SL_YAML_SCALAR)
            return false;
    return true;
}

static struct sl_cond *cond_matcher(struct cond_parse *parse, const struct sl_yaml *node)
{
    struct sl_cond *any;
    bool fine = true;

    if (node->kind == SL_YAML_SCALAR)
        return cond_test(parse, node, WORD_EQ);
    if (node->kind == SL_YAML_MAP)
        return cond_matcher_map(parse, node);
    if (cond_all_scalars(node))
        return cond_test(parse, node, WORD_IN); /* refuses the empty list */
    any = cond_new(parse, node, SL_COND_ANY);
    for (uint32_t i = 0; i < node->count; i++) {
        const struct sl_yaml *item = node->items[i].value;
        struct sl_cond *part =
            item->kind == SL_YAML_LIST
                ? cond_refuse(parse, item, "write one flat list", "%s: %s: a list inside a list",
                              parse->setting, parse->field)
                : cond_matcher(parse, item);
        fine = cond_add(parse, any, part) && fine;
    }
    return fine ? any : NULL;
}

/* ---- conditions ---- */

static struct sl_cond *cond_field(struct cond_parse *parse, const struct sl_yaml_item *item)
{
    struct sl_yaml place = {.line = item->key_line, .column = item->key_column};
    struct sl_cond *cond;
    struct sl_err err;
    const char *remedy;

    if (sl_name_parse(item->key, &parse->name, &err) != 0) {
        remedy = strstr(err.text, ": write ");
        return cond_refuse(
            parse, &place,
            remedy == NULL
                ? "write a role, @topic, @key, @time, @header:NAME or a path such as user.email"
                : remedy + 2,
            "%s: %.*s", parse->setting,
            remedy == NULL ? (int)strlen(err.text) : (int)(remedy - err.text), err.text);
    }
    parse->field = item->key;
    cond =
        parse->name.kind == SL_NAME_CLASS
            ? cond_refuse(parse, &place, "name level or service; .class is the payload's own field",
                          "%s: class is known but not built in this version", parse->setting)
            : cond_matcher(parse, item->value);
    sl_name_fini(&parse->name);
    return cond;
}

static struct sl_cond *cond_not(struct cond_parse *parse, const struct sl_yaml *node)
{
    struct sl_cond *cond = cond_new(parse, node, SL_COND_NOT);

    return cond_add(parse, cond, cond_any_node(parse, node)) ? cond : NULL;
}

static struct sl_cond *cond_list(struct cond_parse *parse, const struct sl_yaml *node,
                                 enum sl_cond_kind kind, const char *word)
{
    struct sl_cond *cond = cond_new(parse, node, kind);
    bool fine = true;

    if (node->kind != SL_YAML_LIST)
        return cond_refuse(parse, node, "write any: [{ … }, { … }] or all: [{ … }, { … }]",
                           "%s: %s needs a list of conditions", parse->setting, word);
    if (node->count == 0)
        return cond_refuse(parse, node, "write at least one condition, or leave it out",
                           "%s: an empty list of conditions", parse->setting);
    for (uint32_t i = 0; i < node->count; i++)
        fine = cond_add(parse, cond, cond_any_node(parse, node->items[i].value)) && fine;
    return fine ? cond : NULL;
}

static struct sl_cond *cond_entry(struct cond_parse *parse, const struct sl_yaml_item *item)
{
    if (strcmp(item->key, "any") == 0)
        return cond_list(parse, item->value, SL_COND_ANY, "any");
    if (strcmp(item->key, "all") == 0)
        return cond_list(parse, item->value, SL_COND_ALL, "all");
    if (strcmp(item->key, "not") == 0)
        return cond_not(parse, item->value);
    return cond_field(parse, item);
}

static struct sl_cond *cond_map(struct cond_parse *parse, const struct sl_yaml *node)
{
    struct sl_cond *all = cond_new(parse, node, SL_COND_ALL);
    bool fine = true;

    if (node->count == 0)
        return cond_refuse(parse, node, "write a field to compare, or leave the setting out",
                           "%s: an empty condition", parse->setting);
    for (uint32_t i = 0; i < node->count; i++)
        fine = cond_add(parse, all, cond_entry(parse, &node->items[i])) && fine;
    return fine ? all : NULL;
}

static struct sl_cond *cond_any_node(struct cond_parse *parse, const struct sl_yaml *node)
{
    struct sl_cond *cond;

    if (parse->depth == SL_COND_DEPTH)
        return cond_refuse(parse, node, "write it flatter",
                           "%s: a condition more than %d levels deep", parse->setting,
                           SL_COND_DEPTH);
    if (node->kind == SL_YAML_SCALAR)
        return cond_refuse(parse, node, "write a mapping such as { level: error }",
                           "%s: \"%.64s\" is no condition", parse->setting, node->text);
    parse->depth++;
    cond = node->kind == SL_YAML_MAP ? cond_map(parse, node)
                                     : cond_list(parse, node, SL_COND_ANY, "a condition");
    parse->depth--;
    return cond;
}

struct sl_cond *sl_cond_parse(struct sl_pool *pool, const struct sl_yaml *node, const char *file,
                              const char *setting, struct sl_diags *diags)
{
    struct cond_parse parse = {
        .pool = pool, .file = file, .setting = setting, .diags = diags, .field = ""};

    return cond_any_node(&parse, node);
}
