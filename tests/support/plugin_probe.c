/* plugin_probe.c: a plugin that says which version it is, and counts in a variable that its other versions have by the same name.
 * Built several times by tests/unit, each with one thing that makes it unfit; test_plugin_load.c writes its versions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/plugin.h"

#include <string.h>

#ifndef PROBE_MAJOR
#define PROBE_MAJOR SL_PLUGIN_MAJOR
#endif
#ifndef PROBE_BYTES
#define PROBE_BYTES sizeof(struct sl_plugin)
#endif

#ifdef PROBE_STATIC_TLS
__attribute__((tls_model("initial-exec"))) _Thread_local int probe_local;
#endif
#ifdef PROBE_THREAD_EXIT
int __cxa_thread_atexit_impl(void (*end)(void *thing), void *thing, void *object);
extern void *__dso_handle;
#endif

struct probe_self {
    char version[32];
    int count;
    unsigned cold;
};

/* Visible, so that versions could be taken for each other. */
int probe_count;
char probe_version[] = "VERSION-00"; /* not const: it is patched after the compiler has seen it */
const unsigned char probe_cold[1 << 18] = {[5] = 1, [(1 << 18) - 1] = 2}; /* pages that are not read before process() */

int probe_next(void);
int probe_next(void)
{
    return ++probe_count;
}

static int probe_process(void *self, struct sl_plugin_view *view, struct sl_plugin_err *err)
{
    struct probe_self *probe = self;
    (void)view;
    (void)err;

#ifdef PROBE_STATIC_TLS
    probe_local++;
#endif
#ifdef PROBE_THREAD_EXIT
    (void)__cxa_thread_atexit_impl(NULL, NULL, &__dso_handle);
#endif
    strncpy(probe->version, probe_version, sizeof(probe->version) - 1);
    probe->count = probe_next();
    for (size_t i = 0; i < sizeof(probe_cold); i++)
        probe->cold += ((const volatile unsigned char *)probe_cold)[i];
    return 0;
}

static const struct sl_plugin probe = {.magic = SL_PLUGIN_MAGIC,
                                       .major = PROBE_MAJOR,
                                       .bytes = PROBE_BYTES,
                                       .name = "probe",
                                       .version = probe_version,
                                       .summary = "Says which version it is.",
                                       .self_bytes = sizeof(struct probe_self),
                                       .process = probe_process};

const struct sl_plugin *sl_plugin(void)
{
    return &probe;
}
