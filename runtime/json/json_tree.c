/* json_tree.c: a projection compiled into a tree of keys.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/json_tree.h"

#include <stdlib.h>

static struct sl_json_key *json_tree_key(struct sl_json_node *node, const char *text)
{
    for (uint32_t i = 0; i < node->keys_count; i++)
        if (strcmp(node->keys[i].text, text) == 0)
            return &node->keys[i];
    return NULL;
}

static void json_tree_lengths(struct sl_json_node *node)
{
    memset(node->first, 0, sizeof(node->first));
    for (uint32_t i = node->keys_count; i > 0; i--) {
        uint32_t bytes = node->keys[i - 1].bytes;

        node->first[bytes < JSON_TREE_LENGTHS - 1 ? bytes : JSON_TREE_LENGTHS - 1] = (uint16_t)i;
    }
}

/* NULL without memory; the node is unchanged then. */
static struct sl_json_key *json_tree_new_key(struct sl_json_node *node, const char *text)
{
    struct sl_json_key key = {.bytes = (uint32_t)strlen(text), .text = strdup(text), .node = calloc(1, sizeof(*key.node))};
    struct sl_json_key *keys = realloc(node->keys, (node->keys_count + 1) * sizeof(*keys));
    uint32_t at = node->keys_count;

    if (keys != NULL)
        node->keys = keys;
    if (keys == NULL || key.text == NULL || key.node == NULL || node->keys_count == JSON_TREE_KEYS_MAX) {
        free(key.text);
        free(key.node);
        return NULL;
    }
    key.node->column = JSON_NO_COLUMN;
    memcpy(&key.head, text, key.bytes < 8 ? key.bytes : 8);
    memset(&key.mask, 0xFF, key.bytes < 8 ? key.bytes : 8);
    while (at > 0 && keys[at - 1].bytes > key.bytes)
        at--;
    memmove(&keys[at + 1], &keys[at], (node->keys_count - at) * sizeof(*keys));
    keys[at] = key;
    node->keys_count++;
    json_tree_lengths(node);
    return &keys[at];
}

int sl_json_tree_add(struct sl_json_node *root, const struct sl_json_field *field, struct sl_err *err)
{
    struct sl_json_node *node = root;

    if (field->path.segments_count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a field's path is empty; it needs at least one key");
    for (uint32_t i = 0; i < field->path.segments_count; i++) {
        struct sl_json_key *key = json_tree_key(node, field->path.segments[i]);

        if (key == NULL)
            key = json_tree_new_key(node, field->path.segments[i]);
        if (key == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the field %s", field->path.segments[i]);
        node = key->node;
    }
    if (node->column != JSON_NO_COLUMN)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "the field %s is projected into columns %lld and %u; one column serves all readers",
                       field->path.segments[field->path.segments_count - 1], (long long)node->column, field->column);
    node->column = field->column;
    return 0;
}

/* Recursion, here and below, is as deep as the longest path of the configuration. */
struct sl_json_node *sl_json_tree_of_column(struct sl_json_node *root, uint32_t column)
{
    struct sl_json_node *found = root->column == (int64_t)column ? root : NULL;

    for (uint32_t i = 0; found == NULL && i < root->keys_count; i++)
        found = sl_json_tree_of_column(root->keys[i].node, column);
    return found;
}

void sl_json_tree_fini(struct sl_json_node *root)
{
    for (uint32_t i = 0; i < root->keys_count; i++) {
        sl_json_tree_fini(root->keys[i].node);
        free(root->keys[i].node);
        free(root->keys[i].text);
    }
    free(root->keys);
    memset(root, 0, sizeof(*root));
    root->column = JSON_NO_COLUMN;
}
