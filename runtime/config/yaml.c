/* yaml.c: libfyaml's events, built into our tree. An anchor's node is shared by its aliases;
 * weights keep a document that doubles itself by aliases (a "billion laughs") from ever being
 * walked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/config/pool.h"

enum { MAP_KEYS_MAX = 10000, MERGES_MAX = 16 }; /* keys are compared one by one */

struct yaml_anchor {
    const char *name;
    const struct sl_yaml *node;
    bool open; /* still being built: an alias to it would hold itself */
};

struct yaml_frame {
    struct sl_yaml *node;
    bool has_key, merge, merged;
    struct sl_yaml_item key;
    uint32_t anchor; /* index + 1 of the anchor on this node */
};

struct yaml_build {
    struct sl_pool *pool;
    const char *name;
    struct sl_diags *diags;
    struct yaml_frame frames[SL_YAML_DEPTH];
    uint32_t depth, documents;
    struct yaml_anchor *anchors;
    uint32_t anchors_count;
    const struct sl_yaml *root;
    bool failed;
};

#define yaml_fail(build, line, column, remedy, ...)                                                \
    ((build)->failed = true,                                                                       \
     sl_diags_add((build)->diags, false, (build)->name, line, column, remedy, __VA_ARGS__))

const struct sl_yaml_item *sl_yaml_find(const struct sl_yaml *map, const char *key)
{
    for (uint32_t i = 0; map->kind == SL_YAML_MAP && i < map->count; i++)
        if (strcmp(map->items[i].key, key) == 0)
            return &map->items[i];
    return NULL;
}

bool sl_yaml_is_null(const struct sl_yaml *node)
{
    return node->kind == SL_YAML_SCALAR && !node->quoted &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

/* "sinks.out.dir: " for the value that is being read; empty at the top. */
static const char *yaml_setting(const struct yaml_build *build)
{
    const char *path = "";

    for (uint32_t i = 0; i < build->depth; i++)
        if (build->frames[i].node->kind == SL_YAML_MAP && build->frames[i].has_key)
            path = sl_pool_printf(build->pool, "%s%s%.80s", path, path[0] == '\0' ? "" : ".",
                                  build->frames[i].key.key);
    return path[0] == '\0' ? "" : sl_pool_printf(build->pool, "%s: ", path);
}

/* ---- adding to the open node ---- */

static void yaml_append(struct yaml_build *build, struct sl_yaml *to, struct sl_yaml_item item)
{
    to->items = sl_pool_grow(build->pool, to->items, to->count, sizeof(*to->items));
    to->items[to->count++] = item;
    to->weight += item.value->weight;
    if (to->kind == SL_YAML_MAP && to->count > MAP_KEYS_MAX)
        yaml_fail(build, item.key_line, item.key_column, "split the file",
                  "more than %d keys in one mapping", MAP_KEYS_MAX);
    else if (to->weight > SL_YAML_NODES)
        yaml_fail(build, item.value->line, item.value->column,
                  "write fewer aliases, or split the file",
                  "more than %d values once aliases are written out", SL_YAML_NODES);
}

static void yaml_merge_map(struct yaml_build *build, struct sl_yaml *to, const struct sl_yaml *from)
{
    for (uint32_t i = 0; i < from->count && !build->failed; i++) {
        struct sl_yaml_item item = from->items[i];
        item.merged = true;
        if (sl_yaml_find(to, item.key) ==
            NULL) /* keys of the map itself, and earlier merges, win */
            yaml_append(build, to, item);
    }
}

static void yaml_merge(struct yaml_build *build, struct sl_yaml *to, const struct sl_yaml *from)
{
    if (from->kind == SL_YAML_MAP) {
        yaml_merge_map(build, to, from);
        return;
    }
    for (uint32_t i = 0; from->kind == SL_YAML_LIST && i < from->count && i < MERGES_MAX; i++) {
        if (from->items[i].value->kind != SL_YAML_MAP)
            break;
        yaml_merge_map(build, to, from->items[i].value);
        if (i + 1 == from->count)
            return;
    }
    yaml_fail(build, from->line, from->column,
              "write <<: *anchor of a mapping, or a list of at most 16 such",
              "a merge key needs mappings");
}

/* An own key behind a merge replaces what the merge brought; any other repetition is a slip. */
static void yaml_add_pair(struct yaml_build *build, struct sl_yaml *to, struct sl_yaml_item item)
{
    for (uint32_t i = 0; i < to->count; i++) {
        if (strcmp(to->items[i].key, item.key) != 0)
            continue;
        if (!to->items[i].merged) {
            yaml_fail(build, item.key_line, item.key_column, "write it once",
                      "%sthe key \"%.64s\" is set twice, first in line %u column %u",
                      yaml_setting(build), item.key, to->items[i].key_line,
                      to->items[i].key_column);
            return;
        }
        to->weight += item.value->weight - to->items[i].value->weight;
        to->items[i] = item;
        return;
    }
    yaml_append(build, to, item);
}

static void yaml_add_key(struct yaml_build *build, struct yaml_frame *frame,
                         const struct sl_yaml *node)
{
    if (node->kind != SL_YAML_SCALAR) {
        yaml_fail(build, node->line, node->column, "write a plain word before the colon",
                  "a key is a word, not a %s", node->kind == SL_YAML_LIST ? "list" : "mapping");
        return;
    }
    frame->has_key = true;
    frame->merge = !node->quoted && strcmp(node->text, "<<") == 0;
    if (frame->merge && frame->merged)
        yaml_fail(build, node->line, node->column, "write one <<: [*first, *second]",
                  "the merge key << is set twice");
    frame->merged = frame->merged || frame->merge;
    frame->key = (struct sl_yaml_item){
        .key = node->text, .key_line = node->line, .key_column = node->column};
}

static void yaml_add(struct yaml_build *build, const struct sl_yaml *node)
{
    struct yaml_frame *frame = build->depth == 0 ? NULL : &build->frames[build->depth - 1];

    if (frame == NULL) {
        build->root = node;
    } else if (frame->node->kind == SL_YAML_LIST) {
        yaml_append(build, frame->node,
                    (struct sl_yaml_item){
                        .key_line = node->line, .key_column = node->column, .value = node});
    } else if (!frame->has_key) {
        yaml_add_key(build, frame, node);
    } else {
        frame->has_key = false;
        frame->key.value = node;
        if (frame->merge)
            yaml_merge(build, frame->node, node);
        else
            yaml_add_pair(build, frame->node, frame->key);
    }
}

/* True where the next scalar is a key: keys are taken as written. */
static bool yaml_at_key(const struct yaml_build *build)
{
    const struct yaml_frame *frame = build->depth == 0 ? NULL : &build->frames[build->depth - 1];

    return frame != NULL && frame->node->kind == SL_YAML_MAP && !frame->has_key;
}

/* ---- events ---- */

static struct sl_yaml *yaml_node(struct yaml_build *build, struct fy_event *event,
                                 enum sl_yaml_kind kind)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    struct sl_yaml *node = sl_pool_alloc(build->pool, sizeof(*node));

    node->kind = kind;
    node->weight = 1;
    node->line = mark == NULL ? 1 : (uint32_t)mark->line + 1;
    node->column = mark == NULL ? 1 : (uint32_t)mark->column + 1;
    if (fy_event_get_tag_token(event) != NULL)
        yaml_fail(build, node->line, node->column, "leave out the tag",
                  "tags (!…) have no meaning here");
    return node;
}

/* By the iterator: fy_token_get_text leaks a kilobyte for a quoted text with many escapes (libfyaml
 * 0.7.12). */
static const char *yaml_token_text(struct yaml_build *build, struct fy_token *token)
{
    struct fy_token_iter *iter = token == NULL ? NULL : fy_token_iter_create(token);
    char *text = NULL, *copy;
    size_t bytes = 0;
    FILE *out = iter == NULL ? NULL : open_memstream(&text, &bytes);
    const struct fy_iter_chunk *chunk = NULL;
    int error = 0;

    while (out != NULL && (chunk = fy_token_iter_chunk_next(iter, chunk, &error)) != NULL)
        (void)fwrite(chunk->str, 1, chunk->len, out);
    if (out != NULL)
        (void)fclose(out);
    fy_token_iter_destroy(iter);
    if (error != 0)
        yaml_fail(build, 1, 1, "check the escapes in quoted texts", "a text does not read");
    copy = sl_pool_text(build->pool, text, text == NULL ? 0 : bytes);
    free(text);
    return copy;
}

static uint32_t yaml_anchor(struct yaml_build *build, struct fy_event *event,
                            const struct sl_yaml *node)
{
    struct fy_token *token = fy_event_get_anchor_token(event);

    if (token == NULL)
        return 0;
    build->anchors =
        sl_pool_grow(build->pool, build->anchors, build->anchors_count, sizeof(*build->anchors));
    build->anchors[build->anchors_count++] =
        (struct yaml_anchor){yaml_token_text(build, token), node, node->kind != SL_YAML_SCALAR};
    return build->anchors_count;
}

static void yaml_open(struct yaml_build *build, struct fy_event *event, enum sl_yaml_kind kind)
{
    struct sl_yaml *node = yaml_node(build, event, kind);

    if (build->depth == SL_YAML_DEPTH) {
        yaml_fail(build, node->line, node->column, "write it flatter", "more than %d levels deep",
                  SL_YAML_DEPTH);
        return;
    }
    build->frames[build->depth] =
        (struct yaml_frame){.node = node, .anchor = yaml_anchor(build, event, node)};
    build->depth++;
}

static void yaml_close(struct yaml_build *build)
{
    struct yaml_frame *frame = &build->frames[build->depth - 1];

    if (frame->anchor != 0)
        build->anchors[frame->anchor - 1].open = false;
    build->depth--;
    yaml_add(build, frame->node);
}

/* libfyaml's mark of a quoted scalar stands behind the quote, and that of an empty one at the
 * file's start. */
static void yaml_place_scalar(const struct yaml_build *build, struct sl_yaml *node,
                              struct fy_token *token)
{
    const struct yaml_frame *frame = build->depth == 0 ? NULL : &build->frames[build->depth - 1];
    enum fy_scalar_style style = token == NULL ? FYSS_PLAIN : fy_token_scalar_style(token);

    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && node->column > 1)
        node->column--;
    if (style != FYSS_PLAIN || node->text[0] != '\0' || frame == NULL)
        return;
    node->line = frame->has_key ? frame->key.key_line : frame->node->line;
    node->column = frame->has_key ? frame->key.key_column : frame->node->column;
}

static void yaml_scalar(struct yaml_build *build, struct fy_event *event)
{
    struct sl_yaml *node = yaml_node(build, event, SL_YAML_SCALAR);
    struct fy_token *token = fy_event_get_token(event);
    const char *problem = NULL, *remedy = NULL, *text;

    node->quoted = token != NULL && fy_token_scalar_style(token) != FYSS_PLAIN;
    node->text = yaml_token_text(build, token);
    yaml_place_scalar(build, node, token);
    if (!yaml_at_key(build)) {
        text = sl_yaml_substitute(build->pool, node->text, &problem, &remedy);
        if (text == NULL)
            sl_diags_add(build->diags, false, build->name, node->line, node->column, remedy, "%s%s",
                         yaml_setting(build), problem);
        else
            node->text = text;
    }
    (void)yaml_anchor(build, event, node);
    yaml_add(build, node);
}

static void yaml_alias(struct yaml_build *build, struct fy_event *event)
{
    struct sl_yaml *here = yaml_node(build, event, SL_YAML_SCALAR);
    const char *name = yaml_token_text(build, fy_event_get_token(event));

    here->column -= here->column > 1;                     /* the mark stands behind the star */
    for (uint32_t i = build->anchors_count; i > 0; i--) { /* the latest of a name counts */
        const struct yaml_anchor *anchor = &build->anchors[i - 1];
        if (strcmp(anchor->name, name) != 0)
            continue;
        if (anchor->open)
            yaml_fail(build, here->line, here->column, "name another anchor",
                      "the alias *%.64s stands inside its own anchor", name);
        else
            yaml_add(build, anchor->node);
        return;
    }
    yaml_fail(build, here->line, here->column, "define it above with &NAME",
              "the alias *%.64s has no anchor", name);
}

static void yaml_document(struct yaml_build *build, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);

    if (++build->documents > 1)
        yaml_fail(build, mark == NULL ? 1 : (uint32_t)mark->line + 1,
                  mark == NULL ? 1 : (uint32_t)mark->column + 1, "write one document a file",
                  "a second document begins");
}

static void yaml_event(struct yaml_build *build, struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        yaml_document(build, event);
        break;
    case FYET_MAPPING_START:
        yaml_open(build, event, SL_YAML_MAP);
        break;
    case FYET_SEQUENCE_START:
        yaml_open(build, event, SL_YAML_LIST);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        yaml_close(build);
        break;
    case FYET_SCALAR:
        yaml_scalar(build, event);
        break;
    case FYET_ALIAS:
        yaml_alias(build, event);
        break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        break;
    }
}

/* The first error is the cause; what follows it is only that parsing stopped. */
static void yaml_syntax(struct yaml_build *build, struct fy_diag *diag)
{
    void *cursor = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);

    if (error == NULL)
        yaml_fail(build, 1, 1, "see https://yaml.org for the syntax", "this is not YAML");
    else
        yaml_fail(build, error->line > 0 ? (uint32_t)error->line : 1,
                  error->column > 0 ? (uint32_t)error->column : 1,
                  "check the indentation, quotes and brackets before this place",
                  "not YAML: %.200s", error->msg);
}

static void yaml_run(struct yaml_build *build, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_event *event;

    while (!build->failed && (event = fy_parser_parse(parser)) != NULL) {
        yaml_event(build, event);
        fy_parser_event_free(parser, event);
    }
    if (!build->failed && fy_parser_get_stream_error(parser))
        yaml_syntax(build, diag);
}

/* ---- text ---- */

static uint32_t yaml_utf8(const unsigned char *at, size_t left)
{
    uint32_t bytes = at[0] < 0x80   ? 1
                     : at[0] < 0xc2 ? 0
                     : at[0] < 0xe0 ? 2
                     : at[0] < 0xf0 ? 3
                     : at[0] < 0xf5 ? 4
                                    : 0;

    if (bytes == 0 || bytes > left || at[0] == 0)
        return 0;
    for (uint32_t i = 1; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return bytes;
}

static bool yaml_check_text(struct yaml_build *build, const char *text, size_t bytes)
{
    uint32_t line = 1, column = 1;

    if (bytes > SL_YAML_BYTES) {
        yaml_fail(build, 1, 1, "split the file", "the file is larger than 1MiB");
        return false;
    }
    for (size_t at = 0; at < bytes;) {
        uint32_t step = yaml_utf8((const unsigned char *)text + at, bytes - at);
        if (step == 0) {
            yaml_fail(build, line, column, "save the file as UTF-8 text",
                      "byte 0x%02x is not UTF-8 text", (unsigned char)text[at]);
            return false;
        }
        column = text[at] == '\n' ? 1 : column + 1;
        line += text[at] == '\n';
        at += step;
    }
    return true;
}

const struct sl_yaml *sl_yaml_parse(struct sl_pool *pool, const char *name, const char *text,
                                    size_t bytes, struct sl_diags *diags)
{
    struct yaml_build build = {.pool = pool, .name = name, .diags = diags};
    struct fy_diag *diag = NULL;
    struct fy_diag_cfg diag_cfg;
    struct fy_parser *parser = NULL;

    if (!yaml_check_text(&build, text, bytes))
        return NULL;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.level = FYET_ERROR;
    diag_cfg.fp = NULL;
    diag = fy_diag_create(&diag_cfg);
    if (diag != NULL) {
        fy_diag_set_collect_errors(diag, true);
        parser = fy_parser_create(&(struct fy_parse_cfg){
            .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2, .diag = diag});
    }
    if (parser == NULL || fy_parser_set_string(parser, text, bytes) != 0)
        yaml_fail(&build, 1, 1, "free some memory", "no memory for the YAML parser");
    else
        yaml_run(&build, parser, diag);
    if (parser != NULL)
        fy_parser_destroy(parser);
    if (diag != NULL)
        fy_diag_destroy(diag);
    if (!build.failed && build.root == NULL)
        yaml_fail(&build, 1, 1, "write a mapping of settings", "the file is empty");
    return build.failed ? NULL : build.root;
}

/* ---- files ---- */

static int yaml_read(int fd, char *data, size_t bytes, size_t *ret_bytes)
{
    size_t at = 0;

    while (at < bytes) {
        ssize_t got = read(fd, data + at, bytes - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        at += (size_t)got;
    }
    *ret_bytes = at;
    return 0;
}

const struct sl_yaml *sl_yaml_load(struct sl_pool *pool, const char *path, struct sl_diags *diags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status = 0;
    struct stat st;
    const struct sl_yaml *root = NULL;
    char *data = NULL;
    size_t bytes = 0;

    if (fd < 0)
        status = -errno;
    else if (fstat(fd, &st) != 0)
        status = -errno;
    else if (S_ISDIR(st.st_mode))
        status = -EISDIR;
    if (status == 0) {
        data = malloc(SL_YAML_BYTES + 1);
        status = data == NULL ? -ENOMEM : yaml_read(fd, data, SL_YAML_BYTES + 1, &bytes);
    }
    if (fd >= 0)
        (void)close(fd);
    if (status != 0)
        sl_diags_add(diags, false, path, 0, 0, "name a YAML file that this user may read",
                     "cannot read the file: %s", strerror(-status));
    else
        root = sl_yaml_parse(pool, path, data, bytes, diags);
    free(data);
    return root;
}
