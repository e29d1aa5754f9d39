/* options.c: reads a command's options and arguments against its row; an unknown one is refused with the nearest known.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config/nearest.h"

static const struct sl_option *options_find(const struct sl_option *options, const char *name, size_t bytes)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == bytes && memcmp(options->name, name, bytes) == 0)
            return options;
    return NULL;
}

static int options_unknown(struct sl_cli *cli, const char *word, size_t bytes)
{
    char name[64];
    struct sl_nearest nearest;

    (void)snprintf(name, sizeof(name), "%.*s", (int)bytes, word);
    sl_nearest_init(&nearest, name);
    for (const struct sl_option *option = cli->command->options; option->name != NULL; option++)
        sl_nearest_offer(&nearest, option->name);
    sl_nearest_offer(&nearest, "help");
    if (nearest.best != NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "unknown option --%s; did you mean --%s?", name, nearest.best);
    return sl_cli_say(cli, SL_EXIT_USAGE, "unknown option --%s; `sluice %s --help` lists them", name, cli->command->name);
}

/* One option at argv[*at]; takes the next word as its value where it has one. */
static int options_take(struct sl_cli *cli, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct sl_option *option = options_find(cli->command->options, name, bytes);
    const char *value = equals != NULL ? equals + 1 : NULL;

    if (option == NULL)
        return options_unknown(cli, name, bytes);
    if (option->value == NULL && value != NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--%s is a flag and takes no value; found \"%s\"", option->name, value);
    if (option->value != NULL && value == NULL) {
        if (*at + 1 >= argc)
            return sl_cli_say(cli, SL_EXIT_USAGE, "--%s needs a value: --%s %s", option->name, option->name, option->value);
        value = argv[++*at];
    }
    if (option->value != NULL && value[0] == '\0')
        return sl_cli_say(cli, SL_EXIT_USAGE, "--%s has an empty value: --%s %s", option->name, option->name, option->value);
    if (cli->given_count == SL_CLI_OPTIONS_MAX)
        return sl_cli_say(cli, SL_EXIT_USAGE, "more than %d options", SL_CLI_OPTIONS_MAX);
    cli->given[cli->given_count++] = (struct sl_cli_given){option, value != NULL ? value : ""};
    return 0;
}

static int options_count_args(struct sl_cli *cli)
{
    const struct sl_command *command = cli->command;
    if (cli->args_count < command->args_min)
        return sl_cli_say(cli, SL_EXIT_USAGE, "an argument is missing: sluice %s %s", command->name, command->args);
    if (cli->args_count > command->args_max)
        return sl_cli_say(cli, SL_EXIT_USAGE, "\"%s\" is one argument too many: sluice %s %s",
                          cli->args[command->args_max], command->name, command->args);
    if (command->words == NULL)
        return 0;
    for (const char *const *word = command->words; *word != NULL; word++)
        if (strcmp(*word, cli->args[0]) == 0)
            return 0;
    return sl_cli_say(cli, SL_EXIT_USAGE, "\"%s\" is not what comes here: sluice %s %s", cli->args[0], command->name,
                      command->args);
}

int sl_cli_parse(struct sl_cli *cli, int argc, char **argv)
{
    bool options_end = false;

    assert(cli->command != NULL);
    cli->args = argv; /* arguments are moved to the front, in order */
    cli->args_count = 0;
    cli->given_count = 0;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        int result = 0;
        if (options_end || word[0] != '-' || word[1] == '\0')
            argv[cli->args_count++] = word;
        else if (strcmp(word, "--") == 0)
            options_end = true;
        else if (word[1] == '-')
            result = options_take(cli, argc, argv, &i);
        else
            result = sl_cli_say(cli, SL_EXIT_USAGE, "unknown option %s; options are written --name", word);
        if (result != 0)
            return result;
    }
    return options_count_args(cli);
}

const char *sl_cli_option(const struct sl_cli *cli, const char *name)
{
    assert(options_find(cli->command->options, name, strlen(name)) != NULL);
    for (uint32_t i = cli->given_count; i > 0; i--)
        if (strcmp(cli->given[i - 1].option->name, name) == 0)
            return cli->given[i - 1].value;
    return NULL;
}

bool sl_cli_has(const struct sl_cli *cli, const char *name)
{
    return sl_cli_option(cli, name) != NULL;
}

const char *sl_cli_config(struct sl_cli *cli)
{
    const char *slash = cli->args_count > 0 ? strrchr(cli->args[0], '/') : NULL;

    if (sl_cli_has(cli, "config"))
        return sl_cli_option(cli, "config");
    if (cli->args_count == 0)
        return NULL;
    if ((size_t)snprintf(cli->config, sizeof(cli->config), "%.*ssluice.yaml", slash == NULL ? 0 : (int)(slash - cli->args[0]) + 1,
                         cli->args[0]) >= sizeof(cli->config))
        return NULL;
    return access(cli->config, R_OK) == 0 ? cli->config : NULL;
}
