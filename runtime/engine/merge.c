/* merge.c: the rows of a new version placed at the indices of those that run.
 *
 * Invariants: a row's (role, name) never changes, that of a gone one is (gone_role, name); so at most one row has a role and name.
 * Ownership: one block for the topology, its rows, inputs and gone names; sl_merge_fini frees it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/merge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/bind.h"
#include "runtime/engine/op.h"

#define MERGE_MAGIC 0x4d455247u

struct merge_memory {
    struct sl_topology topology; /* first: what users hold */
    uint32_t magic;
    struct sl_component *components;
    struct sl_input *inputs;
    enum sl_merge_fate *fates;
    uint32_t *places; /* [from->components_count] index of each in the shared space */
    char *names;      /* of gone rows */
};

static struct merge_memory *merge_free(struct merge_memory *memory)
{
    if (memory == NULL)
        return NULL;
    free(memory->components);
    free(memory->inputs);
    free(memory->fates);
    free(memory->places);
    free(memory->names);
    memory->magic = 0;
    free(memory);
    return NULL;
}

static enum sl_role merge_role(const struct sl_component *row)
{
    return row->role == SL_GONE ? row->gone_role : row->role;
}

static bool merge_is(const struct sl_component *row, enum sl_role role, const char *name)
{
    return merge_role(row) == role && strcmp(row->name, name) == 0;
}

/* ---- fates ---- */

static bool merge_is_kept(const struct sl_component *was, const struct sl_component *is)
{
    return was->role != SL_GONE && is->role != SL_OPERATOR && was->digest == is->digest && strcmp(was->type, is->type) == 0;
}

static const struct sl_source_kind *merge_source_kind(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_source_kind *source;
    } u = {.head = component->head};

    return u.source;
}

/* A source that is not closed for its new settings. */
static bool merge_is_set(const struct sl_component *was, const struct sl_component *is)
{
    return was->role == SL_SOURCE && is->role == SL_SOURCE && was->head == is->head && merge_source_kind(is)->change != NULL;
}

static enum sl_merge_fate merge_fate(const struct sl_component *was, const struct sl_component *is)
{
    if (was->role == SL_GONE || is->role == SL_OPERATOR)
        return SL_MERGE_NEW;
    if (merge_is_kept(was, is))
        return SL_MERGE_KEPT;
    return merge_is_set(was, is) ? SL_MERGE_SET : SL_MERGE_CHANGED;
}

/* ---- what cannot change while it runs ---- */

static uint32_t merge_source_flags(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_source_kind *source;
    } u = {.head = component->head};

    return component->role == SL_SOURCE ? u.source->flags : 0;
}

static bool merge_is_flushed(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = component->head};

    return (sl_sink_flags_of(u.sink, component->config) & SL_SINK_FLUSHED) != 0;
}

static int merge_check_top(const struct sl_topology *running, const struct sl_topology *from, struct sl_err *err)
{
    if (strcmp(running->name, from->name) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "name: the running topology is %s, this one is %s; deploy it as a topology of its own, or write name: %s",
                       running->name, from->name, running->name);
    if (running->commit_mode != from->commit_mode)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "commit.mode: it cannot change while the topology runs; leave it as it is, or stop the process and start it with "
                       "this file");
    if (strcmp(running->commit_topic, from->commit_topic) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "commit.topic: marks are in %s and cannot move to %s while the topology runs; write topic: %s, or stop the process "
                       "and start it with this file",
                       running->commit_topic, from->commit_topic, running->commit_topic);
    if (running->commit_every_ns != from->commit_every_ns)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "commit.every: it cannot change while the topology runs; leave it as it is, or stop the process and start it with "
                       "this file");
    if (running->consumers != from->consumers)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "consumers: the number of worker threads that read (%u, this one %u; 0 is the default) is fixed at start; leave it as "
                       "it is, or stop the process and start it with this file",
                       running->consumers, from->consumers);
    return 0;
}

static const struct sl_component *merge_kafka(const struct sl_topology *topology)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if ((merge_source_flags(&topology->components[c]) & SL_SOURCE_KAFKA) != 0)
            return &topology->components[c];
    return NULL;
}

/* Is the setting called `name` the same in both? Kinds without it agree. */
static bool merge_is_same(const struct sl_component *a, const struct sl_component *b, const char *name)
{
    for (const struct sl_field *field = a->head->fields; field != NULL && field->name != NULL; field++) {
        const struct sl_field row[] = {*field, {0}};
        if (strcmp(field->name, name) == 0 &&
            sl_fields_hash(row, a->config, NULL, false, 1) != sl_fields_hash(row, b->config, NULL, false, 1))
            return false;
    }
    return true;
}

/* The Kafka source carries the commit: its group's offsets are where the topology is. */
static int merge_check_kafka(const struct sl_topology *running, const struct sl_topology *from, struct sl_err *err)
{
    static const char *const fixed[] = {"connection", "brokers", "group", NULL};
    const struct sl_component *was = merge_kafka(running), *is = merge_kafka(from);

    if (was == NULL && is == NULL)
        return 0;
    if (was == NULL || is == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "sources.%s: a topology that %s from Kafka cannot %s while it runs, since progress is kept elsewhere; give the new one "
                       "another name and deploy it beside this one",
                       was == NULL ? is->name : was->name, was == NULL ? "does not read" : "reads", was == NULL ? "begin to" : "stop doing so");
    if (strcmp(was->name, is->name) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "sources.%s: the kafka source is called %s while the topology runs, and progress is kept under that name; call it %s",
                       is->name, was->name, was->name);
    for (uint32_t i = 0; fixed[i] != NULL; i++)
        if (was->head != is->head || !merge_is_same(was, is, fixed[i]))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "sources.%s.%s: it cannot change while the topology runs, since the group's offsets are its progress; leave it as "
                           "it is, or deploy this as a topology of another name",
                           is->name, fixed[i]);
    return 0;
}

static bool merge_has_flushed(const struct sl_topology *topology)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK && merge_is_flushed(&topology->components[c]))
            return true;
    return false;
}

/* Mode auto commits to Kafka by transactions once one sink needs them. */
static int merge_check_auto(const struct sl_topology *running, const struct sl_topology *from, struct sl_err *err)
{
    bool was = merge_has_flushed(running);

    if (merge_kafka(running) == NULL || running->commit_mode != SL_COMMIT_AUTO || was == merge_has_flushed(from))
        return 0;
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   "commit.mode: auto means %s while the topology runs, and with this version's sinks it would mean %s; stop the process and "
                   "start it with this file",
                   was ? "transaction" : "offsets", was ? "offsets" : "transaction");
}

static const struct sl_component *merge_sink(const struct sl_topology *topology, const char *name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK && strcmp(topology->components[c].name, name) == 0)
            return &topology->components[c];
    return NULL;
}

/* What was taken but not committed, and what was sent but not acknowledged, are told from each other by the kind of sink alone. */
static int merge_check_sink(const struct sl_topology *running, const struct sl_component *sink, struct sl_err *err)
{
    const struct sl_component *was = merge_sink(running, sink->name);
    bool renamed = was == NULL && sink->sink.was != NULL;

    if (renamed)
        was = merge_sink(running, sink->sink.was);
    if (was != NULL && (was->sink.when_full == SL_FULL_SPOOL) != (sink->sink.when_full == SL_FULL_SPOOL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "sinks.%s.when_full: whether its records wait in a queue of their own cannot change while the topology runs; leave it "
                       "as it is, or give the new sink a name of its own",
                       sink->name);
    if (was != NULL && sink->sink.when_full == SL_FULL_SPOOL && was->sink.required != sink->sink.required)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "sinks.%s.required: what lies in its queue was put there with required: %s, and cannot change its meaning while the "
                       "topology runs; leave it as it is, or give the new sink a name of its own",
                       sink->name, was->sink.required ? "true" : "false");
    if (was == NULL || merge_is_flushed(was) == merge_is_flushed(sink))
        return 0;
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   "%s%s: what it writes %s while the topology runs, as type %s, and would %s as type %s; %s",
                   strcmp(sink->name, "dead_letters") == 0 ? "" : "sinks.", sink->name,
                   merge_is_flushed(was) ? "exists only with the commit" : "is acknowledged record by record", was->type,
                   merge_is_flushed(sink) ? "exist only with the commit" : "be acknowledged record by record", sink->type,
                   strcmp(sink->name, "dead_letters") == 0 ? "stop the process and start it with this file"
                   : renamed                               ? "leave out was:, it is then a new sink"
                                                           : "give the new sink a name of its own");
}

static int merge_check_source(const struct sl_topology *running, const struct sl_component *source, struct sl_err *err)
{
    for (uint32_t c = 0; c < running->components_count; c++) {
        const struct sl_component *was = &running->components[c];
        if (was->role != SL_SOURCE || strcmp(was->name, source->name) != 0 || merge_fate(was, source) != SL_MERGE_SET)
            continue;
        if (merge_source_kind(source)->change(NULL, was->config, source->config, err) != 0)
            return sl_while(err, "sources.%s", source->name);
    }
    return 0;
}

static int merge_check(const struct sl_topology *running, const struct sl_topology *from, struct sl_err *err)
{
    int rc = merge_check_top(running, from, err);

    if (rc == 0)
        rc = merge_check_kafka(running, from, err);
    if (rc == 0)
        rc = merge_check_auto(running, from, err);
    for (uint32_t c = 0; rc == 0 && c < from->components_count; c++)
        if (from->components[c].role == SL_SINK)
            rc = merge_check_sink(running, &from->components[c], err);
        else if (from->components[c].role == SL_SOURCE)
            rc = merge_check_source(running, &from->components[c], err);
    return rc;
}

/* ---- placing ---- */

/* Where each row of `from` goes: the number of rows afterwards. */
static uint32_t merge_places(const struct sl_topology *running, const struct sl_topology *from, uint32_t *places)
{
    uint32_t count = running->components_count;

    for (uint32_t c = 0; c < from->components_count; c++) {
        const struct sl_component *row = &from->components[c];
        places[c] = UINT32_MAX;
        for (uint32_t at = 0; at < running->components_count && places[c] == UINT32_MAX; at++)
            if (merge_is(&running->components[at], row->role, row->name))
                places[c] = at;
        if (places[c] == UINT32_MAX)
            places[c] = count++;
    }
    return count;
}

static void merge_gone(struct merge_memory *memory, const struct sl_topology *running)
{
    char *name = memory->names;

    for (uint32_t at = 0; at < running->components_count; at++) {
        const struct sl_component *was = &running->components[at];
        size_t bytes = strlen(was->name) + 1;
        memory->fates[at] = was->role == SL_GONE ? SL_MERGE_NONE : SL_MERGE_GONE;
        memcpy(name, was->name, bytes);
        memory->components[at] = (struct sl_component){.role = SL_GONE, .gone_role = merge_role(was), .name = name, .type = ""};
        name += bytes;
    }
}

static void merge_place(struct merge_memory *memory, const struct sl_topology *running, const struct sl_component *row, uint32_t at,
                        struct sl_input *inputs)
{
    const struct sl_component *was = at < running->components_count ? &running->components[at] : NULL;
    struct sl_component *to = &memory->components[at];

    memory->fates[at] = was == NULL ? SL_MERGE_NEW : merge_fate(was, row);
    *to = memory->fates[at] == SL_MERGE_KEPT || memory->fates[at] == SL_MERGE_SET ? *was : *row;
    if (memory->fates[at] == SL_MERGE_SET) {
        to->config = row->config;
        to->digest = row->digest;
    }
    to->line = row->line;
    to->column = row->column;
    if (to->sink.was != NULL && ((was != NULL && was->role != SL_GONE) || merge_sink(running, to->sink.was) == NULL))
        to->sink.was = NULL;
    to->inputs = inputs;
    to->inputs_count = row->inputs_count;
    for (uint32_t i = 0; i < row->inputs_count; i++)
        inputs[i] = (struct sl_input){memory->places[row->inputs[i].component], row->inputs[i].port};
}

static struct merge_memory *merge_new(const struct sl_topology *running, const struct sl_topology *from)
{
    struct merge_memory *memory = calloc(1, sizeof(*memory));
    size_t rows = (size_t)running->components_count + from->components_count + 1, inputs = 1, names = 1;

    for (uint32_t c = 0; c < from->components_count; c++)
        inputs += from->components[c].inputs_count;
    for (uint32_t c = 0; c < running->components_count; c++)
        names += strlen(running->components[c].name) + 1;
    if (memory == NULL)
        return NULL;
    memory->magic = MERGE_MAGIC;
    memory->components = calloc(rows, sizeof(*memory->components));
    memory->inputs = calloc(inputs, sizeof(*memory->inputs));
    memory->fates = calloc(rows, sizeof(*memory->fates));
    memory->places = calloc(rows, sizeof(*memory->places));
    memory->names = calloc(names, 1);
    if (memory->components != NULL && memory->inputs != NULL && memory->fates != NULL && memory->places != NULL && memory->names != NULL)
        return memory;
    return merge_free(memory);
}

static void merge_fill(struct merge_memory *memory, const struct sl_topology *running, const struct sl_topology *from, uint32_t count)
{
    struct sl_input *inputs = memory->inputs;

    memory->topology = *from;
    memory->topology.components = memory->components;
    memory->topology.components_count = count;
    memory->topology.dead_letters = (int)memory->places[from->dead_letters];
    merge_gone(memory, running);
    for (uint32_t c = 0; c < from->components_count; c++) {
        merge_place(memory, running, &from->components[c], memory->places[c], inputs);
        inputs += from->components[c].inputs_count;
    }
}

int sl_merge(const struct sl_topology *running, const struct sl_topology *from, struct sl_merge *ret_merge, struct sl_err *err)
{
    struct merge_memory *memory;
    uint32_t count;
    int rc = merge_check(running, from, err);

    if (rc != 0)
        return rc;
    memory = merge_new(running, from);
    if (memory == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a new version of topology %s; free some", from->name);
    count = merge_places(running, from, memory->places);
    if (count > SL_MERGE_COMPONENTS_MAX) {
        (void)merge_free(memory);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                       "topology %s would have had %u components under different names since the process started, and %d are counted at most; "
                       "keep the names of components from version to version, or start the process again",
                       from->name, count, SL_MERGE_COMPONENTS_MAX);
    }
    merge_fill(memory, running, from, count);
    *ret_merge = (struct sl_merge){&memory->topology, memory->fates};
    return 0;
}

void sl_merge_fini(struct sl_merge *merge)
{
    union { /* the topology is the first member of its memory */
        struct sl_topology *topology;
        struct merge_memory *memory;
    } u = {.topology = merge->topology};

    assert(u.memory == NULL || u.memory->magic == MERGE_MAGIC);
    (void)merge_free(u.memory);
    *merge = (struct sl_merge){NULL, NULL};
}
