/* klog.c: lists of partitions, used on both sides of the log interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog.h"

#include <stdlib.h>
#include <string.h>

void sl_klog_list_fini(struct sl_klog_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->items[i].topic);
        free(list->items[i].metadata);
    }
    free(list->items);
    memset(list, 0, sizeof(*list));
}

/* Grows by powers of two, so that the capacity need not be kept. */
static int list_room(struct sl_klog_list *list)
{
    struct sl_klog_partition *items;

    if (list->count != 0 && (list->count & (list->count - 1)) != 0)
        return 0;
    items = realloc(list->items, (list->count == 0 ? 1 : 2 * (size_t)list->count) * sizeof(*items));
    if (items == NULL)
        return -1;
    list->items = items;
    return 0;
}

int sl_klog_list_add(struct sl_klog_list *list, const char *topic, int32_t partition, int64_t offset, const char *metadata,
                     uint32_t metadata_bytes)
{
    struct sl_klog_partition item = {.partition = partition, .offset = offset, .metadata_bytes = metadata_bytes};

    if (list_room(list) != 0)
        return -1;
    item.topic = strdup(topic);
    if (metadata != NULL) {
        item.metadata = malloc((size_t)metadata_bytes + 1);
        if (item.metadata != NULL) {
            memcpy(item.metadata, metadata, metadata_bytes);
            item.metadata[metadata_bytes] = '\0';
        }
    }
    if (item.topic == NULL || (metadata != NULL && item.metadata == NULL)) {
        free(item.topic);
        free(item.metadata);
        return -1;
    }
    list->items[list->count++] = item;
    return 0;
}
