/* fake_slot.c: a slot for tests of sources.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_slot.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sl_record_hash(struct sl_slice payload)
{
    return XXH3_64bits(payload.data, payload.bytes);
}

static uint64_t fake_now_ns(void *env)
{
    return ((struct fake_slot *)env)->now_ns;
}

static int64_t fake_unix_ms(void *env)
{
    return ((struct fake_slot *)env)->unix_ms;
}

static uint64_t fake_random(void *env)
{
    return ((struct fake_slot *)env)->random += 0x9e3779b97f4a7c15ull;
}

static void fake_submit(void *env, struct sl_job *job)
{
    struct fake_slot *slot = env;
    struct sl_job **end = &slot->jobs;

    while (*end != NULL)
        end = &(*end)->next;
    job->next = NULL;
    *end = job;
}

static void fake_wake(void *env)
{
    struct fake_slot *slot = env;

    (void)pthread_mutex_lock(&slot->lock);
    slot->wakes++;
    (void)pthread_cond_broadcast(&slot->woken);
    (void)pthread_mutex_unlock(&slot->lock);
}

static void fake_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    (void)self;
    assert(counter < 16);
    ((struct fake_slot *)env)->tallies[counter] += by;
}

static void fake_log(void *env, const struct sl_err *err, const char *what)
{
    struct fake_slot *slot = env;

    (void)what;
    slot->logs++;
    (void)snprintf(slot->log_text, sizeof(slot->log_text), "%s", err->text);
}

void fake_slot_init(struct fake_slot *slot, struct sl_fs *fs, const char *data_dir, struct sl_spool *spool)
{
    memset(slot, 0, sizeof(*slot));
    slot->spool = spool;
    slot->now_ns = 1000000000;
    slot->unix_ms = 1790000000000;
    slot->random = (uint64_t)(uintptr_t)slot ^ (uint64_t)getpid();
    slot->api = (struct sl_api){.env = slot, .fs = fs, .now_ns = fake_now_ns, .unix_ms = fake_unix_ms, .random = fake_random,
                                .submit = fake_submit, .wake = fake_wake, .tally = fake_tally, .log = fake_log, .node = "n",
                                .data_dir = data_dir, .topology = "t", .component = "s", .base_dir = data_dir, .epoch = 1,
                                .slot = 0, .slots = 1, .share_bytes = 64 << 20, .max_record_bytes = 1 << 20, .spool = spool};
    (void)pthread_mutex_init(&slot->lock, NULL);
    (void)pthread_cond_init(&slot->woken, NULL);
}

void fake_slot_fini(struct fake_slot *slot)
{
    fake_slot_jobs(slot);
    for (uint32_t i = 0; i < slot->count; i++)
        free(slot->partitions[i]);
    slot->count = 0;
    (void)pthread_cond_destroy(&slot->woken);
    (void)pthread_mutex_destroy(&slot->lock);
}

void fake_slot_jobs(struct fake_slot *slot)
{
    while (slot->jobs != NULL) {
        struct sl_job *job = slot->jobs;
        slot->jobs = job->next;
        job->run(job);
        job->done(job);
    }
}

struct fake_mark *fake_slot_mark(struct fake_slot *slot, const char *id)
{
    for (uint32_t i = 0; i < slot->marks_count; i++)
        if (strcmp(slot->marks[i].id, id) == 0)
            return &slot->marks[i];
    return NULL;
}

int sl_slot_assign(struct sl_slot *opaque, void *source, const char *topic, const char *id, int32_t number,
                   const struct sl_named_mark *marks, uint32_t marks_count, uint64_t start, void *user,
                   struct sl_partition **ret_partition, struct sl_mark *ret_mark, struct sl_err *err)
{
    struct fake_slot *slot = (struct fake_slot *)(void *)opaque;
    struct sl_partition *partition = calloc(1, sizeof(*partition) + strlen(topic) + 1);
    struct fake_mark *mark = fake_slot_mark(slot, id);

    (void)source, (void)marks, (void)marks_count, (void)err;
    assert(slot->count < FAKE_PARTITIONS && partition != NULL);
    *partition = (struct sl_partition){.index = slot->count, .source = "s", .number = number, .user = user};
    partition->topic = strcpy((char *)(partition + 1), topic); /* as the engine: its own copy */
    if (mark != NULL && mark->topic[0] != '\0' && strcmp(mark->topic, topic) != 0)
        mark = NULL; /* and marks are found by topic and id */
    (void)snprintf(partition->id, sizeof(partition->id), "%s", id);
    partition->next = mark != NULL ? mark->mark.next : start;
    if (ret_mark != NULL)
        *ret_mark = mark != NULL ? mark->mark : (struct sl_mark){.next = UINT64_MAX, .last_offset = UINT64_MAX};
    slot->partitions[slot->count++] = partition;
    *ret_partition = partition;
    return 0;
}

uint64_t sl_slot_boundary(const struct sl_slot *opaque, const struct sl_partition *partition, uint64_t after)
{
    const struct fake_slot *slot = (const struct fake_slot *)(const void *)opaque;

    (void)partition;
    return slot->boundary > after ? slot->boundary : UINT64_MAX;
}

void sl_slot_hold(struct sl_slot *opaque, struct sl_partition *partition, const struct sl_err *why)
{
    struct fake_slot *slot = (struct fake_slot *)(void *)opaque;

    slot->holds++;
    (void)snprintf(slot->held_why, sizeof(slot->held_why), "%s", why->text);
    partition->held = slot->held_why;
}

void sl_slot_gap(struct sl_slot *opaque, struct sl_partition *partition, uint64_t to, const char *why)
{
    struct fake_slot *slot = (struct fake_slot *)(void *)opaque;

    slot->gaps++;
    (void)snprintf(slot->gap_why, sizeof(slot->gap_why), "%s", why);
    partition->next = to;
}

void sl_slot_revoke(struct sl_slot *opaque, struct sl_partition *const *partitions, uint32_t count, bool commit,
                    void (*done)(void *user), void *user)
{
    struct fake_slot *slot = (struct fake_slot *)(void *)opaque;

    (void)commit;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t p = 0; p < slot->count; p++)
            if (slot->partitions[p] == partitions[i]) {
                free(slot->partitions[p]);
                slot->partitions[p] = slot->partitions[--slot->count];
            }
    slot->revokes += count;
    done(user);
}

struct sl_spool *sl_slot_spool(struct sl_slot *opaque)
{
    return ((struct fake_slot *)(void *)opaque)->spool;
}

void fake_slot_take(struct fake_slot *slot, const struct sl_batch *batch)
{
    struct sl_partition *partition = batch->partition;
    struct fake_mark *mark = fake_slot_mark(slot, partition->id);
    uint64_t last = 0;

    assert(batch->first == partition->next && batch->next > batch->first); /* rule A2 */
    for (uint32_t i = 0; i < batch->count; i++) {
        assert(batch->offset[i] >= batch->first && batch->offset[i] < batch->next && (i == 0 || batch->offset[i] > last));
        assert(batch->raw[i].data != NULL);
        last = batch->offset[i];
    }
    partition->next = batch->next;
    if (mark == NULL) {
        mark = &slot->marks[slot->marks_count++];
        assert(slot->marks_count <= FAKE_PARTITIONS);
        (void)snprintf(mark->id, sizeof(mark->id), "%s", partition->id);
        (void)snprintf(mark->topic, sizeof(mark->topic), "%s", partition->topic);
        mark->mark.last_offset = UINT64_MAX;
    }
    mark->mark.next = batch->next;
    if (batch->count > 0) {
        mark->mark.last_offset = last;
        mark->mark.last_hash = sl_record_hash(batch->raw[batch->count - 1]);
    }
}

uint64_t fake_slot_wait(struct fake_slot *slot, uint64_t seen)
{
    uint64_t wakes;

    (void)pthread_mutex_lock(&slot->lock);
    while (slot->wakes <= seen)
        (void)pthread_cond_wait(&slot->woken, &slot->lock);
    wakes = slot->wakes;
    (void)pthread_mutex_unlock(&slot->lock);
    return wakes;
}
