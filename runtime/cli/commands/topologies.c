/* topologies.c: `sluice topologies`: what lies ready to run in a folder of topologies (NAME/topology.yaml).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/fs.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/topologies.h"

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

/* Beside the binary: PREFIX/bin/sluice and PREFIX/share/sluice/topologies, or CHECKOUT/build/PRESET/runtime/main/sluice. */
static bool topologies_beside(char *text, size_t bytes)
{
    static const char *const ways[] = {"/../share/sluice/topologies", "/../../../../topologies"};
    char self[PATH_MAX], path[2 * PATH_MAX], *slash;
    ssize_t self_bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct sl_fs_stat found;

    if (self_bytes <= 0)
        return false;
    self[self_bytes] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < sizeof(ways) / sizeof(ways[0]); i++) {
        (void)snprintf(path, sizeof(path), "%.*s%s/quickstart/topology.yaml", (int)(slash - self), self, ways[i]);
        if (sl_fs_posix()->stat(sl_fs_posix(), path, &found) == 0) {
            path[strlen(path) - strlen("/quickstart/topology.yaml")] = '\0';
            return realpath(path, self) != NULL && snprintf(text, bytes, "%s", self) < (int)bytes;
        }
    }
    return false;
}

const char *sl_topologies_dir(const struct sl_cli *cli, char *text, size_t bytes)
{
    struct sl_fs_stat found;
    const char *given = sl_cli_option(cli, "dir");

    if (given != NULL)
        return given;
    if (sl_fs_posix()->stat(sl_fs_posix(), "topologies", &found) == 0)
        return "topologies";
    return topologies_beside(text, bytes) ? text : TOPOLOGIES_INSTALLED;
}

int sl_command_topologies(struct sl_cli *cli)
{
    char text[PATH_MAX];
    struct topologies_walk walk = {.cli = cli, .dir = sl_topologies_dir(cli, text, sizeof(text)), .json = sl_cli_has(cli, "json")};
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
