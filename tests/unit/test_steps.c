/* test_steps.c: plans are read as written, and what is wrong with one is said with its place and what would be right.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/steps.h"

#define MINUTE_NS (60 * SL_NS_PER_S)

/* Loads the text as a plan's file; said gets the diags, a line each: "LINE:COLUMN: TEXT (REMEDY)". */
static int load(const char *text, struct sl_plan *plan, char *said, size_t bytes)
{
    char path[] = "/tmp/sl_plan_XXXXXX";
    int fd = mkstemp(path), status;
    struct sl_diags diags;
    size_t at = 0;

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
    said[0] = '\0';
    sl_diags_init(&diags);
    status = sl_plan_load(path, &diags, plan);
    for (uint32_t i = 0; i < diags.count && at < bytes; i++)
        at += (size_t)snprintf(said + at, bytes - at, "%u:%u: %s (%s)\n", diags.items[i].line, diags.items[i].column, diags.items[i].text,
                               diags.items[i].remedy);
    assert_int_equal(status != 0, diags.errors > 0);
    sl_diags_fini(&diags);
    (void)unlink(path);
    return status;
}

static void test_a_whole_plan(void **state)
{
    static const char text[] = "steps: [{ shadow: 5m }, { canary: 1%, hold: 2m }, { canary: 0.1, hold: 1h }, live]\n"
                               "by: partition\n"
                               "judge: { alpha: 0.02, ratio: 1.5, latency: false, filtered: false, min_records: 50, warm_up: 0s, patience: 10m }\n"
                               "when_unsure: rollback\n"
                               "expect:\n"
                               "  - { sink: search, levels: [error, Warning], service: \"web-*\", fields: [user.email] }\n"
                               "  - { count: true }\n";
    struct sl_plan plan;
    char said[2000], step[64];
    (void)state;

    if (load(text, &plan, said, sizeof(said)) != 0)
        fail_msg("%s", said);
    assert_int_equal(plan.steps_count, 4);
    assert_int_equal(plan.steps[0].kind, SL_STEP_SHADOW);
    assert_int_equal(plan.steps[0].hold_ns, 5 * MINUTE_NS);
    assert_true(plan.steps[1].kind == SL_STEP_CANARY && plan.steps[1].share == 0.01 && plan.steps[1].hold_ns == 2 * MINUTE_NS);
    assert_string_equal(sl_step_print(&plan.steps[2], step), "canary 10%, 1h");
    assert_int_equal(plan.steps[3].kind, SL_STEP_LIVE);
    assert_int_equal(plan.by, SL_SPLIT_PARTITION);
    assert_int_equal(plan.when_unsure, SL_UNSURE_ROLLBACK);
    assert_true(plan.limits.alpha == 0.02 && plan.limits.ratio == 1.5 && !plan.limits.latency && !plan.limits.filtered);
    assert_true(plan.limits.min_records == 50 && plan.limits.warm_up_ns == 0 && plan.limits.patience_ns == 10 * MINUTE_NS);
    assert_int_equal(sl_expect_count(plan.expect), 2);
    assert_string_equal(sl_expect_sink(plan.expect, 0), "search");
    sl_plan_fini(&plan);
}

static void test_the_defaults_are_those_of_what_is_built_in(void **state)
{
    struct sl_plan plan, canary;
    struct sl_diags diags;
    char said[2000];
    (void)state;

    assert_int_equal(load("steps: [live]\n", &plan, said, sizeof(said)), 0);
    sl_diags_init(&diags);
    assert_int_equal(sl_plan_load("canary", &diags, &canary), 0);
    assert_memory_equal(&plan.limits, &canary.limits, sizeof(plan.limits));
    assert_memory_equal(&plan.limits, &sl_verdict_defaults, sizeof(plan.limits));
    assert_int_equal(canary.steps_count, 4);
    assert_int_equal(canary.steps[3].kind, SL_STEP_LIVE);
    sl_plan_fini(&canary);
    assert_int_equal(sl_plan_load("now", &diags, &canary), 0);
    assert_int_equal(canary.steps_count, 1);
    assert_int_equal(canary.steps[0].kind, SL_STEP_LIVE);
    assert_int_not_equal(sl_plan_load("/nowhere/plan.yaml", &diags, &canary), 0);
    assert_int_equal(diags.errors, 1);
    sl_plan_fini(&canary);
    sl_plan_fini(&plan);
    sl_diags_fini(&diags);
}

static const struct {
    const char *text, *place, *says, *remedy;
} wrong[] = {
    {"- live\n", "1:1", "a list is not a plan", "steps:"},
    {"by: key\n", "1:1", "steps: missing", "write steps: [{ canary: 10%, hold: 5m }, live]"},
    {"steps: live\n", "1:8", "steps: not a list", "write steps:"},
    {"steps: [now]\n", "1:9", "steps.0: \"now\" is no step", "or live"},
    {"steps: [live, { shadow: 5m }]\n", "1:15", "nothing comes after live", "order the steps"},
    {"steps: [{ canary: 10%, hold: 1m }, { shadow: 5m }]\n", "1:36", "a shadow comes before all canaries", "order the steps"},
    {"steps: [{ canary: 10%, hold: 1m }, { canary: 5%, hold: 1m }]\n", "1:36", "more than that of the step before", "rising shares"},
    {"steps: [{ canary: 10% }]\n", "1:9", "a canary has no hold", "hold: 5m"},
    {"steps: [{ shadow: 10m, hold: 1m }]\n", "1:9", "a shadow lasts as long as it says", "{ shadow: 5m }"},
    {"steps: [{ shadow: 10m, canary: 1%, hold: 1m }]\n", "1:9", "one step cannot be a shadow and a canary", "live"},
    {"steps: [{ canary: 100%, hold: 1m }]\n", "1:19", "100%", "99%"},
    {"steps: [{ canary: lots, hold: 1m }]\n", "1:19", "\"lots\" is not a share", "10%"},
    {"steps: [{ canary: 10%, hold: soon }]\n", "1:30", "\"soon\" is not a duration", "write a duration"},
    {"steps: [{ canry: 10%, hold: 1m }]\n", "1:11", "unknown key \"canry\"", "did you mean \"canary\"?"},
    {"steps: [live]\nby: topic\n", "2:5", "by: \"topic\"", "key"},
    {"steps: [live]\nwhen_unsure: shrug\n", "2:14", "when_unsure: \"shrug\"", "rollback"},
    {"steps: [live]\njudge: { alpha: 2 }\n", "2:17", "judge.alpha", "%"},
    {"steps: [live]\njudge: { ratio: 0.9 }\n", "2:17", "judge.ratio: \"0.9\"", "between 1.01 and 100"},
    {"steps: [live]\njudge: { ratio: much }\n", "2:17", "judge.ratio: \"much\"", "such as 1.2"},
    {"steps: [live]\njudge: { min_record: 1 }\n", "2:10", "unknown key \"min_record\"", "min_records"},
    {"steps: [live]\njudge: yes\n", "2:8", "judge: \"yes\" is not a mapping", "KEY: VALUE"},
    {"steps: [live]\nexpect: everything\n", "2:9", "is not a list of differences", "fields: [user.email]"},
    {"steps: [live]\nexpect: [{ sink: a }]\n", "2:10", "expect.0", "count: true"},
    {"steps: [live]\nexpect: [{ fields: [a], levels: [loud] }]\n", "2:10", "expect.0.levels: \"loud\" is not a level", "warn"},
    {"steps: [live]\nplan: b\n", "2:1", "unknown key \"plan\"", "steps"},
    {"steps: [live\n", "", "", ""},
};

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sl_plan plan;
        char said[4000];
        if (load(wrong[i].text, &plan, said, sizeof(said)) == 0)
            fail_msg("accepted: %s", wrong[i].text);
        if (strncmp(said, wrong[i].place, strlen(wrong[i].place)) != 0 || strstr(said, wrong[i].says) == NULL ||
            strstr(said, wrong[i].remedy) == NULL)
            fail_msg("%s: expected %s, %s, %s, found %s", wrong[i].text, wrong[i].place, wrong[i].says, wrong[i].remedy, said);
        sl_plan_fini(&plan);
    }
}

static void test_more_steps_than_there_is_room(void **state)
{
    struct sl_plan plan;
    char text[4000] = "steps:\n", said[2000];
    (void)state;

    for (int i = 0; i <= SL_STEPS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "  - { shadow: 1m }\n");
    assert_int_not_equal(load(text, &plan, said, sizeof(said)), 0);
    assert_non_null(strstr(said, "steps: 33 of them (at most 32)"));
    sl_plan_fini(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_plan),
        cmocka_unit_test(test_the_defaults_are_those_of_what_is_built_in),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_more_steps_than_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
