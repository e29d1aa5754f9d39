/* test_merge.c: a new version's rows beside the running ones: which stay, which indices they have, what is refused.
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

#include "runtime/engine/merge.h"
#include "tests/unit/fake_registry.h"

/* A source that takes another rate in place, and no other seed. */
static int settable_change(void *self, const void *was, const void *config, struct sl_err *err)
{
    const struct fake_generate *one = was, *other = config;

    (void)self;
    return one->seed == other->seed ? 0 : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "seed: it cannot change; leave it as it is");
}

static const struct sl_source_kind settable = {FAKE_HEAD("settable", "Settable.", fake_generate_fields, fake_generate),
                                               .change = settable_change};
static const struct sl_source_kind *const sources[] = {&fake_kafka_in, &fake_stdin, &fake_generate, &settable, NULL};
static const struct sl_registry registry = {sources, fake_operators, fake_sinks};

static struct sl_topology *load(const char *text)
{
    char path[] = "/tmp/sl_merge_XXXXXX";
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    sl_diags_init(&diags);
    status = sl_topology_load(path, &registry, NULL, &diags, &topology);
    (void)unlink(path);
    for (uint32_t i = 0; status != 0 && i < diags.count; i++)
        print_error("%s\n", diags.items[i].text);
    assert_int_equal(status, 0);
    sl_diags_fini(&diags);
    return topology;
}

static struct sl_merge merged(const struct sl_topology *running, const struct sl_topology *from)
{
    struct sl_merge merge = {NULL, NULL};
    struct sl_err err = {.text = ""};

    if (sl_merge(running, from, &merge, &err) != 0)
        fail_msg("%s", err.text);
    return merge;
}

/* The row of that name that is not gone; UINT32_MAX: none. */
static uint32_t place(const struct sl_topology *topology, const char *name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role != SL_GONE && strcmp(topology->components[c].name, name) == 0)
            return c;
    return UINT32_MAX;
}

/* What every merged topology must be. */
static void check_whole(const struct sl_merge *merge, const struct sl_topology *from)
{
    const struct sl_topology *topology = merge->topology;
    uint32_t counts[SL_GONE + 1] = {0};

    for (uint32_t c = 0; c < topology->components_count; c++) {
        const struct sl_component *row = &topology->components[c];
        counts[row->role]++;
        if (row->role == SL_GONE) {
            assert_true(row->head == NULL && row->config == NULL && row->inputs_count == 0 && row->name != NULL);
            assert_true(merge->fates[c] == SL_MERGE_GONE || merge->fates[c] == SL_MERGE_NONE);
            continue;
        }
        assert_true(merge->fates[c] == SL_MERGE_KEPT || merge->fates[c] == SL_MERGE_CHANGED || merge->fates[c] == SL_MERGE_NEW);
        assert_int_equal(place(topology, row->name), c);
        for (uint32_t i = 0; i < row->inputs_count; i++) /* wired to the same names as in the file */
            assert_string_equal(topology->components[row->inputs[i].component].name,
                                from->components[from->components[place(from, row->name)].inputs[i].component].name);
    }
    assert_int_equal(counts[SL_SOURCE], topology->sources_count);
    assert_int_equal(counts[SL_OPERATOR], topology->operators_count);
    assert_int_equal(counts[SL_SINK], topology->sinks_count);
    assert_int_equal(topology->sinks_count, from->sinks_count);
    assert_string_equal(topology->components[topology->dead_letters].name, "dead_letters");
}

static const char first[] = "name: t\n"
                            "sources:\n  in: { type: generate }\n  other: { type: generate, seed: 2 }\n"
                            "operators:\n  keep: { type: filter, inputs: [in], where: { a: 1 } }\n"
                            "sinks:\n  out: { type: stdout, inputs: [keep, other] }\n  land: { type: files, dir: l, inputs: [keep] }\n";

static void test_the_same_file_again_keeps_all_but_operators(void **state)
{
    struct sl_topology *a = load(first), *b = load(first);
    struct sl_merge merge = merged(a, b);

    (void)state;
    check_whole(&merge, b);
    assert_int_equal(merge.topology->components_count, a->components_count);
    for (uint32_t c = 0; c < a->components_count; c++) {
        assert_string_equal(merge.topology->components[c].name, a->components[c].name);
        assert_int_equal(merge.fates[c], a->components[c].role == SL_OPERATOR ? SL_MERGE_NEW : SL_MERGE_KEPT);
        if (a->components[c].role != SL_OPERATOR) /* what is open goes on with the settings that it was opened with */
            assert_ptr_equal(merge.topology->components[c].config, a->components[c].config);
        else
            assert_ptr_not_equal(merge.topology->components[c].config, a->components[c].config);
    }
    sl_merge_fini(&merge);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_kept_changed_new_and_gone_in_every_role(void **state)
{
    struct sl_topology *a = load(first);
    struct sl_topology *b = load("name: t\n"
                                 "sources:\n  in: { type: generate, seed: 7 }\n  more: { type: stdin }\n"
                                 "operators:\n  less: { type: filter, inputs: [in, more], where: { a: 1 } }\n"
                                 "sinks:\n  out: { type: stdout, inputs: [less] }\n  land: { type: files, dir: m, inputs: [less] }\n"
                                 "  hole: { type: blackhole, inputs: [in] }\n");
    struct sl_merge merge = merged(a, b);
    const struct sl_topology *t = merge.topology;

    (void)state;
    check_whole(&merge, b);
    assert_int_equal(merge.fates[place(a, "in")], SL_MERGE_CHANGED);
    assert_int_equal(merge.fates[place(a, "other")], SL_MERGE_GONE);
    assert_int_equal(t->components[place(a, "other")].gone_role, SL_SOURCE);
    assert_string_equal(t->components[place(a, "other")].name, "other");
    assert_int_equal(merge.fates[place(t, "more")], SL_MERGE_NEW);
    assert_int_equal(merge.fates[place(a, "keep")], SL_MERGE_GONE);
    assert_int_equal(merge.fates[place(t, "less")], SL_MERGE_NEW);
    assert_int_equal(place(t, "out"), place(a, "out"));
    assert_int_equal(merge.fates[place(t, "out")], SL_MERGE_KEPT); /* other inputs, same settings */
    assert_int_equal(merge.fates[place(t, "land")], SL_MERGE_CHANGED);
    assert_ptr_equal(t->components[place(t, "land")].config, b->components[place(b, "land")].config);
    assert_int_equal(merge.fates[place(t, "hole")], SL_MERGE_NEW);
    assert_int_equal(merge.fates[t->dead_letters], SL_MERGE_KEPT);
    assert_int_equal(t->components_count, a->components_count + 3);
    sl_merge_fini(&merge);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_other_type_is_changed(void **state)
{
    struct sl_topology *a = load("name: t\nsources:\n  in: { type: stdin }\nsinks:\n  out: { type: stdout, inputs: [in] }\n");
    struct sl_topology *b = load("name: t\nsources:\n  in: { type: stdin }\nsinks:\n  out: { type: blackhole, inputs: [in] }\n");
    struct sl_merge merge = merged(a, b);

    (void)state;
    assert_int_equal(merge.fates[place(a, "out")], SL_MERGE_CHANGED);
    assert_string_equal(merge.topology->components[place(a, "out")].type, "blackhole");
    sl_merge_fini(&merge);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_indices_stay_and_do_not_grow_over_2000_alternating_merges(void **state)
{
    struct sl_topology *versions[] = {load(first), load("name: t\nsources:\n  more: { type: stdin }\nsinks:\n"
                                                        "  hole: { type: blackhole, inputs: [more] }\n"
                                                        "  out: { type: stdout, inputs: [more] }\n")};
    struct sl_merge last = {NULL, NULL};
    const struct sl_topology *running = versions[0];
    uint32_t count = versions[0]->components_count + 2; /* more, hole */

    (void)state;
    for (uint32_t i = 1; i <= 2000; i++) {
        struct sl_merge merge = merged(running, versions[i % 2]);
        check_whole(&merge, versions[i % 2]);
        assert_int_equal(merge.topology->components_count, count);
        for (uint32_t c = 0; c < running->components_count; c++)
            assert_string_equal(merge.topology->components[c].name, running->components[c].name);
        assert_int_equal(place(merge.topology, "out"), place(versions[0], "out"));
        assert_int_equal(merge.fates[place(merge.topology, "out")], SL_MERGE_KEPT);
        if (i > 1)
            assert_int_equal(merge.fates[place(versions[0], "in")], i % 2 == 0 ? SL_MERGE_NEW : SL_MERGE_GONE);
        sl_merge_fini(&last);
        last = merge;
        running = last.topology;
    }
    sl_merge_fini(&last);
    (void)sl_topology_free(versions[0]);
    (void)sl_topology_free(versions[1]);
}

static void test_a_name_that_changes_role_is_another_row(void **state)
{
    struct sl_topology *a = load("name: t\nsources:\n  in: { type: stdin }\nsinks:\n  x: { type: stdout, inputs: [in] }\n");
    struct sl_topology *b = load("name: t\nsources:\n  in: { type: stdin }\noperators:\n  x: { type: filter, inputs: [in], where: { a: 1 } }\n"
                                 "sinks:\n  y: { type: stdout, inputs: [x] }\n");
    struct sl_merge there = merged(a, b), back = merged(there.topology, a);

    (void)state;
    check_whole(&there, b);
    assert_int_equal(there.fates[place(a, "x")], SL_MERGE_GONE);
    assert_int_equal(there.topology->components[place(a, "x")].gone_role, SL_SINK);
    assert_int_not_equal(place(there.topology, "x"), place(a, "x"));
    assert_int_equal(there.topology->components[place(there.topology, "x")].role, SL_OPERATOR);
    check_whole(&back, a);
    assert_int_equal(place(back.topology, "x"), place(a, "x"));
    assert_int_equal(back.fates[place(a, "x")], SL_MERGE_NEW); /* it was gone, so nothing of it is open */
    assert_int_equal(back.topology->components_count, there.topology->components_count);
    sl_merge_fini(&back);
    sl_merge_fini(&there);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

static void test_a_renamed_sink_says_what_it_was_only_where_there_is_something_to_take_over(void **state)
{
    struct sl_topology *a = load("name: t\nsources:\n  in: { type: stdin }\nsinks:\n  x: { type: stdout, inputs: [in] }\n");
    struct sl_topology *b = load("name: t\nsources:\n  in: { type: stdin }\nsinks:\n  y: { type: stdout, inputs: [in], was: x }\n");
    struct sl_merge once = merged(a, b), twice = merged(once.topology, b);

    (void)state;
    assert_string_equal(once.topology->components[place(once.topology, "y")].sink.was, "x");
    assert_int_equal(once.fates[place(once.topology, "y")], SL_MERGE_NEW);
    assert_int_equal(once.fates[place(a, "x")], SL_MERGE_GONE);
    assert_null(twice.topology->components[place(twice.topology, "y")].sink.was);
    assert_int_equal(twice.fates[place(twice.topology, "y")], SL_MERGE_KEPT);
    assert_int_equal(twice.fates[place(a, "x")], SL_MERGE_NONE);
    sl_merge_fini(&twice);
    sl_merge_fini(&once);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

/* ---- refusals ---- */

static void refused(const char *one, const char *other, const char *text)
{
    struct sl_topology *a = load(one), *b = load(other);
    struct sl_merge merge = {NULL, NULL};
    struct sl_err err = {.text = ""};

    assert_int_not_equal(sl_merge(a, b, &merge, &err), 0);
    assert_string_equal(err.text, text);
    assert_null(merge.topology);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

#define PLAIN "sources:\n  in: { type: stdin }\nsinks:\n  out: { type: stdout, inputs: [in] }\n"
#define KAFKA(settings) "name: t\nsources:\n  in: { type: kafka, topics: [a], " settings " }\nsinks:\n  out: { type: stdout, inputs: [in] }\n"

static void test_what_cannot_change_is_refused_with_a_remedy(void **state)
{
    (void)state;
    refused("name: t\n" PLAIN, "name: u\n" PLAIN,
            "name: the running topology is t, this one is u; deploy it as a topology of its own, or write name: t");
    refused("name: t\n" PLAIN, "name: t\nconsumers: 3\n" PLAIN,
            "consumers: the number of worker threads that read (0, this one 3; 0 is the default) is fixed at start; leave it as it is, or "
            "stop the process and start it with this file");
    refused("name: t\n" PLAIN, "name: t\ncommit: { mode: transaction }\n" PLAIN,
            "commit.mode: it cannot change while the topology runs; leave it as it is, or stop the process and start it with this file");
    refused("name: t\n" PLAIN, "name: t\ncommit: { topic: other }\n" PLAIN,
            "commit.topic: marks are in sluice-commits and cannot move to other while the topology runs; write topic: sluice-commits, or "
            "stop the process and start it with this file");
    refused("name: t\n" PLAIN, "name: t\ncommit: { every: 2s }\n" PLAIN,
            "commit.every: it cannot change while the topology runs; leave it as it is, or stop the process and start it with this file");
}

static void test_the_source_that_carries_the_commit_stays(void **state)
{
    struct sl_topology *a = load(KAFKA("brokers: [\"h:1\"], group: g")), *b;
    struct sl_merge merge;

    (void)state;
    refused(KAFKA("brokers: [\"h:1\"], group: g"), KAFKA("brokers: [\"h:1\"], group: other"),
            "sources.in.group: it cannot change while the topology runs, since the group's offsets are its progress; leave it as it is, or "
            "deploy this as a topology of another name");
    refused(KAFKA("brokers: [\"h:1\"], group: g"), KAFKA("brokers: [\"h:2\"], group: g"),
            "sources.in.brokers: it cannot change while the topology runs, since the group's offsets are its progress; leave it as it is, "
            "or deploy this as a topology of another name");
    refused(KAFKA("brokers: [\"h:1\"], group: g"), "name: t\n" PLAIN,
            "sources.in: a topology that reads from Kafka cannot stop doing so while it runs, since progress is kept elsewhere; give the "
            "new one another name and deploy it beside this one");
    refused("name: t\n" PLAIN, KAFKA("brokers: [\"h:1\"], group: g"),
            "sources.in: a topology that does not read from Kafka cannot begin to while it runs, since progress is kept elsewhere; give "
            "the new one another name and deploy it beside this one");
    refused(KAFKA("brokers: [\"h:1\"], group: g"),
            "name: t\nsources:\n  logs: { type: kafka, topics: [a], brokers: [\"h:1\"], group: g }\nsinks:\n  out: { type: stdout, inputs: "
            "[logs] }\n",
            "sources.logs: the kafka source is called in while the topology runs, and progress is kept under that name; call it in");
    refused("name: t\nsources:\n  in: { type: kafka, topics: [a], brokers: [\"h:1\"], group: g }\nsinks:\n  out: { type: stdout, inputs: [in] "
            "}\ndead_letters: { type: kafka, brokers: [\"h:1\"], topic: d }\n",
            "name: t\nsources:\n  in: { type: kafka, topics: [a], brokers: [\"h:1\"], group: g }\nsinks:\n  land: { type: files, dir: l, "
            "inputs: [in] }\n  out: { type: stdout, inputs: [in] }\ndead_letters: { type: kafka, brokers: [\"h:1\"], topic: d }\n",
            "commit.mode: auto means offsets while the topology runs, and with this version's sinks it would mean transaction; stop the "
            "process and start it with this file");
    b = load("name: t\nsources:\n  in: { type: kafka, topics: [a, b], brokers: [\"h:1\"], group: g }\nsinks:\n  out: { type: stdout, "
             "inputs: [in] }\n");
    merge = merged(a, b); /* other topics are a rebalance, no more */
    assert_int_equal(merge.fates[place(a, "in")], SL_MERGE_CHANGED);
    sl_merge_fini(&merge);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
}

#define OUT(settings) "name: t\nsources:\n  in: { type: stdin }\nsinks:\n  out: { inputs: [in], " settings " }\n"

static void test_a_sink_stays_committed_or_acknowledged(void **state)
{
    (void)state;
    refused(OUT("type: files, dir: l"), OUT("type: stdout"),
            "sinks.out: what it writes exists only with the commit while the topology runs, as type files, and would be acknowledged record "
            "by record as type stdout; give the new sink a name of its own");
    refused(OUT("type: stdout"), OUT("type: files, dir: l"),
            "sinks.out: what it writes is acknowledged record by record while the topology runs, as type stdout, and would exist only with "
            "the commit as type files; give the new sink a name of its own");
    refused(OUT("type: stdout"),
            "name: t\nsources:\n  in: { type: stdin }\nsinks:\n  land: { inputs: [in], type: files, dir: l, was: out }\n",
            "sinks.land: what it writes is acknowledged record by record while the topology runs, as type stdout, and would exist only with "
            "the commit as type files; leave out was:, it is then a new sink");
    refused(OUT("type: stdout"), OUT("type: stdout") "dead_letters: { type: kafka, brokers: [\"h:1\"], topic: dead }\n",
            "dead_letters: what it writes exists only with the commit while the topology runs, as type files, and would be acknowledged "
            "record by record as type kafka; stop the process and start it with this file");
}

#define SETTABLE(settings) "name: t\nsources:\n  in: { type: settable, " settings " }\nsinks:\n  out: { type: stdout, inputs: [in] }\n"

static void test_a_source_that_can_takes_its_new_settings_in_place(void **state)
{
    struct sl_topology *a = load(SETTABLE("rate: 5/s")), *b = load(SETTABLE("rate: 6/s"));
    struct sl_merge merge = merged(a, b);

    (void)state;
    assert_int_equal(merge.fates[place(a, "in")], SL_MERGE_SET);
    assert_ptr_equal(merge.topology->components[place(a, "in")].config, b->components[place(b, "in")].config);
    sl_merge_fini(&merge);
    merge = merged(a, a);
    assert_int_equal(merge.fates[place(a, "in")], SL_MERGE_KEPT);
    sl_merge_fini(&merge);
    (void)sl_topology_free(a);
    (void)sl_topology_free(b);
    refused(SETTABLE("rate: 5/s"), SETTABLE("rate: 5/s, seed: 2"), "sources.in: seed: it cannot change; leave it as it is");
}

static void test_a_sink_keeps_its_queue_or_has_none(void **state)
{
    (void)state;
    refused(OUT("type: stdout"), OUT("type: stdout, when_full: spool"),
            "sinks.out.when_full: whether its records wait in a queue of their own cannot change while the topology runs; leave it as it is, "
            "or give the new sink a name of its own");
    refused(OUT("type: stdout, required: false"),
            "name: t\nsources:\n  in: { type: stdin }\nsinks:\n  new: { inputs: [in], type: stdout, was: out }\n",
            "sinks.new.when_full: whether its records wait in a queue of their own cannot change while the topology runs; leave it as it is, "
            "or give the new sink a name of its own");
    refused(OUT("type: stdout, when_full: spool"), OUT("type: stdout, when_full: spool, required: false"),
            "sinks.out.required: what lies in its queue was put there with required: true, and cannot change its meaning while the topology "
            "runs; leave it as it is, or give the new sink a name of its own");
}

/* ---- limits ---- */

static struct sl_topology *load_many(uint32_t first_number, uint32_t count)
{
    char *text = calloc(1, 64 + (size_t)count * 64);
    struct sl_topology *topology;
    int at = sprintf(text, "name: t\nsources:\n  in: { type: stdin }\nsinks:\n");

    for (uint32_t i = 0; i < count; i++)
        at += sprintf(text + at, "  s%u: { type: blackhole, inputs: [in] }\n", first_number + i);
    topology = load(text);
    free(text);
    return topology;
}

static void test_names_that_are_ever_new_reach_the_limit(void **state)
{
    struct sl_topology *versions[] = {load_many(0, 900), load_many(900, 900), load_many(1800, 246), load_many(1800, 247)};
    struct sl_merge one = merged(versions[0], versions[1]), two = merged(one.topology, versions[2]), three = {NULL, NULL};
    struct sl_err err = {.text = ""};

    (void)state;
    assert_int_equal(two.topology->components_count, SL_MERGE_COMPONENTS_MAX);
    assert_int_not_equal(sl_merge(one.topology, versions[3], &three, &err), 0);
    assert_int_equal(err.code, SL_E_LIMIT);
    assert_string_equal(err.text, "topology t would have had 2049 components under different names since the process started, and 2048 are "
                                  "counted at most; keep the names of components from version to version, or start the process again");
    sl_merge_fini(&two);
    sl_merge_fini(&one);
    for (uint32_t i = 0; i < 4; i++)
        (void)sl_topology_free(versions[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_file_again_keeps_all_but_operators),
        cmocka_unit_test(test_kept_changed_new_and_gone_in_every_role),
        cmocka_unit_test(test_other_type_is_changed),
        cmocka_unit_test(test_indices_stay_and_do_not_grow_over_2000_alternating_merges),
        cmocka_unit_test(test_a_name_that_changes_role_is_another_row),
        cmocka_unit_test(test_a_renamed_sink_says_what_it_was_only_where_there_is_something_to_take_over),
        cmocka_unit_test(test_what_cannot_change_is_refused_with_a_remedy),
        cmocka_unit_test(test_the_source_that_carries_the_commit_stays),
        cmocka_unit_test(test_a_sink_stays_committed_or_acknowledged),
        cmocka_unit_test(test_a_source_that_can_takes_its_new_settings_in_place),
        cmocka_unit_test(test_a_sink_keeps_its_queue_or_has_none),
        cmocka_unit_test(test_names_that_are_ever_new_reach_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
