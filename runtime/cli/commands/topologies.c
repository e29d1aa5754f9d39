/* topologies.c: `sluice topologies`: what lies ready to run in a folder of topologies (NAME/topology.yaml).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/fs.h"
#include "runtime/cli/commands.h"

#define TOPOLOGIES_INSTALLED "/usr/local/share/sluice/topologies"

enum { TOPOLOGIES_FILE_MAX = 1 << 20, TOPOLOGIES_LINE_MAX = 160 };

struct topologies_walk {
    struct sl_cli *cli;
    const char *dir;
    uint32_t count;
    bool json;
};

/* The first comment line that is neither the licence nor empty says what the topology is for. */
static void topologies_summary(const char *text, char summary[TOPOLOGIES_LINE_MAX])
{
    summary[0] = '\0';
    while (*text == '#') {
        size_t bytes = strcspn(text, "\n");
        const char *line = text + 1 + strspn(text + 1, " ");
        size_t line_bytes = bytes - (size_t)(line - text);
        if (line < text + bytes && memmem(line, line_bytes, "SPDX-License", 12) == NULL) {
            const char *colon = memmem(line, line_bytes, ".yaml: ", 7);
            if (colon != NULL) {
                line_bytes -= (size_t)(colon + 7 - line);
                line = colon + 7;
            }
            (void)snprintf(summary, TOPOLOGIES_LINE_MAX, "%.*s", (int)line_bytes, line);
            return;
        }
        text += bytes + (text[bytes] == '\n');
    }
}

static int topologies_each(void *user, const char *name)
{
    struct topologies_walk *walk = user;
    FILE *out = walk->cli->out;
    char path[4096], summary[TOPOLOGIES_LINE_MAX];
    char *data = NULL;
    size_t bytes;

    if (snprintf(path, sizeof(path), "%s/%s/topology.yaml", walk->dir, name) >= (int)sizeof(path) ||
        sl_fs_read_file(sl_fs_posix(), path, TOPOLOGIES_FILE_MAX, &data, &bytes) < 0)
        return 0; /* a README, or a folder of something else */
    topologies_summary(data, summary);
    free(data);
    if (walk->json) {
        (void)fputs(walk->count > 0 ? ",{\"name\":" : "{\"name\":", out);
        sl_cli_print_json(out, name);
        (void)fputs(",\"path\":", out);
        sl_cli_print_json(out, path);
        (void)fputs(",\"summary\":", out);
        sl_cli_print_json(out, summary);
        (void)fputc('}', out);
    } else {
        (void)fprintf(out, "%s%-14s%s %s\n%-14s %s\n", sl_cli_ink(walk->cli, out, SL_INK_BOLD), name,
                      sl_cli_ink(walk->cli, out, SL_INK_OFF), summary, "", path);
    }
    walk->count++;
    return 0;
}

static const char *topologies_dir(const struct sl_cli *cli)
{
    struct sl_fs_stat stat;
    const char *given = sl_cli_option(cli, "dir");
    if (given != NULL)
        return given;
    return sl_fs_posix()->stat(sl_fs_posix(), "topologies", &stat) == 0 ? "topologies" : TOPOLOGIES_INSTALLED;
}

int sl_command_topologies(struct sl_cli *cli)
{
    struct topologies_walk walk = {.cli = cli, .dir = topologies_dir(cli), .json = sl_cli_has(cli, "json")};
    int result;

    if (walk.json)
        (void)fputc('[', cli->out);
    result = sl_fs_posix()->list(sl_fs_posix(), walk.dir, topologies_each, &walk);
    if (walk.json)
        (void)fputs("]\n", cli->out);
    if (result < 0)
        return sl_cli_say(cli, SL_EXIT_FAILED, "cannot list %s: %s; name the folder with --dir", walk.dir, strerror(-result));
    if (walk.count == 0 && !walk.json)
        return sl_cli_say(cli, SL_EXIT_FAILED, "no NAME/topology.yaml lies in %s; name another folder with --dir", walk.dir);
    return SL_EXIT_OK;
}
