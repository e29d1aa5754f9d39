/* encoding.h: `encoding` of a sink: what of a record is written, and how, taken apart once so that the engine's encoder
 * (engine/encode.h) only follows it. Constant after loading; memory is the configuration's pool.
 *
 * Limits: SL_ENCODING_FIELDS fields.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_ENCODING_H
#define SL_RUNTIME_CONFIG_ENCODING_H

#include "runtime/config/bind.h"
#include "runtime/config/name.h"

enum sl_codec { SL_CODEC_RAW, SL_CODEC_JSON, SL_CODEC_TEXT, SL_CODEC_CSV, SL_CODEC_PROTOBUF };

/* What a value is made into; what cannot be made into it counts as missing. */
enum sl_cast {
    SL_CAST_NONE, /* as it is; times as RFC 3339 */
    SL_CAST_STRING,
    SL_CAST_NUMBER,
    SL_CAST_BOOL,
    SL_CAST_RFC3339,
    SL_CAST_EPOCH,   /* seconds with decimals */
    SL_CAST_EPOCH_S, /* whole seconds */
    SL_CAST_EPOCH_MS,
    SL_CAST_EPOCH_NS
};

enum { SL_ENCODING_FIELDS = 256 };

struct sl_encoding_field {
    struct sl_name name;
    struct sl_slice lead; /* what stands before the value: json: "key": with its quotes and colon; text: literal text */
    const char *out;      /* key of the value in the output */
    enum sl_cast cast;
};

struct sl_encoding {
    enum sl_codec codec; /* never RAW: those sinks have none */
    bool lines;          /* bodies must not hold CR or LF, whoever takes them in the sink's place */
    const struct sl_encoding_field *fields;
    uint32_t fields_count;
    struct sl_slice tail; /* text: literal text behind the last field */
};

/* As written. */
struct sl_encoding_config {
    int codec;
    struct sl_strings fields;
    struct sl_map names, types;
    const char *template;
};

extern const struct sl_field sl_encoding_fields[];

/* What a sink's own nature demands. */
enum sl_encoding_needs { SL_ENCODING_LINES = 1 /* bodies are lines */, SL_ENCODING_JSON = 2 /* bodies are JSON objects */,
                         SL_ENCODING_LETTERS = 4 /* the dead-letter sink */, SL_ENCODING_TEXT = 8 /* bodies are text */ };

/* node: the sink's mapping. Problems are diags; false then. *ret_encoding NULL: raw. */
bool sl_encoding_make(struct sl_bind *bind, const struct sl_encoding_config *config, const struct sl_yaml *node,
                      const char *setting, uint32_t needs, const struct sl_encoding **ret_encoding);
/* Whether it reads what only a parse stage knows. */
bool sl_encoding_needs_parse(const struct sl_encoding *encoding);
/* Equal encodings give equal hashes. NULL: raw. */
uint64_t sl_encoding_hash(const struct sl_encoding *encoding, uint64_t seed);

#endif
