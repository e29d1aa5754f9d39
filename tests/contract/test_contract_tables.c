/* test_contract_tables.c: what every row of the registry says of itself is whole, true to its own bounds, and usable.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include <ctype.h>

#include "runtime/config/topology.h"
#include "runtime/config/units.h"

#define EACH_HEAD(head) for (const struct sl_head *const *head##s = contract_heads(), *head; (head = *head##s) != NULL; head##s++)

static void sentence(const struct sl_head *head, const char *where, const char *text)
{
    size_t bytes = text == NULL ? 0 : strlen(text);

    if (bytes < 8 || text[bytes - 1] != '.')
        fail_msg("%s %s: \"%s\" is no sentence with a period", head->name, where, text == NULL ? "" : text);
    if (strpbrk(text, "\n\r\t") != NULL)
        fail_msg("%s %s: \"%s\" would break a table", head->name, where, text);
}

static void keyword(const struct sl_head *head, const char *name)
{
    if (name == NULL || !islower((unsigned char)name[0]) || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
        fail_msg("%s: \"%s\" is no keyword in snake_case", head->name, name == NULL ? "" : name);
}

static void test_heads_are_whole(void **state)
{
    (void)state;
    EACH_HEAD(head) {
        keyword(head, head->name);
        sentence(head, "summary", head->summary);
        assert_int_equal(head->major, SL_ABI_MAJOR);
        assert_true(head->minor <= SL_ABI_MINOR);
        assert_true(head->bytes > sizeof(struct sl_head));
        assert_true(head->self_bytes > 0);
        assert_true((head->share == NULL) == (head->unshare == NULL));
    }
}

static void test_names_are_unique_in_their_role(void **state)
{
    const struct sl_head *const *heads = contract_heads();
    (void)state;
    for (uint32_t i = 0; heads[i] != NULL; i++)
        for (uint32_t j = i + 1; heads[j] != NULL; j++)
            if (strcmp(heads[i]->name, heads[j]->name) == 0 && heads[i]->bytes == heads[j]->bytes)
                fail_msg("two rows are called %s", heads[i]->name);
}

/* ---- required slots ---- */

static void test_operators_have_what_the_engine_calls(void **state)
{
    (void)state;
    for (uint32_t i = 0; sl_registry_builtin.operators[i] != NULL; i++) {
        const struct sl_op_kind *kind = sl_registry_builtin.operators[i];
        assert_int_equal(kind->head.bytes, sizeof(*kind));
        assert_true(kind->open != NULL && kind->process != NULL && kind->close != NULL);
        assert_true((kind->adopt != NULL) == (kind->state_version != NULL));
    }
}

static void test_sources_have_what_the_engine_calls(void **state)
{
    (void)state;
    for (uint32_t i = 0; sl_registry_builtin.sources[i] != NULL; i++) {
        const struct sl_source_kind *kind = sl_registry_builtin.sources[i];
        assert_int_equal(kind->head.bytes, sizeof(*kind));
        assert_true(kind->open != NULL && kind->poll != NULL && kind->seek != NULL && kind->lag != NULL && kind->close != NULL);
        assert_true((kind->flags & SL_SOURCE_ENDS) == 0 || kind->at_end != NULL);
    }
}

static void test_sinks_have_what_the_engine_calls(void **state)
{
    (void)state;
    for (uint32_t i = 0; sl_registry_builtin.sinks[i] != NULL; i++) {
        const struct sl_sink_kind *kind = sl_registry_builtin.sinks[i];
        assert_int_equal(kind->head.bytes, sizeof(*kind));
        assert_true(kind->open != NULL && kind->submit != NULL && kind->drain != NULL && kind->close != NULL);
        if ((kind->flags & SL_SINK_FLUSHED) == 0 && (kind->config_flags == NULL || (kind->flags & SL_SINK_PUSH) != 0))
            continue;
        assert_true(kind->want != NULL && kind->seal != NULL && kind->prepare != NULL && kind->publish != NULL &&
                    kind->abandon != NULL && kind->release_flush != NULL);
    }
}

/* ---- settings ---- */

static size_t field_bytes(const struct sl_field *field)
{
    switch (field->type) {
    case SL_F_BOOL:
        return sizeof(bool);
    case SL_F_ENUM:
        return sizeof(int);
    case SL_F_STRINGS:
        return sizeof(struct sl_strings);
    case SL_F_MAP:
    case SL_F_VALUES:
        return sizeof(struct sl_map);
    case SL_F_CONDITIONS:
        return sizeof(struct sl_named_conds);
    case SL_F_SECRET:
        return sizeof(struct sl_secret);
    case SL_F_STRUCT:
        return 1;
    case SL_F_U64:
    case SL_F_BYTES:
    case SL_F_DURATION:
    case SL_F_RATE:
    case SL_F_SHARE:
    case SL_F_STRING:
    case SL_F_CONDITION:
    case SL_F_FIELD_NAME:
    case SL_F_TEMPLATE:
    case SL_F_INPUT_PATH:
    case SL_F_OUTPUT_PATH:
        break;
    }
    return 8;
}

static bool amount(const struct sl_field *field, const char *text, double *ret_value)
{
    uint64_t count = 0;
    struct sl_err err;
    int status = -1;

    *ret_value = 0;
    if (field->type == SL_F_BYTES)
        status = sl_bytes_scan(text, &count, &err);
    else if (field->type == SL_F_DURATION)
        status = sl_duration_scan(text, &count, &err);
    else if (field->type == SL_F_U64 || field->type == SL_F_STRING || field->type == SL_F_STRINGS)
        status = sl_count_scan(text, &count, &err);
    else if (field->type == SL_F_RATE)
        return sl_rate_scan(text, ret_value, &err) == 0;
    else if (field->type == SL_F_SHARE)
        return sl_share_scan(text, ret_value, &err) == 0;
    *ret_value = (double)count;
    return status == 0;
}

static void field_bounds(const struct sl_head *head, const struct sl_field *field)
{
    double low = 0, high = 0, def = 0;
    bool counted = field->type == SL_F_U64 || field->type == SL_F_BYTES || field->type == SL_F_DURATION ||
                   field->type == SL_F_RATE || field->type == SL_F_SHARE;

    if (field->min != NULL && !amount(field, field->min, &low))
        fail_msg("%s.%s: min %s cannot be read", head->name, field->name, field->min);
    if (field->max != NULL && !amount(field, field->max, &high))
        fail_msg("%s.%s: max %s cannot be read", head->name, field->name, field->max);
    if (counted && field->def != NULL && !amount(field, field->def, &def))
        fail_msg("%s.%s: default %s cannot be read", head->name, field->name, field->def);
    if (field->min != NULL && field->max != NULL && low > high)
        fail_msg("%s.%s: min %s is above max %s", head->name, field->name, field->min, field->max);
    if (counted && field->def != NULL && ((field->min != NULL && def < low) || (field->max != NULL && def > high)))
        fail_msg("%s.%s: the default %s is out of bounds", head->name, field->name, field->def);
}

static void field_words(const struct sl_head *head, const struct sl_field *field)
{
    bool found = field->def == NULL;

    assert_true((field->values != NULL) == (field->type == SL_F_ENUM));
    for (const char *const *value = field->values; value != NULL && *value != NULL; value++)
        found = found || strcmp(*value, field->def) == 0;
    if (field->type == SL_F_ENUM && !found)
        fail_msg("%s.%s: the default %s is not among its words", head->name, field->name, field->def);
    if (field->type == SL_F_BOOL && field->def != NULL && strcmp(field->def, "true") != 0 && strcmp(field->def, "false") != 0)
        fail_msg("%s.%s: the default is true or false", head->name, field->name);
}

static void fields(const struct sl_head *head, const struct sl_field *rows, size_t base)
{
    for (const struct sl_field *field = rows; field != NULL && field->name != NULL; field++) {
        keyword(head, field->name);
        sentence(head, field->name, field->help);
        assert_false((field->flags & SL_F_REQUIRED) != 0 && field->def != NULL);
        field_bounds(head, field);
        field_words(head, field);
        if (base + field->offset + field_bytes(field) > head->config_bytes)
            fail_msg("%s.%s lies outside of its settings", head->name, field->name);
        for (const struct sl_field *other = rows; other < field; other++)
            if (strcmp(other->name, field->name) == 0 || (other->offset < field->offset + field_bytes(field) &&
                                                          field->offset < other->offset + field_bytes(other)))
                fail_msg("%s: %s and %s are one", head->name, other->name, field->name);
        assert_true((field->sub != NULL) == (field->type == SL_F_STRUCT));
        fields(head, field->sub, base + field->offset);
    }
}

static void test_settings_are_documented_and_within_bounds(void **state)
{
    (void)state;
    EACH_HEAD(head)
        fields(head, head->fields, 0);
}

static void test_counters_and_reasons_are_documented(void **state)
{
    (void)state;
    EACH_HEAD(head) {
        for (const struct sl_counter *row = head->counters; row != NULL && row->name != NULL; row++) {
            keyword(head, row->name);
            sentence(head, row->name, row->help);
            if (strlen(row->name) < 7 || strcmp(row->name + strlen(row->name) - 6, "_total") != 0 || row->unit == NULL)
                fail_msg("%s: counter %s must end in _total and have a unit", head->name, row->name);
        }
        for (uint32_t i = 1; head->reasons != NULL && head->reasons[0] != NULL && head->reasons[i] != NULL; i++)
            assert_true(strlen(head->reasons[i]) > 3);
    }
}

/* ---- examples ---- */

/* The name in "inputs: [NAME]" of an example; "" for a source. */
static void example_input(const char *example, char name[64])
{
    const char *at = strstr(example, "inputs: [");

    name[0] = '\0';
    if (at != NULL)
        (void)snprintf(name, 64, "%.*s", (int)strcspn(at + 9, ",]"), at + 9);
}

static void example_write(FILE *file, const struct sl_head *head, const char *role)
{
    bool path = strcmp(head->name, "plugin") == 0 || strcmp(head->name, "enrich") == 0; /* which must exist */
    const char *example = path ? contract_settings(head) : head->example;
    char input[64];

    example_input(example, input);
    (void)fprintf(file, "name: example\nsources:\n  logs: %s\n", role[0] == 's' && role[1] == 'o' ? example : "{ type: stdin }");
    (void)fputs("operators:\n", file);
    if (strcmp(input, "logs") != 0 && input[0] != '\0')
        (void)fprintf(file, "  %s: { type: parse, inputs: [logs] }\n", input);
    if (role[0] == 'o')
        (void)fprintf(file, "  it: %s\n", example);
    else
        (void)fputs("  it: { type: parse, inputs: [logs] }\n", file);
    (void)fprintf(file, "sinks:\n  out: %s\n  rest: { type: blackhole, inputs: [%s] }\n",
                  role[0] == 's' && role[1] == 'i' ? example : "{ type: blackhole, inputs: [logs] }",
                  role[0] == 'o' && strcmp(head->name, "route") == 0 ? "it.errors" : "it");
}

static void example_check(const struct sl_head *head, const char *role)
{
    char path[] = "/tmp/sluice-example-XXXXXX";
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    FILE *file = fdopen(mkstemp(path), "w");
    int status;

    assert_non_null(file);
    example_write(file, head, role);
    assert_int_equal(fclose(file), 0);
    sl_diags_init(&diags);
    status = sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &topology);
    assert_int_equal(unlink(path), 0);
    for (uint32_t i = 0; status != 0 && i < diags.count; i++)
        print_error("%s %s: %s (%s)\n", role, head->name, diags.items[i].text, diags.items[i].remedy);
    assert_int_equal(status, 0);
    sl_diags_fini(&diags);
    (void)sl_topology_free(topology);
}

static void test_examples_pass_check_in_a_topology(void **state)
{
    const struct sl_registry *registry = &sl_registry_builtin;
    (void)state;
    for (uint32_t i = 0; registry->sources[i] != NULL; i++)
        example_check(&registry->sources[i]->head, "source");
    for (uint32_t i = 0; registry->operators[i] != NULL; i++)
        example_check(&registry->operators[i]->head, "operator");
    for (uint32_t i = 0; registry->sinks[i] != NULL; i++)
        example_check(&registry->sinks[i]->head, "sink");
}

static void test_the_suites_own_settings_pass_check(void **state)
{
    (void)state;
    EACH_HEAD(head)
        assert_non_null(contract_config(head));
    config_fini();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_are_whole),
        cmocka_unit_test(test_names_are_unique_in_their_role),
        cmocka_unit_test(test_operators_have_what_the_engine_calls),
        cmocka_unit_test(test_sources_have_what_the_engine_calls),
        cmocka_unit_test(test_sinks_have_what_the_engine_calls),
        cmocka_unit_test(test_settings_are_documented_and_within_bounds),
        cmocka_unit_test(test_counters_and_reasons_are_documented),
        cmocka_unit_test(test_examples_pass_check_in_a_topology),
        cmocka_unit_test(test_the_suites_own_settings_pass_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
