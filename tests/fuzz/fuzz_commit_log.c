/* fuzz_commit_log.c: any bytes as a commit log: opened or refused, then usable; and the same bytes as records behind a sound
 * header, with checksums made right where the input asks for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <fcntl.h>

#include "runtime/store/commit_record.h"
#include "tests/support/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int fuzz_each(void *user, struct sl_slice key, struct sl_slice value)
{
    size_t *sum = user;
    for (uint32_t i = 0; i < key.bytes; i++)
        *sum += (unsigned char)key.data[i];
    for (uint32_t i = 0; i < value.bytes; i++)
        *sum += (unsigned char)value.data[i];
    return 0;
}

static void fuzz_open(const void *data, size_t bytes)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_commit_log *log;
    struct sl_commit_change change = {sl_slice_of("k"), sl_slice_of("v")};
    struct sl_err err;
    size_t sum = 0;

    if (sl_fs_replace_file(fs, "/log", data, bytes) == 0 && sl_commit_log_open(fs, "/log", &log, &err) == 0) {
        int rc = sl_commit_log_each(log, fuzz_each, &sum);
        assert(rc == 0);
        rc = sl_commit_log_append(log, &change, 1, &err);
        assert(rc == 0);
        (void)sl_commit_log_close(log);
        rc = sl_commit_log_open(fs, "/log", &log, &err); /* what it wrote itself it accepts */
        assert(rc == 0);
        (void)sl_commit_log_close(log);
    }
    (void)sl_disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sl_commit_header header = {.nonce = 1, .first_number = 1, .snapshot_end = SL_COMMIT_HEADER_BYTES};
    struct sl_commit_change change;
    struct sl_buffer file = {0};

    fuzz_open(data, bytes);
    if (sl_buffer_reserve(&file, SL_COMMIT_HEADER_BYTES + bytes + 64) < 0)
        return 0;
    sl_commit_header_put(file.data, &header);
    file.bytes = SL_COMMIT_HEADER_BYTES;
    change = (struct sl_commit_change){{(const char *)data, (uint32_t)(bytes / 2)},
                                       {(const char *)data + bytes / 2, (uint32_t)(bytes - bytes / 2)}};
    if (sl_commit_record_put(&file, header.nonce, 1, &change, 1, NULL) == 0 && sl_buffer_reserve(&file, bytes) == 0) {
        memcpy(file.data + file.bytes, data, bytes);
        fuzz_open(file.data, file.bytes + bytes);
    }
    sl_buffer_fini(&file);
    return 0;
}
