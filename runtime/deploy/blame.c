/* blame.c: what is left of a crash.
 *
 * The handler calls only what a handler may: fstat, pwrite, clock_gettime, sigaction. It writes twice: first the row without names,
 * then, with all five signals still blocked, what the frame points to. Where that memory is damaged as well, the kernel ends the process
 * there, and the first row stands and names nobody.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/blame.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/blame.h"

/* On disk, in the host's byte order: the file never leaves it. */
struct blame_record {
    uint32_t magic, generation;
    int64_t unix_ms;
    uint64_t address;
    int32_t signal;
    uint8_t named, foreign, spare[2];
    char topology[SL_BLAME_NAME + 7], component[SL_BLAME_NAME + 7];
    uint32_t sum;   /* of all before */
    uint32_t taken; /* 1: by sl_blame_take */
};
static_assert(sizeof(struct blame_record) == 184, "rows are of one size, without holes");

enum { BLAME_MAGIC = 0x626c616d, BLAME_FILE_MAX = 64 << 20, BLAME_SIGNALS = 5, BLAME_WAIT_MS = 10, BLAME_WAITS = 200 };

static const int blame_signals[BLAME_SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static struct sigaction blame_before[BLAME_SIGNALS];
static atomic_int blame_fd = -1;
static atomic_flag blame_dying = ATOMIC_FLAG_INIT;
static atomic_bool blame_written;

static uint32_t blame_sum(const struct blame_record *record)
{
    const unsigned char *byte = (const unsigned char *)record;
    uint32_t sum = 2166136261u;

    for (size_t i = 0; i < offsetof(struct blame_record, sum); i++)
        sum = (sum ^ byte[i]) * 16777619u;
    return sum;
}

const char *sl_blame_signal(int number)
{
    static const char *const names[BLAME_SIGNALS] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"};

    for (int i = 0; i < BLAME_SIGNALS; i++)
        if (blame_signals[i] == number)
            return names[i];
    return "a signal";
}

/* ---- in the process that dies ---- */

/* Positive codes are the kernel's, of the thread's own doing; abort and raise send to the own thread. A kill from outside, and a service
 * manager's watchdog, are nobody's fault here. */
static bool blame_own(const siginfo_t *info)
{
    return info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());
}

static void blame_name(char to[SL_BLAME_NAME + 7], const char *text)
{
    for (int i = 0; text != NULL && i < SL_BLAME_NAME - 1 && text[i] != '\0'; i++)
        to[i] = text[i];
}

static void blame_put(int fd, struct blame_record *record, off_t at)
{
    record->sum = blame_sum(record);
    while (pwrite(fd, record, sizeof(*record), at) < 0 && errno == EINTR)
        ;
}

static void blame_write(int fd, int number, const siginfo_t *info)
{
    const struct sl_blame_frame *frame = sl_blame_now;
    struct blame_record record;
    struct timespec now;
    struct stat file;
    off_t at;

    memset(&record, 0, sizeof(record));
    record.magic = BLAME_MAGIC;
    record.signal = number;
    if (info->si_code > 0)
        memcpy(&record.address, &info->si_addr, sizeof(info->si_addr));
    if (clock_gettime(CLOCK_REALTIME, &now) == 0)
        record.unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (fstat(fd, &file) != 0)
        return;
    at = file.st_size - file.st_size % (off_t)sizeof(record);
    blame_put(fd, &record, at);
    if (frame == NULL || !blame_own(info))
        return;
    record.generation = frame->generation;
    record.foreign = frame->foreign;
    blame_name(record.topology, frame->topology);
    blame_name(record.component, frame->component);
    record.named = 1;
    blame_put(fd, &record, at);
}

/* Another thread's crash is being written down: that one ends the process. */
static void blame_wait(void)
{
    const struct timespec pause = {0, BLAME_WAIT_MS * 1000000L};

    for (int i = 0; i < BLAME_WAITS && !atomic_load(&blame_written); i++)
        (void)nanosleep(&pause, NULL);
}

/* A fault comes again by itself once the handler has returned; what was sent is sent again, as it was. */
static void blame_hand_on(int number, siginfo_t *info)
{
    for (int i = 0; i < BLAME_SIGNALS; i++)
        if (blame_signals[i] == number)
            (void)sigaction(number, &blame_before[i], NULL);
    if (info->si_code <= 0)
        (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), number, info);
}

static void blame_handle(int number, siginfo_t *info, void *context)
{
    int fd = atomic_load(&blame_fd), saved = errno;

    (void)context;
    if (atomic_flag_test_and_set(&blame_dying)) {
        blame_wait();
    } else {
        if (fd >= 0)
            blame_write(fd, number, info);
        atomic_store(&blame_written, true);
    }
    blame_hand_on(number, info);
    errno = saved;
}

static void blame_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = blame_handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    (void)sigemptyset(&action.sa_mask);
    for (int i = 0; i < BLAME_SIGNALS; i++)
        (void)sigaddset(&action.sa_mask, blame_signals[i]);
    for (int i = 0; i < BLAME_SIGNALS; i++)
        if (sigaction(blame_signals[i], NULL, &blame_before[i]) == 0)
            (void)sigaction(blame_signals[i], &action, NULL);
}

int sl_blame_open(const char *data_dir, struct sl_err *err)
{
    static atomic_flag installed = ATOMIC_FLAG_INIT;
    char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/blame", data_dir) < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for a path");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    free(path);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "%s/blame, where a crash is written down: %s", data_dir, strerror(errno));
    fd = atomic_exchange(&blame_fd, fd);
    if (fd >= 0)
        (void)close(fd);
    sl_blame_thread();
    if (!SL_BLAME_OFF && !atomic_flag_test_and_set(&installed))
        blame_install();
    return 0;
}

/* ---- at the next start ---- */

static bool blame_sound(const struct blame_record *record)
{
    return record->magic == BLAME_MAGIC && record->sum == blame_sum(record) && record->named <= 1 && record->foreign <= 1 &&
           record->topology[SL_BLAME_NAME - 1] == '\0' && record->component[SL_BLAME_NAME - 1] == '\0';
}

static struct sl_blame_row blame_row(const struct blame_record *record)
{
    struct sl_blame_row row = {.unix_ms = record->unix_ms, .address = record->address, .signal = record->signal,
                               .named = record->named != 0, .foreign = record->foreign != 0, .fresh = record->taken == 0,
                               .generation = record->generation};

    memcpy(row.topology, record->topology, sizeof(row.topology));
    memcpy(row.component, record->component, sizeof(row.component));
    return row;
}

/* By the row before it of the same generation. A clock that went back makes no row. */
static void blame_count(struct sl_blame_row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!rows[i].named)
            continue;
        rows[i].in_a_row = 1;
        for (uint32_t before = i; before-- > 0;) {
            const struct sl_blame_row *earlier = &rows[before];
            if (!earlier->named || earlier->generation != rows[i].generation || strcmp(earlier->topology, rows[i].topology) != 0)
                continue;
            if (rows[i].unix_ms >= earlier->unix_ms && rows[i].unix_ms - earlier->unix_ms <= SL_BLAME_WITHIN_MS)
                rows[i].in_a_row += earlier->in_a_row;
            break;
        }
    }
}

/* The newest SL_BLAME_ROWS sound records, moved to the front; returns how many. */
static uint32_t blame_sift(struct blame_record *records, size_t count)
{
    uint32_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (!blame_sound(&records[i]))
            continue;
        if (kept == SL_BLAME_ROWS)
            memmove(records, records + 1, --kept * sizeof(*records));
        records[kept++] = records[i];
    }
    return kept;
}

/* Does the file say anything that these records do not say as taken? */
static bool blame_news(const struct blame_record *records, uint32_t kept, size_t bytes)
{
    for (uint32_t i = 0; i < kept; i++)
        if (records[i].taken != 1)
            return true;
    return bytes != kept * sizeof(*records);
}

/* In place: the handler of this or another process may hold the file open. */
static int blame_rewrite(struct sl_fs *fs, const char *path, const struct blame_record *records, uint32_t count)
{
    int fd = fs->open(fs, path, O_RDWR, 0), rc;

    if (fd < 0)
        return fd;
    rc = sl_fs_write_all(fs, fd, records, count * sizeof(*records), 0);
    if (rc >= 0)
        rc = fs->truncate(fs, fd, count * sizeof(*records));
    if (rc >= 0)
        rc = fs->fsync(fs, fd);
    (void)fs->close(fs, fd);
    return rc;
}

static int blame_read(struct sl_fs *fs, const char *path, struct sl_blame_row *rows, uint32_t *ret_count)
{
    char *data = NULL;
    size_t bytes = 0;
    int rc = sl_fs_read_file(fs, path, BLAME_FILE_MAX, &data, &bytes);
    struct blame_record *records = (struct blame_record *)(void *)data;
    uint32_t kept;

    *ret_count = 0;
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    kept = blame_sift(records, bytes / sizeof(*records));
    for (uint32_t i = 0; i < kept; i++)
        rows[i] = blame_row(&records[i]);
    blame_count(rows, kept);
    if (blame_news(records, kept, bytes)) {
        for (uint32_t i = 0; i < kept; i++)
            records[i].taken = 1;
        rc = blame_rewrite(fs, path, records, kept);
    }
    free(data);
    *ret_count = kept;
    return rc;
}

int sl_blame_take(struct sl_fs *fs, const char *data_dir, struct sl_blame_row ret_rows[SL_BLAME_ROWS], uint32_t *ret_count,
                  struct sl_err *err)
{
    char *path = NULL;
    int rc;

    if (asprintf(&path, "%s/blame", data_dir) < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for a path");
    rc = blame_read(fs, path, ret_rows, ret_count);
    if (rc < 0)
        rc = sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "%s, where crashes are written down: %s", path, strerror(-rc));
    free(path);
    return rc < 0 ? rc : 0;
}
