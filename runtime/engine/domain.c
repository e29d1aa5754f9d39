/* domain.c: the commit domain: local log, Kafka transaction, or plain offsets (rule C1).
 *
 * A change travels as u32 key bytes, u32 value bytes (UINT32_MAX: tombstone), key, value: one buffer, no pointers, so that it
 * may cross to the clerk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/domain.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/engine/mark_codec.h"
#include "runtime/store/commit_log.h"

#define DOMAIN_TOMBSTONE UINT32_MAX
enum { DOMAIN_TOPIC_PARTITIONS = 8, DOMAIN_TIMEOUT_MS = 30000 };

struct sl_domain {
    struct sl_commit_log *local;
    struct sl_klog *log;
    const struct sl_connection *connection;
    struct sl_klog_consumer *consumer;
    struct sl_klog_producer *producer;
    char *group, *transactional_id, *topic;
    int32_t topic_partition;
    uint32_t timeout_ms;
    uint32_t epoch;  /* of this start: its probes are not those of an earlier one */
    uint64_t probes;
    bool transactional, topic_ready;
};

void sl_domain_change(struct sl_domain_commit *commit, struct sl_slice key, struct sl_slice value)
{
    uint32_t sizes[2] = {key.bytes, value.data == NULL ? DOMAIN_TOMBSTONE : value.bytes};

    sl_buf_append(&commit->changes, sizes, sizeof(sizes));
    sl_buf_append(&commit->changes, key.data, key.bytes);
    if (value.data != NULL)
        sl_buf_append(&commit->changes, value.data, value.bytes);
    commit->changes_count++;
}

void sl_domain_commit_reset(struct sl_domain *domain, struct sl_domain_commit *commit)
{
    sl_buf_reset(&commit->changes);
    commit->changes_count = 0;
    sl_klog_list_fini(&commit->offsets);
    if (commit->group != NULL)
        domain->log->kind->group_free(commit->group);
    commit->group = NULL;
    free(commit->flushes);
    commit->flushes = NULL;
    commit->flushes_count = 0;
    commit->unknown = false;
}

struct sl_domain *sl_domain_local_new(struct sl_commit_log *log)
{
    struct sl_domain *domain = calloc(1, sizeof(*domain));

    if (domain != NULL)
        domain->local = log;
    return domain;
}

struct sl_domain *sl_domain_kafka_new(struct sl_klog *log, const struct sl_connection *connection,
                                      struct sl_klog_consumer *consumer, const char *group, const char *transactional_id,
                                      const char *topic, uint32_t epoch, uint32_t transaction_timeout_ms, bool transactional)
{
    struct sl_domain *domain = calloc(1, sizeof(*domain));

    if (domain == NULL)
        return NULL;
    domain->log = log;
    domain->connection = connection;
    domain->consumer = consumer;
    domain->group = strdup(group);
    domain->transactional_id = strdup(transactional_id);
    domain->topic = strdup(topic);
    domain->epoch = epoch;
    domain->timeout_ms = transaction_timeout_ms;
    domain->transactional = transactional;
    if (domain->group == NULL || domain->transactional_id == NULL || domain->topic == NULL)
        return sl_domain_free(domain);
    return domain;
}

struct sl_domain *sl_domain_free(struct sl_domain *domain)
{
    if (domain == NULL)
        return NULL;
    if (domain->producer != NULL)
        domain->log->kind->producer_close(domain->producer);
    free(domain->group);
    free(domain->transactional_id);
    free(domain->topic);
    free(domain);
    return NULL;
}

bool sl_domain_is_kafka(const struct sl_domain *domain)
{
    return domain->local == NULL;
}

struct sl_klog_consumer *sl_domain_consumer(struct sl_domain *domain)
{
    return domain->consumer;
}

static int domain_topic(struct sl_domain *domain, struct sl_err *err)
{
    uint32_t partitions = 0;

    if (domain->topic_ready)
        return 0;
    if (domain->log->kind->topic_ensure(domain->log, domain->connection, domain->topic, DOMAIN_TOPIC_PARTITIONS, err) != 0 ||
        domain->log->kind->partition_count(domain->log, domain->connection, domain->topic, &partitions, err) != 0)
        return sl_while(err, "commit topic %s", domain->topic);
    domain->topic_partition = sl_commit_partition(domain->group, partitions);
    domain->topic_ready = true;
    return 0;
}

static int domain_producer(struct sl_domain *domain, struct sl_err *err)
{
    if (domain->producer != NULL)
        return 0;
    if (domain_topic(domain, err) != 0)
        return -(int)err->code;
    if (domain->log->kind->producer_open(domain->log, domain->connection, domain->transactional_id, domain->timeout_ms,
                                         &domain->producer, err) != 0)
        return sl_while(err, "producer %s of the commit", domain->transactional_id);
    return 0;
}

static void domain_producer_drop(struct sl_domain *domain)
{
    if (domain->producer != NULL)
        domain->log->kind->producer_close(domain->producer);
    domain->producer = NULL;
}

int sl_domain_warm(struct sl_domain *domain, struct sl_err *err)
{
    if (domain->local != NULL || !domain->transactional)
        return 0;
    if (domain_producer(domain, err) != 0)
        return -(int)err->code;
    return domain->log->kind->warm == NULL ? 0 : domain->log->kind->warm(domain->producer, domain->topic, err);
}

/* Iterates the flat buffer of changes. */
static bool domain_next(const struct sl_buf *changes, size_t *at, struct sl_slice *key, struct sl_slice *value)
{
    uint32_t sizes[2];

    if (*at >= changes->bytes)
        return false;
    memcpy(sizes, changes->data + *at, sizeof(sizes));
    *at += sizeof(sizes);
    *key = (struct sl_slice){changes->data + *at, sizes[0]};
    *at += sizes[0];
    *value = (struct sl_slice){NULL, 0};
    if (sizes[1] != DOMAIN_TOMBSTONE) {
        *value = (struct sl_slice){changes->data + *at, sizes[1]};
        *at += sizes[1];
    }
    return true;
}

/* A record that the log calls failed may still be found whole after a crash; the same keys and values are written again until
 * they are durable, which changes nothing if they were. */
static int domain_commit_local(struct sl_domain *domain, struct sl_domain_commit *commit, struct sl_err *err)
{
    struct sl_commit_change *changes = calloc(commit->changes_count + 1, sizeof(*changes));
    size_t at = 0;
    uint32_t count = 0;
    int status;

    if (changes == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a commit of %u changes", commit->changes_count);
    while (domain_next(&commit->changes, &at, &changes[count].key, &changes[count].value))
        count++;
    assert(count == commit->changes_count);
    status = count == 0 ? 0 : sl_commit_log_append(domain->local, changes, count, err);
    commit->unknown = status != 0;
    free(changes);
    return status;
}

static int domain_produce(struct sl_domain *domain, const struct sl_domain_commit *commit, struct sl_err *err)
{
    const struct sl_klog_kind *kind = domain->log->kind;
    struct sl_klog_record record = {.topic = domain->topic, .partition = domain->topic_partition};
    size_t at = 0;

    while (domain_next(&commit->changes, &at, &record.key, &record.payload)) {
        record.null_payload = record.payload.data == NULL;
        if (kind->produce(domain->producer, &record, 1, err) != 0)
            return sl_while(err, "commit topic %s", domain->topic);
    }
    for (uint32_t i = 0; i < commit->flushes_count; i++) {
        struct sl_flush *flush = commit->flushes[i];
        if (flush->kind->transact != NULL && flush->kind->transact(flush, domain->log, domain->producer, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

/* A scan ends at the first transaction that is still open, anybody's: what lies behind it, our own commits too, is not seen. So a
 * record of ours is committed first; a scan that has seen it has seen everything before it. */
struct domain_scan {
    int (*each)(void *user, struct sl_slice key, struct sl_slice value);
    void *user;
    struct sl_slice probe;
    bool seen;
};

static int domain_scan_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct domain_scan *scan = user;

    if (!sl_slice_eq(key, scan->probe))
        return scan->each(scan->user, key, value);
    scan->seen = true;
    return 0;
}

/* A tombstone of a key of its own: compaction removes it. */
static int domain_probe(struct sl_domain *domain, struct sl_slice key, struct sl_err *err)
{
    const struct sl_klog_kind *kind = domain->log->kind;
    struct sl_klog_record record = {.topic = domain->topic, .partition = domain->topic_partition, .key = key, .null_payload = true};

    if (kind->begin(domain->producer, err) == 0 && kind->produce(domain->producer, &record, 1, err) == 0 &&
        kind->commit(domain->producer, err) == 0)
        return 0;
    domain_producer_drop(domain);
    return -(int)err->code;
}

static int domain_scan_all(struct sl_domain *domain, int (*each)(void *, struct sl_slice, struct sl_slice), void *user,
                           struct sl_err *err)
{
    char key[720];
    int bytes = snprintf(key, sizeof(key), "?%s?%u?%llu", domain->transactional_id, domain->epoch,
                         (unsigned long long)++domain->probes);
    struct domain_scan scan = {each, user, {key, (uint32_t)bytes}, false};
    uint64_t offset = 0;
    int status;

    if (domain_producer(domain, err) != 0 || domain_probe(domain, scan.probe, err) != 0) {
        err->remedy = err->remedy == SL_REMEDY_FENCE ? SL_REMEDY_RETRY : err->remedy;
        return -(int)err->code;
    }
    status = domain->log->kind->scan(domain->log, domain->connection, domain->topic, domain->topic_partition, &offset,
                                     domain_scan_each, &scan, err);
    if (status == 0 && !scan.seen)
        status = sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "another transaction is open in commit topic %s: waiting for its end",
                         domain->topic);
    return status;
}

/* One change of a commit: when the commit topic holds it, the commit happened, since it is atomic and its flush numbers are written by
 * nobody else, and never twice. A commit without a flush is told by a mark; other keys (a zone's, of a sink that was renamed) may well
 * have been written before, by another slot. */
struct domain_witness {
    struct sl_slice key, value;
    bool found;
};

static int domain_witness_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct domain_witness *witness = user;

    if (sl_slice_eq(key, witness->key))
        witness->found = value.data != NULL && sl_slice_eq(value, witness->value);
    return 0;
}

static bool domain_witness_of(const struct sl_domain_commit *commit, struct domain_witness *witness)
{
    static const char kinds[] = {SL_KEY_FLUSH, SL_KEY_MARK, 0}; /* 0: any */

    for (size_t k = 0; k < sizeof(kinds); k++) {
        size_t at = 0;
        while (domain_next(&commit->changes, &at, &witness->key, &witness->value))
            if (witness->value.data != NULL && (kinds[k] == 0 || (witness->key.bytes > 0 && witness->key.data[0] == kinds[k])))
                return true;
    }
    return false;
}

/* The answer to the commit is not known, or was that we are fenced, which may also be said of an epoch that our own retry has
 * raised. A new producer of the same id ends the transaction one way or the other; then the commit topic tells which. */
static int domain_look_up(struct sl_domain *domain, struct sl_domain_commit *commit, struct sl_err *err)
{
    struct domain_witness witness = {.found = false};
    struct sl_err why = *err, look = {0};

    commit->unknown = false;
    if (!domain_witness_of(commit, &witness))
        return -(int)err->code;
    domain_producer_drop(domain);
    if (domain_scan_all(domain, domain_witness_each, &witness, &look) != 0) {
        commit->unknown = true;
        err->remedy = SL_REMEDY_RETRY;
        return sl_while(err, "whether a commit happened is not known yet: %s", look.text);
    }
    if (witness.found)
        return 0;
    *err = why;
    return -(int)err->code;
}

static int domain_commit_transaction(struct sl_domain *domain, struct sl_domain_commit *commit, struct sl_err *err)
{
    const struct sl_klog_kind *kind = domain->log->kind;
    struct sl_err abort_err = {0};

    if (commit->unknown)
        return domain_look_up(domain, commit, err);
    if (domain_producer(domain, err) != 0 || kind->begin(domain->producer, err) != 0)
        goto failed;
    if (domain_produce(domain, commit, err) != 0 ||
        (commit->offsets.count > 0 && kind->send_offsets(domain->producer, &commit->offsets, commit->group, err) != 0)) {
        if (kind->abort(domain->producer, &abort_err) != 0)
            domain_producer_drop(domain);
        goto failed;
    }
    if (kind->commit(domain->producer, err) == 0)
        return 0;
    if (commit->flushes_count > 0 && err->remedy != SL_REMEDY_HALT)
        return domain_look_up(domain, commit, err);
failed:
    if (err->remedy != SL_REMEDY_HALT)
        domain_producer_drop(domain); /* a fatal or unknown state does not heal; the next commit opens another */
    return -(int)err->code;
}

int sl_domain_commit(struct sl_domain *domain, struct sl_domain_commit *commit, struct sl_err *err)
{
    if (sl_buf_failed(&commit->changes))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the commit record");
    if (domain->local != NULL)
        return domain_commit_local(domain, commit, err);
    if (domain->transactional)
        return domain_commit_transaction(domain, commit, err);
    if (commit->offsets.count == 0)
        return 0;
    return domain->log->kind->commit_offsets(domain->consumer, &commit->offsets, err);
}

/* ---- reading the map back ---- */

/* The commit topic may hold several values of a key; the last one counts. Kept sorted would cost more than it saves: keys are
 * few (marks, zones, entries not yet tombstoned). */
struct domain_row {
    struct sl_slice key, value;
};

struct domain_map {
    struct domain_row *rows;
    uint32_t count, cap;
    bool failed;
};

static struct sl_slice domain_copy(struct sl_slice from)
{
    char *copy = malloc(from.bytes + 1u);

    if (copy != NULL && from.bytes > 0)
        memcpy(copy, from.data, from.bytes);
    return (struct sl_slice){copy, copy == NULL ? 0 : from.bytes};
}

static struct domain_row *domain_find(struct domain_map *map, struct sl_slice key)
{
    for (uint32_t i = map->count; i > 0; i--)
        if (sl_slice_eq(map->rows[i - 1].key, key))
            return &map->rows[i - 1];
    return NULL;
}

static void domain_remove(struct domain_map *map, struct domain_row *row)
{
    free((void *)(uintptr_t)row->key.data);
    free((void *)(uintptr_t)row->value.data);
    *row = map->rows[--map->count];
}

static int domain_map_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct domain_map *map = user;
    struct domain_row *row = domain_find(map, key);

    if (row != NULL)
        domain_remove(map, row);
    if (value.data == NULL)
        return 0;
    if (map->count == map->cap) {
        uint32_t cap = map->cap == 0 ? 64 : map->cap * 2;
        struct domain_row *rows = realloc(map->rows, cap * sizeof(*rows));
        if (rows == NULL) {
            map->failed = true;
            return 0;
        }
        map->rows = rows;
        map->cap = cap;
    }
    map->rows[map->count++] = (struct domain_row){domain_copy(key), domain_copy(value)};
    return 0;
}

static int domain_each_kafka(struct sl_domain *domain, int (*each)(void *, struct sl_slice, struct sl_slice), void *user,
                             struct sl_err *err)
{
    struct domain_map map = {0};
    int status = 0;

    if (domain_scan_all(domain, domain_map_each, &map, err) != 0)
        status = sl_while(err, "reading commit topic %s", domain->topic);
    else if (map.failed)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the commit topic's keys");
    for (uint32_t i = 0; status == 0 && i < map.count; i++)
        status = each(user, map.rows[i].key, map.rows[i].value);
    while (map.count > 0)
        domain_remove(&map, &map.rows[map.count - 1]);
    free(map.rows);
    return status;
}

int sl_domain_each(struct sl_domain *domain, int (*each)(void *user, struct sl_slice key, struct sl_slice value), void *user,
                   struct sl_err *err)
{
    if (domain->local != NULL)
        return sl_commit_log_each(domain->local, each, user);
    if (!domain->transactional)
        return 0;
    return domain_each_kafka(domain, each, user, err);
}

/* ---- zones ---- */

struct domain_zone {
    struct sl_slice key;
    char *zone;
    bool found;
};

static int domain_zone_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct domain_zone *want = user;

    if (!sl_slice_eq(key, want->key) || value.data == NULL || value.bytes != 32)
        return 0;
    memcpy(want->zone, value.data, 32);
    want->zone[32] = '\0';
    want->found = true;
    return 0;
}

/* Kafka: the producer's id is that of the zone, so a racing second process fences the first and then reads what it wrote. */
static int domain_zone_make_kafka(struct sl_domain *domain, const char *sink, struct domain_zone *want, struct sl_err *err)
{
    const struct sl_klog_kind *kind = domain->log->kind;
    struct sl_klog_producer *producer = NULL;
    struct sl_klog_record record = {.topic = domain->topic, .partition = domain->topic_partition, .key = want->key};
    char made[33], id[600];
    int status;

    memcpy(made, want->zone, sizeof(made));
    (void)snprintf(id, sizeof(id), "%s/zone/%s", domain->group, sink);
    status = kind->producer_open(domain->log, domain->connection, id, 10000, &producer, err);
    if (status != 0)
        return status;
    status = domain_each_kafka(domain, domain_zone_each, want, err);
    if (status == 0 && !want->found) {
        memcpy(want->zone, made, sizeof(made));
        record.payload = sl_slice_of(want->zone);
        status = kind->begin(producer, err);
        if (status == 0 && (status = kind->produce(producer, &record, 1, err)) == 0)
            status = kind->commit(producer, err);
    }
    kind->producer_close(producer);
    return status;
}

/* The slots of a process take turns; of two processes one is fenced, and finds what the other wrote now or at its next try. */
static int domain_zone_kafka(struct sl_domain *domain, const char *sink, struct domain_zone *want, struct sl_err *err)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    int status;

    (void)pthread_mutex_lock(&turn);
    status = domain_zone_make_kafka(domain, sink, want, err);
    (void)pthread_mutex_unlock(&turn);
    if (status == 0 || err->remedy != SL_REMEDY_FENCE)
        return status;
    if (domain_each_kafka(domain, domain_zone_each, want, err) != 0)
        return -(int)err->code;
    if (want->found)
        return 0;
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "zone id of sink %s: another process is making it", sink);
}

int sl_domain_zone(struct sl_domain *domain, const char *group, const char *sink, const uint64_t random[2], char *zone,
                   struct sl_err *err)
{
    struct sl_commit_key key = {.kind = SL_KEY_ZONE, .group = group, .sink = sink};
    char text[SL_COMMIT_KEY_BYTES];
    struct domain_zone want = {.zone = zone};
    struct sl_commit_change change;

    want.key = (struct sl_slice){text, (uint32_t)sl_commit_key_print(&key, text)};
    if (sl_domain_each(domain, domain_zone_each, &want, err) != 0)
        return -(int)err->code;
    if (want.found)
        return 0;
    (void)snprintf(zone, 33, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
    if (domain->local == NULL && !domain->transactional) { /* plain offsets keep no map: the id follows from the names */
        XXH128_hash_t hash = XXH3_128bits(text, want.key.bytes);
        (void)snprintf(zone, 33, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
        return 0;
    }
    if (domain->local == NULL)
        return domain_zone_kafka(domain, sink, &want, err);
    change = (struct sl_commit_change){want.key, sl_slice_of(zone)};
    return sl_commit_log_append(domain->local, &change, 1, err);
}
