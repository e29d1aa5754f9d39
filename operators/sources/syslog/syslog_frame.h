/* syslog_frame.h: cuts a TCP stream into syslog messages (RFC 6587): octet counting ("LEN MESSAGE") or a line each, found out by
 * the first bytes of a connection. Pure; the fuzz target fuzz_syslog_frame drives it.
 *
 * States: AUTO -first bytes are "LEN <"-> OCTET, else -> NEWLINE; in either, passing: the rest of a message above max is run over.
 * Limits: a decoder needs at most sl_syslog_frames_need() bytes before it gets on; a length has at most 10 digits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_SYSLOG_FRAME_H
#define SL_OPERATORS_SOURCES_SYSLOG_FRAME_H

#include <stddef.h>

#include "runtime/base/slice.h"

enum sl_syslog_framing { SL_SYSLOG_AUTO, SL_SYSLOG_OCTET, SL_SYSLOG_NEWLINE };

struct sl_syslog_frames { /* zeroed but for framing and max */
    enum sl_syslog_framing framing;
    uint64_t max;     /* longest message */
    uint64_t passing; /* octets of a message above max that are still to be run over */
    bool passing_line;
    size_t scanned;   /* no line ends in so many of the bytes that are held */
};

enum sl_syslog_step {
    SL_SYSLOG_MESSAGE, /* one message */
    SL_SYSLOG_MORE,    /* bytes are missing */
    SL_SYSLOG_BROKEN   /* no frame begins here: the stream cannot be followed any further */
};

/* Bytes that a caller must be able to hold. */
static inline size_t sl_syslog_frames_need(const struct sl_syslog_frames *frames)
{
    return (size_t)frames->max + 1 + 11 + 1; /* length, blank, message; or a line and its end */
}

/* Looks at the bytes that are held. *ret_used of them are done with, whatever the step; a message lies in them. Of a message above
 * max only the first max + 1 bytes come, as one message. Blank lines and empty messages are left out. */
enum sl_syslog_step sl_syslog_frames_next(struct sl_syslog_frames *frames, const char *data, size_t bytes, size_t *ret_used,
                                          struct sl_slice *ret_message);
/* The stream has ended with these bytes unused: MESSAGE: they are a last line without its end; MORE: there is nothing;
 * BROKEN: the end lies inside a counted message. */
enum sl_syslog_step sl_syslog_frames_end(const struct sl_syslog_frames *frames, const char *data, size_t bytes,
                                         struct sl_slice *ret_message);

#endif
