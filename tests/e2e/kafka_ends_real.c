/* kafka_ends_real.c: the kafka source and the kafka sink against a real Kafka, with a slot of the test's own in the engine's place.
 *
 *   kafka_ends_real BROKERS
 *
 * Run by klog.sh. The slot keeps partitions in a plain table and commits by hand, so that each rule can be shown by itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "operators/sinks/kafka.h"
#include "operators/sinks/sinks.h"
#include "operators/sources/sources.h"
#include "operators/sources/kafka/kafka.h"
#include "runtime/base/clock.h"

static int failures, checks;
#define CHECK(condition)                                                                                                \
    do {                                                                                                                \
        checks++;                                                                                                       \
        if (!(condition)) {                                                                                             \
            failures++;                                                                                                 \
            printf("  FAILED %s:%d: %s\n", __func__, __LINE__, #condition);                                             \
        }                                                                                                               \
    } while (0)

/* ---- the slot ---- */
enum { PARTITIONS = 16 };

struct slot {
    struct sl_api api;
    struct sl_topology topology;
    struct sl_component components[2];
    struct sl_klog_consumer *consumer;
    struct sl_partition *partitions[PARTITIONS];
    struct sl_mark marks[PARTITIONS]; /* of the sink, by partition number */
    uint64_t records[PARTITIONS], gaps, held, revoked, large, nulls, keys, headers, broken, done, refused;
    char held_why[512];
    struct sl_job *jobs;
    struct sl_arena arena;
    void *source;
};

static const char *brokers[1];

uint64_t sl_record_hash(struct sl_slice payload)
{
    return XXH3_64bits(payload.data, payload.bytes);
}

static uint64_t now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

static int64_t unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static void submit(void *env, struct sl_job *job)
{
    struct slot *slot = env;
    struct sl_job **end = &slot->jobs;

    while (*end != NULL)
        end = &(*end)->next;
    job->next = NULL;
    *end = job;
}

static void wake(void *env)
{
    (void)env;
}

static void tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    (void)env, (void)self, (void)counter, (void)by;
}

static void note(void *env, const struct sl_err *err, const char *what)
{
    (void)env;
    printf("  (%s: %s)\n", what, err->text);
}

static struct slot *of(struct sl_slot *opaque)
{
    return (struct slot *)(void *)opaque;
}

int sl_slot_assign(struct sl_slot *opaque, void *source, const char *topic, const char *id, int32_t number,
                   const struct sl_named_mark *marks, uint32_t marks_count, uint64_t start, void *user,
                   struct sl_partition **ret_partition, struct sl_mark *ret_mark, struct sl_err *err)
{
    struct slot *slot = of(opaque);
    struct sl_partition *partition = calloc(1, sizeof(*partition));

    (void)source, (void)err;
    assert(number < PARTITIONS && slot->partitions[number] == NULL && marks != NULL);
    *partition = (struct sl_partition){.index = (uint32_t)number, .source = "logs", .topic = topic, .number = number, .user = user};
    (void)snprintf(partition->id, sizeof(partition->id), "%s", id);
    slot->marks[number] = (struct sl_mark){start, UINT64_MAX, 0, 0};
    for (uint32_t i = 0; i < marks_count; i++)
        if (strcmp(marks[i].sink, "out") == 0)
            slot->marks[number] = marks[i].mark;
    partition->next = slot->marks[number].next;
    *ret_mark = slot->marks[number];
    slot->partitions[number] = *ret_partition = partition;
    return 0;
}

void sl_slot_hold(struct sl_slot *opaque, struct sl_partition *partition, const struct sl_err *why)
{
    struct slot *slot = of(opaque);

    slot->held++;
    (void)snprintf(slot->held_why, sizeof(slot->held_why), "%s", why->text);
    partition->held = slot->held_why;
}

void sl_slot_gap(struct sl_slot *opaque, struct sl_partition *partition, uint64_t to, const char *why)
{
    (void)why;
    of(opaque)->gaps += to - partition->next;
    partition->next = to;
}

void sl_slot_revoke(struct sl_slot *opaque, struct sl_partition *const *partitions, uint32_t count, bool commit,
                    void (*done)(void *user), void *user)
{
    struct slot *slot = of(opaque);

    (void)commit;
    for (uint32_t i = 0; i < count; i++) {
        slot->partitions[partitions[i]->number] = NULL;
        slot->revoked++;
        free(partitions[i]);
    }
    done(user);
}

void sl_slot_use_consumer(struct sl_slot *opaque, struct sl_klog *log, const struct sl_connection *connection,
                          struct sl_klog_consumer *consumer, const char *group)
{
    (void)log, (void)connection, (void)group;
    of(opaque)->consumer = consumer;
}

struct sl_klog *sl_slot_klog(struct sl_slot *opaque)
{
    (void)opaque;
    return sl_klog_rdkafka();
}

const struct sl_topology *sl_slot_topology(const struct sl_slot *opaque)
{
    return &((const struct slot *)(const void *)opaque)->topology;
}

const char *sl_slot_commit_topic(const struct sl_slot *opaque)
{
    (void)opaque;
    return "sluice-commits";
}

void sl_slot_done(struct sl_slot *opaque, void *sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why)
{
    (void)sink, (void)refs, (void)why;
    of(opaque)->done += outcome == SL_ACK ? count : 0;
    of(opaque)->refused += outcome == SL_REFUSED ? count : 0;
}

void sl_slot_refused(struct sl_slot *opaque, void *sink, const struct sl_refused *record, const struct sl_err *why)
{
    (void)sink, (void)record, (void)why;
    of(opaque)->refused++;
}

/* ---- driving the source ---- */
static struct slot *slot_new(const char *node)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    slot->api = (struct sl_api){.env = slot, .now_ns = now_ns, .unix_ms = unix_ms, .submit = submit, .wake = wake, .tally = tally,
                                .log = note, .node = node, .topology = "t", .component = "logs", .slots = 1,
                                .share_bytes = 16 << 20, .max_record_bytes = 100000};
    slot->components[0] = (struct sl_component){.role = SL_SOURCE, .name = "logs", .head = &sl_source_kafka.head};
    slot->components[1] = (struct sl_component){.role = SL_SINK, .name = "out", .head = &sl_sink_blackhole.head};
    slot->topology = (struct sl_topology){.name = "t", .components = slot->components, .components_count = 2,
                                          .commit_mode = SL_COMMIT_TRANSACTION};
    assert(sl_arena_init(&slot->arena, 1 << 20, 16 << 20) == 0);
    return slot;
}

static void slot_open(struct slot *slot, const struct kafka_config *config)
{
    struct sl_err err = {0};

    slot->source = calloc(1, sl_source_kafka.head.self_bytes);
    if (sl_source_kafka.open(slot->source, &slot->api, config, (struct sl_slot *)(void *)slot, &err) != 0)
        printf("  open: %s\n", err.text);
}

static void slot_close(struct slot *slot)
{
    sl_source_kafka.close(slot->source);
    for (int i = 0; i < PARTITIONS; i++)
        free(slot->partitions[i]);
    free(slot->source);
    sl_arena_fini(&slot->arena);
    free(slot);
}

static void take(struct slot *slot, const struct sl_batch *batch)
{
    struct sl_partition *partition = batch->partition;
    int number = partition->number;

    CHECK(batch->first == partition->next && batch->next > batch->first); /* rule A2 */
    for (uint32_t i = 0; i < batch->count; i++) {
        CHECK(batch->offset[i] >= batch->first && batch->offset[i] < batch->next);
        CHECK(i == 0 || batch->offset[i] > batch->offset[i - 1]);
        CHECK(batch->raw[i].data != NULL);
        slot->nulls += batch->null_payload != NULL && batch->null_payload[i];
        slot->keys += batch->key != NULL && batch->key[i].data != NULL;
        slot->headers += batch->headers != NULL ? batch->headers_count[i] : 0;
    }
    slot->large += batch->large;
    slot->broken += batch->may_break;
    slot->records[number] += batch->count;
    partition->next = batch->next;
    slot->marks[number] = (struct sl_mark){batch->next, batch->offset[batch->count - 1],
                                           sl_record_hash(batch->raw[batch->count - 1]), batch->append_unix_ms[batch->count - 1]};
}

static int slot_turn(struct slot *slot)
{
    struct sl_batch batch = {.arena = &slot->arena};
    struct sl_err err = {0};
    struct sl_job *job = slot->jobs;
    int got;

    sl_arena_reset(&slot->arena);
    if (job != NULL) {
        slot->jobs = job->next;
        job->run(job);
        job->done(job);
    }
    got = sl_source_kafka.poll(slot->source, &batch, &err);
    if (got < 0)
        printf("  poll: %s\n", err.text);
    if (got == 1)
        take(slot, &batch);
    else
        usleep(2000); /* poll */
    return got;
}

static uint64_t total(const struct slot *slot)
{
    uint64_t sum = 0;

    for (int i = 0; i < PARTITIONS; i++)
        sum += slot->records[i];
    return sum;
}

#define TURN_UNTIL(slot, condition)                                                                                     \
    do {                                                                                                                \
        uint64_t guard_ns = sl_clock_now_ns() + 60 * SL_NS_PER_S;                                                       \
        while (!(condition) && sl_clock_now_ns() < guard_ns && slot_turn(slot) >= 0)                                    \
            ;                                                                                                           \
        CHECK(condition);                                                                                               \
    } while (0)

/* What the engine's commit does: offsets with marks as metadata, marks in the commit topic. */
static void commit(struct slot *slot, const char *topic, const char *group_id)
{
    struct sl_klog *log = sl_klog_rdkafka();
    struct sl_connection connection = {.brokers = {brokers, 1}};
    struct sl_klog_producer *producer = NULL;
    struct sl_klog_group *group = log->kind->group_snapshot(slot->consumer);
    struct sl_klog_list offsets = {NULL, 0};
    struct sl_err err = {0};
    uint32_t count = 0;
    bool good = log->kind->producer_open(log, &connection, "t/n/0/0", 10000, &producer, &err) == 0 &&
                log->kind->topic_ensure(log, &connection, "sluice-commits", 4, &err) == 0 &&
                log->kind->partition_count(log, &connection, "sluice-commits", &count, &err) == 0 &&
                log->kind->begin(producer, &err) == 0;

    for (int i = 0; i < PARTITIONS && good; i++) {
        char metadata[SL_MARK_METADATA_BYTES + 1], key[SL_COMMIT_KEY_BYTES], value[SL_MARK_BYTES];
        struct sl_named_mark row = {"out", slot->marks[i], 0};
        struct sl_commit_key name = {.kind = SL_KEY_MARK, .group = group_id, .sink = "out", .source = "logs", .topic = topic};
        uint32_t written;

        if (slot->partitions[i] == NULL)
            continue;
        (void)sl_marks_print(&row, 1, metadata, &written);
        sl_klog_list_add(&offsets, topic, i, (int64_t)slot->marks[i].next, metadata, (uint32_t)strlen(metadata));
        name.id = slot->partitions[i]->id;
        { /* Kafka forgets the offsets of a topic that is deleted: only these marks remember it */
            struct sl_klog_record record = {.topic = "sluice-commits", .partition = sl_commit_partition(group_id, count)};

            record.key = (struct sl_slice){key, (uint32_t)sl_commit_key_print(&name, key)};
            record.payload = (struct sl_slice){value, (uint32_t)sl_mark_print(&slot->marks[i], 0, value)};
            good = log->kind->produce(producer, &record, 1, &err) == 0;
        }
    }
    good = good && log->kind->send_offsets(producer, &offsets, group, &err) == 0 && log->kind->commit(producer, &err) == 0;
    if (!good)
        printf("  commit: %s\n", err.text);
    CHECK(good);
    sl_klog_list_fini(&offsets);
    log->kind->group_free(group);
    log->kind->producer_close(producer);
}

/* ---- topics ---- */
static void admin(const char *topic, int partitions, int64_t delete_before)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;

    rd_kafka_conf_set(conf, "bootstrap.servers", brokers[0], text, sizeof(text));
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    queue = rd_kafka_queue_new(rk);
    if (partitions > 0) {
        rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(topic, partitions, -1, text, sizeof(text));

        rd_kafka_CreateTopics(rk, &made, 1, NULL, queue);
        rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 60000));
        rd_kafka_NewTopic_destroy(made);
    } else if (partitions < 0) {
        rd_kafka_DeleteTopic_t *gone = rd_kafka_DeleteTopic_new(topic);

        rd_kafka_DeleteTopics(rk, &gone, 1, NULL, queue);
        rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 60000));
        rd_kafka_DeleteTopic_destroy(gone);
    } else {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_DeleteRecords_t *before;

        rd_kafka_topic_partition_list_add(list, topic, 0)->offset = delete_before;
        before = rd_kafka_DeleteRecords_new(list);
        rd_kafka_DeleteRecords(rk, &before, 1, NULL, queue);
        rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 60000));
        rd_kafka_DeleteRecords_destroy(before);
        rd_kafka_topic_partition_list_destroy(list);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static bool exists(const char *topic)
{
    struct sl_klog *log = sl_klog_rdkafka();
    struct sl_connection connection = {.brokers = {brokers, 1}};
    struct sl_err err;
    uint32_t count;

    return log->kind->partition_count(log, &connection, topic, &count, &err) == 0;
}

static void make(const char *topic, int partitions)
{
    admin(topic, partitions, 0);
    while (!exists(topic))
        usleep(20000); /* poll */
}

static void on_report(void *user, void *opaque, int status, const struct sl_err *err)
{
    (void)opaque, (void)err;
    *(int *)user += status == 0;
}

static void no_wake(void *user)
{
    (void)user;
}

static void fill(const char *topic, int partitions, int count, const char *payload, uint32_t bytes)
{
    struct sl_klog *log = sl_klog_rdkafka();
    struct sl_connection connection = {.brokers = {brokers, 1}};
    struct sl_klog_sender *sender = NULL;
    struct sl_err err = {0};
    int done = 0;

    assert(log->kind->sender_open(log, &connection, NULL, 8 << 20, no_wake, NULL, &sender, &err) == 0);
    for (int i = 0; i < count;) {
        struct sl_klog_record record = {.topic = topic, .partition = i % partitions, .key = {"k", 1}, .payload = {payload, bytes},
                                        .null_payload = payload == NULL};

        i += log->kind->send(sender, &record, NULL, &err) == 0;
        (void)log->kind->reports(sender, on_report, &done, &err);
    }
    while (done < count) {
        (void)log->kind->reports(sender, on_report, &done, &err);
        usleep(2000); /* poll */
    }
    log->kind->sender_close(sender);
}

/* ---- what must hold ---- */
static struct kafka_config config_of(const char *const *topics)
{
    return (struct kafka_config){.brokers = {brokers, 1}, .topics = {topics, 1}, .group = "g", .static_member = true,
                                 .session_timeout = 6 * SL_NS_PER_S};
}

static void a_restart_goes_on_where_the_commit_stands(void)
{
    static const char *const topics[] = {"in"};
    struct kafka_config config = config_of(topics);
    struct slot *slot = slot_new("n");
    static char big[200000];

    make("in", 4);
    fill("in", 4, 8000, "one line", 8);
    fill("in", 1, 1, NULL, 0);
    memset(big, 'x', sizeof(big));
    fill("in", 1, 1, big, sizeof(big)); /* above max_record: a batch of its own */
    fill("in", 1, 1, "two\nlines", 9);
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 8003);
    TURN_UNTIL(slot, sl_source_kafka.at_end(slot->source) == 1);
    CHECK(slot->nulls == 1 && slot->keys == 8003 && slot->large == 1 && slot->broken == 1);
    commit(slot, "in", "g");
    fill("in", 4, 400, "after the commit", 16);
    TURN_UNTIL(slot, total(slot) == 8403);
    { /* the engine has a sink read again */
        struct sl_err err;

        slot->partitions[1]->next = 1990;
        CHECK(sl_source_kafka.seek(slot->source, slot->partitions[1], 1990, &err) == 0);
        TURN_UNTIL(slot, total(slot) == 8403 + 110);
    }
    slot_close(slot); /* without a commit of the 400 */
    slot = slot_new("n");
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 400);
    CHECK(slot->held == 0 && slot->gaps == 0);
    slot_close(slot);
}

static void an_offset_set_by_hand_does_not_move_what_the_commit_topic_knows(void)
{
    static const char *const topics[] = {"in"};
    struct kafka_config config = config_of(topics);
    struct slot *slot = slot_new("n");
    struct sl_klog_list list = {NULL, 0};
    struct sl_err err = {0};

    slot->components[1].head = &sl_sink_files.head; /* a sink that exists by commits */
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 400);
    sl_klog_list_add(&list, "in", 1, 100, "", 0);
    CHECK(sl_klog_rdkafka()->kind->commit_offsets(slot->consumer, &list, &err) == 0);
    slot_close(slot);
    slot = slot_new("n");
    slot->components[1].head = &sl_sink_files.head;
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 400);
    CHECK(slot->records[1] == 100); /* its mark, not the hand's 100 */
    slot_close(slot);
    slot = slot_new("n"); /* any other sink follows the hand */
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 300 + 2000);
    CHECK(slot->records[1] == 2000);
    slot_close(slot);
    sl_klog_list_fini(&list);
}

static void another_topic_of_that_name_is_held(void)
{
    static const char *const topics[] = {"fickle"};
    struct kafka_config config = config_of(topics);
    struct slot *slot = slot_new("n");

    config.group = "g-fickle";
    make("fickle", 1);
    fill("fickle", 1, 100, "before", 6);
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 100);
    commit(slot, "fickle", "g-fickle");
    slot_close(slot);
    admin("fickle", -1, 0);
    while (exists("fickle"))
        usleep(50000); /* poll */
    make("fickle", 1);
    fill("fickle", 1, 200, "after", 5);
    slot = slot_new("n");
    slot_open(slot, &config);
    TURN_UNTIL(slot, slot->held == 1);
    CHECK(strstr(slot->held_why, "source changed: offset 99") != NULL && total(slot) == 0);
    slot_close(slot);
    admin("fickle", -1, 0);
    while (exists("fickle"))
        usleep(50000); /* poll */
    make("fickle", 1);
    fill("fickle", 1, 10, "short", 5);
    slot = slot_new("n");
    slot_open(slot, &config);
    TURN_UNTIL(slot, slot->held == 1);
    CHECK(strstr(slot->held_why, "ends at 10") != NULL && total(slot) == 0);
    slot_close(slot);
}

static void what_retention_took_is_a_gap_or_a_stop(void)
{
    static const char *const topics[] = {"short"};
    struct kafka_config config = config_of(topics);
    struct slot *slot = slot_new("n");

    config.group = "g-short";
    make("short", 1);
    fill("short", 1, 100, "x", 1);
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 100);
    commit(slot, "short", "g-short");
    slot_close(slot);
    fill("short", 1, 100, "y", 1);
    admin("short", 0, 150);
    slot = slot_new("n");
    slot_open(slot, &config);
    TURN_UNTIL(slot, slot->held == 1);
    CHECK(strstr(slot->held_why, "100 to 150") != NULL && total(slot) == 0);
    slot_close(slot);
    config.on_gap = KAFKA_GAP_RECORD;
    slot = slot_new("n");
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 50);
    CHECK(slot->gaps == 50 && slot->held == 0);
    slot_close(slot);
}

static void a_first_run_begins_where_start_says(void)
{
    static const char *const topics[] = {"^begin.*"};
    struct kafka_config config = config_of(topics);
    struct slot *slot = slot_new("n2");
    const struct sl_pair soon = {"topic.metadata.refresh.interval.ms", "500", 1, 1};

    make("begin-a", 2);
    fill("begin-a", 2, 100, "old", 3);
    config.group = "g-begin";
    config.start = KAFKA_LATEST;
    config.librdkafka = (struct sl_map){&soon, 1};
    slot_open(slot, &config);
    TURN_UNTIL(slot, slot->partitions[0] != NULL && slot->partitions[1] != NULL);
    fill("begin-a", 2, 20, "new", 3);
    TURN_UNTIL(slot, total(slot) == 20);
    slot_close(slot);
    slot = slot_new("n3");
    slot->topology.commit_mode = SL_COMMIT_OFFSETS;
    config.group = "g-offset";
    config.start = KAFKA_OFFSET;
    config.offset = 45;
    slot_open(slot, &config);
    TURN_UNTIL(slot, total(slot) == 2 * 15);
    slot_close(slot);
}

/* ---- the sink ---- */
static int no_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    (void)names, (void)name;
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no columns here");
}

static void a_record_carries_its_origin_and_is_acknowledged(void)
{
    static const char *const topics[] = {"sunk"};
    struct slot *slot = slot_new("n");
    struct kafka_sink_config config = {.brokers = {brokers, 1}, .topic = "sunk", .key = "@key"};
    struct sl_names names = {.column = no_column};
    void *sink = calloc(1, sl_sink_kafka.head.self_bytes);
    struct sl_partition partition = {.topic = "in", .id = "3", .number = 3};
    struct sl_slice raw[50], key[50];
    uint64_t offset[50];
    int64_t times[50];
    struct sl_item items[50];
    struct sl_batch batch = {.partition = &partition, .count = 50, .raw = raw, .offset = offset, .append_unix_ms = times, .key = key};
    struct sl_decoded decoded = {.time_unix_ms = times};
    struct sl_view view = {.batch = &batch, .decoded = &decoded};
    struct sl_parcel parcel = {.items = items, .count = 50, .view = &view};
    struct sl_err err = {0};
    uint64_t wake_ns = UINT64_MAX;
    static char big[2 << 20];
    struct kafka_config read = config_of(topics);

    make("sunk", 2);
    for (uint32_t i = 0; i < 50; i++) {
        raw[i] = sl_slice_of("{\"a\":1}");
        key[i] = sl_slice_of(i % 2 == 0 ? "even" : "odd");
        offset[i] = 1000 + i;
        times[i] = 1700000000000 + i;
        items[i] = (struct sl_item){.ref = {7, (uint16_t)i}, .row = (uint16_t)i, .body = raw[i]};
    }
    items[49].body = (struct sl_slice){big, sizeof(big)};
    CHECK(sl_sink_kafka.open(sink, &slot->api, &config, &names, (struct sl_slot *)(void *)slot, &err) == 0);
    CHECK(sl_sink_kafka.submit(sink, &parcel, &err) == 0);
    while (sl_sink_kafka.drain(sink) == 0) {
        CHECK(sl_sink_kafka.turn(sink, sl_clock_now_ns(), &wake_ns, &err) == 0);
        usleep(2000); /* poll */
    }
    CHECK(slot->done == 49 && slot->refused == 1);
    CHECK(sl_sink_kafka.credit(sink) == slot->api.share_bytes);
    sl_sink_kafka.close(sink);

    config.exactly_once = true;
    CHECK(sl_sink_flags_of(&sl_sink_kafka, &config) == (SL_SINK_FLUSHED | SL_SINK_NEEDS_KAFKA_COMMIT));
    parcel.count = 49;
    CHECK(sl_sink_kafka.open(sink, &slot->api, &config, &names, (struct sl_slot *)(void *)slot, &err) == 0);
    {
        struct sl_klog *log = sl_klog_rdkafka();
        struct sl_connection connection = {.brokers = {brokers, 1}};
        struct sl_klog_producer *producer = NULL;

        CHECK(log->kind->producer_open(log, &connection, "sink/0", 10000, &producer, &err) == 0);
        for (int round = 0; round < 2; round++) { /* the first is aborted, the second committed */
            struct sl_flush *flush = NULL;

            CHECK(sl_sink_kafka.submit(sink, &parcel, &err) == 0);
            CHECK(sl_sink_kafka.seal(sink, 1, &flush, &err) == 0 && flush != NULL);
            CHECK(sl_sink_kafka.prepare(flush, &err) == 0 && flush->entry.data == NULL);
            CHECK(log->kind->begin(producer, &err) == 0);
            CHECK(sl_sink_kafka.transact(flush, log, producer, &err) == 0);
            CHECK((round == 0 ? log->kind->abort(producer, &err) : log->kind->commit(producer, &err)) == 0);
            if (round == 0)
                sl_sink_kafka.abandon(sink, flush);
            sl_sink_kafka.release_flush(sink, flush);
        }
        CHECK(sl_sink_kafka.drain(sink) == 1);
        log->kind->producer_close(producer);
    }
    sl_sink_kafka.close(sink);
    free(sink);

    read.headers = true;
    read.group = "g-sunk";
    slot_open(slot, &read);
    TURN_UNTIL(slot, total(slot) == 98);
    TURN_UNTIL(slot, sl_source_kafka.at_end(slot->source) == 1);
    CHECK(total(slot) == 98 && slot->headers == 98 && slot->keys == 98);
    slot_close(slot);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
#define CASE(f) {#f, f}
        CASE(a_restart_goes_on_where_the_commit_stands),
        CASE(an_offset_set_by_hand_does_not_move_what_the_commit_topic_knows),
        CASE(another_topic_of_that_name_is_held),
        CASE(what_retention_took_is_a_gap_or_a_stop),
        CASE(a_first_run_begins_where_start_says),
        CASE(a_record_carries_its_origin_and_is_acknowledged),
    };

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: kafka_ends_real BROKERS [CASE]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    brokers[0] = argv[1];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 3 && strcmp(argv[2], cases[i].name) != 0)
            continue;
        printf("%s\n", cases[i].name);
        cases[i].run();
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
