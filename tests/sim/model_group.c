/* model_group.c: the modelled log's consumer groups: membership, rebalances, range assignment, committed offsets.
 *
 * States: EMPTY -> PREPARING (join, leave, expiry, a changed topic: group_prepare) -> STABLE with generation + 1 (all members have
 * joined, or the rebalance's time is over and the rest is thrown out: group_complete). A static member that comes again while
 * the group is STABLE takes over its predecessor's place without a rebalance (group_replace).
 * SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdlib.h>

#include "tests/sim/model_inner.h"

struct sl_klog_partition *model_list_find(const struct sl_klog_list *list, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].partition == partition && strcmp(list->items[i].topic, topic) == 0)
            return &list->items[i];
    return NULL;
}

void model_list_add(struct sl_klog_list *list, const struct sl_klog_partition *item)
{
    int status = sl_klog_list_add(list, item->topic, item->partition, item->offset, item->metadata, item->metadata_bytes);
    assert(status == 0);
}

struct model_group *model_group_of(struct sl_model *model, const char *name)
{
    struct model_group *group = model->groups;
    while (group != NULL && strcmp(group->name, name) != 0)
        group = group->next;
    if (group == NULL) {
        group = model_alloc(sizeof(*group));
        group->name = model_text(name);
        group->next = model->groups;
        model->groups = group;
    }
    return group;
}

struct model_member *model_member_find(struct model_group *group, uint64_t id)
{
    for (uint32_t i = 0; i < group->members_count; i++)
        if (group->members[i].id == id)
            return &group->members[i];
    return NULL;
}

static struct model_member *group_instance(const struct model_group *group, const char *instance_id)
{
    for (uint32_t i = 0; instance_id != NULL && i < group->members_count; i++)
        if (group->members[i].instance_id != NULL && strcmp(group->members[i].instance_id, instance_id) == 0)
            return &group->members[i];
    return NULL;
}

bool model_member_replaced(const struct model_group *group, uint64_t id, const char *instance_id)
{
    const struct model_member *member = group_instance(group, instance_id);
    return member != NULL && member->id != id;
}

static bool group_wants(const struct model_member *member, const char *topic)
{
    bool wants = false;
    for (uint32_t i = 0; i < member->topics_count && !wants; i++) {
        regex_t pattern;
        if (member->topics[i][0] != '^') {
            wants = strcmp(member->topics[i], topic) == 0;
        } else if (regcomp(&pattern, member->topics[i], REG_EXTENDED | REG_NOSUB) == 0) {
            wants = regexec(&pattern, topic, 0, NULL, 0) == 0;
            regfree(&pattern);
        }
    }
    return wants;
}

/* Members by instance id, then by age, as the range assignor sorts them. */
static int group_compare(const void *left, const void *right)
{
    const struct model_member *a = left, *b = right;
    if (a->instance_id != NULL && b->instance_id != NULL)
        return strcmp(a->instance_id, b->instance_id);
    if ((a->instance_id != NULL) != (b->instance_id != NULL))
        return a->instance_id != NULL ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void group_assign_topic(struct model_group *group, const struct model_topic *topic)
{
    uint32_t takers = 0, taker = 0, next = 0;
    for (uint32_t i = 0; i < group->members_count; i++)
        takers += group_wants(&group->members[i], topic->name) ? 1 : 0;
    for (uint32_t i = 0; i < group->members_count; i++) {
        if (!group_wants(&group->members[i], topic->name))
            continue;
        uint32_t share = topic->count / takers + (taker++ < topic->count % takers ? 1 : 0);
        for (; share > 0; share--, next++) {
            int status = sl_klog_list_add(&group->members[i].assigned, topic->name, (int32_t)next, -1, NULL, 0);
            assert(status == 0);
        }
    }
}

static void group_member_fini(struct model_member *member)
{
    for (uint32_t i = 0; i < member->topics_count; i++)
        free(member->topics[i]);
    free(member->topics);
    free(member->instance_id);
    sl_klog_list_fini(&member->assigned);
}

static void group_remove(struct model_group *group, uint32_t index)
{
    group_member_fini(&group->members[index]);
    group->members_count--;
    memmove(&group->members[index], &group->members[index + 1],
            (group->members_count - index) * sizeof(struct model_member));
}

static void group_prepare(struct sl_model *model, struct model_group *group)
{
    if (group->state == MODEL_GROUP_PREPARING)
        return;
    group->state = MODEL_GROUP_PREPARING;
    group->deadline_ns = model->now_ns + model->settings.rebalance_ns;
    for (uint32_t i = 0; i < group->members_count; i++)
        group->members[i].joined = false;
    model_wake(model);
}

static void group_complete(struct sl_model *model, struct model_group *group)
{
    group->generation++;
    group->state = group->members_count > 0 ? MODEL_GROUP_STABLE : MODEL_GROUP_EMPTY;
    if (group->members_count > 1)
        qsort(group->members, group->members_count, sizeof(struct model_member), group_compare);
    for (uint32_t i = 0; i < group->members_count; i++) {
        sl_klog_list_fini(&group->members[i].assigned);
        group->members[i].assigned = (struct sl_klog_list){NULL, 0};
    }
    for (const struct model_topic *topic = model->topics; topic != NULL; topic = topic->next)
        group_assign_topic(group, topic);
    model_wake(model);
}

static void group_try_complete(struct sl_model *model, struct model_group *group)
{
    for (uint32_t i = 0; i < group->members_count; i++)
        if (!group->members[i].joined)
            return;
    group_complete(model, group);
}

static void group_member_init(struct sl_model *model, struct model_member *member,
                              const struct sl_klog_consumer_settings *settings)
{
    uint64_t session_ns = settings->session_timeout_ms * 1000000u;
    *member = (struct model_member){.id = ++model->members_made, .joined = true};
    member->session_ns = session_ns > 0 ? session_ns : model->settings.session_ns;
    member->deadline_ns = model->now_ns + member->session_ns;
    member->instance_id = settings->instance_id != NULL ? model_text(settings->instance_id) : NULL;
    member->topics = model_alloc(settings->topics.count * sizeof(char *));
    member->topics_count = settings->topics.count;
    for (uint32_t i = 0; i < settings->topics.count; i++)
        member->topics[i] = model_text(settings->topics.items[i]);
}

/* KIP-345: the newcomer gets the predecessor's place and, in a stable group, its partitions in the same generation. */
static void group_replace(struct model_group *group, struct model_member *place, struct model_member *newcomer)
{
    if (group->state == MODEL_GROUP_STABLE) {
        newcomer->assigned = place->assigned;
        place->assigned = (struct sl_klog_list){NULL, 0};
    }
    group_member_fini(place);
    *place = *newcomer;
}

uint64_t model_group_join(struct sl_model *model, struct model_group *group, const struct sl_klog_consumer_settings *settings)
{
    struct model_member newcomer, *place = group_instance(group, settings->instance_id);
    group_member_init(model, &newcomer, settings);
    if (place != NULL) {
        group_replace(group, place, &newcomer);
    } else {
        group_prepare(model, group);
        group->members = realloc(group->members, (group->members_count + 1) * sizeof(struct model_member));
        assert(group->members != NULL);
        group->members[group->members_count++] = newcomer;
    }
    if (group->state == MODEL_GROUP_PREPARING)
        group_try_complete(model, group);
    model_wake(model);
    return newcomer.id;
}

void model_group_rejoin(struct sl_model *model, struct model_group *group, struct model_member *member)
{
    member->joined = true;
    if (group->state == MODEL_GROUP_PREPARING)
        group_try_complete(model, group);
}

void model_group_leave(struct sl_model *model, struct model_group *group, uint64_t id)
{
    struct model_member *member = model_member_find(group, id);
    if (member == NULL)
        return;
    group_remove(group, (uint32_t)(member - group->members));
    group_prepare(model, group);
    group_try_complete(model, group);
}

void model_group_changed_topic(struct sl_model *model, const char *topic)
{
    for (struct model_group *group = model->groups; group != NULL; group = group->next)
        for (uint32_t i = 0; i < group->members_count; i++)
            if (group_wants(&group->members[i], topic))
                group_prepare(model, group);
}

static void group_expire(struct sl_model *model, struct model_group *group)
{
    bool late = group->state == MODEL_GROUP_PREPARING && model->now_ns >= group->deadline_ns;
    bool thrown_out = false;
    for (uint32_t i = group->members_count; i-- > 0;) {
        struct model_member *member = &group->members[i];
        if (model->now_ns < member->deadline_ns && !(late && !member->joined))
            continue;
        group_remove(group, i);
        thrown_out = true;
    }
    if (thrown_out) {
        group_prepare(model, group);
        group_try_complete(model, group);
    }
}

void model_group_expire(struct sl_model *model)
{
    for (struct model_group *group = model->groups; group != NULL; group = group->next)
        group_expire(model, group);
}

int model_group_check(const struct model_group *group, uint64_t member, uint32_t generation, const char *instance_id,
                      struct sl_err *err)
{
    if (model_member_replaced(group, member, instance_id))
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "FENCED_INSTANCE_ID: \"%s\" of group %s is another process now",
                       instance_id, group->name);
    for (uint32_t i = 0; i < group->members_count; i++)
        if (group->members[i].id == member) {
            if (generation == group->generation)
                return 0;
            return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "ILLEGAL_GENERATION: %u, but group %s is at %u", generation,
                           group->name, group->generation);
        }
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "UNKNOWN_MEMBER_ID: thrown out of group %s", group->name);
}

void model_group_store(struct model_group *group, const struct sl_klog_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sl_klog_partition *item = &list->items[i];
        struct sl_klog_partition *place = model_list_find(&group->committed, item->topic, item->partition);
        if (place == NULL) {
            model_list_add(&group->committed, item);
            continue;
        }
        free(place->metadata);
        place->metadata = NULL;
        if (item->metadata != NULL) {
            place->metadata = model_alloc(item->metadata_bytes + 1);
            memcpy(place->metadata, item->metadata, item->metadata_bytes);
        }
        place->metadata_bytes = item->metadata_bytes;
        place->offset = item->offset;
    }
}

void model_group_forget_topic(struct sl_model *model, const char *topic)
{
    for (struct model_group *group = model->groups; group != NULL; group = group->next) {
        struct sl_klog_list kept = {NULL, 0};
        for (uint32_t i = 0; i < group->committed.count; i++)
            if (strcmp(group->committed.items[i].topic, topic) != 0)
                model_list_add(&kept, &group->committed.items[i]);
        sl_klog_list_fini(&group->committed);
        group->committed = kept;
    }
}

int sl_model_committed(struct sl_model *model, const char *group, const char *topic, int32_t partition, int64_t *ret_offset,
                       struct sl_slice *ret_metadata)
{
    const struct sl_klog_partition *item = model_list_find(&model_group_of(model, group)->committed, topic, partition);
    if (item == NULL)
        return 0;
    *ret_offset = item->offset;
    *ret_metadata = (struct sl_slice){item->metadata, item->metadata_bytes};
    return 1;
}

void sl_model_reset_offset(struct sl_model *model, const char *group, const char *topic, int32_t partition, int64_t offset)
{
    struct sl_klog_list list = {NULL, 0};
    int status = sl_klog_list_add(&list, topic, partition, offset, NULL, 0);
    assert(status == 0);
    model_group_store(model_group_of(model, group), &list);
    sl_klog_list_fini(&list);
}

uint32_t sl_model_members(struct sl_model *model, const char *group, uint32_t *ret_generation)
{
    const struct model_group *found = model_group_of(model, group);
    *ret_generation = found->generation;
    return found->members_count;
}

void model_groups_free(struct sl_model *model)
{
    while (model->groups != NULL) {
        struct model_group *group = model->groups;
        model->groups = group->next;
        while (group->members_count > 0)
            group_remove(group, group->members_count - 1);
        free(group->members);
        sl_klog_list_fini(&group->committed);
        free(group->name);
        free(group);
    }
}
