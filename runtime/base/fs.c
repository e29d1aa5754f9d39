/* fs.c: the kernel's files behind struct sl_fs, and the helpers that every implementation shares.
 *
 * Errors: every call returns >= 0 or -errno. EINTR is retried everywhere but in close, where the descriptor is gone anyway.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/fs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_SUFFIX ".tmp" /* of the file that replace_file writes before it renames */

/* ---- the kernel ---- */

static int fs_posix_open(struct sl_fs *fs, const char *path, int flags, unsigned mode)
{
    int fd;
    (void)fs;
    do
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int fs_posix_close(struct sl_fs *fs, int fd)
{
    (void)fs;
    return close(fd) == 0 ? 0 : -errno;
}

static int64_t fs_posix_pread(struct sl_fs *fs, int fd, void *data, size_t bytes, uint64_t at)
{
    ssize_t n;
    (void)fs;
    do
        n = pread(fd, data, bytes, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int64_t fs_posix_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    ssize_t n;
    (void)fs;
    do
        n = pwrite(fd, data, bytes, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Only EINTR is retried: any other answer may mean that dirty pages were dropped, and a second fsync would lie (rule F2). */
static int fs_posix_fsync(struct sl_fs *fs, int fd)
{
    int rc;
    (void)fs;
    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int fs_posix_truncate(struct sl_fs *fs, int fd, uint64_t bytes)
{
    int rc;
    (void)fs;
    do
        rc = ftruncate(fd, (off_t)bytes);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static void fs_posix_fill(const struct stat *from, struct sl_fs_stat *ret_stat)
{
    *ret_stat = (struct sl_fs_stat){
        .bytes = (uint64_t)from->st_size,
        .device = (uint64_t)from->st_dev,
        .inode = (uint64_t)from->st_ino,
        .mtime_unix_ms = (int64_t)from->st_mtim.tv_sec * 1000 + from->st_mtim.tv_nsec / 1000000,
        .is_dir = S_ISDIR(from->st_mode),
    };
}

static int fs_posix_stat(struct sl_fs *fs, const char *path, struct sl_fs_stat *ret_stat)
{
    struct stat st;
    (void)fs;
    if (stat(path, &st) < 0)
        return -errno;
    fs_posix_fill(&st, ret_stat);
    return 0;
}

static int fs_posix_fstat(struct sl_fs *fs, int fd, struct sl_fs_stat *ret_stat)
{
    struct stat st;
    (void)fs;
    if (fstat(fd, &st) < 0)
        return -errno;
    fs_posix_fill(&st, ret_stat);
    return 0;
}

static int fs_posix_rename(struct sl_fs *fs, const char *from, const char *to)
{
    (void)fs;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int fs_posix_unlink(struct sl_fs *fs, const char *path)
{
    (void)fs;
    return unlink(path) == 0 ? 0 : -errno;
}

static int fs_posix_mkdir(struct sl_fs *fs, const char *path, unsigned mode)
{
    (void)fs;
    return mkdir(path, (mode_t)mode) == 0 ? 0 : -errno;
}

static int fs_posix_rmdir(struct sl_fs *fs, const char *path)
{
    (void)fs;
    return rmdir(path) == 0 ? 0 : -errno;
}

static int fs_posix_sync_dir(struct sl_fs *fs, const char *path)
{
    int rc, fd = fs_posix_open(fs, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    rc = rc < 0 ? -errno : 0;
    (void)close(fd);
    return rc;
}

static int fs_posix_lock(struct sl_fs *fs, int fd)
{
    int rc;
    (void)fs;
    do
        rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

struct fs_names {
    char **items;
    size_t count, room;
};

static int fs_names_add(struct fs_names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 32 : 2 * names->room;
        char **items = realloc(names->items, room * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        names->items = items;
        names->room = room;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count++] == NULL ? -ENOMEM : 0;
}

static int fs_names_read(struct fs_names *names, DIR *dir)
{
    int rc = 0;
    while (rc == 0) {
        struct dirent *entry;
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL)
            return -errno;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = fs_names_add(names, entry->d_name);
    }
    return rc;
}

static int fs_names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The whole folder is read first, so that each() may change it. */
static int fs_posix_list(struct sl_fs *fs, const char *path, int (*each)(void *user, const char *name), void *user)
{
    struct fs_names names = {0};
    DIR *dir = opendir(path);
    int rc;

    (void)fs;
    if (dir == NULL)
        return -errno;
    rc = fs_names_read(&names, dir);
    (void)closedir(dir);
    if (names.count > 0)
        qsort(names.items, names.count, sizeof(*names.items), fs_names_compare);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = each(user, names.items[i]);
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i]);
    free(names.items);
    return rc;
}

struct sl_fs *sl_fs_posix(void)
{
    static struct sl_fs fs = {
        .open = fs_posix_open,
        .close = fs_posix_close,
        .pread = fs_posix_pread,
        .pwrite = fs_posix_pwrite,
        .fsync = fs_posix_fsync,
        .truncate = fs_posix_truncate,
        .stat = fs_posix_stat,
        .fstat = fs_posix_fstat,
        .rename = fs_posix_rename,
        .unlink = fs_posix_unlink,
        .mkdir = fs_posix_mkdir,
        .rmdir = fs_posix_rmdir,
        .sync_dir = fs_posix_sync_dir,
        .lock = fs_posix_lock,
        .list = fs_posix_list,
    };
    return &fs;
}

/* ---- helpers over any implementation ---- */

int sl_fs_write_all(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    const char *from = data;
    while (bytes > 0) {
        int64_t n = fs->pwrite(fs, fd, from, bytes, at);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -ENOSPC; /* POSIX leaves open what a write of 0 means; nothing but a full device is plausible */
        from += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Folder that holds the last component of path; room for PATH_MAX in ret_parent. */
static int fs_parent(const char *path, char *ret_parent)
{
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_parent, bytes == 0 ? "." : path, bytes == 0 ? 1 : bytes);
    ret_parent[bytes == 0 ? 1 : bytes] = '\0';
    return 0;
}

/* Makes the name of a folder that is there already durable: its maker may have died before it was. A parent that we may not read
 * is somebody else's, and older than us. */
static int fs_mkdir_known(struct sl_fs *fs, const struct sl_fs_stat *known, const char *parent)
{
    int rc = known->is_dir ? fs->sync_dir(fs, parent) : -ENOTDIR;

    return rc == -EIO || rc == -ENOTDIR ? rc : 0;
}

/* Makes one folder and its name durable. A folder whose name could not be synced is taken away again: the next caller would
 * find it and believe it durable. */
static int fs_mkdir_durable(struct sl_fs *fs, const char *path, unsigned mode)
{
    char parent[PATH_MAX];
    struct sl_fs_stat st;
    int rc = fs_parent(path, parent);

    if (rc < 0)
        return rc;
    if (fs->stat(fs, path, &st) == 0)
        return fs_mkdir_known(fs, &st, parent);
    rc = fs->mkdir(fs, path, mode);
    if (rc == -EEXIST) /* somebody was faster; it is theirs to sync, and ours too */
        rc = 0;
    if (rc < 0)
        return rc;
    rc = fs->sync_dir(fs, parent);
    if (rc < 0)
        (void)fs->rmdir(fs, path);
    return rc;
}

int sl_fs_mkdirs(struct sl_fs *fs, const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);

    if (bytes == 0)
        return -ENOENT;
    if (bytes >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= bytes; i++) {
        int rc;
        if ((i < bytes && path[i] != '/') || path[i - 1] == '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        rc = fs_mkdir_durable(fs, part, mode);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int fs_read_all(struct sl_fs *fs, int fd, char *data, size_t bytes, size_t *ret_bytes)
{
    size_t used = 0;
    while (used < bytes) {
        int64_t n = fs->pread(fs, fd, data + used, bytes - used, used);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *ret_bytes = used;
    return 0;
}

int sl_fs_read_file(struct sl_fs *fs, const char *path, size_t max, char **ret_data, size_t *ret_bytes)
{
    struct sl_fs_stat st;
    char *data = NULL;
    size_t bytes = 0;
    int rc, fd = fs->open(fs, path, O_RDONLY, 0);

    if (fd < 0)
        return fd;
    rc = fs->fstat(fs, fd, &st);
    if (rc == 0 && st.is_dir)
        rc = -EISDIR;
    if (rc == 0 && st.bytes > max)
        rc = -EFBIG;
    if (rc == 0 && (data = malloc((size_t)st.bytes + 1)) == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = fs_read_all(fs, fd, data, (size_t)st.bytes, &bytes);
    (void)fs->close(fs, fd);
    if (rc < 0) {
        free(data);
        return rc;
    }
    data[bytes] = '\0';
    *ret_data = data;
    *ret_bytes = bytes;
    return 0;
}

static int fs_write_new(struct sl_fs *fs, const char *path, const void *data, size_t bytes)
{
    int closed, rc, fd = fs->open(fs, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    rc = sl_fs_write_all(fs, fd, data, bytes, 0);
    if (rc == 0)
        rc = fs->fsync(fs, fd);
    closed = fs->close(fs, fd);
    return rc < 0 ? rc : closed;
}

int sl_fs_replace_file(struct sl_fs *fs, const char *path, const void *data, size_t bytes)
{
    char parent[PATH_MAX], temporary[PATH_MAX];
    int rc, length = snprintf(temporary, sizeof(temporary), "%s" FS_SUFFIX, path);

    if (length < 0 || (size_t)length >= sizeof(temporary))
        return -ENAMETOOLONG;
    rc = fs_parent(path, parent);
    if (rc < 0)
        return rc;
    rc = fs_write_new(fs, temporary, data, bytes);
    if (rc == 0)
        rc = fs->rename(fs, temporary, path);
    if (rc < 0) {
        (void)fs->unlink(fs, temporary); /* condemned (rule F2): the next attempt starts from a new file */
        return rc;
    }
    return fs->sync_dir(fs, parent);
}
