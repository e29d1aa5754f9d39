/* fuzz_json.c: any bytes as a JSON record: no over-read (the record ends at the end of readable memory), the verdict of the
 * plain second opinion, values inside the payload or the arena; any value as a time and a level; any text written and read back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "runtime/json/timestamp.h"
#include "tests/unit/json_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_json: %s\n", what);
        abort();
    }
}

static void fuzz_fields(const struct json_fixture *fixture, size_t bytes)
{
    for (uint32_t i = 0; i < fixture->fields_count; i++) {
        struct sl_slice value = fixture->value[i];
        struct sl_span span = fixture->span[i];
        bool quoted = fixture->type[i] == SL_T_STRING;
        int64_t unix_ms = 0;
        enum sl_level level = SL_LEVEL_NONE;
        char day[SL_TIME_DAY_BYTES];

        fuzz_check((size_t)span.at + span.bytes <= bytes, "a span leaves its record");
        fuzz_check((fixture->type[i] == SL_T_ABSENT) == (span.bytes == 0), "an absent field has a span");
        fuzz_check(value.bytes <= span.bytes, "a value is longer than its token");
        if (fixture->type[i] == SL_T_ABSENT)
            continue;
        (void)sl_level_parse(value, (enum sl_type)fixture->type[i], &level);
        if (sl_time_parse(value, quoted, &unix_ms) == 0)
            sl_time_day(unix_ms, day);
    }
}

static void fuzz_round_trip(struct json_fixture *fixture, const char *text, uint32_t bytes)
{
    struct sl_slice quoted = sl_json_escape(&fixture->arena, (struct sl_slice){text, bytes});
    uint8_t verdict;
    char *copy;

    if (quoted.data == NULL)
        return;
    copy = malloc(quoted.bytes);
    fuzz_check(copy != NULL, "memory");
    memcpy(copy, quoted.data, quoted.bytes);
    verdict = json_fixture_decode(fixture, copy, quoted.bytes, true, '"');
    free(copy);
    fuzz_check(verdict == SL_JSON_FINE, "an escaped text is refused");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const level[] = {"level", NULL}, *const ts[] = {"ts", NULL}, *const user[] = {"user", NULL},
                             *const email[] = {"user", "email", NULL}, *const a[] = {"a", NULL};
    static const char *const *const paths[] = {level, ts, user, email, a};
    static struct json_fixture *fixture;
    const char *text = (const char *)data;
    uint8_t verdict;

    if (fixture == NULL)
        fixture = json_fixture_new(paths, 5);
    if (bytes > FIXTURE_BYTES / 8)
        return 0;
    verdict = json_fixture_decode(fixture, text, (uint32_t)bytes, true, '"');
    fuzz_check(verdict < SL_JSON_VERDICTS, "no such verdict");
    fuzz_check((verdict == SL_JSON_FINE) == json_reference_is_json(text, bytes), "the second opinion differs");
    fuzz_fields(fixture, bytes);
    fuzz_check(json_fixture_decode(fixture, text, (uint32_t)bytes, false, '9') == SL_JSON_FINE || verdict != SL_JSON_FINE,
               "trust refuses what validation accepts");
    fuzz_fields(fixture, bytes);
    fuzz_round_trip(fixture, text, (uint32_t)bytes);
    return 0;
}
