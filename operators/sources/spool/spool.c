/* spool.c: the `spool` source: reads a topic of the process's own durable log (DESIGN.md 7).
 * The reading itself is spool_tail.c, which the fronts share.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/spool/spool_tail.h"

#include "operators/sources/sources.h"

struct spool_config {
    const char *topic;
    int start; /* enum sl_tail_start */
    uint64_t timestamp, offset;
};

static const char *const spool_starts[] = {"earliest", "latest", "timestamp", "offset", NULL};

static const struct sl_field spool_fields[] = {
    SL_FIELD(spool_config, topic, SL_F_STRING, .flags = SL_F_REQUIRED,
             .help = "Topic of the local spool; a front's topic is TOPOLOGY.SOURCE."),
    SL_FIELD(spool_config, start, SL_F_ENUM, .def = "earliest", .values = spool_starts,
             .help = "Where the first run begins; afterwards the commits decide."),
    SL_FIELD(spool_config, timestamp, SL_F_U64, .def = "0",
             .help = "With start: timestamp: the first record appended at or after this many ms since 1970."),
    SL_FIELD(spool_config, offset, SL_F_U64, .def = "0", .help = "With start: offset: this offset in every partition."),
    {0},
};

static int spool_check(const void *config, struct sl_err *err)
{
    const struct spool_config *c = config;

    if (c->topic == NULL || c->topic[0] == '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic: empty; write the name of a spool topic");
    if (c->topic[0] == '@')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "topic: %s is the engine's own, the queue of a sink; write the name of another spool topic", c->topic);
    if (c->start == SL_TAIL_TIMESTAMP && c->timestamp == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "timestamp: missing; start: timestamp needs it, in ms since 1970");
    if (c->start != SL_TAIL_TIMESTAMP && c->timestamp != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "timestamp: set, but start is not timestamp; write start: timestamp");
    if (c->start != SL_TAIL_OFFSET && c->offset != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "offset: set, but start is not offset; write start: offset");
    return 0;
}

static int spool_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    const struct spool_config *c = config;
    struct sl_tail *tail = self;
    struct sl_spool_topic *topic;

    /* One partition if it is new: whoever appends to it adds the others, and they appear here. */
    if (sl_spool_topic(sl_slot_spool(slot), c->topic, 1, &topic, err) != 0)
        return sl_while(err, "source %s", api->component);
    if (sl_tail_init(tail, api, slot, self, topic, c->topic, err) != 0)
        return -(int)err->code;
    tail->start = (enum sl_tail_start)c->start;
    tail->start_unix_ms = (int64_t)c->timestamp;
    tail->start_offset = c->offset;
    return 0;
}

static int spool_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    return sl_tail_poll(self, batch, err);
}

static void spool_release(void *self)
{
    (void)self; /* payloads lie in the batch's arena */
}

static int spool_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    return sl_tail_seek(self, partition, next, err);
}

static int spool_first(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err)
{
    (void)err;
    sl_tail_first(self, partition, ret_first);
    return 0;
}

static void spool_committed(void *self, struct sl_partition *partition, uint64_t next)
{
    sl_tail_committed(self, partition, next);
}

static int spool_fingerprint(void *self, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash)
{
    return sl_tail_fingerprint(self, partition, offset, ret_hash);
}

static void spool_lag(void *self, int64_t *ret_records, int64_t *ret_ms)
{
    sl_tail_lag(self, ret_records, ret_ms);
}

static int spool_at_end(void *self)
{
    return sl_tail_at_end(self);
}

static void spool_pause(void *self, bool paused)
{
    ((struct sl_tail *)self)->paused = paused;
}

static void spool_close(void *self)
{
    sl_tail_fini(self);
}

const struct sl_source_kind sl_source_spool = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "spool",
             .summary = "Reads a topic of the local spool, the durable log that stands in for Kafka.",
             .example = "{ type: spool, topic: edge.requests, start: earliest }",
             .fields = spool_fields,
             .config_bytes = sizeof(struct spool_config),
             .self_bytes = sizeof(struct sl_tail),
             .check = spool_check},
    .flags = SL_SOURCE_ENDS,
    .open = spool_open,
    .poll = spool_poll,
    .release = spool_release,
    .seek = spool_seek,
    .first = spool_first,
    .committed = spool_committed,
    .fingerprint = spool_fingerprint,
    .lag = spool_lag,
    .at_end = spool_at_end,
    .pause = spool_pause,
    .close = spool_close,
};
