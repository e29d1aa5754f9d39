/* syslog_tls.c: TLS for the syslog source (RFC 5425) over OpenSSL: the context from PEM files, and non-blocking reads.
 * With a CA, clients must show a certificate that it signed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "operators/sources/syslog/syslog_inner.h"

static int tls_fail(struct sl_err *err, const char *what, const char *path)
{
    char text[160] = "the file could not be read";
    unsigned long code = ERR_peek_last_error();

    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "tls.%s: %s: %s", what, path, text);
}

static int tls_load(SSL_CTX *tls, const struct syslog_tls_config *config, struct sl_err *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(tls, config->certificate) != 1)
        return tls_fail(err, "certificate", config->certificate);
    if (SSL_CTX_use_PrivateKey_file(tls, config->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(tls) != 1)
        return tls_fail(err, "key", config->key);
    if (config->ca == NULL)
        return 0;
    if (SSL_CTX_load_verify_locations(tls, config->ca, NULL) != 1)
        return tls_fail(err, "ca", config->ca);
    SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(config->ca));
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

int syslog_tls_open(const struct syslog_tls_config *config, SSL_CTX **ret_tls, struct sl_err *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    int rc;

    if (tls == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for TLS");
    (void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    rc = tls_load(tls, config, err);
    if (rc != 0)
        SSL_CTX_free(tls);
    else
        *ret_tls = tls;
    return rc;
}

static int tls_waits(const SSL *ssl, int result, uint32_t *ret_events)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *ret_events = EPOLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_events = EPOLLOUT;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -EPROTO;
    }
}

int64_t syslog_tls_read(SSL *ssl, void *data, size_t bytes, uint32_t *ret_events)
{
    size_t got = 0;
    int result, rc;

    ERR_clear_error();
    result = SSL_read_ex(ssl, data, bytes, &got);
    if (result == 1)
        return (int64_t)got;
    rc = tls_waits(ssl, result, ret_events);
    ERR_clear_error();
    return rc;
}

int syslog_tls_accept(SSL *ssl, uint32_t *ret_events, char *why, size_t why_bytes)
{
    int result, rc;
    unsigned long code;
    long verify;

    ERR_clear_error();
    result = SSL_accept(ssl);
    if (result == 1)
        return 0;
    rc = tls_waits(ssl, result, ret_events);
    if (rc == -EAGAIN)
        return rc;
    code = ERR_peek_last_error();
    verify = SSL_get_verify_result(ssl);
    (void)snprintf(why, why_bytes, "%s", verify != X509_V_OK ? X509_verify_cert_error_string(verify)
                                         : code != 0        ? ERR_reason_error_string(code)
                                                            : "the client went away");
    ERR_clear_error();
    return -EPROTO;
}
