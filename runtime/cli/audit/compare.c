/* compare.c: the two sides held against each other, flush by flush: records delivered of each partition, fates by service and
 * level, and the digest of the bodies. A flush whose digest differs is read a third time, line by line, to name what is missing
 * and what is too many.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "runtime/cli/audit/audit.h"
#include "runtime/json/level.h"

static const char *const compare_fates[SL_LANDING_FATES] = {"in", "delivered", "filtered", "sampled", "shed", "deferred", "dead"};

static const char *flush_sink(const struct audit *audit, const struct audit_flush *flush)
{
    return audit->sinks[flush->sink].name;
}

/* All partitions of a flush are part of its account; the lanes' verdict follows. */
static void flush_mark_wrong(struct audit *audit, const struct audit_flush *flush)
{
    for (uint32_t r = 0; r < flush->entry->ranges_count; r++) {
        const struct sl_landing_range *range = &flush->entry->ranges[r];
        audit_partition_of(audit, range->source, range->topic, range->id, range->incarnation)->lanes[flush->sink].wrong = true;
    }
}

static void compare_ranges(struct audit *audit, struct audit_flush *flush)
{
    for (uint32_t r = 0; r < flush->entry->ranges_count; r++) {
        const struct sl_landing_range *range = &flush->entry->ranges[r];
        const struct audit_partition *partition;
        if (flush->delivered[r] == range->delivered)
            continue;
        partition = audit_partition_of(audit, range->source, range->topic, range->id, range->incarnation);
        partition->lanes[flush->sink].wrong = true;
        audit_say(audit, AUDIT_ERROR, "count",
                  "sink %s, %s [%" PRIu64 ", %" PRIu64 "), flush %s: %" PRIu64 " delivered, the source read again gives %" PRIu64,
                  flush_sink(audit, flush), audit_partition_name(partition), range->first, range->next, flush->name,
                  range->delivered, flush->delivered[r]);
    }
}

/* ---- accounts ---- */

static void account_row(struct audit *audit, struct audit_flush *flush, const struct sl_ledger_row *said,
                        const struct sl_ledger_row *again)
{
    struct sl_slice service = sl_intern_name(said->service);

    for (int f = 0; f < SL_LANDING_FATES; f++) {
        if (said->fates[f] == again->fates[f])
            continue;
        flush_mark_wrong(audit, flush);
        audit_say(audit, AUDIT_ERROR, "account",
                  "sink %s, flush %s, service %.*s, level %s: %" PRIu64 " %s, the source read again gives %" PRIu64,
                  flush_sink(audit, flush), flush->name, service.bytes > 0 ? (int)service.bytes : 6,
                  service.bytes > 0 ? service.data : "(none)", sl_level_name((enum sl_level)said->level), said->fates[f],
                  compare_fates[f], again->fates[f]);
    }
}

static void compare_accounts(struct audit *audit, struct audit_flush *flush)
{
    uint32_t component = audit->sinks[flush->sink].component;
    struct sl_ledger said;

    if (sl_ledger_init(&said) != 0)
        (void)audit_realloc(NULL, SIZE_MAX);
    for (uint32_t i = 0; i < flush->entry->accounts_count; i++) {
        const struct sl_landing_account *account = &flush->entry->accounts[i];
        struct sl_ledger_row *row = sl_ledger_row(&said, component, sl_intern(audit->interned, account->service), account->level);
        assert(row != NULL);
        for (int f = 0; f < SL_LANDING_FATES; f++)
            row->fates[f] += account->fates[f];
    }
    for (uint32_t i = 0; i < flush->account.rows_cap; i++) /* rows that only one of the two has count as zeros in the other */
        if (flush->account.rows[i].sink != 0)
            (void)sl_ledger_row(&said, component, flush->account.rows[i].service, flush->account.rows[i].level);
    for (uint32_t i = 0; i < said.rows_cap; i++)
        if (said.rows[i].sink != 0)
            account_row(audit, flush, &said.rows[i],
                        sl_ledger_row(&flush->account, component, said.rows[i].service, said.rows[i].level));
    sl_ledger_fini(&said);
}

/* ---- line by line ---- */

struct hunt_row { /* one body */
    struct audit_hash hash;
    uint32_t lines, wanted;                  /* in the files, and by the second reading */
    uint32_t file, line;                     /* its last line, from 1 */
    const struct audit_partition *partition; /* of a record that became it; NULL: of none */
};

struct hunt {
    struct audit *audit;
    struct audit_flush *flush;
    struct hunt_row *rows; /* open addressing */
    uint64_t rows_count, rows_capacity;
    uint32_t file, line;
    uint64_t missing;
    uint32_t named;
    bool strange; /* some line is of no partition */
};

static struct hunt_row *hunt_find(struct hunt_row *rows, uint64_t capacity, struct audit_hash hash)
{
    uint64_t at = hash.low & (capacity - 1);

    while ((rows[at].lines != 0 || rows[at].wanted != 0) && (rows[at].hash.low != hash.low || rows[at].hash.high != hash.high))
        at = (at + 1) & (capacity - 1);
    rows[at].hash = hash;
    return &rows[at];
}

static struct hunt_row *hunt_row(struct hunt *hunt, struct audit_hash hash)
{
    if (hunt->rows_count * 2 >= hunt->rows_capacity) {
        uint64_t capacity = hunt->rows_capacity == 0 ? 4096 : 2 * hunt->rows_capacity;
        struct hunt_row *rows = audit_alloc(capacity * sizeof(*rows));
        for (uint64_t i = 0; i < hunt->rows_capacity; i++)
            if (hunt->rows[i].lines != 0 || hunt->rows[i].wanted != 0)
                *hunt_find(rows, capacity, hunt->rows[i].hash) = hunt->rows[i];
        free(hunt->rows);
        hunt->rows = rows;
        hunt->rows_capacity = capacity;
    }
    return hunt_find(hunt->rows, hunt->rows_capacity, hash);
}

static int hunt_line(void *user, struct sl_slice line, struct sl_err *err)
{
    struct hunt *hunt = user;
    struct hunt_row *row = hunt_row(hunt, audit_hash_of(line, hunt->audit->sinks[hunt->flush->sink].dead));

    (void)err;
    hunt->rows_count += row->lines == 0;
    row->lines++;
    row->file = hunt->file;
    row->line = ++hunt->line;
    return 0;
}

static void hunt_body(void *user, const struct audit_partition *partition, const struct audit_tile *tile, uint64_t offset,
                      struct audit_hash hash)
{
    struct hunt *hunt = user;
    struct hunt_row *row = hunt_row(hunt, hash);

    (void)tile;
    hunt->rows_count += row->lines == 0 && row->wanted == 0;
    row->wanted++;
    row->partition = partition;
    if (row->wanted <= row->lines)
        return;
    hunt->missing++;
    partition->lanes[hunt->flush->sink].wrong = true;
    if (hunt->named++ < AUDIT_FIRSTS)
        audit_say(hunt->audit, AUDIT_ERROR, "lost", "sink %s, %s, offset %" PRIu64 ": not in the files of flush %s",
                  flush_sink(hunt->audit, hunt->flush), audit_partition_name(partition), offset, hunt->flush->name);
}

/* What the files have and the source does not want. */
static void hunt_surplus(struct hunt *hunt)
{
    uint64_t surplus = 0;

    for (uint64_t i = 0; i < hunt->rows_capacity; i++) {
        const struct hunt_row *row = &hunt->rows[i];
        if (row->lines <= row->wanted)
            continue;
        surplus += row->lines - row->wanted;
        hunt->strange = hunt->strange || row->partition == NULL;
        if (row->partition != NULL)
            row->partition->lanes[hunt->flush->sink].wrong = true;
        if (surplus - (row->lines - row->wanted) >= AUDIT_FIRSTS)
            continue;
        audit_say(hunt->audit, AUDIT_ERROR, row->wanted > 0 ? "doubled" : "foreign line", "sink %s, %s, line %u: %s",
                  flush_sink(hunt->audit, hunt->flush), hunt->flush->entry->files[row->file].final, row->line,
                  row->wanted > 0 ? "the same record a second time" : "no record of the source became this line");
    }
    if (surplus + hunt->missing == 0 || (hunt->strange && hunt->missing == 0))
        flush_mark_wrong(hunt->audit, hunt->flush); /* which partition it was cannot be told */
    if (surplus > AUDIT_FIRSTS || hunt->missing > AUDIT_FIRSTS)
        audit_say(hunt->audit, AUDIT_ERROR, "digest",
                  "sink %s, flush %s: %" PRIu64 " records missing and %" PRIu64 " lines too many in all",
                  flush_sink(hunt->audit, hunt->flush), hunt->flush->name, hunt->missing, surplus);
}

static void compare_hunt(struct audit *audit, struct audit_flush *flush)
{
    struct hunt hunt = {.audit = audit, .flush = flush};
    struct audit_replay_hooks hooks = {hunt_body, &hunt};
    struct sl_err err = {0};
    char path[PATH_MAX];

    for (uint32_t i = 0; i < flush->entry->files_count; i++) {
        hunt.file = i;
        hunt.line = 0;
        if (audit_zone_path(audit, flush, i, path))
            (void)sl_landing_lines_as(sl_fs_posix(), path, flush->entry->files[i].final, hunt_line, &hunt,
                                      &err); /* damage was said before */
    }
    if (audit_replay(audit, flush, &hooks, &err) != 0)
        audit_say(audit, AUDIT_ERROR, "replay", "reading flush %s again failed: %s", flush->name, err.text);
    else
        hunt_surplus(&hunt);
    free(hunt.rows);
}

static bool digest_same(const struct audit_digest *a, const struct audit_digest *b)
{
    return a->low == b->low && a->high == b->high && a->records == b->records;
}

static void compare_flush(struct audit *audit, struct audit_flush *flush)
{
    compare_ranges(audit, flush);
    compare_accounts(audit, flush);
    if (flush->expired > 0 || digest_same(&flush->found, &flush->again))
        return;
    audit_say(audit, AUDIT_ERROR, "digest",
              "sink %s, flush %s: its files hold %" PRIu64 " records, the source read again gives %" PRIu64 "%s",
              flush_sink(audit, flush), flush->name, flush->found.records, flush->again.records,
              flush->found.records == flush->again.records ? " with other bodies" : "");
    compare_hunt(audit, flush);
}

void audit_compare_all(struct audit *audit)
{
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        struct audit_flush *flush = audit->flushes[f];
        if (flush->unproved == NULL && !flush->later)
            compare_flush(audit, flush);
        if (flush->damaged && (flush->unproved != NULL || flush->expired > 0 || digest_same(&flush->found, &flush->again)))
            flush_mark_wrong(audit, flush); /* else the comparison has told which partitions are touched */
    }
}
