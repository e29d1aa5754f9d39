/* init.c: `sluice init TEMPLATE [FOLDER]`: a topology to start from: a copy of one that comes with sluice, under a name of its own.
 * Nothing that is there is overwritten; the copy is an ordinary topology folder, checked and tested like any other.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/buf.h"
#include "runtime/base/fs.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/topologies.h"

enum { INIT_FILE_MAX = 16 << 20, INIT_DEPTH = 4 };

struct init_copy {
    struct sl_cli *cli;
    struct sl_fs *fs;
    const char *from, *to; /* folders */
    const char *name;      /* the topology's new one */
    uint32_t depth;
    int status;
};

/* `name: OLD` at the beginning of a line of topology.yaml becomes `name: NEW`; all else stays, comments too. */
static void init_rename(const char *text, size_t bytes, const char *name, struct sl_buf *out)
{
    const char *at = strncmp(text, "name:", 5) == 0 ? text : strstr(text, "\nname:");
    const char *end;

    if (at == NULL) {
        sl_buf_append(out, text, bytes);
        return;
    }
    at += *at == '\n';
    end = at + strcspn(at, "\n");
    sl_buf_append(out, text, (size_t)(at - text));
    sl_buf_printf(out, "name: %s", name);
    sl_buf_append(out, end, bytes - (size_t)(end - text));
}

static int init_write(struct init_copy *copy, const char *path, const struct sl_buf *content, uint32_t mode)
{
    int fd = copy->fs->open(copy->fs, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int status = fd < 0 ? fd : sl_fs_write_all(copy->fs, fd, sl_buf_str(content), content->bytes, 0);

    if (fd >= 0) {
        int closed = copy->fs->close(copy->fs, fd);
        status = status < 0 ? status : closed;
    }
    return status < 0 ? sl_cli_say(copy->cli, SL_EXIT_FAILED, "cannot write %s: %s", path, strerror(-status)) : SL_EXIT_OK;
}

static int init_file(struct init_copy *copy, const char *from, const char *to, const char *leaf)
{
    struct sl_buf content = {0};
    char *data = NULL;
    size_t bytes = 0;
    struct stat known;
    int status = sl_fs_read_file(copy->fs, from, INIT_FILE_MAX, &data, &bytes);

    if (status < 0)
        return sl_cli_say(copy->cli, SL_EXIT_FAILED, "cannot read %s: %s", from, strerror(-status));
    if (copy->depth == 0 && strcmp(leaf, "topology.yaml") == 0)
        init_rename(data, bytes, copy->name, &content);
    else
        sl_buf_append(&content, data, bytes);
    free(data);
    status = sl_buf_failed(&content) ? sl_cli_say(copy->cli, SL_EXIT_FAILED, "no memory for %s", from)
                                     : init_write(copy, to, &content, stat(from, &known) == 0 ? known.st_mode & 0777 : 0644);
    sl_buf_fini(&content);
    return status;
}

static int init_folder(struct init_copy *copy);

static int init_each(void *user, const char *name)
{
    struct init_copy *copy = user;
    char from[PATH_MAX], to[PATH_MAX];
    struct sl_fs_stat found;

    if (copy->status != SL_EXIT_OK || name[0] == '.')
        return 0;
    if (snprintf(from, sizeof(from), "%s/%s", copy->from, name) >= (int)sizeof(from) ||
        snprintf(to, sizeof(to), "%s/%s", copy->to, name) >= (int)sizeof(to)) {
        copy->status = sl_cli_say(copy->cli, SL_EXIT_FAILED, "%s/%s: the path is too long", copy->to, name);
        return 0;
    }
    if (copy->fs->stat(copy->fs, from, &found) < 0)
        return 0;
    if (!found.is_dir) {
        copy->status = init_file(copy, from, to, name);
    } else if (copy->depth < INIT_DEPTH) {
        struct init_copy inner = *copy;
        inner.from = from;
        inner.to = to;
        inner.depth++;
        copy->status = init_folder(&inner);
    }
    return 0;
}

static int init_folder(struct init_copy *copy)
{
    int status = sl_fs_mkdirs(copy->fs, copy->to, 0755);

    if (status >= 0)
        status = copy->fs->list(copy->fs, copy->from, init_each, copy);
    if (status < 0)
        return sl_cli_say(copy->cli, SL_EXIT_FAILED, "cannot copy %s to %s: %s", copy->from, copy->to, strerror(-status));
    return copy->status;
}

static const char *init_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* The rule of names in topology.c, said before anything is written. */
static bool init_name_is_fine(const char *name)
{
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return bytes > 0 && bytes <= 64 && name[bytes] == '\0';
}

static int init_said(struct sl_cli *cli, const struct init_copy *copy)
{
    struct sl_fs_stat found;
    char path[PATH_MAX];

    (void)fprintf(cli->out, "%s holds the topology %s. Next:\n", copy->to, copy->name);
    if (snprintf(path, sizeof(path), "%s/sluice.yaml", copy->to) < (int)sizeof(path) && copy->fs->stat(copy->fs, path, &found) == 0)
        (void)fprintf(cli->out, "  edit %s      # where its brokers are\n", path);
    (void)fprintf(cli->out, "  sluice check %s/topology.yaml\n  sluice test  %s/topology.yaml\n  sluice run   %s/topology.yaml\n", copy->to,
                  copy->to, copy->to);
    return SL_EXIT_OK;
}

int sl_command_init(struct sl_cli *cli)
{
    char from[PATH_MAX], text[PATH_MAX];
    struct init_copy copy = {.cli = cli, .fs = sl_fs_posix(), .from = from, .status = SL_EXIT_OK};
    const char *dir = sl_topologies_dir(cli, text, sizeof(text));
    struct sl_fs_stat found;
    int status;

    if (cli->args_count == 0)
        return sl_command_topologies(cli);
    copy.to = cli->args_count > 1 ? cli->args[1] : cli->args[0];
    copy.name = init_base(copy.to);
    if (strchr(cli->args[0], '/') != NULL || snprintf(from, sizeof(from), "%s/%s", dir, cli->args[0]) >= (int)sizeof(from) ||
        snprintf(text, sizeof(text), "%.4000s/topology.yaml", from) >= (int)sizeof(text) || copy.fs->stat(copy.fs, text, &found) != 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "no template %s; `sluice init` without a name lists them", cli->args[0]);
    if (!init_name_is_fine(copy.name))
        return sl_cli_say(cli, SL_EXIT_USAGE, "%s is no name for a topology: letters, digits, - and _, at most 64 of them", copy.name);
    if (copy.fs->stat(copy.fs, copy.to, &found) == 0)
        return sl_cli_say(cli, SL_EXIT_FAILED, "%s is there already; name another folder: sluice init %s FOLDER", copy.to, cli->args[0]);
    status = init_folder(&copy);
    return status == SL_EXIT_OK ? init_said(cli, &copy) : status;
}
