/* index.h: which letters have been sent again: by file and line. The truth is the spool topic of the replays, whose records name
 * their letters; the index is what was read out of it, up to an offset, in a file that is replaced whole. So a letter is sent once,
 * whatever ends the process in between.
 *
 * On disk, text: "sluice-replayed 1 OFFSET" LF, then a line a file: NAME TAB RANGES LF, such as "0-17,19".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_REPLAY_INDEX_H
#define SL_RUNTIME_CLI_REPLAY_INDEX_H

#include "runtime/base/err.h"
#include "runtime/store/spool.h"

struct sl_replay_index;

/* Reads the file at path (none: empty). NULL: err. */
struct sl_replay_index *sl_replay_index_open(const char *path, struct sl_err *err);
struct sl_replay_index *sl_replay_index_close(struct sl_replay_index *index);
/* Takes in what the topic has beyond the offset, and holds the topic's records from there on. */
int sl_replay_index_read(struct sl_replay_index *index, struct sl_spool_topic *topic, struct sl_err *err);
/* Durable; the hold moves behind it. */
int sl_replay_index_save(struct sl_replay_index *index, struct sl_spool_topic *topic, struct sl_err *err);
bool sl_replay_index_has(const struct sl_replay_index *index, const char *file, uint64_t line);

#endif
