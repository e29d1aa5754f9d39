/* file_set.h: the files of one `file` source, shared by its slots: found by scans, claimed by one slot at a time.
 *
 * An entry: (scan) FREE -> (claim) OWNED -> (give_back) FREE, or (leave) GONE -> freed by the next scan. It can be claimed once its
 * id is durable (rule A4). An owner that finds the file truncated or replaced asks for a new id with `rebind`; the next scan
 * binds it, as soon as the file has a byte.
 * Threads: one scan at a time (`scanning`), on some slot's clerk, does the slow work unlocked: it alone adds and frees entries and
 * touches the ids. Everything else of an entry is read and written under the lock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_SET_H
#define SL_OPERATORS_SOURCES_FILE_SET_H

#include <pthread.h>
#include <stdatomic.h>

#include "operators/sources/file/file_ids.h"
#include "operators/sources/file/file_kin.h"
#include "runtime/config/field.h"

enum sl_file_state { SL_FILE_FREE, SL_FILE_OWNED, SL_FILE_GONE };

struct sl_file_entry {
    struct sl_file_entry *next, *chain; /* order of discovery; hash bucket */
    enum sl_file_state state;
    bool durable, rebind, refused;      /* refused: could not be opened; the next scan frees it for another try */
    uint64_t device, inode;
    char id[SL_FILE_ID_TEXT];
    struct sl_file_head head;
    char *path;
    char *bound_path;  /* at which the id was bound: a rename does not change it, for marks are found by it */
    uint64_t bytes;    /* at the last scan that saw it */
    uint64_t seen;     /* number of that scan */
};

enum { SL_FILE_BUCKETS = 4096 };

struct sl_file_set {
    uint32_t magic;
    struct sl_fs *fs;
    char *ids_path;
    struct sl_file_kin *kin; /* with the sets of other versions of the source */
    struct sl_file_set *kin_next;
    uint64_t written;        /* kin->written, of which the ids here are */
    char **patterns;
    uint32_t patterns_count;
    char **excludes;
    uint32_t excludes_count;
    bool once;
    atomic_bool ending; /* at_end() was asked */
    pthread_mutex_t lock;
    pthread_cond_t scanned;
    bool scanning, asked; /* asked: a rebind waits for a scan */
    uint64_t scan, due_ns;
    struct sl_file_entry *first, **last;
    struct sl_file_entry *buckets[SL_FILE_BUCKETS];
    struct sl_file_ids ids;
    bool dirty;               /* ids not yet written */
    uint64_t random[2];
};

struct sl_api;

struct sl_file_set_settings {
    struct sl_strings paths, exclude;
    bool once;
};

/* Loads the ids and scans for the first time. */
int sl_file_set_open(const struct sl_api *api, const struct sl_file_set_settings *settings, struct sl_file_set **ret_set,
                     struct sl_err *err);
struct sl_file_set *sl_file_set_close(struct sl_file_set *set);
/* How many files the settings name now. Opens nothing. */
int sl_file_set_count(struct sl_fs *fs, const char *base_dir, const struct sl_file_set_settings *settings, uint32_t *ret_count);
/* True once a second, to one caller: it must see to it that sl_file_set_scan is run. */
bool sl_file_set_due(struct sl_file_set *set, uint64_t now_ns);
/* Slow: reads folders and heads, writes the ids. */
int sl_file_set_scan(struct sl_file_set *set, struct sl_err *err);

struct sl_file_entry *sl_file_set_claim(struct sl_file_set *set);
void sl_file_set_give_back(struct sl_file_set *set, struct sl_file_entry *entry, enum sl_file_state state, bool refused);
/* Asks for a new id; the scan is due at once. */
void sl_file_set_rebind(struct sl_file_set *set, struct sl_file_entry *entry);

/* What an owner may know of its entry. */
struct sl_file_look {
    char id[SL_FILE_ID_TEXT];
    struct sl_file_head head;
    bool rebind, missing; /* missing: the last scan did not see it */
};
void sl_file_set_look(struct sl_file_set *set, const struct sl_file_entry *entry, struct sl_file_look *ret_look);
/* A malloc'd copy, or NULL: no memory. */
char *sl_file_set_path(struct sl_file_set *set, const struct sl_file_entry *entry);
char *sl_file_set_bound_path(struct sl_file_set *set, const struct sl_file_entry *entry);
/* Bytes of files nobody has claimed. */
uint64_t sl_file_set_unclaimed(struct sl_file_set *set, uint32_t *ret_count);

#endif
