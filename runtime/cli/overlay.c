/* overlay.c: a copy-on-write view of a folder, made of the kernel's files: below (never written) and scratch (ours).
 *
 * Invariants: (1) nothing is ever opened for writing, renamed or removed below root; (2) a name exists if it is in scratch, or
 * below and not hidden.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/overlay.h"

#include <stdbool.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OVERLAY_HIDDEN_MAX = 4096, OVERLAY_COPY_BYTES = 1 << 20 };

struct sl_overlay {
    struct sl_fs fs; /* first: the table's functions get it back */
    struct sl_fs *below;
    char *root;
    char scratch[PATH_MAX];
    char *hidden[OVERLAY_HIDDEN_MAX];
    uint32_t hidden_count;
};

struct overlay_path {
    char upper[PATH_MAX]; /* in scratch */
};

static struct sl_overlay *overlay_of(struct sl_fs *fs)
{
    return (struct sl_overlay *)(void *)fs;
}

/* 0, or -errno: outside root is refused, so that a mistake cannot write where it must not. */
static int overlay_map(const struct sl_overlay *overlay, const char *path, struct overlay_path *ret_path)
{
    size_t bytes = strlen(overlay->root);
    if (strncmp(path, overlay->root, bytes) != 0 || (path[bytes] != '/' && path[bytes] != '\0'))
        return -EXDEV;
    if (snprintf(ret_path->upper, PATH_MAX, "%s/root%s", overlay->scratch, path + bytes) >= PATH_MAX)
        return -ENAMETOOLONG;
    return 0;
}

static bool overlay_is_hidden(const struct sl_overlay *overlay, const char *path)
{
    for (uint32_t i = 0; i < overlay->hidden_count; i++)
        if (strcmp(overlay->hidden[i], path) == 0)
            return true;
    return false;
}

static int overlay_hide(struct sl_overlay *overlay, const char *path)
{
    if (overlay_is_hidden(overlay, path))
        return 0;
    if (overlay->hidden_count == OVERLAY_HIDDEN_MAX)
        return -ENOSPC;
    overlay->hidden[overlay->hidden_count] = strdup(path);
    if (overlay->hidden[overlay->hidden_count] == NULL)
        return -ENOMEM;
    overlay->hidden_count++;
    return 0;
}

static bool overlay_in_scratch(const struct sl_overlay *overlay, const struct overlay_path *at, struct sl_fs_stat *ret_stat)
{
    return overlay->below->stat(overlay->below, at->upper, ret_stat) == 0;
}

static bool overlay_is_below(const struct sl_overlay *overlay, const char *path, struct sl_fs_stat *ret_stat)
{
    return !overlay_is_hidden(overlay, path) && overlay->below->stat(overlay->below, path, ret_stat) == 0;
}

static int overlay_make_parent(struct sl_overlay *overlay, const char *upper)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof(parent), "%s", upper);
    *strrchr(parent, '/') = '\0';
    return sl_fs_mkdirs(overlay->below, parent, 0700);
}

/* ---- copying up ---- */

static int overlay_copy_bytes(struct sl_fs *fs, int from, int to, char *data)
{
    uint64_t at = 0;
    for (;;) {
        int64_t bytes = fs->pread(fs, from, data, OVERLAY_COPY_BYTES, at);
        int result;
        if (bytes <= 0)
            return (int)bytes;
        result = sl_fs_write_all(fs, to, data, (size_t)bytes, at);
        if (result < 0)
            return result;
        at += (uint64_t)bytes;
    }
}

static int overlay_copy(struct sl_overlay *overlay, const char *path, const char *upper)
{
    struct sl_fs *fs = overlay->below;
    char *data = malloc(OVERLAY_COPY_BYTES);
    int from = fs->open(fs, path, O_RDONLY, 0), to = fs->open(fs, upper, O_WRONLY | O_CREAT | O_TRUNC, 0600), result;

    if (data == NULL)
        result = -ENOMEM;
    else
        result = from < 0 ? from : to < 0 ? to : overlay_copy_bytes(fs, from, to, data);
    if (from >= 0)
        (void)fs->close(fs, from);
    if (to >= 0)
        (void)fs->close(fs, to);
    free(data);
    return result;
}

/* Makes path writable in scratch: copied if it is a file below, its parent made otherwise. */
static int overlay_raise(struct sl_overlay *overlay, const char *path, const struct overlay_path *at)
{
    struct sl_fs_stat stat;
    int result;

    if (overlay_in_scratch(overlay, at, &stat))
        return 0;
    result = overlay_make_parent(overlay, at->upper);
    if (result < 0 || !overlay_is_below(overlay, path, &stat))
        return result;
    return stat.is_dir ? sl_fs_mkdirs(overlay->below, at->upper, 0700) : overlay_copy(overlay, path, at->upper);
}

/* ---- the table ---- */

static int overlay_open_file(struct sl_fs *fs, const char *path, int flags, unsigned mode)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at;
    struct sl_fs_stat stat;
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    int result = overlay_map(overlay, path, &at);

    if (result < 0)
        return result;
    if (!writes && !overlay_in_scratch(overlay, &at, &stat))
        return overlay_is_hidden(overlay, path) ? -ENOENT : overlay->below->open(overlay->below, path, flags, mode);
    if (writes)
        result = overlay_raise(overlay, path, &at);
    return result < 0 ? result : overlay->below->open(overlay->below, at.upper, flags, mode);
}

/* The folders that lead to root: they exist, and nothing in them is changed. */
static bool overlay_leads_to_root(const struct sl_overlay *overlay, const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 0 && bytes < strlen(overlay->root) && strncmp(overlay->root, path, bytes) == 0 &&
           (overlay->root[bytes] == '/' || path[bytes - 1] == '/');
}

static int overlay_stat(struct sl_fs *fs, const char *path, struct sl_fs_stat *ret_stat)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at;
    int result = overlay_map(overlay, path, &at);
    if (result < 0)
        return overlay_leads_to_root(overlay, path) ? overlay->below->stat(overlay->below, path, ret_stat) : result;
    if (overlay_in_scratch(overlay, &at, ret_stat))
        return 0;
    return overlay_is_hidden(overlay, path) ? -ENOENT : overlay->below->stat(overlay->below, path, ret_stat);
}

static int overlay_unlink(struct sl_fs *fs, const char *path)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at;
    struct sl_fs_stat stat;
    int result = overlay_map(overlay, path, &at);
    bool below;

    if (result < 0)
        return result;
    below = overlay_is_below(overlay, path, &stat);
    if (overlay_in_scratch(overlay, &at, &stat))
        result = overlay->below->unlink(overlay->below, at.upper);
    else if (!below)
        result = -ENOENT;
    return result < 0 || !below ? result : overlay_hide(overlay, path);
}

static int overlay_rename(struct sl_fs *fs, const char *from, const char *to)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at, target;
    struct sl_fs_stat stat;
    int result = overlay_map(overlay, from, &at);

    if (result == 0)
        result = overlay_map(overlay, to, &target);
    if (result == 0)
        result = overlay_raise(overlay, from, &at);
    if (result == 0)
        result = overlay_make_parent(overlay, target.upper);
    if (result == 0)
        result = overlay->below->rename(overlay->below, at.upper, target.upper);
    if (result == 0 && overlay_is_below(overlay, from, &stat))
        result = overlay_hide(overlay, from);
    return result;
}

static int overlay_mkdir(struct sl_fs *fs, const char *path, unsigned mode)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at;
    struct sl_fs_stat stat;
    int result = overlay_map(overlay, path, &at);

    if (result < 0)
        return overlay_leads_to_root(overlay, path) ? -EEXIST : result;
    if (overlay_is_below(overlay, path, &stat) || overlay_in_scratch(overlay, &at, &stat))
        return -EEXIST;
    result = overlay_make_parent(overlay, at.upper);
    return result < 0 ? result : overlay->below->mkdir(overlay->below, at.upper, mode | 0700);
}

static int overlay_rmdir(struct sl_fs *fs, const char *path)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_path at;
    struct sl_fs_stat stat;
    int result = overlay_map(overlay, path, &at);

    if (result == 0 && overlay_in_scratch(overlay, &at, &stat))
        result = overlay->below->rmdir(overlay->below, at.upper);
    return result < 0 ? result : overlay_hide(overlay, path);
}

struct overlay_names {
    char **items;
    size_t count, room;
};

static int overlay_collect(void *user, const char *name)
{
    struct overlay_names *names = user;
    if (names->count == names->room) {
        size_t room = names->room * 2 + 64;
        char **items = realloc(names->items, room * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        names->items = items;
        names->room = room;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count] == NULL ? -ENOMEM : (names->count++, 0);
}

static int overlay_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int overlay_tell(struct sl_overlay *overlay, const char *path, struct overlay_names *names,
                        int (*each)(void *user, const char *name), void *user)
{
    int result = 0;
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), overlay_compare);
    for (size_t i = 0; i < names->count && result == 0; i++) {
        struct sl_fs_stat stat;
        char whole[PATH_MAX];
        if (i > 0 && strcmp(names->items[i], names->items[i - 1]) == 0)
            continue;
        (void)snprintf(whole, sizeof(whole), "%s/%s", path, names->items[i]);
        if (overlay_stat(&overlay->fs, whole, &stat) == 0)
            result = each(user, names->items[i]);
    }
    return result;
}

static int overlay_list(struct sl_fs *fs, const char *path, int (*each)(void *user, const char *name), void *user)
{
    struct sl_overlay *overlay = overlay_of(fs);
    struct overlay_names names = {NULL, 0, 0};
    struct overlay_path at;
    int result = overlay_map(overlay, path, &at), upper;

    if (result < 0)
        return result;
    result = overlay_is_hidden(overlay, path) ? -ENOENT
                                              : overlay->below->list(overlay->below, path, overlay_collect, &names);
    upper = overlay->below->list(overlay->below, at.upper, overlay_collect, &names);
    if (result == -ENOENT)
        result = upper;
    else if (result == 0 && upper != -ENOENT)
        result = upper;
    if (result == 0)
        result = overlay_tell(overlay, path, &names, each, user);
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i]);
    free(names.items);
    return result;
}

/* Descriptors are the kernel's: what was opened for writing lies in scratch. */
static int overlay_close_file(struct sl_fs *fs, int fd)
{
    return overlay_of(fs)->below->close(overlay_of(fs)->below, fd);
}

static int64_t overlay_pread(struct sl_fs *fs, int fd, void *data, size_t bytes, uint64_t at)
{
    return overlay_of(fs)->below->pread(overlay_of(fs)->below, fd, data, bytes, at);
}

static int64_t overlay_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    return overlay_of(fs)->below->pwrite(overlay_of(fs)->below, fd, data, bytes, at);
}

static int overlay_truncate(struct sl_fs *fs, int fd, uint64_t bytes)
{
    return overlay_of(fs)->below->truncate(overlay_of(fs)->below, fd, bytes);
}

static int overlay_fstat(struct sl_fs *fs, int fd, struct sl_fs_stat *ret_stat)
{
    return overlay_of(fs)->below->fstat(overlay_of(fs)->below, fd, ret_stat);
}

/* Scratch dies with the command: nothing in it needs to be durable, and nobody else knows it. */
static int overlay_fsync(struct sl_fs *fs, int fd)
{
    (void)fs, (void)fd;
    return 0;
}

static int overlay_sync_dir(struct sl_fs *fs, const char *path)
{
    (void)fs, (void)path;
    return 0;
}

/* ---- life ---- */

int sl_overlay_open(const char *root, struct sl_overlay **ret_overlay, struct sl_err *err)
{
    const char *tmp = getenv("TMPDIR");
    struct sl_overlay *overlay = calloc(1, sizeof(*overlay));

    if (overlay == NULL || (overlay->root = strdup(root)) == NULL) {
        free(overlay);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory");
    }
    overlay->below = sl_fs_posix();
    overlay->fs = (struct sl_fs){.open = overlay_open_file, .close = overlay_close_file, .pread = overlay_pread,
                                 .pwrite = overlay_pwrite, .fsync = overlay_fsync, .truncate = overlay_truncate,
                                 .stat = overlay_stat, .fstat = overlay_fstat, .rename = overlay_rename,
                                 .unlink = overlay_unlink, .mkdir = overlay_mkdir, .rmdir = overlay_rmdir,
                                 .sync_dir = overlay_sync_dir, .lock = overlay_fsync, .list = overlay_list};
    (void)snprintf(overlay->scratch, sizeof(overlay->scratch), "%s/sluice-cat-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(overlay->scratch) == NULL) {
        int sys = errno;
        free(overlay->root);
        free(overlay);
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, sys, "no scratch folder in %s: %s; set TMPDIR",
                       tmp != NULL ? tmp : "/tmp", strerror(sys));
    }
    *ret_overlay = overlay;
    return 0;
}

struct sl_fs *sl_overlay_fs(struct sl_overlay *overlay)
{
    return &overlay->fs;
}

static int overlay_remove(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

struct sl_overlay *sl_overlay_close(struct sl_overlay *overlay)
{
    if (overlay == NULL)
        return NULL;
    (void)nftw(overlay->scratch, overlay_remove, 16, FTW_DEPTH | FTW_PHYS);
    for (uint32_t i = 0; i < overlay->hidden_count; i++)
        free(overlay->hidden[i]);
    free(overlay->root);
    free(overlay);
    return NULL;
}
