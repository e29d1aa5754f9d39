/* push.c: a push sink's life: open, taking records, turns, close.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/push/push.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "runtime/base/clock.h"
#include "runtime/config/topology.h"

enum { PUSH_BULK_MIN = 64 << 10, PUSH_ROW_EXTRA = 256 };

struct push_reject { /* a record that cannot be sent at all: refused in the next turn, when the engine has counted its batch */
    struct push_reject *next;
    struct sl_refused record;
    struct sl_err why;
    uint64_t charged_bytes;
    char bytes[];
};

/* ---- open ---- */

static void push_limits(struct push *push)
{
    static const struct sl_sink_common usual = {.backoff_min_ns = 100 * SL_NS_PER_MS, .backoff_max_ns = 30 * SL_NS_PER_S,
                                                .batch_bytes = 4 << 20, .batch_records = 50000, .batch_every_ns = SL_NS_PER_S};
    const struct sl_sink_common *common = push->api->common != NULL ? push->api->common : &usual;
    uint64_t most_bytes = push->api->share_bytes / 8;

    push->bulk_bytes = common->batch_bytes;
    if (push->bulk_bytes > most_bytes) /* a small share still holds several bulks */
        push->bulk_bytes = most_bytes > PUSH_BULK_MIN ? most_bytes : PUSH_BULK_MIN;
    push->bulk_records = common->batch_records;
    push->every_ns = common->batch_every_ns;
    push->backoff_min_ns = common->backoff_min_ns;
    push->backoff_max_ns = common->backoff_max_ns;
    push->deadline_ns = common->deadline_ns;
}

int push_open(struct push *push, const struct sl_api *api, void *sink, struct sl_slot *slot, const struct push_settings *settings,
              const struct push_kind *kind, struct sl_err *err)
{
    *push = (struct push){.magic = PUSH_MAGIC, .api = api, .sink = sink, .slot = slot, .settings = settings, .kind = kind};
    push->waiting_last = &push->waiting;
    push->answered_last = &push->answered;
    push->hosts_count = push_settings_hosts(settings);
    assert(push->hosts_count > 0 && push->hosts_count <= PUSH_HOSTS_MAX);
    for (uint32_t i = 0; i < push->hosts_count; i++)
        push_settings_place(push_settings_url(settings, i), push->hosts[i].label, sizeof(push->hosts[i].label));
    push->host_next = api->slot % push->hosts_count; /* slots begin with different ones */
    push->budget_ns = api->now_ns(api->env);
    push->limit = (uint32_t)settings->concurrency;
    push_limits(push);
    return push_wires_new(settings, kind->path, kind->content_type, &push->wires, err);
}

int push_setup(struct push *push, const char *path, const char *body, size_t body_bytes, struct sl_err *err)
{
    struct push_bulk *bulk = push_bulk_new(push);

    assert(push->wires->setup_urls == NULL && push->waiting == NULL);
    push->wires->setup_urls = push_wires_urls(push->settings, path);
    if (bulk != NULL) {
        sl_buf_reset(&bulk->text); /* without the bulk's `first` */
        sl_buf_append(&bulk->text, body, body_bytes);
    }
    if (bulk == NULL || push->wires->setup_urls == NULL || sl_buf_failed(&bulk->text)) {
        push_bulk_free(bulk);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    }
    bulk->setup = true;
    push_bulk_charge(bulk);
    push_wait(push, bulk);
    push->setup_pending = true;
    return 0;
}

/* ---- taking records ---- */

uint64_t push_credit(const struct push *push)
{
    return push->used_bytes >= push->api->share_bytes ? 0 : push->api->share_bytes - push->used_bytes;
}

void push_wait(struct push *push, struct push_bulk *bulk)
{
    bulk->next = NULL;
    *push->waiting_last = bulk;
    push->waiting_last = &bulk->next;
}

void push_wait_first(struct push *push, struct push_bulk *bulk)
{
    bulk->next = push->waiting;
    push->waiting = bulk;
    if (bulk->next == NULL)
        push->waiting_last = &bulk->next;
}

static void push_seal(struct push *push, uint64_t now_ns)
{
    struct push_bulk *bulk = push->open;

    push->open = NULL;
    bulk->sealed_ns = bulk->due_ns = now_ns;
    push_bulk_charge(bulk);
    push_wait(push, bulk);
}

static int push_reject(struct push *push, const struct sl_item *item, const struct push_row *row, struct sl_slice key,
                       const struct sl_err *why)
{
    size_t bytes = sizeof(struct push_reject) + item->body.bytes + key.bytes;
    struct push_reject *reject = malloc(bytes);

    if (reject == NULL)
        return -1;
    *reject = (struct push_reject){.why = *why, .charged_bytes = bytes, .next = push->rejects};
    reject->record = (struct sl_refused){item->ref, {reject->bytes, item->body.bytes}, {NULL, 0}, row->offset, row->append_unix_ms,
                                         row->service, row->level};
    if (item->body.bytes > 0)
        memcpy(reject->bytes, item->body.data, item->body.bytes);
    if (key.data != NULL) {
        memcpy(reject->bytes + item->body.bytes, key.data, key.bytes);
        reject->record.key = (struct sl_slice){reject->bytes + item->body.bytes, key.bytes};
    }
    push->rejects = reject;
    push->used_bytes += bytes;
    return 0;
}

static void push_rejects_refuse(struct push *push)
{
    while (push->rejects != NULL) {
        struct push_reject *reject = push->rejects;
        push->rejects = reject->next;
        push->used_bytes -= reject->charged_bytes;
        push->api->tally(push->api->env, push->sink, PUSH_REFUSED, 1);
        sl_slot_refused(push->slot, push->sink, &reject->record, &reject->why);
        free(reject);
    }
}

static void row_fill(struct push_row *row, const struct sl_parcel *parcel, const struct sl_item *item, const struct push_bulk *bulk,
                     struct sl_slice key)
{
    const struct sl_batch *batch = parcel->view->batch;
    const struct sl_decoded *decoded = parcel->view->decoded;

    *row = (struct push_row){.offset = batch->offset[item->row],
                             .append_unix_ms = batch->append_unix_ms[item->row],
                             .ref = item->ref,
                             .at = (uint32_t)bulk->text.bytes,
                             .key_at = (uint32_t)bulk->keys.bytes,
                             .key_bytes = key.data == NULL ? PUSH_NONE : key.bytes,
                             .raw_bytes = PUSH_NONE,
                             .service = decoded->service != NULL ? decoded->service[item->row] : 0,
                             .level = decoded->level != NULL ? decoded->level[item->row] : (uint8_t)SL_LEVEL_NONE,
                             .state = PUSH_PENDING};
}

/* 0, or -1: no memory. */
static int push_take(struct push *push, const struct sl_parcel *parcel, uint32_t index)
{
    const struct sl_item *item = &parcel->items[index];
    const struct sl_batch *batch = parcel->view->batch;
    struct sl_slice key = batch->key != NULL ? batch->key[item->row] : (struct sl_slice){NULL, 0};
    struct push_bulk *bulk = push->open;
    struct push_row *row = push_bulk_row(bulk);
    size_t mark = bulk->text.bytes;
    struct sl_err why;

    if (row == NULL)
        return -1;
    row_fill(row, parcel, item, bulk, key);
    if (push->kind->encode(push->sink, parcel, index, row, &bulk->text, &why) != 0) {
        if (sl_buf_failed(&bulk->text))
            return -1;
        bulk->text.bytes = mark;
        return push_reject(push, item, row, key, &why);
    }
    assert(sl_buf_failed(&bulk->text) || bulk->text.bytes == mark + row->head_bytes + row->body_bytes + row->tail_bytes);
    if (push->kind->between != '\0')
        sl_buf_char(&bulk->text, push->kind->between);
    if (key.data != NULL)
        sl_buf_append(&bulk->keys, key.data, key.bytes);
    if (row->raw_bytes != PUSH_NONE) {
        row->raw_bytes = item->body.bytes;
        sl_buf_append(&bulk->keys, item->body.data, item->body.bytes);
    }
    if (sl_buf_failed(&bulk->text) || sl_buf_failed(&bulk->keys))
        return -1;
    bulk->rows_count++;
    return 0;
}

static bool push_is_full(const struct push *push, size_t more_bytes)
{
    const struct push_bulk *bulk = push->open;

    return bulk->rows_count > 0 &&
           (bulk->text.bytes + more_bytes > push->bulk_bytes || bulk->rows_count >= push->bulk_records);
}

/* Nothing of what is not yet on its way stays: the engine reads it again. */
static int push_submit_failed(struct push *push, struct sl_err *err)
{
    while (push->waiting != NULL) {
        struct push_bulk *bulk = push->waiting;
        push->waiting = bulk->next;
        if (bulk->setup) /* this alone is not the engine's to bring back */
            bulk->next = NULL;
        if (bulk->setup && push->open == NULL)
            push->open = bulk;
        else
            push_bulk_free(bulk);
    }
    push->waiting_last = &push->waiting;
    if (push->open != NULL && push->open->setup)
        push_wait(push, push->open);
    else
        push_bulk_free(push->open);
    push->open = NULL;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the records of a request");
}

int push_submit(struct push *push, const struct sl_parcel *parcel, struct sl_err *err)
{
    uint64_t now_ns = push->api->now_ns(push->api->env);

    assert(push->magic == PUSH_MAGIC);
    if (push->kind->begin != NULL && push->kind->begin(push->sink, parcel, err) != 0)
        return -(int)err->code;
    for (uint32_t i = 0; i < parcel->count; i++) {
        if (push->open != NULL && push_is_full(push, parcel->items[i].body.bytes + PUSH_ROW_EXTRA))
            push_seal(push, now_ns);
        if (push->open == NULL) {
            push->open = push_bulk_new(push);
            if (push->open == NULL)
                return push_submit_failed(push, err);
            push->open->opened_ns = now_ns;
        }
        if (push_take(push, parcel, i) != 0)
            return push_submit_failed(push, err);
    }
    if (push->open != NULL) {
        push_bulk_charge(push->open);
        if (push_is_full(push, 0))
            push_seal(push, now_ns);
    }
    return 0;
}

/* ---- turns ---- */

static void push_answers(struct push *push, uint64_t now_ns)
{
    while (push->answered != NULL) {
        struct push_bulk *bulk = push->answered;
        push->answered = bulk->next;
        if (push->answered == NULL)
            push->answered_last = &push->answered;
        bulk->next = NULL;
        push_judge(push, bulk, now_ns);
    }
}

static void push_take_out(struct push *push, struct push_bulk **at)
{
    struct push_bulk *bulk = *at;

    *at = bulk->next;
    if (push->waiting_last == &bulk->next)
        push->waiting_last = at;
    bulk->next = NULL;
}

static bool push_is_late(const struct push *push, const struct push_bulk *bulk, uint64_t now_ns)
{
    return push->deadline_ns != 0 && !bulk->setup && now_ns - bulk->sealed_ns >= push->deadline_ns;
}

/* 1: it left the list; 0: it stays, others may go; -1: nothing can be sent now. */
static int push_try(struct push *push, struct push_bulk **at, uint64_t now_ns, uint64_t *at_ns)
{
    struct push_bulk *bulk = *at;
    struct sl_err err;
    int host;

    if (bulk->due_ns > now_ns) {
        *at_ns = bulk->due_ns < *at_ns ? bulk->due_ns : *at_ns;
        return 0;
    }
    host = push_host_choose(push, now_ns, at_ns);
    if (host < 0 && push_is_late(push, bulk, now_ns)) {
        (void)sl_fail(&err, SL_E_IO, SL_REMEDY_DEADLETTER, 0, "given up after %llu ms (retry.deadline): no host answers",
                      (unsigned long long)(push->deadline_ns / SL_NS_PER_MS));
        push_take_out(push, at);
        push_give_up(push, bulk, &err);
        return 1;
    }
    if (host < 0)
        return push->deadline_ns == 0 ? -1 : 0;
    if (bulk->attempts > 0 && !push_budget_take(push, now_ns, at_ns))
        return 0;
    push_take_out(push, at);
    if (push_send(push, bulk, (uint32_t)host, &err) != 0) {
        push_say(push, now_ns, &err);
        bulk->due_ns = now_ns + push_backoff(push, ++bulk->attempts);
        push_wait(push, bulk);
        *at_ns = bulk->due_ns < *at_ns ? bulk->due_ns : *at_ns;
        return -1;
    }
    if (bulk->attempts == 0)
        push_budget_earn(push);
    return 1;
}

static void push_send_due(struct push *push, uint64_t now_ns, uint64_t *at_ns)
{
    struct push_bulk **at = &push->waiting;

    while (*at != NULL && push->flying_count < push->limit) {
        int status = push->setup_pending && !(*at)->setup ? 0 : push_try(push, at, now_ns, at_ns);
        if (status < 0)
            return;
        if (status == 0)
            at = &(*at)->next;
    }
}

int push_turn(struct push *push, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    uint64_t at_ns = UINT64_MAX;

    (void)err;
    assert(push->magic == PUSH_MAGIC);
    push_rejects_refuse(push);
    push_answers(push, now_ns);
    if (push->open != NULL && (push->open->rows_count == 0 || now_ns - push->open->opened_ns >= push->every_ns)) {
        if (push->open->rows_count > 0) {
            push_seal(push, now_ns);
        } else { /* all that came was refused */
            push_bulk_free(push->open);
            push->open = NULL;
        }
    }
    push_send_due(push, now_ns, &at_ns);
    if (push->open != NULL && push->open->opened_ns + push->every_ns < at_ns)
        at_ns = push->open->opened_ns + push->every_ns;
    if (at_ns != UINT64_MAX) {
        uint64_t left_ns = at_ns > now_ns ? at_ns - now_ns : 0;
        *ret_wake_ns = left_ns < *ret_wake_ns ? left_ns : *ret_wake_ns;
    }
    return 0;
}

int push_drain(const struct push *push)
{
    return push->open == NULL && push->flying == NULL && push->answered == NULL && push->rejects == NULL &&
           (push->waiting == NULL || (push->waiting->setup && push->waiting->next == NULL));
}

/* ---- close ---- */

static void push_close_list(struct push_bulk **list)
{
    while (*list != NULL) {
        struct push_bulk *bulk = *list;
        *list = bulk->next;
        push_bulk_free(bulk);
    }
}

void push_close(struct push *push)
{
    if (push->magic != PUSH_MAGIC)
        return;
    while (push->flying != NULL) { /* each goes on by itself until its done() */
        struct push_bulk *bulk = push->flying;
        push->flying = bulk->next;
        bulk->push = NULL;
        push->api->http_cancel(push->api->env, &bulk->request);
    }
    push_close_list(&push->waiting);
    push_close_list(&push->answered);
    push_bulk_free(push->open);
    while (push->rejects != NULL) {
        struct push_reject *reject = push->rejects;
        push->rejects = reject->next;
        free(reject);
    }
    push_wires_unref(push->wires);
    (void)ZSTD_freeCCtx(push->compressor);
    push->magic = 0;
}
