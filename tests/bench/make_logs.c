/* make_logs.c: writes realistic JSON log records, one a line, the same ones for the same seed: the input of every bench.
 *
 * make_logs COUNT [SEED] > FILE. About 288 bytes a record with its newline: services by a Zipf law (200 of them), levels
 * 30 % debug, 55 % info, 10 % warn, 5 % error, traces of 1 to 8 records that belong together though others come between,
 * messages from templates with changing numbers. Some messages have escapes and some are not ASCII, as in real logs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICES = 200, OPEN_TRACES = 64, OUT_BYTES = 1 << 20, LINE_BYTES = 1024 };

struct logs {
    uint64_t random;
    double cumulated[SERVICES]; /* of the Zipf law */
    struct {
        uint64_t high, low;
        unsigned left, service;
    } trace[OPEN_TRACES];
    int64_t unix_ms;
};

/* splitmix64 */
static uint64_t logs_random(struct logs *logs)
{
    uint64_t z = logs->random += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static unsigned logs_below(struct logs *logs, unsigned limit)
{
    return (unsigned)((logs_random(logs) >> 32) * limit >> 32);
}

static void logs_init(struct logs *logs, uint64_t seed)
{
    double sum = 0;

    memset(logs, 0, sizeof(*logs));
    logs->random = seed;
    logs->unix_ms = 1767225600000; /* 2026-01-01 */
    for (int i = 0; i < SERVICES; i++)
        logs->cumulated[i] = sum += 1.0 / (i + 1);
    for (int i = 0; i < SERVICES; i++)
        logs->cumulated[i] /= sum;
}

static unsigned logs_service(struct logs *logs)
{
    double at = (double)(logs_random(logs) >> 11) / 9007199254740992.0;
    unsigned low = 0, high = SERVICES - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (logs->cumulated[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const char *logs_level(struct logs *logs)
{
    unsigned at = logs_below(logs, 100);

    return at < 30 ? "debug" : at < 85 ? "info" : at < 95 ? "warn" : "error";
}

static int logs_message(struct logs *logs, char *to, size_t bytes)
{
    unsigned a = logs_below(logs, 100000), b = logs_below(logs, 5000), c = logs_below(logs, 64);

    switch (logs_below(logs, 8)) {
    case 0:
        return snprintf(to, bytes, "GET /api/v2/orders/%u returned 200 in %u ms", a, b);
    case 1:
        return snprintf(to, bytes, "cache miss for key user:%u:profile, loading from shard %u", a, c);
    case 2:
        return snprintf(to, bytes, "retrying request %u to upstream \\\"billing\\\", attempt %u", a, c % 5 + 1);
    case 3:
        return snprintf(to, bytes, "connection pool at %u of 64, waited %u us for a slot", c, b);
    case 4:
        return snprintf(to, bytes, "session %08x opened for customer %u (Z\xc3\xbcrich)", a * 2654435761u, b);
    case 5:
        return snprintf(to, bytes, "flushed %u rows to partition %u in %u ms", a, c, b);
    case 6:
        return snprintf(to, bytes, "POST /v1/payments accepted, id=pay_%x, queue depth %u", a * 40503u, b);
    default:
        return snprintf(to, bytes, "consumer of topic events-%u is %u records behind", c, a);
    }
}

static int logs_line(struct logs *logs, char *to)
{
    unsigned slot = logs_below(logs, OPEN_TRACES), host;
    unsigned millis, seconds, minutes, hours, days;
    char message[160];

    if (logs->trace[slot].left == 0) {
        logs->trace[slot].high = logs_random(logs);
        logs->trace[slot].low = logs_random(logs);
        logs->trace[slot].left = 1 + logs_below(logs, 8);
        logs->trace[slot].service = logs_service(logs);
    }
    logs->trace[slot].left--;
    logs->unix_ms += logs_below(logs, 3) == 0;
    millis = (unsigned)(logs->unix_ms % 86400000);
    seconds = millis / 1000 % 60, minutes = millis / 60000 % 60, hours = millis / 3600000;
    days = (unsigned)((logs->unix_ms - 1767225600000) / 86400000) % 31 + 1;
    host = logs_below(logs, 40);
    (void)logs_message(logs, message, sizeof(message));
    return snprintf(to, LINE_BYTES,
                    "{\"ts\":\"2026-01-%02uT%02u:%02u:%02u.%03uZ\",\"level\":\"%s\",\"service\":\"svc-%03u\","
                    "\"trace_id\":\"%016" PRIx64 "%016" PRIx64 "\",\"span_id\":\"%016" PRIx64
                    "\",\"host\":\"n%02u\",\"msg\":\"%s\",\"duration_ms\":%u.%02u,\"status\":%u,"
                    "\"user\":{\"id\":%u,\"tier\":\"%s\"}}\n",
                    days, hours, minutes, seconds, millis % 1000, logs_level(logs), logs->trace[slot].service,
                    logs->trace[slot].high, logs->trace[slot].low, logs_random(logs), host, message,
                    logs_below(logs, 900), logs_below(logs, 100), logs_below(logs, 20) == 0 ? 500u : 200u,
                    logs_below(logs, 1000000), logs_below(logs, 4) == 0 ? "gold" : "free");
}

int main(int argc, char **argv)
{
    static struct logs logs;
    static char out[OUT_BYTES];
    unsigned long long count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    size_t used = 0;

    if (count == 0 || argc > 3) {
        fprintf(stderr, "usage: make_logs COUNT [SEED] > FILE\n");
        return 2;
    }
    logs_init(&logs, argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    for (unsigned long long i = 0; i < count; i++) {
        used += (size_t)logs_line(&logs, out + used);
        if (used > OUT_BYTES - LINE_BYTES || i + 1 == count) {
            if (fwrite(out, 1, used, stdout) != used)
                break;
            used = 0;
        }
    }
    if (ferror(stdout) || fflush(stdout) != 0) {
        perror("make_logs");
        return 1;
    }
    return 0;
}
