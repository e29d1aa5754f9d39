/* secret.c: a secret's text, fetched at the moment of use and never kept by us.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config/process.h"

enum { SECRET_BYTES = 65536 };

static int secret_copy(const char *text, char **ret_text, struct sl_err *err)
{
    *ret_text = strdup(text);
    return *ret_text != NULL
               ? 0
               : sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a secret");
}

/* One read, as files of secrets are small; a line's end behind it is the editor's, not the
 * secret's. */
static int secret_read(const char *path, int fd, char **ret_text, struct sl_err *err)
{
    char *data = calloc(1, SECRET_BYTES + 1);
    ssize_t bytes = data == NULL ? -1 : read(fd, data, SECRET_BYTES);

    if (bytes < 0 || bytes == SECRET_BYTES) {
        free(data);
        return bytes < 0 ? sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "the secret's file %s: %s",
                                   path, strerror(errno))
                         : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                                   "the secret's file %s is larger than 64KiB", path);
    }
    while (bytes > 0 && (data[bytes - 1] == '\n' || data[bytes - 1] == '\r'))
        data[--bytes] = '\0';
    if (strlen(data) != (size_t)bytes) {
        free(data);
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "the secret's file %s holds a zero byte", path);
    }
    *ret_text = data;
    return 0;
}

int sl_secret_resolve(const struct sl_secret *secret, char **ret_text, struct sl_err *err)
{
    const char *value;
    int fd, status;

    if (secret->plain != NULL)
        return secret_copy(secret->plain, ret_text, err);
    if (secret->env != NULL) {
        value = getenv(secret->env);
        return value != NULL
                   ? secret_copy(value, ret_text, err)
                   : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                             "the secret's environment variable %s is not set", secret->env);
    }
    if (secret->file == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no secret is configured");
    fd = open(secret->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "the secret's file %s: %s",
                       secret->file, strerror(errno));
    status = secret_read(secret->file, fd, ret_text, err);
    (void)close(fd);
    return status;
}
