/* err.c: making errors and adding context on their way up.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int sl_fail_at(struct sl_err *err, const char *origin, enum sl_code code, enum sl_remedy remedy, int sys,
               const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        err->code = code;
        err->remedy = remedy;
        err->sys = sys;
        err->origin = origin;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return -(int)code;
}

int sl_while(struct sl_err *err, const char *format, ...)
{
    char context[sizeof(err->text)];
    char whole[2 * sizeof(err->text) + 4];
    va_list args;

    if (err == NULL)
        return -(int)SL_E_IO;
    va_start(args, format);
    (void)vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    (void)snprintf(whole, sizeof(whole), "%s: %s", context, err->text);
    memcpy(err->text, whole, sizeof(err->text) - 1);
    err->text[sizeof(err->text) - 1] = '\0';
    return -(int)err->code;
}

const char *sl_code_name(enum sl_code code)
{
    static const char *const names[] = {"ok", "config", "format", "limit", "io", "broker", "stopped"};
    return (unsigned)code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}
