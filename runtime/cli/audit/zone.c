/* zone.c: the landing folders: manifests, their files (size, CRC32C, lines), and what else lies there.
 *
 * A listed file that is missing is `expired` (the users' retention), never an error; a file that nobody lists is foreign and left
 * alone, unless its name is one that only we give: then its manifest is missing. What lies under .sluice/tmp is not committed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/cli/audit/audit.h"

enum { ZONE_ENTRY_MAX = 64 << 20, ZONE_DEPTH = 64 };

/* ---- manifests ---- */

static bool zone_ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

struct audit_flush *audit_zone_add(struct audit *audit, struct sl_landing_entry *entry, const char *dir, uint32_t sink)
{
    struct audit_flush *flush = audit_alloc(sizeof(*flush));

    flush->entry = entry;
    flush->dir = dir;
    flush->sink = sink;
    flush->delivered = audit_alloc((entry->ranges_count + 1) * sizeof(*flush->delivered));
    (void)sl_landing_name(entry->node, entry->epoch, entry->number, flush->name);
    if (sl_ledger_init(&flush->account) != 0)
        (void)audit_realloc(NULL, SIZE_MAX); /* no memory */
    if (audit->flushes_count == audit->flushes_capacity) {
        audit->flushes_capacity = audit->flushes_capacity == 0 ? 64 : 2 * audit->flushes_capacity;
        audit->flushes = audit_realloc(audit->flushes, audit->flushes_capacity * sizeof(flush));
    }
    audit->flushes[audit->flushes_count++] = flush;
    return flush;
}

/* All hosts' parts of a sink are one zone (rule C6). */
static void zone_check_id(struct audit *audit, const struct sl_landing_entry *entry, const char *dir, uint32_t sink)
{
    struct audit_sink *row = &audit->sinks[sink];

    if (row->zone[0] == '\0')
        (void)snprintf(row->zone, sizeof(row->zone), "%s", entry->zone);
    else if (strcmp(row->zone, entry->zone) != 0)
        audit_say(audit, AUDIT_ERROR, "zone", "%s holds a manifest of zone %s, sink %s has zone %s", dir, entry->zone, row->name,
                  row->zone);
}

/* Counts that a flush says of itself: files hold what ranges delivered, and accounts balance. */
static void zone_check_sums(struct audit *audit, const struct audit_flush *flush)
{
    const struct sl_landing_entry *entry = flush->entry;
    uint64_t files = 0, ranges = 0, delivered = 0;

    for (uint32_t i = 0; i < entry->files_count; i++)
        files += entry->files[i].records;
    for (uint32_t i = 0; i < entry->ranges_count; i++)
        ranges += entry->ranges[i].delivered;
    for (uint32_t i = 0; i < entry->accounts_count; i++) {
        const struct sl_landing_account *row = &entry->accounts[i];
        uint64_t sum = 0;
        for (int f = 1; f < SL_LANDING_FATES; f++)
            sum += row->fates[f];
        delivered += row->fates[SL_DELIVERED];
        if (sum != row->fates[SL_LIVE])
            audit_say(audit, AUDIT_ERROR, "balance", "flush %s of sink %s, service %.*s: %llu in, but the fates sum up to %llu",
                      flush->name, entry->component, (int)row->service.bytes, row->service.data,
                      (unsigned long long)row->fates[SL_LIVE], (unsigned long long)sum);
    }
    if (files != ranges || (entry->accounts_count > 0 && delivered != ranges))
        audit_say(audit, AUDIT_ERROR, "balance",
                  "flush %s of sink %s: its files have %llu records, its ranges say %llu delivered, its accounts %llu", flush->name,
                  entry->component, (unsigned long long)files, (unsigned long long)ranges, (unsigned long long)delivered);
}

struct zone_listing {
    struct audit *audit;
    const char *dir;
    uint32_t owner; /* row of audit->dirs */
};

static void zone_take(struct zone_listing *listing, const char *path, struct sl_landing_entry *entry)
{
    struct audit *audit = listing->audit;
    uint32_t sink = audit_sink_of(audit, entry->component);

    if (sink == UINT32_MAX || strcmp(entry->topology, audit->topology->name) != 0) {
        audit_say(audit, AUDIT_ERROR, "zone", "%s is of sink %s of topology %s, which is not audited here", path, entry->component,
                  entry->topology);
        (void)sl_landing_entry_free(entry);
        return;
    }
    audit->dirs_sink[listing->owner] = sink;
    zone_check_id(audit, entry, listing->dir, sink);
    zone_check_sums(audit, audit_zone_add(audit, entry, listing->dir, sink));
    audit->sinks[sink].manifests++;
}

static int zone_list_entry(void *user, const char *name)
{
    struct zone_listing *listing = user;
    struct audit *audit = listing->audit;
    struct sl_landing_entry *entry = NULL;
    struct sl_err err = {0};
    char path[PATH_MAX], *data = NULL;
    size_t bytes = 0;
    int rc;

    if (!zone_ends_with(name, ".entry") ||
        snprintf(path, sizeof(path), "%s/" SL_LANDING_MANIFEST "/%s", listing->dir, name) >= (int)sizeof(path))
        return 0;
    rc = sl_fs_read_file(sl_fs_posix(), path, ZONE_ENTRY_MAX, &data, &bytes);
    if (rc < 0)
        audit_say(audit, AUDIT_ERROR, "damaged", "manifest %s cannot be read: %s", path, strerror(-rc));
    else if (sl_landing_decode((struct sl_slice){data, (uint32_t)bytes}, &entry, &err) != 0)
        audit_say(audit, AUDIT_ERROR, "damaged", "manifest %s: %s", path, err.text);
    else
        zone_take(listing, path, entry);
    free(data);
    return 0;
}

void audit_zone_load(struct audit *audit)
{
    for (uint32_t d = 0; d < audit->dirs_count; d++) {
        struct zone_listing listing = {audit, audit->dirs[d], d};
        char path[PATH_MAX];
        int rc;
        if (snprintf(path, sizeof(path), "%s/" SL_LANDING_MANIFEST, audit->dirs[d]) >= (int)sizeof(path))
            continue;
        rc = sl_fs_posix()->list(sl_fs_posix(), path, zone_list_entry, &listing);
        if (rc < 0 && rc != -ENOENT)
            audit_say(audit, AUDIT_ERROR, "damaged", "cannot list %s: %s", path, strerror(-rc));
    }
}

/* ---- files ---- */

bool audit_zone_path(const struct audit *audit, const struct audit_flush *flush, uint32_t file, char path[PATH_MAX])
{
    const struct sl_landing_file *row = &flush->entry->files[file];
    struct sl_fs_stat stat;

    (void)audit;
    if (flush->dir == NULL)
        return false;
    if (snprintf(path, PATH_MAX, "%s/%s", flush->dir, row->final) < PATH_MAX &&
        sl_fs_posix()->stat(sl_fs_posix(), path, &stat) == 0)
        return true;
    return flush->pending && snprintf(path, PATH_MAX, "%s/%s", flush->dir, row->temporary) < PATH_MAX &&
           sl_fs_posix()->stat(sl_fs_posix(), path, &stat) == 0;
}

struct zone_lines {
    struct audit_flush *flush;
    bool letters;
    uint64_t records, bytes;
};

static int zone_line(void *user, struct sl_slice line, struct sl_err *err)
{
    struct zone_lines *lines = user;

    (void)err;
    audit_digest_add(&lines->flush->found, audit_hash_of(line, lines->letters));
    lines->records++;
    lines->bytes += (uint64_t)line.bytes + 1;
    return 0;
}

static void zone_damaged(struct audit *audit, struct audit_flush *flush, const char *text)
{
    flush->damaged = true;
    audit_say(audit, AUDIT_ERROR, "damaged", "%s", text);
}

/* Every number of the manifest is held against the file, so that the text says which kind of damage it is. */
static void zone_prove_file(struct audit *audit, struct audit_flush *flush, uint32_t file)
{
    const struct sl_landing_file *row = &flush->entry->files[file];
    struct zone_lines lines = {.flush = flush, .letters = audit->sinks[flush->sink].dead};
    char path[PATH_MAX], text[PATH_MAX + 400];
    struct sl_err err = {0};
    uint32_t crc32c = 0;
    uint64_t bytes = 0;

    if (!audit_zone_path(audit, flush, file, path)) {
        flush->expired++;
        audit->sinks[flush->sink].expired++;
        return;
    }
    audit->sinks[flush->sink].files++;
    if (sl_landing_file_crc(sl_fs_posix(), path, &crc32c, &bytes, &err) != 0 && /* a server may have renamed it just now */
        (!flush->pending || !audit_zone_path(audit, flush, file, path) ||
         sl_landing_file_crc(sl_fs_posix(), path, &crc32c, &bytes, &err) != 0)) {
        zone_damaged(audit, flush, err.text);
        return;
    }
    if (sl_landing_lines_as(sl_fs_posix(), path, row->final, zone_line, &lines, &err) != 0)
        zone_damaged(audit, flush, err.text);
    audit->sinks[flush->sink].records += lines.records;
    audit->sinks[flush->sink].bytes += bytes;
    if (bytes == row->bytes && crc32c == row->crc32c && lines.records == row->records)
        return;
    (void)snprintf(text, sizeof(text), "%s: %llu bytes with CRC32C %08x and %llu records; manifest %s says %llu, %08x and %llu",
                   path, (unsigned long long)bytes, crc32c, (unsigned long long)lines.records, flush->name,
                   (unsigned long long)row->bytes, row->crc32c, (unsigned long long)row->records);
    zone_damaged(audit, flush, text);
}

/* ---- what else lies there ---- */

struct zone_known { /* names in one dir */
    const char **names;
    size_t count;
};

static int zone_name_order(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static struct zone_known zone_known_of(const struct audit *audit, const char *dir)
{
    struct zone_known known = {NULL, 0};

    for (uint32_t f = 0; f < audit->flushes_count; f++)
        known.count += audit->flushes[f]->dir == dir ? audit->flushes[f]->entry->files_count : 0;
    known.names = audit_alloc((known.count + 1) * sizeof(char *));
    known.count = 0;
    for (uint32_t f = 0; f < audit->flushes_count; f++)
        for (uint32_t i = 0; audit->flushes[f]->dir == dir && i < audit->flushes[f]->entry->files_count; i++)
            known.names[known.count++] = audit->flushes[f]->entry->files[i].final;
    qsort(known.names, known.count, sizeof(char *), zone_name_order);
    for (size_t i = 1; i < known.count; i++)
        if (strcmp(known.names[i - 1], known.names[i]) == 0)
            audit_say((struct audit *)(uintptr_t)audit, AUDIT_ERROR, "doubled", "two manifests name %s/%s", dir, known.names[i]);
    return known;
}

/* NODE-EPOCH-NUMBER.ndjson[.zst]: at least four and eight digits. */
static bool zone_is_our_name(const char *name)
{
    size_t bytes = strlen(name), digits = 0;

    bytes -= zone_ends_with(name, ".ndjson.zst") ? 11 : zone_ends_with(name, ".ndjson") ? 7 : bytes;
    while (digits < bytes && isdigit((unsigned char)name[bytes - 1 - digits]))
        digits++;
    if (digits < 8 || digits == bytes || name[bytes - 1 - digits] != '-')
        return false;
    bytes -= digits + 1;
    for (digits = 0; digits < bytes && isdigit((unsigned char)name[bytes - 1 - digits]);)
        digits++;
    return digits >= 4 && digits + 1 < bytes && name[bytes - 1 - digits] == '-';
}

struct zone_walk {
    struct audit *audit;
    uint32_t dir, depth;
    char path[PATH_MAX]; /* relative to the dir; "" at first */
};

static void zone_remember(struct audit *audit, uint32_t dir, const char *path)
{
    if ((audit->names_count & (audit->names_count - 1)) == 0) /* a power of two is full */
        audit->names = audit_realloc(audit->names, (audit->names_count == 0 ? 1 : 2 * audit->names_count) * sizeof(*audit->names));
    audit->names[audit->names_count++] = (struct audit_name){dir, strdup(path)};
}

/* Of our own folder, only the manifests count. */
static bool zone_skips(const struct zone_walk *walk, const char *name)
{
    return strcmp(walk->path, SL_LANDING_HIDDEN) == 0 && strcmp(name, "manifest") != 0;
}

static int zone_visit(void *user, const char *name)
{
    struct zone_walk *walk = user;
    struct zone_walk *inner;
    struct sl_fs_stat stat;
    char full[PATH_MAX];
    int rc = 0;

    if (zone_skips(walk, name))
        return 0;
    inner = audit_alloc(sizeof(*inner));
    *inner = (struct zone_walk){.audit = walk->audit, .dir = walk->dir, .depth = walk->depth + 1};
    if (snprintf(inner->path, sizeof(inner->path), "%s%s%s", walk->path, walk->path[0] == '\0' ? "" : "/", name) <
            (int)sizeof(inner->path) &&
        snprintf(full, sizeof(full), "%s/%s", walk->audit->dirs[walk->dir], inner->path) < (int)sizeof(full) &&
        sl_fs_posix()->stat(sl_fs_posix(), full, &stat) == 0) {
        if (!stat.is_dir)
            zone_remember(walk->audit, walk->dir, inner->path);
        else if (inner->depth <= ZONE_DEPTH)
            rc = sl_fs_posix()->list(sl_fs_posix(), full, zone_visit, inner);
    }
    free(inner);
    return rc;
}

void audit_zone_look(struct audit *audit)
{
    for (uint32_t d = 0; d < audit->dirs_count; d++) {
        struct zone_walk *walk = audit_alloc(sizeof(*walk));
        int rc;
        *walk = (struct zone_walk){.audit = audit, .dir = d};
        rc = sl_fs_posix()->list(sl_fs_posix(), audit->dirs[d], zone_visit, walk);
        if (rc < 0)
            audit_say(audit, AUDIT_ERROR, "damaged", "cannot list %s: %s", audit->dirs[d], strerror(-rc));
        free(walk);
    }
}

static void zone_stranger(struct audit *audit, const struct audit_name *name)
{
    const char *dir = audit->dirs[name->dir], *slash = strrchr(name->path, '/');
    uint32_t sink = audit->dirs_sink[name->dir];

    if (zone_is_our_name(slash != NULL ? slash + 1 : name->path)) {
        audit_say(audit, AUDIT_ERROR, "orphan", "%s/%s has a name of ours, but no manifest names it: its manifest was removed", dir,
                  name->path);
        return;
    }
    if (sink != UINT32_MAX)
        audit->sinks[sink].foreign++;
    audit_say(audit, AUDIT_NOTE, "foreign", "%s/%s is not ours and was left alone", dir, name->path);
}

/* A readable copy is written before its manifest, so alone it stands only for a flush whose entry is still in the commit. */
static void zone_copy(struct audit *audit, const struct audit_name *name)
{
    const char *file = name->path + sizeof(SL_LANDING_MANIFEST); /* behind the slash */
    size_t bytes = strlen(file);

    if (!zone_ends_with(file, ".json"))
        return;
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        const struct audit_flush *flush = audit->flushes[f];
        if (flush->dir == audit->dirs[name->dir] && strlen(flush->name) == bytes - 5 && strncmp(flush->name, file, bytes - 5) == 0)
            return;
    }
    audit_say(audit, AUDIT_ERROR, "manifest", "%s/%s stands alone: the manifest %.*s.entry was removed or is damaged",
              audit->dirs[name->dir], name->path, (int)bytes - 5, file);
}

static void zone_judge_names(struct audit *audit, uint32_t d)
{
    struct zone_known known = zone_known_of(audit, audit->dirs[d]);

    for (uint32_t i = 0; i < audit->names_count; i++) {
        const struct audit_name *name = &audit->names[i];
        const char *key = name->path;
        if (name->dir != d)
            continue;
        if (strncmp(name->path, SL_LANDING_MANIFEST "/", sizeof(SL_LANDING_MANIFEST)) == 0)
            zone_copy(audit, name);
        else if (known.count == 0 || bsearch(&key, known.names, known.count, sizeof(char *), zone_name_order) == NULL)
            zone_stranger(audit, name);
    }
    free((void *)known.names);
}

static void zone_say_expired(struct audit *audit, const struct audit_flush *flush)
{
    if (flush->expired > 0)
        audit_say(audit, AUDIT_NOTE, "expired", "flush %s of sink %s: %u of its %u files are no longer there (first: %s)",
                  flush->name, audit->sinks[flush->sink].name, flush->expired, flush->entry->files_count,
                  flush->entry->files[0].final);
}

void audit_zone_prove(struct audit *audit)
{
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        struct audit_flush *flush = audit->flushes[f];
        audit_progress(audit, "flushes read", f, audit->flushes_count);
        for (uint32_t i = 0; !flush->later && i < flush->entry->files_count; i++)
            zone_prove_file(audit, flush, i);
        zone_say_expired(audit, flush);
    }
    for (uint32_t d = 0; d < audit->dirs_count; d++)
        zone_judge_names(audit, d);
}
