/* parse.c: makes fields of payloads: the columns that the stages behind it read, and the roles time, service, level and trace.
 *
 * How payloads are read is the format's affair (formats/format.h): it fills the columns, and whole records as JSON where a stage or
 * sink behind wants them, and sets aside what it cannot read. Here are the settings, the roles and their counters.
 * Rule A5: a time of the record's own counts only within [append - max_age, append + max_future], else the append time does, counted.
 * Memory: all arrays in the batch's arena: 26 bytes a record and projected column, 13 for the roles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/formats/format.h"
#include "operators/stages/stages.h"
#include "runtime/base/intern.h"
#include "runtime/engine/derive.h"
#include "runtime/engine/slot.h"
#include "runtime/json/level.h"
#include "runtime/json/time_format.h"
#include "runtime/json/timestamp.h"

enum { PARSE_MAGIC = 0x70617273, PARSE_SECOND_BYTES = 19, PARSE_NO_COLUMN = -1 };
#define PARSE_NS_PER_MS 1000000ull

enum parse_role { PARSE_TIME = SL_ROLE_TIME, PARSE_SERVICE = SL_ROLE_SERVICE, PARSE_LEVEL = SL_ROLE_LEVEL, PARSE_TRACE = SL_ROLE_TRACE, PARSE_ROLES };
enum parse_counter { PARSE_C_NO_TIME, PARSE_C_IMPLAUSIBLE, PARSE_C_NO_SERVICE, PARSE_C_NO_LEVEL, PARSE_C_MISTYPED };

struct parse_stage {
    uint32_t magic;
    const struct sl_api *api;
    const struct sl_format_config *config;
    struct sl_name role[PARSE_ROLES];
    int role_column[PARSE_ROLES]; /* of a PATH role */
    const struct sl_format_kind *format;
    void *decoder; /* the format's own; NULL: not open */
    void *written; /* of another format than json: reads batches of JSON that stages had written; or NULL */
    bool whole;    /* bodies are made */
    struct sl_time_format *time_format; /* or NULL: no form of the user's own */
    struct sl_intern_cache *services;
    uint32_t *projected; /* columns that this stage fills */
    uint32_t projected_count, columns_count;
    int trace_column;                /* the trace role's own (SL_NAME_TRACE), or PARSE_NO_COLUMN */
    char second[PARSE_SECOND_BYTES]; /* the last one parsed, "2026-11-22T05:14:56" */
    int64_t second_unix_ms;
    bool second_known;
};

/* ---- open ---- */

/* In `record`, a bare name is the payload's own field: `level` means .level. What is known before parsing keeps its @. */
static int parse_role_name(const char *text, const char *setting, struct sl_name *ret_name, struct sl_err *err)
{
    char path[512];
    int rc, bytes = snprintf(path, sizeof(path), "%s%s", text[0] == '.' || text[0] == '@' ? "" : ".", text);

    if (bytes < 0 || (size_t)bytes >= sizeof(path))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "record.%s: the field's name is longer than 500 bytes", setting);
    rc = sl_name_parse(path, ret_name, err);
    return rc < 0 ? sl_while(err, "record.%s", setting) : 0;
}

static const char *parse_or(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static int parse_names(const struct sl_format_config *config, struct sl_name names[PARSE_ROLES], struct sl_err *err)
{
    const struct sl_format_roles *roles = &sl_formats[config->format]->roles, *own = &config->record;
    const char *const texts[PARSE_ROLES] = {parse_or(own->time, roles->time), parse_or(own->service, roles->service),
                                            parse_or(own->level, roles->level), parse_or(own->trace, roles->trace)};
    static const char *const settings[PARSE_ROLES] = {"time", "service", "level", "trace"};
    int rc = 0;

    for (int role = 0; rc == 0 && role < PARSE_ROLES; role++)
        rc = parse_role_name(texts[role], settings[role], &names[role], err);
    if (rc == 0 && names[PARSE_TRACE].kind != SL_NAME_PATH)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "record.trace: %s is no field of the payload; name one, such as trace_id",
                     texts[PARSE_TRACE]);
    for (int role = PARSE_SERVICE; rc == 0 && role <= PARSE_LEVEL; role++)
        if (names[role].kind == SL_NAME_APPEND_TIME)
            rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "record.%s: @time is a time; name a field, @topic, @key or @header:NAME",
                         settings[role]);
    if (rc == 0 && (names[PARSE_TIME].kind == SL_NAME_TOPIC || names[PARSE_TIME].kind == SL_NAME_KEY))
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "record.time: %s is no time; name a field, @time or @header:NAME",
                     texts[PARSE_TIME]);
    return rc;
}

static int parse_check(const void *config, struct sl_err *err)
{
    struct sl_name names[PARSE_ROLES];
    int rc;

    memset(names, 0, sizeof(names));
    rc = parse_names(config, names, err);
    for (int role = 0; role < PARSE_ROLES; role++)
        sl_name_fini(&names[role]);
    return rc == 0 ? sl_format_check(config, err) : rc;
}

static void parse_close(void *self)
{
    struct parse_stage *stage = self;

    if (stage->magic != PARSE_MAGIC)
        return;
    for (int role = 0; role < PARSE_ROLES; role++)
        sl_name_fini(&stage->role[role]);
    if (stage->decoder != NULL)
        stage->format->close(stage->decoder);
    if (stage->written != NULL)
        sl_format_json.close(stage->written);
    stage->time_format = sl_time_format_free(stage->time_format);
    stage->services = sl_intern_cache_free(stage->services);
    free(stage->projected);
    memset(stage, 0, sizeof(*stage));
}

static int parse_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct parse_stage *stage = self;
    int rc;

    memset(stage, 0, sizeof(*stage));
    stage->magic = PARSE_MAGIC;
    stage->api = api;
    stage->config = config;
    stage->format = sl_formats[stage->config->format];
    stage->services = sl_intern_cache_new();
    rc = stage->services == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a parse stage")
                                 : parse_names(config, stage->role, err);
    if (rc == 0 && stage->config->time_format != NULL)
        rc = sl_time_format_new(stage->config->time_format, sl_format_zone(stage->config), &stage->time_format, err);
    for (int role = 0; rc == 0 && role < PARSE_ROLES; role++) {
        stage->role_column[role] = PARSE_NO_COLUMN;
        if (stage->role[role].kind != SL_NAME_PATH)
            continue;
        stage->role_column[role] = names->column(names, &stage->role[role], err);
        rc = stage->role_column[role] < 0 ? stage->role_column[role] : 0;
    }
    if (rc != 0)
        parse_close(stage);
    return rc;
}

/* ---- ready: which columns ---- */

static int parse_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct parse_stage *stage = self;
    struct sl_json_field *fields = calloc((size_t)count + 1, sizeof(*fields));
    uint32_t fields_count = 0;
    int rc = 0;

    assert(stage->magic == PARSE_MAGIC);
    stage->projected = calloc((size_t)count + 1, sizeof(*stage->projected));
    stage->columns_count = names->count(names);
    stage->trace_column = PARSE_NO_COLUMN;
    stage->whole = !stage->format->json && names->is_whole != NULL && names->is_whole(names);
    if (fields == NULL || stage->projected == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", count);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        const struct sl_field_path *path = names->path(names, columns[i]);
        if (path->segments_count == 0) { /* the trace role's own column */
            stage->trace_column = (int)columns[i];
            continue;
        }
        stage->projected[stage->projected_count++] = columns[i];
        fields[fields_count++] = (struct sl_json_field){*path, columns[i]};
    }
    if (rc == 0) {
        struct sl_format_open open = {stage->api, stage->config, fields, fields_count, stage->whole, names};
        rc = stage->format->open(&open, &stage->decoder, err);
        if (rc == 0 && !stage->format->json)
            rc = sl_format_json.open(&open, &stage->written, err);
    }
    free(fields);
    return rc;
}

/* ---- roles ---- */

static struct sl_slice parse_header(const struct sl_batch *batch, uint16_t row, const char *name)
{
    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){NULL, 0};
}

/* What is known of a record before it is parsed; data NULL: nothing. */
static struct sl_slice parse_envelope(const struct sl_name *name, const struct sl_batch *batch, uint16_t row)
{
    switch (name->kind) {
    case SL_NAME_TOPIC:
        return sl_slice_of(batch->partition->topic);
    case SL_NAME_KEY:
        return batch->key != NULL ? batch->key[row] : (struct sl_slice){NULL, 0};
    case SL_NAME_HEADER:
        return parse_header(batch, row, name->header);
    case SL_NAME_PATH:
    case SL_NAME_TIME:
    case SL_NAME_SERVICE:
    case SL_NAME_LEVEL:
    case SL_NAME_TRACE:
    case SL_NAME_CLASS:
    case SL_NAME_APPEND_TIME:
        break;
    }
    return (struct sl_slice){NULL, 0};
}

/* A role's values, as a column wherever they come from, so that where is asked once a batch: value and type of live rows. */
static int parse_cells(const struct parse_stage *stage, enum parse_role role, const struct sl_view *view,
                       const struct sl_column *columns, struct sl_column *ret_cells)
{
    const struct sl_batch *batch = view->batch;
    const struct sl_name *name = &stage->role[role];

    if (name->kind == SL_NAME_PATH) {
        *ret_cells = columns[stage->role_column[role]];
        return 0;
    }
    memset(ret_cells, 0, sizeof(*ret_cells));
    ret_cells->value = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*ret_cells->value));
    ret_cells->type = sl_arena_alloc(batch->arena, (size_t)batch->count + 1);
    if (ret_cells->value == NULL || ret_cells->type == NULL)
        return -1;
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        ret_cells->value[row] = parse_envelope(name, batch, row);
        ret_cells->type[row] = ret_cells->value[row].data != NULL ? SL_T_STRING : SL_T_ABSENT;
    }
    return 0;
}

/* "[.digits]Z" behind the second. *ret_ms: its milliseconds. */
static bool parse_tail(struct sl_slice text, int64_t *ret_ms)
{
    const char *at = text.data + PARSE_SECOND_BYTES, *last = text.data + text.bytes - 1;
    int64_t ms = 0, unit = 100;

    if (*last != 'Z' || at > last)
        return false;
    if (at == last) {
        *ret_ms = 0;
        return true;
    }
    if (*at++ != '.' || at == last)
        return false;
    for (; at < last; at++, unit /= 10) {
        if (*at < '0' || *at > '9')
            return false;
        ms += (*at - '0') * unit;
    }
    *ret_ms = ms;
    return true;
}

/* sl_time_parse, but for records of the second that came last: those differ in their decimals only. */
static int parse_time(struct parse_stage *stage, struct sl_slice text, enum sl_type type, int64_t *ret_unix_ms)
{
    int64_t ms = 0;
    bool tail = type == SL_T_STRING && text.bytes > PARSE_SECOND_BYTES && parse_tail(text, &ms);

    if (tail && stage->second_known && memcmp(text.data, stage->second, PARSE_SECOND_BYTES) == 0) {
        *ret_unix_ms = stage->second_unix_ms + ms;
        return 0;
    }
    if (type != SL_T_STRING && type != SL_T_NUMBER)
        return -1;
    if (sl_time_parse(text, type == SL_T_STRING, ret_unix_ms) != 0)
        return -1;
    if (tail) {
        memcpy(stage->second, text.data, PARSE_SECOND_BYTES);
        stage->second_unix_ms = *ret_unix_ms - ms;
        stage->second_known = true;
    }
    return 0;
}

/* The form that the user gave, else the format's own, else what is known everywhere. */
static int parse_any_time(struct parse_stage *stage, struct sl_slice text, enum sl_type type, int64_t append, int64_t *ret_unix_ms)
{
    if (stage->time_format != NULL)
        return type == SL_T_STRING || type == SL_T_NUMBER ? sl_time_format_read(stage->time_format, text, append, ret_unix_ms) : -1;
    if (stage->format->time != NULL && type == SL_T_STRING && stage->format->time(stage->decoder, text, append, ret_unix_ms) == 0)
        return 0;
    return parse_time(stage, text, type, ret_unix_ms);
}

struct parse_counts {
    uint64_t no_time, implausible, no_service, no_level, mistyped;
};

static void parse_times(struct parse_stage *stage, const struct sl_view *view, const struct sl_column *cells, int64_t *times,
                        struct parse_counts *counts)
{
    int64_t max_age_ms = (int64_t)(stage->config->max_age / PARSE_NS_PER_MS);
    int64_t max_future_ms = (int64_t)(stage->config->max_future / PARSE_NS_PER_MS);

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        int64_t append = times[row], unix_ms = 0;
        if (view->fate[row] != SL_LIVE)
            continue;
        if (parse_any_time(stage, cells->value[row], (enum sl_type)cells->type[row], append, &unix_ms) != 0)
            counts->no_time++;
        else if (append > 0 && (unix_ms < append - max_age_ms || unix_ms > append + max_future_ms))
            counts->implausible++; /* rule A5 */
        else
            times[row] = unix_ms;
    }
}

static void parse_services(struct parse_stage *stage, const struct sl_view *view, const struct sl_column *cells, uint32_t *services,
                           struct parse_counts *counts)
{
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        uint8_t type = cells->type[row];
        if (view->fate[row] != SL_LIVE)
            continue;
        if ((type == SL_T_STRING || type == SL_T_NUMBER) && cells->value[row].bytes > 0)
            services[row] = sl_intern(stage->services, cells->value[row]);
        else
            counts->no_service++;
    }
}

static void parse_levels(const struct sl_view *view, const struct sl_column *cells, uint8_t *levels, struct parse_counts *counts)
{
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        enum sl_level level = SL_LEVEL_NONE;
        if (view->fate[row] != SL_LIVE)
            continue;
        if (sl_level_parse(cells->value[row], (enum sl_type)cells->type[row], &level) != 0)
            counts->no_level++;
        levels[row] = (uint8_t)level;
    }
}

/* ---- process ---- */

static int parse_columns(const struct parse_stage *stage, struct sl_arena *arena, uint32_t count, struct sl_column **ret_columns)
{
    struct sl_column *columns = sl_arena_alloc(arena, ((size_t)stage->columns_count + 1) * sizeof(*columns));

    if (columns == NULL)
        return -1;
    memset(columns, 0, ((size_t)stage->columns_count + 1) * sizeof(*columns));
    for (uint32_t i = 0; i < stage->projected_count; i++) {
        struct sl_column *column = &columns[stage->projected[i]];
        column->value = sl_arena_alloc(arena, ((size_t)count + 1) * sizeof(*column->value));
        column->span = sl_arena_alloc(arena, ((size_t)count + 1) * sizeof(*column->span));
        column->type = sl_arena_alloc(arena, (size_t)count + 1);
        column->repeated = sl_arena_alloc(arena, (size_t)count + 1);
        if (column->value == NULL || column->span == NULL || column->type == NULL || column->repeated == NULL)
            return -1;
        memset(column->type, SL_T_ABSENT, (size_t)count + 1); /* rows that are dropped already are read by nobody, but be sure */
        memset(column->repeated, 0, (size_t)count + 1);
    }
    if (stage->trace_column >= 0 && stage->role_column[PARSE_TRACE] >= 0)
        columns[stage->trace_column] = columns[stage->role_column[PARSE_TRACE]];
    *ret_columns = columns;
    return 0;
}

static int parse_bodies(const struct parse_stage *stage, const struct sl_batch *batch, struct sl_slice **ret_body)
{
    *ret_body = NULL;
    if (!stage->whole)
        return 0;
    *ret_body = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(**ret_body));
    if (*ret_body == NULL)
        return -1;
    memset(*ret_body, 0, ((size_t)batch->count + 1) * sizeof(**ret_body));
    return 0;
}

static void parse_count(const struct parse_stage *stage, const struct parse_counts *counts)
{
    const uint64_t by[] = {counts->no_time, counts->implausible, counts->no_service, counts->no_level, counts->mistyped};

    for (uint32_t i = 0; stage->api->tally != NULL && i < sizeof(by) / sizeof(by[0]); i++)
        if (by[i] > 0)
            stage->api->tally(stage->api->env, stage, i, by[i]);
}

static int parse_roles(struct parse_stage *stage, const struct sl_view *view, const struct sl_format_batch *read,
                       struct sl_decoded *decoded)
{
    const struct sl_batch *batch = view->batch;
    int64_t *times = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*times));
    uint32_t *services = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*services));
    uint8_t *levels = sl_arena_alloc(batch->arena, (size_t)batch->count + 1);
    struct parse_counts counts = {.mistyped = *read->mistyped};
    bool json = stage->format->json || batch->written;
    struct sl_column time, service, level;

    if (times == NULL || services == NULL || levels == NULL || parse_cells(stage, PARSE_TIME, view, read->columns, &time) != 0 ||
        parse_cells(stage, PARSE_SERVICE, view, read->columns, &service) != 0 || parse_cells(stage, PARSE_LEVEL, view, read->columns, &level) != 0)
        return -1;
    memcpy(times, batch->append_unix_ms, batch->count * sizeof(*times)); /* the dead keep their append time, for the account */
    memset(services, 0, batch->count * sizeof(*services));
    memset(levels, 0, batch->count);
    if (stage->role[PARSE_TIME].kind != SL_NAME_APPEND_TIME)
        parse_times(stage, view, &time, times, &counts);
    parse_services(stage, view, &service, services, &counts);
    parse_levels(view, &level, levels, &counts);
    *decoded = (struct sl_decoded){.time_unix_ms = times, .service = services, .level = levels,
                                   .columns = read->columns, .columns_count = stage->columns_count,
                                   .trace = stage->role_column[PARSE_TRACE], .json = json || stage->whole, .foreign = !json,
                                   .body = read->body, .max_age_ms = (int64_t)(stage->config->max_age / PARSE_NS_PER_MS),
                                   .max_future_ms = (int64_t)(stage->config->max_future / PARSE_NS_PER_MS)};
    memcpy(decoded->role_column, stage->role_column, sizeof(decoded->role_column));
    parse_count(stage, &counts);
    return 0;
}

static int parse_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct parse_stage *stage = self;
    struct sl_decoded *decoded = sl_arena_alloc(view->batch->arena, sizeof(*decoded));
    bool written = view->batch->written && stage->written != NULL;
    uint64_t mistyped = 0;
    struct sl_format_batch read = {.view = view, .mistyped = &mistyped};
    int rc = decoded == NULL ? -1 : sl_view_adopt_texts(view); /* what stages before this one wrote is what is read */

    assert(stage->magic == PARSE_MAGIC);
    if (rc == 0)
        rc = parse_columns(stage, view->batch->arena, view->batch->count, &read.columns);
    if (rc == 0)
        rc = written ? 0 : parse_bodies(stage, view->batch, &read.body);
    if (rc == 0)
        rc = written ? sl_format_json.decode(stage->written, &read) : stage->format->decode(stage->decoder, &read);
    if (rc == 0)
        rc = parse_roles(stage, view, &read, decoded);
    if (rc != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records and %u fields does not fit its arena",
                       view->batch->count, stage->projected_count);
    view->decoded = decoded;
    return 0;
}

/* ---- tables ---- */

static const struct sl_field parse_record_fields[] = {
    SL_FIELD(sl_format_roles, time, SL_F_FIELD_NAME, .help = "Field of the record's time, or @time, @header:NAME; default ts (clf, syslog, protobuf: time)."),
    SL_FIELD(sl_format_roles, service, SL_F_FIELD_NAME,
             .help = "Field of the service's name, or @topic, @key, @header:NAME; default service (syslog: app)."),
    SL_FIELD(sl_format_roles, level, SL_F_FIELD_NAME, .help = "Field of the level, or @header:NAME; default level (syslog: severity)."),
    SL_FIELD(sl_format_roles, trace, SL_F_FIELD_NAME, .help = "Field of the trace id; default trace_id."),
    {0},
};

static const struct sl_field parse_fields[] = {
    SL_FIELD(sl_format_config, format, SL_F_ENUM, .def = "json", .values = sl_format_names,
             .help = "json: one JSON value a record. text: the record is the field message. regex: named groups. clf: common and combined log "
                     "format. logfmt: key=value. syslog: RFC 3164 and 5424. csv: RFC 4180. protobuf: one sluice.v1.Envelope a record, as "
                     "codec protobuf writes it."),
    SL_FIELD(sl_format_config, record, SL_F_STRUCT, .sub = parse_record_fields, .help = "Where the roles are found."),
    SL_FIELD(sl_format_config, validate, SL_F_BOOL, .def = "true",
             .help = "json: check that the whole record is JSON; false trusts the sender and reads no further than the last field needed."),
    SL_FIELD(sl_format_config, pattern, SL_F_STRING,
             .help = "regex: a PCRE2 pattern; its named groups, (?<name>...), are the fields."),
    SL_FIELD(sl_format_config, columns, SL_F_STRINGS, .help = "csv: names of the fields, in their order; an empty name skips one."),
    SL_FIELD(sl_format_config, separator, SL_F_STRING, .help = "csv: the one character between fields; default a comma, \"\\t\" is a tab."),
    SL_FIELD(sl_format_config, quote, SL_F_STRING, .help = "csv: the one character around fields that hold separators; default a double quote."),
    SL_FIELD(sl_format_config, types, SL_F_MAP,
             .help = "Fields that are not strings: name to number, bool or string; what is not of its type stays a string, nothing is null."),
    SL_FIELD(sl_format_config, time_format, SL_F_STRING,
             .help = "How the time is written, with strptime's directives, such as \"%d/%b/%Y:%H:%M:%S %z\"; else RFC 3339, epoch, or the format's own."),
    SL_FIELD(sl_format_config, time_zone, SL_F_STRING,
             .help = "Offset of times that name none, such as \"+02:00\"; default UTC."),
    SL_FIELD(sl_format_config, max_age, SL_F_DURATION, .def = "30d", .min = "1s", .max = "36500d",
             .help = "A record's own time may lie this far before its append time; else the append time counts."),
    SL_FIELD(sl_format_config, max_future, SL_F_DURATION, .def = "1h", .min = "0s", .max = "36500d",
             .help = "A record's own time may lie this far after its append time; else the append time counts."),
    {0},
};

static const struct sl_counter parse_counters[] = {
    [PARSE_C_NO_TIME] = {"time_missing_total", "records", "Records without a time that could be read; their append time counts."},
    [PARSE_C_IMPLAUSIBLE] = {"time_implausible_total", "records", "Records whose time is outside max_age and max_future."},
    [PARSE_C_NO_SERVICE] = {"service_missing_total", "records", "Records without a service."},
    [PARSE_C_NO_LEVEL] = {"level_missing_total", "records", "Records without a level that is known."},
    [PARSE_C_MISTYPED] = {"type_mismatch_total", "values", "Values that are not of their type in `types` and stayed strings."},
    [PARSE_C_MISTYPED + 1] = {0},
};

static uint32_t parse_flags(const void *config)
{
    return sl_formats[((const struct sl_format_config *)config)->format]->json ? 0 : SL_OP_FOREIGN;
}

const struct sl_op_kind sl_op_parse = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "parse",
             .summary = "Reads the fields of records: JSON, text, patterns, access logs, logfmt, syslog, CSV, protobuf.",
             .example = "{ type: parse, inputs: [logs], format: json, record: { time: ts, service: service, level: level, trace: trace_id } }",
             .fields = parse_fields,
             .config_bytes = sizeof(struct sl_format_config),
             .self_bytes = sizeof(struct parse_stage),
             .counters = parse_counters,
             .reasons = sl_format_reasons,
             .check = parse_check},
    .open = parse_open,
    .ready = parse_ready,
    .process = parse_process,
    .close = parse_close,
    .flags = SL_OP_PARSES,
    .config_flags = parse_flags,
};
