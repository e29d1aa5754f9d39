/* commit_record.h: the bytes of a commit log: its header and its records, written and checked. Pure: no file is touched here.
 *
 * Header, 40 bytes: "SLCOMMIT", u32 format version, u32 CRC32C over the rest, u64 nonce, u64 number of the first record,
 * u64 end of the snapshot (everything before it was durable before the file got its name).
 * Record: u32 body length, u32 CRC32C over (nonce, length, number, body), u64 number, body. Body: changes, each u32 key length,
 * u32 value length (all ones: removed), key, value.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_COMMIT_RECORD_H
#define SL_RUNTIME_STORE_COMMIT_RECORD_H

#include <stdbool.h>

#include "runtime/store/bytes.h"
#include "runtime/store/commit_log.h"

enum { SL_COMMIT_FORMAT = 1, SL_COMMIT_HEADER_BYTES = 40, SL_COMMIT_RECORD_BYTES = 16, SL_COMMIT_BODY_BYTES = 1 << 30 };

struct sl_commit_header {
    uint64_t nonce, first_number, snapshot_end;
};

void sl_commit_header_put(char *to, const struct sl_commit_header *header);
int sl_commit_header_get(const char *from, size_t bytes, struct sl_commit_header *ret_header, struct sl_err *err);

/* One record with all changes at the end of buffer. -SL_E_LIMIT, nothing added, where a key, a value or the sum is too large. */
int sl_commit_record_put(struct sl_buffer *buffer, uint64_t nonce, uint64_t number, const struct sl_commit_change *changes,
                         uint32_t count, struct sl_err *err);
/* Bytes of the valid record with this number at `from`, or 0. */
size_t sl_commit_record_check(const char *from, size_t bytes, uint64_t nonce, uint64_t number);
/* Whether a valid record with a number above `number` starts anywhere in the bytes, and where. */
bool sl_commit_record_find(const char *from, size_t bytes, uint64_t nonce, uint64_t number, size_t *ret_at);
/* Next change of a checked record's body; *cursor starts at 0. False at the end. */
bool sl_commit_record_next(const char *record, size_t *cursor, struct sl_commit_change *ret_change);

#endif
