/* shadow_report.c: what shadows have found, added up over slots and written out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/shadow_report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/intern.h"
#include "runtime/json/level.h"

const char *sl_shadow_kind_name(enum sl_shadow_kind kind)
{
    static const char *const names[SL_SHADOW_KINDS] = {[SL_SHADOW_CHANGED] = "changed",
                                                       [SL_SHADOW_MISSING] = "missing",
                                                       [SL_SHADOW_EXTRA] = "extra",
                                                       [SL_SHADOW_OTHER_SINK] = "other_sink"};

    assert(kind < SL_SHADOW_KINDS);
    return names[kind];
}

int sl_shadow_report_init(struct sl_shadow_report *report, const struct sl_shadow_sink *sinks, uint32_t count)
{
    memset(report, 0, sizeof(*report));
    report->sinks = calloc(count + 1u, sizeof(*report->sinks));
    if (report->sinks == NULL)
        return -1;
    report->sinks_count = count;
    for (uint32_t s = 0; s < count; s++) {
        report->sinks[s].name = strdup(sinks[s].name);
        memcpy(report->sinks[s].sides, sinks[s].sides, sizeof(sinks[s].sides));
        if (report->sinks[s].name == NULL)
            return -1;
    }
    return 0;
}

void sl_shadow_report_fini(struct sl_shadow_report *report)
{
    for (uint32_t s = 0; s < report->sinks_count; s++) {
        for (uint32_t i = 0; i < report->sinks[s].examples_count; i++)
            sl_shadow_example_free(report->sinks[s].examples[i]);
        free(report->sinks[s].name);
    }
    free(report->sinks);
    memset(report, 0, sizeof(*report));
}

/* ---- examples ---- */

struct sl_shadow_example *sl_shadow_example_free(struct sl_shadow_example *example)
{
    if (example == NULL)
        return NULL;
    for (int side = 0; side < SL_SHADOW_SIDES; side++)
        free(example->text[side].data);
    free(example->source);
    free(example->topic);
    free(example->partition);
    free(example);
    return NULL;
}

static char *report_copy(const char *data, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    if (copy != NULL) {
        memcpy(copy, data, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

struct sl_shadow_example *sl_shadow_example_copy(const struct sl_shadow_example *from)
{
    struct sl_shadow_example *example = malloc(sizeof(*example));
    bool short_of_memory = false;

    if (example == NULL)
        return NULL;
    *example = *from;
    example->source = report_copy(from->source, strlen(from->source));
    example->topic = report_copy(from->topic, strlen(from->topic));
    example->partition = report_copy(from->partition, strlen(from->partition));
    for (int side = 0; side < SL_SHADOW_SIDES; side++) {
        const struct sl_shadow_text *text = &from->text[side];

        example->text[side].data = text->data == NULL ? NULL : report_copy(text->data, text->bytes);
        short_of_memory = short_of_memory || (text->data != NULL && example->text[side].data == NULL);
    }
    if (short_of_memory || example->source == NULL || example->topic == NULL || example->partition == NULL)
        return sl_shadow_example_free(example);
    return example;
}

/* ---- sums ---- */

static int report_add_sink(struct sl_shadow_sink_report *to, const struct sl_shadow_sink_report *from)
{
    for (int side = 0; side < SL_SHADOW_SIDES; side++)
        for (int level = 0; level < SL_LEVELS; level++)
            sl_shadow_digest_add(&to->digests[side][level], &from->digests[side][level]);
    for (int kind = 0; kind < SL_SHADOW_KINDS; kind++)
        for (int level = 0; level < SL_LEVELS; level++)
            to->differing[kind][level] += from->differing[kind][level];
    to->meant += from->meant;
    for (uint32_t i = 0; i < from->examples_count && to->examples_count < SL_SHADOW_EXAMPLES; i++) {
        struct sl_shadow_example *example = sl_shadow_example_copy(from->examples[i]);

        if (example == NULL)
            return -1;
        to->examples[to->examples_count++] = example;
    }
    return 0;
}

static int report_begin(struct sl_shadow_report *report, const struct sl_shadow_report *like)
{
    struct sl_shadow_sink *sinks = calloc(like->sinks_count + 1u, sizeof(*sinks));
    int status = -1;

    for (uint32_t s = 0; sinks != NULL && s < like->sinks_count; s++) {
        sinks[s].name = like->sinks[s].name;
        memcpy(sinks[s].sides, like->sinks[s].sides, sizeof(sinks[s].sides));
    }
    if (sinks != NULL)
        status = sl_shadow_report_init(report, sinks, like->sinks_count);
    free(sinks);
    return status;
}

int sl_shadow_report_add(struct sl_shadow_report *report, const struct sl_shadow_report *from)
{
    if (report->sinks == NULL && report_begin(report, from) != 0)
        return -1;
    assert(report->sinks_count == from->sinks_count);
    report->ranges += from->ranges;
    report->ranges_differing += from->ranges_differing;
    report->ranges_skipped += from->ranges_skipped;
    report->records_skipped += from->records_skipped;
    report->compared += from->compared;
    report->differing += from->differing;
    report->meant += from->meant;
    report->uncompared += from->uncompared;
    for (uint32_t s = 0; s < from->sinks_count; s++)
        if (report_add_sink(&report->sinks[s], &from->sinks[s]) != 0)
            return -1;
    return 0;
}

/* ---- JSON ---- */

static void report_text(const struct sl_shadow_text *text, const char *key, struct sl_json_out *out)
{
    if (!text->there) {
        sl_json_out_key(out, key);
        sl_json_out_null(out);
        return;
    }
    sl_json_out_key(out, key);
    sl_json_out_object(out);
    sl_json_out_u64_at(out, "bytes", text->whole_bytes);
    if (text->withheld)
        sl_json_out_str_at(out, "withheld", "this topology masks records, and this one could not be masked");
    else
        sl_json_out_slice_at(out, "text", (struct sl_slice){text->data, text->bytes});
    sl_json_out_end_object(out);
}

static void report_example(const struct sl_shadow_report *report, const struct sl_shadow_example *example, struct sl_json_out *out)
{
    sl_json_out_object(out);
    sl_json_out_str_at(out, "kind", sl_shadow_kind_name(example->kind));
    if (example->kind == SL_SHADOW_CHANGED) {
        sl_json_out_str_at(out, "what", sl_text_verdict_name(example->verdict));
        sl_json_out_str_at(out, "field", example->path);
    }
    if (example->kind == SL_SHADOW_OTHER_SINK)
        sl_json_out_str_at(out, "other_sink", report->sinks[example->other_sink].name);
    sl_json_out_str_at(out, "source", example->source);
    sl_json_out_str_at(out, "topic", example->topic);
    sl_json_out_str_at(out, "partition", example->partition);
    sl_json_out_u64_at(out, "offset", example->offset);
    if (example->sub > 0)
        sl_json_out_u64_at(out, "sub", example->sub);
    sl_json_out_str_at(out, "level", sl_level_name((enum sl_level)example->level));
    sl_json_out_slice_at(out, "service", sl_intern_name(example->service));
    report_text(&example->text[SL_SHADOW_LIVE], "live", out);
    report_text(&example->text[SL_SHADOW_CANDIDATE], "candidate", out);
    sl_json_out_end_object(out);
}

static void report_digest(const char *key, const struct sl_shadow_digest *digest, struct sl_json_out *out)
{
    sl_json_out_key(out, key);
    sl_json_out_object(out);
    sl_json_out_u64_at(out, "count", digest->count);
    sl_json_out_key(out, "sum");
    sl_json_out_printf(out, "%016llx%016llx", (unsigned long long)digest->high, (unsigned long long)digest->low);
    sl_json_out_end_object(out);
}

static void report_classes(const struct sl_shadow_sink_report *sink, struct sl_json_out *out)
{
    sl_json_out_key(out, "classes");
    sl_json_out_array(out);
    for (int level = 0; level < SL_LEVELS; level++) {
        if (sink->digests[SL_SHADOW_LIVE][level].count == 0 && sink->digests[SL_SHADOW_CANDIDATE][level].count == 0)
            continue;
        sl_json_out_object(out);
        sl_json_out_str_at(out, "level", sl_level_name((enum sl_level)level));
        report_digest("live", &sink->digests[SL_SHADOW_LIVE][level], out);
        report_digest("candidate", &sink->digests[SL_SHADOW_CANDIDATE][level], out);
        for (int kind = 0; kind < SL_SHADOW_KINDS; kind++)
            sl_json_out_u64_at(out, sl_shadow_kind_name((enum sl_shadow_kind)kind), sink->differing[kind][level]);
        sl_json_out_end_object(out);
    }
    sl_json_out_end_array(out);
}

static void report_sink(const struct sl_shadow_report *report, const struct sl_shadow_sink_report *sink, struct sl_json_out *out)
{
    bool both = sink->sides[SL_SHADOW_LIVE] && sink->sides[SL_SHADOW_CANDIDATE];

    sl_json_out_object(out);
    sl_json_out_str_at(out, "sink", sink->name);
    sl_json_out_str_at(out, "in", both ? "both" : sink->sides[SL_SHADOW_LIVE] ? "live" : "candidate");
    sl_json_out_u64_at(out, "meant", sink->meant);
    report_classes(sink, out);
    sl_json_out_key(out, "examples");
    sl_json_out_array(out);
    for (uint32_t i = 0; i < sink->examples_count; i++)
        report_example(report, sink->examples[i], out);
    sl_json_out_end_array(out);
    sl_json_out_end_object(out);
}

void sl_shadow_report_print(const struct sl_shadow_report *report, struct sl_json_out *out)
{
    sl_json_out_object(out);
    sl_json_out_u64_at(out, "ranges", report->ranges);
    sl_json_out_u64_at(out, "ranges_differing", report->ranges_differing);
    sl_json_out_u64_at(out, "ranges_skipped", report->ranges_skipped);
    sl_json_out_u64_at(out, "records_skipped", report->records_skipped);
    sl_json_out_u64_at(out, "compared", report->compared);
    sl_json_out_u64_at(out, "differing", report->differing);
    sl_json_out_u64_at(out, "meant", report->meant);
    sl_json_out_u64_at(out, "uncompared", report->uncompared);
    sl_json_out_key(out, "sinks");
    sl_json_out_array(out);
    for (uint32_t s = 0; s < report->sinks_count; s++)
        report_sink(report, &report->sinks[s], out);
    sl_json_out_end_array(out);
    sl_json_out_end_object(out);
}
