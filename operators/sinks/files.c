/* files.c: the files sink: the landing zone, exactly once (DELIVERY.md C2-C6, B1, F2).
 *
 * States of a flush: open (submit) -seal-> sealed -prepare-> prepared -[commit]-> published (publish) -release_flush-> gone;
 * from open, sealed or prepared also -abandon-> gone. One open and at most one sealed flush at a time.
 * Memory: share_bytes holds two writers (the sink's and, while it prepares, the clerk's), the path tables, and the buffers. With B
 * for two thirds of what is left, the open flush holds at most B while none is sealed, else B less what the clerk still holds, but
 * B / 2 at least: so both together never more than 3/2 B. A share too small for that still gives 256 KiB of B. 10,000 paths in 32 MiB write frames of some 2-3 KiB raw, in 8 MiB of some hundred bytes.
 * Threads: submit, want, seal, abandon, turn on the slot's; prepare, publish, zone, redo on the clerk's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/files.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sinks/lines.h"
#include "operators/sinks/sinks.h"
#include "runtime/base/clock.h"
#include "runtime/engine/ledger.h"

enum { FILES_MAGIC = 0x66696c73, FILES_BUFFERS_MIN = 256 << 10 };

static atomic_uint files_instances;

struct files_sink {
    uint32_t magic;
    const struct sl_api *api;
    const struct files_config *config;
    struct files_place place;
    struct files_router *router;
    struct files_writer writer;
    struct files_flush *open;   /* NULL: nothing taken since the last seal */
    struct files_flush *sealed; /* the engine's; for its held_bytes */
    uint64_t buffers_bytes;     /* B */
    uint64_t seals; /* from a number of this instance's own: two versions of a sink may stand side by side */
    bool cleaned;
};

static struct files_sink *files_self(void *self)
{
    struct files_sink *sink = self;

    assert(sink->magic == FILES_MAGIC);
    return sink;
}

static void files_tally(const struct files_sink *sink, enum files_counter counter, uint64_t by)
{
    if (by > 0 && sink->api->tally != NULL)
        sink->api->tally(sink->api->env, sink, counter, by);
}

/* ---- open, close ---- */

static char *files_dir(const struct sl_api *api, const char *dir)
{
    char *text = NULL;
    int bytes = dir[0] == '/' ? asprintf(&text, "%s", dir) : asprintf(&text, "%s/%s", api->data_dir, dir);

    for (; bytes > 1 && text[bytes - 1] == '/'; bytes--)
        text[bytes - 1] = '\0';
    return bytes < 0 ? NULL : text;
}

static int files_open_place(struct files_sink *sink, struct sl_err *err)
{
    const struct sl_api *api = sink->api;
    struct files_place *place = &sink->place;
    char node[SL_LANDING_NODE_BYTES];

    place->fs = api->fs;
    place->node = api->node;
    place->topology = api->topology;
    place->component = api->component;
    place->epoch = api->epoch;
    place->slot = api->slot;
    place->level = (int)sink->config->level;
    place->packed = sink->config->compression == FILES_ZSTD;
    sl_landing_node(api->node, node);
    place->dir = files_dir(api, sink->config->dir);
    if (place->dir == NULL || asprintf(&place->tmp_dir, "%s/" SL_LANDING_TMP "/%s/%u", place->dir, node, api->epoch) < 0) {
        place->tmp_dir = NULL;
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a files sink");
    }
    if (strlen(place->tmp_dir) + 64 >= PATH_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENAMETOOLONG, "dir: %s is too long a path", place->dir);
    return 0;
}

static void files_sink_close(void *self)
{
    struct files_sink *sink = self;

    if (sink->magic != FILES_MAGIC)
        return;
    if (sink->open != NULL) {
        files_flush_remove(sink->open);
        sink->open = files_flush_free(sink->open);
    }
    sink->router = files_router_free(sink->router);
    files_writer_fini(&sink->writer);
    free(sink->place.dir);
    free(sink->place.tmp_dir);
    memset(sink, 0, sizeof(*sink));
}

static int files_sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                           struct sl_err *err)
{
    struct files_sink *sink = self;
    uint64_t fixed;
    int rc;

    (void)slot;
    memset(sink, 0, sizeof(*sink));
    sink->magic = FILES_MAGIC;
    sink->api = api;
    sink->config = config;
    sink->seals = (uint64_t)atomic_fetch_add(&files_instances, 1) << 32;
    fixed = 2 * files_writer_bytes(sink->config->compression == FILES_ZSTD, (int)sink->config->level);
    sink->buffers_bytes = api->share_bytes > fixed + 2 * FILES_BUFFERS_MIN ? (api->share_bytes - fixed) / 3 * 2 : FILES_BUFFERS_MIN;
    rc = files_open_place(sink, err);
    if (rc == 0)
        rc = files_writer_init(&sink->writer, sink->place.packed, sink->place.level, err);
    if (rc == 0 && (sink->router = files_router_new(sink->config, api, names, err)) == NULL)
        rc = -(int)err->code;
    if (rc < 0)
        files_sink_close(sink);
    return rc;
}

/* Rule C6. */
static int files_sink_zone(void *self, const char *zone_id, struct sl_err *err)
{
    struct files_sink *sink = files_self(self);
    int rc = sl_landing_zone_claim(sink->place.fs, sink->place.dir, zone_id, err);

    if (rc == 0)
        memcpy(sink->place.zone, zone_id, SL_ZONE_ID_BYTES + 1);
    return rc;
}

static int files_sink_zone_known(void *self, char ret_zone[SL_ZONE_ID_BYTES + 1], struct sl_err *err)
{
    const struct files_sink *sink = files_self(self);

    return sl_landing_zone_read(sink->place.fs, sink->place.dir, ret_zone, err);
}

/* ---- taking ---- */

/* What the open flush may hold. */
static uint64_t files_limit(const struct files_sink *sink)
{
    uint64_t sealed = sink->sealed == NULL ? 0 : atomic_load_explicit(&sink->sealed->held_bytes, memory_order_relaxed);
    uint64_t least = sink->buffers_bytes / 2, taken = sealed + files_router_bytes(sink->router);

    return sink->buffers_bytes > taken + least ? sink->buffers_bytes - taken : least;
}

static int files_begin(struct files_sink *sink, struct sl_err *err)
{
    assert(sink->place.zone[0] != '\0'); /* the engine tells the zone before the first submit */
    if (sink->open != NULL)
        return 0;
    sink->open = files_flush_new(&sink->place, sink->seals);
    if (sink->open == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a flush");
    sink->open->began_ns = sink->api->now_ns(sink->api->env);
    return 0;
}

static int files_take(struct files_sink *sink, const struct sl_parcel *parcel, struct sl_err *err)
{
    const struct sl_view *view = parcel->view;
    bool breaks = lines_may_break(view);
    uint64_t limit_bytes = files_limit(sink), others = 0;
    int rc = 0;

    files_router_view(sink->router, view);
    for (uint32_t i = 0; rc == 0 && i < parcel->count; i++) {
        bool other = false;
        struct files_path *path = files_router_path(sink->router, sink->open, parcel->items[i].row, &other);
        if (path == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a path of the landing zone");
        others += other;
        rc = files_flush_append(sink->open, path, &sink->writer, parcel->items[i].body, breaks, limit_bytes, err);
    }
    files_tally(sink, FILES_C_OTHER, others);
    return rc;
}

static void files_drop_open(struct files_sink *sink)
{
    files_router_reset(sink->router);
    if (sink->open == NULL)
        return;
    files_flush_remove(sink->open);
    sink->open = files_flush_free(sink->open);
    sink->seals++; /* a name is not used twice, even where a temporary could not be removed */
}

static int files_sink_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct files_sink *sink = files_self(self);
    int rc = files_begin(sink, err);

    if (rc == 0)
        rc = files_take(sink, parcel, err);
    if (rc == 0)
        rc = files_flush_cover(sink->open, parcel->view->batch->partition, parcel->first, parcel->next, parcel->count, err);
    if (rc < 0)
        files_drop_open(sink); /* rule F2 */
    return rc;
}

/* ---- flushes ---- */

/* Rule C3: bytes, time, memory, or so many paths that a new hour's would go to __other__. */
static int files_sink_want(void *self, uint64_t now_ns)
{
    const struct files_sink *sink = files_self(self);
    const struct files_flush *flush = sink->open;
    uint64_t age_ns;

    if (flush == NULL)
        return 0;
    age_ns = now_ns > flush->began_ns ? now_ns - flush->began_ns : 0;
    if (flush->written_bytes >= sink->config->roll.bytes || age_ns >= sink->config->roll.every)
        return 1;
    return flush->paths_count >= sink->config->max_paths - sink->config->max_paths / 4 &&
           age_ns >= FILES_EVERY_MIN_S * SL_NS_PER_S;
}

static int files_sink_seal(void *self, uint64_t flush_number, struct sl_flush **ret_flush, struct sl_err *err)
{
    struct files_sink *sink = files_self(self);
    struct files_flush *flush = sink->open;

    (void)err;
    assert(sink->sealed == NULL);
    *ret_flush = NULL;
    if (flush == NULL)
        return 0;
    flush->base.kind = &sl_sink_files;
    flush->base.number = flush_number;
    flush->sealed_unix_ms = sink->api->unix_ms(sink->api->env);
    files_router_reset(sink->router);
    sink->sealed = flush;
    sink->open = NULL;
    sink->seals++;
    *ret_flush = &flush->base;
    return 0;
}

static struct files_flush *files_flush_of(struct sl_flush *flush)
{
    return (struct files_flush *)(void *)flush; /* base is the first member */
}

static int files_sink_prepare(struct sl_flush *flush, struct sl_err *err)
{
    return files_flush_prepare(files_flush_of(flush), err);
}

static int files_sink_publish(struct sl_flush *base, struct sl_err *err)
{
    struct files_flush *flush = files_flush_of(base);

    assert(flush->prepared && !flush->gone);
    return files_publish(flush->place, &flush->entry, flush->base.entry, false, &flush->expired, err);
}

/* Flush NULL: what is not sealed. A sealed flush is never touched by it: its commit may be under way. */
static void files_sink_abandon(void *self, struct sl_flush *flush)
{
    struct files_sink *sink = files_self(self);

    if (flush == NULL)
        files_drop_open(sink);
    else
        files_flush_remove(files_flush_of(flush));
}

static void files_sink_release(void *self, struct sl_flush *base)
{
    struct files_sink *sink = files_self(self);
    struct files_flush *flush = files_flush_of(base);

    if (flush->prepared && !flush->gone) {
        uint64_t raw = 0;
        for (uint32_t i = 0; i < flush->paths_count; i++)
            raw += flush->paths[i]->raw_bytes;
        files_tally(sink, FILES_C_FLUSHES, 1);
        files_tally(sink, FILES_C_FILES, flush->paths_count);
        files_tally(sink, FILES_C_BYTES, flush->written_bytes);
        files_tally(sink, FILES_C_RAW_BYTES, raw);
    }
    for (uint32_t i = 0; i < flush->paths_count; i++) /* neither published nor abandoned: the files stay for a redo */
        flush->paths[i]->made = flush->paths[i]->made && flush->gone;
    if (sink->sealed == flush)
        sink->sealed = NULL;
    (void)files_flush_free(flush);
}

/* Written by a version of the sink that had another folder, or by a sink that is no more. Only a folder that holds the entry's own zone is
 * believed in: an entry cannot lead anywhere else. */
static bool files_is_elsewhere(const struct files_sink *sink, const struct sl_landing_entry *entry)
{
    char zone[SL_ZONE_ID_BYTES + 1];
    struct sl_err err;

    return entry->dir != NULL && strcmp(entry->dir, sink->place.dir) != 0 &&
           sl_landing_zone_read(sink->place.fs, entry->dir, zone, &err) == 1 && strcmp(zone, entry->zone) == 0;
}

static int files_redo_elsewhere(const struct files_sink *sink, const struct sl_landing_entry *entry, struct sl_slice data,
                                uint64_t *ret_expired, struct sl_err *err)
{
    struct files_place place = sink->place;
    int rc = 0;

    place.dir = strdup(entry->dir);
    if (place.dir == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to publish a flush");
    if (!sl_landing_manifest_exists(place.fs, place.dir, entry))
        rc = files_publish(&place, entry, data, true, ret_expired, err);
    free(place.dir);
    return rc;
}

static int files_sink_redo(void *self, struct sl_slice data, struct sl_err *err)
{
    struct files_sink *sink = files_self(self);
    struct sl_landing_entry *entry = NULL;
    uint64_t expired = 0;
    int rc = sl_landing_decode(data, &entry, err);

    if (rc < 0)
        return rc;
    if (files_is_elsewhere(sink, entry))
        rc = files_redo_elsewhere(sink, entry, data, &expired, err);
    else if (sink->place.zone[0] != '\0' && strcmp(entry->zone, sink->place.zone) != 0)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a committed flush is of landing zone %s, this sink's is %s", entry->zone,
                     sink->place.zone);
    else if (!sl_landing_manifest_exists(sink->place.fs, sink->place.dir, entry))
        rc = files_publish(&sink->place, entry, data, true, &expired, err);
    (void)sl_landing_entry_free(entry);
    files_tally(sink, FILES_C_EXPIRED, expired);
    return rc;
}

/* Rule C2: on a shared root any member may finish what another had committed: renames are repeatable, whoever makes them. */
static int files_sink_holds(void *self, struct sl_slice data)
{
    const struct files_sink *sink = files_self(self);
    struct sl_landing_entry *entry = NULL;
    struct sl_fs_stat known;
    char path[PATH_MAX];
    int found = 0;

    if (sl_landing_decode(data, &entry, NULL) < 0)
        return 0;
    for (uint32_t i = 0; found == 0 && strcmp(entry->zone, sink->place.zone) == 0 && i < entry->files_count; i++)
        found = snprintf(path, sizeof(path), "%s/%s", sink->place.dir, entry->files[i].temporary) < PATH_MAX &&
                sink->place.fs->stat(sink->place.fs, path, &known) == 0;
    (void)sl_landing_entry_free(entry);
    return found;
}

/* The engine has called redo() of slot 0's instance for every committed entry of this node before that slot's first turn, which
 * removes the temporaries that none of them named. */
static int files_sink_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct files_sink *sink = files_self(self);
    uint64_t due_ns;

    (void)err;
    if (!sink->cleaned && sink->place.slot == 0)
        files_clean(&sink->place);
    sink->cleaned = true;
    if (sink->open == NULL)
        return 0;
    due_ns = sink->open->began_ns + sink->config->roll.every;
    due_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if (due_ns < *ret_wake_ns)
        *ret_wake_ns = due_ns;
    return 0;
}

/* What is open waits for a seal; nothing is in flight by itself. */
static int files_sink_drain(void *self)
{
    return files_self(self)->open == NULL && files_self(self)->sealed == NULL;
}

/* ---- tables ---- */

static const char *const files_compressions[] = {"zstd", "none", NULL};

static const struct sl_field files_roll_fields[] = {
    SL_FIELD(files_roll, bytes, SL_F_BYTES, .def = "128MiB", .min = "64KiB", .max = "64GiB",
             .help = "A flush ends when its files have this size on disk together."),
    SL_FIELD(files_roll, every, SL_F_DURATION, .def = "5m", .min = "100ms", .max = "24h",
             .help = "A flush ends when it is this old; a record is visible after this time at the latest."),
    {0},
};

static const struct sl_field files_fields[] = {
    SL_FIELD(files_config, dir, SL_F_OUTPUT_PATH, .flags = SL_F_REQUIRED,
             .help = "Folder of the landing zone, of this sink alone; relative to data_dir unless absolute."),
    SL_FIELD(files_config, path, SL_F_TEMPLATE, .def = "",
             .help = "Path below dir, a template such as service={service}/dt={day}/hour={hour}; empty: all in dir."),
    SL_FIELD(files_config, compression, SL_F_ENUM, .def = "zstd", .values = files_compressions,
             .help = "zstd (independent frames; zstdcat reads them) or none."),
    SL_FIELD(files_config, level, SL_F_U64, .def = "1", .min = "1", .max = "19", .help = "Level of zstd."),
    SL_FIELD(files_config, roll, SL_F_STRUCT, .sub = files_roll_fields, .help = "When a flush ends and its files appear."),
    SL_FIELD(files_config, max_paths, SL_F_U64, .def = "10000", .min = "1", .max = "1000000",
             .help = "Paths of one flush; records of further ones go to __other__ and are counted."),
    {0},
};

static const struct sl_counter files_counters[] = {
    [FILES_C_FILES] = {"files_total", "files", "Files published."},
    [FILES_C_BYTES] = {"bytes_total", "bytes", "Bytes published, as on disk."},
    [FILES_C_RAW_BYTES] = {"raw_bytes_total", "bytes", "Bytes published, before compression."},
    [FILES_C_FLUSHES] = {"flushes_total", "flushes", "Flushes published."},
    [FILES_C_OTHER] = {"other_path_records_total", "records", "Records that went to __other__ because of max_paths or a name too long."},
    [FILES_C_EXPIRED] = {"expired_files_total", "files", "Committed files found removed at a start."},
    [FILES_C_EXPIRED + 1] = {0},
};

const struct sl_sink_kind sl_sink_files = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_sink_kind),
             .name = "files",
             .summary = "Files of newline-ended records, exactly once: the landing zone.",
             .example = "{ type: files, inputs: [parsed], dir: landing, path: \"service={service}/dt={day}/hour={hour}\", "
                        "compression: zstd, roll: { bytes: 128MiB, every: 5m } }",
             .fields = files_fields,
             .config_bytes = sizeof(struct files_config),
             .self_bytes = sizeof(struct files_sink),
             .counters = files_counters},
    .flags = SL_SINK_FLUSHED | SL_SINK_LINES,
    .open = files_sink_open,
    .zone = files_sink_zone,
    .zone_known = files_sink_zone_known,
    .submit = files_sink_submit,
    .turn = files_sink_turn,
    .want = files_sink_want,
    .seal = files_sink_seal,
    .prepare = files_sink_prepare,
    .publish = files_sink_publish,
    .abandon = files_sink_abandon,
    .release_flush = files_sink_release,
    .redo = files_sink_redo,
    .holds = files_sink_holds,
    .drain = files_sink_drain,
    .close = files_sink_close,
};
