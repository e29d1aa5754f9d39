/* fake_engine.h: what a deployer stands on, as a model: an engine that notes what is live, files that are a name and a digest, a
 * clock that is set by hand. The host's pointer is the model's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_FAKE_ENGINE_H
#define SL_TESTS_SUPPORT_FAKE_ENGINE_H

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/deployer.h"
#include "tests/support/disk.h"

struct fake_file { /* "/src/NAME": what is at that path */
    const char *path;
    uint64_t digest;
};

struct fake_engine {
    struct sl_fs *fs;
    struct fake_file files[8];
    uint64_t now_ns;
    uint32_t live, opened, shadows, canaries, promotes, discards; /* opened: candidates that there are */
    double share;
    bool paused, drained;
    const char *refuse; /* the step that is refused: prepare, promote, shadow, canary */
    void (*at_promote)(struct fake_engine *fake), (*at_prepare)(struct fake_engine *fake);
    struct sl_sides sides;
    struct sl_deploy_counts counts;
};

struct fake_candidate {
    struct sl_topology *from;
    uint32_t number;
};

static inline struct fake_engine *fake_of(struct sl_host *host)
{
    return (struct fake_engine *)(void *)host;
}

static inline struct sl_topology *fake_topology_free(struct sl_topology *topology)
{
    if (topology != NULL) {
        free((void *)(uintptr_t)topology->name);
        free((void *)(uintptr_t)topology->path);
    }
    free(topology);
    return NULL;
}

static inline struct sl_topology *fake_topology(const char *path, uint64_t digest)
{
    struct sl_topology *topology = calloc(1, sizeof(*topology));

    topology->name = strdup("orders");
    topology->path = strdup(path);
    topology->digest = topology->digest_now = digest;
    return topology;
}

static inline int fake_fails(struct fake_engine *fake, const char *step, struct sl_err *err)
{
    if (fake->refuse == NULL || strcmp(fake->refuse, step) != 0)
        return 0;
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "the slot refuses to %s", step);
}

static inline int fake_prepare(struct sl_host *host, struct sl_topology *from, uint32_t number, void (*release)(void *user), void *user,
                               struct sl_candidate **ret_candidate, struct sl_err *err)
{
    struct fake_engine *fake = fake_of(host);
    struct fake_candidate *candidate;
    (void)release;
    (void)user;

    if (fake_fails(fake, "prepare", err) != 0)
        return -(int)err->code;
    if (fake->at_prepare != NULL)
        fake->at_prepare(fake);
    candidate = calloc(1, sizeof(*candidate));
    *candidate = (struct fake_candidate){from, number};
    fake->opened++;
    *ret_candidate = (struct sl_candidate *)(void *)candidate;
    return 0;
}

static inline void fake_end(struct fake_engine *fake, struct sl_candidate *taken)
{
    struct fake_candidate *candidate = (struct fake_candidate *)(void *)taken;

    fake->opened--;
    fake->share = 0;
    (void)fake_topology_free(candidate->from);
    free(candidate);
}

static inline int fake_promote(struct sl_host *host, struct sl_candidate *taken, struct sl_swap_report *ret_report, struct sl_err *err)
{
    struct fake_engine *fake = fake_of(host);
    uint32_t number = ((struct fake_candidate *)(void *)taken)->number;

    fake->promotes++;
    fake_end(fake, taken);
    if (fake->at_promote != NULL)
        fake->at_promote(fake);
    if (fake_fails(fake, "promote", err) != 0)
        return -(int)err->code;
    fake->live = number;
    *ret_report = (struct sl_swap_report){.slots = 2, .wall_ns = 3 * SL_NS_PER_MS};
    return 0;
}

static inline void fake_discard(struct sl_host *host, struct sl_candidate *taken)
{
    fake_of(host)->discards++;
    fake_end(fake_of(host), taken);
}

static inline void fake_number(struct sl_host *host, const char *topology, uint32_t number)
{
    (void)topology;
    fake_of(host)->live = number;
}

static inline int fake_shadow(struct sl_host *host, struct sl_candidate *candidate, const struct sl_expect *expect, struct sl_err *err)
{
    (void)candidate;
    (void)expect;
    fake_of(host)->shadows++;
    return fake_fails(fake_of(host), "shadow", err);
}

static inline int fake_canary(struct sl_host *host, struct sl_candidate *candidate, double share, enum sl_split_by by, struct sl_err *err)
{
    struct fake_engine *fake = fake_of(host);
    (void)candidate;
    (void)by;

    if (fake_fails(fake, "canary", err) != 0)
        return -(int)err->code;
    fake->canaries++;
    fake->share = share;
    memset(&fake->sides.canary, 0, sizeof(fake->sides.canary));
    memset(&fake->sides.baseline, 0, sizeof(fake->sides.baseline));
    return 0;
}

static inline int fake_sides(struct sl_host *host, struct sl_candidate *candidate, struct sl_sides *ret_sides, struct sl_err *err)
{
    (void)candidate;
    (void)err;
    *ret_sides = fake_of(host)->sides;
    return 0;
}

static inline int fake_differences(struct sl_host *host, struct sl_candidate *candidate, struct sl_buf *json, struct sl_err *err)
{
    (void)candidate;
    (void)err;
    sl_buf_printf(json, "{\"differing\":%" PRIu64 "}", fake_of(host)->sides.differing);
    return 0;
}

static inline int fake_pause(struct sl_host *host, const char *topology, bool paused, struct sl_err *err)
{
    (void)topology;
    (void)err;
    fake_of(host)->paused = paused;
    return 0;
}

static inline int fake_drain(struct sl_host *host, const char *topology, struct sl_err *err)
{
    (void)topology;
    (void)err;
    fake_of(host)->drained = true;
    return 0;
}

static inline int fake_counts(struct sl_host *host, const char *topology, struct sl_deploy_counts *ret_counts)
{
    (void)topology;
    *ret_counts = fake_of(host)->counts;
    return 0;
}

static const struct sl_deploy_engine fake_engine_table = {
    .prepare = fake_prepare, .promote = fake_promote, .discard = fake_discard, .number = fake_number, .shadow = fake_shadow,
    .canary = fake_canary, .sides = fake_sides, .differences = fake_differences, .pause = fake_pause, .drain = fake_drain, .counts = fake_counts,
};

/* ---- files ---- */

static inline int fake_load_file(void *user, const char *path, const struct sl_strings *sets, struct sl_diags *diags,
                                 struct sl_topology **ret_topology)
{
    struct fake_engine *fake = user;

    for (int i = 0; i < 8 && fake->files[i].path != NULL; i++)
        if (strcmp(fake->files[i].path, path) == 0) {
            *ret_topology = fake_topology(path, fake->files[i].digest + 1000 * sets->count);
            return 0;
        }
    sl_diags_add(diags, false, path, 3, 5, "write a type", "sinks.landing.type is missing");
    return -(int)SL_E_CONFIG;
}

static inline int fake_load_kept(void *user, const char *dir, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    struct fake_engine *fake = user;
    char path[PATH_MAX], *text = NULL;
    uint64_t digest = 0;
    size_t bytes;

    (void)snprintf(path, sizeof(path), "%s/topology.yaml", dir);
    if (sl_fs_read_file(fake->fs, path, 1000, &text, &bytes) < 0 || sscanf(text, "orders %" SCNu64, &digest) != 1) {
        free(text);
        sl_diags_add(diags, false, path, 1, 1, "restore it", "is damaged");
        return -(int)SL_E_CONFIG;
    }
    free(text);
    *ret_topology = fake_topology(path, digest);
    return 0;
}

static inline int fake_keep(void *user, const struct sl_topology *topology, struct sl_generations *generations, struct sl_generation_row *row,
                            struct sl_err *err)
{
    static const struct sl_generation_file file = {"/data/written", "topology.yaml"};
    struct fake_engine *fake = user;
    char text[64];
    int fd;

    (void)snprintf(text, sizeof(text), "orders %" PRIu64 "\n", topology->digest);
    fd = fake->fs->open(fake->fs, file.from, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -fd, "writing %s: %s", file.from, strerror(-fd));
    (void)sl_fs_write_all(fake->fs, fd, text, strlen(text), 0);
    (void)fake->fs->close(fake->fs, fd);
    return sl_generations_add(generations, &file, 1, row, err);
}

static inline struct sl_deploy_load fake_load(struct fake_engine *fake)
{
    return (struct sl_deploy_load){fake_load_file, fake_load_kept, fake_topology_free, fake_keep, fake};
}

static inline uint64_t fake_now_ns(void *user)
{
    return ((struct fake_engine *)user)->now_ns;
}

static inline int64_t fake_unix_ms(void *user)
{
    return 1700000000000 + (int64_t)(((struct fake_engine *)user)->now_ns / SL_NS_PER_MS);
}

#endif
