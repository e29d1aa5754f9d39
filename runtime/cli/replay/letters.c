/* letters.c: walks a dead-letter folder, plain or zstd, cuts lines, and decodes them some at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/replay/letters.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/fs.h"
#include "runtime/json/json.h"

enum { LETTERS_CHUNK = 256, LETTERS_IN_BYTES = 128 << 10, LETTERS_LINE_BYTES = 64 << 20 };

enum letters_field { F_STAGE, F_REASON, F_SOURCE, F_TOPIC, F_PARTITION, F_INCARNATION, F_OFFSET, F_SUB, F_TIME, F_KEY, F_RAW,
                     F_BASE64, F_WITHHELD, F_COUNT };

static const char *const letters_names[F_COUNT] = {"stage",  "reason", "source",         "topic", "partition", "incarnation", "offset",
                                                   "sub",    "append_unix_ms", "key",   "raw",       "raw_base64",  "withheld"};

struct letters {
    const char *dir;
    int (*each)(void *user, const struct sl_letter *letter, struct sl_err *err);
    void *user;
    uint64_t *strange;
    struct sl_err *err;
    struct sl_json_decoder *decoder;
    struct sl_arena arena;
    struct sl_column columns[F_COUNT];
    struct sl_slice lines[LETTERS_CHUNK];
    uint8_t verdict[LETTERS_CHUNK];
    /* of the file being read */
    char file[PATH_MAX];
    uint64_t line;
    struct sl_buf held;
    char *in;
};

int sl_letters_dir(const struct sl_topology *topology, const char *data_dir, char *text, size_t bytes, struct sl_err *err)
{
    const struct sl_component *sink = &topology->components[topology->dead_letters];
    const char *dir = NULL;

    for (const struct sl_field *field = sink->head->fields; strcmp(sink->type, "files") == 0 && field->name != NULL; field++)
        if (strcmp(field->name, "dir") == 0)
            memcpy(&dir, (const char *)sink->config + field->offset, sizeof(dir));
    if (dir == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "the dead letters of topology %s go to %s; this version replays those in files only",
                       topology->name, sink->type);
    if (snprintf(text, bytes, "%s%s%s", dir[0] == '/' ? "" : data_dir, dir[0] == '/' ? "" : "/", dir) >= (int)bytes)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "the path is too long: %s", dir);
    return 0;
}

/* ---- one letter ---- */

static struct sl_slice letters_text(const struct letters *letters, enum letters_field field, uint32_t row)
{
    return letters->columns[field].type[row] == SL_T_STRING ? letters->columns[field].value[row] : (struct sl_slice){NULL, 0};
}

static int64_t letters_number(const struct letters *letters, enum letters_field field, uint32_t row)
{
    struct sl_slice value = letters->columns[field].value[row];
    char text[32] = "";

    if (letters->columns[field].type[row] == SL_T_NUMBER && value.bytes < sizeof(text))
        memcpy(text, value.data, value.bytes);
    return (int64_t)strtoll(text, NULL, 10);
}

static int letters_digit(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62
           : c == '/' ? 63 : -1;
}

/* data NULL: not base64, or no memory. */
static struct sl_slice letters_base64(struct sl_arena *arena, struct sl_slice text)
{
    char *bytes = sl_arena_alloc(arena, text.bytes / 4u * 3u + 3u + SL_PAD);
    uint32_t count = 0, bits = 0, group = 0;

    for (uint32_t i = 0; bytes != NULL && i < text.bytes && text.data[i] != '='; i++) {
        int digit = letters_digit(text.data[i]);
        if (digit < 0)
            return (struct sl_slice){NULL, 0};
        group = group << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[count++] = (char)(group >> bits & 255);
        }
    }
    return (struct sl_slice){bytes, count};
}

/* False: it is none. */
static bool letters_letter(struct letters *letters, uint32_t row, struct sl_letter *letter)
{
    *letter = (struct sl_letter){.file = letters->file, .line = letters->line, .stage = letters_text(letters, F_STAGE, row),
                                 .reason = letters_text(letters, F_REASON, row), .key = letters_text(letters, F_KEY, row),
                                 .raw = letters_text(letters, F_RAW, row),
                                 .null_payload = letters->columns[F_RAW].type[row] == SL_T_NULL,
                                 .withheld = letters->columns[F_WITHHELD].type[row] != SL_T_ABSENT,
                                 .sub = (uint32_t)letters_number(letters, F_SUB, row),
                                 .append_unix_ms = letters_number(letters, F_TIME, row)};
    letter->origin = (struct sl_origin){letters_text(letters, F_SOURCE, row), letters_text(letters, F_TOPIC, row),
                                        letters_text(letters, F_PARTITION, row),
                                        (uint32_t)letters_number(letters, F_INCARNATION, row),
                                        (uint64_t)letters_number(letters, F_OFFSET, row)};
    if (letters->columns[F_BASE64].type[row] == SL_T_STRING)
        letter->raw = letters_base64(&letters->arena, letters_text(letters, F_BASE64, row));
    return letters->verdict[row] == SL_JSON_FINE && letter->stage.data != NULL && letter->reason.data != NULL &&
           letter->origin.source.data != NULL && letter->origin.topic.data != NULL && letter->origin.partition.data != NULL &&
           letters->columns[F_OFFSET].type[row] == SL_T_NUMBER && letter->sub <= UINT16_MAX &&
           (letter->raw.data != NULL || letter->null_payload || letter->withheld);
}

static int letters_chunk(struct letters *letters, uint32_t count)
{
    uint16_t sel[LETTERS_CHUNK];

    for (uint32_t i = 0; i < count; i++)
        sel[i] = (uint16_t)i;
    sl_arena_reset(&letters->arena);
    if (sl_json_decode(letters->decoder, letters->lines, sel, count, letters->columns, letters->verdict, &letters->arena) != 0)
        return sl_fail(letters->err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the letters of %s", letters->file);
    for (uint32_t i = 0; i < count; i++, letters->line++) {
        struct sl_letter letter;
        if (!letters_letter(letters, i, &letter)) {
            ++*letters->strange;
            continue;
        }
        if (letters->each(letters->user, &letter, letters->err) != 0)
            return -(int)letters->err->code;
    }
    return 0;
}

/* The whole lines that are held; the rest stays. */
static int letters_lines(struct letters *letters)
{
    char *at = letters->held.data, *end = at + letters->held.bytes, *newline;
    uint32_t count = 0;
    int status = 0;

    if (sl_buf_reserve(&letters->held, SL_PAD) == NULL)
        return sl_fail(letters->err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the letters of %s", letters->file);
    at = letters->held.data;
    end = at + letters->held.bytes;
    while (status == 0 && at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        letters->lines[count++] = (struct sl_slice){at, (uint32_t)(newline - at)};
        at = newline + 1;
        if (count == LETTERS_CHUNK) {
            status = letters_chunk(letters, count);
            count = 0;
        }
    }
    if (status == 0 && count > 0)
        status = letters_chunk(letters, count);
    letters->held.bytes = (size_t)(end - at);
    memmove(letters->held.data, at, letters->held.bytes);
    if (status == 0 && letters->held.bytes > LETTERS_LINE_BYTES)
        status = sl_fail(letters->err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "%s: line %" PRIu64 " is longer than 64 MiB", letters->file, letters->line);
    return status;
}

/* ---- files ---- */

static int letters_unpack(struct letters *letters, ZSTD_DCtx *context, size_t bytes, size_t *ret_pending)
{
    ZSTD_inBuffer in = {letters->in, bytes, 0};

    while (in.pos < in.size) {
        char *room = sl_buf_reserve(&letters->held, LETTERS_IN_BYTES);
        ZSTD_outBuffer out = {room, LETTERS_IN_BYTES, 0};
        int status;
        if (room == NULL)
            return sl_fail(letters->err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the letters of %s", letters->file);
        *ret_pending = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(*ret_pending))
            return sl_fail(letters->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s is damaged: %s", letters->file, ZSTD_getErrorName(*ret_pending));
        sl_buf_added(&letters->held, out.pos);
        status = letters_lines(letters);
        if (status != 0)
            return status;
    }
    return 0;
}

static int letters_read(struct letters *letters, int fd, ZSTD_DCtx *context)
{
    struct sl_fs *fs = sl_fs_posix();
    uint64_t at = 0;
    size_t pending = 0;
    int status = 0;

    for (;;) {
        int64_t got = fs->pread(fs, fd, letters->in, LETTERS_IN_BYTES, at);
        if (got < 0)
            return sl_fail(letters->err, SL_E_IO, SL_REMEDY_HALT, (int)-got, "cannot read %s: %s", letters->file, strerror((int)-got));
        if (got == 0)
            break;
        at += (uint64_t)got;
        if (context != NULL) {
            status = letters_unpack(letters, context, (size_t)got, &pending);
        } else {
            sl_buf_append(&letters->held, letters->in, (size_t)got);
            status = letters_lines(letters);
        }
        if (status != 0)
            return status;
    }
    return pending == 0 ? 0 : sl_fail(letters->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s ends in the middle of a zstd frame", letters->file);
}

static bool letters_ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);

    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static int letters_file(struct letters *letters, const char *path)
{
    ZSTD_DCtx *context = letters_ends_with(path, ".zst") ? ZSTD_createDCtx() : NULL;
    struct sl_fs *fs = sl_fs_posix();
    int fd = fs->open(fs, path, O_RDONLY, 0), status;

    sl_buf_reset(&letters->held);
    letters->line = 0;
    if (fd < 0)
        status = sl_fail(letters->err, SL_E_IO, SL_REMEDY_HALT, -fd, "cannot open %s: %s", path, strerror(-fd));
    else
        status = letters_read(letters, fd, context);
    if (fd >= 0)
        (void)fs->close(fs, fd);
    (void)ZSTD_freeDCtx(context);
    return status;
}

struct letters_folder {
    struct letters *letters;
    const char *path;
};

static int letters_folder(struct letters *letters, const char *path);

static int letters_entry(void *user, const char *name)
{
    const struct letters_folder *folder = user;
    struct letters *letters = folder->letters;
    struct sl_fs *fs = sl_fs_posix();
    struct sl_fs_stat stat;
    char path[PATH_MAX];

    if (name[0] == '.') /* .sluice: not committed yet */
        return 0;
    if (snprintf(path, sizeof(path), "%s/%s", folder->path, name) >= (int)sizeof(path) || fs->stat(fs, path, &stat) != 0)
        return 0; /* gone meanwhile */
    if (stat.is_dir)
        return letters_folder(letters, path);
    if (!letters_ends_with(name, ".ndjson") && !letters_ends_with(name, ".ndjson.zst"))
        return 0; /* somebody else's */
    (void)snprintf(letters->file, sizeof(letters->file), "%s", path + strlen(letters->dir) + 1);
    return letters_file(letters, path);
}

static int letters_folder(struct letters *letters, const char *path)
{
    struct letters_folder folder = {letters, path};
    int status = sl_fs_posix()->list(sl_fs_posix(), path, letters_entry, &folder);

    if (status == -ENOENT)
        return 0; /* no letter was ever written */
    if (status < 0 && letters->err->text[0] == '\0')
        return sl_fail(letters->err, SL_E_IO, SL_REMEDY_HALT, -status, "cannot list %s: %s", path, strerror(-status));
    return status;
}

/* ---- opening ---- */

static int letters_columns(struct letters *letters, void *memory)
{
    char *at = memory;

    for (int f = 0; f < F_COUNT; f++) {
        letters->columns[f] = (struct sl_column){.value = (struct sl_slice *)(void *)at};
        at += LETTERS_CHUNK * sizeof(struct sl_slice);
        letters->columns[f].span = (struct sl_span *)(void *)at;
        at += LETTERS_CHUNK * sizeof(struct sl_span);
    }
    for (int f = 0; f < F_COUNT; f++) {
        letters->columns[f].type = (uint8_t *)at;
        letters->columns[f].repeated = (uint8_t *)at + LETTERS_CHUNK;
        at += 2 * LETTERS_CHUNK;
    }
    return 0;
}

static int letters_decoder(struct letters *letters, struct sl_err *err)
{
    const char *segments[F_COUNT];
    struct sl_json_field fields[F_COUNT];
    struct sl_json_projection projection = {fields, F_COUNT, true};

    for (uint32_t f = 0; f < F_COUNT; f++) {
        segments[f] = letters_names[f];
        fields[f] = (struct sl_json_field){{&segments[f], 1}, f};
    }
    return sl_json_decoder_new(&projection, &letters->decoder, err);
}

int sl_letters_each(const char *dir, int (*each)(void *user, const struct sl_letter *letter, struct sl_err *err), void *user,
                    uint64_t *ret_strange, struct sl_err *err)
{
    struct letters *letters = calloc(1, sizeof(*letters));
    void *memory = calloc(F_COUNT * LETTERS_CHUNK, sizeof(struct sl_slice) + sizeof(struct sl_span) + 2);
    int status = 0;

    err->text[0] = '\0';
    *ret_strange = 0;
    if (letters == NULL || memory == NULL || (letters->in = malloc(LETTERS_IN_BYTES)) == NULL ||
        sl_arena_init(&letters->arena, 1 << 20, 256 << 20) != 0) {
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    } else {
        letters->dir = dir;
        letters->each = each;
        letters->user = user;
        letters->strange = ret_strange;
        letters->err = err;
        status = letters_decoder(letters, err);
        if (status == 0 && letters_columns(letters, memory) == 0)
            status = letters_folder(letters, dir);
        sl_arena_fini(&letters->arena);
    }
    if (letters != NULL) {
        (void)sl_json_decoder_free(letters->decoder);
        sl_buf_fini(&letters->held);
        free(letters->in);
    }
    free(memory);
    free(letters);
    return status;
}
