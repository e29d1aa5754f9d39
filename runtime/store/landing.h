/* landing.h: the landing zone on disk (DELIVERY.md C2-C6): the entry that a flush leaves in the commit, the zone's id, the
 * manifests, names, and the reader's side. Used by the files sink, `sluice cat` and `sluice audit`.
 *
 * On disk, under the sink's folder DIR:
 *   PATH/NODE-EPOCH-NUMBER.ndjson[.zst]     final names; each implies committed (rule C2)
 *   .sluice/zone                            the zone's id: 32 hex digits and a newline (rule C6)
 *   .sluice/tmp/NODE/EPOCH/SLOT-SEAL-INDEX  written and fsynced before the commit, renamed after it
 *   .sluice/manifest/NODE-EPOCH-NUMBER.json  the entry for people and scripts
 *   .sluice/manifest/NODE-EPOCH-NUMBER.entry the same bytes as in the commit, for our own readers
 * Entry: "SLFE", format version, strings and little-endian numbers (generation and folder at the end, left out where there is none), CRC32C over all before it. Names in an entry are checked when
 * it is read: relative, no "." or "..", temporaries under .sluice/tmp/, finals outside .sluice/; so a damaged or hostile commit
 * record cannot reach beyond DIR.
 * Ownership: a decoded entry is ended by sl_landing_entry_free. Threads: none of its own; all calls are pure
 * or block on `fs`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_LANDING_H
#define SL_RUNTIME_STORE_LANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/base/slice.h"

#define SL_LANDING_HIDDEN ".sluice"
#define SL_LANDING_TMP ".sluice/tmp"
#define SL_LANDING_MANIFEST ".sluice/manifest"
#define SL_LANDING_ZONE ".sluice/zone"

enum { SL_ZONE_ID_BYTES = 32 };

struct sl_landing_file {
    const char *temporary, *final; /* relative to DIR */
    uint64_t bytes, records, raw_bytes; /* bytes: on disk; raw_bytes: before compression, newlines included */
    uint32_t crc32c;               /* of the bytes on disk */
};

/* What the flush did of one partition: of [first, next) `delivered` records are in its files. */
struct sl_landing_range {
    const char *source, *topic, *id;
    uint32_t incarnation;
    uint64_t first, next, delivered;
};

/* The flush's account by service and level: in, then the fates in the order of enum sl_fate (delivered, filtered, sampled, shed,
 * deferred, dead). */
enum { SL_LANDING_FATES = 7 };
struct sl_landing_account {
    struct sl_slice service; /* empty: none */
    uint8_t level; /* enum sl_level */
    uint64_t fates[SL_LANDING_FATES];
};

struct sl_landing_entry {
    const char *zone, *node, *topology, *component;
    uint32_t epoch;
    uint64_t number;
    int64_t unix_ms; /* when it was sealed */
    uint32_t generation; /* version of the topology that was live then; 0: not known */
    bool several;        /* some of its records went through another one */
    const char *dir;     /* where its temporaries were written: a newer version may write elsewhere, or have no such sink. NULL: not known */
    struct sl_landing_file *files;
    struct sl_landing_range *ranges;
    struct sl_landing_account *accounts;
    uint32_t files_count, ranges_count, accounts_count;
    char *text; /* decoded entries: memory behind the strings; else NULL */
};

/* ---- entries ---- */
/* Bytes for the commit record, malloc'd. */
int sl_landing_encode(const struct sl_landing_entry *entry, char **ret_data, size_t *ret_bytes, struct sl_err *err);
int sl_landing_decode(struct sl_slice data, struct sl_landing_entry **ret_entry, struct sl_err *err);
struct sl_landing_entry *sl_landing_entry_free(struct sl_landing_entry *entry);

/* ---- names ---- */
/* "NODE-EPOCH-NUMBER": what a flush's files and its manifest are called; numbers are padded so that byte order is time order
 * within a node; a number that has the epoch in its upper half is written without it. Returns its length; ret_name holds SL_LANDING_NAME_BYTES. */
enum { SL_LANDING_NAME_BYTES = 192 };
size_t sl_landing_name(const char *node, uint32_t epoch, uint64_t number, char *ret_name);
/* The node in names: escaped as a path's values are (sl_template_value). */
enum { SL_LANDING_NODE_BYTES = 129 };
void sl_landing_node(const char *node, char ret_text[SL_LANDING_NODE_BYTES]);

/* ---- the zone's id ---- */
/* A folder is claimed when it is missing, empty, or already of this zone (rule C6): else refused, SL_REMEDY_HALT, never adopted. */
int sl_landing_zone_claim(struct sl_fs *fs, const char *dir, const char *zone, struct sl_err *err);
/* 1 and the id, 0 the folder has none, <0 err. */
int sl_landing_zone_read(struct sl_fs *fs, const char *dir, char ret_zone[SL_ZONE_ID_BYTES + 1], struct sl_err *err);

/* ---- manifests ---- */
/* Durable on return; repeatable. entry_bytes are the encoded entry's. */
int sl_landing_manifest_write(struct sl_fs *fs, const char *dir, const struct sl_landing_entry *entry, struct sl_slice entry_bytes,
                              struct sl_err *err);
/* 1 when the flush's manifest exists: all its renames were durable. */
int sl_landing_manifest_exists(struct sl_fs *fs, const char *dir, const struct sl_landing_entry *entry);
/* Calls each for every manifest, in name order. Stops and returns what each returned if not 0; <0: err. */
int sl_landing_each(struct sl_fs *fs, const char *dir,
                    int (*each)(void *user, const struct sl_landing_entry *entry, struct sl_err *err), void *user,
                    struct sl_err *err);

/* ---- reading ---- */
/* Calls each for every line of a landing file (without its newline; the last one may lack it), decompressing where the name ends
 * in .zst. A damaged or truncated file gives err after the lines before the damage. Memory: the longest line, and two buffers. */
int sl_landing_lines(struct sl_fs *fs, const char *path, int (*each)(void *user, struct sl_slice line, struct sl_err *err),
                     void *user, struct sl_err *err);
/* The same of a file that is not renamed yet: `name` is its final one. */
int sl_landing_lines_as(struct sl_fs *fs, const char *path, const char *name,
                        int (*each)(void *user, struct sl_slice line, struct sl_err *err), void *user, struct sl_err *err);
/* CRC32C and size of a file on disk. */
int sl_landing_file_crc(struct sl_fs *fs, const char *path, uint32_t *ret_crc32c, uint64_t *ret_bytes, struct sl_err *err);

#endif
