/* syslog.c: the `syslog` source: messages over UDP, TCP and TLS, as they came, through the spool.
 *
 * One thread with epoll serves all listeners and connections. Messages are collected in two batches, one for streams and one for
 * datagrams, so that a flood of one does not starve the other; a batch leaves when it is full, when nothing is on its way to the
 * disk, or after SYSLOG_LINGER_NS. Streams get half of the front's batches at most: a slow spool stops them first.
 * At a stop listeners close, what has come already is read, unfinished lines count, and everything is durable before the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/syslog/syslog.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "operators/sources/sources.h"
#include "operators/sources/syslog/syslog_inner.h"
#include "runtime/base/clock.h"

enum { SYSLOG_EVENTS = 256, SYSLOG_SOFT_BYTES = SL_FRONT_BATCH_BYTES };

#define SYSLOG_LINGER_NS (20 * SL_NS_PER_MS)
#define SYSLOG_RETRY_NS (20 * SL_NS_PER_MS) /* between two tries of a refused append */
#define SYSLOG_LOOK_NS SL_NS_PER_S
#define SYSLOG_JOIN_LOOK_NS (100 * SL_NS_PER_MS) /* for open records */

struct syslog_slot { /* self */
    struct sl_front_slot slot; /* first */
    uint64_t told[SYSLOG_COUNTS];
};

static const char *const syslog_framings[] = {"auto", "octet", "newline", NULL};

static const struct sl_field syslog_tls_fields[] = {
    SL_FIELD(syslog_tls_config, certificate, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "Certificate chain, PEM."),
    SL_FIELD(syslog_tls_config, key, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "Private key, PEM."),
    SL_FIELD(syslog_tls_config, ca, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "If set, senders must show a certificate that one of these CAs signed, PEM."),
    {0},
};

static const struct sl_field syslog_fields[] = {
    SL_FIELD(syslog_config, listen, SL_F_STRINGS, .flags = SL_F_REQUIRED,
             .help = "Listeners: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT; an IPv6 host in brackets."),
    SL_FIELD(syslog_config, framing, SL_F_ENUM, .def = "auto", .values = syslog_framings,
             .help = "TCP and TLS: octet counting, a line each, or what a connection's first bytes say (RFC 6587)."),
    SL_FIELD(syslog_config, connections, SL_F_U64, .def = "1000", .min = "1", .max = "100000", .help = "Open connections at most."),
    SL_FIELD(syslog_config, memory, SL_F_BYTES, .def = "64MiB", .min = "64KiB", .max = "64GiB",
             .help = "Memory of unfinished messages of all connections, above 16 KiB each; who gets none waits."),
    SL_FIELD(syslog_config, timeout, SL_F_DURATION, .def = "60s", .min = "1s", .max = "1h",
             .help = "A message that has begun, or a TLS handshake, must be whole within this, else the connection is closed."),
    SL_FIELD(syslog_config, idle, SL_F_DURATION, .def = "0s", .min = "0s", .max = "24h",
             .help = "A connection that sends nothing for so long is closed; 0s never."),
    SL_FIELD(syslog_config, receive_buffer, SL_F_BYTES, .def = "4MiB", .min = "4KiB", .max = "1GiB",
             .help = "UDP: the kernel's buffer of a listener; what it cannot hold is lost, and counted."),
    SL_FIELD(syslog_config, peer, SL_F_BOOL, .def = "true", .help = "Gives each record its sender's address as header sluice-peer."),
    SL_FIELD(syslog_config, multiline, SL_F_STRUCT, .sub = sl_multiline_fields,
             .help = "TCP and TLS: messages of one connection that belong to the one before, such as stack traces, become one record."),
    SL_FIELD(syslog_config, tls, SL_F_STRUCT, .sub = syslog_tls_fields, .help = "Certificate and key of the tls:// listeners."),
    SL_FIELD(syslog_config, partitions, SL_F_U64, .def = "1", .min = "1", .max = "1024",
             .help = "Partitions of the spool topic TOPOLOGY.SOURCE; with more than one, messages lose their order."),
    {0},
};

static const struct sl_counter syslog_counters[] = {
    [SYSLOG_MESSAGES] = {"messages_total", "messages", "Messages taken."},
    [SYSLOG_TOO_LARGE] = {"too_large_total", "messages", "Messages above max_record: their first bytes become a dead letter."},
    [SYSLOG_LOST_KERNEL] = {"lost_kernel_total", "datagrams", "UDP: lost by the kernel, since the receive buffer was full."},
    [SYSLOG_LOST] = {"lost_total", "messages", "Read, and given up at a stop, since the spool took nothing."},
    [SYSLOG_BROKEN] = {"broken_total", "connections", "Closed, since the stream held no frame or ended inside a counted message."},
    [SYSLOG_TIMED_OUT] = {"timed_out_total", "connections", "Closed by timeout or idle."},
    [SYSLOG_TURNED_AWAY] = {"turned_away_total", "connections", "Closed at once, since `connections` were open."},
    [SYSLOG_TLS_FAILED] = {"tls_failed_total", "connections", "Closed, since the TLS handshake failed."},
    [SYSLOG_COUNTS] = {NULL, NULL, NULL},
};

static int syslog_check(const void *config, struct sl_err *err)
{
    const struct syslog_config *c = config;
    enum syslog_transport transport;
    char host[256], port[8];
    bool tls = false;

    if (c->listen.count == 0 || c->listen.count > SYSLOG_PLACES_MAX)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: %u listeners; write 1 to %d, for example [\"udp://0.0.0.0:5514\"]",
                       c->listen.count, SYSLOG_PLACES_MAX);
    for (uint32_t i = 0; i < c->listen.count; i++) {
        if (syslog_place_scan(c->listen.items[i], &transport, host, sizeof(host), port, sizeof(port), err) != 0)
            return -(int)err->code;
        tls = tls || transport == SYSLOG_TLS;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(c->listen.items[i], c->listen.items[k]) == 0 && strcmp(port, "0") != 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: \"%s\" stands there twice; leave one out", c->listen.items[i]);
    }
    if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "tls: certificate and key go together; add the one that is missing");
    if (tls && c->tls.certificate == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "tls: missing; a tls:// listener needs tls: { certificate: FILE, key: FILE }");
    if (!tls && (c->tls.certificate != NULL || c->tls.ca != NULL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "tls: set, but nothing listens with TLS; write tls://HOST:PORT in listen");
    return sl_multiline_check(&c->multiline, err);
}

/* ---- batches ---- */

static void syslog_offer(struct syslog_front *syslog, enum syslog_lane lane)
{
    struct sl_front_batch *batch = syslog->lanes[lane].batch;

    syslog->lanes[lane].batch = NULL;
    if (batch != NULL)
        sl_front_offer(&syslog->front, batch);
}

bool syslog_room(struct syslog_front *syslog, enum syslog_lane lane)
{
    struct sl_front_batch *batch = syslog->lanes[lane].batch;

    if (batch != NULL && batch->count + 2 <= SL_FRONT_BATCH_RECORDS && batch->used_bytes < SYSLOG_SOFT_BYTES)
        return true;
    syslog_offer(syslog, lane);
    batch = sl_front_try(&syslog->front, lane == SYSLOG_STREAMS ? SL_FRONT_BATCHES / 2 : 0);
    if (batch == NULL && atomic_load(&syslog->front.stop)) /* the last ones: what was read is kept */
        batch = sl_front_spare(&syslog->front);
    if (batch == NULL)
        return false;
    syslog->lanes[lane].batch = batch;
    syslog->lanes[lane].number = ++syslog->batches;
    syslog->lanes[lane].since_ns = syslog->now_ns;
    return true;
}

static char *syslog_copy(struct sl_front_batch *batch, const void *data, size_t bytes)
{
    char *to = batch->bytes + batch->used_bytes;

    assert(batch->used_bytes + bytes <= batch->capacity_bytes);
    memcpy(to, data, bytes);
    batch->used_bytes += (uint32_t)bytes;
    return to;
}

/* The header lies in the batch: a refused append needs it again. */
static const struct sl_header *syslog_header(struct syslog_front *syslog, enum syslog_lane lane, struct syslog_peer *peer)
{
    struct sl_front_batch *batch = syslog->lanes[lane].batch;
    struct sl_header header = {sl_slice_of("sluice-peer"), sl_slice_of(peer->text)};

    if (peer->batch == batch && peer->number == syslog->lanes[lane].number)
        return peer->header;
    header.value.data = syslog_copy(batch, peer->text, header.value.bytes);
    batch->used_bytes = (batch->used_bytes + 15u) & ~15u;
    peer->header = (const struct sl_header *)(const void *)syslog_copy(batch, &header, sizeof(header));
    peer->batch = batch;
    peer->number = syslog->lanes[lane].number;
    return peer->header;
}

void syslog_take(struct syslog_front *syslog, enum syslog_lane lane, struct syslog_peer *peer, struct sl_slice message)
{
    struct sl_front_batch *batch = syslog->lanes[lane].batch;
    struct sl_spool_record record = {.payload = {NULL, message.bytes}};

    if (syslog->config->peer) {
        record.headers = syslog_header(syslog, lane, peer);
        record.headers_count = 1;
    }
    record.payload.data = syslog_copy(batch, message.data, message.bytes);
    batch->records[batch->count++] = record;
    syslog_tally(syslog, SYSLOG_MESSAGES, 1);
    if (message.bytes > syslog->max_record_bytes)
        syslog_tally(syslog, SYSLOG_TOO_LARGE, 1);
}

/* Sends what is due; ns until the next is. */
static uint64_t syslog_send(struct syslog_front *syslog)
{
    bool busy = sl_front_busy(&syslog->front);
    uint64_t wait_ns = UINT64_MAX;

    for (int i = 0; i < SYSLOG_LANES; i++) {
        const struct sl_front_batch *batch = syslog->lanes[i].batch;
        uint64_t age_ns = syslog->now_ns - syslog->lanes[i].since_ns;
        if (batch == NULL || batch->count == 0)
            continue;
        if (!busy || age_ns >= SYSLOG_LINGER_NS)
            syslog_offer(syslog, (enum syslog_lane)i);
        else if (SYSLOG_LINGER_NS - age_ns < wait_ns)
            wait_ns = SYSLOG_LINGER_NS - age_ns;
    }
    return wait_ns;
}

/* ---- the thread ---- */

void syslog_watch(struct syslog_front *syslog, int fd, void *handle, uint32_t *inout_events, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = handle};
    int rc;

    if (*inout_events == events)
        return;
    rc = epoll_ctl(syslog->epoll_fd, events == 0 ? EPOLL_CTL_DEL : *inout_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    assert(rc == 0 || errno == ENOMEM || errno == ENOSPC);
    if (rc == 0)
        *inout_events = events;
}

static void syslog_event(struct syslog_front *syslog, void *pointer)
{
    const enum syslog_handle *handle = pointer;
    uint64_t count;

    if (*handle == SYSLOG_CONN)
        syslog_conn_serve(syslog, pointer);
    else if (*handle == SYSLOG_WAKE)
        (void)eventfd_read(syslog->wake_fd, &count);
    else if (((struct syslog_place *)pointer)->transport == SYSLOG_UDP)
        syslog_datagram_serve(syslog, pointer);
    else
        syslog_conn_accept(syslog, pointer);
}

static void syslog_look(struct syslog_front *syslog)
{
    if (syslog->now_ns - syslog->looked_ns < syslog->look_ns)
        return;
    syslog->looked_ns = syslog->now_ns;
    syslog_conn_look(syslog);
    syslog_datagram_look(syslog);
}

/* One round; ns until the next without news. */
static uint64_t syslog_round(struct syslog_front *syslog, uint64_t wait_ns)
{
    struct epoll_event events[SYSLOG_EVENTS];
    uint64_t wait_ms = (wait_ns + SL_NS_PER_MS - 1) / SL_NS_PER_MS, retry_ns = UINT64_MAX;
    int count = epoll_wait(syslog->epoll_fd, events, SYSLOG_EVENTS, (int)wait_ms);
    bool turn;

    syslog->now_ns = sl_clock_now_ns();
    if (sl_front_retry(&syslog->front))
        retry_ns = SYSLOG_RETRY_NS;
    for (int i = 0; i < count; i++)
        syslog_event(syslog, events[i].data.ptr);
    turn = syslog_conn_serve_due(syslog);
    syslog_datagram_serve_due(syslog);
    syslog_look(syslog);
    wait_ns = syslog_send(syslog);
    if (turn)
        return 0;
    wait_ns = retry_ns < wait_ns ? retry_ns : wait_ns;
    return wait_ns < syslog->look_ns ? wait_ns : syslog->look_ns;
}

static void syslog_lost(struct syslog_front *syslog)
{
    struct sl_err err;
    uint64_t lost = 0;

    for (const struct sl_front_batch *batch = syslog->front.again; batch != NULL; batch = batch->next)
        lost += batch->count;
    syslog_tally(syslog, SYSLOG_LOST, lost);
    (void)sl_fail(&err, SL_E_IO, SL_REMEDY_RETRY, 0,
                  "source %s: stopped while the spool took nothing: %" PRIu64 " messages that were read are lost",
                  syslog->front.component, atomic_load(&syslog->counts[SYSLOG_LOST]));
    syslog->api->log(syslog->api->env, &err, "source");
}

static void *syslog_main(void *user)
{
    struct syslog_front *syslog = user;
    uint64_t wait_ns = 0;
    sigset_t pipes;

    (void)sigemptyset(&pipes); /* TLS writes to senders that have gone */
    (void)sigaddset(&pipes, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    while (!atomic_load(&syslog->front.stop))
        wait_ns = syslog_round(syslog, wait_ns);
    for (uint32_t i = 0; i < syslog->places_count; i++) /* nobody else comes */
        if (syslog->places[i].transport != SYSLOG_UDP)
            syslog_place_close(&syslog->places[i]);
    syslog->now_ns = sl_clock_now_ns();
    syslog_conn_stop(syslog);
    syslog_datagram_stop(syslog);
    for (int i = 0; i < SYSLOG_LANES; i++)
        syslog_offer(syslog, (enum syslog_lane)i);
    if (sl_front_drain(&syslog->front) != 0)
        syslog_lost(syslog);
    return NULL;
}

/* The spool's writer thread, under the front's lock. */
static void syslog_freed(void *user)
{
    (void)eventfd_write(((struct syslog_front *)user)->wake_fd, 1);
}

/* ---- start and stop ---- */

static void syslog_unshare(void *shared)
{
    struct syslog_front *syslog = shared;

    if (syslog == NULL)
        return;
    if (syslog->running) {
        sl_front_stop(&syslog->front);
        (void)eventfd_write(syslog->wake_fd, 1);
        (void)pthread_join(syslog->thread, NULL);
    }
    for (uint32_t i = 0; i < syslog->places_count; i++)
        syslog_place_close(&syslog->places[i]);
    sl_front_fini(&syslog->front);
    if (syslog->epoll_fd >= 0)
        (void)close(syslog->epoll_fd);
    if (syslog->wake_fd >= 0)
        (void)close(syslog->wake_fd);
    SSL_CTX_free(syslog->tls);
    syslog->multiline = sl_multiline_free(syslog->multiline);
    syslog_datagram_fini(syslog);
    free(syslog->owner);
    free(syslog);
}

static int syslog_places(struct syslog_front *syslog, struct sl_err *err)
{
    for (uint32_t i = 0; i < syslog->config->listen.count; i++) {
        struct syslog_place *place = &syslog->places[i];
        *place = (struct syslog_place){.handle = SYSLOG_PLACE, .text = syslog->config->listen.items[i], .fd = -1};
        syslog->places_count++;
        if (syslog_place_open(syslog, place, err) != 0)
            return -(int)err->code;
        syslog_watch(syslog, place->fd, place, &place->events, EPOLLIN);
    }
    return 0;
}

static uint32_t syslog_batch_bytes(const struct syslog_front *syslog)
{
    uint64_t message = syslog->max_record_bytes + 1;

    if (message < SYSLOG_DATAGRAM_BYTES)
        message = SYSLOG_DATAGRAM_BYTES;
    return (uint32_t)(SYSLOG_SOFT_BYTES + 2 * message + 256); /* 256: a peer's header */
}

static int syslog_prepare(struct syslog_front *syslog, const struct sl_api *api, struct sl_err *err)
{
    const struct syslog_config *config = syslog->config;
    uint32_t events = 0;

    syslog->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    syslog->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syslog->epoll_fd < 0 || syslog->wake_fd < 0 || syslog_datagram_init(syslog) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, errno, "no memory");
    if (config->memory < syslog->max_record_bytes)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "memory: %" PRIu64 " bytes do not hold one message of max_record (%" PRIu64
                       "); raise memory", config->memory, syslog->max_record_bytes);
    if (asprintf(&syslog->owner, "%s/%s", api->topology, api->component) < 0) {
        syslog->owner = NULL;
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    }
    if (config->tls.certificate != NULL && syslog_tls_open(&config->tls, &syslog->tls, err) != 0)
        return -(int)err->code;
    if (sl_front_init(&syslog->front, api, config->partitions, syslog_batch_bytes(syslog), err) != 0)
        return -(int)err->code;
    syslog->look_ns = SYSLOG_LOOK_NS;
    if (sl_multiline_on(&config->multiline)) {
        syslog->look_ns = SYSLOG_JOIN_LOOK_NS;
        if (sl_multiline_new(&config->multiline, &syslog->multiline, err) != 0)
            return -(int)err->code;
    }
    syslog->front.freed = syslog_freed;
    syslog->front.freed_user = syslog;
    syslog_watch(syslog, syslog->wake_fd, &syslog->wake, &events, EPOLLIN);
    return syslog_places(syslog, err);
}

static int syslog_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    struct syslog_front *syslog = calloc(1, sizeof(*syslog));
    int rc;

    if (syslog == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    syslog->config = config;
    syslog->api = api;
    syslog->max_record_bytes = api->max_record_bytes;
    syslog->epoll_fd = syslog->wake_fd = -1;
    syslog->now_ns = syslog->looked_ns = sl_clock_now_ns();
    rc = syslog_prepare(syslog, api, err);
    if (rc == 0) {
        rc = pthread_create(&syslog->thread, NULL, syslog_main, syslog);
        syslog->running = rc == 0;
        if (rc != 0)
            rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, rc, "no thread");
    }
    if (rc != 0) {
        syslog_unshare(syslog);
        return sl_while(err, "source %s", api->component);
    }
    *ret_shared = syslog;
    return 0;
}

static int syslog_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                             struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct syslog_config *)config)->partitions;
    return 0;
}

/* ---- the slot's side ---- */

/* One slot tells for all. */
static void syslog_tell(struct syslog_slot *self)
{
    struct syslog_front *syslog = (struct syslog_front *)(void *)self->slot.front;
    const struct sl_api *api = self->slot.api;

    for (uint32_t i = 0; api->slot == 0 && i < SYSLOG_COUNTS; i++) {
        uint64_t count = atomic_load(&syslog->counts[i]);
        if (count != self->told[i])
            api->tally(api->env, self, i, count - self->told[i]);
        self->told[i] = count;
    }
}

static int syslog_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    syslog_tell(self);
    return sl_front_slot_poll(self, batch, err);
}

/* Losses are told although nothing else comes. */
static uint64_t syslog_wait_ns(void *self)
{
    return ((struct syslog_slot *)self)->slot.api->slot == 0 ? SL_NS_PER_S : UINT64_MAX;
}

uint16_t sl_syslog_port(const void *shared, uint32_t listener)
{
    const struct syslog_front *syslog = shared;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof(address);

    assert(listener < syslog->places_count);
    if (getsockname(syslog->places[listener].fd, (struct sockaddr *)&address, &bytes) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)&address)->sin6_port
                                               : ((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

uint64_t sl_syslog_count(const void *shared, const char *name)
{
    const struct syslog_front *syslog = shared;

    for (uint32_t i = 0; syslog_counters[i].name != NULL; i++)
        if (strcmp(syslog_counters[i].name, name) == 0)
            return atomic_load(&syslog->counts[i]);
    assert(!"no such counter");
    return 0;
}

const struct sl_source_kind sl_source_syslog = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "syslog",
             .summary = "Takes syslog over UDP, TCP and TLS; a record is the message as it came.",
             .example = "{ type: syslog, listen: [\"udp://127.0.0.1:5514\", \"tcp://127.0.0.1:5514\"] }",
             .fields = syslog_fields,
             .config_bytes = sizeof(struct syslog_config),
             .self_bytes = sizeof(struct syslog_slot),
             .counters = syslog_counters,
             .check = syslog_check,
             .share = syslog_share,
             .unshare = syslog_unshare},
    .open = sl_front_slot_open,
    .partitions = syslog_partitions,
    .poll = syslog_poll,
    .release = sl_front_slot_release,
    .seek = sl_front_slot_seek,
    .committed = sl_front_slot_committed,
    .fingerprint = sl_front_slot_fingerprint,
    .lag = sl_front_slot_lag,
    .pause = sl_front_slot_pause,
    .close = sl_front_slot_close,
    .wait_ns = syslog_wait_ns,
};
