/* generations.c: see generations.h. The state file is text, a line a row, with a CRC32C at its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/generations.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/base/crc32c.h"

#define GENERATIONS_FORMAT ((unsigned)SL_GENERATIONS_FORMAT)

enum { GENERATIONS_STATE_MAX = 1 << 16, GENERATIONS_FILE_MAX = 64 << 20, GENERATIONS_DEPTH = 16 };

static const char *const generations_states[SL_GENERATION_STATES] = {"checked", "warm", "shadow", "canary",
                                                                     "live", "previous", "retired", "failed"};

const char *sl_generation_state_text(enum sl_generation_state state)
{
    return generations_states[state];
}

/* ---- rows ---- */

static struct sl_generation_row *row_find(struct sl_generations *generations, uint32_t number)
{
    for (uint32_t i = 0; i < generations->count; i++)
        if (generations->rows[i].number == number)
            return &generations->rows[i];
    return NULL;
}

const struct sl_generation_row *sl_generations_find(const struct sl_generations *generations, uint32_t number)
{
    return row_find((struct sl_generations *)(uintptr_t)generations, number);
}

const struct sl_generation_row *sl_generations_in(const struct sl_generations *generations, enum sl_generation_state state)
{
    for (uint32_t i = generations->count; i > 0; i--)
        if (generations->rows[i - 1].state == state)
            return &generations->rows[i - 1];
    return NULL;
}

const struct sl_generation_row *sl_generations_candidate(const struct sl_generations *generations)
{
    for (uint32_t i = 0; i < generations->count; i++)
        if (generations->rows[i].state < SL_GENERATION_LIVE)
            return &generations->rows[i];
    return NULL;
}

const char *sl_generations_path(const struct sl_generations *generations, uint32_t number, char *text)
{
    (void)snprintf(text, PATH_MAX, "%s/%" PRIu32 "/topology.yaml", generations->dir, number);
    return text;
}

/* ---- the state file ---- */

/* Without blanks and line ends, as %XX; never empty. */
static void text_print(struct sl_buf *out, const char *text)
{
    if (text[0] == '\0')
        sl_buf_char(out, '-');
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == '%' || *text == '-')
            sl_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
        else
            sl_buf_char(out, *text);
    }
}

static void text_scan(const char *text, char *to, size_t bytes)
{
    size_t at = 0;
    unsigned byte;

    for (; *text != '\0' && strcmp(text, "-") != 0 && at + 1 < bytes; text++) {
        if (*text == '%' && sscanf(text + 1, "%2X", &byte) == 1) {
            to[at++] = (char)byte;
            text += 2;
        } else {
            to[at++] = *text;
        }
    }
    to[at] = '\0';
}

static void state_print(const struct sl_generations *generations, struct sl_buf *out)
{
    sl_buf_printf(out, "sluice-generations %u\nnext %" PRIu32 " %016" PRIx64 "\n", GENERATIONS_FORMAT, generations->next, generations->file_digest);
    for (uint32_t i = 0; i < generations->count; i++) {
        const struct sl_generation_row *row = &generations->rows[i];
        sl_buf_printf(out, "%" PRIu32 " %s %016" PRIx64 " %" PRId64 " %" PRId64 " %" PRId64 " %.9g %" PRIu32 " ", row->number,
                      generations_states[row->state], row->digest, row->deployed_unix_ms, row->live_unix_ms, row->ended_unix_ms,
                      row->share, row->crashes);
        text_print(out, row->who);
        sl_buf_char(out, ' ');
        text_print(out, row->reason);
        sl_buf_char(out, '\n');
    }
    sl_buf_printf(out, "crc %08" PRIx32 "\n", sl_crc32c(0, sl_buf_str(out), out->bytes));
}

static int state_write(const struct sl_generations *generations, struct sl_err *err)
{
    struct sl_buf text = {0};
    char path[PATH_MAX];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/state", generations->dir);
    state_print(generations, &text);
    if (sl_buf_failed(&text))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %s", path);
    rc = sl_fs_replace_file(generations->fs, path, text.data, text.bytes);
    sl_buf_fini(&text);
    return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s", path, strerror(-rc)) : 0;
}

static bool row_scan(const char *line, struct sl_generation_row *row)
{
    char state[16] = "", who[3 * sizeof(row->who)] = "", reason[3 * sizeof(row->reason)] = "";

    memset(row, 0, sizeof(*row));
    if (sscanf(line, "%" SCNu32 " %15s %" SCNx64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %lf %" SCNu32 " %191s %767s", &row->number,
               state, &row->digest, &row->deployed_unix_ms, &row->live_unix_ms, &row->ended_unix_ms, &row->share, &row->crashes, who,
               reason) != 10)
        return false;
    text_scan(who, row->who, sizeof(row->who));
    text_scan(reason, row->reason, sizeof(row->reason));
    for (int known = 0; known < SL_GENERATION_STATES; known++)
        if (strcmp(state, generations_states[known]) == 0) {
            row->state = (enum sl_generation_state)known;
            return true;
        }
    return false;
}

/* The text without its crc line is what the crc is of. */
static bool state_is_whole(const char *text, size_t bytes)
{
    const char *crc = bytes < 13 ? NULL : text + bytes - 13;
    uint32_t found;

    return crc != NULL && sscanf(crc, "crc %8" SCNx32 "\n", &found) == 1 && text[bytes - 1] == '\n' &&
           found == sl_crc32c(0, text, bytes - 13);
}

static int state_scan(struct sl_generations *generations, const char *path, char *text, size_t bytes, struct sl_err *err)
{
    unsigned format = 0;
    char *save = NULL, *line;
    bool fine;

    if (sscanf(text, "sluice-generations %u\n", &format) == 1 && format > GENERATIONS_FORMAT)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "%s was written by a newer version (format %u, this one knows up to %u); run the newer version", path, format,
                       GENERATIONS_FORMAT);
    fine = format == GENERATIONS_FORMAT && state_is_whole(text, bytes);
    if (fine) {
        text[bytes - 13] = '\0';
        (void)strtok_r(text, "\n", &save);
        line = strtok_r(NULL, "\n", &save);
        fine = line != NULL && sscanf(line, "next %" SCNu32 " %" SCNx64, &generations->next, &generations->file_digest) >= 1;
        while (fine && (line = strtok_r(NULL, "\n", &save)) != NULL)
            fine = generations->count < SL_GENERATIONS_KEPT && row_scan(line, &generations->rows[generations->count++]);
    }
    return fine ? 0
                : sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                          "%s is damaged; restore it from a backup, or remove the folder and start again from the topology's file", path);
}

static int state_read(struct sl_generations *generations, struct sl_err *err)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes = 0;
    int rc;

    (void)snprintf(path, sizeof(path), "%s/state", generations->dir);
    rc = sl_fs_read_file(generations->fs, path, GENERATIONS_STATE_MAX, &text, &bytes);
    if (rc == -ENOENT) {
        generations->next = 1;
        return 0;
    }
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "reading %s: %s", path, strerror(-rc));
    rc = state_scan(generations, path, text, bytes, err);
    free(text);
    return rc;
}

/* ---- folders ---- */

static int folder_remove(struct sl_fs *fs, const char *path, int depth);

struct folder_walk {
    struct sl_fs *fs;
    const char *path;
    int depth;
};

static int folder_remove_each(void *user, const char *name)
{
    struct folder_walk *walk = user;
    char path[PATH_MAX];
    struct sl_fs_stat found;

    if (snprintf(path, sizeof(path), "%s/%s", walk->path, name) >= (int)sizeof(path) || walk->fs->stat(walk->fs, path, &found) < 0)
        return 0;
    return found.is_dir ? folder_remove(walk->fs, path, walk->depth + 1) : walk->fs->unlink(walk->fs, path);
}

static int folder_remove(struct sl_fs *fs, const char *path, int depth)
{
    struct folder_walk walk = {fs, path, depth};
    int rc = depth > GENERATIONS_DEPTH ? -ELOOP : fs->list(fs, path, folder_remove_each, &walk);

    return rc < 0 ? rc : fs->rmdir(fs, path);
}

static int stray_each(void *user, const char *name)
{
    struct sl_generations *generations = user;
    char path[PATH_MAX], *end = NULL;
    unsigned long number = strtoul(name, &end, 10);

    if (end == name || (*end != '\0' && strcmp(end, ".new") != 0))
        return 0; /* not ours */
    if (*end == '\0' && number <= UINT32_MAX && row_find(generations, (uint32_t)number) != NULL)
        return 0;
    if (snprintf(path, sizeof(path), "%s/%s", generations->dir, name) < (int)sizeof(path))
        (void)folder_remove(generations->fs, path, 0); /* what stays is met by the next start */
    return 0;
}

static int file_copy(struct sl_fs *fs, const struct sl_generation_file *file, const char *folder, struct sl_err *err)
{
    char path[PATH_MAX], *data = NULL, *slash;
    size_t bytes = 0;
    int rc = sl_fs_read_file(fs, file->from, GENERATIONS_FILE_MAX, &data, &bytes);

    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "reading %s: %s", file->from, strerror(-rc));
    if (snprintf(path, sizeof(path), "%s/%s", folder, file->to) >= (int)sizeof(path))
        rc = -ENAMETOOLONG;
    if (rc == 0 && (slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        rc = sl_fs_mkdirs(fs, path, 0750);
        *slash = '/';
    }
    if (rc >= 0)
        rc = sl_fs_replace_file(fs, path, data, bytes);
    free(data);
    return rc < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s", path, strerror(-rc)) : 0;
}

static bool file_is_inside(const char *to)
{
    return to[0] != '/' && to[0] != '\0' && strcmp(to, "..") != 0 && strncmp(to, "../", 3) != 0 && strstr(to, "/../") == NULL;
}

static int files_copy(struct sl_generations *generations, uint32_t number, const struct sl_generation_file *files, uint32_t count,
                      struct sl_err *err)
{
    char temporary[PATH_MAX], final[PATH_MAX];
    struct sl_fs *fs = generations->fs;
    int rc;

    (void)snprintf(final, sizeof(final), "%s/%" PRIu32, generations->dir, number);
    (void)snprintf(temporary, sizeof(temporary), "%s/%" PRIu32 ".new", generations->dir, number);
    (void)folder_remove(fs, temporary, 0);
    rc = sl_fs_mkdirs(fs, temporary, 0750);
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "making %s: %s", temporary, strerror(-rc));
    for (uint32_t i = 0; i < count; i++) {
        assert(file_is_inside(files[i].to));
        if (file_copy(fs, &files[i], temporary, err) != 0) {
            (void)folder_remove(fs, temporary, 0);
            return -(int)err->code;
        }
    }
    rc = fs->rename(fs, temporary, final);
    if (rc == 0)
        rc = fs->sync_dir(fs, generations->dir);
    if (rc == 0)
        return 0;
    (void)folder_remove(fs, temporary, 0);
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "naming %s: %s", final, strerror(-rc));
}

/* Room for one more row: the oldest one that is over goes, its folder after the row. */
static bool rows_make_room(struct sl_generations *generations, uint32_t *ret_gone)
{
    *ret_gone = 0;
    if (generations->count < SL_GENERATIONS_KEPT)
        return true;
    for (uint32_t i = 0; i < generations->count; i++) {
        if (generations->rows[i].state != SL_GENERATION_RETIRED && generations->rows[i].state != SL_GENERATION_FAILED)
            continue;
        *ret_gone = generations->rows[i].number;
        memmove(&generations->rows[i], &generations->rows[i + 1], (generations->count - i - 1) * sizeof(generations->rows[0]));
        generations->count--;
        return true;
    }
    return false;
}

/* ---- changes ---- */

int sl_generations_add(struct sl_generations *generations, const struct sl_generation_file *files, uint32_t files_count,
                       struct sl_generation_row *row, struct sl_err *err)
{
    const struct sl_generation_row *other = sl_generations_candidate(generations);
    struct sl_generations before = *generations;
    char path[PATH_MAX];
    uint32_t gone;

    if (other != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, EBUSY,
                       "generation %" PRIu32 " is %s; promote it or roll it back before another is deployed", other->number,
                       generations_states[other->state]);
    if (!rows_make_room(generations, &gone))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no generation is over, and %d are kept", SL_GENERATIONS_KEPT);
    row->number = generations->next;
    row->state = SL_GENERATION_CHECKED;
    if (files_copy(generations, row->number, files, files_count, err) != 0) {
        *generations = before;
        return -(int)err->code;
    }
    generations->rows[generations->count++] = *row;
    generations->next++;
    if (state_write(generations, err) != 0) {
        *generations = before; /* its folder is removed by the next start, or written over by the next attempt */
        (void)snprintf(path, sizeof(path), "%s/%" PRIu32, generations->dir, row->number);
        (void)folder_remove(generations->fs, path, 0);
        return -(int)err->code;
    }
    if (gone != 0 && snprintf(path, sizeof(path), "%s/%" PRIu32, generations->dir, gone) < (int)sizeof(path))
        (void)folder_remove(generations->fs, path, 0);
    return 0;
}

static void row_end(struct sl_generation_row *row, enum sl_generation_state state, int64_t unix_ms)
{
    row->state = state;
    row->ended_unix_ms = unix_ms;
}

int sl_generations_set(struct sl_generations *generations, uint32_t number, enum sl_generation_state state, double share,
                       int64_t unix_ms, const char *reason, struct sl_err *err)
{
    struct sl_generations before = *generations;
    struct sl_generation_row *row = row_find(generations, number);

    if (row == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENOENT, "there is no generation %" PRIu32, number);
    if (row->state == SL_GENERATION_LIVE && state != SL_GENERATION_LIVE)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, EINVAL, "generation %" PRIu32 " is live until another is", number);
    if (state == SL_GENERATION_LIVE && row->state != SL_GENERATION_LIVE) {
        for (uint32_t i = 0; i < generations->count; i++) {
            struct sl_generation_row *other = &generations->rows[i];
            if (other->state == SL_GENERATION_PREVIOUS && other != row)
                row_end(other, SL_GENERATION_RETIRED, unix_ms);
        }
        for (uint32_t i = 0; i < generations->count; i++)
            if (generations->rows[i].state == SL_GENERATION_LIVE)
                row_end(&generations->rows[i], SL_GENERATION_PREVIOUS, unix_ms);
        row->live_unix_ms = unix_ms;
        row->ended_unix_ms = 0;
    }
    row->state = state;
    row->share = share;
    if (state == SL_GENERATION_FAILED || state == SL_GENERATION_RETIRED)
        row->ended_unix_ms = unix_ms;
    if (reason != NULL)
        (void)snprintf(row->reason, sizeof(row->reason), "%s", reason);
    if (state_write(generations, err) == 0)
        return 0;
    *generations = before;
    return -(int)err->code;
}

int sl_generations_started(struct sl_generations *generations, uint64_t file_digest, struct sl_err *err)
{
    uint64_t before = generations->file_digest;

    if (before == file_digest)
        return 0;
    generations->file_digest = file_digest;
    if (state_write(generations, err) == 0)
        return 0;
    generations->file_digest = before;
    return -(int)err->code;
}

int sl_generations_crashed(struct sl_generations *generations, uint32_t number, uint32_t *ret_crashes, struct sl_err *err)
{
    struct sl_generation_row *row = row_find(generations, number);

    if (row == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENOENT, "there is no generation %" PRIu32, number);
    *ret_crashes = ++row->crashes;
    return state_write(generations, err);
}

/* ---- life ---- */

static int generations_init(struct sl_generations *generations, struct sl_fs *fs, const char *data_dir, const char *topology,
                            struct sl_err *err)
{
    memset(generations, 0, sizeof(*generations));
    generations->fs = fs;
    if (asprintf(&generations->dir, "%s/generations/%s", data_dir, topology) >= 0)
        return 0;
    generations->dir = NULL;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for the generations of %s", topology);
}

int sl_generations_look(struct sl_fs *fs, const char *data_dir, const char *topology, struct sl_generations *ret_generations,
                        struct sl_err *err)
{
    int rc = generations_init(ret_generations, fs, data_dir, topology, err);

    if (rc == 0)
        rc = state_read(ret_generations, err);
    if (rc != 0)
        sl_generations_close(ret_generations);
    return rc;
}

int sl_generations_open(struct sl_fs *fs, const char *data_dir, const char *topology, struct sl_generations *ret_generations,
                        struct sl_err *err)
{
    struct sl_generations *generations = ret_generations;
    bool changed = false;
    int rc = generations_init(generations, fs, data_dir, topology, err);

    if (rc != 0)
        return rc;
    rc = sl_fs_mkdirs(fs, generations->dir, 0750);
    if (rc < 0)
        rc = sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "making %s: %s", generations->dir, strerror(-rc));
    if (rc == 0)
        rc = state_read(generations, err);
    for (uint32_t i = 0; rc == 0 && i < generations->count; i++) {
        struct sl_generation_row *row = &generations->rows[i];
        if (row->state >= SL_GENERATION_LIVE)
            continue;
        row_end(row, SL_GENERATION_FAILED, row->deployed_unix_ms);
        (void)snprintf(row->reason, sizeof(row->reason), "the process ended before it was live");
        changed = true;
    }
    if (rc == 0 && changed)
        rc = state_write(generations, err);
    if (rc == 0)
        (void)fs->list(fs, generations->dir, stray_each, generations);
    else
        sl_generations_close(generations);
    return rc;
}

void sl_generations_close(struct sl_generations *generations)
{
    free(generations->dir);
    memset(generations, 0, sizeof(*generations));
}
