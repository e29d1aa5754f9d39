/* admin.c: the commands that a running process takes, as a table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/answer.h"
#include "runtime/cli/replay/replay.h"
#include "runtime/control/control.h"
#include "runtime/deploy/deployer.h"
#include "runtime/engine/host.h"

enum { ADMIN_WATCH_MS = 100, ADMIN_SETS_MAX = 1000 };

struct admin_request {
    const struct sl_admin *admin;
    struct sl_host *host;
    struct sl_who who;
    const struct sl_yaml *body;
    struct sl_buf *json;      /* of rows that answer by themselves */
    struct sl_json_out *out; /* of the others: inside the answer's object */
};

/* ---- reading a request ---- */

static const char *admin_text(const struct admin_request *request, const char *key)
{
    return sl_answer_text(request->body, key);
}

/* A topology's name may be left out while only one runs. NULL: err. */
static const char *admin_topology(const struct admin_request *request, struct sl_err *err)
{
    const char *name = admin_text(request, "topology");

    if (name != NULL)
        return name;
    if (sl_host_topologies_count(request->host) == 1)
        return sl_host_name_at(request->host, 0);
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "several topologies run here; name one");
    return NULL;
}

/* ---- resume --source-changed ---- */

struct admin_resume {
    const char *partition;
    uint32_t named;
    int status;
    struct sl_err *err;
};

static void admin_resume_each(void *user, struct sl_slot *slot)
{
    struct admin_resume *resume = user;

    if (resume->status == 0)
        resume->status = sl_slot_resume_changed(slot, resume->partition, &resume->named, resume->err);
}

static int admin_source_changed(struct admin_request *request, struct sl_err *err)
{
    const char *topology = admin_topology(request, err);
    struct admin_resume resume = {.partition = admin_text(request, "source_changed"), .err = err};

    if (topology == NULL)
        return -(int)err->code;
    if (sl_host_ask(request->host, topology, admin_resume_each, &resume, err) != 0 || resume.status != 0)
        return -(int)err->code;
    if (resume.named == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "topology %s has no partition %s in this process; `sluice status` lists those that it has", topology,
                       resume.partition);
    sl_json_out_key(request->out, "said");
    sl_json_out_printf(request->out, "topology %s: partition %s begins again, as a source of its own", topology, resume.partition);
    return 0;
}

/* ---- replay --dead ---- */

static int admin_replay(struct admin_request *request, struct sl_err *err)
{
    const char *name = admin_topology(request, err), *since = admin_text(request, "since_unix_ms");
    struct sl_replay_filter filter = {admin_text(request, "stage"), admin_text(request, "reason"),
                                      since == NULL ? 0 : (int64_t)strtoll(since, NULL, 10)};
    struct sl_replay_result result;
    struct sl_buf text = {0};

    if (name == NULL)
        return -(int)err->code;
    for (uint32_t t = 0; t < sl_host_topologies_count(request->host); t++) {
        int status;
        if (strcmp(sl_host_name_at(request->host, t), name) != 0)
            continue;
        sl_host_hold(request->host);
        status = sl_replay_send(request->host, sl_host_topology_at(request->host, t), &filter, &result, err);
        if (status == 0)
            sl_replay_say(sl_host_topology_at(request->host, t), &result, &text);
        sl_host_let(request->host);
        if (status != 0)
            return status;
        sl_json_out_str_at(request->out, "said", sl_buf_str(&text));
        sl_json_out_u64_at(request->out, "sent", result.sent);
        sl_buf_fini(&text);
        return 0;
    }
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no topology %s runs here", name);
}

/* ---- deployments: the deployer writes the whole answer ---- */

static int admin_deploy(struct admin_request *request, struct sl_err *err)
{
    const struct sl_yaml *sets = sl_answer_list(request->body, "set");
    struct sl_deploy_request deploy = {.file = admin_text(request, "file"), .plan = admin_text(request, "plan")};
    const char *texts[ADMIN_SETS_MAX];

    if (deploy.file == NULL || deploy.file[0] != '/')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "file: write the absolute path of the topology's file, as the server sees it");
    if (sets != NULL && sets->count > ADMIN_SETS_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "set: %u settings; at most %d are taken", sets->count, (int)ADMIN_SETS_MAX);
    for (uint32_t i = 0; sets != NULL && i < sets->count; i++) {
        if (sets->items[i].value->kind != SL_YAML_SCALAR)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "set: each is one text, PATH=VALUE");
        texts[deploy.sets_count++] = sets->items[i].value->text;
    }
    deploy.sets = texts;
    return sl_deployer_deploy(request->admin->deployer, &deploy, &request->who, request->json);
}

static int admin_promote(struct admin_request *request, struct sl_err *err)
{
    const char *text = admin_text(request, "share"), *by = admin_text(request, "by");
    char *end = NULL;
    double share = text == NULL ? 1 : strtod(text, &end);

    if (text != NULL && (end == text || *end != '\0' || !(share > 0 && share <= 1)))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "share: %.40s is not above 0 and at most 1", text);
    if (by != NULL && strcmp(by, "key") != 0 && strcmp(by, "partition") != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "by: \"%.40s\" is not key or partition", by);
    return sl_deployer_promote(request->admin->deployer, admin_text(request, "topology"), share,
                               by != NULL && strcmp(by, "partition") == 0 ? SL_SPLIT_PARTITION : SL_SPLIT_KEY, &request->who,
                               request->json);
}

static int admin_rollback(struct admin_request *request, struct sl_err *err)
{
    (void)err;
    return sl_deployer_rollback(request->admin->deployer, admin_text(request, "topology"), &request->who, request->json);
}

static int admin_shadow(struct admin_request *request, struct sl_err *err)
{
    const char *what = admin_text(request, "do"), *topology = admin_text(request, "topology");

    if (what != NULL && strcmp(what, "diff") == 0)
        return sl_deployer_shadow_diff(request->admin->deployer, topology, request->json);
    if (what == NULL || (strcmp(what, "start") != 0 && strcmp(what, "stop") != 0))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "do: write start, stop or diff");
    return sl_deployer_shadow(request->admin->deployer, topology, strcmp(what, "start") == 0, &request->who, request->json);
}

static int admin_history(struct admin_request *request, struct sl_err *err)
{
    (void)err;
    return sl_deployer_history(request->admin->deployer, admin_text(request, "topology"), request->json);
}

static int admin_pause(struct admin_request *request, struct sl_err *err)
{
    (void)err;
    return sl_deployer_pause(request->admin->deployer, admin_text(request, "topology"), true, &request->who, request->json);
}

static int admin_resume(struct admin_request *request, struct sl_err *err)
{
    (void)err;
    return sl_deployer_pause(request->admin->deployer, admin_text(request, "topology"), false, &request->who, request->json);
}

static int admin_drain(struct admin_request *request, struct sl_err *err)
{
    (void)err;
    return sl_deployer_drain(request->admin->deployer, admin_text(request, "topology"), &request->who, request->json);
}

/* ---- the table ---- */

struct admin_row {
    const char *name;
    const char *key; /* only where the request has this member; NULL: always */
    int (*run)(struct admin_request *request, struct sl_err *err);
    bool deploys; /* by the deployer: it needs no lock, and its answer is whole */
};

static const struct admin_row admin_rows[] = {
    {"resume", "source_changed", admin_source_changed, false},
    {"replay", NULL, admin_replay, false},
    {"deploy", NULL, admin_deploy, true},
    {"promote", NULL, admin_promote, true},
    {"rollback", NULL, admin_rollback, true},
    {"shadow", NULL, admin_shadow, true},
    {"history", NULL, admin_history, true},
    {"pause", NULL, admin_pause, true},
    {"resume", NULL, admin_resume, true},
    {"drain", NULL, admin_drain, true},
};
static pthread_mutex_t admin_lock = PTHREAD_MUTEX_INITIALIZER; /* of commands that do not deploy */

static void admin_fail(struct sl_buf *json, const struct sl_err *err)
{
    struct sl_json_out out;

    sl_buf_reset(json);
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "error", err->text);
    sl_json_out_end_object(&out);
}

static int admin_run_deploys(struct admin_request *request, const struct admin_row *row, struct sl_err *err)
{
    if (request->admin->deployer == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "this process deploys nothing");
    return row->run(request, err);
}

static int admin_run_alone(struct admin_request *request, const struct admin_row *row, struct sl_err *err)
{
    struct sl_json_out out;
    int status;

    sl_json_out_init(&out, request->json);
    sl_json_out_object(&out);
    request->out = &out;
    (void)pthread_mutex_lock(&admin_lock);
    status = row->run(request, err);
    (void)pthread_mutex_unlock(&admin_lock);
    if (status == 0)
        sl_json_out_end_object(&out);
    return status;
}

static int admin_run(struct admin_request *request, const char *name, struct sl_err *err)
{
    for (size_t i = 0; i < sizeof(admin_rows) / sizeof(admin_rows[0]); i++) {
        const struct admin_row *row = &admin_rows[i];
        if (strcmp(row->name, name) != 0 || (row->key != NULL && admin_text(request, row->key) == NULL))
            continue;
        return row->deploys ? admin_run_deploys(request, row, err) : admin_run_alone(request, row, err);
    }
    return 1;
}

int sl_admin_command(const struct sl_admin *admin, const struct sl_control_who *who, const char *name, const char *body,
                     struct sl_buf *json)
{
    struct admin_request request = {.admin = admin, .host = admin->host, .who = {.uid = who->local ? (int64_t)who->uid : -1}, .json = json};
    struct sl_answer asked;
    struct sl_err err = {0};
    int status;

    (void)snprintf(request.who.text, sizeof(request.who.text), "%s", who->text);
    if (body[0] == '\0')
        body = "{}";
    sl_answer_read(&asked, body, strlen(body));
    request.body = asked.root;
    if (request.body == NULL)
        status = sl_fail(&err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the request is no JSON object");
    else
        status = admin_run(&request, name, &err);
    if (status < 0 && err.text[0] != '\0')
        admin_fail(json, &err);
    sl_answer_fini(&asked);
    return status > 0 ? 1 : status == 0 ? 0 : -1;
}

/* ---- watching ---- */

struct admin_watch {
    struct sl_control_stream stream; /* first */
    struct sl_watch *watch;
};

static int64_t admin_watch_read(struct sl_control_stream *self, char *to, size_t bytes)
{
    struct admin_watch *stream = (struct admin_watch *)(void *)self;

    return sl_watch_read(stream->watch, to, bytes, ADMIN_WATCH_MS);
}

static void admin_watch_close(struct sl_control_stream *self)
{
    struct admin_watch *stream = (struct admin_watch *)(void *)self;

    stream->watch = sl_watch_close(stream->watch);
    free(stream);
}

int sl_admin_watch(const struct sl_admin *admin, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct admin_watch *stream = calloc(1, sizeof(*stream));
    struct sl_err err = {0};
    int status;

    if (admin->deployer == NULL)
        status = sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "this process deploys nothing");
    else if (stream == NULL)
        status = sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    else
        status = sl_deployer_watch(admin->deployer, path[0] == '\0' ? NULL : path, &stream->watch, &err);
    if (status != 0) {
        free(stream);
        admin_fail(json, &err);
        return status;
    }
    stream->stream = (struct sl_control_stream){admin_watch_read, admin_watch_close};
    *ret_stream = &stream->stream;
    return 0;
}
