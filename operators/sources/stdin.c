/* stdin.c: the `stdin` source: lines of standard input, through the spool.
 *
 * One thread reads; it stops reading while the spool refuses, which stops the writer at the other end of the pipe. A last line
 * without a newline counts at the end of the input and at a stop. Of a line longer than a batch only the first part is kept (it
 * is above max_record, so the engine sets it aside).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "operators/sources/front.h"
#include "operators/sources/sources.h"

struct stdin_config {
    uint64_t partitions;
};

struct stdin_front {
    struct sl_front front; /* first: api->shared is a struct sl_front */
    pthread_t thread;
    bool running;
    bool skipping; /* inside a line of which the first part was sent */
    int wake_fd;
    char *rest;    /* the unfinished line between two batches */
    size_t rest_bytes, batch_bytes;
};

static atomic_flag stdin_taken = ATOMIC_FLAG_INIT; /* there is one standard input */

static const struct sl_field stdin_fields[] = {
    SL_FIELD(stdin_config, partitions, SL_F_U64, .def = "1", .min = "1", .max = "1024",
             .help = "Partitions of the spool topic TOPOLOGY.SOURCE; with more than one, lines lose their order."),
    {0},
};

/* Bytes read, 0 at the end or a stop. */
static size_t stdin_read(struct stdin_front *in, char *data, size_t bytes)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = in->wake_fd, .events = POLLIN}};

    while (!atomic_load(&in->front.stop)) {
        ssize_t got;

        if (poll(fds, 2, -1) < 0 || fds[0].revents == 0)
            continue;
        got = read(STDIN_FILENO, data, bytes);
        if (got >= 0)
            return (size_t)got;
        if (errno != EINTR && errno != EAGAIN) {
            struct sl_err err;
            (void)sl_fail(&err, SL_E_IO, SL_REMEDY_HALT, errno, "source %s: reading standard input: %s", in->front.component,
                          strerror(errno));
            sl_front_trouble(&in->front, &err);
            return 0;
        }
    }
    return 0;
}

static void stdin_record(struct stdin_front *in, struct sl_front_batch *batch, const char *data, size_t bytes)
{
    if (in->skipping)
        in->skipping = false; /* this was the end of a line already sent */
    else
        batch->records[batch->count++] = (struct sl_spool_record){.payload = {data, (uint32_t)bytes}};
}

/* Cuts the batch's bytes into records; the unfinished rest is kept for the next. */
static void stdin_cut(struct stdin_front *in, struct sl_front_batch *batch, bool last)
{
    const char *at = batch->bytes, *end = batch->bytes + batch->used_bytes;

    while (at < end && batch->count < SL_FRONT_BATCH_RECORDS) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        stdin_record(in, batch, at, (size_t)(newline - at));
        at = newline + 1;
    }
    if (at == batch->bytes && batch->used_bytes == batch->capacity_bytes) { /* one line fills it all */
        stdin_record(in, batch, at, batch->used_bytes);
        in->skipping = true;
        at = end;
    } else if (last && at < end && memchr(at, '\n', (size_t)(end - at)) == NULL && batch->count < SL_FRONT_BATCH_RECORDS) {
        stdin_record(in, batch, at, (size_t)(end - at));
        at = end;
    }
    in->rest_bytes = (size_t)(end - at);
    memcpy(in->rest, at, in->rest_bytes);
}

/* False: all is sent. */
static bool stdin_turn(struct stdin_front *in, bool *ended)
{
    struct sl_front_batch *batch = sl_front_take(&in->front);
    bool whole = memchr(in->rest, '\n', in->rest_bytes) != NULL;
    size_t got = 0;

    if (batch == NULL) { /* stopping: what was read already still goes */
        *ended = true;
        batch = sl_front_spare(&in->front);
    }
    if (batch == NULL)
        return false;
    memcpy(batch->bytes, in->rest, in->rest_bytes);
    if (!whole && !*ended) {
        got = stdin_read(in, batch->bytes + in->rest_bytes, batch->capacity_bytes - in->rest_bytes);
        *ended = got == 0;
    }
    batch->used_bytes = (uint32_t)(in->rest_bytes + got);
    stdin_cut(in, batch, *ended);
    sl_front_send(&in->front, batch);
    return !*ended || in->rest_bytes > 0;
}

static void *stdin_main(void *user)
{
    struct stdin_front *in = user;
    bool ended = false;

    while (stdin_turn(in, &ended))
        continue;
    if (sl_front_drain(&in->front) == 0 && !atomic_load(&in->front.stop))
        sl_front_finish(&in->front);
    return NULL;
}

static void stdin_unshare(void *shared)
{
    struct stdin_front *in = shared;

    if (in == NULL)
        return;
    if (in->running) {
        sl_front_stop(&in->front);
        (void)eventfd_write(in->wake_fd, 1);
        (void)pthread_join(in->thread, NULL);
    }
    sl_front_fini(&in->front);
    if (in->wake_fd >= 0)
        (void)close(in->wake_fd);
    free(in->rest);
    free(in);
    atomic_flag_clear(&stdin_taken);
}

static int stdin_prepare(struct stdin_front *in, const struct sl_api *api, const struct stdin_config *config,
                         struct sl_err *err)
{
    in->batch_bytes = api->max_record_bytes + 1024;
    if (in->batch_bytes < SL_FRONT_BATCH_BYTES)
        in->batch_bytes = SL_FRONT_BATCH_BYTES;
    in->rest = malloc(in->batch_bytes);
    in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->rest == NULL || in->wake_fd < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, errno, "no memory");
    return sl_front_init(&in->front, api, config->partitions, (uint32_t)in->batch_bytes, err);
}

static int stdin_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                         struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct stdin_config *)config)->partitions;
    return 0;
}

static int stdin_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    struct stdin_front *in;
    int rc;

    if (atomic_flag_test_and_set(&stdin_taken))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "source %s: another source of this process reads standard input already; only one can", api->component);
    in = calloc(1, sizeof(*in));
    if (in == NULL) {
        atomic_flag_clear(&stdin_taken);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    }
    in->wake_fd = -1;
    rc = stdin_prepare(in, api, config, err);
    if (rc == 0) {
        rc = pthread_create(&in->thread, NULL, stdin_main, in);
        in->running = rc == 0;
        if (rc != 0)
            rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, rc, "no thread");
    }
    if (rc != 0) {
        stdin_unshare(in);
        return sl_while(err, "source %s", api->component);
    }
    *ret_shared = in;
    return 0;
}

const struct sl_source_kind sl_source_stdin = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "stdin",
             .summary = "Reads lines of standard input; ends with it.",
             .example = "{ type: stdin }",
             .fields = stdin_fields,
             .config_bytes = sizeof(struct stdin_config),
             .self_bytes = sizeof(struct sl_front_slot),
             .share = stdin_share,
             .unshare = stdin_unshare},
    .flags = SL_SOURCE_ENDS,
    SL_FRONT_SLOTS,
    .partitions = stdin_partitions,
    .at_end = sl_front_slot_at_end,
};
