/* replay.c: chooses letters and appends them to the spool as records that carry their origin; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/replay/replay.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/cli/replay/index.h"
#include "runtime/cli/replay/letters.h"
#include "runtime/engine/slot/replay.h"

enum { REPLAY_RECORDS = 1024, REPLAY_BYTES = 1 << 20, REPLAY_WAYS = 64, REPLAY_RETRY_MS = 20 };
#define REPLAY_PATIENCE_NS (20ull * SL_NS_PER_S) /* with a spool that refuses */

struct replay_way { /* a (stage, source) that has been looked at */
    char stage[96], source[96];
    bool open;
};

struct replay_wait {
    struct sl_spool_wait wait; /* first */
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool done;
    int status;
    struct sl_err err;
};

struct replay {
    const struct sl_topology *topology;
    const struct sl_replay_filter *filter;
    struct sl_replay_result *result;
    struct sl_replay_index *index;
    struct sl_spool_topic *topic;
    struct replay_way ways[REPLAY_WAYS];
    uint32_t ways_count;
    struct sl_spool_record records[REPLAY_RECORDS];
    struct sl_header headers[REPLAY_RECORDS][4];
    uint32_t count;
    struct sl_buf bytes; /* behind the records; reserved once, so that it does not move */
};

/* ---- the spool ---- */

static void replay_done(struct sl_spool_wait *self, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct replay_wait *wait = (struct replay_wait *)(void *)self;

    (void)first_offset;
    (void)pthread_mutex_lock(&wait->lock);
    wait->status = status;
    if (err != NULL)
        wait->err = *err;
    wait->done = true;
    (void)pthread_cond_broadcast(&wait->change);
    (void)pthread_mutex_unlock(&wait->lock);
}

static int replay_await(struct replay_wait *wait, struct sl_err *err)
{
    (void)pthread_mutex_lock(&wait->lock);
    while (!wait->done)
        (void)pthread_cond_wait(&wait->change, &wait->lock);
    (void)pthread_mutex_unlock(&wait->lock);
    if (wait->status != 0)
        *err = wait->err;
    return wait->status;
}

/* Durable on 0. A full queue passes; a full spool does not. */
static int replay_append(struct replay *replay, struct sl_err *err)
{
    uint64_t until_ns = sl_clock_now_ns() + REPLAY_PATIENCE_NS;
    struct replay_wait wait = {.wait = {.done = replay_done}};
    int status;

    if (replay->count == 0)
        return 0;
    (void)pthread_mutex_init(&wait.lock, NULL);
    (void)pthread_cond_init(&wait.change, NULL);
    while ((status = sl_spool_append(replay->topic, 0, replay->records, replay->count, &wait.wait, err)) == -(int)SL_E_LIMIT &&
           err->remedy == SL_REMEDY_RETRY && sl_clock_now_ns() < until_ns)
        (void)poll(NULL, 0, REPLAY_RETRY_MS);
    if (status == 0)
        status = replay_await(&wait, err);
    (void)pthread_mutex_destroy(&wait.lock);
    (void)pthread_cond_destroy(&wait.change);
    if (status != 0)
        return sl_while(err, "sending letters again");
    replay->result->sent += replay->count;
    replay->count = 0;
    sl_buf_reset(&replay->bytes);
    return 0;
}

/* ---- one letter ---- */

static struct sl_slice replay_keep(struct replay *replay, const void *data, size_t bytes)
{
    struct sl_slice kept = {replay->bytes.data + replay->bytes.bytes, (uint32_t)bytes};

    if (bytes > 0)
        memcpy(replay->bytes.data + replay->bytes.bytes, data, bytes);
    sl_buf_added(&replay->bytes, bytes);
    return kept;
}

/* Room for so much more without moving what is kept: else what is there goes first. */
static int replay_room(struct replay *replay, size_t bytes, struct sl_err *err)
{
    if (replay->count == REPLAY_RECORDS || replay->bytes.bytes + bytes > replay->bytes.capacity) {
        int status = replay_append(replay, err);
        if (status != 0)
            return status;
    }
    if (sl_buf_reserve(&replay->bytes, bytes > REPLAY_BYTES ? bytes : REPLAY_BYTES - replay->bytes.bytes) == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for letters");
    return 0;
}

static bool replay_is_sink(const struct replay *replay, struct sl_slice stage)
{
    for (uint32_t c = 0; c < replay->topology->components_count; c++)
        if (sl_slice_is(stage, replay->topology->components[c].name))
            return replay->topology->components[c].role == SL_SINK;
    return false;
}

static void replay_headers(struct replay *replay, const struct sl_letter *letter, struct sl_spool_record *record)
{
    struct sl_header *headers = replay->headers[replay->count];
    char text[PATH_MAX + 64];
    int bytes = snprintf(text, sizeof(text), "%.*s\n%.*s\n%c", (int)letter->stage.bytes, letter->stage.data,
                         (int)letter->origin.source.bytes, letter->origin.source.data,
                         letter->sub > 0 || replay_is_sink(replay, letter->stage) ? '1' : '0');

    headers[0] = (struct sl_header){sl_slice_of(SL_REPLAY_HEADER), replay_keep(replay, text, (size_t)bytes)};
    headers[1] = (struct sl_header){sl_slice_of(SL_REPLAY_ORIGIN), replay_keep(replay, text, sl_origin_print(&letter->origin, text))};
    bytes = snprintf(text, sizeof(text), "%s\n%" PRIu64, letter->file, letter->line);
    headers[2] = (struct sl_header){sl_slice_of(SL_REPLAY_LETTER), replay_keep(replay, text, (size_t)bytes)};
    record->headers_count = 3;
    if (letter->sub > 0) {
        bytes = snprintf(text, sizeof(text), "%u", letter->sub);
        headers[record->headers_count++] = (struct sl_header){sl_slice_of(SL_REPLAY_SUB), replay_keep(replay, text, (size_t)bytes)};
    }
    record->headers = headers;
}

static int replay_add(struct replay *replay, const struct sl_letter *letter, struct sl_err *err)
{
    struct sl_spool_record record = {.null_payload = letter->null_payload, .append_unix_ms = letter->append_unix_ms};
    int status = replay_room(replay, letter->raw.bytes + letter->key.bytes + PATH_MAX + SL_ORIGIN_BYTES + 512, err);

    if (status != 0)
        return status;
    record.payload = replay_keep(replay, letter->raw.data, letter->raw.bytes);
    if (letter->key.data != NULL)
        record.key = replay_keep(replay, letter->key.data, letter->key.bytes);
    replay_headers(replay, letter, &record);
    replay->records[replay->count++] = record;
    return 0;
}

/* Asked once for each stage and source. */
static bool replay_is_open(struct replay *replay, const struct sl_letter *letter)
{
    struct replay_way way = {.open = false};
    struct sl_err err;

    if (letter->stage.bytes >= sizeof(way.stage) || letter->origin.source.bytes >= sizeof(way.source))
        return false;
    memcpy(way.stage, letter->stage.data, letter->stage.bytes);
    memcpy(way.source, letter->origin.source.data, letter->origin.source.bytes);
    for (uint32_t i = 0; i < replay->ways_count; i++)
        if (strcmp(replay->ways[i].stage, way.stage) == 0 && strcmp(replay->ways[i].source, way.source) == 0)
            return replay->ways[i].open;
    way.open = sl_replay_way(replay->topology, way.stage, way.source, &err) == 0;
    if (!way.open && replay->result->why[0] == '\0')
        (void)snprintf(replay->result->why, sizeof(replay->result->why), "%.399s", err.text);
    if (replay->ways_count < REPLAY_WAYS)
        replay->ways[replay->ways_count++] = way;
    return way.open;
}

static bool replay_matches(const struct sl_replay_filter *filter, const struct sl_letter *letter)
{
    return (filter->stage == NULL || sl_slice_is(letter->stage, filter->stage)) &&
           (filter->reason == NULL || memmem(letter->reason.data, letter->reason.bytes, filter->reason, strlen(filter->reason)) != NULL) &&
           letter->append_unix_ms >= filter->since_unix_ms;
}

static int replay_letter(void *user, const struct sl_letter *letter, struct sl_err *err)
{
    struct replay *replay = user;
    struct sl_replay_result *result = replay->result;

    if (!replay_matches(replay->filter, letter))
        result->filtered++;
    else if (sl_replay_index_has(replay->index, letter->file, letter->line))
        result->seen_before++;
    else if (letter->withheld)
        result->withheld++;
    else if (!replay_is_open(replay, letter))
        result->without_way++;
    else
        return replay_add(replay, letter, err);
    return 0;
}

/* ---- all of them ---- */

static int replay_letters(struct replay *replay, const char *dir, struct sl_err *err)
{
    int status = sl_replay_index_read(replay->index, replay->topic, err);

    if (status == 0)
        status = sl_letters_each(dir, replay_letter, replay, &replay->result->strange, err);
    if (status == 0)
        status = replay_append(replay, err);
    if (status == 0)
        status = sl_replay_index_read(replay->index, replay->topic, err);
    return status != 0 ? status : sl_replay_index_save(replay->index, replay->topic, err);
}

static int replay_open(struct replay *replay, struct sl_host *host, struct sl_err *err)
{
    char name[300], path[PATH_MAX];

    (void)snprintf(name, sizeof(name), SL_REPLAY_TOPIC "%s", replay->topology->name);
    (void)snprintf(path, sizeof(path), "%s/topologies/%s/replayed", sl_host_data_dir(host), replay->topology->name);
    if (sl_spool_topic(sl_host_spool(host), name, 1, &replay->topic, err) != 0)
        return -(int)err->code;
    replay->index = sl_replay_index_open(path, err);
    return replay->index == NULL ? -(int)err->code : 0;
}

int sl_replay_send(struct sl_host *host, const struct sl_topology *topology, const struct sl_replay_filter *filter,
                   struct sl_replay_result *ret_result, struct sl_err *err)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    char dir[PATH_MAX];
    int status;

    *ret_result = (struct sl_replay_result){0};
    if (replay == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    replay->topology = topology;
    replay->filter = filter;
    replay->result = ret_result;
    status = sl_letters_dir(topology, sl_host_data_dir(host), dir, sizeof(dir), err);
    if (status == 0)
        status = sl_host_replay_check(host, topology->name, err); /* first: what cannot be read is not sent */
    if (status == 0)
        status = replay_open(replay, host, err);
    if (status == 0)
        status = replay_letters(replay, dir, err);
    if (status == 0)
        status = sl_host_replay(host, topology->name, err);
    (void)sl_replay_index_close(replay->index);
    sl_buf_fini(&replay->bytes);
    free(replay);
    return status;
}

static void replay_say_count(struct sl_buf *text, uint64_t count, const char *what)
{
    if (count > 0)
        sl_buf_printf(text, "; %" PRIu64 " %s", count, what);
}

void sl_replay_say(const struct sl_topology *topology, const struct sl_replay_result *result, struct sl_buf *text)
{
    sl_buf_printf(text, "topology %s: %" PRIu64 " letters sent again", topology->name, result->sent);
    replay_say_count(text, result->seen_before, "were sent before");
    replay_say_count(text, result->filtered, "do not match");
    replay_say_count(text, result->withheld, "hold no bytes, since the topology masks: read them at their source");
    replay_say_count(text, result->strange, "lines are no letters");
    replay_say_count(text, result->without_way, "have no way: ");
    if (result->without_way > 0)
        sl_buf_text(text, result->why);
}
