/* digest.c: which version a topology is, and which settings each of its components has, as numbers that equal settings share.
 *
 * Nothing of the spelling is in them (order of keys, blanks, defaults written out), nor where the topology lies. `now` adds what is read
 * in place: secrets, files that change while they are used, the connections of the process file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/config/condition.h"
#include "runtime/config/draft.h"
#include "runtime/config/encoding.h"
#include "runtime/config/pool.h"

enum { DIGEST_CHUNK_BYTES = 1 << 18, DIGEST_IN_PLACE_BYTES = 64 << 20 };

static uint64_t digest_bytes(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed * 31 + bytes + 1);
}

static uint64_t digest_text(const char *text, uint64_t seed)
{
    return text == NULL ? digest_bytes("", 0, seed ^ 0x5a5a) : digest_bytes(text, strlen(text), seed);
}

static uint64_t digest_number(uint64_t number, uint64_t seed)
{
    return digest_bytes(&number, sizeof(number), seed);
}

/* ---- files ---- */

/* 0: the content could not be read whole. */
static uint64_t digest_content(int fd)
{
    char *chunk = malloc(DIGEST_CHUNK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    ssize_t got = -1;
    uint64_t hash = 0;

    if (chunk != NULL && state != NULL && XXH3_64bits_reset(state) == XXH_OK)
        while ((got = read(fd, chunk, DIGEST_CHUNK_BYTES)) > 0 || (got < 0 && errno == EINTR))
            if (got > 0)
                (void)XXH3_64bits_update(state, chunk, (size_t)got);
    if (got == 0)
        hash = XXH3_64bits_digest(state) | 1; /* 0 is kept for: unknown */
    (void)XXH3_freeState(state);
    free(chunk);
    return hash;
}

uint64_t sl_digest_file(const char *path, bool in_place)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    uint64_t hash = 0;

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        const uint64_t seen[] = {(uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
        hash = in_place && st.st_size > DIGEST_IN_PLACE_BYTES ? digest_bytes(seen, sizeof(seen), 3) | 1 : digest_content(fd);
    }
    (void)close(fd);
    return hash;
}

/* ---- components ---- */

static const char *digest_connection_name(const struct sl_component *component)
{
    const char *name = NULL;

    for (const struct sl_field *field = component->head->fields; field != NULL && field->name != NULL; field++)
        if (field->type == SL_F_STRING && strcmp(field->name, "connection") == 0)
            memcpy(&name, (const char *)component->config + field->offset, sizeof(name));
    return name;
}

static uint64_t digest_path(const char *path, uint64_t seed)
{
    return path == NULL ? digest_text(NULL, seed) : digest_number(sl_digest_file(path, true), digest_text(path, seed));
}

static uint64_t digest_connection(const struct sl_connection *connection, uint64_t seed)
{
    for (uint32_t i = 0; i < connection->brokers.count; i++)
        seed = digest_text(connection->brokers.items[i], seed);
    seed = digest_text(connection->sasl_mechanism, digest_text(connection->security_protocol, seed));
    seed = sl_secret_hash(&connection->sasl_password, NULL, true, digest_text(connection->sasl_username, seed));
    seed = digest_path(connection->key, digest_path(connection->certificate, digest_path(connection->ca, seed)));
    for (uint32_t i = 0; i < connection->librdkafka.count; i++)
        seed = digest_text(connection->librdkafka.items[i].value, digest_text(connection->librdkafka.items[i].name, seed));
    return seed;
}

/* Of a component's own inputs only the part of the setting behind its name. */
static uint64_t digest_inputs(const struct sl_draft *draft, const struct sl_draft_component *item, bool now, uint64_t seed)
{
    for (uint32_t i = 0; i < item->files_count; i++) {
        const struct sl_input_file *file = &draft->bind.inputs->items[item->files_first + i];
        seed = digest_text(file->setting + strlen(item->setting), seed);
        seed = digest_text(file->named, seed);
        if (now || !file->in_place)
            seed = digest_number(file->digest, seed);
    }
    return seed;
}

static uint64_t digest_sink(const struct sl_sink_common *sink, uint64_t seed)
{
    const uint64_t numbers[] = {sink->backoff_min_ns, sink->backoff_max_ns, sink->deadline_ns,         sink->batch_bytes,
                                sink->batch_records,  sink->batch_every_ns, sink->queue_bytes,         sink->queue_age_ns,
                                sink->required,       sink->refused_drop,   (uint64_t)sink->when_full, sink->queue_lose};

    seed = sl_encoding_hash(sink->encoding, digest_bytes(numbers, sizeof(numbers), seed));
    return sink->where == NULL ? seed : sl_cond_hash(sink->where, seed);
}

/* Without name and inputs. */
static uint64_t digest_component(const struct sl_draft *draft, const struct sl_topology *topology,
                                 const struct sl_draft_component *item, bool now)
{
    const struct sl_component *component = &item->component;
    const char *name = digest_connection_name(component);
    uint64_t seed = digest_text(component->type, 1 + (uint64_t)component->role);

    seed = sl_fields_hash(component->head->fields, component->config, topology->base_dir, now, seed);
    seed = digest_inputs(draft, item, now, seed);
    for (uint32_t i = 0; now && name != NULL && i < topology->connections_count; i++)
        if (strcmp(topology->connections[i].name, name) == 0)
            seed = digest_connection(&topology->connections[i], seed);
    return component->role == SL_SINK ? digest_sink(&component->sink, seed) : seed;
}

/* ---- the whole ---- */

/* By name: moving a component in the file changes nothing that runs. */
static int digest_by_name(const void *a, const void *b)
{
    const struct sl_draft_component *const *one = a, *const *other = b;

    return strcmp((*one)->component.name, (*other)->component.name);
}

static uint64_t digest_wired(const struct sl_draft *draft, const struct sl_topology *topology, const struct sl_draft_component *item,
                             uint64_t seed)
{
    const struct sl_component *component = &item->component;

    seed = digest_text(component->name, digest_number((uint64_t)component->role, seed));
    seed = digest_number(digest_component(draft, topology, item, false), seed);
    for (uint32_t i = 0; i < component->inputs_count; i++)
        seed = digest_number(component->inputs[i].port,
                             digest_text(topology->components[component->inputs[i].component].name, seed));
    if (component->role != SL_SINK) /* what matters to a deployment alone */
        return seed;
    return digest_number(component->sink.reachable, digest_text(component->sink.was, seed));
}

/* topology->components are placed and wired already. */
void sl_draft_digest(struct sl_draft *draft, struct sl_topology *topology)
{
    const struct sl_draft_component **order = sl_pool_alloc(draft->bind.pool, draft->count * sizeof(struct sl_draft_component *));
    const uint64_t numbers[] = {topology->memory_bytes,    topology->consumers,  (uint64_t)topology->commit_mode,
                                topology->commit_every_ns, topology->max_age_ns, topology->max_future_ns};
    uint64_t hash, now;

    for (uint32_t i = 0; i < draft->count; i++)
        order[i] = &draft->items[i];
    qsort(order, draft->count, sizeof(struct sl_draft_component *), digest_by_name);
    hash = digest_text(topology->commit_topic, digest_bytes(numbers, sizeof(numbers), digest_text(topology->name, 1)));
    for (uint32_t i = 0; i < draft->count; i++)
        hash = digest_wired(draft, topology, order[i], hash);
    now = hash;
    for (uint32_t i = 0; i < draft->count; i++) {
        uint64_t digest = digest_component(draft, topology, order[i], true);
        topology->components[order[i]->order].digest = digest;
        now = digest_number(digest, now);
    }
    topology->digest = hash;
    topology->digest_now = now;
}
