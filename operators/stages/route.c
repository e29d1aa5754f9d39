/* route.c: sends each record to the first route whose condition it meets, else to the port `unmatched`.
 *
 * Ports: the routes in the order they are written, then unmatched. Each condition is asked only about what no earlier one took.
 * Limits: ROUTE_MAX routes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/stages.h"
#include "runtime/engine/match.h"

enum { ROUTE_MAGIC = 0x726f7574, ROUTE_MAX = 64 };
enum route_counter { ROUTE_C_UNMATCHED, ROUTE_C_PATTERN_LIMITS };

static const char route_unmatched[] = "unmatched";

struct route_config {
    struct sl_named_conds routes;
    const char *names[ROUTE_MAX + 1]; /* of ports; filled by route_ports at load */
};

struct route_stage {
    uint32_t magic, count;
    const struct sl_api *api;
    struct sl_bound_cond *bound[ROUTE_MAX];
    uint64_t limits_told;
};

static int route_check(const void *config, struct sl_err *err)
{
    const struct route_config *route = config;

    if (route->routes.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "routes: there is no route; name at least one, such as { errors: { level: error } }");
    if (route->routes.count > ROUTE_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "routes: %u routes are too many; write at most %d", route->routes.count,
                       ROUTE_MAX);
    for (uint32_t i = 0; i < route->routes.count; i++)
        if (strcmp(route->routes.items[i].name, route_unmatched) == 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "routes: unmatched is the port of what no route takes; give the route another name");
    return 0;
}

static uint32_t route_ports(const void *config, const char *const **ret_names)
{
    struct route_config *route = (struct route_config *)(uintptr_t)config; /* its table of names is ours to fill */
    uint32_t count = route->routes.count < ROUTE_MAX ? route->routes.count : ROUTE_MAX;

    for (uint32_t i = 0; i < count; i++)
        route->names[i] = route->routes.items[i].name;
    route->names[count] = route_unmatched;
    *ret_names = route->names;
    return count + 1;
}

static void route_close(void *self)
{
    struct route_stage *stage = self;

    for (uint32_t i = 0; i < ROUTE_MAX; i++)
        stage->bound[i] = sl_cond_unbind(stage->bound[i]);
    memset(stage, 0, sizeof(*stage));
}

static int route_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct route_stage *stage = self;
    const struct route_config *route = config;
    int rc = 0;

    memset(stage, 0, sizeof(*stage));
    assert(route->routes.count <= ROUTE_MAX);
    stage->magic = ROUTE_MAGIC;
    stage->api = api;
    stage->count = route->routes.count;
    for (uint32_t i = 0; rc == 0 && i < stage->count; i++)
        rc = sl_cond_bind(route->routes.items[i].cond, names, &stage->bound[i], err);
    return rc;
}

static void route_tally(struct route_stage *stage, uint64_t unmatched)
{
    uint64_t limits = 0;

    for (uint32_t i = 0; i < stage->count; i++)
        limits += sl_cond_limits(stage->bound[i]);
    if (stage->api->tally == NULL)
        return;
    if (unmatched > 0)
        stage->api->tally(stage->api->env, stage, ROUTE_C_UNMATCHED, unmatched);
    if (limits > stage->limits_told)
        stage->api->tally(stage->api->env, stage, ROUTE_C_PATTERN_LIMITS, limits - stage->limits_told);
    stage->limits_told = limits;
}

/* Rows of rest that match get port; the others stay in rest, in order. */
static void route_take(struct sl_view *rest, const uint8_t *match, uint8_t *ports, uint8_t port)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < rest->sel_count; i++) {
        uint16_t row = rest->sel[i];
        if (match[row])
            ports[row] = port;
        else
            rest->sel[left++] = row;
    }
    rest->sel_count = left;
}

static int route_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct route_stage *stage = self;
    struct sl_arena *arena = view->batch->arena;
    uint8_t *match = sl_arena_alloc(arena, (size_t)view->batch->count + 1);
    struct sl_view rest = *view; /* a selection of its own; all else is only read */

    assert(stage->magic == ROUTE_MAGIC);
    rest.sel = sl_arena_alloc(arena, ((size_t)view->sel_count + 1) * sizeof(*rest.sel));
    if (match == NULL || rest.sel == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records does not fit its arena", view->batch->count);
    memcpy(rest.sel, view->sel, view->sel_count * sizeof(*rest.sel));
    for (uint32_t i = 0; i < stage->count && rest.sel_count > 0; i++) {
        sl_cond_eval(stage->bound[i], &rest, match);
        route_take(&rest, match, view->port, (uint8_t)i);
    }
    for (uint32_t i = 0; i < rest.sel_count; i++)
        view->port[rest.sel[i]] = (uint8_t)stage->count;
    route_tally(stage, rest.sel_count);
    return 0;
}

static const struct sl_field route_fields[] = {
    SL_FIELD(route_config, routes, SL_F_CONDITIONS, .flags = SL_F_REQUIRED,
             .help = "Port to condition; the first that a record meets takes it, what none takes goes to the port unmatched."),
    {0},
};

static const struct sl_counter route_counters[] = {
    [ROUTE_C_UNMATCHED] = {"unmatched_total", "records", "Records that no route took."},
    [ROUTE_C_PATTERN_LIMITS] = {"pattern_limits_total", "records", "Records on which a pattern gave up; they count as no match."},
    [ROUTE_C_PATTERN_LIMITS + 1] = {0},
};

const struct sl_op_kind sl_op_route = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "route",
             .summary = "Sends each record to the first route whose condition it meets.",
             .example = "{ type: route, inputs: [parsed], routes: { errors: { level: [error, fatal] }, slow: { duration_ms: { gte: 1000 } } } }",
             .fields = route_fields,
             .config_bytes = sizeof(struct route_config),
             .self_bytes = sizeof(struct route_stage),
             .counters = route_counters,
             .check = route_check},
    .ports = route_ports,
    .open = route_open,
    .process = route_process,
    .close = route_close,
};
