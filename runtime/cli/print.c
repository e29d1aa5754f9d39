/* print.c: the command table in its printed forms: help, manual page, Markdown reference, completion script.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <string.h>

static void print_option_name(FILE *stream, const struct sl_option *option)
{
    (void)fprintf(stream, "--%s%s%s", option->name, option->value != NULL ? " " : "",
                  option->value != NULL ? option->value : "");
}

static int print_width(const struct sl_option *option)
{
    return 2 + (int)strlen(option->name) + (option->value != NULL ? 1 + (int)strlen(option->value) : 0);
}

void sl_cli_print_usage(const struct sl_cli *cli, FILE *stream)
{
    const char *bold = sl_cli_ink(cli, stream, SL_INK_BOLD), *off = sl_cli_ink(cli, stream, SL_INK_OFF);
    (void)fprintf(stream, "%ssluice%s: a log stream processor\n\nusage: sluice COMMAND [ARGUMENT...] [--OPTION...]\n\n", bold, off);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++)
        (void)fprintf(stream, "  %s%-11s%s %s\n", bold, command->name, off, command->summary);
    (void)fputs("\n`sluice COMMAND --help` explains one, with an example.\n"
                "Exit codes: 0 fine, 1 failed, 2 usage, 3 rolled back, 4 held for lack of traffic, 5 no server.\n", stream);
}

void sl_cli_print_command(const struct sl_cli *cli, FILE *stream, const struct sl_command *command)
{
    const char *bold = sl_cli_ink(cli, stream, SL_INK_BOLD), *off = sl_cli_ink(cli, stream, SL_INK_OFF);
    int width = print_width(&(struct sl_option){"help", NULL, NULL});

    (void)fprintf(stream, "usage: %ssluice %s%s%s%s%s\n\n%s\n\noptions:\n", bold, command->name, off,
                  command->args[0] != '\0' ? " " : "", command->args,
                  command->options[0].name != NULL ? " [--OPTION...]" : "", command->summary);
    for (const struct sl_option *option = command->options; option->name != NULL; option++)
        width = print_width(option) > width ? print_width(option) : width;
    for (const struct sl_option *option = command->options; option->name != NULL; option++) {
        (void)fputs("  ", stream);
        print_option_name(stream, option);
        (void)fprintf(stream, "%*s  %s\n", width - print_width(option), "", option->help);
    }
    (void)fprintf(stream, "  --help%*s  Show this.\n\nexample:\n  %s\n", width - 6, "", command->example);
}

/* roff takes a leading dot or quote and every backslash and dash for itself. */
static void print_roff(FILE *stream, const char *text)
{
    if (text[0] == '.' || text[0] == '\'')
        (void)fputs("\\&", stream);
    for (; *text != '\0'; text++) {
        if (*text == '-')
            (void)fputs("\\-", stream);
        else if (*text == '\\')
            (void)fputs("\\e", stream);
        else
            (void)fputc(*text, stream);
    }
}

static void print_man_command(FILE *stream, const struct sl_command *command)
{
    (void)fprintf(stream, ".SS \"sluice %s %s\"\n", command->name, command->args);
    print_roff(stream, command->summary);
    (void)fputc('\n', stream);
    for (const struct sl_option *option = command->options; option->name != NULL; option++) {
        (void)fputs(".TP\n.B \"\\-\\-", stream);
        print_roff(stream, option->name);
        (void)fprintf(stream, " %s\"\n", option->value != NULL ? option->value : "");
        print_roff(stream, option->help);
        (void)fputc('\n', stream);
    }
    (void)fputs(".PP\nExample:\n.PP\n.RS\n.nf\n", stream);
    print_roff(stream, command->example);
    (void)fputs("\n.fi\n.RE\n", stream);
}

void sl_cli_print_man(const struct sl_cli *cli, FILE *stream)
{
    (void)fputs(".TH SLUICE 1 \"\" \"sluice " SLUICE_VERSION "\" \"User Commands\"\n.SH NAME\nsluice \\- log stream processor\n"
                ".SH SYNOPSIS\n.B sluice\nCOMMAND [ARGUMENT...] [\\-\\-OPTION...]\n.SH COMMANDS\n", stream);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++)
        print_man_command(stream, command);
    (void)fputs(".SH EXIT STATUS\n0 fine, 1 failed, 2 usage, 3 rolled back, 4 held for lack of traffic, 5 no server.\n"
                ".SH ENVIRONMENT\n.TP\n.B SLUICE_SOCKET\nControl socket of the server.\n"
                ".TP\n.B NO_COLOR\nNo colours, even on a terminal.\n", stream);
}

void sl_cli_print_markdown(const struct sl_cli *cli, FILE *stream)
{
    (void)fputs("# Command line\n\nPrinted by `sluice docs`; edit runtime/cli/table.c instead.\n\n"
                "Exit codes: 0 fine, 1 failed, 2 usage, 3 rolled back, 4 held for lack of traffic, 5 no server. Every command has `--help`.\n", stream);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++) {
        (void)fprintf(stream, "\n## sluice %s\n\n%s\n\n```\nsluice %s%s%s\n```\n\n", command->name, command->summary,
                      command->name, command->args[0] != '\0' ? " " : "", command->args);
        if (command->options[0].name != NULL)
            (void)fputs("| option | |\n| --- | --- |\n", stream);
        for (const struct sl_option *option = command->options; option->name != NULL; option++) {
            (void)fprintf(stream, "| `--%s%s", option->name, option->value != NULL ? " " : "");
            for (const char *at = option->value != NULL ? option->value : ""; *at != '\0'; at++)
                (void)fprintf(stream, "%s%c", *at == '|' ? "\\" : "", *at); /* a bar would end the cell */
            (void)fprintf(stream, "` | %s |\n", option->help);
        }
        (void)fprintf(stream, "%sExample: `%s`\n", command->options[0].name != NULL ? "\n" : "", command->example);
    }
}

static void print_completion_case(FILE *stream, const struct sl_command *command)
{
    (void)fprintf(stream, "        %s) words='--help", command->name);
    for (const struct sl_option *option = command->options; option->name != NULL; option++)
        (void)fprintf(stream, " --%s", option->name);
    for (const char *const *word = command->words; word != NULL && *word != NULL; word++)
        (void)fprintf(stream, " %s", *word);
    (void)fputs("' ;;\n", stream);
}

void sl_cli_print_completion(const struct sl_cli *cli, FILE *stream)
{
    (void)fputs("# sluice: completion for bash; use with: source <(sluice complete bash)\n"
                "_sluice() {\n    local word=${COMP_WORDS[COMP_CWORD]} words=''\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='", stream);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++)
        (void)fprintf(stream, "%s%s", command == cli->commands ? "" : " ", command->name);
    (void)fputs("'\n    else\n        case ${COMP_WORDS[1]} in\n", stream);
    for (const struct sl_command *command = cli->commands; command->name != NULL; command++)
        print_completion_case(stream, command);
    (void)fputs("        esac\n    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                "    [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n}\n"
                "complete -o filenames -F _sluice sluice\n", stream);
}
