/* fields.c: fields of JSON objects set, removed and renamed by their paths.
 *
 * The paths make a tree of nodes (in the order they are written) beside a tree of keys that finds them (json_tree.h). Reading a record
 * notes every member whose key is a node's (struct fields_member), and every object that has such members or may get some
 * (struct fields_object). Writing walks these notes: members first, then what each object gets at its end.
 * Invariants: (1) objects and members are in text order, parents before what is in them; (2) a leaf has a field and no children.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/edit/fields.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/base/json_out.h"
#include "runtime/json/json_scan.h"
#include "runtime/json/json_tree.h"

enum { FIELDS_MAGIC = 0x6669656c, FIELDS_NONE = -1, FIELDS_KEY_BYTES = 1024 };

struct fields_node {
    struct sl_slice key; /* quoted, with its colon */
    int32_t field;       /* of a leaf, else FIELDS_NONE */
    int32_t parent, child, sibling, last_child;
    /* of the record */
    int32_t first;  /* its first member, or FIELDS_NONE */
    int32_t object; /* inner: its first object */
    int32_t other;  /* its first member that was not descended */
};

struct fields_object {
    int32_t node;
    uint32_t close;
    bool plain; /* has a member that is no node's */
    bool kept;  /* while writing: one that is a node's stays */
};

struct fields_member {
    int32_t node, object; /* the object it is a member of */
    bool plain_before;    /* a member that is no node's stands before it in its object */
    uint32_t key_at, key_bytes, value_at, value_end;
    uint32_t comma_before, comma_after; /* or SL_JSON_NO_COMMA */
};

struct fields_level { /* of the walk: an object of interest */
    int32_t object, member; /* member: its last that is a node's, while its end is not known */
    bool plain;
};

struct sl_fields {
    uint32_t magic, count;
    struct sl_json_index *index;
    struct sl_json_node root;
    struct fields_node *nodes; /* nodes[0]: the record */
    uint32_t nodes_count, nodes_room;
    int32_t *leaf; /* by field */
    struct fields_object *objects;
    struct fields_member *members;
    uint32_t objects_count, objects_room, members_count, members_room;
    struct sl_slice text;
    struct sl_buf key; /* scratch: a key with its escapes resolved */
    struct sl_json_scan scan;
};

/* ---- paths ---- */

static int32_t fields_node_add(struct sl_fields *fields, int32_t parent, const char *key)
{
    struct fields_node *node;
    struct sl_buf quoted;

    if (fields->nodes_count == fields->nodes_room) {
        uint32_t room = fields->nodes_room == 0 ? 16 : fields->nodes_room * 2;
        struct fields_node *nodes = realloc(fields->nodes, room * sizeof(*nodes));
        if (nodes == NULL)
            return FIELDS_NONE;
        fields->nodes = nodes;
        fields->nodes_room = room;
    }
    node = &fields->nodes[fields->nodes_count];
    *node = (struct fields_node){.field = FIELDS_NONE, .parent = parent, .child = FIELDS_NONE, .sibling = FIELDS_NONE,
                                 .last_child = FIELDS_NONE};
    sl_buf_init(&quoted);
    if (key != NULL) {
        sl_json_quote(&quoted, sl_slice_of(key));
        sl_buf_char(&quoted, ':');
        if (sl_buf_failed(&quoted)) {
            sl_buf_fini(&quoted);
            return FIELDS_NONE;
        }
        node->key = (struct sl_slice){quoted.data, (uint32_t)quoted.bytes};
    }
    if (parent != FIELDS_NONE) {
        struct fields_node *above = &fields->nodes[parent];
        if (above->last_child == FIELDS_NONE)
            above->child = (int32_t)fields->nodes_count;
        else
            fields->nodes[above->last_child].sibling = (int32_t)fields->nodes_count;
        above->last_child = (int32_t)fields->nodes_count;
    }
    return (int32_t)fields->nodes_count++;
}

/* The node of a path's first `count` segments, made where it is missing. */
static int fields_path_add(struct sl_fields *fields, const struct sl_field_path *path, int32_t *ret_node, struct sl_err *err)
{
    int32_t at = 0;

    for (uint32_t i = 0; i < path->segments_count; i++) {
        struct sl_json_field json = {{path->segments, i + 1}, 0};
        struct sl_json_node *known = &fields->root;
        int32_t child = FIELDS_NONE;

        for (uint32_t s = 0; known != NULL && s <= i; s++) { /* keys are read in eights */
            char key[FIELDS_KEY_BYTES] = "";
            size_t bytes = strlen(path->segments[s]);
            if (bytes + 8 > sizeof(key))
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a key is longer than %d bytes", FIELDS_KEY_BYTES - 8);
            memcpy(key, path->segments[s], bytes);
            known = (struct sl_json_node *)(uintptr_t)sl_json_tree_find(known, (struct sl_slice){key, (uint32_t)bytes});
        }
        if (known != NULL && known->column != JSON_NO_COLUMN)
            child = (int32_t)known->column;
        if (child == FIELDS_NONE) {
            child = fields_node_add(fields, at, path->segments[i]);
            if (child == FIELDS_NONE)
                return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the fields of a stage");
            json.column = (uint32_t)child;
            if (sl_json_tree_add(&fields->root, &json, err) != 0)
                return -(int)err->code;
        }
        at = child;
    }
    *ret_node = at;
    return 0;
}

int sl_fields_new(const struct sl_field_path *paths, uint32_t count, struct sl_fields **ret_fields, struct sl_err *err)
{
    struct sl_fields *fields = calloc(1, sizeof(*fields));
    int rc = 0;

    if (fields == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the fields of a stage");
    fields->magic = FIELDS_MAGIC;
    fields->root.column = JSON_NO_COLUMN;
    fields->index = sl_json_index_new();
    fields->leaf = calloc((size_t)count + 1, sizeof(*fields->leaf));
    if (fields->index == NULL || fields->leaf == NULL || fields_node_add(fields, FIELDS_NONE, NULL) != 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the fields of a stage");
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = fields_path_add(fields, &paths[i], &fields->leaf[i], err);
        if (rc == 0) {
            assert(fields->nodes[fields->leaf[i]].child == FIELDS_NONE && fields->nodes[fields->leaf[i]].field == FIELDS_NONE);
            fields->nodes[fields->leaf[i]].field = (int32_t)i;
        }
    }
    fields->count = count;
    if (rc != 0)
        fields = sl_fields_free(fields);
    else
        *ret_fields = fields;
    return rc;
}

struct sl_fields *sl_fields_free(struct sl_fields *fields)
{
    if (fields != NULL) {
        assert(fields->magic == FIELDS_MAGIC);
        for (uint32_t i = 0; i < fields->nodes_count; i++)
            free((void *)(uintptr_t)fields->nodes[i].key.data);
        sl_json_tree_fini(&fields->root);
        sl_json_index_free(fields->index);
        sl_buf_fini(&fields->key);
        free(fields->nodes);
        free(fields->leaf);
        free(fields->objects);
        free(fields->members);
        fields->magic = 0;
        free(fields);
    }
    return NULL;
}

/* ---- reading ---- */

static bool fields_room(void **array, uint32_t count, uint32_t *room, size_t bytes)
{
    uint32_t more = *room == 0 ? 32 : *room * 2;
    void *grown;

    if (count < *room)
        return true;
    grown = realloc(*array, more * bytes);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

/* The node that a key in an object of `object` stands for, or FIELDS_NONE; -2: a wrong escape, -3: no memory. */
static int32_t fields_key(struct sl_fields *fields, const struct sl_json_node *object, struct sl_span span, const struct sl_json_node **ret)
{
    struct sl_slice key = {fields->text.data + span.at + 1, span.bytes - 2};
    const struct sl_json_node *found;

    if (key.bytes > 0 && memchr(key.data, '\\', key.bytes) != NULL) {
        uint32_t bytes;
        char *to;

        sl_buf_reset(&fields->key);
        to = sl_buf_reserve(&fields->key, key.bytes + 8u);
        if (to == NULL)
            return -3;
        if (sl_json_unescape(key, to, &bytes) != 0)
            return -2;
        memset(to + bytes, 0, 8);
        key = (struct sl_slice){to, bytes};
    }
    found = sl_json_tree_find(object, key);
    *ret = found;
    return found == NULL ? FIELDS_NONE : (int32_t)found->column;
}

/* An object of a node begins: its members are noted. */
static bool fields_enter(struct sl_fields *fields, int32_t node, struct fields_level *level)
{
    void *objects = fields->objects;

    if (!fields_room(&objects, fields->objects_count, &fields->objects_room, sizeof(*fields->objects)))
        return false;
    fields->objects = objects;
    if (fields->nodes[node].object == FIELDS_NONE)
        fields->nodes[node].object = (int32_t)fields->objects_count;
    *level = (struct fields_level){(int32_t)fields->objects_count, FIELDS_NONE, false};
    fields->objects[fields->objects_count++] = (struct fields_object){.node = node};
    return true;
}

static bool fields_note(struct sl_fields *fields, struct fields_level *level, int32_t node)
{
    const struct sl_json_scan *scan = &fields->scan;
    void *members = fields->members;

    if (level->member != FIELDS_NONE && fields->members[level->member].comma_after == SL_JSON_NO_COMMA)
        fields->members[level->member].comma_after = scan->comma;
    level->member = FIELDS_NONE;
    if (node == FIELDS_NONE) {
        level->plain = true;
        return true;
    }
    if (!fields_room(&members, fields->members_count, &fields->members_room, sizeof(*fields->members)))
        return false;
    fields->members = members;
    level->member = (int32_t)fields->members_count;
    if (fields->nodes[node].first == FIELDS_NONE)
        fields->nodes[node].first = level->member;
    fields->members[fields->members_count++] =
        (struct fields_member){.node = node, .object = level->object, .plain_before = level->plain, .key_at = scan->span.at,
                               .key_bytes = scan->span.bytes, .comma_before = scan->comma, .comma_after = SL_JSON_NO_COMMA};
    return true;
}

static void fields_value_is(struct sl_fields *fields, int32_t member, uint32_t at, uint32_t end)
{
    struct fields_member *noted = &fields->members[member];

    noted->value_at = at;
    noted->value_end = end;
    if (fields->nodes[noted->node].other == FIELDS_NONE)
        fields->nodes[noted->node].other = member;
}

static void fields_forget(struct sl_fields *fields, struct sl_slice text)
{
    fields->text = text;
    fields->objects_count = fields->members_count = 0;
    for (uint32_t i = 0; i < fields->nodes_count; i++)
        fields->nodes[i].first = fields->nodes[i].object = fields->nodes[i].other = FIELDS_NONE;
}

static enum sl_fields_found fields_wrong(const struct sl_fields *fields)
{
    return fields->scan.verdict == SL_JSON_VERDICTS ? SL_FIELDS_NO_MEMORY : SL_FIELDS_WRONG;
}

struct fields_walk {
    struct fields_level level[18]; /* a path has at most 16 segments (name.h) */
    const struct sl_json_node *json[18];
    uint32_t depth;
};

/* A member's value, whose key has just been seen: descended if it is an object with nodes in it, else passed over. */
static enum sl_fields_found fields_member_value(struct sl_fields *fields, struct fields_walk *walk, const struct sl_json_node *json)
{
    struct sl_json_scan *scan = &fields->scan;
    int32_t member = walk->level[walk->depth].member;
    enum sl_json_event event = sl_json_scan_next(scan);
    uint32_t at = scan->span.at;

    if (event == SL_JSON_BEGIN && scan->type == SL_T_OBJECT && member != FIELDS_NONE && json->keys_count > 0) {
        assert(walk->depth + 1 < sizeof(walk->level) / sizeof(walk->level[0]));
        fields->members[member].value_at = at;
        walk->json[++walk->depth] = json;
        return fields_enter(fields, fields->members[member].node, &walk->level[walk->depth]) ? SL_FIELDS_READ : SL_FIELDS_NO_MEMORY;
    }
    if (event == SL_JSON_BEGIN)
        event = sl_json_scan_leap(scan);
    if (event == SL_JSON_WRONG)
        return fields_wrong(fields);
    if (member != FIELDS_NONE)
        fields_value_is(fields, member, at, scan->span.at + scan->span.bytes);
    return SL_FIELDS_READ;
}

static enum sl_fields_found fields_walk(struct sl_fields *fields, struct fields_walk *walk)
{
    struct sl_json_scan *scan = &fields->scan;

    for (;;) {
        const struct sl_json_node *json = NULL;
        enum sl_fields_found found;
        int32_t node;
        enum sl_json_event event = sl_json_scan_next(scan);

        if (event == SL_JSON_WRONG)
            return fields_wrong(fields);
        if (event == SL_JSON_END) {
            fields->objects[walk->level[walk->depth].object].close = scan->span.at;
            fields->objects[walk->level[walk->depth].object].plain = walk->level[walk->depth].plain;
            if (walk->depth == 0)
                return sl_json_scan_next(scan) == SL_JSON_DONE ? SL_FIELDS_READ : fields_wrong(fields);
            walk->depth--;
            fields->members[walk->level[walk->depth].member].value_end = scan->span.at + 1;
            continue;
        }
        assert(event == SL_JSON_KEY);
        node = fields_key(fields, walk->json[walk->depth], scan->span, &json);
        if (node < FIELDS_NONE)
            return node == -3 ? SL_FIELDS_NO_MEMORY : SL_FIELDS_WRONG;
        if (!fields_note(fields, &walk->level[walk->depth], node))
            return SL_FIELDS_NO_MEMORY;
        found = fields_member_value(fields, walk, json);
        if (found != SL_FIELDS_READ)
            return found;
    }
}

enum sl_fields_found sl_fields_read(struct sl_fields *fields, struct sl_slice text)
{
    struct fields_walk walk = {.json = {&fields->root}};
    enum sl_json_event event;

    assert(fields->magic == FIELDS_MAGIC);
    fields_forget(fields, text);
    if (!sl_json_scan_begin(&fields->scan, fields->index, text))
        return fields->scan.verdict == SL_JSON_EMPTY ? SL_FIELDS_NO_OBJECT : fields_wrong(fields);
    event = sl_json_scan_next(&fields->scan);
    if (event == SL_JSON_WRONG)
        return fields_wrong(fields);
    if (event != SL_JSON_BEGIN || fields->scan.type != SL_T_OBJECT)
        return SL_FIELDS_NO_OBJECT;
    if (!fields_enter(fields, 0, &walk.level[0]))
        return SL_FIELDS_NO_MEMORY;
    return fields_walk(fields, &walk);
}

struct sl_slice sl_fields_value(const struct sl_fields *fields, uint32_t index)
{
    int32_t first = fields->nodes[fields->leaf[index]].first;

    assert(index < fields->count);
    if (first == FIELDS_NONE)
        return (struct sl_slice){NULL, 0};
    return (struct sl_slice){fields->text.data + fields->members[first].value_at,
                             fields->members[first].value_end - fields->members[first].value_at};
}

/* ---- writing ---- */

struct fields_writer {
    struct sl_fields *fields;
    const struct sl_wish *wishes;
    struct sl_arena *arena;
    struct sl_fields_edits *edits;
    uint16_t row;
};

static int fields_edit(struct fields_writer *writer, uint32_t at, uint32_t end, struct sl_slice paste)
{
    void *edits = writer->edits->edits;

    if (!fields_room(&edits, writer->edits->count, &writer->edits->room, sizeof(*writer->edits->edits)))
        return -1;
    writer->edits->edits = edits;
    writer->edits->edits[writer->edits->count++] = (struct sl_edit){writer->row, {at, end - at}, paste};
    return 0;
}

/* A member goes, and one comma with it: the one before it where a member before it stays, else the one behind it. */
static int fields_cut(struct fields_writer *writer, const struct fields_member *member)
{
    const struct sl_slice nothing = {NULL, 0};
    const struct fields_object *object = &writer->fields->objects[member->object];

    if (object->kept || member->plain_before)
        return fields_edit(writer, member->comma_before, member->value_end, nothing);
    if (member->comma_after != SL_JSON_NO_COMMA)
        return fields_edit(writer, member->key_at, member->comma_after + 1, nothing);
    return fields_edit(writer, member->key_at, member->value_end, nothing);
}

/* A missing field that is wished for, below `node`, where no object of it exists. */
static bool fields_needed(const struct fields_writer *writer, int32_t node, bool soft_too)
{
    const struct fields_node *here = &writer->fields->nodes[node];

    if (here->field != FIELDS_NONE)
        return here->first == FIELDS_NONE && (writer->wishes[here->field].kind == SL_WISH_SET ||
                                              (soft_too && writer->wishes[here->field].kind == SL_WISH_SET_SOFT));
    if (here->object != FIELDS_NONE)
        return false; /* it is added there */
    for (int32_t child = here->child; child != FIELDS_NONE; child = writer->fields->nodes[child].sibling)
        if (fields_needed(writer, child, soft_too))
            return true;
    return false;
}

/* The members that the children of `node` need, each behind a comma but for the first if `first`. to NULL only counts. */
static uint32_t fields_made(const struct fields_writer *writer, int32_t node, bool first, char *to)
{
    const struct sl_fields *fields = writer->fields;
    uint32_t bytes = 0;

    for (int32_t child = fields->nodes[node].child; child != FIELDS_NONE; child = fields->nodes[child].sibling) {
        const struct fields_node *here = &fields->nodes[child];

        if (here->other != FIELDS_NONE && here->object == FIELDS_NONE && here->field == FIELDS_NONE)
            continue; /* it gives way where it stands, or it stays */
        if (!fields_needed(writer, child, true))
            continue;
        if (to != NULL && !first)
            to[bytes] = ',';
        bytes += !first;
        first = false;
        if (to != NULL)
            memcpy(to + bytes, here->key.data, here->key.bytes);
        bytes += here->key.bytes;
        if (here->field != FIELDS_NONE) {
            struct sl_slice json = writer->wishes[here->field].json;
            if (to != NULL)
                memcpy(to + bytes, json.data, json.bytes);
            bytes += json.bytes;
            continue;
        }
        if (to != NULL)
            to[bytes] = '{';
        bytes++;
        bytes += fields_made(writer, child, true, to == NULL ? NULL : to + bytes);
        if (to != NULL)
            to[bytes] = '}';
        bytes++;
    }
    return bytes;
}

/* The text of what `node` needs; object: in braces. data NULL: no memory, or nothing. */
static int fields_text(const struct fields_writer *writer, int32_t node, bool first, bool object, struct sl_slice *ret_text)
{
    uint32_t bytes = fields_made(writer, node, first, NULL);
    char *text;

    *ret_text = (struct sl_slice){NULL, 0};
    if (bytes == 0)
        return 0;
    text = sl_arena_alloc(writer->arena, (size_t)bytes + 2);
    if (text == NULL)
        return -1;
    text[0] = '{';
    (void)fields_made(writer, node, first, text + object);
    if (object)
        text[bytes + 1] = '}';
    *ret_text = (struct sl_slice){text, bytes + 2u * object};
    return 0;
}

/* A parent that is no object: it gives way to one. */
static int fields_parent(struct fields_writer *writer, int32_t index, const struct fields_member *member)
{
    const struct fields_node *node = &writer->fields->nodes[member->node];
    struct sl_slice text;

    if (node->object != FIELDS_NONE || node->other != index || !fields_needed(writer, member->node, true))
        return 0;
    writer->edits->conflicts++;
    if (!fields_needed(writer, member->node, false))
        return 0; /* soft wishes only */
    if (fields_text(writer, member->node, true, true, &text) != 0)
        return -1;
    return fields_edit(writer, member->value_at, member->value_end, text);
}

static int fields_write_member(struct fields_writer *writer, int32_t index)
{
    struct sl_fields *fields = writer->fields;
    const struct fields_member *member = &fields->members[index];
    const struct fields_node *node = &fields->nodes[member->node];
    enum sl_wish_kind kind = node->field == FIELDS_NONE ? SL_WISH_LEAVE : writer->wishes[node->field].kind;
    bool first = node->first == index;
    int rc = 0;

    if (kind == SL_WISH_REMOVE || (!first && (kind == SL_WISH_SET || kind == SL_WISH_RENAME)))
        return fields_cut(writer, member);
    if (kind == SL_WISH_SET)
        rc = fields_edit(writer, member->value_at, member->value_end, writer->wishes[node->field].json);
    else if (kind == SL_WISH_RENAME)
        rc = fields_edit(writer, member->key_at, member->key_at + member->key_bytes, writer->wishes[node->field].json);
    else if (node->field == FIELDS_NONE)
        rc = fields_parent(writer, index, member);
    fields->objects[member->object].kept = true;
    return rc;
}

/* What an object gets at its end. */
static int fields_write_object(struct fields_writer *writer, int32_t index)
{
    struct sl_fields *fields = writer->fields;
    const struct fields_object *object = &fields->objects[index];
    struct sl_slice text;

    if (fields->nodes[object->node].object != index)
        return 0;
    if (fields_text(writer, object->node, !object->kept && !object->plain, false, &text) != 0)
        return -1;
    return text.bytes == 0 ? 0 : fields_edit(writer, object->close, object->close, text);
}

int sl_fields_write(struct sl_fields *fields, uint16_t row, const struct sl_wish *wishes, struct sl_arena *arena,
                    struct sl_fields_edits *edits)
{
    struct fields_writer writer = {fields, wishes, arena, edits, row};

    assert(fields->magic == FIELDS_MAGIC);
    for (uint32_t i = 0; i < fields->members_count; i++)
        if (fields_write_member(&writer, (int32_t)i) != 0)
            return -1;
    for (uint32_t i = 0; i < fields->objects_count; i++)
        if (fields_write_object(&writer, (int32_t)i) != 0)
            return -1;
    return 0;
}
