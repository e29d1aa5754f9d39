/* push_wires.c: what the requests of a push sink point to: urls, headers, credentials, made once when it opens.
 * Secrets are wiped when the last request is done.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "operators/sinks/push/push.h"
#include "runtime/base/clock.h"
#include "runtime/config/process.h"

#define PROBE_NS (10 * SL_NS_PER_S)

static void wires_free_texts(char **texts, uint32_t count)
{
    for (uint32_t i = 0; texts != NULL && i < count; i++)
        if (texts[i] != NULL) {
            explicit_bzero(texts[i], strlen(texts[i])); /* some hold secrets */
            free(texts[i]);
        }
    free(texts);
}

void push_wires_unref(struct push_wires *wires)
{
    if (wires == NULL || --wires->refs > 0)
        return;
    wires_free_texts(wires->urls, wires->urls_count);
    wires_free_texts(wires->setup_urls, wires->urls_count);
    wires_free_texts(wires->headers, wires->headers_count);
    if (wires->password != NULL)
        explicit_bzero(wires->password, strlen(wires->password));
    free(wires->password);
    free(wires);
}

static char *wires_print(const char *first, const char *second, const char *third)
{
    size_t bytes = strlen(first) + strlen(second) + strlen(third) + 1;
    char *text = malloc(bytes);

    if (text != NULL)
        (void)snprintf(text, bytes, "%s%s%s", first, second, third);
    return text;
}

/* The urls with a path behind them: one slash between the two. */
char **push_wires_urls(const struct push_settings *settings, const char *path)
{
    uint32_t count = push_settings_hosts(settings);
    char **urls = calloc(count, sizeof(*urls));

    for (uint32_t i = 0; urls != NULL && i < count; i++) {
        const char *url = push_settings_url(settings, i);
        urls[i] = wires_print(url, path, "");
        if (urls[i] == NULL) {
            wires_free_texts(urls, i);
            return NULL;
        }
        if (path[0] == '/' && url[strlen(url) - 1] == '/') {
            size_t base = strlen(url) - 1;
            memmove(urls[i] + base, urls[i] + base + 1, strlen(urls[i]) - base);
        }
    }
    return urls;
}

static int wires_header(struct push_wires *wires, const char *name, const char *scheme, const char *value)
{
    char *line = wires_print(name, ": ", scheme), *whole = line == NULL ? NULL : wires_print(line, value, "");

    free(line);
    if (whole == NULL)
        return -1;
    wires->headers[wires->headers_count++] = whole;
    return 0;
}

static int wires_secret(struct push_wires *wires, const struct sl_secret *secret, const char *setting, const char *name,
                        const char *scheme, struct sl_err *err)
{
    char *text;
    int status;

    if (secret->env == NULL && secret->file == NULL && secret->plain == NULL)
        return 0;
    if (sl_secret_resolve(secret, &text, err) != 0)
        return sl_while(err, "auth.%s", setting);
    if (name == NULL) {
        wires->password = text;
        return 0;
    }
    if (strpbrk(text, "\r\n") != NULL)
        status = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "auth.%s: it has a line break; write it in one line", setting);
    else if ((status = wires_header(wires, name, scheme, text)) != 0)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    explicit_bzero(text, strlen(text));
    free(text);
    return status;
}

static int wires_auth(struct push_wires *wires, const struct push_settings *settings, struct sl_err *err)
{
    if (wires_secret(wires, &settings->auth.password, "password", NULL, NULL, err) != 0 ||
        wires_secret(wires, &settings->auth.api_key, "api_key", "Authorization", "ApiKey ", err) != 0 ||
        wires_secret(wires, &settings->auth.bearer, "bearer", "Authorization", "Bearer ", err) != 0)
        return -(int)err->code;
    return settings->auth.header == NULL
               ? 0
               : wires_secret(wires, &settings->auth.value, "value", settings->auth.header, "", err);
}

static int wires_fill(const struct push_settings *settings, const char *path, const char *content_type, struct push_wires *wires,
                      struct sl_err *err)
{
    static const char *const codings[] = {[PUSH_GZIP] = "gzip", [PUSH_ZSTD] = "zstd"};
    bool typed = false;
    int status = 0;

    wires->urls_count = push_settings_hosts(settings);
    wires->urls = push_wires_urls(settings, path);
    wires->headers = calloc(settings->headers.count + 4, sizeof(*wires->headers));
    if (wires->urls == NULL || wires->headers == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    for (uint32_t i = 0; status == 0 && i < settings->headers.count; i++) {
        typed = typed || strcasecmp(settings->headers.items[i].name, "content-type") == 0;
        status = wires_header(wires, settings->headers.items[i].name, "", settings->headers.items[i].value);
    }
    if (status == 0 && wires_auth(wires, settings, err) != 0)
        return -(int)err->code;
    if (status == 0 && !typed)
        status = wires_header(wires, "Content-Type", "", content_type);
    if (status == 0 && settings->compression != PUSH_PLAIN) /* the last one: push_send.c leaves it out */
        status = wires_header(wires, "Content-Encoding", "", codings[settings->compression]);
    return status == 0 ? 0 : sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
}

int push_wires_new(const struct push_settings *settings, const char *path, const char *content_type, struct push_wires **ret_wires,
                   struct sl_err *err)
{
    struct push_wires *wires = calloc(1, sizeof(*wires));

    if (wires == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    wires->refs = 1;
    if (wires_fill(settings, path, content_type, wires, err) != 0) {
        push_wires_unref(wires);
        return -(int)err->code;
    }
    *ret_wires = wires;
    return 0;
}

/* ---- check --connect ---- */

static void probe_done(struct sl_http_request *request)
{
    push_wires_unref(request->user_data);
    sl_buf_fini(&request->answer);
}

int push_probe(const struct push_settings *settings, uint32_t host, const char *method, const char *path,
               struct sl_http_request *request, struct sl_err *err)
{
    struct push_wires *wires;

    if (host >= push_settings_hosts(settings))
        return 0;
    if (push_wires_new(settings, path, "application/json", &wires, err) != 0)
        return -(int)err->code;
    *request = (struct sl_http_request){.method = method,
                                        .url = wires->urls[host],
                                        .headers = (const char *const *)wires->headers,
                                        .headers_count = wires->headers_count - (settings->compression != PUSH_PLAIN),
                                        .user = wires->password != NULL ? settings->auth.user : NULL,
                                        .password = wires->password,
                                        .ca = settings->tls.ca,
                                        .certificate = settings->tls.certificate,
                                        .key = settings->tls.key,
                                        .insecure = !settings->tls.verify,
                                        .connect_timeout_ns = settings->connect_timeout,
                                        .timeout_ns = settings->timeout < PROBE_NS ? settings->timeout : PROBE_NS,
                                        .answer_max_bytes = 1 << 20,
                                        .done = probe_done,
                                        .user_data = wires};
    return 1;
}
