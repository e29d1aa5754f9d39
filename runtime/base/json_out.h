/* json_out.h: writes JSON into a growable buffer: status, metrics, manifests, dead letters. Commas and colons are its own
 * affair, so the text is well-formed whenever begins and ends match and every member has a key.
 *
 * Invariants, asserted: ends match begins; a key stands before each value in an object and nowhere else; at most
 * SL_JSON_OUT_DEPTH levels. Running out of memory is not asserted: sl_buf_failed(out->buf) tells at the end.
 * Ownership: the buffer is the caller's. Not thread-safe.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_JSON_OUT_H
#define SL_RUNTIME_BASE_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/buf.h"

enum { SL_JSON_OUT_DEPTH = 64 };

struct sl_json_out {
    struct sl_buf *buf;
    uint32_t depth;
    bool keyed;             /* a key waits for its value */
    uint64_t objects, some; /* bit per level: it is an object; it has a member */
};

void sl_json_out_init(struct sl_json_out *out, struct sl_buf *buf);
/* Everything that was begun is ended. */
bool sl_json_out_done(const struct sl_json_out *out);

void sl_json_out_object(struct sl_json_out *out);
void sl_json_out_end_object(struct sl_json_out *out);
void sl_json_out_array(struct sl_json_out *out);
void sl_json_out_end_array(struct sl_json_out *out);
void sl_json_out_key(struct sl_json_out *out, const char *key);
void sl_json_out_key_slice(struct sl_json_out *out, struct sl_slice key);
void sl_json_out_key_token(struct sl_json_out *out, struct sl_slice token); /* is a JSON string already */

/* Escaped; what is not UTF-8 becomes U+FFFD, one for each maximal wrong part. */
void sl_json_out_slice(struct sl_json_out *out, struct sl_slice text);
void sl_json_out_str(struct sl_json_out *out, const char *text); /* NULL: null */
void sl_json_out_printf(struct sl_json_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sl_json_out_u64(struct sl_json_out *out, uint64_t value);
void sl_json_out_i64(struct sl_json_out *out, int64_t value);
void sl_json_out_f64(struct sl_json_out *out, double value); /* shortest that reads back; NaN and infinities: null */
void sl_json_out_bool(struct sl_json_out *out, bool value);
void sl_json_out_null(struct sl_json_out *out);
void sl_json_out_raw(struct sl_json_out *out, struct sl_slice json); /* is JSON already */

/* Members in one line: key and value. */
void sl_json_out_str_at(struct sl_json_out *out, const char *key, const char *text);
void sl_json_out_slice_at(struct sl_json_out *out, const char *key, struct sl_slice text);
void sl_json_out_u64_at(struct sl_json_out *out, const char *key, uint64_t value);
void sl_json_out_i64_at(struct sl_json_out *out, const char *key, int64_t value);
void sl_json_out_f64_at(struct sl_json_out *out, const char *key, double value);
void sl_json_out_bool_at(struct sl_json_out *out, const char *key, bool value);

/* The quoted JSON string of a text, appended to a buffer: no writer needed. */
void sl_json_quote(struct sl_buf *buf, struct sl_slice text);
/* The same into memory that has room; `to` NULL only counts. Returns the bytes, quotes included; no NUL. */
size_t sl_json_quote_to(struct sl_slice text, char *to);

#endif
