/* taker.c: the new process's end of the wire.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/taker.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/listener.h"
#include "runtime/store/data_dir.h"
#include "runtime/upgrade/wire.h"

enum { TAKER_MAGIC = 0x74616b65, TAKER_TOPOLOGIES = 4096 };

struct taker_slots {
    char *topology;
    uint32_t count;
};

struct sl_taker {
    uint32_t magic;
    int wire, lock;
    bool began, went; /* `begin`, `go` have come */
    uint64_t last_taken_ns, go_ns;
    struct taker_slots *slots;
    uint32_t slots_count;
};

static int taker_slots(struct sl_taker *taker, const char *rest, struct sl_err *err)
{
    struct taker_slots *slots;
    char *end, *name;
    unsigned long count = strtoul(rest, &end, 10);

    if (count == 0 || count > UINT32_MAX || *end != ' ' || taker->slots_count >= TAKER_TOPOLOGIES)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the process before says \"slots %.80s\", which makes no sense", rest);
    slots = realloc(taker->slots, (taker->slots_count + 1) * sizeof(*slots));
    name = strdup(end + 1);
    if (slots != NULL)
        taker->slots = slots;
    if (slots == NULL || name == NULL) {
        free(name);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    }
    slots[taker->slots_count++] = (struct taker_slots){name, (uint32_t)count};
    return 0;
}

static int taker_hear(struct sl_taker *taker, struct sl_wire_message *message, struct sl_err *err)
{
    const char *rest;
    int fd = message->fd;

    message->fd = -1;
    if ((rest = sl_wire_is(message, "listener")) != NULL && fd >= 0)
        return sl_listener_inherit(rest, fd, err);
    if (sl_wire_is(message, "lock") != NULL && fd >= 0) {
        if (taker->lock >= 0)
            (void)close(taker->lock);
        taker->lock = fd;
        sl_data_dir_adopt(fd);
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    if ((rest = sl_wire_is(message, "slots")) != NULL)
        return taker_slots(taker, rest, err);
    taker->began = taker->began || sl_wire_is(message, "begin") != NULL;
    if ((rest = sl_wire_is(message, "go")) == NULL)
        return 0;
    if (taker->lock < 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the process before did not hand over the lock of its data_dir");
    taker->went = true;
    taker->go_ns = sl_clock_now_ns();
    taker->last_taken_ns = strtoull(rest, NULL, 10);
    return 0;
}

static int taker_hear_until(struct sl_taker *taker, const bool *heard, struct sl_err *err)
{
    struct sl_wire_message message;
    int status = 0;

    while (status == 0 && !*heard) {
        status = sl_wire_receive(taker->wire, -1, &message, err);
        status = status < 0 ? status : taker_hear(taker, &message, err);
    }
    return status;
}

int sl_taker_open(struct sl_taker **ret_taker, struct sl_err *err)
{
    const char *text = getenv(SL_WIRE_VARIABLE);
    struct sl_taker *taker;
    char *end = NULL;
    long wire = text == NULL ? -1 : strtol(text, &end, 10);

    if (text == NULL) {
        *ret_taker = NULL;
        return 0;
    }
    if (end == text || *end != '\0' || wire < 0 || wire > 1 << 20 || fcntl((int)wire, F_SETFD, FD_CLOEXEC) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       SL_WIRE_VARIABLE "=%.40s names no open descriptor; it is set by `sluice upgrade` alone, unset it", text);
    taker = calloc(1, sizeof(*taker));
    if (taker == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    (void)unsetenv(SL_WIRE_VARIABLE);
    *taker = (struct sl_taker){.magic = TAKER_MAGIC, .wire = (int)wire, .lock = -1};
    if (sl_wire_send(taker->wire, -1, err, "hello %d %s", SL_WIRE_PROTOCOL, SLUICE_VERSION) != 0 ||
        taker_hear_until(taker, &taker->began, err) != 0) {
        (void)sl_taker_free(taker);
        return sl_while(err, "taking over from another process");
    }
    *ret_taker = taker;
    return 0;
}

void sl_taker_refuse(struct sl_taker *taker, const char *why)
{
    struct sl_err err;

    assert(taker->magic == TAKER_MAGIC);
    (void)sl_wire_send(taker->wire, -1, &err, "refused %s", why);
}

int sl_taker_ready(struct sl_taker *taker, struct sl_err *err)
{
    int status = sl_wire_send(taker->wire, -1, err, "ready");

    assert(taker->magic == TAKER_MAGIC && !taker->went);
    sl_listener_keep(true);
    if (status == 0)
        status = taker_hear_until(taker, &taker->went, err);
    return status == 0 ? 0 : sl_while(err, "taking over from another process");
}

uint32_t sl_taker_slots(const struct sl_taker *taker, const char *topology)
{
    for (uint32_t i = 0; i < taker->slots_count; i++)
        if (strcmp(taker->slots[i].topology, topology) == 0)
            return taker->slots[i].count;
    return 0;
}

uint64_t sl_taker_last_taken_ns(const struct sl_taker *taker)
{
    return taker->last_taken_ns;
}

uint64_t sl_taker_go_ns(const struct sl_taker *taker)
{
    return taker->go_ns;
}

void sl_taker_failed(struct sl_taker *taker, const char *why)
{
    struct sl_err err;

    assert(taker->magic == TAKER_MAGIC);
    (void)sl_wire_send(taker->wire, -1, &err, "failed %s", why);
}

int sl_taker_running(struct sl_taker *taker, uint64_t first_taken_ns, struct sl_err *err)
{
    assert(taker->magic == TAKER_MAGIC && taker->went);
    return sl_wire_send(taker->wire, -1, err, "running %" PRIu64, first_taken_ns);
}

struct sl_taker *sl_taker_free(struct sl_taker *taker)
{
    if (taker == NULL)
        return NULL;
    assert(taker->magic == TAKER_MAGIC);
    if (taker->lock >= 0) {
        sl_data_dir_adopt(-1);
        (void)close(taker->lock);
    }
    if (taker->went)
        sl_listener_keep(false);
    (void)close(taker->wire);
    for (uint32_t i = 0; i < taker->slots_count; i++)
        free(taker->slots[i].topology);
    free(taker->slots);
    taker->magic = 0;
    free(taker);
    return NULL;
}
