/* test_blame.c: a crash leaves a row that names the stage in whose code it happened, and no other end of a process does (rule J2).
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/blame.h"
#include "runtime/deploy/blame.h"
#include "tests/support/stage_bench.h"

static struct bench bench;
static struct sl_blame_row rows[SL_BLAME_ROWS];
static uint32_t rows_count;
static struct sl_err err;
static const struct sl_blame_frame frame = {"bus", "mask", 7, true}, builtin = {"bus", "parsed", 7, false};

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_fini(&bench);
    return 0;
}

/* Runs `end` in a process that has opened the folder's rows; returns the signal that ended it, 0: none. */
static int ends(void (*end)(void))
{
    struct rlimit none = {0, 0};
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        for (int number = 1; number < 32; number++) /* cmocka's */
            (void)signal(number, SIG_DFL);
        (void)setrlimit(RLIMIT_CORE, &none);
        if (sl_blame_open(bench.dir, &err) != 0)
            _exit(99);
        end();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 99);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void take(uint32_t count)
{
    assert_int_equal(sl_blame_take(sl_fs_posix(), bench.dir, rows, &rows_count, &err), 0);
    assert_int_equal(rows_count, count);
}

static void named(const struct sl_blame_row *row, int number, const char *component)
{
    assert_true(row->named);
    assert_true(row->fresh);
    assert_int_equal(row->signal, number);
    assert_int_equal(row->generation, 7);
    assert_string_equal(row->topology, "bus");
    assert_string_equal(row->component, component);
}

/* ---- ends ---- */

static void *volatile nowhere;

static void fault(void)
{
    *(volatile int *)nowhere = 1;
}

static void fault_in_plugin(void)
{
    sl_blame_enter(&frame);
    fault();
}

static void fault_in_builtin(void)
{
    sl_blame_enter(&builtin);
    nowhere = (void *)(uintptr_t)0x1000;
    fault();
}

static void fault_behind_plugin(void)
{
    sl_blame_enter(&frame);
    sl_blame_leave();
    fault();
}

static void abort_in_plugin(void)
{
    sl_blame_enter(&frame);
    abort();
}

static void trap_in_plugin(void)
{
    sl_blame_enter(&frame);
    (void)raise(SIGILL);
}

static volatile int deep, deepest = -1;

static int overflow(int depth)
{
    volatile char room[4096];

    room[depth & 4095] = 1;
    return depth == deepest ? 0 : overflow(depth + 1) + room[depth & 4095];
}

static void *overflow_thread(void *user)
{
    (void)user;
    sl_blame_thread();
    sl_blame_thread();
    sl_blame_enter(&frame);
    deep = overflow(0);
    return NULL;
}

static void overflow_in_plugin(void)
{
    sl_blame_enter(&frame);
    deep = overflow(0);
}

static void overflow_in_a_worker(void)
{
    pthread_t thread;

    sl_blame_enter(&builtin); /* another thread's is not asked */
    if (pthread_create(&thread, NULL, overflow_thread, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

static void killed_in_plugin(void)
{
    sl_blame_enter(&frame);
    (void)kill(getpid(), SIGKILL);
}

static void ended_from_outside(void)
{
    pid_t parent = getpid(), killer;
    int status;

    sl_blame_enter(&frame);
    killer = fork();
    if (killer == 0)
        _exit(kill(parent, SIGABRT) == 0 ? 0 : 1);
    (void)waitpid(killer, &status, 0);
}

static void fault_in_damage(void)
{
    static const struct sl_blame_frame damaged = {(const char *)16, "mask", 7, true};

    sl_blame_enter(&damaged);
    abort();
}

static void handled(int number)
{
    _exit(number == SIGSEGV ? 42 : 1);
}

static void ends_well(void)
{
    sl_blame_enter(&frame);
    sl_blame_leave();
}

/* ---- tests ---- */

static void test_a_crash_names_the_stage_and_nothing_else_does(void **state)
{
    (void)state;
    take(0);
    assert_int_equal(ends(fault_in_plugin), SIGSEGV);
    take(1);
    named(&rows[0], SIGSEGV, "mask");
    assert_true(rows[0].foreign);
    assert_int_equal(rows[0].address, 0);
    assert_int_equal(rows[0].in_a_row, 1);
    assert_string_equal(sl_blame_signal(rows[0].signal), "SIGSEGV");
    assert_int_equal(ends(fault_in_builtin), SIGSEGV);
    take(2);
    named(&rows[1], SIGSEGV, "parsed");
    assert_false(rows[1].foreign);
    assert_false(rows[0].fresh);
    assert_int_equal(rows[1].address, 0x1000);
    assert_int_equal(rows[1].in_a_row, 2);
    assert_int_equal(ends(fault_behind_plugin), SIGSEGV);
    take(3);
    assert_false(rows[2].named);
    assert_int_equal(rows[2].in_a_row, 0);
    assert_string_equal(rows[2].topology, "");
}

static void test_abort_and_traps_count(void **state)
{
    (void)state;
    assert_int_equal(ends(abort_in_plugin), SIGABRT);
    assert_int_equal(ends(trap_in_plugin), SIGILL);
    take(2);
    named(&rows[0], SIGABRT, "mask");
    named(&rows[1], SIGILL, "mask");
}

static void test_an_overflow_of_the_stack_is_named(void **state)
{
    (void)state;
    assert_int_equal(ends(overflow_in_plugin), SIGSEGV);
    assert_int_equal(ends(overflow_in_a_worker), SIGSEGV);
    take(2);
    named(&rows[0], SIGSEGV, "mask");
    named(&rows[1], SIGSEGV, "mask");
}

static void test_a_kill_leaves_no_row_and_one_from_outside_names_nobody(void **state)
{
    (void)state;
    assert_int_equal(ends(killed_in_plugin), SIGKILL);
    assert_int_equal(ends(ends_well), 0);
    take(0);
    assert_int_equal(ends(ended_from_outside), SIGABRT);
    take(1);
    assert_false(rows[0].named);
}

static void test_a_damaged_frame_names_nobody(void **state)
{
    (void)state;
    assert_true(ends(fault_in_damage) != 0);
    take(1);
    assert_false(rows[0].named);
    assert_int_equal(rows[0].signal, SIGABRT);
}

/* Installed before ours, as a sanitizer's would be: it still gets the signal. */
static void test_the_handler_before_is_called(void **state)
{
    int status = 0;
    pid_t child;
    (void)state;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGSEGV, handled);
        if (sl_blame_open(bench.dir, &err) != 0)
            _exit(99);
        fault_in_plugin();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    take(1);
    named(&rows[0], SIGSEGV, "mask");
}

/* As if the first row were older by that much. */
static void age_first_row(int64_t ms)
{
    char path[128], *data = NULL;
    size_t bytes = 0;
    uint32_t sum = 2166136261u;
    int64_t unix_ms;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/blame", bench.dir);
    assert_true(sl_fs_read_file(sl_fs_posix(), path, 1 << 20, &data, &bytes) >= 0);
    memcpy(&unix_ms, data + 8, sizeof(unix_ms));
    unix_ms -= ms;
    memcpy(data + 8, &unix_ms, sizeof(unix_ms));
    for (int i = 0; i < 176; i++)
        sum = (sum ^ (unsigned char)data[i]) * 16777619u;
    memcpy(data + 176, &sum, sizeof(sum));
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    free(data);
}

static void test_crashes_far_apart_are_not_in_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ends(fault_in_plugin), SIGSEGV);
    take(3);
    assert_int_equal(rows[2].in_a_row, 3);
    age_first_row(SL_BLAME_WITHIN_MS + 1000);
    take(3);
    assert_int_equal(rows[0].in_a_row, 1);
    assert_int_equal(rows[1].in_a_row, 1);
    assert_int_equal(rows[2].in_a_row, 2);
}

/* Half a row, a row with another bit, a file of something else: what is sound is told, nothing else. */
static void test_damage_is_left_out(void **state)
{
    char path[128], *data = NULL;
    size_t bytes = 0;
    FILE *file;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/blame", bench.dir);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ends(abort_in_plugin), SIGABRT);
    assert_true(sl_fs_read_file(sl_fs_posix(), path, 1 << 20, &data, &bytes) >= 0);
    assert_int_equal(bytes % 3, 0);
    data[bytes / 3 + 20] = (char)(data[bytes / 3 + 20] ^ 4);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes - 7, file), bytes - 7);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ends(fault_in_builtin), SIGSEGV); /* behind half a row, a new one is whole */
    take(2);
    named(&rows[0], SIGABRT, "mask");
    named(&rows[1], SIGSEGV, "parsed");
    free(data);
}

static void test_the_newest_rows_are_kept(void **state)
{
    enum { CRASHES = SL_BLAME_ROWS + 3 };
    (void)state;
    for (int i = 0; i < CRASHES - 1; i++)
        assert_int_equal(ends(abort_in_plugin), SIGABRT);
    assert_int_equal(ends(fault_in_builtin), SIGSEGV);
    take(SL_BLAME_ROWS);
    named(&rows[SL_BLAME_ROWS - 1], SIGSEGV, "parsed");
    take(SL_BLAME_ROWS);
    assert_false(rows[SL_BLAME_ROWS - 1].fresh);
}

/* A handler that holds the file while it is taken writes where the next start looks. */
static void fault_after_a_take(void)
{
    if (sl_blame_take(sl_fs_posix(), bench.dir, rows, &rows_count, &err) != 0)
        _exit(1);
    fault_in_plugin();
}

static void test_taking_does_not_move_the_file_away(void **state)
{
    (void)state;
    assert_int_equal(ends(abort_in_plugin), SIGABRT);
    assert_int_equal(ends(fault_after_a_take), SIGSEGV);
    take(2);
    named(&rows[1], SIGSEGV, "mask");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_crash_names_the_stage_and_nothing_else_does, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abort_and_traps_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_overflow_of_the_stack_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_kill_leaves_no_row_and_one_from_outside_names_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_frame_names_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_handler_before_is_called, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crashes_far_apart_are_not_in_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_newest_rows_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taking_does_not_move_the_file_away, setup, teardown),
    };
    return SL_BLAME_OFF ? 0 : cmocka_run_group_tests(tests, NULL, NULL); /* sanitizers have handlers of their own */
}
