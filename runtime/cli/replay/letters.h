/* letters.h: the dead letters of a topology, as they lie in the files of its dead-letter sink: each line read into its fields.
 *
 * Ownership: a letter and its slices are the reader's, for the call. Threads: one.
 * Limits: a line of 64 MiB.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_REPLAY_LETTERS_H
#define SL_RUNTIME_CLI_REPLAY_LETTERS_H

#include "runtime/config/topology.h"
#include "runtime/engine/origin.h"

struct sl_letter {
    const char *file; /* relative to the folder */
    uint64_t line;    /* from 0 */
    struct sl_slice stage, reason, key; /* key.data NULL: none */
    struct sl_slice raw; /* data NULL: withheld, or no payload at all */
    bool null_payload, withheld;
    struct sl_origin origin;
    uint32_t sub;
    int64_t append_unix_ms;
};

/* The folder of the topology's letters, or err: they go elsewhere. `text` keeps it. */
int sl_letters_dir(const struct sl_topology *topology, const char *data_dir, char *text, size_t bytes, struct sl_err *err);
/* Every published letter of DIR, files in name order; lines that are no letters are counted in *ret_strange. each: 0 goes on. */
int sl_letters_each(const char *dir, int (*each)(void *user, const struct sl_letter *letter, struct sl_err *err), void *user,
                    uint64_t *ret_strange, struct sl_err *err);

#endif
