/* push_settings.c: the tables of push_settings.h, and checks across settings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/push/push_settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const push_compressions[] = {"none", "gzip", "zstd", NULL};

#define AUTH(member, kind, ...)                                                                                                \
    {.name = #member, .type = kind,                                                                                            \
     .offset = offsetof(struct push_settings, auth.member) - offsetof(struct push_settings, auth), __VA_ARGS__}
#define TLS(member, kind, ...)                                                                                                 \
    {.name = #member, .type = kind,                                                                                            \
     .offset = offsetof(struct push_settings, tls.member) - offsetof(struct push_settings, tls), __VA_ARGS__}

const struct sl_field push_auth_fields[] = {
    AUTH(user, SL_F_STRING, .min = "1", .help = "Basic authentication, with password."),
    AUTH(password, SL_F_SECRET, .help = "Of the user."),
    AUTH(api_key, SL_F_SECRET, .help = "Sent as Authorization: ApiKey KEY; the encoded form that the back-end shows."),
    AUTH(bearer, SL_F_SECRET, .help = "Sent as Authorization: Bearer TOKEN."),
    AUTH(header, SL_F_STRING, .min = "1", .help = "Name of a header that carries a secret, with value."),
    AUTH(value, SL_F_SECRET, .help = "The whole value of that header, such as Splunk TOKEN."),
    {0},
};

const struct sl_field push_tls_fields[] = {
    TLS(ca, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "PEM file of the authorities to trust; default: the system's."),
    TLS(certificate, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "PEM file of our own certificate, with key."),
    TLS(key, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "PEM file of its private key."),
    TLS(verify, SL_F_BOOL, .def = "true", .help = "false: neither certificate nor host name are checked. For trials only."),
    {0},
};

#define settings_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)

/* ---- urls ---- */

static const char *url_rest(const char *url)
{
    if (strncmp(url, "http://", 7) == 0)
        return url + 7;
    return strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

/* False: a colon, and no port behind it. */
static bool url_port_fine(const char *rest, size_t host)
{
    const char *bracket = memchr(rest, ']', host), *from = bracket != NULL ? bracket : rest;
    const char *colon = memchr(from, ':', host - (size_t)(from - rest));
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    unsigned long port = colon == NULL ? 1 : strtoul(colon + 1, NULL, 10);

    return colon == NULL || (digits > 0 && digits < 6 && colon + 1 + digits == rest + host && port > 0 && port < 65536);
}

/* Not printed where it may hold a password. */
static int url_check(const char *setting, const char *url, struct sl_err *err)
{
    const char *rest = url_rest(url);
    size_t host = rest == NULL ? 0 : strcspn(rest, "/?#");

    if (rest == NULL)
        return settings_refuse(err, "%s: %.120s is no web address; write http://HOST:PORT or https://HOST:PORT", setting,
                               strchr(url, '@') == NULL ? url : "it");
    if (memchr(rest, '@', host) != NULL)
        return settings_refuse(err, "%s: it holds a user or password; write them as auth: { user, password }", setting);
    if (host == 0 || rest[0] == ':')
        return settings_refuse(err, "%s: %.120s names no host; write http://HOST:PORT", setting, url);
    if (!url_port_fine(rest, host))
        return settings_refuse(err, "%s: %.120s has a colon and no port from 1 to 65535 behind it; write http://HOST:PORT", setting, url);
    if (strchr(url, '#') != NULL)
        return settings_refuse(err, "%s: %.120s has a #, which is never sent; leave it out", setting, url);
    for (const char *at = url; *at != '\0'; at++)
        if (!isgraph((unsigned char)*at) || strchr("\"<>\\^`{|}", *at) != NULL)
            return settings_refuse(err, "%s: %.120s has a character that a web address cannot have; write it as %%%02X", setting,
                                   url, (unsigned)(unsigned char)*at);
    return 0;
}

void push_settings_place(const char *url, char *text, size_t bytes)
{
    const char *rest = url_rest(url);
    size_t host = strcspn(rest, "/?#");
    const char *bracket = memchr(rest, ']', host), *from = bracket != NULL ? bracket : rest;
    bool port = memchr(from, ':', host - (size_t)(from - rest)) != NULL;

    (void)snprintf(text, bytes, "%.*s%s", (int)(host > 110 ? 110 : host), rest, port ? "" : url[4] == 's' ? ":443" : ":80");
}

static int urls_check(const struct push_settings *settings, struct sl_err *err)
{
    if ((settings->url == NULL) == (settings->urls.count == 0))
        return settings_refuse(err, "%s; write url: ADDRESS, or urls: [ADDRESS, …], one of the two",
                               settings->url == NULL ? "url: missing" : "url: given beside urls");
    if (settings->urls.count > 64)
        return settings_refuse(err, "urls: %u of them; write at most 64", settings->urls.count);
    if (settings->url != NULL)
        return url_check("url", settings->url, err);
    for (uint32_t i = 0; i < settings->urls.count; i++) {
        if (url_check("urls", settings->urls.items[i], err) != 0)
            return -(int)err->code;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(settings->urls.items[i], settings->urls.items[j]) == 0)
                return settings_refuse(err, "urls: %.120s is there twice; write each host once", settings->urls.items[i]);
    }
    return 0;
}

/* ---- the others ---- */

static bool secret_is(const struct sl_secret *secret)
{
    return secret->env != NULL || secret->file != NULL || secret->plain != NULL;
}

static bool name_is_token(const char *name)
{
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");

    return bytes > 0 && name[bytes] == '\0';
}

static int auth_check(const struct push_settings *settings, struct sl_err *err)
{
    bool user = settings->auth.user != NULL, password = secret_is(&settings->auth.password);
    bool header = settings->auth.header != NULL, value = secret_is(&settings->auth.value);
    int ways = (user || password) + secret_is(&settings->auth.api_key) + secret_is(&settings->auth.bearer) + (header || value);

    if (ways > 1)
        return settings_refuse(err, "auth: it names several ways; write one of user and password, api_key, bearer, header and value");
    if (user != password)
        return settings_refuse(err, "auth.%s: missing; write user and password together", user ? "password" : "user");
    if (header != value)
        return settings_refuse(err, "auth.%s: missing; write header and value together", header ? "value" : "header");
    if (header && !name_is_token(settings->auth.header))
        return settings_refuse(err, "auth.header: \"%.64s\" is no name of a header; write one such as X-Api-Key", settings->auth.header);
    if (user && strchr(settings->auth.user, ':') != NULL)
        return settings_refuse(err, "auth.user: it has a colon, which ends a user's name in basic authentication; leave it out");
    return 0;
}

static int headers_check(const struct push_settings *settings, struct sl_err *err)
{
    static const char *const ours[] = {"authorization", "content-length", "content-encoding", "transfer-encoding", "host", "expect",
                                       "connection"};

    for (uint32_t i = 0; i < settings->headers.count; i++) {
        const struct sl_pair *pair = &settings->headers.items[i];
        if (!name_is_token(pair->name))
            return settings_refuse(err, "headers: \"%.64s\" is no name of a header; write one such as X-Scope-OrgID", pair->name);
        if (strpbrk(pair->value, "\r\n") != NULL)
            return settings_refuse(err, "headers: %.64s has a line break in its value; write it in one line", pair->name);
        for (size_t o = 0; o < sizeof(ours) / sizeof(ours[0]); o++)
            if (strcasecmp(pair->name, ours[o]) == 0)
                return settings_refuse(err, "headers: %s is not set here; %s", pair->name,
                                       o == 0 ? "write auth:" : "leave it out");
    }
    return 0;
}

int push_settings_check(const struct push_settings *settings, struct sl_err *err)
{
    if (urls_check(settings, err) != 0 || auth_check(settings, err) != 0 || headers_check(settings, err) != 0)
        return -(int)err->code;
    if ((settings->tls.certificate == NULL) != (settings->tls.key == NULL))
        return settings_refuse(err, "tls.%s: missing; write certificate and key together",
                               settings->tls.key == NULL ? "key" : "certificate");
    if (settings->connect_timeout > settings->timeout)
        return settings_refuse(err, "connect_timeout: it is longer than timeout; write a shorter one");
    return 0;
}
