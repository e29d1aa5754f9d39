/* control.c: routes requests to the process and answers them, on libmicrohttpd's own threads.
 *
 * A request goes: control_handle (once per piece) -> body collected -> control_who and control_admit (who asks, and may they) ->
 * control_answer (route, call the source, questions under the lock, one response). Ownership: the request struct lives in the connection's context and is freed by
 * control_completed, which libmicrohttpd calls once for every request that got a context.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control/control.h"

#include <assert.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/json_out.h"
#include "runtime/base/listener.h"
#include "runtime/control/listen.h"
#include "runtime/control/page.h"

enum { CONTROL_MAGIC = 0x63746c73, CONTROL_BODY_BYTES = 1 << 20, CONTROL_CONNECTIONS = 64, CONTROL_SILENCE_S = 30, CONTROL_LAST_S = 2 };
enum { CONTROL_TOKEN_BYTES_MIN = 16 };

struct control_place { /* one listening socket and its thread */
    struct sl_control *control;
    struct MHD_Daemon *daemon;
    struct MHD_Daemon *before; /* quiesced: connections of before, until the end */
    char name[SL_LISTENER_NAME_BYTES]; /* of the socket (base/listener.h) */
    int fd;                            /* while quiesced; else the daemon's */
    bool local; /* the Unix socket: peer credentials; else the token */
};

struct sl_control {
    uint32_t magic;
    struct sl_control_source source;
    pthread_mutex_t lock; /* around every question to the source */
    struct control_place places[2];
    char *socket, *listen, *token;
    bool made; /* device and inode are of the socket's file */
    uint64_t device, inode;
    uint16_t port;
    atomic_bool closing; /* streams end */
    pthread_mutex_t lives_lock;
    struct control_live *lives; /* under lives_lock */
    pthread_cond_t told;        /* an order's answer has gone out */
    uint32_t orders;            /* whose answers have not, under lives_lock */
};

struct control_request {
    struct sl_buf body;
    bool too_large, order;
};

struct control_asked { /* what a route needs of a request */
    const char *path; /* behind the route's own */
    const char *body;
    const struct sl_control_who *who; /* trusted only */
    bool trusted;
};

struct control_response {
    unsigned status;
    const char *type;
    struct sl_buf body;
    const char *allow; /* 405 */
    struct sl_control_stream *stream; /* or NULL: body */
};

struct control_live { /* a stream being sent */
    struct sl_control *control;
    pthread_mutex_t lock;             /* around its reading and its closing */
    struct sl_control_stream *stream; /* NULL: closed before its client has gone */
    int64_t (*read)(struct sl_control_stream *stream, char *to, size_t bytes); /* the stream's, which says whose it is */
    uint64_t sent_ns;
    struct control_live *next;
};

static const char control_json[] = "application/json", control_text[] = "text/plain; charset=utf-8";

static void control_fail(struct control_response *response, unsigned status, const char *text)
{
    struct sl_json_out out;
    sl_buf_reset(&response->body);
    response->status = status;
    response->type = control_json;
    sl_json_out_init(&out, &response->body);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "error", text);
    sl_json_out_end_object(&out);
    sl_buf_char(&response->body, '\n');
}

/* ---- routes ---- */

static void route_page(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    (void)control;
    (void)asked;
    response->type = "text/html; charset=utf-8";
    sl_buf_text(&response->body, sl_control_page);
}

static void route_status(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    const struct sl_control_source *source = &control->source;
    (void)asked;
    if (source->status == NULL)
        control_fail(response, MHD_HTTP_NOT_FOUND, "this process offers no status");
    else if (source->status(source->user, &response->body) != 0)
        control_fail(response, MHD_HTTP_SERVICE_UNAVAILABLE, "the status cannot be had now");
}

static void route_metrics(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    const struct sl_control_source *source = &control->source;
    (void)asked;
    response->type = "text/plain; version=0.0.4; charset=utf-8";
    if (source->metrics == NULL)
        control_fail(response, MHD_HTTP_NOT_FOUND, "this process offers no metrics");
    else if (source->metrics(source->user, &response->body) != 0)
        control_fail(response, MHD_HTTP_SERVICE_UNAVAILABLE, "the metrics cannot be had now");
}

/* A probe without a token learns the verdict only: the reason may hold names. */
static void control_probe(int (*ask)(void *user, char *why, size_t bytes), void *user, bool trusted,
                          struct control_response *response)
{
    char why[480] = "";
    response->type = control_text;
    if (ask == NULL || ask(user, why, sizeof(why)) == 1)
        sl_buf_text(&response->body, "ok\n");
    else
        control_fail(response, MHD_HTTP_SERVICE_UNAVAILABLE, trusted && why[0] != '\0' ? why : "not now");
}

static void route_healthz(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    control_probe(control->source.healthy, control->source.user, asked->trusted, response);
}

static void route_readyz(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    control_probe(control->source.ready, control->source.user, asked->trusted, response);
}

static void route_command(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    const struct sl_control_source *source = &control->source;
    int status = source->command != NULL ? source->command(source->user, asked->who, asked->path, asked->body, &response->body) : 1;
    if (status > 0)
        control_fail(response, MHD_HTTP_NOT_FOUND, "no such command");
    else if (status < 0 && response->body.bytes == 0)
        control_fail(response, MHD_HTTP_INTERNAL_SERVER_ERROR, "the command failed");
    else if (status < 0)
        response->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
}

/* A stream, or why there is none. */
static void control_offer(const struct sl_control_source *source, const struct control_asked *asked, struct control_response *response,
                          int (*offer)(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json),
                          unsigned refused)
{
    response->type = "application/x-ndjson";
    if (offer == NULL)
        control_fail(response, MHD_HTTP_NOT_FOUND, "this process offers no such stream");
    else if (offer(source->user, asked->path, &response->stream, &response->body) != 0) {
        response->status = refused;
        response->type = control_json;
    }
}

static void route_tap(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    control_offer(&control->source, asked, response, control->source.tap, MHD_HTTP_FORBIDDEN);
}

static void route_watch(struct sl_control *control, const struct control_asked *asked, struct control_response *response)
{
    control_offer(&control->source, asked, response, control->source.watch, MHD_HTTP_NOT_FOUND);
}

struct control_route {
    const char *method, *path; /* a path that ends in '/' (but "/" itself) is a prefix */
    bool open;                 /* needs no token */
    void (*handler)(struct sl_control *control, const struct control_asked *asked, struct control_response *response);
    bool order; /* not under the lock */
};

static const struct control_route control_routes[] = {
    {"GET", "/", true, route_page, false},
    {"GET", "/status", false, route_status, false},
    {"GET", "/metrics", false, route_metrics, false},
    {"GET", "/healthz", true, route_healthz, false},
    {"GET", "/readyz", true, route_readyz, false},
    {"POST", "/command/", false, route_command, true},
    {"GET", "/tap/", false, route_tap, false},
    {"GET", "/watch/", false, route_watch, false},
};

static const struct control_route *control_find(const char *path, const char **ret_rest)
{
    for (size_t i = 0; i < sizeof(control_routes) / sizeof(control_routes[0]); i++) {
        const struct control_route *route = &control_routes[i];
        size_t bytes = strlen(route->path);
        bool prefix = bytes > 1 && route->path[bytes - 1] == '/';
        *ret_rest = path + bytes;
        if (prefix ? strncmp(path, route->path, bytes) == 0 : strcmp(path, route->path) == 0)
            return route;
    }
    return NULL;
}

static bool control_method_fits(const struct control_route *route, const char *method)
{
    return strcmp(method, route->method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* ---- who asks ---- */

/* Takes as long for a wrong first byte as for a wrong last one. */
static bool control_same_token(const char *given, const char *token)
{
    size_t given_bytes = strlen(given), bytes = strlen(token);
    unsigned char differ = given_bytes != bytes;
    for (size_t i = 0; i < given_bytes; i++)
        differ |= (unsigned char)(given[i] ^ token[i < bytes ? i : 0]);
    return differ == 0;
}

/* Trusted, and who it is; untrusted: who is not told. */
static bool control_who(const struct control_place *place, struct MHD_Connection *connection, struct sl_control_who *ret_who)
{
    if (place->local) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        return info != NULL && sl_listen_peer_allowed(info->connect_fd) && sl_listen_peer(info->connect_fd, ret_who);
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *given = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    sl_listen_from(info != NULL ? info->client_addr : NULL, ret_who);
    return given != NULL && strncmp(given, "Bearer ", 7) == 0 && control_same_token(given + 7, place->control->token);
}

static bool control_admit(const struct control_place *place, bool trusted, const struct control_route *route,
                          struct control_response *response)
{
    if (trusted || (!place->local && route != NULL && route->open))
        return true;
    if (place->local)
        control_fail(response, MHD_HTTP_FORBIDDEN, "only root, the process's user and its group may connect here");
    else
        control_fail(response, MHD_HTTP_UNAUTHORIZED, "send the header Authorization: Bearer TOKEN (control.token)");
    return false;
}

/* ---- one request ---- */

/* A connection's own thread: it may wait here. Silence is broken by empty lines, which also tell whether the client is still there. */
static ssize_t control_live_read(void *user, uint64_t at, char *to, size_t bytes)
{
    struct control_live *live = user;
    int64_t got;
    (void)at;
    if (atomic_load(&live->control->closing))
        return MHD_CONTENT_READER_END_OF_STREAM;
    (void)pthread_mutex_lock(&live->lock);
    got = live->stream != NULL ? live->stream->read(live->stream, to, bytes) : -1;
    (void)pthread_mutex_unlock(&live->lock);
    if (got < 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (got == 0 && sl_clock_now_ns() - live->sent_ns >= SL_NS_PER_S) {
        *to = '\n';
        got = 1;
    }
    if (got > 0)
        live->sent_ns = sl_clock_now_ns();
    return (ssize_t)got;
}

static void control_live_close(struct control_live *live)
{
    (void)pthread_mutex_lock(&live->lock);
    if (live->stream != NULL)
        live->stream->close(live->stream);
    live->stream = NULL;
    (void)pthread_mutex_unlock(&live->lock);
}

static void control_live_free(void *user)
{
    struct control_live *live = user, **link = &live->control->lives;
    (void)pthread_mutex_lock(&live->control->lives_lock);
    while (*link != live)
        link = &(*link)->next;
    *link = live->next;
    (void)pthread_mutex_unlock(&live->control->lives_lock);
    control_live_close(live);
    (void)pthread_mutex_destroy(&live->lock);
    free(live);
}

static struct control_live *control_live_new(struct sl_control *control, struct sl_control_stream *stream)
{
    struct control_live *live = calloc(1, sizeof(*live));
    if (live == NULL)
        return NULL;
    live->control = control;
    live->stream = stream;
    live->read = stream->read;
    live->sent_ns = sl_clock_now_ns();
    (void)pthread_mutex_init(&live->lock, NULL);
    (void)pthread_mutex_lock(&control->lives_lock);
    live->next = control->lives;
    control->lives = live;
    (void)pthread_mutex_unlock(&control->lives_lock);
    return live;
}

static struct MHD_Response *control_stream(struct sl_control *control, struct control_response *response)
{
    struct control_live *live = control_live_new(control, response->stream);
    struct MHD_Response *made = NULL;
    if (live == NULL)
        response->stream->close(response->stream);
    else if ((made = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 << 10, control_live_read, live, control_live_free)) == NULL)
        control_live_free(live);
    return made;
}

static struct MHD_Response *control_body(struct control_response *response)
{
    size_t bytes = 0;
    if (sl_buf_failed(&response->body)) {
        sl_buf_fini(&response->body);
        sl_buf_init(&response->body);
        response->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    char *text = sl_buf_take(&response->body, &bytes);
    struct MHD_Response *made = MHD_create_response_from_buffer(text != NULL ? bytes : 0, text,
                                                                text != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (made == NULL)
        free(text);
    return made;
}

static enum MHD_Result control_send(struct sl_control *control, struct MHD_Connection *connection, struct control_response *response)
{
    struct MHD_Response *made = response->stream != NULL ? control_stream(control, response) : control_body(response);
    if (made == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(made, MHD_HTTP_HEADER_CONTENT_TYPE, response->type);
    (void)MHD_add_response_header(made, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(made, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(made, "Content-Security-Policy",
                                  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                                  "connect-src 'self'; frame-ancestors 'none'");
    if (response->allow != NULL)
        (void)MHD_add_response_header(made, MHD_HTTP_HEADER_ALLOW, response->allow);
    if (response->status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(made, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    enum MHD_Result result = MHD_queue_response(connection, response->status, made);
    MHD_destroy_response(made);
    return result;
}

/* Who ends the process by an order is told so before the server closes. */
static void control_order(struct sl_control *control, struct control_request *request)
{
    (void)pthread_mutex_lock(&control->lives_lock);
    request->order = true;
    control->orders++;
    (void)pthread_mutex_unlock(&control->lives_lock);
}

static void control_ordered(struct sl_control *control)
{
    (void)pthread_mutex_lock(&control->lives_lock);
    control->orders--;
    (void)pthread_cond_signal(&control->told);
    (void)pthread_mutex_unlock(&control->lives_lock);
}

static void control_wait_told(struct sl_control *control)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CONTROL_LAST_S;
    (void)pthread_mutex_lock(&control->lives_lock);
    while (control->orders > 0 && pthread_cond_timedwait(&control->told, &control->lives_lock, &until) == 0)
        ;
    (void)pthread_mutex_unlock(&control->lives_lock);
}

static void control_answer(struct control_place *place, struct control_asked *asked, const char *path, const char *method,
                           struct control_request *request, struct control_response *response)
{
    const struct control_route *route = control_find(path, &asked->path);
    if (!control_admit(place, asked->trusted, route, response)) {
        return;
    } else if (route == NULL) {
        control_fail(response, MHD_HTTP_NOT_FOUND,
                     "no such path; GET / /status /metrics /healthz /readyz /tap/TOPOLOGY/STAGE /watch/TOPOLOGY, POST /command/NAME");
    } else if (!control_method_fits(route, method)) {
        response->allow = route->method;
        control_fail(response, MHD_HTTP_METHOD_NOT_ALLOWED, strcmp(route->method, "GET") == 0 ? "only GET" : "only POST");
    } else if (request->too_large) {
        control_fail(response, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 1 MiB");
    } else {
        if (route->order)
            control_order(place->control, request);
        else
            (void)pthread_mutex_lock(&place->control->lock);
        route->handler(place->control, asked, response);
        if (!route->order)
            (void)pthread_mutex_unlock(&place->control->lock);
    }
}

static void control_collect(struct control_request *request, const char *data, size_t bytes)
{
    if (request->body.bytes + bytes > CONTROL_BODY_BYTES)
        request->too_large = true;
    else
        sl_buf_append(&request->body, data, bytes);
}

static enum MHD_Result control_handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                      const char *version, const char *data, size_t *bytes, void **context)
{
    struct control_place *place = user;
    struct control_request *request = *context;
    (void)version;
    assert(place->control->magic == CONTROL_MAGIC);
    if (request == NULL) {
        *context = calloc(1, sizeof(*request));
        return *context != NULL ? MHD_YES : MHD_NO;
    }
    if (*bytes > 0) {
        control_collect(request, data, *bytes);
        *bytes = 0;
        return MHD_YES;
    }
    struct control_response response = {.status = MHD_HTTP_OK, .type = control_json};
    struct sl_control_who who = {.text = ""};
    struct control_asked asked = {.body = sl_buf_str(&request->body), .who = &who, .trusted = control_who(place, connection, &who)};
    control_answer(place, &asked, path, method, request, &response);
    return control_send(place->control, connection, &response);
}

static void control_completed(void *user, struct MHD_Connection *connection, void **context,
                              enum MHD_RequestTerminationCode code)
{
    struct control_request *request = *context;
    struct control_place *place = user;
    (void)connection;
    (void)code;
    if (request != NULL) {
        if (request->order)
            control_ordered(place->control);
        sl_buf_fini(&request->body);
        free(request);
        *context = NULL;
    }
}

/* ---- opening and closing ---- */

static int control_start(struct control_place *place, int fd, struct sl_err *err)
{
    place->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC, 0,
                                     NULL, NULL, control_handle, place, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
                                     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONTROL_CONNECTIONS,
                                     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONTROL_SILENCE_S, MHD_OPTION_NOTIFY_COMPLETED,
                                     control_completed, place, MHD_OPTION_END);
    if (place->daemon == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "the control server cannot start its thread");
    return 0;
}

struct control_opening {
    const char *address;
    uint16_t port;
};

static int control_open_unix(void *user, int *ret_fd, struct sl_err *err)
{
    const struct control_opening *opening = user;
    uint64_t device, inode;
    return sl_listen_unix(opening->address, ret_fd, &device, &inode, err);
}

static int control_open_port(void *user, int *ret_fd, struct sl_err *err)
{
    struct control_opening *opening = user;
    return sl_listen_tcp(opening->address, ret_fd, &opening->port, err);
}

/* On the socket that is there already, or a new one. */
static int control_open_place(struct sl_control *control, struct control_place *place, const char *address, struct sl_err *err)
{
    struct control_opening opening = {address, control->port};
    bool local = place == &control->places[0];
    char owner[64];
    int fd, status;

    place->control = control;
    place->local = local;
    (void)snprintf(owner, sizeof(owner), "the control server %p", (void *)control);
    status = sl_listener_get(place->name, owner, local ? control_open_unix : control_open_port, &opening, &fd, err);
    if (status != 0)
        return status;
    if (!local)
        control->port = opening.port;
    status = control_start(place, fd, err);
    if (status != 0) {
        sl_listener_put(place->name, fd);
        (void)close(fd);
    }
    return status;
}

static int control_open_socket(struct sl_control *control, const char *path, struct sl_err *err)
{
    struct control_place *place = &control->places[0];
    struct stat made;
    int status;

    if ((size_t)snprintf(place->name, sizeof(place->name), "unix %s", path) >= sizeof(place->name))
        place->name[0] = '\0'; /* sl_listen_unix says that it is too long */
    status = control_open_place(control, place, path, err);
    if (status != 0)
        return status;
    control->socket = strdup(path);
    if (control->socket == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    control->made = lstat(path, &made) == 0;
    if (control->made) {
        control->device = (uint64_t)made.st_dev;
        control->inode = (uint64_t)made.st_ino;
    }
    return 0;
}

static int control_open_tcp(struct sl_control *control, const struct sl_control_settings *settings, struct sl_err *err)
{
    struct control_place *place = &control->places[1];
    const char *port = strrchr(settings->listen, ':');

    if (settings->token == NULL || strlen(settings->token) < CONTROL_TOKEN_BYTES_MIN)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "control.listen %s needs control.token with at least %d bytes: whoever reaches the port could give orders",
                       settings->listen, (int)CONTROL_TOKEN_BYTES_MIN);
    control->token = strdup(settings->token);
    control->listen = strdup(settings->listen);
    if (control->token == NULL || control->listen == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    if (port == NULL || strcmp(port, ":0") == 0 || /* a free port has no name to be found by */
        (size_t)snprintf(place->name, sizeof(place->name), "control %s", settings->listen) >= sizeof(place->name))
        place->name[0] = '\0';
    return control_open_place(control, place, settings->listen, err);
}

int sl_control_open(const struct sl_control_settings *settings, const struct sl_control_source *source,
                    struct sl_control **ret_control, struct sl_err *err)
{
    struct sl_control *control = calloc(1, sizeof(*control));
    pthread_condattr_t monotonic;
    int status = 0;
    if (control == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    control->magic = CONTROL_MAGIC;
    control->source = *source;
    (void)pthread_mutex_init(&control->lock, NULL);
    (void)pthread_mutex_init(&control->lives_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&control->told, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (settings->socket != NULL)
        status = control_open_socket(control, settings->socket, err);
    if (status == 0 && settings->listen != NULL)
        status = control_open_tcp(control, settings, err);
    if (status != 0) {
        (void)sl_control_close(control);
        return status;
    }
    *ret_control = control;
    return 0;
}

void sl_control_quiesce(struct sl_control *control, int64_t (*spare)(struct sl_control_stream *stream, char *to, size_t bytes))
{
    for (size_t i = 0; i < sizeof(control->places) / sizeof(control->places[0]); i++) {
        struct control_place *place = &control->places[i];
        if (place->daemon == NULL)
            continue;
        int fd = MHD_quiesce_daemon(place->daemon);
        sl_listener_put(place->name, fd);
        if (place->before != NULL) {
            MHD_stop_daemon(place->before);
            (void)close(place->fd);
        }
        place->fd = fd;
        place->before = place->daemon;
        place->daemon = NULL;
    }
    (void)pthread_mutex_lock(&control->lives_lock);
    for (struct control_live *live = control->lives; live != NULL; live = live->next)
        if (live->read != spare)
            control_live_close(live);
    (void)pthread_mutex_unlock(&control->lives_lock);
}

int sl_control_resume(struct sl_control *control, struct sl_err *err)
{
    int status = 0;

    for (size_t i = 0; i < sizeof(control->places) / sizeof(control->places[0]) && status == 0; i++) {
        struct control_place *place = &control->places[i];
        if (place->daemon != NULL || place->before == NULL)
            continue;
        status = control_open_place(control, place, i == 0 ? control->socket : control->listen, err);
    }
    return status;
}

/* The name goes first: who comes now finds no socket, rather than one that hangs up; unless the socket goes on without us. */
struct sl_control *sl_control_close(struct sl_control *control)
{
    if (control == NULL)
        return NULL;
    assert(control->magic == CONTROL_MAGIC);
    atomic_store(&control->closing, true);
    if (control->socket != NULL && control->made && !sl_listener_keeping())
        sl_unlisten_unix(control->socket, control->device, control->inode);
    control_wait_told(control);
    for (size_t i = 0; i < sizeof(control->places) / sizeof(control->places[0]); i++) {
        struct control_place *place = &control->places[i];
        if (place->daemon != NULL) {
            int fd = MHD_quiesce_daemon(place->daemon);
            MHD_stop_daemon(place->daemon);
            sl_listener_put(place->name, fd);
            (void)close(fd);
        }
        if (place->before != NULL) {
            MHD_stop_daemon(place->before);
            (void)close(place->fd);
        }
    }
    (void)pthread_mutex_destroy(&control->lock);
    (void)pthread_mutex_destroy(&control->lives_lock);
    (void)pthread_cond_destroy(&control->told);
    if (control->token != NULL)
        explicit_bzero(control->token, strlen(control->token));
    free(control->token);
    free(control->listen);
    free(control->socket);
    control->magic = 0;
    free(control);
    return NULL;
}

uint16_t sl_control_port(const struct sl_control *control)
{
    return control->port;
}
