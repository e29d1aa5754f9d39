/* format.c: the list of formats, their common table of reasons, and which settings belong to which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/formats/format.h"

#include <stddef.h>

#include "runtime/base/utf8.h"
#include "runtime/json/json_text.h"
#include "runtime/json/time_format.h"

const struct sl_format_kind *const sl_formats[] = {&sl_format_json, &sl_format_text, NULL};
const char *const sl_format_names[] = {"json", "text", NULL};

const char *const sl_format_reasons[SL_FORMAT_REASONS + 1] = {
    SL_JSON_REASON_ROWS,
    [SL_FORMAT_NONE] = "no reason",
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
