/* queue_take.c: from a batch into a sink's queue, and from memory to disk (DELIVERY rules B1, F5).
 *
 * Every parcel is copied first, as it would lie on disk: so that whatever the sink turns out not to take, or not to answer, can
 * still be written, in order, although its batch is gone. One append is under way at a time.
 * Threads: write_done is the spool's writer's; all else the slot's.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/queue.h"
#include "sampling/consistent.h"

enum { TAKE_WRITE_BYTES = 4 << 20 };
#define TAKE_WRITE_AGAIN_NS (100 * 1000000ull)

/* ---- the mail ---- */

struct queue_write { /* an append that is under way */
    struct sl_spool_wait wait;
    struct sl_queue_mail *mail;
    struct queue_write *next;
    int status;
    uint64_t first;
    struct sl_err err;
    uint32_t count;
    uint32_t ids[]; /* of its entries, in order */
};

struct sl_queue_mail {
    pthread_mutex_t lock;
    uint32_t refs; /* the queue's, and one an append */
    bool closed;
    struct queue_write *first, **last;
    void (*wake)(void *user);
    void *user;
};

struct sl_queue_mail *sl_queue_mail_new(const struct sl_env *env)
{
    struct sl_queue_mail *mail = calloc(1, sizeof(*mail));

    if (mail == NULL)
        return NULL;
    (void)pthread_mutex_init(&mail->lock, NULL);
    mail->refs = 1;
    mail->last = &mail->first;
    mail->wake = env->wake;
    mail->user = env->user;
    return mail;
}

/* Gives back `refs` of them; the last frees it. */
static void mail_leave(struct sl_queue_mail *mail, uint32_t refs)
{
    bool last;

    (void)pthread_mutex_lock(&mail->lock);
    mail->refs -= refs;
    last = mail->refs == 0;
    (void)pthread_mutex_unlock(&mail->lock);
    if (!last)
        return;
    (void)pthread_mutex_destroy(&mail->lock);
    free(mail);
}

static struct queue_write *mail_take(struct sl_queue_mail *mail)
{
    struct queue_write *first;

    (void)pthread_mutex_lock(&mail->lock);
    first = mail->first;
    mail->first = NULL;
    mail->last = &mail->first;
    (void)pthread_mutex_unlock(&mail->lock);
    return first;
}

void sl_queue_mail_close(struct sl_queue_mail *mail)
{
    struct queue_write *write;
    uint32_t refs = 1;

    (void)pthread_mutex_lock(&mail->lock);
    mail->closed = true;
    (void)pthread_mutex_unlock(&mail->lock);
    for (write = mail_take(mail); write != NULL; refs++) {
        struct queue_write *next = write->next;
        free(write);
        write = next;
    }
    mail_leave(mail, refs);
}

static void write_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct queue_write *write = (struct queue_write *)(void *)wait;
    struct sl_queue_mail *mail = write->mail;
    bool closed;

    write->status = status;
    write->first = first_offset;
    if (err != NULL)
        write->err = *err;
    (void)pthread_mutex_lock(&mail->lock);
    closed = mail->closed;
    if (!closed) {
        *mail->last = write;
        mail->last = &write->next;
        mail->wake(mail->user); /* under the lock: the slot is not freed before it is closed */
    }
    (void)pthread_mutex_unlock(&mail->lock);
    if (!closed)
        return;
    free(write);
    mail_leave(mail, 1);
}

/* ---- to disk ---- */

static void take_drop(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    sl_queue_list_take(&queue->memory, entry);
    sl_queue_entry_free(queue, entry);
}

static void write_records(struct sl_queue_entry *entry, struct sl_spool_record *records)
{
    entry->kept = 0;
    for (uint32_t row = 0; row < entry->count; row++) {
        bool keep = !sl_queue_bit(entry->done_bits, row);
        sl_queue_bit_set(entry->kept_bits, row, keep);
        if (keep)
            records[entry->kept++] = (struct sl_spool_record){
                .payload = {entry->rows + entry->row_at[row], entry->row_at[row + 1] - entry->row_at[row]}};
    }
    assert(entry->kept == entry->left);
}

/* How many entries, records and bytes one append takes of what is in memory. */
static uint32_t write_measure(struct sl_queue *queue, uint32_t *ret_records)
{
    struct sl_queue_entry *entry = queue->memory.first;
    uint32_t entries = 0;
    uint64_t bytes = 0;

    *ret_records = 0;
    while (entry != NULL && bytes < TAKE_WRITE_BYTES) {
        struct sl_queue_entry *next = entry->next;
        if (sl_queue_entry_is_over(queue, entry)) { /* its partition's next owner has it */
            take_drop(queue, entry);
        } else {
            assert(entry->where == SL_QUEUE_MEMORY && entry->left > 0);
            entries++;
            *ret_records += entry->left;
            bytes += entry->row_at[entry->count];
        }
        entry = next;
    }
    return entries;
}

static void write_start(struct sl_queue *queue, struct queue_write *write, struct sl_spool_record *records)
{
    const struct sl_queue_part *own = &queue->parts[queue->parts_count - 1];
    struct sl_queue_entry *entry = queue->memory.first;
    uint32_t count = 0;

    for (uint32_t i = 0; i < write->count; i++, entry = entry->next) {
        write->ids[i] = entry->id;
        write_records(entry, records + count);
        count += entry->kept;
    }
    (void)pthread_mutex_lock(&queue->mail->lock);
    queue->mail->refs++;
    (void)pthread_mutex_unlock(&queue->mail->lock);
    if (sl_spool_append(queue->topic, own->number, records, count, &write->wait, &write->err) != 0) {
        mail_leave(queue->mail, 1);
        free(write);
        queue->write_at_ns = queue->slot->now_ns + TAKE_WRITE_AGAIN_NS;
        return;
    }
    queue->writing = true;
    entry = queue->memory.first;
    for (uint32_t i = 0, entries = write->count; i < entries; i++, entry = entry->next)
        entry->where = SL_QUEUE_WRITING;
}

static void take_write(struct sl_queue *queue)
{
    struct sl_spool_record *records;
    struct queue_write *write;
    uint32_t count, entries;

    if (!queue->spill || queue->writing || queue->slot->now_ns < queue->write_at_ns)
        return;
    entries = write_measure(queue, &count);
    if (entries == 0) {
        queue->spill = false;
        return;
    }
    records = calloc(count, sizeof(*records));
    write = calloc(1, sizeof(*write) + entries * sizeof(uint32_t));
    if (records == NULL || write == NULL) {
        free(write);
        queue->write_at_ns = queue->slot->now_ns + TAKE_WRITE_AGAIN_NS;
    } else {
        write->wait.done = write_done;
        write->mail = queue->mail;
        write->count = entries;
        write_start(queue, write, records);
    }
    free(records);
}

void sl_queue_spill(struct sl_queue *queue)
{
    queue->spill = true;
    take_write(queue);
}

/* ---- what became of it ---- */

/* The bytes are on disk: the copy in memory goes, and with it all that the pump can make again. */
static void written_entry(struct sl_queue *queue, struct sl_queue_part *own, struct sl_queue_entry *entry, uint64_t first)
{
    bool required = queue->sink->now.common->required;

    for (uint32_t row = 0; row < entry->count; row++)
        if (!sl_queue_bit(entry->done_bits, row) && !entry->cells[row].deferred)
            sl_queue_account(queue, entry, row, SL_DEFERRED);
    if (entry->out == 0)
        sl_queue_cells_free(queue, entry);
    sl_queue_list_take(&queue->memory, entry);
    entry->where = SL_QUEUE_DISK;
    entry->part = queue->parts_count - 1;
    entry->first = first;
    entry->next_offset = first + entry->kept;
    sl_queue_rows_free(queue, entry);
    if (!required)
        sl_queue_ticket_done(queue, entry);
    if (!required && entry->left == entry->kept && entry->out == 0)
        sl_queue_entry_free(queue, entry);
    else
        sl_queue_list_add(&own->disk, entry);
}

static void written_fine(struct sl_queue *queue, const struct queue_write *write)
{
    struct sl_queue_part *own = &queue->parts[queue->parts_count - 1];
    uint64_t first = write->first;

    for (uint32_t i = 0; i < write->count; i++) {
        struct sl_queue_entry *entry = sl_queue_entry_find(queue, write->ids[i]);
        assert(entry != NULL); /* it is freed only in MEMORY or on DISK */
        if (own->read == own->end && i == 0)
            own->head_unix_ms = entry->queued_unix_ms;
        if (own->read == own->end && own->end < first)
            own->read = first; /* offsets reserved by an earlier start: a hole */
        first += entry->kept;
        written_entry(queue, own, entry, first - entry->kept);
        own->end = first;
    }
}

static void written_refused(struct sl_queue *queue, const struct queue_write *write)
{
    for (uint32_t i = 0; i < write->count; i++) {
        struct sl_queue_entry *entry = sl_queue_entry_find(queue, write->ids[i]);
        assert(entry != NULL);
        entry->where = SL_QUEUE_MEMORY;
        if (entry->left == 0)
            take_drop(queue, entry);
    }
    queue->spill = true;
    queue->write_at_ns = queue->slot->now_ns + TAKE_WRITE_AGAIN_NS;
}

void sl_queue_written(struct sl_queue *queue)
{
    struct queue_write *write = mail_take(queue->mail);

    while (write != NULL) {
        struct queue_write *next = write->next;
        queue->writing = false;
        if (write->status == 0)
            written_fine(queue, write);
        else
            written_refused(queue, write);
        free(write);
        mail_leave(queue->mail, 1);
        write = next;
    }
    take_write(queue);
}

/* ---- from a batch ---- */

static int take_copy(struct sl_queue *queue, struct sl_queue_entry *entry, const struct sl_parcel *parcel)
{
    struct sl_queue_columns columns = sl_queue_columns_of(queue);
    uint64_t bytes = 0;
    char *to;

    entry->row_at = malloc((entry->count + 1) * sizeof(uint32_t));
    if (entry->row_at == NULL)
        return -1;
    for (uint32_t i = 0; i < parcel->count; i++) {
        entry->row_at[i] = (uint32_t)bytes;
        bytes += sl_queue_row_bytes(&columns, parcel->view, &parcel->items[i]);
    }
    entry->row_at[entry->count] = (uint32_t)bytes;
    entry->rows = bytes < UINT32_MAX - SL_PAD ? malloc(bytes + SL_PAD) : NULL;
    if (entry->rows == NULL) {
        free(entry->row_at);
        entry->row_at = NULL;
        return -1;
    }
    to = entry->rows;
    for (uint32_t i = 0; i < parcel->count; i++)
        to = sl_queue_row_put(&columns, parcel->view, &parcel->items[i], queue->sink->now.common->required, to);
    memset(to, 0, SL_PAD);
    assert(to == entry->rows + bytes);
    entry->bytes += bytes + (entry->count + 1) * sizeof(uint32_t);
    queue->memory_bytes += bytes + (entry->count + 1) * sizeof(uint32_t);
    return 0;
}

static int take_cells(struct sl_queue *queue, struct sl_queue_entry *entry, const struct sl_parcel *parcel)
{
    const struct sl_view *view = parcel->view;

    if (sl_queue_cells_new(queue, entry) != 0)
        return -1;
    for (uint32_t i = 0; i < parcel->count; i++) {
        uint32_t row = parcel->items[i].row;
        entry->cells[i] = (struct sl_queue_cell){
            .service = view->decoded->service != NULL ? view->decoded->service[row] : SL_INTERN_NONE,
            .level = view->decoded->level != NULL ? view->decoded->level[row] : SL_LEVEL_NONE,
            .derived = view->batch->sub != NULL && view->batch->sub[row] > 0,
            .bytes = parcel->items[i].body.bytes,
            .weight = view->threshold != NULL ? sl_weight_of_threshold(view->threshold[row]) : 1.0};
    }
    return 0;
}

/* To the sink at once; the copy waits for its answers. */
static void take_direct(struct sl_queue *queue, struct sl_queue_entry *entry, const struct sl_parcel *parcel, struct sl_item *items)
{
    struct sl_err err = {0};

    for (uint32_t i = 0; i < parcel->count; i++) {
        items[i].ref = (struct sl_ref){entry->id, (uint16_t)i};
        sl_queue_row_out(entry, i);
    }
    if (queue->sink->now.kind->submit(queue->sink->now.self, parcel, &err) != 0) /* the entry may be gone: all answered */
        sl_queue_sink_failed(queue, &err);
}

static void take_say_full(struct sl_queue *queue, const char *what)
{
    struct sl_err err;

    if (queue->full_said)
        return;
    queue->full_said = true;
    (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0,
                  "topology %s: sink %s takes nothing and its queue has no room: %s; raise queue.bytes, or mend the sink",
                  queue->slot->topology->name, queue->name, what);
    sl_slot_log(queue->slot, &err, "queue");
}

int sl_slot_queue_take(struct sl_slot *slot, uint32_t sink_index, const struct sl_parcel *parcel, const struct sl_mark *upto,
                       enum sl_fate *ret_taken, struct sl_err *err)
{
    struct sl_queue *queue = slot->sinks[sink_index].queue;
    const struct sl_partition *partition = parcel->view->batch->partition;
    bool direct = !sl_queue_behind(queue) && sl_queue_sink_takes(queue);
    struct sl_queue_entry *entry;

    if (!direct && queue->sink->now.common->queue_lose && sl_spool_has_no_room(queue->topic)) {
        take_say_full(queue, "records are lost (queue.then: lose)");
        queue->lost += parcel->count;
        *ret_taken = SL_LIVE;
        return sl_slot_ticket_none(slot, sink_index, partition->index, upto);
    }
    entry = sl_queue_entry_new(queue, parcel->count, partition);
    if (entry == NULL || take_copy(queue, entry, parcel) != 0 || take_cells(queue, entry, parcel) != 0 ||
        sl_slot_ticket(slot, sink_index, partition->index, 1, upto, &entry->ticket) != 0) {
        if (entry != NULL)
            sl_queue_entry_free(queue, entry);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u records", parcel->count);
    }
    entry->ticketed = true;
    entry->queued_unix_ms = slot->env.unix_ms(slot->env.user);
    sl_queue_list_add(&queue->memory, entry);
    *ret_taken = SL_FATES;
    if (direct) {
        take_direct(queue, entry, parcel, slot->items);
    } else {
        for (uint32_t row = 0; row < entry->count; row++)
            sl_queue_account(queue, entry, row, SL_DEFERRED);
        queue->idle_memory = true;
        sl_queue_spill(queue);
    }
    if (queue->memory_bytes >= queue->window_bytes / 2)
        sl_queue_spill(queue);
    return 0;
}

bool sl_slot_queue_takes(struct sl_slot *slot, uint32_t sink_index)
{
    struct sl_queue *queue = slot->sinks[sink_index].queue;
    bool room = !sl_spool_has_no_room(queue->topic);

    if (room)
        queue->full_said = false;
    else if (queue->sink->now.common->queue_lose)
        return true; /* what comes is lost: reading need not wait */
    if (!room && (queue->spill || queue->writing)) {
        take_say_full(queue, "reading waits (queue.then: block)");
        return false;
    }
    return queue->memory_bytes < queue->window_bytes;
}
