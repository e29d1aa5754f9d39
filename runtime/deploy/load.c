/* load.c: see load.h: by runtime/config.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/load.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/kept.h"

static int load_file(void *user, const char *path, const struct sl_strings *sets, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    const struct sl_deploy_kinds *kinds = user;
    return sl_topology_load_set(path, sets, kinds->registry, kinds->process, diags, ret_topology);
}

static int load_kept(void *user, const char *dir, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    const struct sl_deploy_kinds *kinds = user;
    return sl_topology_load_kept(dir, kinds->registry, kinds->process, diags, ret_topology);
}

/* The origin is text that is made here; it is written beside the generations, and copied from there like the other files. */
static int load_write_origin(const struct sl_topology *topology, struct sl_generations *generations, const char *path, struct sl_err *err)
{
    char *text = sl_kept_origin(topology);
    int rc;

    if (text == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %s", path);
    rc = sl_fs_replace_file(generations->fs, path, text, strlen(text));
    free(text);
    return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s", path, strerror(-rc)) : 0;
}

static int load_keep(void *user, const struct sl_topology *topology, struct sl_generations *generations, struct sl_generation_row *row,
                     struct sl_err *err)
{
    struct sl_generation_file *files = calloc(topology->inputs_count + 2, sizeof(*files));
    char origin[PATH_MAX];
    uint32_t count = 0;
    int status;
    (void)user;

    if (files == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the files of %s", topology->name);
    (void)snprintf(origin, sizeof(origin), "%s/origin", generations->dir);
    files[count++] = (struct sl_generation_file){topology->path, SL_KEPT_TOPOLOGY};
    files[count++] = (struct sl_generation_file){origin, SL_KEPT_ORIGIN};
    for (uint32_t i = 0; i < topology->inputs_count; i++)
        if (topology->inputs[i].kept != NULL)
            files[count++] = (struct sl_generation_file){topology->inputs[i].path, topology->inputs[i].kept};
    status = load_write_origin(topology, generations, origin, err);
    if (status == 0)
        status = sl_generations_add(generations, files, count, row, err);
    (void)generations->fs->unlink(generations->fs, origin);
    free(files);
    return status;
}

struct sl_deploy_load sl_deploy_load(const struct sl_deploy_kinds *kinds)
{
    return (struct sl_deploy_load){load_file, load_kept, sl_topology_free, load_keep, (void *)(uintptr_t)kinds};
}
