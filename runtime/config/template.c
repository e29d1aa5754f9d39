/* template.c: path templates taken apart, and the rule for values in paths.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/template.h"

#include "runtime/config/pool.h"

#define template_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)

static bool template_is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

uint32_t sl_template_value(struct sl_slice value, char out[SL_TEMPLATE_VALUE_BYTES])
{
    static const char none[] = "__none__", hex[] = "0123456789ABCDEF";
    uint32_t at = 0;

    if (value.bytes == 0)
        return memcpy(out, none, sizeof(none) - 1), (uint32_t)sizeof(none) - 1;
    for (uint32_t i = 0; i < value.bytes; i++) {
        unsigned char c = (unsigned char)value.data[i];
        bool plain = template_is_plain((char)c) && !(i == 0 && c == '.');
        if (at + (plain ? 1 : 3) > SL_TEMPLATE_VALUE_BYTES)
            break;
        if (plain) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '%';
        out[at++] = hex[c >> 4];
        out[at++] = hex[c & 15];
    }
    return at;
}

/* ---- parsing ---- */

struct template_scan {
    struct sl_pool *pool;
    const char *text;
    struct sl_part *parts;
    uint32_t count;
};

/* A role may be written bare, and so may topic: a payload field of that name is .topic. */
static const struct {
    const char *word;
    struct sl_part part;
} template_words[] = {{"day", {.kind = SL_PART_DAY}},
                      {"hour", {.kind = SL_PART_HOUR}},
                      {"partition", {.kind = SL_PART_PARTITION}},
                      {"topic", {.kind = SL_PART_NAME, .name = {.kind = SL_NAME_TOPIC}}}};

static int template_name(struct template_scan *scan, const char *word, struct sl_part *ret_part,
                         struct sl_err *err)
{
    struct sl_name name;
    int status;

    for (size_t i = 0; i < sizeof(template_words) / sizeof(template_words[0]); i++)
        if (strcmp(template_words[i].word, word) == 0)
            return *ret_part = template_words[i].part, 0;
    if (word[0] == '\0')
        return template_refuse(
            err, "the path %.200s has empty braces: write a field between them, such as {service}",
            scan->text);
    status = sl_name_parse(word, &name, err);
    if (status != 0)
        return status;
    ret_part->kind = SL_PART_NAME;
    ret_part->name = sl_name_copy(scan->pool, &name);
    sl_name_fini(&name);
    if (ret_part->name.kind == SL_NAME_CLASS)
        return template_refuse(
            err, "{class} is known but not built in this version: write {level} or {service}");
    if (ret_part->name.kind == SL_NAME_TIME || ret_part->name.kind == SL_NAME_APPEND_TIME)
        return template_refuse(
            err, "{%.40s} would make a file for each instant: write {day} or {hour}", word);
    return 0;
}

static int template_push(struct template_scan *scan, const struct sl_part *part, struct sl_err *err)
{
    if (scan->count == SL_TEMPLATE_PARTS)
        return template_refuse(err, "the path %.200s has more than %d parts: write a shorter one",
                               scan->text, SL_TEMPLATE_PARTS);
    scan->parts[scan->count++] = *part;
    return 0;
}

static int template_brace(struct template_scan *scan, const char **at, struct sl_err *err)
{
    const char *end = *at + 1 + strcspn(*at + 1, "{}/");
    struct sl_part part = {.kind = SL_PART_LITERAL};
    int status;

    if (*end == '\0' || *end == '{' || *end == '/')
        return template_refuse(err, "the path %.200s opens { and does not close it: write {NAME}",
                               scan->text);
    status =
        template_name(scan, sl_pool_text(scan->pool, *at + 1, (size_t)(end - *at - 1)), &part, err);
    if (status != 0)
        return status;
    *at = end + 1;
    return template_push(scan, &part, err);
}

static int template_literal(struct template_scan *scan, const char **at, struct sl_err *err)
{
    size_t bytes = strcspn(*at, "{}");
    struct sl_part part = {.kind = SL_PART_LITERAL,
                           .text = {sl_pool_text(scan->pool, *at, bytes), (uint32_t)bytes}};

    if ((*at)[bytes] == '}')
        return template_refuse(err, "the path %.200s has } without {: write {NAME}", scan->text);
    *at += bytes;
    return template_push(scan, &part, err);
}

static int template_check_segment(const char *text, const char *segment, size_t bytes,
                                  struct sl_err *err)
{
    if (bytes == 0)
        return template_refuse(err,
                               "the path %.200s has an empty segment: write one slash between "
                               "names and none at the end",
                               text);
    if ((bytes == 1 && segment[0] == '.') || (bytes == 2 && memcmp(segment, "..", 2) == 0))
        return template_refuse(err, "the path %.200s leaves its folder with %.*s: write names only",
                               text, (int)bytes, segment);
    if (segment == text && segment[0] == '.')
        return template_refuse(err,
                               "the path %.200s begins with a dot: write another name, .sluice is "
                               "kept for the sink itself",
                               text);
    return 0;
}

static int template_check(const char *text, struct sl_err *err)
{
    if (strlen(text) > SL_TEMPLATE_BYTES)
        return template_refuse(err, "the path is longer than %d bytes: write a shorter one",
                               SL_TEMPLATE_BYTES);
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return template_refuse(
                err, "the path has %s at byte %u: write letters, digits and slashes",
                *c == '\\' ? "a backslash" : "a control character", (unsigned)(c - text + 1));
    if (text[0] == '/')
        return template_refuse(
            err,
            "the path %.200s is absolute: write it without the leading slash, it lies below dir",
            text);
    for (const char *at = text;;) {
        size_t bytes = strcspn(at, "/");
        int status = template_check_segment(text, at, bytes, err);
        if (status != 0 || at[bytes] == '\0')
            return status;
        at += bytes + 1;
    }
}

int sl_template_parse(struct sl_pool *pool, const char *text,
                      const struct sl_template **ret_template, struct sl_err *err)
{
    struct template_scan scan = {.pool = pool, .text = text};
    struct sl_template *template = sl_pool_alloc(pool, sizeof(*template));
    int status = text[0] == '\0' ? 0 : template_check(text, err);

    scan.parts = sl_pool_alloc(pool, SL_TEMPLATE_PARTS * sizeof(*scan.parts));
    for (const char *at = text; status == 0 && *at != '\0';)
        status = *at == '{' ? template_brace(&scan, &at, err) : template_literal(&scan, &at, err);
    if (status != 0)
        return status;
    *template =
        (struct sl_template){sl_pool_text(pool, text, strlen(text)), scan.parts, scan.count};
    *ret_template = template;
    return 0;
}
