/* syslog.c: format syslog: RFC 5424, RFC 3164 as it is really written, and the lines of syslog daemons' files, told apart by their beginning.
 *
 *   <34>1 TIME HOST APP PROCID MSGID [ID NAME="VALUE" …] MESSAGE      RFC 5424: `-` is null, a byte order mark before the message is cut off
 *   [<34>]Oct 11 22:14:15 [HOST] APP[PROCID]: MESSAGE                 RFC 3164; with a year or decimals of a second too
 *   [<34>]2026-10-11T22:14:15.003Z HOST APP[PROCID]: MESSAGE          files of rsyslog and others
 *   <34>MESSAGE                                                       anything behind a priority is a message
 * facility and severity are numbers, the rest are strings, structured_data is an object of objects: structured_data.ID.NAME names a field in it.
 * A 3164 time has no year: the latest is taken in which it is not more than a day ahead of the append time; and no zone: `time_zone`.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/fields.h"
#include "operators/stages/formats/syslog_data.h"
#include "runtime/json/time_format.h"

enum syslog_field {
    SYSLOG_FACILITY, SYSLOG_SEVERITY, SYSLOG_TIME, SYSLOG_HOST, SYSLOG_APP, SYSLOG_PROCID, SYSLOG_MSGID, SYSLOG_DATA, SYSLOG_MESSAGE, SYSLOG_FIELDS
};

enum { SYSLOG_FORMS = 4, SYSLOG_WITH_YEAR = 1, SYSLOG_WITH_DECIMALS = 2, SYSLOG_PRIORITY_MAX = 191, SYSLOG_DATE_BYTES = 7 };

static const char *const syslog_names[SYSLOG_FIELDS] = {"facility", "severity", "time", "host", "app", "procid", "msgid", "structured_data", "message"};

struct syslog_format {
    struct sl_format_fields *fields;
    struct sl_time_format *times[SYSLOG_FORMS];
    struct sl_json_decoder *inner; /* of fields in the structured data; NULL: none are asked for */
    uint32_t *inner_columns, inner_count;
    struct sl_format_member members[SYSLOG_FIELDS];
};

struct syslog_walk {
    const char *at, *end;
    struct sl_format_member *members;
    struct sl_arena *arena;
    bool data; /* somebody wants the structured data */
    bool failed; /* over budget */
};

static int syslog_check(const struct sl_format_config *config, struct sl_err *err)
{
    int rc = sl_format_types_check(config, syslog_names, SYSLOG_FIELDS, err);

    return rc == 0 ? sl_format_roles_check(config, syslog_names, SYSLOG_FIELDS, err) : rc;
}

/* ---- open ---- */

static void syslog_close(void *self)
{
    struct syslog_format *syslog = self;

    syslog->fields = sl_format_fields_free(syslog->fields);
    for (int i = 0; i < SYSLOG_FORMS; i++)
        syslog->times[i] = sl_time_format_free(syslog->times[i]);
    syslog->inner = sl_json_decoder_free(syslog->inner);
    free(syslog->inner_columns);
    free(syslog);
}

static int syslog_open_times(struct syslog_format *syslog, const struct sl_format_config *config, struct sl_err *err)
{
    static const char *const forms[SYSLOG_FORMS] = {[0] = "%b %e %H:%M:%S",
                                                    [SYSLOG_WITH_YEAR] = "%b %e %Y %H:%M:%S",
                                                    [SYSLOG_WITH_DECIMALS] = "%b %e %H:%M:%S.%f",
                                                    [SYSLOG_WITH_YEAR | SYSLOG_WITH_DECIMALS] = "%b %e %Y %H:%M:%S.%f"};
    int rc = 0;

    for (int i = 0; rc == 0 && i < SYSLOG_FORMS; i++)
        rc = sl_time_format_new(forms[i], sl_format_zone(config), &syslog->times[i], err);
    return rc;
}

/* Paths that lead into the structured data, without their first segment. */
static int syslog_open_inner(struct syslog_format *syslog, const struct sl_format_open *open, struct sl_err *err)
{
    struct sl_json_field *fields = calloc((size_t)open->fields_count + 1, sizeof(*fields));
    struct sl_json_projection projection = {.fields = fields, .validate = false};
    int rc = 0;

    syslog->inner_columns = calloc((size_t)open->fields_count + 1, sizeof(*syslog->inner_columns));
    if (fields == NULL || syslog->inner_columns == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    for (uint32_t i = 0; rc == 0 && i < open->fields_count; i++) {
        struct sl_json_field field = open->fields[i];
        if (field.path.segments_count < 2 || strcmp(field.path.segments[0], syslog_names[SYSLOG_DATA]) != 0)
            continue;
        field.path.segments++;
        field.path.segments_count--;
        fields[projection.fields_count++] = field;
        syslog->inner_columns[syslog->inner_count++] = field.column;
    }
    if (rc == 0 && syslog->inner_count > 0)
        rc = sl_json_decoder_new(&projection, &syslog->inner, err);
    free(fields);
    return rc;
}

static int syslog_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct syslog_format *syslog = calloc(1, sizeof(*syslog));
    int rc;

    if (syslog == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    rc = sl_format_fields_new(open, syslog_names, SYSLOG_FIELDS, &syslog->fields, err);
    if (rc == 0)
        rc = syslog_open_times(syslog, open->config, err);
    if (rc == 0)
        rc = syslog_open_inner(syslog, open, err);
    if (rc != 0)
        syslog_close(syslog);
    else
        *ret_self = syslog;
    return rc;
}

/* ---- times ---- */

static bool syslog_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Where "Oct 11 [2003 ]22:14:15[.003]" ends, or NULL. */
static const char *syslog_bsd_end(const char *at, const char *end)
{
    static const char shape[] = "00:00:00";
    const char *from = at;

    if (end - at < 15 || at[3] != ' ' || at[6] != ' ' || !syslog_is_digit(at[5]) || !(at[4] == ' ' || syslog_is_digit(at[4])))
        return NULL;
    for (int i = 0; i < 3; i++)
        if ((unsigned char)((at[i] | 0x20) - 'a') > 25)
            return NULL;
    at += SYSLOG_DATE_BYTES;
    if (at[4] == ' ' && end - at >= 13)
        at += 5;
    for (int i = 0; i < 8; i++)
        if (shape[i] == '0' ? !syslog_is_digit(at[i]) : at[i] != shape[i])
            return NULL;
    if (at - from > SYSLOG_DATE_BYTES)
        for (const char *year = from + SYSLOG_DATE_BYTES; year < at - 1; year++)
            if (!syslog_is_digit(*year))
                return NULL;
    at += 8;
    if (end - at > 1 && *at == '.' && syslog_is_digit(at[1]))
        for (at++; at < end && syslog_is_digit(*at);)
            at++;
    return at;
}

/* Where "2026-10-11T22:14:15.003Z" ends, or NULL: what follows the seconds is left to the reader of times. */
static const char *syslog_rfc3339_end(const char *at, const char *end)
{
    static const char shape[] = "0000-00-00T00:00:00";

    if (end - at < (long)sizeof(shape) - 1)
        return NULL;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == '0' ? !syslog_is_digit(at[i]) : at[i] != shape[i])
            return NULL;
    while (at < end && *at != ' ')
        at++;
    return at;
}

static int syslog_time(void *self, struct sl_slice text, int64_t append_unix_ms, int64_t *ret_unix_ms)
{
    struct syslog_format *syslog = self;
    const char *end = text.data + text.bytes;
    int form = 0;

    if (text.bytes < 15 || syslog_bsd_end(text.data, end) != end)
        return -1;
    if (text.data[SYSLOG_DATE_BYTES + 4] == ' ')
        form |= SYSLOG_WITH_YEAR;
    if (memchr(text.data, '.', text.bytes) != NULL)
        form |= SYSLOG_WITH_DECIMALS;
    return sl_time_format_read(syslog->times[form], text, append_unix_ms, ret_unix_ms);
}

/* ---- parts ---- */

static void syslog_set(struct syslog_walk *walk, enum syslog_field field, struct sl_format_value value)
{
    walk->members[field].value = value;
}

static struct sl_format_value syslog_number(struct syslog_walk *walk, uint32_t value)
{
    char *text = sl_arena_alloc(walk->arena, 4), *at = text;

    if (text == NULL) {
        walk->failed = true;
        return sl_format_null();
    }
    if (value >= 10)
        *at++ = (char)('0' + value / 10);
    *at++ = (char)('0' + value % 10);
    return (struct sl_format_value){{text, (uint32_t)(at - text)}, SL_T_NUMBER};
}

/* "<34>". 0, or the reason. */
static uint8_t syslog_priority(struct syslog_walk *walk)
{
    const char *at = walk->at + 1, *from = at;
    uint32_t priority = 0;

    while (at < walk->end && at - from < 3 && syslog_is_digit(*at))
        priority = priority * 10 + (uint32_t)(*at++ - '0');
    if (at == from || at == walk->end || *at != '>' || priority > SYSLOG_PRIORITY_MAX)
        return SL_FORMAT_SYSLOG_PRIORITY;
    syslog_set(walk, SYSLOG_FACILITY, syslog_number(walk, priority >> 3));
    syslog_set(walk, SYSLOG_SEVERITY, syslog_number(walk, priority & 7));
    walk->at = at + 1;
    return 0;
}

static void syslog_message(struct syslog_walk *walk)
{
    if (walk->end - walk->at >= 3 && memcmp(walk->at, "\xEF\xBB\xBF", 3) == 0)
        walk->at += 3;
    syslog_set(walk, SYSLOG_MESSAGE, sl_format_string(walk->at, (size_t)(walk->end - walk->at)));
}

/* A word and the blank behind it; a dash is null. */
static bool syslog_word(struct syslog_walk *walk, enum syslog_field field)
{
    const char *from = walk->at, *to = memchr(from, ' ', (size_t)(walk->end - from));

    if (to == NULL || to == from)
        return false;
    syslog_set(walk, field, to - from == 1 && *from == '-' ? sl_format_null() : sl_format_string(from, (size_t)(to - from)));
    walk->at = to + 1;
    return true;
}

/* ---- RFC 5424 ---- */

static bool syslog_is_5424(const struct syslog_walk *walk)
{
    const char *at = walk->at;

    if (at == walk->end || *at < '1' || *at > '9')
        return false;
    while (at < walk->end && at - walk->at < 3 && syslog_is_digit(*at))
        at++;
    if (walk->end - at < 2 || *at != ' ')
        return false;
    at++; /* a version is followed by a time, or by none */
    return (*at == '-' && (walk->end - at == 1 || at[1] == ' ')) || syslog_rfc3339_end(at, walk->end) != NULL;
}

static uint8_t syslog_data(struct syslog_walk *walk)
{
    struct sl_slice json = {NULL, 0};
    int rc;

    if (walk->at < walk->end && *walk->at == '-') {
        syslog_set(walk, SYSLOG_DATA, sl_format_null());
        walk->at++;
        return 0;
    }
    rc = sl_syslog_data(&walk->at, walk->end, walk->data, walk->arena, &json);
    walk->failed = walk->failed || rc < 0;
    if (rc == 1 && walk->data)
        syslog_set(walk, SYSLOG_DATA, (struct sl_format_value){json, SL_T_OBJECT});
    return rc == 0 ? SL_FORMAT_SYSLOG_DATA : 0;
}

static uint8_t syslog_5424(struct syslog_walk *walk)
{
    uint8_t reason;

    walk->at = (const char *)memchr(walk->at, ' ', (size_t)(walk->end - walk->at)) + 1;
    for (int field = SYSLOG_TIME; field <= SYSLOG_MSGID; field++)
        if (!syslog_word(walk, (enum syslog_field)field))
            return SL_FORMAT_SYSLOG_HEADER;
    if (walk->at == walk->end)
        return SL_FORMAT_SYSLOG_HEADER;
    reason = syslog_data(walk);
    if (reason != 0)
        return reason;
    if (walk->at < walk->end && *walk->at != ' ')
        return SL_FORMAT_SYSLOG_DATA;
    if (walk->at == walk->end)
        return 0; /* no message at all */
    walk->at++;
    syslog_message(walk);
    return 0;
}

/* ---- RFC 3164 ---- */

/* "app[12]" in [from, to). */
static void syslog_app(struct syslog_walk *walk, const char *from, const char *to)
{
    const char *open = to > from && to[-1] == ']' ? memchr(from, '[', (size_t)(to - from)) : NULL;

    if (open != NULL && open > from)
        syslog_set(walk, SYSLOG_PROCID, sl_format_string(open + 1, (size_t)(to - 1 - open - 1)));
    syslog_set(walk, SYSLOG_APP, sl_format_string(from, (size_t)((open != NULL && open > from ? open : to) - from)));
}

/* "app[12]: ", "app: ", "app[12] " or "app:message" at `at`. Without a tag nothing is taken. */
static void syslog_tag(struct syslog_walk *walk)
{
    const char *from = walk->at, *to = memchr(from, ' ', (size_t)(walk->end - from)), *colon;

    to = to == NULL ? walk->end : to;
    colon = memchr(from, ':', (size_t)(to - from));
    if (to > from && to[-1] == ':')
        colon = to - 1;
    if (colon == from || (colon == NULL && (to == from || to[-1] != ']')))
        return;
    if (colon != NULL && colon + 1 < to && colon[1] == '/') /* http://… is no tag */
        return;
    syslog_app(walk, from, colon == NULL ? to : colon);
    walk->at = colon == NULL ? to : colon + 1;
    if (walk->at < walk->end && *walk->at == ' ')
        walk->at++;
}

/* A host, unless the word is a tag already: local sockets are written to without one. */
static void syslog_host(struct syslog_walk *walk)
{
    const char *to = memchr(walk->at, ' ', (size_t)(walk->end - walk->at));

    if (to == NULL || to == walk->at || to[-1] == ':' || to[-1] == ']')
        return;
    (void)syslog_word(walk, SYSLOG_HOST);
}

/* at stands behind the time. */
static void syslog_3164(struct syslog_walk *walk, const char *time_end)
{
    syslog_set(walk, SYSLOG_TIME, sl_format_string(walk->at, (size_t)(time_end - walk->at)));
    walk->at = time_end;
    if (walk->at < walk->end && *walk->at == ' ')
        walk->at++;
    syslog_host(walk);
    syslog_tag(walk);
    syslog_message(walk);
}

/* 0, or the reason. */
static uint8_t syslog_record(struct syslog_walk *walk)
{
    const char *time_end;
    bool priority;

    for (int field = 0; field < SYSLOG_FIELDS; field++)
        walk->members[field] = (struct sl_format_member){.field = field};
    if (walk->at == walk->end)
        return SL_FORMAT_EMPTY;
    priority = *walk->at == '<';
    if (priority && syslog_priority(walk) != 0)
        return SL_FORMAT_SYSLOG_PRIORITY;
    if (priority && syslog_is_5424(walk))
        return syslog_5424(walk);
    time_end = syslog_bsd_end(walk->at, walk->end);
    if (time_end == NULL)
        time_end = syslog_rfc3339_end(walk->at, walk->end);
    if (time_end != NULL)
        syslog_3164(walk, time_end);
    else if (priority)
        syslog_message(walk);
    else
        return SL_FORMAT_SYSLOG_SHAPE;
    return 0;
}

/* ---- decode ---- */

static int syslog_inner(const struct syslog_format *syslog, const struct sl_format_batch *batch, const struct sl_slice *data, const uint32_t *at,
                        const uint16_t *sel, uint32_t sel_count)
{
    struct sl_arena *arena = batch->view->batch->arena;
    uint8_t *verdict = sl_arena_alloc(arena, (size_t)batch->view->batch->count + 1);

    if (verdict == NULL || sl_json_decode(syslog->inner, data, sel, sel_count, batch->columns, verdict, arena) != 0)
        return -1;
    for (uint32_t c = 0; c < syslog->inner_count; c++) {
        struct sl_column *column = &batch->columns[syslog->inner_columns[c]];
        for (uint32_t i = 0; i < sel_count; i++)
            if (column->type[sel[i]] != SL_T_ABSENT)
                column->span[sel[i]].at += at[sel[i]];
    }
    return 0;
}

/* What the rows with structured data leave for the second pass; all NULL where none is wanted. */
struct syslog_later {
    struct sl_slice *data;
    uint32_t *at; /* in the body */
    uint16_t *sel;
    uint32_t count;
};

static int syslog_later_new(const struct syslog_format *syslog, const struct sl_batch *batch, struct syslog_later *later)
{
    if (syslog->inner == NULL)
        return 0;
    later->data = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*later->data));
    later->at = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*later->at));
    later->sel = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*later->sel));
    return later->data == NULL || later->at == NULL || later->sel == NULL ? -1 : 0;
}

static int syslog_row(struct syslog_format *syslog, const struct sl_format_batch *batch, uint16_t row, struct syslog_later *later)
{
    struct syslog_walk walk = {.members = syslog->members, .arena = batch->view->batch->arena,
                               .data = syslog->inner != NULL || sl_format_fields_wanted(syslog->fields, SYSLOG_DATA)};
    const struct sl_format_value *data = &syslog->members[SYSLOG_DATA].value;
    struct sl_slice line, json;
    uint8_t reason;
    bool nested;

    if (sl_format_line(batch, row, &line) != 0)
        return -1;
    walk.at = line.data;
    walk.end = line.data + line.bytes;
    reason = syslog_record(&walk);
    if (walk.failed)
        return -1;
    if (reason != 0) {
        sl_format_dead(batch, row, reason);
        return 0;
    }
    nested = syslog->inner != NULL && data->type == SL_T_OBJECT;
    json = data->text;
    if (sl_format_fields_put(syslog->fields, row, syslog->members, SYSLOG_FIELDS) != 0)
        return -1;
    if (nested) {
        later->data[row] = json;
        later->at[row] = batch->body == NULL ? 0 : sl_format_fields_at(syslog->fields, SYSLOG_DATA);
        later->sel[later->count++] = row;
    }
    return 0;
}

static int syslog_decode(void *self, const struct sl_format_batch *batch)
{
    struct syslog_format *syslog = self;
    const struct sl_view *view = batch->view;
    struct syslog_later later = {NULL, NULL, NULL, 0};

    if (syslog_later_new(syslog, view->batch, &later) != 0)
        return -1;
    sl_format_fields_batch(syslog->fields, batch);
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (syslog_row(syslog, batch, view->sel[i], &later) != 0)
            return -1;
    return later.count == 0 ? 0 : syslog_inner(syslog, batch, later.data, later.at, later.sel, later.count);
}

const struct sl_format_kind sl_format_syslog = {
    .name = "syslog",
    .roles = {"time", "app", "severity", "trace_id"},
    .check = syslog_check,
    .open = syslog_open,
    .decode = syslog_decode,
    .time = syslog_time,
    .close = syslog_close,
};
