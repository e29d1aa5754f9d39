/* fuzz_multiline.c: any lines through the joiner: nothing is read that is not there, a record has at most max_lines, and what begins a
 * record begins one again from a fresh state.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sources/multiline.h"

enum { FUZZ_MODES = 3, FUZZ_LINES_MAX = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct sl_multiline *fuzz_new(uint32_t mode)
{
    static const char *const languages[] = {"java", "python", "go"};
    struct sl_multiline_config config = {.max_lines = FUZZ_LINES_MAX};
    struct sl_multiline *multiline = NULL;
    struct sl_err err;

    if (mode == 0)
        config.stack_traces = (struct sl_strings){languages, 3};
    else if (mode == 1)
        config.start = "^\\S+ (?=\\d|x)";
    else
        config.continuation = "^(\\s|\\xe4)+";
    if (sl_multiline_new(&config, &multiline, &err) != 0)
        abort();
    return multiline;
}

/* A line in memory of exactly its size. */
static bool fuzz_line(struct sl_multiline *multiline, struct sl_multiline_state *state, const char *from, size_t bytes)
{
    char *copy = malloc(bytes + (bytes == 0));
    bool joins;

    if (copy == NULL)
        abort();
    memcpy(copy, from, bytes);
    joins = sl_multiline_joins(multiline, state, (struct sl_slice){copy, (uint32_t)bytes});
    free(copy);
    return joins;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sl_multiline *modes[FUZZ_MODES];
    struct sl_multiline_state state = {0};
    const char *at = (const char *)data, *end = at + bytes;

    if (bytes == 0)
        return 0;
    for (uint32_t mode = 0; mode < FUZZ_MODES; mode++)
        if (modes[mode] == NULL)
            modes[mode] = fuzz_new(mode);
    for (at++; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline == NULL ? end : newline;
        struct sl_multiline *multiline = modes[data[0] % FUZZ_MODES];
        struct sl_multiline_state fresh = {0};
        bool joins = fuzz_line(multiline, &state, at, (size_t)(stop - at));
        if (state.lines == 0 || state.lines > FUZZ_LINES_MAX || joins == (state.lines == 1))
            abort();
        if (fuzz_line(multiline, &fresh, at, (size_t)(stop - at)))
            abort();
        if (!joins && memcmp(&fresh, &state, sizeof(state)) != 0)
            abort();
        at = stop + 1;
    }
    return 0;
}
