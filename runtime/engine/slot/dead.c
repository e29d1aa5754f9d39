/* dead.c: the bodies of dead letters: one JSON line with the raw bytes, the reason, the stage, the origin and the time
 * (DESIGN.md section 6). Bytes that are not UTF-8 travel as base64, so that nothing is lost.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/json_out.h"
#include "runtime/base/utf8.h"
#include "runtime/engine/slot/slot_private.h"

enum { DEAD_GENERATION = 1 };

static void dead_base64(struct sl_buf *buf, struct sl_slice raw)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (uint32_t i = 0; i < raw.bytes; i += 3) {
        uint32_t left = raw.bytes - i, group = (uint32_t)(unsigned char)raw.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)(unsigned char)raw.data[i + 1] << 8;
        if (left > 2)
            group |= (uint32_t)(unsigned char)raw.data[i + 2];
        sl_buf_char(buf, digits[group >> 18]);
        sl_buf_char(buf, digits[group >> 12 & 63]);
        sl_buf_char(buf, left > 1 ? digits[group >> 6 & 63] : '=');
        sl_buf_char(buf, left > 2 ? digits[group & 63] : '=');
    }
}

static void dead_raw(struct sl_json_out *out, const struct sl_batch *batch, uint32_t index)
{
    struct sl_slice raw = batch->raw[index];
    struct sl_buf text = {0};

    if (batch->null_payload != NULL && batch->null_payload[index] != 0) {
        sl_json_out_key(out, "raw");
        sl_json_out_null(out);
        return;
    }
    if (sl_utf8_valid(raw)) {
        sl_json_out_slice_at(out, "raw", raw);
        return;
    }
    dead_base64(&text, raw);
    if (sl_buf_failed(&text))
        out->buf->failed = true;
    sl_json_out_str_at(out, "raw_base64", sl_buf_str(&text));
    sl_buf_fini(&text);
}

static void dead_letter(const struct sl_slot *slot, const struct sl_dead *dead, struct sl_buf *buf)
{
    const struct sl_batch *batch = dead->batch;
    const struct sl_partition *partition = batch->partition;
    const char *stage = dead->component == UINT32_MAX ? partition->source : slot->topology->components[dead->component].name;
    struct sl_json_out out;

    sl_buf_reset(buf);
    sl_json_out_init(&out, buf);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "topology", slot->topology->name);
    sl_json_out_u64_at(&out, "generation", DEAD_GENERATION);
    sl_json_out_str_at(&out, "stage", stage);
    sl_json_out_str_at(&out, "reason", dead->reason);
    sl_json_out_str_at(&out, "source", partition->source);
    sl_json_out_str_at(&out, "topic", partition->topic);
    sl_json_out_str_at(&out, "partition", partition->id);
    sl_json_out_u64_at(&out, "incarnation", partition->incarnation);
    sl_json_out_u64_at(&out, "offset", batch->offset[dead->index]);
    if (batch->sub != NULL && batch->sub[dead->index] > 0) /* derived from the record: raw is what it was derived as */
        sl_json_out_u64_at(&out, "sub", batch->sub[dead->index]);
    sl_json_out_i64_at(&out, "append_unix_ms", batch->append_unix_ms[dead->index]);
    if (batch->key != NULL && batch->key[dead->index].data != NULL)
        sl_json_out_slice_at(&out, "key", batch->key[dead->index]);
    dead_raw(&out, batch, dead->index);
    sl_json_out_end_object(&out);
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

int sl_slot_dead(struct sl_slot *slot, const struct sl_batch *batch, uint16_t index, uint32_t component, const char *reason)
{
    if (slot->dead_count == slot->dead_cap) { /* several branches may set aside the same record */
        uint32_t cap = slot->dead_cap == 0 ? 64 : 2 * slot->dead_cap;
        struct sl_dead *grown = realloc(slot->dead, cap * sizeof(*grown));
        if (grown == NULL)
            return -1;
        slot->dead = grown;
        slot->dead_cap = cap;
    }
    slot->dead[slot->dead_count++] = (struct sl_dead){batch, index, component, reason};
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
        dead_letter(slot, dead, &buf);
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
