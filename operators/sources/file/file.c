/* file.c: the `file` source: lines of files by glob, followed through rename and copytruncate, or read once.
 *
 * One set of files a source (file_set.c), claimed by the slots one at a time whenever a slot has none with data: equal files balance.
 * A slot stays with a file for SOURCE_STICK batches, then gives the next one its turn. Offsets are the bytes where lines begin.
 * Identity and its limits: rule A4; copytruncate can lose what was written between the copy and the truncation.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "operators/sources/file/file_reader.h"
#include "operators/sources/sources.h"
#include "runtime/base/taken.h"

enum { SOURCE_BLOCK_BYTES = 256 << 10, SOURCE_STICK = 16, SOURCE_CLAIMS = 16, SOURCE_MEAN_LINE = 256 };
#define SOURCE_LINE_FACTOR 16u /* of a line longer than this many max_records only the first part is kept */
#define SOURCE_WAIT_NS 100000000ull

enum source_read { SOURCE_FOLLOW, SOURCE_ONCE };

struct source_config {
    struct sl_strings paths, exclude;
    int read; /* enum source_read */
    struct sl_multiline_config multiline;
};

struct source;

/* A scan on the clerk. source NULL: it has closed meanwhile. */
struct source_scan {
    struct sl_job job;
    struct sl_file_set *set;
    struct source *source;
    bool busy;
    int rc;
    struct sl_err err;
    char said[sizeof(((struct sl_err *)NULL)->text)]; /* the last error logged */
};

struct source {
    uint32_t magic;
    struct sl_file_reader reader;
    struct sl_file **files;
    uint32_t count, capacity, turn, stuck;
    bool paused;
    struct source_scan *scan;
};

#define SOURCE_MAGIC 0x54535331u

static const char *const source_reads[] = {"follow", "once", NULL};

static const struct sl_field source_fields[] = {
    SL_FIELD(source_config, paths, SL_F_STRINGS, .flags = SL_F_REQUIRED | SL_F_BELOW_BASE,
             .help = "Files to read: paths or patterns with *, ?, [a-z] and ** (any folders), relative to the topology's file."),
    SL_FIELD(source_config, exclude, SL_F_STRINGS,
             .help = "Patterns of files to leave out; one without a slash is compared with the name alone."),
    SL_FIELD(source_config, read, SL_F_ENUM, .def = "follow", .values = source_reads,
             .help = "follow: wait for more lines and more files; once: read what is there to its end, the last line even without "
                     "a newline."),
    SL_FIELD(source_config, multiline, SL_F_STRUCT, .sub = sl_multiline_fields,
             .help = "Joins lines to records: stack traces, or by a pattern. Their line ends stay in the record; sinks of lines write them as \\n with "
                     "codec json, as blanks with codec raw."),
    {0},
};

static const struct sl_counter source_counters[] = {
    [SL_FILE_RESTARTS] = {"file_restarts_total", "files", "Files that were truncated or replaced under their name and begun again."},
    [SL_FILE_LOST_BYTES] = {"file_lost_bytes_total", "bytes", "Bytes known to have stood in such files behind what was read."},
    [SL_FILE_CUT_LINES] = {"file_cut_lines_total", "lines", "Lines above 16 times max_record, of which only the first part was kept."},
    {0},
};

static int source_check(const void *config, struct sl_err *err)
{
    const struct source_config *c = config;

    if (c->paths.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "paths: empty; write at least one path, such as [/var/log/app/*.log]");
    for (uint32_t i = 0; i < c->paths.count; i++) {
        const char *path = c->paths.items[i];
        if (path[0] == '\0' || path[strlen(path) - 1] == '/')
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "paths: \"%s\" names no file; end it with a file name or a pattern such as *.log", path);
    }
    return sl_multiline_check(&c->multiline, err);
}

static int source_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    const struct source_config *c = config;
    struct sl_file_set_settings settings = {.paths = c->paths, .exclude = c->exclude, .once = c->read == SOURCE_ONCE};
    struct sl_file_set *set;

    if (sl_file_set_open(api, &settings, &set, err) != 0)
        return -(int)err->code;
    *ret_shared = set;
    return 0;
}

static int source_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                             struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    const struct source_config *c = config;
    struct sl_file_set_settings settings = {.paths = c->paths, .exclude = c->exclude};

    (void)topology;
    (void)log;
    if (sl_file_set_count(api->fs, api->base_dir, &settings, ret_count) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to look for files");
    return 0;
}

static void source_unshare(void *shared)
{
    (void)sl_file_set_close(shared);
}

/* ---- scans ---- */

static void scan_run(struct sl_job *job)
{
    struct source_scan *scan = (struct source_scan *)(void *)job;

    scan->rc = sl_file_set_scan(scan->set, &scan->err);
}

static void scan_drop(struct sl_job *job)
{
    struct source_scan *scan = (struct source_scan *)(void *)job;

    scan->busy = false;
    if (scan->source == NULL)
        free(scan);
}

static void scan_done(struct sl_job *job)
{
    struct source_scan *scan = (struct source_scan *)(void *)job;
    const struct sl_api *api;

    scan->busy = false;
    if (scan->source == NULL) {
        free(scan);
        return;
    }
    api = scan->source->reader.api;
    if (scan->rc == 0)
        scan->said[0] = '\0';
    else if (strcmp(scan->said, scan->err.text) != 0) {
        memcpy(scan->said, scan->err.text, sizeof(scan->said));
        api->log(api->env, &scan->err, api->component);
    }
    api->wake(api->env);
}

static void source_scan(struct source *source)
{
    const struct sl_api *api = source->reader.api;

    if (source->scan->busy || !sl_file_set_due(source->reader.set, api->now_ns(api->env)))
        return;
    source->scan->busy = true;
    api->submit(api->env, &source->scan->job);
}

/* ---- open and close ---- */

static int source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct source *source = self;
    const struct source_config *c = config;
    uint64_t longest = api->max_record_bytes * SOURCE_LINE_FACTOR;

    if (longest > 1u << 30)
        longest = 1u << 30;
    if (longest < SOURCE_BLOCK_BYTES)
        longest = SOURCE_BLOCK_BYTES;
    source->magic = SOURCE_MAGIC;
    source->reader.api = api;
    source->reader.slot = slot;
    source->reader.set = api->shared;
    source->reader.source = self;
    source->reader.skip = malloc(SL_FILE_SKIP_BYTES);
    source->scan = calloc(1, sizeof(*source->scan));
    if (source->reader.skip == NULL || source->scan == NULL ||
        sl_file_block_init(&source->reader.block, SOURCE_BLOCK_BYTES, longest) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    source->reader.timeout_ns = c->multiline.timeout;
    if (sl_multiline_on(&c->multiline) && sl_multiline_new(&c->multiline, &source->reader.multiline, err) != 0)
        return sl_while(err, "source %s", api->component);
    source->scan->job = (struct sl_job){.run = scan_run, .done = scan_done, .drop = scan_drop};
    source->scan->set = source->reader.set;
    source->scan->source = source;
    return 0;
}

static void source_close(void *self)
{
    struct source *source = self;

    for (uint32_t i = 0; i < source->count; i++)
        (void)sl_file_close(source->files[i]);
    free(source->files);
    free(source->reader.skip);
    sl_file_block_fini(&source->reader.block);
    source->reader.multiline = sl_multiline_free(source->reader.multiline);
    if (source->scan != NULL && source->scan->busy)
        source->scan->source = NULL; /* scan_done frees it */
    else
        free(source->scan);
    memset(source, 0, sizeof(*source));
}

/* ---- reading ---- */

static void source_remove(struct source *source, uint32_t index)
{
    (void)sl_file_close(source->files[index]);
    source->files[index] = source->files[--source->count];
    source->stuck = 0;
}

/* The next of our files that has something. */
static int source_ask(struct source *source, struct sl_batch *batch, struct sl_err *err)
{
    for (uint32_t asked = 0, count = source->count; asked < count && source->count > 0; asked++) {
        struct sl_file *file;
        int rc;

        if (source->turn >= source->count)
            source->turn = 0;
        file = source->files[source->turn];
        rc = sl_file_read(file, batch, err);
        if (file->phase == SL_FILE_CLOSED) {
            source_remove(source, source->turn);
            continue;
        }
        if (rc != 1 || ++source->stuck >= SOURCE_STICK) {
            source->turn++;
            source->stuck = 0;
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int source_room(struct source *source)
{
    uint32_t capacity = source->capacity == 0 ? 16 : source->capacity * 2;
    struct sl_file **files;

    if (source->count < source->capacity)
        return 0;
    files = realloc(source->files, capacity * sizeof(struct sl_file *));
    if (files == NULL)
        return -1;
    source->files = files;
    source->capacity = capacity;
    return 0;
}

/* 1: took one; 0: there is none. A file that cannot be opened is said and left for the next scan; with read: once it ends the run. */
static int source_claim(struct source *source, struct sl_err *err)
{
    const struct sl_api *api = source->reader.api;
    struct sl_file_entry *entry;

    if (source_room(source) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory for another file", api->component);
    entry = sl_file_set_claim(source->reader.set);
    if (entry == NULL)
        return 0;
    if (sl_file_open(&source->reader, entry, &source->files[source->count], err) == 0) {
        source->turn = source->count++;
        source->stuck = 0;
        return 1;
    }
    if (source->reader.set->once && err->sys != 0)
        err->remedy = SL_REMEDY_HALT;
    if (err->remedy != SL_REMEDY_RETRY)
        return sl_while(err, "source %s", api->component);
    api->log(api->env, err, api->component);
    return 1;
}

static int source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct source *source = self;
    int rc = 0;

    assert(source->magic == SOURCE_MAGIC);
    if (source->paused)
        return 0;
    source_scan(source);
    rc = source_ask(source, batch, err);
    for (int claims = 0; rc == 0 && claims < SOURCE_CLAIMS; claims++) {
        rc = source_claim(source, err);
        if (rc <= 0)
            break;
        rc = source->count == 0 ? 0 : source_ask(source, batch, err);
        if (rc == 0 && claims + 1 == SOURCE_CLAIMS)
            source->reader.api->wake(source->reader.api->env); /* there may be more to claim */
    }
    if (rc == 1)
        sl_taken_note();
    return rc >= 0 ? rc : sl_while(err, "source %s", source->reader.api->component);
}

static void source_release(void *self)
{
    (void)self; /* the window stays until the next poll */
}

static int source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    (void)self;
    return partition->user == NULL ? 0 : sl_file_seek(partition->user, next, err);
}

static void source_committed(void *self, struct sl_partition *partition, uint64_t next)
{
    struct sl_file *file = partition->user;

    (void)self;
    if (file != NULL)
        file->committed = next;
}

static int source_fingerprint(void *self, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash)
{
    (void)self;
    return partition->user == NULL ? -1 : sl_file_fingerprint(partition->user, offset, ret_hash);
}

/* Bytes are known, records are not: they are estimated by the mean line so far. Slot 0 counts what nobody has claimed. */
static void source_lag(void *self, int64_t *ret_records, int64_t *ret_ms)
{
    struct source *source = self;
    uint64_t behind = 0, records = 0, bytes = 0;
    uint32_t unclaimed;

    for (uint32_t i = 0; i < source->count; i++) {
        const struct sl_file *file = source->files[i];
        if (file->partition != NULL && file->size > file->partition->next)
            behind += file->size - file->partition->next;
        records += file->records;
        bytes += file->bytes;
    }
    if (source->reader.api->slot == 0)
        behind += sl_file_set_unclaimed(source->reader.set, &unclaimed);
    *ret_records = (int64_t)(records > 0 ? behind / (bytes / records) : behind / SOURCE_MEAN_LINE);
    *ret_ms = behind == 0 ? 0 : -1;
}

static int source_at_end(void *self)
{
    struct source *source = self;
    uint32_t unclaimed;

    atomic_store(&source->reader.set->ending, true);
    for (uint32_t i = 0; i < source->count; i++)
        if (!source->files[i]->reached && (source->files[i]->partition == NULL || source->files[i]->partition->held == NULL))
            return 0;
    (void)sl_file_set_unclaimed(source->reader.set, &unclaimed);
    return unclaimed == 0;
}

static void source_pause(void *self, bool paused)
{
    ((struct source *)self)->paused = paused;
}

static uint64_t source_wait_ns(void *self)
{
    (void)self;
    return SOURCE_WAIT_NS;
}

static uint32_t source_flags(const void *config)
{
    return sl_multiline_on(&((const struct source_config *)config)->multiline) ? SL_SOURCE_JOINS : 0;
}

const struct sl_source_kind sl_source_file = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "file",
             .summary = "Reads lines of files, followed through rename and copytruncate, or once.",
             .example = "{ type: file, paths: [\"/var/log/app/*.log\"], read: follow }",
             .fields = source_fields,
             .config_bytes = sizeof(struct source_config),
             .self_bytes = sizeof(struct source),
             .counters = source_counters,
             .check = source_check,
             .share = source_share,
             .unshare = source_unshare},
    .flags = SL_SOURCE_ENDS,
    .open = source_open,
    .partitions = source_partitions,
    .poll = source_poll,
    .release = source_release,
    .seek = source_seek,
    .committed = source_committed,
    .fingerprint = source_fingerprint,
    .lag = source_lag,
    .at_end = source_at_end,
    .pause = source_pause,
    .close = source_close,
    .wait_ns = source_wait_ns,
    .config_flags = source_flags,
};
