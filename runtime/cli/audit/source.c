/* source.c: reads a partition of a source again, from any offset on: a topic of the closed spool (through the overlay, so that
 * it stays as it is), a file, or Kafka (kafka.c).
 *
 * Which it is shows in the source's kind and in the partition's id: 32 hex digits name a file, a number a spool partition.
 * A file is found by the binding that the file source keeps (its path, and a hash of its head, rule A4): a rotated file is followed
 * to its new name, another file under the old name is told apart.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/clock.h"
#include "runtime/cli/audit/audit.h"

enum { SOURCE_IDS_MAX = 512 << 20, SOURCE_HEAD_MAX = 1024, SOURCE_LINE_FACTOR = 16, SOURCE_FIRST_BYTES = 4 << 20 };

struct audit_reader {
    struct audit *audit;
    struct sl_spool_reader *spool;
    uint64_t position; /* of the spool reader */
    bool kafka;        /* audit->kafka reads it */
    int fd;            /* of a file, else -1 */
    uint64_t size;
    int64_t mtime_unix_ms;
};

static int64_t source_unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static uint64_t source_now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

/* ---- spool ---- */

static int spool_open(struct audit *audit, struct sl_err *err)
{
    struct sl_spool_settings settings = {.segment_bytes = 64 << 20,
                                         .hold_bytes = UINT64_MAX,
                                         .hold_age_ns = UINT64_MAX,
                                         .fsync = SL_SPOOL_OFF,
                                         .append_queue_bytes = 1 << 20,
                                         .unix_ms = source_unix_ms,
                                         .now_ns = source_now_ns,
                                         .no_thread = true};
    char path[PATH_MAX];

    if (audit->spool != NULL)
        return 0;
    if (snprintf(path, sizeof(path), "%s/spool", audit->data_dir) >= (int)sizeof(path))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "the path is too long: %s", audit->data_dir);
    return sl_spool_open(audit->fs, path, &settings, &audit->spool, err);
}

static bool spool_has(const struct audit *audit, const char *topic)
{
    struct sl_fs_stat stat;
    char path[PATH_MAX];

    return strchr(topic, '/') == NULL && snprintf(path, sizeof(path), "%s/spool/%s", audit->data_dir, topic) < (int)sizeof(path) &&
           audit->fs->stat(audit->fs, path, &stat) == 0 && stat.is_dir;
}

static int spool_partition_open(struct audit_reader *reader, struct audit_partition *partition, struct sl_err *err)
{
    struct audit *audit = reader->audit;
    unsigned long number = strtoul(partition->id, NULL, 10);
    struct sl_spool_topic *topic;
    uint64_t end;

    if (!spool_has(audit, partition->topic)) {
        (void)snprintf(partition->gone, sizeof(partition->gone), "the spool has no topic %.200s any more", partition->topic);
        return 0;
    }
    if (spool_open(audit, err) != 0 || sl_spool_topic(audit->spool, partition->topic, 1, &topic, err) != 0)
        return -(int)err->code;
    if (number >= sl_spool_partitions(topic)) {
        (void)snprintf(partition->gone, sizeof(partition->gone), "the spool's topic has no partition %lu any more", number);
        return 0;
    }
    sl_spool_bounds(topic, (uint32_t)number, &partition->low, &end);
    reader->position = UINT64_MAX;
    return sl_spool_reader_open(topic, (uint32_t)number, NULL, NULL, &reader->spool, err);
}

static void batch_empty(struct sl_batch *batch, uint64_t from, uint64_t upto)
{
    batch->first = from;
    batch->next = upto;
    batch->count = 0;
}

static int spool_read(struct audit_reader *reader, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err)
{
    int got;

    if (reader->position != from && sl_spool_seek(reader->spool, from, err) != 0)
        return -(int)err->code;
    got = sl_spool_read(reader->spool, batch, err);
    if (got < 0)
        return got;
    if (got == 0) {
        batch_empty(batch, from, upto);
        reader->position = UINT64_MAX;
        return 1;
    }
    reader->position = batch->next;
    batch->large = batch->count == 1 && batch->raw[0].bytes > reader->audit->process->max_record_bytes;
    while (batch->count > 0 && batch->offset[batch->count - 1] >= upto)
        batch->count--;
    batch->first = from;
    if (batch->next > upto || batch->count == 0)
        batch->next = upto;
    return 1;
}

/* ---- files ---- */

struct file_binding {
    char path[PATH_MAX];
    uint64_t device, inode, head_hash;
    uint32_t head_bytes;
    bool known;
};

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void path_decode(const char *text, size_t bytes, char path[PATH_MAX])
{
    size_t at = 0;

    for (size_t i = 0; i < bytes && at + 1 < PATH_MAX; i++) {
        if (text[i] == '%' && bytes - i >= 3 && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
            path[at++] = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
            i += 2;
        } else {
            path[at++] = text[i];
        }
    }
    path[at] = '\0';
}

/* The line of this id in the file source's own book: "ID DEVICE INODE HEAD-BYTES HEAD-HASH PATH". */
static void file_look_up(const struct audit *audit, const struct audit_partition *partition, struct file_binding *binding)
{
    char book[PATH_MAX], *text = NULL, *line;
    unsigned long long device, inode, hash;
    size_t bytes = 0;
    int path_at = -1;

    (void)snprintf(binding->path, sizeof(binding->path), "%s", partition->topic);
    if (snprintf(book, sizeof(book), "%s/topologies/%s/files-%s", audit->data_dir, audit->topology->name, partition->source) >=
            (int)sizeof(book) ||
        sl_fs_read_file(audit->fs, book, SOURCE_IDS_MAX, &text, &bytes) < 0)
        return;
    line = strstr(text, partition->id);
    if (line != NULL &&
        sscanf(line + strlen(partition->id), " %llu %llu %u %llx %n", &device, &inode, &binding->head_bytes, &hash, &path_at) ==
            4 &&
        path_at > 0 && binding->head_bytes <= SOURCE_HEAD_MAX) {
        line += strlen(partition->id) + (size_t)path_at;
        binding->device = device;
        binding->inode = inode;
        binding->head_hash = hash;
        binding->known = true;
        path_decode(line, strcspn(line, "\n"), binding->path);
    }
    free(text);
}

static bool file_head_fits(int fd, const struct file_binding *binding)
{
    char head[SOURCE_HEAD_MAX];

    return !binding->known || (pread(fd, head, binding->head_bytes, 0) == (ssize_t)binding->head_bytes &&
                               XXH3_64bits(head, binding->head_bytes) == binding->head_hash);
}

/* A renamed file (logrotate) mostly stays in its folder: the one with the inode that the id is bound to. */
static int file_find_renamed(void *user, const char *name)
{
    struct file_binding *binding = user;
    const char *slash = strrchr(binding->path, '/');
    struct sl_fs_stat stat;
    char path[PATH_MAX];

    if (slash == NULL ||
        snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - binding->path), binding->path, name) >= (int)sizeof(path) ||
        sl_fs_posix()->stat(sl_fs_posix(), path, &stat) != 0 || stat.inode != binding->inode || stat.device != binding->device)
        return 0;
    memcpy(binding->path, path, sizeof(path));
    return 1;
}

static int file_open_fitting(struct file_binding *binding)
{
    int fd = open(binding->path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && !file_head_fits(fd, binding)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static int file_open(struct audit_reader *reader, struct audit_partition *partition)
{
    struct file_binding *binding = audit_alloc(sizeof(*binding));
    struct sl_fs *fs = sl_fs_posix();
    struct sl_fs_stat stat;
    const char *slash;

    file_look_up(reader->audit, partition, binding);
    reader->fd = file_open_fitting(binding);
    if (reader->fd < 0 && binding->known && (slash = strrchr(binding->path, '/')) != NULL) {
        char *dir = strndup(binding->path, (size_t)(slash - binding->path) + (slash == binding->path));
        if (dir != NULL && fs->list(fs, dir, file_find_renamed, binding) == 1)
            reader->fd = file_open_fitting(binding);
        free(dir);
    }
    if (reader->fd < 0)
        (void)snprintf(partition->gone, sizeof(partition->gone), "the file that was %.170s is no longer there", partition->topic);
    else if (fs->fstat(fs, reader->fd, &stat) == 0) {
        reader->size = stat.bytes;
        reader->mtime_unix_ms = stat.mtime_unix_ms;
    }
    free(binding);
    return 0;
}

static bool batch_arrays(struct sl_batch *batch)
{
    batch->raw = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->append_unix_ms));
    return batch->raw != NULL && batch->offset != NULL && batch->append_unix_ms != NULL;
}

/* Lines of data, which begins at batch->first; as the file source cuts them: one above max_record has a batch of its own. */
static void file_lines(const struct audit_reader *reader, struct sl_slice data, struct sl_batch *batch)
{
    const char *begin = data.data, *end = data.data + data.bytes, *line = begin;
    uint64_t max = reader->audit->process->max_record_bytes;

    while (batch->count < SL_BATCH_RECORDS && line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        uint64_t bytes = (uint64_t)((newline == NULL ? end : newline) - line);
        if (bytes > max && batch->count > 0)
            break;
        batch->raw[batch->count] = (struct sl_slice){line, (uint32_t)bytes};
        batch->offset[batch->count] = batch->first + (uint64_t)(line - begin);
        batch->append_unix_ms[batch->count++] = reader->mtime_unix_ms;
        line = newline == NULL ? end : newline + 1;
        batch->large = bytes > max;
        if (bytes > max)
            break;
    }
    batch->next = batch->first + (uint64_t)(line - begin);
}

/* Whole lines only, unless the range itself ends without a newline. */
static int file_read(struct audit_reader *reader, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err)
{
    uint64_t end = upto < reader->size ? upto : reader->size, want = SL_BATCH_BYTES, keep;
    const char *last = NULL;
    char *data;
    ssize_t got;

    batch_empty(batch, from, upto);
    if (from >= end)
        return 1;
    for (;; want *= 4) { /* until a line ends in it */
        want = want > end - from ? end - from : want;
        data = sl_arena_alloc(batch->arena, want + SL_PAD);
        if (data == NULL || !batch_arrays(batch))
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                           "a line of %llu bytes or more needs more memory than a batch may have", (unsigned long long)want);
        got = pread(reader->fd, data, want, (off_t)from);
        if (got < (ssize_t)want)
            return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, got < 0 ? errno : 0, "reading the source file again: %s",
                           got < 0 ? strerror(errno) : "it became shorter meanwhile");
        last = memrchr(data, '\n', want);
        if (last != NULL || want == end - from)
            break;
    }
    memset(data + want, 0, SL_PAD);
    batch->next = from;
    batch->may_break = true;
    file_lines(reader, (struct sl_slice){data, (uint32_t)(want == end - from ? want : (uint64_t)(last + 1 - data))}, batch);
    keep = reader->audit->process->max_record_bytes * SOURCE_LINE_FACTOR; /* of a too long line, only its first part was kept */
    keep = keep > 1u << 30 ? 1u << 30 : keep < SOURCE_FIRST_BYTES ? SOURCE_FIRST_BYTES : keep;
    if (batch->large && batch->raw[0].bytes > keep)
        batch->raw[0].bytes = (uint32_t)keep;
    return 1;
}

/* ---- any ---- */

static bool partition_is_file(const struct audit_partition *partition)
{
    return strlen(partition->id) == 32 && strspn(partition->id, "0123456789abcdef") == 32;
}

static int reader_choose(struct audit_reader *reader, struct audit_partition *partition, struct sl_err *err)
{
    struct audit *audit = reader->audit;

    if (partition->component == UINT32_MAX) {
        (void)snprintf(partition->gone, sizeof(partition->gone), "the topology has no source %.200s any more", partition->source);
        return 0;
    }
    if (audit_joins(&audit->topology->components[partition->component])) {
        (void)snprintf(partition->gone, sizeof(partition->gone), "source %.100s joins lines (multiline); where its records ended cannot be told from the file",
                       partition->source);
        return 0;
    }
    reader->kafka = audit_is_kafka(&audit->topology->components[partition->component]);
    if (reader->kafka)
        return audit_kafka_begin(audit, partition, err);
    if (partition_is_file(partition))
        return file_open(reader, partition);
    return spool_partition_open(reader, partition, err);
}

int audit_reader_open(struct audit *audit, struct audit_partition *partition, struct audit_reader **ret_reader, struct sl_err *err)
{
    struct audit_reader *reader = audit_alloc(sizeof(*reader));

    reader->audit = audit;
    reader->fd = -1;
    *ret_reader = NULL;
    partition->gone[0] = '\0';
    if (reader_choose(reader, partition, err) != 0) {
        (void)audit_reader_close(reader);
        return sl_while(err, "%s", audit_partition_name(partition));
    }
    if (partition->gone[0] != '\0')
        reader = audit_reader_close(reader);
    *ret_reader = reader;
    return 0;
}

int audit_reader_read(struct audit_reader *reader, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err)
{
    if (reader->kafka)
        return audit_kafka_read(reader->audit->kafka, from, upto, batch, err);
    if (reader->spool != NULL)
        return spool_read(reader, from, upto, batch, err);
    return file_read(reader, from, upto, batch, err);
}

struct audit_reader *audit_reader_close(struct audit_reader *reader)
{
    if (reader == NULL)
        return NULL;
    if (reader->kafka && reader->audit->kafka != NULL)
        audit_kafka_end(reader->audit->kafka);
    if (reader->spool != NULL)
        (void)sl_spool_reader_close(reader->spool);
    if (reader->fd >= 0)
        (void)close(reader->fd);
    free(reader);
    return NULL;
}

void audit_source_fini(struct audit *audit)
{
    if (audit->spool != NULL)
        audit->spool = sl_spool_close(audit->spool);
    audit->kafka = audit_kafka_close(audit->kafka);
}
