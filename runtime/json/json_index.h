/* json_index.h: where the tokens of a JSON text begin: simdjson's first stage behind a C face.
 *
 * The vector kernel (AVX-512, AVX2, SSE4.2, NEON, plain) is chosen by the library itself, at run time, inside its shared
 * object; so no source here is compiled for a processor. simdjson's own second stages are not used: they lose the place
 * of a value in the text, and the on-demand one is compiled into its caller, for the plainest x86-64 unless told otherwise.
 *
 * What the indices promise (json.c stands on it): each of {}[],: outside strings, each opening quote, and the first byte
 * of each other run of non-blanks has an index, in order. So between an opening quote and the next index lie the string,
 * its closing quote and blanks, nothing else.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_JSON_INDEX_H
#define SL_RUNTIME_JSON_JSON_INDEX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_json_index;

enum sl_json_index_result {
    SL_JSON_INDEX_FINE,
    SL_JSON_INDEX_EMPTY,
    SL_JSON_INDEX_UNCLOSED, /* a string does not end */
    SL_JSON_INDEX_CONTROL,
    SL_JSON_INDEX_UTF8,
    SL_JSON_INDEX_NO_MEMORY
};

/* NULL without memory. */
struct sl_json_index *sl_json_index_new(void);
struct sl_json_index *sl_json_index_free(struct sl_json_index *index);
/* The indices of text, followed by one that is `bytes`; valid until the next call. Set only where the result is FINE. */
enum sl_json_index_result sl_json_index_of(struct sl_json_index *index, const char *text, uint32_t bytes,
                                           const uint32_t **ret_at, uint32_t *ret_count);
/* Name of the kernel in use, "icelake"; static storage. */
const char *sl_json_index_kernel(void);

#ifdef __cplusplus
}
#endif

#endif
