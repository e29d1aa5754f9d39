/* fields.c: members of records into columns and bodies.
 *
 * Bodies are written one behind the other into chunks of the arena; a record gets room for the worst that escapes can make of it, so
 * nothing is counted twice, but for records so large that this would waste memory.
 * Invariant: a known field's slot says in `seen` which row it was given to last, so that repeated keys are found without a search; keys that
 * are not known are found again through a table of 2 * SL_FORMAT_MEMBERS places, emptied by counting `turn` up.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/formats/fields.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/json_out.h"
#include "runtime/config/name.h"
#include "runtime/json/json_text.h"
#include "runtime/json/json_tree.h"

enum { FIELDS_CHUNK = 64 << 10, FIELDS_TABLE = 2 * SL_FORMAT_MEMBERS, FIELDS_NO_COLUMN = -1 };

enum fields_cast { FIELDS_AS_IS, FIELDS_NUMBER, FIELDS_BOOL, FIELDS_STRING };

struct fields_known {
    char *key; /* "\"name\":" */
    uint32_t key_bytes;
    int64_t column; /* or FIELDS_NO_COLUMN */
    uint32_t at;    /* of its token in the body put last */
    enum fields_cast cast;
};

struct fields_key { /* of a key met in this record */
    uint64_t turn;
    struct sl_slice key;
};

struct sl_format_fields {
    struct fields_known *known;
    uint32_t known_count;
    bool whole;
    struct sl_json_node root; /* columns of keys that are not known */
    const struct sl_map *types;
    struct fields_key *table; /* NULL: all keys are known */
    uint64_t turn;
    const struct sl_format_batch *batch;
    char *at, *end; /* the chunk's free part */
};

static const struct {
    const char *name;
    enum fields_cast cast;
} fields_casts[] = {{"number", FIELDS_NUMBER}, {"bool", FIELDS_BOOL}, {"string", FIELDS_STRING}};

static enum fields_cast fields_cast_of(const char *name)
{
    for (size_t i = 0; i < sizeof(fields_casts) / sizeof(fields_casts[0]); i++)
        if (strcmp(fields_casts[i].name, name) == 0)
            return fields_casts[i].cast;
    return FIELDS_AS_IS;
}

static int fields_find(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return SL_FORMAT_NO_FIELD;
}

int sl_format_types_check(const struct sl_format_config *config, const char *const *names, uint32_t count, struct sl_err *err)
{
    for (uint32_t i = 0; i < config->types.count; i++) {
        const struct sl_pair *type = &config->types.items[i];
        if (fields_cast_of(type->value) == FIELDS_AS_IS)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "types: \"%s\" of %s is no type; write number, bool or string",
                           type->value, type->name);
        if (names != NULL && fields_find(names, count, type->name) < 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "types: there is no field %s; its name must be one of the format's",
                           type->name);
    }
    return 0;
}

static int fields_role_check(const char *setting, const char *text, const char *const *names, uint32_t count, struct sl_err *err)
{
    struct sl_name name = {.kind = SL_NAME_PATH};
    char path[512];
    int rc;

    if (text == NULL || text[0] == '@' || snprintf(path, sizeof(path), "%s%s", text[0] == '.' ? "" : ".", text) >= (int)sizeof(path))
        return 0;
    rc = sl_name_parse(path, &name, err);
    if (rc == 0 && name.kind == SL_NAME_PATH && fields_find(names, count, name.path.segments[0]) < 0)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "record.%s: there is no field %s; its name must be one of the format's", setting, text);
    sl_name_fini(&name);
    return rc;
}

int sl_format_roles_check(const struct sl_format_config *config, const char *const *names, uint32_t count, struct sl_err *err)
{
    int rc = fields_role_check("time", config->record.time, names, count, err);

    if (rc == 0)
        rc = fields_role_check("service", config->record.service, names, count, err);
    if (rc == 0)
        rc = fields_role_check("level", config->record.level, names, count, err);
    return rc == 0 ? fields_role_check("trace", config->record.trace, names, count, err) : rc;
}

/* ---- open ---- */

static int fields_no_memory(struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the fields of a format");
}

struct sl_format_fields *sl_format_fields_free(struct sl_format_fields *fields)
{
    if (fields == NULL)
        return NULL;
    for (uint32_t i = 0; i < fields->known_count; i++)
        free(fields->known[i].key);
    free(fields->known);
    free(fields->table);
    sl_json_tree_fini(&fields->root);
    free(fields);
    return NULL;
}

static int fields_know(struct fields_known *known, const char *name)
{
    struct sl_slice text = sl_slice_of(name);
    size_t bytes = sl_json_quote_to(text, NULL);

    known->column = FIELDS_NO_COLUMN;
    known->key = malloc(bytes + 1);
    if (known->key == NULL)
        return -1;
    (void)sl_json_quote_to(text, known->key);
    known->key[bytes] = ':';
    known->key_bytes = (uint32_t)bytes + 1;
    return 0;
}

static int fields_columns(struct sl_format_fields *fields, const struct sl_format_open *open, const char *const *names,
                          struct sl_err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < open->fields_count; i++) {
        const struct sl_json_field *field = &open->fields[i];
        int known = fields_find(names, fields->known_count, field->path.segments[0]);
        if (field->path.segments_count != 1)
            continue;
        if (known >= 0)
            fields->known[known].column = field->column;
        else if (fields->table != NULL)
            rc = sl_json_tree_add(&fields->root, field, err);
    }
    return rc;
}

int sl_format_fields_new(const struct sl_format_open *open, const char *const *names, uint32_t count,
                         struct sl_format_fields **ret_fields, struct sl_err *err)
{
    struct sl_format_fields *fields = calloc(1, sizeof(*fields));
    bool any = count == 0; /* keys come with the record */
    int rc = 0;

    if (fields == NULL)
        return fields_no_memory(err);
    fields->root.column = JSON_NO_COLUMN;
    fields->whole = open->whole;
    fields->types = &open->config->types;
    fields->known = calloc((size_t)count + 1, sizeof(*fields->known));
    fields->table = any ? calloc(FIELDS_TABLE, sizeof(*fields->table)) : NULL;
    if (fields->known == NULL || (any && fields->table == NULL))
        rc = fields_no_memory(err);
    for (; rc == 0 && fields->known_count < count; fields->known_count++)
        if (fields_know(&fields->known[fields->known_count], names[fields->known_count]) != 0)
            rc = fields_no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < fields->types->count; i++) {
        int known = fields_find(names, count, fields->types->items[i].name);
        if (known >= 0)
            fields->known[known].cast = fields_cast_of(fields->types->items[i].value);
    }
    if (rc == 0)
        rc = fields_columns(fields, open, names, err);
    if (rc != 0) {
        (void)sl_format_fields_free(fields);
        return rc;
    }
    *ret_fields = fields;
    return 0;
}

bool sl_format_fields_wanted(const struct sl_format_fields *fields, uint32_t field)
{
    assert(field < fields->known_count);
    return fields->whole || fields->known[field].column != FIELDS_NO_COLUMN;
}

uint32_t sl_format_fields_at(const struct sl_format_fields *fields, uint32_t field)
{
    assert(field < fields->known_count);
    return fields->known[field].at;
}

void sl_format_fields_batch(struct sl_format_fields *fields, const struct sl_format_batch *batch)
{
    fields->batch = batch;
    fields->at = fields->end = NULL; /* the chunk died with the batch before */
}

/* ---- casts ---- */

static bool fields_is(struct sl_slice text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.data, word, text.bytes) == 0;
}

static bool fields_bool(struct sl_slice text, bool *ret_value)
{
    static const char *const yes[] = {"true", "yes", "on", "1", "t", "y"}, *const no[] = {"false", "no", "off", "0", "f", "n"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        *ret_value = fields_is(text, yes[i]);
        if (*ret_value || fields_is(text, no[i]))
            return true;
    }
    return false;
}

/* JSON knows no +5, 007, .5 or 5. : what people write so is written as it should be. data NULL: no number, or over budget (which the
 * next allocation tells). */
static struct sl_slice fields_number(struct sl_arena *arena, struct sl_slice text)
{
    const char *at = text.data, *end = at + text.bytes;
    bool negative = at < end && *at == '-';
    struct sl_slice made = {NULL, 0};
    char *to;

    if (sl_json_is_number(text))
        return text;
    at += at < end && (*at == '-' || *at == '+');
    while (end - at > 1 && at[0] == '0' && at[1] >= '0' && at[1] <= '9')
        at++;
    to = text.bytes > 512 ? NULL : sl_arena_alloc(arena, text.bytes + 2 + SL_PAD);
    if (to == NULL || at == end)
        return made;
    made.data = to;
    if (negative)
        *to++ = '-';
    if (*at == '.')
        *to++ = '0';
    memcpy(to, at, (size_t)(end - at));
    to += end - at;
    if (end - at > 1 && end[-1] == '.')
        to--;
    made.bytes = (uint32_t)(to - made.data);
    return sl_json_is_number(made) ? made : (struct sl_slice){NULL, 0};
}

/* What is not of the type stays as it is, and is counted; nothing at all is null. */
static void fields_cast(struct sl_format_fields *fields, enum fields_cast cast, struct sl_format_value *value)
{
    struct sl_slice number;
    bool truth = false;

    if (cast == FIELDS_STRING && (value->type == SL_T_NUMBER || value->type == SL_T_BOOL))
        value->type = SL_T_STRING;
    if (cast == FIELDS_STRING || value->type != SL_T_STRING)
        return;
    if (value->text.bytes == 0) {
        *value = sl_format_null();
    } else if (cast == FIELDS_NUMBER) {
        number = fields_number(fields->batch->view->batch->arena, value->text);
        if (number.data != NULL)
            *value = (struct sl_format_value){number, SL_T_NUMBER};
    } else if (fields_bool(value->text, &truth)) {
        *value = (struct sl_format_value){sl_slice_of(truth ? "true" : "false"), SL_T_BOOL};
    }
    *fields->batch->mistyped += value->type == SL_T_STRING;
}

static enum fields_cast fields_cast_of_key(const struct sl_format_fields *fields, struct sl_slice key)
{
    for (uint32_t i = 0; i < fields->types->count; i++)
        if (sl_slice_is(key, fields->types->items[i].name))
            return fields_cast_of(fields->types->items[i].value);
    return FIELDS_AS_IS;
}

/* ---- bodies ---- */

/* No byte that a JSON string escapes or that could be wrong UTF-8: eight at a time. */
static bool fields_is_plain(struct sl_slice text)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t odd = 0, bytes;
    uint32_t at = 0;

    for (; at + 8 <= text.bytes; at += 8) {
        uint64_t quotes, slashes;
        memcpy(&bytes, text.data + at, 8);
        quotes = bytes ^ (ones * '"');
        slashes = bytes ^ (ones * '\\');
        odd |= bytes | (bytes - ones * 0x20) | (quotes - ones) | (slashes - ones);
    }
    for (; at < text.bytes; at++) {
        unsigned char c = (unsigned char)text.data[at];
        odd |= c < 0x20 || c >= 0x80 || c == '"' || c == '\\' ? tops : 0;
    }
    return (odd & tops) == 0;
}

static char *fields_quote(char *to, struct sl_slice text)
{
    if (!fields_is_plain(text))
        return to + sl_json_quote_to(text, to);
    *to++ = '"';
    if (text.bytes > 0)
        memcpy(to, text.data, text.bytes);
    to += text.bytes;
    *to++ = '"';
    return to;
}

/* The most that a text may take, quoted; exact says to count. */
static size_t fields_room(struct sl_slice text, bool exact)
{
    return exact ? sl_json_quote_to(text, NULL) : 6 * (size_t)text.bytes + 2;
}

static size_t fields_rooms(const struct sl_format_fields *fields, const struct sl_format_member *members, uint32_t count, bool exact)
{
    size_t room = 2;

    for (uint32_t i = 0; i < count; i++) {
        const struct sl_format_value *value = &members[i].value;
        if (value->type == SL_T_ABSENT)
            continue;
        room += members[i].field < 0 ? fields_room(members[i].key, exact) + 1 : fields->known[members[i].field].key_bytes;
        room += 1 + (value->type == SL_T_STRING ? fields_room(value->text, exact) : value->text.bytes);
    }
    return room;
}

/* Where the next body begins. */
static char *fields_begin(struct sl_format_fields *fields, const struct sl_format_member *members, uint32_t count)
{
    size_t room = fields_rooms(fields, members, count, false), chunk = FIELDS_CHUNK;

    if (room > FIELDS_CHUNK / 4)
        room = fields_rooms(fields, members, count, true);
    if (fields->at != NULL && (size_t)(fields->end - fields->at) >= room)
        return fields->at;
    chunk = room > FIELDS_CHUNK / 4 ? room : chunk;
    fields->at = sl_arena_alloc(fields->batch->view->batch->arena, chunk + SL_PAD);
    if (fields->at == NULL)
        return NULL;
    fields->end = fields->at + chunk;
    memset(fields->end, 0, SL_PAD);
    return fields->at;
}

static char *fields_member(const struct sl_format_fields *fields, const struct sl_format_member *member, char *to, char *begin,
                           struct sl_span *ret_span)
{
    char *value;

    *to = to == begin ? '{' : ',';
    to++;
    if (member->field >= 0) {
        memcpy(to, fields->known[member->field].key, fields->known[member->field].key_bytes);
        to += fields->known[member->field].key_bytes;
    } else {
        to = fields_quote(to, member->key);
        *to++ = ':';
    }
    value = to;
    if (member->value.type == SL_T_STRING) {
        to = fields_quote(to, member->value.text);
    } else {
        memcpy(to, member->value.text.data, member->value.text.bytes);
        to += member->value.text.bytes;
    }
    *ret_span = (struct sl_span){(uint32_t)(value - begin), (uint32_t)(to - value)};
    return to;
}

/* ---- members ---- */

/* Whether the key came before in this record. */
static bool fields_again(struct sl_format_fields *fields, struct sl_slice key)
{
    uint32_t at = (uint32_t)XXH3_64bits(key.data, key.bytes) % FIELDS_TABLE;

    for (; fields->table[at].turn == fields->turn; at = (at + 1) % FIELDS_TABLE)
        if (sl_slice_eq(fields->table[at].key, key))
            return true;
    fields->table[at] = (struct fields_key){fields->turn, key};
    return false;
}

static int64_t fields_column(const struct sl_format_fields *fields, const struct sl_format_member *member)
{
    const struct sl_json_node *node;

    if (member->field >= 0)
        return fields->known[member->field].column;
    node = sl_json_tree_find(&fields->root, member->key);
    return node == NULL ? FIELDS_NO_COLUMN : node->column;
}

static void fields_fill(const struct sl_format_fields *fields, int64_t index, uint16_t row, const struct sl_format_value *value,
                        struct sl_span span)
{
    struct sl_column *column = &fields->batch->columns[index];

    column->type[row] = value->type;
    column->value[row] = value->text;
    column->span[row] = span;
}

int sl_format_fields_put(struct sl_format_fields *fields, uint16_t row, struct sl_format_member *members, uint32_t count)
{
    char *begin = NULL, *to;

    assert(count <= SL_FORMAT_MEMBERS);
    fields->turn++;
    for (uint32_t i = 0; fields->types->count > 0 && i < count; i++) {
        struct sl_format_member *member = &members[i];
        enum fields_cast cast = member->field < 0 ? fields_cast_of_key(fields, member->key) : fields->known[member->field].cast;
        if (cast != FIELDS_AS_IS && member->value.type != SL_T_ABSENT)
            fields_cast(fields, cast, &member->value);
    }
    if (fields->whole && (begin = fields_begin(fields, members, count)) == NULL)
        return -1;
    to = begin;
    for (uint32_t i = 0; i < count; i++) {
        const struct sl_format_member *member = &members[i];
        int64_t column = fields_column(fields, member);
        struct sl_span span = {0, 0};
        if (member->value.type == SL_T_ABSENT || (!fields->whole && column == FIELDS_NO_COLUMN))
            continue;
        if (member->field < 0 && fields_again(fields, member->key)) {
            if (column != FIELDS_NO_COLUMN)
                fields->batch->columns[column].repeated[row] = 1;
            continue;
        }
        if (fields->whole)
            to = fields_member(fields, member, to, begin, &span);
        if (member->field >= 0)
            fields->known[member->field].at = span.at;
        if (column != FIELDS_NO_COLUMN)
            fields_fill(fields, column, row, &member->value, span);
    }
    if (!fields->whole)
        return 0;
    if (to == begin)
        *to++ = '{';
    *to++ = '}';
    fields->batch->body[row] = (struct sl_slice){begin, (uint32_t)(to - begin)};
    fields->at = to;
    assert(to <= fields->end);
    return 0;
}

int sl_format_line(const struct sl_format_batch *batch, uint16_t row, struct sl_slice *ret_line)
{
    struct sl_slice line = batch->view->batch->raw[row];

    if (line.bytes > 0 && line.data[line.bytes - 1] == '\n')
        line.bytes--;
    if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
        line.bytes--;
    *ret_line = line;
    return sl_format_utf8(batch, ret_line);
}
