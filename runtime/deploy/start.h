/* start.h: which generation of each topology a process begins with.
 *
 * What people have deployed or taken out stands; else FILE does. So: FILE's content (digest) is the live generation's: that one runs, from
 * its own folder. It is that of a generation that somebody deployed, or that was live and was rolled back or crashed, or that ran before
 * somebody deployed the live one: the live one runs, and a line says so. Else it is a new generation, live from the start, by "start"; one
 * that never came to live (the process ended before) is taken up again. With from_files FILE always runs.
 * A live generation that cannot be loaded any more is refused with the remedy; never is another one taken in silence.
 * A generation in whose code the process crashed twice within a minute is failed here, and the previous one is live (blame.h).
 * The data folder is locked meanwhile; the host takes the lock over, and refuses where another process came in between.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_START_H
#define SL_RUNTIME_DEPLOY_START_H

#include "runtime/deploy/load.h"
#include "runtime/store/generations.h"

struct sl_start_topology {
    struct sl_topology *topology; /* that runs; the caller's, to be freed after the host */
    struct sl_generations generations;
    uint32_t number;
    uint64_t file_digest; /* of FILE; 0: nothing is written down of it */
    bool fresh;     /* a new generation: live once the deployer was opened */
    char said[640]; /* for the user, or empty: why FILE is not what runs, what crashed; without end of line */
};

struct sl_start {
    struct sl_start_topology *items;
    uint32_t count;
};

struct sl_start_settings {
    struct sl_fs *fs;
    const char *data_dir;
    struct sl_deploy_load load;
    int64_t unix_ms;
    bool from_files;
    bool beside; /* an upgrade: the process before holds the folder, has no candidate and deploys nothing meanwhile. Live stays live */
};

/* files: as loaded, count of them; taken over on success (those that do not run are freed), the caller's on failure. What is wrong
 * with a kept generation is in err, its diags' texts included. */
int sl_start_choose(const struct sl_start_settings *settings, struct sl_topology **files, uint32_t count, struct sl_start *ret_start,
                    struct sl_err *err);
/* Where the process does not come to sl_deployer_open: new generations are failed with `why`. Topologies stay the caller's. */
void sl_start_fini(struct sl_start *start, const char *why);

#endif
