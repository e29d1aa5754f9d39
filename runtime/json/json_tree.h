/* json_tree.h: a projection compiled into a tree of keys, for the look-up of each key of each record.
 *
 * A key is told from the wanted ones by its length, then by its first eight bytes, then by the rest; most keys of a log
 * record fail at the length. The struct is open because this is the hot path. Constant once made.
 * Invariant: keys ascend by their length, and first[] says where each length begins (all from 63 on share the last).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_JSON_TREE_H
#define SL_RUNTIME_JSON_JSON_TREE_H

#include <stdint.h>
#include <string.h>

#include "runtime/json/json.h"

enum { JSON_NO_COLUMN = -1, JSON_TREE_LENGTHS = 64, JSON_TREE_KEYS_MAX = 65534 };

struct sl_json_key {
    uint64_t head, mask; /* first eight bytes, and which of them exist */
    uint32_t bytes;
    char *text;
    struct sl_json_node *node; /* of the key's value */
};

struct sl_json_node {
    uint16_t first[JSON_TREE_LENGTHS]; /* index of the first key of a length, plus one; 0: none */
    struct sl_json_key *keys;
    uint32_t keys_count;
    int64_t column; /* where this value goes, or JSON_NO_COLUMN */
    bool appended;  /* the walk does not wait for it (sl_json_decoder_appended) */
};

/* Adds a path below root, which begins as {.column = JSON_NO_COLUMN}. On failure the tree is still good for fini. */
int sl_json_tree_add(struct sl_json_node *root, const struct sl_json_field *field, struct sl_err *err);
/* The node whose value goes to the column; NULL: none. */
struct sl_json_node *sl_json_tree_of_column(struct sl_json_node *root, uint32_t column);
void sl_json_tree_fini(struct sl_json_node *root);

/* The node behind `key`, or NULL. Eight bytes must be readable from key.data on. */
static inline const struct sl_json_node *sl_json_tree_find(const struct sl_json_node *node, struct sl_slice key)
{
    uint32_t at = node->first[key.bytes < JSON_TREE_LENGTHS - 1 ? key.bytes : JSON_TREE_LENGTHS - 1];
    uint64_t head;

    if (at == 0)
        return NULL;
    memcpy(&head, key.data, sizeof(head));
    for (at--; at < node->keys_count && node->keys[at].bytes <= key.bytes; at++) {
        const struct sl_json_key *wanted = &node->keys[at];

        if ((head & wanted->mask) == wanted->head && wanted->bytes == key.bytes &&
            (key.bytes <= 8 || memcmp(wanted->text + 8, key.data + 8, key.bytes - 8) == 0))
            return wanted->node;
    }
    return NULL;
}

#endif
