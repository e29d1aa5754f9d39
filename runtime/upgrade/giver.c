/* giver.c: the states of the process that hands over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/giver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/listener.h"
#include "runtime/store/data_dir.h"
#include "runtime/upgrade/giver_child.h"
#include "runtime/upgrade/notify.h"
#include "runtime/upgrade/wire.h"

enum { GIVER_MAGIC = 0x67697665, GIVER_TICK_MS = 2, GIVER_SILENT_TICKS = 50, GIVER_SEND_S = 5 };

struct sl_giver {
    uint32_t magic;
    uv_loop_t *loop;
    struct sl_giver_hooks hooks;
    struct sl_giver_limits limits;
    enum sl_giver_state state;
    uint64_t since_ns, asked_ns; /* the state's begin; the stop of reading */
    struct giver_child child;
    uv_timer_t tick;
    uv_poll_t poll; /* of wire */
    bool polled, poll_closed;
    int wire, lock; /* -1: none */
    bool draining;  /* reading was stopped */
    bool closed;    /* and all was closed: to be reopened */
    bool ends;      /* a signal: nothing is reopened */
    bool silent;    /* the wire is closed at the other end */
    uint32_t silent_ticks;
    char why[480];
    struct sl_giver_report report;
};

static void giver_enter(struct sl_giver *giver, enum sl_giver_state state)
{
    giver->state = state;
    giver->since_ns = sl_clock_now_ns();
}

static uint64_t giver_spent_ns(const struct sl_giver *giver)
{
    return sl_clock_now_ns() - giver->since_ns;
}

static void giver_say(struct sl_giver *giver, const char *text)
{
    giver->hooks.said(giver->hooks.user, giver->state, text);
}

/* ---- the wire's handle ---- */

static void giver_poll_closed(uv_handle_t *handle)
{
    struct sl_giver *giver = handle->data;

    (void)close(giver->wire);
    giver->wire = -1;
    giver->polled = false;
}

static void giver_hang_up(struct sl_giver *giver)
{
    if (!giver->polled || uv_is_closing((uv_handle_t *)&giver->poll))
        return;
    (void)uv_poll_stop(&giver->poll);
    uv_close((uv_handle_t *)&giver->poll, giver_poll_closed);
}

/* ---- off ---- */

/* The first reason stands. Where reading was stopped, the rest of the drain comes before the way back. */
static void giver_call_off(struct sl_giver *giver, const char *why)
{
    if (giver->state == SL_GIVER_IDLE || giver->state == SL_GIVER_KILL || giver->state == SL_GIVER_OVER)
        return;
    (void)snprintf(giver->why, sizeof(giver->why), "%s", why);
    giver_enter(giver, SL_GIVER_KILL);
    giver_say(giver, giver->why);
    giver_child_kill(&giver->child);
    giver_hang_up(giver);
}

static int giver_close(struct sl_giver *giver, struct sl_err *err)
{
    int status = giver->hooks.close(giver->hooks.user, &giver->lock, err);

    giver->closed = status == 0;
    return status;
}

static void giver_rest(struct sl_giver *giver, bool lost)
{
    if (giver->lock >= 0) {
        sl_data_dir_adopt(-1);
        (void)close(giver->lock);
        giver->lock = -1;
    }
    sl_listener_keep(false);
    (void)uv_timer_stop(&giver->tick);
    giver_child_fini(&giver->child);
    giver_enter(giver, SL_GIVER_IDLE);
    giver->draining = giver->closed = false;
    giver->hooks.ended(giver->hooks.user, &giver->report, giver->why, lost);
}

static void giver_reopen(struct sl_giver *giver)
{
    struct sl_err err = {0};
    char why[sizeof(giver->why)];
    int status = 0;

    if (giver->draining && !giver->closed && !giver->ends)
        status = giver_close(giver, &err);
    if (status == 0 && giver->closed && !giver->ends) {
        sl_data_dir_adopt(giver->lock);
        status = giver->hooks.reopen(giver->hooks.user, &err);
    }
    if (status != 0) {
        (void)snprintf(why, sizeof(why), "%.200s; and this one could not go on: %.240s", giver->why, err.text);
        memcpy(giver->why, why, sizeof(why));
    }
    giver_rest(giver, status != 0);
}

/* Of KILL: once nobody else can write any more, and what is being drained has been. */
static void giver_settle(struct sl_giver *giver)
{
    bool drained = !giver->draining || giver->closed || giver->hooks.idle(giver->hooks.user) ||
                   giver_spent_ns(giver) > giver->limits.drain * SL_NS_PER_MS;

    if (giver_child_gone(&giver->child) && !giver->polled && drained)
        giver_reopen(giver);
}

/* ---- on ---- */

static int giver_send_listener(void *user, const char *name, int fd)
{
    struct sl_giver *giver = user;
    struct sl_err err;

    return sl_wire_send(giver->wire, fd, &err, "listener %s", name);
}

/* Everything, and only then the word. */
static int giver_send_all(struct sl_giver *giver, struct sl_err *err)
{
    if (sl_listener_each(giver_send_listener, giver) != 0)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "it took no listening sockets");
    if (sl_wire_send(giver->wire, giver->lock, err, "lock") != 0)
        return -(int)err->code;
    return sl_wire_send(giver->wire, -1, err, "go %" PRIu64, giver->report.last_taken_ns);
}

static void giver_hand(struct sl_giver *giver)
{
    struct sl_err err = {0};
    uint64_t began_ns = sl_clock_now_ns();

    giver->report.drain_ns = began_ns - giver->asked_ns;
    giver->report.last_taken_ns = giver->hooks.last_taken_ns(giver->hooks.user);
    if (giver_close(giver, &err) != 0) {
        giver_call_off(giver, err.text);
        return;
    }
    giver->report.close_ns = sl_clock_now_ns() - began_ns;
    giver_enter(giver, SL_GIVER_HAND);
    if (giver_send_all(giver, &err) != 0) {
        giver_call_off(giver, err.text);
        return;
    }
    giver_say(giver, "everything is handed over");
}

static void giver_drain(struct sl_giver *giver)
{
    giver->report.flush_ns = giver_spent_ns(giver);
    giver_enter(giver, SL_GIVER_DRAIN);
    giver->asked_ns = sl_clock_now_ns();
    giver->draining = true;
    giver->hooks.drain(giver->hooks.user);
    giver_say(giver, "reading has stopped");
}

static void giver_flush(struct sl_giver *giver)
{
    giver->report.warm_ns = giver_spent_ns(giver);
    giver_enter(giver, SL_GIVER_FLUSH);
    giver_say(giver, "the new process is ready");
    sl_listener_keep(true); /* who sends over a connection hears that it ends */
    giver->hooks.flush(giver->hooks.user);
}

static void giver_over(struct sl_giver *giver, const char *first_taken)
{
    struct sl_giver_report *report = &giver->report;

    report->open_ns = giver_spent_ns(giver);
    report->first_taken_ns = strtoull(first_taken, NULL, 10);
    if (report->last_taken_ns != 0 && report->first_taken_ns > report->last_taken_ns)
        report->gap_ns = report->first_taken_ns - report->last_taken_ns;
    giver_enter(giver, SL_GIVER_OVER);
    (void)uv_timer_stop(&giver->tick);
    (void)sl_notify_main(giver_child_pid(&giver->child));
    giver_say(giver, "the new process runs");
    giver->hooks.ended(giver->hooks.user, report, NULL, false);
}

static void giver_hello(struct sl_giver *giver, const struct sl_wire_message *message, const char *rest)
{
    char why[200], *end;
    long protocol = strtol(rest, &end, 10);
    struct sl_err err;

    giver_child_hello(&giver->child, message->pid);
    giver->report.pid = (long)giver_child_pid(&giver->child);
    if (protocol == SL_WIRE_PROTOCOL) {
        if (giver->hooks.tell(giver->hooks.user, giver->wire, &err) != 0 || sl_wire_send(giver->wire, -1, &err, "begin") != 0)
            giver_call_off(giver, err.text);
        return;
    }
    (void)snprintf(why, sizeof(why), "the new version%.60s hands over by protocol %ld, this one by %d: stop this one and start it", end, protocol,
                   SL_WIRE_PROTOCOL);
    giver_call_off(giver, why);
}

static void giver_hear(struct sl_giver *giver, const struct sl_wire_message *message)
{
    const char *rest;
    char why[480];

    if ((rest = sl_wire_is(message, "hello")) != NULL && giver->state == SL_GIVER_WARM)
        giver_hello(giver, message, rest);
    else if ((rest = sl_wire_is(message, "refused")) != NULL || (rest = sl_wire_is(message, "failed")) != NULL) {
        (void)snprintf(why, sizeof(why), "the new process says: %.440s", rest);
        giver_call_off(giver, why);
    } else if (sl_wire_is(message, "ready") != NULL && giver->state == SL_GIVER_WARM && giver->child.pid > 0)
        giver_flush(giver);
    else if ((rest = sl_wire_is(message, "running")) != NULL && giver->state == SL_GIVER_HAND)
        giver_over(giver, rest);
}

static void giver_on_wire(uv_poll_t *handle, int status, int events)
{
    struct sl_giver *giver = handle->data;
    struct sl_wire_message message;
    struct sl_err err;
    int got;

    (void)status, (void)events;
    while (giver->polled && !uv_is_closing((uv_handle_t *)handle) && (got = sl_wire_receive(giver->wire, 0, &message, &err)) != 0) {
        if (got < 0) {
            (void)uv_poll_stop(handle);
            giver->silent = true; /* giver_on_end, which comes next as a rule, knows more */
            return;
        }
        if (message.fd >= 0)
            (void)close(message.fd);
        giver_hear(giver, &message);
    }
}

static void giver_on_end(void *user)
{
    struct sl_giver *giver = user;
    char why[200];

    if (giver->child.pid != 0 && giver->child.pid != giver->child.process.pid)
        return; /* a script that started it; the wire tells of the other's end */
    if (giver->state == SL_GIVER_WARM || giver->state == SL_GIVER_FLUSH || giver->state == SL_GIVER_DRAIN || giver->state == SL_GIVER_HAND) {
        /* what it said last is on the wire still */
        giver_on_wire(&giver->poll, 0, UV_READABLE);
        (void)snprintf(why, sizeof(why), "the new process does not run: %s", giver->child.how);
        giver_call_off(giver, why);
    }
}

static bool giver_late(const struct sl_giver *giver, uint32_t limit_ms)
{
    return giver_spent_ns(giver) > limit_ms * SL_NS_PER_MS;
}

static void giver_on_tick(uv_timer_t *handle)
{
    struct sl_giver *giver = handle->data;
    char why[160];

    if (giver->silent && ++giver->silent_ticks > GIVER_SILENT_TICKS)
        giver_call_off(giver, "the new process ended without a word");
    switch (giver->state) {
    case SL_GIVER_WARM:
        if (giver_late(giver, giver->limits.warm)) {
            (void)snprintf(why, sizeof(why), "the new process was not ready within %u s", (unsigned)(giver->limits.warm / 1000));
            giver_call_off(giver, why);
        }
        return;
    case SL_GIVER_FLUSH:
        if (giver->hooks.flushed(giver->hooks.user) || giver_late(giver, giver->limits.flush))
            giver_drain(giver);
        return;
    case SL_GIVER_DRAIN:
        giver->report.drained = giver->hooks.idle(giver->hooks.user);
        if (giver->report.drained || giver_late(giver, giver->limits.drain))
            giver_hand(giver);
        return;
    case SL_GIVER_HAND:
        if (giver_late(giver, giver->limits.report)) {
            (void)snprintf(why, sizeof(why), "the new process had done no batch within %u s", (unsigned)(giver->limits.report / 1000));
            giver_call_off(giver, why);
        }
        return;
    case SL_GIVER_KILL:
        giver_settle(giver);
        return;
    case SL_GIVER_IDLE:
    case SL_GIVER_OVER:
        return;
    }
}

/* ---- life ---- */

struct sl_giver *sl_giver_new(uv_loop_t *loop, const struct sl_giver_hooks *hooks, struct sl_err *err)
{
    struct sl_giver *giver = calloc(1, sizeof(*giver));

    if (giver == NULL || uv_timer_init(loop, &giver->tick) != 0) {
        free(giver);
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
        return NULL;
    }
    giver->magic = GIVER_MAGIC;
    giver->loop = loop;
    giver->hooks = *hooks;
    giver->wire = giver->lock = giver->child.pid_fd = -1;
    giver->tick.data = giver->poll.data = giver;
    giver->child.closed = true;
    giver->child.on_end = giver_on_end;
    giver->child.user = giver;
    return giver;
}

static uint32_t giver_limit(uint32_t given, uint32_t otherwise)
{
    return given != 0 ? given : otherwise;
}

static int giver_listen(struct sl_giver *giver, int wire, struct sl_err *err)
{
    struct timeval patience = {.tv_sec = GIVER_SEND_S};

    (void)setsockopt(wire, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    giver->wire = wire;
    if (uv_poll_init(giver->loop, &giver->poll, wire) != 0) {
        (void)close(wire);
        giver->wire = -1;
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "the loop takes no further descriptor");
    }
    giver->poll.data = giver;
    giver->polled = true;
    (void)uv_poll_start(&giver->poll, UV_READABLE | UV_DISCONNECT, giver_on_wire);
    return 0;
}

int sl_giver_start(struct sl_giver *giver, const char *file, char *const *args, const struct sl_giver_limits *limits, struct sl_err *err)
{
    int wires[2], status;

    assert(giver->magic == GIVER_MAGIC);
    if (giver->state != SL_GIVER_IDLE || giver->polled || !giver->child.closed)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "an upgrade is under way already");
    if (sl_wire_pair(wires, err) != 0)
        return -(int)err->code;
    status = giver_child_start(&giver->child, giver->loop, file, args, wires[1], err);
    (void)close(wires[1]);
    if (status != 0) {
        (void)close(wires[0]);
        return status;
    }
    giver->limits = (struct sl_giver_limits){giver_limit(limits->warm, SL_GIVER_WARM_MS), giver_limit(limits->flush, SL_GIVER_FLUSH_MS),
                                             giver_limit(limits->drain, SL_GIVER_DRAIN_MS), giver_limit(limits->report, SL_GIVER_REPORT_MS)};
    giver->report = (struct sl_giver_report){.pid = 0};
    giver->why[0] = '\0';
    giver->silent = false;
    giver->silent_ticks = 0;
    giver_enter(giver, SL_GIVER_WARM);
    giver_say(giver, "the new process warms up");
    if (giver_listen(giver, wires[0], err) != 0) {
        giver_call_off(giver, err->text);
        status = -(int)err->code;
    }
    (void)uv_timer_start(&giver->tick, giver_on_tick, GIVER_TICK_MS, GIVER_TICK_MS);
    return status;
}

enum sl_giver_state sl_giver_state(const struct sl_giver *giver)
{
    return giver->state;
}

bool sl_giver_stop(struct sl_giver *giver)
{
    if (giver->state == SL_GIVER_IDLE || giver->state == SL_GIVER_OVER)
        return false;
    giver->ends = true;
    giver_call_off(giver, "this process was asked to end");
    return giver->closed;
}

struct sl_giver *sl_giver_free(struct sl_giver *giver)
{
    if (giver == NULL)
        return NULL;
    assert(giver->magic == GIVER_MAGIC);
    giver_child_fini(&giver->child);
    if (giver->wire >= 0)
        (void)close(giver->wire);
    if (giver->lock >= 0)
        (void)close(giver->lock);
    giver->magic = 0;
    free(giver);
    return NULL;
}
