/* file_kin.h: the sets of files of one source in this process: while a version of a topology gives way to the next, each has one.
 *
 * They read and write one file of ids, so one of them scans at a time, and a scan begins with what the others have written; and a file is claimed by one
 * slot of all of them: the earlier version's slot gives it back once what it read is committed.
 * Threads: any. A kin's lock is taken before a set's, never the other way, and two sets' never at once; `scan` is held around slow work.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_KIN_H
#define SL_OPERATORS_SOURCES_FILE_KIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_file_set;
struct sl_fs;

struct sl_file_kin {
    struct sl_fs *fs;
    char *ids_path;
    pthread_mutex_t scan; /* one scan at a time */
    pthread_mutex_t lock; /* of what follows, and of claims */
    uint64_t written;     /* times that the ids were */
    struct sl_file_set *sets; /* by set->kin_next */
    struct sl_file_kin *next;
};

/* NULL: no memory. */
struct sl_file_kin *sl_file_kin_join(struct sl_file_set *set, struct sl_fs *fs, const char *ids_path);
void sl_file_kin_leave(struct sl_file_set *set);

#endif
