/* push_settings.h: the settings that all push sinks have, as rows for their tables, and what must hold between them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_PUSH_PUSH_SETTINGS_H
#define SL_OPERATORS_SINKS_PUSH_PUSH_SETTINGS_H

#include "runtime/base/err.h"
#include "runtime/config/field.h"

struct push_settings {
    const char *url;
    struct sl_strings urls;
    uint64_t concurrency, timeout, connect_timeout;
    int compression;
    struct {
        const char *user;
        struct sl_secret password, api_key, bearer;
        const char *header;
        struct sl_secret value;
    } auth;
    struct {
        const char *ca, *certificate, *key;
        bool verify;
    } tls;
    struct sl_map headers;
};

enum push_compression { PUSH_PLAIN, PUSH_GZIP, PUSH_ZSTD };

extern const char *const push_compressions[];
extern const struct sl_field push_auth_fields[], push_tls_fields[];

/* Rows of a table whose config struct has a member `push`. */
#define PUSH_FIELD(owner, member, kind, ...)                                                                                   \
    {.name = #member, .type = kind, .offset = offsetof(struct owner, push.member), __VA_ARGS__}
#define PUSH_FIELDS(owner)                                                                                                     \
    PUSH_FIELD(owner, url, SL_F_STRING, .help = "Where the back-end is: http://HOST:PORT or https://; or urls: for several."), \
    PUSH_FIELD(owner, urls, SL_F_STRINGS, .min = "1",                                                                         \
               .help = "Several hosts of one back-end: in turn, a sick one is left out until it answers again."),             \
    PUSH_FIELD(owner, concurrency, SL_F_U64, .def = "4", .min = "1", .max = "256",                                            \
               .help = "Requests in flight at most, of each worker."),                                                        \
    PUSH_FIELD(owner, timeout, SL_F_DURATION, .def = "60s", .min = "100ms", .max = "1h",                                      \
               .help = "From the start of a request to the end of its answer; then it is sent again."),                       \
    PUSH_FIELD(owner, connect_timeout, SL_F_DURATION, .def = "10s", .min = "10ms", .max = "10m",                              \
               .help = "Until a connection stands, TLS included."),                                                           \
    PUSH_FIELD(owner, compression, SL_F_ENUM, .def = "none", .values = push_compressions,                                     \
               .help = "Of request bodies; the back-end must know it (Content-Encoding)."),                                   \
    PUSH_FIELD(owner, auth, SL_F_STRUCT, .sub = push_auth_fields,                                                             \
               .help = "One of: user and password, api_key, bearer, header and value."),                                      \
    PUSH_FIELD(owner, tls, SL_F_STRUCT, .sub = push_tls_fields, .help = "For https: whom to trust, who we are."),             \
    PUSH_FIELD(owner, headers, SL_F_MAP, .help = "Further headers of each request; secrets belong in auth:.")

int push_settings_check(const struct push_settings *settings, struct sl_err *err);
static inline uint32_t push_settings_hosts(const struct push_settings *settings)
{
    return settings->url != NULL ? 1 : settings->urls.count;
}

static inline const char *push_settings_url(const struct push_settings *settings, uint32_t host)
{
    return settings->url != NULL ? settings->url : settings->urls.items[host];
}

/* "host:port" of a url that push_settings_check let pass. */
void push_settings_place(const char *url, char *text, size_t bytes);

#endif
