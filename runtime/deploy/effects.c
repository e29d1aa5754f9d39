/* effects.c: see effects.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/effects.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"

enum { EFFECTS_BYTES = 1 << 20 };

static const struct sl_rates effects_unknown = {-1, -1, -1};

static void effects_path(const struct sl_generations *generations, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/effects", generations->dir);
}

/* A verdict is one line of text: line ends are blanks. */
static bool effects_scan(char *line, struct sl_effect *effect)
{
    int at = 0;

    memset(effect, 0, sizeof(*effect));
    if (sscanf(line, "%" SCNu32 " %lf %lf %lf %lf %lf %lf%n", &effect->number, &effect->before.records_per_s, &effect->before.dead_per_s,
               &effect->before.errors_per_s, &effect->after.records_per_s, &effect->after.dead_per_s, &effect->after.errors_per_s,
               &at) != 7)
        return false;
    (void)snprintf(effect->verdict, sizeof(effect->verdict), "%s", line[at] == ' ' ? line + at + 1 : "");
    return true;
}

void sl_effects_load(const struct sl_generations *generations, struct sl_effects *ret_effects)
{
    char path[PATH_MAX], *text = NULL, *save = NULL;
    size_t bytes = 0;

    memset(ret_effects, 0, sizeof(*ret_effects));
    effects_path(generations, path);
    if (sl_fs_read_file(generations->fs, path, EFFECTS_BYTES, &text, &bytes) < 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line != NULL && ret_effects->count < SL_GENERATIONS_KEPT; line = strtok_r(NULL, "\n", &save))
        if (effects_scan(line, &ret_effects->items[ret_effects->count]))
            ret_effects->count++;
    free(text);
}

static void effects_prune(const struct sl_generations *generations, struct sl_effects *effects)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < effects->count; i++)
        if (sl_generations_find(generations, effects->items[i].number) != NULL)
            effects->items[kept++] = effects->items[i];
    effects->count = kept;
}

int sl_effects_save(const struct sl_generations *generations, struct sl_effects *effects, struct sl_err *err)
{
    struct sl_buf text = {0};
    char path[PATH_MAX];
    int rc;

    effects_prune(generations, effects);
    for (uint32_t i = 0; i < effects->count; i++) {
        struct sl_effect *effect = &effects->items[i];
        for (char *c = effect->verdict; *c != '\0'; c++)
            *c = *c == '\n' ? ' ' : *c;
        sl_buf_printf(&text, "%" PRIu32 " %.6g %.6g %.6g %.6g %.6g %.6g %s\n", effect->number, effect->before.records_per_s,
                      effect->before.dead_per_s, effect->before.errors_per_s, effect->after.records_per_s, effect->after.dead_per_s,
                      effect->after.errors_per_s, effect->verdict);
    }
    effects_path(generations, path);
    rc = sl_buf_failed(&text) ? -ENOMEM : sl_fs_replace_file(generations->fs, path, sl_buf_str(&text), text.bytes);
    sl_buf_fini(&text);
    return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s", path, strerror(-rc)) : 0;
}

struct sl_effect *sl_effects_of(struct sl_effects *effects, uint32_t number)
{
    for (uint32_t i = 0; i < effects->count; i++)
        if (effects->items[i].number == number)
            return &effects->items[i];
    if (effects->count == SL_GENERATIONS_KEPT) /* more than are kept: the oldest one's generation is gone */
        memmove(&effects->items[0], &effects->items[1], --effects->count * sizeof(effects->items[0]));
    effects->items[effects->count] = (struct sl_effect){.number = number, .before = effects_unknown, .after = effects_unknown};
    return &effects->items[effects->count++];
}
