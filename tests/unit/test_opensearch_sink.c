/* test_opensearch_sink.c: the opensearch sink against a modelled back-end in virtual time: what it sends, what it makes of answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/sinks/sinks.h"
#include "tests/support/push_rig.h"

#define PLAIN "{ type: opensearch, inputs: [x], url: \"http://one:9200/\", index: logs }"

/* ---- a back-end that keeps documents ---- */

enum { BACK_DOCUMENTS = 16384 };

struct back {
    char ids[BACK_DOCUMENTS][40]; /* in order of arrival; the same id again is the same document */
    uint32_t documents, writes, requests;
    char url[256], head[256], first[256], content[80];
    int status;                      /* of whole answers; 0: 200 */
    const char *text;                /* of whole answers */
    uint64_t retry_after_ns;
    enum sl_http_failure failure;
    uint32_t fail_first; /* so many requests get failure or status, then all is well */
    bool swallow;        /* the request is carried out, and its answer lost */
    int (*item)(uint32_t n, char *error, size_t bytes); /* by the record's number: its status */
};

static struct back back;

static void back_keep(const char *id, uint32_t bytes)
{
    char text[40];

    (void)snprintf(text, sizeof(text), "%.*s", (int)bytes, id);
    back.writes++;
    for (uint32_t i = 0; i < back.documents; i++)
        if (strcmp(back.ids[i], text) == 0)
            return;
    assert_true(back.documents < BACK_DOCUMENTS);
    (void)snprintf(back.ids[back.documents++], sizeof(back.ids[0]), "%s", text);
}

/* Two lines a document. */
static void back_take(struct sl_http_request *request)
{
    const char *at = request->body.data, *end = at + request->body.bytes;
    bool errors = false;
    struct sl_buf items = {0};

    while (at < end) {
        const char *action_end = memchr(at, '\n', (size_t)(end - at)), *id = strstr(at, "\"_id\":\""), *body = action_end + 1;
        const char *body_end = memchr(body, '\n', (size_t)(end - body));
        char error[300] = "";
        int status = 201;
        assert_non_null(body_end);
        assert_true(at[0] == '{' && body[0] == '{');
        if (back.item != NULL && strncmp(body, "{\"n\":", 5) == 0)
            status = back.item((uint32_t)strtoul(body + 5, NULL, 10), error, sizeof(error));
        if (status < 300 && id != NULL && id < action_end)
            back_keep(id + 7, (uint32_t)strcspn(id + 7, "\""));
        errors = errors || status >= 300;
        sl_buf_printf(&items, "%s{\"index\":{\"status\":%d%s%s}}", items.bytes > 0 ? "," : "", status, error[0] != '\0' ? ",\"error\":" : "",
                      error);
        at = body_end + 1;
    }
    request->status = 200;
    sl_buf_printf(&request->answer, "{\"errors\":%s,\"items\":[%s]}", errors ? "true" : "false", sl_buf_str(&items));
    sl_buf_fini(&items);
}

static void back_answer(void *user, struct sl_http_request *request)
{
    (void)user;
    back.requests++;
    (void)snprintf(back.url, sizeof(back.url), "%s %s", request->method, request->url);
    (void)snprintf(back.first, sizeof(back.first), "%.*s", (int)(request->body.bytes < 255 ? request->body.bytes : 255), request->body.data);
    back.head[0] = '\0';
    for (uint32_t i = 0; i < request->headers_count; i++)
        (void)snprintf(back.head + strlen(back.head), sizeof(back.head) - strlen(back.head), "%s|", request->headers[i]);
    if (back.fail_first > 0 || back.fail_first == UINT32_MAX) {
        if (back.fail_first != UINT32_MAX)
            back.fail_first--;
        request->retry_after_ns = back.retry_after_ns;
        if (back.swallow)
            back_take(request);
        sl_buf_reset(&request->answer);
        request->status = 0;
        if (back.status != 0)
            fake_http_reply(request, back.status, back.text != NULL ? back.text : "");
        else
            fake_http_fail(request, back.failure, "one:9200: it broke");
        return;
    }
    if (strcmp(request->method, "PUT") == 0)
        fake_http_reply(request, 200, "{\"acknowledged\":true}");
    else
        back_take(request);
}

static void rig(const char *settings)
{
    memset(&back, 0, sizeof(back));
    push_rig_open(&sl_sink_opensearch, settings);
    push_rig.http.answer = back_answer;
}

/* ---- what is sent ---- */

static void test_a_record_becomes_an_action_and_a_document(void **state)
{
    static const char *const texts[] = {"{\"a\":\n1}"};

    (void)state;
    rig(PLAIN);
    push_rig_submit(texts, 1);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 1);
    assert_string_equal(back.url, "POST http://one:9200/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason");
    assert_string_equal(back.head, "Content-Type: application/x-ndjson|");
    assert_memory_equal(back.first, "{\"index\":{\"_index\":\"logs\",\"_id\":\"", 33);
    assert_string_equal(back.first + 33 + 22, "\"}}\n{\"a\": 1}\n");
    assert_int_equal(push_rig.kind->drain(push_rig.self), 1);
}

static void test_settings_show_in_the_request(void **state)
{
    (void)state;
    rig("{ type: opensearch, inputs: [x], url: \"https://one/es\", index: \"x-{service}-{level}-{day}\", id: auto, data_stream: true, "
        "pipeline: p1, auth: { api_key: k3y }, headers: { X-A: b }, compression: none }");
    push_rig_submit(NULL, 1);
    push_rig_run(2 * SL_NS_PER_S);
    assert_string_equal(back.url, "POST https://one/es/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
                                  "&pipeline=p1");
    assert_string_equal(back.head, "X-A: b|Authorization: ApiKey k3y|Content-Type: application/x-ndjson|");
    assert_string_equal(back.first, "{\"create\":{\"_index\":\"x-__none__-__none__-2026-11-22\"}}\n{\"n\":0}\n");
    assert_int_equal(push_rig.acked, 1);
}

static void test_an_index_follows_the_record(void **state)
{
    static const char *services[] = {"Pay", "Pay", "a/b", ""};
    struct sl_parcel parcel;
    static const char *const texts[] = {"{}", "{}", "{}", "{}"};

    (void)state;
    rig("{ type: opensearch, inputs: [x], url: \"http://one\", index: \"{service}\", id: auto }");
    bench_batch(&push_rig.bench, texts, 4);
    bench_roles(&push_rig.bench, services, NULL);
    parcel = bench_parcel(&push_rig.bench);
    for (uint32_t i = 0; i < 4; i++)
        push_rig.bench.items[i].ref.ticket = push_rig.taken++;
    assert_int_equal(push_rig.kind->submit(push_rig.self, &parcel, &push_rig.err), 0);
    push_rig_run(2 * SL_NS_PER_S);
    assert_string_equal(back.first, "{\"index\":{\"_index\":\"pay\"}}\n{}\n{\"index\":{\"_index\":\"pay\"}}\n{}\n"
                                    "{\"index\":{\"_index\":\"a%2fb\"}}\n{}\n");
    assert_int_equal(push_rig.acked, 3);
    assert_int_equal(push_rig.refused, 1); /* __none__ begins with _ */
    assert_non_null(strstr(push_rig.refused_why, "__none__ is no name of an index"));
}

static void test_what_is_no_json_object_is_refused_with_a_reason(void **state)
{
    static const char *const texts[] = {"plain text", "{\"a\":", "[1]", "", "{\"good\":1}"};

    (void)state;
    rig(PLAIN);
    push_rig_submit(texts, 5);
    assert_int_equal(push_rig.refused, 0); /* not before the engine has counted the batch */
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 4);
    assert_int_equal(push_rig.acked, 1);
    assert_non_null(strstr(push_rig.refused_why, "not a JSON object"));
    assert_int_equal(push_rig_count(PUSH_REFUSED), 4);
}

/* ---- ids ---- */

static void test_ids_are_of_the_origin_alone(void **state)
{
    char first[40];

    (void)state;
    rig(PLAIN);
    for (int i = 0; i < 2; i++) { /* the same offset twice: one document */
        push_rig.bench.partition.next = 7;
        push_rig_submit(NULL, 1);
        push_rig_run(2 * SL_NS_PER_S);
    }
    assert_int_equal(back.writes, 2);
    assert_int_equal(back.documents, 1);
    (void)snprintf(first, sizeof(first), "%s", back.ids[0]);
    assert_string_equal(first, "V7xjEQH6VMSV7KcCMZD3VA"); /* stable from version to version */
    push_rig.bench.partition.incarnation = 1;
    push_rig.bench.partition.next = 7;
    push_rig_submit(NULL, 1);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(back.documents, 2); /* another incarnation is another record (rule A1) */
}

static void submit_with(const char *origin, uint16_t sub)
{
    static const char *const texts[] = {"{}"};
    static uint16_t subs[1];
    struct sl_slice origins[1] = {{origin, (uint32_t)strlen(origin)}};
    struct sl_parcel parcel;

    push_rig.bench.partition.next = 7;
    bench_batch(&push_rig.bench, texts, 1);
    subs[0] = sub;
    push_rig.bench.batch.origin = origins;
    push_rig.bench.batch.sub = subs;
    parcel = bench_parcel(&push_rig.bench);
    push_rig.bench.items[0].ref.ticket = push_rig.taken++;
    assert_int_equal(push_rig.kind->submit(push_rig.self, &parcel, &push_rig.err), 0);
    push_rig_run(2 * SL_NS_PER_S);
}

static void test_a_carried_origin_and_an_ordinal_make_the_id(void **state)
{
    (void)state;
    rig(PLAIN);
    submit_with("a:0:1", 0);
    submit_with("a:0:1", 0);
    assert_int_equal(back.documents, 1);
    submit_with("a:0:2", 0);
    submit_with("a:0:1", 1);
    assert_int_equal(back.documents, 3);
}

/* ---- items ---- */

static int item_429_first(uint32_t n, char *error, size_t bytes)
{
    if (back.requests > 1 || n % 3 != 0)
        return 201;
    (void)snprintf(error, bytes, "{\"type\":\"rejected_execution_exception\",\"reason\":\"queue is full\"}");
    return 429;
}

static void test_only_the_rejected_items_are_sent_again(void **state)
{
    (void)state;
    rig(PLAIN);
    back.item = item_429_first;
    push_rig_submit(NULL, 300);
    push_rig_run(3 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 300);
    assert_int_equal(push_rig.refused, 0);
    assert_int_equal(back.documents, 300);
    assert_int_equal(back.writes, 300); /* the others are not written twice */
    assert_int_equal(back.requests, 2);
    assert_int_equal(push_rig_count(PUSH_TURNED_AWAY), 100);
    assert_string_equal(push_rig.logged, "sink c: 429 rejected_execution_exception: queue is full");
}

static int item_mapping(uint32_t n, char *error, size_t bytes)
{
    if (n != 41)
        return 200;
    (void)snprintf(error, bytes,
                   "{\"type\":\"mapper_parsing_exception\",\"x\":[{}],\"reason\":\"failed to parse field [n] \\u00e9 \\\"a\\\"\"}");
    return 400;
}

static void test_a_refused_item_is_a_dead_letter_with_the_reason(void **state)
{
    (void)state;
    rig(PLAIN);
    back.item = item_mapping;
    push_rig_submit(NULL, 100);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 99);
    assert_int_equal(push_rig.refused, 1);
    assert_int_equal(push_rig.refused_ref, 41);
    assert_string_equal(push_rig.refused_body, "{\"n\":41}");
    assert_string_equal(push_rig.refused_why, "400 mapper_parsing_exception: failed to parse field [n] \xc3\xa9 \"a\"");
    assert_int_equal(back.requests, 1);
}

static int item_409(uint32_t n, char *error, size_t bytes)
{
    (void)n;
    (void)snprintf(error, bytes, "{\"type\":\"version_conflict_engine_exception\",\"reason\":\"document already exists\"}");
    return 409;
}

static void test_409_of_a_create_is_delivered(void **state)
{
    (void)state;
    rig("{ type: opensearch, inputs: [x], url: \"http://one\", index: logs, action: create }");
    back.item = item_409;
    push_rig_submit(NULL, 5);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 5);
    push_rig_close(NULL);
    rig(PLAIN);
    back.item = item_409;
    push_rig_submit(NULL, 5);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 5);
}

static int item_403(uint32_t n, char *error, size_t bytes)
{
    (void)n;
    (void)snprintf(error, bytes, "{\"type\":\"cluster_block_exception\",\"reason\":\"index read-only\"}");
    return back.requests < 4 ? 403 : 201;
}

static void test_a_blocked_index_is_waited_for(void **state)
{
    (void)state;
    rig(PLAIN);
    back.item = item_403;
    push_rig_submit(NULL, 5);
    push_rig_run(10 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 5);
    assert_int_equal(push_rig.refused, 0);
}

/* ---- answers that are none ---- */

static void test_an_answer_of_another_form_decides_nothing(void **state)
{
    static const char *const answers[] = {
        "", "<html>", "{}", "[]", "null", "{\"errors\":true}", "{\"errors\":true,\"items\":[]}", "{\"errors\":true,\"items\":[{}]}",
        "{\"errors\":true,\"items\":[{\"index\":{}}]}", "{\"errors\":true,\"items\":[{\"index\":{\"status\":201}}",
        "{\"errors\":true,\"items\":[{\"index\":{\"status\":\"201\"}}]}", "{\"errors\":true,\"items\":[{\"index\":{\"status\":201}},]}",
        "{\"errors\":true,\"items\":[{\"index\":{\"status\":201}},{\"index\":{\"status\":201}}]}",
        "{\"errors\":true,\"items\":[{\"index\":{\"status\":99999999999}}]}", "{\"errors\":true,\"items\":{\"index\":{\"status\":201}}}",
        "{\"errors\"", "{\"errors\":", "{:}", "{\"items\":[{\"index\":{\"status\":201}}]}", "{\"errors\":true,\"items\":[1]}",
        "{\"errors\":true,\"items\":[{\"index\":{\"status\":201,\"error\":{\"type\":\"a\",}}}]}", "\xff\xfe", "{\"errors\":true,\"items\":[[[[",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        rig(PLAIN);
        back.status = 200;
        back.text = answers[i];
        back.fail_first = 2;
        push_rig_submit(NULL, 1);
        push_rig_run(SL_NS_PER_S + SL_NS_PER_MS);
        if (push_rig.acked + push_rig.refused != 0)
            fail_msg("%s was taken for an answer", answers[i]);
        push_rig_run(30 * SL_NS_PER_S);
        assert_int_equal(push_rig.acked, 1);
        push_rig_close(NULL);
    }
}

static void test_every_cut_of_an_answer_is_survived(void **state)
{
    static const char whole[] = "{\"took\":3,\"errors\":true,\"items\":[{\"index\":{\"_id\":\"a\\\"]}\",\"status\":400,\"error\":"
                                "{\"type\":\"t\\u00\",\"reason\":\"r \\\\ {\",\"caused_by\":{\"type\":[1,{\"a\":2}]}}}}]}";
    char cut[sizeof(whole)];

    (void)state;
    for (size_t bytes = 0; bytes <= sizeof(whole) - 1; bytes++) {
        rig(PLAIN);
        (void)snprintf(cut, sizeof(cut), "%.*s", (int)bytes, whole);
        back.status = 200;
        back.text = cut;
        back.fail_first = 1;
        push_rig_submit(NULL, 1);
        push_rig_run(SL_NS_PER_S + SL_NS_PER_MS);
        assert_int_equal(push_rig.refused, bytes == sizeof(whole) - 1);
        push_rig_run(5 * SL_NS_PER_S);
        assert_int_equal(push_rig.acked + push_rig.refused, 1);
        push_rig_close(NULL);
    }
}

/* ---- whole requests ---- */

static void test_whole_requests_are_sent_again_for_as_long_as_it_takes(void **state)
{
    static const int statuses[] = {429, 503, 500, 502, 401, 403, 404, 302, 408};

    (void)state;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        rig(PLAIN);
        back.status = statuses[i];
        back.fail_first = 12;
        push_rig_submit(NULL, 100);
        push_rig_run(600 * SL_NS_PER_S);
        assert_int_equal(push_rig.acked, 100);
        assert_int_equal(push_rig.refused, 0);
        assert_int_equal(back.documents, 100);
        assert_int_equal(push_rig_count(PUSH_RETRIES), 12);
        push_rig_close(NULL);
    }
}

/* indexing_pressure.memory.limit: what is above it never gets through. */
static int item_fine(uint32_t n, char *error, size_t bytes)
{
    (void)n;
    (void)error;
    (void)bytes;
    return 201;
}

static void back_answer_pressure(void *user, struct sl_http_request *request)
{
    if (request->body.bytes > 100000 || push_rig.http.flying > 1) {
        back.requests++;
        fake_http_reply(request, 429, "rejected execution of coordinating operation");
        return;
    }
    back_answer(user, request);
}

static void test_requests_shrink_to_what_the_back_end_takes_at_once(void **state)
{
    (void)state;
    rig(PLAIN);
    back.item = item_fine;
    push_rig.http.answer = back_answer_pressure;
    push_rig.http.delay_ns = 10 * SL_NS_PER_MS;
    for (int i = 0; i < 3; i++)
        push_rig_submit(NULL, 4000);
    push_rig_run(120 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 12000);
    assert_int_equal(back.documents, 12000);
    assert_true(back.requests < 100);
}

static void test_a_lost_answer_doubles_nothing(void **state)
{
    (void)state;
    rig(PLAIN);
    back.failure = SL_HTTP_RESET;
    back.swallow = true;
    back.fail_first = 3;
    push_rig_submit(NULL, 100);
    push_rig_run(60 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 100);
    assert_int_equal(back.documents, 100);
    assert_int_equal(back.writes, 400);
}

static void test_an_authentication_failure_says_so(void **state)
{
    (void)state;
    rig("{ type: opensearch, inputs: [x], url: \"http://one\", index: logs, auth: { user: u, password: secret-word } }");
    back.status = 401;
    back.text = "Unauthorized";
    back.fail_first = 1;
    push_rig_submit(NULL, 1);
    push_rig_run(SL_NS_PER_S + SL_NS_PER_MS);
    assert_string_equal(push_rig.logged, "sink c: one:80: HTTP 401: authentication failed; check auth:: Unauthorized");
    push_rig_run(SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 1);
}

static void test_a_request_that_is_too_large_is_halved(void **state)
{
    (void)state;
    rig(PLAIN);
    back.status = 413;
    back.fail_first = UINT32_MAX;
    push_rig_submit(NULL, 5);
    push_rig_run(60 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 5); /* even one is too large */
    assert_non_null(strstr(push_rig.refused_why, "HTTP 413: too large for the back-end"));
    assert_int_equal(back.requests, 9);
    back.fail_first = 1;
    push_rig_submit(NULL, 5);
    push_rig_run(60 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 5);
    assert_int_equal(push_rig.kind->drain(push_rig.self), 1);
}

/* ---- the index template ---- */

static void test_the_template_comes_first(void **state)
{
    FILE *file;

    (void)state;
    assert_non_null(file = fopen("/tmp/sluice-test-template.json", "w"));
    (void)fputs("{\"index_patterns\":[\"logs-*\"]}", file);
    (void)fclose(file);
    rig("{ type: opensearch, inputs: [x], url: \"http://one\", index: logs, index_template: /tmp/sluice-test-template.json }");
    back.status = 503;
    back.fail_first = 2;
    push_rig_submit(NULL, 10);
    push_rig_run(SL_NS_PER_S / 100);
    assert_string_equal(back.url, "PUT http://one/_index_template/sluice-t-c");
    assert_string_equal(back.first, "{\"index_patterns\":[\"logs-*\"]}");
    push_rig_run(20 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 10);
    assert_int_equal(back.requests, 4); /* two that failed, one that did not, the bulk */
    assert_int_equal(remove("/tmp/sluice-test-template.json"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_record_becomes_an_action_and_a_document, push_rig_close),
        cmocka_unit_test_teardown(test_settings_show_in_the_request, push_rig_close),
        cmocka_unit_test_teardown(test_an_index_follows_the_record, push_rig_close),
        cmocka_unit_test_teardown(test_what_is_no_json_object_is_refused_with_a_reason, push_rig_close),
        cmocka_unit_test_teardown(test_ids_are_of_the_origin_alone, push_rig_close),
        cmocka_unit_test_teardown(test_a_carried_origin_and_an_ordinal_make_the_id, push_rig_close),
        cmocka_unit_test_teardown(test_only_the_rejected_items_are_sent_again, push_rig_close),
        cmocka_unit_test_teardown(test_a_refused_item_is_a_dead_letter_with_the_reason, push_rig_close),
        cmocka_unit_test_teardown(test_409_of_a_create_is_delivered, push_rig_close),
        cmocka_unit_test_teardown(test_a_blocked_index_is_waited_for, push_rig_close),
        cmocka_unit_test_teardown(test_an_answer_of_another_form_decides_nothing, push_rig_close),
        cmocka_unit_test_teardown(test_every_cut_of_an_answer_is_survived, push_rig_close),
        cmocka_unit_test_teardown(test_whole_requests_are_sent_again_for_as_long_as_it_takes, push_rig_close),
        cmocka_unit_test_teardown(test_requests_shrink_to_what_the_back_end_takes_at_once, push_rig_close),
        cmocka_unit_test_teardown(test_a_lost_answer_doubles_nothing, push_rig_close),
        cmocka_unit_test_teardown(test_an_authentication_failure_says_so, push_rig_close),
        cmocka_unit_test_teardown(test_a_request_that_is_too_large_is_halved, push_rig_close),
        cmocka_unit_test_teardown(test_the_template_comes_first, push_rig_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
