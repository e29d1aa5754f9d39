/* cat.c: `sluice cat`: records on standard output: a topic of a closed spool (which it leaves as it is), or the files of a
 * landing or dead-letter folder, plain or zstd, in name order; what lies under .sluice is not yet committed and is left out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "runtime/base/arena.h"
#include "runtime/base/clock.h"
#include "runtime/base/fs.h"
#include "runtime/base/json_out.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/overlay.h"
#include "runtime/cli/spool_dir.h"
#include "runtime/config/units.h"
#include "runtime/store/spool.h"

enum { CAT_IN_BYTES = 128 << 10, CAT_OUT_BYTES = 256 << 10 };

struct cat_job {
    struct sl_cli *cli;
    uint64_t left; /* records that may still be printed */
    struct sl_err err;
};

/* ---- files ---- */

/* Prints whole lines until the limit is met. False: enough. */
static bool cat_put(struct cat_job *job, const char *data, size_t bytes)
{
    const char *at = data, *end = data + bytes;
    if (job->left == UINT64_MAX) {
        (void)fwrite(data, 1, bytes, job->cli->out);
        return ferror(job->cli->out) == 0;
    }
    while (at < end && job->left > 0) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL) {
            at = end;
            break;
        }
        at = newline + 1;
        job->left--;
    }
    (void)fwrite(data, 1, (size_t)(at - data), job->cli->out);
    return job->left > 0 && ferror(job->cli->out) == 0;
}

struct cat_file {
    const char *path;
    ZSTD_DCtx *context; /* NULL: plain */
    char *in, *out;
    size_t pending; /* of the zstd frame that is being read; 0 between frames */
    bool enough;
};

static int cat_put_zstd(struct cat_job *job, struct cat_file *file, size_t bytes)
{
    ZSTD_inBuffer in = {file->in, bytes, 0};
    while (in.pos < in.size && !file->enough) {
        ZSTD_outBuffer out = {file->out, CAT_OUT_BYTES, 0};
        file->pending = ZSTD_decompressStream(file->context, &out, &in);
        if (ZSTD_isError(file->pending))
            return sl_fail(&job->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s is damaged: %s", file->path,
                           ZSTD_getErrorName(file->pending));
        file->enough = !cat_put(job, file->out, out.pos);
    }
    return 0;
}

static int cat_read(struct cat_job *job, struct cat_file *file, int fd)
{
    struct sl_fs *fs = sl_fs_posix();
    uint64_t at = 0;
    while (!file->enough) {
        int64_t bytes = fs->pread(fs, fd, file->in, CAT_IN_BYTES, at);
        int result = 0;
        if (bytes < 0)
            return sl_fail(&job->err, SL_E_IO, SL_REMEDY_HALT, (int)-bytes, "cannot read %s: %s", file->path, strerror((int)-bytes));
        if (bytes == 0)
            break;
        if (file->context != NULL)
            result = cat_put_zstd(job, file, (size_t)bytes);
        else
            file->enough = !cat_put(job, file->in, (size_t)bytes);
        if (result != 0)
            return result;
        at += (uint64_t)bytes;
    }
    if (!file->enough && file->context != NULL && file->pending != 0)
        return sl_fail(&job->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s ends in the middle of a zstd frame", file->path);
    return 0;
}

static bool cat_ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static int cat_file(struct cat_job *job, const char *path)
{
    struct sl_fs *fs = sl_fs_posix();
    struct cat_file file = {.path = path, .in = malloc(CAT_IN_BYTES), .out = malloc(CAT_OUT_BYTES)};
    int fd = fs->open(fs, path, O_RDONLY, 0), result;

    if (cat_ends_with(path, ".zst"))
        file.context = ZSTD_createDCtx();
    if (fd < 0)
        result = sl_fail(&job->err, SL_E_IO, SL_REMEDY_HALT, -fd, "cannot open %s: %s", path, strerror(-fd));
    else if (file.in == NULL || file.out == NULL || (file.context == NULL && cat_ends_with(path, ".zst")))
        result = sl_fail(&job->err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory");
    else
        result = cat_read(job, &file, fd);
    if (fd >= 0)
        (void)fs->close(fs, fd);
    (void)ZSTD_freeDCtx(file.context);
    free(file.in);
    free(file.out);
    return result;
}

/* ---- folders ---- */

struct cat_walk {
    struct cat_job *job;
    const char *dir;
};

static int cat_path(struct cat_job *job, const char *path);

static int cat_each(void *user, const char *name)
{
    struct cat_walk *walk = user;
    struct sl_fs_stat stat;
    char path[PATH_MAX];

    if (name[0] == '.' || walk->job->left == 0)
        return 0;
    if (snprintf(path, sizeof(path), "%s/%s", walk->dir, name) >= (int)sizeof(path))
        return sl_fail(&walk->job->err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "the path is too long: %s", walk->dir);
    if (sl_fs_posix()->stat(sl_fs_posix(), path, &stat) != 0)
        return 0; /* removed meanwhile */
    if (!stat.is_dir && !cat_ends_with(name, ".ndjson") && !cat_ends_with(name, ".ndjson.zst"))
        return 0; /* somebody else's file */
    return cat_path(walk->job, path);
}

static int cat_path(struct cat_job *job, const char *path)
{
    struct cat_walk walk = {job, path};
    struct sl_fs_stat stat;
    int result = sl_fs_posix()->stat(sl_fs_posix(), path, &stat);

    if (result < 0)
        return sl_fail(&job->err, SL_E_CONFIG, SL_REMEDY_HALT, -result, "cannot open %s: %s", path, strerror(-result));
    if (!stat.is_dir)
        return cat_file(job, path);
    job->err.text[0] = '\0';
    result = sl_fs_posix()->list(sl_fs_posix(), path, cat_each, &walk);
    if (result < 0 && job->err.text[0] == '\0')
        return sl_fail(&job->err, SL_E_IO, SL_REMEDY_HALT, -result, "cannot list %s: %s", path, strerror(-result));
    return result;
}

/* ---- the spool ---- */

static void cat_record_json(struct cat_job *job, const struct sl_batch *batch, const char *topic, uint32_t partition, uint32_t i)
{
    struct sl_json_out out;
    struct sl_buf buf;

    sl_buf_init(&buf);
    sl_json_out_init(&out, &buf);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "topic", topic);
    sl_json_out_u64_at(&out, "partition", partition);
    sl_json_out_u64_at(&out, "offset", batch->offset[i]);
    sl_json_out_i64_at(&out, "time_unix_ms", batch->append_unix_ms[i]);
    if (batch->key != NULL && batch->key[i].data != NULL)
        sl_json_out_slice_at(&out, "key", batch->key[i]);
    if (batch->headers != NULL && batch->headers_count[i] > 0) {
        sl_json_out_key(&out, "headers");
        sl_json_out_object(&out);
        for (uint16_t h = 0; h < batch->headers_count[i]; h++) {
            sl_json_out_key_slice(&out, batch->headers[i][h].name);
            sl_json_out_slice(&out, batch->headers[i][h].value);
        }
        sl_json_out_end_object(&out);
    }
    sl_json_out_key(&out, "payload");
    if (batch->null_payload != NULL && batch->null_payload[i])
        sl_json_out_null(&out);
    else
        sl_json_out_slice(&out, batch->raw[i]);
    sl_json_out_end_object(&out);
    (void)fprintf(job->cli->out, "%s\n", sl_buf_str(&buf));
    sl_buf_fini(&buf);
}

static void cat_batch(struct cat_job *job, const struct sl_batch *batch, const char *topic, uint32_t partition)
{
    bool json = sl_cli_has(job->cli, "json");
    for (uint32_t i = 0; i < batch->count && job->left > 0; i++) {
        if (json) {
            cat_record_json(job, batch, topic, partition, i);
        } else {
            (void)fwrite(batch->raw[i].data, 1, batch->raw[i].bytes, job->cli->out);
            (void)fputc('\n', job->cli->out);
        }
        job->left -= job->left == UINT64_MAX ? 0 : 1;
    }
}

static int cat_partition(struct cat_job *job, struct sl_spool_topic *topic, const char *name, uint32_t partition, uint64_t offset)
{
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    int result = sl_spool_reader_open(topic, partition, NULL, NULL, &reader, &job->err);

    if (result != 0)
        return result;
    if (sl_arena_init(&arena, 4 << 20, 64 << 20) != 0) {
        (void)sl_spool_reader_close(reader);
        return sl_fail(&job->err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory");
    }
    result = sl_spool_seek(reader, offset, &job->err);
    for (result = result == 0 ? 1 : result; result == 1 && job->left > 0 && ferror(job->cli->out) == 0;) {
        struct sl_batch batch = {.arena = &arena};
        sl_arena_reset(&arena);
        result = sl_spool_read(reader, &batch, &job->err);
        if (result == 1)
            cat_batch(job, &batch, name, partition);
    }
    sl_arena_fini(&arena);
    (void)sl_spool_reader_close(reader);
    return result < 0 ? result : 0;
}

struct cat_range { /* what of a topic */
    const char *topic;
    uint64_t partition, offset; /* partition UINT64_MAX: all */
};

static int cat_topic(struct cat_job *job, struct sl_spool *spool, const struct cat_range *range)
{
    struct sl_spool_topic *topic;
    uint32_t count;
    int result = sl_spool_topic(spool, range->topic, 1, &topic, &job->err);

    if (result != 0)
        return result;
    count = sl_spool_partitions(topic);
    if (range->partition != UINT64_MAX && range->partition >= count)
        return sl_fail(&job->err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %s has partitions 0 to %u; --partition %llu is none of them",
                       range->topic, count - 1, (unsigned long long)range->partition);
    for (uint32_t i = 0; i < count && result == 0; i++)
        if (range->partition == UINT64_MAX || range->partition == i)
            result = cat_partition(job, topic, range->topic, i, range->offset);
    return result;
}

static int64_t cat_unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static uint64_t cat_now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

/* Opening a spool repairs its tails, so it is opened through an overlay: the files stay as they are. */
static int cat_open(struct cat_job *job, const char *path, const struct cat_range *range)
{
    struct sl_spool_settings settings = {.segment_bytes = 64 << 20, .hold_bytes = UINT64_MAX, .hold_age_ns = UINT64_MAX,
                                         .fsync = SL_SPOOL_OFF, .append_queue_bytes = 1 << 20, .unix_ms = cat_unix_ms,
                                         .now_ns = cat_now_ns, .no_thread = true};
    struct sl_overlay *overlay;
    struct sl_spool *spool;
    int result = sl_overlay_open(path, &overlay, &job->err);

    if (result != 0)
        return result;
    result = sl_spool_open(sl_overlay_fs(overlay), path, &settings, &spool, &job->err);
    if (result == 0) {
        result = cat_topic(job, spool, range);
        (void)sl_spool_close(spool);
    }
    (void)sl_overlay_close(overlay);
    return result;
}

static bool cat_topic_exists(const char *spool, const char *topic)
{
    struct sl_fs_stat stat;
    char path[PATH_MAX];
    return strchr(topic, '/') == NULL && snprintf(path, sizeof(path), "%s/%s", spool, topic) < (int)sizeof(path) &&
           sl_fs_posix()->stat(sl_fs_posix(), path, &stat) == 0 && stat.is_dir;
}

static int cat_spool(struct cat_job *job, const struct cat_range *range)
{
    const char *data_dir = sl_cli_option(job->cli, "data-dir");
    struct sl_spool_dir dir;
    int result = sl_spool_dir_take(data_dir != NULL ? data_dir : "./sluice-data", false, &dir, &job->err);

    if (result != 0)
        return result;
    if (cat_topic_exists(dir.path, range->topic))
        result = cat_open(job, dir.path, range);
    else
        result = sl_fail(&job->err, SL_E_CONFIG, SL_REMEDY_HALT, ENOENT, "the spool %s has no topic %s", dir.path, range->topic);
    sl_spool_dir_leave(&dir);
    return result;
}

/* ---- the command ---- */

static int cat_number(struct cat_job *job, const char *option, uint64_t *inout_value)
{
    const char *text = sl_cli_option(job->cli, option);
    struct sl_err err;
    if (text == NULL || sl_count_scan(text, inout_value, &err) == 0)
        return 0;
    return sl_cli_say(job->cli, SL_EXIT_USAGE, "--%s: %s", option, err.text);
}

int sl_command_cat(struct sl_cli *cli)
{
    struct cat_job job = {.cli = cli, .left = UINT64_MAX};
    struct cat_range range = {.topic = cli->args_count > 1 ? cli->args[1] : NULL, .partition = UINT64_MAX};
    bool spool = strcmp(cli->args[0], "spool") == 0;
    int result = cat_number(&job, "limit", &job.left);

    if (result == 0)
        result = cat_number(&job, "partition", &range.partition);
    if (result == 0)
        result = cat_number(&job, "offset", &range.offset);
    if (result != 0)
        return result;
    if (spool && cli->args_count != 2)
        return sl_cli_say(cli, SL_EXIT_USAGE, "name one topic: sluice cat spool TOPIC (a folder called spool is ./spool)");
    if (!spool && (sl_cli_has(cli, "partition") || sl_cli_has(cli, "offset") || sl_cli_has(cli, "json")))
        return sl_cli_say(cli, SL_EXIT_USAGE, "--partition, --offset and --json are for spool topics; files are printed as they are");
    if (spool)
        result = cat_spool(&job, &range);
    for (uint32_t i = 0; !spool && i < cli->args_count && result == 0; i++)
        result = cat_path(&job, cli->args[i]);
    return result != 0 ? sl_cli_say_err(cli, SL_EXIT_FAILED, &job.err) : SL_EXIT_OK;
}
