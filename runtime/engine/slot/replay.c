/* replay.c: dead letters on their way again; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/replay.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/config/encoding.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/store/spool.h"

/* ---- the topology ---- */

/* The spool kind's settings: its topic; zero is the default of all others. */
static bool replay_config(const struct sl_head *spool, void *config, const char *topic)
{
    for (const struct sl_field *field = spool->fields; field->name != NULL; field++)
        if (strcmp(field->name, "topic") == 0 && field->type == SL_F_STRING) {
            memcpy((char *)config + field->offset, &topic, sizeof(topic));
            return true;
        }
    return false;
}

struct replay_memory { /* one block */
    struct sl_topology topology; /* first */
    char topic[300];
};

struct sl_topology *sl_replay_topology(const struct sl_topology *topology, const struct sl_head *spool)
{
    size_t components = (topology->components_count + 1) * sizeof(struct sl_component);
    struct replay_memory *memory = calloc(1, sizeof(*memory) + components + spool->config_bytes + 64);
    struct sl_component *list;
    void *config;
    bool fine;

    if (memory == NULL)
        return NULL;
    list = (struct sl_component *)(void *)(memory + 1);
    config = (char *)list + (components + 15) / 16 * 16;
    memcpy(list, topology->components, topology->components_count * sizeof(*list));
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (list[c].role == SL_SOURCE)
            list[c].role = SL_PAST;
        list[c].sink.when_full = SL_FULL_WAIT; /* letters can wait: no second queue of a sink, */
        list[c].sink.required = true;          /* and none is passed over */
    }
    (void)snprintf(memory->topic, sizeof(memory->topic), SL_REPLAY_TOPIC "%s", topology->name);
    fine = replay_config(spool, config, memory->topic);
    assert(fine);
    (void)fine;
    list[topology->components_count] = (struct sl_component){.role = SL_SOURCE, .name = SL_REPLAY_SOURCE, .type = spool->name,
                                                             .head = spool, .config = config};
    memory->topology = *topology;
    memory->topology.components = list;
    memory->topology.components_count++;
    memory->topology.sources_count = 1;
    memory->topology.commit_mode = SL_COMMIT_AUTO;
    return &memory->topology;
}

static uint32_t replay_find(const struct sl_topology *topology, struct sl_slice name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (sl_slice_is(name, topology->components[c].name) && (int)c != topology->dead_letters &&
            strcmp(topology->components[c].name, SL_REPLAY_SOURCE) != 0)
            return c;
    return UINT32_MAX;
}

/* Does `component` reach `to`, not by way of `but`? Components are in the order of their inputs, so this ends. */
static bool replay_reaches(const struct sl_topology *topology, uint32_t component, uint32_t to, uint32_t but)
{
    const struct sl_component *at = &topology->components[to];

    if (component == to)
        return true;
    for (uint32_t i = 0; i < at->inputs_count; i++)
        if (at->inputs[i].component != but && replay_reaches(topology, component, at->inputs[i].component, but))
            return true;
    return false;
}

/* A sink that the source reaches both behind the stage and around it. */
static uint32_t replay_around(const struct sl_topology *topology, uint32_t source, uint32_t stage)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK && c != stage && stage != source &&
            replay_reaches(topology, stage, c, UINT32_MAX) && replay_reaches(topology, source, c, stage))
            return c;
    return UINT32_MAX;
}

bool sl_replay_is_apart(const struct sl_topology *topology)
{
    for (uint32_t c = 0; c < topology->components_count; c++) {
        const struct sl_component *component = &topology->components[c];
        if ((component->role == SL_SOURCE || component->role == SL_PAST) &&
            (((const struct sl_source_kind *)(const void *)component->head)->flags & SL_SOURCE_KAFKA) != 0)
            return true;
    }
    return false;
}

int sl_replay_way(const struct sl_topology *topology, const char *stage, const char *source, struct sl_err *err)
{
    uint32_t at = replay_find(topology, sl_slice_of(stage)), from = replay_find(topology, sl_slice_of(source)), sink;

    if (from == UINT32_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_DEADLETTER, 0, "topology %s has no source %s any more", topology->name, source);
    if (at == UINT32_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_DEADLETTER, 0, "topology %s has no stage %s any more", topology->name, stage);
    if (!replay_reaches(topology, from, at, UINT32_MAX))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_DEADLETTER, 0, "stage %s is no longer fed by source %s", stage, source);
    if (topology->components[at].sink.encoding != NULL && topology->components[at].sink.encoding->codec != SL_CODEC_JSON)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_DEADLETTER, 0,
                       "sink %s does not write JSON: its letters hold what it was to write, and fields cannot be read from that again", stage);
    sink = replay_around(topology, from, at);
    if (sink != UINT32_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_DEADLETTER, 0,
                       "sink %s is reached behind %s and around it: whether it has these records already cannot be told",
                       topology->components[sink].name, stage);
    return 0;
}

/* ---- headers ---- */

static struct sl_slice replay_header(const struct sl_batch *batch, uint32_t row, const char *name)
{
    for (uint32_t h = 0; batch->headers != NULL && h < batch->headers_count[row]; h++)
        if (sl_slice_is(batch->headers[row][h].name, name))
            return batch->headers[row][h].value;
    return (struct sl_slice){NULL, 0};
}

/* The text up to the next LF, or the last. */
static struct sl_slice replay_line(struct sl_slice *inout_rest)
{
    const char *end = inout_rest->bytes == 0 ? NULL : memchr(inout_rest->data, '\n', inout_rest->bytes);
    struct sl_slice line = {inout_rest->data, end == NULL ? inout_rest->bytes : (uint32_t)(end - inout_rest->data)};

    inout_rest->data += line.bytes + (end != NULL);
    inout_rest->bytes -= line.bytes + (end != NULL);
    return line;
}

static uint16_t replay_sub(const struct sl_batch *batch, uint32_t row)
{
    struct sl_slice text = replay_header(batch, row, SL_REPLAY_SUB);
    uint32_t value = 0;

    for (uint32_t i = 0; i < text.bytes && i < 5; i++)
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    return value <= UINT16_MAX ? (uint16_t)value : 0;
}

/* ---- a batch ---- */

static struct sl_slice replay_topic(const struct sl_batch *batch, uint32_t row)
{
    struct sl_slice text = replay_header(batch, row, SL_REPLAY_ORIGIN);
    struct sl_origin origin;

    return text.data != NULL && sl_origin_scan(text, &origin) == 0 ? origin.topic : (struct sl_slice){NULL, 0};
}

static void replay_cut(struct sl_batch *batch)
{
    struct sl_slice way = replay_header(batch, 0, SL_REPLAY_HEADER), topic = replay_topic(batch, 0);
    uint32_t count = 1;

    while (count < batch->count && sl_slice_eq(replay_header(batch, count, SL_REPLAY_HEADER), way) &&
           sl_slice_eq(replay_topic(batch, count), topic))
        count++;
    if (count < batch->count) { /* the source comes back to the rest by itself */
        batch->next = batch->offset[count];
        batch->count = count;
    }
}

struct sl_replay_alias {
    struct sl_partition partition; /* first */
    struct sl_replay_alias *next;
    char topic[]; /* as many as the letters' topics */
};

/* NULL: no memory. Where the topic is not known, the partition itself. */
static struct sl_partition *replay_alias(struct sl_slot_replay *replay, struct sl_partition *partition, struct sl_slice topic)
{
    struct sl_replay_alias *alias = replay->aliases;

    if (topic.data == NULL)
        return partition;
    while (alias != NULL && !sl_slice_is(topic, alias->topic))
        alias = alias->next;
    if (alias == NULL) {
        alias = calloc(1, sizeof(*alias) + topic.bytes + 1u);
        if (alias == NULL)
            return NULL;
        memcpy(alias->topic, topic.data, topic.bytes);
        alias->next = replay->aliases;
        replay->aliases = alias;
    }
    alias->partition = *partition;
    alias->partition.topic = alias->topic;
    return &alias->partition;
}

struct sl_slot_replay *sl_slot_replay_free(struct sl_slot_replay *replay)
{
    while (replay != NULL && replay->aliases != NULL) {
        struct sl_replay_alias *next = replay->aliases->next;
        free(replay->aliases);
        replay->aliases = next;
    }
    free(replay);
    return NULL;
}

static int replay_origins(struct sl_batch *batch)
{
    struct sl_slice *origins = sl_arena_alloc(batch->arena, batch->count * sizeof(*origins));
    uint16_t *subs = sl_arena_alloc(batch->arena, batch->count * sizeof(*subs));
    bool derived = false;

    if (origins == NULL || subs == NULL)
        return -1;
    for (uint32_t i = 0; i < batch->count; i++) {
        origins[i] = replay_header(batch, i, SL_REPLAY_ORIGIN);
        subs[i] = replay_sub(batch, i);
        derived = derived || subs[i] > 0;
    }
    batch->origin = origins;
    if (derived)
        batch->sub = subs;
    return 0;
}

/* What a stage derived is JSON; what a sink refused is as its encoding made it, raw: as the source had it. */
static bool replay_is_written(const struct sl_component *stage)
{
    return stage->role != SL_SINK || stage->sink.encoding != NULL;
}

int sl_slot_replay_begin(struct sl_slot *slot, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_slot_replay *replay = slot->replay;
    struct sl_slice way, stage, source;

    *replay = (struct sl_slot_replay){.stage = UINT32_MAX, .source = UINT32_MAX, .aliases = replay->aliases};
    if (batch->count == 0)
        return 0;
    replay_cut(batch);
    batch->partition = replay_alias(replay, batch->partition, replay_topic(batch, 0));
    if (batch->partition == NULL || replay_origins(batch) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: a batch needs more memory than its share; raise `memory:`",
                       slot->topology->name);
    way = replay_header(batch, 0, SL_REPLAY_HEADER);
    stage = replay_line(&way);
    source = replay_line(&way);
    replay->decoded = sl_slice_is(way, "1");
    replay->stage = stage.bytes == 0 ? UINT32_MAX : replay_find(slot->topology, stage);
    replay->source = source.bytes == 0 ? UINT32_MAX : replay_find(slot->topology, source);
    if (replay->source == UINT32_MAX || slot->topology->components[replay->source].role != SL_PAST || replay->stage == UINT32_MAX ||
        !replay_reaches(slot->topology, replay->source, replay->stage, UINT32_MAX) ||
        replay_around(slot->topology, replay->source, replay->stage) != UINT32_MAX)
        replay->stage = UINT32_MAX; /* the topology is another one by now: they become letters again */
    else
        replay->inside = replay->stage == replay->source;
    batch->written = replay->decoded && replay->stage != UINT32_MAX && replay_is_written(&slot->topology->components[replay->stage]);
    return 0;
}

static bool replay_leads(const struct sl_node *node, uint32_t stage)
{
    for (const struct sl_node *child = node->child; child != NULL; child = child->sibling)
        if (child->component == stage || replay_leads(child, stage))
            return true;
    return false;
}

enum sl_replay_step sl_slot_replay_enter(struct sl_slot *slot, const struct sl_node *node)
{
    struct sl_slot_replay *replay = slot->replay;

    if (replay->inside > 0 || node->component == replay->stage) {
        replay->inside++;
        return SL_REPLAY_RUN;
    }
    if (!replay_leads(node, replay->stage))
        return SL_REPLAY_SKIP;
    return replay->decoded && (node->kind->flags & SL_OP_PARSES) == 0 ? SL_REPLAY_PASS : SL_REPLAY_RUN;
}

void sl_slot_replay_leave(struct sl_slot *slot, const struct sl_node *node)
{
    (void)node;
    if (slot->replay->inside > 0)
        slot->replay->inside--;
}

/* ---- letters of letters ---- */

struct replay_from {
    char *text; /* SL_REPLAY_BYTES */
    struct sl_origin *origin;
    struct sl_slice *stage;
    uint32_t *sub;
};

static int replay_copy(const struct sl_batch *batch, uint32_t row, const struct replay_from *to)
{
    struct sl_slice origin = replay_header(batch, row, SL_REPLAY_ORIGIN), way = replay_header(batch, row, SL_REPLAY_HEADER);
    struct sl_slice stage = replay_line(&way);

    if (origin.data == NULL || stage.data == NULL || origin.bytes + stage.bytes > SL_REPLAY_BYTES)
        return -1;
    memcpy(to->text, origin.data, origin.bytes);
    memcpy(to->text + origin.bytes, stage.data, stage.bytes);
    if (sl_origin_scan((struct sl_slice){to->text, origin.bytes}, to->origin) != 0)
        return -1;
    *to->stage = (struct sl_slice){to->text + origin.bytes, stage.bytes};
    *to->sub = replay_sub(batch, row);
    return 0;
}

/* Seldom: a back-end has refused what was replayed. */
static int replay_read(struct sl_slot *slot, const struct sl_batch *batch, uint32_t row, const struct replay_from *to)
{
    struct sl_spool_reader *reader = NULL;
    struct sl_spool_topic *topic;
    struct sl_arena arena;
    struct sl_batch read = {.arena = &arena};
    int status = -1;

    if (sl_arena_init(&arena, 1 << 16, 1u << 30) != 0)
        return -1;
    if (sl_spool_topic(slot->shared->spool, batch->partition->topic, 1, &topic, NULL) == 0 &&
        sl_spool_reader_open(topic, (uint32_t)batch->partition->number, NULL, NULL, &reader, NULL) == 0 &&
        sl_spool_seek(reader, batch->offset[row], NULL) == 0 && sl_spool_read(reader, &read, NULL) == 1 && read.count > 0 &&
        read.offset[0] == batch->offset[row])
        status = replay_copy(&read, 0, to);
    if (reader != NULL)
        (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
    return status;
}

int sl_slot_replay_from(struct sl_slot *slot, const struct sl_batch *batch, uint32_t row, char text[SL_REPLAY_BYTES],
                        struct sl_origin *ret_origin, struct sl_slice *ret_stage, uint32_t *ret_sub)
{
    struct replay_from to = {text, ret_origin, ret_stage, ret_sub};

    return batch->headers != NULL ? replay_copy(batch, row, &to) : replay_read(slot, batch, row, &to);
}
