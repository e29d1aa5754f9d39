/* admin.c: the commands that a running process takes, as a table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/answer.h"
#include "runtime/cli/replay/replay.h"
#include "runtime/engine/host.h"

struct admin_request {
    struct sl_host *host;
    const struct sl_control_who *who;
    const struct sl_yaml *body;
    struct sl_json_out *out; /* inside the answer's object */
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

static int admin_resume(struct admin_request *request, struct sl_err *err)
{
    const char *topology = admin_topology(request, err);
    struct admin_resume resume = {.partition = admin_text(request, "source_changed"), .err = err};

    if (topology == NULL)
        return -(int)err->code;
    if (resume.partition == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "source_changed: missing; name the partition, TOPIC:NUMBER");
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

static const struct {
    const char *name;
    int (*run)(struct admin_request *request, struct sl_err *err);
} admin_commands[] = {
    {"resume", admin_resume},
    {"replay", admin_replay},
};

static int admin_run(struct admin_request *request, int (*run)(struct admin_request *request, struct sl_err *err), const char *body,
                     struct sl_buf *json)
{
    struct sl_json_out out;
    struct sl_err err = {0};
    struct sl_answer asked;
    int status;

    if (body[0] == '\0')
        body = "{}";
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    request->out = &out;
    sl_answer_read(&asked, body, strlen(body));
    request->body = asked.root;
    if (request->body == NULL)
        status = sl_fail(&err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the request is no JSON object");
    else
        status = run(request, &err);
    if (status != 0)
        sl_json_out_str_at(&out, "error", err.text);
    sl_json_out_end_object(&out);
    sl_answer_fini(&asked);
    return status == 0 ? 0 : -1;
}

int sl_admin_command(const struct sl_admin *admin, const struct sl_control_who *who, const char *name, const char *body,
                     struct sl_buf *json)
{
    struct admin_request request = {.host = admin->host, .who = who};

    for (size_t i = 0; i < sizeof(admin_commands) / sizeof(admin_commands[0]); i++)
        if (strcmp(admin_commands[i].name, name) == 0)
            return admin_run(&request, admin_commands[i].run, body, json);
    return 1;
}
