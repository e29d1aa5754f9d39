/* json_index.cc: simdjson's first stage behind a C face.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/json_index.h"

#include <memory>
#include <new>

#include <simdjson.h>

using simdjson::error_code;
using simdjson::internal::dom_parser_implementation;

/* A record of average size never makes it grow; a large one does, once. Pages that are not touched cost nothing. */
static constexpr uint32_t index_first_bytes = 64 * 1024;

struct sl_json_index {
    std::unique_ptr<dom_parser_implementation> stage;
    uint32_t capacity_bytes;
};

static error_code index_make(struct sl_json_index *index, uint32_t bytes)
{
    std::unique_ptr<dom_parser_implementation> stage;
    error_code code = simdjson::get_active_implementation()->create_dom_parser_implementation(bytes, 1, stage);

    if (code == simdjson::SUCCESS) {
        index->stage = std::move(stage);
        index->capacity_bytes = bytes;
    }
    return code;
}

struct sl_json_index *sl_json_index_new(void)
{
    struct sl_json_index *index = new (std::nothrow) sl_json_index();

    if (index != nullptr && index_make(index, index_first_bytes) != simdjson::SUCCESS)
        return sl_json_index_free(index);
    return index;
}

struct sl_json_index *sl_json_index_free(struct sl_json_index *index)
{
    delete index;
    return nullptr;
}

static enum sl_json_index_result index_result(error_code code)
{
    switch (code) {
    case simdjson::SUCCESS:
        return SL_JSON_INDEX_FINE;
    case simdjson::EMPTY:
        return SL_JSON_INDEX_EMPTY;
    case simdjson::UNESCAPED_CHARS:
        return SL_JSON_INDEX_CONTROL;
    case simdjson::UTF8_ERROR:
        return SL_JSON_INDEX_UTF8;
    case simdjson::UNCLOSED_STRING:
        return SL_JSON_INDEX_UNCLOSED;
    default:
        return SL_JSON_INDEX_NO_MEMORY;
    }
}

enum sl_json_index_result sl_json_index_of(struct sl_json_index *index, const char *text, uint32_t bytes,
                                           const uint32_t **ret_at, uint32_t *ret_count)
{
    error_code code;

    if (bytes > index->capacity_bytes) {
        uint64_t larger = uint64_t(bytes) + bytes / 2;
        if (index_make(index, larger > UINT32_MAX - 4096 ? bytes : uint32_t(larger)) != simdjson::SUCCESS)
            return SL_JSON_INDEX_NO_MEMORY;
    }
    code = index->stage->stage1(reinterpret_cast<const uint8_t *>(text), bytes, simdjson::stage1_mode::regular);
    if (code == simdjson::SUCCESS) {
        *ret_at = index->stage->structural_indexes.get();
        *ret_count = index->stage->n_structural_indexes;
    }
    return index_result(code);
}

const char *sl_json_index_kernel(void)
{
    static const std::string name = simdjson::get_active_implementation()->name();
    return name.c_str();
}
