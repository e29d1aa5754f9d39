/* rewrite.c: records that a stage changes: their new texts, and their fields and roles read anew.
 *
 * A call copies what it will write: the view's struct sl_decoded, its list of bodies, and the columns and roles concerned; so no
 * other branch sees any of it. Within one process() of a stage that is done once (sl_rewrite_settle begins it).
 * Which columns the roles come from is known with the first batch only, so decoders are made then: one for each parse stage that
 * leads here (struct rewrite_plan).
 * Invariant: own != NULL iff view->decoded of the process() under way is this rewriter's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/rewrite.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/intern.h"
#include "runtime/json/json.h"
#include "runtime/json/level.h"
#include "runtime/json/timestamp.h"

enum { REWRITE_MAGIC = 0x72657772 };

struct rewrite_plan { /* what is read anew behind one parse stage */
    int role_column[SL_ROLE_FIELDS];
    uint32_t decoded_count; /* columns that the parse stage knows */
    uint32_t *columns;      /* with a path */
    uint32_t columns_count;
    int trace_column; /* the trace role's own, or -1 */
    struct sl_json_decoder *trusting, *checking; /* of our own splices, and of texts that others made */
    struct rewrite_plan *next;
};

struct sl_rewriter {
    uint32_t magic;
    uint32_t *columns; /* as told */
    uint32_t columns_count, paths_count;
    struct sl_field_path *paths; /* of all columns of the topology */
    struct sl_intern_cache *services;
    struct rewrite_plan *plans;
    struct sl_decoded *own;
};

struct rewrite_rows { /* what one call replaces */
    const uint16_t *rows; /* ascending */
    const struct sl_slice *texts;
    uint32_t count;
};

static int rewrite_memory(struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "changed records of a batch do not fit its arena; raise `memory:`");
}

/* ---- plans ---- */

static struct rewrite_plan *rewrite_plan_free(struct rewrite_plan *plan)
{
    if (plan != NULL) {
        sl_json_decoder_free(plan->trusting);
        sl_json_decoder_free(plan->checking);
        free(plan->columns);
        free(plan);
    }
    return NULL;
}

static void rewrite_plan_add(const struct sl_rewriter *rewriter, struct rewrite_plan *plan, uint32_t column)
{
    if (rewriter->paths[column].segments_count == 0) {
        plan->trace_column = (int)column;
        return;
    }
    for (uint32_t i = 0; i < plan->columns_count; i++)
        if (plan->columns[i] == column)
            return;
    plan->columns[plan->columns_count++] = column;
}

static int rewrite_plan_decoders(const struct sl_rewriter *rewriter, struct rewrite_plan *plan, struct sl_err *err)
{
    struct sl_json_field *fields = calloc((size_t)plan->columns_count + 1, sizeof(*fields));
    struct sl_json_projection trusting = {fields, plan->columns_count, false}, checking = {fields, plan->columns_count, true};
    int rc = fields == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", plan->columns_count) : 0;

    for (uint32_t i = 0; rc == 0 && i < plan->columns_count; i++)
        fields[i] = (struct sl_json_field){rewriter->paths[plan->columns[i]], plan->columns[i]};
    if (rc == 0)
        rc = sl_json_decoder_new(&trusting, &plan->trusting, err);
    if (rc == 0)
        rc = sl_json_decoder_new(&checking, &plan->checking, err);
    free(fields);
    return rc;
}

static bool rewrite_has_column(const struct sl_decoded *decoded, int column)
{
    return column >= 0 && (uint32_t)column < decoded->columns_count && decoded->columns[column].value != NULL;
}

static int rewrite_plan_new(struct sl_rewriter *rewriter, const struct sl_decoded *decoded, struct rewrite_plan **ret_plan,
                            struct sl_err *err)
{
    struct rewrite_plan *plan = calloc(1, sizeof(*plan));
    int rc = 0;

    if (plan == NULL || (plan->columns = calloc((size_t)rewriter->paths_count + 1, sizeof(*plan->columns))) == NULL) {
        (void)rewrite_plan_free(plan);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", rewriter->paths_count);
    }
    plan->trace_column = -1;
    plan->decoded_count = decoded->columns_count;
    memcpy(plan->role_column, decoded->role_column, sizeof(plan->role_column));
    for (uint32_t i = 0; i < rewriter->columns_count; i++)
        if (rewriter->columns[i] < decoded->columns_count)
            rewrite_plan_add(rewriter, plan, rewriter->columns[i]);
    for (int role = 0; role < SL_ROLE_FIELDS; role++)
        if (rewrite_has_column(decoded, plan->role_column[role]))
            rewrite_plan_add(rewriter, plan, (uint32_t)plan->role_column[role]);
    rc = rewrite_plan_decoders(rewriter, plan, err);
    if (rc != 0) {
        (void)rewrite_plan_free(plan);
        return rc;
    }
    plan->next = rewriter->plans;
    *ret_plan = rewriter->plans = plan;
    return 0;
}

static int rewrite_plan_of(struct sl_rewriter *rewriter, const struct sl_decoded *decoded, struct rewrite_plan **ret_plan,
                           struct sl_err *err)
{
    for (struct rewrite_plan *plan = rewriter->plans; plan != NULL; plan = plan->next)
        if (plan->decoded_count == decoded->columns_count &&
            memcmp(plan->role_column, decoded->role_column, sizeof(plan->role_column)) == 0) {
            *ret_plan = plan;
            return 0;
        }
    return rewrite_plan_new(rewriter, decoded, ret_plan, err);
}

/* ---- a rewriter ---- */

int sl_rewriter_new(const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_rewriter **ret_rewriter,
                    struct sl_err *err)
{
    struct sl_rewriter *rewriter = calloc(1, sizeof(*rewriter));
    uint32_t paths_count = names->count(names);

    if (rewriter == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a stage that changes records");
    rewriter->magic = REWRITE_MAGIC;
    rewriter->columns = calloc((size_t)count + 1, sizeof(*columns));
    rewriter->paths = calloc((size_t)paths_count + 1, sizeof(*rewriter->paths));
    rewriter->services = sl_intern_cache_new();
    if (rewriter->columns == NULL || rewriter->paths == NULL || rewriter->services == NULL) {
        (void)sl_rewriter_free(rewriter);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a stage that changes records");
    }
    if (count > 0)
        memcpy(rewriter->columns, columns, count * sizeof(*columns));
    rewriter->columns_count = count;
    rewriter->paths_count = paths_count;
    for (uint32_t i = 0; i < paths_count; i++)
        rewriter->paths[i] = *names->path(names, i);
    *ret_rewriter = rewriter;
    return 0;
}

struct sl_rewriter *sl_rewriter_free(struct sl_rewriter *rewriter)
{
    if (rewriter != NULL) {
        assert(rewriter->magic == REWRITE_MAGIC);
        while (rewriter->plans != NULL) {
            struct rewrite_plan *plan = rewriter->plans;
            rewriter->plans = plan->next;
            (void)rewrite_plan_free(plan);
        }
        rewriter->services = sl_intern_cache_free(rewriter->services);
        free(rewriter->columns);
        free(rewriter->paths);
        rewriter->magic = 0;
        free(rewriter);
    }
    return NULL;
}

/* ---- copies before the first write ---- */

/* A copy of an array of `count` members of `bytes` each; without `from`, or where nothing of it is kept, it is zeroed. */
static void *rewrite_copy(struct sl_arena *arena, const void *from, size_t count, size_t bytes, bool keep)
{
    void *copy = sl_arena_alloc(arena, (count + 1) * bytes);

    if (copy == NULL)
        return NULL;
    if (keep && from != NULL)
        memcpy(copy, from, count * bytes);
    else
        memset(copy, 0, (count + 1) * bytes);
    return copy;
}

static int rewrite_own_column(struct sl_arena *arena, struct sl_column *column, size_t count, bool keep)
{
    struct sl_column copy = {
        .value = keep || column->value == NULL ? rewrite_copy(arena, column->value, count, sizeof(*copy.value), keep)
                                               : sl_arena_alloc(arena, (count + 1) * sizeof(*copy.value)),
        .span = keep || column->span == NULL ? rewrite_copy(arena, column->span, count, sizeof(*copy.span), keep)
                                             : sl_arena_alloc(arena, (count + 1) * sizeof(*copy.span)),
        .type = rewrite_copy(arena, column->type, count, sizeof(*copy.type), keep),
        .repeated = rewrite_copy(arena, column->repeated, count, sizeof(*copy.repeated), keep),
    };

    *column = copy;
    return copy.value == NULL || copy.span == NULL || copy.type == NULL || copy.repeated == NULL ? -1 : 0;
}

/* keep: some live row of the view stays as it is. */
static int rewrite_own_columns(const struct rewrite_plan *plan, const struct sl_view *view, struct sl_decoded *own, bool keep)
{
    struct sl_arena *arena = view->batch->arena;

    if (own->columns_count == 0)
        return 0;
    own->columns = rewrite_copy(arena, view->decoded->columns, own->columns_count, sizeof(*own->columns), true);
    if (own->columns == NULL)
        return -1;
    for (uint32_t i = 0; i < plan->columns_count; i++)
        if (rewrite_own_column(arena, &own->columns[plan->columns[i]], view->batch->count, keep) != 0)
            return -1;
    if (plan->trace_column >= 0 && rewrite_has_column(own, own->role_column[SL_ROLE_TRACE]))
        own->columns[plan->trace_column] = own->columns[own->role_column[SL_ROLE_TRACE]];
    return 0;
}

static int rewrite_own_roles(const struct sl_view *view, struct sl_decoded *own)
{
    struct sl_arena *arena = view->batch->arena;
    size_t count = view->batch->count;

    if (rewrite_has_column(own, own->role_column[SL_ROLE_TIME]))
        own->time_unix_ms = rewrite_copy(arena, own->time_unix_ms, count, sizeof(*own->time_unix_ms), true);
    if (rewrite_has_column(own, own->role_column[SL_ROLE_SERVICE]))
        own->service = rewrite_copy(arena, own->service, count, sizeof(*own->service), true);
    if (rewrite_has_column(own, own->role_column[SL_ROLE_LEVEL]))
        own->level = rewrite_copy(arena, own->level, count, sizeof(*own->level), true);
    return own->time_unix_ms == NULL || (own->service == NULL && rewrite_has_column(own, own->role_column[SL_ROLE_SERVICE])) ||
                   (own->level == NULL && rewrite_has_column(own, own->role_column[SL_ROLE_LEVEL]))
               ? -1
               : 0;
}

static int rewrite_own(struct sl_rewriter *rewriter, const struct rewrite_plan *plan, struct sl_view *view, bool keep)
{
    struct sl_arena *arena = view->batch->arena;
    struct sl_decoded *own = sl_arena_alloc(arena, sizeof(*own));

    if (rewriter->own != NULL) {
        assert(view->decoded == rewriter->own);
        return 0;
    }
    if (own == NULL)
        return -1;
    *own = *view->decoded;
    own->body = rewrite_copy(arena, own->body, view->batch->count, sizeof(*own->body), true);
    if (own->body == NULL || rewrite_own_columns(plan, view, own, keep) != 0 || rewrite_own_roles(view, own) != 0)
        return -1;
    view->decoded = rewriter->own = own;
    return 0;
}

/* ---- roles ---- */

/* Rule A5, as in parse: a time of the record's own counts only where it is plausible. */
static int64_t rewrite_time(const struct sl_decoded *decoded, const struct sl_column *column, uint16_t row, int64_t append)
{
    enum sl_type type = (enum sl_type)column->type[row];
    int64_t unix_ms = 0;

    if ((type != SL_T_STRING && type != SL_T_NUMBER) || sl_time_parse(column->value[row], type == SL_T_STRING, &unix_ms) != 0)
        return append;
    if (append > 0 && decoded->max_age_ms > 0 &&
        (unix_ms < append - decoded->max_age_ms || unix_ms > append + decoded->max_future_ms))
        return append;
    return unix_ms;
}

static uint32_t rewrite_service(struct sl_rewriter *rewriter, const struct sl_column *column, uint16_t row)
{
    bool named = column->type[row] == SL_T_STRING || column->type[row] == SL_T_NUMBER;

    return named && column->value[row].bytes > 0 ? sl_intern(rewriter->services, column->value[row]) : SL_INTERN_NONE;
}

static uint8_t rewrite_level(const struct sl_column *column, uint16_t row)
{
    enum sl_level level = SL_LEVEL_NONE;

    (void)sl_level_parse(column->value[row], (enum sl_type)column->type[row], &level);
    return (uint8_t)level;
}

/* What the fields of the roles held: a role whose field stays as it was is left alone, for a format may know its own way of
 * writing times. */
struct rewrite_was {
    struct sl_slice *value[SL_ROLE_TRACE]; /* by row of the call; NULL: the role comes from elsewhere */
    uint8_t *type[SL_ROLE_TRACE];
};

static int rewrite_was(const struct sl_view *view, const struct rewrite_rows *what, struct rewrite_was *ret_was)
{
    const struct sl_decoded *decoded = view->decoded;
    struct sl_arena *arena = view->batch->arena;

    memset(ret_was, 0, sizeof(*ret_was));
    for (int role = 0; role < SL_ROLE_TRACE; role++) {
        const struct sl_column *column;
        if (!rewrite_has_column(decoded, decoded->role_column[role]))
            continue;
        column = &decoded->columns[decoded->role_column[role]];
        ret_was->value[role] = sl_arena_alloc(arena, ((size_t)what->count + 1) * sizeof(struct sl_slice));
        ret_was->type[role] = sl_arena_alloc(arena, (size_t)what->count + 1);
        if (ret_was->value[role] == NULL || ret_was->type[role] == NULL)
            return -1;
        for (uint32_t i = 0; i < what->count; i++) {
            ret_was->value[role][i] = column->value[what->rows[i]];
            ret_was->type[role][i] = column->type[what->rows[i]];
        }
    }
    return 0;
}

/* A role's new field in row `i` of the call, or NULL: it is as it was. */
static const struct sl_column *rewrite_changed(const struct sl_decoded *own, const struct rewrite_was *was, enum sl_role_field role,
                                               uint32_t i, uint16_t row)
{
    const struct sl_column *column;

    if (was->value[role] == NULL)
        return NULL;
    column = &own->columns[own->role_column[role]];
    if (column->type[row] == was->type[role][i] && sl_slice_eq(column->value[row], was->value[role][i]))
        return NULL;
    return column;
}

/* The arrays are this rewriter's own (rewrite_own_roles). */
static void rewrite_roles(struct sl_rewriter *rewriter, const struct sl_view *view, const struct rewrite_rows *what,
                          const struct rewrite_was *was)
{
    const struct sl_decoded *own = rewriter->own;
    int64_t *times = (int64_t *)(uintptr_t)own->time_unix_ms;
    uint32_t *services = (uint32_t *)(uintptr_t)own->service;
    uint8_t *levels = (uint8_t *)(uintptr_t)own->level;

    for (uint32_t i = 0; i < what->count; i++) {
        uint16_t row = what->rows[i];
        const struct sl_column *time = rewrite_changed(own, was, SL_ROLE_TIME, i, row);
        const struct sl_column *service = rewrite_changed(own, was, SL_ROLE_SERVICE, i, row);
        const struct sl_column *level = rewrite_changed(own, was, SL_ROLE_LEVEL, i, row);
        if (view->fate[row] != SL_LIVE)
            continue;
        if (time != NULL)
            times[row] = rewrite_time(own, time, row, view->batch->append_unix_ms[row]);
        if (service != NULL)
            services[row] = rewrite_service(rewriter, service, row);
        if (level != NULL)
            levels[row] = rewrite_level(level, row);
    }
}

/* ---- the three ways ---- */

/* checked: the texts are somebody else's; those that are no JSON get bad_reason. */
static int rewrite_rows(struct sl_rewriter *rewriter, struct sl_view *view, const struct rewrite_rows *what, bool checked,
                        uint8_t bad_reason, struct sl_err *err)
{
    struct sl_arena *arena = view->batch->arena;
    uint8_t *verdict = sl_arena_alloc(arena, (size_t)view->batch->count + 1);
    struct rewrite_plan *plan = NULL;
    struct rewrite_was was;
    struct sl_slice *body;
    int rc = rewrite_plan_of(rewriter, view->decoded, &plan, err);

    if (rc != 0)
        return rc;
    if (verdict == NULL || rewrite_was(view, what, &was) != 0 ||
        rewrite_own(rewriter, plan, view, what->count < view->sel_count) != 0)
        return rewrite_memory(err);
    body = (struct sl_slice *)(uintptr_t)rewriter->own->body;
    for (uint32_t i = 0; i < what->count; i++)
        body[what->rows[i]] = what->texts[i];
    if (!checked && plan->columns_count == 0)
        return 0;
    if (sl_json_decode(checked ? plan->checking : plan->trusting, body, what->rows, what->count, rewriter->own->columns, verdict,
                       arena) != 0)
        return rewrite_memory(err);
    for (uint32_t i = 0; checked && i < what->count; i++)
        if (verdict[what->rows[i]] != SL_JSON_FINE) {
            view->fate[what->rows[i]] = SL_DEAD;
            view->reason[what->rows[i]] = bad_reason;
        }
    rewrite_roles(rewriter, view, what, &was);
    return 0;
}

/* Live rows that the view's edits name, with their texts spliced; the edits are gone then. */
static int rewrite_spliced(struct sl_view *view, struct rewrite_rows *ret_what)
{
    struct sl_arena *arena = view->batch->arena;
    uint16_t *rows = sl_arena_alloc(arena, ((size_t)view->sel_count + 1) * sizeof(*rows));
    struct sl_slice *texts = sl_arena_alloc(arena, ((size_t)view->sel_count + 1) * sizeof(*texts));
    uint32_t count = 0, cursor = 0;

    if (rows == NULL || texts == NULL)
        return -1;
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        while (cursor < view->edits_count && view->edits[cursor].index < row)
            cursor++;
        if (cursor == view->edits_count)
            break;
        if (view->edits[cursor].index != row || view->fate[row] != SL_LIVE)
            continue;
        rows[count] = row;
        texts[count] = sl_view_body(view, row, &cursor);
        if (texts[count++].data == NULL)
            return -1;
    }
    view->edits = NULL;
    view->edits_count = 0;
    *ret_what = (struct rewrite_rows){rows, texts, count};
    return 0;
}

int sl_rewrite_settle(struct sl_rewriter *rewriter, struct sl_view *view, struct sl_err *err)
{
    struct rewrite_rows what;

    assert(rewriter->magic == REWRITE_MAGIC);
    rewriter->own = NULL;
    if (view->edits_count == 0)
        return 0;
    if (rewrite_spliced(view, &what) != 0)
        return rewrite_memory(err);
    return what.count == 0 ? 0 : rewrite_rows(rewriter, view, &what, false, 0, err);
}

int sl_rewrite_edits(struct sl_rewriter *rewriter, struct sl_view *view, const struct sl_edit *edits, uint32_t count,
                     struct sl_err *err)
{
    struct rewrite_rows what;

    assert(rewriter->magic == REWRITE_MAGIC && view->edits_count == 0);
    if (count == 0)
        return 0;
    if (sl_view_edit(view, edits, count) != 0 || rewrite_spliced(view, &what) != 0)
        return rewrite_memory(err);
    return what.count == 0 ? 0 : rewrite_rows(rewriter, view, &what, false, 0, err);
}

int sl_rewrite_texts(struct sl_rewriter *rewriter, struct sl_view *view, const uint16_t *rows, const struct sl_slice *texts,
                     uint32_t count, uint8_t bad_reason, struct sl_err *err)
{
    struct rewrite_rows what = {rows, texts, count};

    assert(rewriter->magic == REWRITE_MAGIC && view->edits_count == 0);
    return count == 0 ? 0 : rewrite_rows(rewriter, view, &what, true, bad_reason, err);
}
