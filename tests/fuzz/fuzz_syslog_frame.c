/* fuzz_syslog_frame.c: any bytes as a syslog stream: the same messages come however it is cut, all within their bound, and the
 * decoder never needs more than it says. First byte: low two bits the framing, the rest max in steps of 4; second: the piece.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "operators/sources/syslog/syslog_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz_sum { /* what came, in a form that can be compared */
    uint64_t messages, bytes, hash;
    enum sl_syslog_step last;
};

static void fuzz_message(struct fuzz_sum *sum, struct sl_slice message, uint64_t max)
{
    assert(message.bytes > 0 && message.bytes <= max + 1);
    sum->messages++;
    sum->bytes += message.bytes;
    for (uint32_t i = 0; i < message.bytes; i++)
        sum->hash = (sum->hash ^ (uint8_t)message.data[i]) * 0x100000001b3ull;
    sum->hash = sum->hash * 31 + message.bytes;
}

static struct fuzz_sum fuzz_feed(enum sl_syslog_framing framing, uint64_t max, const char *text, size_t bytes, size_t piece)
{
    struct sl_syslog_frames frames = {.framing = framing, .max = max};
    struct fuzz_sum sum = {.last = SL_SYSLOG_MORE};
    struct sl_slice message;
    size_t from = 0, held = 0, used;

    while (from + held < bytes && sum.last != SL_SYSLOG_BROKEN) {
        held += piece < bytes - from - held ? piece : bytes - from - held;
        while ((sum.last = sl_syslog_frames_next(&frames, text + from, held, &used, &message)) == SL_SYSLOG_MESSAGE) {
            assert(used > 0 && used <= held && message.data >= text + from && message.data + message.bytes <= text + from + used);
            fuzz_message(&sum, message, max);
            from += used;
            held -= used;
        }
        assert(used <= held);
        from += used;
        held -= used;
        assert(sum.last == SL_SYSLOG_BROKEN || held < sl_syslog_frames_need(&frames));
    }
    if (sum.last != SL_SYSLOG_BROKEN)
        sum.last = sl_syslog_frames_end(&frames, text + from, held, &message);
    if (sum.last == SL_SYSLOG_MESSAGE)
        fuzz_message(&sum, message, max);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    enum sl_syslog_framing framing;
    struct fuzz_sum whole, cut;
    uint64_t max;
    char *copy;

    if (bytes < 2)
        return 0;
    framing = (enum sl_syslog_framing)((data[0] & 3) % 3);
    max = 4 + 4 * (uint64_t)(data[0] >> 2);
    copy = malloc(bytes - 1);
    assert(copy != NULL);
    memcpy(copy, data + 2, bytes - 2);
    whole = fuzz_feed(framing, max, copy, bytes - 2, bytes);
    cut = fuzz_feed(framing, max, copy, bytes - 2, (size_t)data[1] + 1);
    assert(whole.messages == cut.messages && whole.bytes == cut.bytes && whole.hash == cut.hash && whole.last == cut.last);
    free(copy);
    return 0;
}
