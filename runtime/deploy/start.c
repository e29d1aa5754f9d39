/* start.c: see start.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/start.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/deploy/blame.h"
#include "runtime/store/data_dir.h"

struct start {
    const struct sl_start_settings *settings;
    struct sl_blame_row *blamed; /* [SL_BLAME_ROWS] */
    uint32_t blamed_count;
};

/* "2026-03-01 12:00", UTC; text of 32 bytes, returned. */
static const char *start_when(int64_t unix_ms, char text[32])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;

    (void)strftime(text, 32, "%Y-%m-%d %H:%M", gmtime_r(&seconds, &parts));
    return text;
}

static void start_say(struct sl_start_topology *item, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void start_say(struct sl_start_topology *item, const char *format, ...)
{
    size_t bytes = strlen(item->said);
    va_list args;

    if (bytes > 0 && bytes + 3 < sizeof(item->said))
        bytes += (size_t)snprintf(item->said + bytes, sizeof(item->said) - bytes, "; ");
    va_start(args, format);
    (void)vsnprintf(item->said + bytes, sizeof(item->said) - bytes, format, args);
    va_end(args);
}

/* ---- crashes ---- */

/* Twice within a minute, and it is live: the previous one is, from here on. */
static int start_take_out(struct start *start, struct sl_start_topology *item, const struct sl_blame_row *blame, const char *name,
                          struct sl_err *err)
{
    const struct sl_generation_row *previous = sl_generations_in(&item->generations, SL_GENERATION_PREVIOUS);
    char reason[256];
    uint32_t number;

    if (previous == NULL) {
        start_say(item, "topology %s: generation %" PRIu32 " crashed the process %" PRIu32 " times in a row (%s in %s); no other is there to run",
                  name, blame->generation, blame->in_a_row, sl_blame_signal(blame->signal), blame->component);
        return 0;
    }
    number = previous->number;
    (void)snprintf(reason, sizeof(reason), "its code crashed the process twice within a minute (%s in %s)", sl_blame_signal(blame->signal),
                   blame->component);
    if (sl_generations_set(&item->generations, number, SL_GENERATION_LIVE, 1, start->settings->unix_ms, NULL, err) != 0 ||
        sl_generations_set(&item->generations, blame->generation, SL_GENERATION_FAILED, 0, start->settings->unix_ms, reason, err) != 0)
        return -(int)err->code;
    start_say(item, "topology %s: generation %" PRIu32 " is left out: %s; generation %" PRIu32 " is live again", name, blame->generation,
              reason, number);
    return 0;
}

static int start_blame_one(struct start *start, struct sl_start_topology *item, const struct sl_blame_row *blame, const char *name,
                           struct sl_err *err)
{
    const struct sl_generation_row *row = sl_generations_find(&item->generations, blame->generation);
    char reason[256];
    uint32_t crashes;

    if (row == NULL)
        return 0;
    if (sl_generations_crashed(&item->generations, blame->generation, &crashes, err) != 0)
        return -(int)err->code;
    if (row->state == SL_GENERATION_FAILED && row->live_unix_ms == 0) { /* it was the candidate */
        (void)snprintf(reason, sizeof(reason), "its code crashed the process (%s in %s)", sl_blame_signal(blame->signal), blame->component);
        start_say(item, "topology %s: generation %" PRIu32 " is left out: %s", name, blame->generation, reason);
        return sl_generations_set(&item->generations, blame->generation, SL_GENERATION_FAILED, 0, row->ended_unix_ms, reason, err);
    }
    if (row->state == SL_GENERATION_LIVE && blame->in_a_row >= 2)
        return start_take_out(start, item, blame, name, err);
    return 0;
}

static int start_blame(struct start *start, struct sl_start_topology *item, const char *name, struct sl_err *err)
{
    for (uint32_t i = 0; i < start->blamed_count; i++) {
        const struct sl_blame_row *blame = &start->blamed[i];
        if (blame->named && blame->fresh && strcmp(blame->topology, name) == 0 && start_blame_one(start, item, blame, name, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

/* ---- which one ---- */

static int start_load_kept(struct start *start, struct sl_start_topology *item, uint32_t number, struct sl_topology **ret_topology,
                           struct sl_err *err)
{
    char dir[PATH_MAX];
    struct sl_diags diags;
    int status = 0;

    (void)snprintf(dir, sizeof(dir), "%s/%" PRIu32, item->generations.dir, number);
    sl_diags_init(&diags);
    if (start->settings->load.kept(start->settings->load.user, dir, &diags, ret_topology) != 0) {
        const struct sl_diag *first = NULL;
        for (uint32_t i = 0; i < diags.count && first == NULL; i++)
            first = diags.items[i].warning ? NULL : &diags.items[i];
        status = first == NULL ? sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s does not load", dir)
                               : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s:%u: %s (%s)", first->file, first->line, first->text,
                                         first->remedy != NULL ? first->remedy : "");
    }
    sl_diags_fini(&diags);
    return status;
}

/* FILE is what it was at the latest start, whatever has become of its row; or its content is that of a generation that somebody deployed, or that was live and taken out; or it was live, and somebody has deployed
 * another one since. So what people have said stands. Where only files ever said anything, the file of this start does. */
static bool start_knows(const struct sl_generations *generations, uint64_t digest, const struct sl_generation_row *live)
{
    if (generations->file_digest == digest)
        return true;
    for (uint32_t i = 0; i < generations->count; i++) {
        const struct sl_generation_row *row = &generations->rows[i];
        bool by_start = strcmp(row->who, "start") == 0;
        if (row->digest != digest || (by_start && row->live_unix_ms == 0))
            continue;
        if (!by_start || row->state == SL_GENERATION_FAILED || strcmp(live->who, "start") != 0)
            return true;
    }
    return false;
}

static const struct sl_generation_row *start_newest_of(const struct sl_generations *generations, uint64_t digest)
{
    for (uint32_t i = generations->count; i > 0; i--)
        if (generations->rows[i - 1].digest == digest)
            return &generations->rows[i - 1];
    return NULL;
}

static int start_live(struct start *start, const struct sl_topology *file, const struct sl_generation_row *live,
                      struct sl_start_topology *item, struct sl_err *err)
{
    const struct sl_generation_row *of = start_newest_of(&item->generations, file->digest);
    struct sl_err why = {0};
    char when[32];

    if (start_load_kept(start, item, live->number, &item->topology, &why) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "topology %s: generation %" PRIu32 " is live, and cannot be loaded any more: %.250s; put that right, or run FILE itself by --from-files",
                       file->name, live->number, why.text);
    item->number = live->number;
    if (file->digest != live->digest && of != NULL)
        start_say(item, "topology %s: generation %" PRIu32 " (deployed by %s, %s) runs; %s is generation %" PRIu32 "'s (%s); `sluice deploy %s` makes it live",
                  file->name, live->number, live->who, start_when(live->deployed_unix_ms, when), file->path, of->number,
                  sl_generation_state_text(of->state), file->path);
    else if (file->digest != live->digest)
        start_say(item, "topology %s: generation %" PRIu32 " goes on; %s has changed since, `sluice deploy %s` makes it live", file->name,
                  live->number, file->path, file->path);
    if (item->topology->digest != live->digest)
        start_say(item, "topology %s: generation %" PRIu32 " is not what it was when it was deployed: a variable of the environment or a kept file has changed",
                  file->name, live->number);
    return 0;
}

static int start_fail(struct start *start, struct sl_start_topology *item, uint32_t number, struct sl_err *err)
{
    struct sl_err ignored = {0};

    (void)sl_generations_set(&item->generations, number, SL_GENERATION_FAILED, 0, start->settings->unix_ms, err->text, &ignored);
    return -(int)err->code;
}

/* A start that never came to live, with the same content: its row and folder are taken up again, so that a process that is started
 * over and over does not fill the history. */
static bool start_again(struct start *start, const struct sl_topology *file, struct sl_start_topology *item)
{
    const struct sl_generation_row *row = start_newest_of(&item->generations, file->digest);
    struct sl_err ignored = {0};

    if (row == NULL || row->state != SL_GENERATION_FAILED || row->live_unix_ms != 0 || strcmp(row->who, "start") != 0 ||
        start_load_kept(start, item, row->number, &item->topology, &ignored) != 0)
        return false;
    item->number = row->number;
    if (item->topology->digest == file->digest &&
        sl_generations_set(&item->generations, row->number, SL_GENERATION_CHECKED, 0, start->settings->unix_ms, "", &ignored) == 0)
        return true;
    item->topology = start->settings->load.free(item->topology);
    return false;
}

static int start_new(struct start *start, const struct sl_topology *file, struct sl_start_topology *item, struct sl_err *err)
{
    struct sl_generation_row row = {.digest = file->digest, .deployed_unix_ms = start->settings->unix_ms, .who = "start"};

    if (start->settings->load.keep(start->settings->load.user, file, &item->generations, &row, err) != 0)
        return sl_while(err, "topology %s", file->name);
    item->number = row.number;
    if (start_load_kept(start, item, row.number, &item->topology, err) != 0)
        return start_fail(start, item, row.number, err);
    if (item->topology->digest == file->digest)
        return 0;
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_RETRY, 0, "topology %s: its files changed while they were copied; start again", file->name);
    return start_fail(start, item, row.number, err);
}

static int start_fresh(struct start *start, const struct sl_topology *file, const struct sl_generation_row *live,
                       struct sl_start_topology *item, struct sl_err *err)
{
    uint32_t before = live == NULL ? 0 : live->number;
    char who[64] = "";

    if (live != NULL)
        (void)snprintf(who, sizeof(who), "%s", live->who);
    if (!start_again(start, file, item) && start_new(start, file, item, err) != 0)
        return -(int)err->code;
    item->fresh = true;
    if (before != 0)
        start_say(item, "topology %s: %s is new here and runs as generation %" PRIu32 "; generation %" PRIu32 " (by %s) was live until now, and `sluice rollback %s` brings it back",
                  file->name, file->path, item->number, before, who, file->name);
    return 0;
}

static int start_topology(struct start *start, const struct sl_topology *file, struct sl_start_topology *item, struct sl_err *err)
{
    const struct sl_generation_row *live;

    if (sl_generations_open(start->settings->fs, start->settings->data_dir, file->name, &item->generations, err) != 0)
        return sl_while(err, "topology %s", file->name);
    if (start_blame(start, item, file->name, err) != 0)
        return sl_while(err, "topology %s", file->name);
    live = sl_generations_in(&item->generations, SL_GENERATION_LIVE);
    item->file_digest = start->settings->beside ? 0 : file->digest;
    if (live != NULL && (live->digest == file->digest || start->settings->beside || (!start->settings->from_files && start_knows(&item->generations, file->digest, live))))
        return start_live(start, file, live, item, err);
    return start_fresh(start, file, live, item, err);
}

/* ---- all ---- */

static int start_all(struct start *start, struct sl_topology **files, struct sl_start *ret_start, struct sl_err *err)
{
    if (!start->settings->beside && sl_blame_take(start->settings->fs, start->settings->data_dir, start->blamed, &start->blamed_count, err) != 0)
        return -(int)err->code;
    for (uint32_t i = 0; i < ret_start->count; i++)
        if (start_topology(start, files[i], &ret_start->items[i], err) != 0)
            return -(int)err->code;
    return 0;
}

static void start_undo(const struct sl_start_settings *settings, struct sl_start *start)
{
    for (uint32_t i = 0; i < start->count; i++)
        if (start->items[i].topology != NULL)
            start->items[i].topology = settings->load.free(start->items[i].topology);
    sl_start_fini(start, "the process did not start");
}

int sl_start_choose(const struct sl_start_settings *settings, struct sl_topology **files, uint32_t count, struct sl_start *ret_start,
                    struct sl_err *err)
{
    struct start start = {.settings = settings, .blamed = calloc(SL_BLAME_ROWS, sizeof(*start.blamed))};
    struct sl_start chosen = {calloc(count + 1, sizeof(*chosen.items)), count};
    int fd = -1, status = 0;

    if (start.blamed == NULL || chosen.items == NULL)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for the generations");
    if (status == 0 && !settings->beside)
        status = sl_data_dir_lock(settings->fs, settings->data_dir, &fd, err);
    if (status == 0)
        status = start_all(&start, files, &chosen, err);
    if (status == 0) {
        for (uint32_t i = 0; i < count; i++)
            files[i] = settings->load.free(files[i]);
        *ret_start = chosen;
    } else if (chosen.items != NULL) {
        start_undo(settings, &chosen);
    }
    if (fd >= 0)
        (void)settings->fs->close(settings->fs, fd);
    free(start.blamed);
    return status;
}

void sl_start_fini(struct sl_start *start, const char *why)
{
    for (uint32_t i = 0; i < start->count; i++) {
        struct sl_start_topology *item = &start->items[i];
        struct sl_err ignored = {0};
        if (item->generations.dir == NULL)
            continue;
        if (item->fresh)
            (void)sl_generations_set(&item->generations, item->number, SL_GENERATION_FAILED, 0, 0, why, &ignored);
        sl_generations_close(&item->generations);
    }
    free(start->items);
    *start = (struct sl_start){NULL, 0};
}
