/* spool_impl.h: the spool's own structures, shared by the spool_*.c files alone.
 *
 * Locks: `io` is held around everything that writes files or changes segments, holds and marks; `lock` is short and guards
 * what appenders and readers look at. io before lock. Segments, bounds and holds are changed under both, read under either.
 * Invariants: (1) every batch that was acknowledged lies in a segment that the durable manifest names, below its `bytes` or in
 * an open segment; (2) offsets handed out are below the durable reserved mark; (3) an open segment belongs to this process:
 * recovery seals what it finds, so that no file is appended to by two processes in turn.
 *
 * DIR/TOPIC/manifest  names partitions and segments, replaced whole when one is made, sealed or removed
 * DIR/TOPIC/marks     reserved marks, ends at the last clean close, holds; replaced whole
 * DIR/TOPIC/PPPPP-BASE-NONCE.seg
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_SPOOL_IMPL_H
#define SL_RUNTIME_STORE_SPOOL_IMPL_H

#include <errno.h>
#include <pthread.h>

#include "runtime/store/bytes.h"
#include "runtime/store/spool.h"
#include "runtime/store/spool/spool_batch.h"

enum {
    SPOOL_INDEX_STEP = 64 << 10,    /* bytes between two rows of a segment's index */
    SPOOL_PIECE_BYTES = 1 << 20,    /* of one write */
    SPOOL_RESERVE_LEAST = 4096,     /* offsets reserved ahead: as many as were used since open, within these */
    SPOOL_RESERVE_MOST = 1 << 22,
    SPOOL_PARTITIONS_MOST = 65536,
    SPOOL_FOLDER_BYTES = 200,       /* longest encoded topic name */
    SPOOL_PATH_BYTES = 4096,
};

struct spool_index_row {
    uint64_t offset, at;
    int64_t time_max; /* of everything before this row */
};

enum spool_state { SPOOL_OPEN, SPOOL_SEALED, SPOOL_MISSING };

struct spool_segment {
    uint64_t base, end, nonce; /* end, bytes: durable (rule F1) */
    uint64_t bytes;
    int64_t time_min, time_max;
    enum spool_state state;
    uint64_t counted_at; /* damage below this byte is in the stats already */
    struct spool_index_row *index;
    uint32_t index_count, index_room;
    bool indexed;   /* index covers [.., bytes) */
    bool recovered; /* was found open: to be synced and cut before it is read (rule F1) */
    bool gone;      /* open, but its file was taken away */
    bool damaged;   /* some stretch of it does not check */
};

/* One append: batches end to end as they will lie in the file, but for base offsets and header checksums. */
struct spool_pending {
    struct spool_pending *next;
    struct sl_spool_wait *wait;
    uint64_t first_offset;
    uint32_t count;
    size_t bytes, room;
    char data[];
};

struct spool_queue {
    struct spool_pending *first, **last;
    uint64_t bytes;
};

struct spool_partition {
    uint32_t number;
    struct spool_segment **segments; /* ascending base; at most the last is open */
    uint32_t segments_count, segments_room;
    int fd;                /* of the open segment, or -1 */
    uint64_t next_offset;  /* the next one to hand out, >= durable end */
    uint64_t end;          /* durable: end of the last record, or where the log begins */
    uint64_t first;        /* earliest offset that retention has left */
    uint64_t reserved;     /* durable: no offset at or above was ever handed out */
    uint64_t clean_end;    /* as of the last clean close */
    uint64_t used;         /* offsets handed out since open */
    struct spool_queue queue;
    struct sl_spool_reader *readers;
};

struct spool_hold {
    struct spool_hold *next;
    uint32_t partition;
    uint64_t offset, saved_offset;
    char holder[];
};

struct sl_spool_topic {
    struct sl_spool *spool;
    struct sl_spool_topic *next;
    char *name, *folder; /* folder: whole path */
    struct spool_partition **partitions;
    uint32_t partitions_count;
    struct spool_hold *holds;
    uint64_t bytes;     /* of all segments */
    uint64_t queue_bytes; /* a queue's limit; 0: the settings' limits */
    bool hold_full;     /* at its limit, and a hold forbids to remove anything */
    bool holds_unknown; /* marks were damaged: nothing is removed until the next start */
    bool was_clean;
};

struct sl_spool {
    uint32_t magic;
    struct sl_fs *fs;
    char *dir;
    struct sl_spool_settings settings;
    pthread_mutex_t io, lock;
    pthread_cond_t work;
    pthread_t thread;
    bool threaded, stopping, closing;
    struct sl_spool_topic *topics;
    uint64_t queued_bytes; /* of all partitions, written but not yet durable ones included */
    uint64_t last_sync_ns, last_probe_ns;
    bool synced_once;
    bool sick; /* appends are refused until a probe of the disk succeeds */
    struct sl_err sick_err;
    struct sl_spool_stats stats; /* under lock */
    struct sl_buffer piece;
};

struct sl_spool_reader {
    struct sl_spool_topic *topic;
    struct spool_partition *partition;
    struct sl_spool_reader *next;
    void (*wake)(void *user);
    void *user;
    uint64_t offset;  /* position: where the next batch begins to cover */
    uint64_t floor;   /* next wanted record, >= offset: what lies between is known to be lost */
    uint64_t nonce;   /* of the segment that fd reads, 0 none */
    uint64_t at;      /* where the batch with `offset`, or the one before it, begins */
    uint64_t at_offset; /* offset expected at `at` */
    int fd;
    size_t chunk_bytes; /* to read at once: about what the last batch took */
};

/* ---- spool_manifest.c: the two text files ---- */
int spool_manifest_write(struct sl_spool_topic *topic, struct sl_err *err);
int spool_marks_write(struct sl_spool_topic *topic, bool clean, struct sl_err *err);
/* 1 read, 0 absent, -SL_E_FORMAT damaged (remedy RETRY) or of a newer format (HALT). Fill an empty topic. */
int spool_manifest_read(struct sl_spool_topic *topic, struct sl_err *err);
int spool_marks_read(struct sl_spool_topic *topic, struct sl_err *err);
/* Percent-encoding of topic names as folders and of holders in marks. -1: does not fit, or is no encoding. */
int spool_name_encode(const char *name, char *to, size_t room);
int spool_name_decode(const char *from, char *to, size_t room);

/* ---- spool_segment.c: segments as structures and files ---- */
struct spool_segment *spool_segment_add(struct spool_partition *partition, uint64_t base, uint64_t nonce);
void spool_segment_take(struct spool_partition *partition, struct spool_segment *segment); /* out of the array, freed */
void spool_segment_path(const struct sl_spool_topic *topic, uint32_t partition, const struct spool_segment *segment, char *to);
void spool_segment_note(struct spool_segment *segment, const struct sl_spool_batch *batch, uint64_t at);
struct spool_segment *spool_partition_open_segment(struct spool_partition *partition);
struct spool_partition *spool_topic_partition_add(struct sl_spool_topic *topic);
struct sl_spool_topic *spool_topic_new(struct sl_spool *spool, const char *name, struct sl_err *err);
struct sl_spool_topic *spool_topic_free(struct sl_spool_topic *topic);

/* ---- spool_scan.c: walking the batches of one file, over damage ---- */
struct spool_scan {
    struct sl_fs *fs;
    int fd;
    uint64_t nonce, at, end; /* the next batch is looked for at `at`; nothing at or beyond `end` */
    uint64_t offset;         /* no sound batch has a base below */
    uint64_t limit;          /* nor an end above */
    struct sl_buffer window;
    uint64_t window_at;
};

enum spool_found { SPOOL_BATCH, SPOOL_DAMAGE, SPOOL_TAIL, SPOOL_END };

struct spool_step { /* what lies in [at, next_at) */
    uint64_t at, next_at;
    struct sl_spool_batch batch; /* SPOOL_BATCH */
    const char *bytes;           /* SPOOL_BATCH: header and body, until the next step */
    uint64_t first, next;        /* SPOOL_DAMAGE: offsets that are lost; SPOOL_TAIL: as far as a header still says so */
};

/* SPOOL_BATCH, SPOOL_DAMAGE (a sound batch follows), SPOOL_TAIL (none does), SPOOL_END, or -errno. */
int spool_scan_step(struct spool_scan *scan, struct spool_step *ret_step);
void spool_scan_fini(struct spool_scan *scan);

/* ---- spool_copy.c ---- */
/* A fresh, synced file with the segment's sound batches; the old one stays until the manifest forgets it. */
int spool_segment_rewrite(struct sl_spool_topic *topic, struct spool_partition *partition, struct spool_segment *segment,
                          struct sl_err *err);

/* ---- spool_recover.c ---- */
struct spool_finder { /* told of every loss; each may be NULL */
    void (*each)(void *user, const struct sl_spool_finding *finding);
    void *user;
};
/* Fills a new topic from its folder: manifest, marks, segments; open ones are walked and sealed in memory (not on disk), losses
 * are counted into spool->stats and told to find. deep: walks sealed ones too. */
int spool_recover(struct sl_spool_topic *topic, bool deep, const struct spool_finder *finder, struct sl_err *err);
/* Makes on disk what spool_recover found: tails synced and cut, files nobody names removed, manifest and marks written. */
int spool_recover_finish(struct sl_spool_topic *topic, struct sl_err *err);

/* Counts a loss once (segment may be NULL) and tells finder. lock must not be held. */
void spool_count_loss(struct sl_spool_topic *topic, uint32_t partition, struct spool_segment *segment,
                      const struct spool_step *step, const struct spool_finder *finder, const char *what);

/* ---- spool_seek.c: by nonce, for the segment may be gone; lock must not be held ---- */
void spool_index_lost(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce,
                      const struct spool_step *step, const char *what);
void spool_index_missing(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce);
void spool_index_shorten(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce, uint64_t end);
/* 1: look at the segment again; <0 err. */
int spool_index_build(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce, struct sl_err *err);

/* ---- spool_writer.c ---- */
void *spool_writer_thread(void *user);
uint64_t spool_writer_turn(struct sl_spool *spool, bool all);
/* lock held. Nothing is gained by waiting longer. */
bool spool_writer_is_due(const struct sl_spool *spool);
/* io held. Ends the open segment, if any, so that it may be removed or read by others. */
int spool_writer_seal(struct sl_spool_topic *topic, struct spool_partition *partition, struct sl_err *err);

/* ---- spool_hold.c ---- */
/* Finds or makes a hold; NULL without memory. saved: it is as in the marks file. */
struct spool_hold *spool_hold_set(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, bool saved);
/* io held. Removes what limits ask for and holds allow; sets hold_full. */
void spool_retain(struct sl_spool_topic *topic);

static inline int spool_fail_io(struct sl_err *err, int rc, const char *what, const char *path)
{
    return sl_fail(err, rc == -ENOSPC || rc == -EDQUOT ? SL_E_LIMIT : SL_E_IO, SL_REMEDY_RETRY, -rc, "%s %s: %s", what, path,
                   strerror(-rc));
}

#endif
