/* blackhole.c: takes records and forgets them; with `rate` and `delay` it plays a slow destination, in tests and trials.
 *
 * rate: an instant until which the sink is busy; a parcel moves it by its count / rate, and credit() is 0 before it. So the mean rate
 * is exact, and one parcel the largest burst.
 * Memory: a row a record not yet acknowledged, at most BLACKHOLE_ROWS and one parcel.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sinks/sinks.h"
#include "runtime/base/clock.h"
#include "runtime/engine/slot.h"

enum { BLACKHOLE_MAGIC = 0x626c6163, BLACKHOLE_ROWS = 262144 };

struct blackhole_config {
    double rate;
    uint64_t delay;
};

struct blackhole_sink {
    uint32_t magic;
    const struct sl_api *api;
    const struct blackhole_config *config;
    struct sl_slot *slot;
    struct sl_ref *refs; /* waiting for their delay, in order */
    uint64_t *due_ns;
    uint32_t count, cap;
    uint64_t busy_until_ns;
};

static void blackhole_close(void *self)
{
    struct blackhole_sink *sink = self;

    free(sink->refs);
    free(sink->due_ns);
    memset(sink, 0, sizeof(*sink));
}

static int blackhole_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                          struct sl_err *err)
{
    struct blackhole_sink *sink = self;

    (void)names;
    (void)err;
    memset(sink, 0, sizeof(*sink));
    sink->magic = BLACKHOLE_MAGIC;
    sink->api = api;
    sink->config = config;
    sink->slot = slot;
    return 0;
}

static uint64_t blackhole_credit(void *self)
{
    const struct blackhole_sink *sink = self;

    if (sink->count >= BLACKHOLE_ROWS || sink->api->now_ns(sink->api->env) < sink->busy_until_ns)
        return 0;
    return UINT64_MAX;
}

static int blackhole_room(struct blackhole_sink *sink, uint32_t count)
{
    uint32_t cap = sink->cap == 0 ? SL_BATCH_RECORDS : sink->cap;
    struct sl_ref *refs;
    uint64_t *due_ns;

    while (cap < sink->count + count)
        cap *= 2;
    if (cap == sink->cap)
        return 0;
    refs = realloc(sink->refs, cap * sizeof(*refs));
    if (refs == NULL)
        return -1;
    sink->refs = refs;
    due_ns = realloc(sink->due_ns, cap * sizeof(*due_ns));
    if (due_ns == NULL)
        return -1;
    sink->due_ns = due_ns;
    sink->cap = cap;
    return 0;
}

static int blackhole_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct blackhole_sink *sink = self;
    uint64_t now_ns = sink->api->now_ns(sink->api->env);

    assert(sink->magic == BLACKHOLE_MAGIC);
    if (blackhole_room(sink, parcel->count) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u records that wait", parcel->count);
    if (sink->busy_until_ns < now_ns)
        sink->busy_until_ns = now_ns;
    if (sink->config->rate > 0)
        sink->busy_until_ns += (uint64_t)((double)parcel->count / sink->config->rate * (double)SL_NS_PER_S);
    for (uint32_t i = 0; i < parcel->count; i++) {
        sink->refs[sink->count] = parcel->items[i].ref;
        sink->due_ns[sink->count++] = now_ns + sink->config->delay;
    }
    return 0;
}

static void blackhole_wake(uint64_t now_ns, uint64_t at_ns, uint64_t *ret_wake_ns)
{
    if (at_ns > now_ns && at_ns - now_ns < *ret_wake_ns)
        *ret_wake_ns = at_ns - now_ns;
}

static int blackhole_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct blackhole_sink *sink = self;
    uint32_t due = 0;

    (void)err;
    while (due < sink->count && sink->due_ns[due] <= now_ns)
        due++;
    if (due > 0) {
        sl_slot_done(sink->slot, sink, sink->refs, due, SL_ACK, NULL);
        memmove(sink->refs, sink->refs + due, (sink->count - due) * sizeof(*sink->refs));
        memmove(sink->due_ns, sink->due_ns + due, (sink->count - due) * sizeof(*sink->due_ns));
        sink->count -= due;
    }
    if (sink->count > 0)
        blackhole_wake(now_ns, sink->due_ns[0], ret_wake_ns);
    blackhole_wake(now_ns, sink->busy_until_ns, ret_wake_ns);
    return 0;
}

static int blackhole_drain(void *self)
{
    return ((struct blackhole_sink *)self)->count == 0;
}

static const struct sl_field blackhole_fields[] = {
    SL_FIELD(blackhole_config, rate, SL_F_RATE, .def = "0/s", .help = "Records a second that it takes; 0/s is no limit."),
    SL_FIELD(blackhole_config, delay, SL_F_DURATION, .def = "0s", .max = "1h", .help = "Time until a record is acknowledged."),
    {0},
};

const struct sl_sink_kind sl_sink_blackhole = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_sink_kind),
             .name = "blackhole",
             .summary = "Takes records and forgets them, as fast or as slowly as it is told to.",
             .example = "{ type: blackhole, inputs: [parsed], rate: 20000/s, delay: 10ms }",
             .fields = blackhole_fields,
             .config_bytes = sizeof(struct blackhole_config),
             .self_bytes = sizeof(struct blackhole_sink)},
    .open = blackhole_open,
    .credit = blackhole_credit,
    .submit = blackhole_submit,
    .turn = blackhole_turn,
    .drain = blackhole_drain,
    .close = blackhole_close,
};
