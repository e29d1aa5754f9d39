/* generations.h: the deployed versions of one topology on disk, and which of them is live.
 *
 * DIR/generations/TOPOLOGY/state   the rows below; replaced as a whole, so a crash leaves the old or the new one
 * DIR/generations/TOPOLOGY/N/      generation N's files: topology.yaml and its inputs at their relative paths; complete before any
 *                                  row names N, never changed afterwards
 *
 *   checked -> warm -> shadow -> canary -> live -> previous -> retired;  from each before live: -> failed (its reason says why)
 * Invariants: at most one row is live, at most one previous, at most one a candidate (checked to canary); numbers are never reused.
 * A start ends what a crash left behind: a candidate becomes failed, since nothing of it was committed as live; a folder that no row
 * names is removed.
 * Ownership: the caller owns the struct. Threads: one at a time. Everything blocks (fsync).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_GENERATIONS_H
#define SL_RUNTIME_STORE_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

enum { SL_GENERATIONS_FORMAT = 1 /* of state, in its first line */ };
enum { SL_GENERATIONS_KEPT = 32 /* rows and folders; the oldest retired and failed ones go first */ };

enum sl_generation_state {
    SL_GENERATION_CHECKED,
    SL_GENERATION_WARM,
    SL_GENERATION_SHADOW,
    SL_GENERATION_CANARY,
    SL_GENERATION_LIVE,
    SL_GENERATION_PREVIOUS,
    SL_GENERATION_RETIRED,
    SL_GENERATION_FAILED,
    SL_GENERATION_STATES
};

struct sl_generation_row {
    uint32_t number;
    enum sl_generation_state state;
    uint64_t digest; /* of the resolved configuration and the content of its inputs */
    int64_t deployed_unix_ms, live_unix_ms, ended_unix_ms; /* 0: not yet */
    double share;     /* of a canary */
    uint32_t crashes; /* of the process in this generation's code, within a minute of each other */
    char who[64];     /* who deployed it: a user's name, or "start" */
    char reason[256]; /* why it failed, was rolled back or retired */
};

struct sl_generations {
    struct sl_fs *fs;
    char *dir; /* DIR/generations/TOPOLOGY */
    uint32_t next, count;
    uint64_t file_digest; /* of the file that the latest start was given, 0: not known. It outlives the row that it once had */
    struct sl_generation_row rows[SL_GENERATIONS_KEPT]; /* by number */
};

/* Opens or makes; ends what a crash left behind. A state file that is damaged or of a newer version is refused. */
int sl_generations_open(struct sl_fs *fs, const char *data_dir, const char *topology, struct sl_generations *ret_generations,
                        struct sl_err *err);
/* Only reads, also beside the process that owns them: none at all is no error. */
int sl_generations_look(struct sl_fs *fs, const char *data_dir, const char *topology, struct sl_generations *ret_generations,
                        struct sl_err *err);
void sl_generations_close(struct sl_generations *generations);

/* A file of a new generation: `from` is read, it will be N/`to` (relative, without ..). */
struct sl_generation_file {
    const char *from, *to;
};
/* Copies the files into the next number's folder, makes them durable, then adds its row: state CHECKED, digest, who and time of `row`;
 * its number lands there. Refused while another candidate is there (the text says which and how far it is). */
int sl_generations_add(struct sl_generations *generations, const struct sl_generation_file *files, uint32_t files_count,
                       struct sl_generation_row *row, struct sl_err *err);
/* Durable on return. To LIVE: the one that was live becomes PREVIOUS and the previous one RETIRED, in the same write. From LIVE to
 * FAILED or RETIRED without another going live is refused. */
int sl_generations_set(struct sl_generations *generations, uint32_t number, enum sl_generation_state state, double share,
                       int64_t unix_ms, const char *reason, struct sl_err *err);
/* The process runs, and this was the file it was given; durable. */
int sl_generations_started(struct sl_generations *generations, uint64_t file_digest, struct sl_err *err);
/* A crash in this generation's code: its count, raised; durable. */
int sl_generations_crashed(struct sl_generations *generations, uint32_t number, uint32_t *ret_crashes, struct sl_err *err);

/* NULL: none. */
const struct sl_generation_row *sl_generations_find(const struct sl_generations *generations, uint32_t number);
const struct sl_generation_row *sl_generations_in(const struct sl_generations *generations, enum sl_generation_state state);
const struct sl_generation_row *sl_generations_candidate(const struct sl_generations *generations);
/* N's topology.yaml; text of PATH_MAX bytes, returned. */
const char *sl_generations_path(const struct sl_generations *generations, uint32_t number, char *text);
const char *sl_generation_state_text(enum sl_generation_state state);

#endif
