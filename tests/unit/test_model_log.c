/* test_model_log.c: the laws of the modelled Kafka, one test each: what the simulator's verdicts stand on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "tests/sim/model_log.h"

/* One consumer with what it was told and given. */
struct reader {
    struct sl_model_client *client;
    const struct sl_klog_kind *kind;
    struct sl_klog_consumer *consumer;
    struct sl_klog_list assigned;
    uint32_t assigns, revokes, losses, fatals, out_of_range, woken;
    uint64_t last_out_of_range;
    bool answer; /* answers ASSIGN and REVOKE at once, starting at 0 */
    char seen[512]; /* payloads, comma separated */
};

static void reader_assign(struct reader *reader, uint64_t offset)
{
    void *users[16] = {0};
    struct sl_err err;
    assert_true(reader->assigned.count <= 16);
    for (uint32_t i = 0; i < reader->assigned.count; i++)
        reader->assigned.items[i].offset = (int64_t)offset;
    assert_int_equal(reader->kind->assign(reader->consumer, &reader->assigned, users, &err), 0);
}

static void reader_keep(struct reader *reader, const struct sl_klog_list *list)
{
    sl_klog_list_fini(&reader->assigned);
    reader->assigned = (struct sl_klog_list){NULL, 0};
    for (uint32_t i = 0; list != NULL && i < list->count; i++)
        assert_int_equal(sl_klog_list_add(&reader->assigned, list->items[i].topic, list->items[i].partition, -1, NULL, 0), 0);
}

static void reader_event(void *user, enum sl_klog_event_kind kind, const struct sl_klog_list *list, const struct sl_err *err)
{
    struct reader *reader = user;
    (void)err;
    reader->assigns += kind == SL_KLOG_ASSIGN;
    reader->revokes += kind == SL_KLOG_REVOKE;
    reader->losses += kind == SL_KLOG_LOST;
    reader->fatals += kind == SL_KLOG_FATAL;
    if (kind == SL_KLOG_OUT_OF_RANGE) {
        reader->out_of_range++;
        reader->last_out_of_range = (uint64_t)list->items[0].offset;
    }
    if (kind == SL_KLOG_ASSIGN) {
        reader_keep(reader, list);
        if (reader->answer)
            reader_assign(reader, 0);
    }
    if (kind == SL_KLOG_REVOKE || kind == SL_KLOG_LOST) {
        reader_keep(reader, NULL);
        if (reader->answer)
            assert_int_equal(reader->kind->unassign(reader->consumer, list, NULL), 0);
    }
}

static void reader_wake(void *user)
{
    ((struct reader *)user)->woken++;
}

static void reader_open(struct reader *reader, struct sl_model *model, const char *topic, const char *instance_id)
{
    const char *topics[] = {topic};
    struct sl_klog_consumer_settings settings = {.topics = {topics, 1},
                                                 .group = "g",
                                                 .instance_id = instance_id,
                                                 .read_committed = true,
                                                 .wake = reader_wake,
                                                 .user = reader,
                                                 .event = reader_event};
    struct sl_err err;
    memset(reader, 0, sizeof(*reader));
    reader->answer = true;
    reader->client = sl_model_client_new(model, NULL, NULL);
    reader->kind = sl_model_client_klog(reader->client)->kind;
    assert_int_equal(reader->kind->consumer_open(sl_model_client_klog(reader->client), &settings, &reader->consumer, &err), 0);
}

static void reader_close(struct reader *reader)
{
    reader->client = sl_model_client_free(reader->client);
    sl_klog_list_fini(&reader->assigned);
}

/* Polls a few times; a poll may give as little as one record. */
static void reader_poll(struct reader *reader)
{
    for (int turn = 0; turn < 40; turn++) {
        struct sl_klog_message messages[8];
        struct sl_err err;
        int count = reader->kind->poll(reader->consumer, messages, 8, &err);
        assert_true(count >= 0);
        for (int i = 0; i < count; i++) {
            size_t used = strlen(reader->seen);
            (void)snprintf(reader->seen + used, sizeof(reader->seen) - used, "%.*s,", (int)messages[i].payload.bytes,
                           messages[i].payload.data != NULL ? messages[i].payload.data : "");
        }
    }
}

struct world {
    struct sl_model *model;
    uint64_t now_ns;
};

static void world_init(struct world *world)
{
    struct sl_model_settings settings = {.seed = 7};
    world->now_ns = 0;
    world->model = sl_model_new(&settings);
}

/* Seconds go by, and who is given lives on through them. */
static void world_pass(struct world *world, uint32_t seconds, struct reader *alive)
{
    for (; seconds > 0; seconds--) {
        world->now_ns += SL_NS_PER_S;
        sl_model_time(world->model, world->now_ns, (int64_t)(world->now_ns / SL_NS_PER_MS));
        if (alive != NULL)
            sl_model_client_heartbeat(alive->client);
    }
}

static struct sl_klog_record record_of(const char *topic, int32_t partition, const char *key, const char *payload)
{
    struct sl_klog_record record = {.topic = topic, .partition = partition};
    if (key != NULL)
        record.key = sl_slice_of(key);
    if (payload != NULL)
        record.payload = sl_slice_of(payload);
    record.null_payload = payload == NULL;
    return record;
}

static uint64_t put(struct world *world, const char *topic, int32_t partition, const char *payload)
{
    struct sl_klog_record record = record_of(topic, partition, NULL, payload);
    return sl_model_append(world->model, &record);
}

static struct sl_klog_producer *producer_of(struct reader *reader, const char *id)
{
    struct sl_klog_producer *producer = NULL;
    struct sl_err err;
    assert_int_equal(
        reader->kind->producer_open(sl_model_client_klog(reader->client), NULL, id, 10000, &producer, &err), 0);
    return producer;
}

/* begin, one record to "out", offset of in/0 = next with metadata "m". What send_offsets said. */
static int transact(struct reader *reader, struct sl_klog_producer *producer, struct sl_klog_group *group, int64_t next,
                    struct sl_err *err)
{
    struct sl_klog_record record = record_of("out", 0, "k", "effect");
    struct sl_klog_list offsets = {NULL, 0};
    assert_int_equal(reader->kind->begin(producer, err), 0);
    assert_int_equal(reader->kind->produce(producer, &record, 1, err), 0);
    assert_int_equal(sl_klog_list_add(&offsets, "in", 0, next, "m", 1), 0);
    int status = reader->kind->send_offsets(producer, &offsets, group, err);
    sl_klog_list_fini(&offsets);
    return status;
}

static int count_record(void *user, const struct sl_klog_message *message)
{
    (void)message;
    ++*(int *)user;
    return 0;
}

static int effects(struct world *world)
{
    int count = 0;
    assert_int_equal(sl_model_read(world->model, "out", 0, count_record, &count), 0);
    return count;
}

static int64_t committed_of(struct world *world)
{
    int64_t offset = -1;
    struct sl_slice metadata = {NULL, 0};
    if (sl_model_committed(world->model, "g", "in", 0, &offset, &metadata) == 1)
        assert_true(sl_slice_is(metadata, "m"));
    return offset;
}

static void test_a_marker_takes_an_offset_and_aborted_records_are_not_seen(void **state)
{
    struct world world;
    struct reader reader;
    uint64_t first, stable, end, next = 0;
    struct sl_klog_record gone = record_of("in", 0, NULL, "gone"), kept = record_of("in", 0, NULL, "kept");
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    assert_int_equal(put(&world, "in", 0, "a"), 0);
    sl_model_append_transaction(world.model, &gone, 1, false);
    sl_model_append_transaction(world.model, &kept, 1, true);
    assert_int_equal(put(&world, "in", 0, "b"), 5);
    sl_model_append_transaction(world.model, &gone, 1, false);
    sl_model_bounds(world.model, "in", 0, &first, &stable, &end);
    assert_int_equal(end, 8);
    assert_int_equal(stable, 8);
    reader_open(&reader, world.model, "in", NULL);
    reader_poll(&reader);
    assert_string_equal(reader.seen, "a,kept,b,");
    assert_int_equal(reader.kind->position(reader.consumer, "in", 0, &next), 0);
    assert_int_equal(next, 8); /* past the marker, though no record brought it there */
    reader_close(&reader);
    sl_model_free(world.model);
}

static void test_an_open_transaction_holds_back_what_follows_it(void **state)
{
    struct world world;
    struct reader reader, writer;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&reader, world.model, "out", NULL);
    reader_open(&writer, world.model, "in", NULL);
    struct sl_klog_producer *producer = producer_of(&writer, "t");
    struct sl_klog_record record = record_of("out", 0, NULL, "first");
    assert_int_equal(writer.kind->begin(producer, &err), 0);
    assert_int_equal(writer.kind->produce(producer, &record, 1, &err), 0);
    put(&world, "out", 0, "second");
    reader_poll(&reader);
    assert_string_equal(reader.seen, "");
    assert_int_equal(writer.kind->commit(producer, &err), 0);
    reader_poll(&reader);
    assert_string_equal(reader.seen, "first,second,");
    reader_close(&reader);
    reader_close(&writer);
    sl_model_free(world.model);
}

static void test_partitions_are_shared_by_range_and_move_only_after_every_member_let_go(void **state)
{
    struct world world;
    struct reader a, b;
    uint32_t generation;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 5);
    reader_open(&a, world.model, "^i", NULL);
    reader_poll(&a);
    assert_int_equal(a.assigned.count, 5);
    a.answer = false;
    reader_open(&b, world.model, "in", NULL);
    reader_poll(&b);
    reader_poll(&a);
    reader_poll(&b);
    assert_int_equal(a.revokes, 1);
    assert_int_equal(b.assigns, 0); /* a still holds them */
    assert_int_equal(sl_model_members(world.model, "g", &generation), 2);
    assert_int_equal(generation, 1);
    assert_int_equal(a.kind->unassign(a.consumer, NULL, NULL), 0);
    a.answer = true;
    reader_poll(&a);
    reader_poll(&b);
    assert_int_equal(a.assigned.count, 3);
    assert_int_equal(b.assigned.count, 2);
    assert_int_equal(b.assigned.items[0].partition, 3);
    (void)sl_model_members(world.model, "g", &generation);
    assert_int_equal(generation, 2);
    reader_close(&a);
    reader_close(&b);
    sl_model_free(world.model);
}

static void test_a_silent_member_loses_its_partitions_and_its_commits_are_fenced(void **state)
{
    struct world world;
    struct reader a, b;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    assert_int_equal(transact(&a, producer, group, 3, &err), 0);
    assert_int_equal(a.kind->commit(producer, &err), 0);
    reader_open(&b, world.model, "in", NULL);
    reader_poll(&b);
    world_pass(&world, 11, &b); /* a is stopped */
    reader_poll(&b);
    assert_int_equal(b.assigned.count, 1);
    assert_true(transact(&a, producer, group, 9, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    assert_int_equal(a.kind->abort(producer, &err), 0);
    assert_int_equal(committed_of(&world), 3);
    assert_int_equal(effects(&world), 1);
    struct sl_klog_list plain = {NULL, 0};
    assert_int_equal(sl_klog_list_add(&plain, "in", 0, 9, NULL, 0), 0);
    assert_true(a.kind->commit_offsets(a.consumer, &plain, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    sl_klog_list_fini(&plain);
    a.answer = false;
    reader_poll(&a);
    assert_int_equal(a.losses, 1);
    assert_null(a.kind->group_snapshot(a.consumer)); /* it knows: there is nothing to commit with */
    a.kind->group_free(group);
    reader_close(&a);
    reader_close(&b);
    sl_model_free(world.model);
}

static void test_a_commit_of_a_former_generation_is_fenced_though_the_member_lives(void **state)
{
    struct world world;
    struct reader a, b;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 2);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *former = a.kind->group_snapshot(a.consumer);
    reader_open(&b, world.model, "in", NULL);
    for (int i = 0; i < 3; i++) {
        reader_poll(&b);
        reader_poll(&a);
    }
    assert_int_equal(a.assigned.count, 1);
    assert_int_equal(transact(&a, producer, former, 1, &err), -SL_E_BROKER);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    assert_non_null(strstr(err.text, "ILLEGAL_GENERATION"));
    assert_int_equal(a.kind->abort(producer, &err), 0);
    struct sl_klog_group *present = a.kind->group_snapshot(a.consumer);
    assert_int_equal(transact(&a, producer, present, 1, &err), 0);
    a.kind->group_free(former);
    a.kind->group_free(present);
    reader_close(&a);
    reader_close(&b);
    sl_model_free(world.model);
}

static void test_a_heartbeat_beside_poll_keeps_a_member(void **state)
{
    struct world world;
    struct reader a;
    uint32_t generation;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    world_pass(&world, 30, &a);
    assert_int_equal(sl_model_members(world.model, "g", &generation), 1);
    sl_model_client_cut(a.client, true); /* heartbeats no longer arrive */
    world_pass(&world, 11, &a);
    assert_int_equal(sl_model_members(world.model, "g", &generation), 0);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self(void **state)
{
    struct world world;
    struct reader old, other, again;
    struct sl_err err;
    uint32_t before, after;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 2);
    sl_model_topic(world.model, "out", 1);
    reader_open(&old, world.model, "in", "node/0");
    reader_open(&other, world.model, "in", "node/1");
    for (int i = 0; i < 3; i++) {
        reader_poll(&old);
        reader_poll(&other);
    }
    assert_int_equal(old.assigned.count, 1);
    (void)sl_model_members(world.model, "g", &before);
    struct sl_klog_group *group = old.kind->group_snapshot(old.consumer);
    struct sl_klog_producer *producer = producer_of(&old, "t");
    uint32_t revokes = other.revokes;
    reader_open(&again, world.model, "in", "node/0");
    reader_poll(&again);
    reader_poll(&other);
    assert_int_equal(again.assigned.count, 1);
    assert_int_equal(again.assigned.items[0].partition, 0);
    assert_int_equal(sl_model_members(world.model, "g", &after), 2);
    assert_int_equal(before, after);
    assert_int_equal(other.revokes, revokes);
    assert_true(transact(&old, producer, group, 1, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    assert_non_null(strstr(err.text, "FENCED_INSTANCE_ID"));
    reader_poll(&old);
    reader_poll(&old);
    assert_int_equal(old.fatals, 1);
    old.kind->group_free(group);
    reader_close(&old);
    reader_close(&other);
    reader_close(&again);
    sl_model_free(world.model);
}

static void test_a_static_member_closes_without_leaving_and_a_dynamic_one_leaves(void **state)
{
    struct world world;
    struct reader a, b;
    uint32_t generation;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 2);
    reader_open(&a, world.model, "in", "node/0");
    reader_open(&b, world.model, "in", NULL);
    for (int i = 0; i < 3; i++) {
        reader_poll(&a);
        reader_poll(&b);
    }
    b.kind->consumer_close(b.consumer);
    assert_int_equal(sl_model_members(world.model, "g", &generation), 1);
    a.kind->consumer_close(a.consumer);
    assert_int_equal(sl_model_members(world.model, "g", &generation), 1);
    world_pass(&world, 11, NULL);
    assert_int_equal(sl_model_members(world.model, "g", &generation), 0);
    reader_close(&a);
    reader_close(&b);
    sl_model_free(world.model);
}

static void test_an_aborted_transaction_leaves_neither_records_nor_offsets(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    assert_int_equal(transact(&a, producer, group, 5, &err), 0);
    assert_int_equal(a.kind->abort(producer, &err), 0);
    assert_int_equal(effects(&world), 0);
    assert_int_equal(committed_of(&world), -1);
    assert_int_equal(transact(&a, producer, group, 6, &err), 0);
    assert_int_equal(a.kind->commit(producer, &err), 0);
    assert_int_equal(effects(&world), 1);
    assert_int_equal(committed_of(&world), 6);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_the_next_owner_of_a_transactional_id_aborts_and_fences_the_former(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *old = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    assert_int_equal(transact(&a, old, group, 5, &err), 0);
    (void)producer_of(&a, "t");
    assert_true(a.kind->commit(old, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    assert_int_equal(effects(&world), 0);
    assert_int_equal(committed_of(&world), -1);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_a_transaction_left_open_is_aborted_at_its_time_out(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    uint64_t first, stable, end;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    assert_int_equal(transact(&a, producer, group, 5, &err), 0);
    world_pass(&world, 9, &a);
    sl_model_bounds(world.model, "out", 0, &first, &stable, &end);
    assert_int_equal(stable, 0);
    world_pass(&world, 2, &a);
    sl_model_bounds(world.model, "out", 0, &first, &stable, &end);
    assert_int_equal(stable, 2);
    assert_int_equal(effects(&world), 0);
    assert_true(a.kind->commit(producer, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_FENCE);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_committed_offsets_are_read_stable_and_carry_their_metadata(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    struct sl_klog_list list = {NULL, 0};
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    assert_int_equal(sl_klog_list_add(&list, "in", 0, 77, NULL, 0), 0);
    assert_int_equal(a.kind->committed(a.consumer, &list, 100, &err), 0);
    assert_int_equal(list.items[0].offset, -1);
    assert_int_equal(transact(&a, producer, group, 5, &err), 0);
    assert_true(a.kind->committed(a.consumer, &list, 100, &err) != 0); /* which it will be is not known yet */
    assert_int_equal(err.remedy, SL_REMEDY_RETRY);
    assert_int_equal(a.kind->commit(producer, &err), 0);
    assert_int_equal(a.kind->committed(a.consumer, &list, 100, &err), 0);
    assert_int_equal(list.items[0].offset, 5);
    assert_int_equal(list.items[0].metadata_bytes, 1);
    assert_int_equal(list.items[0].metadata[0], 'm');
    sl_klog_list_fini(&list);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

struct fate_case {
    enum sl_model_commit fate;
    bool answered, carried_out, later, usable;
};

static void fate_check(const struct fate_case *c)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    sl_model_client_next_commit(a.client, c->fate);
    assert_int_equal(transact(&a, producer, group, 5, &err), 0);
    int status = a.kind->commit(producer, &err);
    assert_int_equal(status == 0, c->answered);
    if (status != 0)
        assert_int_equal(err.remedy, c->usable ? SL_REMEDY_RETRY : SL_REMEDY_FENCE);
    assert_int_equal(committed_of(&world), c->carried_out ? 5 : -1);
    assert_int_equal(a.kind->begin(producer, &err) == 0, c->usable);
    world_pass(&world, 9, &a);
    assert_int_equal(committed_of(&world), c->carried_out || c->later ? 5 : -1);
    assert_int_equal(effects(&world), c->carried_out || c->later ? 1 : 0);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_a_commit_may_be_refused_lost_unanswered_late_or_doubled(void **state)
{
    static const struct fate_case cases[] = {
        {SL_MODEL_COMMIT_FINE, true, true, false, true},
        {SL_MODEL_COMMIT_REFUSED, false, false, false, true},
        {SL_MODEL_COMMIT_LOST, false, false, false, false},
        {SL_MODEL_COMMIT_UNANSWERED, false, true, false, false},
        {SL_MODEL_COMMIT_LATE, false, false, true, false},
        {SL_MODEL_COMMIT_TWICE, true, true, false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        fate_check(&cases[i]);
}

static void test_a_late_commit_does_not_come_true_after_the_producer_was_fenced(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    sl_model_topic(world.model, "out", 1);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    struct sl_klog_group *group = a.kind->group_snapshot(a.consumer);
    sl_model_client_next_commit(a.client, SL_MODEL_COMMIT_LATE);
    assert_int_equal(transact(&a, producer, group, 5, &err), 0);
    assert_true(a.kind->commit(producer, &err) != 0);
    (void)producer_of(&a, "t");
    world_pass(&world, 20, &a);
    assert_int_equal(committed_of(&world), -1);
    assert_int_equal(effects(&world), 0);
    a.kind->group_free(group);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_retention_moves_the_beginning_and_a_reader_below_it_is_told(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    for (int i = 0; i < 4; i++)
        put(&world, "in", 0, "abcd");
    sl_model_retain(world.model, "in", 0, 3);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    assert_int_equal(a.out_of_range, 1); /* told once, and not moved */
    assert_int_equal(a.last_out_of_range, 0);
    assert_string_equal(a.seen, "");
    struct sl_klog_list list = {NULL, 0};
    assert_int_equal(sl_klog_list_add(&list, "in", 0, 0, NULL, 0), 0);
    assert_int_equal(a.kind->offsets(a.consumer, &list, -2, 100, &err), 0);
    assert_int_equal(list.items[0].offset, 3);
    assert_int_equal(a.kind->seek(a.consumer, "in", 0, 3, &err), 0);
    reader_poll(&a);
    assert_string_equal(a.seen, "abcd,");
    assert_int_equal(a.kind->seek(a.consumer, "in", 0, 9, &err), 0);
    reader_poll(&a);
    assert_int_equal(a.out_of_range, 2); /* beyond the end */
    sl_klog_list_fini(&list);
    reader_close(&a);
    sl_model_free(world.model);
}

/* Of the record at offset of the first partition: 1 hashed, 0 gone. */
static int reader_hash(const struct reader *reader, uint64_t offset, uint64_t *ret_hash)
{
    struct sl_klog_print print = {"in", 0, offset, false, 0};
    struct sl_err err;

    assert_int_equal(reader->kind->fingerprints(reader->consumer, &print, 1, &err), 0);
    *ret_hash = print.hash;
    return print.found ? 1 : 0;
}

static void test_compaction_keeps_offsets_and_the_newest_of_each_key(void **state)
{
    static const char *const rows[][2] = {{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", NULL}, {"c", "5"}};
    struct world world;
    struct reader a;
    uint64_t first, stable, end, hash;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sl_klog_record record = record_of("in", 0, rows[i][0], rows[i][1]);
        (void)sl_model_append(world.model, &record);
    }
    sl_model_compact(world.model, "in", 0);
    sl_model_bounds(world.model, "in", 0, &first, &stable, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 5);
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    assert_string_equal(a.seen, "3,,5,"); /* the tombstone is a record */
    assert_int_equal(reader_hash(&a, 0, &hash), 0);
    assert_int_equal(reader_hash(&a, 2, &hash), 1);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_a_recreated_topic_starts_at_zero_with_other_records(void **state)
{
    struct world world;
    struct reader a;
    uint64_t before = 0, after = 0;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    put(&world, "in", 0, "old");
    sl_model_reset_offset(world.model, "g", "in", 0, 1);
    reader_open(&a, world.model, "in", NULL);
    assert_int_equal(reader_hash(&a, 0, &before), 1);
    sl_model_recreate(world.model, "in", 1, true);
    assert_int_equal(put(&world, "in", 0, "new"), 0);
    assert_int_equal(reader_hash(&a, 0, &after), 1);
    assert_true(before != after);
    assert_int_equal(sl_model_committed(world.model, "g", "in", 0, &(int64_t){0}, &(struct sl_slice){0}), 1);
    sl_model_recreate(world.model, "in", 1, false);
    assert_int_equal(sl_model_committed(world.model, "g", "in", 0, &(int64_t){0}, &(struct sl_slice){0}), 0);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_added_partitions_reach_the_group(void **state)
{
    struct world world;
    struct reader a;
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    reader_open(&a, world.model, "in", "node/0");
    reader_poll(&a);
    sl_model_topic(world.model, "in", 3);
    reader_poll(&a);
    assert_int_equal(a.assigned.count, 3);
    assert_int_equal(a.revokes, 1);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_nobody_answers_in_an_outage_and_the_log_is_whole_after_it(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    struct sl_klog_list list = {NULL, 0};
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    put(&world, "in", 0, "a");
    reader_open(&a, world.model, "in", NULL);
    sl_model_outage(world.model, true);
    reader_poll(&a);
    assert_string_equal(a.seen, "");
    assert_true(a.kind->committed(a.consumer, &list, 100, &err) != 0);
    assert_int_equal(err.remedy, SL_REMEDY_RETRY);
    uint32_t woken = a.woken;
    sl_model_outage(world.model, false);
    assert_true(a.woken > woken);
    reader_poll(&a);
    assert_string_equal(a.seen, "a,");
    reader_close(&a);
    sl_model_free(world.model);
}

static int die_at(void *user, const char *what)
{
    (void)what;
    return --*(int *)user == 0;
}

static void test_a_process_may_die_at_any_operation_and_nothing_of_it_goes_on(void **state)
{
    struct world world;
    struct sl_err err;
    int left = 3;
    struct sl_klog_producer *producer;
    struct sl_klog_record record = record_of("out", 0, NULL, "x");
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "out", 1);
    struct sl_model_client *client = sl_model_client_new(world.model, die_at, &left);
    struct sl_klog *log = sl_model_client_klog(client);
    assert_int_equal(log->kind->producer_open(log, NULL, "t", 10000, &producer, &err), 0);
    assert_int_equal(log->kind->begin(producer, &err), 0);
    assert_int_equal(log->kind->produce(producer, &record, 1, &err), -SL_E_STOPPED);
    assert_int_equal(log->kind->commit(producer, &err), -SL_E_STOPPED);
    client = sl_model_client_free(client);
    assert_int_equal(effects(&world), 0);
    sl_model_free(world.model);
}

struct reports {
    int delivered, refused;
};

static void report_each(void *user, void *opaque, int status, const struct sl_err *err)
{
    struct reports *reports = user;
    assert_ptr_equal(opaque, user);
    reports->delivered += status == 0;
    if (status != 0) {
        assert_int_equal(err->remedy, SL_REMEDY_DEADLETTER);
        reports->refused++;
    }
}

static void test_a_sender_reports_each_record_once_and_refuses_the_too_large(void **state)
{
    struct world world;
    struct reports reports = {0, 0};
    struct sl_err err;
    struct sl_klog_sender *sender;
    char *large = calloc(1, (1 << 20) + 1);
    struct sl_klog_record small = record_of("out", 0, NULL, "x"), big = small;
    (void)state;
    big.payload = (struct sl_slice){large, (1 << 20) + 1};
    world_init(&world);
    sl_model_topic(world.model, "out", 1);
    struct sl_model_client *client = sl_model_client_new(world.model, NULL, NULL);
    struct sl_klog *log = sl_model_client_klog(client);
    assert_int_equal(log->kind->sender_open(log, NULL, NULL, 4 << 20, NULL, NULL, &sender, &err), 0);
    assert_int_equal(log->kind->send(sender, &small, &reports, &err), 0);
    assert_int_equal(log->kind->send(sender, &big, &reports, &err), 0);
    assert_int_equal(log->kind->send(sender, &small, &reports, &err), 0);
    big.payload.bytes = (4 << 20) - 1; /* only its length is looked at: it does not fit beside the others */
    assert_int_equal(log->kind->send(sender, &big, &reports, &err), -SL_E_LIMIT);
    assert_int_equal(log->kind->reports(sender, report_each, &reports, &err), 0);
    for (int i = 0; i < 3; i++) {
        world_pass(&world, 1, NULL);
        assert_true(log->kind->reports(sender, report_each, &reports, &err) >= 0);
    }
    assert_int_equal(reports.delivered, 2);
    assert_int_equal(reports.refused, 1);
    assert_int_equal(effects(&world), 2);
    client = sl_model_client_free(client);
    sl_model_free(world.model);
    free(large);
}

static int count_change(void *user, struct sl_slice key, struct sl_slice value)
{
    (void)key;
    *(int *)user += value.data == NULL ? 100 : 1;
    return 0;
}

static void test_a_scan_goes_to_the_stable_end_and_on_from_there(void **state)
{
    struct world world;
    struct reader a;
    struct sl_err err;
    uint64_t at = 0;
    int count = 0;
    struct sl_klog_record tombstone = record_of("commits", 0, "k", NULL), value = record_of("commits", 0, "k", "v");
    (void)state;
    world_init(&world);
    sl_model_topic(world.model, "in", 1);
    reader_open(&a, world.model, "in", NULL);
    struct sl_klog *log = sl_model_client_klog(a.client);
    assert_true(log->kind->scan(log, NULL, "commits", 0, &at, count_change, &count, &err) != 0);
    assert_int_equal(log->kind->topic_ensure(log, NULL, "commits", 1, &err), 0);
    assert_int_equal(log->kind->topic_ensure(log, NULL, "commits", 7, &err), 0);
    uint32_t partitions = 0;
    assert_int_equal(log->kind->partition_count(log, NULL, "commits", &partitions, &err), 0);
    assert_int_equal(partitions, 1);
    (void)sl_model_append(world.model, &value);
    struct sl_klog_producer *producer = producer_of(&a, "t");
    assert_int_equal(log->kind->begin(producer, &err), 0);
    assert_int_equal(log->kind->produce(producer, &tombstone, 1, &err), 0);
    assert_int_equal(log->kind->scan(log, NULL, "commits", 0, &at, count_change, &count, &err), 0);
    assert_int_equal(at, 1);
    assert_int_equal(count, 1);
    assert_int_equal(log->kind->commit(producer, &err), 0);
    assert_int_equal(log->kind->scan(log, NULL, "commits", 0, &at, count_change, &count, &err), 0);
    assert_int_equal(at, 3);
    assert_int_equal(count, 101);
    reader_close(&a);
    sl_model_free(world.model);
}

static void seed_story(uint64_t seed, char *ret_story, size_t bytes)
{
    struct sl_model_settings settings = {.seed = seed, .empty_poll_permille = 300};
    struct world world = {.now_ns = 0};
    struct reader a;
    world.model = sl_model_new(&settings);
    sl_model_topic(world.model, "in", 3);
    for (int i = 0; i < 30; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof(payload), "%d", i);
        put(&world, "in", i % 3, payload);
    }
    reader_open(&a, world.model, "in", NULL);
    reader_poll(&a);
    (void)snprintf(ret_story, bytes, "%s", a.seen);
    reader_close(&a);
    sl_model_free(world.model);
}

static void test_a_seed_is_the_whole_story(void **state)
{
    char first[512], second[512], other[512];
    (void)state;
    seed_story(5, first, sizeof(first));
    seed_story(5, second, sizeof(second));
    seed_story(6, other, sizeof(other));
    assert_string_equal(first, second);
    assert_string_not_equal(first, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_marker_takes_an_offset_and_aborted_records_are_not_seen),
        cmocka_unit_test(test_an_open_transaction_holds_back_what_follows_it),
        cmocka_unit_test(test_partitions_are_shared_by_range_and_move_only_after_every_member_let_go),
        cmocka_unit_test(test_a_silent_member_loses_its_partitions_and_its_commits_are_fenced),
        cmocka_unit_test(test_a_commit_of_a_former_generation_is_fenced_though_the_member_lives),
        cmocka_unit_test(test_a_heartbeat_beside_poll_keeps_a_member),
        cmocka_unit_test(test_a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self),
        cmocka_unit_test(test_a_static_member_closes_without_leaving_and_a_dynamic_one_leaves),
        cmocka_unit_test(test_an_aborted_transaction_leaves_neither_records_nor_offsets),
        cmocka_unit_test(test_the_next_owner_of_a_transactional_id_aborts_and_fences_the_former),
        cmocka_unit_test(test_a_transaction_left_open_is_aborted_at_its_time_out),
        cmocka_unit_test(test_committed_offsets_are_read_stable_and_carry_their_metadata),
        cmocka_unit_test(test_a_commit_may_be_refused_lost_unanswered_late_or_doubled),
        cmocka_unit_test(test_a_late_commit_does_not_come_true_after_the_producer_was_fenced),
        cmocka_unit_test(test_retention_moves_the_beginning_and_a_reader_below_it_is_told),
        cmocka_unit_test(test_compaction_keeps_offsets_and_the_newest_of_each_key),
        cmocka_unit_test(test_a_recreated_topic_starts_at_zero_with_other_records),
        cmocka_unit_test(test_added_partitions_reach_the_group),
        cmocka_unit_test(test_nobody_answers_in_an_outage_and_the_log_is_whole_after_it),
        cmocka_unit_test(test_a_process_may_die_at_any_operation_and_nothing_of_it_goes_on),
        cmocka_unit_test(test_a_sender_reports_each_record_once_and_refuses_the_too_large),
        cmocka_unit_test(test_a_scan_goes_to_the_stable_end_and_on_from_there),
        cmocka_unit_test(test_a_seed_is_the_whole_story),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
