/* landing.c: the zone's id, the manifests, and reading landing files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/landing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "runtime/base/buf.h"
#include "runtime/base/column.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/json_out.h"

#define LANDING_ENTRY_MAX (256u << 20)
#define LANDING_READ_BYTES (128u << 10)

static int landing_path(char path[PATH_MAX], struct sl_err *err, const char *dir, const char *name)
{
    int bytes = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    if (bytes < 0 || bytes >= PATH_MAX)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENAMETOOLONG, "%s/%s: the path is too long", dir, name);
    return 0;
}

/* ---- the zone's id ---- */

int sl_landing_zone_read(struct sl_fs *fs, const char *dir, char ret_zone[SL_ZONE_ID_BYTES + 1], struct sl_err *err)
{
    char path[PATH_MAX], *data = NULL;
    size_t bytes = 0;
    int rc = landing_path(path, err, dir, SL_LANDING_ZONE);

    if (rc < 0)
        return rc;
    rc = sl_fs_read_file(fs, path, 4096, &data, &bytes);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return 0;
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "read %s: %s", path, strerror(-rc));
    if (bytes != SL_ZONE_ID_BYTES + 1 || data[SL_ZONE_ID_BYTES] != '\n' ||
        strspn(data, "0123456789abcdef") != SL_ZONE_ID_BYTES) {
        free(data);
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s does not hold a zone's id (32 hex digits): restore it, or give the sink an empty folder", path);
    }
    memcpy(ret_zone, data, SL_ZONE_ID_BYTES);
    ret_zone[SL_ZONE_ID_BYTES] = '\0';
    free(data);
    return 1;
}

struct landing_found {
    const char *allowed; /* prefix of names that a crash of ours may have left */
    char name[128];
    bool hidden;
};

static int landing_find(void *user, const char *name)
{
    struct landing_found *found = user;

    if (strcmp(name, SL_LANDING_HIDDEN) == 0 && found->allowed == NULL) {
        found->hidden = true;
        return 0;
    }
    if (strcmp(name, "lost+found") == 0 && found->allowed == NULL) /* of a fresh file system */
        return 0;
    if (found->allowed != NULL && strncmp(name, found->allowed, strlen(found->allowed)) == 0)
        return 0;
    (void)snprintf(found->name, sizeof(found->name), "%s", name);
    return 1;
}

/* Without an id a folder must be empty, but for what a start that died before it wrote the id has left. */
static int landing_zone_vacant(struct sl_fs *fs, const char *dir, struct sl_err *err)
{
    struct landing_found found = {NULL, "", false}, inside = {"zone", "", false};
    char path[PATH_MAX];
    int rc = fs->list(fs, dir, landing_find, &found);

    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && found.hidden) {
        rc = landing_path(path, err, dir, SL_LANDING_HIDDEN);
        if (rc < 0)
            return rc;
        rc = fs->list(fs, path, landing_find, &inside);
    }
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "list %s: %s", dir, strerror(-rc));
    if (rc > 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "%s is not empty (it holds %s%s) and has no " SL_LANDING_ZONE ": give the sink an empty folder of its own",
                       dir, found.name[0] != '\0' ? "" : SL_LANDING_HIDDEN "/", found.name[0] != '\0' ? found.name : inside.name);
    return 0;
}

static int landing_zone_compare(const char *dir, const char *found, const char *zone, struct sl_err *err)
{
    if (strcmp(found, zone) == 0)
        return 0;
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   "%s belongs to landing zone %s, not to this sink's zone %s: give each sink a folder of its own", dir, found,
                   zone);
}

int sl_landing_zone_claim(struct sl_fs *fs, const char *dir, const char *zone, struct sl_err *err)
{
    char found[SL_ZONE_ID_BYTES + 1], path[PATH_MAX], text[SL_ZONE_ID_BYTES + 2];
    int rc = sl_landing_zone_read(fs, dir, found, err), made;

    if (rc != 0)
        return rc < 0 ? rc : landing_zone_compare(dir, found, zone, err);
    rc = landing_zone_vacant(fs, dir, err);
    if (rc == 0)
        rc = landing_path(path, err, dir, SL_LANDING_HIDDEN);
    if (rc < 0)
        return rc;
    made = sl_fs_mkdirs(fs, path, 0755);
    (void)landing_path(path, err, dir, SL_LANDING_ZONE);
    (void)snprintf(text, sizeof(text), "%s\n", zone);
    if (made == 0)
        made = sl_fs_replace_file(fs, path, text, strlen(text));
    if (made == 0)
        return 0;
    /* Another slot of this sink may have been faster. */
    if (sl_landing_zone_read(fs, dir, found, NULL) == 1)
        return landing_zone_compare(dir, found, zone, err);
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -made, "write %s: %s", path, strerror(-made));
}

/* ---- manifests ---- */

static void landing_json_file(struct sl_json_out *out, const struct sl_landing_file *file)
{
    sl_json_out_object(out);
    sl_json_out_str_at(out, "name", file->final);
    sl_json_out_u64_at(out, "bytes", file->bytes);
    sl_json_out_key(out, "crc32c");
    sl_json_out_printf(out, "%08x", file->crc32c);
    sl_json_out_u64_at(out, "records", file->records);
    sl_json_out_u64_at(out, "raw_bytes", file->raw_bytes);
    sl_json_out_str_at(out, "temporary", file->temporary);
    sl_json_out_end_object(out);
}

static void landing_json_range(struct sl_json_out *out, const struct sl_landing_range *range)
{
    sl_json_out_object(out);
    sl_json_out_str_at(out, "source", range->source);
    sl_json_out_str_at(out, "topic", range->topic);
    sl_json_out_str_at(out, "id", range->id);
    sl_json_out_u64_at(out, "incarnation", range->incarnation);
    sl_json_out_u64_at(out, "first", range->first);
    sl_json_out_u64_at(out, "next", range->next);
    sl_json_out_u64_at(out, "delivered", range->delivered);
    sl_json_out_end_object(out);
}

static void landing_json_account(struct sl_json_out *out, const struct sl_landing_account *account)
{
    static const char *const fates[SL_LANDING_FATES] = {"in", "delivered", "filtered", "sampled", "shed", "deferred", "dead"};
    static const char *const levels[SL_LEVELS] = {"", "trace", "debug", "info", "warn", "error", "fatal"};

    sl_json_out_object(out);
    sl_json_out_slice_at(out, "service", account->service);
    sl_json_out_str_at(out, "level", levels[account->level]);
    for (int fate = 0; fate < SL_LANDING_FATES; fate++)
        sl_json_out_u64_at(out, fates[fate], account->fates[fate]);
    sl_json_out_end_object(out);
}

/* One file, range or account row a line, so that grep and diff are of use. */
static void landing_json(struct sl_buf *buf, const struct sl_landing_entry *entry)
{
    struct sl_json_out out;

    sl_json_out_init(&out, buf);
    sl_json_out_object(&out);
    sl_json_out_u64_at(&out, "format", 1);
    sl_json_out_str_at(&out, "zone", entry->zone);
    sl_json_out_str_at(&out, "node", entry->node);
    sl_json_out_u64_at(&out, "epoch", entry->epoch);
    sl_json_out_u64_at(&out, "number", entry->number);
    sl_json_out_str_at(&out, "topology", entry->topology);
    sl_json_out_str_at(&out, "sink", entry->component);
    sl_json_out_i64_at(&out, "sealed_unix_ms", entry->unix_ms);
    if (entry->generation != 0) {
        sl_json_out_u64_at(&out, "generation", entry->generation);
        sl_json_out_bool_at(&out, "several_generations", entry->several);
    }
    sl_json_out_key(&out, "files");
    sl_json_out_array(&out);
    for (uint32_t i = 0; i < entry->files_count; i++) {
        landing_json_file(&out, &entry->files[i]);
        sl_buf_char(buf, '\n');
    }
    sl_json_out_end_array(&out);
    sl_json_out_key(&out, "ranges");
    sl_json_out_array(&out);
    for (uint32_t i = 0; i < entry->ranges_count; i++) {
        landing_json_range(&out, &entry->ranges[i]);
        sl_buf_char(buf, '\n');
    }
    sl_json_out_end_array(&out);
    sl_json_out_key(&out, "accounts");
    sl_json_out_array(&out);
    for (uint32_t i = 0; i < entry->accounts_count; i++) {
        landing_json_account(&out, &entry->accounts[i]);
        sl_buf_char(buf, '\n');
    }
    sl_json_out_end_array(&out);
    sl_json_out_end_object(&out);
    sl_buf_char(buf, '\n');
}

static int landing_manifest_path(char path[PATH_MAX], const char *dir, const struct sl_landing_entry *entry, const char *suffix,
                                 struct sl_err *err)
{
    char name[SL_LANDING_NAME_BYTES], file[sizeof(SL_LANDING_MANIFEST) + SL_LANDING_NAME_BYTES + 16];

    (void)sl_landing_name(entry->node, entry->epoch, entry->number, name);
    (void)snprintf(file, sizeof(file), SL_LANDING_MANIFEST "/%s%s", name, suffix);
    return landing_path(path, err, dir, file);
}

int sl_landing_manifest_exists(struct sl_fs *fs, const char *dir, const struct sl_landing_entry *entry)
{
    char path[PATH_MAX];
    struct sl_fs_stat st;

    return landing_manifest_path(path, dir, entry, ".entry", NULL) == 0 && fs->stat(fs, path, &st) == 0;
}

int sl_landing_manifest_write(struct sl_fs *fs, const char *dir, const struct sl_landing_entry *entry, struct sl_slice entry_bytes,
                              struct sl_err *err)
{
    char path[PATH_MAX];
    struct sl_buf buf;
    int made, rc = landing_path(path, err, dir, SL_LANDING_MANIFEST);

    if (rc < 0)
        return rc;
    made = sl_fs_mkdirs(fs, path, 0755);
    sl_buf_init(&buf);
    landing_json(&buf, entry);
    rc = landing_manifest_path(path, dir, entry, ".json", err);
    if (made == 0 && rc == 0)
        made = sl_buf_failed(&buf) ? -ENOMEM : sl_fs_replace_file(fs, path, buf.data, buf.bytes);
    if (made == 0 && rc == 0) /* last: it says that everything before it is done */
        rc = landing_manifest_path(path, dir, entry, ".entry", err);
    if (made == 0 && rc == 0)
        made = sl_fs_replace_file(fs, path, entry_bytes.data, entry_bytes.bytes);
    sl_buf_fini(&buf);
    if (made < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -made, "write %s: %s", path, strerror(-made));
    return rc;
}

struct landing_walk {
    struct sl_fs *fs;
    const char *dir;
    int (*each)(void *user, const struct sl_landing_entry *entry, struct sl_err *err);
    void *user;
    struct sl_err *err;
    bool told; /* err is filled, or each() stopped: not a failure of the listing */
};

static int landing_walk_entry(void *user, const char *name)
{
    struct landing_walk *walk = user;
    struct sl_landing_entry *entry = NULL;
    size_t length = strlen(name), bytes = 0;
    char path[PATH_MAX], *data = NULL;
    int rc;

    if (length < 6 || strcmp(name + length - 6, ".entry") != 0)
        return 0;
    walk->told = true;
    rc = landing_path(path, walk->err, walk->dir, name);
    if (rc < 0)
        return rc;
    rc = sl_fs_read_file(walk->fs, path, LANDING_ENTRY_MAX, &data, &bytes);
    if (rc < 0)
        return sl_fail(walk->err, SL_E_IO, SL_REMEDY_HALT, -rc, "read %s: %s", path, strerror(-rc));
    rc = sl_landing_decode((struct sl_slice){data, (uint32_t)bytes}, &entry, walk->err);
    free(data);
    if (rc < 0)
        return sl_while(walk->err, "%s", path);
    rc = walk->each(walk->user, entry, walk->err);
    (void)sl_landing_entry_free(entry);
    walk->told = rc != 0;
    return rc;
}

int sl_landing_each(struct sl_fs *fs, const char *dir,
                    int (*each)(void *user, const struct sl_landing_entry *entry, struct sl_err *err), void *user,
                    struct sl_err *err)
{
    char path[PATH_MAX];
    struct sl_fs_stat st;
    struct landing_walk walk = {fs, path, each, user, err, false};
    int rc = landing_path(path, err, dir, SL_LANDING_MANIFEST);

    if (rc < 0)
        return rc;
    rc = fs->stat(fs, path, &st);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "list %s: %s", path, strerror(-rc));
    rc = fs->list(fs, path, landing_walk_entry, &walk);
    if (rc < 0 && !walk.told)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "list %s: %s", path, strerror(-rc));
    return rc;
}

/* ---- reading ---- */

struct landing_lines {
    int (*each)(void *user, struct sl_slice line, struct sl_err *err);
    void *user;
    struct sl_err *err;
    struct sl_buf rest; /* the begun line */
};

static int landing_lines_feed(struct landing_lines *lines, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const char *newline = memchr(data, '\n', bytes);
        size_t length = newline == NULL ? bytes : (size_t)(newline - data);
        struct sl_slice line = {data, (uint32_t)length};
        int rc;

        if (newline == NULL || lines->rest.bytes > 0) {
            if (lines->rest.bytes + length >= UINT32_MAX)
                return sl_fail(lines->err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "a line is longer than 4 GiB");
            sl_buf_append(&lines->rest, data, length);
            if (sl_buf_failed(&lines->rest))
                return sl_fail(lines->err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a line of %zu bytes",
                               lines->rest.bytes + length);
            line = (struct sl_slice){sl_buf_str(&lines->rest), (uint32_t)lines->rest.bytes};
        }
        if (newline == NULL)
            return 0;
        rc = lines->each(lines->user, line, lines->err);
        if (rc != 0)
            return rc;
        sl_buf_reset(&lines->rest);
        data += length + 1;
        bytes -= length + 1;
    }
    return 0;
}

struct landing_reader {
    struct sl_fs *fs;
    const char *path;
    int fd;
    char *in, *out;      /* LANDING_READ_BYTES each */
    ZSTD_DCtx *dctx;     /* NULL: not compressed */
    size_t frame_left;   /* 0: at a frame's end */
};

static int landing_inflate(struct landing_reader *reader, size_t bytes, struct landing_lines *lines)
{
    ZSTD_inBuffer in = {reader->in, bytes, 0};
    bool more = true; /* the decoder may hold output although all input is taken */

    while (in.pos < in.size || more) {
        ZSTD_outBuffer out = {reader->out, LANDING_READ_BYTES, 0};
        int rc;
        reader->frame_left = ZSTD_decompressStream(reader->dctx, &out, &in);
        if (ZSTD_isError(reader->frame_left))
            return sl_fail(lines->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s is damaged: %s", reader->path,
                           ZSTD_getErrorName(reader->frame_left));
        rc = landing_lines_feed(lines, reader->out, out.pos);
        if (rc != 0)
            return rc;
        more = out.pos == out.size && reader->frame_left != 0; /* a call behind a frame's end would ask for another frame */
    }
    return 0;
}

static int landing_read_all(struct landing_reader *reader, struct landing_lines *lines)
{
    for (uint64_t at = 0;;) {
        int64_t n = reader->fs->pread(reader->fs, reader->fd, reader->in, LANDING_READ_BYTES, at);
        int rc;
        if (n < 0)
            return sl_fail(lines->err, SL_E_IO, SL_REMEDY_HALT, (int)-n, "read %s: %s", reader->path, strerror((int)-n));
        if (n == 0)
            break;
        at += (uint64_t)n;
        rc = reader->dctx == NULL ? landing_lines_feed(lines, reader->in, (size_t)n) : landing_inflate(reader, (size_t)n, lines);
        if (rc != 0)
            return rc;
    }
    if (reader->frame_left != 0)
        return sl_fail(lines->err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s is cut off inside a compressed frame", reader->path);
    if (lines->rest.bytes > 0)
        return lines->each(lines->user, (struct sl_slice){lines->rest.data, (uint32_t)lines->rest.bytes}, lines->err);
    return 0;
}

int sl_landing_lines(struct sl_fs *fs, const char *path, int (*each)(void *user, struct sl_slice line, struct sl_err *err),
                     void *user, struct sl_err *err)
{
    return sl_landing_lines_as(fs, path, path, each, user, err);
}

int sl_landing_lines_as(struct sl_fs *fs, const char *path, const char *name,
                        int (*each)(void *user, struct sl_slice line, struct sl_err *err), void *user, struct sl_err *err)
{
    size_t length = strlen(name);
    bool packed = length > 4 && strcmp(name + length - 4, ".zst") == 0;
    struct landing_reader reader = {.fs = fs, .path = path};
    struct landing_lines lines = {each, user, err, {NULL, 0, 0, false}};
    int rc;

    reader.fd = fs->open(fs, path, O_RDONLY, 0);
    if (reader.fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -reader.fd, "open %s: %s", path, strerror(-reader.fd));
    reader.in = malloc(LANDING_READ_BYTES);
    reader.out = malloc(LANDING_READ_BYTES);
    reader.dctx = packed ? ZSTD_createDCtx() : NULL;
    if (reader.in == NULL || reader.out == NULL || (packed && reader.dctx == NULL))
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory to read %s", path);
    else
        rc = landing_read_all(&reader, &lines);
    (void)ZSTD_freeDCtx(reader.dctx);
    free(reader.in);
    free(reader.out);
    sl_buf_fini(&lines.rest);
    (void)fs->close(fs, reader.fd);
    return rc;
}

int sl_landing_file_crc(struct sl_fs *fs, const char *path, uint32_t *ret_crc32c, uint64_t *ret_bytes, struct sl_err *err)
{
    char *data = malloc(LANDING_READ_BYTES);
    uint32_t crc32c = 0;
    uint64_t at = 0;
    int64_t n = -ENOMEM;
    int fd = data == NULL ? -ENOMEM : fs->open(fs, path, O_RDONLY, 0);

    while (fd >= 0 && (n = fs->pread(fs, fd, data, LANDING_READ_BYTES, at)) > 0) {
        crc32c = sl_crc32c(crc32c, data, (size_t)n);
        at += (uint64_t)n;
    }
    free(data);
    if (fd >= 0)
        (void)fs->close(fs, fd);
    if (fd < 0 || n < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, fd < 0 ? -fd : (int)-n, "read %s: %s", path,
                       strerror(fd < 0 ? -fd : (int)-n));
    *ret_crc32c = crc32c;
    *ret_bytes = at;
    return 0;
}
