/* spool_manifest.c: a topic's two text files: which segments there are, and which offsets are taken or held.
 *
 * Both end in a line "crc HEX" over everything before it and are replaced durably, so they are damaged only by the disk itself.
 * manifest: "sluice-spool 1", "partitions N", "first P OFFSET", "segment P BASE NONCE END BYTES TIME_MIN TIME_MAX STATE".
 * marks: "sluice-marks 1", "clean 0|1", "partition P RESERVED END", "hold P OFFSET HOLDER".
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "runtime/base/crc32c.h"
#include "runtime/store/spool/spool_impl.h"

enum { SPOOL_FORMAT = SL_SPOOL_FORMAT, SPOOL_TEXT_BYTES = 64 << 20 };

/* ---- names ---- */

static bool spool_name_plain(char c, size_t at)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           (c == '.' && at > 0);
}

int spool_name_encode(const char *name, char *to, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; name[i] != '\0'; i++) {
        bool plain = spool_name_plain(name[i], i);
        if (used + (plain ? 1 : 3) >= room)
            return -1;
        if (plain)
            to[used++] = name[i];
        else
            used += (size_t)snprintf(to + used, room - used, "%%%02X", (unsigned char)name[i]);
    }
    to[used] = '\0';
    return used == 0 ? -1 : 0;
}

int spool_name_decode(const char *from, char *to, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; from[i] != '\0' && from[i] != '\n'; i++) {
        unsigned byte = (unsigned char)from[i];
        if (used + 1 >= room)
            return -1;
        if (byte == '%') {
            if (sscanf(from + i + 1, "%2x", &byte) != 1 || byte == 0 || from[i + 1] == '\0' || from[i + 2] == '\0')
                return -1;
            i += 2;
        }
        to[used++] = (char)byte;
    }
    to[used] = '\0';
    return used == 0 ? -1 : 0;
}

/* ---- writing ---- */

__attribute__((format(printf, 2, 3))) static int spool_text_add(struct sl_buffer *text, const char *format, ...)
{
    va_list args;
    int bytes;
    if (sl_buffer_reserve(text, 1024) < 0)
        return -1;
    va_start(args, format);
    bytes = vsnprintf(text->data + text->bytes, text->room - text->bytes, format, args);
    va_end(args);
    text->bytes += (size_t)bytes;
    return 0;
}

static int spool_text_replace(struct sl_spool_topic *topic, struct sl_buffer *text, int rc, const char *file, struct sl_err *err)
{
    char path[SPOOL_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", topic->folder, file);
    if (rc == 0)
        rc = spool_text_add(text, "crc %08" PRIx32 "\n", sl_crc32c(0, text->data, text->bytes));
    if (rc < 0) {
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to write %s", path);
    } else {
        rc = sl_fs_replace_file(topic->spool->fs, path, text->data, text->bytes);
        if (rc < 0)
            rc = spool_fail_io(err, rc, "writing", path);
    }
    sl_buffer_fini(text);
    return rc;
}

static int spool_manifest_partition(struct sl_buffer *text, const struct spool_partition *partition)
{
    int rc = spool_text_add(text, "first %" PRIu32 " %" PRIu64 "\n", partition->number, partition->first);
    for (uint32_t i = 0; rc == 0 && i < partition->segments_count; i++) {
        const struct spool_segment *segment = partition->segments[i];
        bool open = segment->state == SPOOL_OPEN;
        rc = spool_text_add(text, "segment %" PRIu32 " %" PRIu64 " %016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %d\n",
                            partition->number, segment->base, segment->nonce, open ? 0 : segment->end, open ? 0 : segment->bytes,
                            segment->time_min, segment->time_max, (int)segment->state);
    }
    return rc;
}

int spool_manifest_write(struct sl_spool_topic *topic, struct sl_err *err)
{
    struct sl_buffer text = {0};
    int rc = spool_text_add(&text, "sluice-spool %d\npartitions %" PRIu32 "\n", SPOOL_FORMAT, topic->partitions_count);
    for (uint32_t i = 0; rc == 0 && i < topic->partitions_count; i++)
        rc = spool_manifest_partition(&text, topic->partitions[i]);
    return spool_text_replace(topic, &text, rc, "manifest", err);
}

int spool_marks_write(struct sl_spool_topic *topic, bool clean, struct sl_err *err)
{
    struct sl_buffer text = {0};
    char holder[600];
    int rc = spool_text_add(&text, "sluice-marks %d\nclean %d\n", SPOOL_FORMAT, clean);

    for (uint32_t i = 0; rc == 0 && i < topic->partitions_count; i++)
        rc = spool_text_add(&text, "partition %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", i, topic->partitions[i]->reserved,
                            topic->partitions[i]->end);
    for (struct spool_hold *hold = topic->holds; rc == 0 && hold != NULL; hold = hold->next) {
        rc = spool_name_encode(hold->holder, holder, sizeof(holder));
        if (rc == 0)
            rc = spool_text_add(&text, "hold %" PRIu32 " %" PRIu64 " %s\n", hold->partition, hold->offset, holder);
    }
    rc = spool_text_replace(topic, &text, rc, "marks", err);
    for (struct spool_hold *hold = topic->holds; rc == 0 && hold != NULL; hold = hold->next)
        hold->saved_offset = hold->offset;
    return rc;
}

/* ---- reading ---- */

/* Checks the last line and the first; *ret_text is malloc'd and ends before the crc line. */
static int spool_text_read(struct sl_spool_topic *topic, const char *file, const char *title, char **ret_text, struct sl_err *err)
{
    char path[SPOOL_PATH_BYTES], *text, *last;
    size_t bytes;
    uint32_t crc;
    int format = 0, title_bytes = (int)strlen(title), rc;

    (void)snprintf(path, sizeof(path), "%s/%s", topic->folder, file);
    rc = sl_fs_read_file(topic->spool->fs, path, SPOOL_TEXT_BYTES, &text, &bytes);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return spool_fail_io(err, rc, "reading", path);
    last = bytes < 14 ? text : text + bytes - 13; /* "crc 01234567\n" */
    rc = 1;
    if (last == text || sscanf(last, "crc %8" SCNx32 "\n", &crc) != 1 || last[12] != '\n' ||
        crc != sl_crc32c(0, text, (size_t)(last - text)))
        rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s is damaged", path);
    else if (strncmp(text, title, (size_t)title_bytes) != 0 || sscanf(text + title_bytes, " %d\n", &format) != 1)
        rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s does not begin with %s", path, title);
    else if (format > SPOOL_FORMAT)
        rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                     "%s was written by a newer version (format %d, this one knows up to %d); run the newer version", path, format,
                     SPOOL_FORMAT);
    if (rc < 0) {
        free(text);
        return rc;
    }
    *last = '\0';
    *ret_text = text;
    return 1;
}

static int spool_manifest_line(struct sl_spool_topic *topic, const char *line)
{
    uint32_t number = 0;
    uint64_t base, nonce, end, bytes;
    int64_t time_min, time_max;
    int state;
    struct spool_segment *segment;

    if (sscanf(line, "partitions %" SCNu32, &number) == 1) {
        if (number > SPOOL_PARTITIONS_MOST)
            return -1;
        while (topic->partitions_count < number)
            if (spool_topic_partition_add(topic) == NULL)
                return -1;
        return 0;
    }
    if (sscanf(line, "first %" SCNu32 " %" SCNu64, &number, &base) == 2) {
        if (number >= topic->partitions_count)
            return -1;
        topic->partitions[number]->first = base;
        return 0;
    }
    if (sscanf(line, "segment %" SCNu32 " %" SCNu64 " %" SCNx64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %d", &number,
               &base, &nonce, &end, &bytes, &time_min, &time_max, &state) != 8)
        return -1;
    if (number >= topic->partitions_count || state < SPOOL_OPEN || state > SPOOL_MISSING)
        return -1;
    segment = spool_segment_add(topic->partitions[number], base, nonce);
    if (segment == NULL)
        return -1;
    segment->end = state == SPOOL_OPEN ? base : end;
    segment->bytes = bytes;
    segment->time_min = time_min;
    segment->time_max = time_max;
    segment->state = (enum spool_state)state;
    return segment->end < base ? -1 : 0;
}

static int spool_marks_line(struct sl_spool_topic *topic, const char *line)
{
    uint32_t number;
    uint64_t reserved, end;
    int clean, at = 0;
    char holder[600];

    if (sscanf(line, "clean %d", &clean) == 1) {
        topic->was_clean = clean == 1;
        return 0;
    }
    if (sscanf(line, "partition %" SCNu32 " %" SCNu64 " %" SCNu64, &number, &reserved, &end) == 3) {
        if (number >= SPOOL_PARTITIONS_MOST)
            return -1;
        while (topic->partitions_count <= number)
            if (spool_topic_partition_add(topic) == NULL)
                return -1;
        topic->partitions[number]->reserved = reserved;
        topic->partitions[number]->clean_end = end;
        return 0;
    }
    if (sscanf(line, "hold %" SCNu32 " %" SCNu64 " %n", &number, &end, &at) != 2 || at == 0 ||
        spool_name_decode(line + at, holder, sizeof(holder)) < 0)
        return -1;
    return spool_hold_set(topic, holder, number, end, true) == NULL ? -1 : 0;
}

static int spool_text_lines(struct sl_spool_topic *topic, char *text, const char *file,
                            int (*each)(struct sl_spool_topic *topic, const char *line), struct sl_err *err)
{
    char *line = strchr(text, '\n'), *next;
    int rc = 1;
    for (line = line == NULL ? text + strlen(text) : line + 1; rc > 0 && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        next = next == NULL ? line + strlen(line) : next + 1;
        if (each(topic, line) < 0)
            rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s/%s has a line that makes no sense: %.60s", topic->folder, file,
                         line);
    }
    free(text);
    return rc;
}

int spool_manifest_read(struct sl_spool_topic *topic, struct sl_err *err)
{
    char *text;
    int rc = spool_text_read(topic, "manifest", "sluice-spool", &text, err);
    return rc <= 0 ? rc : spool_text_lines(topic, text, "manifest", spool_manifest_line, err);
}

int spool_marks_read(struct sl_spool_topic *topic, struct sl_err *err)
{
    char *text;
    int rc = spool_text_read(topic, "marks", "sluice-marks", &text, err);
    return rc <= 0 ? rc : spool_text_lines(topic, text, "marks", spool_marks_line, err);
}
