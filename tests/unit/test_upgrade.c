/* test_upgrade.c: one process hands over to another, and takes everything back from each kind of new one that does not run.
 *
 * The new process is this program again, with a word that says how it behaves.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "runtime/base/clock.h"
#include "runtime/base/listener.h"
#include "runtime/store/commit_log.h"
#include "runtime/store/data_dir.h"
#include "runtime/store/generations.h"
#include "runtime/store/spool.h"
#include "runtime/upgrade/giver.h"
#include "runtime/upgrade/notify.h"
#include "runtime/upgrade/stores.h"
#include "runtime/upgrade/taker.h"
#include "runtime/upgrade/wire.h"
#include "tests/support/disk.h"

enum { FIRST_TAKEN_NS = 4242 };

/* ---- the new process ---- */

static int new_open(const char *dir, struct sl_data_dir *ret_dir)
{
    struct sl_err err;

    return sl_data_dir_open(sl_fs_posix(), dir, ret_dir, &err) == 0 ? 0 : 3;
}

static int new_listener(void *user, int *ret_fd, struct sl_err *err)
{
    (void)user;
    (void)ret_fd;
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "it was not handed over");
}

static int new_good(struct sl_taker *taker, const char *dir, const char *word)
{
    struct sl_data_dir mine;
    struct sl_err err;
    int fd;

    if (sl_taker_ready(taker, &err) != 0)
        return 2; /* called off: nothing is ours */
    if (strcmp(word, "dies") == 0)
        return 9;
    if (strcmp(word, "fails") == 0) {
        sl_taker_failed(taker, "the disk is on fire");
        return 1;
    }
    if (new_open(dir, &mine) != 0 || sl_listener_get("unix here", "a/in", new_listener, NULL, &fd, &err) != 0)
        return 3;
    if (sl_taker_slots(taker, "a topology") != 7 || sl_taker_last_taken_ns(taker) != 4000)
        return 4;
    if (strcmp(word, "hangs") == 0)
        (void)pause();
    if (sl_taker_running(taker, FIRST_TAKEN_NS, &err) != 0)
        return 5;
    (void)sl_taker_free(taker);
    (void)pause(); /* it runs */
    return 0;
}

static int new_process(const char *word, const char *dir)
{
    struct sl_taker *taker = NULL;
    struct sl_err err;

    if (strcmp(word, "exits") == 0)
        return 1;
    if (strcmp(word, "mute") == 0)
        return pause();
    if (strcmp(word, "old") == 0) {
        (void)sl_wire_send(3, -1, &err, "hello 99 9.9.9");
        return pause();
    }
    if (strcmp(word, "wrapped") == 0) { /* a script without exec: another process than the child */
        pid_t pid = fork();
        if (pid != 0)
            return waitpid(pid, NULL, 0) == pid ? 0 : 1;
        word = "hangs";
    }
    if (sl_taker_open(&taker, &err) != 0 || taker == NULL)
        return 6;
    if (getenv(SL_WIRE_VARIABLE) != NULL)
        return 7;
    if (strcmp(word, "refuses") == 0) {
        sl_taker_refuse(taker, "topology.yaml:3:5: unknown key");
        return 1;
    }
    return new_good(taker, dir, word);
}

/* ---- the old process ---- */

struct old {
    uv_loop_t loop;
    struct sl_giver *giver;
    char dir[64];
    struct sl_data_dir data_dir;
    bool open, drained;
    int flushes, drains, closes, reopens, ended;
    bool lost, handed;
    struct sl_giver_report report;
    char why[480];
    enum sl_giver_state last;
};

static void old_flush(void *user)
{
    struct old *old = user;

    assert_true(old->open);
    old->flushes++;
}

static bool old_flushed(void *user)
{
    return ((struct old *)user)->flushes > 0;
}

static void old_drain(void *user)
{
    ((struct old *)user)->drains++;
}

static bool old_idle(void *user)
{
    return ((struct old *)user)->drained;
}

static int old_close(void *user, int *ret_lock, struct sl_err *err)
{
    struct old *old = user;

    assert_true(old->open);
    if (sl_data_dir_share(old->dir, ret_lock, err) != 0)
        return -(int)err->code;
    sl_data_dir_close(&old->data_dir);
    old->open = false;
    old->closes++;
    return 0;
}

static int old_tell(void *user, int wire, struct sl_err *err)
{
    (void)user;
    return sl_wire_send(wire, -1, err, "slots 7 a topology");
}

static uint64_t old_last(void *user)
{
    (void)user;
    return 4000;
}

static int old_reopen(void *user, struct sl_err *err)
{
    struct old *old = user;

    old->reopens++;
    old->open = sl_data_dir_open(sl_fs_posix(), old->dir, &old->data_dir, err) == 0;
    return old->open ? 0 : -(int)err->code;
}

static void old_said(void *user, enum sl_giver_state state, const char *text)
{
    assert_true(text[0] != '\0');
    ((struct old *)user)->last = state;
}

static void old_ended(void *user, const struct sl_giver_report *report, const char *why, bool lost)
{
    struct old *old = user;

    old->ended++;
    old->handed = why == NULL;
    old->lost = lost;
    old->report = *report;
    if (why != NULL)
        (void)snprintf(old->why, sizeof(old->why), "%s", why);
    uv_stop(&old->loop);
}

static int old_listener(void *user, int *ret_fd, struct sl_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)err;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/here.sock", ((struct old *)user)->dir);
    (void)unlink(address.sun_path);
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(*ret_fd, 8), 0);
    return 0;
}

static int old_setup(void **state)
{
    static const struct sl_giver_hooks hooks = {NULL, old_flush, old_flushed, old_drain, old_idle, old_close, old_tell,
                                                old_last, old_reopen, old_said, old_ended};
    struct old *old = calloc(1, sizeof(*old));
    struct sl_giver_hooks mine = hooks;
    struct sl_err err;

    (void)snprintf(old->dir, sizeof(old->dir), "/tmp/sluice-upgrade-XXXXXX");
    assert_non_null(mkdtemp(old->dir));
    assert_int_equal(uv_loop_init(&old->loop), 0);
    mine.user = old;
    old->giver = sl_giver_new(&old->loop, &mine, &err);
    assert_non_null(old->giver);
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), old->dir, &old->data_dir, &err), 0);
    old->open = old->drained = true;
    *state = old;
    return 0;
}

static void old_close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int old_teardown(void **state)
{
    struct old *old = *state;
    char command[128];

    uv_walk(&old->loop, old_close_handle, NULL);
    (void)uv_run(&old->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&old->loop), 0);
    old->giver = sl_giver_free(old->giver);
    if (old->open)
        sl_data_dir_close(&old->data_dir);
    sl_listener_keep(false);
    (void)snprintf(command, sizeof(command), "rm -rf %s", old->dir);
    assert_int_equal(system(command), 0);
    free(old);
    return 0;
}

/* Until it has ended, whichever way. */
static void old_upgrade(struct old *old, const char *word)
{
    char self[4096] = "", *args[] = {self, (char *)(uintptr_t)word, old->dir, NULL};
    const struct sl_giver_limits limits = {.warm = strcmp(word, "mute") == 0 ? 100 : 0, .drain = 100,
                                           .report = strcmp(word, "hangs") == 0 || strcmp(word, "wrapped") == 0 ? 500 : 0};
    struct sl_err err;
    int fd;

    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    if (sl_listener_get("unix here", "a/in", old_listener, old, &fd, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(sl_giver_start(old->giver, self, args, &limits, &err), 0);
    assert_int_equal(sl_giver_start(old->giver, self, args, &limits, &err), -SL_E_LIMIT); /* one at a time */
    old->ended = 0;
    (void)uv_run(&old->loop, UV_RUN_DEFAULT);
    assert_int_equal(old->ended, 1);
    sl_listener_put("unix here", fd);
    (void)close(fd);
}

/* The folder is the old process's: nobody else has a lock on it, and its own is there. */
static void assert_ours(struct old *old)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct sl_data_dir dir;
        struct sl_err err;
        sl_data_dir_adopt(-1);
        _exit(sl_data_dir_open(sl_fs_posix(), old->dir, &dir, &err) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(old->open);
    sl_data_dir_close(&old->data_dir); /* the last descriptor: then it is free */
    old->open = false;
    pid = fork();
    if (pid == 0) {
        struct sl_data_dir dir;
        struct sl_err err;
        _exit(sl_data_dir_open(sl_fs_posix(), old->dir, &dir, &err) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_everything_is_handed_over(void **state)
{
    struct old *old = *state;
    struct sl_data_dir mine;
    struct sl_err err;

    old_upgrade(old, "good");
    assert_true(old->handed);
    assert_int_equal(old->flushes + old->drains + old->closes, 3);
    assert_int_equal(old->reopens, 0);
    assert_true(old->report.drained);
    assert_int_equal(old->report.first_taken_ns, FIRST_TAKEN_NS);
    assert_int_equal(old->report.gap_ns, FIRST_TAKEN_NS - 4000);
    assert_int_equal(sl_giver_state(old->giver), SL_GIVER_OVER);
    sl_data_dir_adopt(-1);
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), old->dir, &mine, &err), -SL_E_IO); /* the new one has it */
    assert_int_equal(kill((pid_t)old->report.pid, SIGKILL), 0);
}

static void test_nothing_was_touched_where_it_never_got_ready(void **state)
{
    static const struct {
        const char *word, *why;
    } cases[] = {
        {"exits", "it ended with status 1"},
        {"refuses", "the new process says: topology.yaml:3:5: unknown key"},
        {"mute", "was not ready within"},
        {"old", "by protocol 99"},
    };
    struct old *old = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        old_upgrade(old, cases[i].word);
        assert_false(old->handed);
        assert_non_null(strstr(old->why, cases[i].why));
        assert_int_equal(old->flushes + old->drains + old->closes + old->reopens, 0);
        assert_int_equal(sl_giver_state(old->giver), SL_GIVER_IDLE);
        assert_false(sl_listener_keeping());
    }
    assert_ours(old);
}

/* Gone, or waiting for whoever reaps orphans here. */
static bool is_dead(long pid)
{
    char path[64], text[256] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return true;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    return strstr(text, ") Z ") != NULL;
}

static void test_everything_is_taken_back_where_it_ends_after_go(void **state)
{
    static const struct {
        const char *word, *why;
    } cases[] = {
        {"dies", "it ended with status 9"},
        {"fails", "the disk is on fire"},
        {"hangs", "had done no batch within"},
        {"wrapped", "had done no batch within"},
    };
    struct old *old = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        old_upgrade(old, cases[i].word);
        assert_false(old->handed);
        assert_false(old->lost);
        if (strstr(old->why, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].word, old->why);
        assert_int_equal(old->closes, i + 1);
        assert_int_equal(old->reopens, i + 1);
        assert_true(old->open);
        assert_true(is_dead(old->report.pid)); /* certainly, grandchild or not */
    }
    old_upgrade(old, "good"); /* and then it works */
    assert_true(old->handed);
    assert_int_equal(kill((pid_t)old->report.pid, SIGKILL), 0);
}

static void test_after_taking_it_back_the_folder_is_ours_alone(void **state)
{
    struct old *old = *state;

    old_upgrade(old, "hangs");
    assert_ours(old);
}

static void test_a_drain_without_end_does_not_keep_it(void **state)
{
    struct old *old = *state;

    old->drained = false;
    old_upgrade(old, "good");
    assert_true(old->handed);
    assert_false(old->report.drained);
    assert_int_equal(kill((pid_t)old->report.pid, SIGKILL), 0);
}

static void test_a_file_that_cannot_run_is_refused_at_once(void **state)
{
    struct old *old = *state;
    char word[] = "x", *args[] = {word, NULL};
    const struct sl_giver_limits limits = {0};
    struct sl_err err;

    assert_int_equal(sl_giver_start(old->giver, "/no/such/file", args, &limits, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "/no/such/file cannot be run"));
    assert_int_equal(sl_giver_state(old->giver), SL_GIVER_IDLE);
    (void)uv_run(&old->loop, UV_RUN_NOWAIT);
    old_upgrade(old, "good");
    assert_true(old->handed);
    assert_int_equal(kill((pid_t)old->report.pid, SIGKILL), 0);
}

/* ---- the wire, alone ---- */

static void test_messages_carry_descriptors_and_who_sent_them(void **state)
{
    struct sl_wire_message message;
    struct sl_err err;
    int fds[2], pipes[2];
    char byte = 0;

    (void)state;
    assert_int_equal(sl_wire_pair(fds, &err), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(sl_wire_receive(fds[0], 0, &message, &err), 0);
    assert_int_equal(sl_wire_send(fds[1], pipes[0], &err, "listener %s", "tcp 127.0.0.1:1"), 0);
    assert_int_equal(sl_wire_receive(fds[0], -1, &message, &err), 1);
    assert_string_equal(sl_wire_is(&message, "listener"), "tcp 127.0.0.1:1");
    assert_null(sl_wire_is(&message, "listen"));
    assert_int_equal(message.pid, getpid());
    assert_true((fcntl(message.fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(read(message.fd, &byte, 1), 1);
    (void)close(message.fd);
    assert_int_equal(sl_wire_send(fds[0], -1, &err, "begin"), 0);
    assert_int_equal(sl_wire_receive(fds[1], -1, &message, &err), 1);
    assert_string_equal(sl_wire_is(&message, "begin"), "");
    assert_int_equal(message.fd, -1);
    (void)close(fds[1]);
    assert_int_equal(sl_wire_receive(fds[0], -1, &message, &err), -SL_E_STOPPED);
    assert_int_equal(sl_wire_send(fds[0], -1, &err, "go"), -SL_E_STOPPED);
    (void)close(fds[0]);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void test_the_service_manager_is_told(void **state)
{
    char path[] = "/tmp/sluice-notify-XXXXXX", socket_path[64], text[64] = "";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    assert_false(sl_notify("READY=1"));
    assert_non_null(mkdtemp(path));
    (void)snprintf(socket_path, sizeof(socket_path), "%s/notify", path);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", socket_path, 1), 0);
    assert_true(sl_notify_main(4711));
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "MAINPID=4711\n");
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    (void)snprintf(text, sizeof(text), "%ld", (long)getpid());
    assert_int_equal(setenv("SYSTEMD_EXEC_PID", text, 1), 0);
    assert_non_null(sl_notify_refuses());
    assert_int_equal(setenv("SYSTEMD_EXEC_PID", "1", 1), 0);
    assert_null(sl_notify_refuses());
    (void)close(fd);
    assert_int_equal(unlink(socket_path) + rmdir(path), 0);
}

/* ---- formats ---- */

static void test_a_store_of_a_newer_version_is_refused_by_name(void **state)
{
    static const struct {
        const char *path, *text;
    } cases[] = {
        {"/d/epoch", "sluice-data 2\nepoch 3\ncrc 00000000\n"},
        {"/d/spool/t/manifest", "sluice-spool 2\npartitions 1\ncrc 00000000\n"},
        {"/d/spool/t/marks", "sluice-marks 9\nclean 1\ncrc 00000000\n"},
        {"/d/generations/t/state", "sluice-generations 2\nnext 2\ncrc 00000000\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_disk *disk = sl_disk_new(i + 1);
        struct sl_fs *fs = sl_disk_fs(disk);
        struct sl_commit_log *log = NULL;
        struct sl_err err;

        assert_int_equal(sl_upgrade_stores(fs, "/d", &err), 0); /* nothing there */
        assert_int_equal(sl_fs_mkdirs(fs, "/d/topologies/t", 0755) + sl_fs_mkdirs(fs, "/d/spool/t", 0755) +
                             sl_fs_mkdirs(fs, "/d/generations/t", 0755), 0);
        assert_int_equal(sl_commit_log_open(fs, "/d/topologies/t/commit.log", &log, &err), 0);
        log = sl_commit_log_close(log);
        assert_int_equal(sl_upgrade_stores(fs, "/d", &err), 0);
        assert_int_equal(sl_fs_replace_file(fs, cases[i].path, cases[i].text, strlen(cases[i].text)), 0);
        assert_int_equal(sl_upgrade_stores(fs, "/d", &err), -SL_E_FORMAT);
        assert_non_null(strstr(err.text, cases[i].path));
        assert_non_null(strstr(err.text, "newer version"));
        (void)sl_disk_free(disk);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_is_handed_over, old_setup, old_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_was_touched_where_it_never_got_ready, old_setup, old_teardown),
        cmocka_unit_test_setup_teardown(test_everything_is_taken_back_where_it_ends_after_go, old_setup, old_teardown),
        cmocka_unit_test_setup_teardown(test_after_taking_it_back_the_folder_is_ours_alone, old_setup, old_teardown),
        cmocka_unit_test_setup_teardown(test_a_drain_without_end_does_not_keep_it, old_setup, old_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_run_is_refused_at_once, old_setup, old_teardown),
        cmocka_unit_test(test_messages_carry_descriptors_and_who_sent_them),
        cmocka_unit_test(test_the_service_manager_is_told),
        cmocka_unit_test(test_a_store_of_a_newer_version_is_refused_by_name),
    };

    if (argc == 3)
        _exit(new_process(argv[1], argv[2])); /* it leaves as it is */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
