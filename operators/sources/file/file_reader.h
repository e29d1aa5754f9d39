/* file_reader.h: one open file of a slot of the `file` source: reading it, and telling when it has become another one (rule A4).
 *
 * States: READING -> (file_ended) ENDED: read: once, its end is reached, the descriptor is closed, a seek opens it again.
 * READING -> (file_restart) REBINDING: truncated or replaced under its name; the old partition is revoked, a new id asked for;
 * -> (file_rebound) READING the new partition from 0. READING -> (file_leave) LEAVING: deleted, read to its end and committed;
 * -> (file_revoked) CLOSED: to be freed.
 * Where lines are joined (multiline), a record that may go on stays in the file, unread as it were, until a line that begins another one
 * follows it, or reader->timeout_ns passed without more, or the end is final (read: once, or --once). It never reaches across the
 * place where another sink stands (sl_slot_boundary).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_READER_H
#define SL_OPERATORS_SOURCES_FILE_READER_H

#include "operators/sources/file/file_join.h"
#include "operators/sources/file/file_set.h"
#include "runtime/engine/slot.h"

#define SL_FILE_MAGIC 0x54464f31u
enum { SL_FILE_TAIL_BYTES = 256, SL_FILE_SKIP_BYTES = 64 << 10 };

/* Row numbers of the kind's counters. */
enum sl_file_counter { SL_FILE_RESTARTS, SL_FILE_LOST_BYTES, SL_FILE_CUT_LINES };

/* What the files of one slot share. */
struct sl_file_reader {
    const struct sl_api *api;
    struct sl_slot *slot;
    struct sl_file_set *set;
    void *source; /* self of the source */
    struct sl_file_block block;
    char *skip;   /* SL_FILE_SKIP_BYTES: reading over the rest of a line that is too long */
    struct sl_multiline *multiline; /* NULL: a line is a record */
    uint64_t timeout_ns;            /* of a record that may go on */
};

enum sl_file_phase { SL_FILE_READING, SL_FILE_ENDED, SL_FILE_REBINDING, SL_FILE_LEAVING, SL_FILE_CLOSED };

struct sl_file {
    uint32_t magic;
    enum sl_file_phase phase;
    struct sl_file_reader *reader;
    struct sl_file_entry *entry;
    struct sl_partition *partition; /* NULL while the old one is released */
    char *path;
    int fd;                 /* -1: closed */
    bool revoking;
    bool at_end, reached;   /* at_end: nothing whole to read at the last look; reached: so since at_end() was asked */
    uint64_t look_ns;       /* when to look again */
    uint64_t idle_ns;       /* since when it has been missing and at its end, 0 not */
    uint64_t size;          /* as last seen */
    uint64_t committed;
    uint64_t open_upto;     /* where the lines of a record that may go on ended at the last look; 0: there is none */
    uint64_t open_ns;       /* since when nothing came behind it */
    uint64_t skip_at;       /* a line that is too long: read over up to here; 0 none */
    int64_t mtime_unix_ms;
    uint64_t records, bytes; /* handed out: the mean line */
    char tail[SL_FILE_TAIL_BYTES]; /* the bytes before the position when the end was met */
    uint32_t tail_bytes;
};

/* Opens a claimed entry and assigns it. On failure the entry is given back. */
int sl_file_open(struct sl_file_reader *reader, struct sl_file_entry *entry, struct sl_file **ret_file, struct sl_err *err);
/* Frees it; the entry, if still owned, can be claimed again. Returns NULL. */
struct sl_file *sl_file_close(struct sl_file *file);
/* 1 a batch, 0 nothing now, <0 failed. */
int sl_file_read(struct sl_file *file, struct sl_batch *batch, struct sl_err *err);
int sl_file_seek(struct sl_file *file, uint64_t next, struct sl_err *err);
int sl_file_fingerprint(struct sl_file *file, uint64_t offset, uint64_t *ret_hash);

#endif
