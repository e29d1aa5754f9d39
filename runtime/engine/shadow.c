/* shadow.c: digests of ranges, and what makes them differ; see the header.
 *
 * A range's rows are kept until its end with 64 bits of their hash each. Rows come in order of (offset, sub), so that a range that
 * differs is one merge a sink; where they do not, they are sorted first.
 * Files: this one the comparison, shadow_report.c what came out of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/shadow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/intern.h"
#include "runtime/engine/shadow_report.h"

enum { SHADOW_MAGIC = 0x53484144, SHADOW_ROWS_FIRST = 4096, SHADOW_LOOKS = 64 /* a sink and range: records looked into for examples */ };

struct shadow_row {
    uint64_t offset, threshold, hash;
    int64_t time_unix_ms;
    struct sl_slice body;
    uint32_t service;
    uint16_t sub;
    uint8_t level;
    bool paired; /* it has its like on the other side, or at another sink */
};

struct shadow_rows {
    struct shadow_row *rows;
    uint32_t count, cap;
    bool unsorted;
    struct sl_shadow_digest digests[SL_LEVELS];
};

struct shadow_sink {
    struct shadow_rows sides[SL_SHADOW_SIDES];
    bool left, differs; /* of this range */
    uint32_t looks;
};

struct sl_shadow {
    uint32_t magic;
    struct shadow_sink *sinks;
    struct sl_shadow_report report;
    const struct sl_expect *expect;
    int (*mask)(void *user, struct sl_slice text, struct sl_slice *ret_text);
    void *user;
    struct sl_text_diff *diff;
    struct sl_shadow_range range;
    uint64_t origin; /* hash of the partition */
    bool open, short_of_memory;
};

struct sl_shadow *sl_shadow_new(const struct sl_shadow_options *options)
{
    struct sl_shadow *shadow = calloc(1, sizeof(*shadow));

    if (shadow == NULL)
        return NULL;
    shadow->magic = SHADOW_MAGIC;
    shadow->expect = options->expect;
    shadow->mask = options->mask;
    shadow->user = options->user;
    shadow->sinks = calloc(options->sinks_count + 1u, sizeof(*shadow->sinks));
    shadow->diff = sl_text_diff_new();
    if (shadow->sinks == NULL || shadow->diff == NULL || sl_shadow_report_init(&shadow->report, options->sinks, options->sinks_count) != 0)
        return sl_shadow_free(shadow);
    return shadow;
}

struct sl_shadow *sl_shadow_free(struct sl_shadow *shadow)
{
    if (shadow == NULL)
        return NULL;
    assert(shadow->magic == SHADOW_MAGIC);
    for (uint32_t s = 0; shadow->sinks != NULL && s < shadow->report.sinks_count; s++)
        for (int side = 0; side < SL_SHADOW_SIDES; side++)
            free(shadow->sinks[s].sides[side].rows);
    free(shadow->sinks);
    sl_text_diff_free(shadow->diff);
    sl_shadow_report_fini(&shadow->report);
    shadow->magic = 0;
    free(shadow);
    return NULL;
}

const struct sl_shadow_report *sl_shadow_report(const struct sl_shadow *shadow)
{
    assert(shadow->magic == SHADOW_MAGIC);
    return &shadow->report;
}

/* ---- a range fills ---- */

static uint64_t shadow_origin(const struct sl_shadow_range *range)
{
    uint64_t hash = XXH3_64bits_withSeed(range->source, strlen(range->source), range->incarnation);

    hash = XXH3_64bits_withSeed(range->topic, strlen(range->topic), hash);
    return XXH3_64bits_withSeed(range->partition, strlen(range->partition), hash);
}

static void shadow_clear(struct sl_shadow *shadow)
{
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++) {
        struct shadow_sink *sink = &shadow->sinks[s];

        sink->left = sink->differs = false;
        sink->looks = 0;
        for (int side = 0; side < SL_SHADOW_SIDES; side++) {
            sink->sides[side].count = 0;
            sink->sides[side].unsorted = false;
            memset(sink->sides[side].digests, 0, sizeof(sink->sides[side].digests));
        }
    }
    shadow->open = shadow->short_of_memory = false;
}

void sl_shadow_begin(struct sl_shadow *shadow, const struct sl_shadow_range *range)
{
    assert(shadow->magic == SHADOW_MAGIC);
    assert(!shadow->open);
    shadow_clear(shadow);
    shadow->range = *range;
    shadow->origin = shadow_origin(range);
    shadow->open = true;
}

void sl_shadow_digest_add(struct sl_shadow_digest *digest, const struct sl_shadow_digest *more)
{
    digest->count += more->count;
    digest->low += more->low;
    digest->high += more->high + (digest->low < more->low);
}

static XXH128_hash_t shadow_hash(const struct sl_shadow *shadow, uint32_t sink, const struct sl_shadow_record *record)
{
    XXH128_hash_t body = XXH3_128bits(record->body.data, record->body.bytes);
    uint64_t words[8] = {body.low64,
                         body.high64,
                         shadow->origin,
                         record->offset,
                         record->threshold,
                         (uint64_t)record->time_unix_ms,
                         (uint64_t)record->service << 32 | sink,
                         (uint64_t)record->sub << 8 | record->level};

    return XXH3_128bits(words, sizeof(words));
}

static struct shadow_row *shadow_room(struct shadow_rows *rows)
{
    if (rows->count == rows->cap) {
        uint32_t cap = rows->cap == 0 ? SHADOW_ROWS_FIRST : rows->cap * 2;
        struct shadow_row *more = realloc(rows->rows, cap * sizeof(*more));

        if (more == NULL)
            return NULL;
        rows->rows = more;
        rows->cap = cap;
    }
    return &rows->rows[rows->count++];
}

static int shadow_order(const struct shadow_row *a, const struct shadow_row *b)
{
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->sub == b->sub ? 0 : a->sub < b->sub ? -1 : 1;
}

void sl_shadow_add(struct sl_shadow *shadow, enum sl_shadow_side side, uint32_t sink, const struct sl_shadow_record *record)
{
    struct shadow_rows *rows = &shadow->sinks[sink].sides[side];
    struct shadow_row *row = shadow_room(rows);
    XXH128_hash_t hash;

    assert(shadow->open);
    assert(sink < shadow->report.sinks_count);
    assert(record->level < SL_LEVELS);
    if (row == NULL) {
        shadow->short_of_memory = true;
        return;
    }
    hash = shadow_hash(shadow, sink, record);
    *row = (struct shadow_row){record->offset, record->threshold, hash.low64,    record->time_unix_ms, record->body,
                               record->service, record->sub,      record->level, false};
    if (rows->count > 1 && shadow_order(row - 1, row) > 0)
        rows->unsorted = true;
    sl_shadow_digest_add(&rows->digests[record->level], &(struct sl_shadow_digest){1, hash.low64, hash.high64});
}

void sl_shadow_leave(struct sl_shadow *shadow, uint32_t sink)
{
    assert(shadow->open);
    assert(sink < shadow->report.sinks_count);
    shadow->sinks[sink].left = true;
}

void sl_shadow_skip(struct sl_shadow *shadow, uint64_t records)
{
    assert(shadow->magic == SHADOW_MAGIC);
    shadow->open = false;
    shadow->report.ranges_skipped++;
    shadow->report.records_skipped += records;
}

/* ---- what differs ---- */

static void shadow_grant(const struct sl_shadow *shadow, uint32_t sink, const struct shadow_row *row, struct sl_expect_grant *ret_grant)
{
    (void)sl_expect_of(shadow->expect, shadow->report.sinks[sink].name, row->level, sl_intern_name(row->service), ret_grant);
}

/* What differs beside the text and is not meant, or NULL. */
static const char *shadow_role(const struct shadow_row *live, const struct shadow_row *candidate, const struct sl_expect_grant *grant)
{
    if (!grant->time && live->time_unix_ms != candidate->time_unix_ms)
        return "role:time";
    if (!grant->service && live->service != candidate->service)
        return "role:service";
    if (!grant->level && live->level != candidate->level)
        return "role:level";
    return !grant->weight && live->threshold != candidate->threshold ? "weight" : NULL;
}

static enum sl_text_verdict shadow_verdict(struct sl_shadow *shadow, const struct shadow_row *live, const struct shadow_row *candidate,
                                           const struct sl_expect_grant *grant, char path[SL_TEXT_PATH_BYTES])
{
    enum sl_text_verdict verdict =
        sl_text_diff_first(shadow->diff, live->body, candidate->body, grant->paths, grant->paths_count, path);
    const char *role = verdict == SL_TEXT_EQUAL ? shadow_role(live, candidate, grant) : NULL;

    if (role == NULL)
        return verdict;
    memcpy(path, role, strlen(role) + 1);
    return SL_TEXT_CHANGED;
}

static void shadow_text(const struct sl_shadow *shadow, const struct shadow_row *row, struct sl_shadow_text *text)
{
    struct sl_slice shown;

    if (row == NULL)
        return;
    shown = row->body;
    text->there = true;
    text->whole_bytes = row->body.bytes;
    if (shadow->mask != NULL && row->body.bytes > 0 && shadow->mask(shadow->user, row->body, &shown) != 1) {
        text->withheld = true;
        return;
    }
    text->bytes = shown.bytes < SL_SHADOW_TEXT_BYTES ? shown.bytes : SL_SHADOW_TEXT_BYTES;
    while (text->bytes < shown.bytes && text->bytes > 0 && ((unsigned char)shown.data[text->bytes] & 0xc0) == 0x80)
        text->bytes--; /* not inside a character */
    text->data = malloc(text->bytes + 1u);
    if (text->data == NULL) {
        text->withheld = true;
        return;
    }
    memcpy(text->data, shown.data, text->bytes);
    text->data[text->bytes] = '\0';
}

static bool shadow_is_alike(const struct sl_shadow_sink_report *sink, const struct sl_shadow_example *example)
{
    uint32_t alike = 0;

    for (uint32_t i = 0; i < sink->examples_count; i++)
        alike += sink->examples[i]->kind == example->kind && sink->examples[i]->verdict == example->verdict &&
                 strcmp(sink->examples[i]->path, example->path) == 0;
    return alike >= SL_SHADOW_ALIKE;
}

/* A difference that is not meant: counted, and shown while there is room and it is no more of the same. found: its kind, and of CHANGED
 * verdict and path. */
static void shadow_found(struct sl_shadow *shadow, uint32_t at, struct sl_shadow_example *found, const struct shadow_row *live,
                         const struct shadow_row *candidate)
{
    struct sl_shadow_sink_report *sink = &shadow->report.sinks[at];
    const struct shadow_row *row = live != NULL ? live : candidate;
    struct sl_shadow_example *example;

    sink->differing[found->kind][row->level]++;
    shadow->report.differing++;
    if (sink->examples_count == SL_SHADOW_EXAMPLES || shadow_is_alike(sink, found))
        return;
    found->offset = row->offset;
    found->sub = row->sub;
    found->level = row->level;
    found->service = row->service;
    found->source = (char *)(uintptr_t)shadow->range.source; /* borrowed: copied right below */
    found->topic = (char *)(uintptr_t)shadow->range.topic;
    found->partition = (char *)(uintptr_t)shadow->range.partition;
    example = sl_shadow_example_copy(found);
    if (example == NULL)
        return; /* it is counted */
    shadow_text(shadow, live, &example->text[SL_SHADOW_LIVE]);
    shadow_text(shadow, candidate, &example->text[SL_SHADOW_CANDIDATE]);
    sink->examples[sink->examples_count++] = example;
}

static void shadow_meant(struct sl_shadow *shadow, uint32_t sink)
{
    shadow->report.meant++;
    shadow->report.sinks[sink].meant++;
}

/* Both wrote the record, and not the same. Where nothing can be meant and enough was looked into, it is only counted. */
static void shadow_changed(struct sl_shadow *shadow, uint32_t sink, const struct shadow_row *live, const struct shadow_row *candidate)
{
    struct sl_shadow_example found = {.kind = SL_SHADOW_CHANGED, .verdict = SL_TEXT_CHANGED};
    struct sl_expect_grant grant;

    shadow_grant(shadow, sink, live, &grant);
    if (shadow->expect == NULL && shadow->sinks[sink].looks++ >= SHADOW_LOOKS) {
        shadow->report.sinks[sink].differing[SL_SHADOW_CHANGED][live->level]++;
        shadow->report.differing++;
        return;
    }
    found.verdict = shadow_verdict(shadow, live, candidate, &grant, found.path);
    if (found.verdict == SL_TEXT_EQUAL)
        shadow_meant(shadow, sink);
    else
        shadow_found(shadow, sink, &found, live, candidate);
}

static int shadow_compare(const void *left, const void *right)
{
    return shadow_order(left, right);
}

static void shadow_sort(struct shadow_rows *rows)
{
    if (rows->unsorted)
        qsort(rows->rows, rows->count, sizeof(*rows->rows), shadow_compare);
    rows->unsorted = false;
}

static bool shadow_differs(const struct shadow_sink *sink)
{
    return memcmp(sink->sides[SL_SHADOW_LIVE].digests, sink->sides[SL_SHADOW_CANDIDATE].digests,
                  sizeof(sink->sides[SL_SHADOW_LIVE].digests)) != 0;
}

/* Lays both sides of a sink side by side; what has no like stays unpaired. */
static void shadow_merge(struct sl_shadow *shadow, uint32_t s)
{
    struct shadow_rows *live = &shadow->sinks[s].sides[SL_SHADOW_LIVE], *candidate = &shadow->sinks[s].sides[SL_SHADOW_CANDIDATE];
    uint32_t l = 0, c = 0;

    shadow_sort(live);
    shadow_sort(candidate);
    while (l < live->count && c < candidate->count) {
        int order = shadow_order(&live->rows[l], &candidate->rows[c]);

        if (order == 0) {
            live->rows[l].paired = candidate->rows[c].paired = true;
            if (live->rows[l].hash != candidate->rows[c].hash)
                shadow_changed(shadow, s, &live->rows[l], &candidate->rows[c]);
        }
        l += order <= 0;
        c += order >= 0;
    }
}

/* The candidate's unpaired output of the same record at another sink; *ret_sink. */
static struct shadow_row *shadow_elsewhere(struct sl_shadow *shadow, uint32_t at, const struct shadow_row *row, uint32_t *ret_sink)
{
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++) {
        struct shadow_rows *rows = &shadow->sinks[s].sides[SL_SHADOW_CANDIDATE];
        uint32_t low = 0, high = rows->count;

        if (s == at || shadow->sinks[s].left || !shadow->sinks[s].differs)
            continue;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (shadow_order(&rows->rows[middle], row) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < rows->count && shadow_order(&rows->rows[low], row) == 0; low++)
            if (!rows->rows[low].paired) {
                *ret_sink = s;
                return &rows->rows[low];
            }
    }
    return NULL;
}

static void shadow_missing(struct sl_shadow *shadow, uint32_t s)
{
    struct shadow_rows *live = &shadow->sinks[s].sides[SL_SHADOW_LIVE];

    for (uint32_t i = 0; i < live->count; i++) {
        struct sl_shadow_example found = {.kind = SL_SHADOW_MISSING};
        struct shadow_row *row = &live->rows[i], *moved = NULL;
        struct sl_expect_grant grant;

        if (row->paired)
            continue;
        shadow_grant(shadow, s, row, &grant);
        if (grant.counts) {
            shadow_meant(shadow, s);
            continue;
        }
        moved = shadow_elsewhere(shadow, s, row, &found.other_sink);
        if (moved != NULL) {
            moved->paired = true;
            found.kind = SL_SHADOW_OTHER_SINK;
        }
        shadow_found(shadow, s, &found, row, moved);
    }
}

static void shadow_extra(struct sl_shadow *shadow, uint32_t s)
{
    struct shadow_rows *candidate = &shadow->sinks[s].sides[SL_SHADOW_CANDIDATE];

    for (uint32_t i = 0; i < candidate->count; i++) {
        struct sl_shadow_example found = {.kind = SL_SHADOW_EXTRA};
        struct shadow_row *row = &candidate->rows[i];
        struct sl_expect_grant grant;

        if (row->paired)
            continue;
        shadow_grant(shadow, s, row, &grant);
        if (grant.counts)
            shadow_meant(shadow, s);
        else
            shadow_found(shadow, s, &found, NULL, row);
    }
}

static bool shadow_is_compared(const struct sl_shadow *shadow, uint32_t sink)
{
    const struct sl_shadow_sink_report *report = &shadow->report.sinks[sink];

    return report->sides[SL_SHADOW_LIVE] && report->sides[SL_SHADOW_CANDIDATE] && !shadow->sinks[sink].left;
}

/* Adds a sink's sums to the whole; says whether they part. */
static bool shadow_sum(struct sl_shadow *shadow, uint32_t s)
{
    struct shadow_sink *sink = &shadow->sinks[s];
    struct sl_shadow_sink_report *report = &shadow->report.sinks[s];

    if (sink->left)
        return false;
    for (int side = 0; side < SL_SHADOW_SIDES; side++)
        for (int level = 0; level < SL_LEVELS; level++)
            sl_shadow_digest_add(&report->digests[side][level], &sink->sides[side].digests[level]);
    if (!shadow_is_compared(shadow, s)) {
        shadow->report.uncompared += sink->sides[SL_SHADOW_LIVE].count + sink->sides[SL_SHADOW_CANDIDATE].count;
        sink->differs = sink->sides[SL_SHADOW_CANDIDATE].count > 0; /* what is missing elsewhere may be here */
        shadow_sort(&sink->sides[SL_SHADOW_CANDIDATE]);
        return false;
    }
    shadow->report.compared += sink->sides[SL_SHADOW_LIVE].count;
    sink->differs = shadow_differs(sink);
    return sink->differs;
}

/* Sinks one after the other, in three passes: a record that moved is known once all have been merged. */
static void shadow_differences(struct sl_shadow *shadow)
{
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++)
        if (shadow->sinks[s].differs && shadow_is_compared(shadow, s))
            shadow_merge(shadow, s);
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++)
        if (shadow->sinks[s].differs && shadow_is_compared(shadow, s))
            shadow_missing(shadow, s);
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++)
        if (shadow->sinks[s].differs && shadow_is_compared(shadow, s))
            shadow_extra(shadow, s);
}

bool sl_shadow_end(struct sl_shadow *shadow)
{
    uint64_t before = shadow->report.differing;
    bool parts = false;

    assert(shadow->open);
    if (shadow->short_of_memory) {
        sl_shadow_skip(shadow, shadow->range.next - shadow->range.first);
        return false;
    }
    shadow->open = false;
    shadow->report.ranges++;
    for (uint32_t s = 0; s < shadow->report.sinks_count; s++)
        parts = shadow_sum(shadow, s) || parts;
    if (parts)
        shadow_differences(shadow);
    shadow->report.ranges_differing += shadow->report.differing != before;
    return shadow->report.differing != before;
}
