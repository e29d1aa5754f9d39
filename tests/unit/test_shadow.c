/* test_shadow.c: what a shadow says of a candidate that writes the same, and of twelve that do not, each with a seeded fault.
 *
 * Records look like those of the benches (services, levels, traces, tags, a user that is masked, a sample's weight) and go to two
 * sinks: everything to landing, errors to alerts. FULL=1 has the count.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/intern.h"
#include "runtime/engine/shadow.h"
#include "runtime/json/level.h"

enum { RANGE = 1000, TEXT_BYTES = 640, OUTPUTS = RANGE * 2, SERVICES = 50 };
enum sink { LANDING, ALERTS, SINKS };

static const struct sl_shadow_sink both_sinks[SINKS] = {{"landing", {true, true}}, {"alerts", {true, true}}};
static uint32_t services[SERVICES];
static uint64_t records_count;

/* What a candidate does otherwise. */
enum fault {
    NOTHING,
    DROPPED_FIELD,
    DOUBLED,
    WRONG_ROUTE,
    ARRAY_ORDER,
    TIME_OFF_BY_ONE,
    LOST_SERVICE,
    ONE_IN_10_5,
    TIME_ZONE,
    NUMBER,
    UNMASKED,
    WEIGHT,
    COMPRESSION /* level, file layout, order in which it hands over: all of it behind what is compared */
};

struct output {
    enum sink sink;
    struct sl_shadow_record record;
    char text[TEXT_BYTES];
};

static struct output live_out[OUTPUTS], candidate_out[OUTPUTS];

static uint64_t mix(uint64_t z)
{
    z = (z + 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

struct fields {
    uint64_t r;
    int64_t time_unix_ms;
    uint32_t service;
    enum sl_level level;
};

static struct fields fields_of(uint64_t offset)
{
    static const enum sl_level levels[] = {SL_LEVEL_DEBUG, SL_LEVEL_INFO, SL_LEVEL_INFO, SL_LEVEL_WARN, SL_LEVEL_ERROR};
    uint64_t r = mix(offset);

    return (struct fields){r, 1767225600000 + (int64_t)(offset / 3), (uint32_t)(r % SERVICES), levels[r >> 20 & 3 ? r >> 8 & 3 : 4]};
}

static bool has_fault(enum fault fault, uint64_t offset)
{
    if (fault == ONE_IN_10_5)
        return offset % 100000 == 54321;
    return fault != NOTHING && fault != COMPRESSION && offset % 100 == 7;
}

static int text_of(char *text, const struct fields *f, uint64_t offset, enum fault fault)
{
    int hour = (int)(f->time_unix_ms / 3600000 % 24), millis = (int)(f->time_unix_ms % 60000), minute = (int)(f->time_unix_ms / 60000 % 60);
    unsigned weight = f->r & 1 ? 10 : 1;

    return snprintf(text, TEXT_BYTES,
                    "{\"ts\":\"2026-01-01T%02d:%02d:%02d.%03d%s\",\"level\":\"%s\",\"service\":\"svc-%03u\",\"trace_id\":\"%016llx%016llx\","
                    "%s\"message\":\"GET /api/v2/orders/%u returned 200 in %u ms (Z\xc3\xbcrich)\",\"amount\":%s,"
                    "\"user\":{\"id\":%u,\"email\":\"%s\"},\"tags\":[\"%s\",\"%s\",\"eu\"],\"offset\":%llu,\"_w\":%u}",
                    fault == TIME_ZONE ? (hour + 1) % 24 : hour, minute, millis / 1000, millis % 1000 + (fault == TIME_OFF_BY_ONE ? 1 : 0),
                    fault == TIME_ZONE ? "+01:00" : "Z", sl_level_name(f->level), f->service, (unsigned long long)mix(f->r),
                    (unsigned long long)f->r, fault == DROPPED_FIELD ? "" : "\"span_id\":\"00f067aa0ba902b7\",", (unsigned)(f->r >> 40),
                    (unsigned)(f->r >> 30 & 1023), fault == NUMBER ? "12.50" : "12.5", (unsigned)(f->r >> 48),
                    fault == UNMASKED ? "anna@example.com" : "***", fault == ARRAY_ORDER ? "b" : "a", fault == ARRAY_ORDER ? "a" : "b",
                    (unsigned long long)offset, fault == WEIGHT ? weight * 2 : fault == ONE_IN_10_5 ? weight + 1 : weight);
}

static uint32_t put(struct output *out, enum sink sink, const struct fields *f, uint64_t offset, uint16_t sub, enum fault fault)
{
    int bytes = text_of(out->text, f, offset, fault);

    assert_in_range(bytes, 250, TEXT_BYTES - 1);
    out->sink = sink;
    out->record = (struct sl_shadow_record){.offset = offset,
                                            .threshold = f->r & 1 ? 0xe6666666666666 : 0,
                                            .time_unix_ms = f->time_unix_ms + (fault == TIME_OFF_BY_ONE),
                                            .service = fault == LOST_SERVICE ? SL_INTERN_NONE : services[f->service],
                                            .sub = sub,
                                            .level = (uint8_t)f->level,
                                            .body = {out->text, (uint32_t)bytes}};
    return 1;
}

/* What one side writes of [first, first + RANGE). */
static uint32_t run(struct output *out, uint64_t first, enum fault fault)
{
    uint32_t count = 0;

    for (uint64_t offset = first; offset < first + RANGE; offset++) {
        struct fields f = fields_of(offset);
        enum fault here = has_fault(fault, offset) ? fault : NOTHING;
        bool alert = f.level == SL_LEVEL_ERROR;

        if (offset % 17 == 3)
            continue; /* a hole, or a filter */
        if (here == WRONG_ROUTE)
            alert = !alert;
        count += put(&out[count], LANDING, &f, offset, 0, here);
        if (here == DOUBLED)
            count += put(&out[count], LANDING, &f, offset, 1, here);
        if (alert)
            count += put(&out[count], ALERTS, &f, offset, 0, here);
    }
    return count;
}

static void add_all(struct sl_shadow *shadow, enum sl_shadow_side side, const struct output *out, uint32_t count, bool backwards)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct output *at = &out[backwards ? count - 1 - i : i];

        sl_shadow_add(shadow, side, at->sink, &at->record);
    }
}

static uint64_t shadow_ranges(struct sl_shadow *shadow, enum fault fault)
{
    uint64_t differing = 0;

    for (uint64_t first = 0; first < records_count; first += RANGE) {
        struct sl_shadow_range range = {"logs", "app", "3", 0, first, first + RANGE};
        uint32_t live = run(live_out, first, NOTHING), candidate = run(candidate_out, first, fault);

        sl_shadow_begin(shadow, &range);
        add_all(shadow, SL_SHADOW_LIVE, live_out, live, false);
        add_all(shadow, SL_SHADOW_CANDIDATE, candidate_out, candidate, fault == COMPRESSION);
        differing += sl_shadow_end(shadow);
    }
    return differing;
}

static struct sl_shadow *shadow_of(const struct sl_expect *expect)
{
    struct sl_shadow *shadow = sl_shadow_new(&(struct sl_shadow_options){both_sinks, SINKS, expect, NULL, NULL});

    assert_non_null(shadow);
    return shadow;
}

static uint64_t kinds(const struct sl_shadow_report *report, enum sink sink, enum sl_shadow_kind kind)
{
    uint64_t sum = 0;

    for (int level = 0; level < SL_LEVELS; level++)
        sum += report->sinks[sink].differing[kind][level];
    return sum;
}

/* How many of the records that are written have the fault, at landing, and of them at alerts. */
static uint64_t faulty(enum fault fault, bool alerts)
{
    uint64_t sum = 0;

    for (uint64_t offset = 0; offset < records_count; offset++)
        sum += offset % 17 != 3 && has_fault(fault, offset) && (!alerts || fields_of(offset).level == SL_LEVEL_ERROR);
    return sum;
}

static int setup(void **state)
{
    struct sl_intern_cache *cache = sl_intern_cache_new();
    const char *full = getenv("FULL");
    (void)state;
    records_count = full != NULL && strcmp(full, "1") == 0 ? 2000000 : 200000;
    for (uint32_t i = 0; i < SERVICES; i++) {
        char name[16];
        services[i] = sl_intern(cache, (struct sl_slice){name, (uint32_t)snprintf(name, sizeof(name), "svc-%03u", i)});
    }
    sl_intern_cache_free(cache);
    return 0;
}

/* ---- what is the same ---- */

static void test_identical_generations_give_no_difference(void **state)
{
    static const enum fault same[] = {NOTHING, COMPRESSION};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct sl_shadow *shadow = shadow_of(NULL);
        const struct sl_shadow_report *report = sl_shadow_report(shadow);
        uint64_t errors = 0, written = 0;

        assert_int_equal(shadow_ranges(shadow, same[i]), 0);
        for (uint64_t offset = 0; offset < records_count; offset++) {
            written += offset % 17 != 3;
            errors += offset % 17 != 3 && fields_of(offset).level == SL_LEVEL_ERROR;
        }
        assert_int_equal(report->ranges, records_count / RANGE);
        assert_int_equal(report->compared, written + errors);
        assert_int_equal(report->differing, 0);
        assert_int_equal(report->sinks[ALERTS].digests[SL_SHADOW_LIVE][SL_LEVEL_ERROR].count, errors);
        assert_memory_equal(report->sinks[LANDING].digests[SL_SHADOW_LIVE], report->sinks[LANDING].digests[SL_SHADOW_CANDIDATE],
                            sizeof(report->sinks[LANDING].digests[SL_SHADOW_LIVE]));
        sl_shadow_free(shadow);
    }
}

/* ---- the seeded faults ---- */

struct want {
    enum fault fault;
    enum sl_shadow_kind kind;
    enum sl_text_verdict verdict;
    const char *path, *candidate_has, *live_has;
};

static const struct want wants[] = {
    {DROPPED_FIELD, SL_SHADOW_CHANGED, SL_TEXT_GONE, "span_id", NULL, "\"span_id\""},
    {ARRAY_ORDER, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "tags[0]", "[\"b\",\"a\",\"eu\"]", "[\"a\",\"b\",\"eu\"]"},
    {TIME_OFF_BY_ONE, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "ts", NULL, NULL},
    {LOST_SERVICE, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "role:service", NULL, NULL},
    {ONE_IN_10_5, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "_w", NULL, NULL},
    {TIME_ZONE, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "ts", "+01:00\"", "Z\""},
    {NUMBER, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "amount", "12.50", "12.5,"},
    {UNMASKED, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "user.email", "anna@example.com", "\"***\""},
    {WEIGHT, SL_SHADOW_CHANGED, SL_TEXT_CHANGED, "_w", NULL, NULL},
};

static void check_examples(const struct sl_shadow_sink_report *sink, const struct want *want)
{
    assert_in_range(sink->examples_count, 1, SL_SHADOW_ALIKE);
    for (uint32_t i = 0; i < sink->examples_count; i++) {
        const struct sl_shadow_example *example = sink->examples[i];
        char expected[2][TEXT_BYTES];
        struct fields f = fields_of(example->offset);

        assert_true(has_fault(want->fault, example->offset));
        assert_int_equal(example->kind, want->kind);
        assert_int_equal(example->verdict, want->verdict);
        assert_string_equal(example->path, want->path);
        assert_string_equal(example->topic, "app");
        assert_string_equal(example->partition, "3");
        (void)text_of(expected[0], &f, example->offset, NOTHING);
        (void)text_of(expected[1], &f, example->offset, want->fault);
        assert_string_equal(example->text[SL_SHADOW_LIVE].data, expected[0]);
        assert_string_equal(example->text[SL_SHADOW_CANDIDATE].data, expected[1]);
        assert_true(want->live_has == NULL || strstr(example->text[SL_SHADOW_LIVE].data, want->live_has) != NULL);
        assert_true(want->candidate_has == NULL || strstr(example->text[SL_SHADOW_CANDIDATE].data, want->candidate_has) != NULL);
    }
}

static void test_each_changed_record_is_counted_and_shown_with_its_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        struct sl_shadow *shadow = shadow_of(NULL);
        const struct sl_shadow_report *report = sl_shadow_report(shadow);

        assert_true(shadow_ranges(shadow, wants[i].fault) > 0);
        assert_int_equal(kinds(report, LANDING, SL_SHADOW_CHANGED), faulty(wants[i].fault, false));
        assert_int_equal(kinds(report, ALERTS, SL_SHADOW_CHANGED), faulty(wants[i].fault, true));
        assert_int_equal(report->differing, faulty(wants[i].fault, false) + faulty(wants[i].fault, true));
        check_examples(&report->sinks[LANDING], &wants[i]);
        sl_shadow_free(shadow);
    }
}

static void test_a_doubled_record_is_an_extra_one(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    (void)shadow_ranges(shadow, DOUBLED);
    assert_int_equal(report->differing, faulty(DOUBLED, false));
    assert_int_equal(kinds(report, LANDING, SL_SHADOW_EXTRA), report->differing);
    assert_int_equal(report->sinks[LANDING].examples[0]->sub, 1);
    assert_false(report->sinks[LANDING].examples[0]->text[SL_SHADOW_LIVE].there);
    assert_non_null(report->sinks[LANDING].examples[0]->text[SL_SHADOW_CANDIDATE].data);
    sl_shadow_free(shadow);
}

static void test_a_wrong_route_is_missing_or_extra_at_that_sink(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    (void)shadow_ranges(shadow, WRONG_ROUTE);
    assert_int_equal(kinds(report, ALERTS, SL_SHADOW_MISSING), faulty(WRONG_ROUTE, true));
    assert_int_equal(kinds(report, ALERTS, SL_SHADOW_EXTRA), faulty(WRONG_ROUTE, false) - faulty(WRONG_ROUTE, true));
    assert_int_equal(report->differing, faulty(WRONG_ROUTE, false));
    assert_int_equal(report->sinks[LANDING].examples_count, 0);
    assert_in_range(report->sinks[ALERTS].examples_count, 2, 2 * SL_SHADOW_ALIKE);
    sl_shadow_free(shadow);
}

/* ---- small cases ---- */

static const struct sl_shadow_range small_range = {"logs", "app", "0", 0, 0, 10};

static void add(struct sl_shadow *shadow, enum sl_shadow_side side, uint32_t sink, uint64_t offset, uint16_t sub, const char *body)
{
    struct sl_shadow_record record = {.offset = offset, .sub = sub, .level = SL_LEVEL_INFO, .service = services[1], .body = sl_slice_of(body)};

    sl_shadow_add(shadow, side, sink, &record);
}

static bool one_pair(struct sl_shadow *shadow, const char *live, const char *candidate)
{
    sl_shadow_begin(shadow, &small_range);
    if (live != NULL)
        add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, live);
    if (candidate != NULL)
        add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, candidate);
    return sl_shadow_end(shadow);
}

static void test_a_record_that_moved_to_another_sink_is_one_difference(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, LANDING, 2, 0, "{\"a\":1}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, ALERTS, 2, 0, "{\"a\":1}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(report->differing, 1);
    assert_int_equal(kinds(report, LANDING, SL_SHADOW_OTHER_SINK), 1);
    assert_int_equal(report->sinks[LANDING].examples[0]->other_sink, ALERTS);
    assert_int_equal(report->sinks[LANDING].examples[0]->offset, 2);
    sl_shadow_free(shadow);
}

/* What the other sink got in its own right, as before, has not moved there. */
static void test_a_record_that_another_sink_has_anyway_is_missing(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, ALERTS, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, ALERTS, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, ALERTS, 2, 0, "{}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(kinds(report, LANDING, SL_SHADOW_MISSING), 1);
    assert_int_equal(kinds(report, ALERTS, SL_SHADOW_EXTRA), 1);
    assert_int_equal(report->differing, 2);
    sl_shadow_free(shadow);
}

/* Ids are made of ordinals: records of one origin that change places are others. */
static void test_derived_records_that_change_places_differ(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 1, "{\"a\":1}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{\"a\":1}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 1, "{}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(sl_shadow_report(shadow)->differing, 2);
    sl_shadow_free(shadow);
}

static void test_equal_outputs_of_other_origins_are_not_the_same(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, LANDING, 2, 0, "{\"a\":1}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{\"a\":1}"); /* bodies have changed places */
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 2, 0, "{}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(sl_shadow_report(shadow)->differing, 2);
    sl_shadow_free(shadow);
}

/* The same record twice on one side must not cancel out, nor be paired twice. */
static void test_a_record_written_twice_under_one_name_is_extra(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(report->differing, 1);
    assert_int_equal(kinds(report, LANDING, SL_SHADOW_EXTRA), 1);
    sl_shadow_free(shadow);
}

static void test_sinks_that_one_side_has_are_counted_not_compared(void **state)
{
    static const struct sl_shadow_sink sinks[] = {{"old", {true, false}}, {"new", {false, true}}, {"landing", {true, true}}};
    struct sl_shadow *shadow = sl_shadow_new(&(struct sl_shadow_options){sinks, 3, NULL, NULL, NULL});
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_LIVE, 0, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, 1, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, 2, 1, 0, "{}");
    add(shadow, SL_SHADOW_CANDIDATE, 2, 1, 0, "{}");
    assert_false(sl_shadow_end(shadow));
    assert_int_equal(report->uncompared, 2);
    assert_int_equal(report->compared, 1);
    sl_shadow_begin(shadow, &small_range); /* but what moved to the new one is found there */
    add(shadow, SL_SHADOW_CANDIDATE, 1, 1, 0, "{}");
    add(shadow, SL_SHADOW_LIVE, 2, 1, 0, "{}");
    assert_true(sl_shadow_end(shadow));
    assert_int_equal(report->differing, 1);
    assert_int_equal(report->sinks[2].examples[0]->other_sink, 1);
    sl_shadow_free(shadow);
}

static void test_ranges_that_are_skipped_or_left_say_nothing(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_report *report = sl_shadow_report(shadow);
    (void)state;
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{}");
    sl_shadow_skip(shadow, 10);
    sl_shadow_skip(shadow, 5);
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_CANDIDATE, LANDING, 1, 0, "{}");
    sl_shadow_leave(shadow, LANDING);
    assert_false(sl_shadow_end(shadow));
    assert_int_equal(report->ranges, 1);
    assert_int_equal(report->ranges_skipped, 2);
    assert_int_equal(report->records_skipped, 15);
    assert_int_equal(report->differing, 0);
    assert_false(one_pair(shadow, "{}", "{}"));
    sl_shadow_free(shadow);
}

/* ---- the first differing field ---- */

static void test_the_first_field_that_differs_is_named(void **state)
{
    static const struct {
        const char *live, *candidate, *path;
        enum sl_text_verdict verdict;
    } cases[] = {
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}", "b", SL_TEXT_CHANGED},
        {"{\"a\":{\"b\":[1,{\"c\":2}]}}", "{\"a\":{\"b\":[1,{\"c\":3}]}}", "a.b[1].c", SL_TEXT_CHANGED},
        {"{\"a\":1}", "{\"a\":\"1\"}", "a", SL_TEXT_TYPE},
        {"{\"a\":{}}", "{\"a\":[]}", "a", SL_TEXT_TYPE},
        {"{\"a\":1,\"b\":{\"x\":1},\"c\":3}", "{\"a\":1,\"c\":3}", "b", SL_TEXT_GONE},
        {"{\"a\":1,\"c\":3}", "{\"a\":1,\"b\":{\"x\":1},\"c\":3}", "b", SL_TEXT_ADDED},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", "b", SL_TEXT_ADDED},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}", "b", SL_TEXT_GONE},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "a", SL_TEXT_ORDER},
        {"{\"a\":[1,2]}", "{\"a\":[1,2,3]}", "a[2]", SL_TEXT_ADDED},
        {"{\"a\":[1,2]}", "{\"a\":[1]}", "a[1]", SL_TEXT_GONE},
        {"{\"a\":[]}", "{\"a\":[1]}", "a[0]", SL_TEXT_ADDED},
        {"{\"a\":[[1],[2]]}", "{\"a\":[[1],[3]]}", "a[1][0]", SL_TEXT_CHANGED},
        {"{\"a.b\":1}", "{\"a.b\":2}", "a\\.b", SL_TEXT_CHANGED},
        {"{\"a\": 1}", "{\"a\":1}", "", SL_TEXT_BLANKS},
        {"{\"a\":1}", "{\"a\":1", "", SL_TEXT_NOT_JSON},
        {"plain", "text", "", SL_TEXT_NOT_JSON},
        {"", "{}", "", SL_TEXT_NOT_JSON},
        {"5", "6", "", SL_TEXT_CHANGED},
        {"[1]", "{}", "", SL_TEXT_TYPE},
        {"{\"a\":1.0}", "{\"a\":1}", "a", SL_TEXT_CHANGED},
    };
    struct sl_text_diff *diff = sl_text_diff_new();
    char path[SL_TEXT_PATH_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sl_text_diff_first(diff, sl_slice_of(cases[i].live), sl_slice_of(cases[i].candidate), NULL, 0, path), cases[i].verdict);
        assert_string_equal(path, cases[i].path);
        assert_int_equal(sl_text_diff_first(diff, sl_slice_of(cases[i].live), sl_slice_of(cases[i].live), NULL, 0, path), SL_TEXT_EQUAL);
    }
    sl_text_diff_free(diff);
}

static void test_deep_and_long_texts_are_no_trouble(void **state)
{
    enum { DEEP = 1000, LONG = 4000 };
    struct sl_text_diff *diff = sl_text_diff_new();
    char a[2 * LONG + 32], b[2 * LONG + 32], path[SL_TEXT_PATH_BYTES];
    (void)state;
    memset(a, '[', DEEP); /* the level's limit is a matter of the scanner */
    memcpy(a + DEEP, "1", 1);
    memset(a + DEEP + 1, ']', DEEP);
    a[2 * DEEP + 1] = '\0';
    memcpy(b, a, sizeof(b));
    b[DEEP] = '2';
    assert_int_equal(sl_text_diff_first(diff, sl_slice_of(a), sl_slice_of(b), NULL, 0, path), SL_TEXT_CHANGED);
    assert_in_range(strlen(path), 100, SL_TEXT_PATH_BYTES - 1);
    memset(a, 'k', sizeof(a));
    memcpy(a, "{\"", 2);
    memcpy(a + LONG, "\":1}", 5);
    memcpy(b, a, sizeof(b));
    b[LONG + 2] = '2';
    assert_int_equal(sl_text_diff_first(diff, sl_slice_of(a), sl_slice_of(b), NULL, 0, path), SL_TEXT_CHANGED);
    assert_in_range(strlen(path), 100, SL_TEXT_PATH_BYTES - 1);
    sl_text_diff_free(diff);
}

/* ---- meant differences ---- */

static struct sl_expect *expect_of(const struct sl_expect_row *row)
{
    struct sl_expect *expect = sl_expect_new();

    assert_non_null(expect);
    assert_int_equal(sl_expect_add(expect, row, NULL), 0);
    return expect;
}

static void test_fields_that_may_differ_are_left_out(void **state)
{
    static const char *const fields[] = {"amount", "user.email", "a\\.b"};
    static const struct {
        const char *live, *candidate;
        bool differs;
    } cases[] = {
        {"{\"amount\":1,\"x\":2}", "{\"amount\":2,\"x\":2}", false},
        {"{\"amount\":1,\"x\":2}", "{\"x\":2}", false},
        {"{\"x\":2}", "{\"x\":2,\"amount\":[{\"deep\":[1]}]}", false},
        {"{\"amount\":1,\"x\":2}", "{\"amount\":2,\"x\":3}", true},
        {"{\"user\":{\"email\":\"a\",\"id\":1}}", "{\"user\":{\"id\":1}}", false},
        {"{\"user\":{\"email\":\"a\",\"id\":1}}", "{\"user\":{\"id\":2}}", true},
        {"{\"user\":{\"email\":\"a\"}}", "{}", true}, /* the object itself may not go */
        {"{\"email\":\"a\"}", "{\"email\":\"b\"}", true},
        {"{\"x\":[{\"amount\":1}]}", "{\"x\":[{\"amount\":2}]}", true}, /* paths descend objects only */
        {"{\"amoun\\u0074\":1}", "{\"amount\":2}", false},
        {"{\"a.b\":1}", "{\"a.b\":2}", false},
        {"{\"amount\":1,\"amount\":2}", "{\"amount\":3}", false},
        {"amount 1", "amount 2", true}, /* no JSON: nothing can be left out */
        {"{\"amount\":1}", NULL, true},
    };
    struct sl_expect *expect = expect_of(&(struct sl_expect_row){.fields = fields, .fields_count = 3});
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_shadow *shadow = shadow_of(expect);
        const struct sl_shadow_report *report = sl_shadow_report(shadow);
        assert_int_equal(one_pair(shadow, cases[i].live, cases[i].candidate), cases[i].differs);
        assert_int_equal(report->differing, cases[i].differs);
        assert_int_equal(report->meant, !cases[i].differs);
        sl_shadow_free(shadow);
    }
    sl_expect_free(expect);
}

static void test_the_field_shown_is_one_that_was_not_meant(void **state)
{
    static const char *const fields[] = {"a"};
    struct sl_expect *expect = expect_of(&(struct sl_expect_row){.fields = fields, .fields_count = 1});
    struct sl_shadow *shadow = shadow_of(expect);
    (void)state;
    assert_true(one_pair(shadow, "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":2}"));
    assert_string_equal(sl_shadow_report(shadow)->sinks[LANDING].examples[0]->path, "b");
    sl_shadow_free(shadow);
    sl_expect_free(expect);
}

static void test_rows_hold_where_they_say(void **state)
{
    static const char *const fields[] = {"a"};
    static const struct {
        struct sl_expect_row row;
        bool differs;
    } cases[] = {
        {{.sink = "landing", .fields = fields, .fields_count = 1}, false},
        {{.sink = "alerts", .fields = fields, .fields_count = 1}, true},
        {{.levels = 1u << SL_LEVEL_INFO | 1u << SL_LEVEL_WARN, .fields = fields, .fields_count = 1}, false},
        {{.levels = 1u << SL_LEVEL_WARN, .fields = fields, .fields_count = 1}, true},
        {{.service = "svc-001", .fields = fields, .fields_count = 1}, false},
        {{.service = "svc-*", .fields = fields, .fields_count = 1}, false},
        {{.service = "svc", .fields = fields, .fields_count = 1}, true},
        {{.counts = true}, true}, /* counts say nothing of contents */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_expect *expect = expect_of(&cases[i].row);
        struct sl_shadow *shadow = shadow_of(expect);
        assert_int_equal(one_pair(shadow, "{\"a\":1}", "{\"a\":2}"), cases[i].differs);
        sl_shadow_free(shadow);
        sl_expect_free(expect);
    }
}

static void test_counts_may_differ_where_they_are_meant_to(void **state)
{
    struct sl_expect *expect = expect_of(&(struct sl_expect_row){.sink = "landing", .counts = true});
    struct sl_shadow *shadow = shadow_of(expect);
    (void)state;
    assert_false(one_pair(shadow, "{}", NULL));
    assert_false(one_pair(shadow, NULL, "{}"));
    assert_int_equal(sl_shadow_report(shadow)->meant, 2);
    sl_shadow_begin(shadow, &small_range);
    add(shadow, SL_SHADOW_CANDIDATE, ALERTS, 1, 0, "{}");
    assert_true(sl_shadow_end(shadow));
    sl_shadow_free(shadow);
    sl_expect_free(expect);
}

static void test_roles_may_differ_where_they_are_meant_to(void **state)
{
    static const char *const names[] = {"time", "service", "level", "_w"};
    (void)state;
    for (int role = 0; role < 4; role++)
        for (int granted = -1; granted < 4; granted++) {
            struct sl_expect *expect =
                granted < 0 ? NULL : expect_of(&(struct sl_expect_row){.fields = &names[granted], .fields_count = 1});
            struct sl_shadow *shadow = shadow_of(expect);
            struct sl_shadow_record record = {.offset = 1, .level = SL_LEVEL_INFO, .body = sl_slice_of("{}")};

            sl_shadow_begin(shadow, &small_range);
            sl_shadow_add(shadow, SL_SHADOW_LIVE, LANDING, &record);
            record.time_unix_ms += role == 0;
            record.service = role == 1 ? services[3] : record.service;
            record.level = role == 2 ? SL_LEVEL_WARN : record.level;
            record.threshold = role == 3 ? 5 : 0;
            sl_shadow_add(shadow, SL_SHADOW_CANDIDATE, LANDING, &record);
            assert_int_equal(sl_shadow_end(shadow), granted != role);
            sl_shadow_free(shadow);
            sl_expect_free(expect);
        }
}

static void test_wrong_rows_are_refused_and_say_what_is_right(void **state)
{
    static const char *const bad[] = {"@topic"}, *const empty[] = {""}, *const good[] = {"a"};
    struct sl_expect *expect = sl_expect_new();
    struct sl_err err;
    (void)state;
    assert_int_not_equal(sl_expect_add(expect, &(struct sl_expect_row){.sink = "landing"}, &err), 0);
    assert_non_null(strstr(err.text, "counts: true"));
    assert_int_not_equal(sl_expect_add(expect, &(struct sl_expect_row){.fields = bad, .fields_count = 1}, &err), 0);
    assert_non_null(strstr(err.text, "@topic is no field"));
    assert_int_not_equal(sl_expect_add(expect, &(struct sl_expect_row){.fields = empty, .fields_count = 1}, &err), 0);
    assert_int_equal(sl_expect_count(expect), 0);
    for (int i = 0; i < SL_EXPECT_ROWS; i++)
        assert_int_equal(sl_expect_add(expect, &(struct sl_expect_row){.sink = "x", .fields = good, .fields_count = 1}, &err), 0);
    assert_int_not_equal(sl_expect_add(expect, &(struct sl_expect_row){.fields = good, .fields_count = 1}, &err), 0);
    assert_string_equal(sl_expect_sink(expect, 0), "x");
    sl_expect_free(expect);
}

/* ---- examples ---- */

static int mask_result;

static int mask_all(void *user, struct sl_slice text, struct sl_slice *ret_text)
{
    (void)text;
    *ret_text = sl_slice_of(user);
    return mask_result;
}

static void test_examples_show_what_is_masked_or_nothing(void **state)
{
    (void)state;
    for (mask_result = -1; mask_result <= 1; mask_result++) {
        struct sl_shadow *shadow = sl_shadow_new(&(struct sl_shadow_options){both_sinks, SINKS, NULL, mask_all, (char[]){"masked"}});
        const struct sl_shadow_text *text;
        struct sl_buf buf = {0};
        struct sl_json_out out;

        assert_true(one_pair(shadow, "{\"password\":\"hunter2\"}", "{\"password\":\"hunter3\"}"));
        text = &sl_shadow_report(shadow)->sinks[LANDING].examples[0]->text[SL_SHADOW_LIVE];
        assert_int_equal(text->withheld, mask_result != 1);
        if (mask_result == 1)
            assert_string_equal(text->data, "masked");
        assert_int_equal(text->whole_bytes, 22);
        sl_json_out_init(&out, &buf);
        sl_shadow_report_print(sl_shadow_report(shadow), &out);
        assert_true(sl_json_out_done(&out));
        assert_null(strstr(sl_buf_str(&buf), "hunter"));
        assert_non_null(strstr(sl_buf_str(&buf), "\"field\":\"password\""));
        sl_buf_fini(&buf);
        sl_shadow_free(shadow);
    }
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    static char long_text[3 * SL_SHADOW_TEXT_BYTES + 1];
    const struct sl_shadow_text *text;
    (void)state;
    for (size_t i = 0; i + 3 < sizeof(long_text); i += 3)
        memcpy(long_text + i, "\xe2\x82\xac", 3);
    assert_true(one_pair(shadow, long_text, "{}"));
    text = &sl_shadow_report(shadow)->sinks[LANDING].examples[0]->text[SL_SHADOW_LIVE];
    assert_in_range(text->bytes, SL_SHADOW_TEXT_BYTES - 3, SL_SHADOW_TEXT_BYTES);
    assert_int_equal(text->bytes % 3, 0);
    assert_int_equal(text->whole_bytes, strlen(long_text));
    sl_shadow_free(shadow);
}

/* At most twenty a sink, and not twenty of the same. */
static void test_examples_leave_room_for_other_differences(void **state)
{
    struct sl_shadow *shadow = shadow_of(NULL);
    const struct sl_shadow_sink_report *sink = &sl_shadow_report(shadow)->sinks[LANDING];
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(one_pair(shadow, "{\"a\":1}", "{\"a\":2}"));
    assert_int_equal(sink->examples_count, SL_SHADOW_ALIKE);
    assert_true(one_pair(shadow, "{\"b\":1}", "{\"b\":2}"));
    assert_string_equal(sink->examples[SL_SHADOW_ALIKE]->path, "b");
    for (int i = 0; i < 100; i++) {
        char live[32], candidate[32];
        (void)snprintf(live, sizeof(live), "{\"k%d\":1}", i);
        (void)snprintf(candidate, sizeof(candidate), "{\"k%d\":2}", i);
        assert_true(one_pair(shadow, live, candidate));
    }
    assert_int_equal(sink->examples_count, SL_SHADOW_EXAMPLES);
    assert_int_equal(sl_shadow_report(shadow)->differing, 201);
    sl_shadow_free(shadow);
}

static void test_reports_of_slots_add_up(void **state)
{
    struct sl_shadow *shadows[2] = {shadow_of(NULL), shadow_of(NULL)};
    struct sl_shadow_report report = {0};
    struct sl_buf buf = {0};
    struct sl_json_out out;
    (void)state;
    assert_true(one_pair(shadows[0], "{\"a\":1}", "{\"a\":2}"));
    assert_false(one_pair(shadows[1], "{\"a\":1}", "{\"a\":1}"));
    sl_shadow_begin(shadows[1], &small_range);
    add(shadows[1], SL_SHADOW_LIVE, ALERTS, 4, 0, "{}");
    assert_true(sl_shadow_end(shadows[1]));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sl_shadow_report_add(&report, sl_shadow_report(shadows[i])), 0);
        sl_shadow_free(shadows[i]);
    }
    assert_int_equal(report.ranges, 3);
    assert_int_equal(report.compared, 3);
    assert_int_equal(report.differing, 2);
    assert_int_equal(report.sinks[LANDING].examples_count, 1);
    assert_int_equal(report.sinks[ALERTS].examples_count, 1);
    sl_json_out_init(&out, &buf);
    sl_shadow_report_print(&report, &out);
    assert_true(sl_json_out_done(&out));
    assert_non_null(strstr(sl_buf_str(&buf), "\"kind\":\"changed\",\"what\":\"field changed\",\"field\":\"a\""));
    assert_non_null(strstr(sl_buf_str(&buf), "\"kind\":\"missing\""));
    assert_non_null(strstr(sl_buf_str(&buf), "\"service\":\"svc-001\""));
    sl_buf_fini(&buf);
    sl_shadow_report_fini(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identical_generations_give_no_difference),
        cmocka_unit_test(test_each_changed_record_is_counted_and_shown_with_its_field),
        cmocka_unit_test(test_a_doubled_record_is_an_extra_one),
        cmocka_unit_test(test_a_wrong_route_is_missing_or_extra_at_that_sink),
        cmocka_unit_test(test_a_record_that_moved_to_another_sink_is_one_difference),
        cmocka_unit_test(test_a_record_that_another_sink_has_anyway_is_missing),
        cmocka_unit_test(test_derived_records_that_change_places_differ),
        cmocka_unit_test(test_equal_outputs_of_other_origins_are_not_the_same),
        cmocka_unit_test(test_a_record_written_twice_under_one_name_is_extra),
        cmocka_unit_test(test_sinks_that_one_side_has_are_counted_not_compared),
        cmocka_unit_test(test_ranges_that_are_skipped_or_left_say_nothing),
        cmocka_unit_test(test_the_first_field_that_differs_is_named),
        cmocka_unit_test(test_deep_and_long_texts_are_no_trouble),
        cmocka_unit_test(test_fields_that_may_differ_are_left_out),
        cmocka_unit_test(test_the_field_shown_is_one_that_was_not_meant),
        cmocka_unit_test(test_rows_hold_where_they_say),
        cmocka_unit_test(test_counts_may_differ_where_they_are_meant_to),
        cmocka_unit_test(test_roles_may_differ_where_they_are_meant_to),
        cmocka_unit_test(test_wrong_rows_are_refused_and_say_what_is_right),
        cmocka_unit_test(test_examples_show_what_is_masked_or_nothing),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_examples_leave_room_for_other_differences),
        cmocka_unit_test(test_reports_of_slots_add_up),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
