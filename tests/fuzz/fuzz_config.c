/* fuzz_config.c: any bytes as a topology's YAML, bound against plausible kinds: refused or
 * accepted, never a crash, and every refusal has a text. The kinds are the unit tests' fakes, so
 * that no file or network is touched. Leading lines "#set PATH=VALUE" are settings said on the command line; what the file is with
 * them is merged with and compared to what it is without.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/config/compare.h"
#include "runtime/config/pool.h"
#include "runtime/config/process.h"
#include "runtime/engine/merge.h"
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

enum { FUZZ_SETS = 8, FUZZ_SET_BYTES = 400 };

struct fuzz_sets {
    char texts[FUZZ_SETS][FUZZ_SET_BYTES];
    const char *items[FUZZ_SETS];
    struct sl_strings strings;
};

static void fuzz_take_sets(const uint8_t *data, size_t bytes, struct fuzz_sets *sets)
{
    uint32_t count = 0;

    while (count < FUZZ_SETS && bytes > 5 && memcmp(data, "#set ", 5) == 0) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t line = end == NULL ? bytes : (size_t)(end - data), taken = line - 5 < FUZZ_SET_BYTES ? line - 5 : FUZZ_SET_BYTES - 1;
        memcpy(sets->texts[count], data + 5, taken);
        sets->texts[count][taken] = '\0';
        sets->items[count] = sets->texts[count];
        count++;
        data += end == NULL ? bytes : line + 1;
        bytes -= end == NULL ? bytes : line + 1;
    }
    sets->strings = (struct sl_strings){sets->items, count};
}

static void fuzz_merge(const struct sl_topology *running, const struct sl_topology *from)
{
    struct sl_merge merge = {NULL, NULL};
    struct sl_err err = {.text = ""};

    if (sl_merge(running, from, &merge, &err) != 0) {
        assert(err.text[0] != '\0');
        return;
    }
    assert(merge.topology->sinks_count == from->sinks_count && merge.topology->components_count >= from->components_count);
    sl_merge_fini(&merge);
}

static void fuzz_compare(const struct sl_topology *a, const struct sl_topology *b)
{
    struct sl_differences differences;
    struct sl_pool pool;

    sl_pool_init(&pool);
    sl_compare_tops(&pool, a, b, &differences);
    for (uint32_t c = 0; c < a->components_count; c++)
        for (uint32_t k = 0; k < b->components_count; k++)
            if (a->components[c].role == b->components[k].role && strcmp(a->components[c].name, b->components[k].name) == 0)
                sl_compare_components(&pool, a, &a->components[c], b, &b->components[k], &differences);
    sl_pool_fini(&pool);
}

static void fuzz_set(const char *path, const uint8_t *data, size_t bytes, const struct sl_topology *plain)
{
    struct sl_topology *topology = NULL;
    struct fuzz_sets sets;
    struct sl_diags diags;

    fuzz_take_sets(data, bytes, &sets);
    if (sets.strings.count == 0)
        return;
    sl_diags_init(&diags);
    fuzz_check(&diags, sl_topology_load_set(path, &sets.strings, &fake_registry, NULL, &diags, &topology));
    if (topology != NULL && plain != NULL) {
        fuzz_merge(plain, topology);
        fuzz_compare(plain, topology);
    }
    (void)sl_topology_free(topology);
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
    fuzz_set(path, data, bytes, topology);
    (void)sl_topology_free(topology);
    sl_diags_init(&diags);
    status = sl_process_load(path, &diags, &process);
    fuzz_check(&diags, status);
    (void)sl_process_free(process);
    (void)close(fd);
    return 0;
}
