/* diff.c: `sluice diff`: what two versions of a topology say otherwise, and what a deployment of the second over the first would do.
 *
 * A version is a topology's file, a folder with topology.yaml, or a generation in the data folder: its number, live or previous. Nothing
 * is asked of the server and nothing is changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/cli/commands.h"
#include "runtime/config/compare.h"
#include "runtime/config/kept.h"
#include "runtime/config/pool.h"
#include "runtime/config/process.h"
#include "runtime/engine/merge.h"
#include "runtime/store/generations.h"

static const char *const diff_sections[] = {[SL_SOURCE] = "sources", [SL_OPERATOR] = "operators", [SL_SINK] = "sinks"};

struct diff_job {
    struct sl_cli *cli;
    struct sl_process_config *process;
    struct sl_pool pool;
    struct sl_topology *sides[2];
    struct sl_strings sets; /* of the second */
    struct sl_merge merge;  /* topology NULL: a deployment would be refused */
    struct sl_err refused;
    uint32_t differences;
    uint32_t fates[SL_MERGE_GONE + 1]; /* of sources and sinks */
    bool json;
};

/* ---- loading ---- */

static int diff_say_diags(struct sl_cli *cli, const struct sl_diags *diags)
{
    char text[2048];

    for (uint32_t i = 0; i < diags->count; i++)
        if (!diags->items[i].warning) {
            (void)sl_diag_print(&diags->items[i], text, sizeof(text));
            (void)fprintf(cli->err, "%s\n", text);
        }
    return SL_EXIT_FAILED;
}

static int diff_load_process(struct diff_job *job)
{
    struct sl_diags diags;
    int status = SL_EXIT_OK;

    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(job->cli), &diags, &job->process) != 0)
        status = diff_say_diags(job->cli, &diags);
    sl_diags_fini(&diags);
    return status;
}

/* A generation's folder has an origin; any other folder has a topology as its user wrote it. */
static int diff_load_path(struct diff_job *job, uint32_t side, const char *path)
{
    const char *origin = sl_pool_printf(&job->pool, "%s/" SL_KEPT_ORIGIN, path);
    const struct sl_registry *registry = job->cli->registry;
    struct sl_diags diags;
    struct stat st;
    int rc, status = SL_EXIT_OK;

    sl_diags_init(&diags);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && stat(origin, &st) == 0) {
        rc = sl_topology_load_kept(path, registry, job->process, &diags, &job->sides[side]);
    } else {
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            path = sl_pool_printf(&job->pool, "%s/" SL_KEPT_TOPOLOGY, path);
        rc = sl_topology_load_set(path, side == 1 ? &job->sets : NULL, registry, job->process, &diags, &job->sides[side]);
    }
    if (rc != 0)
        status = diff_say_diags(job->cli, &diags);
    sl_diags_fini(&diags);
    return status;
}

static bool diff_is_generation(const char *arg)
{
    return strcmp(arg, "live") == 0 || strcmp(arg, "previous") == 0 ||
           (arg[0] != '\0' && strspn(arg, "0123456789") == strlen(arg) && strlen(arg) < 10);
}

static const char *diff_data_dir(const struct diff_job *job)
{
    const char *dir = sl_cli_option(job->cli, "data-dir");

    return dir != NULL ? dir : job->process->data_dir;
}

static const struct sl_generation_row *diff_row(const struct sl_generations *generations, const char *arg)
{
    if (strcmp(arg, "live") == 0)
        return sl_generations_in(generations, SL_GENERATION_LIVE);
    if (strcmp(arg, "previous") == 0)
        return sl_generations_in(generations, SL_GENERATION_PREVIOUS);
    return sl_generations_find(generations, (uint32_t)strtoul(arg, NULL, 10));
}

static int diff_load_generation(struct diff_job *job, uint32_t side, const char *arg, const char *topology)
{
    struct sl_generations generations;
    const struct sl_generation_row *row;
    char path[PATH_MAX];
    struct sl_err err;
    int status;

    if (sl_generations_look(sl_fs_posix(), diff_data_dir(job), topology, &generations, &err) != 0)
        return sl_cli_say_err(job->cli, SL_EXIT_FAILED, &err);
    row = diff_row(&generations, arg);
    if (row == NULL) {
        status = sl_cli_say(job->cli, SL_EXIT_FAILED,
                            "%s knows no generation \"%s\" of topology %s; `sluice history %s` lists them, --data-dir names another folder",
                            diff_data_dir(job), arg, topology, topology);
    } else {
        (void)sl_generations_path(&generations, row->number, path);
        *strrchr(path, '/') = '\0';
        status = diff_load_path(job, side, path);
    }
    sl_generations_close(&generations);
    return status;
}

/* A file of that name comes before a generation; a generation is one of the other side's topology, or of --topology. */
static int diff_load(struct diff_job *job)
{
    const char *topology = sl_cli_option(job->cli, "topology");
    bool generation[2];
    int status = SL_EXIT_OK;
    struct stat st;

    for (uint32_t side = 0; side < 2; side++) {
        const char *arg = job->cli->args[side];
        generation[side] = diff_is_generation(arg) && stat(arg, &st) != 0;
        if (status == SL_EXIT_OK && !generation[side])
            status = diff_load_path(job, side, arg);
        if (status == SL_EXIT_OK && !generation[side] && topology == NULL)
            topology = job->sides[side]->name;
    }
    if (status == SL_EXIT_OK && generation[0] && generation[1] && topology == NULL)
        return sl_cli_say(job->cli, SL_EXIT_USAGE, "of which topology are the generations %s and %s? Add --topology NAME", job->cli->args[0],
                          job->cli->args[1]);
    if (status == SL_EXIT_OK && generation[1] && job->sets.count > 0)
        return sl_cli_say(job->cli, SL_EXIT_USAGE, "--set changes a file's settings, and %s is a generation", job->cli->args[1]);
    for (uint32_t side = 0; side < 2; side++)
        if (status == SL_EXIT_OK && generation[side])
            status = diff_load_generation(job, side, job->cli->args[side], topology);
    return status;
}

static void diff_sets(struct diff_job *job)
{
    struct sl_cli *cli = job->cli;
    const char **items = sl_pool_alloc(&job->pool, (cli->given_count + 1) * sizeof(*items));
    uint32_t count = 0;

    for (uint32_t i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].option->name, "set") == 0)
            items[count++] = cli->given[i].value;
    job->sets = (struct sl_strings){items, count};
}

/* ---- telling ---- */

static const struct sl_component *diff_find(const struct sl_topology *topology, const struct sl_component *like)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == like->role && strcmp(topology->components[c].name, like->name) == 0)
            return &topology->components[c];
    return NULL;
}

static enum sl_merge_fate diff_fate(const struct diff_job *job, const struct sl_component *component)
{
    const struct sl_topology *merged = job->merge.topology;

    for (uint32_t c = 0; merged != NULL && c < merged->components_count; c++)
        if (strcmp(merged->components[c].name, component->name) == 0 &&
            (merged->components[c].role == component->role ||
             (merged->components[c].role == SL_GONE && merged->components[c].gone_role == component->role)))
            return job->merge.fates[c];
    return SL_MERGE_NONE;
}

/* The new name of a sink that ends under this one. */
static const char *diff_goes_on_as(const struct diff_job *job, const struct sl_component *component)
{
    for (uint32_t c = 0; component->role == SL_SINK && c < job->sides[1]->components_count; c++) {
        const struct sl_component *other = &job->sides[1]->components[c];
        if (other->role == SL_SINK && other->sink.was != NULL && strcmp(other->sink.was, component->name) == 0)
            return other->name;
    }
    return NULL;
}

/* What a deployment does with it. */
static const char *diff_does(struct diff_job *job, enum sl_merge_fate fate, const struct sl_component *component)
{
    const char *was = component->role == SL_SINK ? component->sink.was : NULL;

    switch (fate) {
    case SL_MERGE_KEPT:
        return "kept";
    case SL_MERGE_SET:
        return "goes on with the new settings";
    case SL_MERGE_CHANGED:
        return "opened anew";
    case SL_MERGE_NEW:
        return component->role == SL_OPERATOR                       ? "opened anew, as all operators are"
               : was != NULL && diff_find(job->sides[0], &(struct sl_component){.role = SL_SINK, .name = was}) != NULL
                   ? sl_pool_printf(&job->pool, "opened, goes on for %s", was)
                   : "opened";
    case SL_MERGE_GONE:
        if (diff_goes_on_as(job, component) != NULL)
            return sl_pool_printf(&job->pool, "goes on as %s", diff_goes_on_as(job, component));
        return component->role == SL_SINK ? "ended, once what it holds is done" : "ended";
    case SL_MERGE_NONE:
        break;
    }
    return NULL;
}

static void diff_tell_json(struct diff_job *job, const struct sl_differences *differences)
{
    FILE *out = job->cli->out;

    (void)fputs("[", out);
    for (uint32_t i = 0; i < differences->count; i++) {
        const struct sl_difference *one = &differences->items[i];
        (void)fputs(i > 0 ? ",{\"setting\":" : "{\"setting\":", out);
        sl_cli_print_json(out, one->setting);
        (void)fputs(",\"from\":", out);
        sl_cli_print_json(out, one->from);
        (void)fputs(",\"to\":", out);
        sl_cli_print_json(out, one->to);
        if (one->content != NULL) {
            (void)fputs(",\"content\":", out);
            sl_cli_print_json(out, one->content);
        }
        (void)fputs("}", out);
    }
    (void)fputs("]", out);
}

static void diff_tell_text(struct diff_job *job, const struct sl_differences *differences, const char *indent)
{
    FILE *out = job->cli->out;

    for (uint32_t i = 0; i < differences->count; i++) {
        const struct sl_difference *one = &differences->items[i];
        if (one->content != NULL)
            (void)fprintf(out, "%s%s: the content of %s changed\n", indent, one->setting, one->content);
        else if (one->from == NULL)
            (void)fprintf(out, "%s%s: (changed)\n", indent, one->setting);
        else
            (void)fprintf(out, "%s%s: %s -> %s\n", indent, one->setting, one->from, one->to);
    }
}

static const char *diff_setting(struct diff_job *job, uint32_t side, const struct sl_component *component)
{
    const struct sl_topology *topology = job->sides[side];

    if (component == &topology->components[topology->dead_letters])
        return component->name;
    return sl_pool_printf(&job->pool, "%s.%s", diff_sections[component->role], component->name);
}

/* sign: + added, - removed, ~ changed. */
static void diff_tell(struct diff_job *job, char sign, uint32_t side, const struct sl_component *component,
                      const struct sl_differences *differences)
{
    const char *name = diff_setting(job, side, component), *does = diff_does(job, diff_fate(job, component), component);
    enum sl_ink ink = sign == '+' ? SL_INK_GREEN : sign == '-' ? SL_INK_RED : SL_INK_YELLOW;
    FILE *out = job->cli->out;

    if (job->json) {
        (void)fputs(job->differences > 0 ? ",{\"component\":" : "{\"component\":", out);
        sl_cli_print_json(out, name);
        (void)fputs(",\"type\":", out);
        sl_cli_print_json(out, component->type);
        (void)fprintf(out, ",\"change\":\"%s\",\"deploy\":", sign == '+' ? "added" : sign == '-' ? "removed" : "changed");
        sl_cli_print_json(out, does);
        (void)fputs(",\"settings\":", out);
        diff_tell_json(job, differences);
        (void)fputs("}", out);
    } else {
        (void)fprintf(out, "%s%c %s%s (%s)%s%s\n", sl_cli_ink(job->cli, out, ink), sign, name, sl_cli_ink(job->cli, out, SL_INK_OFF),
                      component->type, does == NULL ? "" : ": ", does == NULL ? "" : does);
        diff_tell_text(job, differences, "    ");
    }
    job->differences++;
}

static void diff_component(struct diff_job *job, const struct sl_component *component)
{
    const struct sl_component *before = diff_find(job->sides[0], component);
    struct sl_differences differences = {NULL, 0};

    if (component->role != SL_OPERATOR)
        job->fates[diff_fate(job, component)]++;
    if (before != NULL)
        sl_compare_components(&job->pool, job->sides[0], before, job->sides[1], component, &differences);
    if (before == NULL || differences.count > 0)
        diff_tell(job, before == NULL ? '+' : '~', 1, component, &differences);
}

static void diff_components(struct diff_job *job)
{
    static const struct sl_differences none = {NULL, 0};

    for (uint32_t c = 0; c < job->sides[1]->components_count; c++)
        diff_component(job, &job->sides[1]->components[c]);
    for (uint32_t c = 0; c < job->sides[0]->components_count; c++) {
        const struct sl_component *component = &job->sides[0]->components[c];
        if (diff_find(job->sides[1], component) != NULL)
            continue;
        if (component->role != SL_OPERATOR)
            job->fates[SL_MERGE_GONE]++;
        diff_tell(job, '-', 0, component, &none);
    }
}

/* ---- the whole ---- */

static bool diff_same(const struct diff_job *job)
{
    return job->sides[0]->digest == job->sides[1]->digest && job->sides[0]->digest_now == job->sides[1]->digest_now;
}

static void diff_json(struct diff_job *job, const struct sl_differences *tops)
{
    FILE *out = job->cli->out;

    (void)fputs("{\"topology\":", out);
    sl_cli_print_json(out, job->sides[1]->name);
    (void)fprintf(out, ",\"same\":%s,\"digests\":[\"%016llx\",\"%016llx\"],\"settings\":", diff_same(job) ? "true" : "false",
                  (unsigned long long)job->sides[0]->digest, (unsigned long long)job->sides[1]->digest);
    diff_tell_json(job, tops);
    (void)fputs(",\"components\":[", out);
    diff_components(job);
    (void)fprintf(out, "],\"kept\":%u,\"opened_anew\":%u,\"opened\":%u,\"ended\":%u,\"refused\":", job->fates[SL_MERGE_KEPT] + job->fates[SL_MERGE_SET],
                  job->fates[SL_MERGE_CHANGED], job->fates[SL_MERGE_NEW], job->fates[SL_MERGE_GONE]);
    sl_cli_print_json(out, job->merge.topology == NULL ? job->refused.text : NULL);
    (void)fputs("}\n", out);
}

static void diff_text(struct diff_job *job, const struct sl_differences *tops)
{
    FILE *out = job->cli->out;

    if (diff_same(job)) {
        (void)fprintf(out, "no difference: topology %s, digest %016llx\n", job->sides[1]->name, (unsigned long long)job->sides[1]->digest);
        return;
    }
    diff_tell_text(job, tops, "");
    diff_components(job);
    if (job->merge.topology == NULL)
        (void)fprintf(out, "a deployment would be %srefused%s: %s\n", sl_cli_ink(job->cli, out, SL_INK_RED),
                      sl_cli_ink(job->cli, out, SL_INK_OFF), job->refused.text);
    else
        (void)fprintf(out, "a deployment keeps %u sources and sinks open, opens %u anew, opens %u that are new, ends %u\n",
                      job->fates[SL_MERGE_KEPT] + job->fates[SL_MERGE_SET], job->fates[SL_MERGE_CHANGED], job->fates[SL_MERGE_NEW], job->fates[SL_MERGE_GONE]);
}

static int diff_run(struct diff_job *job)
{
    struct sl_differences tops;
    int status = diff_load_process(job);

    if (status == SL_EXIT_OK)
        status = diff_load(job);
    if (status != SL_EXIT_OK)
        return status;
    if (sl_merge(job->sides[0], job->sides[1], &job->merge, &job->refused) != 0)
        job->merge.topology = NULL;
    sl_compare_tops(&job->pool, job->sides[0], job->sides[1], &tops);
    if (job->json)
        diff_json(job, &tops);
    else
        diff_text(job, &tops);
    return sl_cli_has(job->cli, "exit-code") && !diff_same(job) ? SL_EXIT_FAILED : SL_EXIT_OK;
}

int sl_command_diff(struct sl_cli *cli)
{
    struct diff_job job = {.cli = cli, .json = sl_cli_has(cli, "json")};
    int status;

    sl_pool_init(&job.pool);
    diff_sets(&job);
    status = diff_run(&job);
    sl_merge_fini(&job.merge);
    for (uint32_t side = 0; side < 2; side++)
        (void)sl_topology_free(job.sides[side]);
    (void)sl_process_free(job.process);
    sl_pool_fini(&job.pool);
    return status;
}
