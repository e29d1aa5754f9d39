/* test_contract_sinks.c: every sink through the life of a parcel and of a flush, in order, stopped at each step, and with each file
 * operation failing in turn. What it acknowledges it acknowledges once; what it abandons leaves it fit for the next.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include <errno.h>
#include <fcntl.h>

#define ZONE "00112233445566778899aabbccddeeff"

/* One sink as a topology could have it: every row with the suite's settings, and further ones where settings change the way. */
struct variant {
    const struct sl_sink_kind *kind;
    const char *settings;
};

struct rig {
    struct contract contract;
    const struct sl_sink_kind *kind;
    const void *config;
    bool flushed, transacts, json;
    void *self;
    uint64_t taken, number;
    uint32_t ticket;
    struct sl_klog_producer *producer;
    uint32_t folder;
};

static struct rig rig;
static char folder[128];
static int rig_out = -1;

static const struct {
    const char *name, *settings;
} further[] = {
    {"files", "{ type: files, inputs: [x], dir: landing, compression: none }"},
    {"files", "{ type: files, inputs: [x], dir: landing, path: \"{service}\", max_paths: 1 }"},
    {"kafka", "{ type: kafka, inputs: [x], brokers: [b], topic: alerts, key: service, headers: { a: b }, exactly_once: true }"},
    {"blackhole", "{ type: blackhole, inputs: [x] }"},
    {"http", "{ type: http, inputs: [x], url: \"http://h\", framing: lines, compression: gzip }"},
    {"http", "{ type: http, inputs: [x], url: \"http://h\", framing: json_array, wrap: { before: \"[\", after: \"]\" }, compression: zstd }"},
    {"http", "{ type: http, inputs: [x], url: \"http://h\", framing: form, form_field: f, concurrency: 1 }"},
    {"http", "{ type: http, inputs: [x], urls: [\"http://h\", \"http://i\"], framing: loki, labels: { job: a } }"},
};

static uint32_t variants(struct variant list[64])
{
    uint32_t count = 0;

    for (uint32_t i = 0; sl_registry_builtin.sinks[i] != NULL; i++) {
        const struct sl_sink_kind *kind = sl_registry_builtin.sinks[i];
        list[count++] = (struct variant){kind, contract_settings(&kind->head)};
        for (uint32_t f = 0; f < sizeof(further) / sizeof(further[0]); f++)
            if (strcmp(further[f].name, kind->head.name) == 0)
                list[count++] = (struct variant){kind, further[f].settings};
    }
    assert_true(count < 64);
    return count;
}

#define EACH_VARIANT(variant)                                                                                                  \
    struct variant list[64];                                                                                                   \
    uint32_t list_count = variants(list);                                                                                      \
    for (const struct variant *variant = list; variant < list + list_count; variant++)

/* ---- the rig ---- */

/* Standard output takes all while a sink runs: one of them writes there. */
static void rig_mute(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)fflush(stdout);
    assert_true((rig_out = dup(1)) >= 0 && dup2(null, 1) == 1);
    assert_int_equal(close(null), 0);
}

static int rig_unmute(void **state)
{
    (void)state;
    (void)fflush(stdout);
    return rig_out < 0 || (dup2(rig_out, 1) == 1 && close(rig_out) == 0 && (rig_out = -1) < 0) ? 0 : -1;
}

static void rig_init(const struct variant *variant)
{
    if (rig_out < 0)
        rig_mute();
    memset(&rig, 0, sizeof(rig));
    contract_init(&rig.contract);
    rig.kind = variant->kind;
    rig.contract.head = &variant->kind->head;
    rig.config = config_of(&variant->kind->head, variant->settings);
    rig.flushed = (sl_sink_flags_of(variant->kind, rig.config) & SL_SINK_FLUSHED) != 0;
    rig.transacts = (sl_sink_flags_of(variant->kind, rig.config) & SL_SINK_NEEDS_KAFKA_COMMIT) != 0;
    rig.json = (sl_sink_flags_of(variant->kind, rig.config) & SL_SINK_JSON) != 0;
    assert_non_null(rig.self = calloc(1, rig.kind->head.self_bytes));
}

static void rig_fini(void)
{
    fake_slot_jobs(&rig.contract.fake);
    if (rig.producer != NULL)
        sl_model_client_klog(rig.contract.client)->kind->producer_close(rig.producer);
    free(rig.self);
    contract_fini(&rig.contract);
}

/* A folder of its own for each life, so that the last one's temporaries are not this one's. */
static int rig_open(void)
{
    struct sl_err *err = &rig.contract.err;
    int status;

    (void)snprintf(folder, sizeof(folder), "%s/%u", rig.contract.bench.dir, rig.folder++);
    rig.contract.api.data_dir = folder;
    memset(rig.self, 0, rig.kind->head.self_bytes);
    status = rig.kind->open(rig.self, &rig.contract.api, rig.config, &rig.contract.bench.names, contract_slot(&rig.contract), err);
    if (status == 0 && rig.kind->zone != NULL)
        status = rig.kind->zone(rig.self, ZONE, err);
    return status;
}

static void rig_open_fine(void)
{
    if (rig_open() != 0)
        fail_msg("%s: open: %s", rig.kind->head.name, rig.contract.err.text);
}

static int rig_submit(uint32_t count)
{
    static const char *texts[SL_BATCH_RECORDS], *services[SL_BATCH_RECORDS];
    struct bench *bench = &rig.contract.bench;
    struct sl_parcel parcel;

    for (uint32_t i = 0; i < count; i++) {
        texts[i] = i % 3 == 0 ? "{\"level\":\"info\"}" : rig.json ? "{\"text\":\"a longer line\",\n\t\"n\": [1, {}]}" : i % 3 == 1 ? "" : "a longer line of plain text that is no JSON at all";
        services[i] = i % 2 == 0 ? "pay" : "shop";
    }
    if (count == 0) { /* all records have a fate already: the range counts all the same */
        texts[0] = "x";
        services[0] = "pay";
    }
    bench_batch(bench, texts, count == 0 ? 1 : count);
    bench_roles(bench, services, bench_array(bench, bench->batch.count, 1));
    if (count == 0)
        bench->view.sel_count = 0;
    parcel = bench_parcel(bench);
    for (uint32_t i = 0; i < parcel.count; i++)
        bench->items[i].ref.ticket = rig.ticket;
    if (count > 0)
        rig.ticket++;
    rig.taken += count;
    return rig.kind->submit(rig.self, &parcel, &rig.contract.err);
}

static void rig_submit_fine(uint32_t count)
{
    assert_true(rig.kind->credit == NULL || rig.kind->credit(rig.self) > 0);
    if (rig_submit(count) != 0)
        fail_msg("%s: submit: %s", rig.kind->head.name, rig.contract.err.text);
}

/* Turns until nothing is in flight; a FLUSHED sink waits for its seal instead, and is turned once. */
static int rig_turns(void)
{
    for (int i = 0; i < 100000; i++) {
        uint64_t wake_ns = UINT64_MAX;
        int status = rig.kind->turn == NULL
                         ? 0
                         : rig.kind->turn(rig.self, rig.contract.fake.now_ns, &wake_ns, &rig.contract.err);
        if (status != 0 || rig.flushed || rig.kind->drain(rig.self) == 1)
            return status;
        contract_wait(&rig.contract, wake_ns < 1000000000 ? wake_ns : 1000000000);
    }
    fail_msg("%s: something stays in flight", rig.kind->head.name);
    return -1;
}

static struct sl_flush *rig_seal(void)
{
    struct sl_flush *flush = NULL;

    if (rig.kind->seal(rig.self, ++rig.number, &flush, &rig.contract.err) != 0)
        fail_msg("%s: seal: %s", rig.kind->head.name, rig.contract.err.text);
    return flush;
}

static int rig_transact(struct sl_flush *flush)
{
    struct sl_klog *log = sl_model_client_klog(rig.contract.client);
    static const struct sl_connection connection = {.name = "c"};
    struct sl_err *err = &rig.contract.err;

    if (!rig.transacts || rig.kind->transact == NULL)
        return 0;
    if (rig.producer == NULL)
        assert_int_equal(log->kind->producer_open(log, &connection, "contract", 60000, &rig.producer, err), 0);
    assert_int_equal(log->kind->begin(rig.producer, err), 0);
    assert_int_equal(rig.kind->transact(flush, log, rig.producer, err), 0);
    return log->kind->commit(rig.producer, err);
}

/* prepare, commit, publish; publish is repeated where it fails: the flush is committed. Non-zero: prepare refused. */
static int rig_commit(struct sl_flush *flush)
{
    int status = rig.kind->prepare(flush, &rig.contract.err);

    if (status != 0)
        return status;
    assert_int_equal(rig_transact(flush), 0);
    for (int i = 0; i < 3 && rig.kind->publish(flush, &rig.contract.err) != 0; i++)
        assert_true(rig.contract.err.text[0] != '\0' && i < 2);
    rig.kind->release_flush(rig.self, flush);
    return 0;
}

static void rig_flush(void)
{
    struct sl_flush *flush;

    if (!rig.flushed)
        return;
    flush = rig_seal();
    if (flush == NULL)
        return;
    assert_ptr_equal(flush->kind, rig.kind);
    if (rig_commit(flush) != 0)
        fail_msg("%s: %s", rig.kind->head.name, rig.contract.err.text);
}

static void rig_close(void)
{
    rig.kind->close(rig.self);
    fake_slot_jobs(&rig.contract.fake);
}

/* ---- the order of a healthy life ---- */

static void test_parcels_of_any_size_go_through_once(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        static const uint32_t sizes[] = {1, 0, SL_BATCH_RECORDS};
        rig_init(variant);
        rig_open_fine();
        for (uint32_t i = 0; i < 3; i++) {
            rig_submit_fine(sizes[i]);
            assert_int_equal(rig_turns(), 0);
            rig_flush();
            assert_int_equal(rig.kind->drain(rig.self), 1);
        }
        assert_int_equal(rig.contract.acked, rig.flushed ? 0 : rig.taken);
        assert_int_equal(rig.contract.refused + rig.contract.retried, 0);
        rig_close();
        rig_fini();
    }
}

static void test_what_comes_after_a_seal_belongs_to_the_next(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        struct sl_flush *first;
        rig_init(variant);
        if (rig.flushed) {
            rig_open_fine();
            rig_submit_fine(10);
            assert_non_null(first = rig_seal());
            rig_submit_fine(1);
            assert_int_equal(rig.kind->drain(rig.self), 0);
            assert_int_equal(rig_commit(first), 0);
            assert_int_equal(rig.kind->drain(rig.self), 0);
            rig_flush();
            assert_int_equal(rig.kind->drain(rig.self), 1);
            assert_null(rig_seal());
            rig_close();
        }
        rig_fini();
    }
}

/* ---- stopped at each step ---- */

enum step { STEP_TAKEN, STEP_SEALED, STEP_PREPARED, STEP_TAKEN_BEHIND_SEALED, STEPS };

/* Leads the sink to a step; the sealed flush, or NULL. */
static struct sl_flush *rig_to(enum step step)
{
    struct sl_flush *flush = NULL;

    rig_submit_fine(100);
    if (step == STEP_TAKEN)
        return NULL;
    assert_non_null(flush = rig_seal());
    if (step == STEP_PREPARED && rig.kind->prepare(flush, &rig.contract.err) != 0)
        fail_msg("%s: prepare: %s", rig.kind->head.name, rig.contract.err.text);
    if (step == STEP_TAKEN_BEHIND_SEALED)
        rig_submit_fine(10);
    return flush;
}

static void test_an_abandoned_flush_leaves_the_sink_fit(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        rig_init(variant);
        for (int step = STEP_TAKEN; rig.flushed && step < STEPS; step++) {
            struct sl_flush *flush;
            rig_open_fine();
            flush = rig_to((enum step)step);
            if (flush != NULL)
                rig.kind->abandon(rig.self, flush);
            rig.kind->abandon(rig.self, NULL);
            if (flush != NULL)
                rig.kind->release_flush(rig.self, flush);
            assert_int_equal(rig.kind->drain(rig.self), 1);
            assert_null(rig_seal());
            rig_submit_fine(5);
            rig_flush();
            assert_int_equal(rig.kind->drain(rig.self), 1);
            rig_close();
        }
        rig_fini();
    }
}

static void test_abandoning_what_is_open_spares_what_is_sealed(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        rig_init(variant);
        if (rig.flushed) {
            struct sl_flush *flush;
            rig_open_fine();
            flush = rig_to(STEP_TAKEN_BEHIND_SEALED);
            rig.kind->abandon(rig.self, NULL);
            assert_int_equal(rig_commit(flush), 0);
            assert_null(rig_seal());
            rig_close();
        }
        rig_fini();
    }
}

static void test_close_at_each_step_leaves_nothing(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        rig_init(variant);
        for (int step = STEP_TAKEN; step < (rig.flushed ? STEPS : STEP_SEALED); step++) {
            uint32_t files;
            struct sl_flush *flush;
            files = contract_open_files();
            rig_open_fine();
            flush = rig_to((enum step)step);
            if (flush != NULL)
                rig.kind->release_flush(rig.self, flush);
            rig_close();
            assert_int_equal(contract_open_files(), files);
        }
        rig_fini();
    }
}

/* Killed between commit and publish: the next start publishes from the entry, and again, and nothing else is needed. */
static void test_a_committed_entry_is_published_by_the_next_start(void **state)
{
    (void)state;
    EACH_VARIANT(variant) {
        rig_init(variant);
        if (rig.flushed && rig.kind->redo != NULL) {
            struct sl_flush *flush;
            struct sl_slice entry;
            char *copy;
            rig_open_fine();
            assert_non_null(flush = rig_to(STEP_PREPARED));
            assert_non_null(copy = malloc(flush->entry.bytes));
            memcpy(copy, flush->entry.data, flush->entry.bytes);
            entry = (struct sl_slice){copy, flush->entry.bytes};
            rig.kind->release_flush(rig.self, flush);
            rig_close();
            rig.folder--;
            rig.contract.api.epoch++;
            rig_open_fine();
            for (int i = 0; i < 2; i++)
                if (rig.kind->redo(rig.self, entry, &rig.contract.err) != 0)
                    fail_msg("%s: redo: %s", rig.kind->head.name, rig.contract.err.text);
            for (uint32_t bytes = 0; bytes < entry.bytes; bytes += 7) { /* a cut one is refused, never followed */
                rig.contract.err.text[0] = '\0';
                assert_int_not_equal(rig.kind->redo(rig.self, (struct sl_slice){copy, bytes}, &rig.contract.err), 0);
                assert_true(rig.contract.err.text[0] != '\0');
            }
            assert_int_equal(rig_turns(), 0);
            rig_close();
            free(copy);
        }
        rig_fini();
    }
}

/* ---- files that fail ---- */

static int rig_said(int status, const char *what)
{
    if (status != 0 && (rig.contract.err.text[0] == '\0' || rig.contract.err.code == SL_OK))
        fail_msg("%s: %s failed without a word", rig.kind->head.name, what);
    return status;
}

static int rig_life_flush(void)
{
    struct sl_flush *flush = NULL;

    if (rig_said(rig.kind->seal(rig.self, ++rig.number, &flush, &rig.contract.err), "seal") != 0)
        return -1;
    if (flush == NULL)
        return 0;
    if (rig_said(rig_commit(flush), "prepare") == 0)
        return 0;
    rig.kind->abandon(rig.self, flush);
    rig.kind->abandon(rig.self, NULL);
    rig.kind->release_flush(rig.self, flush);
    return -1;
}

static void rig_life(void)
{
    bool fine = rig_said(rig_open(), "open") == 0;

    for (int i = 0; fine && i < 2; i++) {
        fine = rig_said(rig_submit(i == 0 ? 20 : 500), "submit") == 0 && rig_said(rig_turns(), "turn") == 0;
        fine = fine && (!rig.flushed || rig_life_flush() == 0);
    }
    rig_close();
}

static void fail_each_call(int code)
{
    EACH_VARIANT(variant) {
        uint32_t files;
        rig_init(variant);
        files = contract_open_files();
        for (uint64_t nth = 1;; nth++) {
            rig.contract.calls = 0;
            rig.contract.fail_at = nth;
            rig.contract.fail_code = code;
            memset(rig.contract.done, 0, sizeof(rig.contract.done));
            rig.ticket = 0;
            rig.contract.err = (struct sl_err){.text = ""};
            rig_life();
            if (contract_open_files() != files)
                fail_msg("%s: %u descriptors open after call %u failed", rig.kind->head.name, contract_open_files() - files,
                         (unsigned)nth);
            if (rig.contract.calls < nth)
                break;
        }
        rig.contract.fail_at = 0;
        rig_fini();
    }
}

static void test_each_file_operation_may_fail(void **state)
{
    (void)state;
    fail_each_call(EIO);
}

static void test_each_file_operation_may_find_no_space(void **state)
{
    (void)state;
    fail_each_call(ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_parcels_of_any_size_go_through_once, rig_unmute),
        cmocka_unit_test_teardown(test_what_comes_after_a_seal_belongs_to_the_next, rig_unmute),
        cmocka_unit_test_teardown(test_an_abandoned_flush_leaves_the_sink_fit, rig_unmute),
        cmocka_unit_test_teardown(test_abandoning_what_is_open_spares_what_is_sealed, rig_unmute),
        cmocka_unit_test_teardown(test_close_at_each_step_leaves_nothing, rig_unmute),
        cmocka_unit_test_teardown(test_a_committed_entry_is_published_by_the_next_start, rig_unmute),
        cmocka_unit_test_teardown(test_each_file_operation_may_fail, rig_unmute),
        cmocka_unit_test_teardown(test_each_file_operation_may_find_no_space, rig_unmute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
