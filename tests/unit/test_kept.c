/* test_kept.c: digests, and topologies that are loaded again from a generation's folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/config/kept.h"
#include "runtime/config/pool.h"
#include "runtime/config/process.h"

#define REGISTRY (&sl_registry_builtin)

static char root[64]; /* a folder for each test */

static const char *at(const char *path)
{
    static char texts[8][256];
    static uint32_t next;
    char *text = texts[next++ % 8];

    (void)snprintf(text, sizeof(texts[0]), "%s/%s", root, path);
    return text;
}

static void put(const char *path, const char *text)
{
    char step[256];
    FILE *file;

    (void)snprintf(step, sizeof(step), "%s", at(path));
    for (char *slash = strchr(step + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(step, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    file = fopen(step, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/sl_kept_XXXXXX");
    return mkdtemp(root) == NULL;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static void finish(int status, struct sl_diags *diags)
{
    for (uint32_t i = 0; status != 0 && i < diags->count; i++)
        print_error("%s:%u: %s\n", diags->items[i].file, diags->items[i].line, diags->items[i].text);
    assert_int_equal(status, 0);
    sl_diags_fini(diags);
}

static struct sl_topology *load_with(const char *path, const struct sl_strings *sets, const struct sl_process_config *process)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;

    sl_diags_init(&diags);
    finish(sl_topology_load_set(at(path), sets, REGISTRY, process, &diags, &topology), &diags);
    return topology;
}

static struct sl_topology *load(const char *path)
{
    return load_with(path, NULL, NULL);
}

static struct sl_topology *load_kept(const char *dir)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;

    sl_diags_init(&diags);
    finish(sl_topology_load_kept(at(dir), REGISTRY, NULL, &diags, &topology), &diags);
    return topology;
}

static uint64_t digest_of(const struct sl_topology *topology, const char *name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (strcmp(topology->components[c].name, name) == 0)
            return topology->components[c].digest;
    fail_msg("no %s", name);
    return 0;
}

static void copy(const char *from, const char *to)
{
    char command[1024];

    (void)snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\" && cp '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

/* As whoever deploys does it. */
static void keep(const struct sl_topology *topology, const char *dir)
{
    char *origin = sl_kept_origin(topology), to[512];

    assert_non_null(origin);
    (void)snprintf(to, sizeof(to), "%s/" SL_KEPT_ORIGIN, dir);
    put(to, origin);
    free(origin);
    (void)snprintf(to, sizeof(to), "%s/" SL_KEPT_TOPOLOGY, dir);
    copy(topology->path, at(to));
    for (uint32_t i = 0; i < topology->inputs_count; i++)
        if (topology->inputs[i].kept != NULL) {
            (void)snprintf(to, sizeof(to), "%s/%s", dir, topology->inputs[i].kept);
            copy(topology->inputs[i].path, at(to));
        }
}

static const char scripted[] = "name: t\n"
                               "sources:\n  in: { type: file, paths: [\"logs/*.log\"] }\n"
                               "operators:\n"
                               "  parsed: { type: parse, inputs: [in], format: json }\n"
                               "  made: { type: lua, inputs: [parsed], script: lua/./make.lua }\n"
                               "  teams: { type: enrich, inputs: [made], table: teams.csv, key: service, fields: { team: team } }\n"
                               "sinks:\n"
                               "  out: { type: files, inputs: [teams], dir: landing }\n"
                               "  search: { type: opensearch, inputs: [teams], url: \"http://h:9200\", index: logs, required: false, "
                               "index_template: template.json, auth: { user: me, password: { secret: { file: token } } } }\n";

static void put_all(const char *dir)
{
    char path[128];
    static const char *const files[][2] = {{"t.yaml", scripted},
                                           {"lua/make.lua", "function process(r) return r end\n"},
                                           {"teams.csv", "service,team\na,one\n"},
                                           {"template.json", "{}"},
                                           {"token", "first\n"}};

    for (uint32_t i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, files[i][0]);
        put(path, files[i][1]);
    }
}

/* What changed since: 1 the topology's digest, 2 digest_now, 4 sinks and sources named. */
static uint32_t differs(const struct sl_topology *a, const struct sl_topology *b, const char *name)
{
    return (a->digest != b->digest ? 1u : 0) | (a->digest_now != b->digest_now ? 2u : 0) |
           (digest_of(a, name) != digest_of(b, name) ? 4u : 0);
}

static uint32_t differs_after(const char *path, const char *text, const char *name)
{
    struct sl_topology *before = load("a/t.yaml"), *after;
    uint32_t found;

    put(path, text);
    after = load("a/t.yaml");
    found = differs(before, after, name);
    (void)sl_topology_free(before);
    (void)sl_topology_free(after);
    return found;
}

static void test_digests_see_what_files_and_secrets_hold(void **state)
{
    (void)state;
    put_all("a");
    assert_int_equal(differs_after("a/lua/make.lua", "function process(r) return r end\n", "made"), 0);
    assert_int_equal(differs_after("a/lua/make.lua", "function process(r) return nil end\n", "made"), 1 + 2 + 4);
    assert_int_equal(differs_after("a/template.json", "{ }", "search"), 1 + 2 + 4);
    /* what changes in place is the same version, but another sink */
    assert_int_equal(differs_after("a/teams.csv", "service,team\na,two\n", "teams"), 2 + 4);
    assert_int_equal(differs_after("a/token", "second\n", "search"), 2 + 4);
    assert_int_equal(differs_after("a/token", "second", "search"), 0); /* the secret's own text */
    assert_int_equal(differs_after("a/lua/make.lua", "-- other\nfunction process(r) return r end\n", "search"), 1 + 2);
}

static void test_a_copy_elsewhere_is_the_same_version(void **state)
{
    struct sl_topology *a, *b;

    (void)state;
    put_all("a");
    put_all("far/b");
    a = load("a/t.yaml");
    b = load("far/b/t.yaml");
    assert_true(a->digest == b->digest);
    assert_true(digest_of(a, "made") == digest_of(b, "made"));
    assert_true(digest_of(a, "search") == digest_of(b, "search"));
    assert_true(digest_of(a, "in") != digest_of(b, "in")); /* its logs are other files */
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_spelling_and_inputs_are_not_in_a_components_digest(void **state)
{
    struct sl_topology *a, *b;

    (void)state;
    put("a.yaml", "name: t\nsources: { in: { type: stdin } }\noperators: { p: { type: parse, inputs: [in], format: json } }\n"
                  "sinks: { out: { type: files, inputs: [in], dir: d, roll: { every: 5m } } }\n");
    put("b.yaml", "# another\nname: t\nsinks:\n  out:\n    dir: 'd'\n    inputs: [p]\n    roll: { every: 300s, bytes: 128MiB }\n    type: files\n"
                  "    required: true\n    was: land\noperators: { p: { format: json, type: parse, inputs: [in] } }\nsources: { in: { type: stdin } }\n");
    a = load("a.yaml");
    b = load("b.yaml");
    assert_true(digest_of(a, "out") == digest_of(b, "out"));
    assert_true(digest_of(a, "p") == digest_of(b, "p"));
    assert_true(a->digest != b->digest); /* wired otherwise */
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_every_common_setting_of_a_sink_is_in_its_digest(void **state)
{
    static const char *const settings[] = {"", "where: { level: error }", "encoding: { codec: json, fields: [a] }", "required: false",
                                           "when_full: spool", "when_full: spool, queue: { bytes: 2MiB }", "retry: { backoff_min: 2s }",
                                           "retry: { backoff_max: 2s }", "retry: { deadline: 1h }", "batch: { bytes: 1MiB }",
                                           "batch: { records: 7 }", "batch: { every: 3s }", "on_refused: drop", "compression: gzip"};
    enum { COUNT = sizeof(settings) / sizeof(settings[0]) };
    uint64_t digests[COUNT];

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        char text[512];
        struct sl_topology *topology;
        (void)snprintf(text, sizeof(text), "name: t\nsources: { in: { type: stdin } }\noperators: { p: { type: parse, inputs: [in], format: "
                       "json } }\nsinks: { out: { type: http, inputs: [p], url: \"http://h/\"%s%s } }\n", i == 0 ? "" : ", ", settings[i]);
        put("t.yaml", text);
        topology = load("t.yaml");
        digests[i] = digest_of(topology, "out");
        for (uint32_t other = 0; other < i; other++)
            if (digests[other] == digests[i])
                fail_msg("\"%s\" and \"%s\" are one", settings[other], settings[i]);
        (void)sl_topology_free(topology);
    }
}

static void test_a_connections_content_is_in_the_digest_of_who_names_it(void **state)
{
    const char *brokers[] = {"h:1"}, *others[] = {"h:2"};
    struct sl_connection connection = {.name = "main", .brokers = {brokers, 1}, .sasl_password = {.plain = "a"}};
    const struct sl_process_config process = {.connections = &connection, .connections_count = 1, .memory_bytes = 512ull << 20};
    struct sl_topology *loads[3];

    (void)state;
    put("t.yaml", "name: t\nsources: { in: { type: stdin } }\nsinks: { out: { type: kafka, connection: main, topic: x, inputs: [in] }, "
                  "plain: { type: stdout, inputs: [in] } }\n");
    loads[0] = load_with("t.yaml", NULL, &process);
    connection.sasl_password.plain = "b";
    loads[1] = load_with("t.yaml", NULL, &process);
    connection.brokers.items = others;
    loads[2] = load_with("t.yaml", NULL, &process);
    assert_int_equal(differs(loads[0], loads[1], "out"), 2 + 4);
    assert_int_equal(differs(loads[1], loads[2], "out"), 2 + 4);
    assert_int_equal(differs(loads[0], loads[2], "plain"), 2);
    for (uint32_t i = 0; i < 3; i++)
        (void)sl_topology_free(loads[i]);
}

static void test_a_kept_topology_loads_as_the_original_did(void **state)
{
    const char *const items[] = {"operators.made.script=lua/v2.lua", "sinks.out.dir=100% \"odd\"\u00e9"};
    const struct sl_strings sets = {items, 2};
    struct sl_topology *original, *kept, *again;

    (void)state;
    put_all("a b%");
    put("a b%/lua/v2.lua", "-- two\nfunction process(r) return r end\n");
    original = load_with("a b%/t.yaml", &sets, NULL);
    keep(original, "n/1");
    assert_int_equal(rename(at("a b%/lua"), at("a b%/gone")), 0); /* the copy is all that is left */
    assert_int_equal(unlink(at("a b%/t.yaml")), 0);
    kept = load_kept("n/1");
    assert_true(kept->digest == original->digest);
    assert_true(kept->digest_now == original->digest_now);
    assert_string_equal(kept->base_dir, original->base_dir); /* logs and secrets are where they were */
    assert_int_equal(kept->sets.count, 2);
    assert_string_equal(kept->sets.items[1], items[1]);
    for (uint32_t c = 0; c < kept->components_count; c++)
        assert_true(kept->components[c].digest == original->components[c].digest);
    keep(kept, "n/2"); /* deployed again from there */
    again = load_kept("n/2");
    assert_true(again->digest == original->digest);
    (void)sl_topology_free(original);
    (void)sl_topology_free(kept);
    (void)sl_topology_free(again);
}

static void test_what_changes_in_place_is_read_there_and_from_the_copy_once_that_is_gone(void **state)
{
    struct sl_topology *original, *kept;
    uint32_t teams = 0;

    (void)state;
    put_all("a");
    original = load("a/t.yaml");
    keep(original, "n/1");
    kept = load_kept("n/1");
    while (strcmp(kept->inputs[teams].setting, "operators.teams.table") != 0)
        teams++;
    assert_string_equal(kept->inputs[teams].path, original->inputs[teams].path);
    (void)sl_topology_free(kept);
    assert_int_equal(unlink(at("a/teams.csv")), 0);
    kept = load_kept("n/1");
    assert_string_equal(kept->inputs[teams].path, at("n/1/teams.csv"));
    assert_true(kept->digest == original->digest);
    (void)sl_topology_free(original);
    (void)sl_topology_free(kept);
}

static void test_inputs_elsewhere_are_copied_and_found(void **state)
{
    struct sl_topology *original, *kept;
    char text[512];

    (void)state;
    put("shared/one.lua", "function process(r) return r end\n");
    put("shared/two.lua", "-- two\nfunction process(r) return r end\n");
    (void)snprintf(text, sizeof(text), "name: t\nsources: { in: { type: stdin } }\noperators:\n"
                   "  a: { type: lua, inputs: [in], script: ../shared/one.lua }\n  b: { type: lua, inputs: [a], script: \"%s\" }\n"
                   "  c: { type: lua, inputs: [b], script: .././/shared/one.lua }\nsinks: { out: { type: stdout, inputs: [c] } }\n",
                   at("shared/two.lua"));
    put("a/t.yaml", text);
    original = load("a/t.yaml");
    assert_int_equal(original->inputs_count, 3);
    assert_string_equal(original->inputs[0].setting, "operators.a.script");
    assert_string_equal(original->inputs[0].written, "../shared/one.lua");
    assert_non_null(original->inputs[0].kept);
    assert_non_null(original->inputs[1].kept);
    assert_null(original->inputs[2].kept); /* one file, one copy */
    keep(original, "n/1");
    assert_int_equal(rename(at("shared"), at("moved")), 0);
    kept = load_kept("n/1");
    assert_true(kept->digest == original->digest);
    assert_string_equal(strrchr(kept->inputs[1].path, '/'), "/two.lua");
    (void)sl_topology_free(original);
    (void)sl_topology_free(kept);
}

static void test_keys_are_not_copied(void **state)
{
    struct sl_topology *original;

    (void)state;
    put("a/key.pem", "secret");
    put("a/cert.pem", "public");
    put("a/t.yaml", "name: t\nsources: { in: { type: http, listen: \"127.0.0.1:0\", tls: { certificate: cert.pem, key: key.pem } } }\n"
                    "sinks: { out: { type: stdout, inputs: [in] } }\n");
    original = load("a/t.yaml");
    assert_int_equal(original->inputs_count, 2);
    assert_null(original->inputs[0].kept);
    assert_null(original->inputs[1].kept);
    (void)sl_topology_free(original);
    assert_int_equal(differs_after("a/key.pem", "rotated", "in"), 2 + 4);
}

static void test_names_in_a_folder(void **state)
{
    static const char *const cases[][2] = {{"a.lua", "a.lua"}, {"./a/./b//c.lua", "a/b/c.lua"}, {"..a/b..", "..a/b.."}};
    static const char *const elsewhere[] = {"/a.lua", "../a.lua", "a/../../a.lua", "topology.yaml", "./origin", ".inputs/x", "a/..", ".", "/"};
    struct sl_pool pool;

    (void)state;
    sl_pool_init(&pool);
    for (uint32_t i = 0; i < 3; i++)
        assert_string_equal(sl_kept_name(&pool, cases[i][0]), cases[i][1]);
    for (uint32_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        const char *name = sl_kept_name(&pool, elsewhere[i]);
        assert_int_equal(strncmp(name, ".inputs/", 8), 0);
        assert_null(strstr(name, ".."));
        for (uint32_t other = 0; other < i; other++)
            assert_string_not_equal(name, sl_kept_name(&pool, elsewhere[other]));
    }
    assert_string_equal(sl_kept_name(&pool, "/x//a.lua"), sl_kept_name(&pool, "/x/./a.lua"));
    sl_pool_fini(&pool);
}

static void test_a_damaged_origin_is_refused(void **state)
{
    static const char *const texts[] = {"", "sluice-origin 1\n", "sluice-origin 2\nbase_dir /a\n", "sluice-origin 1\nbase_dir /a",
                                        "sluice-origin 1\nbase_dir /a\nbase_dir /b\n", "sluice-origin 1\nbase_dir /a\nset\n",
                                        "sluice-origin 1\nbase_dir %2\n", "sluice-origin 1\nbase_dir %00\n", "sluice-origin 1\nbase_dir %zz\n",
                                        "sluice-origin 1\nbase_dir /a\nsort x\n", "\n", "sluice-origin 1\n\nbase_dir /a\n"};
    struct sl_topology *topology = NULL;
    struct sl_diags diags;

    (void)state;
    put("n/1/topology.yaml", "name: t\nsources: { in: { type: stdin } }\nsinks: { out: { type: stdout, inputs: [in] } }\n");
    for (uint32_t i = 0; i <= sizeof(texts) / sizeof(texts[0]); i++) {
        if (i > 0)
            put("n/1/origin", texts[i - 1]);
        sl_diags_init(&diags);
        if (sl_topology_load_kept(at("n/1"), REGISTRY, NULL, &diags, &topology) == 0)
            fail_msg("taken: %s", i == 0 ? "none" : texts[i - 1]);
        assert_int_equal(diags.errors, 1);
        assert_true(diags.items[0].remedy[0] != '\0');
        assert_non_null(strstr(diags.items[0].file, "n/1/origin"));
        sl_diags_fini(&diags);
    }
    put("n/1/origin", "sluice-origin 1\nbase_dir /a\n");
    topology = load_kept("n/1");
    assert_string_equal(topology->base_dir, "/a");
    (void)sl_topology_free(topology);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_digests_see_what_files_and_secrets_hold),
        CASE(test_a_copy_elsewhere_is_the_same_version),
        CASE(test_spelling_and_inputs_are_not_in_a_components_digest),
        CASE(test_every_common_setting_of_a_sink_is_in_its_digest),
        CASE(test_a_connections_content_is_in_the_digest_of_who_names_it),
        CASE(test_a_kept_topology_loads_as_the_original_did),
        CASE(test_what_changes_in_place_is_read_there_and_from_the_copy_once_that_is_gone),
        CASE(test_inputs_elsewhere_are_copied_and_found),
        CASE(test_keys_are_not_copied),
        CASE(test_names_in_a_folder),
        CASE(test_a_damaged_origin_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
