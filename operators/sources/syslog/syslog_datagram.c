/* syslog_datagram.c: syslog over UDP (RFC 5426): a message a datagram.
 *
 * While the spool takes nothing, datagrams stay in the kernel's receive buffer: what that cannot hold is lost and counted by it
 * (SK_MEMINFO_DROPS), and by us once a second and at the end. What has been read waits for a batch and is never dropped here.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "operators/sources/syslog/syslog_inner.h"

enum { DATAGRAM_ROUNDS = 16, DATAGRAM_LAST_ROUNDS = 4096 };

int syslog_datagram_init(struct syslog_front *syslog)
{
    syslog->datagrams.bytes = malloc((size_t)SYSLOG_DATAGRAMS * SYSLOG_DATAGRAM_BYTES); /* touched as far as datagrams reach */
    syslog->datagrams.heads = calloc(SYSLOG_DATAGRAMS, sizeof(*syslog->datagrams.heads));
    syslog->datagrams.parts = calloc(SYSLOG_DATAGRAMS, sizeof(*syslog->datagrams.parts));
    syslog->datagrams.from = calloc(SYSLOG_DATAGRAMS, sizeof(*syslog->datagrams.from));
    if (syslog->datagrams.bytes == NULL || syslog->datagrams.heads == NULL || syslog->datagrams.parts == NULL ||
        syslog->datagrams.from == NULL)
        return -1;
    for (size_t i = 0; i < SYSLOG_DATAGRAMS; i++)
        syslog->datagrams.parts[i] = (struct iovec){syslog->datagrams.bytes + i * SYSLOG_DATAGRAM_BYTES, SYSLOG_DATAGRAM_BYTES};
    return 0;
}

void syslog_datagram_fini(struct syslog_front *syslog)
{
    free(syslog->datagrams.bytes);
    free(syslog->datagrams.heads);
    free(syslog->datagrams.parts);
    free(syslog->datagrams.from);
}

/* The sender of the one before is most often this one's too. */
static struct syslog_peer *datagram_peer(struct syslog_front *syslog, uint32_t i)
{
    const struct sockaddr_storage *from = &syslog->datagrams.from[i];
    struct sockaddr_storage *known = &syslog->datagrams.peer_of;

    if (from->ss_family != known->ss_family || memcmp(from, known, sizeof(*from)) != 0) {
        *known = *from;
        syslog->datagrams.peer = (struct syslog_peer){.batch = NULL};
        syslog_peer_name(from, syslog->datagrams.peer.text, sizeof(syslog->datagrams.peer.text));
    }
    return &syslog->datagrams.peer;
}

/* The end of line that some senders put there is framing, not message. */
static struct sl_slice datagram_message(const struct syslog_front *syslog, uint32_t i)
{
    struct sl_slice message = {syslog->datagrams.parts[i].iov_base, syslog->datagrams.heads[i].msg_len};

    if (message.bytes > 0 && message.data[message.bytes - 1] == '\n')
        message.bytes--;
    return message;
}

/* False: the rest waits for a batch. */
static bool datagram_take(struct syslog_front *syslog)
{
    for (; syslog->datagrams.at < syslog->datagrams.count; syslog->datagrams.at++) {
        uint32_t i = syslog->datagrams.at;
        struct sl_slice message = datagram_message(syslog, i);

        if (message.bytes == 0)
            continue;
        if (!syslog_room(syslog, SYSLOG_DATAGRAMS_LANE))
            return false;
        syslog_take(syslog, SYSLOG_DATAGRAMS_LANE, datagram_peer(syslog, i), message);
    }
    syslog->datagrams.at = syslog->datagrams.count = 0;
    return true;
}

static int datagram_read(struct syslog_front *syslog, const struct syslog_place *place)
{
    int got;

    for (uint32_t i = 0; i < SYSLOG_DATAGRAMS; i++) {
        memset(&syslog->datagrams.from[i], 0, sizeof(syslog->datagrams.from[i])); /* compared whole */
        syslog->datagrams.heads[i].msg_hdr = (struct msghdr){.msg_name = &syslog->datagrams.from[i],
                                                             .msg_namelen = sizeof(syslog->datagrams.from[i]),
                                                             .msg_iov = &syslog->datagrams.parts[i],
                                                             .msg_iovlen = 1};
    }
    do
        got = recvmmsg(place->fd, syslog->datagrams.heads, SYSLOG_DATAGRAMS, MSG_DONTWAIT, NULL);
    while (got < 0 && errno == EINTR);
    syslog->datagrams.at = 0;
    syslog->datagrams.count = got > 0 ? (uint32_t)got : 0;
    return got;
}

void syslog_datagram_serve(struct syslog_front *syslog, struct syslog_place *place)
{
    for (int round = 0; round < DATAGRAM_ROUNDS; round++) {
        if (!datagram_take(syslog) || !syslog_room(syslog, SYSLOG_DATAGRAMS_LANE)) {
            syslog_watch(syslog, place->fd, place, &place->events, 0);
            return;
        }
        if (datagram_read(syslog, place) < (int)SYSLOG_DATAGRAMS)
            round = DATAGRAM_ROUNDS; /* all that there was; taken below, or by the next round */
        if (!datagram_take(syslog)) {
            syslog_watch(syslog, place->fd, place, &place->events, 0);
            return;
        }
    }
}

void syslog_datagram_serve_due(struct syslog_front *syslog)
{
    if (!datagram_take(syslog))
        return;
    for (uint32_t i = 0; i < syslog->places_count; i++)
        if (syslog->places[i].transport == SYSLOG_UDP && syslog->places[i].events == 0 &&
            syslog_room(syslog, SYSLOG_DATAGRAMS_LANE))
            syslog_watch(syslog, syslog->places[i].fd, &syslog->places[i], &syslog->places[i].events, EPOLLIN);
}

void syslog_datagram_look(struct syslog_front *syslog)
{
    for (uint32_t i = 0; i < syslog->places_count; i++) {
        struct syslog_place *place = &syslog->places[i];
        uint32_t memory[SK_MEMINFO_VARS] = {0};
        socklen_t bytes = sizeof(memory);

        if (place->transport != SYSLOG_UDP || place->fd < 0 ||
            getsockopt(place->fd, SOL_SOCKET, SO_MEMINFO, memory, &bytes) != 0)
            continue;
        syslog_tally(syslog, SYSLOG_LOST_KERNEL, memory[SK_MEMINFO_DROPS] - place->dropped); /* 32 bits that wrap */
        place->dropped = memory[SK_MEMINFO_DROPS];
    }
}

/* What has come already is taken, as far as the spool takes it; the rest is lost with the socket, and counted. */
void syslog_datagram_stop(struct syslog_front *syslog)
{
    for (uint32_t i = 0; i < syslog->places_count; i++) {
        struct syslog_place *place = &syslog->places[i];
        bool taken = datagram_take(syslog);

        for (int round = 0; place->transport == SYSLOG_UDP && taken && round < DATAGRAM_LAST_ROUNDS; round++) {
            if (!syslog_room(syslog, SYSLOG_DATAGRAMS_LANE) || datagram_read(syslog, place) <= 0)
                break;
            taken = datagram_take(syslog);
        }
    }
    syslog_tally(syslog, SYSLOG_LOST, syslog->datagrams.count - syslog->datagrams.at);
    syslog_datagram_look(syslog);
}
