/* test_deployer.c: what a command has answered holds at the next start, whatever refuses or dies in between; plans walk, hold and take
 * out by the judge's word.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <assert.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/blame.h"
#include "runtime/deploy/blame.h"
#include "tests/support/fake_engine.h"

/* A process: from the start rule to its end. */
struct process {
    struct sl_disk *disk;
    struct fake_engine fake;
    struct sl_deployer *deployer;
    struct sl_topology *running;
    char said[640];
    struct sl_err err;
    struct sl_buf json;
};

static const struct sl_who anna = {"anna", 1000};
static const char file1[] = "/src/one.yaml", file2[] = "/src/two.yaml", file3[] = "/src/three.yaml";

static void process_make(struct process *process, uint64_t seed)
{
    memset(process, 0, sizeof(*process));
    process->disk = sl_disk_new(seed);
    process->fake.fs = sl_disk_fs(process->disk);
    process->fake.now_ns = 1000 * SL_NS_PER_S;
    process->fake.files[0] = (struct fake_file){file1, 11};
    process->fake.files[1] = (struct fake_file){file2, 22};
    process->fake.files[2] = (struct fake_file){file3, 33};
    process->fake.files[3] = (struct fake_file){"/src/plan", 44};
}

static int process_begin_as(struct process *process, const char *file, bool by_hand, bool from_files)
{
    struct fake_engine *fake = &process->fake;
    struct sl_start_settings start_settings = {fake->fs, "/data", fake_load(fake), fake_unix_ms(fake), from_files, false};
    struct sl_deployer_settings settings = {.host = (struct sl_host *)(void *)fake, .engine = &fake_engine_table, .load = fake_load(fake),
                                            .fs = fake->fs, .data_dir = "/data", .by_hand = by_hand,
                                            .clock = {fake_now_ns, fake_unix_ms, fake}};
    struct sl_start start = {0};
    struct sl_diags diags;
    struct sl_topology *topology = NULL;
    struct sl_strings none = {0};

    memset(&process->err, 0, sizeof(process->err));
    sl_diags_init(&diags);
    assert_int_equal(fake_load_file(fake, file, &none, &diags, &topology), 0);
    sl_diags_fini(&diags);
    if (sl_start_choose(&start_settings, &topology, 1, &start, &process->err) != 0) {
        (void)fake_topology_free(topology);
        return -1;
    }
    (void)snprintf(process->said, sizeof(process->said), "%s", start.items[0].said);
    process->running = start.items[0].topology;
    if (sl_deployer_open(&settings, &start, &process->deployer, &process->err) != 0) {
        process->running = fake_topology_free(process->running);
        process->deployer = NULL;
        return -1;
    }
    return 0;
}

static int process_begin(struct process *process, const char *file)
{
    return process_begin_as(process, file, true, false);
}

static void process_end(struct process *process)
{
    process->deployer = sl_deployer_close(process->deployer);
    process->running = fake_topology_free(process->running);
}

static void process_free(struct process *process)
{
    process_end(process);
    assert_int_equal(process->fake.opened, 0);
    sl_buf_fini(&process->json);
    sl_disk_free(process->disk);
}

/* ---- commands, shortened ---- */

static int deploy(struct process *process, const char *file, const char *plan)
{
    struct sl_deploy_request request = {file, NULL, 0, plan};
    sl_buf_reset(&process->json);
    return sl_deployer_deploy(process->deployer, &request, &anna, &process->json);
}

static int promote(struct process *process, double share)
{
    sl_buf_reset(&process->json);
    return sl_deployer_promote(process->deployer, NULL, share, SL_SPLIT_KEY, &anna, &process->json);
}

static int rollback(struct process *process)
{
    sl_buf_reset(&process->json);
    return sl_deployer_rollback(process->deployer, NULL, &anna, &process->json);
}

static int shadow(struct process *process, bool on)
{
    sl_buf_reset(&process->json);
    return sl_deployer_shadow(process->deployer, "orders", on, &anna, &process->json);
}

static bool says(const struct process *process, const char *text)
{
    bool found = strstr(sl_buf_str(&process->json), text) != NULL;

    if (!found)
        print_message("not \"%s\": %s\n", text, sl_buf_str(&process->json));
    return found;
}

static bool history_says(struct process *process, const char *text)
{
    sl_buf_reset(&process->json);
    assert_int_equal(sl_deployer_history(process->deployer, NULL, &process->json), 0);
    return says(process, text);
}

static void watched(struct process *process, char *text, size_t bytes)
{
    struct sl_watch *watch = NULL;
    struct sl_err err = {0};
    int64_t got;
    size_t at = 0;

    assert_int_equal(sl_deployer_watch(process->deployer, "orders", &watch, &err), 0);
    while ((got = sl_watch_read(watch, text + at, bytes - at - 1, 0)) > 0)
        at += (size_t)got;
    text[at] = '\0';
    watch = sl_watch_close(watch);
}

static void later(struct process *process, uint64_t seconds)
{
    process->fake.now_ns += seconds * SL_NS_PER_S;
    (void)sl_deployer_turn(process->deployer);
}

/* Seconds of good traffic, looked at in each. */
static void good(struct process *process, uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        process->fake.sides.canary.records += 500;
        process->fake.sides.baseline.records += 500;
        later(process, 1);
    }
}

/* ---- commands ---- */

static void test_deploy_and_promote(void **state)
{
    struct process process;
    char lines[4000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_string_equal(process.said, "");
    assert_int_equal(process.fake.live, 1);
    assert_int_equal(deploy(&process, file1, NULL), 0);
    assert_true(says(&process, "no change, generation 1 is live"));
    assert_int_equal(process.fake.opened, 0);

    assert_int_equal(deploy(&process, file2, NULL), 0);
    assert_true(says(&process, "generation 2 is warm"));
    assert_true(says(&process, "\"state\":\"warm\""));
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "\"end\":\"warm\""));
    assert_int_equal(process.fake.live, 1);
    assert_int_not_equal(deploy(&process, file3, NULL), 0);
    assert_true(says(&process, "generation 2 (deployed by anna) is warm; one deployment at a time: `sluice promote orders` makes it live, `sluice rollback orders` takes it out"));

    assert_int_equal(promote(&process, 0), 0);
    assert_true(says(&process, "generation 2 is live (2 slots swapped in 3 ms)"));
    assert_int_equal(process.fake.live, 2);
    assert_int_not_equal(promote(&process, 0), 0);
    assert_true(says(&process, "there is no other one to promote"));
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"live\""));
    assert_true(history_says(&process, "\"generation\":1,\"state\":\"previous\",\"digest\":\"000000000000000b\",\"who\":\"start\""));
    process_free(&process);
}

static void test_what_does_not_load_changes_nothing(void **state)
{
    struct process process;
    struct sl_deploy_request request = {"/src/nowhere.yaml", NULL, 0, NULL};
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_not_equal(sl_deployer_deploy(process.deployer, &request, &anna, &process.json), 0);
    assert_true(says(&process, "/src/nowhere.yaml:3:5: error: sinks.landing.type is missing"));
    assert_true(says(&process, "\"diags\":[{\"warning\":false,\"file\":\"/src/nowhere.yaml\",\"line\":3,\"column\":5"));
    assert_int_not_equal(deploy(&process, file2, "/nowhere/plan.yaml"), 0);
    assert_true(says(&process, "/nowhere/plan.yaml"));
    process.fake.refuse = "prepare";
    assert_int_not_equal(deploy(&process, file2, NULL), 0);
    assert_true(says(&process, "the slot refuses to prepare"));
    process.fake.refuse = NULL;
    assert_int_equal(process.fake.live, 1);
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"failed\""));
    assert_int_equal(deploy(&process, file2, "now"), 0); /* and it goes on */
    assert_true(says(&process, "generation 3 is live"));
    process_free(&process);
}

static void test_sets_make_another_version(void **state)
{
    static const char *const sets[] = {"sinks.landing.dir=x"};
    struct sl_deploy_request request = {file1, sets, 1, "now"};
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(sl_deployer_deploy(process.deployer, &request, &anna, &process.json), 0);
    assert_true(says(&process, "generation 2 is live"));
    process_free(&process);
}

static void test_rollback_of_a_candidate_and_of_a_live_one(void **state)
{
    struct process process;
    char lines[4000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_not_equal(rollback(&process), 0);
    assert_true(says(&process, "there is none before it to go back to"));
    assert_int_equal(deploy(&process, file2, NULL), 0);
    assert_int_equal(promote(&process, 0.1), 0);
    assert_true(process.fake.share == 0.1);
    assert_int_equal(rollback(&process), 0);
    assert_int_equal(process.fake.discards, 1);
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "\"end\":\"rolled_back\""));
    assert_true(history_says(&process, "\"reason\":\"rolled back by anna\""));

    assert_int_equal(deploy(&process, file2, "now"), 0);
    assert_int_equal(process.fake.live, 3);
    process.fake.refuse = "prepare";
    assert_int_not_equal(rollback(&process), 0);
    assert_true(says(&process, "generation 3 stays live"));
    process.fake.refuse = "promote";
    assert_int_not_equal(rollback(&process), 0);
    assert_int_equal(process.fake.live, 3);
    assert_true(history_says(&process, "\"generation\":1,\"state\":\"previous\""));
    process.fake.refuse = NULL;
    assert_int_equal(rollback(&process), 0);
    assert_int_equal(process.fake.live, 1);
    assert_true(history_says(&process, "\"generation\":3,\"state\":\"failed\""));
    assert_int_equal(deploy(&process, file1, NULL), 0);
    assert_true(says(&process, "no change, generation 1"));
    process_free(&process);
}

static void test_a_refused_swap_leaves_the_old_one(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "now"), 0);
    process.fake.refuse = "promote";
    assert_int_not_equal(deploy(&process, file3, "now"), 0);
    assert_true(says(&process, "the slot refuses to promote"));
    assert_int_equal(process.fake.live, 2);
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"live\""));
    assert_true(history_says(&process, "\"generation\":1,\"state\":\"previous\""));
    assert_true(history_says(&process, "\"generation\":3,\"state\":\"failed\""));
    assert_int_equal(deploy(&process, file3, NULL), 0);
    assert_int_equal(promote(&process, 0.01), 0);
    process.fake.refuse = "canary"; /* this one leaves the candidate warm */
    assert_int_not_equal(promote(&process, 0.1), 0);
    assert_true(history_says(&process, "\"generation\":4,\"state\":\"warm\""));
    process_free(&process);
}

static struct sl_disk *failing_disk;
static void fail_next_write(struct fake_engine *fake)
{
    (void)fake;
    sl_disk_fail_fsync(failing_disk, 1);
}

static void test_rows_that_are_owed_are_written_later(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    failing_disk = process.disk;
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, NULL), 0);
    process.fake.refuse = "promote";
    process.fake.at_promote = fail_next_write;
    assert_int_not_equal(promote(&process, 0), 0);
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"live\"")); /* still wrong on the disk */
    (void)sl_deployer_turn(process.deployer);
    assert_true(history_says(&process, "\"generation\":1,\"state\":\"live\""));
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"failed\""));
    process_free(&process);
}

static void test_a_disk_that_refuses_the_row_stops_the_step(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, NULL), 0);
    sl_disk_fail_fsync(process.disk, 1);
    assert_int_not_equal(promote(&process, 0), 0);
    assert_true(says(&process, "cannot be written down"));
    assert_int_equal(process.fake.promotes, 0);
    assert_int_equal(promote(&process, 0), 0);
    assert_int_equal(process.fake.live, 2);
    process_free(&process);
}

static void test_shadow_by_hand(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_not_equal(sl_deployer_shadow_diff(process.deployer, NULL, &process.json), 0);
    assert_true(says(&process, "no generation was a shadow"));
    assert_int_equal(deploy(&process, file2, NULL), 0);
    assert_int_equal(shadow(&process, true), 0);
    process.fake.sides.compared = 100;
    process.fake.sides.differing = 7;
    later(&process, 1); /* by hand: differences are there to be looked at */
    sl_buf_reset(&process.json);
    assert_int_equal(sl_deployer_shadow_diff(process.deployer, NULL, &process.json), 0);
    assert_string_equal(sl_buf_str(&process.json), "{\"topology\":\"orders\",\"generation\":2,\"shadow\":{\"differing\":7}}");
    assert_int_equal(shadow(&process, false), 0);
    assert_true(says(&process, "\"state\":\"warm\""));
    process.fake.sides.differing = 8;
    assert_int_equal(shadow(&process, true), 0);
    assert_int_equal(promote(&process, 0.5), 0);
    assert_int_not_equal(shadow(&process, true), 0);
    assert_true(says(&process, "a shadow comes before that"));
    sl_buf_reset(&process.json);
    assert_int_equal(sl_deployer_shadow_diff(process.deployer, NULL, &process.json), 0); /* what the shadow found stays */
    assert_true(says(&process, "{\"differing\":8}"));
    process_free(&process);
}

static void test_pause_and_drain(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(sl_deployer_pause(process.deployer, NULL, true, &anna, &process.json), 0);
    assert_true(process.fake.paused);
    sl_buf_reset(&process.json);
    assert_int_equal(sl_deployer_status(process.deployer, NULL, &process.json), 0);
    assert_true(says(&process, "\"live\":1,") && says(&process, "\"paused\":true"));
    assert_int_equal(sl_deployer_pause(process.deployer, NULL, false, &anna, &process.json), 0);
    assert_false(process.fake.paused);
    assert_int_equal(deploy(&process, file2, NULL), 0);
    assert_int_equal(sl_deployer_drain(process.deployer, NULL, &anna, &process.json), 0);
    assert_true(process.fake.drained);
    assert_int_equal(process.fake.discards, 1);
    assert_int_not_equal(deploy(&process, file3, NULL), 0);
    assert_true(says(&process, "was drained and has ended"));
    assert_int_not_equal(sl_deployer_pause(process.deployer, "nobody", true, &anna, &process.json), 0);
    assert_true(says(&process, "no topology nobody runs here, but orders"));
    process_free(&process);
}

static void test_nothing_changes_while_it_is_held(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, NULL), 0);
    assert_int_not_equal(sl_deployer_hold(process.deployer, "the binary is being upgraded", &process.err), 0);
    assert_non_null(strstr(process.err.text, "generation 2 (deployed by anna) is warm; `sluice promote orders` or `sluice rollback orders` first"));
    assert_int_equal(promote(&process, 0), 0);
    assert_int_equal(sl_deployer_hold(process.deployer, "the binary is being upgraded", &process.err), 0);
    assert_int_not_equal(deploy(&process, file3, NULL), 0);
    assert_true(says(&process, "the binary is being upgraded; nothing is changed until then"));
    assert_int_not_equal(rollback(&process), 0);
    assert_int_not_equal(promote(&process, 0.1), 0);
    sl_deployer_let(process.deployer);
    assert_int_equal(rollback(&process), 0);
    process_free(&process);
}

/* What others ask for while a version is being opened, which may take long. */
static struct process *opening;
static int asked_while_opening;

static void others_ask(struct fake_engine *fake)
{
    struct sl_deploy_request request = {file3, NULL, 0, NULL};
    struct sl_who bob = {"bob", 1001};
    struct sl_buf json = {0};

    if (asked_while_opening++ > 0)
        return;
    assert_int_not_equal(sl_deployer_deploy(opening->deployer, &request, &bob, &json), 0);
    assert_non_null(strstr(sl_buf_str(&json), "a generation is being opened (by anna); one deployment at a time"));
    sl_buf_reset(&json);
    assert_int_not_equal(sl_deployer_promote(opening->deployer, NULL, 1, SL_SPLIT_KEY, &bob, &json), 0);
    assert_non_null(strstr(sl_buf_str(&json), "wait for it, or `sluice rollback orders`"));
    sl_buf_reset(&json);
    assert_int_not_equal(sl_deployer_pause(opening->deployer, NULL, true, &bob, &json), 0);
    sl_buf_reset(&json);
    assert_int_equal(sl_deployer_status(opening->deployer, NULL, &json), 0);
    assert_non_null(strstr(sl_buf_str(&json), "\"doing\":\"a generation is being opened (by anna)\""));
    sl_buf_reset(&json);
    assert_int_equal(sl_deployer_rollback(opening->deployer, NULL, &bob, &json), 0);
    assert_non_null(strstr(sl_buf_str(&json), "goes as soon as it is open"));
    sl_buf_fini(&json);
    assert_false(fake->paused);
}

static void test_others_are_answered_while_a_version_is_opened(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    opening = &process;
    assert_int_equal(process_begin(&process, file1), 0);
    process.fake.at_prepare = others_ask;
    assert_int_not_equal(deploy(&process, file2, "now"), 0);
    assert_true(says(&process, "rolled back by bob while it was being opened"));
    assert_int_equal(process.fake.opened, 0);
    assert_int_equal(process.fake.live, 1);
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"failed\""));
    assert_int_equal(deploy(&process, file2, "now"), 0);
    process_free(&process);
}

/* ---- plans ---- */

static void test_a_canary_walks_to_live(void **state)
{
    struct process process;
    char lines[8000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "canary"), 0);
    assert_true(says(&process, "walks plan canary, now: canary 1%, 2m"));
    good(&process, 59);
    assert_true(process.fake.share == 0.01);
    sl_buf_reset(&process.json);
    assert_int_equal(sl_deployer_status(process.deployer, "orders", &process.json), 0);
    assert_true(says(&process, "\"plan\":\"canary\",\"step\":1,\"steps\":4"));
    assert_int_not_equal(deploy(&process, file3, NULL), 0);
    assert_true(says(&process, "generation 2 (deployed by anna) is a canary at 1%, step 1 of 4 of plan canary"));
    good(&process, 121);
    assert_true(process.fake.share == 0.1);
    good(&process, 300);
    assert_true(process.fake.share == 0.5);
    good(&process, 300);
    assert_int_equal(process.fake.live, 2);
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "step 2 of 4: canary 10%, 5m"));
    assert_non_null(strstr(lines, "\"end\":\"live\""));
    assert_true(history_says(&process, "not worse than the"));
    process_free(&process);
}

static void test_a_worse_canary_is_out_within_a_turn(void **state)
{
    struct process process;
    char lines[8000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "canary"), 0);
    good(&process, 100);
    process.fake.sides.canary.errors += 400;
    process.fake.now_ns += SL_NS_PER_S / 2;
    (void)sl_deployer_turn(process.deployer);
    assert_int_equal(process.fake.discards, 1);
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "rolled back: errors: 400 of 20000 in the canary, 0 of 20000 beside it"));
    assert_non_null(strstr(lines, "\"end\":\"rolled_back\""));
    assert_true(history_says(&process, "\"generation\":2,\"state\":\"failed\""));
    assert_true(history_says(&process, "\"verdict\":\"errors: 400 of 20000"));
    process_free(&process);
}

static void test_a_broken_one_is_out_by_hand_or_by_plan(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    for (int turn = 0; turn < 3; turn++) {
        process.fake.sides = (struct sl_sides){0};
        assert_int_equal(deploy(&process, file2, turn == 2 ? "canary" : NULL), 0);
        assert_int_equal(turn == 0 ? shadow(&process, true) : turn == 1 ? promote(&process, 0.01) : 0, 0);
        process.fake.sides.broken = true;
        (void)snprintf(process.fake.sides.why.text, sizeof(process.fake.sides.why.text), "operator mask: a plugin gave an error");
        (void)sl_deployer_turn(process.deployer);
        assert_int_equal(process.fake.opened, 0);
        assert_true(history_says(&process, "it broke: operator mask: a plugin gave an error"));
    }
    process_free(&process);
}

static void test_a_plan_holds_for_lack_of_traffic(void **state)
{
    struct process process;
    char lines[8000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "canary"), 0);
    later(&process, 60);
    process.fake.sides.canary.records = 12;
    later(&process, 120);
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "12 records in 2m: too few to tell (the plan asks for 1000); the plan holds: `sluice promote orders` or `sluice rollback orders`"));
    assert_non_null(strstr(lines, "\"end\":\"held\""));
    good(&process, 500); /* it stays, and is judged */
    assert_true(process.fake.share == 0.01);
    assert_int_equal(promote(&process, 0), 0);
    assert_int_equal(process.fake.live, 2);
    watched(&process, lines, sizeof(lines)); /* a new run of lines */
    assert_null(strstr(lines, "held"));
    assert_non_null(strstr(lines, "\"end\":\"live\""));
    process_free(&process);
}

static void test_a_disk_that_refuses_makes_the_plan_hold(void **state)
{
    struct process process;
    char lines[8000];
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "canary"), 0);
    good(&process, 179);
    sl_disk_fail_fsync(process.disk, 1);
    good(&process, 1);
    watched(&process, lines, sizeof(lines));
    assert_non_null(strstr(lines, "the step cannot be written down"));
    assert_non_null(strstr(lines, "\"end\":\"held\""));
    assert_true(process.fake.share == 0.01);
    assert_int_equal(promote(&process, 0.2), 0); /* and it goes on by hand */
    assert_true(process.fake.share == 0.2);
    process_free(&process);
}

static void test_a_step_that_cannot_be_taken_ends_the_plan(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    process.fake.refuse = "canary";
    assert_int_not_equal(deploy(&process, file2, "canary"), 0);
    assert_true(says(&process, "generation 2 failed at its first step: the slot refuses to canary"));
    assert_int_equal(process.fake.opened, 0);
    process.fake.refuse = NULL;
    assert_int_equal(deploy(&process, file2, "canary"), 0);
    good(&process, 60);
    process.fake.refuse = "canary";
    good(&process, 121);
    assert_true(history_says(&process, "\"generation\":3,\"state\":\"failed\""));
    assert_int_equal(process.fake.live, 1);
    process_free(&process);
}

/* With threads and the real clock's waits; nothing here depends on how long they take. */
static void test_a_thread_watches_the_canary(void **state)
{
    struct process process;
    struct sl_watch *watch = NULL;
    char line[2000];
    bool ended = false;
    int64_t got;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin_as(&process, file1, false, false), 0);
    process.fake.sides.broken = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(deploy(&process, file2, "canary"), 0);
        assert_int_equal(sl_deployer_watch(process.deployer, NULL, &watch, &process.err), 0);
        while ((got = sl_watch_read(watch, line, sizeof(line) - 1, 1000)) >= 0) {
            line[got] = '\0';
            ended = ended || strstr(line, "\"end\":\"rolled_back\"") != NULL;
        }
        watch = sl_watch_close(watch);
        assert_true(ended);
    }
    process_free(&process);
}

/* ---- starts ---- */

static void test_the_live_generation_comes_back(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "now"), 0);
    process_end(&process);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(process.fake.live, 2);
    assert_int_equal(process.running->digest, 22);
    assert_string_equal(process.said, "topology orders: generation 2 (deployed by anna, 2023-11-14 22:30) runs; /src/one.yaml is generation 1's "
                                      "(previous); `sluice deploy /src/one.yaml` makes it live");
    process_end(&process);
    assert_int_equal(process_begin(&process, file2), 0); /* FILE is what runs */
    assert_string_equal(process.said, "");
    process_end(&process);
    assert_int_equal(process_begin(&process, file3), 0); /* never seen */
    assert_int_equal(process.fake.live, 3);
    assert_non_null(strstr(process.said, "/src/three.yaml is new here and runs as generation 3; generation 2 (by anna) was live until now"));
    assert_int_equal(rollback(&process), 0);
    assert_int_equal(process.fake.live, 2);
    process_end(&process);
    assert_int_equal(process_begin(&process, file3), 0); /* rolled back is rolled back */
    assert_int_equal(process.fake.live, 2);
    process_end(&process);
    assert_int_equal(process_begin_as(&process, file3, true, true), 0); /* --from-files */
    assert_int_equal(process.running->digest, 33);
    process_free(&process);
}

static void test_where_only_files_speak_the_file_runs(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    process_end(&process);
    assert_int_equal(process_begin(&process, file2), 0); /* edited */
    assert_int_equal(process.running->digest, 22);
    process_end(&process);
    assert_int_equal(process_begin(&process, file1), 0); /* the edit taken back */
    assert_int_equal(process.running->digest, 11);
    assert_int_equal(process.fake.live, 3);
    assert_int_equal(rollback(&process), 0); /* a person's word, from here on */
    process_end(&process);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(process.running->digest, 22);
    process_free(&process);
}

/* ---- blame; on the kernel's files, since the dying process writes them ---- */

static void die_in(const char *dir, uint32_t generation)
{
    struct sl_blame_frame frame = {"orders", "mask", generation, true};
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct sl_err err = {0};
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL); /* the test library has its own */
        if (sl_blame_open(dir, &err) == 0) {
            sl_blame_thread();
            sl_blame_enter(&frame);
            (void)raise(SIGSEGV);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void test_what_crashes_twice_is_left_out(void **state)
{
    struct fake_engine fake = {.fs = sl_fs_posix()};
    char dir[] = "/tmp/sl_deployer_XXXXXX", written[PATH_MAX], command[PATH_MAX + 32];
    struct sl_generations generations;
    struct sl_err err = {0};
    (void)state;

    if (SL_BLAME_OFF)
        skip();
    assert_non_null(mkdtemp(dir));
    (void)snprintf(written, sizeof(written), "%s/written", dir);
    assert_int_equal(sl_generations_open(fake.fs, dir, "orders", &generations, &err), 0);
    for (uint64_t digest = 11; digest <= 22; digest += 11) {
        struct sl_generation_file file = {written, "topology.yaml"};
        struct sl_generation_row row = {.digest = digest, .who = "anna"};
        FILE *out = fopen(written, "w");
        assert_true(out != NULL && fprintf(out, "orders %" PRIu64 "\n", digest) > 0 && fclose(out) == 0);
        assert_int_equal(sl_generations_add(&generations, &file, 1, &row, &err), 0);
        assert_int_equal(sl_generations_set(&generations, row.number, SL_GENERATION_LIVE, 1, 5, NULL, &err), 0);
    }
    sl_generations_close(&generations);
    for (int crashes = 1; crashes <= 2; crashes++) {
        struct sl_start_settings settings = {fake.fs, dir, fake_load(&fake), 5000, false, false};
        struct sl_topology *topology = fake_topology(file2, 22);
        struct sl_start start = {0};
        die_in(dir, 2);
        assert_int_equal(sl_start_choose(&settings, &topology, 1, &start, &err), 0);
        assert_int_equal(start.items[0].number, crashes == 1 ? 2 : 1);
        if (crashes == 2)
            assert_non_null(strstr(start.items[0].said, "topology orders: generation 2 is left out: its code crashed the process twice within a "
                                                        "minute (SIGSEGV in mask); generation 1 is live again"));
        (void)fake_topology_free(start.items[0].topology);
        sl_start_fini(&start, "");
    }
    assert_int_equal(sl_generations_open(fake.fs, dir, "orders", &generations, &err), 0);
    assert_int_equal(sl_generations_find(&generations, 2)->state, SL_GENERATION_FAILED);
    assert_int_equal(sl_generations_find(&generations, 2)->crashes, 2);
    sl_generations_close(&generations);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_a_start_that_never_ran_is_begun_again(void **state)
{
    struct process process;
    struct fake_engine *fake = &process.fake;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    process_end(&process);
    for (int i = 0; i < 3; i++) { /* chosen, but the host does not open */
        struct sl_start_settings settings = {fake->fs, "/data", fake_load(fake), 5000, false, false};
        struct sl_topology *topology = fake_topology(file2, 22);
        struct sl_start start = {0};
        assert_int_equal(sl_start_choose(&settings, &topology, 1, &start, &process.err), 0);
        assert_int_equal(start.items[0].number, 2);
        (void)fake_topology_free(start.items[0].topology);
        sl_start_fini(&start, "the port is taken");
    }
    assert_int_equal(process_begin(&process, file2), 0);
    assert_int_equal(process.fake.live, 2);
    assert_true(history_says(&process, "\"generation\":1,\"state\":\"previous\""));
    process_free(&process);
}

/* Rows are kept for a while only; the file that the process is started with is known for good. */
static void test_a_file_whose_row_is_long_gone_does_not_come_back(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    for (int i = 0; i < SL_GENERATIONS_KEPT + 1; i++)
        assert_int_equal(deploy(&process, i % 2 == 0 ? file2 : file3, "now"), 0);
    assert_false(history_says(&process, "\"generation\":1,"));
    process_end(&process);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(process_begin(&process, file1), 0);
        assert_int_equal(process.fake.live, SL_GENERATIONS_KEPT + 2);
        assert_int_equal(process.running->digest, 22);
        process_end(&process);
    }
    process_free(&process);
}

static void test_a_live_one_that_does_not_load_is_refused(void **state)
{
    struct process process;
    (void)state;

    process_make(&process, 1);
    assert_int_equal(process_begin(&process, file1), 0);
    assert_int_equal(deploy(&process, file2, "now"), 0);
    process_end(&process);
    assert_int_equal(sl_disk_cut(process.disk, "/data/generations/orders/2/topology.yaml", 3), 0);
    assert_int_not_equal(process_begin(&process, file1), 0);
    assert_non_null(strstr(process.err.text, "topology orders: generation 2 is live, and cannot be loaded any more: "
                                             "/data/generations/orders/2/topology.yaml:1: is damaged"));
    assert_non_null(strstr(process.err.text, "--from-files"));
    assert_int_equal(process_begin_as(&process, file1, true, true), 0);
    assert_int_equal(process.running->digest, 11);
    process_free(&process);
}

/* ---- crashes ---- */

struct told { /* what the user was told last, and what was being asked for */
    uint64_t live, asked;
};

static bool deploys(struct process *process, struct told *told, const char *file, uint64_t digest)
{
    told->asked = digest;
    if (deploy(process, file, NULL) != 0 || shadow(process, true) != 0 || promote(process, 0.1) != 0 || promote(process, 0) != 0)
        return false;
    told->live = digest;
    return true;
}

static void all_steps(struct process *process, struct told *told)
{
    told->asked = 11;
    if (process_begin(process, file1) != 0)
        return;
    told->live = 11;
    if (!deploys(process, told, file2, 22))
        return;
    if (deploy(process, file3, NULL) != 0 || promote(process, 0.5) != 0 || rollback(process) != 0)
        return;
    if (!deploys(process, told, file3, 33))
        return;
    told->asked = 22;
    if (rollback(process) == 0)
        told->live = 22;
}

static void test_a_crash_at_any_step_leaves_the_right_one(void **state)
{
    uint64_t total = UINT64_MAX, tried = 0, between = 0;
    (void)state;

    for (uint64_t cut = 0; cut < total; cut++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct process process;
            struct told told = {0, 0};
            uint64_t before;
            process_make(&process, seed);
            (void)sl_fs_mkdirs(process.fake.fs, "/data", 0755);
            before = sl_disk_ops(process.disk);
            sl_disk_crash_after(process.disk, cut);
            all_steps(&process, &told);
            if (!sl_disk_is_crashed(process.disk))
                total = sl_disk_ops(process.disk) - before;
            process_end(&process); /* writes nothing any more: the machine is down */
            sl_disk_crash_after(process.disk, UINT64_MAX);
            if (seed == 3) /* a kill -9 */
                sl_disk_restart_process(process.disk);
            else
                sl_disk_restart(process.disk, seed * 31 + cut);
            assert_int_equal(process_begin(&process, file1), 0);
            assert_true(process.running->digest == told.live || process.running->digest == told.asked);
            between += process.running->digest != told.live;
            assert_int_equal(deploy(&process, "/src/plan", "now"), 0); /* and it goes on */
            process_free(&process);
            tried++;
        }
    print_message("%llu crashes, %llu of them between asked and told\n", (unsigned long long)tried, (unsigned long long)between);
    assert_true(total < UINT64_MAX && total > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deploy_and_promote),
        cmocka_unit_test(test_what_does_not_load_changes_nothing),
        cmocka_unit_test(test_sets_make_another_version),
        cmocka_unit_test(test_rollback_of_a_candidate_and_of_a_live_one),
        cmocka_unit_test(test_a_refused_swap_leaves_the_old_one),
        cmocka_unit_test(test_rows_that_are_owed_are_written_later),
        cmocka_unit_test(test_a_disk_that_refuses_the_row_stops_the_step),
        cmocka_unit_test(test_shadow_by_hand),
        cmocka_unit_test(test_pause_and_drain),
        cmocka_unit_test(test_nothing_changes_while_it_is_held),
        cmocka_unit_test(test_others_are_answered_while_a_version_is_opened),
        cmocka_unit_test(test_a_disk_that_refuses_makes_the_plan_hold),
        cmocka_unit_test(test_a_canary_walks_to_live),
        cmocka_unit_test(test_a_worse_canary_is_out_within_a_turn),
        cmocka_unit_test(test_a_broken_one_is_out_by_hand_or_by_plan),
        cmocka_unit_test(test_a_plan_holds_for_lack_of_traffic),
        cmocka_unit_test(test_a_step_that_cannot_be_taken_ends_the_plan),
        cmocka_unit_test(test_a_thread_watches_the_canary),
        cmocka_unit_test(test_the_live_generation_comes_back),
        cmocka_unit_test(test_where_only_files_speak_the_file_runs),
        cmocka_unit_test(test_what_crashes_twice_is_left_out),
        cmocka_unit_test(test_a_file_whose_row_is_long_gone_does_not_come_back),
        cmocka_unit_test(test_a_start_that_never_ran_is_begun_again),
        cmocka_unit_test(test_a_live_one_that_does_not_load_is_refused),
        cmocka_unit_test(test_a_crash_at_any_step_leaves_the_right_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
