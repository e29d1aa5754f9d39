/* test_admin.c: the commands of a running process as requests: what reaches the deployer, on whose word, what is refused before it, and
 * what those see who watch.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/cli/admin.h"
#include "runtime/cli/pages.h"
#include "runtime/control/control.h"
#include "runtime/control/metrics.h"
#include "tests/support/fake_engine.h"

struct rig {
    struct sl_disk *disk;
    struct fake_engine fake;
    struct sl_deployer *deployer;
    struct sl_topology *running;
    struct sl_admin admin;
    struct sl_buf json;
    char set[256]; /* what the last deploy was told to set */
};

static struct rig *loading; /* whose files are loaded: the table's user is the engine */

static int load_noting_sets(void *user, const char *path, const struct sl_strings *sets, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    loading->set[0] = '\0';
    for (uint32_t i = 0; i < sets->count; i++)
        (void)snprintf(loading->set + strlen(loading->set), sizeof(loading->set) - strlen(loading->set), "%s;", sets->items[i]);
    return fake_load_file(user, path, sets, diags, ret_topology);
}

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct fake_engine *fake = &rig->fake;
    struct sl_deploy_load load = fake_load(fake);
    struct sl_strings none = {0};
    struct sl_diags diags;
    struct sl_start start = {0};
    struct sl_err err;

    rig->disk = sl_disk_new(1);
    fake->fs = sl_disk_fs(rig->disk);
    fake->now_ns = 1000 * SL_NS_PER_S;
    fake->files[0] = (struct fake_file){"/src/one.yaml", 11};
    fake->files[1] = (struct fake_file){"/src/two.yaml", 22};
    loading = rig;
    load.file = load_noting_sets;
    struct sl_start_settings start_settings = {fake->fs, "/data", load, fake_unix_ms(fake), false, false};
    struct sl_deployer_settings settings = {.host = (struct sl_host *)(void *)fake, .engine = &fake_engine_table, .load = load,
                                            .fs = fake->fs, .data_dir = "/data", .by_hand = true, .clock = {fake_now_ns, fake_unix_ms, fake}};
    sl_diags_init(&diags);
    assert_int_equal(load.file(fake, "/src/one.yaml", &none, &diags, &rig->running), 0);
    sl_diags_fini(&diags);
    assert_int_equal(sl_start_choose(&start_settings, &rig->running, 1, &start, &err), 0);
    rig->running = start.items[0].topology;
    assert_int_equal(sl_deployer_open(&settings, &start, &rig->deployer, &err), 0);
    rig->admin = (struct sl_admin){(struct sl_host *)(void *)fake, rig->deployer};
    *state = rig;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;

    rig->deployer = sl_deployer_close(rig->deployer);
    rig->running = fake_topology_free(rig->running);
    sl_buf_fini(&rig->json);
    sl_disk_free(rig->disk);
    free(rig);
    return 0;
}

static const struct sl_control_who anna = {"anna", true, 1000, 1000, 77}, outside = {"token 10.0.0.9", false, 0, 0, 0};

static int ask_as(struct rig *rig, const struct sl_control_who *who, const char *name, const char *body)
{
    sl_buf_reset(&rig->json);
    return sl_admin_command(&rig->admin, who, name, body, &rig->json);
}

static int ask(struct rig *rig, const char *name, const char *body)
{
    return ask_as(rig, &anna, name, body);
}

static void assert_says(const struct rig *rig, const char *part)
{
    if (strstr(sl_buf_str(&rig->json), part) == NULL)
        fail_msg("\"%s\" is missing in: %s", part, sl_buf_str(&rig->json));
}

static void test_each_command_reaches_the_deployer(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\"}"), 0);
    assert_says(rig, "\"state\":\"warm\"");
    assert_int_equal(ask(rig, "shadow", "{\"do\":\"start\"}"), 0);
    assert_int_equal(rig->fake.shadows, 1);
    assert_int_equal(ask(rig, "shadow", "{\"do\":\"diff\",\"topology\":\"orders\"}"), 0);
    assert_says(rig, "\"differing\":0");
    assert_int_equal(ask(rig, "shadow", "{\"do\":\"stop\"}"), 0);
    assert_int_equal(ask(rig, "promote", "{\"share\":0.25}"), 0);
    assert_true(rig->fake.share > 0.24 && rig->fake.share < 0.26);
    assert_int_equal(ask(rig, "promote", ""), 0);
    assert_int_equal(rig->fake.live, 2);
    assert_int_equal(ask(rig, "rollback", "{}"), 0);
    assert_int_equal(rig->fake.live, 1);
    assert_int_equal(ask(rig, "pause", "{\"topology\":\"orders\"}"), 0);
    assert_true(rig->fake.paused);
    assert_int_equal(ask(rig, "resume", ""), 0);
    assert_false(rig->fake.paused);
    assert_int_equal(ask(rig, "history", ""), 0);
    assert_says(rig, "\"generations\":[{\"generation\":2,\"state\":\"failed\"");
    assert_int_equal(ask(rig, "drain", ""), 0);
    assert_true(rig->fake.drained);
    assert_int_equal(ask(rig, "explode", ""), 1);
}

static void test_who_asks_is_written_down(void **state)
{
    struct rig *rig = *state;
    char *log = NULL;
    size_t bytes;

    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\"}"), 0);
    assert_int_equal(ask_as(rig, &outside, "promote", ""), 0);
    assert_int_equal(ask(rig, "history", ""), 0);
    assert_says(rig, "\"who\":\"anna\"");
    assert_true(sl_fs_read_file(rig->fake.fs, "/data/audit.log", 1 << 20, &log, &bytes) >= 0);
    assert_non_null(strstr(log, "\"who\":\"anna\",\"uid\":1000,\"command\":\"deploy\""));
    assert_non_null(strstr(log, "\"who\":\"token 10.0.0.9\""));
    assert_null(strstr(log, "\"who\":\"token 10.0.0.9\",\"uid\":0")); /* nobody's uid is not root's */
    free(log);
}

/* A secret that a setting names must not be filled in on its way: what the deployer keeps on disk is what was written. */
static void test_settings_arrive_as_they_were_written(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(setenv("ADMIN_SECRET", "hunter2", 1), 0);
    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\",\"set\":[\"sinks.a.auth.bearer=${ADMIN_SECRET}\",\"b.c=$$x\",\"d.e=5\"]}"), 0);
    assert_string_equal(rig->set, "sinks.a.auth.bearer=${ADMIN_SECRET};b.c=$$x;d.e=5;");
    assert_null(strstr(sl_buf_str(&rig->json), "hunter2"));
}

static void test_what_cannot_be_meant_is_refused_before_the_deployer(void **state)
{
    static const struct {
        const char *name, *body, *says;
    } cases[] = {
        {"deploy", "", "absolute path"},
        {"deploy", "{\"file\":\"two.yaml\"}", "absolute path"},
        {"deploy", "{\"file\":\"/src/two.yaml\",\"set\":[{\"a\":1}]}", "PATH=VALUE"},
        {"deploy", "{\"file\":[\"/src/two.yaml\"]}", "absolute path"},
        {"promote", "{\"share\":0}", "is not above 0 and at most 1"},
        {"promote", "{\"share\":1.5}", "is not above 0 and at most 1"},
        {"promote", "{\"share\":-0.1}", "is not above 0 and at most 1"},
        {"promote", "{\"share\":\"nan\"}", "is not above 0 and at most 1"},
        {"promote", "{\"share\":\"10%\"}", "is not above 0 and at most 1"},
        {"promote", "{\"share\":0.1,\"by\":\"service\"}", "key or partition"},
        {"shadow", "{}", "start, stop or diff"},
        {"shadow", "{\"do\":\"look\"}", "start, stop or diff"},
        {"rollback", "[1,2]", "no JSON object"},
        {"rollback", "{\"topology\":", "no JSON object"},
        {"rollback", "{\"topology\":\"invoices\"}", "invoices"},
        {"history", "{\"topology\":\"invoices\"}", "invoices"},
        {"deploy", "{\"file\":\"/src/none.yaml\"}", "sinks.landing.type is missing"},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ask(rig, cases[i].name, cases[i].body), -1);
        assert_int_equal(strncmp(sl_buf_str(&rig->json), "{\"error\":\"", 10), 0);
        assert_says(rig, cases[i].says);
    }
    assert_int_equal(rig->fake.opened, 0);
    rig->admin.deployer = NULL; /* a process that only runs */
    assert_int_equal(ask(rig, "promote", ""), -1);
    assert_says(rig, "deploys nothing");
}

static void test_a_second_deployment_is_refused_with_the_firsts_state(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\"}"), 0);
    assert_int_equal(ask_as(rig, &outside, "deploy", "{\"file\":\"/src/two.yaml\",\"set\":[\"a.b=c\"]}"), -1);
    assert_says(rig, "generation 2 (deployed by anna) is warm");
    assert_says(rig, "sluice rollback orders");
    assert_int_equal(rig->fake.opened, 1);
}

static void test_watching_tells_each_step_and_the_end(void **state)
{
    struct rig *rig = *state;
    struct sl_control_stream *stream = NULL;
    struct sl_buf lines = {0};
    int64_t got;

    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\",\"plan\":\"now\"}"), 0);
    assert_int_equal(sl_admin_watch(&rig->admin, "", &stream, &rig->json), 0);
    do {
        char part[64];
        got = stream->read(stream, part, sizeof(part));
        if (got > 0)
            sl_buf_append(&lines, part, (size_t)got);
    } while (got >= 0);
    stream->close(stream);
    assert_non_null(strstr(sl_buf_str(&lines), "\"state\":\"checked\""));
    assert_non_null(strstr(sl_buf_str(&lines), "\"end\":\"live\""));
    sl_buf_fini(&lines);
    assert_true(sl_admin_watch(&rig->admin, "invoices", &stream, &rig->json) < 0);
    assert_says(rig, "no topology invoices runs here");
}

static void test_status_has_the_live_generation_and_the_candidate(void **state)
{
    static const struct sl_metric_row row = {"g_info", SL_METRIC_GAUGE, "Generations.", {"topology", "generation", "state"}};
    struct rig *rig = *state;
    struct sl_buf metrics = {0};
    struct sl_answer generations;
    struct sl_json_out out;

    assert_int_equal(ask(rig, "deploy", "{\"file\":\"/src/two.yaml\"}"), 0);
    assert_int_equal(ask(rig, "promote", "{\"share\":0.5}"), 0);
    assert_int_equal(ask(rig, "pause", ""), 0);
    sl_pages_generations_read(rig->deployer, &generations);
    assert_true(sl_pages_generations_paused(&generations, "orders"));
    assert_false(sl_pages_generations_paused(&generations, "invoices"));
    sl_buf_reset(&rig->json);
    sl_json_out_init(&out, &rig->json);
    sl_json_out_object(&out);
    sl_pages_generations_write(&out, &generations, "orders");
    sl_pages_generations_write(&out, &generations, "invoices");
    sl_json_out_end_object(&out);
    sl_pages_generations_metric(&(struct sl_metrics){.buf = &metrics}, &row, &generations);
    assert_non_null(strstr(sl_buf_str(&metrics), "g_info{topology=\"orders\",generation=\"1\",state=\"live\"} 1\n"));
    assert_non_null(strstr(sl_buf_str(&metrics), "g_info{topology=\"orders\",generation=\"2\",state=\"canary\"} 1\n"));
    sl_buf_fini(&metrics);
    sl_answer_fini(&generations);
    assert_says(rig, "{\"live\":{\"generation\":1,\"since_unix_ms\":1700001000000,\"by\":\"start\",\"digest\":\"000000000000000b\"},"
                     "\"candidate\":{\"generation\":2,\"state\":\"canary\",\"share\":0.5,\"by\":\"anna\"");
    assert_says(rig, "\"records\":0,\"records_beside\":0");
    sl_pages_generations_read(NULL, &generations);
    assert_false(sl_pages_generations_paused(&generations, "orders"));
    sl_answer_fini(&generations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_command_reaches_the_deployer, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_who_asks_is_written_down, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_settings_arrive_as_they_were_written, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_meant_is_refused_before_the_deployer, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_a_second_deployment_is_refused_with_the_firsts_state, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_watching_tells_each_step_and_the_end, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_status_has_the_live_generation_and_the_candidate, open_rig, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
