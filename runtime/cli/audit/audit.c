/* audit.c: `sluice audit`: reads source and landing zone again and proves that each record came out once: manifests tile, files
 * are what manifests say, and what the topology makes of the same ranges now is what the files hold.
 *
 * It changes nothing: the data folder is seen through an overlay and held by a shared lock, so that no server starts meanwhile;
 * a Kafka source is read by a group of its own that never commits, so there the server may run on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/audit/audit.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/cli/commands.h"
#include "runtime/cli/overlay.h"
#include "runtime/engine/op.h"

/* ---- small things ---- */

void *audit_realloc(void *memory, size_t bytes)
{
    void *grown = realloc(memory, bytes > 0 ? bytes : 1);

    if (grown == NULL) {
        (void)fputs("sluice audit: no memory\n", stderr);
        exit(SL_EXIT_FAILED);
    }
    return grown;
}

void *audit_alloc(size_t bytes)
{
    return memset(audit_realloc(NULL, bytes), 0, bytes > 0 ? bytes : 1);
}

void audit_say(struct audit *audit, enum audit_severity severity, const char *kind, const char *format, ...)
{
    struct audit_finding *finding;
    va_list args;

    audit->findings = audit_realloc(audit->findings, (audit->findings_count + 1) * sizeof(*audit->findings));
    finding = &audit->findings[audit->findings_count++];
    *finding = (struct audit_finding){severity, kind, NULL};
    va_start(args, format);
    if (vasprintf(&finding->text, format, args) < 0)
        finding->text = NULL;
    va_end(args);
    audit->errors += severity == AUDIT_ERROR;
}

void audit_progress(struct audit *audit, const char *what, uint64_t done, uint64_t all)
{
    if (!isatty(fileno(audit->cli->err)))
        return;
    if (what == NULL)
        (void)fputs("\r\033[K", audit->cli->err);
    else if (all > 0)
        (void)fprintf(audit->cli->err, "\r\033[K%s: %llu of %llu", what, (unsigned long long)done, (unsigned long long)all);
    else
        (void)fprintf(audit->cli->err, "\r\033[K%s: %llu", what, (unsigned long long)done);
    (void)fflush(audit->cli->err);
}

uint32_t audit_sink_of(const struct audit *audit, const char *component)
{
    for (uint32_t s = 0; s < audit->sinks_count; s++)
        if (strcmp(audit->sinks[s].name, component) == 0)
            return s;
    return UINT32_MAX;
}

const void *audit_setting(const struct sl_component *component, const char *name, enum sl_field_type type)
{
    for (const struct sl_field *field = component->head->fields; field != NULL && field->name != NULL; field++)
        if (field->type == type && strcmp(field->name, name) == 0)
            return (const char *)component->config + field->offset;
    return NULL;
}

bool audit_is_kafka(const struct sl_component *component)
{
    return component->role == SL_SOURCE &&
           (((const struct sl_source_kind *)(const void *)component->head)->flags & SL_SOURCE_KAFKA) != 0;
}

bool audit_joins(const struct sl_component *component)
{
    const struct sl_source_kind *kind = (const struct sl_source_kind *)(const void *)component->head;

    return component->role == SL_SOURCE && kind->config_flags != NULL && (kind->config_flags(component->config) & SL_SOURCE_JOINS) != 0;
}

const char *audit_partition_name(const struct audit_partition *partition)
{
    static char texts[4][512];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    size_t id_bytes = strlen(partition->id);

    if (id_bytes == 32) /* a file: its path says more than its id */
        (void)snprintf(text, sizeof(texts[0]), "%s %s (file %.8s)", partition->source, partition->topic, partition->id);
    else if (strcmp(partition->source, partition->topic) == 0)
        (void)snprintf(text, sizeof(texts[0]), "%s %s", partition->source, partition->id);
    else
        (void)snprintf(text, sizeof(texts[0]), "%s %s %s", partition->source, partition->topic, partition->id);
    return text;
}

struct audit_partition *audit_partition_of(struct audit *audit, const char *source, const char *topic, const char *id,
                                           uint32_t incarnation)
{
    struct audit_partition *partition;

    for (uint32_t p = audit->partitions_count; p > 0; p--) {
        partition = audit->partitions[p - 1];
        if (partition->incarnation == incarnation && strcmp(partition->id, id) == 0 && strcmp(partition->topic, topic) == 0 &&
            strcmp(partition->source, source) == 0)
            return partition;
    }
    partition = audit_alloc(sizeof(*partition));
    partition->source = strdup(source);
    partition->topic = strdup(topic);
    partition->id = strdup(id);
    partition->incarnation = incarnation;
    partition->component = UINT32_MAX;
    partition->lanes = audit_alloc(audit->sinks_count * sizeof(*partition->lanes));
    for (uint32_t c = 0; c < audit->topology->sources_count; c++)
        if (strcmp(audit->topology->components[c].name, source) == 0)
            partition->component = c;
    audit->partitions = audit_realloc(audit->partitions, (audit->partitions_count + 1) * sizeof(partition));
    audit->partitions[audit->partitions_count++] = partition;
    return partition;
}

/* ---- opening ---- */

static void audit_print_diags(struct audit *audit, const struct sl_diags *diags)
{
    for (uint32_t i = 0; i < diags->count; i++)
        (void)fprintf(audit->cli->err, "%s:%u:%u: %s\n    %s\n", diags->items[i].file, diags->items[i].line, diags->items[i].column,
                      diags->items[i].text, diags->items[i].remedy != NULL ? diags->items[i].remedy : "");
}

static int audit_load(struct audit *audit)
{
    struct sl_diags diags;
    int status = SL_EXIT_OK;

    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(audit->cli), &diags, &audit->process) != 0 ||
        sl_topology_load(audit->cli->args[0], audit->cli->registry, audit->process, &diags, &audit->topology) != 0) {
        audit_print_diags(audit, &diags);
        status = SL_EXIT_FAILED;
    }
    sl_diags_fini(&diags);
    return status;
}

/* A landing zone is a sink whose files exist only once committed and that has a folder of its own. */
static bool audit_is_zone(const struct sl_component *component)
{
    const struct sl_sink_kind *kind = (const struct sl_sink_kind *)(const void *)component->head;

    return component->role == SL_SINK && (sl_sink_flags_of(kind, component->config) & SL_SINK_FLUSHED) &&
           audit_setting(component, "dir", SL_F_OUTPUT_PATH) != NULL;
}

static void audit_take_sinks(struct audit *audit)
{
    const struct sl_topology *topology = audit->topology;

    audit->sinks = audit_alloc(topology->components_count * sizeof(*audit->sinks));
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (audit_is_zone(&topology->components[c]))
            audit->sinks[audit->sinks_count++] =
                (struct audit_sink){.component = c, .name = topology->components[c].name, .dead = (int)c == topology->dead_letters};
}

static void audit_add_dir(struct audit *audit, const char *path, uint32_t sink)
{
    audit->dirs = audit_realloc(audit->dirs, (audit->dirs_count + 1) * sizeof(char *));
    audit->dirs_sink = audit_realloc(audit->dirs_sink, (audit->dirs_count + 1) * sizeof(*audit->dirs_sink));
    audit->dirs[audit->dirs_count] = strdup(path);
    audit->dirs_sink[audit->dirs_count++] = sink;
}

/* The sinks' own folders; a sink of which parts are named on the command line is looked for there alone. */
static void audit_own_dirs(struct audit *audit)
{
    for (uint32_t s = 0; s < audit->sinks_count; s++) {
        const char *const *dir = audit_setting(&audit->topology->components[audit->sinks[s].component], "dir", SL_F_OUTPUT_PATH);
        char path[PATH_MAX];
        struct sl_fs_stat stat;
        bool named = false;
        for (uint32_t d = 0; d < audit->dirs_count; d++)
            named = named || audit->dirs_sink[d] == s;
        if (named || snprintf(path, sizeof(path), "%s%s%s", (*dir)[0] == '/' ? "" : audit->data_dir, (*dir)[0] == '/' ? "" : "/",
                              *dir) >= (int)sizeof(path))
            continue;
        if (audit->fs->stat(audit->fs, path, &stat) == 0 && stat.is_dir)
            audit_add_dir(audit, path, s);
    }
}

/* Of several hosts' landing folders, those of some sink may be left out as a whole. */
static void audit_skip_sinks(struct audit *audit)
{
    for (uint32_t s = 0; audit->cli->args_count > 1 && s < audit->sinks_count; s++) {
        bool some = false;
        for (uint32_t d = 0; d < audit->dirs_count; d++)
            some = some || audit->dirs_sink[d] == s;
        audit->sinks[s].skipped = !some;
        if (!some)
            audit_say(audit, AUDIT_NOTE, "skipped", "sink %s: none of the folders is a part of its zone; it was not audited",
                      audit->sinks[s].name);
    }
}

/* Which sink a named folder is a part of: its manifests say. */
static int audit_dir_owner(void *user, const struct sl_landing_entry *entry, struct sl_err *err)
{
    struct audit *audit = user;

    (void)err;
    audit->dirs_sink[audit->dirs_count - 1] = audit_sink_of(audit, entry->component);
    return 1;
}

static int audit_named_dirs(struct audit *audit)
{
    struct sl_fs *fs = sl_fs_posix();

    for (uint32_t i = 1; i < audit->cli->args_count; i++) {
        struct sl_err err = {0};
        struct sl_fs_stat stat;
        if (fs->stat(fs, audit->cli->args[i], &stat) != 0 || !stat.is_dir)
            return sl_cli_say(audit->cli, SL_EXIT_FAILED, "no folder %s; name landing folders of the topology's sinks",
                              audit->cli->args[i]);
        audit_add_dir(audit, audit->cli->args[i], UINT32_MAX);
        (void)sl_landing_each(fs, audit->cli->args[i], audit_dir_owner, audit, &err);
    }
    return SL_EXIT_OK;
}

/* Its own sources' topology needs the data folder at rest: the spool is read, and the marks must not move. */
static int audit_lock(struct audit *audit)
{
    char path[PATH_MAX], pid[32] = "";
    ssize_t bytes;

    (void)snprintf(path, sizeof(path), "%s/lock", audit->data_dir);
    audit->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (audit->lock_fd < 0 || flock(audit->lock_fd, LOCK_SH | LOCK_NB) == 0)
        return SL_EXIT_OK;
    bytes = pread(audit->lock_fd, pid, sizeof(pid) - 1, 0);
    pid[bytes > 0 ? strcspn(pid, "\n") : 0] = '\0';
    return sl_cli_say(audit->cli, SL_EXIT_FAILED,
                      "%s is in use by process %s, and this topology's sources lie in it: stop that process, then audit",
                      audit->data_dir, pid[0] != '\0' ? pid : "(unknown)");
}

static bool audit_has_kafka(const struct audit *audit)
{
    for (uint32_t c = 0; c < audit->topology->sources_count; c++)
        if (audit_is_kafka(&audit->topology->components[c]))
            return true;
    return false;
}

static int audit_open(struct audit *audit)
{
    const char *given = sl_cli_option(audit->cli, "data-dir");
    static char data_dir[PATH_MAX];
    struct sl_err err = {0};
    int status;

    if (given == NULL)
        given = audit->process->data_dir;
    if (realpath(given, data_dir) == NULL)
        return sl_cli_say(audit->cli, SL_EXIT_FAILED, "cannot open the data folder %s: %s; name it with --data-dir", given,
                          strerror(errno));
    audit->data_dir = data_dir;
    if (!audit_has_kafka(audit)) {
        status = audit_lock(audit);
        if (status != SL_EXIT_OK)
            return status;
    }
    if (sl_overlay_open(data_dir, &audit->overlay, &err) != 0)
        return sl_cli_say_err(audit->cli, SL_EXIT_FAILED, &err);
    audit->fs = sl_overlay_fs(audit->overlay);
    audit_take_sinks(audit);
    status = audit_named_dirs(audit);
    if (status == SL_EXIT_OK)
        audit_own_dirs(audit);
    audit_skip_sinks(audit);
    return status;
}

static void audit_fini(struct audit *audit)
{
    audit_source_fini(audit);
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        (void)sl_landing_entry_free(audit->flushes[f]->entry);
        sl_ledger_fini(&audit->flushes[f]->account);
        free(audit->flushes[f]->delivered);
        free(audit->flushes[f]);
    }
    for (uint32_t p = 0; p < audit->partitions_count; p++) {
        for (uint32_t s = 0; s < audit->sinks_count; s++)
            free(audit->partitions[p]->lanes[s].tiles);
        free(audit->partitions[p]->lanes);
        free(audit->partitions[p]->source);
        free(audit->partitions[p]->topic);
        free(audit->partitions[p]->id);
        free(audit->partitions[p]);
    }
    for (uint32_t i = 0; i < audit->findings_count; i++)
        free(audit->findings[i].text);
    for (uint32_t d = 0; d < audit->dirs_count; d++)
        free(audit->dirs[d]);
    for (uint32_t i = 0; i < audit->names_count; i++)
        free(audit->names[i].path);
    free(audit->names);
    free(audit->flushes);
    free(audit->partitions);
    free(audit->findings);
    free(audit->dirs);
    free(audit->dirs_sink);
    free(audit->sinks);
    if (audit->overlay != NULL)
        (void)sl_overlay_close(audit->overlay);
    if (audit->lock_fd >= 0)
        (void)close(audit->lock_fd);
    (void)sl_intern_cache_free(audit->interned);
    audit->topology = sl_topology_free(audit->topology);
    audit->process = sl_process_free(audit->process);
}

/* ---- the command ---- */

static int audit_run(struct audit *audit)
{
    struct sl_err err = {0};

    audit_zone_look(audit);
    audit_commit_look(audit);
    audit_zone_load(audit);
    audit_commit_join(audit);
    audit_versions(audit);
    if (audit->flushes_count == 0 && audit->errors == 0)
        return sl_cli_say(audit->cli, SL_EXIT_FAILED,
                          "no manifest of topology %s below %s: nothing has been committed, or the landing "
                          "folders lie elsewhere (name them behind the topology)",
                          audit->topology->name, audit->data_dir);
    audit_tile_all(audit);
    audit_zone_prove(audit);
    if (audit_replay(audit, NULL, NULL, &err) != 0)
        audit_say(audit, AUDIT_ERROR, "replay", "reading the source again failed: %s", err.text);
    else
        audit_compare_all(audit);
    audit_progress(audit, NULL, 0, 0);
    audit_print(audit);
    return audit->errors == 0 ? SL_EXIT_OK : SL_EXIT_FAILED;
}

int sl_command_audit(struct sl_cli *cli)
{
    struct audit audit = {.cli = cli, .lock_fd = -1, .klog = sl_klog_rdkafka(), .interned = sl_intern_cache_new()};
    int status;

    if (audit.interned == NULL)
        return sl_cli_say(cli, SL_EXIT_FAILED, "no memory");
    status = audit_load(&audit);
    if (status == SL_EXIT_OK)
        status = audit_open(&audit);
    if (status == SL_EXIT_OK)
        status = audit_run(&audit);
    audit_fini(&audit);
    return status;
}
