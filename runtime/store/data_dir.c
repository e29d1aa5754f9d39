/* data_dir.c: the lock on the process's folder, and its start counter.
 *
 * On disk: DIR/lock, our pid as text, never removed; DIR/epoch, "sluice-data 1\nepoch N\ncrc HEX\n", replaced at every start.
 * The lock comes first: only its holder touches anything else in the folder (rule I3).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/crc32c.h"

#define DATA_DIR_FORMAT 1u

/* ---- the lock, from process to process ---- */

static pthread_mutex_t data_dir_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct data_dir_held { /* real folders only: a model's descriptors are numbers of its own */
    char *path; /* absolute */
    int fd;
    struct data_dir_held *next;
} *data_dir_held; /* under the mutex */
static int data_dir_adopted = -1; /* likewise */

static void data_dir_hold(const char *path, int fd)
{
    struct data_dir_held *held = calloc(1, sizeof(*held));

    if (held == NULL || (held->path = strdup(path)) == NULL) {
        free(held); /* it cannot be shared then; sl_data_dir_share says so */
        return;
    }
    held->fd = fd;
    (void)pthread_mutex_lock(&data_dir_mutex);
    held->next = data_dir_held;
    data_dir_held = held;
    (void)pthread_mutex_unlock(&data_dir_mutex);
}

static void data_dir_let_go(int fd)
{
    struct data_dir_held *gone = NULL;

    (void)pthread_mutex_lock(&data_dir_mutex);
    for (struct data_dir_held **at = &data_dir_held; *at != NULL; at = &(*at)->next)
        if ((*at)->fd == fd) {
            gone = *at;
            *at = gone->next;
            break;
        }
    (void)pthread_mutex_unlock(&data_dir_mutex);
    if (gone != NULL)
        free(gone->path);
    free(gone);
}

/* The lock file's own descriptor if it is the adopted one, else -1. */
static int data_dir_take_adopted(const char *lock_path)
{
    struct stat here, given;
    int fd = -1;

    (void)pthread_mutex_lock(&data_dir_mutex);
    if (data_dir_adopted >= 0 && fstat(data_dir_adopted, &given) == 0 && stat(lock_path, &here) == 0 &&
        here.st_dev == given.st_dev && here.st_ino == given.st_ino)
        fd = fcntl(data_dir_adopted, F_DUPFD_CLOEXEC, 0);
    (void)pthread_mutex_unlock(&data_dir_mutex);
    return fd;
}

void sl_data_dir_adopt(int fd)
{
    (void)pthread_mutex_lock(&data_dir_mutex);
    data_dir_adopted = fd;
    (void)pthread_mutex_unlock(&data_dir_mutex);
}

static char *data_dir_absolute(const char *path)
{
    char here[PATH_MAX], *whole;
    if (path[0] == '/')
        return strdup(path);
    if (getcwd(here, sizeof(here)) == NULL)
        return NULL;
    return asprintf(&whole, "%s/%s", here, path) < 0 ? NULL : whole;
}

/* The first line of the lock file, as far as it is a number; 0 while its holder has not written it yet. */
static long data_dir_holder(struct sl_fs *fs, int fd)
{
    char text[32] = "";
    int64_t n = fs->pread(fs, fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int data_dir_refuse(struct sl_fs *fs, const char *path, int fd, struct sl_err *err)
{
    long pid = data_dir_holder(fs, fd);
    if (pid <= 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, EWOULDBLOCK,
                       "data_dir %s is in use by another process that is just starting; give this one a data_dir of its own", path);
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, EWOULDBLOCK,
                   "data_dir %s is in use by process %ld; stop it, or give this one a data_dir of its own", path, pid);
}

static int data_dir_write_pid(struct sl_fs *fs, int fd)
{
    char text[32];
    int bytes = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    int rc = fs->truncate(fs, fd, 0);
    return rc < 0 ? rc : sl_fs_write_all(fs, fd, text, (size_t)bytes, 0);
}

int sl_data_dir_lock(struct sl_fs *fs, const char *dir, int *ret_fd, struct sl_err *err)
{
    char path[PATH_MAX];
    int fd, rc;

    if (strlen(dir) > PATH_MAX - 1024)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENAMETOOLONG, "data_dir %.200s…: the path is too long", dir);
    rc = sl_fs_mkdirs(fs, dir, 0755);
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "making data_dir %s: %s", dir, strerror(-rc));
    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    fd = fs == sl_fs_posix() ? data_dir_take_adopted(path) : -1;
    if (fd < 0)
        fd = fs->open(fs, path, O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -fd, "opening %s: %s", path, strerror(-fd));
    rc = fs->lock(fs, fd);
    if (rc < 0) {
        rc = rc == -EWOULDBLOCK ? data_dir_refuse(fs, dir, fd, err)
                                : sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "locking %s: %s", path, strerror(-rc));
        (void)fs->close(fs, fd);
        return rc;
    }
    rc = data_dir_write_pid(fs, fd);
    if (rc < 0) {
        (void)fs->close(fs, fd);
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing our pid into %s: %s", path, strerror(-rc));
    }
    *ret_fd = fd;
    return 0;
}

/* The file of a given epoch; room for 96 bytes. */
static size_t data_dir_print(uint32_t epoch, char *text)
{
    int bytes = snprintf(text, 96, "sluice-data %u\nepoch %" PRIu32 "\n", DATA_DIR_FORMAT, epoch);
    bytes += snprintf(text + bytes, 96 - (size_t)bytes, "crc %08" PRIx32 "\n", sl_crc32c(0, text, (size_t)bytes));
    return (size_t)bytes;
}

static int data_dir_scan(const char *path, const char *text, uint32_t *ret_epoch, struct sl_err *err)
{
    unsigned format = 0;
    uint32_t epoch = 0;
    char right[96] = "";

    if (sscanf(text, "sluice-data %u\n", &format) == 1 && format > DATA_DIR_FORMAT)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "%s was written by a newer version (format %u, this one knows up to %u); run the newer version", path,
                       format, DATA_DIR_FORMAT);
    if (sscanf(text, "sluice-data %u\nepoch %" SCNu32 "\n", &format, &epoch) == 2)
        (void)data_dir_print(epoch, right);
    if (right[0] == '\0' || strcmp(text, right) != 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "%s is damaged; its start counter must be higher than in any file name under data_dir, so restore the "
                       "file from a backup or start with an empty data_dir", path);
    if (epoch == UINT32_MAX)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "%s has reached the last start counter", path);
    *ret_epoch = epoch;
    return 0;
}

static int data_dir_read(struct sl_fs *fs, const char *path, uint32_t *ret_epoch, struct sl_err *err)
{
    char *text;
    size_t bytes;
    int rc = sl_fs_read_file(fs, path, 4096, &text, &bytes);

    if (rc == -ENOENT) {
        *ret_epoch = 0;
        return 0;
    }
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "reading %s: %s", path, strerror(-rc));
    rc = data_dir_scan(path, text, ret_epoch, err);
    free(text);
    return rc;
}

static int data_dir_raise(struct sl_fs *fs, const char *dir, uint32_t *ret_epoch, struct sl_err *err)
{
    char path[PATH_MAX], text[96];
    uint32_t epoch = 0;
    int rc;

    (void)snprintf(path, sizeof(path), "%s/epoch", dir);
    rc = data_dir_read(fs, path, &epoch, err);
    if (rc < 0)
        return rc;
    epoch++;
    rc = sl_fs_replace_file(fs, path, text, data_dir_print(epoch, text));
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s", path, strerror(-rc));
    *ret_epoch = epoch;
    return 0;
}

int sl_data_dir_open(struct sl_fs *fs, const char *path, struct sl_data_dir *ret_dir, struct sl_err *err)
{
    struct sl_data_dir dir = {.lock_fd = -1};
    int rc;

    dir.path = data_dir_absolute(path);
    if (dir.path == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "data_dir %s: %s", path, strerror(errno));
    rc = sl_data_dir_lock(fs, dir.path, &dir.lock_fd, err);
    if (rc == 0)
        rc = data_dir_raise(fs, dir.path, &dir.epoch, err);
    if (rc == 0) {
        dir.fs = fs;
        if (fs == sl_fs_posix())
            data_dir_hold(dir.path, dir.lock_fd);
        *ret_dir = dir;
        return 0;
    }
    if (dir.lock_fd >= 0)
        (void)fs->close(fs, dir.lock_fd);
    free(dir.path);
    return rc;
}

void sl_data_dir_close(struct sl_data_dir *dir)
{
    if (dir->fs != NULL && dir->fs == sl_fs_posix())
        data_dir_let_go(dir->lock_fd);
    if (dir->fs != NULL)
        (void)dir->fs->close(dir->fs, dir->lock_fd);
    free(dir->path);
    *dir = (struct sl_data_dir){.lock_fd = -1};
}

int sl_data_dir_share(const char *path, int *ret_fd, struct sl_err *err)
{
    char *whole = data_dir_absolute(path);
    int fd = -1;

    if (whole == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "data_dir %s: %s", path, strerror(errno));
    (void)pthread_mutex_lock(&data_dir_mutex);
    for (const struct data_dir_held *at = data_dir_held; at != NULL && fd < 0; at = at->next)
        if (strcmp(at->path, whole) == 0)
            fd = fcntl(at->fd, F_DUPFD_CLOEXEC, 0);
    (void)pthread_mutex_unlock(&data_dir_mutex);
    free(whole);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "data_dir %s: its lock is not held here, or no descriptor is left", path);
    *ret_fd = fd;
    return 0;
}

int sl_data_dir_check(struct sl_fs *fs, const char *path, struct sl_err *err)
{
    char epoch_path[PATH_MAX];
    uint32_t epoch;

    (void)snprintf(epoch_path, sizeof(epoch_path), "%s/epoch", path);
    return data_dir_read(fs, epoch_path, &epoch, err);
}
