/* audit.h: what the parts of `sluice audit` share: manifests of landing zones, the partitions they speak of, what was found.
 *
 * Order of work: audit.c loads the topology; zone.c lists the landing folders, commit.c reads marks and flushes not yet published,
 * zone.c reads manifests, in this order, so that with a server running (Kafka sources) each file seen is named by one of the two;
 * zone.c proves the files; tile.c proves that ranges tile and cuts partitions into
 * segments; replay.c drives segments read by source.c (or kafka.c) through the topology's own operators;
 * compare.c holds the two sides against each other; print.c says it.
 * Ownership: struct audit owns everything; audit_fini ends it. One thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_AUDIT_AUDIT_H
#define SL_RUNTIME_CLI_AUDIT_AUDIT_H

#include <limits.h>

#include "runtime/base/intern.h"
#include "runtime/cli/cli.h"
#include "runtime/config/process.h"
#include "runtime/engine/ledger.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/kafka/klog.h"
#include "runtime/store/landing.h"
#include "runtime/store/spool.h"

enum { AUDIT_FIRSTS = 5 }; /* offsets or lines that are named one by one */

/* Order-free: the sum of the 128-bit hashes of the bodies, in two halves. */
struct audit_digest {
    uint64_t low, high, records;
};

struct audit_hash {
    uint64_t low, high;
};

struct audit_flush {
    struct sl_landing_entry *entry;
    char name[SL_LANDING_NAME_BYTES];
    const char *dir;  /* root that its files lie in; owned by audit->dirs */
    uint32_t sink;    /* row of audit->sinks */
    bool later;       /* committed after our look at the commit: named, not judged */
    bool pending;     /* committed, its manifest not yet written: a kill between the two */
    uint32_t expired; /* files that are no longer there */
    bool damaged;     /* some file is not what the manifest says */
    const char *unproved; /* why its records cannot be read again (static or audit memory), or NULL */
    struct audit_digest found, again; /* of the files' lines; of what the topology makes of the ranges now */
    struct sl_ledger account;         /* of the second reading */
    uint64_t *delivered;              /* [entry->ranges_count], of the second reading */
};

/* One range of one flush. */
struct audit_tile {
    struct audit_flush *flush;
    uint32_t range;
    uint64_t first, next;
};

/* Offsets that no tile covers; grows segment by segment while the partition is read. first == next: none. */
struct audit_hole {
    uint64_t first, next, records, first_record;
};

/* What a sink has of a partition. */
struct audit_lane {
    struct audit_tile *tiles; /* ascending by first once audit_tile_all has run */
    uint32_t count, capacity;
    bool marked, wrong;
    bool began;                       /* the mark is of records, not only of the place where the sink joined */
    uint64_t mark;                    /* committed: everything below is done */
    uint64_t mark_again;              /* looked at once more after the manifests; 0: not looked at */
    uint64_t fates[SL_LANDING_FATES]; /* of the second reading, inside tiles */
    struct audit_hole hole;
    uint64_t missing;                 /* of the second reading, records in holes */
};

struct audit_partition {
    char *source, *topic, *id;
    uint32_t incarnation, component; /* component: of the source; UINT32_MAX: the topology has none of that name */
    struct audit_lane *lanes;        /* [audit->sinks_count] */
    uint64_t low;                    /* the source has nothing below this any more */
    char gone[256];                  /* why nothing of it can be read; empty: it can */
};

struct audit_sink {
    uint32_t component;
    const char *name;
    bool dead;       /* the dead letters' */
    bool skipped;    /* folders were named, none of them this sink's, and it has none here */
    char zone[SL_ZONE_ID_BYTES + 1];
    uint64_t manifests, files, expired, records, bytes, foreign;
};

enum audit_severity { AUDIT_NOTE, AUDIT_ERROR };

struct audit_finding {
    enum audit_severity severity;
    const char *kind; /* a word: lost, doubled, expired, foreign, damaged, ... */
    char *text;
};

struct audit_name { /* a file that lay in a dir at the beginning, relative to it */
    uint32_t dir; /* row of audit->dirs */
    char *path;
};

struct audit {
    struct sl_cli *cli;
    struct sl_process_config *process;
    struct sl_topology *topology;
    const char *data_dir; /* absolute */
    struct sl_fs *fs;     /* of the data folder: an overlay, so that nothing in it changes */
    struct sl_overlay *overlay;
    int lock_fd;
    struct sl_klog *klog;
    struct sl_spool *spool; /* opened by the first partition that needs it */
    struct audit_kafka *kafka; /* likewise */
    struct sl_intern_cache *interned;
    struct audit_sink *sinks;
    struct audit_flush **flushes; /* in the order of manifests' names, dir by dir */
    struct audit_partition **partitions;
    struct audit_finding *findings;
    struct audit_name *names;
    struct audit_commit *commit;
    char **dirs;
    uint32_t *dirs_sink; /* which sink a dir belongs to; UINT32_MAX: not yet known */
    uint32_t sinks_count, flushes_count, flushes_capacity, partitions_count, findings_count, errors, dirs_count, names_count;
    uint64_t replayed; /* records that went through the topology again */
};

/* ---- audit.c ---- */
void audit_say(struct audit *audit, enum audit_severity severity, const char *kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Found or made. NULL: no memory. */
struct audit_partition *audit_partition_of(struct audit *audit, const char *source, const char *topic, const char *id,
                                           uint32_t incarnation);
/* malloc or end: an audit without memory has no answer. */
void *audit_alloc(size_t bytes);
void *audit_realloc(void *memory, size_t bytes);
/* Row of audit->sinks of a component's name, or UINT32_MAX. */
uint32_t audit_sink_of(const struct audit *audit, const char *component);
/* A setting of a component by its row's name and type, or NULL. */
const void *audit_setting(const struct sl_component *component, const char *name, enum sl_field_type type);
bool audit_is_kafka(const struct sl_component *component);
/* A source whose records are several lines, joined in time. */
bool audit_joins(const struct sl_component *component);
/* Text for people, in one of the few buffers that are used in turn: "logs api.log 3". */
const char *audit_partition_name(const struct audit_partition *partition);
void audit_progress(struct audit *audit, const char *what, uint64_t done, uint64_t all);

/* ---- digest.c ---- */
/* letter: a dead letter, whose append time is left out (a followed file's is the moment of reading). CR and LF count as blanks. */
struct audit_hash audit_hash_of(struct sl_slice body, bool letter);
void audit_digest_add(struct audit_digest *digest, struct audit_hash hash);

/* ---- commit.c ---- */
/* Marks into lanes; flush entries are kept for join. Read errors are findings. */
void audit_commit_look(struct audit *audit);
/* After the manifests: entries without one become flushes; where a server may be running, flushes that were committed since the
 * look are told apart (`later`). */
void audit_commit_join(struct audit *audit);

/* ---- zone.c ---- */
/* Names of all files, before anything else is read: what a running server adds later is none of ours to judge. */
void audit_zone_look(struct audit *audit);
/* Manifests of all dirs. */
void audit_zone_load(struct audit *audit);
/* Takes the entry over. */
struct audit_flush *audit_zone_add(struct audit *audit, struct sl_landing_entry *entry, const char *dir, uint32_t sink);
/* Files of all flushes: size, CRC, lines; then what else lay in the dirs. */
void audit_zone_prove(struct audit *audit);
/* Path of a flush's file on disk: the final name, or of a pending flush the temporary one. False: neither is there. */
bool audit_zone_path(const struct audit *audit, const struct audit_flush *flush, uint32_t file, char path[PATH_MAX]);

/* ---- tile.c ---- */
void audit_tile_all(struct audit *audit);
/* A stretch of a partition in which no tile begins or ends. tiles[sink]: the one that holds it, or NULL. */
struct audit_segment {
    struct audit_partition *partition;
    uint64_t first, next;
    struct audit_tile **tiles; /* [audit->sinks_count] */
    bool *hole;                /* [audit->sinks_count]: no tile, but one should be */
};
/* only: just the segments of this flush. Stops and returns what each returned if not 0. */
int audit_tile_segments(struct audit *audit, struct audit_partition *partition, const struct audit_flush *only,
                        int (*each)(void *user, const struct audit_segment *segment), void *user);

/* ---- source.c: reading a partition again ---- */
struct audit_reader;
/* Fills partition->low; a partition that is no longer there gets its `gone` and *ret_reader NULL. */
int audit_reader_open(struct audit *audit, struct audit_partition *partition, struct audit_reader **ret_reader, struct sl_err *err);
/* A batch beginning at `from` and ending at or before `upto`; count 0: nothing before batch->next. 1, or <0. */
int audit_reader_read(struct audit_reader *reader, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err);
struct audit_reader *audit_reader_close(struct audit_reader *reader);
/* Spool and Kafka clients are opened once and kept here. */
void audit_source_fini(struct audit *audit);

/* ---- kafka.c: one consumer for all partitions of a Kafka source; one of them is assigned at a time ---- */
/* Fills partition->low, or `gone`. */
int audit_kafka_begin(struct audit *audit, struct audit_partition *partition, struct sl_err *err);
int audit_kafka_read(struct audit_kafka *kafka, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err);
void audit_kafka_end(struct audit_kafka *kafka);
struct audit_kafka *audit_kafka_close(struct audit_kafka *kafka);
const struct sl_connection *audit_kafka_connection(const struct audit *audit, const struct sl_component *component,
                                                   struct sl_connection *own);
const char *audit_kafka_group(const struct audit *audit, const struct sl_component *component);

/* ---- replay.c ---- */
struct audit_replay_hooks { /* for each record that reaches a sink inside one of its tiles */
    void (*body)(void *user, const struct audit_partition *partition, const struct audit_tile *tile, uint64_t offset,
                 struct audit_hash hash);
    void *user;
};
/* Reads everything (or what `only` covers) through the topology again. Without hooks it fills digests, accounts and lanes. */
int audit_replay(struct audit *audit, const struct audit_flush *only, const struct audit_replay_hooks *hooks, struct sl_err *err);

/* ---- versions.c ---- */
/* Flushes that other versions than the audited topology had a part in are not proved by reading again. */
void audit_versions(struct audit *audit);

/* ---- compare.c ---- */
void audit_compare_all(struct audit *audit);

/* ---- print.c ---- */
void audit_print(const struct audit *audit);

#endif
