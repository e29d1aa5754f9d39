/* regex.c: format regex: a PCRE2 pattern whose named groups are the fields; a group that took no part is absent.
 *
 * The first place in the record where the pattern matches counts, as ever: who means the whole record writes ^ and $.
 * A pattern cannot hang: PCRE2 counts its steps back and gives up (REGEX_STEPS); and since each place to begin at counts anew, records longer than
 * REGEX_WORK / bytes places are looked at only so far, which bounds patterns that are merely quadratic. Such records are set aside.
 * SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>

#include "operators/stages/formats/fields.h"

enum {
    REGEX_PATTERN_BYTES = 65536,
    REGEX_NEST = 250,
    REGEX_STEPS = 100000,
    REGEX_HEAP_KIB = 16 * 1024,
    REGEX_STACK_BYTES = 1 << 20,
    REGEX_BEGINS_MIN = 1024,
    REGEX_GROUPS = 256, /* named */
};
#define REGEX_WORK ((uint64_t)1 << 28)

struct regex_groups {
    uint32_t count;
    uint32_t number[REGEX_GROUPS];
    const char *name[REGEX_GROUPS]; /* the code's memory */
};

struct regex_format {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    struct regex_groups groups;
    struct sl_format_fields *fields;
    struct sl_format_member members[REGEX_GROUPS];
};

/* ---- the pattern ---- */

static pcre2_code *regex_compile(const char *pattern, struct sl_err *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_UCHAR why[160] = "no memory";
    PCRE2_SIZE offset = 0;
    pcre2_code *code = NULL;
    int error = 0;

    if (context != NULL) {
        (void)pcre2_set_max_pattern_length(context, REGEX_PATTERN_BYTES);
        (void)pcre2_set_parens_nest_limit(context, REGEX_NEST);
        code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT,
                             &error, &offset, context);
        if (code == NULL)
            (void)pcre2_get_error_message(error, why, sizeof(why));
    }
    pcre2_compile_context_free(context);
    if (code == NULL)
        (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pattern: fails at character %u of \"%.100s\": %s", (unsigned)offset + 1, pattern,
                      (char *)why);
    return code;
}

static int regex_order(const struct regex_groups *groups, uint32_t number)
{
    uint32_t at = 0;

    while (at < groups->count && groups->number[at] < number)
        at++;
    return (int)at;
}

/* In the order of the pattern. */
static int regex_groups(const pcre2_code *code, struct regex_groups *groups, struct sl_err *err)
{
    uint32_t count = 0, entry_bytes = 0;
    PCRE2_SPTR table = NULL;

    groups->count = 0;
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
    (void)pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    if (count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pattern: it has no named group; write (?<name>...) around what shall be the field `name`");
    if (count > REGEX_GROUPS)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pattern: %u named groups; at most %d", count, REGEX_GROUPS);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *entry = table + (size_t)i * entry_bytes;
        uint32_t number = (uint32_t)entry[0] << 8 | entry[1];
        int at = regex_order(groups, number);
        if (i > 0 && strcmp((const char *)entry + 2, (const char *)entry - entry_bytes + 2) == 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pattern: two groups are named %s; a field has one group", (const char *)entry + 2);
        memmove(&groups->number[at + 1], &groups->number[at], (groups->count - (uint32_t)at) * sizeof(groups->number[0]));
        memmove(&groups->name[at + 1], &groups->name[at], (groups->count - (uint32_t)at) * sizeof(groups->name[0]));
        groups->number[at] = number;
        groups->name[at] = (const char *)entry + 2;
        groups->count++;
    }
    return 0;
}

static int regex_check(const struct sl_format_config *config, struct sl_err *err)
{
    struct regex_groups groups;
    pcre2_code *code;
    int rc;

    if (config->pattern == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pattern: missing; format regex needs one with named groups, such as "
                       "'^(?<level>\\w+) (?<message>.*)$'");
    code = regex_compile(config->pattern, err);
    if (code == NULL)
        return -SL_E_CONFIG;
    rc = regex_groups(code, &groups, err);
    if (rc == 0)
        rc = sl_format_types_check(config, groups.name, groups.count, err);
    if (rc == 0)
        rc = sl_format_roles_check(config, groups.name, groups.count, err);
    pcre2_code_free(code);
    return rc;
}

/* ---- open ---- */

static void regex_close(void *self)
{
    struct regex_format *regex = self;

    regex->fields = sl_format_fields_free(regex->fields);
    pcre2_match_data_free(regex->data);
    pcre2_match_context_free(regex->context);
    pcre2_jit_stack_free(regex->stack);
    pcre2_code_free(regex->code);
    free(regex);
}

static int regex_matcher(struct regex_format *regex, struct sl_err *err)
{
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it the interpreter serves */
    regex->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
    regex->context = pcre2_match_context_create(NULL);
    regex->stack = pcre2_jit_stack_create(32 * 1024, REGEX_STACK_BYTES, NULL);
    if (regex->data == NULL || regex->context == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to match a pattern");
    (void)pcre2_set_match_limit(regex->context, REGEX_STEPS);
    (void)pcre2_set_depth_limit(regex->context, REGEX_STEPS);
    (void)pcre2_set_heap_limit(regex->context, REGEX_HEAP_KIB);
    if (regex->stack != NULL)
        pcre2_jit_stack_assign(regex->context, NULL, regex->stack);
    return 0;
}

static int regex_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct regex_format *regex = calloc(1, sizeof(*regex));
    int rc = 0;

    if (regex == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    regex->code = regex_compile(open->config->pattern, err);
    rc = regex->code == NULL ? -SL_E_CONFIG : regex_matcher(regex, err);
    if (rc == 0)
        rc = regex_groups(regex->code, &regex->groups, err);
    if (rc == 0)
        rc = sl_format_fields_new(open, regex->groups.name, regex->groups.count, &regex->fields, err);
    if (rc != 0)
        regex_close(regex);
    else
        *ret_self = regex;
    return rc;
}

/* ---- decode ---- */

/* 0 matched; else the reason. */
static uint8_t regex_match(struct regex_format *regex, struct sl_slice line)
{
    uint64_t begins = line.bytes == 0 ? 0 : REGEX_WORK / line.bytes;
    int rc;

    if (begins < REGEX_BEGINS_MIN)
        begins = REGEX_BEGINS_MIN;
    (void)pcre2_set_offset_limit(regex->context, begins < line.bytes ? (PCRE2_SIZE)begins : PCRE2_UNSET);
    rc = pcre2_match(regex->code, (PCRE2_SPTR)line.data, line.bytes, 0, PCRE2_NO_UTF_CHECK, regex->data, regex->context);
    if (rc > 0)
        return 0;
    return rc == PCRE2_ERROR_NOMATCH && begins >= line.bytes ? SL_FORMAT_NO_MATCH : SL_FORMAT_GAVE_UP;
}

static uint32_t regex_members(struct regex_format *regex, struct sl_slice line)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(regex->data);

    for (uint32_t i = 0; i < regex->groups.count; i++) {
        PCRE2_SIZE from = ends[2 * regex->groups.number[i]], to = ends[2 * regex->groups.number[i] + 1];
        struct sl_format_member *member = &regex->members[i];
        *member = (struct sl_format_member){.field = (int)i};
        if (from != PCRE2_UNSET && from <= to) /* \K in a look-ahead may turn them round */
            member->value = sl_format_string(line.data + from, to - from);
    }
    return regex->groups.count;
}

static int regex_decode(void *self, const struct sl_format_batch *batch)
{
    struct regex_format *regex = self;
    const struct sl_view *view = batch->view;

    sl_format_fields_batch(regex->fields, batch);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct sl_slice line;
        uint8_t reason;
        if (sl_format_line(batch, row, &line) != 0)
            return -1;
        reason = regex_match(regex, line);
        if (reason != 0)
            sl_format_dead(batch, row, reason);
        else if (sl_format_fields_put(regex->fields, row, regex->members, regex_members(regex, line)) != 0)
            return -1;
    }
    return 0;
}

const struct sl_format_kind sl_format_regex = {
    .name = "regex",
    .roles = {"ts", "service", "level", "trace_id"},
    .check = regex_check,
    .open = regex_open,
    .decode = regex_decode,
    .close = regex_close,
};
