/* component.c: one source, operator or sink of a topology file: its type, its settings, the checks
 * of its kind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/encoding.h"
#include "runtime/config/later.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"
#include "runtime/config/process.h"
#include "runtime/config/set.h"

/* ---- what every sink has ---- */

struct sink_common {
    bool required;
    int when_full; /* SINK_FULL_UNSAID: by `required` */
    struct {
        uint64_t bytes, age;
        int then;
    } queue;
    struct sl_cond *where;
    struct {
        uint64_t backoff_min, backoff_max, deadline;
    } retry;
    struct {
        uint64_t bytes, records, every;
    } batch;
    struct sl_encoding_config encoding;
    int on_refused;
    int require; /* SINK_REQUIRE_UNSAID or 0: reachable */
    const char *was;
};

enum { SINK_FULL_UNSAID = -1, SINK_REQUIRE_UNSAID = -1, SINK_QUEUE_BLOCK = 0, SINK_QUEUE_LOSE = 1 };

static const char *const when_full_words[] = {"wait", "spool", NULL}; /* defer and shed: later.c */
static const char *const queue_then_words[] = {"block", "lose", NULL};
static const char *const on_refused_words[] = {"dead", "drop", NULL};
static const char *const require_words[] = {"reachable", NULL};

#define AT(member) .offset = offsetof(struct sink_common, member)
#define SUB(member, first)                                                                         \
    .offset = offsetof(struct sink_common, member) - offsetof(struct sink_common, first)

static const struct sl_field retry_fields[] = {
    {.name = "backoff_min",
     .type = SL_F_DURATION,
     SUB(retry.backoff_min, retry),
     .def = "100ms",
     .min = "1ms",
     .max = "1h",
     .help = "First pause after a failure; it doubles, with jitter."},
    {.name = "backoff_max",
     .type = SL_F_DURATION,
     SUB(retry.backoff_max, retry),
     .def = "30s",
     .min = "1ms",
     .max = "1h",
     .help = "Longest pause between two tries."},
    {.name = "deadline",
     .type = SL_F_DURATION,
     SUB(retry.deadline, retry),
     .min = "1s",
     .max = "30d",
     .help = "Records that could not be sent for so long are dead letters; default: they are tried for ever."},
    {0}};
static const struct sl_field queue_fields[] = {
    {.name = "bytes",
     .type = SL_F_BYTES,
     SUB(queue.bytes, queue),
     .def = "1GiB",
     .min = "1MiB",
     .max = "1TiB",
     .help = "So much of the disk may the queue of this sink take, over all of the topology's consumers."},
    {.name = "then",
     .type = SL_F_ENUM,
     SUB(queue.then, queue),
     .def = "block",
     .values = queue_then_words,
     .help = "When that is taken. block: reading waits. lose: what comes is not kept for this sink, counted as lost."},
    {.name = "age",
     .type = SL_F_DURATION,
     SUB(queue.age, queue),
     .min = "1s",
     .max = "365d",
     .help = "With then: lose: records that have waited longer are lost, counted. Default: no limit."},
    {0}};
static const struct sl_field batch_fields[] = {
    {.name = "bytes",
     .type = SL_F_BYTES,
     SUB(batch.bytes, batch),
     .def = "4MiB",
     .min = "1KiB",
     .max = "100MiB",
     .help = "A request is sent at this size before compression; at most an eighth of the sink's memory."},
    {.name = "records",
     .type = SL_F_U64,
     SUB(batch.records, batch),
     .def = "50000",
     .min = "1",
     .max = "1000000",
     .help = "Or at so many records."},
    {.name = "every",
     .type = SL_F_DURATION,
     SUB(batch.every, batch),
     .def = "1s",
     .min = "1ms",
     .max = "1h",
     .help = "Or so long after its first record."},
    {0}};
const struct sl_field sl_sink_common_fields[] = {
    {.name = "where",
     .type = SL_F_CONDITION,
     AT(where),
     .help = "Takes only records that this condition holds for."},
    {.name = "required",
     .type = SL_F_BOOL,
     AT(required),
     .def = "true",
     .help = "Offsets are committed only once this sink is done. false: its records are done once they are in its queue on disk."},
    {.name = "when_full",
     .type = SL_F_ENUM,
     AT(when_full),
     .values = when_full_words,
     .help = "When the sink takes nothing. wait (the default): reading waits. spool (the default and only choice with required: "
             "false): its records wait in a queue of its own in the spool, whole and in order, and no other sink waits; not for files "
             "and exactly-once Kafka, whose records exist only with the commit."},
    {.name = "queue",
     .type = SL_F_STRUCT,
     AT(queue),
     .sub = queue_fields,
     .help = "The queue of when_full: spool."},
    {.name = "retry",
     .type = SL_F_STRUCT,
     AT(retry),
     .sub = retry_fields,
     .help = "How failed deliveries are tried again."},
    {.name = "batch",
     .type = SL_F_STRUCT,
     AT(batch),
     .sub = batch_fields,
     .help = "When a request is full; of sinks that send requests (opensearch, http)."},
    {.name = "encoding",
     .type = SL_F_STRUCT,
     AT(encoding),
     .sub = sl_encoding_fields,
     .help = "How a record is written."},
    {.name = "on_refused",
     .type = SL_F_ENUM,
     AT(on_refused),
     .def = "dead",
     .values = on_refused_words,
     .help = "What becomes of a record that the destination refuses for good."},
    {.name = "require",
     .type = SL_F_ENUM,
     AT(require),
     .values = require_words,
     .help = "What must hold before a deployment goes on. reachable: the back-end answers and lets us in, or the new version is refused; of "
             "sinks with a server behind them (opensearch, http, kafka). A start does not ask."},
    {.name = "was",
     .type = SL_F_STRING,
     AT(was),
     .min = "1",
     .max = "64",
     .help = "The sink's name in the version before, where it was renamed: how far it had come, its files and its queue go on under "
             "the new name. Without it a new name is a new sink, which begins where the topology is. Leave it out in the version after."},
    {0}};

static void component_sink_common(struct sl_component *component, const struct sink_common *from)
{
    component->sink = (struct sl_sink_common){.required = from->required,
                                              .when_full = from->when_full != SINK_FULL_UNSAID ? from->when_full
                                                           : from->required                  ? SL_FULL_WAIT
                                                                                             : SL_FULL_SPOOL,
                                              .queue_bytes = from->queue.bytes,
                                              .queue_age_ns = from->queue.age,
                                              .queue_lose = from->queue.then == SINK_QUEUE_LOSE,
                                              .where = from->where,
                                              .backoff_min_ns = from->retry.backoff_min,
                                              .backoff_max_ns = from->retry.backoff_max,
                                              .deadline_ns = from->retry.deadline,
                                              .batch_bytes = from->batch.bytes,
                                              .batch_records = from->batch.records,
                                              .batch_every_ns = from->batch.every,
                                              .refused_drop = from->on_refused == 1,
                                              .reachable = from->require != SINK_REQUIRE_UNSAID,
                                              .was = from->was};
}

static void component_refuse(struct sl_draft *draft, const struct sl_draft_component *item,
                             const char *key, const char *remedy, const char *problem)
{
    const struct sl_yaml_item *at =
        item->node->kind == SL_YAML_MAP ? sl_yaml_find(item->node, key) : NULL;

    sl_diags_add(draft->bind.diags, false, draft->bind.file,
                 at == NULL ? item->component.line : at->value->line,
                 at == NULL ? item->component.column : at->value->column, remedy, "%s.%s: %s",
                 item->setting, key, problem);
}

static bool component_pushes(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = component->head};

    return (sl_sink_flags_of(u.sink, component->config) & SL_SINK_PUSH) != 0;
}

static bool component_probes(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = component->head};

    if (u.sink->probe != NULL)
        return true;
    for (const struct sl_field *field = component->head->fields; field != NULL && field->name != NULL; field++)
        if (field->type == SL_F_STRINGS && strcmp(field->name, "brokers") == 0) /* Kafka's: every kind that has some names them so */
            return true;
    return false;
}

/* What only some sinks can keep is refused where it would have no effect. */
static void component_check_push(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const char *type = item->component.type;

    if (item->component.sink.reachable && !component_probes(&item->component))
        component_refuse(draft, item, "require", "leave it out; it is for sinks with a server behind them",
                         sl_pool_printf(draft->bind.pool, "a sink of type %s has no back-end that could be asked", type));
    if (component_pushes(&item->component)) {
        if (strcmp(item->component.name, SL_DEAD_LETTERS) == 0)
            component_refuse(draft, item, "type", "write type: files or type: kafka",
                             sl_pool_printf(draft->bind.pool,
                                            "%s can refuse a record, so it is no place for dead letters", type));
        return;
    }
    if (sl_yaml_find(item->node, "batch") != NULL)
        component_refuse(draft, item, "batch", "leave it out; it is for sinks that send requests",
                         sl_pool_printf(draft->bind.pool, "a sink of type %s sends no requests", type));
    if (item->component.sink.deadline_ns != 0)
        component_refuse(draft, item, "retry", "leave out deadline; it is for sinks that send requests",
                         sl_pool_printf(draft->bind.pool, "a sink of type %s has no deadline", type));
}

static uint32_t component_sink_flags(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = component->head};

    return sl_sink_flags_of(u.sink, component->config);
}

/* Who waits for whom: required, when_full and queue. */
static void component_check_queue(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const struct sl_sink_common *sink = &item->component.sink;
    bool flushed = (component_sink_flags(&item->component) & SL_SINK_FLUSHED) != 0;

    if (flushed && !sink->required)
        component_refuse(draft, item, "required", "leave out required: false",
                         "false is for sinks that answer for each record; what this one writes exists only with the commit");
    else if (flushed && sink->when_full == SL_FULL_SPOOL)
        component_refuse(draft, item, "when_full", "write when_full: wait",
                         "spool is for sinks that answer for each record; what this one writes exists only with the commit");
    else if (!sink->required && sink->when_full == SL_FULL_WAIT)
        component_refuse(draft, item, "when_full", "write when_full: spool, or leave it out",
                         "wait with required: false would let a sink that nobody needs stop the others");
    else if (sink->when_full != SL_FULL_SPOOL && sl_yaml_find(item->node, "queue") != NULL)
        component_refuse(draft, item, "queue", "write when_full: spool, or leave the queue out",
                         "this sink has no queue: when_full is wait");
    if (sink->queue_age_ns > 0 && !sink->queue_lose)
        component_refuse(draft, item, "queue", "write then: lose, or leave out age",
                         "age says what may be lost, and then: block loses nothing");
}

static void component_check_sink(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const struct sl_sink_common *sink = &item->component.sink;
    bool dead_letters = strcmp(item->component.name, SL_DEAD_LETTERS) == 0;

    if (sink->backoff_min_ns > sink->backoff_max_ns)
        component_refuse(draft, item, "retry", "write backoff_min at most as long as backoff_max",
                         "backoff_min is longer than backoff_max");
    if (!dead_letters)
        component_check_queue(draft, item);
    else if (sink->where != NULL || !sink->required || sink->when_full == SL_FULL_SPOOL)
        component_refuse(draft, item,
                         sink->where != NULL  ? "where"
                         : !sink->required    ? "required"
                                              : "when_full",
                         "leave it out", "the dead-letter sink takes every dead letter, and is waited for");
}

static uint32_t component_encoding_needs(const struct sl_component *component)
{
    uint32_t flags = component_sink_flags(component);

    return ((flags & SL_SINK_LINES) != 0 ? SL_ENCODING_LINES : 0u) | ((flags & SL_SINK_JSON) != 0 ? SL_ENCODING_JSON : 0u) |
           ((flags & SL_SINK_TEXT) != 0 ? SL_ENCODING_TEXT : 0u) |
           (strcmp(component->name, SL_DEAD_LETTERS) == 0 ? SL_ENCODING_LETTERS : 0u);
}

/* ---- types ---- */

static const struct sl_head *const *component_heads(const struct sl_registry *registry,
                                                    enum sl_role role)
{
    union { /* each kind's first member is its head, so a list of kinds is one of heads */
        const struct sl_source_kind *const *sources;
        const struct sl_op_kind *const *operators;
        const struct sl_sink_kind *const *sinks;
        const struct sl_head *const *heads;
    } u;

    if (role == SL_SOURCE)
        u.sources = registry->sources;
    else if (role == SL_OPERATOR)
        u.operators = registry->operators;
    else
        u.sinks = registry->sinks;
    return u.heads;
}

static const struct sl_head *component_head(const struct sl_registry *registry, enum sl_role role,
                                            const char *type)
{
    const struct sl_head *const *heads = component_heads(registry, role);

    for (; heads != NULL && *heads != NULL; heads++)
        if (strcmp((*heads)->name, type) == 0)
            return *heads;
    return NULL;
}

static const char *const role_phrases[] = {
    [SL_SOURCE] = "a source", [SL_OPERATOR] = "an operator", [SL_SINK] = "a sink"};
static const char *const role_words[] = {
    [SL_SOURCE] = "source", [SL_OPERATOR] = "operator", [SL_SINK] = "sink"};

static const char *component_known_types(struct sl_draft *draft, enum sl_role role,
                                         const char *type, const char **ret_best)
{
    const struct sl_head *const *heads = component_heads(draft->registry, role);
    struct sl_nearest nearest;
    const char *known = "";

    sl_nearest_init(&nearest, type);
    for (; heads != NULL && *heads != NULL; heads++) {
        sl_nearest_offer(&nearest, (*heads)->name);
        known = sl_pool_printf(draft->bind.pool, "%s%s%s", known, known[0] == '\0' ? "" : ", ",
                               (*heads)->name);
    }
    *ret_best = nearest.best;
    return known;
}

static void component_unknown_type(struct sl_draft *draft, const struct sl_draft_component *item,
                                   const char *type)
{
    static const struct sl_later *const laters[] = {[SL_SOURCE] = sl_later_sources,
                                                    [SL_OPERATOR] = sl_later_operators,
                                                    [SL_SINK] = sl_later_sinks};
    enum sl_role role = item->component.role;
    const char *best = NULL, *known = component_known_types(draft, role, type, &best);
    struct sl_pool *pool = draft->bind.pool;

    for (const struct sl_later *later = laters[role]; later->name != NULL; later++)
        if (strcmp(later->name, type) == 0) {
            component_refuse(
                draft, item, "type", later->instead,
                sl_pool_printf(pool, "\"%s\" is known but not built in this version", type));
            return;
        }
    for (int other = SL_SOURCE; other <= SL_SINK; other++)
        if (component_head(draft->registry, (enum sl_role)other, type) != NULL) {
            component_refuse(draft, item, "type",
                             sl_pool_printf(pool, "move it below %ss:, or write one of: %s",
                                            role_words[other], known),
                             sl_pool_printf(pool, "%s is %s, not %s", type, role_phrases[other],
                                            role_phrases[role]));
            return;
        }
    component_refuse(draft, item, "type",
                     best == NULL
                         ? sl_pool_printf(pool, "allowed: %s", known)
                         : sl_pool_printf(pool, "did you mean %s? Allowed: %s", best, known),
                     sl_pool_printf(pool, "\"%.64s\" is no type of %s", type, role_words[role]));
}

static const struct sl_head *component_type(struct sl_draft *draft, struct sl_draft_component *item)
{
    const struct sl_yaml_item *type = sl_yaml_find(item->node, "type");
    const struct sl_head *head;
    const char *best = NULL;

    if (type == NULL) {
        const char *known = component_known_types(draft, item->component.role, "", &best);
        sl_diags_add(draft->bind.diags, false, draft->bind.file, item->component.line,
                     item->component.column,
                     sl_pool_printf(draft->bind.pool, "add type: one of %s", known),
                     "%s.type is missing", item->setting);
        return NULL;
    }
    if (type->value->kind != SL_YAML_SCALAR || sl_yaml_is_null(type->value)) {
        component_refuse(draft, item, "type", "write one word",
                         sl_pool_printf(draft->bind.pool, "%s is no type",
                                        sl_bind_found(&draft->bind, type->value)));
        return NULL;
    }
    head = component_head(draft->registry, item->component.role, type->value->text);
    if (head == NULL)
        component_unknown_type(draft, item, type->value->text);
    return head;
}

/* ---- what a kind says of its settings ---- */

/* The place of a dotted setting below a node: as deep as it exists. */
static const struct sl_yaml *component_place(const struct sl_yaml *node, const char *setting,
                                             size_t bytes)
{
    for (size_t at = 0; at < bytes && node->kind == SL_YAML_MAP;) {
        size_t step = strcspn(setting + at, ".");
        const struct sl_yaml *next = NULL;
        step = step > bytes - at ? bytes - at : step;
        for (uint32_t i = 0; i < node->count; i++)
            if (strlen(node->items[i].key) == step &&
                memcmp(node->items[i].key, setting + at, step) == 0)
                next = node->items[i].value;
        if (next == NULL)
            break;
        node = next;
        at += step + 1;
    }
    return node;
}

/* Where the remedy begins in a kind's text: behind its last "; ", or at ": write …". NULL: none. */
static const char *component_remedy(const char *text, size_t *ret_problem_bytes)
{
    const char *split = strstr(text, "; ");
    const char *colon = strstr(text, ": write ");

    while (split != NULL && strstr(split + 2, "; ") != NULL)
        split = strstr(split + 2, "; ");
    split = split == NULL ? colon : split;
    *ret_problem_bytes = split == NULL ? strlen(text) : (size_t)(split - text);
    return split == NULL ? NULL : split + 2;
}

static void component_kind_check(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const struct sl_component *component = &item->component;
    struct sl_err err = {.text = ""};
    const struct sl_yaml *place;
    const char *remedy;
    size_t word, problem;

    if (component->head->check == NULL || component->head->check(component->config, &err) == 0)
        return;
    word = strspn(err.text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    place = component_place(item->node, err.text, word);
    remedy = component_remedy(err.text, &problem);
    sl_diags_add(draft->bind.diags, false, draft->bind.file, place->line, place->column,
                 remedy == NULL ? "change this setting" : remedy, "%s%s%.*s", item->setting,
                 err.text[word] == ':' ? "." : ": ", (int)problem, err.text);
}

/* A `connection:` must be one of the process file's. */
static void component_connection(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const struct sl_yaml_item *key = sl_yaml_find(item->node, "connection");
    const struct sl_process_config *process = draft->process;
    struct sl_nearest nearest;
    bool has_row = false;

    for (const struct sl_field *field = item->component.head->fields;
         field != NULL && field->name != NULL; field++)
        has_row = has_row || (strcmp(field->name, "connection") == 0 && field->type == SL_F_STRING);
    if (!has_row || key == NULL || key->value->kind != SL_YAML_SCALAR)
        return;
    sl_nearest_init(&nearest, key->value->text);
    for (uint32_t i = 0; process != NULL && i < process->connections_count; i++) {
        if (strcmp(process->connections[i].name, key->value->text) == 0)
            return;
        sl_nearest_offer(&nearest, process->connections[i].name);
    }
    component_refuse(
        draft, item, "connection",
        nearest.best != NULL ? sl_pool_printf(draft->bind.pool, "did you mean %s?", nearest.best)
                             : "define it below connections: in sluice.yaml (--config), or write "
                               "brokers: [HOST:PORT] here",
        sl_pool_printf(draft->bind.pool, "no connection is called \"%.64s\"", key->value->text));
}

static void component_ports(struct sl_draft_component *item)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_op_kind *op;
    } u = {.head = item->component.head};

    if (item->component.role == SL_OPERATOR && u.op->ports != NULL)
        item->ports_count = u.op->ports(item->component.config, &item->ports);
}

static void component_bind(struct sl_draft *draft, struct sl_draft_component *item)
{
    static const char *const source_own[] = {"type", NULL}, *const own[] = {"type", "inputs", NULL};
    struct sl_component *component = &item->component;
    bool sink = component->role == SL_SINK, dead = strcmp(component->name, SL_DEAD_LETTERS) == 0;
    struct sink_common *common = sl_pool_alloc(draft->bind.pool, sizeof(*common));
    const struct sink_common unsaid = {.required = true, .when_full = SINK_FULL_UNSAID, .require = SINK_REQUIRE_UNSAID};
    const struct sl_bind_part parts[] = {{component->head->fields, component->config},
                                         {sl_sink_common_fields, common}};
    const struct sl_bind_map map = {.parts = parts,
                                    .parts_count = sink ? 2 : 1,
                                    .own = component->role == SL_SOURCE || dead ? source_own : own,
                                    .later = sink ? sl_later_sink : NULL,
                                    .setting = item->setting};
    bool fine;

    *common = unsaid;
    component->written = item->node;
    component->common = sink ? common : NULL;
    item->files_first = draft->bind.inputs->count;
    fine = sl_bind_fill(&draft->bind, &map, item->node);
    if (fine && component->head->bind != NULL)
        fine = component->head->bind(&draft->bind, item->node, item->setting, component->config);
    item->files_count = draft->bind.inputs->count - item->files_first;

    component_sink_common(component, common);
    component_connection(draft, item);
    if (!fine)
        return;
    if (sink) {
        component_check_sink(draft, item);
        component_check_push(draft, item);
        (void)sl_encoding_make(&draft->bind, &common->encoding, item->node, item->setting, component_encoding_needs(component),
                               &component->sink.encoding);
    }
    component_kind_check(draft, item);
    component_ports(item);
}

/* ---- adding ---- */

static bool component_check_name(struct sl_draft *draft, enum sl_role role, const char *name,
                                 const struct sl_yaml_item *item, const char *setting)
{
    struct sl_draft_component *other = sl_draft_find(draft, name);
    const char *file = draft->bind.file;

    if (!sl_bind_is_name(name)) {
        sl_diags_add(draft->bind.diags, false, file, item->key_line, item->key_column,
                     "write 1 to 64 of A-Z a-z 0-9 _ -", "%ss: \"%.80s\" is not a name",
                     role_words[role], name);
        return false;
    }
    if (strcmp(name, SL_DEAD_LETTERS) == 0 && strcmp(setting, SL_DEAD_LETTERS) != 0) {
        sl_diags_add(draft->bind.diags, false, file, item->key_line, item->key_column,
                     "give it another name, or write dead_letters: at the top level",
                     "%s: the name is kept for the dead-letter sink", setting);
        return false;
    }
    if (other != NULL) {
        sl_diags_add(draft->bind.diags, false, file, item->key_line, item->key_column,
                     "give each component a name of its own",
                     "%ss.%s: the name is taken by the %s in line %u", role_words[role], name,
                     role_words[other->component.role],
                     other->component.line < (uint32_t)SL_SET_LINE ? other->component.line : 0);
        return false;
    }
    return true;
}

void sl_draft_add(struct sl_draft *draft, enum sl_role role, const char *name,
                  const struct sl_yaml_item *item, const char *setting)
{
    struct sl_draft_component *draft_component;

    if (!component_check_name(draft, role, name, item, setting))
        return;
    if (draft->count == SL_COMPONENTS_MAX) {
        sl_diags_add(draft->bind.diags, false, draft->bind.file, item->key_line, item->key_column,
                     "split the topology", "more than %d components", SL_COMPONENTS_MAX);
        return;
    }
    draft->items =
        sl_pool_grow(draft->bind.pool, draft->items, draft->count, sizeof(*draft->items));
    draft_component = &draft->items[draft->count++];
    *draft_component = (struct sl_draft_component){.component = {.role = role,
                                                                 .name = name,
                                                                 .type = "",
                                                                 .line = item->key_line,
                                                                 .column = item->key_column},
                                                   .setting = setting,
                                                   .node = item->value};
    if (item->value->kind != SL_YAML_MAP) {
        sl_diags_add(draft->bind.diags, false, draft->bind.file, item->key_line, item->key_column,
                     "write a mapping such as { type: …, … }", "%s: %s is not a mapping", setting,
                     sl_bind_found(&draft->bind, item->value));
        return;
    }
    draft_component->inputs_item = sl_yaml_find(item->value, "inputs");
    draft_component->component.head = component_type(draft, draft_component);
    if (draft_component->component.head == NULL)
        return;
    draft_component->component.type = draft_component->component.head->name;
    draft_component->component.config =
        sl_pool_alloc(draft->bind.pool, draft_component->component.head->config_bytes + 1);
    component_bind(draft, draft_component);
}
