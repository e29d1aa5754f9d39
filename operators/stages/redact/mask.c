/* mask.c: what stands in the place of what is masked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/redact/mask.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

enum { MASK_HASH_BYTES = 16, MASK_KEPT = 4, MASK_PARTIAL_LEAST = 8 };
static const char mask_hash_lead[] = "hash:", mask_partial_lead[] = "***";

int sl_mask_open(struct sl_mask *mask, const char *with, const char *key, struct sl_err *err)
{
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac;

    *mask = (struct sl_mask){.form = strcmp(with, "hash") == 0      ? SL_MASK_HASH
                                     : strcmp(with, "partial") == 0 ? SL_MASK_PARTIAL
                                                                    : SL_MASK_TEXT,
                             .text = sl_slice_of(with)};
    if (mask->form != SL_MASK_HASH)
        return 0;
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    mask->mac = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    if (mask->mac == NULL || EVP_MAC_init(mask->mac, (const unsigned char *)key, strlen(key), parameters) != 1) {
        sl_mask_close(mask);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a keyed hash");
    }
    return 0;
}

void sl_mask_close(struct sl_mask *mask)
{
    EVP_MAC_CTX_free(mask->mac);
    memset(mask, 0, sizeof(*mask));
}

static int mask_hash(const struct sl_mask *mask, struct sl_slice value, struct sl_buf *buf)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t bytes = 0;

    if (EVP_MAC_init(mask->mac, NULL, 0, NULL) != 1 || EVP_MAC_update(mask->mac, (const unsigned char *)value.data, value.bytes) != 1 ||
        EVP_MAC_final(mask->mac, digest, &bytes, sizeof(digest)) != 1)
        return -1;
    sl_buf_text(buf, mask_hash_lead);
    for (int i = 0; i < MASK_HASH_BYTES; i++) {
        static const char hex[] = "0123456789abcdef";
        sl_buf_char(buf, hex[digest[i] >> 4]);
        sl_buf_char(buf, hex[digest[i] & 15]);
    }
    return sl_buf_failed(buf) ? -1 : 0;
}

static bool mask_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c >= 0x80 || c == '.' || c == '-' || c == '_' || c == '@';
}

/* Where the last four characters begin, or the end: too few, or some that do not fit everywhere. */
static uint32_t mask_tail(struct sl_slice value)
{
    uint32_t at = value.bytes, characters = 0, all = 0;

    for (uint32_t i = 0; i < value.bytes; i++)
        all += ((unsigned char)value.data[i] & 0xC0) != 0x80;
    if (all < MASK_PARTIAL_LEAST)
        return value.bytes;
    while (at > 0 && characters < MASK_KEPT) {
        at--;
        if (!mask_plain((unsigned char)value.data[at]))
            return value.bytes;
        characters += ((unsigned char)value.data[at] & 0xC0) != 0x80;
    }
    return at;
}

int sl_mask_write(const struct sl_mask *mask, struct sl_slice value, struct sl_buf *buf)
{
    uint32_t tail;

    switch (mask->form) {
    case SL_MASK_HASH:
        return mask_hash(mask, value, buf);
    case SL_MASK_PARTIAL:
        tail = mask_tail(value);
        sl_buf_text(buf, mask_partial_lead);
        sl_buf_append(buf, value.data + tail, value.bytes - tail);
        break;
    case SL_MASK_TEXT:
        sl_buf_slice(buf, mask->text);
        break;
    }
    return sl_buf_failed(buf) ? -1 : 0;
}

bool sl_mask_made(const struct sl_mask *mask, struct sl_slice value)
{
    uint32_t lead = sizeof(mask_hash_lead) - 1;

    if (mask->form == SL_MASK_TEXT)
        return sl_slice_eq(value, mask->text);
    if (mask->form == SL_MASK_PARTIAL) {
        uint32_t characters = 0;
        if (value.bytes < 3 || memcmp(value.data, mask_partial_lead, 3) != 0)
            return false;
        for (uint32_t i = 3; i < value.bytes; i++)
            characters += ((unsigned char)value.data[i] & 0xC0) != 0x80;
        return characters == 0 || characters == MASK_KEPT;
    }
    if (value.bytes != lead + 2 * MASK_HASH_BYTES || memcmp(value.data, mask_hash_lead, lead) != 0)
        return false;
    for (uint32_t i = lead; i < value.bytes; i++)
        if (!((value.data[i] >= '0' && value.data[i] <= '9') || (value.data[i] >= 'a' && value.data[i] <= 'f')))
            return false;
    return true;
}
