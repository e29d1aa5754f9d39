/* mark_codec.h: how marks travel: as values of the commit topic and the commit log, as text in the metadata of Kafka's
 * committed offsets, and the keys of both commit stores. Pure: no I/O, no allocation.
 *
 * Layout. Key: kind letter, then the kind's fields, each with a NUL before it (names hold none):
 *   m group sink source topic id      a sink's mark of a partition (SL_KEY_MARK)
 *   f group sink node NUMBER PART     a flush entry; NUMBER in 20 digits, PART in 5, so that byte order is number order
 *   z group sink                      a landing zone's id
 *   i group source topic id           a partition's incarnation (value: decimal text)
 *   s group source topic id           a partition's rows of a canary's share (value: split.h)
 * Mark value: format 1, then varints and fixed fields (little endian), and 4 bytes of XXH3 over what is before them.
 * Metadata: "s1" or, where rows were left out for want of room, "s2"; then base64 of rows (name and mark) and 4 bytes of XXH3.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_MARK_CODEC_H
#define SL_RUNTIME_ENGINE_MARK_CODEC_H

#include <stddef.h>

#include "runtime/engine/slot.h"

enum {
    SL_MARK_BYTES = 64,            /* enough for any mark value */
    SL_MARK_METADATA_BYTES = 4000, /* of one partition's marks; Kafka's own default limit is 4,096 */
    SL_MARK_SINK_BYTES = 255,      /* longest name of a sink */
    SL_MARK_ROWS = 256,            /* at most, of one partition */
    SL_COMMIT_KEY_BYTES = 8192     /* a file's path is a topic */
};

/* ---- values ---- */
/* Returns the bytes written (at most SL_MARK_BYTES). */
size_t sl_mark_print(const struct sl_mark *mark, uint32_t incarnation, char text[SL_MARK_BYTES]);
/* 0, or -1: not a mark value of a known format. Trailing bytes are refused. */
int sl_mark_scan(struct sl_slice text, struct sl_mark *ret_mark, uint32_t *ret_incarnation);

/* ---- metadata of one partition's committed offset: every sink's mark ---- */
/* Writes as many of the rows, in order, as fit; *ret_count is their number (the others' marks must go to the commit topic).
 * text is NUL-terminated; returns its length. count 0 is legal. */
size_t sl_marks_print(const struct sl_named_mark *rows, uint32_t count, char text[SL_MARK_METADATA_BYTES + 1],
                      uint32_t *ret_count);

struct sl_marks { /* of one partition, as read; sinks point into names */
    struct sl_named_mark rows[SL_MARK_ROWS];
    uint32_t count;
    bool partial; /* further rows lie in the commit topic */
    char names[SL_MARK_METADATA_BYTES];
};
/* 0, or -1: not ours (an offset reset by hand carries none), damaged, or of a newer format. */
int sl_marks_scan(struct sl_slice text, struct sl_marks *ret_marks);

/* ---- keys ---- */
enum sl_commit_key_kind { SL_KEY_MARK = 'm', SL_KEY_FLUSH = 'f', SL_KEY_ZONE = 'z', SL_KEY_INCARNATION = 'i', SL_KEY_SPLIT = 's' };

struct sl_commit_key { /* the fields of its kind; others are ignored, and NULL or 0 after a scan */
    enum sl_commit_key_kind kind;
    const char *group, *sink, *source, *topic, *id, *node;
    uint64_t number; /* of the flush */
    uint32_t part;   /* of the flush's entry; below 100,000 */
};
/* Returns the bytes written, or 0: longer than SL_COMMIT_KEY_BYTES. */
size_t sl_commit_key_print(const struct sl_commit_key *key, char text[SL_COMMIT_KEY_BYTES]);
/* The names in *ret_key point into memory. 0, or -1: not a key of ours. */
int sl_commit_key_scan(struct sl_slice text, char memory[SL_COMMIT_KEY_BYTES + 1], struct sl_commit_key *ret_key);

/* All of a group's keys lie in one partition of the commit topic. */
int32_t sl_commit_partition(const char *group, uint32_t partitions);

#endif
