/* http_keys.c: the Idempotency-Keys of the last minutes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/http/http_keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { KEYS_BUCKETS = 16384 };

struct sl_http_keys {
    uint64_t hold_ns;
    uint32_t count;
    struct sl_http_key *oldest, *youngest;
    struct sl_http_key *buckets[KEYS_BUCKETS];
};

struct sl_http_keys *sl_http_keys_new(uint64_t hold_ns)
{
    struct sl_http_keys *keys = calloc(1, sizeof(*keys));

    if (keys != NULL)
        keys->hold_ns = hold_ns;
    return keys;
}

static void keys_append(struct sl_http_keys *keys, struct sl_http_key *key)
{
    key->next = NULL;
    key->previous = keys->youngest;
    *(keys->youngest == NULL ? &keys->oldest : &keys->youngest->next) = key;
    keys->youngest = key;
}

static void keys_take_out(struct sl_http_keys *keys, struct sl_http_key *key)
{
    *(key->previous == NULL ? &keys->oldest : &key->previous->next) = key->next;
    *(key->next == NULL ? &keys->youngest : &key->next->previous) = key->previous;
}

void sl_http_keys_drop(struct sl_http_keys *keys, struct sl_http_key *key)
{
    struct sl_http_key **at = &keys->buckets[key->hash % KEYS_BUCKETS];

    while (*at != key)
        at = &(*at)->chain;
    *at = key->chain;
    keys_take_out(keys, key);
    keys->count--;
    free(key);
}

struct sl_http_keys *sl_http_keys_free(struct sl_http_keys *keys)
{
    while (keys != NULL && keys->oldest != NULL)
        sl_http_keys_drop(keys, keys->oldest);
    free(keys);
    return NULL;
}

/* Forgets what is over, and one more when the table is full. Pending keys stay; there are no more of them than connections. */
static void keys_expire(struct sl_http_keys *keys, uint64_t now_ns)
{
    struct sl_http_key *key = keys->oldest;

    while (key != NULL) {
        struct sl_http_key *next = key->next;
        if (key->state == SL_HTTP_KEY_DONE) {
            if (key->until_ns > now_ns && keys->count < SL_HTTP_KEYS_MAX)
                return;
            sl_http_keys_drop(keys, key);
        }
        key = next;
    }
}

enum sl_http_key_state sl_http_keys_begin(struct sl_http_keys *keys, const char *text, uint64_t now_ns,
                                          struct sl_http_key **ret_key)
{
    size_t bytes = strlen(text);
    uint64_t hash = XXH3_64bits(text, bytes);
    struct sl_http_key **bucket = &keys->buckets[hash % KEYS_BUCKETS], *key;

    assert(bytes > 0 && bytes <= SL_HTTP_KEY_BYTES);
    keys_expire(keys, now_ns);
    for (key = *bucket; key != NULL; key = key->chain)
        if (key->hash == hash && strcmp(key->text, text) == 0) {
            *ret_key = key;
            return key->state;
        }
    key = keys->count < SL_HTTP_KEYS_MAX ? calloc(1, sizeof(*key) + bytes + 1) : NULL;
    if (key == NULL)
        return SL_HTTP_KEY_REFUSED;
    key->state = SL_HTTP_KEY_PENDING;
    key->hash = hash;
    memcpy(key->text, text, bytes + 1);
    key->chain = *bucket;
    *bucket = key;
    keys_append(keys, key);
    keys->count++;
    *ret_key = key;
    return SL_HTTP_KEY_NEW;
}

void sl_http_keys_finish(struct sl_http_keys *keys, struct sl_http_key *key, uint32_t records, uint64_t now_ns)
{
    assert(key->state == SL_HTTP_KEY_PENDING);
    key->state = SL_HTTP_KEY_DONE;
    key->records = records;
    key->until_ns = now_ns + keys->hold_ns;
    keys_take_out(keys, key); /* ages are counted from here */
    keys_append(keys, key);
}

uint32_t sl_http_keys_count(const struct sl_http_keys *keys)
{
    return keys->count;
}
