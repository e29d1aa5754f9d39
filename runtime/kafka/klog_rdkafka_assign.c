/* klog_rdkafka_assign.c: a consumer's partitions: how they come and go, and where each stands.
 *
 * The rebalance callback only reports. The library waits for assign or unassign while its heartbeats go on; the owner answers from
 * inside the callback or later, in the order of the events. What the library waits for (`owed`) is always the latest event: where a
 * changed topic makes it rejoin over an unanswered revocation, that revocation's late answer is bookkeeping only, or it would throw
 * the new assignment away.
 * Eager protocols know whole assignments, so places at their positions are given again when some are added; cooperative ones know
 * increments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { KLOG_SEEK_MS = 5000 };

/* ---- places ---- */
static uint32_t place_hash(const rd_kafka_topic_t *rkt, int32_t partition)
{
    uint64_t hash = ((uint64_t)(uintptr_t)rkt >> 4) * 0x9e3779b97f4a7c15u + (uint64_t)(uint32_t)partition * 0xc2b2ae3d27d4eb4fu;

    return (uint32_t)(hash >> 32);
}

static int places_index(struct sl_klog_consumer *consumer)
{
    uint32_t size = 16;

    consumer->last = NULL;
    while (size < 2 * consumer->places_count)
        size *= 2;
    free(consumer->index);
    consumer->index = calloc(size, sizeof(*consumer->index));
    consumer->index_mask = size - 1;
    if (consumer->index == NULL)
        return -1;
    for (uint32_t i = 0; i < consumer->places_count; i++) {
        uint32_t at = place_hash(consumer->places[i].rkt, consumer->places[i].partition) & consumer->index_mask;

        while (consumer->index[at] != 0)
            at = (at + 1) & consumer->index_mask;
        consumer->index[at] = i + 1;
    }
    return 0;
}

struct klog_place *sl_klog_place_find(struct sl_klog_consumer *consumer, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < consumer->places_count; i++)
        if (consumer->places[i].partition == partition && strcmp(consumer->places[i].topic, topic) == 0)
            return &consumer->places[i];
    return NULL;
}

struct klog_place *sl_klog_place_of(struct sl_klog_consumer *consumer, const rd_kafka_message_t *message)
{
    struct klog_place *last = consumer->last;
    uint32_t at;

    if (last != NULL && last->rkt == message->rkt && last->partition == message->partition)
        return last;
    if (consumer->index == NULL)
        return NULL;
    at = place_hash(message->rkt, message->partition) & consumer->index_mask;
    for (; consumer->index[at] != 0; at = (at + 1) & consumer->index_mask) {
        struct klog_place *place = &consumer->places[consumer->index[at] - 1];

        if (place->rkt == message->rkt && place->partition == message->partition)
            return consumer->last = place;
    }
    last = sl_klog_place_find(consumer, rd_kafka_topic_name(message->rkt), message->partition);
    return last == NULL ? NULL : (consumer->last = last);
}

static void place_fini(struct klog_place *place)
{
    if (place->queue != NULL)
        rd_kafka_queue_destroy(place->queue);
    if (place->rkt != NULL)
        rd_kafka_topic_destroy(place->rkt);
    free(place->topic);
}

static void place_forward(struct sl_klog_consumer *consumer, struct klog_place *place)
{
    rd_kafka_queue_forward(place->queue, consumer->fetched);
}

void sl_klog_places_forward(struct sl_klog_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->places_count; i++)
        place_forward(consumer, &consumer->places[i]);
    consumer->forwarded_ns = sl_clock_now_ns();
}

static int place_add(struct sl_klog_consumer *consumer, const struct sl_klog_partition *item, void *user)
{
    struct klog_place place = {.partition = item->partition, .next = (uint64_t)item->offset, .user = user};

    if (consumer->places_count == consumer->places_max) {
        uint32_t max = consumer->places_max == 0 ? 16 : 2 * consumer->places_max;
        struct klog_place *places = realloc(consumer->places, max * sizeof(*places));

        if (places == NULL)
            return -1;
        consumer->places = places;
        consumer->places_max = max;
    }
    place.topic = strdup(item->topic);
    place.rkt = rd_kafka_topic_new(consumer->rk, item->topic, NULL);
    place.queue = rd_kafka_queue_get_partition(consumer->rk, item->topic, item->partition);
    if (place.topic == NULL || place.rkt == NULL || place.queue == NULL) {
        place_fini(&place);
        return -1;
    }
    place_forward(consumer, &place); /* before the assignment: the library leaves a queue alone that has been forwarded */
    consumer->places[consumer->places_count++] = place;
    return 0;
}

static void place_remove(struct sl_klog_consumer *consumer, struct klog_place *place)
{
    place_fini(place);
    *place = consumer->places[--consumer->places_count];
}

void sl_klog_places_clear(struct sl_klog_consumer *consumer)
{
    while (consumer->places_count > 0)
        place_fini(&consumer->places[--consumer->places_count]);
    consumer->last = NULL;
    free(consumer->index);
    consumer->index = NULL;
}

/* ---- native lists ---- */
rd_kafka_topic_partition_list_t *sl_klog_native_list(const struct sl_klog_list *list)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new((int)list->count);

    for (uint32_t i = 0; i < list->count; i++) {
        const struct sl_klog_partition *item = &list->items[i];
        rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_add(native, item->topic, item->partition);

        to->offset = item->offset;
        if (item->metadata != NULL && item->metadata_bytes > 0 && (to->metadata = malloc(item->metadata_bytes)) != NULL) {
            memcpy(to->metadata, item->metadata, item->metadata_bytes);
            to->metadata_size = item->metadata_bytes;
        }
    }
    return native;
}

static rd_kafka_topic_partition_list_t *places_native(const struct sl_klog_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new((int)consumer->places_count);

    for (uint32_t i = 0; i < consumer->places_count; i++) {
        const struct klog_place *place = &consumer->places[i];

        rd_kafka_topic_partition_list_add(native, place->topic, place->partition)->offset = (int64_t)place->next;
    }
    return native;
}

/* ---- events ---- */
static bool consumer_cooperates(const struct sl_klog_consumer *consumer)
{
    const char *protocol = rd_kafka_rebalance_protocol(consumer->rk);

    return protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
}

static void rebalance_answer(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, bool cooperative)
{
    if (cooperative) {
        rd_kafka_error_t *error = rd_kafka_incremental_unassign(rk, list);

        if (error != NULL)
            rd_kafka_error_destroy(error);
    } else {
        (void)rd_kafka_assign(rk, NULL);
    }
}

/* The library may join again over an assignment that was not answered yet, and then knows a newer generation than the one that our
 * partitions are from: a commit for them under the newer name would be let through although they may be another member's. */
static bool generation_write(const rd_kafka_consumer_group_metadata_t *native, void **ret_data, size_t *ret_bytes)
{
    rd_kafka_error_t *error = native == NULL ? NULL : rd_kafka_consumer_group_metadata_write(native, ret_data, ret_bytes);

    if (error != NULL)
        rd_kafka_error_destroy(error);
    return native != NULL && error == NULL;
}

void sl_klog_generation_forget(struct sl_klog_consumer *consumer)
{
    if (consumer->generation != NULL)
        rd_kafka_mem_free(consumer->rk, consumer->generation);
    consumer->generation = NULL;
    consumer->generation_bytes = 0;
}

static void generation_note(struct sl_klog_consumer *consumer)
{
    rd_kafka_consumer_group_metadata_t *native = rd_kafka_consumer_group_metadata(consumer->rk);

    sl_klog_generation_forget(consumer);
    if (!generation_write(native, &consumer->generation, &consumer->generation_bytes))
        consumer->generation = NULL;
    if (native != NULL)
        rd_kafka_consumer_group_metadata_destroy(native);
}

/* Cooperative members keep partitions over generations. */
static bool generation_is_ours(const struct sl_klog_consumer *consumer, const rd_kafka_consumer_group_metadata_t *native)
{
    void *data = NULL;
    size_t bytes = 0;
    bool ours = consumer_cooperates(consumer);

    if (!ours && generation_write(native, &data, &bytes))
        ours = consumer->generation != NULL && bytes == consumer->generation_bytes && memcmp(data, consumer->generation, bytes) == 0;
    if (data != NULL)
        rd_kafka_mem_free(consumer->rk, data);
    return ours;
}

void sl_klog_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct sl_klog_consumer *consumer = opaque;
    bool assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, revoked = code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
    struct sl_klog_list copy = {NULL, 0};
    enum sl_klog_event_kind kind = SL_KLOG_ASSIGN;

    if (!assigned && !revoked) {
        (void)rd_kafka_assign(rk, NULL);
        sl_klog_error_event(consumer, code, consumer->group, NULL);
        return;
    }
    if (consumer->closing) {
        rebalance_answer(rk, list, revoked && consumer_cooperates(consumer));
        return;
    }
    for (int i = 0; i < list->cnt; i++)
        if (sl_klog_list_add(&copy, list->elems[i].topic, list->elems[i].partition, -1, NULL, 0) != 0)
            abort(); /* a partition that nobody hears of would be read by nobody */
    if (revoked)
        kind = rd_kafka_assignment_lost(rk) ? SL_KLOG_LOST : SL_KLOG_REVOKE;
    if (assigned)
        generation_note(consumer);
    consumer->owed = assigned ? KLOG_OWED_ASSIGN : KLOG_OWED_UNASSIGN;
    consumer->settings.event(consumer->settings.user, kind, &copy, NULL);
    sl_klog_list_fini(&copy);
}

/* ---- answers ---- */
static int assign_native(struct sl_klog_consumer *consumer, rd_kafka_topic_partition_list_t *added, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *all;
    rd_kafka_resp_err_t code;

    if (consumer_cooperates(consumer)) {
        rd_kafka_error_t *error = rd_kafka_incremental_assign(consumer->rk, added);

        return error == NULL ? 0 : sl_klog_fail_error(err, error, "taking partitions", consumer->group);
    }
    all = places_native(consumer);
    code = rd_kafka_assign(consumer->rk, all);
    rd_kafka_topic_partition_list_destroy(all);
    return code == 0 ? 0 : sl_klog_fail(err, code, "taking partitions", consumer->group, NULL);
}

/* An eager assignment starts every partition anew, and unpaused. */
static void places_pause_again(struct sl_klog_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *paused = rd_kafka_topic_partition_list_new(1);

    for (uint32_t i = 0; i < consumer->places_count; i++)
        if (consumer->places[i].paused)
            rd_kafka_topic_partition_list_add(paused, consumer->places[i].topic, consumer->places[i].partition);
    if (paused->cnt > 0)
        (void)rd_kafka_pause_partitions(consumer->rk, paused);
    rd_kafka_topic_partition_list_destroy(paused);
}

int sl_klog_assign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, void *const *users, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native;
    int status;

    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].offset < 0 || sl_klog_place_find(consumer, list->items[i].topic, list->items[i].partition) != NULL)
            return sl_fail(err, SL_E_BROKER, SL_REMEDY_HALT, 0, "%s [%d] cannot be assigned at %lld: %s", list->items[i].topic,
                           (int)list->items[i].partition, (long long)list->items[i].offset,
                           list->items[i].offset < 0 ? "no offset" : "it is assigned already");
    for (uint32_t i = 0; i < list->count; i++)
        if (place_add(consumer, &list->items[i], users[i]) != 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for partition %s [%d]", list->items[i].topic,
                           (int)list->items[i].partition);
    if (places_index(consumer) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u partitions", (unsigned)consumer->places_count);
    native = sl_klog_native_list(list);
    status = assign_native(consumer, native, err);
    rd_kafka_topic_partition_list_destroy(native);
    places_pause_again(consumer);
    consumer->owed = KLOG_OWED_NOTHING;
    consumer->forwarded_ns = sl_clock_now_ns();
    return status;
}

static int unassign_eager(struct sl_klog_consumer *consumer, struct sl_err *err)
{
    rd_kafka_resp_err_t code;

    if (consumer->owed == KLOG_OWED_ASSIGN)
        return 0; /* superseded: the coming assign replaces it all */
    if (consumer->owed == KLOG_OWED_NOTHING)
        return assign_native(consumer, NULL, err);
    sl_klog_places_clear(consumer);
    code = rd_kafka_assign(consumer->rk, NULL);
    return code == 0 ? 0 : sl_klog_fail(err, code, "giving partitions up", consumer->group, NULL);
}

int sl_klog_unassign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new((int)list->count);
    bool cooperative = consumer_cooperates(consumer);
    int status = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct klog_place *place = sl_klog_place_find(consumer, list->items[i].topic, list->items[i].partition);

        if (place == NULL)
            continue;
        rd_kafka_topic_partition_list_add(native, place->topic, place->partition);
        place_remove(consumer, place);
    }
    if (places_index(consumer) != 0)
        sl_klog_places_clear(consumer);
    if (cooperative) {
        rd_kafka_error_t *error = rd_kafka_incremental_unassign(consumer->rk, native);

        status = error == NULL ? 0 : sl_klog_fail_error(err, error, "giving partitions up", consumer->group);
    } else {
        status = unassign_eager(consumer, err);
    }
    rd_kafka_topic_partition_list_destroy(native);
    if (consumer->owed == KLOG_OWED_UNASSIGN)
        consumer->owed = KLOG_OWED_NOTHING;
    return status;
}

/* ---- where it stands ---- */
/* Sets a partition going again at place->next whatever state the library has it in. */
static int place_restart(struct sl_klog_consumer *consumer, struct klog_place *place, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error = NULL;
    int status;

    rd_kafka_topic_partition_list_add(native, place->topic, place->partition)->offset = (int64_t)place->next;
    if (consumer_cooperates(consumer))
        error = rd_kafka_incremental_unassign(consumer->rk, native);
    if (error != NULL)
        status = sl_klog_fail_error(err, error, "starting a partition again", place->topic);
    else
        status = assign_native(consumer, native, err);
    rd_kafka_topic_partition_list_destroy(native);
    sl_klog_places_forward(consumer);
    places_pause_again(consumer);
    return status;
}

int sl_klog_seek(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t offset, struct sl_err *err)
{
    struct klog_place *place = sl_klog_place_find(consumer, topic, partition);
    rd_kafka_topic_partition_list_t *native;
    rd_kafka_error_t *error;
    bool moved;

    if (place == NULL)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "%s [%d] is not ours to seek in", topic, (int)partition);
    place->next = offset;
    native = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(native, topic, partition)->offset = (int64_t)offset;
    error = rd_kafka_seek_partitions(consumer->rk, native, KLOG_SEEK_MS); /* the library's own thread answers, no broker */
    moved = error == NULL && native->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error != NULL)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(native);
    return moved ? 0 : place_restart(consumer, place, err); /* it had stopped, as after an offset out of range */
}

int sl_klog_position(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_next)
{
    const struct klog_place *place = consumer->last; /* asked for what was polled last, as a rule */

    if (place == NULL || place->partition != partition || strcmp(place->topic, topic) != 0)
        place = sl_klog_place_find(consumer, topic, partition);
    if (place == NULL)
        return -SL_E_STOPPED;
    *ret_next = place->next;
    return 0;
}

/* What was fetched before a pause is dropped and fetched again; the seek makes sure that it starts where we stand. */
static int place_resume(struct sl_klog_consumer *consumer, rd_kafka_topic_partition_list_t *native, struct klog_place *place,
                        struct sl_err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_resume_partitions(consumer->rk, native);

    if (code != 0)
        return sl_klog_fail(err, code, "resuming a partition", place->topic, NULL);
    return sl_klog_seek(consumer, place->topic, place->partition, place->next, err);
}

int sl_klog_pause(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, bool paused, struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; i < list->count && status == 0; i++) {
        struct klog_place *place = sl_klog_place_find(consumer, list->items[i].topic, list->items[i].partition);
        rd_kafka_topic_partition_list_t *native;

        if (place == NULL || place->paused == paused) /* pausing twice, or resuming what runs, makes duplicates */
            continue;
        native = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(native, place->topic, place->partition);
        place->paused = paused;
        if (!paused)
            status = place_resume(consumer, native, place, err);
        else if (rd_kafka_pause_partitions(consumer->rk, native) != 0)
            status = sl_klog_fail(err, RD_KAFKA_RESP_ERR__FAIL, "pausing a partition", place->topic, NULL);
        rd_kafka_topic_partition_list_destroy(native);
    }
    return status;
}

/* ---- group ---- */
/* NULL while the group has let go of us: a commit with no member's name would be taken for a stranger's and let through. The
 * member is asked for after the metadata: a new name needs our own answer to the loss first, so it cannot come in between. */
struct sl_klog_group *sl_klog_group_snapshot(struct sl_klog_consumer *consumer)
{
    rd_kafka_consumer_group_metadata_t *native = rd_kafka_consumer_group_metadata(consumer->rk);
    char *member = rd_kafka_memberid(consumer->rk);
    bool named = member != NULL && *member != '\0';
    struct sl_klog_group *group = NULL;

    if (member != NULL)
        rd_kafka_mem_free(consumer->rk, member);
    if (native != NULL && named && !rd_kafka_assignment_lost(consumer->rk) && generation_is_ours(consumer, native))
        group = malloc(sizeof(*group));
    if (group != NULL)
        group->native = native;
    else if (native != NULL)
        rd_kafka_consumer_group_metadata_destroy(native);
    return group;
}

void sl_klog_group_free(struct sl_klog_group *group)
{
    if (group == NULL)
        return;
    rd_kafka_consumer_group_metadata_destroy(group->native);
    free(group);
}
