/* file_set.c: the files of one `file` source, shared by its slots.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_set.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sources/file/file_glob.h"
#include "runtime/engine/op.h"

#define SET_MAGIC 0x54465331u
#define SET_EVERY_NS 1000000000ull

static uint64_t set_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static struct sl_file_entry **set_bucket(struct sl_file_set *set, uint64_t device, uint64_t inode)
{
    return &set->buckets[(inode * 0x9e3779b97f4a7c15ull ^ device) >> 20 & (SL_FILE_BUCKETS - 1)];
}

static struct sl_file_entry *set_find(struct sl_file_set *set, uint64_t device, uint64_t inode)
{
    struct sl_file_entry *entry;

    (void)pthread_mutex_lock(&set->lock);
    entry = *set_bucket(set, device, inode);
    while (entry != NULL && (entry->device != device || entry->inode != inode || entry->state == SL_FILE_GONE))
        entry = entry->chain;
    (void)pthread_mutex_unlock(&set->lock);
    return entry;
}

static void entry_free(struct sl_file_entry *entry)
{
    free(entry->path);
    free(entry->bound_path);
    free(entry);
}

/* ---- the scan ---- */

static bool set_excluded(const struct sl_file_set *set, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    for (uint32_t i = 0; i < set->excludes_count; i++) {
        const char *pattern = set->excludes[i];
        if (fnmatch(pattern, strchr(pattern, '/') == NULL ? name : path, 0) == 0)
            return true;
    }
    return false;
}

static int set_hash(struct sl_file_set *set, const char *path, uint32_t bytes, const struct sl_fs_stat *want,
                    struct sl_file_head *ret_head)
{
    struct sl_fs_stat stat;
    int fd = set->fs->open(set->fs, path, O_RDONLY | O_CLOEXEC, 0), rc;

    if (fd < 0)
        return fd;
    rc = set->fs->fstat(set->fs, fd, &stat);
    if (rc >= 0 && (stat.inode != want->inode || stat.device != want->device))
        rc = -ESTALE; /* another file took the name meanwhile; the next scan sees it */
    if (rc >= 0)
        rc = sl_file_head_read(set->fs, fd, bytes, ret_head);
    (void)set->fs->close(set->fs, fd);
    return rc < 0 ? rc : 0;
}

/* The kept id of a file just found, or a new one (rule A4). NULL: not readable now, or no memory. */
static struct sl_file_id *set_identify(struct sl_file_set *set, const char *path, const struct sl_fs_stat *stat)
{
    struct sl_file_id *id = sl_file_ids_find(&set->ids, stat->device, stat->inode);
    struct sl_file_head head, old;

    if (set_hash(set, path, SL_FILE_HEAD_BYTES, stat, &head) != 0 || head.bytes == 0)
        return NULL;
    if (id != NULL && id->head.bytes <= head.bytes && set_hash(set, path, id->head.bytes, stat, &old) == 0 &&
        old.bytes == id->head.bytes && old.hash == id->head.hash) {
        set->dirty = set->dirty || head.bytes != id->head.bytes;
        id->head = head;
        id->present = true;
        return id;
    }
    id = sl_file_ids_bind(&set->ids, stat, head, path, set_random(&set->random[0]), set_random(&set->random[1]));
    set->dirty = set->dirty || id != NULL;
    return id;
}

static int set_add(struct sl_file_set *set, const char *path, const struct sl_fs_stat *stat)
{
    const struct sl_file_id *id = stat->bytes == 0 ? NULL : set_identify(set, path, stat);
    struct sl_file_entry *entry, **bucket;

    if (id == NULL)
        return 0;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return -ENOMEM;
    entry->path = strdup(path);
    entry->bound_path = strdup(id->path);
    if (entry->path == NULL || entry->bound_path == NULL) {
        entry_free(entry);
        return -ENOMEM;
    }
    entry->device = stat->device;
    entry->inode = stat->inode;
    entry->bytes = stat->bytes;
    entry->seen = set->scan;
    memcpy(entry->id, id->id, sizeof(entry->id));
    entry->head = id->head;
    (void)pthread_mutex_lock(&set->lock);
    bucket = set_bucket(set, entry->device, entry->inode);
    entry->chain = *bucket;
    *bucket = entry;
    *set->last = entry;
    set->last = &entry->next;
    (void)pthread_mutex_unlock(&set->lock);
    return 0;
}

static void entry_named(struct sl_file_set *set, struct sl_file_entry *entry, const char *path)
{
    char *copy = strcmp(entry->path, path) == 0 ? NULL : strdup(path);

    if (copy == NULL)
        return;
    (void)pthread_mutex_lock(&set->lock);
    free(entry->path);
    entry->path = copy;
    (void)pthread_mutex_unlock(&set->lock);
}

/* Gives a new id to a file whose owner found it truncated, and a full-length head to one that was short when it was bound. */
static void entry_refresh(struct sl_file_set *set, struct sl_file_entry *entry, const struct sl_fs_stat *stat)
{
    const bool grow = entry->head.bytes < SL_FILE_HEAD_BYTES && stat->bytes > entry->head.bytes;
    struct sl_file_head head;
    struct sl_file_id *id;
    char *bound_path;
    bool rebind;

    (void)pthread_mutex_lock(&set->lock);
    rebind = entry->rebind;
    (void)pthread_mutex_unlock(&set->lock);
    if (rebind ? !entry->durable : !grow)
        return; /* bound already and only to be written, or nothing to do */
    if (set_hash(set, entry->path, SL_FILE_HEAD_BYTES, stat, &head) != 0 || head.bytes == 0)
        return;
    if (entry->rebind)
        id = sl_file_ids_bind(&set->ids, stat, head, entry->path, set_random(&set->random[0]), set_random(&set->random[1]));
    else
        id = sl_file_ids_find(&set->ids, entry->device, entry->inode);
    bound_path = id == NULL ? NULL : strdup(id->path);
    if (bound_path == NULL)
        return;
    (void)pthread_mutex_lock(&set->lock);
    if (!rebind && !entry->rebind && head.bytes >= entry->head.bytes) {
        id->head = head;
        entry->head = head;
    } else if (rebind) {
        memcpy(entry->id, id->id, sizeof(entry->id));
        entry->head = head;
        free(entry->bound_path);
        entry->bound_path = bound_path;
        bound_path = NULL;
        entry->durable = false; /* until written; `rebind` falls with it */
    }
    set->dirty = true;
    (void)pthread_mutex_unlock(&set->lock);
    free(bound_path);
}

static int set_found(void *user, const char *path, const struct sl_fs_stat *stat)
{
    struct sl_file_set *set = user;
    struct sl_file_entry *entry;

    if (set_excluded(set, path))
        return 0;
    entry = set_find(set, stat->device, stat->inode);
    if (entry == NULL)
        return set_add(set, path, stat);
    if (entry->seen == set->scan)
        return 0; /* a second pattern or a hard link */
    entry_named(set, entry, path);
    entry_refresh(set, entry, stat);
    (void)pthread_mutex_lock(&set->lock);
    entry->seen = set->scan;
    entry->bytes = stat->bytes;
    entry->refused = false;
    (void)pthread_mutex_unlock(&set->lock);
    return 0;
}

static void set_unchain(struct sl_file_set *set, struct sl_file_entry *entry)
{
    struct sl_file_entry **at = set_bucket(set, entry->device, entry->inode);

    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
}

/* Frees what is gone: left by its owner, or never claimed and not there any more. */
static void set_sweep(struct sl_file_set *set)
{
    struct sl_file_entry **at = &set->first;

    (void)pthread_mutex_lock(&set->lock);
    while (*at != NULL) {
        struct sl_file_entry *entry = *at;
        if (entry->state == SL_FILE_GONE || (entry->state == SL_FILE_FREE && entry->seen != set->scan)) {
            struct sl_file_id *id = sl_file_ids_find(&set->ids, entry->device, entry->inode);
            if (id != NULL)
                id->present = false;
            set_unchain(set, entry);
            *at = entry->next;
            entry_free(entry);
        } else {
            at = &entry->next;
        }
    }
    set->last = at;
    (void)pthread_mutex_unlock(&set->lock);
}

static int set_write(struct sl_file_set *set, struct sl_err *err)
{
    size_t bytes = 0;
    char *text = sl_file_ids_print(&set->ids, &bytes);
    int rc = text == NULL ? -ENOMEM : sl_fs_replace_file(set->fs, set->ids_path, text, bytes);

    free(text);
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "writing %s: %s; new files wait", set->ids_path, strerror(-rc));
    set->dirty = false;
    return 0;
}

static void set_publish(struct sl_file_set *set)
{
    (void)pthread_mutex_lock(&set->lock);
    for (struct sl_file_entry *entry = set->first; entry != NULL; entry = entry->next)
        if (!entry->durable) {
            entry->durable = true;
            entry->rebind = false;
        }
    (void)pthread_mutex_unlock(&set->lock);
}

/* ---- beside another version ---- */

static bool set_is_behind(const struct sl_file_set *set)
{
    bool behind;

    (void)pthread_mutex_lock(&set->kin->lock);
    behind = set->written != set->kin->written;
    (void)pthread_mutex_unlock(&set->kin->lock);
    return behind;
}

static void set_written(struct sl_file_set *set, bool mine)
{
    (void)pthread_mutex_lock(&set->kin->lock);
    set->kin->written += mine;
    set->written = set->kin->written;
    (void)pthread_mutex_unlock(&set->kin->lock);
}

/* What this set has bound and could not write is bound anew: nobody has read under such an id. */
static void set_forget_unwritten(struct sl_file_set *set)
{
    struct sl_file_entry **at = &set->first;

    (void)pthread_mutex_lock(&set->lock);
    while (*at != NULL) {
        struct sl_file_entry *entry = *at;
        if (entry->durable || entry->rebind || entry->state != SL_FILE_FREE) {
            entry->durable = true; /* one that waits for another id gets it from this scan */
            at = &entry->next;
            continue;
        }
        set_unchain(set, entry);
        *at = entry->next;
        entry_free(entry);
    }
    set->last = at;
    (void)pthread_mutex_unlock(&set->lock);
}

/* The ids as another version has written them; files that nobody here reads take what they have become. */
static int set_catch_up(struct sl_file_set *set, struct sl_err *err)
{
    struct sl_file_ids ids = {0};

    if (sl_file_ids_load(&ids, set->fs, set->ids_path, err) != 0)
        return -(int)err->code;
    sl_file_ids_fini(&set->ids);
    set->ids = ids;
    set->dirty = false;
    set_written(set, false);
    set_forget_unwritten(set);
    (void)pthread_mutex_lock(&set->lock);
    for (struct sl_file_entry *entry = set->first; entry != NULL; entry = entry->next) {
        struct sl_file_id *id = sl_file_ids_find(&set->ids, entry->device, entry->inode);
        char *bound_path = id == NULL || entry->state != SL_FILE_FREE ? NULL : strdup(id->path);
        if (id != NULL)
            id->present = true;
        if (bound_path == NULL)
            continue;
        memcpy(entry->id, id->id, sizeof(entry->id));
        entry->head = id->head;
        free(entry->bound_path);
        entry->bound_path = bound_path;
    }
    (void)pthread_mutex_unlock(&set->lock);
    return 0;
}

/* Files that slots read under other versions, by device and inode. */
struct set_elsewhere {
    struct { uint64_t device, inode; } *files;
    uint32_t count, cap;
};

static int set_elsewhere_add(struct set_elsewhere *elsewhere, const struct sl_file_entry *entry)
{
    if (elsewhere->count == elsewhere->cap) {
        uint32_t cap = elsewhere->cap == 0 ? 16 : elsewhere->cap * 2;
        void *files = realloc(elsewhere->files, cap * sizeof(*elsewhere->files));
        if (files == NULL)
            return -1;
        elsewhere->files = files;
        elsewhere->cap = cap;
    }
    elsewhere->files[elsewhere->count].device = entry->device;
    elsewhere->files[elsewhere->count++].inode = entry->inode;
    return 0;
}

/* Under the kin's lock, so none is claimed meanwhile; two sets are never locked at once. Most have none: the version before has given up what it
 * read by the time the next one opens. */
static int set_elsewhere_look(const struct sl_file_set *set, struct set_elsewhere *elsewhere)
{
    int status = 0;

    for (struct sl_file_set *other = set->kin->sets; status == 0 && other != NULL; other = other->kin_next) {
        if (other == set)
            continue;
        (void)pthread_mutex_lock(&other->lock);
        for (const struct sl_file_entry *at = other->first; status == 0 && at != NULL; at = at->next)
            if (at->state == SL_FILE_OWNED)
                status = set_elsewhere_add(elsewhere, at);
        (void)pthread_mutex_unlock(&other->lock);
    }
    return status;
}

static bool set_is_elsewhere(const struct set_elsewhere *elsewhere, const struct sl_file_entry *entry)
{
    for (uint32_t i = 0; i < elsewhere->count; i++)
        if (elsewhere->files[i].device == entry->device && elsewhere->files[i].inode == entry->inode)
            return true;
    return false;
}

static int set_walk(struct sl_file_set *set, struct sl_err *err)
{
    int trouble = 0;

    for (uint32_t i = 0; i < set->patterns_count; i++) {
        int rc = sl_file_glob(set->fs, set->patterns[i], set_found, set);
        if (rc != 0 && trouble == 0)
            trouble = sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "looking for %s: %s", set->patterns[i], strerror(-rc));
    }
    return trouble;
}

/* Under the kin's `scan`: nobody else writes the ids meanwhile. */
static int set_scan(struct sl_file_set *set, struct sl_err *err)
{
    bool mine;
    int rc, written = 0;

    if (set_is_behind(set) && set_catch_up(set, err) != 0)
        return -(int)err->code;
    rc = set_walk(set, err);
    set_sweep(set);
    mine = set->dirty;
    if (mine)
        written = set_write(set, err);
    if (written == 0) {
        set_publish(set);
        set_written(set, mine);
    }
    return written != 0 ? written : rc;
}

int sl_file_set_scan(struct sl_file_set *set, struct sl_err *err)
{
    int rc;

    assert(set->magic == SET_MAGIC);
    (void)pthread_mutex_lock(&set->lock);
    assert(!set->scanning);
    set->scanning = true;
    set->scan++;
    (void)pthread_mutex_unlock(&set->lock);
    (void)pthread_mutex_lock(&set->kin->scan);
    rc = set_scan(set, err);
    (void)pthread_mutex_unlock(&set->kin->scan);
    (void)pthread_mutex_lock(&set->lock);
    set->scanning = false;
    (void)pthread_cond_broadcast(&set->scanned);
    (void)pthread_mutex_unlock(&set->lock);
    return rc;
}

/* ---- owners ---- */

bool sl_file_set_due(struct sl_file_set *set, uint64_t now_ns)
{
    bool due;

    (void)pthread_mutex_lock(&set->lock);
    due = (set->asked || !set->once) && !set->scanning && now_ns >= set->due_ns;
    if (due) {
        set->due_ns = now_ns + SET_EVERY_NS;
        set->asked = false;
    }
    (void)pthread_mutex_unlock(&set->lock);
    return due;
}

static struct sl_file_entry *set_claim(struct sl_file_set *set, const struct set_elsewhere *elsewhere)
{
    struct sl_file_entry *entry;

    for (entry = set->first; entry != NULL; entry = entry->next)
        if (entry->state == SL_FILE_FREE && entry->durable && !entry->rebind && !entry->refused && !set_is_elsewhere(elsewhere, entry))
            break;
    if (entry != NULL)
        entry->state = SL_FILE_OWNED;
    return entry;
}

/* Not before a scan that knows what another version has written: the file may have another id by now. */
struct sl_file_entry *sl_file_set_claim(struct sl_file_set *set)
{
    struct sl_file_entry *entry = NULL;
    struct set_elsewhere elsewhere = {0};
    int status;

    (void)pthread_mutex_lock(&set->kin->lock);
    status = set_elsewhere_look(set, &elsewhere); /* no memory: the next time */
    (void)pthread_mutex_lock(&set->lock);
    if (set->written != set->kin->written)
        set->asked = true;
    else if (status == 0)
        entry = set_claim(set, &elsewhere);
    (void)pthread_mutex_unlock(&set->lock);
    (void)pthread_mutex_unlock(&set->kin->lock);
    free(elsewhere.files);
    return entry;
}

void sl_file_set_give_back(struct sl_file_set *set, struct sl_file_entry *entry, enum sl_file_state state, bool refused)
{
    (void)pthread_mutex_lock(&set->lock);
    assert(entry->state == SL_FILE_OWNED && state != SL_FILE_OWNED);
    entry->state = state;
    entry->refused = refused;
    (void)pthread_mutex_unlock(&set->lock);
}

void sl_file_set_rebind(struct sl_file_set *set, struct sl_file_entry *entry)
{
    (void)pthread_mutex_lock(&set->lock);
    entry->rebind = true;
    set->asked = true;
    set->due_ns = 0;
    (void)pthread_mutex_unlock(&set->lock);
}

void sl_file_set_look(struct sl_file_set *set, const struct sl_file_entry *entry, struct sl_file_look *ret_look)
{
    (void)pthread_mutex_lock(&set->lock);
    memcpy(ret_look->id, entry->id, sizeof(ret_look->id));
    ret_look->head = entry->head;
    ret_look->rebind = entry->rebind;
    ret_look->missing = !set->scanning && entry->seen != set->scan;
    (void)pthread_mutex_unlock(&set->lock);
}

char *sl_file_set_path(struct sl_file_set *set, const struct sl_file_entry *entry)
{
    char *path;

    (void)pthread_mutex_lock(&set->lock);
    path = strdup(entry->path);
    (void)pthread_mutex_unlock(&set->lock);
    return path;
}

char *sl_file_set_bound_path(struct sl_file_set *set, const struct sl_file_entry *entry)
{
    char *path;

    (void)pthread_mutex_lock(&set->lock);
    path = strdup(entry->bound_path);
    (void)pthread_mutex_unlock(&set->lock);
    return path;
}

uint64_t sl_file_set_unclaimed(struct sl_file_set *set, uint32_t *ret_count)
{
    uint64_t bytes = 0;

    *ret_count = 0;
    (void)pthread_mutex_lock(&set->lock);
    for (const struct sl_file_entry *entry = set->first; entry != NULL; entry = entry->next)
        if (entry->state == SL_FILE_FREE && !entry->refused) {
            bytes += entry->bytes;
            (*ret_count)++;
        }
    (void)pthread_mutex_unlock(&set->lock);
    return bytes;
}

/* ---- open and close ---- */

static char *set_absolute(const char *base_dir, const char *path)
{
    char *out = NULL;

    if (path[0] == '/' || base_dir == NULL)
        return strdup(path);
    return asprintf(&out, "%s/%s", base_dir, path) < 0 ? NULL : out;
}

static int set_strings(const struct sl_strings *from, const char *base_dir, bool names, char ***ret_items, uint32_t *ret_count)
{
    char **items = calloc(from->count + 1, sizeof(*items));

    if (items == NULL)
        return -1;
    *ret_items = items;
    for (uint32_t i = 0; i < from->count; i++, (*ret_count)++) {
        bool name = names && strchr(from->items[i], '/') == NULL;
        items[i] = name ? strdup(from->items[i]) : set_absolute(base_dir, from->items[i]);
        if (items[i] == NULL)
            return -1;
    }
    return 0;
}

static int set_patterns(struct sl_file_set *set, const char *base_dir, const struct sl_file_set_settings *settings)
{
    return set_strings(&settings->paths, base_dir, false, &set->patterns, &set->patterns_count) != 0 ||
                   set_strings(&settings->exclude, base_dir, true, &set->excludes, &set->excludes_count) != 0
               ? -ENOMEM
               : 0;
}

static int set_prepare(struct sl_file_set *set, const struct sl_api *api, const struct sl_file_set_settings *settings)
{
    char dir[4096];

    if (snprintf(dir, sizeof(dir), "%s/topologies/%s", api->data_dir, api->topology) >= (int)sizeof(dir))
        return -ENAMETOOLONG;
    if (asprintf(&set->ids_path, "%s/files-%s", dir, api->component) < 0) {
        set->ids_path = NULL;
        return -ENOMEM;
    }
    if (set_patterns(set, api->base_dir, settings) != 0)
        return -ENOMEM;
    return sl_fs_mkdirs(set->fs, dir, 0750);
}

static int set_start(struct sl_file_set *set, const struct sl_api *api, const struct sl_file_set_settings *settings,
                     struct sl_err *err)
{
    int rc = set_prepare(set, api, settings);

    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "making its folder in %s: %s", api->data_dir, strerror(-rc));
    set->kin = sl_file_kin_join(set, set->fs, set->ids_path);
    if (set->kin == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for its files");
    set->written = UINT64_MAX; /* the first scan loads them */
    rc = sl_file_set_scan(set, err);
    if (rc != 0 && (set->once || set->written == UINT64_MAX))
        return rc;
    if (set->once && set->scan == 1 && set->first == NULL) {
        for (uint32_t i = 0; i < set->patterns_count; i++) {
            struct sl_fs_stat stat;
            if (!sl_file_glob_magic(set->patterns[i]) && set->fs->stat(set->fs, set->patterns[i], &stat) < 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENOENT, "paths: there is no file %s", set->patterns[i]);
        }
    }
    return 0;
}

int sl_file_set_open(const struct sl_api *api, const struct sl_file_set_settings *settings, struct sl_file_set **ret_set,
                     struct sl_err *err)
{
    struct sl_file_set *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    set->magic = SET_MAGIC;
    set->fs = api->fs;
    set->once = settings->once;
    set->last = &set->first;
    set->random[0] = api->random(api->env);
    set->random[1] = api->random(api->env);
    (void)pthread_mutex_init(&set->lock, NULL);
    (void)pthread_cond_init(&set->scanned, NULL);
    if (set_start(set, api, settings, err) != 0) {
        (void)sl_file_set_close(set);
        return sl_while(err, "source %s", api->component);
    }
    *ret_set = set;
    return 0;
}

static void strings_free(char **items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(items[i]);
    free(items);
}

struct set_count {
    const struct sl_file_set *set;
    uint32_t files;
};

static int set_count_one(void *user, const char *path, const struct sl_fs_stat *stat)
{
    struct set_count *count = user;

    (void)stat;
    count->files += !set_excluded(count->set, path);
    return 0;
}

int sl_file_set_count(struct sl_fs *fs, const char *base_dir, const struct sl_file_set_settings *settings, uint32_t *ret_count)
{
    struct sl_file_set *set = calloc(1, sizeof(*set));
    struct set_count count = {set, 0};
    int rc = set == NULL ? -ENOMEM : set_patterns(set, base_dir, settings);

    for (uint32_t i = 0; rc == 0 && i < set->patterns_count; i++)
        (void)sl_file_glob(fs, set->patterns[i], set_count_one, &count); /* an unreadable folder is the scan's to report */
    if (set != NULL) {
        strings_free(set->patterns, set->patterns_count);
        strings_free(set->excludes, set->excludes_count);
    }
    free(set);
    if (rc == 0)
        *ret_count = count.files;
    return rc;
}

struct sl_file_set *sl_file_set_close(struct sl_file_set *set)
{
    if (set == NULL)
        return NULL;
    (void)pthread_mutex_lock(&set->lock);
    while (set->scanning)
        (void)pthread_cond_wait(&set->scanned, &set->lock);
    (void)pthread_mutex_unlock(&set->lock);
    if (set->kin != NULL)
        sl_file_kin_leave(set);
    while (set->first != NULL) {
        struct sl_file_entry *next = set->first->next;
        entry_free(set->first);
        set->first = next;
    }
    strings_free(set->patterns, set->patterns_count);
    strings_free(set->excludes, set->excludes_count);
    sl_file_ids_fini(&set->ids);
    (void)pthread_cond_destroy(&set->scanned);
    (void)pthread_mutex_destroy(&set->lock);
    free(set->ids_path);
    free(set);
    return NULL;
}
