/* landing_codec.c: flush entries to bytes and back, and the names in a landing zone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/landing.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/base/column.h"
#include "runtime/base/crc32c.h"
#include "runtime/config/template.h"

#define LANDING_MAGIC "SLFE"
#define LANDING_FORMAT 1u
#define LANDING_FILE_BYTES 36u  /* least bytes of a file row: what bounds a damaged count */
#define LANDING_RANGE_BYTES 40u /* likewise of a range row */
#define LANDING_ACCOUNT_BYTES 61u

/* ---- writing ---- */

static void landing_put(struct sl_buf *buf, uint64_t value, size_t bytes)
{
    char text[8];

    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)(value >> (8 * i) & 255);
    sl_buf_append(buf, text, bytes);
}

static void landing_put_slice(struct sl_buf *buf, struct sl_slice slice)
{
    landing_put(buf, slice.bytes, 4);
    sl_buf_slice(buf, slice);
}

static void landing_put_text(struct sl_buf *buf, const char *text)
{
    landing_put_slice(buf, sl_slice_of(text));
}

static void landing_put_file(struct sl_buf *buf, const struct sl_landing_file *file)
{
    landing_put_text(buf, file->temporary);
    landing_put_text(buf, file->final);
    landing_put(buf, file->bytes, 8);
    landing_put(buf, file->records, 8);
    landing_put(buf, file->raw_bytes, 8);
    landing_put(buf, file->crc32c, 4);
}

static void landing_put_range(struct sl_buf *buf, const struct sl_landing_range *range)
{
    landing_put_text(buf, range->source);
    landing_put_text(buf, range->topic);
    landing_put_text(buf, range->id);
    landing_put(buf, range->incarnation, 4);
    landing_put(buf, range->first, 8);
    landing_put(buf, range->next, 8);
    landing_put(buf, range->delivered, 8);
}

static void landing_put_account(struct sl_buf *buf, const struct sl_landing_account *account)
{
    landing_put_slice(buf, account->service);
    landing_put(buf, account->level, 1);
    for (int fate = 0; fate < SL_LANDING_FATES; fate++)
        landing_put(buf, account->fates[fate], 8);
}

int sl_landing_encode(const struct sl_landing_entry *entry, char **ret_data, size_t *ret_bytes, struct sl_err *err)
{
    struct sl_buf buf;
    char *data;

    sl_buf_init(&buf);
    sl_buf_append(&buf, LANDING_MAGIC, 4);
    landing_put(&buf, LANDING_FORMAT, 4);
    landing_put_text(&buf, entry->zone);
    landing_put_text(&buf, entry->node);
    landing_put_text(&buf, entry->topology);
    landing_put_text(&buf, entry->component);
    landing_put(&buf, entry->epoch, 4);
    landing_put(&buf, entry->number, 8);
    landing_put(&buf, (uint64_t)entry->unix_ms, 8);
    landing_put(&buf, entry->files_count, 4);
    landing_put(&buf, entry->ranges_count, 4);
    landing_put(&buf, entry->accounts_count, 4);
    for (uint32_t i = 0; i < entry->files_count; i++)
        landing_put_file(&buf, &entry->files[i]);
    for (uint32_t i = 0; i < entry->ranges_count; i++)
        landing_put_range(&buf, &entry->ranges[i]);
    for (uint32_t i = 0; i < entry->accounts_count; i++)
        landing_put_account(&buf, &entry->accounts[i]);
    if (entry->generation != 0 || entry->dir != NULL) {
        landing_put(&buf, entry->generation, 4);
        landing_put(&buf, entry->several, 1);
    }
    if (entry->dir != NULL)
        landing_put_text(&buf, entry->dir);
    landing_put(&buf, sl_crc32c(0, buf.data, buf.bytes), 4);
    data = sl_buf_take(&buf, ret_bytes);
    if (data == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a flush entry of %u files", entry->files_count);
    *ret_data = data;
    return 0;
}

/* ---- reading: a cursor that remembers running over the end ---- */

struct landing_cursor {
    const char *data, *end;
    char *text; /* where strings are copied to, NUL-terminated */
    bool bad;
};

static uint64_t landing_get(struct landing_cursor *cursor, size_t bytes)
{
    uint64_t value = 0;

    if ((size_t)(cursor->end - cursor->data) < bytes) {
        cursor->bad = true;
        cursor->data = cursor->end;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)cursor->data[i] << (8 * i);
    cursor->data += bytes;
    return value;
}

static struct sl_slice landing_get_slice(struct landing_cursor *cursor)
{
    size_t bytes = (size_t)landing_get(cursor, 4);
    char *text = cursor->text;

    if (cursor->bad || (size_t)(cursor->end - cursor->data) < bytes) {
        cursor->bad = true;
        return (struct sl_slice){"", 0};
    }
    memcpy(text, cursor->data, bytes);
    text[bytes] = '\0';
    cursor->data += bytes;
    cursor->text += bytes + 1;
    return (struct sl_slice){text, (uint32_t)bytes};
}

static const char *landing_get_text(struct landing_cursor *cursor)
{
    struct sl_slice slice = landing_get_slice(cursor);

    if (memchr(slice.data, '\0', slice.bytes) != NULL)
        cursor->bad = true;
    return slice.data;
}

/* Relative, every segment non-empty and neither "." nor "..". */
static bool landing_path_is_plain(const char *path)
{
    for (;;) {
        size_t bytes = strcspn(path, "/");
        if (bytes == 0 || (bytes == 1 && path[0] == '.') || (bytes == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[bytes] == '\0')
            return true;
        path += bytes + 1;
    }
}

static void landing_get_file(struct landing_cursor *cursor, struct sl_landing_file *file)
{
    file->temporary = landing_get_text(cursor);
    file->final = landing_get_text(cursor);
    file->bytes = landing_get(cursor, 8);
    file->records = landing_get(cursor, 8);
    file->raw_bytes = landing_get(cursor, 8);
    file->crc32c = (uint32_t)landing_get(cursor, 4);
    if (!landing_path_is_plain(file->temporary) || !landing_path_is_plain(file->final) ||
        strncmp(file->temporary, SL_LANDING_TMP "/", sizeof(SL_LANDING_TMP)) != 0 ||
        strncmp(file->final, SL_LANDING_HIDDEN "/", sizeof(SL_LANDING_HIDDEN)) == 0)
        cursor->bad = true;
}

static void landing_get_range(struct landing_cursor *cursor, struct sl_landing_range *range)
{
    range->source = landing_get_text(cursor);
    range->topic = landing_get_text(cursor);
    range->id = landing_get_text(cursor);
    range->incarnation = (uint32_t)landing_get(cursor, 4);
    range->first = landing_get(cursor, 8);
    range->next = landing_get(cursor, 8);
    range->delivered = landing_get(cursor, 8);
    if (range->next < range->first)
        cursor->bad = true;
}

static void landing_get_account(struct landing_cursor *cursor, struct sl_landing_account *account)
{
    account->service = landing_get_slice(cursor);
    account->level = (uint8_t)landing_get(cursor, 1);
    for (int fate = 0; fate < SL_LANDING_FATES; fate++)
        account->fates[fate] = landing_get(cursor, 8);
    if (account->level >= SL_LEVELS)
        cursor->bad = true;
}

static int landing_get_rows(struct landing_cursor *cursor, struct sl_landing_entry *entry)
{
    size_t left = (size_t)(cursor->end - cursor->data);

    if (cursor->bad || entry->files_count > left / LANDING_FILE_BYTES || entry->ranges_count > left / LANDING_RANGE_BYTES ||
        entry->accounts_count > left / LANDING_ACCOUNT_BYTES)
        return -1;
    entry->files = calloc((size_t)entry->files_count + 1, sizeof(*entry->files));
    entry->ranges = calloc((size_t)entry->ranges_count + 1, sizeof(*entry->ranges));
    entry->accounts = calloc((size_t)entry->accounts_count + 1, sizeof(*entry->accounts));
    if (entry->files == NULL || entry->ranges == NULL || entry->accounts == NULL)
        return -1;
    for (uint32_t i = 0; i < entry->files_count && !cursor->bad; i++)
        landing_get_file(cursor, &entry->files[i]);
    for (uint32_t i = 0; i < entry->ranges_count && !cursor->bad; i++)
        landing_get_range(cursor, &entry->ranges[i]);
    for (uint32_t i = 0; i < entry->accounts_count && !cursor->bad; i++)
        landing_get_account(cursor, &entry->accounts[i]);
    if (!cursor->bad && cursor->data != cursor->end) {
        entry->generation = (uint32_t)landing_get(cursor, 4);
        entry->several = landing_get(cursor, 1) != 0;
    }
    if (!cursor->bad && cursor->data != cursor->end)
        entry->dir = landing_get_text(cursor);
    return cursor->bad || cursor->data != cursor->end ? -1 : 0;
}

static bool landing_zone_is_id(const char *zone)
{
    return strlen(zone) == SL_ZONE_ID_BYTES && strspn(zone, "0123456789abcdef") == SL_ZONE_ID_BYTES;
}

static int landing_get_entry(struct landing_cursor *cursor, struct sl_landing_entry *entry)
{
    entry->zone = landing_get_text(cursor);
    entry->node = landing_get_text(cursor);
    entry->topology = landing_get_text(cursor);
    entry->component = landing_get_text(cursor);
    entry->epoch = (uint32_t)landing_get(cursor, 4);
    entry->number = landing_get(cursor, 8);
    entry->unix_ms = (int64_t)landing_get(cursor, 8);
    entry->files_count = (uint32_t)landing_get(cursor, 4);
    entry->ranges_count = (uint32_t)landing_get(cursor, 4);
    entry->accounts_count = (uint32_t)landing_get(cursor, 4);
    if (cursor->bad || !landing_zone_is_id(entry->zone))
        return -1;
    return landing_get_rows(cursor, entry);
}

/* Magic, format and checksum; the cursor stands behind the format. */
static int landing_check(struct sl_slice data, struct landing_cursor *ret_cursor, struct sl_err *err)
{
    struct landing_cursor cursor = {data.data, data.data + data.bytes, NULL, false};
    struct landing_cursor sum;
    uint32_t format;

    if (data.bytes < 12 || memcmp(data.data, LANDING_MAGIC, 4) != 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "not a flush entry: %u bytes that do not begin with " LANDING_MAGIC,
                       data.bytes);
    cursor.data += 4;
    format = (uint32_t)landing_get(&cursor, 4);
    if (format != LANDING_FORMAT)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "flush entry of format %u; this version reads format %u: start the version that wrote it", format,
                       LANDING_FORMAT);
    cursor.end -= 4;
    sum = (struct landing_cursor){cursor.end, cursor.end + 4, NULL, false};
    if ((uint32_t)landing_get(&sum, 4) != sl_crc32c(0, data.data, data.bytes - 4))
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "damaged flush entry: its checksum does not match");
    *ret_cursor = cursor;
    return 0;
}

int sl_landing_decode(struct sl_slice data, struct sl_landing_entry **ret_entry, struct sl_err *err)
{
    struct landing_cursor cursor;
    struct sl_landing_entry *entry;
    int rc = landing_check(data, &cursor, err);

    if (rc < 0)
        return rc;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL || (entry->text = malloc((size_t)data.bytes + 1)) == NULL) {
        free(entry);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a flush entry of %u bytes", data.bytes);
    }
    cursor.text = entry->text; /* a NUL replaces four bytes of length: the copy is never longer than the entry */
    if (landing_get_entry(&cursor, entry) < 0) {
        (void)sl_landing_entry_free(entry);
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "damaged flush entry: a count or a name in it cannot be right");
    }
    *ret_entry = entry;
    return 0;
}

struct sl_landing_entry *sl_landing_entry_free(struct sl_landing_entry *entry)
{
    if (entry != NULL) {
        free(entry->files);
        free(entry->ranges);
        free(entry->accounts);
        free(entry->text);
        free(entry);
    }
    return NULL;
}

/* ---- names ---- */

void sl_landing_node(const char *node, char ret_text[SL_LANDING_NODE_BYTES])
{
    static_assert(SL_LANDING_NODE_BYTES == SL_TEMPLATE_VALUE_BYTES + 1, "a value and its NUL");
    ret_text[sl_template_value(sl_slice_of(node), ret_text)] = '\0';
}

size_t sl_landing_name(const char *node, uint32_t epoch, uint64_t number, char *ret_name)
{
    char escaped[SL_LANDING_NODE_BYTES];

    sl_landing_node(node, escaped);
    if (number >> 32 == epoch) /* flush numbers rise over restarts, with the epoch before them */
        number &= UINT32_MAX;
    return (size_t)snprintf(ret_name, SL_LANDING_NAME_BYTES, "%s-%04u-%08llu", escaped, epoch, (unsigned long long)number);
}
