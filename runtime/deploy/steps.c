/* steps.c: see steps.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/config/bind.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"
#include "runtime/config/units.h"
#include "runtime/json/level.h"

#define STEPS_MINUTE_NS (60 * SL_NS_PER_S)

struct plan_settings {
    int by, when_unsure;
};
struct step_settings {
    uint64_t shadow, hold;
    double canary;
};
struct judge_settings {
    double alpha;
    const char *ratio;
    bool latency, filtered;
    uint64_t min_records, warm_up, patience;
};
struct expect_settings {
    const char *sink, *service;
    struct sl_strings levels, fields;
    bool count;
};

static const char *const plan_splits[] = {"key", "partition", NULL};               /* enum sl_split_by */
static const char *const plan_unsure[] = {"hold", "promote", "rollback", NULL};    /* enum sl_unsure */
static const char *const plan_words[] = {"steps", "judge", "expect", NULL};        /* read here */

const struct sl_field sl_plan_fields[] = {
    SL_FIELD(plan_settings, by, SL_F_ENUM, .def = "key", .values = plan_splits, .help = "What a canary gets a share of."),
    SL_FIELD(plan_settings, when_unsure, SL_F_ENUM, .def = "hold", .values = plan_unsure,
             .help = "What follows a step with too few records to tell."),
    {0}};
const struct sl_field sl_step_fields[] = {
    SL_FIELD(step_settings, shadow, SL_F_DURATION, .min = "1s", .help = "It gets all batches for that long, its sinks closed."),
    SL_FIELD(step_settings, canary, SL_F_SHARE, .min = "0.01%", .max = "99%", .help = "That share goes through it."),
    SL_FIELD(step_settings, hold, SL_F_DURATION, .min = "1s", .max = "30d", .help = "How long a canary stays at its share, at least."),
    {0}};
const struct sl_field sl_judge_fields[] = {
    SL_FIELD(judge_settings, alpha, SL_F_SHARE, .def = "0.01", .min = "0.0001%", .max = "20%",
             .help = "How likely a step takes a good version out; divided by the number of tests."),
    SL_FIELD(judge_settings, ratio, SL_F_STRING, .def = "1.2", .help = "How many times the live version's count is still as good, 1.01 to 100."),
    SL_FIELD(judge_settings, latency, SL_F_BOOL, .def = "true", .help = "Latencies are judged."),
    SL_FIELD(judge_settings, filtered, SL_F_BOOL, .def = "true", .help = "What filters take is judged; false where a filter is meant to change."),
    SL_FIELD(judge_settings, min_records, SL_F_U64, .def = "1000", .min = "1", .max = "1000000000000",
             .help = "Fewer records through a canary's step tell nothing."),
    SL_FIELD(judge_settings, warm_up, SL_F_DURATION, .def = "60s", .min = "0s", .max = "1d",
             .help = "The first canary's beginning that is not judged; added to its hold."),
    SL_FIELD(judge_settings, patience, SL_F_DURATION, .def = "30m", .min = "1s", .max = "30d",
             .help = "A step that is neither better nor worse passes after that long."),
    {0}};
const struct sl_field sl_expect_fields[] = {
    SL_FIELD(expect_settings, sink, SL_F_STRING, .min = "1", .max = "64", .help = "The sink where it holds; all without it."),
    SL_FIELD(expect_settings, levels, SL_F_STRINGS, .min = "1", .help = "The levels of records; all without it."),
    SL_FIELD(expect_settings, service, SL_F_STRING, .min = "1", .help = "The service, or a beginning and *; all without it."),
    SL_FIELD(expect_settings, fields, SL_F_STRINGS, .min = "1", .help = "Fields that may differ, come or go."),
    SL_FIELD(expect_settings, count, SL_F_BOOL, .def = "false", .help = "Records may be missing, or come beside."),
    {0}};

void sl_plan_init(struct sl_plan *plan)
{
    memset(plan, 0, sizeof(*plan));
    plan->limits = sl_verdict_defaults;
}

void sl_plan_fini(struct sl_plan *plan)
{
    plan->expect = sl_expect_free(plan->expect);
}

const char *sl_step_print(const struct sl_step *step, char text[64])
{
    char share[SL_UNITS_TEXT], hold[SL_UNITS_TEXT];

    sl_share_print(step->share, share);
    sl_duration_print(step->hold_ns, hold);
    if (step->kind == SL_STEP_CANARY)
        (void)snprintf(text, 64, "canary %.20s, %.30s", share, hold);
    else if (step->kind == SL_STEP_SHADOW)
        (void)snprintf(text, 64, "shadow, %.30s", hold);
    else
        (void)snprintf(text, 64, "live");
    return text;
}

static void plan_built_in(struct sl_plan *plan, bool canary)
{
    static const struct sl_step steps[] = {{SL_STEP_CANARY, 0.01, 2 * STEPS_MINUTE_NS},
                                           {SL_STEP_CANARY, 0.1, 5 * STEPS_MINUTE_NS},
                                           {SL_STEP_CANARY, 0.5, 5 * STEPS_MINUTE_NS},
                                           {SL_STEP_LIVE, 0, 0}};
    uint32_t from = canary ? 0 : 3;

    plan->steps_count = 4 - from;
    memcpy(plan->steps, &steps[from], plan->steps_count * sizeof(steps[0]));
}

/* ---- a file ---- */

static void plan_refuse(struct sl_bind *bind, const struct sl_yaml *node, const char *remedy, const char *text)
{
    sl_diags_add(bind->diags, false, bind->file, node->line, node->column, remedy, "%s", text);
}

static const struct sl_yaml *plan_member(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml_item *item = sl_yaml_find(map, key);

    return item == NULL ? NULL : item->value;
}

static bool plan_bind(struct sl_bind *bind, const struct sl_field *fields, void *settings, const char *setting, const char *const *own,
                      const struct sl_yaml *node)
{
    const struct sl_bind_part part = {fields, settings};
    const struct sl_bind_map map = {.parts = &part, .parts_count = 1, .own = own, .setting = setting};

    return sl_bind_fill(bind, &map, node);
}

static bool step_read_map(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, struct sl_step *step)
{
    struct step_settings settings = {0};
    bool shadow = sl_yaml_find(node, "shadow") != NULL, canary = sl_yaml_find(node, "canary") != NULL;
    bool hold = sl_yaml_find(node, "hold") != NULL;

    if (!plan_bind(bind, sl_step_fields, &settings, setting, NULL, node))
        return false;
    if (shadow == canary || hold != canary) {
        plan_refuse(bind, node, "write { shadow: 5m }, { canary: 10%, hold: 5m } or live",
                    sl_pool_printf(bind->pool, "%s: %s", setting,
                                   shadow && canary ? "one step cannot be a shadow and a canary"
                                   : canary         ? "a canary has no hold"
                                   : shadow         ? "a shadow lasts as long as it says, and has no hold"
                                                    : "neither a shadow nor a canary"));
        return false;
    }
    *step = shadow ? (struct sl_step){SL_STEP_SHADOW, 0, settings.shadow} : (struct sl_step){SL_STEP_CANARY, settings.canary, settings.hold};
    return true;
}

static bool step_read(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, struct sl_step *step)
{
    if (node->kind == SL_YAML_MAP)
        return step_read_map(bind, node, setting, step);
    if (node->kind == SL_YAML_SCALAR && strcmp(node->text, "live") == 0) {
        *step = (struct sl_step){SL_STEP_LIVE, 0, 0};
        return true;
    }
    plan_refuse(bind, node, "write { shadow: 5m }, { canary: 10%, hold: 5m } or live",
                sl_pool_printf(bind->pool, "%s: %s is no step", setting, sl_bind_found(bind, node)));
    return false;
}

/* What is wrong with `step` behind `before`; NULL: nothing. */
static const char *step_order(const struct sl_step *before, const struct sl_step *step)
{
    if (before == NULL)
        return NULL;
    if (before->kind == SL_STEP_LIVE)
        return "nothing comes after live";
    if (step->kind == SL_STEP_SHADOW && before->kind == SL_STEP_CANARY)
        return "a shadow comes before all canaries";
    if (step->kind == SL_STEP_CANARY && before->kind == SL_STEP_CANARY && step->share <= before->share)
        return "the share has to be more than that of the step before";
    return NULL;
}

static void plan_read_steps(struct sl_bind *bind, const struct sl_yaml *root, struct sl_plan *plan)
{
    const struct sl_yaml *list = plan_member(root, "steps");

    if (list == NULL || list->kind != SL_YAML_LIST || list->count == 0) {
        plan_refuse(bind, list == NULL ? root : list, "write steps: [{ canary: 10%, hold: 5m }, live]",
                    list == NULL ? "steps: missing" : "steps: not a list of steps");
        return;
    }
    if (list->count > SL_STEPS_MAX) {
        plan_refuse(bind, list, sl_pool_printf(bind->pool, "at most %d", SL_STEPS_MAX),
                    sl_pool_printf(bind->pool, "steps: %u of them", list->count));
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const char *setting = sl_pool_printf(bind->pool, "steps.%u", i), *wrong;
        struct sl_step *step = &plan->steps[plan->steps_count];
        if (!step_read(bind, list->items[i].value, setting, step))
            continue;
        wrong = step_order(plan->steps_count == 0 ? NULL : step - 1, step);
        if (wrong != NULL)
            plan_refuse(bind, list->items[i].value, "order the steps: shadows, canaries with rising shares, live",
                        sl_pool_printf(bind->pool, "%s: %s", setting, wrong));
        plan->steps_count++;
    }
}

static void plan_read_judge(struct sl_bind *bind, const struct sl_yaml *root, struct sl_plan *plan)
{
    const struct sl_yaml *node = plan_member(root, "judge"), *ratio;
    struct judge_settings settings = {0};
    char *end = NULL;

    if (!plan_bind(bind, sl_judge_fields, &settings, "judge", NULL, node))
        return;
    plan->limits = (struct sl_verdict_limits){.alpha = settings.alpha, .ratio = strtod(settings.ratio, &end), .latency = settings.latency,
                                              .filtered = settings.filtered, .min_records = settings.min_records,
                                              .warm_up_ns = settings.warm_up, .patience_ns = settings.patience};
    ratio = node == NULL ? NULL : plan_member(node, "ratio");
    if (ratio != NULL && (end == settings.ratio || *end != '\0' || !(plan->limits.ratio >= 1.01 && plan->limits.ratio <= 100)))
        plan_refuse(bind, ratio, "write a number between 1.01 and 100, such as 1.2",
                    sl_pool_printf(bind->pool, "judge.ratio: \"%.40s\" is not how many times as much is still good", settings.ratio));
}

static bool expect_levels(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, const struct sl_strings *names,
                          uint32_t *ret_levels)
{
    *ret_levels = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        enum sl_level level;
        if (sl_level_parse(sl_slice_of(names->items[i]), SL_T_STRING, &level) != 0) {
            plan_refuse(bind, node, "allowed: trace, debug, info, warn, error, fatal",
                        sl_pool_printf(bind->pool, "%s.levels: \"%.40s\" is not a level", setting, names->items[i]));
            return false;
        }
        *ret_levels |= 1u << level;
    }
    return true;
}

static void plan_read_expected(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, struct sl_plan *plan)
{
    struct expect_settings settings = {0};
    struct sl_expect_row row = {0};
    struct sl_err err = {0};

    if (!plan_bind(bind, sl_expect_fields, &settings, setting, NULL, node) ||
        !expect_levels(bind, node, setting, &settings.levels, &row.levels))
        return;
    row.sink = settings.sink;
    row.service = settings.service;
    row.fields = settings.fields.items;
    row.fields_count = settings.fields.count;
    row.counts = settings.count;
    if (sl_expect_add(plan->expect, &row, &err) != 0)
        plan_refuse(bind, node, "write { sink: NAME, fields: [user.email] }, or count: true where records may come or go",
                    sl_pool_printf(bind->pool, "%s: %s", setting, err.text));
}

static void plan_read_expect(struct sl_bind *bind, const struct sl_yaml *root, struct sl_plan *plan)
{
    const struct sl_yaml *list = plan_member(root, "expect");

    if (list == NULL || sl_yaml_is_null(list))
        return;
    if (list->kind != SL_YAML_LIST) {
        plan_refuse(bind, list, "write expect: [{ sink: NAME, fields: [user.email] }]",
                    sl_pool_printf(bind->pool, "expect: %s is not a list of differences", sl_bind_found(bind, list)));
        return;
    }
    plan->expect = sl_expect_new();
    for (uint32_t i = 0; plan->expect != NULL && i < list->count; i++)
        plan_read_expected(bind, list->items[i].value, sl_pool_printf(bind->pool, "expect.%u", i), plan);
}

static void plan_read(struct sl_bind *bind, const struct sl_yaml *root, struct sl_plan *plan)
{
    struct plan_settings settings = {0};

    if (root->kind != SL_YAML_MAP) {
        plan_refuse(bind, root, "write steps: [{ canary: 10%, hold: 5m }, live]",
                    sl_pool_printf(bind->pool, "%s is not a plan", sl_bind_found(bind, root)));
        return;
    }
    if (plan_bind(bind, sl_plan_fields, &settings, "", plan_words, root)) {
        plan->by = (enum sl_split_by)settings.by;
        plan->when_unsure = (enum sl_unsure)settings.when_unsure;
    }
    plan_read_steps(bind, root, plan);
    plan_read_judge(bind, root, plan);
    plan_read_expect(bind, root, plan);
}

int sl_plan_load(const char *name, struct sl_diags *diags, struct sl_plan *ret_plan)
{
    uint32_t errors = diags->errors;
    const struct sl_yaml *root;
    struct sl_pool pool;
    struct sl_bind bind;

    sl_plan_init(ret_plan);
    (void)snprintf(ret_plan->name, sizeof(ret_plan->name), "%s", name);
    if (strcmp(name, "now") == 0 || strcmp(name, "canary") == 0) {
        plan_built_in(ret_plan, strcmp(name, "canary") == 0);
        return 0;
    }
    sl_pool_init(&pool);
    bind = (struct sl_bind){.pool = &pool, .diags = diags, .file = name};
    root = sl_yaml_load(&pool, name, diags);
    if (root != NULL)
        plan_read(&bind, root, ret_plan);
    sl_pool_fini(&pool);
    return diags->errors == errors && root != NULL ? 0 : -(int)SL_E_CONFIG;
}
