/* file_glob.h: the files that a pattern names, through the file table, so that a modelled disk serves too.
 * *, ? and [a-z] match within one name, never a leading dot; ** as a whole name matches any number of folders.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_GLOB_H
#define SL_OPERATORS_SOURCES_FILE_GLOB_H

#include <stdbool.h>

#include "runtime/base/fs.h"

/* Calls each() for every file (no folder) in name order. What is not there or vanishes on the way is no error; a folder that
 * cannot be read is: the first such -errno is returned at the end. each() stops the walk by a non-zero result, returned then. */
int sl_file_glob(struct sl_fs *fs, const char *pattern,
                 int (*each)(void *user, const char *path, const struct sl_fs_stat *stat), void *user);
bool sl_file_glob_magic(const char *pattern);

#endif
