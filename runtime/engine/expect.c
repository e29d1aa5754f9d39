/* expect.c: meant differences; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/expect.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/name.h"

enum { EXPECT_MAGIC = 0x45585043 };

struct expect_field {
    struct sl_name name;
    struct sl_field_path path; /* of the payload's own field: name.path, or the role's name as a key */
};

struct expect_row {
    char *sink, *service;
    uint32_t levels;
    bool counts;
    struct expect_field *fields;
    uint32_t fields_count;
};

struct sl_expect {
    uint32_t magic, count;
    struct expect_row rows[SL_EXPECT_ROWS];
};

struct sl_expect *sl_expect_new(void)
{
    struct sl_expect *expect = calloc(1, sizeof(*expect));

    if (expect != NULL)
        expect->magic = EXPECT_MAGIC;
    return expect;
}

static void expect_row_fini(struct expect_row *row)
{
    for (uint32_t i = 0; i < row->fields_count; i++)
        sl_name_fini(&row->fields[i].name);
    free(row->fields);
    free(row->sink);
    free(row->service);
    memset(row, 0, sizeof(*row));
}

struct sl_expect *sl_expect_free(struct sl_expect *expect)
{
    if (expect == NULL)
        return NULL;
    assert(expect->magic == EXPECT_MAGIC);
    for (uint32_t i = 0; i < expect->count; i++)
        expect_row_fini(&expect->rows[i]);
    expect->magic = 0;
    free(expect);
    return NULL;
}

uint32_t sl_expect_count(const struct sl_expect *expect)
{
    return expect->count;
}

const char *sl_expect_sink(const struct sl_expect *expect, uint32_t row)
{
    assert(row < expect->count);
    return expect->rows[row].sink;
}

/* A role stands for the payload's field of its name as well: who writes `expect: level` means both. */
static const char *const *expect_role_key(enum sl_name_kind kind)
{
    static const char *const time = "time", *const service = "service", *const level = "level";

    return kind == SL_NAME_TIME ? &time : kind == SL_NAME_SERVICE ? &service : kind == SL_NAME_LEVEL ? &level : NULL;
}

static int expect_field(struct expect_field *field, const char *text, struct sl_err *err)
{
    const char *const *role;

    if (sl_name_parse(text, &field->name, err) != 0)
        return -(int)err->code;
    role = expect_role_key(field->name.kind);
    if (field->name.kind == SL_NAME_PATH)
        field->path = field->name.path;
    else if (role != NULL)
        field->path = (struct sl_field_path){role, 1};
    else
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "expect: %s is no field of what is written; name one of the record, such as user.email, or time, service or level",
                       text);
    return 0;
}

static int expect_fill(struct expect_row *to, const struct sl_expect_row *row, struct sl_err *err)
{
    to->levels = row->levels;
    to->counts = row->counts;
    to->sink = row->sink == NULL ? NULL : strdup(row->sink);
    to->service = row->service == NULL ? NULL : strdup(row->service);
    to->fields = calloc(row->fields_count + 1u, sizeof(*to->fields));
    if ((row->sink != NULL && to->sink == NULL) || (row->service != NULL && to->service == NULL) || to->fields == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for expect:");
    for (uint32_t i = 0; i < row->fields_count; i++) {
        to->fields_count = i + 1; /* fini accepts a name that was not parsed */
        if (expect_field(&to->fields[i], row->fields[i], err) != 0)
            return -(int)err->code;
    }
    return 0;
}

int sl_expect_add(struct sl_expect *expect, const struct sl_expect_row *row, struct sl_err *err)
{
    struct sl_err own;

    assert(expect->magic == EXPECT_MAGIC);
    err = err == NULL ? &own : err;
    if (row->fields_count == 0 && !row->counts)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "expect: this row lets nothing differ; it needs fields: [NAME, ...] or counts: true");
    if (expect->count == SL_EXPECT_ROWS || row->fields_count > SL_EXPECT_FIELDS)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "expect: more than %d rows, or more than %d fields in one", SL_EXPECT_ROWS,
                       SL_EXPECT_FIELDS);
    if (expect_fill(&expect->rows[expect->count], row, err) != 0) {
        expect_row_fini(&expect->rows[expect->count]);
        return -(int)err->code;
    }
    expect->count++;
    return 0;
}

/* ---- what holds for a record ---- */

static bool expect_service_fits(const char *pattern, struct sl_slice service)
{
    size_t bytes = pattern == NULL ? 0 : strlen(pattern);

    if (pattern == NULL)
        return true;
    if (bytes > 0 && pattern[bytes - 1] == '*')
        return service.bytes >= bytes - 1 && memcmp(service.data, pattern, bytes - 1) == 0;
    return sl_slice_is(service, pattern);
}

static bool expect_is_weight(const struct sl_field_path *path)
{
    const char *key = path->segments[0];

    return path->segments_count == 1 && key[0] == '_' && strchr("wtrg", key[1]) != NULL && key[1] != '\0' && key[2] == '\0';
}

static void expect_grant(const struct expect_row *row, struct sl_expect_grant *grant)
{
    grant->counts = grant->counts || row->counts;
    for (uint32_t i = 0; i < row->fields_count && grant->paths_count < SL_EXPECT_FIELDS; i++) {
        const struct expect_field *field = &row->fields[i];

        grant->time = grant->time || field->name.kind == SL_NAME_TIME;
        grant->service = grant->service || field->name.kind == SL_NAME_SERVICE;
        grant->level = grant->level || field->name.kind == SL_NAME_LEVEL;
        grant->weight = grant->weight || expect_is_weight(&field->path);
        grant->paths[grant->paths_count++] = &field->path;
    }
}

bool sl_expect_of(const struct sl_expect *expect, const char *sink, uint8_t level, struct sl_slice service, struct sl_expect_grant *ret_grant)
{
    bool some = false;

    memset(ret_grant, 0, sizeof(*ret_grant));
    for (uint32_t i = 0; expect != NULL && i < expect->count; i++) {
        const struct expect_row *row = &expect->rows[i];

        if ((row->sink != NULL && strcmp(row->sink, sink) != 0) || (row->levels != 0 && (row->levels >> level & 1) == 0) ||
            !expect_service_fits(row->service, service))
            continue;
        expect_grant(row, ret_grant);
        some = true;
    }
    return some;
}
