/* spool_model.c: appending numbered records and reading them back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/spool_model.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODEL_PAYLOAD = 2048 };

struct model_wait {
    struct sl_spool_wait wait;
    struct sl_spool_model *model;
    uint32_t first, count, partition;
};

static int64_t model_unix_ms(void *env)
{
    return ((struct sl_spool_model *)env)->unix_ms++;
}

static uint64_t model_now_ns(void *env)
{
    return ((struct sl_spool_model *)env)->now_ns;
}

void sl_spool_model_init(struct sl_spool_model *model)
{
    memset(model, 0, sizeof(*model));
    model->unix_ms = 1700000000000;
    model->now_ns = 1000000000;
}

struct sl_spool_settings sl_spool_model_settings(struct sl_spool_model *model, uint64_t segment_bytes)
{
    return (struct sl_spool_settings){.segment_bytes = segment_bytes, .append_queue_bytes = 8 << 20, .unix_ms = model_unix_ms,
                                      .now_ns = model_now_ns, .env = model, .no_thread = true};
}

/* A number, then letters that follow from it, so that no two payloads are alike and a wrong byte is seen. */
static uint32_t model_payload(uint32_t number, uint32_t bytes, char *to)
{
    int used = snprintf(to, MODEL_PAYLOAD, "%u %u ", number, bytes);
    uint32_t at = (uint32_t)used;
    for (; at < bytes && at < MODEL_PAYLOAD; at++)
        to[at] = (char)('a' + (number * 31 + at * 7) % 26);
    return at;
}

static void model_fail(struct sl_spool_model *model, const char *what, uint64_t a, uint64_t b)
{
    if (model->trouble[0] == '\0')
        (void)snprintf(model->trouble, sizeof(model->trouble), "%s (%llu, %llu)", what, (unsigned long long)a,
                       (unsigned long long)b);
}

static void model_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct model_wait *told = (struct model_wait *)wait;
    struct sl_spool_model *model = told->model;

    (void)err;
    if (status != 0)
        model->refused++;
    if (status == 0 && first_offset < model->beyond[told->partition])
        model_fail(model, "an offset was used twice", first_offset, model->beyond[told->partition]);
    for (uint32_t i = 0; status == 0 && i < told->count; i++) {
        model->acked[told->first + i] = true;
        model->offset[told->first + i] = first_offset + i;
        model->beyond[told->partition] = first_offset + i + 1;
    }
    free(told);
}

int sl_spool_model_append(struct sl_spool_model *model, struct sl_spool_topic *topic, uint32_t partition, uint32_t count,
                          uint32_t bytes)
{
    struct model_wait *wait = malloc(sizeof(*wait));
    struct sl_spool_record *records = calloc(count, sizeof(*records));
    char *payloads = malloc((size_t)count * MODEL_PAYLOAD);
    struct sl_err err;
    int rc;

    if (wait == NULL || records == NULL || payloads == NULL || model->submitted + count > SL_MODEL_RECORDS)
        abort();
    *wait = (struct model_wait){{model_done, NULL}, model, model->submitted, count, partition};
    for (uint32_t i = 0; i < count; i++) {
        char *payload = payloads + (size_t)i * MODEL_PAYLOAD;
        records[i].payload = (struct sl_slice){payload, model_payload(model->submitted + i, bytes, payload)};
        model->partition[model->submitted + i] = (uint8_t)partition;
    }
    model->submitted += count;
    rc = sl_spool_append(topic, partition, records, count, &wait->wait, &err);
    if (rc < 0) {
        model->refused++;
        free(wait);
    }
    free(records);
    free(payloads);
    return rc;
}

/* One record that came back: it must be one that was appended, as it was appended, and only once. */
static void model_see(struct sl_spool_model *model, uint32_t partition, uint64_t offset, struct sl_slice payload, bool *seen)
{
    char text[MODEL_PAYLOAD + 1], right[MODEL_PAYLOAD];
    unsigned number = 0, bytes = 0;

    if (payload.bytes > MODEL_PAYLOAD) {
        model_fail(model, "a record is longer than any", offset, payload.bytes);
        return;
    }
    memcpy(text, payload.data, payload.bytes);
    text[payload.bytes] = '\0';
    if (sscanf(text, "%u %u ", &number, &bytes) != 2 || number >= model->submitted || bytes > MODEL_PAYLOAD ||
        model_payload(number, bytes, right) != payload.bytes || memcmp(right, text, payload.bytes) != 0) {
        model_fail(model, "a record was never appended", partition, offset);
        return;
    }
    if (seen[number])
        model_fail(model, "a record came twice", number, offset);
    if (model->partition[number] != partition || (model->acked[number] && model->offset[number] != offset))
        model_fail(model, "a record came from another place than acknowledged", number, offset);
    seen[number] = true;
}

static void model_read(struct sl_spool_model *model, struct sl_spool_topic *topic, uint32_t partition, bool *seen)
{
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    struct sl_err err;
    uint64_t position, end;
    int rc;

    if (sl_arena_init(&arena, 2 << 20, 64 << 20) < 0 || sl_spool_reader_open(topic, partition, NULL, NULL, &reader, &err) < 0)
        abort();
    sl_spool_bounds(topic, partition, &position, &end);
    while ((rc = sl_spool_read(reader, &batch, &err)) == 1) {
        if (batch.first != position || batch.next <= batch.offset[batch.count - 1] || batch.count == 0)
            model_fail(model, "batches do not tile", batch.first, position);
        for (uint32_t i = 0; i < batch.count; i++) {
            if (batch.offset[i] < position)
                model_fail(model, "offsets do not rise", batch.offset[i], position);
            position = batch.offset[i] + 1;
            model_see(model, partition, batch.offset[i], batch.raw[i], seen);
        }
        position = batch.next;
        sl_arena_reset(&arena);
    }
    if (rc < 0)
        model_fail(model, err.text, 0, 0);
    sl_spool_bounds(topic, partition, &(uint64_t){0}, &end);
    if (position != end && position > 0)
        model_fail(model, "the reader does not arrive at the end", position, end);
    if (position > model->beyond[partition])
        model->beyond[partition] = position;
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
}

const char *sl_spool_model_verify(struct sl_spool_model *model, struct sl_spool_topic *topic, bool lost_allowed,
                                  uint32_t *ret_missing)
{
    bool *seen = calloc(SL_MODEL_RECORDS, sizeof(*seen));
    uint32_t missing = 0;

    if (seen == NULL)
        abort();
    for (uint32_t i = 0; i < SL_MODEL_PARTITIONS && i < sl_spool_partitions(topic); i++)
        model_read(model, topic, i, seen);
    for (uint32_t number = 0; number < model->submitted; number++) {
        if (!model->acked[number] || seen[number])
            continue;
        missing++;
        if (!lost_allowed)
            model_fail(model, "an acknowledged record is lost", number, model->offset[number]);
    }
    free(seen);
    if (ret_missing != NULL)
        *ret_missing = missing;
    return model->trouble[0] == '\0' ? NULL : model->trouble;
}
