/* shadow.c: `sluice shadow`: lets the candidate work on the same records with its sinks closed, and shows what it does otherwise.
 *
 * The server's report is engine/shadow.h's, as JSON; here it becomes a line of counts, a line a sink and the examples, both texts
 * below each other.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

static const char *shadow_text(const struct sl_yaml *map, const char *key, const char *otherwise)
{
    const char *text = sl_answer_text(map, key);

    return text != NULL && text[0] != '\0' ? text : otherwise;
}

static void shadow_side(struct sl_cli *cli, const struct sl_yaml *example, const char *side, enum sl_ink ink)
{
    const struct sl_yaml *text = sl_answer_map(example, side);
    const char *shown = text == NULL ? "(nothing)" : shadow_text(text, "text", shadow_text(text, "withheld", ""));

    (void)fprintf(cli->out, "      %-9s %s%s%s\n", side, sl_cli_ink(cli, cli->out, ink), shown, sl_cli_ink(cli, cli->out, SL_INK_OFF));
}

static void shadow_example(struct sl_cli *cli, const struct sl_yaml *example)
{
    const char *kind = shadow_text(example, "kind", "?"), *field = sl_answer_text(example, "field");
    const char *other = sl_answer_text(example, "other_sink");

    (void)fprintf(cli->out, "    %s%s%s", kind, field != NULL && field[0] != '\0' ? " in " : "", field != NULL ? field : "");
    if (strcmp(kind, "changed") == 0)
        (void)fprintf(cli->out, " (%s)", shadow_text(example, "what", "?"));
    if (other != NULL)
        (void)fprintf(cli->out, ": the candidate writes it to %s", other);
    (void)fprintf(cli->out, ": service %s, level %s, %s partition %s offset %s\n", shadow_text(example, "service", "-"),
                  shadow_text(example, "level", "-"), shadow_text(example, "source", "-"), shadow_text(example, "partition", "-"),
                  shadow_text(example, "offset", "-"));
    shadow_side(cli, example, "live", SL_INK_RED);
    shadow_side(cli, example, "candidate", SL_INK_GREEN);
}

static void shadow_sink(struct sl_cli *cli, const struct sl_yaml *sink)
{
    static const char *const kinds[] = {"changed", "missing", "extra", "other_sink"};
    const struct sl_yaml *classes = sl_answer_list(sink, "classes"), *examples = sl_answer_list(sink, "examples");
    const char *in = shadow_text(sink, "in", "both");

    (void)fprintf(cli->out, "  %s%s%s:", sl_cli_ink(cli, cli->out, SL_INK_BOLD), shadow_text(sink, "sink", "?"),
                  sl_cli_ink(cli, cli->out, SL_INK_OFF));
    if (strcmp(in, "both") != 0)
        (void)fprintf(cli->out, " only in the %s version, not compared;", strcmp(in, "live") == 0 ? "live" : "new");
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        int64_t sum = 0;
        for (uint32_t i = 0; classes != NULL && i < classes->count; i++)
            sum += sl_answer_i64(classes->items[i].value, kinds[k]);
        (void)fprintf(cli->out, " %" PRId64 " %s,", sum, strcmp(kinds[k], "other_sink") == 0 ? "at another sink" : kinds[k]);
    }
    (void)fprintf(cli->out, " %" PRId64 " meant\n", sl_answer_i64(sink, "meant"));
    for (uint32_t i = 0; examples != NULL && i < examples->count; i++)
        shadow_example(cli, examples->items[i].value);
}

/* False: the answer is no report. */
static bool shadow_report(struct sl_cli *cli, const struct sl_yaml *root)
{
    const struct sl_yaml *report = sl_answer_map(root, "shadow");
    const struct sl_yaml *sinks = sl_answer_list(report, "sinks");

    if (sinks == NULL)
        return false;
    if (sl_answer_text(root, "said") != NULL)
        (void)fprintf(cli->out, "%s\n", sl_answer_text(root, "said"));
    (void)fprintf(cli->out,
                  "%" PRId64 " outputs compared in %" PRId64 " ranges: %" PRId64 " differ, %" PRId64 " differ as meant; %" PRId64
                  " ranges skipped\n",
                  sl_answer_i64(report, "compared"), sl_answer_i64(report, "ranges"), sl_answer_i64(report, "differing"),
                  sl_answer_i64(report, "meant"), sl_answer_i64(report, "ranges_skipped"));
    for (uint32_t i = 0; i < sinks->count; i++)
        shadow_sink(cli, sinks->items[i].value);
    return true;
}

static int shadow_diff(struct sl_cli *cli, struct sl_ask *ask)
{
    struct sl_client_reply reply;
    struct sl_answer answer;
    int status = sl_ask_reply(ask, "shadow", &reply);

    if (status != SL_EXIT_OK)
        return status;
    sl_answer_read(&answer, reply.body, reply.bytes);
    if (sl_cli_has(cli, "json") || !shadow_report(cli, answer.root))
        sl_ask_print(cli, &reply);
    sl_answer_fini(&answer);
    sl_client_reply_fini(&reply);
    return SL_EXIT_OK;
}

int sl_command_shadow(struct sl_cli *cli)
{
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 1);
    sl_json_out_str_at(&ask.out, "do", cli->args[0]);
    return strcmp(cli->args[0], "diff") == 0 ? shadow_diff(cli, &ask) : sl_ask_send(&ask, "shadow");
}
