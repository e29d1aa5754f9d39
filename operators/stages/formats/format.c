/* format.c: the list of formats, their common table of reasons, and which settings belong to which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/formats/format.h"

#include <stddef.h>

#include "runtime/base/utf8.h"
#include "runtime/json/json_text.h"
#include "runtime/json/time_format.h"

const struct sl_format_kind *const sl_formats[] = {&sl_format_json,   &sl_format_text,   &sl_format_regex, &sl_format_clf,
                                                  &sl_format_logfmt, &sl_format_syslog, &sl_format_csv,   &sl_format_protobuf,
                                                  NULL};
const char *const sl_format_names[] = {"json", "text", "regex", "clf", "logfmt", "syslog", "csv", "protobuf", NULL};

const char *const sl_format_reasons[SL_FORMAT_REASONS + 1] = {
    SL_JSON_REASON_ROWS,
    [SL_FORMAT_EMPTY] = "the record is empty",
    [SL_FORMAT_MANY] = "more than 1024 fields in one record",
    [SL_FORMAT_NO_MATCH] = "the pattern does not match",
    [SL_FORMAT_GAVE_UP] = "the pattern was given up: it has too many ways to fail on this record; anchor it, make it less ambiguous",
    [SL_FORMAT_CLF_SHAPE] = "not in common or combined log format: HOST IDENT USER [TIME] \"REQUEST\" STATUS BYTES",
    [SL_FORMAT_CLF_QUOTE] = "not in common or combined log format: a quoted part does not end",
    [SL_FORMAT_CLF_STATUS] = "not in common or combined log format: the status is neither three digits nor -",
    [SL_FORMAT_CLF_BYTES] = "not in common or combined log format: the size is neither a number nor -",
    [SL_FORMAT_LOGFMT_NO_PAIR] = "not logfmt: the record has no key=value pair",
    [SL_FORMAT_LOGFMT_NO_KEY] = "not logfmt: a value without a key",
    [SL_FORMAT_LOGFMT_QUOTE] = "not logfmt: a quoted value does not end",
    [SL_FORMAT_SYSLOG_SHAPE] = "not syslog: it begins neither with a priority, such as <34>, nor with a time",
    [SL_FORMAT_SYSLOG_PRIORITY] = "not syslog: the priority is not a number of 0 to 191 between < and >",
    [SL_FORMAT_SYSLOG_HEADER] = "not syslog: the header of RFC 5424 ends too early",
    [SL_FORMAT_SYSLOG_DATA] = "not syslog: the structured data is not in the form of RFC 5424",
    [SL_FORMAT_CSV_QUOTE] = "not CSV: a quoted field does not end",
    [SL_FORMAT_CSV_BEHIND] = "not CSV: text between a closing quote and the next separator",
    [SL_FORMAT_CSV_FEWER] = "fewer fields than columns",
    [SL_FORMAT_CSV_MORE] = "more fields than columns",
    [SL_FORMAT_PROTOBUF_SHAPE] = "not a sluice.v1.Envelope: the protobuf message is malformed",
    [SL_FORMAT_PROTOBUF_UTF8] = "not a sluice.v1.Envelope: a text is not UTF-8",
    [SL_FORMAT_PROTOBUF_LARGE] = "not a sluice.v1.Envelope: it unpacks to more than 16 times its size",
};

/* ---- settings ---- */

static const char *const format_of_regex[] = {"regex", NULL}, *const format_of_csv[] = {"csv", NULL},
                         *const format_of_json[] = {"json", NULL},
                         *const format_of_fields[] = {"regex", "clf", "logfmt", "syslog", "csv", NULL};

struct format_owner {
    const char *setting;
    bool set;
    const char *const *formats;
};

static bool format_among(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static int format_owners(const struct sl_format_config *config, const char *name, struct sl_err *err)
{
    const struct format_owner owners[] = {
        {"pattern", config->pattern != NULL, format_of_regex},      {"columns", config->columns.count > 0, format_of_csv},
        {"separator", config->separator != NULL, format_of_csv},    {"quote", config->quote != NULL, format_of_csv},
        {"types", config->types.count > 0, format_of_fields},       {"validate", !config->validate, format_of_json},
    };

    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
        if (owners[i].set && !format_among(name, owners[i].formats))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: format %s has no use for it; it belongs to format %s%s",
                           owners[i].setting, name, owners[i].formats[0], owners[i].formats[1] == NULL ? "" : " and others with named fields");
    return 0;
}

static int format_times(const struct sl_format_config *config, struct sl_err *err)
{
    struct sl_time_format *form = NULL;
    int32_t minutes = 0;
    int rc = 0;

    if (config->time_zone != NULL && sl_time_zone_read(config->time_zone, &minutes) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "time_zone: \"%s\" is no offset; write UTC, or one such as \"+02:00\"",
                       config->time_zone);
    if (config->time_format != NULL)
        rc = sl_time_format_new(config->time_format, minutes, &form, err);
    form = sl_time_format_free(form);
    return rc == 0 ? 0 : sl_while(err, "time_format");
}

int32_t sl_format_zone(const struct sl_format_config *config)
{
    int32_t minutes = 0;

    if (config->time_zone != NULL)
        (void)sl_time_zone_read(config->time_zone, &minutes);
    return minutes;
}

int sl_format_check(const struct sl_format_config *config, struct sl_err *err)
{
    const struct sl_format_kind *kind = sl_formats[config->format];
    int rc = format_owners(config, kind->name, err);

    if (rc == 0)
        rc = format_times(config, err);
    return rc != 0 || kind->check == NULL ? rc : kind->check(config, err);
}

int sl_format_utf8(const struct sl_format_batch *batch, struct sl_slice *text)
{
    struct sl_arena *arena = batch->view->batch->arena;
    struct sl_slice quoted, inside;
    char *copy;
    uint32_t bytes = 0;

    if (sl_utf8_valid(*text))
        return 0;
    quoted = sl_json_escape(arena, *text);
    copy = quoted.data == NULL ? NULL : sl_arena_alloc(arena, (size_t)quoted.bytes + SL_PAD);
    if (copy == NULL)
        return -1;
    inside = (struct sl_slice){quoted.data + 1, quoted.bytes - 2};
    (void)sl_json_unescape(inside, copy, &bytes);
    *text = (struct sl_slice){copy, bytes};
    return 0;
}
