/* fuzz_formats.c: any lines as records of each text format: the first byte chooses the format and its settings. What the rig checks holds of
 * each record: the same fate, columns and roles with bodies and without, bodies that are JSON and say what the columns say.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "tests/support/formats_rig.h"

enum { FUZZ_RECORDS = 16, FUZZ_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const fuzz_settings[] = {
    "{ type: parse, inputs: [x], format: text }",
    "{ type: parse, inputs: [x], format: clf, record: { service: path, level: status } }",
    "{ type: parse, inputs: [x], format: logfmt, types: { n: number, b: bool, s: string }, time_format: '%d/%b/%Y %I:%M:%S.%f %p %z' }",
    "{ type: parse, inputs: [x], format: syslog, time_zone: '-03:30', max_age: 36500d }",
    "{ type: parse, inputs: [x], format: csv, columns: [a, '', message], types: { a: number } }",
    "{ type: parse, inputs: [x], format: csv, columns: [message], separator: ' ', quote: \"'\" }",
    "{ type: parse, inputs: [x], format: regex, pattern: '^(?<level>\\w+)?[ ]*(?<n>[0-9.]+)?(?<message>.*?)(?<a>x*)$', types: { n: number } }",
    "{ type: parse, inputs: [x], format: regex, pattern: '(?<a>(?:a|b|ab)*c)(?<message>(?i)[^ä]+)' }",
};
enum { FUZZ_RIGS = sizeof(fuzz_settings) / sizeof(fuzz_settings[0]) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const fields[] = {"message", "level", "a", "n", "b", "path", "status", "structured_data", "structured_data.x.y", "app", "ts", NULL};
    static struct formats_rig *rigs[FUZZ_RIGS];
    struct sl_slice records[FUZZ_RECORDS];
    const char *at = (const char *)data + 1, *end = (const char *)data + bytes;
    uint32_t rig, count = 0;

    if (bytes == 0 || bytes > FUZZ_BYTES)
        return 0;
    rig = data[0] % FUZZ_RIGS;
    if (rigs[rig] == NULL) {
        rigs[rig] = calloc(1, sizeof(*rigs[rig]));
        formats_check(rigs[rig] != NULL, "no memory");
        formats_open(rigs[rig], fuzz_settings[rig], fields);
    }
    while (count < FUZZ_RECORDS) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL || count + 1 == FUZZ_RECORDS ? end : newline;
        records[count++] = (struct sl_slice){at, (uint32_t)(stop - at)};
        if (stop == end)
            break;
        at = stop + 1;
    }
    formats_process(rigs[rig], records, count);
    return 0;
}
