/* diag.c: the list of what is wrong with a configuration.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIAGS_MAX = 1000 }; /* a file with more problems than this is not a configuration */

void sl_diags_init(struct sl_diags *diags)
{
    memset(diags, 0, sizeof(*diags));
}

void sl_diags_fini(struct sl_diags *diags)
{
    for (uint32_t i = 0; i < diags->count; i++) {
        free(diags->items[i].file);
        free(diags->items[i].text);
        free(diags->items[i].remedy);
    }
    free(diags->items);
    memset(diags, 0, sizeof(*diags));
}

static struct sl_diag *diag_append(struct sl_diags *diags)
{
    struct sl_diag *items;

    if (diags->count >= DIAGS_MAX)
        return NULL;
    if ((diags->count & (diags->count - 1)) == 0) {
        items = realloc(diags->items,
                        (diags->count == 0 ? 1 : 2 * (size_t)diags->count) * sizeof(*items));
        if (items == NULL)
            return NULL;
        diags->items = items;
    }
    return &diags->items[diags->count++];
}

void sl_diags_add(struct sl_diags *diags, bool warning, const char *file, uint32_t line,
                  uint32_t column, const char *remedy, const char *format, ...)
{
    struct sl_diag *diag = diag_append(diags);
    va_list args;

    if (!warning)
        diags->errors++; /* counted even where there is no room for its text */
    if (diag == NULL)
        return;
    *diag = (struct sl_diag){.warning = warning, .line = line, .column = column};
    va_start(args, format);
    if (vasprintf(&diag->text, format, args) < 0)
        diag->text = NULL;
    va_end(args);
    diag->file = strdup(file == NULL ? "" : file);
    diag->remedy = strdup(remedy == NULL ? "" : remedy);
}

int sl_diag_print(const struct sl_diag *diag, char *out, size_t bytes)
{
    const char *kind = diag->warning ? "warning" : "error";
    const char *text = diag->text == NULL ? "out of memory" : diag->text;
    const char *remedy = diag->remedy == NULL ? "" : diag->remedy;
    const char *gap = remedy[0] == '\0' ? "" : "\n  ";

    if (diag->line == 0)
        return snprintf(out, bytes, "%s: %s: %s%s%s", diag->file, kind, text, gap, remedy);
    return snprintf(out, bytes, "%s:%u:%u: %s: %s%s%s", diag->file, diag->line, diag->column, kind,
                    text, gap, remedy);
}
