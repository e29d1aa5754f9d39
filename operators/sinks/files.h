/* files.h: what the parts of the files sink share: an open path, a flush, a writer. files.c is the sink, files_flush.c the bytes,
 * files_publish.c what happens after the commit, files_path.c which path a record belongs to.
 *
 * Ownership: the sink owns the open flush; seal() gives it to the engine, release_flush() ends it. A sealed flush belongs to the
 * clerk between prepare and its end; the sink's thread only reads its `held_bytes`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_FILES_H
#define SL_OPERATORS_SINKS_FILES_H

#include <stdatomic.h>

#include <zstd.h>

#include "runtime/config/template.h"
#include "runtime/engine/op.h"
#include "runtime/engine/slot.h"
#include "runtime/store/landing.h"

enum {
    FILES_BUFFER_MIN = 1 << 10,
    FILES_BUFFER_MAX = 512 << 10, /* raw bytes of one zstd frame: 64 KiB cost a quarter more time and a tenth more bytes */
    FILES_DESCRIPTORS = 256,     /* open at once, by one instance */
    FILES_WINDOW_LOG = 19,       /* of zstd: more than a buffer never helps */
    FILES_EVERY_MIN_S = 10,      /* youngest flush that a path limit may end */
};

enum files_compression { FILES_ZSTD, FILES_NONE };

struct files_config {
    const char *dir;
    const struct sl_template *path;
    int compression;
    uint64_t level;
    struct files_roll {
        uint64_t bytes, every;
    } roll;
    uint64_t max_paths;
};

enum files_counter { FILES_C_FILES, FILES_C_BYTES, FILES_C_RAW_BYTES, FILES_C_FLUSHES, FILES_C_OTHER, FILES_C_EXPIRED };

/* One file of a flush. States: no file yet (made false) -> made, fd >= 0 <-> closed for want of descriptors (fd -1). */
struct files_path {
    char *name; /* rendered, NUL-terminated; "" is DIR itself */
    uint64_t hash;
    char *buffer; /* raw bytes not yet written; NULL while cap is 0 */
    uint32_t used, cap;
    uint32_t index; /* in the flush, and in the temporary's name */
    int fd;
    uint32_t fd_slot;
    uint32_t crc32c;
    bool made, recent; /* recent: written to since the hand passed */
    uint64_t file_bytes, records, raw_bytes;
};

struct files_range {
    char *source, *topic, *id;
    uint32_t incarnation;
    uint64_t assignment, first, next, delivered;
};

/* Compresses and writes; one a thread. */
struct files_writer {
    ZSTD_CCtx *cctx; /* NULL: no compression */
    char *out;
    size_t out_bytes;
};

/* Fixed for the sink's life; read by both threads. */
struct files_place {
    struct sl_fs *fs;
    char *dir, *tmp_dir;      /* DIR, and DIR/.sluice/tmp/NODE/EPOCH */
    const char *node, *topology, *component;
    uint32_t epoch, slot;
    int level;
    bool packed;              /* zstd */
    char zone[SL_ZONE_ID_BYTES + 1];
};

struct files_flush {
    struct sl_flush base; /* first: the engine's part */
    const struct files_place *place;
    struct files_path **paths;
    uint32_t paths_count, paths_cap;
    struct files_range *ranges;
    uint32_t ranges_count, ranges_cap;
    uint32_t *range_of; /* by sl_partition.index: row plus one */
    uint32_t range_of_count;
    struct files_path *fds[FILES_DESCRIPTORS];
    uint32_t hand, fd_hand;
    uint64_t seal; /* number in the temporaries' names */
    uint64_t began_ns;
    int64_t sealed_unix_ms;
    uint64_t written_bytes;
    atomic_uint_least64_t held_bytes; /* buffers, paths and their names */
    struct sl_landing_entry entry; /* set by prepare; strings belong to the flush */
    uint64_t expired;
    char *entry_data;
    bool prepared, gone; /* gone: its temporaries are removed, or renamed */
};

/* files_flush.c */
int files_writer_init(struct files_writer *writer, bool packed, int level, struct sl_err *err);
void files_writer_fini(struct files_writer *writer);
/* Upper bound of a writer's memory. */
size_t files_writer_bytes(bool packed, int level);
struct files_flush *files_flush_new(const struct files_place *place, uint64_t seal);
struct files_flush *files_flush_free(struct files_flush *flush);
/* name is copied. NULL: no memory. */
struct files_path *files_flush_path(struct files_flush *flush, struct sl_slice name, uint64_t hash);
/* Appends body and a newline; breaks: CR and LF in body become blanks. limit_bytes bounds held_bytes. */
int files_flush_append(struct files_flush *flush, struct files_path *path, struct files_writer *writer, struct sl_slice body,
                       bool breaks, uint64_t limit_bytes, struct sl_err *err);
/* [first, next) of the partition is part of the flush. */
int files_flush_cover(struct files_flush *flush, const struct sl_partition *partition, uint64_t first, uint64_t next,
                      uint32_t delivered, struct sl_err *err);
/* Clerk: writes what is left, syncs, closes, and makes the entry (rule C2). */
int files_flush_prepare(struct files_flush *flush, struct sl_err *err);
/* Closes and removes all temporaries; repeatable. Nothing of a committed flush may be given here. */
void files_flush_remove(struct files_flush *flush);

/* files_publish.c */
/* Folders of all final names, durable. */
int files_make_folders(const struct files_place *place, const struct sl_landing_entry *entry, struct sl_err *err);
/* Renames, folder syncs, manifest; repeatable (rule C2). again: found committed at a start, where a file that users' retention
 * has removed meanwhile is legal; *ret_expired counts those. */
int files_publish(const struct files_place *place, const struct sl_landing_entry *entry, struct sl_slice entry_bytes, bool again,
                  uint64_t *ret_expired, struct sl_err *err);
/* Removes temporaries of this node's epochs before the last. */
void files_clean(const struct files_place *place);

/* files_path.c: from a record to its path. */
struct files_router;
struct files_router *files_router_new(const struct files_config *config, const struct sl_api *api, struct sl_names *names,
                                      struct sl_err *err);
struct files_router *files_router_free(struct files_router *router);
/* Forgets all paths: a new flush begins. */
void files_router_reset(struct files_router *router);
/* Memory of its tables. */
uint64_t files_router_bytes(const struct files_router *router);
/* The view's rows will be asked for next. */
void files_router_view(struct files_router *router, const struct sl_view *view);
/* Path of a row, made in `flush` if new. NULL: no memory. *ret_other: it went to __other__. */
struct files_path *files_router_path(struct files_router *router, struct files_flush *flush, uint16_t row, bool *ret_other);

#endif
