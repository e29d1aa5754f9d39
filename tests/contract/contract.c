/* contract.c: the world of the contract suite.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include <dirent.h>
#include <errno.h>

#include "operators/sources/sources.h"
#include "runtime/store/spool.h"
#include "tests/support/fake_slot.c"

static struct contract *contract_now;

/* ---- the engine's side of slot.h, beyond fake_slot.c ---- */

void sl_slot_done(struct sl_slot *slot, void *sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why)
{
    struct contract *contract = (struct contract *)(void *)slot;

    assert_non_null(sink);
    assert_true(outcome == SL_ACK || why != NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = refs[i].ticket * SL_BATCH_RECORDS + refs[i].index;
        assert_true(at < CONTRACT_DONES);
        if (contract->done[at]++ != 0)
            fail_msg("record %u of ticket %u was answered twice", refs[i].index, refs[i].ticket);
    }
    *(outcome == SL_ACK ? &contract->acked : outcome == SL_REFUSED ? &contract->refused : &contract->retried) += count;
}

void sl_slot_refused(struct sl_slot *slot, void *sink, const struct sl_refused *record, const struct sl_err *why)
{
    assert_true(why != NULL && why->text[0] != '\0');
    sl_slot_done(slot, sink, &record->ref, 1, SL_REFUSED, why);
}

struct sl_klog *sl_slot_klog(struct sl_slot *slot)
{
    return sl_model_client_klog(((struct contract *)(void *)slot)->client);
}

const struct sl_topology *sl_slot_topology(const struct sl_slot *slot)
{
    return &((const struct contract *)(const void *)slot)->topology;
}

const char *sl_slot_commit_topic(const struct sl_slot *slot)
{
    (void)slot;
    return "sluice-commits";
}

void sl_slot_use_consumer(struct sl_slot *slot, struct sl_klog *log, const struct sl_connection *connection,
                          struct sl_klog_consumer *consumer, const char *group)
{
    assert_true(slot != NULL && log != NULL && connection != NULL && consumer != NULL && group != NULL);
}

void sl_slot_want_flush(struct sl_slot *slot, void *sink)
{
    assert_true(slot != NULL && sink != NULL);
}

int sl_slot_reincarnate(struct sl_slot *slot, struct sl_partition *partition, uint64_t start, struct sl_err *err)
{
    (void)slot;
    partition->incarnation++;
    partition->next = start;
    (void)err;
    return 0;
}

/* ---- files that fail ---- */

static bool contract_fails(void)
{
    return ++contract_now->calls == contract_now->fail_at;
}

/* NAME(fs, …) counts, and fails or asks the kernel. */
#define CONTRACT_FS(result, name, params, ...)                                                                                  \
    static result contract_##name params                                                                                       \
    {                                                                                                                          \
        (void)fs;                                                                                                              \
        return contract_fails() ? -contract_now->fail_code : sl_fs_posix()->name(sl_fs_posix(), __VA_ARGS__);                  \
    }
CONTRACT_FS(int, open, (struct sl_fs *fs, const char *path, int flags, unsigned mode), path, flags, mode)
CONTRACT_FS(int64_t, pread, (struct sl_fs *fs, int fd, void *data, size_t bytes, uint64_t at), fd, data, bytes, at)
CONTRACT_FS(int64_t, pwrite, (struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at), fd, data, bytes, at)
CONTRACT_FS(int, truncate, (struct sl_fs *fs, int fd, uint64_t bytes), fd, bytes)
CONTRACT_FS(int, stat, (struct sl_fs *fs, const char *path, struct sl_fs_stat *ret_stat), path, ret_stat)
CONTRACT_FS(int, fstat, (struct sl_fs *fs, int fd, struct sl_fs_stat *ret_stat), fd, ret_stat)
CONTRACT_FS(int, rename, (struct sl_fs *fs, const char *from, const char *to), from, to)
CONTRACT_FS(int, unlink, (struct sl_fs *fs, const char *path), path)
CONTRACT_FS(int, mkdir, (struct sl_fs *fs, const char *path, unsigned mode), path, mode)
CONTRACT_FS(int, rmdir, (struct sl_fs *fs, const char *path), path)
CONTRACT_FS(int, lock, (struct sl_fs *fs, int fd), fd)
CONTRACT_FS(int, list, (struct sl_fs *fs, const char *path, int (*each)(void *user, const char *name), void *user), path, each, user)

/* Counted, and able to fail, but not carried out: no power is lost here, and a disk's patience is not what is tested. */
static int contract_fsync(struct sl_fs *fs, int fd)
{
    (void)fs;
    (void)fd;
    return contract_fails() ? -contract_now->fail_code : 0;
}

static int contract_sync_dir(struct sl_fs *fs, const char *path)
{
    (void)fs;
    (void)path;
    return contract_fails() ? -contract_now->fail_code : 0;
}

static int contract_close(struct sl_fs *fs, int fd)
{
    (void)fs;
    return sl_fs_posix()->close(sl_fs_posix(), fd);
}

/* ---- the api ---- */

static void contract_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    const struct contract *contract = env;
    uint32_t count = 0;

    (void)by;
    assert_non_null(self);
    while (contract->head->counters != NULL && contract->head->counters[count].name != NULL)
        count++;
    if (counter >= count)
        fail_msg("%s counts in row %u of %u", contract->head->name, counter, count);
}

static void contract_log(void *env, const struct sl_err *err, const char *what)
{
    (void)env;
    assert_true(err != NULL && err->text[0] != '\0');
    assert_non_null(what);
}

static int contract_http(void *env, struct sl_http_request *request, struct sl_err *err)
{
    (void)env;
    (void)err;
    fake_http_start(&contract_now->http, request, contract_now->fake.now_ns);
    return 0;
}

static void contract_http_cancel(void *env, struct sl_http_request *request)
{
    (void)env;
    fake_http_cancel(request);
}

static int64_t contract_unix_ms(void *env)
{
    (void)env;
    return 1790000000000;
}

static uint64_t contract_now_ns(void *env)
{
    (void)env;
    return 1000000000;
}

static void contract_spool(struct contract *contract)
{
    struct sl_spool_settings settings = {.segment_bytes = 1 << 20, .fsync = SL_SPOOL_OFF, .append_queue_bytes = 32 << 20,
                                         .unix_ms = contract_unix_ms, .now_ns = contract_now_ns};
    char dir[96];

    (void)snprintf(dir, sizeof(dir), "%s/spool", contract->bench.dir);
    if (sl_spool_open(sl_fs_posix(), dir, &settings, &contract->fake.spool, &contract->err) != 0)
        fail_msg("%s", contract->err.text);
}

void contract_init(struct contract *contract)
{
    static const struct sl_model_settings settings = {.seed = 1};

    memset(contract, 0, sizeof(*contract));
    contract_now = contract;
    bench_init(&contract->bench);
    fake_slot_init(&contract->fake, &contract->fs, contract->bench.dir, NULL);
    contract_spool(contract);
    contract->fs = (struct sl_fs){contract_open, contract_close, contract_pread, contract_pwrite, contract_fsync,
                                  contract_truncate, contract_stat, contract_fstat, contract_rename, contract_unlink,
                                  contract_mkdir, contract_rmdir, contract_sync_dir, contract_lock, contract_list};
    contract->fail_code = EIO;
    contract->fake.random = 1;
    contract->fake.api.spool = contract->fake.spool;
    contract->fake.api.tally = contract_tally;
    contract->fake.api.log = contract_log;
    contract->fake.api.http = contract_http;
    contract->fake.api.http_cancel = contract_http_cancel;
    fake_http_init(&contract->http);
    contract->fake.api.share_bytes = 256 << 20;
    contract->api = contract->fake.api;
    contract->topology = (struct sl_topology){.name = "t", .commit_topic = "sluice-commits"};
    contract->model = sl_model_new(&settings);
    contract->client = sl_model_client_new(contract->model, NULL, NULL);
    sl_model_topic(contract->model, "alerts", 4);
    contract_wait(contract, 0);
}

void contract_fini(struct contract *contract)
{
    fake_http_turn(&contract->http, contract->fake.now_ns);
    assert_int_equal(contract->http.flying, 0);
    fake_slot_fini(&contract->fake);
    contract->fake.spool = sl_spool_close(contract->fake.spool);
    contract->client = sl_model_client_free(contract->client);
    contract->model = sl_model_free(contract->model);
    bench_fini(&contract->bench);
    config_fini();
}

struct sl_slot *contract_slot(struct contract *contract)
{
    return (struct sl_slot *)(void *)contract;
}

void contract_wait(struct contract *contract, uint64_t ns)
{
    contract->fake.now_ns += ns;
    contract->fake.unix_ms += (int64_t)(ns / 1000000);
    sl_model_time(contract->model, contract->fake.now_ns, contract->fake.unix_ms);
    fake_http_turn(&contract->http, contract->fake.now_ns);
}

/* ---- the registry ---- */

const struct sl_head *const *contract_heads(void)
{
    static const struct sl_head *heads[256];
    const struct sl_registry *registry = &sl_registry_builtin;
    uint32_t count = 0;

    for (uint32_t i = 0; registry->sources[i] != NULL; i++)
        heads[count++] = &registry->sources[i]->head;
    for (uint32_t i = 0; registry->operators[i] != NULL; i++)
        heads[count++] = &registry->operators[i]->head;
    for (uint32_t i = 0; registry->sinks[i] != NULL; i++)
        heads[count++] = &registry->sinks[i]->head;
    assert_true(count < 256);
    heads[count] = NULL;
    return heads;
}

const char *contract_settings(const struct sl_head *head)
{
    if (head == &sl_source_http.head) /* not the sink of that name */
        return "{ type: http, listen: \"127.0.0.1:0\", path: /logs }";
    if (strcmp(head->name, "otlp") == 0)
        return "{ type: otlp, listen: \"127.0.0.1:0\" }";
    if (strcmp(head->name, "enrich") == 0)
        return "{ type: enrich, inputs: [parsed], table: \"" SL_SOURCE_DIR "/tests/support/tables/teams.csv\", key: service, "
               "fields: { team: team, owner.email: email } }";
    if (strcmp(head->name, "syslog") == 0)
        return "{ type: syslog, listen: [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"] }";
    if (strcmp(head->name, "file") == 0)
        return "{ type: file, paths: [\"/tmp/sluice-contract-no-such/*.log\"], read: follow }";
    if (strcmp(head->name, "plugin") == 0) /* a plugin must be there: the documentation's own */
        return "{ type: plugin, inputs: [parsed], path: \"" SL_CONTRACT_PLUGIN "\", settings: { field: user.email, copies: 1 } }";
    return head->example;
}

void *contract_config(const struct sl_head *head)
{
    return config_of(head, contract_settings(head));
}

/* ---- what a process holds ---- */

static uint32_t contract_count(const char *folder)
{
    DIR *dir = opendir(folder);
    uint32_t count = 0;

    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    assert_int_equal(closedir(dir), 0);
    return count;
}

uint32_t contract_open_files(void)
{
    return contract_count("/proc/self/fd") - 1; /* the folder itself */
}

uint32_t contract_threads(void)
{
    return contract_count("/proc/self/task");
}
