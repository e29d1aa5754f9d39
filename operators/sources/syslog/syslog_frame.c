/* syslog_frame.c: octet counting and lines, see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/syslog/syslog_frame.h"

enum { FRAME_DIGITS = 10 };

/* "LEN ": bytes of it, 0 while some are missing, -1 when this is none. */
static int frame_length(const char *data, size_t bytes, uint64_t *ret_length)
{
    uint64_t length = 0;
    size_t at = 0;

    while (at < bytes && at < FRAME_DIGITS && data[at] >= '0' && data[at] <= '9')
        length = length * 10 + (uint64_t)(data[at++] - '0');
    if (at > 0 && data[0] == '0')
        return -1;
    if (at == bytes)
        return 0;
    if (at == 0 || data[at] != ' ')
        return -1;
    *ret_length = length;
    return (int)at + 1;
}

/* False while the first bytes do not tell yet. */
static bool frame_detect(struct sl_syslog_frames *frames, const char *data, size_t bytes)
{
    uint64_t length;
    int head = frame_length(data, bytes, &length);

    if (head == 0 || (head > 0 && (size_t)head == bytes))
        return false;
    frames->framing = head > 0 && data[head] == '<' ? SL_SYSLOG_OCTET : SL_SYSLOG_NEWLINE;
    return true;
}

/* The end of line that some senders count too is framing, not message. */
static struct sl_slice frame_counted(const char *data, size_t bytes)
{
    if (bytes > 0 && data[bytes - 1] == '\n')
        bytes--;
    return (struct sl_slice){data, (uint32_t)bytes};
}

static enum sl_syslog_step frame_octet(struct sl_syslog_frames *frames, const char *data, size_t bytes, size_t *ret_used,
                                       struct sl_slice *ret_message)
{
    uint64_t length = 0, take;
    size_t at = 0;
    int head;

    if (frames->passing > 0) {
        at = frames->passing < bytes ? (size_t)frames->passing : bytes;
        frames->passing -= at;
    }
    for (;;) {
        while (frames->passing == 0 && at < bytes && data[at] == '\n') /* others end a counted message behind its count */
            at++;
        *ret_used = at;
        head = frame_length(data + at, bytes - at, &length);
        if (head <= 0)
            return head < 0 ? SL_SYSLOG_BROKEN : SL_SYSLOG_MORE;
        take = length > frames->max ? frames->max + 1 : length;
        if (bytes - at - (size_t)head < take)
            return SL_SYSLOG_MORE;
        *ret_message = take < length ? (struct sl_slice){data + at + head, (uint32_t)take} : frame_counted(data + at + head, (size_t)take);
        at += (size_t)head + (size_t)take;
        *ret_used = at;
        frames->passing = length - take;
        if (ret_message->bytes > 0)
            return SL_SYSLOG_MESSAGE;
    }
}

static struct sl_slice frame_line(const char *data, size_t bytes)
{
    if (bytes > 0 && data[bytes - 1] == '\r')
        bytes--;
    return (struct sl_slice){data, (uint32_t)bytes};
}

static enum sl_syslog_step frame_newline(struct sl_syslog_frames *frames, const char *data, size_t bytes, size_t *ret_used,
                                         struct sl_slice *ret_message)
{
    size_t at = 0;

    for (;;) {
        size_t from = at + frames->scanned;
        const char *end = from < bytes ? memchr(data + from, '\n', bytes - from) : NULL;
        size_t line = end == NULL ? bytes - at : (size_t)(end - data) - at;
        struct sl_slice message = frame_line(data + at, line);

        frames->scanned = 0;
        *ret_used = at;
        if (!frames->passing_line && line > (size_t)frames->max + 1) { /* with or without its end in sight */
            *ret_message = (struct sl_slice){data + at, (uint32_t)frames->max + 1};
            *ret_used = at + (size_t)frames->max + 1;
            frames->passing_line = true;
            return SL_SYSLOG_MESSAGE;
        }
        if (end == NULL) {
            if (frames->passing_line)
                *ret_used = bytes;
            else
                frames->scanned = line;
            return SL_SYSLOG_MORE;
        }
        at += line + 1;
        *ret_used = at;
        if (!frames->passing_line && message.bytes > 0) {
            *ret_message = message;
            return SL_SYSLOG_MESSAGE;
        }
        frames->passing_line = false;
    }
}

enum sl_syslog_step sl_syslog_frames_next(struct sl_syslog_frames *frames, const char *data, size_t bytes, size_t *ret_used,
                                          struct sl_slice *ret_message)
{
    *ret_used = 0;
    if (frames->framing == SL_SYSLOG_AUTO && !frame_detect(frames, data, bytes))
        return SL_SYSLOG_MORE;
    return frames->framing == SL_SYSLOG_OCTET ? frame_octet(frames, data, bytes, ret_used, ret_message)
                                              : frame_newline(frames, data, bytes, ret_used, ret_message);
}

enum sl_syslog_step sl_syslog_frames_end(const struct sl_syslog_frames *frames, const char *data, size_t bytes,
                                         struct sl_slice *ret_message)
{
    if (frames->framing == SL_SYSLOG_OCTET)
        return bytes > 0 || frames->passing > 0 ? SL_SYSLOG_BROKEN : SL_SYSLOG_MORE;
    *ret_message = frame_line(data, bytes);
    if (ret_message->bytes > frames->max + 1) /* digits that were not told yet */
        ret_message->bytes = (uint32_t)frames->max + 1;
    return frames->passing_line || ret_message->bytes == 0 ? SL_SYSLOG_MORE : SL_SYSLOG_MESSAGE;
}
