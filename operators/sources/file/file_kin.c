/* file_kin.c: see file_kin.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_kin.h"

#include <stdlib.h>
#include <string.h>

#include "operators/sources/file/file_set.h"

static pthread_mutex_t kin_all_lock = PTHREAD_MUTEX_INITIALIZER; /* before a kin's */
static struct sl_file_kin *kin_all;

static struct sl_file_kin *kin_free(struct sl_file_kin *kin)
{
    (void)pthread_mutex_destroy(&kin->scan);
    (void)pthread_mutex_destroy(&kin->lock);
    free(kin->ids_path);
    free(kin);
    return NULL;
}

static struct sl_file_kin *kin_new(struct sl_fs *fs, const char *ids_path)
{
    struct sl_file_kin *kin = calloc(1, sizeof(*kin));

    if (kin == NULL)
        return NULL;
    (void)pthread_mutex_init(&kin->scan, NULL);
    (void)pthread_mutex_init(&kin->lock, NULL);
    kin->fs = fs;
    kin->ids_path = strdup(ids_path);
    return kin->ids_path == NULL ? kin_free(kin) : kin;
}

struct sl_file_kin *sl_file_kin_join(struct sl_file_set *set, struct sl_fs *fs, const char *ids_path)
{
    struct sl_file_kin *kin;

    (void)pthread_mutex_lock(&kin_all_lock);
    for (kin = kin_all; kin != NULL; kin = kin->next)
        if (kin->fs == fs && strcmp(kin->ids_path, ids_path) == 0)
            break;
    if (kin == NULL && (kin = kin_new(fs, ids_path)) != NULL) {
        kin->next = kin_all;
        kin_all = kin;
    }
    if (kin != NULL) {
        (void)pthread_mutex_lock(&kin->lock);
        set->kin_next = kin->sets;
        kin->sets = set;
        (void)pthread_mutex_unlock(&kin->lock);
    }
    (void)pthread_mutex_unlock(&kin_all_lock);
    return kin;
}

void sl_file_kin_leave(struct sl_file_set *set)
{
    struct sl_file_kin *kin = set->kin, **at = &kin_all;
    struct sl_file_set **last = &kin->sets;

    (void)pthread_mutex_lock(&kin_all_lock);
    (void)pthread_mutex_lock(&kin->lock);
    while (*last != set)
        last = &(*last)->kin_next;
    *last = set->kin_next;
    (void)pthread_mutex_unlock(&kin->lock);
    if (kin->sets == NULL) { /* nobody finds it any more: joining needs the lock that is held */
        while (*at != kin)
            at = &(*at)->next;
        *at = kin->next;
        (void)kin_free(kin);
    }
    (void)pthread_mutex_unlock(&kin_all_lock);
    set->kin = NULL;
}
