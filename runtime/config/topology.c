/* topology.c: a topology file into struct sl_topology: settings, components, wiring, digest.
 * Every problem found is reported; what comes back has none.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/topology.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/kept.h"
#include "runtime/config/pool.h"
#include "runtime/config/process.h"
#include "runtime/config/set.h"
#include "runtime/config/units.h"

struct topology_owner {
    struct sl_topology topology; /* first: what users hold */
    struct sl_pool pool;
};

/* ---- top level ---- */

struct topology_settings {
    const char *name;
    uint64_t memory, consumers, max_age, max_future;
    struct {
        int mode;
        const char *topic;
        uint64_t every;
    } commit;
};

static const char *const commit_mode_words[] = {"auto", "transaction", "offsets", NULL};

#define AT(member) .offset = offsetof(struct topology_settings, member)
#define SUB(member, first)                                                                         \
    .offset = offsetof(struct topology_settings, member) - offsetof(struct topology_settings, first)

static const struct sl_field commit_fields[] = {
    {.name = "mode",
     .type = SL_F_ENUM,
     SUB(commit.mode, commit),
     .def = "auto",
     .values = commit_mode_words,
     .help = "transaction: exactly once; offsets: at least once, without transactions; auto: what "
             "the sinks need."},
    {.name = "topic",
     .type = SL_F_STRING,
     SUB(commit.topic, commit),
     .def = "sluice-commits",
     .min = "1",
     .max = "249",
     .help = "The compacted Kafka topic that holds marks and flush entries."},
    {.name = "every",
     .type = SL_F_DURATION,
     SUB(commit.every, commit),
     .min = "10ms",
     .max = "1h",
     .help = "The rhythm of commits; 1s, or 10s with an exactly-once Kafka sink."},
    {0}};

const struct sl_field sl_topology_fields[] = {
    {.name = "name",
     .type = SL_F_STRING,
     .flags = SL_F_REQUIRED,
     AT(name),
     .help = "What this topology is called: 1 to 64 of A-Z a-z 0-9 _ -."},
    {.name = "memory",
     .type = SL_F_BYTES,
     AT(memory),
     .min = "8MiB",
     .max = "1024TiB",
     .help = "Memory of this topology; without it an equal part of the process's."},
    {.name = "consumers",
     .type = SL_F_U64,
     AT(consumers),
     .min = "1",
     .max = "256",
     .help = "How many worker threads read; without it the smaller of workers and partitions / 4, "
             "at least 1."},
    {.name = "commit",
     .type = SL_F_STRUCT,
     AT(commit),
     .sub = commit_fields,
     .help = "How progress is made durable."},
    {.name = "max_age",
     .type = SL_F_DURATION,
     AT(max_age),
     .def = "30d",
     .min = "1m",
     .help = "A record older than this against its append time has no plausible time of its own."},
    {.name = "max_future",
     .type = SL_F_DURATION,
     AT(max_future),
     .def = "1h",
     .min = "1s",
     .help = "A record newer than this against its append time has no plausible time of its own."},
    {0}};

static void topology_refuse(struct sl_draft *draft, const struct sl_yaml *root, const char *key,
                            const char *remedy, const char *problem)
{
    const struct sl_yaml_item *item = root->kind == SL_YAML_MAP ? sl_yaml_find(root, key) : NULL;

    sl_diags_add(draft->bind.diags, false, draft->bind.file,
                 item == NULL ? root->line : item->value->line,
                 item == NULL ? root->column : item->value->column, remedy, "%s: %s", key, problem);
}

static void topology_check_settings(struct sl_draft *draft, const struct sl_yaml *root,
                                    const struct topology_settings *settings)
{
    const struct sl_process_config *process = draft->process;

    if (settings->name != NULL && !sl_bind_is_name(settings->name))
        topology_refuse(
            draft, root, "name", "write 1 to 64 of A-Z a-z 0-9 _ -",
            sl_pool_printf(draft->bind.pool, "\"%.80s\" is not a name", settings->name));
    if (process != NULL && settings->memory > process->memory_bytes) {
        char has[SL_UNITS_TEXT];
        sl_bytes_print(process->memory_bytes, has);
        topology_refuse(
            draft, root, "memory", "write less here, or more memory: in sluice.yaml",
            sl_pool_printf(draft->bind.pool, "this is more than the %s of the whole process", has));
    }
}

static void topology_settings(struct sl_draft *draft, const struct sl_yaml *root,
                              struct sl_topology *topology)
{
    static const char *const own[] = {"sources", "operators", "sinks", "dead_letters", NULL};
    struct topology_settings *settings = sl_pool_alloc(draft->bind.pool, sizeof(*settings));
    const struct sl_bind_part part = {sl_topology_fields, settings};
    const struct sl_bind_map map = {.parts = &part,
                                    .parts_count = 1,
                                    .own = own,
                                    .later = sl_later_topology,
                                    .setting = "",
                                    .extensions = true};

    (void)sl_bind_fill(&draft->bind, &map, root);
    topology_check_settings(draft, root, settings);
    topology->name = settings->name;
    topology->memory_bytes = settings->memory;
    topology->consumers = (uint32_t)settings->consumers;
    topology->commit_mode = settings->commit.mode;
    topology->commit_topic = settings->commit.topic;
    topology->commit_every_ns = settings->commit.every;
    topology->max_age_ns = settings->max_age;
    topology->max_future_ns = settings->max_future;
    topology->written = root;
    topology->settings = settings;
}

/* ---- components ---- */

static uint32_t topology_section(struct sl_draft *draft, const struct sl_yaml *root,
                                 const char *section, enum sl_role role)
{
    const struct sl_yaml_item *item = sl_yaml_find(root, section);
    const struct sl_yaml *map = item == NULL ? NULL : item->value;

    if (map == NULL || (role == SL_OPERATOR && sl_yaml_is_null(map)))
        return 0;
    if (map->kind != SL_YAML_MAP) {
        topology_refuse(draft, root, section, "write NAME: { type: …, … } below it",
                        sl_pool_printf(draft->bind.pool, "%s is not a mapping of names",
                                       sl_bind_found(&draft->bind, map)));
        return 1; /* said already: not also "there is none" */
    }
    for (uint32_t i = 0; i < map->count; i++)
        sl_draft_add(draft, role, map->items[i].key, &map->items[i],
                     sl_pool_printf(draft->bind.pool, "%s.%.80s", section, map->items[i].key));
    return map->count;
}

/* Without the key: files below dead/TOPOLOGY, so that the topologies of a process do not share a zone. */
static void topology_dead_letters(struct sl_draft *draft, const struct sl_yaml *root)
{
    static const struct sl_yaml type = {.kind = SL_YAML_SCALAR, .text = "files"},
                                other = {.kind = SL_YAML_SCALAR, .text = "dead"};
    const struct sl_yaml_item *name = sl_yaml_find(root, "name");
    struct sl_yaml *dir = sl_pool_alloc(draft->bind.pool, sizeof(*dir));
    const struct sl_yaml_item *item = sl_yaml_find(root, SL_DEAD_LETTERS);
    struct sl_yaml_item *items = sl_pool_alloc(draft->bind.pool, 2 * sizeof(*items));
    struct sl_yaml *map = sl_pool_alloc(draft->bind.pool, sizeof(*map));
    struct sl_yaml_item none = {
        .key = SL_DEAD_LETTERS, .key_line = root->line, .key_column = root->column, .value = map};

    items[0] = (struct sl_yaml_item){.key = "type", .value = &type};
    *dir = other;
    if (name != NULL && name->value->kind == SL_YAML_SCALAR)
        dir->text = sl_pool_printf(draft->bind.pool, "dead/%.64s", name->value->text);
    items[1] = (struct sl_yaml_item){.key = "dir", .value = dir};
    *map = (struct sl_yaml){.kind = SL_YAML_MAP,
                            .items = items,
                            .count = 2,
                            .line = root->line,
                            .column = root->column};
    sl_draft_add(draft, SL_SINK, SL_DEAD_LETTERS, item == NULL ? &none : item, SL_DEAD_LETTERS);
}

static void topology_components(struct sl_draft *draft, const struct sl_yaml *root)
{
    if (topology_section(draft, root, "sources", SL_SOURCE) == 0)
        topology_refuse(draft, root, "sources",
                        "add sources: with at least one, such as in: { type: stdin }",
                        "there is no source");
    (void)topology_section(draft, root, "operators", SL_OPERATOR);
    if (topology_section(draft, root, "sinks", SL_SINK) == 0)
        topology_refuse(
            draft, root, "sinks",
            "add sinks: with at least one, such as out: { type: stdout, inputs: [NAME] }",
            "there is no sink");
    topology_dead_letters(draft, root);
    sl_draft_check_was(draft);
    sl_draft_wire(draft);
    sl_draft_encodings(draft);
    sl_draft_check_derived(draft);
}

/* ---- the result ---- */

/* A topology's own memory: is judged here, where the file can be pointed at; the process's by
 * whoever starts it. */
static void topology_check_memory(struct sl_draft *draft, const struct sl_yaml *root,
                                  const struct sl_topology *topology)
{
    uint64_t max_record_bytes = draft->process == NULL || draft->process->max_record_bytes == 0
                                    ? SL_BATCH_BYTES
                                    : draft->process->max_record_bytes;
    struct sl_memory_plan plan;
    struct sl_err err;
    char *remedy;

    if (topology->memory_bytes == 0 ||
        sl_topology_memory(topology, 0, 1, max_record_bytes, &plan, &err) == 0)
        return;
    remedy = strstr(err.text, "; ");
    assert(remedy != NULL);
    *remedy = '\0';
    topology_refuse(draft, root, "memory", remedy + 2, err.text + strlen("memory: "));
}

static int topology_by_setting(const void *a, const void *b)
{
    const struct sl_input_file *one = a, *other = b;

    return strcmp(one->setting, other->setting);
}

/* What of them a generation's folder takes: each file once. */
static void topology_inputs(struct sl_draft *draft, struct sl_topology *topology)
{
    struct sl_inputs *inputs = draft->bind.inputs;

    if (inputs->count > 0)
        qsort(inputs->items, inputs->count, sizeof(*inputs->items), topology_by_setting);
    for (uint32_t i = 0; i < inputs->count; i++)
        for (uint32_t other = 0; other < i && inputs->items[i].kept != NULL; other++)
            if (inputs->items[other].kept != NULL && strcmp(inputs->items[other].kept, inputs->items[i].kept) == 0)
                inputs->items[i].kept = NULL;
    topology->inputs = inputs->items;
    topology->inputs_count = inputs->count;
}

static void topology_finish(struct sl_draft *draft, struct sl_topology *topology)
{
    uint32_t *counts[] = {[SL_SOURCE] = &topology->sources_count,
                          [SL_OPERATOR] = &topology->operators_count,
                          [SL_SINK] = &topology->sinks_count};

    sl_draft_order(draft);
    topology->components =
        sl_pool_alloc(draft->bind.pool, draft->count * sizeof(*topology->components));
    topology->components_count = draft->count;
    for (uint32_t i = 0; i < draft->count; i++) {
        struct sl_component *component = &draft->items[i].component;
        for (uint32_t k = 0; k < component->inputs_count; k++)
            component->inputs[k].component = draft->items[component->inputs[k].component].order;
        if (component->line >= (uint32_t)SL_SET_LINE)
            component->line = component->column = 0; /* not in the file */
        topology->components[draft->items[i].order] = *component;
        (*counts[component->role])++;
    }
    topology->dead_letters = (int)draft->count - 1;
    assert(strcmp(topology->components[topology->dead_letters].name, SL_DEAD_LETTERS) == 0);
    sl_draft_digest(draft, topology);
    topology_inputs(draft, topology);
}

/* Absolute, so that a change of folder later does not matter; the path as given where it does not
 * exist. */
static void topology_place(struct topology_owner *owner, const char *path)
{
    char *real = realpath(path, NULL);
    const char *whole =
        sl_pool_text(&owner->pool, real == NULL ? path : real, strlen(real == NULL ? path : real));
    const char *slash = strrchr(whole, '/');

    free(real);
    owner->topology.path = whole;
    owner->topology.base_dir = slash == NULL ? "."
                               : slash == whole
                                   ? "/"
                                   : sl_pool_text(&owner->pool, whole, (size_t)(slash - whole));
}

static void topology_read(struct topology_owner *owner, struct sl_draft *draft,
                          const struct sl_yaml *root)
{
    if (root->kind != SL_YAML_MAP) {
        sl_diags_add(draft->bind.diags, false, draft->bind.file, root->line, root->column,
                     "write name:, sources: and sinks:", "a topology is a mapping, not %s",
                     sl_bind_found(&draft->bind, root));
        return;
    }
    topology_settings(draft, root, &owner->topology);
    topology_components(draft, root);
    sl_draft_check_domain(draft);
    if (owner->topology.commit_mode == SL_COMMIT_OFFSETS)
        sl_diags_add(draft->bind.diags, true, draft->bind.file, root->line, root->column,
                     "leave mode out where the brokers have transactions",
                     "commit.mode: offsets is at least once: after a crash files and records may hold some twice");
}

/* What a load is given beside the file: of a generation its folder and its origin. */
struct topology_load {
    const char *path, *kept_dir;
    const struct sl_strings *sets;
    const struct sl_registry *registry;
    const struct sl_process_config *process;
};

/* The caller's texts need not live as long as the topology. */
static void topology_sets(struct topology_owner *owner, const struct sl_strings *sets)
{
    const char **items = sl_pool_alloc(&owner->pool, (sets->count + 1) * sizeof(*items));

    for (uint32_t i = 0; i < sets->count; i++)
        items[i] = sl_pool_text(&owner->pool, sets->items[i], strlen(sets->items[i]));
    owner->topology.sets = (struct sl_strings){items, sets->count};
}

static bool topology_origin(struct topology_owner *owner, const struct topology_load *load, struct sl_diags *diags)
{
    struct sl_err err;
    char *remedy;

    if (load->kept_dir == NULL)
        return topology_sets(owner, load->sets), true;
    if (sl_kept_origin_read(&owner->pool, load->kept_dir, &owner->topology.base_dir, &owner->topology.sets, &err) == 0)
        return true;
    remedy = strstr(err.text, "; ");
    assert(remedy != NULL);
    *remedy = '\0';
    sl_diags_add(diags, false, sl_pool_printf(&owner->pool, "%s/" SL_KEPT_ORIGIN, load->kept_dir), 0, 0, remedy + 2, "%s", err.text);
    return false;
}

static bool topology_load(struct topology_owner *owner, const struct topology_load *load, struct sl_diags *diags)
{
    uint32_t errors = diags->errors, first = diags->count;
    struct sl_inputs inputs = {.count = 0};
    const struct sl_yaml *root;
    struct sl_draft draft;

    topology_place(owner, load->path);
    if (!topology_origin(owner, load, diags))
        return false;
    owner->topology.connections = load->process == NULL ? NULL : load->process->connections;
    owner->topology.connections_count = load->process == NULL ? 0 : load->process->connections_count;
    draft = (struct sl_draft){.bind = {.pool = &owner->pool,
                                       .diags = diags,
                                       .file = load->path,
                                       .base_dir = owner->topology.base_dir,
                                       .kept_dir = load->kept_dir,
                                       .inputs = &inputs},
                              .registry = load->registry,
                              .process = load->process};
    root = sl_yaml_load(&owner->pool, load->path, diags);
    if (root != NULL && root->kind == SL_YAML_MAP)
        root = sl_set_apply(&owner->pool, root, &owner->topology.sets, diags);
    if (root != NULL)
        topology_read(owner, &draft, root);
    if (root != NULL && diags->errors == errors) {
        topology_finish(&draft, &owner->topology);
        topology_check_memory(&draft, root, &owner->topology);
    }
    sl_set_name_diags(&owner->topology.sets, diags, first);
    return root != NULL && diags->errors == errors;
}

static int topology_new(const struct topology_load *load, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    struct topology_owner *owner = calloc(1, sizeof(*owner));

    if (owner == NULL) {
        sl_diags_add(diags, false, load->path, 0, 0, "free some memory", "no memory for a topology");
        return -(int)SL_E_LIMIT;
    }
    sl_pool_init(&owner->pool);
    if (!topology_load(owner, load, diags)) {
        (void)sl_topology_free(&owner->topology);
        return -(int)SL_E_CONFIG;
    }
    *ret_topology = &owner->topology;
    return 0;
}

int sl_topology_load_set(const char *path, const struct sl_strings *sets, const struct sl_registry *registry,
                         const struct sl_process_config *process, struct sl_diags *diags, struct sl_topology **ret_topology)
{
    static const struct sl_strings none = {NULL, 0};
    const struct topology_load load = {
        .path = path, .sets = sets == NULL ? &none : sets, .registry = registry, .process = process};

    return topology_new(&load, diags, ret_topology);
}

int sl_topology_load(const char *path, const struct sl_registry *registry, const struct sl_process_config *process,
                     struct sl_diags *diags, struct sl_topology **ret_topology)
{
    return sl_topology_load_set(path, NULL, registry, process, diags, ret_topology);
}

int sl_topology_load_kept(const char *dir, const struct sl_registry *registry, const struct sl_process_config *process,
                          struct sl_diags *diags, struct sl_topology **ret_topology)
{
    struct topology_load load = {.kept_dir = dir, .registry = registry, .process = process};
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/" SL_KEPT_TOPOLOGY, dir) >= (int)sizeof(path)) {
        sl_diags_add(diags, false, dir, 0, 0, "use a data_dir with a shorter path", "the path is too long");
        return -(int)SL_E_CONFIG;
    }
    load.path = path;
    return topology_new(&load, diags, ret_topology);
}

struct sl_topology *sl_topology_free(struct sl_topology *topology)
{
    union { /* the topology is the first member of its owner */
        struct sl_topology *topology;
        struct topology_owner *owner;
    } u = {.topology = topology};

    if (topology == NULL)
        return NULL;
    sl_pool_fini(&u.owner->pool);
    free(u.owner);
    return NULL;
}
