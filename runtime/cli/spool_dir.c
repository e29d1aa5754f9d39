/* spool_dir.c: finds a closed spool and keeps servers out of its data folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool spool_dir_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int spool_dir_find(const char *dir, struct sl_spool_dir *found, char *lock, size_t lock_bytes, struct sl_err *err)
{
    char inside[PATH_MAX];
    bool fits;

    if (!spool_dir_exists(dir))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENOENT, "no folder %s; name a data folder or its spool", dir);
    fits = snprintf(inside, sizeof(inside), "%s/spool", dir) < (int)sizeof(inside);
    if (fits && spool_dir_exists(inside)) {
        fits = snprintf(found->path, sizeof(found->path), "%s", inside) < (int)sizeof(found->path) &&
               snprintf(lock, lock_bytes, "%s/lock", dir) < (int)lock_bytes;
    } else {
        fits = snprintf(found->path, sizeof(found->path), "%s", dir) < (int)sizeof(found->path) &&
               snprintf(lock, lock_bytes, "%s/../lock", dir) < (int)lock_bytes;
    }
    return fits ? 0 : sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "the path is too long: %s", dir);
}

static int spool_dir_refuse(int fd, const char *dir, struct sl_err *err)
{
    char pid[32] = "";
    ssize_t bytes = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[bytes > 0 ? strcspn(pid, "\n") : 0] = '\0';
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, EWOULDBLOCK,
                   "%s is in use by process %s; this command reads a closed spool, so stop that process first", dir,
                   pid[0] != '\0' ? pid : "(unknown)");
}

int sl_spool_dir_take(const char *dir, bool to_change, struct sl_spool_dir *ret_dir, struct sl_err *err)
{
    struct sl_spool_dir found = {.lock_fd = -1};
    char lock[PATH_MAX];
    int result = spool_dir_find(dir, &found, lock, sizeof(lock), err);

    if (result != 0)
        return result;
    found.lock_fd = open(lock, O_RDONLY | O_CLOEXEC);
    if (found.lock_fd < 0 && errno != ENOENT)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "cannot open %s: %s", lock, strerror(errno));
    if (found.lock_fd >= 0 && flock(found.lock_fd, (to_change ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        result = spool_dir_refuse(found.lock_fd, dir, err);
        (void)close(found.lock_fd);
        return result;
    }
    *ret_dir = found;
    return 0;
}

void sl_spool_dir_leave(struct sl_spool_dir *dir)
{
    if (dir->lock_fd >= 0)
        (void)close(dir->lock_fd);
    dir->lock_fd = -1;
}
