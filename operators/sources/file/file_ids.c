/* file_ids.c: which file is which; see the header for the layout.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_ids.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define IDS_HEADER "sluice file ids 1\n"
enum { IDS_FILE_MAX = 512 << 20, IDS_LINE = 192 };

int sl_file_head_read(struct sl_fs *fs, int fd, uint32_t bytes, struct sl_file_head *ret_head)
{
    char head[SL_FILE_HEAD_BYTES];
    uint32_t got = 0;

    assert(bytes <= SL_FILE_HEAD_BYTES);
    while (got < bytes) {
        int64_t n = fs->pread(fs, fd, head + got, bytes - got, got);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        got += (uint32_t)n;
    }
    *ret_head = (struct sl_file_head){got, XXH3_64bits(head, got)};
    return 0;
}

struct sl_file_id *sl_file_ids_find(struct sl_file_ids *ids, uint64_t device, uint64_t inode)
{
    for (uint32_t i = ids->count; i > 0; i--)
        if (ids->items[i - 1].inode == inode && ids->items[i - 1].device == device)
            return &ids->items[i - 1];
    return NULL;
}

static struct sl_file_id *ids_push(struct sl_file_ids *ids)
{
    if (ids->count == ids->capacity) {
        uint32_t capacity = ids->capacity == 0 ? 64 : ids->capacity * 2;
        struct sl_file_id *items = realloc(ids->items, capacity * sizeof(*items));
        if (items == NULL)
            return NULL;
        ids->items = items;
        ids->capacity = capacity;
    }
    memset(&ids->items[ids->count], 0, sizeof(ids->items[0]));
    return &ids->items[ids->count++];
}

struct sl_file_id *sl_file_ids_bind(struct sl_file_ids *ids, const struct sl_fs_stat *stat, struct sl_file_head head,
                                    const char *path, uint64_t random_high, uint64_t random_low)
{
    char *copy = strdup(path);
    struct sl_file_id *id = copy == NULL ? NULL : ids_push(ids);

    if (id == NULL) {
        free(copy);
        return NULL;
    }
    (void)snprintf(id->id, sizeof(id->id), "%016" PRIx64 "%016" PRIx64, random_high, random_low);
    id->device = stat->device;
    id->inode = stat->inode;
    id->head = head;
    id->path = copy;
    id->present = true;
    return id;
}

void sl_file_ids_fini(struct sl_file_ids *ids)
{
    for (uint32_t i = 0; i < ids->count; i++)
        free(ids->items[i].path);
    free(ids->items);
    memset(ids, 0, sizeof(*ids));
}

static void ids_evict(struct sl_file_ids *ids)
{
    uint32_t kept = 0, over = ids->count > SL_FILE_IDS_MAX ? ids->count - SL_FILE_IDS_MAX : 0;

    for (uint32_t i = 0; i < ids->count; i++) {
        if (over > 0 && !ids->items[i].present) {
            over--;
            free(ids->items[i].path);
        } else {
            ids->items[kept++] = ids->items[i];
        }
    }
    ids->count = kept;
}

static size_t path_encode(char *out, const char *path)
{
    size_t at = 0;

    for (const unsigned char *c = (const unsigned char *)path; *c != '\0'; c++) {
        if (*c > ' ' && *c != '%' && *c < 0x7f)
            out[at++] = (char)*c;
        else
            at += (size_t)sprintf(out + at, "%%%02x", *c);
    }
    return at;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; text ends at `bytes`. */
static int path_decode(char *text, size_t bytes)
{
    size_t out = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '%') {
            text[out++] = text[i];
            continue;
        }
        if (bytes - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
            return -1;
        text[out++] = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
        i += 2;
    }
    text[out] = '\0';
    return 0;
}

char *sl_file_ids_print(struct sl_file_ids *ids, size_t *ret_bytes)
{
    size_t room = sizeof(IDS_HEADER) + 64, at;
    char *text;

    ids_evict(ids);
    for (uint32_t i = 0; i < ids->count; i++)
        room += IDS_LINE + 3 * strlen(ids->items[i].path);
    text = malloc(room);
    if (text == NULL)
        return NULL;
    at = (size_t)snprintf(text, room, IDS_HEADER);
    for (uint32_t i = 0; i < ids->count; i++) {
        const struct sl_file_id *id = &ids->items[i];
        at += (size_t)snprintf(text + at, room - at, "%s %" PRIu64 " %" PRIu64 " %u %016" PRIx64 " ", id->id, id->device,
                               id->inode, id->head.bytes, id->head.hash);
        at += path_encode(text + at, id->path);
        text[at++] = '\n';
    }
    at += (size_t)snprintf(text + at, room - at, "end %016" PRIx64 "\n", XXH3_64bits(text, at));
    *ret_bytes = at;
    return text;
}

/* One line without its newline. 0, or -1 when it is not a binding. */
static int ids_scan(struct sl_file_ids *ids, char *line, size_t bytes)
{
    struct sl_file_id id = {.present = false};
    struct sl_file_id *row;
    int path_at = -1;

    line[bytes] = '\0';
    if (sscanf(line, "%32[0-9a-f] %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNx64 " %n", id.id, &id.device, &id.inode,
               &id.head.bytes, &id.head.hash, &path_at) != 5 || path_at < 0)
        return -1;
    if (strlen(id.id) != SL_FILE_ID_TEXT - 1 || id.head.bytes > SL_FILE_HEAD_BYTES ||
        path_decode(line + path_at, bytes - (size_t)path_at) != 0)
        return -1;
    row = ids_push(ids);
    if (row == NULL)
        return -1;
    *row = id;
    row->path = strdup(line + path_at);
    return row->path == NULL ? -1 : 0;
}

/* Start of the last line when it is "end HASH" and right, else NULL. */
static char *ids_end(char *text, size_t bytes)
{
    const size_t end_bytes = sizeof("end 0123456789abcdef\n") - 1;
    char want[32];
    char *end;

    if (bytes < end_bytes)
        return NULL;
    end = text + bytes - end_bytes;
    (void)snprintf(want, sizeof(want), "end %016" PRIx64 "\n", XXH3_64bits(text, bytes - end_bytes));
    return memcmp(end, want, end_bytes) == 0 ? end : NULL;
}

static int ids_parse(struct sl_file_ids *ids, char *text, size_t bytes)
{
    const size_t header_bytes = sizeof(IDS_HEADER) - 1;
    char *end = ids_end(text, bytes), *line = text + header_bytes;

    if (end == NULL || (size_t)(end - text) < header_bytes || memcmp(text, IDS_HEADER, header_bytes) != 0)
        return -1;
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL || ids_scan(ids, line, (size_t)(newline - line)) != 0)
            return -1;
        line = newline + 1;
    }
    return 0;
}

int sl_file_ids_load(struct sl_file_ids *ids, struct sl_fs *fs, const char *path, struct sl_err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    int rc = sl_fs_read_file(fs, path, IDS_FILE_MAX, &text, &bytes);

    memset(ids, 0, sizeof(*ids));
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "reading %s: %s", path, strerror(-rc));
    rc = ids_parse(ids, text, bytes);
    free(text);
    if (rc == 0)
        return 0;
    sl_file_ids_fini(ids);
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                   "%s is damaged: it says which files were read already. Restore it from a backup, or remove it to read all "
                   "files again from their beginning", path);
}
