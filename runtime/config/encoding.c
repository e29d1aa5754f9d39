/* encoding.c: `encoding` of a sink: checked, and its fields and template taken apart.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/encoding.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/buf.h"
#include "runtime/base/json_out.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"

enum { ENCODING_TEMPLATE_BYTES = 4096 };

static const char *const codec_words[] = {"raw", "json", "text", "csv", "protobuf", NULL};
static const char *const cast_words[] = {"string", "number", "bool", "rfc3339", "epoch", "epoch_s", "epoch_ms", "epoch_ns", NULL};

#define AT(member) .offset = offsetof(struct sl_encoding_config, member)

const struct sl_field sl_encoding_fields[] = {
    {.name = "codec",
     .type = SL_F_ENUM,
     AT(codec),
     .def = "raw",
     .values = codec_words,
     .help = "raw: the record as it came, with what stages changed in JSON. json: the whole record as JSON, or an object of `fields`. "
             "text: `template`. csv: `fields` as RFC 4180, without a header. protobuf: one sluice.v1.Envelope a record, not for sinks "
             "that write lines. Sinks that take JSON objects only have json as their default."},
    {.name = "fields",
     .type = SL_F_STRINGS,
     AT(fields),
     .help = "What is written, in this order: roles, @topic, @key, @time, @header:NAME or fields of the payload. Missing ones are left "
             "out (json, protobuf: attributes) or empty (csv). On sinks that write lines, line breaks within values become blanks."},
    {.name = "names",
     .type = SL_F_MAP,
     AT(names),
     .help = "Keys in the output by field, such as { user.email: email }; a field not named here keeps its name."},
    {.name = "types",
     .type = SL_F_MAP,
     AT(types),
     .help = "Casts by field, such as { status: number }: string, number, bool, rfc3339, epoch (seconds, with decimals), epoch_s (whole seconds), epoch_ms or epoch_ns. A value that "
             "cannot be cast counts as missing."},
    {.name = "template",
     .type = SL_F_STRING,
     AT(template),
     .help = "codec text: the line, with fields in braces, such as \"{time} {level} {message}\"; {{ and }} are braces."},
    {0}};

struct making {
    struct sl_bind *bind;
    const struct sl_encoding_config *config;
    const struct sl_yaml *node; /* the mapping `encoding`, or the sink's where there is none */
    const char *setting;               /* "sinks.a.encoding" */
    struct sl_encoding *encoding;
    struct sl_encoding_field *fields;
    bool fine;
};

/* Where a setting stands, or where it is missing. */
static const struct sl_yaml *making_place(const struct making *making, const char *key)
{
    const struct sl_yaml_item *item = making->node->kind == SL_YAML_MAP ? sl_yaml_find(making->node, key) : NULL;

    return item == NULL ? making->node : item->value;
}

static void making_refuse(struct making *making, const struct sl_yaml *at, const char *key, const char *remedy, const char *problem)
{
    sl_diags_add(making->bind->diags, false, making->bind->file, at->line, at->column, remedy, "%s%s%s: %s", making->setting,
                 key == NULL ? "" : ".", key == NULL ? "" : key, problem);
    making->fine = false;
}

/* Splits "problem; remedy" or "problem: write …" of an error. */
static void making_refuse_err(struct making *making, const struct sl_yaml *at, const char *key, const struct sl_err *err)
{
    const char *split = strstr(err->text, ": write ");
    size_t problem = split == NULL ? strlen(err->text) : (size_t)(split - err->text);

    making_refuse(making, at, key, split == NULL ? "write a field such as user.email" : split + 2,
                  sl_pool_text(making->bind->pool, err->text, problem));
}

/* ---- fields ---- */

static bool making_name(struct making *making, const struct sl_yaml *at, const char *key, const char *text, struct sl_name *ret_name)
{
    struct sl_name name;
    struct sl_err err;

    if (sl_name_parse(text, &name, &err) != 0) {
        making_refuse_err(making, at, key, &err);
        return false;
    }
    *ret_name = sl_name_copy(making->bind->pool, &name);
    sl_name_fini(&name);
    if (ret_name->kind != SL_NAME_CLASS)
        return true;
    making_refuse(making, at, key, "leave it out, or write .class for a field of the payload",
                  "class is known but not built in this version");
    return false;
}

/* A payload field's segments joined by dots; others as they are written. */
static const char *making_out(struct sl_pool *pool, const char *text, const struct sl_name *name)
{
    const char *out = "";

    if (name->kind != SL_NAME_PATH)
        return sl_pool_text(pool, text, strlen(text));
    for (uint32_t i = 0; i < name->path.segments_count; i++)
        out = sl_pool_printf(pool, "%s%s%s", out, i == 0 ? "" : ".", name->path.segments[i]);
    return out;
}

static const char *making_pair(const struct sl_map *map, const char *key)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (strcmp(map->items[i].name, key) == 0)
            return map->items[i].value;
    return NULL;
}

static bool cast_fits(enum sl_name_kind kind, enum sl_cast cast)
{
    return (kind != SL_NAME_TIME && kind != SL_NAME_APPEND_TIME) || (cast != SL_CAST_NUMBER && cast != SL_CAST_BOOL);
}

static bool making_add(struct making *making, const struct sl_yaml *at, const char *key, const char *text)
{
    struct sl_encoding_field field = {.cast = SL_CAST_NONE};
    const char *cast = making_pair(&making->config->types, text), *out = making_pair(&making->config->names, text);

    if (making->encoding->fields_count == SL_ENCODING_FIELDS) {
        making_refuse(making, at, key, "write fewer", "more than 256 fields");
        return false;
    }
    if (!making_name(making, at, key, text, &field.name))
        return false;
    field.out = out != NULL ? out : making_out(making->bind->pool, text, &field.name);
    for (int i = 0; cast != NULL && cast_words[i] != NULL; i++)
        if (strcmp(cast_words[i], cast) == 0)
            field.cast = (enum sl_cast)(i + 1);
    if (!cast_fits(field.name.kind, field.cast))
        making_refuse(making, making_place(making, "types"), "types", "write rfc3339, epoch, epoch_s, epoch_ms or epoch_ns",
                      sl_pool_printf(making->bind->pool, "%s is a time, not a %s", text, cast));
    making->fields[making->encoding->fields_count++] = field;
    return true;
}

static void making_list(struct making *making)
{
    const struct sl_yaml *list = making_place(making, "fields");

    for (uint32_t i = 0; i < making->config->fields.count; i++) {
        const struct sl_yaml *at = list->kind == SL_YAML_LIST && i < list->count ? list->items[i].value : list;
        if (!making_add(making, at, "fields", making->config->fields.items[i]) && making->encoding->fields_count == SL_ENCODING_FIELDS)
            return;
    }
}

/* ---- the template ---- */

/* Literal text up to the next field; {{ and }} are braces. Returns where it ended; NULL: a brace that closes nothing. */
static const char *making_literal(const char *text, struct sl_buf *literal)
{
    for (; *text != '\0'; text++) {
        bool twice = text[1] == text[0];
        if (*text == '{' && !twice)
            return text;
        if (*text == '}' && !twice)
            return NULL;
        text += *text == '{' || *text == '}';
        sl_buf_char(literal, *text);
    }
    return text;
}

static struct sl_slice making_taken(struct sl_pool *pool, struct sl_buf *buf)
{
    struct sl_slice taken = {sl_pool_text(pool, sl_buf_str(buf), buf->bytes), (uint32_t)buf->bytes};

    sl_buf_reset(buf);
    return taken;
}

static void making_template(struct making *making)
{
    const struct sl_yaml *at = making_place(making, "template");
    const char *text = making->config->template, *end;
    struct sl_buf literal = {0};

    while (making->fine && (text = making_literal(text, &literal)) != NULL && *text == '{') {
        uint32_t index = making->encoding->fields_count;
        end = text + 1 + strcspn(text + 1, "{}");
        if (*end != '}' || end == text + 1) {
            making_refuse(making, at, "template", "write {NAME}, and {{ for a brace",
                          *end != '}' ? "a brace is opened and not closed" : "there is no field between the braces");
            break;
        }
        if (!making_add(making, at, "template", sl_pool_text(making->bind->pool, text + 1, (size_t)(end - text - 1))))
            break;
        making->fields[index].lead = making_taken(making->bind->pool, &literal);
        text = end + 1;
    }
    if (making->fine && text == NULL)
        making_refuse(making, at, "template", "write {NAME}, and }} for a brace", "a brace is closed that was never opened");
    making->encoding->tail = making_taken(making->bind->pool, &literal);
    if (making->fine && making->encoding->fields_count == 0)
        making_refuse(making, at, "template", "name a field, such as {message}", "all lines would be the same");
    sl_buf_fini(&literal);
}

/* ---- keys and casts ---- */

static void making_leads(struct making *making)
{
    struct sl_buf lead = {0};

    for (uint32_t i = 0; i < making->encoding->fields_count; i++) {
        sl_json_quote(&lead, sl_slice_of(making->fields[i].out));
        sl_buf_char(&lead, ':');
        making->fields[i].lead = making_taken(making->bind->pool, &lead);
    }
    sl_buf_fini(&lead);
}

static void making_unique(struct making *making)
{
    for (uint32_t i = 0; i < making->encoding->fields_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(making->fields[i].out, making->fields[k].out) == 0) {
                making_refuse(making, making_place(making, "fields"), "fields", "name it once, or give one of them another key in names:",
                              sl_pool_printf(making->bind->pool, "the key %s would come twice", making->fields[i].out));
                return;
            }
}

/* Keys of names: and types: must be among the fields. */
static void making_keys(struct making *making, const struct sl_map *map, const char *key)
{
    const char *text_setting = making->encoding->codec == SL_CODEC_TEXT ? "template" : "fields";

    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_pair *pair = &map->items[i];
        const struct sl_yaml at = {.line = pair->line, .column = pair->column};
        struct sl_nearest nearest;
        bool found = false;
        struct sl_name name;

        sl_nearest_init(&nearest, pair->name);
        for (uint32_t k = 0; k < making->config->fields.count; k++) {
            found = found || strcmp(making->config->fields.items[k], pair->name) == 0;
            sl_nearest_offer(&nearest, making->config->fields.items[k]);
        }
        if (making->encoding->codec == SL_CODEC_TEXT)
            found = strstr(making->config->template, sl_pool_printf(making->bind->pool, "{%s}", pair->name)) != NULL;
        if (found || !making_name(making, &at, key, pair->name, &name))
            continue;
        making_refuse(making, &at, key,
                      nearest.best != NULL ? sl_pool_printf(making->bind->pool, "did you mean %s?", nearest.best)
                                           : sl_pool_printf(making->bind->pool, "name it in %s too, or leave it out here", text_setting),
                      sl_pool_printf(making->bind->pool, "%.80s is not in %s", pair->name, text_setting));
    }
}

static void making_casts(struct making *making)
{
    for (uint32_t i = 0; i < making->config->types.count; i++) {
        const struct sl_pair *pair = &making->config->types.items[i];
        const struct sl_yaml at = {.line = pair->line, .column = pair->column};
        struct sl_nearest nearest;
        bool known = false;

        sl_nearest_init(&nearest, pair->value);
        for (int k = 0; cast_words[k] != NULL; k++) {
            known = known || strcmp(cast_words[k], pair->value) == 0;
            sl_nearest_offer(&nearest, cast_words[k]);
        }
        if (!known)
            making_refuse(making, &at, "types",
                          sl_pool_printf(making->bind->pool, "%s%s%s%s: string, number, bool, rfc3339, epoch, epoch_s, epoch_ms, epoch_ns",
                                         nearest.best != NULL ? "did you mean " : "", nearest.best != NULL ? nearest.best : "",
                                         nearest.best != NULL ? "? " : "", nearest.best != NULL ? "Allowed" : "allowed"),
                          sl_pool_printf(making->bind->pool, "\"%.64s\" is no type", pair->value));
    }
}

/* ---- which settings go with which codec ---- */

static void making_stray(struct making *making, bool given, const char *key, const char *remedy)
{
    if (given)
        making_refuse(making, making_place(making, key), key, remedy,
                      sl_pool_printf(making->bind->pool, "codec %s has no use for it", codec_words[making->config->codec]));
}

static void making_settings(struct making *making)
{
    const struct sl_encoding_config *config = making->config;
    bool keyed = config->codec == SL_CODEC_JSON || config->codec == SL_CODEC_PROTOBUF;
    bool listed = keyed || config->codec == SL_CODEC_CSV;

    making_stray(making, config->fields.items != NULL && !listed, "fields",
                 config->codec == SL_CODEC_TEXT ? "name them in template, in braces" : "write codec: json or codec: csv");
    making_stray(making, config->names.count > 0 && !keyed, "names",
                 config->codec == SL_CODEC_CSV ? "leave it out: there is no header that would show names" : "leave it out, or write codec: json");
    making_stray(making, config->types.count > 0 && config->codec == SL_CODEC_RAW, "types", "leave it out, or write codec: json");
    making_stray(making, config->template != NULL && config->codec != SL_CODEC_TEXT, "template", "leave it out, or write codec: text");
    if (config->codec == SL_CODEC_TEXT && config->template == NULL)
        making_refuse(making, making->node, NULL, "add template: \"{time} {level} {message}\"", "codec text needs a template");
    if (config->codec == SL_CODEC_TEXT && config->template != NULL && strlen(config->template) > ENCODING_TEMPLATE_BYTES)
        making_refuse(making, making_place(making, "template"), "template", "write a shorter one", "it is longer than 4096 bytes");
    if (config->codec == SL_CODEC_CSV && config->fields.items == NULL)
        making_refuse(making, making->node, NULL, "add fields: [time, level, message]", "codec csv needs fields");
    else if (listed && config->fields.count == 0 && sl_yaml_find(making->node, "fields") != NULL)
        making_refuse(making, making_place(making, "fields"), "fields", "name at least one field, or leave it out", "the list is empty");
}

static void making_needs(struct making *making, uint32_t needs)
{
    const struct sl_yaml *at = making_place(making, "codec");
    int codec = making->config->codec;

    if ((needs & SL_ENCODING_LETTERS) != 0 && codec != SL_CODEC_RAW)
        making_refuse(making, at, "codec", "leave encoding: out", "dead letters are JSON objects already, each with the raw bytes in it");
    else if ((needs & SL_ENCODING_JSON) != 0 && codec != SL_CODEC_JSON)
        making_refuse(making, at, "codec", "write codec: json, or leave it out",
                      sl_pool_printf(making->bind->pool, "this sink takes JSON objects only, not %s", codec_words[codec]));
    else if ((needs & SL_ENCODING_LINES) != 0 && codec == SL_CODEC_PROTOBUF)
        making_refuse(making, at, "codec", "write codec: json, or send it to a sink that keeps records apart, such as kafka",
                      "protobuf is binary and may hold line ends, and this sink writes lines");
    else if ((needs & SL_ENCODING_TEXT) != 0 && codec == SL_CODEC_PROTOBUF)
        making_refuse(making, at, "codec", "write codec: json or codec: text", "protobuf is binary, and this sink writes records as text");
}

/* ---- all of it ---- */

bool sl_encoding_make(struct sl_bind *bind, const struct sl_encoding_config *config, const struct sl_yaml *node,
                      const char *setting, uint32_t needs, const struct sl_encoding **ret_encoding)
{
    const struct sl_yaml_item *item = sl_yaml_find(node, "encoding");
    struct sl_encoding_config own = *config;
    struct making making = {.bind = bind, .config = &own, .node = node, .fine = true,
                            .setting = sl_bind_setting(bind, setting, "encoding")};

    if (item != NULL && item->value->kind == SL_YAML_MAP)
        making.node = item->value;
    if ((needs & (SL_ENCODING_JSON | SL_ENCODING_LETTERS)) == SL_ENCODING_JSON &&
        (making.node == node || sl_yaml_find(making.node, "codec") == NULL))
        own.codec = SL_CODEC_JSON;
    *ret_encoding = NULL;
    making_needs(&making, needs & (needs & SL_ENCODING_LETTERS ? SL_ENCODING_LETTERS : ~0u));
    making_settings(&making);
    if (own.codec == SL_CODEC_RAW)
        return making.fine;
    making.encoding = sl_pool_alloc(bind->pool, sizeof(*making.encoding));
    making.fields = sl_pool_alloc(bind->pool, SL_ENCODING_FIELDS * sizeof(*making.fields));
    making.encoding->codec = (enum sl_codec)own.codec;
    making.encoding->lines = (needs & SL_ENCODING_LINES) != 0;
    making.encoding->fields = making.fields;
    *ret_encoding = making.encoding;
    if (!making.fine)
        return false;
    making_casts(&making);
    if (own.codec == SL_CODEC_TEXT)
        making_template(&making);
    else
        making_list(&making);
    if (own.codec == SL_CODEC_JSON)
        making_leads(&making);
    if (own.codec == SL_CODEC_JSON || own.codec == SL_CODEC_PROTOBUF)
        making_unique(&making);
    making_keys(&making, &own.names, "names");
    making_keys(&making, &own.types, "types");
    return making.fine;
}

bool sl_encoding_needs_parse(const struct sl_encoding *encoding)
{
    if (encoding->codec == SL_CODEC_JSON && encoding->fields_count == 0)
        return true;
    for (uint32_t i = 0; i < encoding->fields_count; i++) {
        enum sl_name_kind kind = encoding->fields[i].name.kind;
        if (kind == SL_NAME_PATH || kind == SL_NAME_SERVICE || kind == SL_NAME_LEVEL || kind == SL_NAME_TRACE)
            return true;
    }
    return false;
}

uint64_t sl_encoding_hash(const struct sl_encoding *encoding, uint64_t seed)
{
    if (encoding == NULL)
        return seed;
    seed = XXH3_64bits_withSeed(encoding->tail.data, encoding->tail.bytes, seed + (uint64_t)encoding->codec);
    for (uint32_t i = 0; i < encoding->fields_count; i++) {
        const struct sl_encoding_field *field = &encoding->fields[i];
        char name[1024];
        int bytes = sl_name_print(&field->name, name, sizeof(name));

        seed = XXH3_64bits_withSeed(name, (size_t)bytes < sizeof(name) ? (size_t)bytes : sizeof(name), seed + (uint64_t)field->cast);
        seed = XXH3_64bits_withSeed(field->lead.data, field->lead.bytes, seed);
        seed = XXH3_64bits_withSeed(field->out, strlen(field->out), seed);
    }
    return seed;
}
