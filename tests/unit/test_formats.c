/* test_formats.c: each format of parse line by line: the record as JSON, or the reason why it is set aside. That columns, spans and
 * bodies agree is checked of every line by the rig.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/formats_rig.h"

struct formats_case {
    const char *line, *body; /* body NULL: set aside */
    const char *reason;      /* a part of it */
};

static struct formats_rig rig;

static void run(const char *settings, const char *const *fields, const struct formats_case *cases, size_t count)
{
    formats_open(&rig, settings, fields);
    for (size_t i = 0; i < count; i++) {
        struct sl_slice record = sl_slice_of(cases[i].line), body;
        const struct sl_view *view = &rig.whole.bench.view;

        formats_process(&rig, &record, 1);
        if (cases[i].body == NULL) {
            if (view->fate[0] != SL_DEAD || strstr(sl_op_parse.head.reasons[view->reason[0]], cases[i].reason) == NULL)
                fail_msg("\"%s\": fate %d, reason \"%s\"", cases[i].line, view->fate[0], sl_op_parse.head.reasons[view->reason[0]]);
            continue;
        }
        if (view->fate[0] != SL_LIVE)
            fail_msg("\"%s\" was set aside: %s", cases[i].line, sl_op_parse.head.reasons[view->reason[0]]);
        body = view->decoded->body[0];
        if (!sl_slice_is(body, cases[i].body))
            fail_msg("\"%s\" became\n%.*s\nand not\n%s", cases[i].line, (int)body.bytes, body.data, cases[i].body);
    }
    formats_close(&rig);
}
#define RUN(settings, fields, cases) run(settings, fields, cases, sizeof(cases) / sizeof(cases[0]))

/* ---- regex ---- */

static void test_regex_makes_fields_of_named_groups(void **state)
{
    static const char *const fields[] = {"level", "n", "message", "nothing", NULL};
    static const struct formats_case cases[] = {
        {"INFO 12 hello world", "{\"level\":\"INFO\",\"n\":12,\"message\":\"hello world\"}", NULL},
        {"WARN no number", "{\"level\":\"WARN\",\"message\":\"no number\"}", NULL},
        {"INFO 007 leading zeros\r", "{\"level\":\"INFO\",\"n\":7,\"message\":\"leading zeros\"}", NULL},
        {"INFO 1 ", "{\"level\":\"INFO\",\"n\":1,\"message\":\"\"}", NULL},
        {"INFO 1 \"quoted\" \\ \t\x01", "{\"level\":\"INFO\",\"n\":1,\"message\":\"\\\"quoted\\\" \\\\ \\t\\u0001\"}", NULL},
        {"INFO 1 \xc3\xa4\xff\xc3", "{\"level\":\"INFO\",\"n\":1,\"message\":\"\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"}", NULL},
        {"lower case", NULL, "does not match"},
        {"", NULL, "does not match"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: regex, pattern: '^(?<level>[A-Z]+) (?:(?<n>\\d+) )?(?<message>.*)$', types: { n: number } }", fields, cases);
}

/* The line of 64 KiB would take longer than the universe, or hours where it is only quadratic. */
static void test_a_bad_pattern_gives_up(void **state)
{
    static const char *const patterns[] = {"'^(?<a>(x+x+)+)y'", "'(?<a>(x+x+)+y)'", "'(?<a>(?:x|xx|xxx)*)y'", "'(?<a>x*)x*x*x*x*y'"};
    static const char *const fields[] = {"a", NULL};
    static char line[1 << 20];
    char settings[256];

    (void)state;
    memset(line, 'x', sizeof(line));
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct sl_slice record = {line, 64 << 10};
        (void)snprintf(settings, sizeof(settings), "{ type: parse, inputs: [x], format: regex, pattern: %s }", patterns[i]);
        formats_open(&rig, settings, fields);
        formats_process(&rig, &record, 1);
        assert_int_equal(rig.whole.bench.view.fate[0], SL_DEAD);
        assert_int_equal(rig.whole.bench.view.reason[0], SL_FORMAT_GAVE_UP);
        formats_close(&rig);
    }
}

static void test_a_quadratic_pattern_is_looked_for_only_so_far(void **state)
{
    static const char *const fields[] = {"a", NULL};
    static char line[1 << 20];
    struct sl_slice record = {line, sizeof(line)};

    (void)state;
    memset(line, '1', sizeof(line));
    formats_open(&rig, "{ type: parse, inputs: [x], format: regex, pattern: '(?<a>[0-9]+z)' }", fields);
    formats_process(&rig, &record, 1);
    assert_int_equal(rig.whole.bench.view.reason[0], SL_FORMAT_GAVE_UP);
    formats_close(&rig);
}

/* ---- clf ---- */

#define CLF_FRONT "\"remote_addr\":\"127.0.0.1\",\"ident\":null,\"user\":\"frank\",\"time\":\"10/Oct/2000:13:55:36 -0700\""
#define CLF_GET                                                                                                                 \
    "\"request\":\"GET /a?b=1 HTTP/1.0\",\"method\":\"GET\",\"target\":\"/a?b=1\",\"path\":\"/a\",\"protocol\":\"HTTP/1.0\""
#define CLF_BEGIN "127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "

static void test_clf_reads_apache_and_nginx(void **state)
{
    static const char *const fields[] = {"status", "bytes", "path", "user", "user_agent", "vhost", NULL};
    static const struct formats_case cases[] = {
        {CLF_BEGIN "\"GET /a?b=1 HTTP/1.0\" 200 2326", "{" CLF_FRONT "," CLF_GET ",\"status\":200,\"bytes\":2326}", NULL},
        {CLF_BEGIN "\"GET /a?b=1 HTTP/1.0\" 304 -", "{" CLF_FRONT "," CLF_GET ",\"status\":304,\"bytes\":null}", NULL},
        {CLF_BEGIN "\"GET /a?b=1 HTTP/1.0\" 200 0 \"http://x/\" \"Mozilla (\\\"x\\\")\"",
         "{" CLF_FRONT "," CLF_GET ",\"status\":200,\"bytes\":0,\"referer\":\"http://x/\",\"user_agent\":\"Mozilla (\\\"x\\\")\"}", NULL},
        {CLF_BEGIN "\"GET /a?b=1 HTTP/1.0\" 200 0 \"-\" \"-\" 0.123 \"10.0.0.1\"",
         "{" CLF_FRONT "," CLF_GET ",\"status\":200,\"bytes\":0,\"referer\":null,\"user_agent\":null,\"extra\":\"0.123 \\\"10.0.0.1\\\"\"}", NULL},
        {"www.example.org:443 ::1 - John Smith [10/Oct/2000:13:55:36 -0700] \"-\" 408 -",
         "{\"vhost\":\"www.example.org:443\",\"remote_addr\":\"::1\",\"ident\":null,\"user\":\"John Smith\",\"time\":\"10/Oct/2000:13:55:36 -0700\","
         "\"request\":null,\"method\":null,\"target\":null,\"path\":null,\"protocol\":null,\"status\":408,\"bytes\":null}", NULL},
        {"::1 - J S [10/Oct/2000:13:55:36 -0700] \"\\x16\\x03\\x01\\xff\" 400 226",
         "{\"remote_addr\":\"::1\",\"ident\":null,\"user\":\"J S\",\"time\":\"10/Oct/2000:13:55:36 -0700\","
         "\"request\":\"\\u0016\\u0003\\u0001\xef\xbf\xbd\",\"method\":null,\"target\":null,\"path\":null,\"protocol\":null,\"status\":400,\"bytes\":226}", NULL},
        {CLF_BEGIN "\"GET /with blank HTTP/1.1\" 200 1", "{" CLF_FRONT ",\"request\":\"GET /with blank HTTP/1.1\",\"method\":\"GET\",\"target\":\"/with blank\","
         "\"path\":\"/with blank\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":1}", NULL},
        {CLF_BEGIN "\"GET /old\" 200 1", "{" CLF_FRONT ",\"request\":\"GET /old\",\"method\":\"GET\",\"target\":\"/old\","
         "\"path\":\"/old\",\"protocol\":null,\"status\":200,\"bytes\":1}", NULL},
        {CLF_BEGIN "\"GET /old\" - 1", "{" CLF_FRONT ",\"request\":\"GET /old\",\"method\":\"GET\",\"target\":\"/old\","
         "\"path\":\"/old\",\"protocol\":null,\"status\":null,\"bytes\":1}", NULL},
        {"", NULL, "empty"},
        {"hello", NULL, "combined log format"},
        {CLF_BEGIN, NULL, "combined log format"},
        {"127.0.0.1 - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 1", NULL, "combined log format"},
        {CLF_BEGIN "\"GET / HTTP/1.0 200 1", NULL, "does not end"},
        {CLF_BEGIN "\"GET / HTTP/1.0\\\" 200 1", NULL, "does not end"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 20 1", NULL, "status"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 2000 1", NULL, "status"},
        {CLF_BEGIN "\"GET / HTTP/1.0\"", NULL, "status"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 200", NULL, "size"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 200 1k", NULL, "size"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 200 99999999999999999999", NULL, "size"},
        {CLF_BEGIN "\"GET / HTTP/1.0\" 200 1 \"http", NULL, "does not end"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: clf }", fields, cases);
}

static void test_clf_times_are_understood(void **state)
{
    static const char *const fields[] = {"path", NULL};
    struct sl_slice record = sl_slice_of("h - - [22/Nov/2026:06:14:56 +0100] \"GET / HTTP/1.1\" 200 1");

    (void)state;
    formats_open(&rig, "{ type: parse, inputs: [x], format: clf, record: { service: path, level: status } }", fields);
    rig.plain.bench.unix_ms = rig.whole.bench.unix_ms = 1795324500000;
    formats_process(&rig, &record, 1);
    assert_int_equal(rig.whole.bench.view.decoded->time_unix_ms[0], 1795324496000);
    assert_true(sl_slice_is(sl_intern_name(rig.whole.bench.view.decoded->service[0]), "/"));
    formats_close(&rig);
}

/* ---- logfmt ---- */

static void test_logfmt_reads_pairs(void **state)
{
    static const char *const fields[] = {"level", "msg", "n", "a\\.b", "on", "empty", "dup", NULL};
    static const struct formats_case cases[] = {
        {"level=info msg=\"hello world\" n=12 a.b=c", "{\"level\":\"info\",\"msg\":\"hello world\",\"n\":12,\"a.b\":\"c\"}", NULL},
        {"  level=info   on\tempty= ", "{\"level\":\"info\",\"on\":true,\"empty\":\"\"}", NULL},
        {"msg=\"a \\\"b\\\" \\\\ \\n \\u00e4 \\ud83d\\ude00 \\ud83d \\q\"", "{\"msg\":\"a \\\"b\\\" \\\\ \\n \xc3\xa4 \xf0\x9f\x98\x80 \xef\xbf\xbd \\\\q\"}", NULL},
        {"dup=1 dup=2 dup", "{\"dup\":\"1\"}", NULL},
        {"msg=a=b url=http://x/?q=\"1\"", "{\"msg\":\"a=b\",\"url\":\"http://x/?q=\\\"1\\\"\"}", NULL},
        {"n=-1.50e3 m=-1.50e3", "{\"n\":-1.50e3,\"m\":\"-1.50e3\"}", NULL},
        {"n=.5", "{\"n\":0.5}", NULL},
        {"n=-.5", "{\"n\":-0.5}", NULL},
        {"n=+5.", "{\"n\":5}", NULL},
        {"n=0x10", "{\"n\":\"0x10\"}", NULL},
        {"n=", "{\"n\":null}", NULL},
        {"n=\"\"", "{\"n\":null}", NULL},
        {"msg=\"\"", "{\"msg\":\"\"}", NULL},
        {"k\xff=v\xc3\x28", "{\"k\xef\xbf\xbd\":\"v\xef\xbf\xbd(\"}", NULL},
        {"ok=\"a\"b=c", "{\"ok\":\"a\",\"b\":\"c\"}", NULL},
        {"", NULL, "empty"},
        {"   ", NULL, "empty"},
        {"just some words", NULL, "no key=value"},
        {"a=1 =2", NULL, "without a key"},
        {"\"a\"=1", NULL, "without a key"},
        {"a=\"unterminated", NULL, "does not end"},
        {"a=\"unterminated\\\"", NULL, "does not end"},
        {"a=\"unterminated\\", NULL, "does not end"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: logfmt, types: { n: number } }", fields, cases);
}

static void test_casts(void **state)
{
    static const char *const fields[] = {"b", "n", NULL};
    static const struct formats_case cases[] = {
        {"b=true", "{\"b\":true}", NULL},    {"b=YES", "{\"b\":true}", NULL},       {"b=0", "{\"b\":false}", NULL},
        {"b=off", "{\"b\":false}", NULL},    {"b=maybe", "{\"b\":\"maybe\"}", NULL}, {"b= x=1", "{\"b\":null,\"x\":\"1\"}", NULL},
        {"x=1 b", "{\"x\":\"1\",\"b\":true}", NULL}, {"x=1 s", "{\"x\":\"1\",\"s\":\"true\"}", NULL}, {"n=1e", "{\"n\":\"1e\"}", NULL},
        {"n=-", "{\"n\":\"-\"}", NULL},      {"n=00", "{\"n\":0}", NULL},            {"n=--1", "{\"n\":\"--1\"}", NULL},
        {"n=NaN", "{\"n\":\"NaN\"}", NULL},  {"n=.", "{\"n\":\".\"}", NULL},         {"n=1_000", "{\"n\":\"1_000\"}", NULL},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: logfmt, types: { b: bool, n: number, s: string } }", fields, cases);
}

static void test_what_is_not_of_its_type_is_counted(void **state)
{
    static const char *const fields[] = {"n", NULL};
    const struct sl_slice records[] = {sl_slice_of("n=1"), sl_slice_of("n=x"), sl_slice_of("n=")};

    (void)state;
    formats_open(&rig, "{ type: parse, inputs: [x], format: logfmt, types: { n: number } }", fields);
    formats_process(&rig, records, 3);
    assert_int_equal(rig.whole.bench.counters[4], 1);
    assert_string_equal(sl_op_parse.head.counters[4].name, "type_mismatch_total");
    formats_close(&rig);
}

static void test_too_many_fields_are_set_aside(void **state)
{
    static const char *const fields[] = {"k1", "k1023", NULL};
    static char line[16384];
    struct sl_slice record = {line, 0};

    (void)state;
    formats_open(&rig, "{ type: parse, inputs: [x], format: logfmt }", fields);
    for (int i = 0; i < 1025; i++) {
        record.bytes += (uint32_t)sprintf(line + record.bytes, "k%d=%d ", i, i);
        if (i < 1023)
            continue;
        formats_process(&rig, &record, 1);
        assert_int_equal(rig.whole.bench.view.fate[0], i == 1023 ? SL_LIVE : SL_DEAD);
    }
    assert_int_equal(rig.whole.bench.view.reason[0], SL_FORMAT_MANY);
    formats_close(&rig);
}

/* ---- csv ---- */

static void test_csv_reads_rfc_4180(void **state)
{
    static const char *const fields[] = {"a", "b", "c", NULL};
    static const struct formats_case cases[] = {
        {"1,2,3", "{\"a\":\"1\",\"b\":\"2\",\"c\":3}", NULL},
        {"\"a,b\",\"say \"\"hi\"\"\",\r\n", "{\"a\":\"a,b\",\"b\":\"say \\\"hi\\\"\",\"c\":null}", NULL},
        {"\"\",\"\"\"\",\"\"", "{\"a\":\"\",\"b\":\"\\\"\",\"c\":null}", NULL},
        {",,", "{\"a\":\"\",\"b\":\"\",\"c\":null}", NULL},
        {"\"two\nlines\", b ,x\"y", "{\"a\":\"two\\nlines\",\"b\":\" b \",\"c\":\"x\\\"y\"}", NULL},
        {"\xEF\xBB\xBF" "1,2,3", "{\"a\":\"1\",\"b\":\"2\",\"c\":3}", NULL},
        {"\xff,2,3", "{\"a\":\"\xef\xbf\xbd\",\"b\":\"2\",\"c\":3}", NULL},
        {"1,2", NULL, "fewer"},
        {"1,2,3,", NULL, "more"},
        {"1,2,3,4", NULL, "more"},
        {"", NULL, "empty"},
        {"1,\"2,3", NULL, "does not end"},
        {"1,\"2\"\",3", NULL, "does not end"},
        {"1,\"2\"x,3", NULL, "closing quote"},
        {"1,2,\"3\" ", NULL, "closing quote"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: csv, columns: [a, b, c], types: { c: number } }", fields, cases);
}

static void test_csv_with_other_characters_and_columns_left_out(void **state)
{
    static const char *const fields[] = {"a", "c d", NULL};
    static const struct formats_case cases[] = {
        {"1\t2\t'it''s'", "{\"a\":\"1\",\"c d\":\"it's\"}", NULL},
        {"1\t'2\tb'\t\"", "{\"a\":\"1\",\"c d\":\"\\\"\"}", NULL},
        {"1\t2", NULL, "fewer"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: csv, columns: [a, '', 'c d'], separator: \"\\t\", quote: \"'\" }", fields, cases);
}

/* ---- syslog ---- */

static void test_syslog_reads_rfc_5424(void **state)
{
    static const char *const fields[] = {"severity", "app", "message", "structured_data", "structured_data.ex@1.iut", "structured_data.ex@1.none", "structured_data.b", NULL};
    static const struct formats_case cases[] = {
        {"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xEF\xBB\xBF'su root' failed",
         "{\"facility\":4,\"severity\":2,\"time\":\"2003-10-11T22:14:15.003Z\",\"host\":\"mymachine.example.com\",\"app\":\"su\",\"procid\":null,\"msgid\":\"ID47\","
         "\"structured_data\":null,\"message\":\"'su root' failed\"}", NULL},
        {"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [ex@1 iut=\"3\" s=\"a\\\"b\\\\c\\]d\\e\"][b] go",
         "{\"facility\":20,\"severity\":5,\"time\":\"2003-08-24T05:14:15.000003-07:00\",\"host\":\"192.0.2.1\",\"app\":\"myproc\",\"procid\":\"8710\",\"msgid\":null,"
         "\"structured_data\":{\"ex@1\":{\"iut\":\"3\",\"s\":\"a\\\"b\\\\c]d\\\\e\"},\"b\":{}},\"message\":\"go\"}", NULL},
        {"<0>1 - - - - - -", "{\"facility\":0,\"severity\":0,\"time\":null,\"host\":null,\"app\":null,\"procid\":null,\"msgid\":null,\"structured_data\":null}", NULL},
        {"<191>1 - - - - - - ", "{\"facility\":23,\"severity\":7,\"time\":null,\"host\":null,\"app\":null,\"procid\":null,\"msgid\":null,\"structured_data\":null,\"message\":\"\"}", NULL},
        {"<13>1 - h a p m [ex@1 iut=\"1\" iut=\"2\"][ex@1 iut=\"3\"]",
         "{\"facility\":1,\"severity\":5,\"time\":null,\"host\":\"h\",\"app\":\"a\",\"procid\":\"p\",\"msgid\":\"m\",\"structured_data\":{\"ex@1\":{\"iut\":\"1\"}}}", NULL},
        {"<13>1 - h a p m [ex@1 iut=\"\xff\"] \xfe", "{\"facility\":1,\"severity\":5,\"time\":null,\"host\":\"h\",\"app\":\"a\",\"procid\":\"p\",\"msgid\":\"m\","
         "\"structured_data\":{\"ex@1\":{\"iut\":\"\xef\xbf\xbd\"}},\"message\":\"\xef\xbf\xbd\"}", NULL},
        {"<192>1 - - - - - -", NULL, "0 to 191"},
        {"<>1 - - - - - -", NULL, "0 to 191"},
        {"<1x>1 - - - - - -", NULL, "0 to 191"},
        {"<13", NULL, "0 to 191"},
        {"<13>1 - h a p", NULL, "ends too early"},
        {"<13>1 - h a p m", NULL, "ends too early"},
        {"<13>1 - h a p m ", NULL, "ends too early"},
        {"<13>1 - h a p m x", NULL, "structured data"},
        {"<13>1 - h a p m [", NULL, "structured data"},
        {"<13>1 - h a p m []", NULL, "structured data"},
        {"<13>1 - h a p m [x", NULL, "structured data"},
        {"<13>1 - h a p m [x a=b]", NULL, "structured data"},
        {"<13>1 - h a p m [x a=\"b]", NULL, "structured data"},
        {"<13>1 - h a p m [x a=\"b\"]y", NULL, "structured data"},
        {"<13>1 - h a p m -y", NULL, "structured data"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: syslog }", fields, cases);
}

static void test_syslog_reads_rfc_3164_as_it_is_written(void **state)
{
    static const char *const fields[] = {"host", "app", "procid", "message", "facility", NULL};
    static const struct formats_case cases[] = {
        {"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
         "{\"facility\":4,\"severity\":2,\"time\":\"Oct 11 22:14:15\",\"host\":\"mymachine\",\"app\":\"su\",\"message\":\"'su root' failed\"}", NULL},
        {"Oct  1 22:14:15 host sshd[123]: Accepted: yes", "{\"time\":\"Oct  1 22:14:15\",\"host\":\"host\",\"app\":\"sshd\",\"procid\":\"123\",\"message\":\"Accepted: yes\"}", NULL},
        {"2026-11-22T05:14:56.123456+01:00 host postfix/smtpd[12]: connect", "{\"time\":\"2026-11-22T05:14:56.123456+01:00\",\"host\":\"host\",\"app\":\"postfix/smtpd\",\"procid\":\"12\",\"message\":\"connect\"}", NULL},
        {"<13>Oct 11 22:14:15 root: no host", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"app\":\"root\",\"message\":\"no host\"}", NULL},
        {"<13>Oct 11 22:14:15 sshd[1]: no host", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"app\":\"sshd\",\"procid\":\"1\",\"message\":\"no host\"}", NULL},
        {"<13>Oct 11 2003 22:14:15.25 host %ASA-6-302013: Built", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 2003 22:14:15.25\",\"host\":\"host\",\"app\":\"%ASA-6-302013\",\"message\":\"Built\"}", NULL},
        {"<13>Oct 11 22:14:15 host kernel panic - not syncing", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"host\":\"host\",\"message\":\"kernel panic - not syncing\"}", NULL},
        {"<13>Oct 11 22:14:15 host http://x/ is gone", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"host\":\"host\",\"message\":\"http://x/ is gone\"}", NULL},
        {"<13>Oct 11 22:14:15 host app[7] text", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"host\":\"host\",\"app\":\"app\",\"procid\":\"7\",\"message\":\"text\"}", NULL},
        {"<13>Oct 11 22:14:15", "{\"facility\":1,\"severity\":5,\"time\":\"Oct 11 22:14:15\",\"message\":\"\"}", NULL},
        {"<13>anything at all", "{\"facility\":1,\"severity\":5,\"message\":\"anything at all\"}", NULL},
        {"<13>", "{\"facility\":1,\"severity\":5,\"message\":\"\"}", NULL},
        {"<13>1 file copied", "{\"facility\":1,\"severity\":5,\"message\":\"1 file copied\"}", NULL},
        {"", NULL, "empty"},
        {"hello", NULL, "neither with a priority"},
        {"Oct 11 22:14 host x: y", NULL, "neither with a priority"},
    };
    (void)state;
    RUN("{ type: parse, inputs: [x], format: syslog }", fields, cases);
}

static void test_syslog_roles(void **state)
{
    static const char *const fields[] = {"host", NULL};
    static const struct {
        const char *line, *service;
        int64_t unix_ms;
        int level;
    } cases[] = {
        {"<34>Nov 22 05:14:56 h su: x", "su", 1795324496000 - 3600000, SL_LEVEL_FATAL},
        {"<11>Nov 22 05:14:56.250 h su: x", "su", 1795324496250 - 3600000, SL_LEVEL_ERROR},
        {"<14>1 2026-11-22T05:14:56.5Z h cron 1 - - x", "cron", 1795324496500, SL_LEVEL_INFO},
        {"<15>Nov 22 2026 05:14:56 h su: x", "su", 1795324496000 - 3600000, SL_LEVEL_DEBUG},
        {"Dec 31 23:59:59 h su: x", "su", 1798761599000 - 31536000000 - 3600000, SL_LEVEL_NONE}, /* last year's */
        {"<14>1 - h - 1 - - x", "", 1795324500000, SL_LEVEL_INFO},
    };
    (void)state;
    formats_open(&rig, "{ type: parse, inputs: [x], format: syslog, time_zone: \"+01:00\", max_age: 400d }", fields);
    rig.plain.bench.unix_ms = rig.whole.bench.unix_ms = 1795324500000;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_slice record = sl_slice_of(cases[i].line);
        const struct sl_decoded *decoded;
        formats_process(&rig, &record, 1);
        decoded = rig.whole.bench.view.decoded;
        assert_int_equal(decoded->time_unix_ms[0], cases[i].unix_ms);
        assert_int_equal(decoded->level[0], cases[i].level);
        if (cases[i].service[0] == '\0')
            assert_int_equal(decoded->service[0], SL_INTERN_NONE);
        else
            assert_true(sl_slice_is(sl_intern_name(decoded->service[0]), cases[i].service));
    }
    formats_close(&rig);
}

/* ---- all ---- */

static const char *const every_format[] = {
    "{ type: parse, inputs: [x], format: text }",
    "{ type: parse, inputs: [x], format: regex, pattern: '(?<message>.*)(?<n>[0-9]?)', types: { n: number } }",
    "{ type: parse, inputs: [x], format: clf }",
    "{ type: parse, inputs: [x], format: logfmt, types: { n: number, b: bool } }",
    "{ type: parse, inputs: [x], format: syslog }",
    "{ type: parse, inputs: [x], format: csv, columns: [a, message] }",
};

/* Prefixes of good lines, and good lines with one byte changed: nothing crashes, and the rig's contract holds. */
static void test_cut_and_changed_lines_keep_the_contract(void **state)
{
    static const char *const lines[] = {
        "www:80 1.2.3.4 - bob [10/Oct/2000:13:55:36 -0700] \"GET /a?b HTTP/1.0\" 200 2326 \"http://x\\x22\" \"a\\\"b\" more",
        "<165>1 2003-08-24T05:14:15.000003-07:00 h myproc 8710 - [ex@1 iut=\"3\" s=\"a\\\"b\"][b] \xEF\xBB\xBFgo",
        "<34>Oct 11 22:14:15.1 mymachine su[12]: 'su root' failed",
        "level=info msg=\"a \\\"b\\\" \\u00e4\" n=1 flag a.b=c",
        "\"a \"\"quoted\"\" \xc3\xa4\",b",
    };
    static const char *const fields[] = {"message", "status", "a", "structured_data.ex@1.iut", "msg", "structured_data", NULL};
    static const char changes[] = " \"\\[]=,:<>-1\xff\0\n";

    (void)state;
    for (size_t f = 0; f < sizeof(every_format) / sizeof(every_format[0]); f++) {
        formats_open(&rig, every_format[f], fields);
        for (size_t l = 0; l < sizeof(lines) / sizeof(lines[0]); l++) {
            uint32_t bytes = (uint32_t)strlen(lines[l]);
            char copy[256];
            for (uint32_t at = 0; at < bytes; at++) {
                struct sl_slice records[sizeof(changes) + 1];
                char variants[sizeof(changes)][256];
                for (size_t c = 0; c < sizeof(changes); c++) {
                    memcpy(variants[c], lines[l], bytes);
                    variants[c][at] = changes[c];
                    records[c] = (struct sl_slice){variants[c], bytes};
                }
                memcpy(copy, lines[l], bytes);
                records[sizeof(changes)] = (struct sl_slice){copy, at};
                formats_process(&rig, records, sizeof(changes) + 1);
            }
        }
        formats_close(&rig);
    }
}

/* A record of a MiB of what grows most. */
static void test_a_large_record_fits(void **state)
{
    static const char *const fields[] = {"message", NULL};
    static const char fill[] = {'\x01', '\xff', 'a', '"'};
    static char line[1 << 20];

    (void)state;
    for (size_t f = 0; f < sizeof(every_format) / sizeof(every_format[0]); f++)
        for (size_t i = 0; i < sizeof(fill); i++) {
            struct sl_slice record = {line, sizeof(line)};
            memset(line, fill[i], sizeof(line));
            memcpy(line, "<1>", 3);
            formats_open(&rig, every_format[f], fields);
            formats_process(&rig, &record, 1);
            formats_close(&rig);
        }
}

static void test_wrong_settings_are_refused(void **state)
{
    static const struct {
        const char *settings, *says;
    } wrong[] = {
        {"format: regex", "pattern: missing"},
        {"format: regex, pattern: '(?<a>'", "pattern: fails at character 6"},
        {"format: regex, pattern: 'a(b)c'", "no named group"},
        {"format: regex, pattern: '(?<a>x)(?<a>y)'", "named"},
        {"format: regex, pattern: '(?J)(?<a>x)(?<a>y)'", "two groups are named a"},
        {"format: regex, pattern: '(?<a>x)\\C'", "\\C"},
        {"format: regex, pattern: '(?<a>x)', types: { b: number }", "types: there is no field b"},
        {"format: regex, pattern: '(?<a>x)', types: { a: integer }", "number, bool or string"},
        {"format: regex, pattern: '(?<a>x)', record: { time: b }", "record.time: there is no field b"},
        {"format: json, pattern: '(?<a>x)'", "pattern: format json has no use for it"},
        {"format: clf, columns: [a]", "columns: format clf has no use for it"},
        {"format: text, types: { message: number }", "types: format text"},
        {"format: clf, validate: false", "validate: format clf"},
        {"format: clf, types: { size: number }", "types: there is no field size"},
        {"format: csv", "columns: missing"},
        {"format: csv, columns: ['', '']", "columns: no name"},
        {"format: csv, columns: [a, a]", "a is named twice"},
        {"format: csv, columns: [a], separator: '::'", "separator: \"::\" is not one ASCII character"},
        {"format: csv, columns: [a], separator: ''", "separator: \"\" is not one"},
        {"format: csv, columns: [a], quote: ','", "they must differ"},
        {"format: syslog, record: { service: application }", "record.service: there is no field application"},
        {"time_format: '%Q'", "time_format: \"%Q\" has %Q"},
        {"time_format: '%H:%M'", "time_format: \"%H:%M\" names no day"},
        {"time_zone: Europe/Berlin", "time_zone: \"Europe/Berlin\" is no offset"},
    };
    struct sl_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char settings[256];
        (void)snprintf(settings, sizeof(settings), "{ type: parse, inputs: [x], %s }", wrong[i].settings);
        if (config_check(&sl_op_parse.head, settings, &err) == 0 || strstr(err.text, wrong[i].says) == NULL)
            fail_msg("%s: \"%s\"", settings, err.text);
    }
    config_fini();
}

static void test_a_time_format_is_for_any_format(void **state)
{
    static const char *const fields[] = {"when", NULL};
    const struct sl_slice records[] = {sl_slice_of("when=\"22.11.2026 06:14:56\""), sl_slice_of("when=2026-11-22T05:14:56Z")};

    (void)state;
    formats_open(&rig, "{ type: parse, inputs: [x], format: logfmt, record: { time: when }, time_format: '%d.%m.%Y %T', time_zone: '+01:00' }", fields);
    rig.plain.bench.unix_ms = rig.whole.bench.unix_ms = 1795324500000;
    formats_process(&rig, records, 2);
    assert_int_equal(rig.whole.bench.view.decoded->time_unix_ms[0], 1795324496000);
    assert_int_equal(rig.whole.bench.view.decoded->time_unix_ms[1], 1795324500000); /* only the form that was given */
    formats_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regex_makes_fields_of_named_groups),
        cmocka_unit_test(test_a_bad_pattern_gives_up),
        cmocka_unit_test(test_a_quadratic_pattern_is_looked_for_only_so_far),
        cmocka_unit_test(test_clf_reads_apache_and_nginx),
        cmocka_unit_test(test_clf_times_are_understood),
        cmocka_unit_test(test_logfmt_reads_pairs),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_what_is_not_of_its_type_is_counted),
        cmocka_unit_test(test_too_many_fields_are_set_aside),
        cmocka_unit_test(test_csv_reads_rfc_4180),
        cmocka_unit_test(test_csv_with_other_characters_and_columns_left_out),
        cmocka_unit_test(test_syslog_reads_rfc_5424),
        cmocka_unit_test(test_syslog_reads_rfc_3164_as_it_is_written),
        cmocka_unit_test(test_syslog_roles),
        cmocka_unit_test(test_cut_and_changed_lines_keep_the_contract),
        cmocka_unit_test(test_a_large_record_fits),
        cmocka_unit_test(test_wrong_settings_are_refused),
        cmocka_unit_test(test_a_time_format_is_for_any_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
