/* cli.c: from argv to one command and its exit code; how the commands speak (errors, colours, JSON strings, sizes).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/json_out.h"
#include "runtime/config/nearest.h"

static bool cli_may_color(FILE *stream)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return (no == NULL || no[0] == '\0') && isatty(fileno(stream)) == 1 && term != NULL && strcmp(term, "dumb") != 0;
}

const char *sl_cli_ink(const struct sl_cli *cli, const FILE *stream, enum sl_ink ink)
{
    static const char *const sequences[] = {"\033[0m", "\033[1m", "\033[31m", "\033[33m", "\033[32m", "\033[2m"};
    bool on = stream == cli->out ? cli->color_out : stream == cli->err && cli->color_err;
    return on ? sequences[ink] : "";
}

int sl_cli_say(struct sl_cli *cli, int exit_code, const char *format, ...)
{
    va_list args;
    (void)fflush(cli->out);
    (void)fprintf(cli->err, "%ssluice%s%s:%s ", sl_cli_ink(cli, cli->err, SL_INK_RED), cli->command != NULL ? " " : "",
                  cli->command != NULL ? cli->command->name : "", sl_cli_ink(cli, cli->err, SL_INK_OFF));
    va_start(args, format);
    (void)vfprintf(cli->err, format, args);
    va_end(args);
    (void)fputc('\n', cli->err);
    return exit_code;
}

int sl_cli_say_err(struct sl_cli *cli, int exit_code, const struct sl_err *err)
{
    return sl_cli_say(cli, exit_code, "%s", err->text);
}

void sl_cli_print_json(FILE *stream, const char *text)
{
    struct sl_buf buf;
    if (text == NULL) {
        (void)fputs("null", stream);
        return;
    }
    sl_buf_init(&buf);
    sl_json_quote(&buf, sl_slice_of(text));
    (void)fputs(sl_buf_failed(&buf) ? "null" : sl_buf_str(&buf), stream);
    sl_buf_fini(&buf);
}

const char *sl_cli_print_bytes(uint64_t bytes, char text[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    uint32_t unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    (void)snprintf(text, 24, "%.*f %s", value < 10 && unit > 0 ? 1 : 0, value, units[unit]);
    return text;
}

const char *sl_cli_socket(const struct sl_cli *cli, char *text, size_t text_bytes)
{
    const char *path = sl_cli_option(cli, "socket"), *dir = sl_cli_option(cli, "data-dir");
    if (path == NULL && dir == NULL)
        path = getenv("SLUICE_SOCKET");
    if (path != NULL && path[0] != '\0')
        (void)snprintf(text, text_bytes, "%s", path);
    else
        (void)snprintf(text, text_bytes, "%s/control.sock", dir != NULL ? dir : "./sluice-data");
    return text;
}

int sl_cli_say_unknown(struct sl_cli *cli, const char *word)
{
    struct sl_nearest nearest;
    sl_nearest_init(&nearest, word);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++)
        sl_nearest_offer(&nearest, command->name);
    if (nearest.best != NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "unknown command \"%s\"; did you mean %s?", word, nearest.best);
    return sl_cli_say(cli, SL_EXIT_USAGE, "unknown command \"%s\"; `sluice help` lists them", word);
}

static bool cli_asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int sl_cli_dispatch(struct sl_cli *cli, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    int result;

    cli->command = NULL;
    if (word == NULL) {
        sl_cli_print_usage(cli, cli->err);
        return SL_EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    if (strcmp(word, "--version") == 0)
        word = "version";
    cli->command = sl_cli_find(cli->commands, word);
    if (cli->command == NULL)
        return sl_cli_say_unknown(cli, word);
    if (cli_asks_help(argc - 2, argv + 2)) {
        sl_cli_print_command(cli, cli->out, cli->command);
        return SL_EXIT_OK;
    }
    result = sl_cli_parse(cli, argc - 2, argv + 2);
    return result != 0 ? result : cli->command->run(cli);
}

int sl_cli_main(int argc, char **argv, const struct sl_registry *registry)
{
    struct sl_cli cli = {.registry = registry, .commands = sl_cli_commands(), .out = stdout, .err = stderr};
    int result;

    cli.color_out = cli_may_color(stdout);
    cli.color_err = cli_may_color(stderr);
    result = sl_cli_dispatch(&cli, argc, argv);
    /* A full disk behind a redirection must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && result == SL_EXIT_OK)
        result = sl_cli_say(&cli, SL_EXIT_FAILED, "standard output could not be written");
    return result;
}
