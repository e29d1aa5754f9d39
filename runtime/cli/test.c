/* test.c: `sluice test`: runs the cases in a topology's tests folder through the topology's own operators and conditions; sources
 * are replaced by the case's records, sinks by ones that keep what they get. No broker, no files but a scratch folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/json_out.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/test_case.h"
#include "runtime/config/process.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/slot.h"
#include "runtime/store/commit_log.h"

/* ---- the world of one case: virtual, single-threaded ---- */

struct test_body {
    char *data;
    uint32_t bytes;
    struct test_body *next;
};

struct test_got { /* what a sink received */
    struct test_body *first, **last;
    uint64_t count;
};

struct test_world {
    const struct sl_test_case *test;
    const struct sl_topology *topology;
    struct test_got *got; /* by component */
    struct sl_job *jobs, **jobs_last;
    uint64_t now_ns;
    uint32_t given; /* records handed out */
    struct sl_err error; /* first thing that was logged */
};

static struct test_world *test_running; /* one case at a time; kinds below have no other way to it */

/* ---- the source: the case's records; the topology's other sources are empty ---- */

struct test_source {
    const struct sl_api *api;
    struct sl_slot *slot;
    struct sl_partition *partition;
    bool mine;
};

static int test_source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct test_source *source = self;
    const char *topic = "test";

    (void)config;
    source->api = api;
    source->slot = slot;
    source->mine = strcmp(api->component, test_running->test->source) == 0;
    if (!source->mine)
        return 0;
    if (test_running->test->records_count > 0 && test_running->test->records[0].topic != NULL)
        topic = test_running->test->records[0].topic;
    return sl_slot_assign(slot, self, topic, "0", 0, NULL, 0, 0, NULL, &source->partition, NULL, err);
}

static void *test_array(struct sl_batch *batch, size_t bytes)
{
    void *memory = sl_arena_alloc(batch->arena, bytes);

    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

static void test_fill(struct sl_batch *batch, const struct sl_case_record *record)
{
    struct sl_slice payload = sl_slice_of(record->payload != NULL ? record->payload : "");
    struct sl_header *headers = batch->headers[0];

    batch->raw[0] = sl_arena_copy(batch->arena, payload);
    batch->null_payload[0] = record->payload == NULL;
    batch->append_unix_ms[0] = record->append_unix_ms != 0 ? record->append_unix_ms : sl_clock_unix_ms();
    if (record->key != NULL)
        batch->key[0] = sl_slice_of(record->key);
    for (uint32_t h = 0; h < record->headers_count; h++)
        headers[h] = (struct sl_header){sl_slice_of(record->headers[h].name), sl_slice_of(record->headers[h].value)};
    batch->headers_count[0] = (uint16_t)record->headers_count;
    batch->may_break = true;
}

/* One record a batch: each may have a topic and a time of its own. */
static int test_source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct test_source *source = self;
    const struct sl_case_record *record;

    if (!source->mine || test_running->given == test_running->test->records_count)
        return 0;
    record = &test_running->test->records[test_running->given];
    batch->raw = test_array(batch, sizeof(*batch->raw));
    batch->offset = test_array(batch, sizeof(*batch->offset));
    batch->append_unix_ms = test_array(batch, sizeof(*batch->append_unix_ms));
    batch->key = test_array(batch, sizeof(*batch->key));
    batch->headers = test_array(batch, sizeof(struct sl_header *));
    batch->headers_count = test_array(batch, sizeof(*batch->headers_count));
    batch->null_payload = test_array(batch, 1);
    if (batch->headers != NULL)
        batch->headers[0] = test_array(batch, (record->headers_count + 1) * sizeof(struct sl_header));
    if (batch->raw == NULL || batch->offset == NULL || batch->append_unix_ms == NULL || batch->key == NULL ||
        batch->headers == NULL || batch->headers_count == NULL || batch->null_payload == NULL || batch->headers[0] == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a record");
    test_fill(batch, record);
    batch->partition = source->partition;
    batch->first = batch->offset[0] = test_running->given;
    batch->next = batch->first + 1;
    batch->count = 1;
    batch->large = batch->raw[0].bytes > source->api->max_record_bytes;
    test_running->given++;
    return 1;
}

static void test_source_release(void *self)
{
    (void)self;
}

static int test_source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    (void)self;
    (void)partition;
    (void)err;
    test_running->given = (uint32_t)next;
    return 0;
}

static int test_source_at_end(void *self)
{
    const struct test_source *source = self;
    return !source->mine || test_running->given == test_running->test->records_count;
}

static void test_close(void *self)
{
    (void)self;
}

static const struct sl_source_kind test_source_kind = {
    .head = {SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(struct sl_source_kind), "test", "Records of a test case.", "{}", NULL, 0,
             sizeof(struct test_source), NULL, NULL, NULL, NULL, NULL, NULL},
    .open = test_source_open,
    .poll = test_source_poll,
    .release = test_source_release,
    .seek = test_source_seek,
    .at_end = test_source_at_end,
    .close = test_close,
};

/* ---- the sink: keeps ---- */

struct test_sink {
    struct sl_slot *slot;
    struct test_got *got;
};

static int test_sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                          struct sl_err *err)
{
    struct test_sink *sink = self;

    (void)config;
    (void)names;
    (void)err;
    sink->slot = slot;
    for (uint32_t c = 0; c < test_running->topology->components_count; c++)
        if (strcmp(test_running->topology->components[c].name, api->component) == 0)
            sink->got = &test_running->got[c];
    assert(sink->got != NULL);
    return 0;
}

static int test_sink_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct test_sink *sink = self;

    for (uint32_t i = 0; i < parcel->count; i++) {
        struct test_body *body = malloc(sizeof(*body));
        char *data = malloc(parcel->items[i].body.bytes + 1u);
        if (body == NULL || data == NULL) {
            free(body);
            free(data);
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a record");
        }
        memcpy(data, parcel->items[i].body.data, parcel->items[i].body.bytes);
        data[parcel->items[i].body.bytes] = '\0';
        *body = (struct test_body){data, parcel->items[i].body.bytes, NULL};
        *sink->got->last = body;
        sink->got->last = &body->next;
        sink->got->count++;
        sl_slot_done(sink->slot, self, &parcel->items[i].ref, 1, SL_ACK, NULL);
    }
    return 0;
}

static const struct sl_sink_kind test_sink_kind = {
    .head = {SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(struct sl_sink_kind), "test", "Keeps what it gets.", "{}", NULL, 0,
             sizeof(struct test_sink), NULL, NULL, NULL, NULL, NULL, NULL},
    .open = test_sink_open,
    .submit = test_sink_submit,
    .close = test_close,
};

/* ---- driving ---- */

static uint64_t test_now(void *user)
{
    return ((struct test_world *)user)->now_ns;
}

static int64_t test_unix(void *user)
{
    (void)user;
    return sl_clock_unix_ms();
}

static uint64_t test_random(void *user)
{
    (void)user;
    return 4; /* names only */
}

static void test_submit(void *user, struct sl_job *job)
{
    struct test_world *world = user;
    job->next = NULL;
    *world->jobs_last = job;
    world->jobs_last = &job->next;
}

static void test_wake(void *user)
{
    (void)user;
}

static void test_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    struct test_world *world = user;
    (void)topology;
    (void)what;
    if (world->error.text[0] == '\0')
        world->error = *err;
}

static void test_jobs(struct test_world *world)
{
    while (world->jobs != NULL) {
        struct sl_job *job = world->jobs;
        world->jobs = job->next;
        if (world->jobs == NULL)
            world->jobs_last = &world->jobs;
        job->run(job);
        job->done(job);
    }
}

/* A copy of the topology whose sources and sinks are the case's. The settings of the originals are not read. */
static int test_disguise(const struct sl_topology *topology, struct sl_topology *ret_copy)
{
    struct sl_component *components = malloc(topology->components_count * sizeof(*components));

    if (components == NULL)
        return -1;
    memcpy(components, topology->components, topology->components_count * sizeof(*components));
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (components[c].role == SL_SOURCE)
            components[c].head = &test_source_kind.head;
        else if (components[c].role == SL_SINK) {
            components[c].head = &test_sink_kind.head;
            components[c].sink.required = true;
            components[c].sink.when_full = SL_FULL_WAIT; /* these sinks are never full, and there is no spool */
        }
    }
    *ret_copy = *topology;
    ret_copy->components = components;
    return 0;
}

static int test_drive(struct test_world *world, const struct sl_process_config *process, struct sl_commit_log *log, const char *dir,
                      struct sl_err *err)
{
    uint64_t numbers = 0;
    struct sl_env env = {world, sl_fs_posix(), NULL, test_now, test_unix, test_random, test_submit, test_wake, test_log, NULL, NULL};
    struct sl_shared shared = {.topology = world->topology, .node = "test", .data_dir = dir, .epoch = 1, .slots = 1,
                               .memory_bytes = process->memory_bytes, .max_record_bytes = process->max_record_bytes,
                               .commit_log = log, .flush_number = &numbers, .once = true};
    struct sl_slot *slot = sl_slot_new(&env, &shared, 0, err);
    int status = 0;

    if (slot == NULL)
        return -(int)err->code;
    while (sl_slot_state(slot) == SL_SLOT_RUNNING || sl_slot_state(slot) == SL_SLOT_DRAINING) {
        (void)sl_slot_turn(slot);
        test_jobs(world);
        world->now_ns += SL_NS_PER_S;
    }
    if (sl_slot_state(slot) == SL_SLOT_FAILED) {
        *err = *sl_slot_error(slot);
        status = -(int)err->code;
    }
    slot = sl_slot_free(slot);
    return status;
}

/* ---- comparing ---- */

static bool test_reason(const char *letter, const char *reason)
{
    const char *at = strstr(letter, "\"reason\":\"");
    const char *end = at != NULL ? strchr(at + 10, '"') : NULL;
    const char *found = at != NULL ? strstr(at + 10, reason) : NULL;

    return found != NULL && end != NULL && found + strlen(reason) <= end;
}

/* Of a dead letter, `body` is the record as it came. */
static bool test_raw(const char *letter, const char *raw)
{
    struct sl_buf member = {0};
    bool found;

    sl_buf_text(&member, "\"raw\":");
    sl_json_quote(&member, sl_slice_of(raw));
    found = strstr(letter, sl_buf_str(&member)) != NULL;
    sl_buf_fini(&member);
    return found;
}

static uint32_t test_say(struct sl_cli *cli, const struct sl_test_case *test, uint32_t line, const char *what, const char *want,
                         const char *got)
{
    (void)fprintf(cli->out, "    %s:%u: %s\n", test->path, line, what);
    if (want != NULL)
        (void)fprintf(cli->out, "      expected: %s\n", want);
    if (got != NULL)
        (void)fprintf(cli->out, "      got:      %s\n", got);
    return 1;
}

static uint32_t test_compare(struct sl_cli *cli, const struct test_world *world, const struct sl_case_expect *expect,
                             const struct test_got *got)
{
    const struct test_body *body = got->first;
    char what[200], count[64];

    if (got->count != expect->count) {
        (void)snprintf(what, sizeof(what), "sink %s got another number of records", expect->sink);
        (void)snprintf(count, sizeof(count), "%llu", (unsigned long long)expect->count);
        test_say(cli, world->test, expect->line, what, count, NULL);
        (void)fprintf(cli->out, "      got:      %llu\n", (unsigned long long)got->count);
        for (; body != NULL; body = body->next)
            (void)fprintf(cli->out, "        %s\n", body->data);
        return 1;
    }
    for (uint64_t i = 0; expect->listed && i < expect->count; i++, body = body->next) {
        const struct sl_case_body *want = &expect->bodies[i];
        (void)snprintf(what, sizeof(what), "sink %s: record %llu differs", expect->sink, (unsigned long long)i + 1);
        if (want->body != NULL && (want->reason != NULL ? !test_raw(body->data, want->body) : strcmp(want->body, body->data) != 0))
            return test_say(cli, world->test, want->line, what, want->body, body->data);
        if (want->reason != NULL && !test_reason(body->data, want->reason))
            return test_say(cli, world->test, want->line, what, want->reason, body->data);
    }
    return 0;
}

static int test_component(const struct sl_topology *topology, const char *name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (strcmp(topology->components[c].name, name) == 0)
            return (int)c;
    return strcmp(name, "dead_letters") == 0 ? topology->dead_letters : -1;
}

static uint32_t test_judge(struct sl_cli *cli, const struct test_world *world)
{
    uint32_t wrong = 0;

    for (uint32_t e = 0; e < world->test->expects_count; e++) {
        const struct sl_case_expect *expect = &world->test->expects[e];
        int at = test_component(world->topology, expect->sink);
        if (at < 0 || world->topology->components[at].role != SL_SINK)
            wrong += test_say(cli, world->test, expect->line, "expect names a sink that the topology has not", expect->sink, NULL);
        else
            wrong += test_compare(cli, world, expect, &world->got[at]);
    }
    return wrong;
}

static void test_got_free(struct test_world *world)
{
    for (uint32_t c = 0; c < world->topology->components_count; c++)
        while (world->got[c].first != NULL) {
            struct test_body *body = world->got[c].first;
            world->got[c].first = body->next;
            free(body->data);
            free(body);
        }
    free(world->got);
}

/* 0 fine, 1 wrong. */
static uint32_t test_one(struct sl_cli *cli, const struct sl_process_config *process, const struct sl_topology *disguised,
                         const struct sl_test_case *test, const char *scratch)
{
    struct test_world world = {.test = test, .topology = disguised};
    struct sl_commit_log *log = NULL;
    struct sl_err err = {0};
    char path[PATH_MAX];
    uint32_t wrong = 1;
    int source = test_component(disguised, test->source);

    if (source < 0 || disguised->components[source].role != SL_SOURCE)
        return test_say(cli, test, test->source_line, "source: the topology has no such source", NULL, test->source);
    world.jobs_last = &world.jobs;
    world.got = calloc(disguised->components_count, sizeof(*world.got));
    assert(world.got != NULL);
    for (uint32_t c = 0; c < disguised->components_count; c++)
        world.got[c].last = &world.got[c].first;
    test_running = &world;
    (void)snprintf(path, sizeof(path), "%s/%s.commit.log", scratch, test->name);
    if (sl_commit_log_open(sl_fs_posix(), path, &log, &err) != 0 ||
        test_drive(&world, process, log, scratch, &err) != 0)
        (void)fprintf(cli->out, "    %s\n", err.text);
    else
        wrong = test_judge(cli, &world);
    (void)sl_commit_log_close(log);
    (void)unlink(path);
    test_got_free(&world);
    return wrong != 0;
}

/* ---- finding cases ---- */

static int test_order(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static uint32_t test_list(const char *dir, char ***ret_names)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    char **names = NULL;
    uint32_t count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || dot == entry->d_name || strcmp(dot, ".yaml") != 0)
            continue;
        names = realloc(names, (count + 1) * sizeof(char *));
        assert(names != NULL);
        names[count++] = strdup(entry->d_name);
    }
    if (folder != NULL)
        (void)closedir(folder);
    if (count > 0)
        qsort(names, count, sizeof(char *), test_order);
    *ret_names = names;
    return count;
}

struct test_totals {
    uint32_t run, failed;
};

static void test_file(struct sl_cli *cli, const struct sl_process_config *process, const struct sl_topology *topology,
                      const char *path, const char *scratch, struct test_totals *totals)
{
    struct sl_diags diags;
    struct sl_test_case *test = NULL;
    struct sl_topology disguised;
    uint32_t wrong = 1;

    sl_diags_init(&diags);
    if (sl_test_case_load(path, &diags, &test) == 0) {
        if (sl_cli_option(cli, "case") != NULL && strstr(test->name, sl_cli_option(cli, "case")) == NULL)
            goto out;
        if (test_disguise(topology, &disguised) == 0) {
            wrong = test_one(cli, process, &disguised, test, scratch);
            free(disguised.components);
        }
    }
    for (uint32_t i = 0; i < diags.count; i++)
        (void)fprintf(cli->out, "    %s:%u:%u: %s\n      %s\n", diags.items[i].file, diags.items[i].line, diags.items[i].column,
                      diags.items[i].text, diags.items[i].remedy);
    totals->run++;
    totals->failed += wrong;
    (void)fprintf(cli->out, "  %s%s%s %s\n", sl_cli_ink(cli, cli->out, wrong ? SL_INK_RED : SL_INK_GREEN), wrong ? "FAILED" : "ok",
                  sl_cli_ink(cli, cli->out, SL_INK_OFF), path);
out:
    (void)sl_test_case_free(test);
    sl_diags_fini(&diags);
}

static void test_topology(struct sl_cli *cli, const struct sl_process_config *process, const char *path, const char *scratch,
                          struct test_totals *totals)
{
    struct sl_diags diags;
    struct sl_topology *topology = NULL;
    char dir[PATH_MAX], name[PATH_MAX], **names;
    uint32_t count;

    sl_diags_init(&diags);
    if (sl_topology_load(path, cli->registry, process, &diags, &topology) != 0) {
        for (uint32_t i = 0; i < diags.count; i++)
            (void)fprintf(cli->out, "%s:%u:%u: %s\n    %s\n", diags.items[i].file, diags.items[i].line, diags.items[i].column,
                          diags.items[i].text, diags.items[i].remedy);
        totals->failed++;
        sl_diags_fini(&diags);
        return;
    }
    (void)fprintf(cli->out, "%s\n", topology->name);
    (void)snprintf(dir, sizeof(dir), "%s/tests", topology->base_dir);
    count = test_list(dir, &names);
    if (count == 0)
        (void)fprintf(cli->out, "  no cases: write some into %s\n", dir);
    for (uint32_t i = 0; i < count; i++) {
        if ((size_t)snprintf(name, sizeof(name), "%s/%s", dir, names[i]) < sizeof(name))
            test_file(cli, process, topology, name, scratch, totals);
        free(names[i]);
    }
    free(names);
    sl_diags_fini(&diags);
    topology = sl_topology_free(topology);
}

int sl_command_test(struct sl_cli *cli)
{
    struct sl_process_config *process = NULL;
    struct test_totals totals = {0, 0};
    struct sl_diags diags;
    char scratch[] = "/tmp/sluice-test-XXXXXX";

    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(cli), &diags, &process) != 0) {
        for (uint32_t i = 0; i < diags.count; i++)
            (void)fprintf(cli->err, "%s:%u:%u: %s\n", diags.items[i].file, diags.items[i].line, diags.items[i].column, diags.items[i].text);
        sl_diags_fini(&diags);
        return SL_EXIT_FAILED;
    }
    if (mkdtemp(scratch) == NULL)
        return sl_cli_say(cli, SL_EXIT_FAILED, "cannot make a scratch folder in /tmp");
    for (uint32_t i = 0; i < cli->args_count; i++)
        test_topology(cli, process, cli->args[i], scratch, &totals);
    (void)rmdir(scratch);
    (void)fprintf(cli->out, "%u passed, %u failed\n", totals.run - (totals.failed < totals.run ? totals.failed : totals.run), totals.failed);
    process = sl_process_free(process);
    sl_diags_fini(&diags);
    return totals.failed == 0 && totals.run > 0 ? SL_EXIT_OK : SL_EXIT_FAILED;
}
