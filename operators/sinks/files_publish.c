/* files_publish.c: what happens after the commit (rule C2): temporaries get their final names, folders are synced, the manifest
 * is written; all of it may be done again after any crash. And what a start clears away.
 *
 * A file is published when its final name holds the entry's bytes and its temporary name is gone. Each combination that a
 * crash can leave:
 *   temporary, no final   not yet renamed: rename
 *   no temporary, final   done before, if sizes agree
 *   both                  the rename's removal of the old name was not durable: unlink it, if size and CRC32C agree
 *   neither               removed by users' retention, legal only in a redo: `expired` (rule C6)
 * Sizes or CRC differ: the final name is foreign; nothing is overwritten (SL_REMEDY_HALT).
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sinks/files.h"

static int files_joined(char text[PATH_MAX], const struct files_place *place, const char *name, struct sl_err *err)
{
    int bytes = snprintf(text, PATH_MAX, "%s/%s", place->dir, name);

    if (bytes < 0 || bytes >= PATH_MAX)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "%s/%s: the path is too long", place->dir, name);
    return 0;
}

/* Bytes of the folder part of a relative name; 0: DIR itself. */
static size_t files_folder_bytes(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash == NULL ? 0 : (size_t)(slash - name);
}

static int files_foreign(const char *final, struct sl_err *err)
{
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, EEXIST,
                   "%s is not the file that the commit names (other size or content) and is never overwritten: move it away, then start again",
                   final);
}

/* Both names exist. */
static int files_unlink_twin(const struct files_place *place, const struct sl_landing_file *file, const char *temporary,
                             const char *final, struct sl_err *err)
{
    uint32_t crc32c = 0;
    uint64_t bytes = 0;
    int rc = sl_landing_file_crc(place->fs, final, &crc32c, &bytes, err);

    if (rc < 0)
        return rc;
    if (bytes != file->bytes || crc32c != file->crc32c)
        return files_foreign(final, err);
    (void)place->fs->unlink(place->fs, temporary);
    return 0;
}

static int files_rename(const struct files_place *place, const struct sl_landing_file *file, bool again, uint64_t *ret_expired,
                        struct sl_err *err)
{
    struct sl_fs *fs = place->fs;
    char temporary[PATH_MAX], final[PATH_MAX];
    struct sl_fs_stat from, to;
    int there, here, rc = files_joined(temporary, place, file->temporary, err);

    if (rc == 0)
        rc = files_joined(final, place, file->final, err);
    if (rc < 0)
        return rc;
    here = fs->stat(fs, temporary, &from);
    there = fs->stat(fs, final, &to);
    if ((here < 0 && here != -ENOENT && here != -ENOTDIR) || (there < 0 && there != -ENOENT && there != -ENOTDIR))
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, here < 0 && here != -ENOENT ? -here : -there, "stat %s or %s: %s", temporary,
                       final, strerror(here < 0 && here != -ENOENT ? -here : -there));
    if (here == 0 && there == 0)
        return files_unlink_twin(place, file, temporary, final, err);
    if (there == 0)
        return to.bytes == file->bytes ? 0 : files_foreign(final, err);
    if (here == 0) {
        rc = fs->rename(fs, temporary, final);
        return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "rename %s to %s: %s", temporary, final, strerror(-rc)) : 0;
    }
    *ret_expired += 1;
    if (again)
        return 0;
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, ENOENT, "%s was committed, but neither it nor its temporary %s is there any more",
                   final, temporary);
}

/* ---- folders: each once ---- */

struct files_folder {
    const char *name; /* of a file in it */
    size_t bytes;
};

static int files_folder_compare(const void *a, const void *b)
{
    const struct files_folder *x = a, *y = b;
    size_t bytes = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->name, y->name, bytes);

    return order != 0 ? order : x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static struct files_folder *files_folders(const struct sl_landing_entry *entry, uint32_t *ret_count)
{
    struct files_folder *folders = calloc((size_t)entry->files_count + 1, sizeof(*folders));
    uint32_t count = 0;

    if (folders == NULL)
        return NULL;
    for (uint32_t i = 0; i < entry->files_count; i++)
        folders[i] = (struct files_folder){entry->files[i].final, files_folder_bytes(entry->files[i].final)};
    qsort(folders, entry->files_count, sizeof(*folders), files_folder_compare);
    for (uint32_t i = 0; i < entry->files_count; i++)
        if (count == 0 || files_folder_compare(&folders[count - 1], &folders[i]) != 0)
            folders[count++] = folders[i];
    *ret_count = count;
    return folders;
}

static int files_folder_do(const struct files_place *place, const struct files_folder *folder,
                           int (*what)(struct sl_fs *fs, const char *path), const char *verb, struct sl_err *err)
{
    char text[PATH_MAX];
    int rc, bytes = snprintf(text, sizeof(text), "%s%s%.*s", place->dir, folder->bytes == 0 ? "" : "/", (int)folder->bytes,
                             folder->name);

    rc = bytes < 0 || bytes >= PATH_MAX ? -ENAMETOOLONG : what(place->fs, text);
    return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "%s %s: %s", verb, text, strerror(-rc)) : 0;
}

/* Made and synced before the commit; only what users' retention has removed since is made again. */
static int files_folder_make(struct sl_fs *fs, const char *path)
{
    struct sl_fs_stat known;

    return fs->stat(fs, path, &known) == 0 && known.is_dir ? 0 : sl_fs_mkdirs(fs, path, 0755);
}

static int files_folder_mkdir(struct sl_fs *fs, const char *path)
{
    int rc = fs->mkdir(fs, path, 0755);

    return rc == -EEXIST ? 0 : rc;
}

/* A folder may have been expired with all that was in it. */
static int files_folder_sync(struct sl_fs *fs, const char *path)
{
    int rc = fs->sync_dir(fs, path);

    return rc == -ENOENT ? 0 : rc;
}

/* Whether the first `bytes` of folder, up to a slash or its end, begin `other` too. */
static bool files_folder_shares(const struct files_folder *folder, size_t bytes, const struct files_folder *other)
{
    return other != NULL && other->bytes >= bytes && (bytes == 0 || memcmp(other->name, folder->name, bytes) == 0) &&
           (other->bytes == bytes || bytes == 0 || other->name[bytes] == '/');
}

/* Calls `what` for the folder's own prefixes, deepest last, that the one before it (in order) does not share; whole: itself too. */
static int files_folder_each(const struct files_place *place, const struct files_folder *folder, const struct files_folder *before,
                             bool whole, int (*what)(struct sl_fs *fs, const char *path), const char *verb, struct sl_err *err)
{
    int rc = 0;

    for (size_t bytes = 0; rc == 0 && bytes <= folder->bytes; bytes++) {
        struct files_folder prefix = {folder->name, bytes};
        bool end = bytes == folder->bytes;
        if ((!end && bytes > 0 && folder->name[bytes] != '/') || (end && !whole) || (whole && bytes == 0))
            continue;
        if (!files_folder_shares(folder, bytes, before) || (end && whole))
            rc = files_folder_do(place, &prefix, what, verb, err);
    }
    return rc;
}

/* All folders first, then each parent synced once: ten thousand new ones in one folder cost one sync, not ten thousand. A folder
 * that was there before may not be durable yet (its maker may have died), so its parent is synced as well. */
int files_make_folders(const struct files_place *place, const struct sl_landing_entry *entry, struct sl_err *err)
{
    uint32_t count = 0;
    struct files_folder *folders = files_folders(entry, &count);
    int rc = folders == NULL ? 0 : sl_fs_mkdirs(place->fs, place->dir, 0755);

    if (folders == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the folders of %u files", entry->files_count);
    if (rc < 0)
        rc = sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "make %s: %s", place->dir, strerror(-rc));
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = files_folder_each(place, &folders[i], i == 0 ? NULL : &folders[i - 1], true, files_folder_mkdir, "make", err);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = files_folder_each(place, &folders[i], i == 0 ? NULL : &folders[i - 1], false, place->fs->sync_dir, "sync folder", err);
    free(folders);
    return rc;
}

int files_publish(const struct files_place *place, const struct sl_landing_entry *entry, struct sl_slice entry_bytes, bool again,
                  uint64_t *ret_expired, struct sl_err *err)
{
    uint32_t count = 0;
    struct files_folder *folders = files_folders(entry, &count);
    int rc = 0;

    if (folders == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to publish %u files", entry->files_count);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = files_folder_do(place, &folders[i], files_folder_make, "make", err);
    for (uint32_t i = 0; rc == 0 && i < entry->files_count; i++)
        rc = files_rename(place, &entry->files[i], again, ret_expired, err);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = files_folder_do(place, &folders[i], files_folder_sync, "fsync", err);
    free(folders);
    return rc < 0 ? rc : sl_landing_manifest_write(place->fs, place->dir, entry, entry_bytes, err);
}

/* ---- start ---- */

struct files_clean_walk {
    const struct files_place *place;
    const char *folder;
};

static int files_clean_file(void *user, const char *name)
{
    struct files_clean_walk *walk = user;
    unsigned slot, index;
    unsigned long long seal;
    int end = 0;
    char text[PATH_MAX];

    if (sscanf(name, "%u-%llu-%u%n", &slot, &seal, &index, &end) != 3 || name[end] != '\0')
        return 0; /* not ours */
    if (snprintf(text, sizeof(text), "%s/%s", walk->folder, name) < PATH_MAX)
        (void)walk->place->fs->unlink(walk->place->fs, text);
    return 0;
}

static int files_clean_epoch(void *user, const char *name)
{
    struct files_clean_walk *walk = user, inside;
    char text[PATH_MAX], *end = NULL;
    unsigned long epoch = strtoul(name, &end, 10);

    if (end == name || *end != '\0' || epoch + 1 >= walk->place->epoch ||
        snprintf(text, sizeof(text), "%s/%s", walk->folder, name) >= PATH_MAX)
        return 0;
    inside = (struct files_clean_walk){walk->place, text};
    (void)walk->place->fs->list(walk->place->fs, text, files_clean_file, &inside);
    (void)walk->place->fs->rmdir(walk->place->fs, text);
    return 0;
}

/* The last start's temporaries are left for the next one to remove: a commit of it may have been decided by the broker and yet be
 * unseen by this start's redo, and then its files must still be there for the redo of the next. What stays because of an error is
 * met by the next start as well; nothing depends on it. */
void files_clean(const struct files_place *place)
{
    char folder[PATH_MAX];
    struct files_clean_walk walk = {place, folder};
    char *slash;

    if (snprintf(folder, sizeof(folder), "%s", place->tmp_dir) >= PATH_MAX)
        return;
    slash = strrchr(folder, '/');
    *slash = '\0';
    (void)place->fs->list(place->fs, folder, files_clean_epoch, &walk);
}
