/* clf.c: format clf: the access logs of Apache and nginx, common and combined, with or without Apache's virtual host in front.
 *
 *   [vhost] remote_addr ident user [time] "request" status bytes ["referer" ["user_agent"]] [extra]
 * request is taken apart into method, target, path (the target up to its ?) and protocol where it has that form. `-` is null. status and bytes are
 * numbers. What follows is kept as it is in `extra`. In quoted parts \" \\ \n \t … and \xHH are resolved (Apache writes them so, nginx \xHH).
 * The user may hold blanks; a first word HOST:PORT before three others is a virtual host.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/fields.h"
#include "runtime/json/time_format.h"

enum clf_field {
    CLF_VHOST, CLF_ADDR, CLF_IDENT, CLF_USER, CLF_TIME, CLF_REQUEST, CLF_METHOD, CLF_TARGET, CLF_PATH, CLF_PROTOCOL, CLF_STATUS, CLF_BYTES,
    CLF_REFERER, CLF_AGENT, CLF_EXTRA, CLF_FIELDS
};

static const char *const clf_names[CLF_FIELDS] = {"vhost",  "remote_addr", "ident", "user",     "time",   "request", "method",     "target",
                                                  "path",   "protocol",    "status", "bytes", "referer", "user_agent", "extra"};

struct clf_format {
    struct sl_format_fields *fields;
    struct sl_time_format *time;
    struct sl_format_member members[CLF_FIELDS];
};

struct clf_walk {
    const char *at, *end;
    const struct sl_format_batch *batch;
    struct sl_format_member *members;
    bool failed; /* over budget */
};

static int clf_check(const struct sl_format_config *config, struct sl_err *err)
{
    int rc = sl_format_types_check(config, clf_names, CLF_FIELDS, err);

    return rc == 0 ? sl_format_roles_check(config, clf_names, CLF_FIELDS, err) : rc;
}

static void clf_close(void *self)
{
    struct clf_format *clf = self;

    clf->fields = sl_format_fields_free(clf->fields);
    clf->time = sl_time_format_free(clf->time);
    free(clf);
}

static int clf_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct clf_format *clf = calloc(1, sizeof(*clf));
    int rc;

    if (clf == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    rc = sl_format_fields_new(open, clf_names, CLF_FIELDS, &clf->fields, err);
    if (rc == 0)
        rc = sl_time_format_new("%d/%b/%Y:%H:%M:%S %z", 0, &clf->time, err);
    if (rc != 0)
        clf_close(clf);
    else
        *ret_self = clf;
    return rc;
}

static int clf_time(void *self, struct sl_slice text, int64_t append_unix_ms, int64_t *ret_unix_ms)
{
    struct clf_format *clf = self;

    return sl_time_format_read(clf->time, text, append_unix_ms, ret_unix_ms);
}

/* ---- parts ---- */

static void clf_set(struct clf_walk *walk, enum clf_field field, struct sl_format_value value)
{
    walk->members[field].value = value;
}

/* A dash is nothing. */
static struct sl_format_value clf_word(const char *from, const char *to)
{
    return to - from == 1 && *from == '-' ? sl_format_null() : sl_format_string(from, (size_t)(to - from));
}

static bool clf_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "host:80", but not "::1". */
static bool clf_is_vhost(const char *from, const char *to)
{
    const char *at = to;

    while (at > from && clf_is_digit(at[-1]))
        at--;
    if (at == to || at - from < 2 || at[-1] != ':')
        return false;
    return at[-2] == ']' || memchr(from, ':', (size_t)(at - 1 - from)) == NULL;
}

/* The words before the time. */
static uint8_t clf_front(struct clf_walk *walk, const char *end)
{
    const char *word[5] = {walk->at};
    uint32_t words = 1;

    for (const char *at = walk->at; words < 4 && (at = memchr(at, ' ', (size_t)(end - at))) != NULL;)
        word[words++] = ++at;
    if (words < 3)
        return SL_FORMAT_CLF_SHAPE;
    words = words == 4 && clf_is_vhost(word[0], word[1] - 1);
    if (words == 1)
        clf_set(walk, CLF_VHOST, clf_word(word[0], word[1] - 1));
    clf_set(walk, CLF_ADDR, clf_word(word[words], word[words + 1] - 1));
    clf_set(walk, CLF_IDENT, clf_word(word[words + 1], word[words + 2] - 1));
    clf_set(walk, CLF_USER, clf_word(word[words + 2], end));
    return 0;
}

/* "10/Oct/2000:13:55:36 -0700]" by its marks; other forms of a time may stand there too. */
static uint8_t clf_when(struct clf_walk *walk)
{
    const char *open = walk->at, *close = NULL;
    uint8_t reason;

    do {
        open = memchr(open, '[', (size_t)(walk->end - open));
        if (open == NULL)
            return SL_FORMAT_CLF_SHAPE;
        close = memchr(open, ']', (size_t)(walk->end - open));
        if (close == NULL)
            return SL_FORMAT_CLF_SHAPE;
        open++;
    } while (open - walk->at < 2 || open[-2] != ' ' || walk->end - close < 3 || close[1] != ' ' || close[2] != '"');
    reason = clf_front(walk, open - 2);
    if (reason != 0)
        return reason;
    clf_set(walk, CLF_TIME, clf_word(open, close));
    walk->at = close + 2;
    return 0;
}

static int clf_hex(char c)
{
    if (clf_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void clf_unescape(struct clf_walk *walk, const char *from, const char *to, struct sl_format_value *value)
{
    static const char letters[] = "nrtbvfa\"\\", meant[] = "\n\r\t\b\v\f\a\"\\";
    char *text = sl_arena_alloc(walk->batch->view->batch->arena, (size_t)(to - from) + SL_PAD), *out = text;

    if (text == NULL) {
        walk->failed = true;
        return;
    }
    while (from < to) {
        const char *letter = *from != '\\' || from + 1 == to ? NULL : memchr(letters, from[1], sizeof(letters) - 1);
        if (letter != NULL) {
            *out++ = meant[letter - letters];
            from += 2;
        } else if (*from == '\\' && to - from >= 4 && from[1] == 'x' && clf_hex(from[2]) >= 0 && clf_hex(from[3]) >= 0) {
            *out++ = (char)(clf_hex(from[2]) * 16 + clf_hex(from[3]));
            from += 4;
        } else {
            *out++ = *from++;
        }
    }
    *value = sl_format_string(text, (size_t)(out - text));
    walk->failed = walk->failed || sl_format_utf8(walk->batch, &value->text) != 0;
}

/* at stands at the opening quote. */
static uint8_t clf_quoted(struct clf_walk *walk, enum clf_field field)
{
    const char *from = walk->at + 1, *at = from;
    bool escapes = false;

    for (; at < walk->end && *at != '"'; at++)
        if (*at == '\\') {
            escapes = true;
            at++;
        }
    if (at >= walk->end)
        return SL_FORMAT_CLF_QUOTE;
    walk->at = at + 1;
    clf_set(walk, field, clf_word(from, at));
    if (escapes)
        clf_unescape(walk, from, at, &walk->members[field].value);
    return 0;
}

/* METHOD TARGET [PROTOCOL], else all three are null: a browser does not write so, a scanner may. */
static void clf_request(struct clf_walk *walk)
{
    const struct sl_format_value *request = &walk->members[CLF_REQUEST].value;
    const char *at = request->text.data, *end = at + request->text.bytes, *target = at, *last, *path;

    for (int field = CLF_METHOD; field <= CLF_PROTOCOL; field++)
        clf_set(walk, (enum clf_field)field, sl_format_null());
    if (request->type != SL_T_STRING)
        return;
    while (target < end && ((*target >= 'A' && *target <= 'Z') || *target == '_' || *target == '-'))
        target++;
    if (target == at || end - target < 2 || *target != ' ')
        return;
    target++;
    last = memrchr(target, ' ', (size_t)(end - target));
    if (last != NULL && end - last > 6 && memcmp(last + 1, "HTTP/", 5) == 0)
        clf_set(walk, CLF_PROTOCOL, sl_format_string(last + 1, (size_t)(end - last - 1)));
    else
        last = end;
    clf_set(walk, CLF_METHOD, sl_format_string(at, (size_t)(target - 1 - at)));
    clf_set(walk, CLF_TARGET, sl_format_string(target, (size_t)(last - target)));
    path = memchr(target, '?', (size_t)(last - target));
    clf_set(walk, CLF_PATH, sl_format_string(target, (size_t)((path == NULL ? last : path) - target)));
}

/* A blank, then digits or a dash, then a blank or the end. */
static bool clf_number(struct clf_walk *walk, enum clf_field field, uint32_t least, uint32_t most)
{
    const char *from = walk->at + 1, *at = from;

    if (walk->end - walk->at < 2 || *walk->at != ' ')
        return false;
    while (at < walk->end && clf_is_digit(*at))
        at++;
    if (at == from && *at == '-')
        clf_set(walk, field, (at++, sl_format_null()));
    else if ((uint32_t)(at - from) < least || (uint32_t)(at - from) > most || (*from == '0' && at - from > 1))
        return false;
    else
        clf_set(walk, field, (struct sl_format_value){{from, (uint32_t)(at - from)}, SL_T_NUMBER});
    walk->at = at;
    return at == walk->end || *at == ' ';
}

static uint8_t clf_tail(struct clf_walk *walk)
{
    for (int field = CLF_REFERER; field <= CLF_AGENT; field++) {
        if (walk->end - walk->at < 2 || walk->at[0] != ' ' || walk->at[1] != '"')
            break;
        walk->at++;
        if (clf_quoted(walk, (enum clf_field)field) != 0)
            return SL_FORMAT_CLF_QUOTE;
    }
    if (walk->at < walk->end && *walk->at == ' ')
        walk->at++;
    if (walk->at < walk->end)
        clf_set(walk, CLF_EXTRA, sl_format_string(walk->at, (size_t)(walk->end - walk->at)));
    return 0;
}

/* 0, or the reason. */
static uint8_t clf_record(struct clf_walk *walk)
{
    uint8_t reason;

    if (walk->at == walk->end)
        return SL_FORMAT_EMPTY;
    for (int field = 0; field < CLF_FIELDS; field++)
        walk->members[field] = (struct sl_format_member){.field = field};
    reason = clf_when(walk);
    if (reason == 0)
        reason = clf_quoted(walk, CLF_REQUEST);
    if (reason != 0)
        return reason;
    clf_request(walk);
    if (!clf_number(walk, CLF_STATUS, 3, 3))
        return SL_FORMAT_CLF_STATUS;
    if (!clf_number(walk, CLF_BYTES, 1, 19))
        return SL_FORMAT_CLF_BYTES;
    return clf_tail(walk);
}

static int clf_decode(void *self, const struct sl_format_batch *batch)
{
    struct clf_format *clf = self;
    const struct sl_view *view = batch->view;

    sl_format_fields_batch(clf->fields, batch);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct clf_walk walk = {.batch = batch, .members = clf->members};
        struct sl_slice line;
        uint8_t reason;
        if (sl_format_line(batch, row, &line) != 0)
            return -1;
        walk.at = line.data;
        walk.end = line.data + line.bytes;
        reason = clf_record(&walk);
        if (walk.failed)
            return -1;
        if (reason != 0)
            sl_format_dead(batch, row, reason);
        else if (sl_format_fields_put(clf->fields, row, clf->members, CLF_FIELDS) != 0)
            return -1;
    }
    return 0;
}

const struct sl_format_kind sl_format_clf = {
    .name = "clf",
    .roles = {"time", "service", "level", "trace_id"},
    .check = clf_check,
    .open = clf_open,
    .decode = clf_decode,
    .time = clf_time,
    .close = clf_close,
};
