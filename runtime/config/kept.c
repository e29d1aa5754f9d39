/* kept.c: names of inputs in a generation's folder, and the file that says where it came from.
 *
 * DIR/origin is lines of a word, a blank and a text: "sluice-origin 1", then one "base_dir TEXT", then a "set PATH=VALUE" for each.
 * Bytes of texts that are no printable ASCII, and %, are %XX.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/kept.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/buf.h"
#include "runtime/base/fs.h"
#include "runtime/config/pool.h"

enum { KEPT_ORIGIN_MAX = 8 << 20 };
#define KEPT_HEAD "sluice-origin 1"
#define KEPT_ELSEWHERE ".inputs"

/* ---- names ---- */

const char *sl_kept_plain(struct sl_pool *pool, const char *written)
{
    char *out = sl_pool_alloc(pool, strlen(written) + 2);
    size_t at = 0;

    if (written[0] == '/')
        out[at++] = '/';
    for (size_t step; *written != '\0'; written += step + (written[step] == '/')) {
        step = strcspn(written, "/");
        if (step == 0 || (step == 1 && written[0] == '.'))
            continue;
        if (at > 0 && out[at - 1] != '/')
            out[at++] = '/';
        memcpy(out + at, written, step);
        at += step;
    }
    return out;
}

/* `path` is plain. */
static bool kept_climbs(const char *path)
{
    for (size_t step; *path != '\0'; path += step + (path[step] == '/')) {
        step = strcspn(path, "/");
        if (step == 2 && strncmp(path, "..", 2) == 0)
            return true;
    }
    return false;
}

static bool kept_is_ours(const char *name)
{
    size_t first = strcspn(name, "/");

    return first == 0 || (first == strlen(SL_KEPT_TOPOLOGY) && strncmp(name, SL_KEPT_TOPOLOGY, first) == 0) ||
           (first == strlen(SL_KEPT_ORIGIN) && strncmp(name, SL_KEPT_ORIGIN, first) == 0) ||
           (first == strlen(KEPT_ELSEWHERE) && strncmp(name, KEPT_ELSEWHERE, first) == 0);
}

const char *sl_kept_name(struct sl_pool *pool, const char *written)
{
    const char *plain = sl_kept_plain(pool, written), *slash = strrchr(plain, '/');
    const char *last = slash == NULL ? plain : slash + 1;

    if (plain[0] != '/' && !kept_climbs(plain) && !kept_is_ours(plain))
        return plain;
    return sl_pool_printf(pool, KEPT_ELSEWHERE "/%016llx/%s", (unsigned long long)XXH3_64bits(plain, strlen(plain)),
                          last[0] == '\0' || strcmp(last, "..") == 0 ? "file" : last);
}

/* ---- origin ---- */

static void kept_put(struct sl_buf *buf, const char *word, const char *text)
{
    sl_buf_printf(buf, "%s ", word);
    for (; *text != '\0'; text++)
        if (*text > ' ' && *text < 0x7f && *text != '%')
            sl_buf_char(buf, *text);
        else
            sl_buf_printf(buf, "%%%02X", (unsigned char)*text);
    sl_buf_char(buf, '\n');
}

char *sl_kept_origin(const struct sl_topology *topology)
{
    struct sl_buf buf;
    char *text;

    sl_buf_init(&buf);
    sl_buf_text(&buf, KEPT_HEAD "\n");
    kept_put(&buf, "base_dir", topology->base_dir);
    for (uint32_t i = 0; i < topology->sets.count; i++)
        kept_put(&buf, "set", topology->sets.items[i]);
    text = sl_buf_take(&buf, NULL);
    sl_buf_fini(&buf);
    return text;
}

static int kept_digit(char digit)
{
    const char *digits = "0123456789ABCDEF", *at = digit == '\0' ? NULL : strchr(digits, digit);

    return at == NULL ? -1 : (int)(at - digits);
}

/* In place. False: not what kept_put writes. */
static bool kept_get(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++) {
        if (*text == '%') {
            int high = kept_digit(text[1]), low = high < 0 ? -1 : kept_digit(text[2]);
            if (low < 0 || (high | low) == 0)
                return false;
            *to++ = (char)(high << 4 | low);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return true;
}

struct kept_lines {
    struct sl_pool *pool;
    const char *base_dir;
    const char **sets;
    uint32_t count;
};

static bool kept_line(struct kept_lines *lines, char *line)
{
    char *text = strchr(line, ' ');

    if (text == NULL)
        return false;
    *text++ = '\0';
    if (!kept_get(text) || (strcmp(line, "base_dir") != 0 && strcmp(line, "set") != 0))
        return false;
    text = sl_pool_text(lines->pool, text, strlen(text));
    if (strcmp(line, "base_dir") == 0)
        return lines->base_dir == NULL && (lines->base_dir = text, true);
    lines->sets = sl_pool_grow(lines->pool, lines->sets, lines->count, sizeof(*lines->sets));
    lines->sets[lines->count++] = text;
    return true;
}

static bool kept_parse(struct kept_lines *lines, char *text, size_t bytes)
{
    char *line = text, *end;

    if (bytes == 0 || memchr(text, '\0', bytes) != NULL || text[bytes - 1] != '\n')
        return false;
    for (uint32_t number = 0; *line != '\0'; number++, line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        if (number == 0 ? strcmp(line, KEPT_HEAD) != 0 : !kept_line(lines, line))
            return false;
    }
    return lines->base_dir != NULL;
}

int sl_kept_origin_read(struct sl_pool *pool, const char *dir, const char **ret_base_dir, struct sl_strings *ret_sets, struct sl_err *err)
{
    struct kept_lines lines = {.pool = pool};
    const char *path = sl_pool_printf(pool, "%s/" SL_KEPT_ORIGIN, dir);
    char *text = NULL;
    size_t bytes = 0;
    int rc = sl_fs_read_file(sl_fs_posix(), path, KEPT_ORIGIN_MAX, &text, &bytes);
    bool fine = rc == 0 && kept_parse(&lines, text, bytes);

    free(text);
    if (rc != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "cannot read the file: %s; name the folder of a generation", strerror(-rc));
    if (!fine)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "this is no origin file of a generation that this version wrote; deploy the topology again from its own file");
    *ret_base_dir = lines.base_dir;
    *ret_sets = (struct sl_strings){lines.sets, lines.count};
    return 0;
}
