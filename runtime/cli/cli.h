/* cli.h: the command line: one table of commands that prints help, manual page, completion and reference, one parser for all
 * options, one way to say what went wrong. A command's row is the only place where its options are written down.
 *
 * Threads: main's only. Ownership: everything in struct sl_cli is borrowed from argv, the tables and main.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_CLI_H
#define SL_RUNTIME_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/base/err.h"
#include "runtime/config/kind.h"

/* A command's result; 3 and 4 belong to deployments (rolled back, held for lack of traffic). */
enum sl_exit { SL_EXIT_OK = 0, SL_EXIT_FAILED = 1, SL_EXIT_USAGE = 2, SL_EXIT_ROLLED_BACK = 3, SL_EXIT_HELD = 4,
               SL_EXIT_NO_SERVER = 5 };

struct sl_cli;

struct sl_option {
    const char *name;  /* without the dashes; NULL ends the list */
    const char *value; /* placeholder of its value (FILE, DURATION); NULL: a flag */
    const char *help;  /* one sentence */
};

struct sl_command {
    const char *name;
    const char *args; /* synopsis of what is not an option, "" for none */
    uint32_t args_min, args_max;
    const char *summary; /* one sentence */
    const char *example;
    const struct sl_option *options;
    const char *const *words; /* allowed first arguments, NULL-terminated; NULL: any */
    int (*run)(struct sl_cli *cli); /* an enum sl_exit */
};

enum { SL_CLI_OPTIONS_MAX = 32 };

struct sl_cli_given {
    const struct sl_option *option;
    const char *value; /* "" for a flag */
};

struct sl_cli {
    const struct sl_registry *registry;
    const struct sl_command *commands; /* the table; a row without a name ends it */
    const struct sl_command *command;  /* the row that runs */
    char **args;                       /* what is not an option, in order */
    uint32_t args_count;
    struct sl_cli_given given[SL_CLI_OPTIONS_MAX];
    uint32_t given_count;
    FILE *out, *err;
    bool color_out, color_err;
    char config[4096]; /* sl_cli_config's */
};

/* The program: parses, runs one command, flushes. Returns the exit code. */
int sl_cli_main(int argc, char **argv, const struct sl_registry *registry);
/* The same over a given table and streams; main's body and what the tests call. argv is permuted. */
int sl_cli_dispatch(struct sl_cli *cli, int argc, char **argv);

/* The table of this program (table.c). */
const struct sl_command *sl_cli_commands(void);
const struct sl_command *sl_cli_find(const struct sl_command *commands, const char *name);

/* The last value given for an option of the running command's row, "" for a flag, NULL if it was not given. */
const char *sl_cli_option(const struct sl_cli *cli, const char *name);
bool sl_cli_has(const struct sl_cli *cli, const char *name);
/* The process file: --config, else sluice.yaml beside the first topology file that is named, else NULL: all defaults. */
const char *sl_cli_config(struct sl_cli *cli);
/* Fills args, given. 0, or SL_EXIT_USAGE with the reason printed. argv[0] is the first word behind the command's name. */
int sl_cli_parse(struct sl_cli *cli, int argc, char **argv);
/* "sluice check: TEXT" and a newline on cli->err; returns exit_code. */
int sl_cli_say(struct sl_cli *cli, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* No such command: names the nearest; SL_EXIT_USAGE. */
int sl_cli_say_unknown(struct sl_cli *cli, const char *word);
int sl_cli_say_err(struct sl_cli *cli, int exit_code, const struct sl_err *err);

enum sl_ink { SL_INK_OFF, SL_INK_BOLD, SL_INK_RED, SL_INK_YELLOW, SL_INK_GREEN, SL_INK_DIM };
/* Escape sequence for a stream of cli, "" where it is no terminal or NO_COLOR is set. */
const char *sl_cli_ink(const struct sl_cli *cli, const FILE *stream, enum sl_ink ink);
/* A JSON string with its quotes; invalid UTF-8 becomes U+FFFD. text NULL prints null. */
void sl_cli_print_json(FILE *stream, const char *text);
/* 536870912 -> "512 MiB"; text of at least 24 bytes, returned. */
const char *sl_cli_print_bytes(uint64_t bytes, char text[24]);

/* The path of the control socket: --socket, SLUICE_SOCKET, --data-dir/control.sock, ./sluice-data/control.sock. `text` keeps it. */
const char *sl_cli_socket(const struct sl_cli *cli, char *text, size_t text_bytes);

/* print.c: what the table says, in four forms. */
void sl_cli_print_usage(const struct sl_cli *cli, FILE *stream);
void sl_cli_print_command(const struct sl_cli *cli, FILE *stream, const struct sl_command *command);
void sl_cli_print_man(const struct sl_cli *cli, FILE *stream);
void sl_cli_print_markdown(const struct sl_cli *cli, FILE *stream);
void sl_cli_print_completion(const struct sl_cli *cli, FILE *stream);

#endif
