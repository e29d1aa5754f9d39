/* sim_sick.c: the modelled back-end and the sink before it: it acknowledges each record, and hangs, loses answers, fails whole, and
 * refuses some records for good. What it was given it keeps by number, with the key under which it came, as a keyed index would.
 *
 * States of a record given to it: held --its time--> kept and acknowledged | kept and "again" (the answer is lost) | "again" |
 * refused. While the back-end hangs nothing is answered.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot.h"
#include "tests/sim/sim_inner.h"

enum { SICK_CREDIT = 40, SICK_HELD_MAX = 16384, SICK_REFUSED_OF = 40 };

struct sick_held {
    struct sl_ref ref;
    uint64_t due_ns;
    uint32_t number;
    char key[64];
    struct sl_refused refused;
    char body[256];
};

struct sick_sink {
    struct sl_slot *slot;
    const struct sl_api *api;
    struct sick_held *held;
    uint32_t count;
    int column; /* a field that must come through the queue */
};

static struct sim *sick_world; /* one run at a time */

void sim_sick_begin(struct sim *sim)
{
    sick_world = sim;
    sim->sick_good = !sim_lot(sim, 700);
}

/* For ever, or for everybody: the back-end's own rule. */
static bool sick_refuses(uint32_t number)
{
    return number % SICK_REFUSED_OF == 7;
}

bool sim_sick_refuses(const struct sim *sim, uint32_t number)
{
    return sim->kind->sick && sick_refuses(number) && !sim->kind->sick_drops;
}

bool sim_sick_keeps(const struct sim *sim, uint32_t number)
{
    return sim->kind->sick && !sick_refuses(number);
}

static void sick_keep(struct sim *sim, const struct sick_held *held)
{
    struct sim_record *record = &sim->records[held->number];
    uint32_t sink = 0;

    while (!sim->kind->sinks[sink].backend)
        sink++;
    if (record->seen[sink] == 0)
        (void)snprintf(record->key, sizeof(record->key), "%s", held->key);
    else if (strcmp(record->key, held->key) != 0)
        sim_fail(sim, "record %u came to the back-end as %s and as %s: it is there twice", held->number, record->key, held->key);
    if (record->seen[sink] < 255)
        record->seen[sink]++;
}

static int sick_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                     struct sl_err *err)
{
    struct sick_sink *sink = self;
    struct sl_name name;

    (void)config;
    *sink = (struct sick_sink){.slot = slot, .api = api};
    sink->held = calloc(SICK_HELD_MAX, sizeof(*sink->held));
    assert(sink->held != NULL);
    if (sl_name_parse("id", &name, err) != 0)
        return -(int)err->code;
    sink->column = names->column(names, &name, err);
    sl_name_fini(&name);
    return 0;
}

static uint64_t sick_credit(void *self)
{
    const struct sick_sink *sink = self;
    return sink->count < SICK_CREDIT ? 1u << 16 : 0;
}

static void sick_hold(struct sick_sink *sink, const struct sl_parcel *parcel, uint32_t i)
{
    const struct sl_item *item = &parcel->items[i];
    const struct sl_batch *batch = parcel->view->batch;
    const struct sl_column *column = &parcel->view->decoded->columns[sink->column];
    struct sick_held *held = &sink->held[sink->count];
    const char *at = memchr(item->body.data, '#', item->body.bytes);
    unsigned number = UINT32_MAX;

    assert(sink->count < SICK_HELD_MAX && item->body.bytes < sizeof(held->body));
    sink->count++;
    *held = (struct sick_held){.ref = item->ref};
    if (at == NULL || sscanf(at, "#%u#", &number) != 1 || number >= sick_world->records_count) {
        sim_fail(sick_world, "the back-end was given what was never sent: %.*s", (int)item->body.bytes, item->body.data);
        number = 0;
    }
    held->number = number;
    sim_trace(sick_world, "%s: the back-end is given record %u", sink->api->node, number);
    held->due_ns = sick_world->now_ns + sim_random(sick_world, 200 * SIM_MS);
    memcpy(held->body, item->body.data, item->body.bytes);
    (void)snprintf(held->key, sizeof(held->key), "%s:%s:%u:%llu", batch->partition->topic, batch->partition->id,
                   batch->partition->incarnation, (unsigned long long)batch->offset[item->row]);
    if (!sick_world->kind->kafka) /* each process has a spool of its own */
        (void)snprintf(held->key + strlen(held->key), sizeof(held->key) - strlen(held->key), "@%s", sink->api->node);
    held->refused = (struct sl_refused){.ref = item->ref, .body = {held->body, item->body.bytes}, .offset = batch->offset[item->row],
                                        .append_unix_ms = batch->append_unix_ms[item->row],
                                        .service = parcel->view->decoded->service[item->row],
                                        .level = parcel->view->decoded->level[item->row]};
    if (column->type[item->row] != SL_T_STRING || column->value[item->row].bytes < 3 ||
        memcmp(column->value[item->row].data, at, column->value[item->row].bytes) != 0)
        sim_fail(sick_world, "record %u lost its field on the way to the back-end", number);
    if (parcel->view->decoded->service[item->row] == 0)
        sim_fail(sick_world, "record %u lost its service on the way to the back-end", number);
}

static int sick_fail(struct sick_sink *sink, struct sl_err *err)
{
    for (uint32_t i = 0; i < sink->count; i++) /* what it was given may have arrived all the same */
        if (sim_lot(sick_world, 300) && !sick_refuses(sink->held[i].number))
            sick_keep(sick_world, &sink->held[i]);
    sink->count = 0;
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "the back-end is sick");
}

static bool sick_now(uint32_t permille)
{
    return !sick_world->quiet && !sick_world->sick_good && sim_lot(sick_world, permille);
}

static int sick_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct sick_sink *sink = self;
    uint64_t last = 0;

    for (uint32_t i = 0; i < parcel->count; i++) {
        uint64_t offset = parcel->view->batch->offset[parcel->items[i].row];
        if (i > 0 && offset <= last)
            sim_fail(sick_world, "a parcel's offsets do not ascend");
        last = offset;
        sick_hold(sink, parcel, i);
    }
    return sick_now(15) ? sick_fail(sink, err) : 0;
}

static void sick_answer(struct sick_sink *sink, const struct sick_held *held)
{
    struct sl_err err = {0};

    (void)sl_fail(&err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "the back-end did not say");
    if (sick_refuses(held->number)) {
        (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the back-end refuses it");
        sim_trace(sick_world, "%s: the back-end refuses record %u", sink->api->node, held->number);
        sl_slot_refused(sink->slot, sink, &held->refused, &err);
        return;
    }
    if (sick_now(30)) { /* it never arrived */
        sl_slot_done(sink->slot, sink, &held->ref, 1, SL_RETRY, &err);
        return;
    }
    sick_keep(sick_world, held);
    sl_slot_done(sink->slot, sink, &held->ref, 1, sick_now(30) ? SL_UNKNOWN : SL_ACK, &err);
}

static int sick_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct sick_sink *sink = self;
    uint32_t left = 0, count = sink->count;

    if (sick_now(3))
        return sick_fail(sink, err);
    if (now_ns < sick_world->hangs_until_ns)
        count = 0;
    for (uint32_t i = 0; i < sink->count; i++) {
        struct sick_held held = sink->held[i];
        if (i < count && held.due_ns <= now_ns) {
            held.refused.body.data = held.body;
            sick_answer(sink, &held);
            continue;
        }
        if (held.due_ns > now_ns && held.due_ns - now_ns < *ret_wake_ns)
            *ret_wake_ns = held.due_ns - now_ns;
        sink->held[left] = held;
        sink->held[left].refused.body.data = sink->held[left].body;
        left++;
    }
    sink->count = left;
    if (left > 0 && *ret_wake_ns > 100 * SIM_MS)
        *ret_wake_ns = 100 * SIM_MS;
    return 0;
}

static int sick_drain(void *self)
{
    return ((struct sick_sink *)self)->count == 0;
}

static void sick_close(void *self)
{
    free(((struct sick_sink *)self)->held);
}

const struct sl_sink_kind sim_sink_sick = {
    .head = {.major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct sl_sink_kind), .name = "sick",
             .summary = "A back-end that may fall ill.", .example = "{ type: sick, inputs: [in] }",
             .self_bytes = sizeof(struct sick_sink)},
    .open = sick_open,
    .credit = sick_credit,
    .submit = sick_submit,
    .turn = sick_turn,
    .drain = sick_drain,
    .close = sick_close,
};
