/* klog_real.c: the log interface against a real Kafka: what only a real broker enforces (groups, fencing, transactions).
 *
 *   klog_real BROKERS
 *
 * Run by klog.sh on a cluster of its own. Every wait is for an event; a guard of two minutes for each only tells a hang.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <xxhash.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/klog.h"

static _Atomic int failures, checks; /* some checks run beside main */
static struct sl_connection connection;
static const struct sl_klog_kind *kind;
static struct sl_klog *klog;

#define CHECK(condition)                                                                                                \
    do {                                                                                                                \
        checks++;                                                                                                       \
        if (!(condition)) {                                                                                             \
            failures++;                                                                                                 \
            printf("  FAILED %s:%d: %s\n", __func__, __LINE__, #condition);                                             \
        }                                                                                                               \
    } while (0)
#define CHECK_OK(call, err)                                                                                             \
    do {                                                                                                                \
        checks++;                                                                                                       \
        if ((call) != 0) {                                                                                              \
            failures++;                                                                                                 \
            printf("  FAILED %s:%d: %s: %s\n", __func__, __LINE__, #call, (err)->text);                                 \
        }                                                                                                               \
    } while (0)

/* ---- topics, by the library's own hands ---- */
static void admin_do(const char *topic, int partitions, const char *key, const char *value)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;

    rd_kafka_conf_set(conf, "bootstrap.servers", connection.brokers.items[0], text, sizeof(text));
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, partitions > 0 ? RD_KAFKA_ADMIN_OP_CREATETOPICS : RD_KAFKA_ADMIN_OP_DELETETOPICS);
    rd_kafka_AdminOptions_set_operation_timeout(options, 30000, text, sizeof(text));
    if (partitions > 0) {
        rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(topic, partitions, -1, text, sizeof(text));

        if (key != NULL)
            rd_kafka_NewTopic_set_config(made, key, value);
        rd_kafka_CreateTopics(rk, &made, 1, options, queue);
        event = rd_kafka_queue_poll(queue, 60000);
        rd_kafka_NewTopic_destroy(made);
    } else {
        rd_kafka_DeleteTopic_t *gone = rd_kafka_DeleteTopic_new(topic);

        rd_kafka_DeleteTopics(rk, &gone, 1, options, queue);
        event = rd_kafka_queue_poll(queue, 60000);
        rd_kafka_DeleteTopic_destroy(gone);
    }
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void make_topic(const char *topic, int partitions)
{
    uint32_t count;
    struct sl_err err;

    admin_do(topic, partitions, NULL, NULL);
    while (kind->partition_count(klog, &connection, topic, &count, &err) != 0)
        usleep(20000); /* poll */
}

/* Deletion is asynchronous; a new topic of that name can be made when it is gone. */
static void delete_topic(const char *topic)
{
    uint32_t count;
    struct sl_err err;

    admin_do(topic, 0, NULL, NULL);
    while (kind->partition_count(klog, &connection, topic, &count, &err) == 0)
        usleep(50000); /* poll */
}

/* ---- a member: a consumer and what happened to it ---- */
struct member {
    struct sl_klog_consumer *consumer;
    struct sl_klog_list owed; /* as given by the last event */
    bool pending;             /* it is unanswered */
    int assigns, revokes, losts, errors, fatals, ranges;
    struct sl_err last_err;
    struct sl_klog_list range;
    int users[64]; /* users[p] stands for partition p */
    uint64_t next[64], count[64];
    bool taking, jumped;
    uint64_t bytes, headers, nulls, empties;
};

static void list_copy(struct sl_klog_list *to, const struct sl_klog_list *from)
{
    sl_klog_list_fini(to);
    for (uint32_t i = 0; i < from->count; i++)
        sl_klog_list_add(to, from->items[i].topic, from->items[i].partition, from->items[i].offset, NULL, 0);
}

static void on_event(void *user, enum sl_klog_event_kind event, const struct sl_klog_list *list, const struct sl_err *err)
{
    struct member *member = user;

    member->assigns += event == SL_KLOG_ASSIGN;
    member->revokes += event == SL_KLOG_REVOKE;
    member->losts += event == SL_KLOG_LOST;
    member->errors += event == SL_KLOG_ERROR;
    member->fatals += event == SL_KLOG_FATAL;
    member->ranges += event == SL_KLOG_OUT_OF_RANGE;
    if (err != NULL)
        member->last_err = *err;
    if (event == SL_KLOG_OUT_OF_RANGE)
        list_copy(&member->range, list);
    if (event == SL_KLOG_ASSIGN || event == SL_KLOG_REVOKE || event == SL_KLOG_LOST) {
        list_copy(&member->owed, list);
        member->pending = true;
        member->taking = event == SL_KLOG_ASSIGN;
    }
}

static void on_wake(void *user)
{
    (void)user;
}

static struct member *join(const char *topic, const char *group, const char *instance, bool cooperative)
{
    const char *const topics[] = {topic};
    struct member *member = calloc(1, sizeof(*member));
    struct sl_klog_consumer_settings settings = {
        .connection = &connection, .topics = {topics, 1}, .group = group, .instance_id = instance,
        .cooperative = cooperative, .queue_bytes = 16 << 20, .read_committed = true, .want_headers = true,
        .session_timeout_ms = 6000, .wake = on_wake, .user = member, .event = on_event,
    };
    struct sl_err err = {0};

    CHECK_OK(kind->consumer_open(klog, &settings, &member->consumer, &err), &err);
    return member;
}

static int pump(struct member *member, struct sl_err *err)
{
    static struct sl_klog_message messages[4096];
    int got = kind->poll(member->consumer, messages, 4096, err);

    for (int i = 0; i < got; i++) {
        int partition = (int)((int *)messages[i].partition - member->users);

        member->jumped |= messages[i].offset < member->next[partition];
        member->next[partition] = messages[i].offset + 1;
        member->count[partition]++;
        member->bytes += messages[i].payload.bytes;
        member->headers += messages[i].headers_count;
        member->nulls += messages[i].null_payload;
        member->empties += !messages[i].null_payload && messages[i].payload.bytes == 0;
    }
    if (got == 0)
        usleep(2000); /* poll */
    return got;
}

#define PUMP_UNTIL(member, condition)                                                                                   \
    do {                                                                                                                \
        uint64_t guard_ns = sl_clock_now_ns() + 120 * SL_NS_PER_S;                                                      \
        struct sl_err pump_err = {0};                                                                                   \
        while (!(condition) && sl_clock_now_ns() < guard_ns)                                                            \
            (void)pump(member, &pump_err);                                                                              \
        CHECK(condition);                                                                                               \
    } while (0)

/* Answers what is owed; assignments start at `offset`. */
static void answer(struct member *member, int64_t offset)
{
    void *users[64];
    struct sl_err err = {0};
    for (uint32_t i = 0; i < member->owed.count; i++) {
        member->owed.items[i].offset = offset;
        users[i] = &member->users[member->owed.items[i].partition];
    }
    if (member->taking)
        CHECK_OK(kind->assign(member->consumer, &member->owed, users, &err), &err);
    else
        CHECK_OK(kind->unassign(member->consumer, &member->owed, &err), &err);
    sl_klog_list_fini(&member->owed);
    member->pending = false;
}

/* Answers whatever is asked, and so takes part in any number of rebalances. */
static void pump_and_answer(struct member *member, int64_t offset)
{
    struct sl_err err = {0};

    if (member->pending)
        answer(member, offset);
    (void)pump(member, &err);
}

static struct member *joined(const char *topic, const char *group, const char *instance, int64_t offset)
{
    struct member *member = join(topic, group, instance, false);

    PUMP_UNTIL(member, member->assigns == 1);
    answer(member, offset);
    return member;
}

static void leave(struct member *member)
{
    kind->consumer_close(member->consumer);
    sl_klog_list_fini(&member->owed);
    sl_klog_list_fini(&member->range);
    free(member);
}

static uint64_t total(const struct member *member)
{
    uint64_t sum = 0;

    for (int i = 0; i < 64; i++)
        sum += member->count[i];
    return sum;
}

/* ---- sending ---- */
struct tally {
    int done, failed, dead, halted, woken;
    void *last;
};

static void on_report(void *user, void *opaque, int status, const struct sl_err *err)
{
    struct tally *tally = user;

    tally->done += status == 0;
    tally->failed += status != 0;
    tally->dead += status != 0 && err->remedy == SL_REMEDY_DEADLETTER;
    tally->halted += status != 0 && err->remedy == SL_REMEDY_HALT;
    tally->last = opaque;
}

/* All that was sent with &tally as its opaque has arrived; closes the sender. */
static void all_sent(struct sl_klog_sender *sender, struct tally *tally, int count)
{
    struct sl_err err = {0};

    while (tally->done + tally->failed < count) {
        (void)kind->reports(sender, on_report, tally, &err);
        usleep(2000); /* poll */
    }
    CHECK(tally->done == count && tally->last == tally);
    kind->sender_close(sender);
}

static void send_many(const char *topic, int partitions, int count, const char *payload)
{
    struct sl_klog_sender *sender = NULL;
    struct tally tally = {0};
    struct sl_header header = {{"origin-and-more", 6}, {"a:0:1", 5}};
    struct sl_err err = {0};

    CHECK_OK(kind->sender_open(klog, &connection, NULL, 8 << 20, on_wake, NULL, &sender, &err), &err);
    for (int i = 0; i < count;) {
        struct sl_klog_record record = {.topic = topic, .partition = i % partitions, .key = sl_slice_of("key"),
                                        .payload = sl_slice_of(payload), .headers = &header, .headers_count = 1};
        int status = kind->send(sender, &record, &tally, &err);

        if (status == 0)
            i++;
        else
            CHECK(status == -SL_E_LIMIT);
        if (status != 0 || i % 1000 == 0)
            (void)kind->reports(sender, on_report, &tally, &err);
    }
    all_sent(sender, &tally, count);
}

/* ---- what must hold ---- */
static void a_topic_is_made_compacted_once(void)
{
    struct sl_err err = {0};
    uint32_t count = 0;

    CHECK_OK(kind->topic_ensure(klog, &connection, "commits", 3, &err), &err);
    CHECK_OK(kind->topic_ensure(klog, &connection, "commits", 5, &err), &err);
    CHECK_OK(kind->partition_count(klog, &connection, "commits", &count, &err), &err);
    CHECK(count == 3);
    CHECK(kind->partition_count(klog, &connection, "no-such-topic", &count, &err) != 0 && err.remedy == SL_REMEDY_RETRY);
    make_topic("forgetful", 1);
    CHECK(kind->topic_ensure(klog, &connection, "forgetful", 1, &err) != 0 && err.remedy == SL_REMEDY_HALT);
    CHECK(strstr(err.text, "cleanup.policy=delete") != NULL);
}

static void what_was_sent_is_read(void)
{
    struct sl_klog_sender *sender = NULL;
    struct tally tally = {0};
    struct sl_err err = {0};
    struct member *member;
    struct sl_klog_list list = {NULL, 0};
    const struct sl_pair soon = {"topic.metadata.propagation.max.ms", "1000", 1, 1}; /* else a missing topic may yet come */
    const struct sl_map quick = {&soon, 1};
    static char big[3 << 20];
    uint64_t next = 0;

    make_topic("plain", 4);
    send_many("plain", 4, 20000, "{\"level\":\"info\"}");
    CHECK_OK(kind->sender_open(klog, &connection, &quick, 8 << 20, on_wake, NULL, &sender, &err), &err);
    CHECK_OK(kind->send(sender, &(struct sl_klog_record){.topic = "plain", .partition = 0, .null_payload = true,
                                                         .key = sl_slice_of("k")}, NULL, &err), &err);
    CHECK_OK(kind->send(sender, &(struct sl_klog_record){.topic = "plain", .partition = 0, .payload = {"", 0}}, NULL, &err), &err);
    CHECK(kind->send(sender, &(struct sl_klog_record){.topic = "plain", .partition = 0, .payload = {big, sizeof(big)}}, NULL,
                     &err) != 0 && err.remedy == SL_REMEDY_DEADLETTER);
    CHECK_OK(kind->send(sender, &(struct sl_klog_record){.topic = "nowhere", .partition = 0, .payload = {"x", 1}}, NULL, &err),
             &err);
    while (tally.done < 2 || tally.halted < 1) {
        (void)kind->reports(sender, on_report, &tally, &err);
        usleep(2000); /* poll */
    }
    CHECK(tally.failed == 1 && tally.halted == 1);
    kind->sender_close(sender);

    member = join("plain", "g-plain", NULL, false);
    PUMP_UNTIL(member, member->assigns == 1);
    CHECK(member->owed.count == 4);
    for (int i = 0; i < 50; i++) /* the answer may come any number of polls later */
        (void)pump(member, &err);
    CHECK(total(member) == 0);
    list_copy(&list, &member->owed);
    CHECK_OK(kind->committed(member->consumer, &list, 30000, &err), &err);
    CHECK(list.items[0].offset == -1 && list.items[3].offset == -1 && list.items[0].metadata == NULL);
    answer(member, 0);
    PUMP_UNTIL(member, total(member) == 20002);
    CHECK(!member->jumped && member->headers == 20000 && member->nulls == 1 && member->empties == 1);
    CHECK_OK(kind->offsets(member->consumer, &list, -1, 30000, &err), &err);
    for (uint32_t i = 0; i < list.count; i++) {
        CHECK_OK(kind->position(member->consumer, "plain", list.items[i].partition, &next), &err);
        CHECK((int64_t)next == list.items[i].offset && next == member->next[list.items[i].partition]);
    }
    CHECK_OK(kind->offsets(member->consumer, &list, -2, 30000, &err), &err);
    CHECK(list.items[2].offset == 0);
    CHECK_OK(kind->offsets(member->consumer, &list, 4000000000000, 30000, &err), &err);
    CHECK(list.items[2].offset == -1); /* nothing is that young */

    CHECK_OK(kind->seek(member->consumer, "plain", 1, 1000, &err), &err);
    member->next[1] = 1000;
    PUMP_UNTIL(member, total(member) == 20002 + 4000);
    CHECK(!member->jumped && member->next[1] == 5000);
    sl_klog_list_fini(&list);
    sl_klog_list_add(&list, "plain", 2, -1, NULL, 0);
    CHECK_OK(kind->pause(member->consumer, &list, true, &err), &err);
    CHECK_OK(kind->pause(member->consumer, &list, true, &err), &err);
    send_many("plain", 4, 400, "again");
    PUMP_UNTIL(member, total(member) == 24002 + 300);
    CHECK(member->next[2] == 5000);
    CHECK_OK(kind->pause(member->consumer, &list, false, &err), &err);
    PUMP_UNTIL(member, total(member) == 24002 + 400);
    CHECK(!member->jumped && member->next[2] == 5100);
    CHECK_OK(kind->unassign(member->consumer, &list, &err), &err); /* one of them, of our own will */
    send_many("plain", 4, 400, "again");
    PUMP_UNTIL(member, total(member) == 24402 + 300);
    CHECK(member->next[2] == 5100);
    list.items[0].offset = 5100;
    CHECK_OK(kind->assign(member->consumer, &list, (void *[]){&member->users[2]}, &err), &err);
    PUMP_UNTIL(member, total(member) == 24402 + 400);
    CHECK(!member->jumped && member->next[2] == 5200);
    list.items[0].offset = -1;
    CHECK(kind->assign(member->consumer, &list, (void *[]){&member->users[2]}, &err) != 0);
    sl_klog_list_fini(&list);
    leave(member);
}

struct seen {
    int count, tombstones;
    char last[64];
};

static int on_record(void *user, struct sl_slice key, struct sl_slice value)
{
    struct seen *seen = user;

    seen->count++;
    seen->tombstones += value.data == NULL;
    (void)snprintf(seen->last, sizeof(seen->last), "%.*s", (int)key.bytes, key.data == NULL ? "" : key.data);
    return 0;
}

static int scan_all(const char *topic, int32_t partition, struct seen *seen)
{
    struct sl_err err = {0};
    uint64_t from = 0;
    int status;

    memset(seen, 0, sizeof(*seen));
    status = kind->scan(klog, &connection, topic, partition, &from, on_record, seen, &err);
    if (status != 0)
        printf("  scan: %s\n", err.text);
    return status;
}

static struct sl_klog_record entry(const char *topic, const char *key)
{
    return (struct sl_klog_record){.topic = topic, .partition = 0, .key = sl_slice_of(key), .payload = sl_slice_of("entry")};
}

static struct sl_klog_producer *producer(const char *id)
{
    struct sl_klog_producer *made = NULL;
    struct sl_err err = {0};

    CHECK_OK(kind->producer_open(klog, &connection, id, 10000, &made, &err), &err);
    CHECK_OK(kind->warm(made, "commits", &err), &err);
    return made;
}

static int try_commit(struct sl_klog_producer *p, const char *topic, int64_t offset, struct sl_klog_group *group, const char *key,
                      const char *metadata, struct sl_err *err)
{
    struct sl_klog_record record = entry("commits", key);
    struct sl_klog_list list = {NULL, 0};
    int status = kind->begin(p, err);

    sl_klog_list_add(&list, topic, 0, offset, metadata, (uint32_t)strlen(metadata));
    if (status == 0)
        status = kind->produce(p, &record, 1, err);
    if (status == 0)
        status = kind->send_offsets(p, &list, group, err);
    if (status == 0)
        status = kind->commit(p, err);
    sl_klog_list_fini(&list);
    return status;
}

static void check_committed(struct member *member, const char *topic, int64_t offset, const char *metadata)
{
    struct sl_klog_list list = {NULL, 0};
    struct sl_err err = {0};

    sl_klog_list_add(&list, topic, 0, -1, NULL, 0);
    CHECK_OK(kind->committed(member->consumer, &list, 30000, &err), &err);
    CHECK(list.items[0].offset == offset);
    CHECK(list.items[0].metadata != NULL && strcmp(list.items[0].metadata, metadata) == 0);
    sl_klog_list_fini(&list);
}

static void a_commit_is_whole_or_nothing(void)
{
    struct sl_err err = {0};
    struct member *member;
    struct sl_klog_producer *p = producer("tx-1");
    struct sl_klog_group *group;
    struct sl_klog_record record = entry("commits", "aborted");
    struct seen seen;
    uint64_t from = 0;

    make_topic("input", 1);
    send_many("input", 1, 100, "x");
    member = joined("input", "g-tx", NULL, 0);
    PUMP_UNTIL(member, total(member) == 100);
    group = kind->group_snapshot(member->consumer);
    CHECK(group != NULL);
    CHECK_OK(try_commit(p, "input", 50, group, "first", "marks of 50", &err), &err);
    check_committed(member, "input", 50, "marks of 50");
    CHECK(scan_all("commits", 0, &seen) == 0 && seen.count == 1 && strcmp(seen.last, "first") == 0);
    CHECK_OK(kind->begin(p, &err), &err);
    CHECK_OK(kind->produce(p, &record, 1, &err), &err);
    CHECK_OK(kind->abort(p, &err), &err);
    CHECK(scan_all("commits", 0, &seen) == 0 && seen.count == 1);
    CHECK_OK(try_commit(p, "input", 60, group, "second", "marks of 60", &err), &err);
    check_committed(member, "input", 60, "marks of 60");
    CHECK(scan_all("commits", 0, &seen) == 0 && seen.count == 2);
    memset(&seen, 0, sizeof(seen));
    CHECK_OK(kind->scan(klog, &connection, "commits", 0, &from, on_record, &seen, &err), &err);
    CHECK(seen.count == 2);
    CHECK_OK(try_commit(p, "input", 61, group, "third", "marks of 61", &err), &err);
    memset(&seen, 0, sizeof(seen));
    CHECK_OK(kind->scan(klog, &connection, "commits", 0, &from, on_record, &seen, &err), &err); /* only what is new */
    CHECK(seen.count == 1 && strcmp(seen.last, "third") == 0);
    from = 1000000;
    CHECK(kind->scan(klog, &connection, "commits", 0, &from, on_record, &seen, &err) != 0 && err.remedy == SL_REMEDY_HALT);
    CHECK(scan_all("commits", 2, &seen) == 0 && seen.count == 0); /* an empty partition */
    {
        struct sl_klog_list list = {NULL, 0};

        sl_klog_list_add(&list, "input", 0, 70, "plain", 5);
        CHECK_OK(kind->commit_offsets(member->consumer, &list, &err), &err);
        sl_klog_list_fini(&list);
        check_committed(member, "input", 70, "plain");
    }
    kind->group_free(group);
    kind->producer_close(p);
    leave(member);
}

static void *scan_beside(void *user)
{
    CHECK(scan_all("commits", 1, user) == 0);
    return NULL;
}

static void a_scan_waits_for_what_is_open(void)
{
    struct sl_err err = {0};
    struct sl_klog_producer *p = producer("tx-2");
    struct sl_klog_record record = entry("commits", "late");
    struct seen seen;
    pthread_t thread;
    struct member *member = joined("input", "g-open", NULL, 0);
    struct sl_klog_list list = {NULL, 0};

    record.partition = 1;
    CHECK_OK(kind->begin(p, &err), &err);
    CHECK_OK(kind->produce(p, &record, 1, &err), &err);
    sl_klog_list_add(&list, "commits", 1, -1, NULL, 0);
    { /* until the broker has the record, uncommitted: its plain end has moved */
        char text[200];
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_t *rk;
        int64_t low, high = 0;

        rd_kafka_conf_set(conf, "bootstrap.servers", connection.brokers.items[0], text, sizeof(text));
        rd_kafka_conf_set(conf, "isolation.level", "read_uncommitted", text, sizeof(text));
        rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
        while (high == 0)
            (void)rd_kafka_query_watermark_offsets(rk, "commits", 1, &low, &high, 10000);
        rd_kafka_destroy(rk);
    }
    CHECK_OK(kind->offsets(member->consumer, &list, -1, 30000, &err), &err);
    CHECK(list.items[0].offset == 0); /* the stable end */
    CHECK(pthread_create(&thread, NULL, scan_beside, &seen) == 0);
    CHECK_OK(kind->commit(p, &err), &err);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(seen.count == 1 && strcmp(seen.last, "late") == 0);
    sl_klog_list_fini(&list);
    kind->producer_close(p);
    leave(member);
}

static void a_replaced_static_member_is_fenced(void)
{
    struct sl_err err = {0};
    struct sl_klog_producer *p = producer("tx-3");
    struct member *old = joined("input", "g-static", "node/a/0", 0), *new;
    struct sl_klog_group *group = kind->group_snapshot(old->consumer);
    struct seen before, after;

    CHECK_OK(try_commit(p, "input", 10, group, "mine", "m", &err), &err);
    CHECK(scan_all("commits", 0, &before) == 0);
    new = joined("input", "g-static", "node/a/0", 10);
    CHECK(try_commit(p, "input", 99, group, "zombie's", "z", &err) != 0);
    CHECK(err.remedy == SL_REMEDY_FENCE && err.sys == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    check_committed(new, "input", 10, "m");
    CHECK(scan_all("commits", 0, &after) == 0 && after.count == before.count);
    PUMP_UNTIL(old, old->fatals > 0);
    CHECK(old->last_err.remedy == SL_REMEDY_FENCE && strstr(old->last_err.text, "instance id") != NULL);
    CHECK(pump(old, &err) < 0 && err.remedy == SL_REMEDY_FENCE);
    kind->group_free(group);
    group = kind->group_snapshot(new->consumer);
    CHECK_OK(try_commit(p, "input", 20, group, "new", "n", &err), &err); /* the producer has aborted and goes on */
    check_committed(new, "input", 20, "n");
    kind->group_free(group);
    kind->producer_close(p);
    leave(old);
    leave(new);
}

static void a_past_generation_is_fenced(void)
{
    struct sl_err err = {0};
    struct sl_klog_producer *p = producer("tx-4");
    struct member *a = joined("input", "g-dynamic", NULL, 0), *b;
    struct sl_klog_group *group = kind->group_snapshot(a->consumer);

    b = join("input", "g-dynamic", NULL, false);
    PUMP_UNTIL(a, (pump(b, &err), a->revokes == 1));
    for (int i = 0; i < 20; i++) /* a revocation, too, may be answered later */
        (void)pump(a, &err);
    CHECK(b->assigns == 0);
    answer(a, 0);
    PUMP_UNTIL(a, (pump(b, &err), a->assigns == 2 && b->assigns == 1));
    answer(a, 0);
    answer(b, 0);
    CHECK(try_commit(p, "input", 99, group, "zombie's", "z", &err) != 0);
    CHECK(err.remedy == SL_REMEDY_FENCE && err.sys == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    kind->group_free(group);
    PUMP_UNTIL(a, (pump(b, &err), total(a) + total(b) == 100));
    kind->producer_close(p);
    leave(a);
    leave(b);
}

static void a_producer_taken_over_is_fenced(void)
{
    struct sl_err err = {0};
    struct sl_klog_producer *old = producer("tx-5"), *new;
    struct sl_klog_record record = entry("commits", "never");
    struct seen before, after;

    CHECK(scan_all("commits", 0, &before) == 0);
    CHECK_OK(kind->begin(old, &err), &err);
    CHECK_OK(kind->produce(old, &record, 1, &err), &err);
    new = producer("tx-5");
    CHECK(kind->commit(old, &err) != 0 && err.remedy == SL_REMEDY_FENCE);
    CHECK(kind->begin(old, &err) != 0 && err.remedy == SL_REMEDY_FENCE);
    CHECK(scan_all("commits", 0, &after) == 0 && after.count == before.count);
    CHECK_OK(kind->begin(new, &err), &err);
    CHECK_OK(kind->produce(new, &record, 1, &err), &err);
    CHECK_OK(kind->commit(new, &err), &err);
    CHECK(scan_all("commits", 0, &after) == 0 && after.count == before.count + 1);
    kind->producer_close(old);
    kind->producer_close(new);
}

static void read_committed_skips_the_aborted_and_stands_behind_markers(void)
{
    struct sl_err err = {0};
    struct sl_klog_producer *p = producer("tx-6");
    struct member *member;
    struct sl_klog_list list = {NULL, 0};
    uint64_t next = 0;

    make_topic("output", 1);
    CHECK_OK(kind->warm(p, "output", &err), &err);
    for (int round = 0; round < 4; round++) {
        CHECK_OK(kind->begin(p, &err), &err);
        for (int i = 0; i < 10; i++) {
            struct sl_klog_record record = entry("output", "k");

            CHECK_OK(kind->produce(p, &record, 1, &err), &err);
        }
        if (round % 2 == 0)
            CHECK_OK(kind->commit(p, &err), &err);
        else
            CHECK_OK(kind->abort(p, &err), &err);
    }
    member = joined("output", "g-output", NULL, 0);
    PUMP_UNTIL(member, total(member) == 20);
    sl_klog_list_add(&list, "output", 0, -1, NULL, 0);
    CHECK_OK(kind->offsets(member->consumer, &list, -1, 30000, &err), &err);
    CHECK(list.items[0].offset >= 22);
    PUMP_UNTIL(member, (kind->position(member->consumer, "output", 0, &next), (int64_t)next == list.items[0].offset));
    CHECK(total(member) == 20 && !member->jumped);
    sl_klog_list_fini(&list);
    kind->producer_close(p);
    leave(member);
}

static void out_of_range_is_an_event_and_a_seek_goes_on(void)
{
    struct sl_err err = {0};
    struct member *member = joined("input", "g-range", NULL, 1000000);

    PUMP_UNTIL(member, member->ranges == 1);
    CHECK(member->range.count == 1 && strcmp(member->range.items[0].topic, "input") == 0);
    CHECK(member->range.items[0].offset == 1000000 && total(member) == 0);
    CHECK_OK(kind->seek(member->consumer, "input", 0, 40, &err), &err);
    PUMP_UNTIL(member, total(member) == 60);
    CHECK(!member->jumped && member->next[0] == 100);
    leave(member);
}

/* 1 hashed, 0 gone */
static int record_hash(struct member *member, const char *topic, int32_t partition, uint64_t offset, uint64_t *ret_hash)
{
    struct sl_klog_print print = {topic, partition, offset, false, 0};
    struct sl_err err = {0};

    CHECK_OK(kind->fingerprints(member->consumer, &print, 1, &err), &err);
    *ret_hash = print.hash;
    return print.found ? 1 : 0;
}

static void a_topic_made_anew_has_another_fingerprint(void)
{
    struct member *member;
    uint64_t hash = 0, again = 0;

    make_topic("fickle", 1);
    send_many("fickle", 1, 50, "before");
    member = joined("fickle", "g-fickle", NULL, 0);
    PUMP_UNTIL(member, total(member) == 50);
    CHECK(record_hash(member, "fickle", 0, 49, &hash) == 1);
    CHECK(hash == XXH3_64bits("before", 6));
    CHECK(record_hash(member, "fickle", 0, 49, &again) == 1 && again == hash);
    CHECK(record_hash(member, "fickle", 0, 50, &again) == 0); /* the end */
    CHECK(record_hash(member, "fickle", 0, 5000, &again) == 0);
    leave(member);
    delete_topic("fickle");
    make_topic("fickle", 1);
    send_many("fickle", 1, 60, "after");
    member = joined("fickle", "g-fickle", NULL, 50);
    PUMP_UNTIL(member, total(member) == 10); /* nothing tells the consumer ... */
    CHECK(record_hash(member, "fickle", 0, 49, &again) == 1);
    CHECK(again != hash); /* ... but this does */
    leave(member);
}

/* One record to each partition, each its own, every eighth far beyond what a fetch may bring of a partition. malloc'd payloads */
static void send_one_each(const char *topic, int partitions, struct sl_slice *payloads)
{
    struct sl_klog_sender *sender = NULL;
    struct tally tally = {0};
    struct sl_err err = {0};
    uint32_t mix = 1;

    CHECK_OK(kind->sender_open(klog, &connection, NULL, 64 << 20, on_wake, NULL, &sender, &err), &err);
    for (int i = 0; i < partitions; i++) {
        uint32_t bytes = i % 8 == 0 ? 300000 : 100;
        char *payload = malloc(bytes);
        struct sl_klog_record record = {.topic = topic, .partition = i, .payload = {payload, bytes}};

        for (uint32_t b = 0; b < bytes; b++)
            payload[b] = (char)((mix = mix * 1664525u + 1013904223u) >> 24);
        payloads[i] = record.payload;
        CHECK_OK(kind->send(sender, &record, &tally, &err), &err);
    }
    all_sent(sender, &tally, partitions);
}

static void many_partitions_are_compared_at_once(void)
{
    enum { WIDE = 150 };
    struct sl_slice payloads[WIDE];
    struct sl_klog_print prints[WIDE + 1];
    struct sl_err err = {0};
    struct member *member = joined("input", "g-wide", NULL, 0);

    make_topic("wide", WIDE);
    send_many("wide", WIDE, WIDE * 20, "more to skip");
    send_one_each("wide", WIDE, payloads);
    for (int i = 0; i < WIDE; i++)
        prints[i] = (struct sl_klog_print){"wide", i, i % 10 == 9 ? 21 : i % 10 == 8 ? 0 : 20, true, 0};
    prints[WIDE] = (struct sl_klog_print){"plain", 3, 1u << 30, true, 0};
    CHECK_OK(kind->fingerprints(member->consumer, prints, WIDE + 1, &err), &err);
    for (int i = 0; i < WIDE; i++) {
        uint64_t hash = i % 10 == 8 ? XXH3_64bits("more to skip", 12) : XXH3_64bits(payloads[i].data, payloads[i].bytes);

        CHECK(prints[i].found == (i % 10 != 9)); /* 21 is the end */
        CHECK(!prints[i].found || prints[i].hash == hash);
        free((void *)(uintptr_t)payloads[i].data);
    }
    CHECK(!prints[WIDE].found);
    CHECK_OK(kind->fingerprints(member->consumer, NULL, 0, &err), &err);
    leave(member);
}

static void partitions_move_cooperatively(void)
{
    struct member *a, *b;
    uint64_t before;

    make_topic("many", 8);
    send_many("many", 8, 8000, "x");
    a = join("many", "g-coop", NULL, true);
    PUMP_UNTIL(a, a->assigns == 1);
    CHECK(a->owed.count == 8);
    answer(a, 0);
    PUMP_UNTIL(a, total(a) == 8000);
    b = join("many", "g-coop", NULL, true);
    PUMP_UNTIL(a, (pump_and_answer(b, 1000), a->revokes == 1));
    CHECK(a->owed.count == 4 && total(b) == 0); /* only what moves is taken away */
    answer(a, 0);
    send_many("many", 8, 800, "y");
    before = total(a); /* a keeps reading its four */
    PUMP_UNTIL(a, (pump_and_answer(a, 1000), pump_and_answer(b, 1000), total(a) - before == 400 && total(b) == 400));
    CHECK(!a->jumped && !b->jumped);
    leave(b);
    send_many("many", 8, 800, "z");
    PUMP_UNTIL(a, (pump_and_answer(a, 1100), total(a) - before == 400 + 800));
    CHECK(!a->jumped && a->revokes == 1);
    leave(a);
}

static void a_setting_that_cannot_be_is_refused(void)
{
    static const struct sl_pair pairs[][1] = {{{"no.such.setting", "1", 1, 1}}, {{"enable.auto.commit", "true", 1, 1}},
                                              {{"fetch.wait.max.ms", "soon", 1, 1}}};
    const char *const topics[] = {"input"};
    struct member member = {0};

    for (size_t i = 0; i < 3; i++) {
        struct sl_map map = {pairs[i], 1};
        struct sl_klog_consumer_settings settings = {.connection = &connection, .topics = {topics, 1}, .group = "g",
                                                     .queue_bytes = 1 << 20, .properties = &map, .wake = on_wake,
                                                     .user = &member, .event = on_event};
        struct sl_err err = {0};

        CHECK(kind->consumer_open(klog, &settings, &member.consumer, &err) == -SL_E_CONFIG);
        CHECK(err.remedy == SL_REMEDY_HALT && strstr(err.text, pairs[i][0].name) != NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
#define CASE(f) {#f, f}
        CASE(a_setting_that_cannot_be_is_refused),
        CASE(a_topic_is_made_compacted_once),
        CASE(what_was_sent_is_read),
        CASE(a_commit_is_whole_or_nothing),
        CASE(a_scan_waits_for_what_is_open),
        CASE(a_replaced_static_member_is_fenced),
        CASE(a_past_generation_is_fenced),
        CASE(a_producer_taken_over_is_fenced),
        CASE(read_committed_skips_the_aborted_and_stands_behind_markers),
        CASE(out_of_range_is_an_event_and_a_seek_goes_on),
        CASE(a_topic_made_anew_has_another_fingerprint),
        CASE(many_partitions_are_compared_at_once),
        CASE(partitions_move_cooperatively),
    };
    const char *brokers[1];

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: klog_real BROKERS [CASE]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    brokers[0] = argv[1];
    connection.brokers = (struct sl_strings){brokers, 1};
    klog = sl_klog_rdkafka();
    kind = klog->kind;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 3 && strcmp(argv[2], cases[i].name) != 0)
            continue;
        printf("%s\n", cases[i].name);
        cases[i].run();
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
