/* match.c: a condition's tree mirrored with what evaluation needs: columns, caches, scratch
 * selections.
 *
 * A node writes 0 or 1 for each record of the selection it is given. ALL gives its next child only
 * the records that still match, ANY only those that do not yet; so both write straight into the
 * result, and children are sorted, cheap ones first.
 * Invariant: a selection never holds more than SL_BATCH_RECORDS indices; longer ones are cut.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/match.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/base/intern.h"
#include "runtime/config/condition.h"
#include "runtime/config/glob.h"
#include "runtime/engine/op.h"
#include "runtime/engine/slot.h"

enum { MATCH_LIMIT = 200000, MATCH_STACK_BYTES = 512 * 1024 };
enum { CACHE_UNKNOWN, CACHE_NO, CACHE_YES };

struct match_node {
    const struct sl_cond *cond;
    struct match_node **items; /* cond->count, cheapest first */
    uint16_t *scratch;         /* ALL, ANY: the selection for the next child */
    int column;                /* TEST of a path or of the trace role by column; -1: elsewhere */
    uint8_t *services;         /* TEST of service: CACHE_ by interned id */
    uint32_t cost;
};

struct sl_bound_cond {
    struct match_node *root;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint64_t limits;
};

/* One field of one record. */
struct match_value {
    struct sl_slice text;
    enum sl_type type;
};

struct match_run {
    struct sl_bound_cond *bound;
    const struct sl_view *view;
    uint8_t *match;
};

/* ---- binding ---- */

/* Rough ns a record, for the order of evaluation only. */
static uint32_t match_test_cost(const struct sl_cond *cond)
{
    uint32_t field = cond->name.kind == SL_NAME_LEVEL || cond->name.kind == SL_NAME_TOPIC ? 1
                     : cond->name.kind == SL_NAME_SERVICE || cond->name.kind == SL_NAME_TIME ||
                             cond->name.kind == SL_NAME_APPEND_TIME
                         ? 2
                     : cond->name.kind == SL_NAME_HEADER ? 20
                                                         : 5;

    if (cond->name.kind == SL_NAME_SERVICE || cond->name.kind == SL_NAME_LEVEL)
        return field;
    if (cond->op == SL_COND_MATCHES)
        return field + 200 * cond->operands_count;
    return field + (cond->op == SL_COND_GLOB ? 20 : 2) * cond->operands_count;
}

static int match_no_memory(struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a condition");
}

static int match_bind_test(struct match_node *node, struct sl_names *names, struct sl_err *err)
{
    const struct sl_cond *cond = node->cond;

    node->cost = match_test_cost(cond);
    if (cond->name.kind == SL_NAME_SERVICE) {
        node->services = calloc(SL_INTERN_MAX, 1);
        return node->services == NULL ? match_no_memory(err) : 0;
    }
    if (cond->name.kind != SL_NAME_PATH && cond->name.kind != SL_NAME_TRACE)
        return 0;
    node->column = names->column(names, &cond->name, err);
    return node->column < 0 ? node->column : 0;
}

static struct match_node *match_node_free(struct match_node *node)
{
    if (node == NULL)
        return NULL;
    for (uint32_t i = 0; node->items != NULL && i < node->cond->count; i++)
        (void)match_node_free(node->items[i]);
    free(node->items);
    free(node->scratch);
    free(node->services);
    free(node);
    return NULL;
}

static int match_by_cost(const void *a, const void *b)
{
    const struct match_node *const *one = a, *const *other = b;

    return ((*one)->cost > (*other)->cost) - ((*one)->cost < (*other)->cost);
}

static int match_node_new(const struct sl_cond *cond, struct sl_names *names,
                          struct match_node **ret_node, struct sl_err *err);

static int match_bind_items(struct match_node *node, struct sl_names *names, struct sl_err *err)
{
    const struct sl_cond *cond = node->cond;

    node->items = calloc(cond->count, sizeof(struct match_node *));
    node->scratch =
        cond->kind == SL_COND_NOT ? NULL : malloc(SL_BATCH_RECORDS * sizeof(*node->scratch));
    if (node->items == NULL || (node->scratch == NULL && cond->kind != SL_COND_NOT))
        return match_no_memory(err);
    for (uint32_t i = 0; i < cond->count; i++) {
        int status = match_node_new(cond->items[i], names, &node->items[i], err);
        if (status != 0)
            return status;
        node->cost += node->items[i]->cost;
    }
    qsort(node->items, cond->count, sizeof(struct match_node *), match_by_cost);
    return 0;
}

/* On failure *ret_node holds what was made, for the caller's free. */
static int match_node_new(const struct sl_cond *cond, struct sl_names *names,
                          struct match_node **ret_node, struct sl_err *err)
{
    struct match_node *node = calloc(1, sizeof(*node));

    *ret_node = node;
    if (node == NULL)
        return match_no_memory(err);
    node->cond = cond;
    node->column = -1;
    return cond->kind == SL_COND_TEST ? match_bind_test(node, names, err)
                                      : match_bind_items(node, names, err);
}

static int match_patterns_new(struct sl_bound_cond *bound, struct sl_err *err)
{
    bound->data = pcre2_match_data_create(1, NULL);
    bound->context = pcre2_match_context_create(NULL);
    bound->stack = pcre2_jit_stack_create(32 * 1024, MATCH_STACK_BYTES, NULL);
    if (bound->data == NULL || bound->context == NULL)
        return match_no_memory(err);
    (void)pcre2_set_match_limit(bound->context, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(bound->context, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(bound->context, 16 * 1024); /* KiB */
    if (bound->stack != NULL)
        pcre2_jit_stack_assign(bound->context, NULL, bound->stack);
    return 0;
}

int sl_cond_bind(const struct sl_cond *cond, struct sl_names *names,
                 struct sl_bound_cond **ret_bound, struct sl_err *err)
{
    struct sl_bound_cond *bound = calloc(1, sizeof(*bound));
    int status = bound == NULL ? match_no_memory(err) : match_patterns_new(bound, err);

    if (status == 0)
        status = match_node_new(cond, names, &bound->root, err);
    if (status != 0) {
        (void)sl_cond_unbind(bound);
        return status;
    }
    *ret_bound = bound;
    return 0;
}

struct sl_bound_cond *sl_cond_unbind(struct sl_bound_cond *bound)
{
    if (bound == NULL)
        return NULL;
    (void)match_node_free(bound->root);
    pcre2_match_data_free(bound->data);
    pcre2_match_context_free(bound->context);
    pcre2_jit_stack_free(bound->stack);
    free(bound);
    return NULL;
}

uint64_t sl_cond_limits(const struct sl_bound_cond *bound)
{
    return bound->limits;
}

/* ---- one value ---- */

static bool match_equals(const struct match_value *value, const struct sl_operand *operand)
{
    struct sl_number number;

    if (operand->number.is && value->type == SL_T_NUMBER) {
        number = sl_number_of(value->text);
        return number.is ? sl_number_compare(&number, &operand->number) == 0
                         : sl_slice_eq(value->text, operand->text);
    }
    return sl_slice_eq(value->text, operand->text);
}

/* Numbers as numbers when both sides are, else by bytes; a prefix is smaller. */
static int match_compare(const struct match_value *value, const struct sl_operand *operand)
{
    uint32_t bytes =
        value->text.bytes < operand->text.bytes ? value->text.bytes : operand->text.bytes;
    int order;

    if (operand->number.is && value->type == SL_T_NUMBER) {
        struct sl_number number = sl_number_of(value->text);
        if (number.is)
            return sl_number_compare(&number, &operand->number);
    }
    order = bytes == 0 ? 0 : memcmp(value->text.data, operand->text.data, bytes);
    return order != 0 ? order
                      : (value->text.bytes > operand->text.bytes) -
                            (value->text.bytes < operand->text.bytes);
}

static bool match_pattern(struct sl_bound_cond *bound, const void *pattern, struct sl_slice text)
{
    int found = pcre2_match(pattern, (PCRE2_SPTR)(text.bytes == 0 ? "" : text.data), text.bytes, 0,
                            0, bound->data, bound->context);

    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        bound->limits++;
    return found >= 0;
}

static bool match_ordered(enum sl_cond_op op, int order)
{
    switch (op) {
    case SL_COND_GTE:
        return order >= 0;
    case SL_COND_GT:
        return order > 0;
    case SL_COND_LTE:
        return order <= 0;
    case SL_COND_LT:
        return order < 0;
    case SL_COND_IN:
        return order == 0;
    case SL_COND_GLOB:
    case SL_COND_MATCHES:
    case SL_COND_EXISTS:
        break;
    }
    assert(!"not an order");
    return false;
}

static bool match_value(struct sl_bound_cond *bound, const struct sl_cond *cond,
                        const struct match_value *value)
{
    if (cond->op == SL_COND_EXISTS)
        return (value->type != SL_T_ABSENT) == cond->exists;
    if (value->type == SL_T_ABSENT)
        return false;
    for (uint32_t i = 0; i < cond->operands_count; i++) {
        bool found = cond->op == SL_COND_IN ? match_equals(value, &cond->operands[i])
                     : cond->op == SL_COND_GLOB
                         ? sl_glob_match(cond->operands[i].text.data, value->text)
                     : cond->op == SL_COND_MATCHES
                         ? match_pattern(bound, cond->patterns[i], value->text)
                         : match_ordered(cond->op, match_compare(value, &cond->operands[i]));
        if (found)
            return true;
    }
    return false;
}

/* ---- columns ---- */

static void match_level(const struct match_run *run, const struct match_node *node,
                        const uint16_t *sel, uint32_t count)
{
    const uint8_t *level = run->view->decoded->level;
    uint32_t mask = node->cond->levels;

    for (uint32_t k = 0; k < count; k++)
        run->match[sel[k]] = (mask >> (level == NULL ? SL_LEVEL_NONE : level[sel[k]])) & 1;
}

static bool match_instant(const struct sl_cond *cond, int64_t unix_ms)
{
    if (cond->op == SL_COND_EXISTS)
        return cond->exists; /* every record has a time */
    for (uint32_t i = 0; i < cond->operands_count; i++)
        if (match_ordered(cond->op,
                          (unix_ms > cond->times_unix_ms[i]) - (unix_ms < cond->times_unix_ms[i])))
            return true;
    return false;
}

static void match_time(const struct match_run *run, const struct match_node *node,
                       const uint16_t *sel, uint32_t count)
{
    const int64_t *append = run->view->batch->append_unix_ms;
    const int64_t *times =
        node->cond->name.kind == SL_NAME_TIME ? run->view->decoded->time_unix_ms : append;

    for (uint32_t k = 0; k < count; k++)
        run->match[sel[k]] =
            match_instant(node->cond, times == NULL ? append[sel[k]] : times[sel[k]]);
}

static uint8_t match_service_look(const struct match_run *run, const struct match_node *node,
                                  uint32_t id)
{
    struct match_value value = {{NULL, 0}, SL_T_ABSENT};

    if (id != SL_INTERN_NONE)
        value = (struct match_value){sl_intern_name(id), SL_T_STRING};
    return match_value(run->bound, node->cond, &value) ? CACHE_YES : CACHE_NO;
}

static void match_service(const struct match_run *run, const struct match_node *node,
                          const uint16_t *sel, uint32_t count)
{
    const uint32_t *service = run->view->decoded->service;

    for (uint32_t k = 0; k < count; k++) {
        uint32_t id = service == NULL ? SL_INTERN_NONE : service[sel[k]];
        assert(id < SL_INTERN_MAX);
        if (node->services[id] == CACHE_UNKNOWN)
            node->services[id] = match_service_look(run, node, id);
        run->match[sel[k]] = node->services[id] == CACHE_YES;
    }
}

/* The common test, a text against one or two words, without the general path's steps. */
static void match_words(const struct match_run *run, const struct match_node *node,
                        const struct sl_column *column, const uint16_t *sel, uint32_t count)
{
    const struct sl_operand *operands = node->cond->operands;

    for (uint32_t k = 0; k < count; k++) {
        struct sl_slice text = column->value[sel[k]];
        bool found = false;
        for (uint32_t i = 0; i < node->cond->operands_count && !found; i++)
            found = text.bytes == operands[i].text.bytes &&
                    memcmp(text.data, operands[i].text.data, text.bytes) == 0;
        run->match[sel[k]] = found && column->type[sel[k]] != SL_T_ABSENT;
    }
}

static bool match_only_words(const struct sl_cond *cond)
{
    for (uint32_t i = 0; i < cond->operands_count; i++)
        if (cond->operands[i].number.is || cond->operands[i].text.bytes == 0)
            return false;
    return cond->op == SL_COND_IN;
}

static void match_column(const struct match_run *run, const struct match_node *node,
                         const uint16_t *sel, uint32_t count)
{
    const struct sl_decoded *decoded = run->view->decoded;
    int index = node->cond->name.kind == SL_NAME_TRACE && decoded->trace >= 0 ? decoded->trace
                                                                              : node->column;
    const struct sl_column *column =
        index >= 0 && (uint32_t)index < decoded->columns_count ? &decoded->columns[index] : NULL;

    if (column != NULL && (column->value == NULL || column->type == NULL))
        column = NULL; /* a branch without a parse stage has no columns: every field is missing */
    if (column != NULL && match_only_words(node->cond)) {
        match_words(run, node, column, sel, count);
        return;
    }
    for (uint32_t k = 0; k < count; k++) {
        struct match_value value = {{NULL, 0}, SL_T_ABSENT};
        if (column != NULL)
            value = (struct match_value){column->value[sel[k]], (enum sl_type)column->type[sel[k]]};
        run->match[sel[k]] = match_value(run->bound, node->cond, &value);
    }
}

static void match_topic(const struct match_run *run, const struct match_node *node,
                        const uint16_t *sel, uint32_t count)
{
    const struct sl_partition *partition = run->view->batch->partition;
    struct match_value value = {{NULL, 0}, SL_T_ABSENT};
    bool found;

    if (partition != NULL && partition->topic != NULL)
        value = (struct match_value){sl_slice_of(partition->topic), SL_T_STRING};
    found = match_value(run->bound, node->cond, &value);
    for (uint32_t k = 0; k < count; k++)
        run->match[sel[k]] = found;
}

/* The first header of that name counts. */
static struct match_value match_header_of(const struct sl_batch *batch, uint32_t index,
                                          const char *name)
{
    uint32_t headers =
        batch->headers == NULL || batch->headers_count == NULL ? 0 : batch->headers_count[index];

    for (uint32_t i = 0; i < headers; i++)
        if (sl_slice_is(batch->headers[index][i].name, name))
            return (struct match_value){batch->headers[index][i].value, SL_T_STRING};
    return (struct match_value){{NULL, 0}, SL_T_ABSENT};
}

static struct match_value match_key_of(const struct sl_batch *batch, uint32_t index)
{
    if (batch->key == NULL || batch->key[index].data == NULL)
        return (struct match_value){{NULL, 0}, SL_T_ABSENT};
    return (struct match_value){batch->key[index], SL_T_STRING};
}

static void match_envelope(const struct match_run *run, const struct match_node *node,
                           const uint16_t *sel, uint32_t count)
{
    const struct sl_batch *batch = run->view->batch;
    const struct sl_name *name = &node->cond->name;

    for (uint32_t k = 0; k < count; k++) {
        struct match_value value = name->kind == SL_NAME_KEY
                                       ? match_key_of(batch, sel[k])
                                       : match_header_of(batch, sel[k], name->header);
        run->match[sel[k]] = match_value(run->bound, node->cond, &value);
    }
}

static void match_test(const struct match_run *run, const struct match_node *node,
                       const uint16_t *sel, uint32_t count)
{
    switch (node->cond->name.kind) {
    case SL_NAME_LEVEL:
        match_level(run, node, sel, count);
        return;
    case SL_NAME_SERVICE:
        match_service(run, node, sel, count);
        return;
    case SL_NAME_TIME:
    case SL_NAME_APPEND_TIME:
        match_time(run, node, sel, count);
        return;
    case SL_NAME_PATH:
    case SL_NAME_TRACE:
        match_column(run, node, sel, count);
        return;
    case SL_NAME_TOPIC:
        match_topic(run, node, sel, count);
        return;
    case SL_NAME_KEY:
    case SL_NAME_HEADER:
        match_envelope(run, node, sel, count);
        return;
    case SL_NAME_CLASS:
        break; /* refused when parsed */
    }
    assert(!"a condition on a role that was never parsed");
}

/* ---- the tree ---- */

static void match_eval(const struct match_run *run, const struct match_node *node,
                       const uint16_t *sel, uint32_t count);

/* ALL goes on with the records that match, ANY with those that do not. */
static void match_narrow(const struct match_run *run, const struct match_node *node,
                         const uint16_t *sel, uint32_t count)
{
    uint8_t goes_on = node->cond->kind == SL_COND_ALL;

    match_eval(run, node->items[0], sel, count);
    for (uint32_t i = 1; i < node->cond->count && count > 0; i++) {
        uint32_t left = 0;
        for (uint32_t k = 0; k < count; k++) {
            node->scratch[left] = sel[k];
            left += run->match[sel[k]] == goes_on;
        }
        sel = node->scratch;
        count = left;
        match_eval(run, node->items[i], sel, count);
    }
}

static void match_eval(const struct match_run *run, const struct match_node *node,
                       const uint16_t *sel, uint32_t count)
{
    if (count == 0)
        return;
    if (node->cond->kind == SL_COND_TEST) {
        match_test(run, node, sel, count);
        return;
    }
    if (node->cond->kind != SL_COND_NOT) {
        match_narrow(run, node, sel, count);
        return;
    }
    match_eval(run, node->items[0], sel, count);
    for (uint32_t k = 0; k < count; k++)
        run->match[sel[k]] ^= 1;
}

void sl_cond_eval(struct sl_bound_cond *bound, const struct sl_view *view, uint8_t *match)
{
    const struct match_run run = {bound, view, match};

    for (uint32_t at = 0; at < view->sel_count; at += SL_BATCH_RECORDS) { /* a view may be longer than a source's batch (derive.h) */
        uint32_t left = view->sel_count - at;
        match_eval(&run, bound->root, view->sel + at, left < SL_BATCH_RECORDS ? left : SL_BATCH_RECORDS);
    }
}
