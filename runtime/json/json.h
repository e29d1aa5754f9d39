/* json.h: the fields of a batch of JSON records as columns, one call a batch; only the projected fields are extracted.
 *
 * A record is any JSON value; fields exist in objects only, so in `5` or `[1]` all are absent. A path descends objects,
 * never arrays. Its first occurrence in the text wins; `repeated` says that it came again. Keys are compared with their
 * escapes resolved. Lone surrogates (\ud800 without its half) are refused as a bad escape, as simdjson's own parser does,
 * since no UTF-8 text can stand for them; more than SL_JSON_DEPTH levels are refused too.
 *
 * validate: the whole record must be RFC 8259 JSON. Without it decode stops at the last field it looked for and notices
 * what it met on the way (see also sl_json_decoder_appended): what the indexing pass sees (UTF-8, control characters, a string without end, nothing at all),
 * and the tokens of projected fields. `repeated` is then known only for what stood before the stop.
 *
 * Ownership: values point into the payloads, or into the arena where escapes were resolved. Threads: one decoder a thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_JSON_H
#define SL_RUNTIME_JSON_JSON_H

#include <stdbool.h>

#include "runtime/base/arena.h"
#include "runtime/base/column.h"
#include "runtime/base/err.h"

enum { SL_JSON_DEPTH = 1024 };

/* Why a record is refused. Rows of sl_json_reasons. */
enum sl_json_verdict {
    SL_JSON_FINE,
    SL_JSON_EMPTY,     /* nothing, or blanks only */
    SL_JSON_NOT_JSON,  /* a token that cannot stand there */
    SL_JSON_TRUNCATED, /* ends too early */
    SL_JSON_UTF8,
    SL_JSON_TRAILING, /* more after the value */
    SL_JSON_ESCAPE,
    SL_JSON_CONTROL, /* a control character in a string */
    SL_JSON_NUMBER,
    SL_JSON_DEEP,
    SL_JSON_VERDICTS
};

/* A sentence for people for each verdict, NULL behind the last: a kind may use it as its `reasons`. */
extern const char *const sl_json_reasons[SL_JSON_VERDICTS + 1];

/* The rows of that table, for a kind whose own table begins with them. */
#define SL_JSON_REASON_ROWS                                                                                                     \
    [SL_JSON_FINE] = "valid JSON",                                                                                             \
    [SL_JSON_EMPTY] = "the payload is empty; a JSON value is needed",                                                          \
    [SL_JSON_NOT_JSON] = "not JSON: a token stands where it cannot",                                                           \
    [SL_JSON_TRUNCATED] = "truncated: the payload ends inside its JSON value",                                                 \
    [SL_JSON_UTF8] = "not valid UTF-8",                                                                                        \
    [SL_JSON_TRAILING] = "more text behind the JSON value; one record is one value",                                           \
    [SL_JSON_ESCAPE] = "a string has an escape that JSON does not know, or half of a surrogate pair",                          \
    [SL_JSON_CONTROL] = "a string has a control character that is not escaped",                                                \
    [SL_JSON_NUMBER] = "a number is not in JSON's form",                                                                       \
    [SL_JSON_DEEP] = "nested deeper than 1024 levels"

struct sl_json_field {
    struct sl_field_path path;
    uint32_t column; /* index into the columns given to decode */
};

struct sl_json_projection {
    const struct sl_json_field *fields; /* paths differ from each other; one may lead through another */
    uint32_t fields_count;
    bool validate;
};

struct sl_json_decoder;

/* Copies what it needs of the projection. Fails on an empty path, or one that is named twice. */
int sl_json_decoder_new(const struct sl_json_projection *projection, struct sl_json_decoder **ret_decoder,
                        struct sl_err *err);
struct sl_json_decoder *sl_json_decoder_free(struct sl_json_decoder *decoder);

/* The given columns are of fields that stages append to objects, behind all others, the last of them a scalar with the key
 * last_key (at most 29 bytes, no escapes). A trusting decoder does not wait for them, but for records that end so; what it meets
 * on its way counts as ever. Without effect where the whole record is validated. */
void sl_json_decoder_appended(struct sl_json_decoder *decoder, const char *last_key, const uint32_t *columns, uint32_t count);

/* For each index i in sel: verdict[i], and row i of every projected column (all absent in a refused record). raw[i] must have
 * SL_PAD readable bytes behind it. Returns 0, or -SL_E_LIMIT when memory or the arena is at its end (rows are then undefined). */
int sl_json_decode(struct sl_json_decoder *decoder, const struct sl_slice *raw, const uint16_t *sel, uint32_t sel_count,
                   struct sl_column *columns, uint8_t *verdict, struct sl_arena *arena);

/* The quoted JSON string of a text, in the arena; what is not UTF-8 becomes U+FFFD. data NULL over budget.
 * (Into a growable buffer: sl_json_quote of json_out.h.) */
struct sl_slice sl_json_escape(struct sl_arena *arena, struct sl_slice text);

#endif
