/* generate_log.c: makes realistic JSON log lines.
 *
 * A few dozen traces are open at any time; a record continues one of them at random until that has had its 1 to 8 records.
 * Cost: 0.2-0.4 us a line, so all text is copied from tables made at the start.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/generate/generate_log.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sampling/zipf.h"

enum { LOG_TRACES = 64, LOG_TEMPLATES_EACH = 4, LOG_NAME = 48 };

/* In a template: %n a number, %x 8 hex digits, %u a user, %p a path, %i an address. */
enum log_shape { LOG_PLAIN, LOG_TIMED, LOG_REQUEST };
struct log_template {
    enum log_shape shape;
    const char *text;
};

static const struct log_template log_templates[] = {
    {LOG_REQUEST, "GET %p handled for user %u from %i with %n bytes in the body"},
    {LOG_REQUEST, "POST %p accepted, request id %x, user %u, %n items in the order"},
    {LOG_REQUEST, "PUT %p replaced revision %n of document %x on behalf of user %u"},
    {LOG_REQUEST, "DELETE %p by user %u from %i, session %x, %n rows removed"},
    {LOG_TIMED, "query on table orders_%n returned %n rows, plan %x, connection %n of pool main"},
    {LOG_TIMED, "cache miss for key user:%n:profile, loaded from replica %i and stored with tag %x"},
    {LOG_TIMED, "published event %x to topic orders.%n, partition %n, acknowledged by all replicas"},
    {LOG_TIMED, "call to http://inventory.internal%p finished after %n retries, peer %i"},
    {LOG_PLAIN, "user \\\"%u\\\" signed in from %i using device %x, risk score %n, second factor was asked for and given"},
    {LOG_PLAIN, "feature flag checkout-v2 evaluated to true for user %u in bucket %n, experiment %x, audience eu-returning"},
    {LOG_PLAIN, "rate limit of %n requests reached for client %i, token %x; the client was told to come again in %n ms"},
    {LOG_PLAIN, "scheduled job compact-%n started on shard %x, previous run took %n ms and freed %n MiB of disk space"},
    {LOG_PLAIN, "connection from %i closed by peer after %n messages; session %x of user %u is kept for 300 s"},
    {LOG_PLAIN, "configuration reloaded: %n keys changed, revision %x, applied to %n workers without a restart of the pool"},
    {LOG_PLAIN, "payment of %n cents by user %u authorised, reference %x, acquirer answered on attempt %n, risk low"},
    {LOG_PLAIN, "template \\\"mail/%u.html\\\" rendered in C:\\\\srv\\\\out\\\\%x.html, %n placeholders filled, locale de_CH"},
};
enum { LOG_TEMPLATES = sizeof(log_templates) / sizeof(log_templates[0]) };

static const char *const log_domains[] = {"payment", "checkout", "search", "inventory", "auth", "gateway", "billing",
                                          "shipping", "catalog", "profile", "notify", "report", "pricing", "session"};
static const char *const log_roles[] = {"api", "worker", "db-proxy", "cache", "batch"};
static const char *const log_users[] = {"anna", "boris", "chen", "dana", "emil", "fatima", "grace", "henrik",
                                        "ines", "jun", "karim", "lea", "marek", "nora", "oskar", "zo\xc3\xab"};
static const char *const log_paths[] = {"/v1/orders", "/v1/orders/items", "/v2/search", "/v1/users/me", "/v1/cart",
                                        "/healthz", "/v2/catalog/products", "/v1/payments"};
static const char *const log_levels[SL_LEVELS] = {"", "trace", "debug", "info", "warn", "error", "fatal"};
static const uint16_t log_statuses[16] = {200, 200, 200, 200, 200, 200, 201, 201, 204, 204, 301, 304, 304, 400, 404, 429};

struct log_trace {
    char id[32];
    uint32_t left;
};

struct log_service {
    char text[LOG_NAME]; /* `","service":"NAME","trace_id":"` is put together from it */
    uint32_t bytes;
    uint16_t templates[LOG_TEMPLATES_EACH];
};

struct sl_generate_log {
    uint64_t random;
    struct sl_zipf zipf;
    struct sl_zipf_cell *cells;
    struct log_service *services;
    uint64_t bad_below;               /* of 2^53 */
    uint64_t level_below[SL_LEVELS];  /* cumulated, of 2^53 */
    struct log_trace traces[LOG_TRACES];
    int64_t second;                   /* that `date` shows, or INT64_MIN */
    char date[20];                    /* 2026-11-22T05:08:28 */
    char hex[256][2];
};

/* splitmix64: any state is good, one multiply chain a number. */
static uint64_t log_random(struct sl_generate_log *log)
{
    uint64_t z = log->random += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static char *put(char *at, const char *text, size_t bytes)
{
    memcpy(at, text, bytes);
    return at + bytes;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_number(char *at, uint32_t number)
{
    char digits[10];
    uint32_t count = 0;

    do {
        digits[sizeof(digits) - ++count] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + sizeof(digits) - count, count);
}

static char *put_hex(const struct sl_generate_log *log, char *at, uint64_t value, uint32_t digits)
{
    for (uint32_t i = 0; i < digits; i += 2, value >>= 8)
        at = put(at, log->hex[value & 255], 2);
    return at;
}

static char *put_address(char *at, uint32_t random)
{
    at = PUT(at, "10.");
    at = put_number(at, random & 63);
    *at++ = '.';
    at = put_number(at, random >> 8 & 255);
    *at++ = '.';
    return put_number(at, random >> 16 & 255);
}

static char *put_blank(struct sl_generate_log *log, char *at, char what)
{
    uint64_t r = log_random(log);

    switch (what) {
    case 'n':
        return put_number(at, (uint32_t)(r >> (40 + (r & 15)))); /* small numbers more often */
    case 'x':
        return put_hex(log, at, r, 8);
    case 'u':
        return put_text(at, log_users[r & 15]);
    case 'p':
        return put_text(at, log_paths[r & 7]);
    default:
        assert(what == 'i');
        return put_address(at, (uint32_t)r);
    }
}

static char *put_message(struct sl_generate_log *log, char *at, const char *template)
{
    const char *blank;

    while ((blank = strchr(template, '%')) != NULL) {
        at = put(at, template, (size_t)(blank - template));
        at = put_blank(log, at, blank[1]);
        template = blank + 2;
    }
    return put_text(at, template);
}

static char *put_two(char *at, int number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

static void log_date(struct sl_generate_log *log, int64_t second)
{
    time_t t = (time_t)second;
    struct tm tm;
    char *at = log->date;

    (void)gmtime_r(&t, &tm);
    at = put_two(at, (tm.tm_year + 1900) / 100 % 100);
    at = put_two(at, (tm.tm_year + 1900) % 100);
    *at++ = '-';
    at = put_two(at, tm.tm_mon + 1);
    *at++ = '-';
    at = put_two(at, tm.tm_mday);
    *at++ = 'T';
    at = put_two(at, tm.tm_hour);
    *at++ = ':';
    at = put_two(at, tm.tm_min);
    *at++ = ':';
    (void)put_two(at, tm.tm_sec);
    log->second = second;
}

static char *put_time(struct sl_generate_log *log, char *at, int64_t unix_ms)
{
    int64_t second = unix_ms / 1000;
    int ms = (int)(unix_ms % 1000);

    assert(unix_ms >= 0);
    if (second != log->second)
        log_date(log, second);
    at = put(at, log->date, 19);
    *at++ = '.';
    *at++ = (char)('0' + ms / 100);
    at = put_two(at, ms % 100);
    *at++ = 'Z';
    return at;
}

static struct log_trace *log_trace_of(struct sl_generate_log *log, uint64_t r)
{
    struct log_trace *trace = &log->traces[r % LOG_TRACES];

    if (trace->left == 0) {
        (void)put_hex(log, trace->id, log_random(log), 16);
        (void)put_hex(log, trace->id + 16, log_random(log), 16);
        trace->left = 1 + (uint32_t)(r >> 32 & 7);
    }
    trace->left--;
    return trace;
}

static enum sl_level log_level(const struct sl_generate_log *log, uint64_t r)
{
    for (uint32_t level = 1; level < SL_LEVELS; level++)
        if (r < log->level_below[level])
            return (enum sl_level)level;
    return SL_LEVEL_INFO;
}

static char *put_outcome(char *at, enum log_shape shape, enum sl_level level, uint64_t r)
{
    if (shape == LOG_REQUEST) {
        at = PUT(at, ",\"status\":");
        at = put_number(at, level >= SL_LEVEL_ERROR ? 500 + (uint32_t)(r & 3) : log_statuses[r & 15]);
    }
    if (shape != LOG_PLAIN) {
        uint32_t us = (uint32_t)(r >> 8 & 1023) << (r >> 20 & 7);
        at = PUT(at, ",\"duration_ms\":");
        at = put_number(at, us / 1000);
        *at++ = '.';
        *at++ = (char)('0' + us / 100 % 10);
        at = put_two(at, (int)(us % 100));
    }
    return at;
}

static char *put_record(struct sl_generate_log *log, char *at, int64_t unix_ms, uint32_t rank, enum sl_level level)
{
    const struct log_service *service = &log->services[rank];
    uint64_t r = log_random(log);
    const struct log_template *template = &log_templates[service->templates[r >> 40 & (LOG_TEMPLATES_EACH - 1)]];

    at = PUT(at, "{\"ts\":\"");
    at = put_time(log, at, unix_ms);
    at = PUT(at, "\",\"level\":\"");
    at = put_text(at, log_levels[level]);
    at = PUT(at, "\",\"service\":\"");
    at = put(at, service->text, service->bytes);
    at = PUT(at, "\",\"trace_id\":\"");
    at = put(at, log_trace_of(log, r)->id, 32);
    at = PUT(at, "\",\"span_id\":\"");
    at = put_hex(log, at, log_random(log), 16);
    at = PUT(at, "\",\"host\":\"node-");
    at = put_number(at, 100 + (uint32_t)(r >> 48 & 255));
    at = PUT(at, ".eu-1\",\"msg\":\"");
    at = put_message(log, at, template->text);
    *at++ = '"';
    at = put_outcome(at, template->shape, level, log_random(log));
    *at++ = '}';
    return at;
}

/* Turns a good line of `bytes` into a bad one; returns its new length. */
static uint32_t log_spoil(char *text, uint32_t bytes, enum sl_generate_bad bad, uint64_t r)
{
    switch (bad) {
    case SL_BAD_TRUNCATED:
        return bytes / 4 + (uint32_t)(r % (bytes / 2));
    case SL_BAD_UTF8:
        memcpy(text + 9, "\xc3\x28", 2); /* within the time: a lead byte without its follower */
        return bytes;
    case SL_BAD_TEXT:
        return (uint32_t)snprintf(text, SL_GENERATE_LOG_MAX, "panic: runtime error: index out of range [%u] with length %u",
                                  (unsigned)(r & 255), (unsigned)(r >> 8 & 127));
    case SL_BAD_EMPTY:
        return 0;
    case SL_BAD_NONE:
    case SL_BADS:
        break;
    }
    return bytes;
}

uint32_t sl_generate_log_next(struct sl_generate_log *log, int64_t unix_ms, char *text, struct sl_generate_made *ret_made)
{
    uint32_t service = sl_zipf_pick(&log->zipf, log_random(log));
    uint64_t r = log_random(log);
    enum sl_level level = log_level(log, r >> 11);
    uint32_t bytes = (uint32_t)(put_record(log, text, unix_ms, service, level) - text);
    enum sl_generate_bad bad = SL_BAD_NONE;

    assert(bytes <= SL_GENERATE_LOG_MAX);
    if (log->bad_below > 0 && log_random(log) >> 11 < log->bad_below) {
        uint64_t which = log_random(log);
        bad = (enum sl_generate_bad)(SL_BAD_TRUNCATED + which % (SL_BADS - SL_BAD_TRUNCATED));
        bytes = log_spoil(text, bytes, bad, which >> 8);
    }
    if (ret_made != NULL)
        *ret_made = (struct sl_generate_made){service, level, bad};
    return bytes;
}

static uint64_t of_2_53(double share)
{
    return share >= 1.0 ? 1ull << 53 : (uint64_t)(share * (double)(1ull << 53));
}

static void log_services_make(struct sl_generate_log *log, uint32_t count)
{
    enum { DOMAINS = sizeof(log_domains) / sizeof(log_domains[0]), ROLES = sizeof(log_roles) / sizeof(log_roles[0]) };

    for (uint32_t i = 0; i < count; i++) {
        struct log_service *service = &log->services[i];
        uint32_t round = i / (DOMAINS * ROLES);
        const char *domain = log_domains[i % DOMAINS], *role = log_roles[(i / DOMAINS + i % DOMAINS) % ROLES];
        int bytes = round == 0 ? snprintf(service->text, LOG_NAME, "%s-%s", domain, role)
                               : snprintf(service->text, LOG_NAME, "%s-%s-%u", domain, role, round + 1);
        service->bytes = (uint32_t)bytes;
        for (uint32_t t = 0; t < LOG_TEMPLATES_EACH; t++)
            service->templates[t] = (uint16_t)((i * 5 + t * 4 + t) % LOG_TEMPLATES);
    }
}

static void log_levels_make(struct sl_generate_log *log, const double *shares)
{
    double below = 0;

    for (uint32_t level = 1; level < SL_LEVELS; level++) {
        below += level == SL_LEVEL_INFO ? 0 : shares[level];
        log->level_below[level] = of_2_53(below);
    }
    log->level_below[SL_LEVEL_NONE] = 0;
}

struct sl_generate_log *sl_generate_log_new(const struct sl_generate_log_settings *settings)
{
    struct sl_generate_log *log = calloc(1, sizeof(*log));
    uint32_t *work = calloc(settings->services, sizeof(*work));

    assert(settings->services >= 1);
    if (log != NULL) {
        log->cells = calloc(settings->services, sizeof(*log->cells));
        log->services = calloc(settings->services, sizeof(*log->services));
    }
    if (log == NULL || work == NULL || log->cells == NULL || log->services == NULL) {
        free(work);
        return sl_generate_log_free(log);
    }
    sl_zipf_init(&log->zipf, settings->services, settings->exponent, log->cells, work);
    free(work);
    log->random = settings->seed;
    log->second = INT64_MIN;
    log->bad_below = of_2_53(settings->bad);
    log_services_make(log, settings->services);
    log_levels_make(log, settings->levels);
    for (uint32_t i = 0; i < 256; i++) {
        log->hex[i][0] = "0123456789abcdef"[i >> 4];
        log->hex[i][1] = "0123456789abcdef"[i & 15];
    }
    return log;
}

struct sl_generate_log *sl_generate_log_free(struct sl_generate_log *log)
{
    if (log != NULL) {
        free(log->cells);
        free(log->services);
        free(log);
    }
    return NULL;
}

/* The integral of rate * (1 + a sin(2 pi t / period)) with a = (factor - 1) / (factor + 1). */
double sl_generate_due(double rate_per_s, double factor, uint64_t period_ns, uint64_t elapsed_ns)
{
    const double pi = 3.14159265358979323846;
    double t = (double)elapsed_ns / 1e9, period = (double)period_ns / 1e9;
    double swing = (factor - 1) / (factor + 1);

    if (swing <= 0 || period <= 0)
        return rate_per_s * t;
    return rate_per_s * (t + swing * period / (2 * pi) * (1 - cos(2 * pi * t / period)));
}
