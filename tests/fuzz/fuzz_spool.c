/* fuzz_spool.c: any bytes as a segment, as a manifest, as marks, and as the body of a batch with a right checksum: the spool
 * opens, reads to its end, takes a record, and repair leaves nothing to find.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/crc32c.h"
#include "runtime/store/bytes.h"
#include "runtime/store/spool/spool_batch.h"
#include "tests/support/disk.h"
#include "tests/support/spool_model.h"

#define FUZZ_NONCE 0x1122334455667788u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_read(struct sl_spool_topic *topic)
{
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    struct sl_err err;
    volatile unsigned sum = 0;

    if (sl_arena_init(&arena, 1 << 16, 64 << 20) < 0 || sl_spool_reader_open(topic, 0, NULL, NULL, &reader, &err) < 0)
        abort();
    while (sl_spool_read(reader, &batch, &err) == 1) {
        assert(batch.count > 0);
        for (uint32_t i = 0; i < batch.count; i++) {
            assert(batch.raw[i].data != NULL && batch.offset[i] >= batch.first && batch.offset[i] < batch.next);
            for (uint32_t at = 0; at < batch.raw[i].bytes + SL_PAD; at++)
                sum += (unsigned char)batch.raw[i].data[at];
        }
        sl_arena_reset(&arena);
    }
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
}

static void fuzz_count(void *user, const struct sl_spool_finding *finding)
{
    (void)finding;
    ++*(uint32_t *)user;
}

static void fuzz_use(struct sl_disk *disk)
{
    static struct sl_spool_model model;
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_spool_settings settings;
    struct sl_spool_record record = {.payload = sl_slice_of("new")};
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
    struct sl_spool_stats stats;
    struct sl_err err;
    uint32_t found = 0;

    sl_spool_model_init(&model);
    settings = sl_spool_model_settings(&model, 4096);
    if (sl_spool_open(fs, "/spool", &settings, &spool, &err) < 0)
        return;
    if (sl_spool_topic(spool, "t", 1, &topic, &err) == 0) {
        fuzz_read(topic);
        (void)sl_spool_append(topic, 0, &record, 1, NULL, &err);
        (void)sl_spool_write_turn(spool);
        fuzz_read(topic);
    }
    (void)sl_spool_close(spool);
    if (sl_spool_check(fs, "/spool", true, NULL, NULL, &stats, &err) == 0 &&
        sl_spool_check(fs, "/spool", false, fuzz_count, &found, &stats, &err) == 0)
        assert(found == 0);
}

static void fuzz_file(const char *file, const void *data, size_t bytes)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    char path[200];

    (void)snprintf(path, sizeof(path), "/spool/t/%s", file);
    if (sl_fs_mkdirs(fs, "/spool/t", 0755) == 0 && sl_fs_replace_file(fs, path, data, bytes) == 0)
        fuzz_use(disk);
    (void)sl_disk_free(disk);
}

static void fuzz_text(const char *file, const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 64);
    int more;
    if (text == NULL)
        return;
    if (bytes > 0)
        memcpy(text, data, bytes);
    more = snprintf(text + bytes, 64, "crc %08x\n", sl_crc32c(0, text, bytes));
    fuzz_file(file, text, bytes + (size_t)more);
    free(text);
}

/* One batch whose header is right and whose body is the input, then the input once more as whatever follows. */
static void fuzz_body(const uint8_t *data, size_t bytes)
{
    size_t room = SL_SPOOL_SEGMENT_HEADER + SL_SPOOL_BATCH_HEADER + 2 * bytes;
    char *file = malloc(room + 1), *header = file + SL_SPOOL_SEGMENT_HEADER, *body = header + SL_SPOOL_BATCH_HEADER;
    struct sl_spool_batch batch = {.count = bytes > 0 ? 1u + data[0] % 5u : 1, .body_bytes = (uint32_t)bytes,
                                   .meta_bytes = (uint32_t)(bytes > 1 ? data[1] % (bytes + 1) : bytes), .flags = 15};
    if (file == NULL)
        return;
    sl_spool_segment_header_put(file, FUZZ_NONCE, 0, 0);
    if (bytes > 0) {
        memcpy(body, data, bytes);
        memcpy(body + bytes, data, bytes);
    }
    batch.body_crc = sl_crc32c(0, body, bytes);
    sl_spool_batch_put(header, &batch, FUZZ_NONCE);
    fuzz_file("00000-00000000000000000000-1122334455667788.seg", file, room);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 1 << 16)
        return 0;
    fuzz_file("00000-00000000000000000000-1122334455667788.seg", data, bytes);
    fuzz_file("manifest", data, bytes);
    fuzz_text("manifest", data, bytes);
    fuzz_text("marks", data, bytes);
    fuzz_body(data, bytes);
    return 0;
}
