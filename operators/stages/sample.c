/* sample.c: keeps a share of the records by OpenTelemetry's consistent probability sampling, and stamps what it keeps.
 *
 * R (56 bits) comes from the value that `consistent` names, so that records of one trace live or die together, in every process;
 * a record without that value gets it from its origin (topic, partition, incarnation, offset). T is the rule's threshold, or the
 * record's own if an earlier sampler set a higher one: chained samplers compose by max. Kept iff R >= T.
 * Stamp, right before the closing brace of an object (members that are there already are replaced where they stand):
 *   _w  weight, 2^56 / (2^56 - T)      _t  T as OpenTelemetry's th      _r  R, 14 hex digits
 *   _g  one of 64 groups, independent of R: sums of weights by group give honest confidence intervals
 * `incoming: true` reads _t and _r (and replaces all four) where an earlier process stamped. A parse stage with `validate: false`
 * looks for them only in records that end with _g, as samplers leave them; a stamp that something has moved into the middle of its
 * record is then met only if it stands before the last field that is read.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/stages.h"
#include "operators/stages/stamp.h"
#include "runtime/base/intern.h"
#include "runtime/engine/match.h"
#include "runtime/engine/origin.h"
#include "runtime/engine/slot.h"
#include "sampling/consistent.h"

enum { SAMPLE_MAGIC = 0x73616d70, SAMPLE_STAMP_BYTES = 112, SAMPLE_VALUE_BYTES = 40, SAMPLE_R_DIGITS = 14 };
enum sample_member { SAMPLE_W, SAMPLE_T, SAMPLE_R, SAMPLE_G, SAMPLE_MEMBERS };
enum sample_counter { SAMPLE_C_KEPT, SAMPLE_C_DROPPED, SAMPLE_C_ALWAYS, SAMPLE_C_BY_ORIGIN, SAMPLE_C_UNSTAMPED };

static const char *const sample_keys[SAMPLE_MEMBERS] = {STAMP_WEIGHT, STAMP_THRESHOLD, STAMP_RANDOMNESS, STAMP_GROUP};

struct sample_config {
    double share;
    const char *consistent;
    struct sl_cond *keep_where;
    bool stamp, incoming;
};

struct sample_stage {
    uint32_t magic;
    const struct sl_api *api;
    const struct sample_config *config;
    struct sl_name name;
    int column;                         /* of a PATH name, or -1 */
    int member_column[SAMPLE_MEMBERS];  /* incoming; or -1 */
    struct sl_bound_cond *keep;         /* or NULL */
    uint64_t threshold;
    uint64_t printed_threshold;         /* what printed_weight is of; UINT64_MAX: nothing yet */
    char printed_weight[32];
    char *origin;                       /* scratch: topic, id, incarnation, then the offset */
    size_t origin_bytes, origin_room;
};

/* ---- open ---- */

static int sample_name(const struct sample_config *config, struct sl_name *ret_name, struct sl_err *err)
{
    int rc = sl_name_parse(config->consistent, ret_name, err);

    if (rc < 0)
        return sl_while(err, "consistent");
    if (ret_name->kind == SL_NAME_TIME || ret_name->kind == SL_NAME_APPEND_TIME || ret_name->kind == SL_NAME_LEVEL ||
        ret_name->kind == SL_NAME_CLASS)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "consistent: %s does not tell records apart; name what belongs together, such as trace or user.id",
                       config->consistent);
    return 0;
}

static int sample_check(const void *config, struct sl_err *err)
{
    const struct sample_config *sample = config;
    struct sl_name name;
    int rc;

    if (!(sample->share > 0) || sample->share > 1)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "share: it must be above 0 and at most 100%%; write a share such as 10%%, and filter what is wanted nowhere");
    memset(&name, 0, sizeof(name));
    rc = sample_name(sample, &name, err);
    sl_name_fini(&name);
    return rc;
}

static void sample_close(void *self)
{
    struct sample_stage *stage = self;

    if (stage->magic != SAMPLE_MAGIC)
        return;
    stage->keep = sl_cond_unbind(stage->keep);
    sl_name_fini(&stage->name);
    free(stage->origin);
    memset(stage, 0, sizeof(*stage));
}

static int sample_columns(struct sample_stage *stage, struct sl_names *names, struct sl_err *err)
{
    stage->column = -1;
    if (stage->name.kind == SL_NAME_PATH && (stage->column = names->column(names, &stage->name, err)) < 0)
        return stage->column;
    for (int member = 0; member < SAMPLE_MEMBERS; member++) {
        struct sl_name name = {.kind = SL_NAME_PATH, .path = {&sample_keys[member], 1}};
        stage->member_column[member] = -1;
        if (!stage->config->incoming || (!stage->config->stamp && member != SAMPLE_T && member != SAMPLE_R))
            continue;
        stage->member_column[member] = names->column(names, &name, err);
        if (stage->member_column[member] < 0)
            return stage->member_column[member];
        if (names->appended != NULL)
            names->appended(names, (uint32_t)stage->member_column[member]);
    }
    return 0;
}

static int sample_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct sample_stage *stage = self;
    int rc;

    memset(stage, 0, sizeof(*stage));
    stage->magic = SAMPLE_MAGIC;
    stage->api = api;
    stage->config = config;
    stage->threshold = sl_threshold_of_share(stage->config->share);
    stage->printed_threshold = UINT64_MAX;
    rc = sample_name(stage->config, &stage->name, err);
    if (rc == 0)
        rc = sample_columns(stage, names, err);
    if (stage->config->stamp && names->whole != NULL)
        names->whole(names); /* stamps are spliced into JSON */
    if (rc == 0 && stage->config->keep_where != NULL)
        rc = sl_cond_bind(stage->config->keep_where, names, &stage->keep, err);
    if (rc != 0)
        sample_close(stage);
    return rc;
}

/* ---- R, T and the group ---- */

static struct sl_slice sample_cell(const struct sl_view *view, int column, uint16_t row, uint8_t least)
{
    const struct sl_decoded *decoded = view->decoded;

    if (column < 0 || (uint32_t)column >= decoded->columns_count || decoded->columns[column].value == NULL ||
        decoded->columns[column].type[row] < least)
        return (struct sl_slice){NULL, 0};
    return decoded->columns[column].value[row];
}

static struct sl_slice sample_header(const struct sl_batch *batch, uint16_t row, const char *name)
{
    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){NULL, 0};
}

/* What belongs together; no bytes where the record has no such value. */
static struct sl_slice sample_key(const struct sample_stage *stage, const struct sl_view *view, uint16_t row)
{
    const struct sl_batch *batch = view->batch;

    switch (stage->name.kind) {
    case SL_NAME_TRACE:
        return sample_cell(view, view->decoded->trace, row, SL_T_BOOL);
    case SL_NAME_PATH:
        return sample_cell(view, stage->column, row, SL_T_BOOL);
    case SL_NAME_SERVICE:
        return sl_intern_name(view->decoded->service == NULL ? SL_INTERN_NONE : view->decoded->service[row]);
    case SL_NAME_TOPIC:
        return sl_slice_of(batch->partition->topic);
    case SL_NAME_KEY:
        return batch->key == NULL ? (struct sl_slice){NULL, 0} : batch->key[row];
    case SL_NAME_HEADER:
        return sample_header(batch, row, stage->name.header);
    case SL_NAME_TIME:
    case SL_NAME_LEVEL:
    case SL_NAME_CLASS:
    case SL_NAME_APPEND_TIME:
        break; /* refused by check */
    }
    return (struct sl_slice){NULL, 0};
}

/* The part of the origin that a batch shares. */
static int sample_origin_begin(struct sample_stage *stage, const struct sl_partition *partition)
{
    size_t topic = strlen(partition->topic) + 1, id = strlen(partition->id) + 1;
    size_t bytes = topic + id + sizeof(partition->incarnation), room = bytes + sizeof(uint64_t);

    if (room > stage->origin_room) {
        char *origin = realloc(stage->origin, room);
        if (origin == NULL)
            return -1;
        stage->origin = origin;
        stage->origin_room = room;
    }
    memcpy(stage->origin, partition->topic, topic);
    memcpy(stage->origin + topic, partition->id, id);
    for (size_t i = 0; i < sizeof(partition->incarnation); i++)
        stage->origin[topic + id + i] = (char)(partition->incarnation >> (8 * i) & 255);
    stage->origin_bytes = bytes;
    return 0;
}

/* A record that comes again (a replayed letter): the bytes that it had the first time, so that its randomness is the same. */
static struct sl_slice sample_origin_again(struct sl_slice text, struct sl_arena *arena)
{
    struct sl_origin origin;
    uint32_t bytes;
    char *again;

    if (sl_origin_scan(text, &origin) != 0)
        return text;
    bytes = origin.topic.bytes + 1 + origin.partition.bytes + 1 + (uint32_t)(sizeof(origin.incarnation) + sizeof(origin.offset));
    again = sl_arena_alloc(arena, bytes);
    if (again == NULL)
        return text;
    memcpy(again, origin.topic.data, origin.topic.bytes + 1u); /* with the NUL behind it */
    memcpy(again + origin.topic.bytes + 1, origin.partition.data, origin.partition.bytes + 1u);
    for (size_t i = 0; i < sizeof(origin.incarnation); i++)
        again[bytes - 12 + i] = (char)(origin.incarnation >> (8 * i) & 255);
    for (size_t i = 0; i < sizeof(origin.offset); i++)
        again[bytes - 8 + i] = (char)(origin.offset >> (8 * i) & 255);
    return (struct sl_slice){again, bytes};
}

static struct sl_slice sample_origin(struct sample_stage *stage, const struct sl_batch *batch, uint16_t row)
{
    if (batch->origin != NULL && batch->origin[row].bytes > 0)
        return sample_origin_again(batch->origin[row], batch->arena);
    for (size_t i = 0; i < sizeof(uint64_t); i++)
        stage->origin[stage->origin_bytes + i] = (char)(batch->offset[row] >> (8 * i) & 255);
    return (struct sl_slice){stage->origin, (uint32_t)(stage->origin_bytes + sizeof(uint64_t))};
}

/* Trace ids that somebody counts up are 32 hex digits too, and would all be left out together: 24 leading zeros in 56 bits are one in
 * 16 million at random, so such a number is taken for a counter, and hashed like any other key. */
static bool sample_is_counted(uint64_t randomness)
{
    return randomness >> (SL_R_BITS - 24) == 0;
}

/* A W3C trace id carries its randomness. */
static uint64_t sample_randomness(struct sl_slice key)
{
    uint64_t randomness = 0;

    if (sl_randomness_of_hex(key.data, key.bytes, &randomness) == 1 && !sample_is_counted(randomness))
        return randomness;
    return sl_randomness_of_bytes(key.data, key.bytes);
}

struct sample_row {
    uint64_t randomness, threshold;
    uint32_t group;
};

/* What earlier samplers said, in this topology (the view) or before it (the record). */
static void sample_incoming(const struct sample_stage *stage, const struct sl_view *view, uint16_t row, struct sample_row *sample)
{
    struct sl_slice t = sample_cell(view, stage->member_column[SAMPLE_T], row, SL_T_STRING);
    struct sl_slice r = sample_cell(view, stage->member_column[SAMPLE_R], row, SL_T_STRING);
    uint64_t value = 0;

    if (r.data != NULL && r.bytes == SAMPLE_R_DIGITS && sl_threshold_scan(r.data, r.bytes, &value) == 0)
        sample->randomness = value;
    if (t.data != NULL && sl_threshold_scan(t.data, t.bytes, &value) == 0 && value < SL_R_LIMIT)
        sample->threshold = value;
    if (view->threshold != NULL && view->threshold[row] > sample->threshold)
        sample->threshold = view->threshold[row];
    if (view->randomness != NULL && view->threshold != NULL && view->threshold[row] > 0)
        sample->randomness = view->randomness[row];
}

/* ---- the stamp ---- */

/* Shortest decimal that reads back. */
static const char *sample_weight(struct sample_stage *stage, uint64_t threshold)
{
    double weight = sl_weight_of_threshold(threshold);

    if (stage->printed_threshold == threshold)
        return stage->printed_weight;
    if (weight < 1e15 && weight == (double)(uint64_t)weight) /* %g would write 1e+01 */
        (void)snprintf(stage->printed_weight, sizeof(stage->printed_weight), "%.0f", weight);
    else
        for (int digits = 1; digits <= 17; digits++) {
            (void)snprintf(stage->printed_weight, sizeof(stage->printed_weight), "%.*g", digits, weight);
            if (strtod(stage->printed_weight, NULL) == weight)
                break;
        }
    stage->printed_threshold = threshold;
    return stage->printed_weight;
}

/* JSON text of one member's value; returns its length. */
static size_t sample_print(struct sample_stage *stage, enum sample_member member, const struct sample_row *sample, char *text)
{
    char hex[15];

    if (member == SAMPLE_W)
        return (size_t)snprintf(text, SAMPLE_VALUE_BYTES, "%s", sample_weight(stage, sample->threshold));
    if (member == SAMPLE_G)
        return (size_t)snprintf(text, SAMPLE_VALUE_BYTES, "%u", sample->group);
    if (member == SAMPLE_R)
        return (size_t)snprintf(text, SAMPLE_VALUE_BYTES, "\"%014llx\"", (unsigned long long)sample->randomness);
    (void)sl_threshold_print(sample->threshold, hex);
    return (size_t)snprintf(text, SAMPLE_VALUE_BYTES, "\"%s\"", hex);
}

static bool sample_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the closing brace of an object stands, and whether a member stands before it. */
static bool sample_brace(struct sl_slice raw, uint32_t *ret_at, bool *ret_member)
{
    uint32_t first = 0, last = raw.bytes, before;

    while (first < raw.bytes && sample_blank(raw.data[first]))
        first++;
    while (last > first && sample_blank(raw.data[last - 1]))
        last--;
    if (last - first < 2 || raw.data[first] != '{' || raw.data[last - 1] != '}')
        return false;
    before = last - 1;
    while (before > first + 1 && sample_blank(raw.data[before - 1]))
        before--;
    *ret_at = last - 1;
    *ret_member = before > first + 1;
    return true;
}

struct sample_stamps {
    struct sl_edit *edits; /* new ones */
    uint32_t count;
    char *text; /* rest of the memory for pastes */
    uint32_t old; /* cursor in the view's edits */
    uint64_t unstamped;
};

static bool sample_is_stamp(struct sl_slice paste)
{
    return paste.bytes > 5 && (memcmp(paste.data, ",\"_w\":", 6) == 0 || memcmp(paste.data, "\"_w\":", 5) == 0);
}

/* An edit of an earlier sampler of this topology at the same place is replaced; *ret_others: another stage adds there. */
static bool sample_replace(struct sl_view *view, const struct sample_stamps *stamps, uint16_t row, struct sl_span cut, bool tail,
                           struct sl_slice paste, bool *ret_others)
{
    for (uint32_t i = stamps->old; i < view->edits_count && view->edits[i].index == row; i++) {
        struct sl_edit *edit = &view->edits[i];
        if (edit->cut.at != cut.at || edit->cut.bytes != cut.bytes)
            continue;
        if (tail && !sample_is_stamp(edit->paste)) {
            *ret_others = true;
            continue;
        }
        if (tail && paste.data[0] != edit->paste.data[0]) { /* same record, so the comma is as it was */
            assert(paste.data[0] == ',');
            paste.data++;
            paste.bytes--;
        }
        edit->paste = paste;
        return true;
    }
    return false;
}

static void sample_add(struct sample_stamps *stamps, uint16_t row, struct sl_span cut, struct sl_slice paste)
{
    stamps->edits[stamps->count++] = (struct sl_edit){row, cut, paste};
}

static void sample_stamp(struct sample_stage *stage, struct sl_view *view, uint16_t row, const struct sample_row *sample,
                         struct sample_stamps *stamps)
{
    const struct sl_decoded *decoded = view->decoded;
    char *text = stamps->text, *tail = text;
    uint32_t at = 0;
    bool member_before = false, others = false;

    while (stamps->old < view->edits_count && view->edits[stamps->old].index < row)
        stamps->old++;
    if (!decoded->json || !sample_brace(sl_view_text(view, row), &at, &member_before)) {
        stamps->unstamped++;
        return;
    }
    for (int member = 0; member < SAMPLE_MEMBERS; member++) {
        int column = stage->member_column[member];
        if (sample_cell(view, column, row, SL_T_NULL).data == NULL)
            continue;
        text += sample_print(stage, (enum sample_member)member, sample, text);
        if (!sample_replace(view, stamps, row, decoded->columns[column].span[row], false,
                            (struct sl_slice){tail, (uint32_t)(text - tail)}, &others))
            sample_add(stamps, row, decoded->columns[column].span[row], (struct sl_slice){tail, (uint32_t)(text - tail)});
        tail = text;
    }
    for (int member = 0; member < SAMPLE_MEMBERS; member++) {
        if (sample_cell(view, stage->member_column[member], row, SL_T_NULL).data != NULL)
            continue;
        *text++ = ',';
        text += sprintf(text, "\"%s\":", sample_keys[member]);
        text += sample_print(stage, (enum sample_member)member, sample, text);
    }
    stamps->text = text;
    if (text > tail && !sample_replace(view, stamps, row, (struct sl_span){at, 0}, true, (struct sl_slice){tail, (uint32_t)(text - tail)}, &others)) {
        if (!member_before && !others)
            tail++;
        sample_add(stamps, row, (struct sl_span){at, 0}, (struct sl_slice){tail, (uint32_t)(text - tail)});
    }
}

/* ---- process ---- */

struct sample_work {
    struct sample_row *rows; /* [batch->count], of kept ones */
    uint8_t *keep;           /* [batch->count] or NULL: keep_where */
    uint64_t *randomness, *threshold;
    uint64_t counts[SAMPLE_C_UNSTAMPED + 1];
};

static int sample_work_init(struct sample_stage *stage, const struct sl_view *view, struct sample_work *work)
{
    struct sl_arena *arena = view->batch->arena;
    size_t count = (size_t)view->batch->count + 1;

    memset(work, 0, sizeof(*work));
    work->rows = sl_arena_alloc(arena, count * sizeof(*work->rows));
    work->randomness = sl_arena_alloc(arena, count * sizeof(uint64_t));
    work->threshold = sl_arena_alloc(arena, count * sizeof(uint64_t));
    work->keep = stage->keep == NULL ? NULL : sl_arena_alloc(arena, count);
    if (work->rows == NULL || work->randomness == NULL || work->threshold == NULL || (stage->keep != NULL && work->keep == NULL))
        return -1;
    memset(work->randomness, 0, count * sizeof(uint64_t));
    memset(work->threshold, 0, count * sizeof(uint64_t));
    if (view->randomness != NULL) /* another branch may share these: they are copied, never written */
        memcpy(work->randomness, view->randomness, view->batch->count * sizeof(uint64_t));
    if (view->threshold != NULL)
        memcpy(work->threshold, view->threshold, view->batch->count * sizeof(uint64_t));
    if (stage->keep != NULL)
        sl_cond_eval(stage->keep, view, work->keep);
    return sample_origin_begin(stage, view->batch->partition);
}

static void sample_decide(struct sample_stage *stage, struct sl_view *view, uint16_t row, struct sample_work *work)
{
    struct sl_slice key = sample_key(stage, view, row);
    struct sample_row *sample = &work->rows[row];
    bool always = work->keep != NULL && work->keep[row];

    if (key.data == NULL || key.bytes == 0) {
        key = sample_origin(stage, view->batch, row);
        work->counts[SAMPLE_C_BY_ORIGIN]++;
    }
    *sample = (struct sample_row){sample_randomness(key), 0, 0};
    sample_incoming(stage, view, row, sample);
    if (!always && sample->threshold < stage->threshold)
        sample->threshold = stage->threshold;
    work->randomness[row] = sample->randomness;
    work->threshold[row] = sample->threshold;
    work->counts[SAMPLE_C_ALWAYS] += always;
    if (!always && !sl_keep(sample->randomness, sample->threshold)) {
        view->fate[row] = SL_SAMPLED;
        work->counts[SAMPLE_C_DROPPED]++;
        return;
    }
    if (stage->config->stamp)
        sample->group = sl_group_of_bytes(key.data, key.bytes);
    work->counts[SAMPLE_C_KEPT]++;
}

/* The view's edits are shared with other branches until written: a copy, before sample_replace writes into them. */
static int sample_own_edits(struct sl_view *view)
{
    struct sl_edit *edits;

    if (view->edits_count == 0)
        return 0;
    edits = sl_arena_alloc(view->batch->arena, view->edits_count * sizeof(*edits));
    if (edits == NULL)
        return -1;
    memcpy(edits, view->edits, view->edits_count * sizeof(*edits));
    view->edits = edits;
    return 0;
}

static int sample_stamp_all(struct sample_stage *stage, struct sl_view *view, struct sample_work *work)
{
    size_t kept = (size_t)work->counts[SAMPLE_C_KEPT], each = stage->config->incoming ? SAMPLE_MEMBERS + 1 : 1;
    struct sample_stamps stamps = {.count = 0};

    if (!stage->config->stamp || kept == 0)
        return 0;
    stamps.edits = sl_arena_alloc(view->batch->arena, kept * each * sizeof(*stamps.edits));
    stamps.text = sl_arena_alloc(view->batch->arena, kept * SAMPLE_STAMP_BYTES + SAMPLE_VALUE_BYTES);
    if (stamps.edits == NULL || stamps.text == NULL || sample_own_edits(view) != 0)
        return -1;
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->fate[view->sel[i]] == SL_LIVE)
            sample_stamp(stage, view, view->sel[i], &work->rows[view->sel[i]], &stamps);
    work->counts[SAMPLE_C_UNSTAMPED] = stamps.unstamped;
    return sl_view_edit(view, stamps.edits, stamps.count);
}

static int sample_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct sample_stage *stage = self;
    struct sample_work work;
    int rc = sample_work_init(stage, view, &work);

    assert(stage->magic == SAMPLE_MAGIC);
    for (uint32_t i = 0; rc == 0 && i < view->sel_count; i++)
        sample_decide(stage, view, view->sel[i], &work);
    if (rc == 0)
        rc = sample_stamp_all(stage, view, &work);
    if (rc != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records does not fit its arena", view->batch->count);
    view->randomness = work.randomness;
    view->threshold = work.threshold;
    for (uint32_t i = 0; stage->api->tally != NULL && i <= SAMPLE_C_UNSTAMPED; i++)
        if (work.counts[i] > 0)
            stage->api->tally(stage->api->env, stage, i, work.counts[i]);
    return 0;
}

/* ---- tables ---- */

static const struct sl_field sample_fields[] = {
    SL_FIELD(sample_config, share, SL_F_SHARE, .flags = SL_F_REQUIRED, .min = "0%", .max = "100%", .help = "Share of records that is kept."),
    SL_FIELD(sample_config, consistent, SL_F_FIELD_NAME, .def = "trace",
             .help = "What is kept or left out as a whole: a role or field; records without it are sampled one by one."),
    SL_FIELD(sample_config, keep_where, SL_F_CONDITION, .help = "Records that meet it are always kept, with the weight they came with."),
    SL_FIELD(sample_config, stamp, SL_F_BOOL, .def = "true", .help = "Add _w (weight), _t (T), _r (R) and _g (group) to what is kept."),
    SL_FIELD(sample_config, incoming, SL_F_BOOL, .def = "true",
             .help = "Honour and replace the stamp of an earlier sampler. Behind `validate: false` it must stand where samplers put "
                     "it, at the record's end."),
    {0},
};

static const struct sl_counter sample_counters[] = {
    [SAMPLE_C_KEPT] = {"kept_total", "records", "Records kept."},
    [SAMPLE_C_DROPPED] = {"dropped_total", "records", "Records left out."},
    [SAMPLE_C_ALWAYS] = {"always_total", "records", "Records kept because of keep_where."},
    [SAMPLE_C_BY_ORIGIN] = {"by_origin_total", "records", "Records without the value that `consistent` names, sampled one by one."},
    [SAMPLE_C_UNSTAMPED] = {"unstamped_total", "records", "Records kept without a stamp, since they are no JSON object."},
    [SAMPLE_C_UNSTAMPED + 1] = {0},
};

static uint32_t sample_flags(const void *config)
{
    return ((const struct sample_config *)config)->stamp ? SL_OP_STAMPS : 0;
}

const struct sl_op_kind sl_op_sample = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "sample",
             .summary = "Keeps a share of the records, whole traces together, each with its weight.",
             .example = "{ type: sample, inputs: [parsed], share: 10%, consistent: trace, keep_where: { level: [error, fatal] } }",
             .fields = sample_fields,
             .config_bytes = sizeof(struct sample_config),
             .self_bytes = sizeof(struct sample_stage),
             .counters = sample_counters,
             .check = sample_check},
    .open = sample_open,
    .process = sample_process,
    .close = sample_close,
    .config_flags = sample_flags,
};
