/* tap.c: serves taps: finds the stage, plugs a tap into the slots of its topology, hands its lines to the control server.
 *
 * Who could see a record before a redact operator has masked it would see what must not be seen: such stages are refused.
 * Threads: open on the control server's, under its lock; read and close on the connection's own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/tap.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/json_out.h"
#include "runtime/config/nearest.h"
#include "runtime/config/topology.h"
#include "runtime/engine/host.h"
#include "runtime/engine/slot/tap.h"

enum { TAP_WAIT_MS = 100, TAP_LOOK_MS = 20 };

struct tap_stream {
    struct sl_control_stream stream; /* first */
    struct sl_host *host;
    const char *topology;
    struct sl_tap *tap;
    struct sl_buf lines;
    size_t at; /* lines before it have been read */
    uint64_t told_ns;
    struct sl_tap_counts told;
};

/* ---- which stage ---- */

/* *ret_name: the host's own copy of the name. */
static const struct sl_topology *tap_topology(struct sl_host *host, const char *name, const char **ret_name, struct sl_err *err)
{
    char names[256] = "";
    size_t used = 0;

    for (uint32_t t = 0; t < sl_host_topologies_count(host); t++) {
        *ret_name = sl_host_name_at(host, t);
        if (strcmp(*ret_name, name) == 0)
            return sl_host_topology_at(host, t);
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", t == 0 ? "" : ", ", *ret_name);
    }
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no topology %s runs here; there are: %s", name, names);
    return NULL;
}

static int tap_stage(const struct sl_topology *topology, const char *name, uint32_t *ret_component, struct sl_err *err)
{
    struct sl_nearest nearest;
    char names[300] = "";
    size_t used = 0;

    sl_nearest_init(&nearest, name);
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (topology->components[c].role == SL_GONE)
            continue;
        if (strcmp(topology->components[c].name, name) == 0) {
            *ret_component = c;
            return 0;
        }
        sl_nearest_offer(&nearest, topology->components[c].name);
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used == 0 ? "" : ", ", topology->components[c].name);
    }
    return nearest.best != NULL
               ? sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s has no stage %s; did you mean %s?", topology->name, name, nearest.best)
               : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s has no stage %s; there are: %s", topology->name, name, names);
}

/* Is `component` among what feeds `stage`, directly or not? There are no circles, so this ends. */
static bool tap_feeds(const struct sl_topology *topology, uint32_t component, uint32_t stage)
{
    const struct sl_component *at = &topology->components[stage];

    for (uint32_t i = 0; i < at->inputs_count; i++)
        if (at->inputs[i].component == component || tap_feeds(topology, component, at->inputs[i].component))
            return true;
    return false;
}

static int tap_masked(const struct sl_topology *topology, uint32_t component, struct sl_err *err)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_OPERATOR &&
            ((const struct sl_op_kind *)(const void *)topology->components[c].head)->mask != NULL && tap_feeds(topology, component, c))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "%s lies before %s, which redacts: its records are not masked yet; tap %s or what is behind it",
                           topology->components[component].name, topology->components[c].name, topology->components[c].name);
    return 0;
}

/* ---- plugging ---- */

static void tap_count_slot(void *user, struct sl_slot *slot)
{
    (void)slot;
    ++*(uint32_t *)user;
}

static void tap_plug_slot(void *user, struct sl_slot *slot)
{
    sl_slot_tap_plug(slot, user);
}

static void tap_unplug_slot(void *user, struct sl_slot *slot)
{
    sl_slot_tap_unplug(slot, user);
}

static int tap_plug(struct tap_stream *stream, uint32_t component, uint32_t per_s, struct sl_err *err)
{
    uint32_t slots = 0;

    if (sl_host_ask(stream->host, stream->topology, tap_count_slot, &slots, err) != 0)
        return -(int)err->code;
    stream->tap = sl_tap_new(component, slots, per_s);
    if (stream->tap == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a tap");
    return sl_host_ask(stream->host, stream->topology, tap_plug_slot, stream->tap, err);
}

/* ---- the stream ---- */

static void tap_tell_counts(struct tap_stream *stream)
{
    struct sl_tap_counts counts;
    uint64_t now_ns = sl_clock_now_ns();

    if (now_ns - stream->told_ns < SL_NS_PER_S)
        return;
    stream->told_ns = now_ns;
    sl_tap_counts(stream->tap, &counts);
    if (counts.shown == stream->told.shown && counts.passed == stream->told.passed && counts.lost == stream->told.lost)
        return;
    stream->told = counts;
    sl_buf_printf(&stream->lines, "{\"tap\":{\"shown\":%llu,\"passed\":%llu,\"lost\":%llu}}\n", (unsigned long long)counts.shown,
                  (unsigned long long)counts.passed, (unsigned long long)counts.lost);
}

static int64_t tap_read(struct sl_control_stream *self, char *to, size_t bytes)
{
    struct tap_stream *stream = (struct tap_stream *)(void *)self;
    size_t part;

    for (int waited_ms = 0; stream->at == stream->lines.bytes && waited_ms < TAP_WAIT_MS; waited_ms += TAP_LOOK_MS) {
        sl_buf_reset(&stream->lines);
        stream->at = 0;
        sl_tap_take(stream->tap, &stream->lines);
        tap_tell_counts(stream);
        if (stream->lines.bytes == 0)
            (void)poll(NULL, 0, TAP_LOOK_MS);
    }
    if (sl_buf_failed(&stream->lines))
        return -1;
    part = stream->lines.bytes - stream->at < bytes ? stream->lines.bytes - stream->at : bytes;
    memcpy(to, sl_buf_str(&stream->lines) + stream->at, part);
    stream->at += part;
    return (int64_t)part;
}

static void tap_close(struct sl_control_stream *self)
{
    struct tap_stream *stream = (struct tap_stream *)(void *)self;
    struct sl_err err;

    if (stream->tap != NULL)
        (void)sl_host_ask(stream->host, stream->topology, tap_unplug_slot, stream->tap, &err);
    stream->tap = sl_tap_free(stream->tap);
    sl_buf_fini(&stream->lines);
    free(stream);
}

static int tap_rate(const char *text, uint32_t *ret_per_s, struct sl_err *err)
{
    char *end = NULL;
    unsigned long value = text == NULL ? SL_TAP_RATE : strtoul(text, &end, 10);

    if (text != NULL && (*text == '\0' || *end != '\0' || text[0] == '-' || value < 1 || value > SL_TAP_RATE_MAX))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "rate %.40s is not 1 to %d records a second", text, SL_TAP_RATE_MAX);
    *ret_per_s = (uint32_t)value;
    return 0;
}

/* The stage, of the version that is live; a tap stays at the stage of that name when another one goes live. */
static int tap_find(struct sl_host *host, const char *path, const char *stage, struct tap_stream *stream, uint32_t *ret_component,
                    struct sl_err *err)
{
    const struct sl_topology *topology;
    int status;

    sl_host_hold(host);
    topology = tap_topology(host, path, &stream->topology, err);
    status = topology == NULL || tap_stage(topology, stage, ret_component, err) != 0 || tap_masked(topology, *ret_component, err) != 0
                 ? -(int)err->code : 0;
    sl_host_let(host);
    return status;
}

static int tap_open(struct sl_host *host, char *path, struct tap_stream *stream, struct sl_err *err)
{
    char *stage = strchr(path, '/'), *rate = stage == NULL ? NULL : strchr(stage + 1, '/');
    uint32_t component = 0, per_s = 0;

    if (stage == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "name a topology and a stage: /tap/TOPOLOGY/STAGE");
    *stage++ = '\0';
    if (rate != NULL)
        *rate++ = '\0';
    if (tap_rate(rate, &per_s, err) != 0 || tap_find(host, path, stage, stream, &component, err) != 0)
        return -(int)err->code;
    return tap_plug(stream, component, per_s, err);
}

int sl_tap_serve(struct sl_host *host, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct tap_stream *stream = calloc(1, sizeof(*stream));
    char *names = strdup(path);
    struct sl_err err = {.text = "no memory"};
    int status = -(int)SL_E_LIMIT;

    if (stream != NULL && names != NULL) {
        *stream = (struct tap_stream){.stream = {tap_read, tap_close}, .host = host, .told_ns = sl_clock_now_ns()};
        status = tap_open(host, names, stream, &err);
    }
    free(names);
    if (status == 0) {
        *ret_stream = &stream->stream;
        return 0;
    }
    if (stream != NULL)
        tap_close(&stream->stream);
    struct sl_json_out out;
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "error", err.text);
    sl_json_out_end_object(&out);
    return status;
}
