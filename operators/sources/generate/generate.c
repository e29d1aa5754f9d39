/* generate.c: the `generate` source: realistic JSON logs at a stated rate, through the spool.
 *
 * The lines come from generate_log.c, the way to the spool from front.c. One thread makes what is due by its schedule, every 10 ms;
 * while the spool refuses, the debt grows and is worked off later, so that the mean rate holds.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "operators/sources/front.h"
#include "operators/sources/generate/generate_log.h"
#include "operators/sources/sources.h"
#include "runtime/base/clock.h"
#include "runtime/config/units.h"

#define GENERATE_BEAT_NS (10 * SL_NS_PER_MS)

struct generate_levels {
    double trace, debug, warn, error, fatal;
};

struct generate_diurnal {
    uint64_t factor;
    uint64_t period;
};

struct generate_config {
    const char *rate;
    uint64_t seed, count, services, partitions;
    const char *exponent;
    struct generate_levels levels;
    struct generate_diurnal diurnal;
    double bad;
};

struct generate_front {
    struct sl_front front; /* first: api->shared is a struct sl_front */
    struct sl_generate_log *log;
    pthread_t thread;
    bool running;
    double rate_per_s; /* 0: as fast as the spool takes */
    double factor;
    uint64_t period_ns;
    uint64_t count, made;
    uint64_t start_ns;
};

static const struct sl_field generate_level_fields[] = {
    SL_FIELD(generate_levels, trace, SL_F_SHARE, .def = "0%", .min = "0%", .max = "100%", .help = "Share of level trace."),
    SL_FIELD(generate_levels, debug, SL_F_SHARE, .def = "20%", .min = "0%", .max = "100%", .help = "Share of level debug."),
    SL_FIELD(generate_levels, warn, SL_F_SHARE, .def = "6%", .min = "0%", .max = "100%", .help = "Share of level warn."),
    SL_FIELD(generate_levels, error, SL_F_SHARE, .def = "2%", .min = "0%", .max = "100%", .help = "Share of level error."),
    SL_FIELD(generate_levels, fatal, SL_F_SHARE, .def = "0.05%", .min = "0%", .max = "100%", .help = "Share of level fatal."),
    {0},
};

static const struct sl_field generate_diurnal_fields[] = {
    SL_FIELD(generate_diurnal, factor, SL_F_U64, .def = "1", .min = "1", .max = "1000",
             .help = "Rate at the peak divided by the rate at the trough; 1 is flat."),
    SL_FIELD(generate_diurnal, period, SL_F_DURATION, .def = "24h", .min = "1s", .max = "168h",
             .help = "From one peak to the next."),
    {0},
};

static const struct sl_field generate_fields[] = {
    SL_FIELD(generate_config, rate, SL_F_STRING, .def = "1000/s",
             .help = "Mean records a second, such as 20000/s; max (or 0) is as fast as the spool takes them."),
    SL_FIELD(generate_config, count, SL_F_U64, .def = "0", .help = "Records to make in this run, then the source ends; 0 is no end."),
    SL_FIELD(generate_config, seed, SL_F_U64, .def = "1", .help = "The same seed makes the same records, but for their times."),
    SL_FIELD(generate_config, services, SL_F_U64, .def = "50", .min = "1", .max = "65000", .help = "How many services write logs."),
    SL_FIELD(generate_config, exponent, SL_F_STRING, .def = "1.1",
             .help = "Exponent of the Zipf law of the services, 0 (all alike) to 4."),
    SL_FIELD(generate_config, levels, SL_F_STRUCT, .sub = generate_level_fields,
             .help = "Shares of the levels; info takes what they leave."),
    SL_FIELD(generate_config, diurnal, SL_F_STRUCT, .sub = generate_diurnal_fields, .help = "Day and night of the rate."),
    SL_FIELD(generate_config, bad, SL_F_SHARE, .def = "0%", .min = "0%", .max = "100%",
             .help = "Share of bad records: truncated JSON, invalid UTF-8, plain text, empty lines."),
    SL_FIELD(generate_config, partitions, SL_F_U64, .def = "4", .min = "1", .max = "1024",
             .help = "Partitions of the spool topic TOPOLOGY.SOURCE that the records go through."),
    {0},
};

static int generate_rate(const char *text, double *ret_per_s, struct sl_err *err)
{
    if (strcmp(text, "max") == 0 || strcmp(text, "0") == 0) {
        *ret_per_s = 0;
        return 0;
    }
    if (sl_rate_scan(text, ret_per_s, err) != 0)
        return sl_while(err, "rate");
    if (!(*ret_per_s >= 0 && *ret_per_s <= 1e9))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "rate: %s is too much; write at most 1000000000/s, or max", text);
    return 0;
}

static int generate_exponent(const char *text, double *ret_exponent, struct sl_err *err)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value <= 4))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "exponent: \"%s\" is not a number from 0 to 4, such as 1.1", text);
    *ret_exponent = value;
    return 0;
}

static int generate_check(const void *config, struct sl_err *err)
{
    const struct generate_config *c = config;
    const struct generate_levels *l = &c->levels;
    double sum = l->trace + l->debug + l->warn + l->error + l->fatal, ignored;

    if (generate_rate(c->rate, &ignored, err) != 0 || generate_exponent(c->exponent, &ignored, err) != 0)
        return -(int)err->code;
    if (sum > 1 + 1e-9)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "levels: the shares sum to %g%%; lower them to 100%% at most (info takes what they leave)", sum * 100);
    return 0;
}

/* How many are due now and not yet made. */
static uint64_t generate_owed(const struct generate_front *generate, uint64_t now_ns)
{
    double due = sl_generate_due(generate->rate_per_s, generate->factor, generate->period_ns, now_ns - generate->start_ns);
    uint64_t upto = generate->rate_per_s > 0 ? (uint64_t)due : UINT64_MAX;

    if (generate->count > 0 && upto > generate->count)
        upto = generate->count;
    return upto > generate->made ? upto - generate->made : 0;
}

static void generate_fill(struct generate_front *generate, struct sl_front_batch *batch, uint64_t owed)
{
    int64_t unix_ms = sl_clock_unix_ms();

    while (batch->count < owed && batch->count < SL_FRONT_BATCH_RECORDS &&
           batch->capacity_bytes - batch->used_bytes >= SL_GENERATE_LOG_MAX) {
        char *text = batch->bytes + batch->used_bytes;
        uint32_t bytes = sl_generate_log_next(generate->log, unix_ms, text, NULL);
        batch->records[batch->count++] = (struct sl_spool_record){.payload = {text, bytes}, .append_unix_ms = unix_ms};
        batch->used_bytes += bytes;
    }
    generate->made += batch->count;
}

static void *generate_main(void *user)
{
    struct generate_front *generate = user;
    struct sl_front *front = &generate->front;
    bool all = false;

    while (!atomic_load(&front->stop) && !all) {
        uint64_t owed = generate_owed(generate, sl_clock_now_ns());
        struct sl_front_batch *batch;

        if (owed == 0) {
            (void)sl_front_sleep(front, GENERATE_BEAT_NS);
            continue;
        }
        batch = sl_front_take(front);
        if (batch == NULL)
            break;
        generate_fill(generate, batch, owed);
        sl_front_send(front, batch);
        all = generate->count > 0 && generate->made == generate->count;
    }
    if (sl_front_drain(front) == 0 && all)
        sl_front_finish(front);
    return NULL;
}

static void generate_unshare(void *shared)
{
    struct generate_front *generate = shared;

    if (generate == NULL)
        return;
    if (generate->running) {
        sl_front_stop(&generate->front);
        (void)pthread_join(generate->thread, NULL);
    }
    sl_front_fini(&generate->front);
    (void)sl_generate_log_free(generate->log);
    free(generate);
}

static int generate_configure(struct generate_front *generate, const struct generate_config *c, struct sl_err *err)
{
    struct sl_generate_log_settings settings = {.seed = c->seed, .services = (uint32_t)c->services, .bad = c->bad};

    if (generate_rate(c->rate, &generate->rate_per_s, err) != 0 ||
        generate_exponent(c->exponent, &settings.exponent, err) != 0)
        return -(int)err->code;
    settings.levels[SL_LEVEL_TRACE] = c->levels.trace;
    settings.levels[SL_LEVEL_DEBUG] = c->levels.debug;
    settings.levels[SL_LEVEL_WARN] = c->levels.warn;
    settings.levels[SL_LEVEL_ERROR] = c->levels.error;
    settings.levels[SL_LEVEL_FATAL] = c->levels.fatal;
    generate->log = sl_generate_log_new(&settings);
    if (generate->log == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    generate->factor = (double)c->diurnal.factor;
    generate->period_ns = c->diurnal.period;
    generate->count = c->count;
    return 0;
}

static int generate_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                         struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct generate_config *)config)->partitions;
    return 0;
}

static int generate_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    const struct generate_config *c = config;
    struct generate_front *generate = calloc(1, sizeof(*generate));
    int rc;

    if (generate == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    rc = generate_configure(generate, c, err);
    if (rc == 0)
        rc = sl_front_init(&generate->front, api, c->partitions, SL_FRONT_BATCH_BYTES, err);
    if (rc == 0) {
        generate->start_ns = sl_clock_now_ns();
        rc = pthread_create(&generate->thread, NULL, generate_main, generate);
        generate->running = rc == 0;
        if (rc != 0)
            rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, rc, "source %s: no thread", api->component);
    }
    if (rc != 0) {
        generate_unshare(generate);
        return rc;
    }
    *ret_shared = generate;
    return 0;
}

const struct sl_source_kind sl_source_generate = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "generate",
             .summary = "Makes realistic JSON logs, for trying things out and for measurements.",
             .example = "{ type: generate, rate: 20000/s, services: 50, bad: 0.1% }",
             .fields = generate_fields,
             .config_bytes = sizeof(struct generate_config),
             .self_bytes = sizeof(struct sl_front_slot),
             .check = generate_check,
             .share = generate_share,
             .unshare = generate_unshare},
    .flags = SL_SOURCE_ENDS,
    SL_FRONT_SLOTS,
    .partitions = generate_partitions,
    .at_end = sl_front_slot_at_end,
};
