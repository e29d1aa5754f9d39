/* spool_scan.c: a walk over the batches of one segment file that finds its way again behind damage (rule F3).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/spool/spool_impl.h"

enum { SCAN_WINDOW_BYTES = 1 << 20 };

/* Makes [at, at + bytes) contiguous in memory. 1, 0 beyond the end, or -errno. */
static int scan_need(struct spool_scan *scan, uint64_t at, size_t bytes, const char **ret_data)
{
    size_t want = bytes > SCAN_WINDOW_BYTES ? bytes : SCAN_WINDOW_BYTES;

    if (at > scan->end || bytes > scan->end - at)
        return 0;
    if (at < scan->window_at || at + bytes > scan->window_at + scan->window.bytes) {
        if (want > scan->end - at)
            want = (size_t)(scan->end - at);
        scan->window.bytes = 0;
        if (sl_buffer_reserve(&scan->window, want) < 0)
            return -ENOMEM;
        scan->window_at = at;
        while (scan->window.bytes < want) {
            int64_t n = scan->fs->pread(scan->fs, scan->fd, scan->window.data + scan->window.bytes, want - scan->window.bytes,
                                        at + scan->window.bytes);
            if (n < 0)
                return (int)n;
            if (n == 0)
                break; /* the file is shorter than was said */
            scan->window.bytes += (size_t)n;
        }
        if (scan->window.bytes < bytes)
            return 0;
    }
    *ret_data = scan->window.data + (at - scan->window_at);
    return 1;
}

/* 1: a whole and sound batch stands at `at`; 2: only its header is sound; 0: neither; or -errno. */
static int scan_batch(struct spool_scan *scan, uint64_t at, struct sl_spool_batch *ret_batch, const char **ret_bytes)
{
    struct sl_spool_batch batch;
    const char *data;
    int rc = scan_need(scan, at, SL_SPOOL_BATCH_HEADER, &data);

    if (rc <= 0)
        return rc;
    if (!sl_spool_batch_get(data, scan->nonce, &batch) || batch.base < scan->offset || batch.base + batch.count > scan->limit)
        return 0;
    *ret_batch = batch;
    rc = scan_need(scan, at, (size_t)SL_SPOOL_BATCH_HEADER + batch.body_bytes, &data);
    if (rc < 0)
        return rc;
    if (rc == 0 || !sl_spool_batch_body_ok(&batch, data + SL_SPOOL_BATCH_HEADER))
        return 2;
    *ret_bytes = data;
    return 1;
}

/* The first byte at or behind `at` where a whole and sound batch stands: 1, 0 none, or -errno. */
static int scan_find(struct spool_scan *scan, uint64_t at, uint64_t *ret_at, struct sl_spool_batch *ret_batch,
                     const char **ret_bytes)
{
    while (at < scan->end) {
        const char *data, *hit;
        size_t bytes;
        int rc = scan_need(scan, at, 1, &data);
        if (rc <= 0)
            return rc;
        bytes = scan->window.bytes - (size_t)(at - scan->window_at);
        hit = memchr(data, 'S', bytes);
        if (hit == NULL) {
            at += bytes;
            continue;
        }
        at += (uint64_t)(hit - data);
        rc = scan_batch(scan, at, ret_batch, ret_bytes);
        if (rc < 0)
            return rc;
        if (rc == 1) {
            *ret_at = at;
            return 1;
        }
        at++;
    }
    return 0;
}

int spool_scan_step(struct spool_scan *scan, struct spool_step *ret_step)
{
    struct spool_step step = {.at = scan->at, .first = scan->offset};
    struct sl_spool_batch after;
    const char *bytes;
    uint64_t found = 0;
    int rc;

    if (scan->at >= scan->end)
        return SPOOL_END;
    rc = scan_batch(scan, scan->at, &step.batch, &step.bytes);
    if (rc < 0)
        return rc;
    if (rc == 1) { /* a base above what was expected is a hole that a repair left */
        step.next_at = scan->at + SL_SPOOL_BATCH_HEADER + step.batch.body_bytes;
        scan->at = step.next_at;
        scan->offset = step.batch.base + step.batch.count;
        *ret_step = step;
        return SPOOL_BATCH;
    }
    step.next = rc == 2 ? step.batch.base + step.batch.count : scan->offset;
    rc = scan_find(scan, scan->at + 1, &found, &after, &bytes);
    if (rc < 0)
        return rc;
    step.next_at = rc == 1 ? found : scan->end;
    step.next = rc == 1 ? after.base : step.next;
    scan->at = step.next_at;
    if (rc == 1)
        scan->offset = after.base;
    *ret_step = step;
    return rc == 1 ? SPOOL_DAMAGE : SPOOL_TAIL;
}

void spool_scan_fini(struct spool_scan *scan)
{
    sl_buffer_fini(&scan->window);
}
