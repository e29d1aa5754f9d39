/* index.c: sets of lines by file, read from the replays' topic; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/replay/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/engine/slot/replay.h"

enum { INDEX_FILE_MAX = 256 << 20, INDEX_LINES_MAX = 1 << 28 };
#define INDEX_HOLDER "@replay-index"

struct index_file {
    char *name;
    uint64_t *bits;
    uint64_t words;
};

struct sl_replay_index {
    char *path;
    uint64_t offset;
    struct index_file *files; /* in no order; the last one used is looked at first */
    uint32_t count, capacity, last;
};

static struct index_file *index_find(const struct sl_replay_index *index, const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < index->count; i++) {
        struct index_file *file = &index->files[(index->last + i) % index->count];
        if (strlen(file->name) == bytes && memcmp(file->name, name, bytes) == 0)
            return file;
    }
    return NULL;
}

static struct index_file *index_add(struct sl_replay_index *index, const char *name, size_t bytes)
{
    struct index_file *file = index_find(index, name, bytes);

    if (file == NULL && index->count == index->capacity) {
        uint32_t capacity = index->capacity == 0 ? 64 : 2 * index->capacity;
        struct index_file *files = realloc(index->files, capacity * sizeof(*files));
        if (files == NULL)
            return NULL;
        index->files = files;
        index->capacity = capacity;
    }
    if (file == NULL) {
        file = &index->files[index->count];
        *file = (struct index_file){.name = strndup(name, bytes)};
        if (file->name == NULL)
            return NULL;
        index->count++;
    }
    index->last = (uint32_t)(file - index->files);
    return file;
}

/* 0, or -1: no memory, or no line that a file of ours could have. */
static int index_set(struct index_file *file, uint64_t line)
{
    uint64_t words = line / 64 + 1;

    if (file == NULL || line >= INDEX_LINES_MAX)
        return -1;
    if (words > file->words) {
        uint64_t *bits = realloc(file->bits, words * 2 * sizeof(*bits));
        if (bits == NULL)
            return -1;
        memset(bits + file->words, 0, (words * 2 - file->words) * sizeof(*bits));
        file->bits = bits;
        file->words = words * 2;
    }
    file->bits[line / 64] |= 1ull << (line % 64);
    return 0;
}

static bool index_is_set(const struct index_file *file, uint64_t line)
{
    return line / 64 < file->words && (file->bits[line / 64] >> (line % 64) & 1) != 0;
}

bool sl_replay_index_has(const struct sl_replay_index *index, const char *file, uint64_t line)
{
    const struct index_file *found = index->count == 0 ? NULL : index_find(index, file, strlen(file));

    return found != NULL && index_is_set(found, line);
}

/* ---- the file ---- */

static int index_ranges(struct index_file *file, const char *text)
{
    char *end;

    for (;;) {
        uint64_t first = strtoull(text, &end, 10), last = first;
        if (end == text)
            return -1;
        if (*end == '-')
            last = strtoull(text = end + 1, &end, 10);
        if (end == text || last < first || last >= INDEX_LINES_MAX)
            return -1;
        for (uint64_t line = first; line <= last; line++)
            if (index_set(file, line) != 0)
                return -1;
        if (*end == '\0')
            return 0;
        if (*end != ',')
            return -1;
        text = end + 1;
    }
}

static int index_parse(struct sl_replay_index *index, char *text)
{
    static const char head[] = "sluice-replayed 1 ";
    char *line = text, *newline = strchr(text, '\n');

    if (strncmp(text, head, sizeof(head) - 1) != 0 || newline == NULL)
        return -1;
    index->offset = strtoull(text + sizeof(head) - 1, NULL, 10);
    for (line = newline + 1; *line != '\0'; line = newline + 1) {
        char *tab = strchr(line, '\t');
        newline = strchr(line, '\n');
        if (newline == NULL || tab == NULL || tab > newline)
            return -1;
        *newline = '\0';
        if (index_ranges(index_add(index, line, (size_t)(tab - line)), tab + 1) != 0)
            return -1;
    }
    return 0;
}

struct sl_replay_index *sl_replay_index_open(const char *path, struct sl_err *err)
{
    struct sl_replay_index *index = calloc(1, sizeof(*index));
    char *text = NULL;
    size_t bytes;
    int rc;

    if (index == NULL || (index->path = strdup(path)) == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
        return sl_replay_index_close(index);
    }
    rc = sl_fs_read_file(sl_fs_posix(), path, INDEX_FILE_MAX, &text, &bytes);
    if (rc == -ENOENT)
        return index;
    if (rc < 0 || index_parse(index, text) != 0) {
        (void)sl_fail(err, rc < 0 ? SL_E_IO : SL_E_FORMAT, SL_REMEDY_HALT, rc < 0 ? -rc : 0,
                      "%s, which says what letters have been replayed, %s: nothing is replayed, for it could come twice", path,
                      rc < 0 ? strerror(-rc) : "is damaged");
        index = sl_replay_index_close(index);
    }
    free(text);
    return index;
}

struct sl_replay_index *sl_replay_index_close(struct sl_replay_index *index)
{
    if (index == NULL)
        return NULL;
    for (uint32_t i = 0; i < index->count; i++) {
        free(index->files[i].name);
        free(index->files[i].bits);
    }
    free(index->files);
    free(index->path);
    free(index);
    return NULL;
}

static void index_print_file(struct sl_buf *text, const struct index_file *file)
{
    uint64_t lines = file->words * 64;
    const char *comma = "\t";

    sl_buf_text(text, file->name);
    for (uint64_t line = 0; line < lines; line++) {
        uint64_t first = line;
        if (!index_is_set(file, line))
            continue;
        while (line + 1 < lines && index_is_set(file, line + 1))
            line++;
        sl_buf_printf(text, line > first ? "%s%" PRIu64 "-%" PRIu64 : "%s%" PRIu64, comma, first, line);
        comma = ",";
    }
    sl_buf_char(text, '\n');
}

int sl_replay_index_save(struct sl_replay_index *index, struct sl_spool_topic *topic, struct sl_err *err)
{
    struct sl_buf text = {0};
    int rc;

    sl_buf_printf(&text, "sluice-replayed 1 %" PRIu64 "\n", index->offset);
    for (uint32_t i = 0; i < index->count; i++)
        index_print_file(&text, &index->files[i]);
    rc = sl_buf_failed(&text) ? -ENOMEM : sl_fs_replace_file(sl_fs_posix(), index->path, text.data, text.bytes);
    sl_buf_fini(&text);
    if (rc != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "cannot write %s: %s", index->path, strerror(-rc));
    return sl_spool_hold(topic, INDEX_HOLDER, 0, index->offset, err);
}

/* ---- the topic ---- */

static int index_take(struct sl_replay_index *index, const struct sl_batch *batch, uint32_t row)
{
    for (uint16_t h = 0; batch->headers != NULL && h < batch->headers_count[row]; h++) {
        const struct sl_header *header = &batch->headers[row][h];
        const char *at = header->value.data;
        const char *newline = header->value.bytes == 0 ? NULL : memchr(at, '\n', header->value.bytes);
        char number[24] = "";
        if (!sl_slice_is(header->name, SL_REPLAY_LETTER) || newline == NULL || at + header->value.bytes - newline > 20)
            continue;
        memcpy(number, newline + 1, (size_t)(at + header->value.bytes - newline - 1));
        return index_set(index_add(index, at, (size_t)(newline - at)), strtoull(number, NULL, 10));
    }
    return 0;
}

static int index_scan(struct sl_replay_index *index, struct sl_spool_reader *reader, struct sl_arena *arena, struct sl_err *err)
{
    int got = sl_spool_seek(reader, index->offset, err);

    while (got == 0) {
        struct sl_batch batch = {.arena = arena};
        sl_arena_reset(arena);
        got = sl_spool_read(reader, &batch, err);
        if (got <= 0)
            return got;
        got = 0;
        for (uint32_t i = 0; i < batch.count && got == 0; i++)
            got = index_take(index, &batch, i);
        if (got != 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the index of replayed letters");
        index->offset = batch.next;
    }
    return got;
}

int sl_replay_index_read(struct sl_replay_index *index, struct sl_spool_topic *topic, struct sl_err *err)
{
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    int status = sl_spool_hold(topic, INDEX_HOLDER, 0, index->offset, err);

    if (status == 0)
        status = sl_spool_reader_open(topic, 0, NULL, NULL, &reader, err);
    if (status != 0)
        return status;
    if (sl_arena_init(&arena, 4 << 20, 1u << 30) != 0) {
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    } else {
        status = index_scan(index, reader, &arena, err);
        sl_arena_fini(&arena);
    }
    (void)sl_spool_reader_close(reader);
    return status;
}
