/* lines.h: what is said of one topology's deployments, kept for those who watch: a ring of NDJSON lines.
 *
 * A line with an end closes a run of lines; the next one begins another. Who begins to watch gets the current or latest run whole, as far as
 * the ring has it. A reader that is slower than the ring loses the oldest lines, never the last.
 * Threads: any; a lock inside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_LINES_H
#define SL_RUNTIME_DEPLOY_LINES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SL_LINES_KEPT = 256 };

struct sl_lines {
    pthread_mutex_t lock;
    pthread_cond_t added;
    struct {
        char *text;
        bool ends;
    } items[SL_LINES_KEPT];
    uint64_t next, run; /* number of the next line, and of the first one of the run */
    bool run_ended, closed;
};

void sl_lines_init(struct sl_lines *lines);
void sl_lines_fini(struct sl_lines *lines);
/* text: malloc'd, taken over. */
void sl_lines_add(struct sl_lines *lines, char *text, bool ends);
bool sl_lines_any(struct sl_lines *lines);
/* All that read get their end. */
void sl_lines_close(struct sl_lines *lines);

#endif
