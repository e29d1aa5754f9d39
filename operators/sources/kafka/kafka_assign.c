/* kafka_assign.c: how partitions come to the slot and leave it.
 *
 * Events wait in order; one is answered at a time. ASSIGN: look job -> slot -> log client. REVOKE and LOST: slot (which flushes and
 * commits, or abandons) -> log client. A revocation that overtakes an assignment under way cancels that assignment.
 * One look is out at a time, since looks share the clerk's knowledge of the commit topic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/kafka/kafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KAFKA_BEYOND_TRIES = 5 };
#define KAFKA_RETRY_NS 1000000000ull

/* ---- items ---- */
struct kafka_item *kafka_item_find(struct kafka_source *source, const char *topic, int32_t number)
{
    for (uint32_t i = 0; i < source->items_count; i++)
        if (source->items[i]->number == number && strcmp(source->items[i]->topic, topic) == 0)
            return source->items[i];
    return NULL;
}

static struct kafka_item *item_new(struct kafka_source *source, const char *topic, int32_t number)
{
    struct kafka_item **items = realloc(source->items, (source->items_count + 1) * sizeof(struct kafka_item *));
    struct kafka_item *item = calloc(1, sizeof(*item));

    if (items != NULL)
        source->items = items;
    if (items == NULL || item == NULL || (item->topic = strdup(topic)) == NULL) {
        free(item);
        return NULL;
    }
    item->number = number;
    item->end_now = -1;
    source->items[source->items_count++] = item;
    return item;
}

static void item_free(struct kafka_source *source, struct kafka_item *item)
{
    kafka_item_drop_pending(source, item);
    for (uint32_t i = 0; i < source->items_count; i++)
        if (source->items[i] == item) {
            source->items[i] = source->items[--source->items_count];
            break;
        }
    free(item->topic);
    free(item);
}

void kafka_items_fini(struct kafka_source *source)
{
    while (source->items_count > 0)
        item_free(source, source->items[source->items_count - 1]);
    free(source->items);
    source->items = NULL;
}

/* Messages not yet in a batch would come out of order after a seek, or to nobody after a revocation. */
void kafka_item_drop_pending(struct kafka_source *source, const struct kafka_item *item)
{
    for (uint32_t i = source->pending_at; i < source->pending_count; i++)
        if (source->pending[i].partition == item)
            source->pending[i].partition = NULL;
}

static void hold(struct kafka_source *source, struct kafka_item *item, enum sl_code code, const char *why, const char *remedy)
{
    struct sl_err err;

    (void)sl_fail(&err, code, SL_REMEDY_HALT, 0, "source %s: %s [%d]: %s; %s", source->api->component, item->topic,
                  (int)item->number, why, remedy);
    sl_slot_hold(source->slot, item->partition, &err);
}

/* ---- looking ---- */
static bool look_busy(const struct kafka_source *source)
{
    return source->look.out || source->range.out;
}

static void look_submit(struct kafka_look *look)
{
    look->out = true;
    look->retry_at_ns = 0;
    look->attempts++;
    look->source->api->submit(look->source->api->env, &look->job);
}

/* A failed look is tried again, and so is one that saw a mark beyond the end: a leader just elected may not know all it has. */
static bool look_again(struct kafka_look *look)
{
    struct kafka_source *source = look->source;
    bool beyond = false;

    for (uint32_t i = 0; i < look->list.count && look->status == 0; i++)
        beyond = beyond || look->found[i].beyond;
    if (look->status == 0 && (!beyond || look->attempts >= KAFKA_BEYOND_TRIES))
        return false;
    if (look->status != 0) {
        (void)sl_while(&look->err, "source %s: taking partitions", source->api->component);
        if (look->err.remedy == SL_REMEDY_HALT) {
            kafka_fail(source, &look->err);
            return true;
        }
        source->api->log(source->api->env, &look->err, "assignment");
    }
    look->retry_at_ns = source->api->now_ns(source->api->env) + KAFKA_RETRY_NS;
    return true;
}

/* Rules A1 and A2: may it be read, and from where. */
static void item_place(struct kafka_source *source, struct kafka_item *item, const struct kafka_found *found)
{
    if (item->partition->held != NULL)
        return;
    if (found->changed[0] != '\0') {
        char remedy[256];

        (void)snprintf(remedy, sizeof(remedy), "if that is meant: sluice resume %s --source-changed %s:%d", source->api->topology,
                       item->topic, (int)item->number);
        item->partition->changed = true;
        item->low = found->low;
        hold(source, item, SL_E_FORMAT, found->changed, remedy);
        return;
    }
    if (found->unverified)
        source->api->tally(source->api->env, source, KAFKA_UNVERIFIED, 1);
    if (item->partition->next >= found->low)
        return;
    if (source->config->on_gap == KAFKA_GAP_STOP) {
        char why[160];

        (void)snprintf(why, sizeof(why), "retention has removed offsets %llu to %llu, which were not read yet",
                       (unsigned long long)item->partition->next, (unsigned long long)found->low);
        hold(source, item, SL_E_LIMIT, why, "to go on without them, set on_gap: record");
        return;
    }
    source->api->tally(source->api->env, source, KAFKA_GAPS, 1);
    sl_slot_gap(source->slot, item->partition, found->low, "retention");
}

static int item_take(struct kafka_source *source, const struct sl_klog_partition *at, const struct kafka_found *found,
                     struct sl_klog_list *start, void **users, struct sl_err *err)
{
    static const struct sl_named_mark none[1];
    struct kafka_item *item = item_new(source, at->topic, at->partition);
    struct sl_mark mark;
    char id[16];

    if (item == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for partition %s [%d]", at->topic, (int)at->partition);
    (void)snprintf(id, sizeof(id), "%d", (int)item->number);
    if (sl_slot_assign(source->slot, source, item->topic, id, item->number, found->rows_count == 0 ? none : found->rows,
                       found->rows_count, at->offset >= 0 ? (uint64_t)at->offset : found->start, item, &item->partition, &mark,
                       err) != 0)
        return -(int)err->code;
    item->end = found->end;
    item->end_now = (int64_t)found->end;
    if (found->reset) {
        struct sl_err note;

        (void)sl_fail(&note, SL_E_CONFIG, SL_REMEDY_RETRY, 0,
                      "%s [%d]: the offset %lld was set by hand: sinks that exist by commits keep their marks, the others follow it",
                      item->topic, (int)item->number, (long long)at->offset);
        source->api->log(source->api->env, &note, "offset reset");
    }
    item_place(source, item, found);
    if (item->partition->held != NULL)
        return 0;
    users[start->count] = item;
    item->fetching = true;
    if (sl_klog_list_add(start, item->topic, item->number, (int64_t)item->partition->next, NULL, 0) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for partition %s [%d]", at->topic, (int)at->partition);
    return 0;
}

static void event_pop(struct kafka_source *source)
{
    struct kafka_event *event = source->events;

    source->events = event->next;
    if (source->events == NULL)
        source->events_end = &source->events;
    sl_klog_list_fini(&event->list);
    free(event);
}

static void look_take(struct kafka_look *look)
{
    struct kafka_source *source = look->source;
    void **users = calloc(look->list.count + 1, sizeof(*users));
    struct sl_klog_list start = {NULL, 0};
    struct sl_err err = {0};
    int status = users == NULL ? sl_fail(&err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for an assignment") : 0;

    for (uint32_t i = 0; i < look->list.count && status == 0; i++)
        status = item_take(source, &look->list.items[i], &look->found[i], &start, users, &err);
    if (status == 0)
        status = source->log->kind->assign(source->consumer, &start, users, &err);
    free(users);
    sl_klog_list_fini(&start);
    if (status == 0)
        return;
    (void)sl_while(&err, "source %s", source->api->component);
    err.remedy = err.remedy == SL_REMEDY_FENCE ? SL_REMEDY_FENCE : SL_REMEDY_HALT; /* half an assignment cannot be left */
    kafka_fail(source, &err);
}

void kafka_look_done(struct sl_job *job)
{
    struct kafka_look *look = (struct kafka_look *)(void *)job;
    struct kafka_source *source = look->source;

    look->out = false;
    source->api->wake(source->api->env);
    if (!look->cancelled) {
        if (look_again(look))
            return;
        look_take(look);
        source->api->tally(source->api->env, source, KAFKA_ASSIGNMENTS, 1);
        source->assignments++;
        source->lag_at_ns = 0; /* the question for the ends wakes whoever fetches, who else may sleep for a second */
        source->settled = true;
    }
    kafka_look_fini(look);
    event_pop(source);
    kafka_answer(source);
}

/* ---- revocation ---- */
static void revoke_done(void *user)
{
    struct kafka_source *source = user;
    struct sl_err err = {0};

    assert(source->revoking && source->events != NULL);
    source->revoking = false;
    source->settled = false;
    if (source->log->kind->unassign(source->consumer, &source->events->list, &err) != 0) {
        (void)sl_while(&err, "source %s", source->api->component);
        source->api->log(source->api->env, &err, "revocation");
    }
    for (uint32_t i = 0; i < source->events->list.count; i++) {
        const struct sl_klog_partition *at = &source->events->list.items[i];
        struct kafka_item *item = kafka_item_find(source, at->topic, at->partition);

        if (item != NULL)
            item_free(source, item);
    }
    event_pop(source);
    source->api->wake(source->api->env);
}

static void revoke_start(struct kafka_source *source, const struct kafka_event *event)
{
    struct sl_partition **partitions = calloc(event->list.count + 1, sizeof(struct sl_partition *));
    uint32_t count = 0;

    if (partitions == NULL)
        return; /* tried again at the next poll */
    for (uint32_t i = 0; i < event->list.count; i++) {
        struct kafka_item *item = kafka_item_find(source, event->list.items[i].topic, event->list.items[i].partition);

        if (item == NULL)
            continue;
        item->revoking = true;
        kafka_item_drop_pending(source, item);
        if (item->partition != NULL)
            partitions[count++] = item->partition;
    }
    source->revoking = true;
    sl_slot_revoke(source->slot, partitions, count, event->kind == SL_KLOG_REVOKE, revoke_done, source);
    free(partitions);
}

/* ---- events ---- */
static int event_push(struct kafka_source *source, enum sl_klog_event_kind kind, const struct sl_klog_list *list)
{
    struct kafka_event *event = calloc(1, sizeof(*event));

    if (event == NULL)
        return -1;
    event->kind = kind;
    for (uint32_t i = 0; i < list->count; i++)
        if (sl_klog_list_add(&event->list, list->items[i].topic, list->items[i].partition, -1, NULL, 0) != 0) {
            sl_klog_list_fini(&event->list);
            free(event);
            return -1;
        }
    *source->events_end = event;
    source->events_end = &event->next;
    return 0;
}

/* An assignment that is not yet given to the log client must not be given any more. */
static void assignment_cancel(struct kafka_source *source)
{
    if (source->events == NULL || source->events->kind != SL_KLOG_ASSIGN)
        return;
    if (source->look.out) {
        source->look.cancelled = true; /* its done() goes on */
        return;
    }
    source->look.retry_at_ns = 0;
    kafka_look_fini(&source->look);
    event_pop(source);
}

static bool list_names(const struct sl_klog_list *list, const struct kafka_item *item)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].partition == item->number && strcmp(list->items[i].topic, item->topic) == 0)
            return true;
    return false;
}

/* Assignments that wait behind the event under way. */
static void assignments_drop_waiting(struct kafka_source *source)
{
    struct kafka_event **at = source->events == NULL ? &source->events : &source->events->next;

    while (*at != NULL) {
        struct kafka_event *event = *at;

        if (event->kind != SL_KLOG_ASSIGN) {
            at = &event->next;
            continue;
        }
        *at = event->next;
        sl_klog_list_fini(&event->list);
        free(event);
    }
    source->events_end = source->events == NULL ? &source->events : at;
}

static bool item_is_leaving(const struct kafka_source *source, const struct kafka_item *item)
{
    for (const struct kafka_event *event = source->events; event != NULL; event = event->next)
        if (event->kind != SL_KLOG_ASSIGN && list_names(&event->list, item))
            return true;
    return false;
}

/* An eager assignment is the whole of it. Where a changed topic made the client join again before its last one was answered, no
 * revocation comes between the two: what is not answered is dropped, and what was answered just then is lost. */
static int assignment_replace(struct kafka_source *source)
{
    struct sl_klog_list lost = {NULL, 0};
    int status = 0;

    assignment_cancel(source);
    assignments_drop_waiting(source);
    for (uint32_t i = 0; i < source->items_count && status == 0; i++)
        if (!item_is_leaving(source, source->items[i]))
            status = sl_klog_list_add(&lost, source->items[i]->topic, source->items[i]->number, -1, NULL, 0);
    if (status == 0 && lost.count > 0)
        status = event_push(source, SL_KLOG_LOST, &lost);
    sl_klog_list_fini(&lost);
    return status;
}

static void on_group(struct kafka_source *source, enum sl_klog_event_kind kind, const struct sl_klog_list *list)
{
    struct sl_err err;
    int status = 0;

    source->api->tally(source->api->env, source, KAFKA_REBALANCES, 1);
    if (kind != SL_KLOG_ASSIGN)
        assignment_cancel(source);
    else if (source->config->assignor != KAFKA_COOPERATIVE)
        status = assignment_replace(source);
    if (status != 0 || event_push(source, kind, list) != 0) {
        (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "source %s: no memory for a rebalance", source->api->component);
        kafka_fail(source, &err);
    }
}

static void on_range(struct kafka_source *source, const struct sl_klog_list *list)
{
    struct kafka_item *item = kafka_item_find(source, list->items[0].topic, list->items[0].partition);

    if (item != NULL)
        item->seen_range = true; /* looked at by kafka_answer */
}

void kafka_on_event(void *user, enum sl_klog_event_kind kind, const struct sl_klog_list *list, const struct sl_err *err)
{
    struct kafka_source *source = user;

    switch (kind) {
    case SL_KLOG_ASSIGN:
    case SL_KLOG_REVOKE:
    case SL_KLOG_LOST:
        on_group(source, kind, list);
        return;
    case SL_KLOG_OUT_OF_RANGE:
        on_range(source, list);
        return;
    case SL_KLOG_FATAL:
        kafka_fail(source, err);
        return;
    case SL_KLOG_ERROR:
        source->api->tally(source->api->env, source, KAFKA_ERRORS, 1);
        if (err->remedy == SL_REMEDY_HALT)
            kafka_fail(source, err);
        else
            source->api->log(source->api->env, err, "kafka");
        return;
    }
}

/* ---- out of range while reading ---- */
void kafka_range_done(struct sl_job *job)
{
    struct kafka_look *look = (struct kafka_look *)(void *)job;
    struct kafka_source *source = look->source;
    struct kafka_item *item = kafka_item_find(source, look->list.items[0].topic, look->list.items[0].partition);
    struct kafka_found *found = &look->found[0];
    struct sl_err err = {0};

    look->out = false;
    source->api->wake(source->api->env);
    if (item != NULL && !item->revoking && item->partition != NULL && item->partition->held == NULL) {
        if (look->status == 0 && found->changed[0] == '\0' && item->partition->next > found->end) {
            found->beyond = true;
            (void)snprintf(found->changed, sizeof(found->changed), "source changed: offset %llu was read, but it ends at %llu",
                           (unsigned long long)item->partition->next, (unsigned long long)found->end);
        }
        if (look_again(look))
            return;
        item_place(source, item, found);
        if (item->partition->held == NULL &&
            source->log->kind->seek(source->consumer, item->topic, item->number, item->partition->next, &err) != 0)
            hold(source, item, SL_E_BROKER, err.text, "restart the topology");
    }
    kafka_look_fini(look);
}

static void range_start(struct kafka_source *source)
{
    for (uint32_t i = 0; i < source->items_count; i++) {
        struct kafka_item *item = source->items[i];
        struct sl_klog_partition at = {.topic = item->topic, .partition = item->number};

        if (!item->seen_range || item->revoking || item->partition == NULL || item->partition->held != NULL)
            continue;
        item->seen_range = false;
        if (kafka_look_fill(&source->range, &(struct sl_klog_list){&at, 1}) != 0)
            return;
        source->range.known_subscription = true;
        look_submit(&source->range);
        return;
    }
}

/* ---- the next step ---- */
static void look_start(struct kafka_source *source, const struct kafka_event *event)
{
    struct sl_err err;

    if (kafka_look_fill(&source->look, &event->list) != 0) {
        (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "source %s: no memory for %u partitions", source->api->component,
                      (unsigned)event->list.count);
        kafka_fail(source, &err);
        return;
    }
    source->look.known_subscription = source->assignments > 0;
    look_submit(&source->look);
}

/* A job that looks at an assignment reads the settings. To subscribe is to join anew: only for other topics. */
static void change_turn(struct kafka_source *source)
{
    bool other_topics = source->other_topics;
    struct sl_err err;

    if (source->next_config == NULL || source->look.out || source->range.out)
        return;
    source->config = source->next_config;
    source->next_config = NULL;
    source->other_topics = false;
    if (other_topics && source->log->kind->consumer_subscribe(source->consumer, &source->config->topics, &err) != 0)
        kafka_fail(source, &err);
}

void kafka_answer(struct kafka_source *source)
{
    struct kafka_look *planned = source->look.retry_at_ns != 0 ? &source->look
                                 : source->range.retry_at_ns != 0 ? &source->range
                                                                  : NULL;

    change_turn(source); /* before a job is made that would outlive the settings it reads */
    if (look_busy(source) || source->revoking || source->failed != 0)
        return;
    if (source->events != NULL && source->events->kind != SL_KLOG_ASSIGN) {
        revoke_start(source, source->events);
    } else if (planned != NULL) {
        if (source->api->now_ns(source->api->env) >= planned->retry_at_ns)
            look_submit(planned);
    } else if (source->events != NULL) {
        look_start(source, source->events);
    } else {
        range_start(source);
    }
}

/* What it holds was looked at when it was held; what retention has removed since is met as any other gap. */
int kafka_source_first(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err)
{
    const struct kafka_source *source = self;
    const struct kafka_item *item = partition->user;

    (void)err;
    assert(source->magic == KAFKA_MAGIC && item->partition == partition);
    *ret_first = item->low;
    return 0;
}

/* ---- seek ---- */
/* A partition that was held, and is not any more, is not yet read by the log client. */
int kafka_source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    struct kafka_source *source = self;
    struct kafka_item *item = partition->user;
    struct sl_klog_partition at = {.topic = item->topic, .partition = item->number, .offset = (int64_t)next};
    struct sl_klog_list list = {&at, 1};
    int status;

    assert(source->magic == KAFKA_MAGIC && item->partition == partition);
    kafka_item_drop_pending(source, item);
    if (item->revoking)
        return 0;
    if (!item->fetching) {
        status = source->log->kind->assign(source->consumer, &list, (void *[]){item}, err);
        item->fetching = status == 0;
        return status;
    }
    status = source->log->kind->seek(source->consumer, item->topic, item->number, next, err);
    if (status == 0 && item->paused) {
        item->paused = false;
        status = source->log->kind->pause(source->consumer, &list, false, err);
    }
    return status;
}
