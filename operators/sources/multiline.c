/* multiline.c: stack traces line by line, by small machines, and joining by a pattern.
 *
 * Common rule: where a trace follows the line of a logger, that line is its head: the line that opens a trace (an exception's name, "Traceback
 * …") is joined to a record of one line that belongs to no trace itself. So two traces printed one behind the other stay two records.
 * SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "operators/sources/multiline.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MULTILINE_STEPS = 10000, MULTILINE_PATTERN_BYTES = 8192, MULTILINE_LINE_MAX = 4096 /* a pattern looks at so much of a line */ };

enum multiline_language { MULTILINE_JAVA, MULTILINE_PYTHON, MULTILINE_GO, MULTILINE_LANGUAGES };
enum { JAVA_NONE, JAVA_TRACE };
enum { PYTHON_NONE, PYTHON_FRAMES, PYTHON_DONE, PYTHON_BLANK, PYTHON_CHAIN };
enum { GO_NONE, GO_PANIC, GO_STACK };

struct sl_multiline {
    bool language[MULTILINE_LANGUAGES];
    bool starts; /* the pattern says which lines begin a record, not which continue one */
    uint64_t max_lines;
    pcre2_code *code; /* NULL: no pattern */
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static const char *const multiline_names[MULTILINE_LANGUAGES] = {"java", "python", "go"};

const struct sl_field sl_multiline_fields[] = {
    SL_FIELD(sl_multiline_config, stack_traces, SL_F_STRINGS, .help = "Languages whose stack traces are joined to the line before: java, python, go."),
    SL_FIELD(sl_multiline_config, start, SL_F_STRING,
             .help = "A PCRE2 pattern of lines that begin a record; all others belong to the one before."),
    SL_FIELD(sl_multiline_config, continuation, SL_F_STRING, .help = "A PCRE2 pattern of lines that belong to the line before."),
    SL_FIELD(sl_multiline_config, timeout, SL_F_DURATION, .def = "1s", .min = "10ms", .max = "1m",
             .help = "A record that may go on is complete after this long without a line."),
    SL_FIELD(sl_multiline_config, max_lines, SL_F_U64, .def = "1000", .min = "2", .max = "100000",
             .help = "Lines of one record; what follows begins another. No record grows above max_record."),
    {0},
};

/* ---- lines ---- */

static bool line_begins(struct sl_slice line, const char *text)
{
    size_t bytes = strlen(text);

    return line.bytes >= bytes && memcmp(line.data, text, bytes) == 0;
}

static bool line_has(struct sl_slice line, const char *text)
{
    return memmem(line.data, line.bytes, text, strlen(text)) != NULL;
}

static bool line_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Without the blanks at its front. */
static struct sl_slice line_inner(struct sl_slice line)
{
    while (line.bytes > 0 && line_is_blank(*line.data)) {
        line.data++;
        line.bytes--;
    }
    return line;
}

static bool line_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* ---- Java: a.b.SomeException: text / blanks "at " / blanks "... 3 more" / Caused by: / Suppressed: / nested exception is: ---- */

/* A dotted name that ends in Exception, Error or Throwable, and then nothing or a colon. */
static bool java_is_exception(struct sl_slice line)
{
    static const char *const ends[] = {"Exception", "Error", "Throwable"};
    uint32_t at = 0, dots = 0;

    if (line_begins(line, "Exception in thread "))
        return true;
    for (; at < line.bytes && (line_is_word(line.data[at]) || line.data[at] == '.'); at++)
        dots += line.data[at] == '.';
    if (dots == 0 || (at < line.bytes && line.data[at] != ':'))
        return false;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (at > strlen(ends[i]) && memcmp(line.data + at - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
            return true;
    return false;
}

static bool java_is_more(struct sl_slice inner)
{
    return line_begins(inner, "... ") && inner.bytes > 4 && inner.data[4] >= '0' && inner.data[4] <= '9' &&
           (line_has(inner, " more") || line_has(inner, " common frames omitted"));
}

static bool java_joins(const struct sl_multiline_state *state, struct sl_slice line, uint8_t *next)
{
    struct sl_slice inner = line_inner(line);
    bool indented = inner.bytes < line.bytes;

    *next = JAVA_TRACE;
    if (indented && (line_begins(inner, "at ") || java_is_more(inner) || line_begins(inner, "Suppressed: ")))
        return true;
    if (line_begins(inner, "Caused by: ") || line_begins(inner, "nested exception is:") || line_begins(inner, "--- End of "))
        return true;
    return state->lines == 1 && state->trace[MULTILINE_JAVA] == JAVA_NONE && !line_begins(line, "Exception in thread ") && java_is_exception(line);
}

/* ---- Python: Traceback … / indented frames / the exception, then maybe a blank line, "During handling …", a blank line, Traceback … ---- */

static bool python_opens(struct sl_slice line)
{
    struct sl_slice inner = line_inner(line);

    return line_begins(inner, "Traceback (most recent call last)") || line_begins(inner, "+ Exception Group Traceback (most recent call last)");
}

static bool python_chains(struct sl_slice line)
{
    return line_begins(line, "During handling of the above exception") || line_begins(line, "The above exception was the direct cause");
}

static bool python_joins(const struct sl_multiline_state *state, struct sl_slice line, uint8_t *next)
{
    uint8_t now = state->trace[MULTILINE_PYTHON];
    bool indented = line.bytes > 0 && line_is_blank(*line.data);

    if (python_opens(line)) {
        *next = PYTHON_FRAMES;
        return now == PYTHON_CHAIN || (now == PYTHON_FRAMES && indented) || (now == PYTHON_NONE && state->lines == 1);
    }
    switch (now) {
    case PYTHON_FRAMES:
        *next = indented ? PYTHON_FRAMES : PYTHON_DONE;
        return line.bytes > 0;
    case PYTHON_DONE: /* a message of several lines is indented, mostly */
        *next = indented ? PYTHON_DONE : PYTHON_BLANK;
        return indented || line.bytes == 0;
    case PYTHON_BLANK:
        *next = PYTHON_CHAIN;
        return python_chains(line);
    case PYTHON_CHAIN:
        *next = PYTHON_CHAIN;
        return line.bytes == 0;
    default:
        return false;
    }
}

/* ---- Go: panic: / fatal error: / [signal / goroutine 1 [running]: / f(…) and tab file:line / created by / exit status ---- */

static bool go_opens(struct sl_slice line)
{
    return line_begins(line, "panic: ") || line_begins(line, "fatal error: ") || line_has(line, "http: panic serving ");
}

static bool go_is_goroutine(struct sl_slice line)
{
    return line_begins(line, "goroutine ") && line.bytes > 10 && line.data[10] >= '0' && line.data[10] <= '9' && line_has(line, " [");
}

static bool go_is_call(struct sl_slice line)
{
    return !line_is_blank(line.data[0]) && line.data[line.bytes - 1] == ')' && memchr(line.data, '(', line.bytes) != NULL &&
           memchr(line.data, '.', line.bytes) != NULL && line_is_word(line.data[0]);
}

static bool go_joins(const struct sl_multiline_state *state, struct sl_slice line, uint8_t *next)
{
    uint8_t now = state->trace[MULTILINE_GO];

    *next = now;
    if (now == GO_NONE) {
        *next = GO_STACK;
        return state->lines == 1 && go_is_goroutine(line); /* a stack that a logger printed */
    }
    if (line.bytes == 0 || line.data[0] == '\t' || line_begins(line, "[signal ") || line_begins(line, "created by ") || line_begins(line, "exit status ") ||
        line_begins(line, "runtime stack:") || line_begins(line, "...additional frames elided..."))
        return true;
    if (go_is_goroutine(line)) {
        *next = GO_STACK;
        return true;
    }
    return now == GO_STACK && go_is_call(line);
}

/* ---- all ---- */

static bool (*const multiline_joins[MULTILINE_LANGUAGES])(const struct sl_multiline_state *state, struct sl_slice line, uint8_t *next) = {
    java_joins, python_joins, go_joins};

static bool multiline_matches(struct sl_multiline *multiline, struct sl_slice line)
{
    size_t bytes = line.bytes < MULTILINE_LINE_MAX ? line.bytes : MULTILINE_LINE_MAX;

    return pcre2_match(multiline->code, (PCRE2_SPTR)line.data, bytes, 0, 0, multiline->data, multiline->context) >= 0;
}

void sl_multiline_reset(struct sl_multiline_state *state)
{
    memset(state, 0, sizeof(*state));
}

void sl_multiline_begin(struct sl_multiline *multiline, struct sl_multiline_state *state, struct sl_slice line)
{
    sl_multiline_reset(state);
    state->lines = 1;
    if (multiline->language[MULTILINE_JAVA] && java_is_exception(line))
        state->trace[MULTILINE_JAVA] = JAVA_TRACE;
    if (multiline->language[MULTILINE_PYTHON] && python_opens(line))
        state->trace[MULTILINE_PYTHON] = PYTHON_FRAMES;
    if (multiline->language[MULTILINE_GO] && (go_opens(line) || go_is_goroutine(line)))
        state->trace[MULTILINE_GO] = go_opens(line) ? GO_PANIC : GO_STACK;
}

/* By a language; it alone goes on. */
static bool multiline_traces(const struct sl_multiline *multiline, struct sl_multiline_state *state, struct sl_slice line)
{
    uint8_t next = 0;

    for (int language = 0; language < MULTILINE_LANGUAGES; language++)
        if (multiline->language[language] && multiline_joins[language](state, line, &next)) {
            memset(state->trace, 0, sizeof(state->trace));
            state->trace[language] = next;
            return true;
        }
    return false;
}

bool sl_multiline_joins(struct sl_multiline *multiline, struct sl_multiline_state *state, struct sl_slice line)
{
    bool joins = state->lines > 0 && state->lines < multiline->max_lines;

    joins = joins && (multiline_traces(multiline, state, line) || (multiline->code != NULL && multiline_matches(multiline, line) != multiline->starts));
    if (joins)
        state->lines++;
    else
        sl_multiline_begin(multiline, state, line);
    return joins;
}

/* ---- settings ---- */

bool sl_multiline_on(const struct sl_multiline_config *config)
{
    return config->stack_traces.count > 0 || config->start != NULL || config->continuation != NULL;
}

static int multiline_language(const char *name)
{
    for (int language = 0; language < MULTILINE_LANGUAGES; language++)
        if (strcmp(multiline_names[language], name) == 0)
            return language;
    return -1;
}

static pcre2_code *multiline_compile(const char *setting, const char *pattern, struct sl_err *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_UCHAR why[160] = "no memory";
    PCRE2_SIZE offset = 0;
    pcre2_code *code = NULL;
    int error = 0;

    if (context != NULL) {
        (void)pcre2_set_max_pattern_length(context, MULTILINE_PATTERN_BYTES);
        code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                             context);
        if (code == NULL)
            (void)pcre2_get_error_message(error, why, sizeof(why));
    }
    pcre2_compile_context_free(context);
    if (code == NULL)
        (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "multiline.%s: fails at character %u of \"%.100s\": %s", setting, (unsigned)offset + 1,
                      pattern, (char *)why);
    return code;
}

int sl_multiline_new(const struct sl_multiline_config *config, struct sl_multiline **ret_multiline, struct sl_err *err)
{
    struct sl_multiline *multiline = calloc(1, sizeof(*multiline));
    int rc = 0;

    if (multiline == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "multiline: no memory");
    multiline->max_lines = config->max_lines;
    multiline->starts = config->start != NULL;
    for (uint32_t i = 0; i < config->stack_traces.count; i++)
        multiline->language[multiline_language(config->stack_traces.items[i])] = true;
    if (config->start != NULL || config->continuation != NULL) {
        multiline->code = multiline->starts ? multiline_compile("start", config->start, err) : multiline_compile("continuation", config->continuation, err);
        multiline->data = pcre2_match_data_create(1, NULL);
        multiline->context = pcre2_match_context_create(NULL);
        if (multiline->code == NULL)
            rc = -SL_E_CONFIG;
        else if (multiline->data == NULL || multiline->context == NULL)
            rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "multiline: no memory");
    }
    if (rc != 0) {
        (void)sl_multiline_free(multiline);
        return rc;
    }
    if (multiline->code != NULL) {
        (void)pcre2_jit_compile(multiline->code, PCRE2_JIT_COMPLETE); /* without it the interpreter serves */
        (void)pcre2_set_match_limit(multiline->context, MULTILINE_STEPS);
        (void)pcre2_set_depth_limit(multiline->context, MULTILINE_STEPS);
    }
    *ret_multiline = multiline;
    return 0;
}

struct sl_multiline *sl_multiline_free(struct sl_multiline *multiline)
{
    if (multiline == NULL)
        return NULL;
    pcre2_code_free(multiline->code);
    pcre2_match_data_free(multiline->data);
    pcre2_match_context_free(multiline->context);
    free(multiline);
    return NULL;
}

int sl_multiline_check(const struct sl_multiline_config *config, struct sl_err *err)
{
    struct sl_multiline *multiline = NULL;
    int rc;

    if (config->start != NULL && (config->continuation != NULL || config->stack_traces.count > 0))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "multiline.start: it says already which lines belong together; write it alone, or stack_traces and "
                       "continuation without it");
    for (uint32_t i = 0; i < config->stack_traces.count; i++)
        if (multiline_language(config->stack_traces.items[i]) < 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "multiline.stack_traces: \"%s\" is not known; write java, python or go",
                           config->stack_traces.items[i]);
    rc = sl_multiline_new(config, &multiline, err);
    (void)sl_multiline_free(multiline);
    return rc;
}
