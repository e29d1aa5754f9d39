/* push_rig.h: a push sink in virtual time: a bench, a modelled back-end (fake_http.h), and the engine's side of answers, by record.
 * Header only; one test process each. cmocka.h is included before it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_PUSH_RIG_H
#define SL_TESTS_SUPPORT_PUSH_RIG_H

#include "operators/sinks/push/push.h"
#include "runtime/base/clock.h"
#include "runtime/config/topology.h"
#include "tests/support/fake_http.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

enum { RIG_RECORDS = 65536, RIG_TEXT = 512 };

struct push_rig {
    struct bench bench;
    struct fake_http http;
    const struct sl_sink_kind *kind;
    struct sl_sink_common common;
    void *self;
    struct sl_err err;
    uint8_t answers[RIG_RECORDS]; /* by ref.ticket (the record's number): how often answered */
    uint32_t acked, refused, taken, logs, observed;
    char refused_why[RIG_TEXT], refused_body[RIG_TEXT], logged[RIG_TEXT];
    uint32_t refused_ref;
};

static struct push_rig push_rig;

/* The engine's side, in place of slot/. */
void sl_slot_done(struct sl_slot *slot, void *sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why)
{
    (void)slot;
    (void)why;
    assert_ptr_equal(sink, push_rig.self);
    assert_int_equal(outcome, SL_ACK);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(++push_rig.answers[refs[i].ticket], 1);
    push_rig.acked += count;
}

void sl_slot_refused(struct sl_slot *slot, void *sink, const struct sl_refused *record, const struct sl_err *why)
{
    (void)slot;
    assert_ptr_equal(sink, push_rig.self);
    assert_true(why->text[0] != '\0');
    assert_int_equal(++push_rig.answers[record->ref.ticket], 1);
    push_rig.refused++;
    push_rig.refused_ref = record->ref.ticket;
    (void)snprintf(push_rig.refused_why, sizeof(push_rig.refused_why), "%s", why->text);
    (void)snprintf(push_rig.refused_body, sizeof(push_rig.refused_body), "%.*s", (int)record->body.bytes, record->body.data);
}

static inline int rig_http(void *env, struct sl_http_request *request, struct sl_err *err)
{
    (void)env;
    (void)err;
    fake_http_start(&push_rig.http, request, push_rig.bench.now_ns);
    return 0;
}

static inline void rig_http_cancel(void *env, struct sl_http_request *request)
{
    (void)env;
    fake_http_cancel(request);
}

static inline void rig_log(void *env, const struct sl_err *err, const char *what)
{
    (void)env;
    (void)what;
    push_rig.logs++;
    (void)snprintf(push_rig.logged, sizeof(push_rig.logged), "%s", err->text);
}

static inline void rig_observe(void *env, uint64_t ns)
{
    (void)env;
    (void)ns;
    push_rig.observed++;
}

static inline void push_rig_open(const struct sl_sink_kind *kind, const char *settings)
{
    struct push_rig *rig = &push_rig;

    memset(rig, 0, sizeof(*rig));
    bench_init(&rig->bench);
    fake_http_init(&rig->http);
    rig->kind = kind;
    rig->common = (struct sl_sink_common){.required = true, .backoff_min_ns = 100 * SL_NS_PER_MS, .backoff_max_ns = 30 * SL_NS_PER_S,
                                          .batch_bytes = 4 << 20, .batch_records = 50000, .batch_every_ns = SL_NS_PER_S};
    rig->bench.api.common = &rig->common;
    rig->bench.api.http = rig_http;
    rig->bench.api.http_cancel = rig_http_cancel;
    rig->bench.api.log = rig_log;
    rig->bench.api.observe = rig_observe;
    assert_non_null(rig->self = calloc(1, kind->head.self_bytes));
    if (kind->open(rig->self, &rig->bench.api, config_of(&kind->head, settings), &rig->bench.names, NULL, &rig->err) != 0)
        fail_msg("%s", rig->err.text);
}

/* Settings changed between memset and open: for what a test sets in common. */
static inline void push_rig_reopen(const char *settings)
{
    struct push_rig *rig = &push_rig;

    rig->kind->close(rig->self);
    memset(rig->self, 0, rig->kind->head.self_bytes);
    if (rig->kind->open(rig->self, &rig->bench.api, config_of(&rig->kind->head, settings), &rig->bench.names, NULL, &rig->err) != 0)
        fail_msg("%s", rig->err.text);
}

static inline int push_rig_close(void **state)
{
    (void)state;
    if (push_rig.self == NULL)
        return 0;
    push_rig.kind->close(push_rig.self);
    free(push_rig.self);
    push_rig.self = NULL;
    fake_http_turn(&push_rig.http, push_rig.bench.now_ns); /* after the sink is gone */
    assert_int_equal(push_rig.http.flying, 0);
    config_fini();
    bench_fini(&push_rig.bench);
    return 0;
}

/* Records {"n":0}, {"n":1} …, or the given texts; they are JSON, as behind parse. ref.ticket is the record's number. */
static inline void push_rig_submit(const char *const *texts, uint32_t count)
{
    struct push_rig *rig = &push_rig;
    static char memory[SL_BATCH_RECORDS][24];
    static const char *numbered[SL_BATCH_RECORDS];
    struct sl_parcel parcel;

    for (uint32_t i = 0; texts == NULL && i < count; i++) {
        (void)snprintf(memory[i], sizeof(memory[i]), "{\"n\":%u}", rig->taken + i);
        numbered[i] = memory[i];
    }
    bench_batch(&rig->bench, texts != NULL ? texts : numbered, count);
    rig->bench.decoded.json = texts == NULL;
    rig->bench.batch.may_break = texts != NULL;
    parcel = bench_parcel(&rig->bench);
    for (uint32_t i = 0; i < parcel.count; i++)
        rig->bench.items[i].ref.ticket = rig->taken + i;
    rig->taken += count;
    assert_true(rig->taken < RIG_RECORDS);
    if (rig->kind->submit(rig->self, &parcel, &rig->err) != 0)
        fail_msg("%s", rig->err.text);
}

static inline uint64_t push_rig_turn(void)
{
    uint64_t wake_ns = UINT64_MAX;

    fake_http_turn(&push_rig.http, push_rig.bench.now_ns);
    if (push_rig.kind->turn(push_rig.self, push_rig.bench.now_ns, &wake_ns, &push_rig.err) != 0)
        fail_msg("%s", push_rig.err.text);
    return wake_ns;
}

/* Turns until `ns` have passed, each when the sink or the back-end wants it. */
static inline void push_rig_run(uint64_t ns)
{
    uint64_t end_ns = push_rig.bench.now_ns + ns;

    while (push_rig.bench.now_ns < end_ns) {
        uint64_t wait_ns = push_rig_turn();
        if (push_rig.http.flying > 0 && wait_ns > SL_NS_PER_MS)
            wait_ns = SL_NS_PER_MS;
        if (wait_ns == 0)
            wait_ns = 1;
        push_rig.bench.now_ns += wait_ns < end_ns - push_rig.bench.now_ns ? wait_ns : end_ns - push_rig.bench.now_ns;
    }
    (void)push_rig_turn();
}

static inline uint64_t push_rig_count(enum push_counter counter)
{
    return push_rig.bench.counters[counter];
}

#endif
