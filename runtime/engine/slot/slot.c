/* slot.c: the life of a slot: open, turn by turn, drain, free.
 *
 * States:  RUNNING --sl_slot_drain, or every source at its end--> DRAINING --everything committed--> ENDED
 *          RUNNING, DRAINING --sl_slot_fail--> FAILED (nothing more is committed; partitions are given up uncommitted)
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/trial.h"

enum { SLOT_ARENA_FIRST = 2 << 20 };
#define SLOT_FAULT_NS (10000 * 1000000ull) /* so long it waits for another version */

/* ---- what instances may ask ---- */

static struct sl_slot_component *slot_component(void *env)
{
    return env;
}

static uint64_t slot_api_now(void *env)
{
    const struct sl_slot_component *component = env;
    const struct sl_env *outer = &component->slot->env;

    return component->apart ? outer->now_ns(outer->user) : component->slot->now_ns;
}

static int64_t slot_api_unix(void *env)
{
    const struct sl_env *outer = &slot_component(env)->slot->env;
    return outer->unix_ms(outer->user);
}

static uint64_t slot_api_random(void *env)
{
    const struct sl_env *outer = &slot_component(env)->slot->env;
    return outer->random(outer->user);
}

static int slot_api_http(void *env, struct sl_http_request *request, struct sl_err *err)
{
    struct sl_slot *slot = slot_component(env)->slot;

    if (slot->env.http == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "%s: no network in this process", request->url);
    return slot->env.http(slot->env.user, request, err);
}

static void slot_api_http_cancel(void *env, struct sl_http_request *request)
{
    struct sl_slot *slot = slot_component(env)->slot;

    slot->env.http_cancel(slot->env.user, request);
}

static void slot_api_submit(void *env, struct sl_job *job)
{
    const struct sl_env *outer = &slot_component(env)->slot->env;
    outer->submit(outer->user, job);
}

static void slot_api_wake(void *env)
{
    const struct sl_env *outer = &slot_component(env)->slot->env;
    outer->wake(outer->user);
}

static void slot_api_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    struct sl_slot_component *component = env;
    (void)self;
    assert(counter < SL_COUNTERS_MAX);
    component->counts.counters[counter] += by;
}

static void slot_api_observe(void *env, uint64_t ns)
{
    struct sl_slot_component *component = env;
    uint32_t at = 0;

    while (at < SL_LATENCY_BOUNDS && ns > sl_latency_bounds_ns[at])
        at++;
    component->counts.latency[at]++;
    component->counts.latency_sum_ns += ns;
}

static void slot_api_log(void *env, const struct sl_err *err, const char *what)
{
    sl_slot_log(slot_component(env)->slot, err, what);
}

void sl_slot_log(struct sl_slot *slot, const struct sl_err *err, const char *what)
{
    if (slot->env.log != NULL)
        slot->env.log(slot->env.user, slot->topology->name, err, what);
}

void sl_slot_fail(struct sl_slot *slot, const struct sl_err *err)
{
    if (slot->state == SL_SLOT_FAILED || slot->faulted)
        return;
    slot->failure = *err;
    if (slot->state == SL_SLOT_RUNNING && err->remedy != SL_REMEDY_FENCE && atomic_load(&slot->shared->fallback)) {
        slot->faulted = true;
        slot->fault_ns = slot->now_ns;
        sl_slot_log(slot, err, "nothing is read, for the version before it to take over");
        slot->env.wake(slot->env.user);
        return;
    }
    slot->state = SL_SLOT_FAILED;
    sl_slot_log(slot, err, "stopped");
}

static void slot_wake_at(const struct sl_slot *slot, uint64_t *wake_ns, uint64_t at_ns)
{
    uint64_t left = at_ns > slot->now_ns ? at_ns - slot->now_ns : 0;

    *wake_ns = left < *wake_ns ? left : *wake_ns;
}

/* Nobody has put another version in. */
static void slot_fault_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    if (slot->now_ns - slot->fault_ns < SLOT_FAULT_NS) {
        slot_wake_at(slot, wake_ns, slot->fault_ns + SLOT_FAULT_NS);
        return;
    }
    slot->faulted = false;
    slot->state = SL_SLOT_FAILED;
    sl_slot_log(slot, &slot->failure, "stopped");
}

struct sl_klog *sl_slot_klog(struct sl_slot *slot)
{
    return slot->env.klog;
}

const struct sl_topology *sl_slot_topology(const struct sl_slot *slot)
{
    return __atomic_load_n(&slot->topology, __ATOMIC_ACQUIRE); /* also asked from jobs, while a swap puts the next one there */
}

struct sl_spool *sl_slot_spool(struct sl_slot *slot)
{
    return slot->shared->spool;
}

const char *sl_slot_commit_topic(const struct sl_slot *slot)
{
    return slot->topology->commit_topic;
}

const char *sl_slot_group(const struct sl_slot *slot)
{
    return slot->group != NULL ? slot->group : slot->topology->name;
}

uint64_t sl_slot_flush_number(struct sl_slot *slot)
{
    uint64_t count = atomic_fetch_add((_Atomic uint64_t *)slot->shared->flush_number, 1);

    return (uint64_t)slot->shared->epoch << 32 | (count & UINT32_MAX);
}

void sl_slot_want_flush(struct sl_slot *slot, void *self)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].now.self == self)
            slot->sinks[s].want_flush = true; /* of one that leaves it is due anyway */
}

/* ---- open ---- */

static uint32_t slot_sinks_flushed(const struct sl_slot *slot)
{
    uint32_t count = 0;

    for (uint32_t s = 0; s < slot->sinks_count; s++)
        count += slot->sinks[s].now.kind != NULL && slot->sinks[s].now.flushed;
    return count;
}

/* The memory of one instance (DESIGN.md 4.7): source queues 40 %, lanes and sink buffers 30 %, batches 20 %, the rest tables. */
static uint64_t slot_share(const struct sl_slot *slot, const struct sl_topology *topology, const struct sl_component *component)
{
    uint64_t slot_bytes = slot->shared->memory_bytes / slot->shared->slots;

    switch (component->role) {
    case SL_SOURCE:
        return slot_bytes * 40 / 100 / topology->sources_count;
    case SL_SINK:
        return slot_bytes * 30 / 100 / topology->sinks_count /
               (component->sink.when_full == SL_FULL_SPOOL ? 3 : 1); /* the rest is its queue's */
    case SL_OPERATOR:
        return slot_bytes * 10 / 100 / topology->operators_count;
    case SL_PAST:
    case SL_GONE:
        return 0;
    }
    return 0;
}

struct sl_slot_component *sl_slot_component_new(struct sl_slot *slot, const struct sl_topology *topology, uint32_t index, void *component_shared)
{
    struct sl_slot_component *component = calloc(1, sizeof(*component));
    const struct sl_shared *shared = slot->shared;
    const struct sl_component *conf;

    if (component == NULL)
        return NULL;
    component->slot = slot;
    component->index = index;
    component->apart = true;
    component->conf = topology->components[index];
    component->conf.inputs = NULL;
    component->conf.inputs_count = 0;
    conf = &component->conf;
    component->api = (struct sl_api){
        .env = component,
        .fs = slot->env.fs,
        .now_ns = slot_api_now,
        .unix_ms = slot_api_unix,
        .random = slot_api_random,
        .submit = slot_api_submit,
        .http = slot_api_http,
        .http_cancel = slot_api_http_cancel,
        .wake = slot_api_wake,
        .tally = slot_api_tally,
        .observe = slot_api_observe,
        .log = slot_api_log,
        .node = shared->node,
        .data_dir = shared->data_dir,
        .topology = topology->name,
        .component = conf->name,
        .base_dir = topology->base_dir,
        .epoch = shared->epoch,
        .slot = shared->replay && conf->role == SL_SOURCE ? 0 : slot->index, /* letters have one reader */
        .slots = shared->replay && conf->role == SL_SOURCE ? 1 : shared->slots,
        .share_bytes = slot_share(slot, topology, conf),
        .max_record_bytes = shared->max_record_bytes,
        .common = conf->role == SL_SINK ? &conf->sink : NULL,
        .shared = component_shared,
        .spool = shared->spool,
    };
    return component;
}

static int slot_open(struct sl_slot *slot, struct sl_err *err)
{
    const struct sl_topology *topology = slot->topology;
    struct sl_plan *plan;
    bool kafka = false, own = false;
    uint64_t wake_ns;

    slot->account = sl_account_new();
    if (slot->account == NULL || sl_ledger_init(&slot->ledger) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (topology->components[c].role != SL_SOURCE)
            continue;
        if (((const struct sl_source_kind *)topology->components[c].head)->flags & SL_SOURCE_KAFKA)
            kafka = true;
        else
            own = true;
    }
    if (kafka && own)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "topology %s: kafka sources and sources of this process cannot be committed together; make it two topologies",
                       topology->name);
    if (slot->shared->replay && (slot->replay = calloc(1, sizeof(*slot->replay))) == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
    plan = sl_plan_new(slot, topology, slot->shared->component_shared, NULL, NULL, slot->shared->generation, err);
    if (plan == NULL || sl_slot_start(slot, plan, err) != 0)
        return -(int)err->code;
    if (!slot->shared->replay)
        sl_slot_queues_look(slot);
    if (!kafka) {
        slot->domain = sl_domain_local_new(slot->shared->commit_log);
        if (slot->domain == NULL || sl_slot_recover_start(slot, err) != 0)
            return slot->domain == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name)
                                        : -(int)err->code;
    }
    return sl_slot_sources_turn(slot, true, &wake_ns, err);
}

void sl_slot_use_consumer(struct sl_slot *slot, struct sl_klog *log, const struct sl_connection *connection,
                          struct sl_klog_consumer *consumer, const char *group)
{
    char id[700];
    bool transactional = slot->topology->commit_mode == SL_COMMIT_TRANSACTION ||
                         (slot->topology->commit_mode == SL_COMMIT_AUTO && slot_sinks_flushed(slot) > 0);
    uint64_t every_ms = slot->topology->commit_every_ns / 1000000ull;
    uint32_t timeout_ms = 10000;

    for (uint32_t s = 0; s < slot->sinks_count; s++) /* exactly-once records: twice the rhythm (rule C1) */
        if (slot->sinks[s].now.flags & SL_SINK_NEEDS_KAFKA_COMMIT)
            timeout_ms = every_ms * 2 > 10000 ? (uint32_t)(every_ms * 2) : 20000;
    slot->transactional = transactional;
    assert(slot->domain == NULL); /* one Kafka source a topology: `check` says so */
    slot->group = strdup(group);
    (void)snprintf(id, sizeof(id), "%s/%s/%u/0", group, slot->shared->node, slot->index);
    slot->domain = sl_domain_kafka_new(log, connection, consumer, group, id, slot->topology->commit_topic,
                                       slot->shared->epoch, timeout_ms, transactional);
    if (slot->domain == NULL || slot->group == NULL) {
        struct sl_err err;
        (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", slot->topology->name);
        sl_slot_fail(slot, &err);
        return;
    }
    (void)sl_slot_recover_start(slot, NULL);
}

struct sl_slot *sl_slot_new(const struct sl_env *env, const struct sl_shared *shared, uint32_t index, struct sl_err *err)
{
    struct sl_slot *slot = calloc(1, sizeof(*slot));
    uint64_t batches_bytes = shared->memory_bytes / shared->slots / 5, large = 4 * shared->max_record_bytes + (8u << 20);

    if (slot == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a slot");
        return NULL;
    }
    slot->magic = SL_SLOT_MAGIC;
    slot->env = *env;
    slot->shared = shared;
    slot->topology = shared->topology;
    slot->index = index;
    slot->tickets_free = UINT32_MAX;
    slot->now_ns = slot->start_ns = env->now_ns(env->user);
    slot->commit.last_ns = slot->now_ns;
    slot->commit.slot = slot;
    if (sl_slot_room(slot, SL_BATCH_RECORDS) != 0 ||
        sl_arena_init(&slot->arena, SLOT_ARENA_FIRST, batches_bytes > large ? batches_bytes : large) != 0) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a slot");
        return sl_slot_free(slot);
    }
    if (slot_open(slot, err) != 0) {
        (void)sl_while(err, "topology %s", slot->topology->name);
        return sl_slot_free(slot);
    }
    return slot;
}

/* ---- turns ---- */

static void slot_sinks_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        struct sl_err err = {0};
        if (sink->now.kind == NULL || sink->now.kind->turn == NULL || sl_slot_queue_is_dead(slot, s) ||
            sink->now.kind->turn(sink->now.self, slot->now_ns, wake_ns, &err) == 0)
            continue;
        if (sink->queue != NULL) { /* its queue has what it lost */
            sl_slot_queue_failed(slot, s, &err);
            continue;
        }
        if (sink->gone) { /* what it still had cannot be read again for it */
            (void)sl_while(&err, "topology %s: sink %s", slot->topology->name, sink->name);
            sl_slot_log(slot, &err, "a sink that was removed failed; what it had not delivered is given up");
            sl_slot_tickets_drop(slot, s, UINT32_MAX);
            for (uint32_t p = 0; p < slot->partitions_cap; p++) /* should it come back, nothing is waited for that nobody has */
                sink->positions[p].taken = sink->positions[p].done;
            continue;
        }
        if (sink->now.flushed)
            sink->now.kind->abandon(sink->now.self, NULL);
        if (err.remedy == SL_REMEDY_HALT) {
            sl_slot_rewind(slot, s, NULL); /* another version may go on from there */
            (void)sl_while(&err, "topology %s: sink %s", slot->topology->name, sink->name);
            sl_slot_fail(slot, &err);
            return;
        }
        sl_slot_rewind(slot, s, &err);
    }
}

/* Rebalances must be heard in every turn, also while nothing is read: a full sink, a back-off, a drain. */
static void slot_serve(struct sl_slot *slot)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        if (slot->sources[i].kind->serve != NULL && slot->sources[i].opened)
            slot->sources[i].kind->serve(slot->sources[i].self);
}

static bool slot_sinks_take(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_slot_sink *sink = &slot->sinks[s];
        if (sink->now.kind == NULL || sink->gone)
            continue;
        if (sink->queue != NULL ? !sl_slot_queue_takes(slot, s) : sink->now.kind->credit != NULL && sink->now.kind->credit(sink->now.self) == 0)
            return false;
    }
    return true;
}

static int slot_batch(struct sl_slot *slot, struct sl_slot_source *source, struct sl_err *err)
{
    struct sl_batch *batch = &slot->batch;
    struct sl_partition *partition = batch->partition;

    if (slot->partitions[partition->index] != partition || slot->revoking[partition->index] || partition->held != NULL)
        return 0;
    if (batch->first != partition->next || batch->next < batch->first) { /* rule A2: anything else out of order stops it */
        (void)sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                      "%s %s: a batch of offsets %llu to %llu came where %llu was due: the partition is held", partition->topic,
                      partition->id, (unsigned long long)batch->first, (unsigned long long)batch->next,
                      (unsigned long long)partition->next);
        sl_slot_hold(slot, partition, err);
        return 0;
    }
    for (uint32_t i = 0; i < batch->count; i++)
        slot->bytes += batch->raw[i].bytes;
    return sl_slot_run(slot, source, batch, err);
}

/* 1: a batch went through; 0: nothing there; <0: the slot has failed. */
static int slot_poll(struct sl_slot *slot, struct sl_slot_source *source, uint64_t *wake_ns)
{
    struct sl_err err = {0};
    int got, status = 0;

    if (slot->now_ns < source->retry_at_ns) {
        slot_wake_at(slot, wake_ns, source->retry_at_ns);
        return 0;
    }
    sl_arena_reset(&slot->arena);
    memset(&slot->batch, 0, sizeof(slot->batch));
    slot->batch.arena = &slot->arena;
    got = source->kind->poll(source->self, &slot->batch, &err);
    if (got == 1) {
        source->backoff_ns = 0;
        status = slot_batch(slot, source, &err);
        source->kind->release(source->self);
        if (status != 0) {
            sl_slot_fail(slot, &err);
            if (slot->faulted)
                sl_slot_again(slot, slot->partitions[slot->batch.partition->index]);
        }
        return status == 0 ? 1 : -1;
    }
    if (got == 0) {
        if (source->kind->wait_ns != NULL) {
            uint64_t wait_ns = source->kind->wait_ns(source->self);
            *wake_ns = wait_ns < *wake_ns ? wait_ns : *wake_ns;
        }
        return 0;
    }
    (void)sl_while(&err, "topology %s: source %s", slot->topology->name, source->of->conf.name);
    if (err.remedy == SL_REMEDY_HALT || err.remedy == SL_REMEDY_FENCE) {
        sl_slot_fail(slot, &err);
        return -1;
    }
    sl_slot_log(slot, &err, "source");
    source->backoff_ns = source->backoff_ns == 0 ? 100 * 1000000ull : source->backoff_ns * 2;
    if (source->backoff_ns > 30ull * 1000000000ull)
        source->backoff_ns = 30ull * 1000000000ull;
    source->retry_at_ns = slot->now_ns + source->backoff_ns;
    slot_wake_at(slot, wake_ns, source->retry_at_ns);
    return 0;
}

static void slot_read(struct sl_slot *slot, uint64_t *wake_ns)
{
    uint32_t idle = 0;
    uint64_t before = slot->batches;

    slot->was_idle = false;
    if (slot->paused || slot->faulted)
        return;
    if (slot->now_ns < slot->paused_until_ns) {
        slot_wake_at(slot, wake_ns, slot->paused_until_ns);
        return;
    }
    for (int batches = 0; batches < SL_SLOT_BATCHES_A_TURN && idle < slot->sources_count;) {
        struct sl_slot_source *source = &slot->sources[slot->source_next];
        int got;
        if (!slot_sinks_take(slot)) { /* the sink's own wake brings the next turn, once it has had a turn with what it took */
            *wake_ns = slot->batches != before ? 0 : *wake_ns;
            return;
        }
        slot->source_next = (slot->source_next + 1) % slot->sources_count;
        got = source->opened && !source->leaving ? slot_poll(slot, source, wake_ns) : 0;
        if (got < 0)
            return;
        idle = got == 0 ? idle + 1 : 0;
        batches += got;
        if (slot->paused_until_ns > slot->now_ns)
            break; /* a sink failed in this batch */
    }
    slot->was_idle = idle >= slot->sources_count && slot->batches == before; /* not where a sink is waited for: its time is not spare */
    if (idle < slot->sources_count || slot->batches != before)
        *wake_ns = 0; /* also after the last batch: its sinks have yet to say when they want their turn */
}

static void slot_drain(struct sl_slot *slot)
{
    slot->state = SL_SLOT_DRAINING;
    slot->flush_all = true;
    slot->drain_ns = slot->now_ns;
}

static void slot_check_end(struct sl_slot *slot)
{
    if (!slot->shared->once || !slot->recovered)
        return;
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        const struct sl_slot_source *source = &slot->sources[i];
        if (!source->opened || source->leaving || source->kind->at_end == NULL || source->kind->at_end(source->self) != 1)
            return;
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++) /* a sink that was rewound has records to read again */
        for (uint32_t s = 0; slot->partitions[p] != NULL && s < slot->sinks_count; s++)
            if (slot->partitions[p]->held == NULL && sl_slot_source_of(slot, slot->partitions[p])->sinks[s] &&
                slot->sinks[s].positions[p].taken.next < slot->partitions[p]->next)
                return;
    slot_drain(slot);
}

/* Tickets that wait for nothing but their letters' flush are done by the commit that a drain asks for. */
static bool slot_tickets_out(const struct sl_slot *slot)
{
    if (slot->letters_open != NULL || slot->letters_sealed != NULL)
        return false;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].tickets_pending > 0)
            return true;
    return false;
}

static void slot_drain_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    slot->flush_all = true;
    if (sl_slot_queues_out(slot, wake_ns))
        return;
    if (slot_tickets_out(slot)) {
        (void)snprintf(slot->waits_for, sizeof(slot->waits_for), "acknowledgements of records that are in flight");
        return;
    }
    if (!sl_slot_committed_all(slot)) {
        (void)snprintf(slot->waits_for, sizeof(slot->waits_for), "%s",
                       slot->commit.state == SL_COMMIT_PUBLISHING ? "committed files to get their names"
                       : slot->commit.state == SL_COMMIT_IDLE     ? "the next commit"
                                                                  : "files and their commit");
        return;
    }
    slot->waits_for[0] = '\0';
    slot->state = SL_SLOT_ENDED;
    sl_slot_queues_say(slot);
}

uint64_t sl_slot_turn(struct sl_slot *slot)
{
    uint64_t wake_ns = UINT64_MAX;
    struct sl_err err;

    assert(slot->magic == SL_SLOT_MAGIC);
    slot->now_ns = slot->env.now_ns(slot->env.user);
    sl_trial_turn(slot, slot->was_idle);
    slot_serve(slot);
    if (slot->state == SL_SLOT_FAILED || slot->state == SL_SLOT_ENDED) {
        sl_slot_revoke_turn(slot, &wake_ns);
        return wake_ns;
    }
    sl_slot_recover_turn(slot, &wake_ns);
    if (slot->state == SL_SLOT_RUNNING)
        (void)sl_slot_sources_turn(slot, false, &wake_ns, &err);
    if (slot->recovered)
        slot_sinks_turn(slot, &wake_ns);
    sl_slot_leave_turn(slot, &wake_ns);
    if (slot->faulted)
        slot_fault_turn(slot, &wake_ns);
    sl_slot_refuse_turn(slot, &wake_ns);
    if (slot->state == SL_SLOT_RUNNING && slot->recovered)
        slot_read(slot, &wake_ns);
    if (slot->recovered)
        sl_slot_queues_turn(slot, &wake_ns);
    if (slot->state == SL_SLOT_RUNNING)
        slot_check_end(slot);
    sl_slot_revoke_turn(slot, &wake_ns);
    sl_slot_flush_turn(slot, &wake_ns);
    if (slot->state == SL_SLOT_DRAINING)
        slot_drain_turn(slot, &wake_ns);
    return slot->state == SL_SLOT_RUNNING || slot->state == SL_SLOT_DRAINING ? wake_ns : 0;
}

void sl_slot_drain(struct sl_slot *slot)
{
    slot->asked = true;
    if (slot->state == SL_SLOT_RUNNING)
        slot_drain(slot);
}

void sl_slot_pause(struct sl_slot *slot, bool paused)
{
    slot->paused = paused;
    slot->env.wake(slot->env.user);
}

enum sl_slot_state sl_slot_state(const struct sl_slot *slot)
{
    return slot->state;
}

const char *sl_slot_waits_for(const struct sl_slot *slot)
{
    return slot->waits_for;
}

const struct sl_err *sl_slot_error(const struct sl_slot *slot)
{
    return &slot->failure;
}

/* ---- free ---- */

static void slot_close_sources(struct sl_slot *slot)
{
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        struct sl_slot_source *source = &slot->sources[i];
        if (source->opened)
            source->kind->close(source->self);
        free(source->sinks);
        (void)sl_slot_component_free(source->of);
    }
    free(slot->sources);
    slot->sources = NULL;
    slot->sources_count = 0;
}

static void slot_close_sinks(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (sink->leaving != NULL) {
            sl_instance_close(&sink->leaving->was);
            sl_leaving_free(sink->leaving);
            sink->leaving = NULL;
        }
        if (sink->now.kind != NULL)
            sl_instance_close(&sink->now);
    }
}

static void slot_free_sinks(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        free(slot->sinks[s].name);
        free(slot->sinks[s].former);
        sl_ledger_fini(&slot->sinks[s].open);
        sl_ledger_fini(&slot->sinks[s].sealed_ledger);
    }
    sl_slot_positions_fini(slot);
    free(slot->sinks);
}

struct sl_slot *sl_slot_free(struct sl_slot *slot)
{
    if (slot == NULL)
        return NULL;
    assert(slot->magic == SL_SLOT_MAGIC);
    sl_slot_trial_end(slot);
    sl_slot_revokes_fini(slot);
    sl_slot_refuse_fini(slot);
    sl_slot_commit_fini(slot);
    slot->domain = sl_domain_free(slot->domain); /* before the consumer closes */
    sl_plan_disown(slot->plan);
    slot_close_sources(slot);
    slot_close_sinks(slot);
    sl_slot_queues_fini(slot); /* sinks may have answered while they closed */
    slot_free_sinks(slot);
    slot->plan = sl_plan_free(slot->plan);
    for (uint32_t i = 0; i < slot->path_blocks_count; i++)
        free(slot->path_blocks[i]);
    free(slot->path_blocks);
    slot->replay = sl_slot_replay_free(slot->replay);
    free(slot->tickets);
    free(slot->items);
    free(slot->dead);
    free(slot->live.leaves);
    sl_ledger_fini(&slot->ledger);
    slot->account = sl_account_free(slot->account);
    sl_arena_fini(&slot->arena);
    free(slot->group);
    slot->magic = 0;
    free(slot);
    return NULL;
}
