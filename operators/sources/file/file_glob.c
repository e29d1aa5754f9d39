/* file_glob.c: the files that a pattern names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_glob.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { GLOB_DEPTH_MAX = 64 };

struct glob_walk {
    struct sl_fs *fs;
    int (*each)(void *user, const char *path, const struct sl_fs_stat *stat);
    void *user;
    int trouble;
};

struct glob_level {
    struct glob_walk *walk;
    const char *dir;  /* "" is the root's left side */
    const char *name; /* pattern of the names in it */
    const char *rest; /* what follows, or NULL */
    unsigned depth;
};

bool sl_file_glob_magic(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

static int glob_down(struct glob_walk *walk, const char *dir, const char *pattern, unsigned depth);

static int glob_leaf(struct glob_walk *walk, const char *path)
{
    struct sl_fs_stat stat;
    int rc = walk->fs->stat(walk->fs, path, &stat);

    if (rc < 0 || stat.is_dir)
        return 0;
    return walk->each(walk->user, path, &stat);
}

static int glob_enter(const struct glob_level *level, const char *name, const char *rest)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", level->dir, name) >= (int)sizeof(path))
        return 0; /* no file has such a path */
    if (rest == NULL)
        return glob_leaf(level->walk, path);
    return glob_down(level->walk, path, rest, level->depth + 1);
}

static int glob_name(void *user, const char *name)
{
    const struct glob_level *level = user;

    return fnmatch(level->name, name, FNM_PERIOD) == 0 ? glob_enter(level, name, level->rest) : 0;
}

/* "**" with rest: the folder itself was done; here its subfolders, each again with "**". */
static int glob_any(void *user, const char *name)
{
    const struct glob_level *level = user;
    char path[PATH_MAX];
    struct sl_fs_stat stat;

    if (name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", level->dir, name) >= (int)sizeof(path))
        return 0;
    if (level->walk->fs->stat(level->walk->fs, path, &stat) < 0 || !stat.is_dir)
        return 0;
    return glob_down(level->walk, path, level->name, level->depth + 1);
}

static int glob_list(struct glob_level *level, int (*each)(void *user, const char *name))
{
    struct sl_fs *fs = level->walk->fs;
    int rc = fs->list(fs, level->dir[0] == '\0' ? "/" : level->dir, each, level);

    if (rc >= 0 || rc == -ENOENT || rc == -ENOTDIR)
        return rc > 0 ? rc : 0;
    if (level->walk->trouble == 0)
        level->walk->trouble = rc;
    return 0;
}

static int glob_down(struct glob_walk *walk, const char *dir, const char *pattern, unsigned depth)
{
    char name[PATH_MAX];
    const char *slash = strchr(pattern, '/');
    size_t bytes = slash == NULL ? strlen(pattern) : (size_t)(slash - pattern);
    struct glob_level level = {walk, dir, name, slash == NULL ? NULL : slash + 1, depth};
    int rc;

    if (bytes >= sizeof(name) || depth > GLOB_DEPTH_MAX)
        return 0;
    memcpy(name, pattern, bytes);
    name[bytes] = '\0';
    if (bytes == 0 && level.rest != NULL) /* a doubled slash */
        return glob_down(walk, dir, level.rest, depth);
    if (strcmp(name, "**") == 0 && level.rest != NULL) {
        rc = glob_down(walk, dir, level.rest, depth + 1);
        level.name = pattern; /* subfolders get the whole pattern again */
        return rc != 0 ? rc : glob_list(&level, glob_any);
    }
    if (!sl_file_glob_magic(name))
        return glob_enter(&level, name, level.rest);
    return glob_list(&level, glob_name);
}

int sl_file_glob(struct sl_fs *fs, const char *pattern,
                 int (*each)(void *user, const char *path, const struct sl_fs_stat *stat), void *user)
{
    struct glob_walk walk = {fs, each, user, 0};
    int rc = pattern[0] == '/' ? glob_down(&walk, "", pattern + 1, 0) : glob_down(&walk, ".", pattern, 0);

    return rc != 0 ? rc : walk.trouble;
}
