/* tap.c: rings of lines between slots and a reader; see the header.
 *
 * Credit is counted in thousandths of a record, so that a rate below one a turn adds up. A batch that has more records than there
 * is credit gives evenly spread ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/tap.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "runtime/base/json_out.h"
#include "runtime/base/utf8.h"
#include "runtime/engine/slot/slot_private.h"

enum { TAP_MAGIC = 0x54415031, TAP_A_BATCH = 64, TAP_RECORD_BYTES = 64 << 10, TAP_RING_BYTES = 1 << 20,
       TAP_SPLICED_BYTES = 256 << 10, TAP_UNIT = 1000 };

struct sl_tap_ring {
    struct sl_tap *tap;
    struct sl_tap_ring *next; /* of the slot's */
    uint64_t last_ns, credit; /* the slot's */
    struct sl_buf line;       /* the slot's */
    pthread_mutex_t lock;     /* around what follows; the slot only tries it */
    struct sl_buf lines;
    struct sl_tap_counts counts;
    uint64_t passed, lost; /* the slot's: not yet in counts */
};

struct sl_tap {
    uint32_t magic, component, slots, per_s;
    struct sl_tap_ring *rings; /* [slots] */
};

struct sl_tap *sl_tap_new(uint32_t component, uint32_t slots, uint32_t per_s)
{
    struct sl_tap *tap = calloc(1, sizeof(*tap));

    assert(slots > 0 && per_s > 0);
    if (tap == NULL || (tap->rings = calloc(slots, sizeof(*tap->rings))) == NULL) {
        free(tap);
        return NULL;
    }
    tap->magic = TAP_MAGIC;
    tap->component = component;
    tap->slots = slots;
    tap->per_s = per_s;
    for (uint32_t i = 0; i < slots; i++) {
        tap->rings[i].tap = tap;
        tap->rings[i].credit = TAP_UNIT;
        (void)pthread_mutex_init(&tap->rings[i].lock, NULL);
    }
    return tap;
}

struct sl_tap *sl_tap_free(struct sl_tap *tap)
{
    if (tap == NULL)
        return NULL;
    assert(tap->magic == TAP_MAGIC);
    for (uint32_t i = 0; i < tap->slots; i++) {
        (void)pthread_mutex_destroy(&tap->rings[i].lock);
        sl_buf_fini(&tap->rings[i].line);
        sl_buf_fini(&tap->rings[i].lines);
    }
    free(tap->rings);
    tap->magic = 0;
    free(tap);
    return NULL;
}

void sl_slot_tap_plug(struct sl_slot *slot, struct sl_tap *tap)
{
    struct sl_tap_ring *ring;

    assert(tap->magic == TAP_MAGIC && slot->index < tap->slots);
    ring = &tap->rings[slot->index];
    ring->last_ns = slot->now_ns;
    ring->next = slot->taps;
    slot->taps = ring;
}

void sl_slot_tap_unplug(struct sl_slot *slot, struct sl_tap *tap)
{
    for (struct sl_tap_ring **at = &slot->taps; *at != NULL; at = &(*at)->next)
        if ((*at)->tap == tap) {
            *at = (*at)->next;
            return;
        }
}

void sl_tap_take(struct sl_tap *tap, struct sl_buf *lines)
{
    for (uint32_t i = 0; i < tap->slots; i++) {
        struct sl_tap_ring *ring = &tap->rings[i];
        struct sl_buf taken;

        (void)pthread_mutex_lock(&ring->lock); /* as long as two assignments take */
        taken = ring->lines;
        sl_buf_init(&ring->lines);
        (void)pthread_mutex_unlock(&ring->lock);
        if (!sl_buf_failed(&taken))
            sl_buf_append(lines, taken.data, taken.bytes);
        sl_buf_fini(&taken);
    }
}

void sl_tap_counts(struct sl_tap *tap, struct sl_tap_counts *ret_counts)
{
    *ret_counts = (struct sl_tap_counts){0, 0, 0};
    for (uint32_t i = 0; i < tap->slots; i++) {
        (void)pthread_mutex_lock(&tap->rings[i].lock);
        ret_counts->shown += tap->rings[i].counts.shown;
        ret_counts->passed += tap->rings[i].counts.passed;
        ret_counts->lost += tap->rings[i].counts.lost;
        (void)pthread_mutex_unlock(&tap->rings[i].lock);
    }
}

/* ---- the slot's side ---- */

/* Records that may be shown now; at most a second's worth is saved up. */
static uint32_t tap_credit(struct sl_tap_ring *ring, uint64_t now_ns)
{
    uint64_t elapsed_ms = (now_ns - ring->last_ns) / 1000000u, most = (uint64_t)ring->tap->per_s * TAP_UNIT / ring->tap->slots;
    uint64_t count;

    if (elapsed_ms > 1000)
        elapsed_ms = 1000;
    if (elapsed_ms > 0) {
        ring->credit += (uint64_t)ring->tap->per_s * elapsed_ms / ring->tap->slots;
        ring->last_ns = now_ns;
    }
    if (most < TAP_UNIT)
        most = TAP_UNIT;
    ring->credit = ring->credit < most ? ring->credit : most;
    count = ring->credit / TAP_UNIT;
    return count < TAP_A_BATCH ? (uint32_t)count : TAP_A_BATCH;
}

static const char *tap_fate(uint8_t fate)
{
    static const char *const names[SL_FATES] = {[SL_LIVE] = "live", [SL_DELIVERED] = "delivered", [SL_FILTERED] = "filtered",
                                                [SL_SAMPLED] = "sampled", [SL_SHED] = "shed", [SL_DEFERRED] = "deferred",
                                                [SL_DEAD] = "dead"};
    assert(fate < SL_FATES);
    return names[fate];
}

struct tap_record { /* a body without data is withheld: the topology masks, and it is no JSON */
    const struct sl_batch *batch;
    uint32_t row;
    const char *fate;
    struct sl_slice key, body;
    bool masked;
};

/* Where the topology masks, a tap shows what a dead letter would (mask.c), wherever it is plugged in. -1: over budget. */
static int tap_mask(struct sl_slot *slot, uint32_t component, struct tap_record *record)
{
    const struct sl_partition *partition = record->batch->partition;
    const char *body = record->body.data;
    int status = record->body.bytes == 0 ? 1 : sl_slot_mask(slot, partition, component, true, record->body, &record->body);

    if (status == 0)
        record->body.data = NULL;
    record->masked = record->body.data != body;
    if (status >= 0 && record->key.data != NULL && sl_slot_mask(slot, partition, UINT32_MAX, false, record->key, &record->key) != 1)
        return -1;
    return status < 0 ? -1 : 0;
}

/* The body comes last, as the only member that may be long. */
static void tap_line(struct sl_buf *line, const struct tap_record *record)
{
    const struct sl_batch *batch = record->batch;
    const struct sl_partition *partition = batch->partition;
    uint32_t row = record->row;
    struct sl_json_out out;

    sl_buf_reset(line);
    sl_json_out_init(&out, line);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "fate", record->fate);
    sl_json_out_str_at(&out, "source", partition->source);
    sl_json_out_str_at(&out, "topic", partition->topic);
    sl_json_out_str_at(&out, "partition", partition->id);
    sl_json_out_u64_at(&out, "offset", batch->offset[row]);
    if (batch->sub != NULL && batch->sub[row] > 0)
        sl_json_out_u64_at(&out, "sub", batch->sub[row]);
    sl_json_out_i64_at(&out, "append_unix_ms", batch->append_unix_ms[row]);
    if (record->key.data != NULL)
        sl_json_out_slice_at(&out, "key", record->key);
    if (record->body.data == NULL) {
        sl_json_out_str_at(&out, "withheld", "this topology masks records, and what is no JSON cannot be masked");
    } else {
        if (record->masked)
            sl_json_out_bool_at(&out, "masked", true);
        if (!sl_utf8_valid(record->body))
            sl_json_out_bool_at(&out, "not_utf8", true); /* what is not is shown as U+FFFD */
        sl_json_out_slice_at(&out, "body", record->body);
    }
    sl_json_out_end_object(&out);
    sl_buf_char(line, '\n');
}

static void tap_count(struct sl_tap_ring *ring, uint64_t passed)
{
    ring->passed += passed;
    if (pthread_mutex_trylock(&ring->lock) != 0)
        return;
    ring->counts.passed += ring->passed;
    ring->counts.lost += ring->lost;
    ring->passed = ring->lost = 0;
    (void)pthread_mutex_unlock(&ring->lock);
}

static void tap_put(struct sl_slot *slot, struct sl_tap_ring *ring, const struct sl_batch *batch, uint32_t row, const char *fate,
                    struct sl_slice body)
{
    struct tap_record record = {batch, row, fate, batch->key == NULL ? (struct sl_slice){NULL, 0} : batch->key[row], body, false};
    bool fits;

    ring->credit -= TAP_UNIT;
    if (body.data == NULL || body.bytes > TAP_RECORD_BYTES || tap_mask(slot, ring->tap->component, &record) != 0) {
        ring->lost++;
        return;
    }
    tap_line(&ring->line, &record);
    if (sl_buf_failed(&ring->line) || pthread_mutex_trylock(&ring->lock) != 0) {
        ring->lost++;
        return;
    }
    fits = ring->lines.bytes + ring->line.bytes <= TAP_RING_BYTES;
    if (fits) {
        sl_buf_append(&ring->lines, ring->line.data, ring->line.bytes);
        ring->counts.shown++;
    } else {
        ring->lost++;
    }
    (void)pthread_mutex_unlock(&ring->lock);
}

/* A changed body is spliced in the batch's arena: a little of it, so that the batch does not go short for a tap. */
static struct sl_slice tap_body(const struct sl_view *view, uint32_t row, uint32_t *cursor, uint32_t *spent_bytes)
{
    struct sl_slice text = sl_view_text(view, row);

    if (view->edits_count == 0)
        return text;
    *spent_bytes += text.bytes;
    if (*spent_bytes > TAP_SPLICED_BYTES)
        return (struct sl_slice){NULL, 0};
    return sl_view_body(view, row, cursor);
}

void sl_slot_tap_view(struct sl_slot *slot, uint32_t component, const struct sl_view *view)
{
    for (struct sl_tap_ring *ring = slot->taps; ring != NULL; ring = ring->next) {
        uint32_t credit, step, shown = 0, cursor = 0, spent_bytes = 0;

        if (ring->tap->component != component || view->sel_count == 0)
            continue;
        credit = tap_credit(ring, slot->now_ns);
        step = credit == 0 ? 0 : (view->sel_count + credit - 1) / credit;
        for (uint32_t i = 0; step > 0 && i < view->sel_count; i += step, shown++) {
            uint16_t row = view->sel[i];
            tap_put(slot, ring, view->batch, row, tap_fate(view->fate[row]), tap_body(view, row, &cursor, &spent_bytes));
        }
        tap_count(ring, view->sel_count - shown);
    }
}

void sl_slot_tap_items(struct sl_slot *slot, uint32_t component, const struct sl_view *view, const struct sl_item *items, uint32_t count)
{
    for (struct sl_tap_ring *ring = slot->taps; ring != NULL; ring = ring->next) {
        uint32_t credit, step, shown = 0;

        if (ring->tap->component != component || count == 0)
            continue;
        credit = tap_credit(ring, slot->now_ns);
        step = credit == 0 ? 0 : (count + credit - 1) / credit;
        for (uint32_t i = 0; step > 0 && i < count; i += step, shown++)
            tap_put(slot, ring, view->batch, items[i].row, tap_fate(SL_DELIVERED), items[i].body);
        tap_count(ring, count - shown);
    }
}
