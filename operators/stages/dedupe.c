/* dedupe.c: lets the first of equal records through and drops the others for a while.
 *
 * Equal: the values that `key` names, type for type, or the whole record byte for byte. A record without a value for some part of the
 * key passes, counted. The window is counted in append times (Kafka's, the spool's), so that reading again decides as before.
 * State: one table an instance, flat: entries in a ring in the order they came, and an open-addressed index over their hashes (128
 * bits of XXH3, so that no two records of different keys are taken for one). What is older than the window, or than max_entries
 * others, is forgotten. A partition's records meet its own entries only: the window is per worker and partition.
 * Rule H3: an entry stores its origin: a record that meets its own, or one that came later, passes. So what is read again after a
 * failed sink or a restart is decided as the first time; a restart itself forgets the entries.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "operators/stages/edit/values.h"
#include "operators/stages/stages.h"
#include "runtime/engine/slot.h"

enum { DEDUPE_MAGIC = 0x64656475, DEDUPE_PARTS = 16 };
#define DEDUPE_NONE 0u
#define DEDUPE_NS_PER_MS 1000000ull
enum dedupe_counter { DEDUPE_C_DROPPED, DEDUPE_C_KEYLESS, DEDUPE_C_EVICTED };

struct dedupe_config {
    struct sl_strings key;
    uint64_t window, max_entries;
};

struct dedupe_entry {
    XXH128_hash_t hash;
    uint64_t offset;  /* origin: of the partition that is in the hash */
    uint64_t carried; /* hash of the origin that the record carries, 0: none */
    int64_t append_unix_ms;
};

struct dedupe_stage {
    uint32_t magic;
    const struct sl_api *api;
    int64_t window_ms;
    struct sl_name name[DEDUPE_PARTS];
    int column[DEDUPE_PARTS];
    uint32_t parts;
    XXH3_state_t *hash;
    struct dedupe_entry *entries; /* ring: first, then count - 1 more */
    uint32_t entries_max, first, count;
    uint32_t *index; /* of entries plus one, or DEDUPE_NONE; linear probing */
    uint32_t index_mask;
    uint64_t partition_seed; /* of the batch under way */
    uint64_t counts[DEDUPE_C_EVICTED + 1];
};

/* ---- settings ---- */

static int dedupe_check(const void *config, struct sl_err *err)
{
    const struct dedupe_config *dedupe = config;

    if (dedupe->key.count > DEDUPE_PARTS)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "key: %u parts are too many; name at most %d", dedupe->key.count, DEDUPE_PARTS);
    for (uint32_t i = 0; i < dedupe->key.count; i++) {
        struct sl_name name;
        int rc = sl_name_parse(dedupe->key.items[i], &name, err);
        enum sl_name_kind kind;

        if (rc != 0)
            return sl_while(err, "key");
        kind = name.kind;
        sl_name_fini(&name);
        if (kind == SL_NAME_CLASS || kind == SL_NAME_APPEND_TIME)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "key: %s does not tell records apart; name what does, such as request_id",
                           dedupe->key.items[i]);
        for (uint32_t before = 0; before < i; before++)
            if (strcmp(dedupe->key.items[before], dedupe->key.items[i]) == 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "key: %s is named twice; once is enough", dedupe->key.items[i]);
    }
    return 0;
}

static void dedupe_close(void *self)
{
    struct dedupe_stage *stage = self;

    if (stage->magic != DEDUPE_MAGIC)
        return;
    for (uint32_t i = 0; i < stage->parts; i++)
        sl_name_fini(&stage->name[i]);
    XXH3_freeState(stage->hash);
    free(stage->entries);
    free(stage->index);
    memset(stage, 0, sizeof(*stage));
}

/* As many as fit the share, if the settings say none: an entry and at most four index cells each. */
static int dedupe_table(struct dedupe_stage *stage, const struct dedupe_config *config, struct sl_err *err)
{
    uint64_t each = sizeof(struct dedupe_entry) + 4 * sizeof(uint32_t), fit = stage->api->share_bytes / each;
    uint64_t entries = config->max_entries > 0 ? config->max_entries : fit;
    uint32_t cells = 16;

    if (config->max_entries > fit)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "max_entries: %llu entries take %llu bytes, and this stage's share holds %llu; write fewer, or more `memory:`",
                       (unsigned long long)entries, (unsigned long long)(entries * each), (unsigned long long)fit);
    if (entries < 1)
        entries = 1;
    if (entries > 1u << 30)
        entries = 1u << 30;
    while (cells < entries * 2)
        cells *= 2;
    stage->entries_max = (uint32_t)entries;
    stage->index_mask = cells - 1;
    stage->entries = malloc(entries * sizeof(*stage->entries)); /* touched as they come */
    stage->index = calloc(cells, sizeof(*stage->index));
    stage->hash = XXH3_createState();
    if (stage->entries == NULL || stage->index == NULL || stage->hash == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table of %llu entries", (unsigned long long)entries);
    return 0;
}

static int dedupe_names(struct dedupe_stage *stage, const struct dedupe_config *config, struct sl_names *names, struct sl_err *err)
{
    for (; stage->parts < config->key.count; stage->parts++) {
        struct sl_name *name = &stage->name[stage->parts];

        if (sl_name_parse(config->key.items[stage->parts], name, err) != 0)
            return sl_while(err, "key");
        stage->column[stage->parts] = -1;
        if (name->kind != SL_NAME_PATH && name->kind != SL_NAME_TRACE)
            continue;
        stage->column[stage->parts] = names->column(names, name, err);
        if (stage->column[stage->parts] < 0)
            return stage->column[stage->parts++]; /* its name is ended by close */
    }
    return 0;
}

static int dedupe_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct dedupe_stage *stage = self;
    const struct dedupe_config *dedupe = config;
    int rc;

    memset(stage, 0, sizeof(*stage));
    stage->magic = DEDUPE_MAGIC;
    stage->api = api;
    stage->window_ms = (int64_t)(dedupe->window / DEDUPE_NS_PER_MS);
    rc = dedupe_names(stage, dedupe, names, err);
    if (rc == 0)
        rc = dedupe_table(stage, dedupe, err);
    if (rc != 0)
        dedupe_close(stage);
    return rc;
}

/* ---- the table ---- */

static uint32_t dedupe_cell(const struct dedupe_stage *stage, XXH128_hash_t hash)
{
    uint32_t cell = (uint32_t)hash.low64 & stage->index_mask;

    while (stage->index[cell] != DEDUPE_NONE) {
        const struct dedupe_entry *entry = &stage->entries[stage->index[cell] - 1];
        if (entry->hash.low64 == hash.low64 && entry->hash.high64 == hash.high64)
            break;
        cell = (cell + 1) & stage->index_mask;
    }
    return cell;
}

/* Cells behind a hole move up, as far as their own place allows. */
static void dedupe_forget_cell(struct dedupe_stage *stage, uint32_t hole)
{
    uint32_t cell = hole;

    stage->index[hole] = DEDUPE_NONE;
    for (;;) {
        uint32_t own;

        cell = (cell + 1) & stage->index_mask;
        if (stage->index[cell] == DEDUPE_NONE)
            return;
        own = (uint32_t)stage->entries[stage->index[cell] - 1].hash.low64 & stage->index_mask;
        if (((cell - own) & stage->index_mask) < ((cell - hole) & stage->index_mask))
            continue;
        stage->index[hole] = stage->index[cell];
        stage->index[cell] = DEDUPE_NONE;
        hole = cell;
    }
}

static void dedupe_forget_first(struct dedupe_stage *stage)
{
    uint32_t cell = dedupe_cell(stage, stage->entries[stage->first].hash);

    if (stage->index[cell] == stage->first + 1) /* else a later entry of the same key has taken its cell */
        dedupe_forget_cell(stage, cell);
    stage->first = (stage->first + 1) % stage->entries_max;
    stage->count--;
}

static void dedupe_remember(struct dedupe_stage *stage, const struct dedupe_entry *entry)
{
    uint32_t at, cell;

    if (stage->count == stage->entries_max) {
        stage->counts[DEDUPE_C_EVICTED] += entry->append_unix_ms - stage->entries[stage->first].append_unix_ms <= stage->window_ms;
        dedupe_forget_first(stage);
    }
    at = (stage->first + stage->count) % stage->entries_max;
    cell = dedupe_cell(stage, entry->hash);
    stage->entries[at] = *entry;
    stage->index[cell] = at + 1;
    stage->count++;
}

/* ---- records ---- */

static uint64_t dedupe_seed(const struct sl_partition *partition)
{
    uint64_t seed = XXH3_64bits_withSeed(partition->source, strlen(partition->source), partition->incarnation);

    seed = XXH3_64bits_withSeed(partition->topic, strlen(partition->topic), seed);
    return XXH3_64bits_withSeed(partition->id, strlen(partition->id), seed);
}

/* false: some part of the key has no value. */
static bool dedupe_hash(struct dedupe_stage *stage, const struct sl_view *view, uint16_t row, XXH128_hash_t *ret_hash)
{
    if (stage->parts == 0) {
        struct sl_slice text = sl_view_text(view, row);
        *ret_hash = XXH3_128bits_withSeed(text.data, text.bytes, stage->partition_seed);
        return true;
    }
    (void)XXH3_128bits_reset_withSeed(stage->hash, stage->partition_seed);
    for (uint32_t i = 0; i < stage->parts; i++) {
        char time[SL_VALUE_TIME_BYTES];
        struct sl_slice value = {NULL, 0};
        enum sl_type type = sl_value_cell(view, &stage->name[i], stage->column[i], row, time, &value);
        struct {
            uint32_t type, bytes;
        } head = {type, value.bytes}; /* so that no two lists of values read alike */

        if (type <= SL_T_NULL)
            return false;
        (void)XXH3_128bits_update(stage->hash, &head, sizeof(head));
        (void)XXH3_128bits_update(stage->hash, value.data, value.bytes);
    }
    *ret_hash = XXH3_128bits_digest(stage->hash);
    return true;
}

/* Rule H3. */
static bool dedupe_is_repeat(const struct dedupe_stage *stage, const struct dedupe_entry *known, const struct dedupe_entry *entry)
{
    if (known->carried != 0 && known->carried == entry->carried)
        return false;
    if (known->offset >= entry->offset)
        return false;
    return entry->append_unix_ms - known->append_unix_ms <= stage->window_ms;
}

static void dedupe_row(struct dedupe_stage *stage, struct sl_view *view, uint16_t row)
{
    const struct sl_batch *batch = view->batch;
    struct dedupe_entry entry = {.offset = batch->offset[row], .append_unix_ms = batch->append_unix_ms[row]};
    uint32_t cell;

    if (batch->origin != NULL && batch->origin[row].bytes > 0)
        entry.carried = XXH3_64bits(batch->origin[row].data, batch->origin[row].bytes) | 1;
    if (!dedupe_hash(stage, view, row, &entry.hash)) {
        stage->counts[DEDUPE_C_KEYLESS]++;
        return;
    }
    cell = dedupe_cell(stage, entry.hash);
    if (stage->index[cell] == DEDUPE_NONE) {
        dedupe_remember(stage, &entry);
        return;
    }
    if (dedupe_is_repeat(stage, &stage->entries[stage->index[cell] - 1], &entry)) {
        view->fate[row] = SL_FILTERED;
        stage->counts[DEDUPE_C_DROPPED]++;
        return;
    }
    if (stage->entries[stage->index[cell] - 1].offset >= entry.offset)
        stage->entries[stage->index[cell] - 1] = entry; /* read again: it is the first once more, in its old place */
    else
        dedupe_remember(stage, &entry); /* its window begins anew; the old entry goes with its turn */
}

static int dedupe_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct dedupe_stage *stage = self;
    (void)err;

    assert(stage->magic == DEDUPE_MAGIC);
    memset(stage->counts, 0, sizeof(stage->counts));
    stage->partition_seed = dedupe_seed(view->batch->partition);
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->fate[view->sel[i]] == SL_LIVE)
            dedupe_row(stage, view, view->sel[i]);
    for (uint32_t i = 0; stage->api->tally != NULL && i <= DEDUPE_C_EVICTED; i++)
        if (stage->counts[i] > 0)
            stage->api->tally(stage->api->env, stage, i, stage->counts[i]);
    return 0;
}

/* ---- tables ---- */

static const struct sl_field dedupe_fields[] = {
    SL_FIELD(dedupe_config, key, SL_F_STRINGS,
             .help = "What makes two records equal: roles, @key, @header:NAME or fields; without it the whole record, byte for byte."),
    SL_FIELD(dedupe_config, window, SL_F_DURATION, .def = "10m", .min = "1s", .max = "30d",
             .help = "How long after a record equal ones are dropped, by append times."),
    SL_FIELD(dedupe_config, max_entries, SL_F_U64, .min = "1", .max = "1000000000",
             .help = "How many records are remembered by each worker; without it as many as the stage's memory holds."),
    {0},
};

static const struct sl_counter dedupe_counters[] = {
    [DEDUPE_C_DROPPED] = {"dropped_total", "records", "Records dropped, since an equal one came before."},
    [DEDUPE_C_KEYLESS] = {"keyless_total", "records", "Records that passed, since some part of the key has no value."},
    [DEDUPE_C_EVICTED] = {"evicted_total", "entries", "Entries forgotten before their window ended, for want of room."},
    [DEDUPE_C_EVICTED + 1] = {0},
};

const struct sl_op_kind sl_op_dedupe = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "dedupe",
             .summary = "Drops records that repeat an earlier one of their partition.",
             .example = "{ type: dedupe, inputs: [parsed], key: [service, request_id], window: 10m }",
             .fields = dedupe_fields,
             .config_bytes = sizeof(struct dedupe_config),
             .self_bytes = sizeof(struct dedupe_stage),
             .counters = dedupe_counters,
             .check = dedupe_check},
    .open = dedupe_open,
    .process = dedupe_process,
    .close = dedupe_close,
};
