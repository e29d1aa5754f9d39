/* http_keys.h: the Idempotency-Keys of the last minutes and what was answered to each.
 *
 * A key is pending from begin until finish or drop; then done until its time is over. Limit: SL_HTTP_KEYS_MAX keys, the oldest done
 * one goes first (a repeat of it is then appended again). Not locked: the caller's lock guards it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_HTTP_KEYS_H
#define SL_OPERATORS_SOURCES_HTTP_KEYS_H

#include <stdint.h>

enum { SL_HTTP_KEYS_MAX = 65536, SL_HTTP_KEY_BYTES = 255 };

enum sl_http_key_state { SL_HTTP_KEY_NEW, SL_HTTP_KEY_PENDING, SL_HTTP_KEY_DONE, SL_HTTP_KEY_REFUSED };

struct sl_http_key {
    struct sl_http_key *chain, *next, *previous; /* bucket; order of age */
    enum sl_http_key_state state;
    uint32_t records;  /* answered, when done */
    uint64_t until_ns;
    void *waiters;     /* the caller's list of requests that wait for the first one's answer */
    uint64_t hash;
    char text[];
};

struct sl_http_keys;

struct sl_http_keys *sl_http_keys_new(uint64_t hold_ns); /* NULL: no memory */
struct sl_http_keys *sl_http_keys_free(struct sl_http_keys *keys);
/* NEW: *ret_key is pending now and the caller's to finish or drop. PENDING, DONE: *ret_key says the rest. REFUSED: no memory, or the
 * table is full of pending keys. */
enum sl_http_key_state sl_http_keys_begin(struct sl_http_keys *keys, const char *text, uint64_t now_ns,
                                          struct sl_http_key **ret_key);
void sl_http_keys_finish(struct sl_http_keys *keys, struct sl_http_key *key, uint32_t records, uint64_t now_ns);
void sl_http_keys_drop(struct sl_http_keys *keys, struct sl_http_key *key);
uint32_t sl_http_keys_count(const struct sl_http_keys *keys);

#endif
