/* worker.h: one thread, one libuv loop, its slots; and beside each slot a clerk thread for what blocks.
 *
 * Threads: sl_worker_* calls belong to the thread that made the worker, but for sl_worker_view (any thread).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_WORKER_H
#define SL_RUNTIME_ENGINE_WORKER_H

#include "runtime/engine/drive.h"

struct sl_worker;

struct sl_worker_settings {
    struct sl_fs *fs;
    struct sl_klog *klog;
    void (*log)(void *user, const char *topology, const struct sl_err *err, const char *what); /* any thread */
    void (*ended)(void *user); /* any thread: some slot has ended or failed */
    void *user;
    uint32_t slots_max;
};

struct sl_worker *sl_worker_new(const struct sl_worker_settings *settings, struct sl_err *err);
/* Before start. The slot is opened here, on the caller's thread. */
int sl_worker_add(struct sl_worker *worker, const struct sl_shared *shared, uint32_t index, struct sl_err *err);
int sl_worker_start(struct sl_worker *worker, struct sl_err *err);
/* Any thread: all its slots drain. */
void sl_worker_drain(struct sl_worker *worker);
/* True when every slot has ended or failed. Any thread. */
bool sl_worker_idle(struct sl_worker *worker);
/* Ends the thread (slots that still run are abandoned: nothing more is committed) and frees all. */
struct sl_worker *sl_worker_free(struct sl_worker *worker);

/* Calls each(user, slot) on the worker's thread, between two turns, for every slot of those that share it and live here; returns when that
 * is done. Any thread but the worker's; the worker must be started, and not be freed meanwhile. */
void sl_worker_ask(struct sl_worker *worker, const struct sl_shared *shared, void (*each)(void *user, struct sl_slot *slot),
                   void *user);

/* The newest copies of its slots' status, made a few times a second and when a slot ends. Any thread. each is called under a
 * lock: it must not call back. age_ns: since the copy was made. */
void sl_worker_view(struct sl_worker *worker,
                    void (*each)(void *user, const struct sl_shared *shared, uint32_t index,
                                 const struct sl_slot_status *status, uint64_t age_ns, const char *waits_for),
                    void *user);

#endif
