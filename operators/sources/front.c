/* front.c: what the sources that append to the spool share; see the header.
 *
 * A pump batch goes round: idle -> (sl_front_take) filled -> (sl_front_send) in flight -> (front_done) idle, or again when its
 * append failed -> (front_again, by the pump's thread) in flight.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/front.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"

#define FRONT_MAGIC 0x54464c31u
#define FRONT_RETRY_NS (20 * SL_NS_PER_MS) /* between two tries of a refused append */

static int front_sync_init(struct sl_front *front)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc == 0)
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_mutex_init(&front->lock, NULL);
    return rc != 0 ? rc : pthread_cond_init(&front->change, &attr);
}

int sl_front_init(struct sl_front *front, const struct sl_api *api, uint64_t partitions, uint32_t batch_bytes,
                  struct sl_err *err)
{
    memset(front, 0, sizeof(*front));
    if (api->spool == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "source %s: this process has no spool", api->component);
    if (asprintf(&front->topic_name, "%s.%s", api->topology, api->component) < 0)
        front->topic_name = NULL;
    front->component = strdup(api->component);
    if (front->topic_name == NULL || front->component == NULL || front_sync_init(front) != 0) {
        free(front->topic_name);
        free(front->component);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    }
    front->magic = FRONT_MAGIC;
    front->batch_bytes = batch_bytes;
    if (sl_spool_topic(api->spool, front->topic_name, (uint32_t)partitions, &front->topic, err) != 0) {
        int rc = sl_while(err, "source %s", api->component);
        sl_front_fini(front);
        return rc;
    }
    front->partitions = sl_spool_partitions(front->topic);
    return 0;
}

static void front_batches_free(struct sl_front_batch *batch)
{
    while (batch != NULL) {
        struct sl_front_batch *next = batch->next;
        free(batch->bytes);
        free(batch->records);
        free(batch);
        batch = next;
    }
}

void sl_front_fini(struct sl_front *front)
{
    if (front->magic != FRONT_MAGIC)
        return;
    assert(front->slots == NULL && front->in_flight == 0);
    front_batches_free(front->idle);
    front_batches_free(front->again);
    (void)pthread_cond_destroy(&front->change);
    (void)pthread_mutex_destroy(&front->lock);
    free(front->topic_name);
    free(front->component);
    memset(front, 0, sizeof(*front));
}

uint32_t sl_front_partition(struct sl_front *front)
{
    uint32_t partition;

    (void)pthread_mutex_lock(&front->lock);
    partition = front->turn++ % front->partitions;
    (void)pthread_mutex_unlock(&front->lock);
    return partition;
}

static void front_wake_slots(struct sl_front *front)
{
    for (struct sl_front_slot *slot = front->slots; slot != NULL; slot = slot->next)
        slot->api->wake(slot->api->env);
}

static void front_trouble_locked(struct sl_front *front, const struct sl_err *err)
{
    if (strcmp(front->trouble.text, err->text) == 0)
        return;
    front->trouble = *err;
    front->troubled = true;
    front_wake_slots(front);
}

void sl_front_trouble(struct sl_front *front, const struct sl_err *err)
{
    (void)pthread_mutex_lock(&front->lock);
    front_trouble_locked(front, err);
    (void)pthread_mutex_unlock(&front->lock);
}

/* ---- the pump ---- */

static void front_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct sl_front_batch *batch = (struct sl_front_batch *)(void *)wait;
    struct sl_front *front = batch->front;

    (void)first_offset;
    (void)pthread_mutex_lock(&front->lock);
    front->in_flight--;
    if (status == 0) {
        batch->next = front->idle;
        front->idle = batch;
    } else {
        struct sl_front_batch **end = &front->again;
        while (*end != NULL)
            end = &(*end)->next;
        batch->next = NULL;
        *end = batch;
        if (err != NULL)
            front_trouble_locked(front, err);
    }
    (void)pthread_cond_broadcast(&front->change);
    if (front->freed != NULL)
        front->freed(front->freed_user);
    (void)pthread_mutex_unlock(&front->lock);
}

/* Waits for a change, at most this long. Under the lock. */
static void front_wait(struct sl_front *front, uint64_t wait_ns)
{
    uint64_t until_ns = sl_clock_now_ns() + wait_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / SL_NS_PER_S), .tv_nsec = (long)(until_ns % SL_NS_PER_S)};

    (void)pthread_cond_timedwait(&front->change, &front->lock, &until);
}

/* 0, or the refusal. The lock is not held: the answer may come at once. */
static int front_append(struct sl_front *front, struct sl_front_batch *batch, struct sl_err *err)
{
    uint32_t partition = sl_front_partition(front);
    int rc;

    (void)pthread_mutex_lock(&front->lock);
    front->in_flight++;
    (void)pthread_mutex_unlock(&front->lock);
    rc = sl_spool_append(front->topic, partition, batch->records, batch->count, &batch->wait, err);
    if (rc == 0)
        return 0;
    (void)pthread_mutex_lock(&front->lock);
    front->in_flight--;
    (void)pthread_mutex_unlock(&front->lock);
    return rc;
}

/* Refusals of a full queue are the ordinary back-pressure; anything else is news. */
static void front_refused(struct sl_front *front, const struct sl_err *err)
{
    (void)pthread_mutex_lock(&front->lock);
    if (err->code != SL_E_LIMIT)
        front_trouble_locked(front, err);
    front_wait(front, FRONT_RETRY_NS);
    (void)pthread_mutex_unlock(&front->lock);
}

static struct sl_front_batch *front_pop(struct sl_front_batch **list)
{
    struct sl_front_batch *batch = *list;

    if (batch != NULL)
        *list = batch->next;
    return batch;
}

/* Sends what failed before once more; a failed disk is asked at a slow beat. */
static void front_again(struct sl_front *front)
{
    struct sl_front_batch *batch;

    (void)pthread_mutex_lock(&front->lock);
    batch = front_pop(&front->again);
    if (batch != NULL)
        front_wait(front, FRONT_RETRY_NS);
    (void)pthread_mutex_unlock(&front->lock);
    if (batch != NULL)
        sl_front_send(front, batch);
}

static void front_give_back(struct sl_front *front, struct sl_front_batch *batch)
{
    (void)pthread_mutex_lock(&front->lock);
    batch->next = front->idle;
    front->idle = batch;
    (void)pthread_mutex_unlock(&front->lock);
}

static void front_set_aside(struct sl_front *front, struct sl_front_batch *batch)
{
    (void)pthread_mutex_lock(&front->lock);
    batch->next = front->again;
    front->again = batch;
    (void)pthread_mutex_unlock(&front->lock);
}

void sl_front_send(struct sl_front *front, struct sl_front_batch *batch)
{
    struct sl_err err;

    if (batch->count == 0) {
        front_give_back(front, batch);
        return;
    }
    while (front_append(front, batch, &err) != 0) {
        front_refused(front, &err);
        if (atomic_load(&front->stop)) { /* sl_front_drain decides */
            front_set_aside(front, batch);
            return;
        }
    }
}

static struct sl_front_batch *front_batch_new(struct sl_front *front)
{
    struct sl_front_batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL)
        return NULL;
    batch->bytes = malloc(front->batch_bytes);
    batch->records = calloc(SL_FRONT_BATCH_RECORDS, sizeof(*batch->records));
    batch->capacity_bytes = front->batch_bytes;
    batch->front = front;
    batch->wait.done = front_done;
    if (batch->bytes == NULL || batch->records == NULL) {
        front_batches_free(batch);
        return NULL;
    }
    return batch;
}

/* An idle batch, or a new one while there are few, or NULL after having waited. Under the lock. */
static struct sl_front_batch *front_obtain(struct sl_front *front)
{
    struct sl_front_batch *batch = front_pop(&front->idle);

    if (batch == NULL && front->batches < SL_FRONT_BATCHES) {
        batch = front_batch_new(front);
        front->batches += batch != NULL;
    }
    if (batch == NULL)
        front_wait(front, FRONT_RETRY_NS);
    return batch;
}

struct sl_front_batch *sl_front_take(struct sl_front *front)
{
    assert(front->magic == FRONT_MAGIC && front->batch_bytes > 0);
    while (!atomic_load(&front->stop)) {
        struct sl_front_batch *batch;

        front_again(front);
        (void)pthread_mutex_lock(&front->lock);
        batch = front_obtain(front);
        (void)pthread_mutex_unlock(&front->lock);
        if (batch != NULL) {
            batch->count = 0;
            batch->used_bytes = 0;
            return batch;
        }
    }
    return NULL;
}

struct sl_front_batch *sl_front_spare(struct sl_front *front)
{
    struct sl_front_batch *batch;

    (void)pthread_mutex_lock(&front->lock);
    batch = front_pop(&front->idle);
    (void)pthread_mutex_unlock(&front->lock);
    if (batch == NULL)
        batch = front_batch_new(front);
    if (batch != NULL) {
        batch->count = 0;
        batch->used_bytes = 0;
    }
    return batch;
}

/* ---- a pump that must not wait ---- */

struct sl_front_batch *sl_front_try(struct sl_front *front, uint32_t spare)
{
    struct sl_front_batch *batch = NULL;
    uint32_t left;

    assert(front->magic == FRONT_MAGIC && front->batch_bytes > 0);
    (void)pthread_mutex_lock(&front->lock);
    left = front->batches < SL_FRONT_BATCHES ? SL_FRONT_BATCHES - front->batches : 0;
    for (const struct sl_front_batch *idle = front->idle; idle != NULL; idle = idle->next)
        left++;
    if (left > spare)
        batch = front_pop(&front->idle);
    if (left > spare && batch == NULL && (batch = front_batch_new(front)) != NULL)
        front->batches++;
    (void)pthread_mutex_unlock(&front->lock);
    if (batch != NULL) {
        batch->count = 0;
        batch->used_bytes = 0;
    }
    return batch;
}

/* 0, or the batch is not taken now. */
static int front_append_told(struct sl_front *front, struct sl_front_batch *batch)
{
    struct sl_err err;

    if (front_append(front, batch, &err) == 0)
        return 0;
    if (err.code != SL_E_LIMIT) /* a full queue is the ordinary back-pressure */
        sl_front_trouble(front, &err);
    return -1;
}

bool sl_front_retry(struct sl_front *front)
{
    for (;;) {
        struct sl_front_batch *batch;

        (void)pthread_mutex_lock(&front->lock);
        batch = front_pop(&front->again);
        (void)pthread_mutex_unlock(&front->lock);
        if (batch == NULL)
            return false;
        if (front_append_told(front, batch) != 0) {
            front_set_aside(front, batch);
            return true;
        }
    }
}

void sl_front_offer(struct sl_front *front, struct sl_front_batch *batch)
{
    struct sl_front_batch **end = &front->again;
    bool behind;

    if (batch->count == 0) {
        front_give_back(front, batch);
        return;
    }
    (void)pthread_mutex_lock(&front->lock);
    behind = front->again != NULL;
    (void)pthread_mutex_unlock(&front->lock);
    if (!behind && front_append_told(front, batch) == 0)
        return;
    (void)pthread_mutex_lock(&front->lock);
    while (*end != NULL)
        end = &(*end)->next;
    batch->next = NULL;
    *end = batch;
    (void)pthread_mutex_unlock(&front->lock);
}

bool sl_front_busy(struct sl_front *front)
{
    bool busy;

    (void)pthread_mutex_lock(&front->lock);
    busy = front->in_flight > 0 || front->again != NULL;
    (void)pthread_mutex_unlock(&front->lock);
    return busy;
}

/* ---- both ---- */

/* Tries left while stopping: a spool that refuses for a second is full or broken. */
enum { FRONT_STOP_TRIES = 50 };

int sl_front_drain(struct sl_front *front)
{
    for (int tries = 0;; tries += atomic_load(&front->stop) != 0) {
        bool flying, failed;

        front_again(front);
        (void)pthread_mutex_lock(&front->lock);
        failed = front->again != NULL;
        flying = front->in_flight > 0;
        if (flying)
            front_wait(front, FRONT_RETRY_NS);
        (void)pthread_mutex_unlock(&front->lock);
        if (!flying && !failed)
            return 0;
        if (flying)
            tries = 0; /* the writer still answers */
        else if (tries >= FRONT_STOP_TRIES)
            break;
    }
    struct sl_err err;
    (void)sl_fail(&err, SL_E_IO, SL_REMEDY_RETRY, 0, "source %s: stopped while the spool took nothing: its last records are lost",
                  front->component);
    sl_front_trouble(front, &err);
    return -1;
}

bool sl_front_sleep(struct sl_front *front, uint64_t wait_ns)
{
    uint64_t until_ns = sl_clock_now_ns() + wait_ns, now_ns;

    (void)pthread_mutex_lock(&front->lock);
    while (!atomic_load(&front->stop) && (now_ns = sl_clock_now_ns()) < until_ns)
        front_wait(front, until_ns - now_ns);
    (void)pthread_mutex_unlock(&front->lock);
    return !atomic_load(&front->stop);
}

void sl_front_stop(struct sl_front *front)
{
    (void)pthread_mutex_lock(&front->lock);
    atomic_store(&front->stop, true);
    (void)pthread_cond_broadcast(&front->change);
    (void)pthread_mutex_unlock(&front->lock);
}

void sl_front_finish(struct sl_front *front)
{
    atomic_store(&front->finished, true);
    (void)pthread_mutex_lock(&front->lock);
    front_wake_slots(front);
    (void)pthread_mutex_unlock(&front->lock);
}

/* ---- slots ---- */

int sl_front_slot_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct sl_front_slot *reader = self;
    struct sl_front *front = api->shared;

    (void)config;
    assert(front != NULL && front->magic == FRONT_MAGIC);
    if (sl_tail_init(&reader->tail, api, slot, self, front->topic, front->topic_name, err) != 0)
        return -(int)err->code;
    reader->api = api;
    reader->front = front;
    (void)pthread_mutex_lock(&front->lock);
    reader->next = front->slots;
    front->slots = reader;
    (void)pthread_mutex_unlock(&front->lock);
    return 0;
}

static void front_slot_tell(struct sl_front_slot *reader)
{
    struct sl_front *front = reader->front;
    struct sl_err err;
    bool news;

    (void)pthread_mutex_lock(&front->lock);
    news = front->troubled;
    front->troubled = false;
    err = front->trouble;
    (void)pthread_mutex_unlock(&front->lock);
    if (news)
        reader->api->log(reader->api->env, &err, front->component);
}

int sl_front_slot_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_front_slot *reader = self;

    front_slot_tell(reader);
    return sl_tail_poll(&reader->tail, batch, err);
}

void sl_front_slot_release(void *self)
{
    (void)self; /* payloads lie in the batch's arena */
}

int sl_front_slot_first(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err)
{
    (void)err;
    sl_tail_first(&((struct sl_front_slot *)self)->tail, partition, ret_first);
    return 0;
}

int sl_front_slot_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    return sl_tail_seek(&((struct sl_front_slot *)self)->tail, partition, next, err);
}

void sl_front_slot_committed(void *self, struct sl_partition *partition, uint64_t next)
{
    sl_tail_committed(&((struct sl_front_slot *)self)->tail, partition, next);
}

int sl_front_slot_fingerprint(void *self, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash)
{
    return sl_tail_fingerprint(&((struct sl_front_slot *)self)->tail, partition, offset, ret_hash);
}

void sl_front_slot_lag(void *self, int64_t *ret_records, int64_t *ret_ms)
{
    sl_tail_lag(&((struct sl_front_slot *)self)->tail, ret_records, ret_ms);
}

int sl_front_slot_at_end(void *self)
{
    struct sl_front_slot *reader = self;

    return atomic_load(&reader->front->finished) && sl_tail_at_end(&reader->tail);
}

void sl_front_slot_pause(void *self, bool paused)
{
    ((struct sl_front_slot *)self)->tail.paused = paused;
}

static void front_leave(struct sl_front_slot *reader)
{
    struct sl_front *front = reader->front;

    (void)pthread_mutex_lock(&front->lock);
    for (struct sl_front_slot **at = &front->slots; *at != NULL; at = &(*at)->next)
        if (*at == reader) {
            *at = reader->next;
            break;
        }
    (void)pthread_mutex_unlock(&front->lock);
}

void sl_front_slot_close(void *self)
{
    struct sl_front_slot *reader = self;

    if (reader->front != NULL)
        front_leave(reader);
    reader->front = NULL;
    sl_tail_fini(&reader->tail);
}
