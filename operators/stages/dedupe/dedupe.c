/* dedupe.c: lets the first of equal records through and drops the others for a while.
 *
 * Equal: the values that `key` names, type for type, or the whole record byte for byte. A record without a value for some part of the
 * key passes, counted. The window is counted in append times (Kafka's, the spool's), so that reading again decides as before.
 * State: one window an instance (window.h). What is older than its time, or than max_entries others, is forgotten. A partition's records
 * meet its own entries only: the window is per worker and partition.
 * Rule H3: an entry stores its origin: a record that meets its own, or one that came later, passes. So what is read again after a
 * failed sink or a restart is decided as the first time; a restart itself forgets the entries.
 *
 * A new generation goes on with what the old one knew, if `key` is the same; `window` and max_entries may be others.
 *  - Moved: the window itself changes hands. Where it cannot (another size, or a canary has entries of its own) it is kept beside as
 *    `past`, asked as well, and emptied into the own one by DEDUPE_SLICE entries a batch, the latest first; what finds no room is older
 *    than all that is kept. Until then both take memory.
 *  - Copied, for a shadow or a canary: DEDUPE_SLICE entries a call, from the oldest, behind an original that goes on; where an entry
 *    of it is replaced meanwhile (something is read again), it begins anew.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "operators/stages/dedupe/window.h"
#include "operators/stages/edit/values.h"
#include "operators/stages/stages.h"
#include "runtime/engine/slot.h"

enum { DEDUPE_MAGIC = 0x64656475, DEDUPE_PARTS = 16, DEDUPE_SLICE = 4096, DEDUPE_STATE = 1 /* raised when entries mean something else */ };
#define DEDUPE_NS_PER_MS 1000000ull
enum dedupe_counter { DEDUPE_C_DROPPED, DEDUPE_C_KEYLESS, DEDUPE_C_EVICTED };

struct dedupe_config {
    struct sl_strings key;
    uint64_t window, max_entries;
};

struct dedupe_past { /* an older generation's window, on its way into the own one */
    struct sl_job job; /* its end: much memory may take long to give back */
    struct window window;
    struct dedupe_past *next; /* what that one was still emptying */
};

struct dedupe_copy { /* of an original that goes on */
    const struct dedupe_stage *from; /* NULL: none under way; a batch of one's own ends it */
    uint64_t next, edition;
};

struct dedupe_stage {
    uint32_t magic;
    const struct sl_api *api;
    int64_t window_ms;
    struct sl_name name[DEDUPE_PARTS];
    int column[DEDUPE_PARTS];
    uint32_t parts;
    XXH3_state_t *hash;
    struct window window;
    struct dedupe_past *past;
    struct dedupe_copy copy;
    uint64_t version;
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
    window_fini(&stage->window);
    while (stage->past != NULL) {
        struct dedupe_past *past = stage->past;
        stage->past = past->next;
        window_fini(&past->window);
        free(past);
    }
    memset(stage, 0, sizeof(*stage));
}

/* As many as fit the share, if the settings say none. */
static int dedupe_table(struct dedupe_stage *stage, const struct dedupe_config *config, struct sl_err *err)
{
    uint64_t fit = stage->api->share_bytes / WINDOW_ENTRY_BYTES, entries = config->max_entries > 0 ? config->max_entries : fit;

    if (config->max_entries > fit)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "max_entries: %llu entries take %llu bytes, and this stage's share holds %llu; write fewer, or more `memory:`",
                       (unsigned long long)entries, (unsigned long long)(entries * WINDOW_ENTRY_BYTES), (unsigned long long)fit);
    if (entries < 1)
        entries = 1;
    if (entries > 1u << 30)
        entries = 1u << 30;
    stage->hash = XXH3_createState();
    if (window_init(&stage->window, (uint32_t)entries) != 0 || stage->hash == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table of %llu entries", (unsigned long long)entries);
    return 0;
}

/* What makes an entry's hash: layout and key. */
static uint64_t dedupe_version(const struct dedupe_config *config)
{
    uint64_t version = XXH3_64bits_withSeed(&config->key.count, sizeof(config->key.count), DEDUPE_STATE);

    for (uint32_t i = 0; i < config->key.count; i++)
        version = XXH3_64bits_withSeed(config->key.items[i], strlen(config->key.items[i]) + 1, version);
    return version;
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
    stage->version = dedupe_version(dedupe);
    rc = dedupe_names(stage, dedupe, names, err);
    if (rc == 0)
        rc = dedupe_table(stage, dedupe, err);
    if (rc != 0)
        dedupe_close(stage);
    return rc;
}

/* ---- what older generations knew ---- */

static void dedupe_tally(struct dedupe_stage *stage)
{
    for (uint32_t i = 0; stage->api->tally != NULL && i <= DEDUPE_C_EVICTED; i++)
        if (stage->counts[i] > 0)
            stage->api->tally(stage->api->env, stage, i, stage->counts[i]);
    memset(stage->counts, 0, sizeof(stage->counts));
}

static void dedupe_past_run(struct sl_job *job)
{
    window_fini(&((struct dedupe_past *)(void *)job)->window);
}

static void dedupe_past_done(struct sl_job *job)
{
    struct dedupe_past *past = (struct dedupe_past *)(void *)job;

    window_fini(&past->window); /* of a job that was dropped */
    free(past);
}

/* Nothing in it counts any more. */
static void dedupe_past_end(struct dedupe_stage *stage)
{
    struct dedupe_past *past = stage->past;

    stage->past = past->next;
    past->job = (struct sl_job){.run = dedupe_past_run, .done = dedupe_past_done, .drop = dedupe_past_done};
    if (stage->api->submit != NULL)
        stage->api->submit(stage->api->env, &past->job);
    else
        dedupe_past_done(&past->job);
}

static void dedupe_remember(struct dedupe_stage *stage, const struct window_entry *entry)
{
    const struct window *window = &stage->window;

    if (window_is_full(window))
        stage->counts[DEDUPE_C_EVICTED] += entry->append_unix_ms - window_oldest(window)->append_unix_ms <= stage->window_ms;
    window_remember(&stage->window, entry);
}

/* The latest of it into the own window; false: neither it nor any before it would be asked for again. Where the own one is full its
 * oldest give way to later ones, so its order is that of time no more: it matters only for what a full window forgets first. */
static bool dedupe_past_take(struct dedupe_stage *stage, struct window *past)
{
    struct window *window = &stage->window;
    struct window_entry entry;

    if (!window_take_last(past, &entry) || window_find(window, entry.hash) != NULL)
        return true;
    if (!window_is_full(window))
        window_put_first(window, &entry);
    else if (entry.append_unix_ms > window_oldest(window)->append_unix_ms)
        dedupe_remember(stage, &entry);
    else if (window_latest(window)->append_unix_ms - entry.append_unix_ms <= stage->window_ms)
        stage->counts[DEDUPE_C_EVICTED]++;
    else
        return false;
    return true;
}

static void dedupe_past_slice(struct dedupe_stage *stage)
{
    struct window *past = &stage->past->window;
    bool more = true;

    for (uint32_t i = 0; i < DEDUPE_SLICE && past->count > 0 && more; i++)
        more = dedupe_past_take(stage, past);
    if (past->count == 0 || !more)
        dedupe_past_end(stage);
}

static struct window_entry *dedupe_known(const struct dedupe_stage *stage, XXH128_hash_t hash, bool *ret_own)
{
    struct window_entry *known = window_find(&stage->window, hash);

    *ret_own = known != NULL;
    for (const struct dedupe_past *past = stage->past; past != NULL && known == NULL; past = past->next)
        known = window_find(&past->window, hash);
    return known;
}

static uint64_t dedupe_state_version(const void *self)
{
    return ((const struct dedupe_stage *)self)->version;
}

static int dedupe_move(struct dedupe_stage *stage, struct dedupe_stage *old, struct sl_err *err)
{
    struct dedupe_past **last = &stage->past, *past;
    bool fed = stage->window.count > 0 && stage->copy.from == NULL; /* else it holds nothing, or a part of what `old` does */

    stage->copy.from = NULL;
    if (!fed && stage->past == NULL && stage->window.max == old->window.max) {
        struct window empty = stage->window;
        stage->window = old->window;
        old->window = empty;
    } else {
        past = calloc(1, sizeof(*past));
        if (past == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the older version's window");
        past->window = old->window;
        memset(&old->window, 0, sizeof(old->window));
        while (*last != NULL)
            last = &(*last)->next;
        *last = past;
        last = &past->next;
    }
    *last = old->past;
    old->past = NULL;
    return 0;
}

/* The next slice of a copy; true: that was the last. */
static bool dedupe_copy_slice(struct dedupe_stage *stage, const struct window *from)
{
    struct dedupe_copy *copy = &stage->copy;
    uint64_t oldest = from->sequence - from->count;

    if (copy->next < oldest)
        copy->next = oldest; /* forgotten there meanwhile */
    for (uint32_t i = 0; i < DEDUPE_SLICE && copy->next < from->sequence; i++)
        window_remember(&stage->window, window_at(from, copy->next++));
    return copy->next == from->sequence;
}

static int dedupe_copy(struct dedupe_stage *stage, struct dedupe_stage *old)
{
    struct dedupe_copy *copy = &stage->copy;

    if (old->past != NULL) { /* it is still emptying an older one: that first */
        dedupe_past_slice(old);
        dedupe_tally(old);
        return 1;
    }
    if (copy->from != old || copy->edition != old->window.edition) {
        if (stage->window.count > 0)
            window_clear(&stage->window);
        *copy = (struct dedupe_copy){old, 0, old->window.edition};
    }
    return dedupe_copy_slice(stage, &old->window) ? 0 : 1;
}

static int dedupe_adopt(void *self, void *old_self, bool move, struct sl_err *err)
{
    struct dedupe_stage *stage = self, *old = old_self;

    assert(stage->magic == DEDUPE_MAGIC && old->magic == DEDUPE_MAGIC && stage != old);
    assert(stage->version == old->version);
    return move ? dedupe_move(stage, old, err) : dedupe_copy(stage, old);
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
static bool dedupe_is_repeat(const struct dedupe_stage *stage, const struct window_entry *known, const struct window_entry *entry)
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
    struct window_entry entry = {.offset = batch->offset[row], .append_unix_ms = batch->append_unix_ms[row]}, *known;
    bool own;

    if (batch->origin != NULL && batch->origin[row].bytes > 0)
        entry.carried = XXH3_64bits(batch->origin[row].data, batch->origin[row].bytes) | 1;
    if (!dedupe_hash(stage, view, row, &entry.hash)) {
        stage->counts[DEDUPE_C_KEYLESS]++;
        return;
    }
    known = dedupe_known(stage, entry.hash, &own);
    if (known != NULL && dedupe_is_repeat(stage, known, &entry)) {
        view->fate[row] = SL_FILTERED;
        stage->counts[DEDUPE_C_DROPPED]++;
        return;
    }
    if (own && known->offset >= entry.offset)
        window_replace(&stage->window, known, &entry); /* read again: it is the first once more, in its old place */
    else
        dedupe_remember(stage, &entry); /* its window begins anew; the old entry goes with its turn */
}

static int dedupe_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct dedupe_stage *stage = self;
    (void)err;

    assert(stage->magic == DEDUPE_MAGIC);
    stage->copy.from = NULL;
    if (stage->past != NULL)
        dedupe_past_slice(stage);
    stage->partition_seed = dedupe_seed(view->batch->partition);
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->fate[view->sel[i]] == SL_LIVE)
            dedupe_row(stage, view, view->sel[i]);
    dedupe_tally(stage);
    return 0;
}

/* ---- tables ---- */

static const struct sl_field dedupe_fields[] = {
    SL_FIELD(dedupe_config, key, SL_F_STRINGS,
             .help = "What makes two records equal: roles, @key, @header:NAME or fields; without it the whole record, byte for byte."),
    SL_FIELD(dedupe_config, window, SL_F_DURATION, .def = "10m", .min = "1s", .max = "30d",
             .help = "How long after a record equal ones are dropped, by append times. Each worker has a window of its own for each partition."),
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
    .state_version = dedupe_state_version,
    .adopt = dedupe_adopt,
};
