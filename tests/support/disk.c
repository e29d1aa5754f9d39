/* disk.c: the modelled disk.
 *
 * A file's content is a plain array; pending writes are kept as copies in order, so that a crash can rebuild the content from
 * the durable array and any subset of them. A folder has its entries as seen and as durable, and a list of pending changes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISK_SECTOR = 512 };

struct disk_bytes {
    unsigned char *data;
    uint64_t bytes, room;
};

struct disk_write { /* or a truncation: data NULL */
    struct disk_write *next;
    uint64_t at, bytes;
    unsigned char *data;
};

struct disk_entry {
    char *name;
    uint32_t inode;
};

struct disk_entries {
    struct disk_entry *items;
    size_t count, room;
};

struct disk_change { /* name now means inode; 0: nothing. Changes of one call share their number and their fate. */
    struct disk_change *next;
    uint64_t call;
    uint32_t inode;
    char name[];
};

struct disk_inode {
    bool is_dir;
    struct disk_bytes seen, durable;
    struct disk_write *writes, **writes_end;
    struct disk_entries names, names_durable;
    struct disk_change *changes, **changes_end;
    int lock_fd; /* descriptor + 1 */
};

struct disk_open {
    uint32_t inode; /* 0: free */
    int flags;
};

struct sl_disk {
    struct sl_fs fs; /* first: calls come with its address */
    pthread_mutex_t lock;
    struct disk_inode **inodes; /* [0] unused, [1] the root */
    uint32_t inodes_count;
    struct disk_open *opens;
    int opens_count;
    uint64_t random, ops, crash_at, fsyncs, fail_fsync_at, capacity;
    bool crashed;
};

static uint64_t disk_random(struct sl_disk *disk)
{
    uint64_t z = (disk->random += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void *disk_must(void *memory)
{
    if (memory == NULL)
        abort(); /* a test without memory has nothing to say */
    return memory;
}

/* ---- bytes ---- */

static void bytes_resize(struct disk_bytes *bytes, uint64_t size)
{
    if (size > bytes->room) {
        uint64_t room = bytes->room < 4096 ? 4096 : bytes->room;
        while (room < size)
            room *= 2;
        bytes->data = disk_must(realloc(bytes->data, room));
        bytes->room = room;
    }
    if (size > bytes->bytes)
        memset(bytes->data + bytes->bytes, 0, size - bytes->bytes);
    bytes->bytes = size;
}

static void bytes_write(struct disk_bytes *bytes, uint64_t at, const unsigned char *data, uint64_t count)
{
    if (count == 0)
        return;
    if (at + count > bytes->bytes)
        bytes_resize(bytes, at + count);
    memcpy(bytes->data + at, data, count);
}

static void bytes_copy(struct disk_bytes *to, const struct disk_bytes *from)
{
    to->bytes = 0;
    bytes_write(to, 0, from->data, from->bytes);
}

/* ---- entries ---- */

static uint32_t entries_get(const struct disk_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return entries->items[i].inode;
    return 0;
}

static void entries_set(struct disk_entries *entries, const char *name, uint32_t inode)
{
    size_t i = 0;
    while (i < entries->count && strcmp(entries->items[i].name, name) != 0)
        i++;
    if (i < entries->count && inode != 0) {
        entries->items[i].inode = inode;
    } else if (i < entries->count) {
        free(entries->items[i].name);
        entries->items[i] = entries->items[--entries->count];
    } else if (inode != 0) {
        if (entries->count == entries->room) {
            entries->room = entries->room == 0 ? 8 : 2 * entries->room;
            entries->items = disk_must(realloc(entries->items, entries->room * sizeof(*entries->items)));
        }
        entries->items[entries->count++] = (struct disk_entry){disk_must(strdup(name)), inode};
    }
}

static void entries_clear(struct disk_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->items[i].name);
    free(entries->items);
    *entries = (struct disk_entries){0};
}

static void entries_copy(struct disk_entries *to, const struct disk_entries *from)
{
    entries_clear(to);
    for (size_t i = 0; i < from->count; i++)
        entries_set(to, from->items[i].name, from->items[i].inode);
}

/* ---- inodes ---- */

static uint32_t disk_inode_new(struct sl_disk *disk, bool is_dir)
{
    struct disk_inode *inode = disk_must(calloc(1, sizeof(*inode)));
    inode->is_dir = is_dir;
    inode->writes_end = &inode->writes;
    inode->changes_end = &inode->changes;
    disk->inodes = disk_must(realloc(disk->inodes, (disk->inodes_count + 1) * sizeof(struct disk_inode *)));
    disk->inodes[disk->inodes_count] = inode;
    return disk->inodes_count++;
}

static void inode_forget_writes(struct disk_inode *inode)
{
    while (inode->writes != NULL) {
        struct disk_write *next = inode->writes->next;
        free(inode->writes->data);
        free(inode->writes);
        inode->writes = next;
    }
    inode->writes_end = &inode->writes;
}

static void inode_forget_changes(struct disk_inode *inode)
{
    while (inode->changes != NULL) {
        struct disk_change *next = inode->changes->next;
        free(inode->changes);
        inode->changes = next;
    }
    inode->changes_end = &inode->changes;
}

static void inode_add_write(struct disk_inode *inode, uint64_t at, const void *data, uint64_t bytes)
{
    struct disk_write *write = disk_must(calloc(1, sizeof(*write)));
    *write = (struct disk_write){.at = at, .bytes = bytes};
    if (data != NULL) {
        write->data = disk_must(malloc(bytes + 1));
        memcpy(write->data, data, bytes);
    }
    *inode->writes_end = write;
    inode->writes_end = &write->next;
}

static void inode_name(struct disk_inode *dir, const char *name, uint32_t inode, uint64_t call)
{
    struct disk_change *change = disk_must(calloc(1, sizeof(*change) + strlen(name) + 1));
    change->inode = inode;
    change->call = call;
    memcpy(change->name, name, strlen(name) + 1);
    *dir->changes_end = change;
    dir->changes_end = &change->next;
    entries_set(&dir->names, name, inode);
}

/* ---- paths ---- */

/* Walks to the folder of the last component. Its inode, or -errno; relative paths begin at the root. */
static int64_t disk_parent(struct sl_disk *disk, const char *path, char *ret_name)
{
    uint32_t at = 1;
    ret_name[0] = '\0';
    for (;;) {
        size_t bytes;
        path += strspn(path, "/");
        bytes = strcspn(path, "/");
        if (bytes == 0)
            return at;
        if (bytes > NAME_MAX)
            return -ENAMETOOLONG;
        if (ret_name[0] != '\0') {
            at = entries_get(&disk->inodes[at]->names, ret_name);
            if (at == 0)
                return -ENOENT;
            if (!disk->inodes[at]->is_dir)
                return -ENOTDIR;
        }
        if (bytes == 1 && path[0] == '.') {
            path += bytes;
            continue;
        }
        memcpy(ret_name, path, bytes);
        ret_name[bytes] = '\0';
        path += bytes;
    }
}

static int64_t disk_find(struct sl_disk *disk, const char *path)
{
    char name[NAME_MAX + 1];
    int64_t parent = disk_parent(disk, path, name);
    uint32_t inode;
    if (parent < 0)
        return parent;
    if (name[0] == '\0')
        return parent;
    inode = entries_get(&disk->inodes[parent]->names, name);
    return inode == 0 ? -ENOENT : (int64_t)inode;
}

/* ---- calls ---- */

static struct sl_disk *disk_enter(struct sl_fs *fs)
{
    struct sl_disk *disk = (struct sl_disk *)fs;
    (void)pthread_mutex_lock(&disk->lock);
    return disk;
}

static int64_t disk_leave(struct sl_disk *disk, int64_t rc)
{
    (void)pthread_mutex_unlock(&disk->lock);
    return rc;
}

/* Counts a changing call. True: it has no effect, the machine has stopped. The last one before the stop takes effect but is
 * answered with an error by disk_answer. */
static bool disk_is_stopped(struct sl_disk *disk)
{
    if (disk->crashed)
        return true;
    disk->ops++;
    return false;
}

static int64_t disk_answer(struct sl_disk *disk, int64_t rc)
{
    if (disk->ops >= disk->crash_at)
        disk->crashed = true;
    return disk_leave(disk, disk->crashed ? -EIO : rc);
}

static int disk_descriptor(struct sl_disk *disk, uint32_t inode, int flags)
{
    int fd = 0;
    while (fd < disk->opens_count && disk->opens[fd].inode != 0)
        fd++;
    if (fd == disk->opens_count) {
        disk->opens = disk_must(realloc(disk->opens, ((size_t)disk->opens_count + 1) * sizeof(*disk->opens)));
        disk->opens_count++;
    }
    disk->opens[fd] = (struct disk_open){inode, flags};
    return fd;
}

static struct disk_inode *disk_of(struct sl_disk *disk, int fd)
{
    if (fd < 0 || fd >= disk->opens_count || disk->opens[fd].inode == 0)
        return NULL;
    return disk->inodes[disk->opens[fd].inode];
}

static int disk_open_locked(struct sl_disk *disk, const char *path, int flags)
{
    char name[NAME_MAX + 1];
    int64_t parent = disk_parent(disk, path, name);
    uint32_t inode;

    if (parent < 0)
        return (int)parent;
    inode = name[0] == '\0' ? (uint32_t)parent : entries_get(&disk->inodes[parent]->names, name);
    if (inode == 0 && (flags & O_CREAT) == 0)
        return -ENOENT;
    if (inode != 0 && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return -EEXIST;
    if (inode == 0) {
        inode = disk_inode_new(disk, false);
        inode_name(disk->inodes[parent], name, inode, disk->ops);
    }
    if (disk->inodes[inode]->is_dir && (flags & O_ACCMODE) != O_RDONLY)
        return -EISDIR;
    if ((flags & O_TRUNC) != 0) {
        inode_add_write(disk->inodes[inode], 0, NULL, 0);
        bytes_resize(&disk->inodes[inode]->seen, 0);
    }
    return disk_descriptor(disk, inode, flags);
}

static int disk_open(struct sl_fs *fs, const char *path, int flags, unsigned mode)
{
    struct sl_disk *disk = disk_enter(fs);
    (void)mode;
    if ((flags & (O_CREAT | O_TRUNC)) == 0)
        return (int)disk_leave(disk, disk->crashed ? -EIO : disk_open_locked(disk, path, flags));
    if (disk_is_stopped(disk))
        return (int)disk_leave(disk, -EIO);
    return (int)disk_answer(disk, disk_open_locked(disk, path, flags));
}

static int disk_close(struct sl_fs *fs, int fd)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);
    if (inode == NULL)
        return (int)disk_leave(disk, disk->crashed ? -EIO : -EBADF);
    if (inode->lock_fd == fd + 1)
        inode->lock_fd = 0;
    disk->opens[fd].inode = 0;
    return (int)disk_leave(disk, disk->crashed ? -EIO : 0);
}

static int64_t disk_pread(struct sl_fs *fs, int fd, void *data, size_t bytes, uint64_t at)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);
    if (disk->crashed || inode == NULL)
        return disk_leave(disk, disk->crashed ? -EIO : -EBADF);
    if (at >= inode->seen.bytes)
        return disk_leave(disk, 0);
    if (bytes > inode->seen.bytes - at)
        bytes = (size_t)(inode->seen.bytes - at);
    memcpy(data, inode->seen.data + at, bytes);
    return disk_leave(disk, (int64_t)bytes);
}

/* Marks what names reach: as seen, or as durable as well. */
static void disk_reach(const struct sl_disk *disk, bool *reached, uint32_t inode, bool durable)
{
    reached[inode] = true;
    for (int both = 0; both <= (durable ? 1 : 0); both++) {
        const struct disk_entries *names = both ? &disk->inodes[inode]->names_durable : &disk->inodes[inode]->names;
        for (size_t i = 0; i < names->count; i++)
            if (!reached[names->items[i].inode])
                disk_reach(disk, reached, names->items[i].inode, durable);
    }
}

static uint64_t disk_used(const struct sl_disk *disk)
{
    bool *reached = disk_must(calloc(disk->inodes_count, sizeof(*reached)));
    uint64_t used = 0;
    disk_reach(disk, reached, 1, false);
    for (int fd = 0; fd < disk->opens_count; fd++)
        reached[disk->opens[fd].inode] = true;
    for (uint32_t i = 1; i < disk->inodes_count; i++)
        used += reached[i] ? disk->inodes[i]->seen.bytes : 0;
    free(reached);
    return used;
}

static int64_t disk_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);
    uint64_t grows, room = 0;

    if (disk_is_stopped(disk))
        return disk_leave(disk, -EIO);
    if (inode == NULL || (disk->opens[fd].flags & O_ACCMODE) == O_RDONLY)
        return disk_answer(disk, -EBADF);
    grows = at + bytes > inode->seen.bytes ? at + bytes - inode->seen.bytes : 0;
    if (disk->capacity != UINT64_MAX) {
        uint64_t used = disk_used(disk);
        room = used < disk->capacity ? disk->capacity - used : 0;
        if (grows > room) {
            uint64_t cut = grows - room;
            bytes = cut < bytes ? bytes - (size_t)cut : 0;
        }
    }
    if (bytes == 0)
        return disk_answer(disk, grows > 0 ? -ENOSPC : 0);
    inode_add_write(inode, at, data, bytes);
    bytes_write(&inode->seen, at, data, bytes);
    return disk_answer(disk, (int64_t)bytes);
}

static bool disk_fsync_fails(struct sl_disk *disk)
{
    disk->fsyncs++;
    return disk->fail_fsync_at != 0 && disk->fsyncs == disk->fail_fsync_at;
}

static int disk_fsync(struct sl_fs *fs, int fd)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);

    if (disk_is_stopped(disk))
        return (int)disk_leave(disk, -EIO);
    if (inode == NULL)
        return (int)disk_answer(disk, -EBADF);
    if (disk->ops >= disk->crash_at) /* stopped within: nothing more is certain */
        return (int)disk_answer(disk, -EIO);
    if (disk_fsync_fails(disk)) {
        inode_forget_writes(inode); /* pages are clean now; what is seen was never written */
        return (int)disk_answer(disk, -EIO);
    }
    for (struct disk_write *write = inode->writes; write != NULL; write = write->next) {
        if (write->data == NULL)
            bytes_resize(&inode->durable, write->bytes);
        else
            bytes_write(&inode->durable, write->at, write->data, write->bytes);
    }
    inode_forget_writes(inode);
    return (int)disk_answer(disk, 0);
}

static int disk_truncate(struct sl_fs *fs, int fd, uint64_t bytes)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);
    if (disk_is_stopped(disk))
        return (int)disk_leave(disk, -EIO);
    if (inode == NULL)
        return (int)disk_answer(disk, -EBADF);
    inode_add_write(inode, 0, NULL, bytes);
    bytes_resize(&inode->seen, bytes);
    return (int)disk_answer(disk, 0);
}

static void disk_fill_stat(const struct sl_disk *disk, uint32_t inode, struct sl_fs_stat *ret_stat)
{
    *ret_stat = (struct sl_fs_stat){
        .bytes = disk->inodes[inode]->seen.bytes, .device = 1, .inode = inode, .is_dir = disk->inodes[inode]->is_dir};
}

static int disk_stat(struct sl_fs *fs, const char *path, struct sl_fs_stat *ret_stat)
{
    struct sl_disk *disk = disk_enter(fs);
    int64_t inode = disk->crashed ? -EIO : disk_find(disk, path);
    if (inode < 0)
        return (int)disk_leave(disk, inode);
    disk_fill_stat(disk, (uint32_t)inode, ret_stat);
    return (int)disk_leave(disk, 0);
}

static int disk_fstat(struct sl_fs *fs, int fd, struct sl_fs_stat *ret_stat)
{
    struct sl_disk *disk = disk_enter(fs);
    if (disk->crashed || disk_of(disk, fd) == NULL)
        return (int)disk_leave(disk, disk->crashed ? -EIO : -EBADF);
    disk_fill_stat(disk, disk->opens[fd].inode, ret_stat);
    return (int)disk_leave(disk, 0);
}

static int disk_rename_locked(struct sl_disk *disk, const char *from, const char *to)
{
    char from_name[NAME_MAX + 1], to_name[NAME_MAX + 1];
    int64_t from_dir = disk_parent(disk, from, from_name), to_dir = disk_parent(disk, to, to_name);
    uint32_t inode, old;

    if (from_dir < 0 || to_dir < 0)
        return (int)(from_dir < 0 ? from_dir : to_dir);
    inode = entries_get(&disk->inodes[from_dir]->names, from_name);
    old = entries_get(&disk->inodes[to_dir]->names, to_name);
    if (inode == 0)
        return -ENOENT;
    if (old != 0 && disk->inodes[old]->is_dir)
        return -EISDIR;
    if (inode == old)
        return 0;
    inode_name(disk->inodes[to_dir], to_name, inode, disk->ops);
    inode_name(disk->inodes[from_dir], from_name, 0, disk->ops);
    return 0;
}

static int disk_rename(struct sl_fs *fs, const char *from, const char *to)
{
    struct sl_disk *disk = disk_enter(fs);
    return disk_is_stopped(disk) ? (int)disk_leave(disk, -EIO) : (int)disk_answer(disk, disk_rename_locked(disk, from, to));
}

static int disk_remove_locked(struct sl_disk *disk, const char *path, bool is_dir)
{
    char name[NAME_MAX + 1];
    int64_t dir = disk_parent(disk, path, name);
    uint32_t inode;

    if (dir < 0)
        return (int)dir;
    inode = entries_get(&disk->inodes[dir]->names, name);
    if (inode == 0)
        return -ENOENT;
    if (disk->inodes[inode]->is_dir != is_dir)
        return is_dir ? -ENOTDIR : -EISDIR;
    if (disk->inodes[inode]->names.count > 0)
        return -ENOTEMPTY;
    inode_name(disk->inodes[dir], name, 0, disk->ops);
    return 0;
}

static int disk_unlink(struct sl_fs *fs, const char *path)
{
    struct sl_disk *disk = disk_enter(fs);
    return disk_is_stopped(disk) ? (int)disk_leave(disk, -EIO) : (int)disk_answer(disk, disk_remove_locked(disk, path, false));
}

static int disk_rmdir(struct sl_fs *fs, const char *path)
{
    struct sl_disk *disk = disk_enter(fs);
    return disk_is_stopped(disk) ? (int)disk_leave(disk, -EIO) : (int)disk_answer(disk, disk_remove_locked(disk, path, true));
}

static int disk_mkdir_locked(struct sl_disk *disk, const char *path)
{
    char name[NAME_MAX + 1];
    int64_t dir = disk_parent(disk, path, name);
    if (dir < 0)
        return (int)dir;
    if (name[0] == '\0' || entries_get(&disk->inodes[dir]->names, name) != 0)
        return -EEXIST;
    inode_name(disk->inodes[dir], name, disk_inode_new(disk, true), disk->ops);
    return 0;
}

static int disk_mkdir(struct sl_fs *fs, const char *path, unsigned mode)
{
    struct sl_disk *disk = disk_enter(fs);
    (void)mode;
    return disk_is_stopped(disk) ? (int)disk_leave(disk, -EIO) : (int)disk_answer(disk, disk_mkdir_locked(disk, path));
}

static int disk_sync_dir(struct sl_fs *fs, const char *path)
{
    struct sl_disk *disk = disk_enter(fs);
    int64_t inode;

    if (disk_is_stopped(disk))
        return (int)disk_leave(disk, -EIO);
    inode = disk_find(disk, path);
    if (inode < 0 || disk->ops >= disk->crash_at)
        return (int)disk_answer(disk, inode < 0 ? inode : -EIO);
    if (disk_fsync_fails(disk))
        return (int)disk_answer(disk, -EIO); /* a folder's changes stay pending: the journal has them still */
    entries_copy(&disk->inodes[inode]->names_durable, &disk->inodes[inode]->names);
    inode_forget_changes(disk->inodes[inode]);
    return (int)disk_answer(disk, 0);
}

static int disk_lock(struct sl_fs *fs, int fd)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_inode *inode = disk_of(disk, fd);
    if (disk->crashed || inode == NULL)
        return (int)disk_leave(disk, disk->crashed ? -EIO : -EBADF);
    if (inode->lock_fd != 0 && inode->lock_fd != fd + 1)
        return (int)disk_leave(disk, -EWOULDBLOCK);
    inode->lock_fd = fd + 1;
    return (int)disk_leave(disk, 0);
}

static int disk_entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct disk_entry *)a)->name, ((const struct disk_entry *)b)->name);
}

static int disk_list(struct sl_fs *fs, const char *path, int (*each)(void *user, const char *name), void *user)
{
    struct sl_disk *disk = disk_enter(fs);
    struct disk_entries entries = {0};
    int64_t inode = disk->crashed ? -EIO : disk_find(disk, path);
    int rc = 0;

    if (inode >= 0 && !disk->inodes[inode]->is_dir)
        inode = -ENOTDIR;
    if (inode >= 0)
        entries_copy(&entries, &disk->inodes[inode]->names);
    (void)disk_leave(disk, 0);
    if (inode < 0)
        return (int)inode;
    if (entries.count > 0)
        qsort(entries.items, entries.count, sizeof(*entries.items), disk_entry_compare);
    for (size_t i = 0; rc == 0 && i < entries.count; i++)
        rc = each(user, entries.items[i].name);
    entries_clear(&entries);
    return rc;
}

/* ---- crash ---- */

/* Each pending write: a third survives whole, a third loses some of its sectors, a third is gone. Later ones may survive
 * earlier ones. */
static void inode_crash(struct sl_disk *disk, struct disk_inode *inode)
{
    for (struct disk_write *write = inode->writes; write != NULL; write = write->next) {
        uint64_t fate = disk_random(disk) % 3;
        if (fate == 0)
            continue;
        if (write->data == NULL) {
            bytes_resize(&inode->durable, write->bytes);
            continue;
        }
        for (uint64_t at = write->at, end = write->at + write->bytes; at < end;) {
            uint64_t sector_end = (at / DISK_SECTOR + 1) * DISK_SECTOR;
            uint64_t stop = sector_end < end ? sector_end : end;
            if (fate == 1 || disk_random(disk) % 2 == 0)
                bytes_write(&inode->durable, at, write->data + (at - write->at), stop - at);
            at = stop;
        }
    }
    inode_forget_writes(inode);
    bytes_copy(&inode->seen, &inode->durable);
}

struct disk_fate {
    bool ordered;
    uint64_t cut, seed;
};

static bool fate_survives(const struct disk_fate *fate, uint64_t call)
{
    uint64_t z = (fate->seed ^ call) * 0x9e3779b97f4a7c15u;
    return fate->ordered ? call < fate->cut : (z ^ z >> 29) % 2 == 0;
}

static void inode_crash_names(struct disk_inode *inode, const struct disk_fate *fate)
{
    for (struct disk_change *change = inode->changes; change != NULL; change = change->next)
        if (fate_survives(fate, change->call))
            entries_set(&inode->names_durable, change->name, change->inode);
    inode_forget_changes(inode);
    entries_copy(&inode->names, &inode->names_durable);
}

/* In half of all crashes names survive in the order of the calls up to some call, as from a journal, else in any mixture. A
 * rename is one call: both its names change, or none. */
static struct disk_fate disk_draw_fate(struct sl_disk *disk)
{
    uint64_t recent = disk->ops < 24 ? disk->ops + 1 : 24;
    struct disk_fate fate = {.ordered = disk_random(disk) % 2 == 0, .seed = disk_random(disk)};
    fate.cut = disk->ops + 1 - disk_random(disk) % (recent + 1);
    return fate;
}

static void disk_close_all(struct sl_disk *disk)
{
    disk->opens_count = 0;
    for (uint32_t i = 1; i < disk->inodes_count; i++)
        disk->inodes[i]->lock_fd = 0;
}

void sl_disk_restart(struct sl_disk *disk, uint64_t seed)
{
    struct disk_fate fate;

    (void)pthread_mutex_lock(&disk->lock);
    disk->random = seed * 0x2545f4914f6cdd1du + 1;
    fate = disk_draw_fate(disk);
    for (uint32_t i = 1; i < disk->inodes_count; i++) {
        if (disk->inodes[i]->is_dir)
            inode_crash_names(disk->inodes[i], &fate);
        else
            inode_crash(disk, disk->inodes[i]);
    }
    disk_close_all(disk);
    disk->crashed = false;
    disk->crash_at = UINT64_MAX;
    (void)pthread_mutex_unlock(&disk->lock);
}

void sl_disk_restart_process(struct sl_disk *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk_close_all(disk);
    disk->crashed = false;
    disk->crash_at = UINT64_MAX;
    (void)pthread_mutex_unlock(&disk->lock);
}

/* ---- making and steering ---- */

struct sl_disk *sl_disk_new(uint64_t seed)
{
    struct sl_disk *disk = disk_must(calloc(1, sizeof(*disk)));
    disk->fs = (struct sl_fs){
        .open = disk_open, .close = disk_close, .pread = disk_pread, .pwrite = disk_pwrite, .fsync = disk_fsync,
        .truncate = disk_truncate, .stat = disk_stat, .fstat = disk_fstat, .rename = disk_rename, .unlink = disk_unlink,
        .mkdir = disk_mkdir, .rmdir = disk_rmdir, .sync_dir = disk_sync_dir, .lock = disk_lock, .list = disk_list,
    };
    (void)pthread_mutex_init(&disk->lock, NULL);
    disk->random = seed;
    disk->crash_at = disk->capacity = UINT64_MAX;
    disk->inodes = disk_must(calloc(1, sizeof(struct disk_inode *)));
    disk->inodes_count = 1;
    (void)disk_inode_new(disk, true);
    return disk;
}

struct sl_disk *sl_disk_free(struct sl_disk *disk)
{
    if (disk == NULL)
        return NULL;
    for (uint32_t i = 1; i < disk->inodes_count; i++) {
        struct disk_inode *inode = disk->inodes[i];
        inode_forget_writes(inode);
        inode_forget_changes(inode);
        entries_clear(&inode->names);
        entries_clear(&inode->names_durable);
        free(inode->seen.data);
        free(inode->durable.data);
        free(inode);
    }
    free(disk->inodes);
    free(disk->opens);
    (void)pthread_mutex_destroy(&disk->lock);
    free(disk);
    return NULL;
}

struct sl_disk *sl_disk_copy(const struct sl_disk *disk)
{
    struct sl_disk *copy = sl_disk_new(disk->random);
    for (uint32_t i = 1; i < disk->inodes_count; i++) {
        const struct disk_inode *from = disk->inodes[i];
        struct disk_inode *to;
        if (i > 1)
            (void)disk_inode_new(copy, from->is_dir);
        to = copy->inodes[i];
        bytes_copy(&to->seen, &from->seen);
        bytes_copy(&to->durable, &from->durable);
        for (const struct disk_write *write = from->writes; write != NULL; write = write->next)
            inode_add_write(to, write->at, write->data, write->bytes);
        entries_copy(&to->names_durable, &from->names_durable);
        for (const struct disk_change *change = from->changes; change != NULL; change = change->next)
            inode_name(to, change->name, change->inode, change->call);
        entries_copy(&to->names, &from->names);
    }
    copy->capacity = disk->capacity;
    return copy;
}

struct sl_fs *sl_disk_fs(struct sl_disk *disk)
{
    return &disk->fs;
}

uint64_t sl_disk_ops(const struct sl_disk *disk)
{
    return disk->ops;
}

void sl_disk_crash_after(struct sl_disk *disk, uint64_t ops)
{
    disk->crash_at = ops == UINT64_MAX ? UINT64_MAX : disk->ops + ops;
    disk->crashed = ops == 0;
}

bool sl_disk_is_crashed(const struct sl_disk *disk)
{
    return disk->crashed;
}

void sl_disk_fail_fsync(struct sl_disk *disk, uint64_t nth)
{
    disk->fail_fsync_at = nth == 0 ? 0 : disk->fsyncs + nth;
}

void sl_disk_capacity(struct sl_disk *disk, uint64_t bytes)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->capacity = bytes;
    (void)pthread_mutex_unlock(&disk->lock);
}

uint64_t sl_disk_used(const struct sl_disk *disk)
{
    return disk_used(disk);
}

int sl_disk_flip(struct sl_disk *disk, const char *path, uint64_t at, unsigned bit)
{
    int64_t inode = disk_find(disk, path);
    if (inode < 0)
        return (int)inode;
    if (at >= disk->inodes[inode]->seen.bytes)
        return -EINVAL;
    disk->inodes[inode]->seen.data[at] ^= (unsigned char)(1u << bit);
    if (at < disk->inodes[inode]->durable.bytes)
        disk->inodes[inode]->durable.data[at] ^= (unsigned char)(1u << bit);
    return 0;
}

int sl_disk_cut(struct sl_disk *disk, const char *path, uint64_t bytes)
{
    int64_t inode = disk_find(disk, path);
    if (inode < 0)
        return (int)inode;
    bytes_resize(&disk->inodes[inode]->seen, bytes);
    inode_forget_writes(disk->inodes[inode]);
    bytes_copy(&disk->inodes[inode]->durable, &disk->inodes[inode]->seen);
    return 0;
}

int sl_disk_take(struct sl_disk *disk, const char *path)
{
    char name[NAME_MAX + 1];
    int64_t dir = disk_parent(disk, path, name);
    if (dir < 0)
        return (int)dir;
    entries_set(&disk->inodes[dir]->names, name, 0);
    entries_set(&disk->inodes[dir]->names_durable, name, 0);
    return 0;
}
