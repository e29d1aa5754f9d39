/* mask.c: an operator as a plugin: masks a field of every record, drops records of a level, sets aside those whose field is no text.
 *
 * Built by docs/plugin/CMakeLists.txt against the installed sluice/plugin.h alone. The SL_TRY_ macros make it wrong in one way each,
 * for tests/e2e/plugin.sh.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sluice/plugin.h>
#include <string.h>

struct mask_settings {
    const char *field, *with;
    int drop; /* index into mask_levels */
    uint64_t copies;
};

struct mask {
    const struct sl_plugin_api *api;
    const struct mask_settings *settings;
    struct sl_plugin_slice paste; /* what replaces a value, quoted */
    int column;
    char quoted[128];
};

static const char *const mask_levels[] = {"none", "trace", "debug", "info", "warn", "error", "fatal", NULL};

static const struct sl_plugin_field mask_fields[] = {
    {.name = "field", .type = SL_PLUGIN_FIELD_NAME, .required = 1, .offset = offsetof(struct mask_settings, field),
     .help = "Field that is masked."},
    {.name = "with", .type = SL_PLUGIN_STRING, .offset = offsetof(struct mask_settings, with), .def = "***",
     .help = "What stands there instead."},
    {.name = "drop", .type = SL_PLUGIN_ENUM, .offset = offsetof(struct mask_settings, drop), .def = "none", .values = mask_levels,
     .help = "Level whose records are dropped."},
    {.name = "copies", .type = SL_PLUGIN_U64, .offset = offsetof(struct mask_settings, copies), .def = "0", .min = "0", .max = "10",
     .help = "How many records are derived from each that was masked."},
    {0},
};

static int mask_check(const void *config, struct sl_plugin_err *err)
{
    const struct mask_settings *settings = config;

    if (strlen(settings->with) > 100 || strpbrk(settings->with, "\"\\\n\r\t") != NULL)
        return sl_plugin_fail(err, "with: %.20s... cannot stand in a JSON string as it is; write at most 100 plain characters", settings->with);
    return 0;
}

static int mask_open(void *self, const struct sl_plugin_api *api, const void *config, struct sl_plugin_err *err)
{
    struct mask *mask = self;

    mask->api = api;
    mask->settings = config;
    mask->column = api->column(api->env, mask->settings->field, err);
    if (mask->column < 0)
        return -1;
    mask->paste.data = mask->quoted;
    mask->paste.bytes = (uint32_t)snprintf(mask->quoted, sizeof(mask->quoted), "\"%s\"", mask->settings->with);
    return 0;
}

static int mask_row(const struct mask *mask, struct sl_plugin_view *view, uint16_t row)
{
    const struct sl_plugin_column *column = &view->columns[mask->column];
    static const struct sl_plugin_slice copy = {"{\"copy\":true}", 13};

    if (column->type[row] == SL_PLUGIN_ABSENT || column->type[row] == SL_PLUGIN_NULL)
        return 0;
    if (column->type[row] != SL_PLUGIN_TEXT)
        return mask->api->dead(view, row, "mask: the field is no text");
    for (uint64_t i = 0; i < mask->settings->copies; i++)
        if (mask->api->derive(view, row, copy) != 0)
            return -1;
    return mask->api->edit(view, row, column->span[row], mask->paste);
}

static int mask_process(void *self, struct sl_plugin_view *view, struct sl_plugin_err *err)
{
    const struct mask *mask = self;

    if ((uint32_t)mask->column >= view->columns_count || view->columns[mask->column].type == NULL)
        return 0; /* nothing has parsed these records: they have no fields */
    for (uint32_t i = 0; i < view->rows_count; i++) {
        uint16_t row = view->rows[i];
        if (mask->settings->drop != 0 && view->level != NULL && view->level[row] == mask->settings->drop)
            view->fate[row] = SL_PLUGIN_FILTERED;
        else if (mask_row(mask, view, row) != 0)
            return sl_plugin_fail(err, "memory is short");
    }
    return 0;
}

/* ---- ways to be refused ---- */

#ifdef SL_TRY_NEEDS_SYMBOL
extern int sl_fail_at(void);
int mask_needs(void);
int mask_needs(void)
{
    return sl_fail_at();
}
#endif
#ifndef SL_TRY_MAJOR
#define SL_TRY_MAJOR SL_PLUGIN_MAJOR
#endif
#ifndef SL_TRY_BYTES
#define SL_TRY_BYTES sizeof(struct sl_plugin)
#endif
#ifndef SL_TRY_MAGIC
#define SL_TRY_MAGIC SL_PLUGIN_MAGIC
#endif
#ifndef SL_TRY_PROCESS
#define SL_TRY_PROCESS mask_process
#endif
#ifndef SL_TRY_SETTINGS
#define SL_TRY_SETTINGS sizeof(struct mask_settings)
#endif
#ifndef SL_TRY_NAME
#define SL_TRY_NAME sl_plugin
#endif

static const struct sl_plugin mask_table = {.magic = SL_TRY_MAGIC,
                                            .major = SL_TRY_MAJOR,
                                            .minor = SL_PLUGIN_MINOR,
                                            .bytes = SL_TRY_BYTES,
                                            .flags = SL_PLUGIN_DERIVES,
                                            .name = "mask",
                                            .version = "1.0",
                                            .summary = "Masks a field.",
                                            .fields = mask_fields,
                                            .settings_bytes = SL_TRY_SETTINGS,
                                            .self_bytes = sizeof(struct mask),
                                            .check = mask_check,
                                            .open = mask_open,
                                            .process = SL_TRY_PROCESS};

SL_PLUGIN_EXPORT const struct sl_plugin *SL_TRY_NAME(void);

const struct sl_plugin *SL_TRY_NAME(void)
{
#ifdef SL_TRY_NULL
    return NULL;
#else
    return &mask_table;
#endif
}
