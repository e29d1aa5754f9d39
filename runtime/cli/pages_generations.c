/* pages_generations.c: which version of a topology runs, since when and by whom, and what is being deployed, for the status document.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/cli/pages.h"
#include "runtime/control/metrics.h"
#include "runtime/deploy/deployer.h"

void sl_pages_generations_read(struct sl_deployer *deployer, struct sl_answer *ret_answer)
{
    struct sl_buf json = {0};

    if (deployer == NULL || sl_deployer_status(deployer, NULL, &json) != 0 || sl_buf_failed(&json))
        sl_buf_reset(&json);
    sl_answer_read(ret_answer, sl_buf_str(&json), json.bytes);
    sl_buf_fini(&json);
}

static void generations_str(struct sl_json_out *out, const char *key, const struct sl_yaml *from, const char *from_key)
{
    const char *text = sl_answer_text(from, from_key);

    if (text != NULL && text[0] != '\0')
        sl_json_out_str_at(out, key, text);
}

static void generations_i64(struct sl_json_out *out, const char *key, const struct sl_yaml *from, const char *from_key)
{
    if (sl_answer_text(from, from_key) != NULL)
        sl_json_out_i64_at(out, key, sl_answer_i64(from, from_key));
}

static void generations_live(struct sl_json_out *out, const struct sl_yaml *deployment)
{
    sl_json_out_key(out, "live");
    sl_json_out_object(out);
    sl_json_out_i64_at(out, "generation", sl_answer_i64(deployment, "live"));
    generations_i64(out, "since_unix_ms", deployment, "live_unix_ms");
    generations_str(out, "by", deployment, "live_who");
    generations_str(out, "digest", deployment, "live_digest");
    sl_json_out_end_object(out);
}

/* Also what is only being opened, which has no generation yet. */
static void generations_candidate(struct sl_json_out *out, const struct sl_yaml *deployment)
{
    static const char *const counts[] = {"records", "records_beside", "compared", "differing"};

    sl_json_out_key(out, "candidate");
    sl_json_out_object(out);
    generations_i64(out, "generation", deployment, "generation");
    generations_str(out, "state", deployment, "state");
    sl_json_out_f64_at(out, "share", sl_answer_f64(deployment, "share"));
    generations_str(out, "by", deployment, "who");
    generations_str(out, "plan", deployment, "plan");
    generations_i64(out, "step", deployment, "step");
    generations_i64(out, "steps", deployment, "steps");
    generations_str(out, "doing", deployment, "doing");
    generations_str(out, "says", deployment, "says");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        generations_i64(out, counts[i], deployment, counts[i]);
    generations_str(out, "next", deployment, "next");
    sl_json_out_end_object(out);
}

static const struct sl_yaml *generations_of(const struct sl_answer *answer, const char *topology)
{
    return sl_answer_find(sl_answer_list(answer->root, "deployments"), "topology", topology);
}

bool sl_pages_generations_paused(const struct sl_answer *answer, const char *topology)
{
    const char *paused = sl_answer_text(generations_of(answer, topology), "paused");

    return paused != NULL && strcmp(paused, "true") == 0;
}

void sl_pages_generations_write(struct sl_json_out *out, const struct sl_answer *answer, const char *topology)
{
    const struct sl_yaml *deployment = generations_of(answer, topology);

    if (deployment == NULL)
        return;
    generations_live(out, deployment);
    if (sl_answer_text(deployment, "doing") != NULL)
        generations_candidate(out, deployment);
}

void sl_pages_generations_metric(struct sl_metrics *metrics, const struct sl_metric_row *row, const struct sl_answer *answer)
{
    const struct sl_yaml *list = sl_answer_list(answer->root, "deployments");

    sl_metrics_family(metrics, row);
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        const struct sl_yaml *deployment = list->items[i].value;
        const char *live[] = {sl_answer_text(deployment, "topology"), sl_answer_text(deployment, "live"), "live"};
        const char *next[] = {live[0], sl_answer_text(deployment, "generation"), sl_answer_text(deployment, "state")};
        sl_metrics_u64(metrics, row, live, 1);
        if (next[1] != NULL && next[2] != NULL)
            sl_metrics_u64(metrics, row, next, 1);
    }
}
