/* process.c: the process file sluice.yaml, its connections and its secrets.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/process.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config/bind.h"
#include "runtime/config/pool.h"

struct process_owner {
    struct sl_process_config config; /* first: what users hold */
    struct sl_pool pool;
};

struct process_settings {
    const char *node, *data_dir, *priorities;
    struct {
        const char *socket, *listen;
        struct sl_secret token;
    } control;
    uint64_t workers, memory, max_record;
    struct {
        struct {
            uint64_t bytes, age;
        } hold;
        uint64_t segment, partitions;
        int fsync;
    } spool;
    struct sl_strings topologies;
};

#define AT(member) .offset = offsetof(struct process_settings, member)
#define SUB(member, first)                                                                         \
    .offset = offsetof(struct process_settings, member) - offsetof(struct process_settings, first)

static const char *const fsync_words[] = {"each", "100ms", "off", NULL}; /* enum sl_spool_fsync */

static const struct sl_field control_fields[] = {
    {.name = "socket",
     .type = SL_F_OUTPUT_PATH,
     SUB(control.socket, control),
     .help = "The Unix socket; control.sock in data_dir without it."},
    {.name = "listen",
     .type = SL_F_STRING,
     SUB(control.listen, control),
     .min = "3",
     .help = "HOST:PORT of a TCP listener beside it; needs token."},
    {.name = "token",
     .type = SL_F_SECRET,
     SUB(control.token, control),
     .help = "The bearer token of the TCP listener."},
    {0}};
static const struct sl_field hold_fields[] = {
    {.name = "bytes",
     .type = SL_F_BYTES,
     SUB(spool.hold.bytes, spool.hold),
     .def = "10GiB",
     .min = "1MiB",
     .help = "Most bytes of a topic that wait for a reader."},
    {.name = "age",
     .type = SL_F_DURATION,
     SUB(spool.hold.age, spool.hold),
     .def = "7d",
     .min = "1m",
     .help = "Longest time that records are kept."},
    {0}};
static const struct sl_field spool_fields[] = {
    {.name = "hold",
     .type = SL_F_STRUCT,
     SUB(spool.hold, spool),
     .sub = hold_fields,
     .help = "What is kept."},
    {.name = "segment",
     .type = SL_F_BYTES,
     SUB(spool.segment, spool),
     .def = "64MiB",
     .min = "1MiB",
     .max = "1GiB",
     .help = "Bytes of one file."},
    {.name = "fsync",
     .type = SL_F_ENUM,
     SUB(spool.fsync, spool),
     .def = "100ms",
     .values = fsync_words,
     .help = "each: every append is synced alone; 100ms: together; off: a cut may lose the last "
             "seconds."},
    {.name = "partitions",
     .type = SL_F_U64,
     SUB(spool.partitions, spool),
     .def = "4",
     .min = "1",
     .max = "1024",
     .help = "Partitions of the topics it makes."},
    {0}};

const struct sl_field sl_process_fields[] = {
    {.name = "node",
     .type = SL_F_STRING,
     AT(node),
     .min = "1",
     .max = "64",
     .help = "This process's name in file names and metrics; the host's name without it."},
    {.name = "data_dir",
     .type = SL_F_STRING,
     AT(data_dir),
     .def = "./sluice-data",
     .min = "1",
     .help = "Where everything is kept."},
    {.name = "control",
     .type = SL_F_STRUCT,
     AT(control),
     .sub = control_fields,
     .help = "The control API."},
    {.name = "workers",
     .type = SL_F_U64,
     AT(workers),
     .min = "1",
     .max = "256",
     .help = "Worker threads; the usable CPUs without it."},
    {.name = "memory",
     .type = SL_F_BYTES,
     AT(memory),
     .def = "512MiB",
     .min = "16MiB",
     .max = "1024TiB",
     .help = "Memory of all topologies together."},
    {.name = "max_record",
     .type = SL_F_BYTES,
     AT(max_record),
     .def = "1MiB",
     .min = "1KiB",
     .max = "64MiB",
     .help = "Larger records go to the dead letters."},
    {.name = "spool",
     .type = SL_F_STRUCT,
     AT(spool),
     .sub = spool_fields,
     .help = "The durable log on the local disk."},
    {.name = "topologies",
     .type = SL_F_STRINGS,
     AT(topologies),
     .help = "Topology files, relative to this file."},
    {.name = "priorities",
     .type = SL_F_INPUT_PATH,
     AT(priorities),
     .help = "The priorities file; kept for a later version."},
    {0}};

/* ---- connections ---- */

static const char *const protocol_words[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl",
                                             NULL};
static const char *const mechanism_words[] = {"PLAIN",  "SCRAM-SHA-256", "SCRAM-SHA-512",
                                              "GSSAPI", "OAUTHBEARER",   NULL};

struct connection_settings {
    struct sl_strings brokers;
    int protocol, mechanism; /* -1: not set */
    const char *username, *ca, *certificate, *key;
    struct sl_secret password;
    struct sl_map librdkafka;
};

#define CONNECTION(member) .offset = offsetof(struct connection_settings, member)
const struct sl_field sl_connection_fields[] = {
    {.name = "brokers",
     .type = SL_F_STRINGS,
     .flags = SL_F_REQUIRED,
     CONNECTION(brokers),
     .min = "1",
     .help = "[HOST:PORT, …] of some brokers."},
    {.name = "security_protocol",
     .type = SL_F_ENUM,
     CONNECTION(protocol),
     .values = protocol_words,
     .help = "How to connect; plaintext without it."},
    {.name = "sasl_mechanism",
     .type = SL_F_ENUM,
     CONNECTION(mechanism),
     .values = mechanism_words,
     .help = "How to log in; Kafka 4 takes SCRAM from librdkafka 2.6.1 on."},
    {.name = "sasl_username",
     .type = SL_F_STRING,
     CONNECTION(username),
     .min = "1",
     .help = "Who logs in."},
    {.name = "sasl_password",
     .type = SL_F_SECRET,
     CONNECTION(password),
     .help = "With which password."},
    {.name = "ca",
     .type = SL_F_INPUT_PATH,
     CONNECTION(ca),
     .help = "PEM file of the authorities that signed the brokers' certificates."},
    {.name = "certificate",
     .type = SL_F_INPUT_PATH,
     CONNECTION(certificate),
     .help = "PEM file of our own certificate."},
    {.name = "key", .type = SL_F_INPUT_PATH, CONNECTION(key), .help = "PEM file of its key."},
    {.name = "librdkafka",
     .type = SL_F_MAP,
     CONNECTION(librdkafka),
     .help = "Any further librdkafka property, passed through."},
    {0}};

static void process_refuse(struct sl_bind *bind, const struct sl_yaml *map, const char *key,
                           const char *remedy, const char *setting, const char *problem)
{
    const struct sl_yaml_item *item = sl_yaml_find(map, key);

    sl_diags_add(bind->diags, false, bind->file, item == NULL ? map->line : item->value->line,
                 item == NULL ? map->column : item->value->column, remedy, "%s.%s: %s", setting,
                 key, problem);
}

/* "HOST:PORT", also "[::1]:9092" and a protocol in front as librdkafka takes it. */
static bool process_is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    long port = digits == 0 || digits > 5 ? 0 : strtol(colon + 1, NULL, 10);

    return colon != NULL && colon != text && colon[1 + digits] == '\0' && port >= 1 &&
           port <= 65535 && strpbrk(text, " \t,") == NULL;
}

static void connection_check(struct sl_bind *bind, const struct sl_yaml *map, const char *setting,
                             const struct sl_connection *connection)
{
    bool sasl = connection->security_protocol != NULL &&
                strncmp(connection->security_protocol, "sasl", 4) == 0;
    bool login = connection->sasl_mechanism != NULL || connection->sasl_username != NULL;

    for (uint32_t i = 0; i < connection->brokers.count; i++)
        if (!process_is_address(connection->brokers.items[i]))
            process_refuse(bind, map, "brokers", "write HOST:PORT, such as localhost:9092", setting,
                           sl_pool_printf(bind->pool, "\"%.80s\" is not an address",
                                          connection->brokers.items[i]));
    if (sasl && connection->sasl_mechanism == NULL)
        process_refuse(bind, map, "sasl_mechanism",
                       "write sasl_mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", setting,
                       "missing, though security_protocol logs in");
    if (!sasl && login)
        process_refuse(bind, map, "security_protocol",
                       "write security_protocol: sasl_ssl or sasl_plaintext", setting,
                       "does not log in, though sasl_ settings are there");
    if ((connection->certificate == NULL) != (connection->key == NULL))
        process_refuse(bind, map, connection->key == NULL ? "certificate" : "key",
                       "write both certificate: and key:, or neither", setting,
                       connection->key == NULL ? "set without its key"
                                               : "set without its certificate");
}

static void process_connection(struct sl_bind *bind, const struct sl_yaml_item *item,
                               struct sl_connection *connection)
{
    struct connection_settings settings = {.protocol = -1, .mechanism = -1};
    const struct sl_bind_part part = {sl_connection_fields, &settings};
    const char *setting = sl_pool_printf(bind->pool, "connections.%.80s", item->key);
    const struct sl_bind_map map = {.parts = &part, .parts_count = 1, .setting = setting};
    bool fine = sl_bind_fill(bind, &map, item->value);

    *connection = (struct sl_connection){
        .name = item->key,
        .brokers = settings.brokers,
        .security_protocol = settings.protocol < 0 ? NULL : protocol_words[settings.protocol],
        .sasl_mechanism = settings.mechanism < 0 ? NULL : mechanism_words[settings.mechanism],
        .sasl_username = settings.username,
        .sasl_password = settings.password,
        .ca = settings.ca,
        .certificate = settings.certificate,
        .key = settings.key,
        .librdkafka = settings.librdkafka};
    if (!sl_bind_is_name(item->key))
        sl_diags_add(bind->diags, false, bind->file, item->key_line, item->key_column,
                     "write 1 to 64 of A-Z a-z 0-9 _ -", "connections: \"%.80s\" is not a name",
                     item->key);
    if (fine)
        connection_check(bind, item->value, setting, connection);
}

static void process_connections(struct sl_bind *bind, const struct sl_yaml *root,
                                struct sl_process_config *config)
{
    const struct sl_yaml_item *item = sl_yaml_find(root, "connections");

    if (item == NULL)
        return;
    if (item->value->kind != SL_YAML_MAP) {
        sl_diags_add(bind->diags, false, bind->file, item->value->line, item->value->column,
                     "write NAME: { brokers: [HOST:PORT] } below it",
                     "connections: %s is not a mapping of names", sl_bind_found(bind, item->value));
        return;
    }
    config->connections =
        sl_pool_alloc(bind->pool, (item->value->count + 1) * sizeof(*config->connections));
    config->connections_count = item->value->count;
    for (uint32_t i = 0; i < item->value->count; i++)
        process_connection(bind, &item->value->items[i], &config->connections[i]);
}

/* ---- defaults that the machine gives ---- */

static uint32_t process_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0
               ? (uint32_t)CPU_COUNT(&set)
               : 1;
}

/* The host's name, with what cannot stand in a name replaced. */
static const char *process_host(struct sl_pool *pool)
{
    char name[65] = "";

    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        return "localhost";
    for (char *c = name; *c != '\0'; c++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", *c) == NULL)
            *c = '-';
    return sl_pool_text(pool, name, strlen(name));
}

static const char *process_path(struct sl_pool *pool, const char *base_dir, const char *path)
{
    return path[0] == '/' || base_dir == NULL ? path
                                              : sl_pool_printf(pool, "%s/%s", base_dir, path);
}

/* The longest path that a socket's address holds. */
enum { SOCKET_PATH_BYTES = 107 };

static void process_fill(struct sl_bind *bind, const struct process_settings *from,
                         struct sl_process_config *config)
{
    const char **topologies =
        sl_pool_alloc(bind->pool, (from->topologies.count + 1) * sizeof(*topologies));

    for (uint32_t i = 0; i < from->topologies.count; i++)
        topologies[i] = process_path(bind->pool, bind->base_dir, from->topologies.items[i]);
    config->topologies = (struct sl_strings){topologies, from->topologies.count};
    config->node = from->node != NULL ? from->node : process_host(bind->pool);
    config->data_dir = from->data_dir;
    config->control_socket = from->control.socket != NULL
                                 ? from->control.socket
                                 : sl_pool_printf(bind->pool, "%s/control.sock", from->data_dir);
    config->control_listen = from->control.listen;
    config->control_token = from->control.token;
    config->workers = from->workers != 0 ? (uint32_t)from->workers : process_cpus();
    config->memory_bytes = from->memory;
    config->max_record_bytes = from->max_record;
    config->spool =
        (struct sl_spool_config){from->spool.hold.bytes, from->spool.hold.age, from->spool.segment,
                                 from->spool.fsync, (uint32_t)from->spool.partitions};
    config->priorities = from->priorities;
}

static void process_check(struct sl_bind *bind, const struct sl_yaml *root,
                          const struct sl_process_config *config)
{
    const struct sl_secret *token = &config->control_token;
    const struct sl_yaml_item *control = sl_yaml_find(root, "control");

    if (strspn(config->node, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") !=
            strlen(config->node) ||
        config->node[0] == '.')
        sl_diags_add(bind->diags, false, bind->file, sl_yaml_find(root, "node")->value->line,
                     sl_yaml_find(root, "node")->value->column, "write letters, digits, _ - and .",
                     "node: \"%.64s\" cannot stand in file names", config->node);
    if (control == NULL || control->value->kind != SL_YAML_MAP)
        return;
    if (config->control_listen != NULL && !process_is_address(config->control_listen))
        process_refuse(
            bind, control->value, "listen", "write HOST:PORT, such as 127.0.0.1:7878", "control",
            sl_pool_printf(bind->pool, "\"%.80s\" is not an address", config->control_listen));
    if (config->control_listen != NULL && token->env == NULL && token->file == NULL &&
        token->plain == NULL)
        process_refuse(bind, control->value, "token", "write token: { secret: { env: NAME } }",
                       "control", "missing: whoever reaches the TCP port could deploy");
    if (strlen(config->control_socket) > SOCKET_PATH_BYTES)
        process_refuse(bind, control->value, "socket", "write a path of at most 107 bytes",
                       "control", "the path is too long for a Unix socket");
}

/* ---- loading ---- */

static void process_read(struct process_owner *owner, struct sl_bind *bind,
                         const struct sl_yaml *root)
{
    static const char *const own[] = {"connections", NULL};
    struct process_settings settings = {.node = NULL};
    const struct sl_bind_part part = {sl_process_fields, &settings};
    const struct sl_bind_map map = {.parts = &part,
                                    .parts_count = 1,
                                    .own = own,
                                    .later = sl_later_process,
                                    .setting = "",
                                    .extensions = true};
    bool fine = sl_bind_fill(bind, &map, root);

    if (settings.data_dir == NULL) /* refused above; what follows needs one */
        settings.data_dir = "./sluice-data";
    process_fill(bind, &settings, &owner->config);
    if (root == NULL || root->kind != SL_YAML_MAP)
        return;
    process_connections(bind, root, &owner->config);
    if (fine)
        process_check(bind, root, &owner->config);
}

static const char *process_base_dir(struct sl_pool *pool, const char *path)
{
    char *real = realpath(path, NULL);
    const char *slash = real == NULL ? NULL : strrchr(real, '/');
    const char *dir = slash == NULL   ? "."
                      : slash == real ? "/"
                                      : sl_pool_text(pool, real, (size_t)(slash - real));

    free(real);
    return dir;
}

int sl_process_load(const char *path, struct sl_diags *diags, struct sl_process_config **ret_config)
{
    struct process_owner *owner = calloc(1, sizeof(*owner));
    uint32_t errors = diags->errors;
    const struct sl_yaml *root = NULL;
    struct sl_bind bind;

    if (owner == NULL) {
        sl_diags_add(diags, false, path, 0, 0, "free some memory",
                     "no memory for the process file");
        return -(int)SL_E_LIMIT;
    }
    sl_pool_init(&owner->pool);
    bind = (struct sl_bind){.pool = &owner->pool, .diags = diags, .file = path == NULL ? "" : path,
                            .base_dir = path == NULL ? NULL : process_base_dir(&owner->pool, path)};
    owner->config.path = path == NULL ? NULL : sl_pool_text(&owner->pool, path, strlen(path));
    if (path != NULL)
        root = sl_yaml_load(&owner->pool, path, diags);
    if (path == NULL || root != NULL)
        process_read(owner, &bind, root);
    if (diags->errors > errors) {
        (void)sl_process_free(&owner->config);
        return -(int)SL_E_CONFIG;
    }
    *ret_config = &owner->config;
    return 0;
}

struct sl_process_config *sl_process_free(struct sl_process_config *config)
{
    union { /* the configuration is the first member of its owner */
        struct sl_process_config *config;
        struct process_owner *owner;
    } u = {.config = config};

    if (config == NULL)
        return NULL;
    sl_pool_fini(&u.owner->pool);
    free(u.owner);
    return NULL;
}
