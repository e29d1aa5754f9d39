/* front_rig.h: a real spool in a temporary folder and a fake slot on it, for tests of the sources that go through the spool.
 * Include after fake_slot.c. The writer's pace is real, so waits are for events, never for times.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_FRONT_RIG_H
#define SL_TESTS_SUPPORT_FRONT_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/store/spool.h"
#include "tests/support/fake_slot.h"

struct front_rig {
    char dir[64];
    struct sl_fs *fs; /* of the spool; a test may put faults before it is opened again */
    struct sl_spool_settings settings;
    struct sl_spool *spool;
    struct fake_slot slot;
    struct sl_arena arena;
    struct sl_batch batch;
    const struct sl_source_kind *kind;
    void *self, *config;
};

static int64_t rig_unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static uint64_t rig_now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

static void rig_spool_open(struct front_rig *rig)
{
    struct sl_err err;
    char dir[96];

    (void)snprintf(dir, sizeof(dir), "%s/spool", rig->dir);
    if (sl_spool_open(rig->fs, dir, &rig->settings, &rig->spool, &err) != 0)
        fail_msg("%s", err.text);
}

static void rig_init(struct front_rig *rig, const struct sl_source_kind *kind)
{
    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-front-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    rig->kind = kind;
    rig->settings = (struct sl_spool_settings){.segment_bytes = 1 << 20, .hold_bytes = 1ull << 30, .fsync = SL_SPOOL_EACH,
                                               .append_queue_bytes = 32 << 20, .unix_ms = rig_unix_ms, .now_ns = rig_now_ns};
    rig->fs = sl_fs_posix();
    rig_spool_open(rig);
    fake_slot_init(&rig->slot, sl_fs_posix(), rig->dir, rig->spool);
    rig->config = calloc(1, kind->head.config_bytes);
    assert_int_equal(sl_arena_init(&rig->arena, 1 << 20, 64 << 20), 0);
}

/* A setting by its name in the kind's own rows; "tls.key" descends. */
static void rig_set(struct front_rig *rig, const char *name, const void *value, size_t bytes)
{
    const char *dot = strchr(name, '.');
    size_t base = 0;
    const struct sl_field *f = rig->kind->head.fields;

    for (; f->name != NULL; f++) {
        if (dot != NULL && strncmp(f->name, name, (size_t)(dot - name)) == 0 && f->sub != NULL) {
            base = f->offset;
            name = dot + 1;
            dot = NULL;
            f = f->sub - 1;
        } else if (strcmp(f->name, name) == 0) {
            memcpy((char *)rig->config + base + f->offset, value, bytes);
            return;
        }
    }
    fail_msg("no setting %s", name);
}

static void __attribute__((unused)) rig_set_u64(struct front_rig *rig, const char *name, uint64_t value)
{
    rig_set(rig, name, &value, sizeof(value));
}

static void __attribute__((unused)) rig_set_text(struct front_rig *rig, const char *name, const char *value)
{
    rig_set(rig, name, &value, sizeof(value));
}

static void rig_open(struct front_rig *rig)
{
    struct sl_err err = {.text = ""};

    rig->slot.spool = rig->slot.api.spool = rig->spool;
    if (rig->kind->head.check != NULL && rig->kind->head.check(rig->config, &err) != 0)
        fail_msg("%s", err.text);
    if (rig->kind->head.share != NULL && rig->kind->head.share(&rig->slot.api, rig->config, &rig->slot.api.shared, &err) != 0)
        fail_msg("%s", err.text);
    rig->self = calloc(1, rig->kind->head.self_bytes);
    if (rig->kind->open(rig->self, &rig->slot.api, rig->config, (struct sl_slot *)&rig->slot, &err) != 0)
        fail_msg("%s", err.text);
}

static void rig_close(struct front_rig *rig)
{
    rig->kind->close(rig->self);
    fake_slot_jobs(&rig->slot);
    if (rig->kind->head.unshare != NULL)
        rig->kind->head.unshare(rig->slot.api.shared);
    free(rig->self);
    for (uint32_t i = 0; i < rig->slot.count; i++)
        free(rig->slot.partitions[i]);
    rig->slot.count = 0;
}

static void rig_fini(struct front_rig *rig)
{
    char command[128];

    rig->spool = sl_spool_close(rig->spool);
    fake_slot_fini(&rig->slot);
    sl_arena_fini(&rig->arena);
    free(rig->config);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
}

static int rig_poll(struct front_rig *rig)
{
    struct sl_err err = {.text = ""};
    int got;

    sl_arena_reset(&rig->arena);
    memset(&rig->batch, 0, sizeof(rig->batch));
    rig->batch.arena = &rig->arena;
    got = rig->kind->poll(rig->self, &rig->batch, &err);
    if (got < 0)
        fail_msg("%s", err.text);
    if (got == 1)
        fake_slot_take(&rig->slot, &rig->batch);
    return got;
}

/* The next batch, waited for. */
static void __attribute__((unused)) rig_next(struct front_rig *rig)
{
    uint64_t seen;

    (void)pthread_mutex_lock(&rig->slot.lock);
    seen = rig->slot.wakes;
    (void)pthread_mutex_unlock(&rig->slot.lock);
    while (rig_poll(rig) == 0)
        seen = fake_slot_wait(&rig->slot, seen);
}

#endif
