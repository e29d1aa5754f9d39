/* syslog_place.c: what a syslog source listens on: the text of an address, and the socket behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "operators/sources/syslog/syslog_inner.h"

static const struct {
    const char *scheme;
    enum syslog_transport transport;
} place_schemes[] = {{"udp://", SYSLOG_UDP}, {"tcp://", SYSLOG_TCP}, {"tls://", SYSLOG_TLS}};

static int place_bad(const char *text, struct sl_err *err)
{
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   "listen: \"%.100s\" is not udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT; write for example udp://0.0.0.0:5514",
                   text);
}

static int place_port(const char *text)
{
    char *end = NULL;

    return text[0] != '\0' && strlen(text) <= 5 && strspn(text, "0123456789") == strlen(text) && strtoul(text, &end, 10) <= 65535
               ? 0
               : -1;
}

int syslog_place_scan(const char *text, enum syslog_transport *ret_transport, char *host, size_t host_bytes, char *port,
                      size_t port_bytes, struct sl_err *err)
{
    const char *at = NULL, *colon;
    size_t bytes;

    for (size_t i = 0; i < sizeof(place_schemes) / sizeof(place_schemes[0]); i++)
        if (strncmp(text, place_schemes[i].scheme, strlen(place_schemes[i].scheme)) == 0) {
            *ret_transport = place_schemes[i].transport;
            at = text + strlen(place_schemes[i].scheme);
        }
    colon = at == NULL ? NULL : strrchr(at, ':');
    if (colon == NULL || place_port(colon + 1) != 0)
        return place_bad(text, err);
    bytes = (size_t)(colon - at);
    if (bytes >= 2 && at[0] == '[' && colon[-1] == ']') {
        at++;
        bytes -= 2;
    } else if (memchr(at, ':', bytes) != NULL) {
        return place_bad(text, err); /* an IPv6 address without brackets */
    }
    if (bytes >= host_bytes || strlen(colon + 1) >= port_bytes)
        return place_bad(text, err);
    memcpy(host, at, bytes);
    host[bytes] = '\0';
    (void)snprintf(port, port_bytes, "%s", colon + 1);
    return 0;
}

/* As much as was asked for, by privilege if we have it; what the kernel gives less is news for the log. */
static void place_buffer(struct syslog_front *syslog, const struct syslog_place *place)
{
    int want = (int)syslog->config->receive_buffer, got = 0;
    socklen_t bytes = sizeof(got);
    struct sl_err err;

    if (setsockopt(place->fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)) != 0)
        (void)setsockopt(place->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
    if (getsockopt(place->fd, SOL_SOCKET, SO_RCVBUF, &got, &bytes) != 0 || got / 2 >= want) /* the kernel doubles it */
        return;
    (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0,
                  "source %s: %s has a receive buffer of %d bytes, not %d: the system allows no more; raise net.core.rmem_max",
                  syslog->front.component, place->text, got / 2, want);
    sl_front_trouble(&syslog->front, &err);
}

struct place_opening {
    const struct syslog_place *place;
    const struct addrinfo *at;
};

static int place_bind(void *user, int *ret_fd, struct sl_err *err)
{
    const struct place_opening *opening = user;
    const struct addrinfo *at = opening->at;
    bool stream = opening->place->transport != SYSLOG_UDP;
    int one = 1, fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && at->ai_family == AF_INET6) /* [::] takes IPv4 as well */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (fd >= 0 && stream)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 && (!stream || listen(fd, 1024) == 0)) {
        *ret_fd = fd;
        return 0;
    }
    (void)sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "%s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return -SL_E_IO;
}

int syslog_place_open(struct syslog_front *syslog, struct syslog_place *place, struct sl_err *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    struct place_opening opening = {.place = place};
    char host[256], port[8];
    int rc = syslog_place_scan(place->text, &place->transport, host, sizeof(host), port, sizeof(port), err);

    if (rc != 0)
        return rc;
    hints.ai_socktype = place->transport == SYSLOG_UDP ? SOCK_DGRAM : SOCK_STREAM;
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (rc != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: %s: %s", place->text, gai_strerror(rc));
    opening.at = found;
    (void)sl_listener_name(place->transport == SYSLOG_UDP ? "udp" : "tcp", found->ai_addr, place->name);
    rc = sl_listener_get(place->name, syslog->owner, place_bind, &opening, &place->fd, err);
    freeaddrinfo(found);
    if (rc != 0)
        return sl_while(err, "cannot listen on %s", place->text);
    if (place->transport == SYSLOG_UDP)
        place_buffer(syslog, place);
    return 0;
}

/* Twice is as well as once. */
void syslog_place_close(struct syslog_place *place)
{
    if (place->fd < 0)
        return;
    sl_listener_put(place->name, place->fd);
    (void)close(place->fd);
    place->fd = -1;
}

void syslog_peer_name(const struct sockaddr_storage *address, char *text, size_t bytes)
{
    static const char mapped[] = "::ffff:"; /* IPv4 on an IPv6 socket */
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    (void)snprintf(text, bytes, "-");
    if (address->ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &v4->sin_addr, text, (socklen_t)bytes);
    else if (address->ss_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, text, (socklen_t)bytes);
    if (strncmp(text, mapped, sizeof(mapped) - 1) == 0 && strchr(text, '.') != NULL)
        memmove(text, text + sizeof(mapped) - 1, strlen(text) - sizeof(mapped) + 2);
}
