/* fuzz_config.c: any bytes as a topology's YAML, bound against plausible kinds: refused or
 * accepted, never a crash, and every refusal has a text. The kinds are the unit tests' fakes, so
 * that no file or network is touched.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/config/process.h"
#include "tests/unit/fake_registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_check(struct sl_diags *diags, int status)
{
    assert((status != 0) == (diags->errors > 0));
    for (uint32_t i = 0; i < diags->count; i++)
        assert(diags->items[i].text != NULL && diags->items[i].text[0] != '\0' &&
               diags->items[i].remedy[0] != '\0');
    sl_diags_fini(diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sl_topology *topology = NULL;
    struct sl_process_config *process = NULL;
    struct sl_diags diags;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC), status;

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    sl_diags_init(&diags);
    status = sl_topology_load(path, &fake_registry, NULL, &diags, &topology);
    fuzz_check(&diags, status);
    (void)sl_topology_free(topology);
    sl_diags_init(&diags);
    status = sl_process_load(path, &diags, &process);
    fuzz_check(&diags, status);
    (void)sl_process_free(process);
    (void)close(fd);
    return 0;
}
