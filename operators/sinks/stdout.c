/* stdout.c: records as lines on standard output; each is acknowledged when the kernel has taken its last byte.
 *
 * Nothing blocks: poll(2) is asked before each write, and a pipe that says it is writable takes PIPE_BUF bytes at once. A reader that
 * lags makes the buffer fill, and credit() becomes 0. EPIPE stops the topology: nobody will ever read again.
 * Memory: STDOUT_BYTES of text and the refs of what is in it; one parcel beyond that.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/sinks/lines.h"
#include "operators/sinks/sinks.h"
#include "runtime/base/buf.h"
#include "runtime/engine/slot.h"

enum { STDOUT_MAGIC = 0x7374646f, STDOUT_BYTES = 1 << 20, STDOUT_REFS = 65536 };
#define STDOUT_RETRY_NS 5000000ull /* after a full pipe */

struct stdout_config {
    char nothing; /* no settings of its own */
};

struct stdout_sink {
    uint32_t magic;
    struct sl_slot *slot;
    struct sl_buf buf;
    size_t written;      /* of buf */
    struct sl_ref *refs; /* not yet acknowledged, in order */
    size_t *ends;        /* where each one's line ends in buf */
    uint32_t refs_count, refs_done, refs_cap;
};

static void stdout_close(void *self)
{
    struct stdout_sink *sink = self;

    sl_buf_fini(&sink->buf);
    free(sink->refs);
    free(sink->ends);
    memset(sink, 0, sizeof(*sink));
}

static int stdout_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                       struct sl_err *err)
{
    struct stdout_sink *sink = self;

    (void)api;
    (void)config;
    (void)names;
    (void)err;
    memset(sink, 0, sizeof(*sink));
    sink->magic = STDOUT_MAGIC;
    sink->slot = slot;
    sl_buf_init(&sink->buf);
    return 0;
}

static uint64_t stdout_credit(void *self)
{
    const struct stdout_sink *sink = self;

    if (sink->buf.bytes >= STDOUT_BYTES || sink->refs_count >= STDOUT_REFS)
        return 0;
    return STDOUT_BYTES - sink->buf.bytes;
}

static int stdout_room(struct stdout_sink *sink, uint32_t count, size_t bytes)
{
    uint32_t cap = sink->refs_cap == 0 ? SL_BATCH_RECORDS : sink->refs_cap;
    struct sl_ref *refs;
    size_t *ends;

    if (sl_buf_reserve(&sink->buf, bytes) == NULL)
        return -1;
    while (cap < sink->refs_count + count)
        cap *= 2;
    if (cap == sink->refs_cap)
        return 0;
    refs = realloc(sink->refs, cap * sizeof(*refs));
    if (refs == NULL)
        return -1;
    sink->refs = refs;
    ends = realloc(sink->ends, cap * sizeof(*ends));
    if (ends == NULL)
        return -1;
    sink->ends = ends;
    sink->refs_cap = cap;
    return 0;
}

static int stdout_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct stdout_sink *sink = self;
    bool breaks = lines_may_break(parcel->view);
    size_t bytes = 0;

    assert(sink->magic == STDOUT_MAGIC);
    for (uint32_t i = 0; i < parcel->count; i++)
        bytes += (size_t)parcel->items[i].body.bytes + 1;
    if (stdout_room(sink, parcel->count, bytes) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %zu bytes on their way to standard output", bytes);
    for (uint32_t i = 0; i < parcel->count; i++) {
        const struct sl_item *item = &parcel->items[i];
        lines_copy(sink->buf.data + sink->buf.bytes, item->body.data, item->body.bytes, breaks);
        sink->buf.data[sink->buf.bytes + item->body.bytes] = '\n';
        sl_buf_added(&sink->buf, (size_t)item->body.bytes + 1);
        sink->refs[sink->refs_count] = item->ref;
        sink->ends[sink->refs_count++] = sink->buf.bytes;
    }
    return 0;
}

/* Bytes written, 0 when the reader is not ready, or -errno. */
static ssize_t stdout_write(const struct stdout_sink *sink)
{
    struct pollfd fd = {STDOUT_FILENO, POLLOUT, 0};
    size_t left = sink->buf.bytes - sink->written;
    ssize_t n;

    if (poll(&fd, 1, 0) <= 0 || (fd.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == 0)
        return 0;
    n = write(STDOUT_FILENO, sink->buf.data + sink->written, left < PIPE_BUF ? left : PIPE_BUF);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    return n;
}

static void stdout_acknowledge(struct stdout_sink *sink)
{
    uint32_t first = sink->refs_done;

    while (sink->refs_done < sink->refs_count && sink->ends[sink->refs_done] <= sink->written)
        sink->refs_done++;
    if (sink->refs_done > first)
        sl_slot_done(sink->slot, sink, sink->refs + first, sink->refs_done - first, SL_ACK, NULL);
}

/* What is written makes room. */
static void stdout_shift(struct stdout_sink *sink)
{
    uint32_t left = sink->refs_count - sink->refs_done;

    memmove(sink->buf.data, sink->buf.data + sink->written, sink->buf.bytes - sink->written);
    sink->buf.bytes -= sink->written;
    for (uint32_t i = 0; i < left; i++) {
        sink->refs[i] = sink->refs[sink->refs_done + i];
        sink->ends[i] = sink->ends[sink->refs_done + i] - sink->written;
    }
    sink->refs_count = left;
    sink->refs_done = 0;
    sink->written = 0;
}

static int stdout_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct stdout_sink *sink = self;
    ssize_t n = 1;

    (void)now_ns;
    while (sink->written < sink->buf.bytes && (n = stdout_write(sink)) > 0)
        sink->written += (size_t)n;
    stdout_acknowledge(sink);
    if (sink->written > 0)
        stdout_shift(sink);
    if (n == -EPIPE)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, EPIPE, "standard output: its reader has gone");
    if (n < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, (int)-n, "write to standard output: %s", strerror((int)-n));
    if (sink->buf.bytes > 0 && STDOUT_RETRY_NS < *ret_wake_ns)
        *ret_wake_ns = STDOUT_RETRY_NS;
    return 0;
}

static int stdout_drain(void *self)
{
    return ((struct stdout_sink *)self)->buf.bytes == 0;
}

static const struct sl_field stdout_fields[] = {{0}};

const struct sl_sink_kind sl_sink_stdout = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_sink_kind),
             .name = "stdout",
             .summary = "Records as lines on standard output, for trying things out and for pipes.",
             .example = "{ type: stdout, inputs: [parsed] }",
             .fields = stdout_fields,
             .config_bytes = sizeof(struct stdout_config),
             .self_bytes = sizeof(struct stdout_sink)},
    .flags = SL_SINK_LINES,
    .open = stdout_open,
    .credit = stdout_credit,
    .submit = stdout_submit,
    .turn = stdout_turn,
    .drain = stdout_drain,
    .close = stdout_close,
};
