/* dead.c: the bodies of dead letters: one JSON line with the raw bytes, the reason, the stage, the origin and the time
 * (DESIGN.md section 6). Bytes that are not UTF-8 travel as base64, so that nothing is lost. Where a topology masks, letters are
 * masked too (mask.c): then the record stands in the letter as `raw` with "masked": true, or is withheld.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/base64.h"
#include "runtime/base/json_out.h"
#include "runtime/base/utf8.h"
#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"

static const struct sl_plan *dead_plan(const struct sl_slot *slot, const struct sl_dead *dead)
{
    return dead->plan != NULL ? dead->plan : slot->plan;
}

/* A process that was given no number runs its topology's first. */
static uint32_t dead_generation(const struct sl_slot *slot, const struct sl_dead *dead)
{
    uint32_t generation = dead_plan(slot, dead)->generation;

    return generation == 0 ? 1 : generation;
}

static void dead_bytes(struct sl_json_out *out, struct sl_slice raw)
{
    struct sl_buf text = {0};

    if (sl_utf8_valid(raw)) {
        sl_json_out_slice_at(out, "raw", raw);
        return;
    }
    sl_base64_write(&text, raw);
    if (sl_buf_failed(&text))
        out->buf->failed = true;
    sl_json_out_str_at(out, "raw_base64", sl_buf_str(&text));
    sl_buf_fini(&text);
}

/* The words of a reason: rows of the kind's table or the engine's own, against those that a script or a back-end chose. */
static bool dead_is_row(const struct sl_slot *slot, const struct sl_dead *dead)
{
    const struct sl_component *components = dead_plan(slot, dead)->topology->components;
    const char *const *reasons = dead->component == UINT32_MAX || components[dead->component].role == SL_GONE
                                     ? NULL : components[dead->component].head->reasons;

    if (dead->component == UINT32_MAX)
        return true;
    for (uint32_t i = 0; reasons != NULL && (i == 0 || reasons[i] != NULL); i++)
        if (reasons[i] == dead->reason)
            return true;
    return false;
}

/* Whether masks took something out of the record, or could not look into it: a reason may quote it then. -1: over budget. */
static int dead_hidden(struct sl_slot *slot, const struct sl_dead *dead, struct sl_slice *ret_raw)
{
    const struct sl_batch *batch = dead->batch;
    int status;

    *ret_raw = batch->raw[dead->index];
    if (ret_raw->bytes == 0)
        return 0;
    status = sl_slot_mask_of(slot, dead_plan(slot, dead), batch->partition, dead->component, true, batch->raw[dead->index], ret_raw);
    if (status == 0)
        ret_raw->data = NULL;
    return status < 0 ? -1 : ret_raw->data != batch->raw[dead->index].data;
}

static void dead_raw(struct sl_json_out *out, const struct sl_dead *dead, struct sl_slice raw, bool hidden)
{
    const struct sl_batch *batch = dead->batch;

    if (batch->null_payload != NULL && batch->null_payload[dead->index] != 0) {
        sl_json_out_key(out, "raw");
        sl_json_out_null(out);
    } else if (raw.data == NULL) {
        sl_json_out_str_at(out, "withheld", "this topology masks records, and what is no JSON cannot be masked; its bytes are at its "
                                            "source, under the topic, partition and offset named here");
        sl_json_out_u64_at(out, "bytes", batch->raw[dead->index].bytes);
    } else {
        dead_bytes(out, raw);
        if (hidden)
            sl_json_out_bool_at(out, "masked", true);
    }
}

/* A key is no JSON: what masks look for in texts is masked in it. -1: over budget. */
static int dead_key(struct sl_slot *slot, const struct sl_dead *dead, struct sl_json_out *out)
{
    const struct sl_batch *batch = dead->batch;
    struct sl_slice key;

    if (batch->key == NULL || batch->key[dead->index].data == NULL)
        return 0;
    if (sl_slot_mask_of(slot, dead_plan(slot, dead), batch->partition, UINT32_MAX, false, batch->key[dead->index], &key) != 1)
        return -1;
    sl_json_out_slice_at(out, "key", key);
    return 0;
}

struct dead_from {
    struct sl_slice stage;
    struct sl_origin origin;
    uint32_t sub;
    char text[SL_REPLAY_BYTES];
};

/* Where the record came from and where it died; of a letter that dies again: where it came from first (rule J3: a repeat has the
 * same key), and, where it got nowhere, where it had died first. */
static void dead_from(struct sl_slot *slot, const struct sl_dead *dead, struct dead_from *ret_from)
{
    const struct sl_batch *batch = dead->batch;
    const struct sl_partition *partition = batch->partition;

    ret_from->sub = batch->sub != NULL ? batch->sub[dead->index] : 0;
    ret_from->stage = sl_slice_of(partition->source);
    ret_from->origin = (struct sl_origin){sl_slice_of(partition->source), sl_slice_of(partition->topic), sl_slice_of(partition->id),
                                          partition->incarnation, batch->offset[dead->index]};
    if (slot->replay != NULL)
        (void)sl_slot_replay_from(slot, batch, dead->index, ret_from->text, &ret_from->origin, &ret_from->stage, &ret_from->sub);
    if (dead->component != UINT32_MAX)
        ret_from->stage = sl_slice_of(dead_plan(slot, dead)->topology->components[dead->component].name);
}

static int dead_letter(struct sl_slot *slot, const struct sl_dead *dead, struct sl_buf *buf)
{
    const struct sl_batch *batch = dead->batch;
    struct dead_from from;
    struct sl_json_out out;
    struct sl_slice raw;
    int hidden = dead_hidden(slot, dead, &raw);

    if (hidden < 0)
        return -1;
    dead_from(slot, dead, &from);
    sl_buf_reset(buf);
    sl_json_out_init(&out, buf);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "topology", slot->topology->name);
    sl_json_out_u64_at(&out, "generation", dead_generation(slot, dead));
    sl_json_out_slice_at(&out, "stage", from.stage);
    sl_json_out_str_at(&out, "reason", hidden && !dead_is_row(slot, dead) ? "withheld: it may quote what this topology masks" : dead->reason);
    sl_json_out_slice_at(&out, "source", from.origin.source);
    sl_json_out_slice_at(&out, "topic", from.origin.topic);
    sl_json_out_slice_at(&out, "partition", from.origin.partition);
    sl_json_out_u64_at(&out, "incarnation", from.origin.incarnation);
    sl_json_out_u64_at(&out, "offset", from.origin.offset);
    if (from.sub > 0) /* derived from the record: raw is what it was derived as */
        sl_json_out_u64_at(&out, "sub", from.sub);
    sl_json_out_i64_at(&out, "append_unix_ms", batch->append_unix_ms[dead->index]);
    if (dead_key(slot, dead, &out) != 0)
        return -1;
    dead_raw(&out, dead, raw, hidden);
    sl_json_out_end_object(&out);
    return 0;
}

int sl_slot_room(struct sl_slot *slot, uint32_t count)
{
    uint32_t cap = slot->items_cap == 0 ? SL_BATCH_RECORDS : slot->items_cap;
    struct sl_item *items;

    if (count <= slot->items_cap && slot->items_cap > 0)
        return 0;
    while (cap < count)
        cap *= 2;
    items = realloc(slot->items, cap * sizeof(*items));
    if (items == NULL)
        return -1;
    memset(items + slot->items_cap, 0, (cap - slot->items_cap) * sizeof(*items));
    slot->items = items;
    slot->items_cap = cap;
    return 0;
}

int sl_slot_dead(struct sl_slot *slot, const struct sl_batch *batch, uint16_t index, const struct sl_plan *plan, uint32_t component,
                 const char *reason)
{
    if (slot->dead_count == slot->dead_cap) { /* several branches may set aside the same record */
        uint32_t cap = slot->dead_cap == 0 ? 64 : 2 * slot->dead_cap;
        struct sl_dead *grown = realloc(slot->dead, cap * sizeof(*grown));
        if (grown == NULL)
            return -1;
        slot->dead = grown;
        slot->dead_cap = cap;
    }
    slot->dead[slot->dead_count++] = (struct sl_dead){batch, index, plan, component, reason};
    return 0;
}

int sl_slot_letters(struct sl_slot *slot, uint64_t skip_below, struct sl_item *items)
{
    struct sl_buf buf = {0};
    int count = 0;

    for (uint32_t i = 0; i < slot->dead_count; i++) {
        const struct sl_dead *dead = &slot->dead[i];
        const struct sl_batch *batch = dead->batch;
        if (batch->offset[dead->index] < skip_below)
            continue;
        if (dead_letter(slot, dead, &buf) != 0) {
            count = -1;
            break;
        }
        items[count].row = batch->parent != NULL ? batch->parent[dead->index] : dead->index;
        items[count].ref.index = items[count].row;
        items[count].body = sl_arena_copy(&slot->arena, (struct sl_slice){sl_buf_str(&buf), (uint32_t)buf.bytes});
        if (sl_buf_failed(&buf) || items[count].body.data == NULL) {
            count = -1;
            break;
        }
        count++;
    }
    sl_buf_fini(&buf);
    return count;
}
