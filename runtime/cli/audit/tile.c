/* tile.c: ranges tile: of each sink and partition, sorted by first, none overlaps the one before it (records twice) and none
 * leaves a hole (records lost), unless the source has nothing there (retention, compaction), which the second reading tells.
 *
 * Segments: a partition's offsets cut wherever a tile or hole of any sink begins or ends, so that inside a segment every sink has
 * one flush or none: then one reading serves all sinks and each count belongs to one flush.
 * The dead letters' sink makes no flush of ranges without a letter: for it, everything between tiles is a hole in which there must
 * be no letter.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "runtime/cli/audit/audit.h"

/* ---- lanes ---- */

static int tile_order(const void *left, const void *right)
{
    const struct audit_tile *a = left, *b = right;

    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->next < b->next ? -1 : a->next > b->next;
}

static void tile_add(struct audit_lane *lane, struct audit_tile tile)
{
    if (lane->count == lane->capacity) {
        lane->capacity = lane->capacity == 0 ? 16 : 2 * lane->capacity;
        lane->tiles = audit_realloc(lane->tiles, lane->capacity * sizeof(tile));
    }
    lane->tiles[lane->count++] = tile;
}

static void tile_collect(struct audit *audit)
{
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        struct audit_flush *flush = audit->flushes[f];
        for (uint32_t r = 0; !flush->later && r < flush->entry->ranges_count; r++) {
            const struct sl_landing_range *range = &flush->entry->ranges[r];
            struct audit_partition *partition =
                audit_partition_of(audit, range->source, range->topic, range->id, range->incarnation);
            if (range->first < range->next)
                tile_add(&partition->lanes[flush->sink], (struct audit_tile){flush, r, range->first, range->next});
            else if (range->delivered > 0)
                audit_say(audit, AUDIT_ERROR, "balance", "flush %s: an empty range of %s delivered %llu records", flush->name,
                          audit_partition_name(partition), (unsigned long long)range->delivered);
        }
    }
}

static uint64_t lane_end(const struct audit_lane *lane)
{
    return lane->count == 0 ? 0 : lane->tiles[lane->count - 1].next;
}

/* Where two tiles overlap, none of the two flushes can be proved by counts. */
static void lane_check_overlaps(struct audit *audit, const struct audit_partition *partition, uint32_t s)
{
    struct audit_lane *lane = &partition->lanes[s];

    for (uint32_t i = 1; i < lane->count; i++) {
        struct audit_tile *a = &lane->tiles[i - 1], *b = &lane->tiles[i];
        if (b->first >= a->next)
            continue;
        lane->wrong = true;
        a->flush->unproved = b->flush->unproved = "its range overlaps another one";
        audit_say(audit, AUDIT_ERROR, "doubled", "sink %s, %s: offsets %llu to %llu were delivered twice, by flush %s and flush %s",
                  audit->sinks[s].name, audit_partition_name(partition), (unsigned long long)b->first,
                  (unsigned long long)(a->next < b->next ? a->next : b->next) - 1, a->flush->name, b->flush->name);
    }
}

static void lane_check_mark(struct audit *audit, const struct audit_partition *partition, uint32_t s)
{
    struct audit_lane *lane = &partition->lanes[s];

    if (!lane->marked || lane->mark >= lane_end(lane))
        return;
    lane->wrong = true;
    audit_say(audit, AUDIT_ERROR, "mark",
              "sink %s, %s: committed up to %llu, but manifests go on to %llu; what lies between would be delivered again",
              audit->sinks[s].name, audit_partition_name(partition), (unsigned long long)lane->mark,
              (unsigned long long)lane_end(lane));
}

static uint64_t partition_earliest(const struct audit *audit, const struct audit_partition *partition)
{
    uint64_t earliest = UINT64_MAX;

    for (uint32_t s = 0; s < audit->sinks_count; s++)
        if (!audit->sinks[s].dead && partition->lanes[s].count > 0 && partition->lanes[s].tiles[0].first < earliest)
            earliest = partition->lanes[s].tiles[0].first;
    return earliest;
}

/* Legal for a sink that joined the topology later; but the loss of all that it had before would look the same. */
static void lane_note_beginning(struct audit *audit, const struct audit_partition *partition, uint32_t s)
{
    const struct audit_lane *lane = &partition->lanes[s];
    uint64_t earliest = partition_earliest(audit, partition), first = lane->count > 0 ? lane->tiles[0].first : lane->mark;

    if (audit->sinks[s].dead || audit->sinks[s].skipped || earliest == UINT64_MAX ||
        (lane->count == 0 && (!lane->marked || lane->began)) || first <= earliest)
        return;
    audit_say(audit, AUDIT_NOTE, "begins late",
              "sink %s, %s: its manifests begin at %llu, those of other sinks at %llu; right if it joined the topology there",
              audit->sinks[s].name, audit_partition_name(partition), (unsigned long long)first, (unsigned long long)earliest);
}

void audit_tile_all(struct audit *audit)
{
    tile_collect(audit);
    for (uint32_t p = 0; p < audit->partitions_count; p++)
        for (uint32_t s = 0; s < audit->sinks_count; s++) {
            struct audit_lane *lane = &audit->partitions[p]->lanes[s];
            if (lane->count > 0)
                qsort(lane->tiles, lane->count, sizeof(*lane->tiles), tile_order);
            lane_check_overlaps(audit, audit->partitions[p], s);
            lane_check_mark(audit, audit->partitions[p], s);
            lane_note_beginning(audit, audit->partitions[p], s);
        }
}

/* ---- segments ---- */

/* A source that begins at its earliest record has offset 0 as its due beginning; who knows about the others. */
static bool partition_from_zero(const struct audit *audit, const struct audit_partition *partition)
{
    const int *start;

    if (partition->component == UINT32_MAX)
        return false;
    start = audit_setting(&audit->topology->components[partition->component], "start", SL_F_ENUM);
    return start == NULL || *start == 0;
}

struct lane_bounds {
    uint64_t first, next; /* what this sink is answerable for; first == next: nothing */
};

/* A sink is answerable from its first tile up to its mark. The one that begins earliest also for what the source had before; one
 * that joined the topology later cannot be. The dead letters' is answerable from where the others begin. */
static struct lane_bounds lane_bounds_of(const struct audit *audit, const struct audit_partition *partition, uint32_t s)
{
    const struct audit_lane *lane = &partition->lanes[s];
    uint64_t earliest = partition_earliest(audit, partition);
    struct lane_bounds bounds = {lane->count == 0 ? 0 : lane->tiles[0].first, lane_end(lane)};

    if (audit->sinks[s].skipped)
        return (struct lane_bounds){0, 0};
    if (audit->sinks[s].dead) {
        if (earliest != UINT64_MAX && (lane->count == 0 || earliest < bounds.first))
            bounds.first = earliest;
    } else if (lane->count == 0) {
        if (!lane->began || earliest == UINT64_MAX)
            return bounds;
        bounds.first = earliest; /* it has done something, and no manifest says what */
    } else if (bounds.first == earliest && partition_from_zero(audit, partition)) {
        bounds.first = 0;
    }
    if (lane->marked && lane->mark > bounds.next)
        bounds.next = lane->mark;
    if (bounds.next < bounds.first)
        bounds.next = bounds.first;
    return bounds;
}

static int offset_order(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static size_t segment_cuts(const struct audit *audit, const struct audit_partition *partition, const struct lane_bounds *bounds,
                           uint64_t **ret_cuts)
{
    size_t count = 0, kept = 0, room = 0;
    uint64_t *cuts;

    for (uint32_t s = 0; s < audit->sinks_count; s++)
        room += 2 * (size_t)partition->lanes[s].count + 2;
    cuts = audit_alloc((room + 1) * sizeof(*cuts));
    for (uint32_t s = 0; s < audit->sinks_count; s++) {
        const struct audit_lane *lane = &partition->lanes[s];
        for (uint32_t t = 0; t < lane->count; t++) {
            cuts[count++] = lane->tiles[t].first;
            cuts[count++] = lane->tiles[t].next;
        }
        if (bounds[s].first < bounds[s].next) {
            cuts[count++] = bounds[s].first;
            cuts[count++] = bounds[s].next;
        }
    }
    qsort(cuts, count, sizeof(*cuts), offset_order);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || cuts[kept - 1] != cuts[i])
            cuts[kept++] = cuts[i];
    *ret_cuts = cuts;
    return kept;
}

/* The tile of a lane that holds first; `at` moves on with ascending segments. */
static struct audit_tile *segment_tile(struct audit_lane *lane, uint32_t *at, uint64_t first)
{
    while (*at < lane->count && lane->tiles[*at].next <= first)
        ++*at;
    return *at < lane->count && lane->tiles[*at].first <= first ? &lane->tiles[*at] : NULL;
}

static bool segment_wanted(const struct audit_segment *segment, uint32_t sinks, const struct audit_flush *only)
{
    for (uint32_t s = 0; s < sinks; s++)
        if (only == NULL ? segment->tiles[s] != NULL || segment->hole[s]
                         : segment->tiles[s] != NULL && segment->tiles[s]->flush == only)
            return true;
    return false;
}

int audit_tile_segments(struct audit *audit, struct audit_partition *partition, const struct audit_flush *only,
                        int (*each)(void *user, const struct audit_segment *segment), void *user)
{
    uint32_t sinks = audit->sinks_count, *at = audit_alloc(sinks * sizeof(*at));
    struct lane_bounds *bounds = audit_alloc(sinks * sizeof(*bounds));
    struct audit_segment segment = {.partition = partition,
                                    .tiles = audit_alloc(sinks * sizeof(struct audit_tile *)),
                                    .hole = audit_alloc(sinks * sizeof(bool))};
    uint64_t *cuts;
    size_t count;
    int rc = 0;

    for (uint32_t s = 0; s < sinks; s++)
        bounds[s] = lane_bounds_of(audit, partition, s);
    count = segment_cuts(audit, partition, bounds, &cuts);
    for (size_t c = 0; rc == 0 && c + 1 < count; c++) {
        segment.first = cuts[c];
        segment.next = cuts[c + 1];
        for (uint32_t s = 0; s < sinks; s++) {
            segment.tiles[s] = segment_tile(&partition->lanes[s], &at[s], segment.first);
            segment.hole[s] = segment.tiles[s] == NULL && segment.first >= bounds[s].first && segment.next <= bounds[s].next;
        }
        if (segment_wanted(&segment, sinks, only))
            rc = each(user, &segment);
    }
    free(cuts);
    free(bounds);
    free(at);
    free(segment.tiles);
    free(segment.hole);
    return rc;
}
