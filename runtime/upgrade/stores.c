/* stores.c: a look at the first line of what lies under data_dir.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/stores.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "runtime/store/commit_record.h"
#include "runtime/store/data_dir.h"
#include "runtime/store/generations.h"
#include "runtime/store/spool.h"

enum { STORES_HEAD_BYTES = 64 };

struct stores {
    struct sl_fs *fs;
    char dir[PATH_MAX];
    int (*each)(struct stores *stores, const char *path); /* of each folder in dir */
    struct sl_err *err;
};

/* Bytes read; 0: not there, or nothing in it. */
static size_t stores_head(struct sl_fs *fs, const char *path, char *head, size_t bytes)
{
    int fd = fs->open(fs, path, O_RDONLY, 0);
    int64_t got = fd < 0 ? 0 : fs->pread(fs, fd, head, bytes, 0);

    if (fd >= 0)
        (void)fs->close(fs, fd);
    return got < 0 ? 0 : (size_t)got;
}

/* "TITLE FORMAT\n" */
static int stores_text(struct stores *stores, const char *folder, const char *file, const char *title, int newest)
{
    char path[PATH_MAX + 64], head[STORES_HEAD_BYTES] = "";
    size_t title_bytes = strlen(title);
    int format = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    (void)stores_head(stores->fs, path, head, sizeof(head) - 1);
    if (strncmp(head, title, title_bytes) != 0 || sscanf(head + title_bytes, " %d\n", &format) != 1 || format <= newest)
        return 0;
    return sl_fail(stores->err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                   "%s was written by a newer version (format %d, this one knows up to %d); run the newer version", path, format, newest);
}

static int stores_topology(struct stores *stores, const char *folder)
{
    char path[PATH_MAX + 64], head[SL_COMMIT_HEADER_BYTES];
    struct sl_commit_header header;

    (void)snprintf(path, sizeof(path), "%s/commit.log", folder);
    if (stores_head(stores->fs, path, head, sizeof(head)) != sizeof(head) ||
        sl_commit_header_get(head, sizeof(head), &header, stores->err) == 0)
        return 0;
    return sl_while(stores->err, "%s", path);
}

static int stores_topic(struct stores *stores, const char *folder)
{
    int status = stores_text(stores, folder, "manifest", "sluice-spool", SL_SPOOL_FORMAT);

    return status == 0 ? stores_text(stores, folder, "marks", "sluice-marks", SL_SPOOL_FORMAT) : status;
}

static int stores_generations(struct stores *stores, const char *folder)
{
    return stores_text(stores, folder, "state", "sluice-generations", SL_GENERATIONS_FORMAT);
}

static int stores_each(void *user, const char *name)
{
    struct stores *stores = user;
    char path[PATH_MAX + 300];

    if (name[0] == '.')
        return 0;
    (void)snprintf(path, sizeof(path), "%s/%.255s", stores->dir, name);
    return stores->each(stores, path);
}

static int stores_list(struct stores *stores, const char *data_dir, const char *name,
                       int (*each)(struct stores *stores, const char *path))
{
    int status;

    (void)snprintf(stores->dir, sizeof(stores->dir), "%s/%s", data_dir, name);
    stores->each = each;
    status = stores->fs->list(stores->fs, stores->dir, stores_each, stores);
    return status == -SL_E_FORMAT && stores->err->code == SL_E_FORMAT ? status : 0;
}

int sl_upgrade_stores(struct sl_fs *fs, const char *data_dir, struct sl_err *err)
{
    struct stores stores = {.fs = fs, .err = err};
    int status;

    *err = (struct sl_err){.code = SL_OK};
    status = sl_data_dir_check(fs, data_dir, err);
    if (status == 0)
        status = stores_list(&stores, data_dir, "topologies", stores_topology);
    if (status == 0)
        status = stores_list(&stores, data_dir, "spool", stores_topic);
    if (status == 0)
        status = stores_list(&stores, data_dir, "generations", stores_generations);
    return status;
}
