/* test_contract_life.c: every row opens and closes again and again and leaves nothing behind: no memory (the address sanitizer's
 * leak check), no descriptor, no thread; and a close is fine after an open that failed or never was.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum { LIFE_TIMES = 1000 };

struct life {
    struct contract contract;
    void *self, *config;
};

static struct life life;
static uint32_t life_files, life_threads;

static void *no_work(void *user)
{
    return user;
}

/* Standard input at its end, for the kind that reads it. A first thread, since with it a sanitizer's own comes and stays. */
static int life_setup(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pthread_t thread;

    (void)state;
    if (pthread_create(&thread, NULL, no_work, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return -1;
    return null < 0 || dup2(null, 0) != 0 || close(null) != 0 ? -1 : 0;
}

/* A joined thread may stay in the kernel's list for a moment. */
static uint32_t life_threads_left(uint32_t before)
{
    for (int i = 0; i < 10000 && contract_threads() > before; i++)
        (void)usleep(1000); /* poll */
    return contract_threads();
}

static int life_out = -1;

static void life_begin(const struct sl_head *head)
{
    int null;

    life_files = contract_open_files();
    life_threads = contract_threads();
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)fflush(stdout);
    assert_true((life_out = dup(1)) >= 0 && dup2(null, 1) == 1);
    assert_int_equal(close(null), 0);
    contract_init(&life.contract);
    life.contract.head = head;
    life.config = contract_config(head);
    assert_non_null(life.self = calloc(1, head->self_bytes));
}

static void life_end(const struct sl_head *head)
{
    fake_slot_jobs(&life.contract.fake);
    free(life.self);
    contract_fini(&life.contract); /* with the spool, whose writer thread and segments come and go by themselves */
    assert_true(dup2(life_out, 1) == 1);
    assert_int_equal(close(life_out), 0);
    if (contract_open_files() != life_files)
        fail_msg("%s: %u descriptors, %u before", head->name, contract_open_files(), life_files);
    if (life_threads_left(life_threads) > life_threads)
        fail_msg("%s: %u threads, %u before", head->name, contract_threads(), life_threads);
}

static int life_share(const struct sl_head *head)
{
    life.contract.api.shared = NULL;
    return head->share == NULL ? 0 : head->share(&life.contract.api, life.config, &life.contract.api.shared, &life.contract.err);
}

static void life_unshare(const struct sl_head *head)
{
    if (head->unshare != NULL && life.contract.api.shared != NULL)
        head->unshare(life.contract.api.shared);
}

/* A cast to the role's own interface, by the size that the head states. */
static int life_open(const struct sl_head *head)
{
    struct contract *contract = &life.contract;

    memset(life.self, 0, head->self_bytes);
    contract->err.text[0] = '\0';
    contract->bench.columns_count = 0; /* a start has names of its own */
    if (head->bytes == sizeof(struct sl_op_kind))
        return ((const struct sl_op_kind *)(const void *)head)
            ->open(life.self, &contract->api, life.config, &contract->bench.names, &contract->err);
    if (head->bytes == sizeof(struct sl_source_kind))
        return ((const struct sl_source_kind *)(const void *)head)
            ->open(life.self, &contract->api, life.config, contract_slot(contract), &contract->err);
    return ((const struct sl_sink_kind *)(const void *)head)
        ->open(life.self, &contract->api, life.config, &contract->bench.names, contract_slot(contract), &contract->err);
}

static void life_close(const struct sl_head *head)
{
    if (head->bytes == sizeof(struct sl_op_kind))
        ((const struct sl_op_kind *)(const void *)head)->close(life.self);
    else if (head->bytes == sizeof(struct sl_source_kind))
        ((const struct sl_source_kind *)(const void *)head)->close(life.self);
    else
        ((const struct sl_sink_kind *)(const void *)head)->close(life.self);
    fake_slot_jobs(&life.contract.fake);
}

static void test_a_thousand_lives_leave_nothing(void **state)
{
    (void)state;
    assert_true(sizeof(struct sl_op_kind) != sizeof(struct sl_source_kind) &&
                sizeof(struct sl_sink_kind) != sizeof(struct sl_source_kind) &&
                sizeof(struct sl_sink_kind) != sizeof(struct sl_op_kind));
    for (const struct sl_head *const *heads = contract_heads(); *heads != NULL; heads++) {
        life_begin(*heads);
        for (int i = 0; i < LIFE_TIMES; i++) {
            if (life_share(*heads) != 0 || life_open(*heads) != 0)
                fail_msg("%s, life %d: %s", (*heads)->name, i, life.contract.err.text);
            life_close(*heads);
            life_unshare(*heads);
        }
        life_end(*heads);
    }
}

static void test_close_is_fine_without_an_open(void **state)
{
    (void)state;
    for (const struct sl_head *const *heads = contract_heads(); *heads != NULL; heads++) {
        life_begin(*heads);
        life_close(*heads);
        life_end(*heads);
    }
}

/* The first, second, … call of a file fails while it opens, until one life meets no failure any more. */
static void test_open_with_files_that_fail_says_so_and_leaves_nothing(void **state)
{
    (void)state;
    for (const struct sl_head *const *heads = contract_heads(); *heads != NULL; heads++) {
        bool failed = true;

        life_begin(*heads);
        for (uint64_t nth = 1; failed; nth++) {
            struct contract *contract = &life.contract;
            assert_true(nth < 1000);
            contract->calls = 0;
            contract->fail_at = nth;
            contract->err = (struct sl_err){.text = ""};
            if (life_share(*heads) != 0 || life_open(*heads) != 0)
                assert_true(contract->err.text[0] != '\0');
            failed = contract->calls >= nth;
            contract->fail_at = 0;
            life_close(*heads);
            life_unshare(*heads);
            memset(life.self, 0, (*heads)->self_bytes);
        }
        life_end(*heads);
    }
}

/* No name can be registered: more fields than a topology can have columns. */
static int no_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    (void)names;
    (void)name;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "too many fields");
}

static void test_open_without_room_for_fields_leaves_nothing(void **state)
{
    (void)state;
    for (const struct sl_head *const *heads = contract_heads(); *heads != NULL; heads++) {
        life_begin(*heads);
        life.contract.bench.names.column = no_column;
        if (life_share(*heads) != 0)
            fail_msg("%s: %s", (*heads)->name, life.contract.err.text);
        if (life_open(*heads) != 0)
            assert_non_null(strstr(life.contract.err.text, "too many fields"));
        life_close(*heads);
        life_unshare(*heads);
        life_end(*heads);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_lives_leave_nothing),
        cmocka_unit_test(test_close_is_fine_without_an_open),
        cmocka_unit_test(test_open_with_files_that_fail_says_so_and_leaves_nothing),
        cmocka_unit_test(test_open_without_room_for_fields_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, life_setup, NULL);
}
