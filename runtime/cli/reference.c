/* reference.c: settings and metrics as reference pages.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/reference.h"

#include <string.h>

#include "runtime/cli/pages.h"
#include "runtime/config/process.h"
#include "runtime/control/metrics.h"

const char *sl_reference_type(const struct sl_field *field)
{
    switch (field->type) {
    case SL_F_STRING: return "string";
    case SL_F_BOOL: return "true or false";
    case SL_F_U64: return "whole number";
    case SL_F_BYTES: return "size (128MiB)";
    case SL_F_DURATION: return "duration (60s)";
    case SL_F_RATE: return "rate (5000/s)";
    case SL_F_SHARE: return "share (10%)";
    case SL_F_ENUM: return "word";
    case SL_F_STRINGS: return "list of strings";
    case SL_F_MAP: return "mapping of strings";
    case SL_F_VALUES: return "mapping of values";
    case SL_F_CONDITION: return "condition";
    case SL_F_CONDITIONS: return "mapping of conditions";
    case SL_F_FIELD_NAME: return "field name";
    case SL_F_TEMPLATE: return "path template";
    case SL_F_SECRET: return "secret";
    case SL_F_INPUT_PATH: return "input file";
    case SL_F_OUTPUT_PATH: return "output path";
    case SL_F_STRUCT: return "mapping";
    }
    return "string";
}

/* A bar would end a Markdown cell. */
static void reference_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        (void)fprintf(out, "%s%c", *text == '|' ? "\\" : "", *text);
}

/* What the bounds of a setting count. */
static const char *reference_unit(const struct sl_field *field)
{
    bool one = field->max == NULL && field->min != NULL && strcmp(field->min, "1") == 0;

    if (field->type == SL_F_STRING)
        return one ? " character" : " characters";
    return field->type != SL_F_STRINGS ? "" : one ? " item" : " items";
}

void sl_reference_limits(FILE *out, const struct sl_field *field)
{
    if (field->min != NULL && field->max != NULL)
        (void)fprintf(out, ", %s to %s%s", field->min, field->max, reference_unit(field));
    else if (field->min != NULL)
        (void)fprintf(out, ", at least %s%s", field->min, reference_unit(field));
    else if (field->max != NULL)
        (void)fprintf(out, ", at most %s%s", field->max, reference_unit(field));
    for (const char *const *value = field->values; value != NULL && *value != NULL; value++)
        (void)fprintf(out, "%s%s", value == field->values ? ": " : ", ", *value);
}

static void reference_rows(FILE *out, const struct sl_field *fields, const char *prefix)
{
    for (const struct sl_field *field = fields; field != NULL && field->name != NULL; field++) {
        char name[256];
        (void)snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", field->name);
        if (field->type == SL_F_STRUCT) {
            reference_rows(out, field->sub, name);
            continue;
        }
        (void)fprintf(out, "| `%s` | %s", name, sl_reference_type(field));
        sl_reference_limits(out, field);
        (void)fputs(" | ", out);
        if ((field->flags & SL_F_REQUIRED) != 0)
            (void)fputs("required", out);
        else if (field->def != NULL) {
            (void)fputc('`', out);
            reference_cell(out, field->def);
            (void)fputc('`', out);
        }
        (void)fputs(" | ", out);
        reference_cell(out, field->help != NULL ? field->help : "");
        (void)fprintf(out, "%s |\n", (field->flags & SL_F_OUTDATED) != 0 ? " Outdated." : "");
    }
}

void sl_reference_fields(FILE *out, const struct sl_field *fields)
{
    if (fields == NULL || fields[0].name == NULL)
        return;
    (void)fputs("\n| setting | value | default | |\n| --- | --- | --- | --- |\n", out);
    reference_rows(out, fields, "");
}

static void reference_section(FILE *out, const char *title, const char *text, const struct sl_field *fields)
{
    (void)fprintf(out, "\n## %s\n\n%s\n", title, text);
    sl_reference_fields(out, fields);
}

void sl_reference_settings(FILE *out)
{
    (void)fputs("# Settings\n\nPrinted by `sluice docs --settings`; edit the tables in runtime/config/ instead. What belongs to one "
                "source, operator or sink is in [operators.md](operators.md).\n\nDurations are written `60s`, sizes `128MiB`, rates "
                "`5000/s`, shares `10%`; `${VAR}` and `${VAR:-default}` come from the environment.\n", out);
    reference_section(out, "sluice.yaml, the process", "Every key has a default; `sluice run FILE...` needs no such file.",
                      sl_process_fields);
    reference_section(out, "connections.NAME in sluice.yaml", "A Kafka cluster that topologies name by `connection: NAME`.",
                      sl_connection_fields);
    reference_section(out, "A topology's top level",
                      "Beside these: `sources`, `operators` and `sinks`, mappings of name to component.", sl_topology_fields);
    reference_section(out, "Every sink", "Beside the settings of its own type.", sl_sink_common_fields);
}

static void reference_labels(FILE *out, const struct sl_metric_row *row)
{
    for (int i = 0; i < SL_METRIC_LABELS && row->labels[i] != NULL; i++)
        (void)fprintf(out, "%s`%s`", i == 0 ? "" : ", ", row->labels[i]);
}

void sl_reference_metrics(FILE *out)
{
    (void)fputs("# Metrics\n\nPrinted by `sluice docs --metrics`; edit the table in runtime/cli/pages.c instead. `/metrics` of the "
                "control socket serves them in Prometheus' text format.\n\n| metric | type | labels | |\n| --- | --- | --- | --- |\n",
          out);
    for (const struct sl_metric_row *row = sl_pages_metric_rows(); row->name != NULL; row++) {
        (void)fprintf(out, "| `%s` | %s | ", row->name, sl_metric_type_name(row->type));
        reference_labels(out, row);
        (void)fputs(" | ", out);
        reference_cell(out, row->help);
        (void)fputs(" |\n", out);
    }
}
