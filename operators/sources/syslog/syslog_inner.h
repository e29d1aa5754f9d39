/* syslog_inner.h: the inside of the syslog source, shared by its parts: syslog.c (kind, thread), syslog_place.c (addresses and
 * listening sockets), syslog_conn.c (TCP and TLS connections), syslog_join.c (several lines of a connection are one record), syslog_datagram.c (UDP),
 * syslog_tls.c.
 *
 * Threads: everything belongs to the source's one thread, but for `counts` (read by slots) and the front's own lock.
 * Ownership: a connection owns its descriptor, its TLS session and its buffer; the front's batches own what was taken.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_SYSLOG_INNER_H
#define SL_OPERATORS_SOURCES_SYSLOG_INNER_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "operators/sources/front.h"
#include "operators/sources/multiline.h"
#include "operators/sources/syslog/syslog_frame.h"
#include "runtime/base/listener.h"

enum { SYSLOG_PLACES_MAX = 64, SYSLOG_DATAGRAMS = 32, SYSLOG_DATAGRAM_BYTES = 65536, SYSLOG_PEER_BYTES = 48 };

enum syslog_transport { SYSLOG_UDP, SYSLOG_TCP, SYSLOG_TLS };

struct syslog_tls_config {
    const char *certificate, *key, *ca;
};

struct syslog_config {
    struct sl_strings listen;
    int framing; /* enum sl_syslog_framing */
    uint64_t connections, memory, timeout, idle, receive_buffer, partitions;
    struct syslog_tls_config tls;
    struct sl_multiline_config multiline;
    bool peer;
};

/* Rows of syslog_counters. */
enum syslog_count {
    SYSLOG_MESSAGES,
    SYSLOG_TOO_LARGE,
    SYSLOG_LOST_KERNEL,
    SYSLOG_LOST,
    SYSLOG_BROKEN,
    SYSLOG_TIMED_OUT,
    SYSLOG_TURNED_AWAY,
    SYSLOG_TLS_FAILED,
    SYSLOG_COUNTS
};

enum syslog_lane { SYSLOG_STREAMS, SYSLOG_DATAGRAMS_LANE, SYSLOG_LANES };

/* What epoll points to: first member of a place, a connection, or the wake-up. */
enum syslog_handle { SYSLOG_WAKE, SYSLOG_PLACE, SYSLOG_CONN };

struct syslog_place { /* one listener */
    enum syslog_handle handle;
    enum syslog_transport transport;
    const char *text;
    char name[SL_LISTENER_NAME_BYTES]; /* of its socket (base/listener.h) */
    int fd;
    uint32_t events;   /* that epoll watches; UDP: none while there is no batch */
    uint32_t dropped;  /* the kernel's count so far */
};

/* Whose message: the value of the header, made once a batch. */
struct syslog_peer {
    char text[SYSLOG_PEER_BYTES];
    const struct sl_front_batch *batch; /* that holds `header` */
    uint64_t number;                    /* of the batch: batches are used again */
    const struct sl_header *header;
};

/* A connection: HANDSHAKE (TLS) -> OPEN -> END (its last bytes wait for a batch) -> closed. */
enum syslog_state { SYSLOG_HANDSHAKE, SYSLOG_OPEN, SYSLOG_END };

struct syslog_conn {
    enum syslog_handle handle;
    enum syslog_state state;
    int fd;
    uint32_t events; /* that epoll watches */
    SSL *ssl;
    struct sl_syslog_frames frames;
    struct syslog_peer peer;
    char *data;
    size_t bytes, capacity;
    uint64_t charged;  /* of the source's memory: what `data` has above its first block */
    uint64_t since_ns; /* the message that is not whole began to come; 0: none */
    uint64_t heard_ns; /* the last byte */
    struct { /* the record that may go on (syslog_join.c) */
        struct sl_multiline_state state;
        char *data; /* NULL: none is open */
        size_t bytes, capacity;
        uint64_t heard_ns;
    } open;
    bool due;          /* in the list of those to be served without news */
    bool starved;      /* due, since there is no batch: our fault, no time-out runs */
    bool turn;         /* due, only since others have their turn first */
    struct syslog_conn *due_next, *next, **at;
};

struct syslog_front {
    struct sl_front front; /* first: api->shared is a struct sl_front */
    const struct syslog_config *config;
    const struct sl_api *api; /* of share(): lives as long */
    uint64_t max_record_bytes;
    char *owner; /* of its sockets */
    SSL_CTX *tls;
    struct sl_multiline *multiline; /* NULL: a line is a record */
    pthread_t thread;
    bool running;
    int epoll_fd, wake_fd;
    enum syslog_handle wake; /* SYSLOG_WAKE, for epoll */
    struct syslog_place places[SYSLOG_PLACES_MAX];
    uint32_t places_count;
    struct syslog_conn *conns, *due;
    uint32_t conns_count;
    uint64_t memory_bytes; /* charged to connections */
    struct { /* what is being filled */
        struct sl_front_batch *batch;
        uint64_t number, since_ns;
    } lanes[SYSLOG_LANES];
    uint64_t batches;
    uint64_t now_ns, looked_ns, look_ns;
    struct { /* datagrams that were read and have no batch yet */
        uint32_t count, at;
        char *bytes; /* [SYSLOG_DATAGRAMS * SYSLOG_DATAGRAM_BYTES] */
        struct mmsghdr *heads;
        struct iovec *parts;
        struct sockaddr_storage *from;
        struct syslog_peer peer;
        struct sockaddr_storage peer_of;
    } datagrams;
    _Atomic uint64_t counts[SYSLOG_COUNTS];
};

static inline void syslog_tally(struct syslog_front *syslog, enum syslog_count row, uint64_t by)
{
    (void)atomic_fetch_add(&syslog->counts[row], by);
}

/* ---- syslog.c ---- */
/* True: two more messages fit into the lane's batch (a message above max_record is at most one byte longer). */
bool syslog_room(struct syslog_front *syslog, enum syslog_lane lane);
/* Takes a copy; syslog_room() was true. */
void syslog_take(struct syslog_front *syslog, enum syslog_lane lane, struct syslog_peer *peer, struct sl_slice message);
/* epoll: what is watched changes from *inout_events; 0: nothing, not even a broken connection. */
void syslog_watch(struct syslog_front *syslog, int fd, void *handle, uint32_t *inout_events, uint32_t events);

/* ---- syslog_place.c ---- */
/* "udp://HOST:PORT", tcp, tls; syntax only. */
int syslog_place_scan(const char *text, enum syslog_transport *ret_transport, char *host, size_t host_bytes, char *port,
                      size_t port_bytes, struct sl_err *err);
int syslog_place_open(struct syslog_front *syslog, struct syslog_place *place, struct sl_err *err);
/* Nobody else comes, or all that come wait for a successor. */
void syslog_place_close(struct syslog_place *place);
void syslog_peer_name(const struct sockaddr_storage *address, char *text, size_t bytes);

/* ---- syslog_conn.c ---- */
void syslog_conn_accept(struct syslog_front *syslog, struct syslog_place *place);
void syslog_conn_serve(struct syslog_front *syslog, struct syslog_conn *conn);
/* Those that waited: for a batch, for memory, for their turn. True: some wait still for their turn only. */
bool syslog_conn_serve_due(struct syslog_front *syslog);
/* Closes what has been silent for too long. */
void syslog_conn_look(struct syslog_front *syslog);
/* Reads what has come already, keeps unfinished lines, closes all. */
void syslog_conn_stop(struct syslog_front *syslog);

/* ---- syslog_join.c ---- */
/* A message of the connection: taken, or kept open. syslog_room() was true; up to two records go into the batch. */
void syslog_join(struct syslog_front *syslog, struct syslog_conn *conn, struct sl_slice message);
/* The open record, if there is one, is complete. syslog_room() was true. */
void syslog_join_end(struct syslog_front *syslog, struct syslog_conn *conn);
void syslog_join_free(struct syslog_front *syslog, struct syslog_conn *conn);

/* ---- syslog_datagram.c ---- */
int syslog_datagram_init(struct syslog_front *syslog);
void syslog_datagram_fini(struct syslog_front *syslog);
void syslog_datagram_serve(struct syslog_front *syslog, struct syslog_place *place);
/* Those that were read and waited for a batch. */
void syslog_datagram_serve_due(struct syslog_front *syslog);
void syslog_datagram_look(struct syslog_front *syslog);
void syslog_datagram_stop(struct syslog_front *syslog);

/* ---- syslog_tls.c ---- */
int syslog_tls_open(const struct syslog_tls_config *config, SSL_CTX **ret_tls, struct sl_err *err);
/* Bytes read; 0: the end; -EAGAIN: *ret_events tells what to wait for; else -errno, -EPROTO for what TLS itself says. */
int64_t syslog_tls_read(SSL *ssl, void *data, size_t bytes, uint32_t *ret_events);
/* 0: done; -EAGAIN as above; else it failed, and `why` says how. */
int syslog_tls_accept(SSL *ssl, uint32_t *ret_events, char *why, size_t why_bytes);

#endif
