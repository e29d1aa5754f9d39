/* later.c: the lists of what is known and not built. A row leaves when its feature comes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/later.h"

#include <stddef.h>
#include <string.h>

const struct sl_later sl_later_topology[] = {
    {"speed", "leave it out: this version reads as fast as its sinks take"},
    {"priorities", "leave it out: every record has the same class in this version"},
    {NULL, NULL}};

const struct sl_later sl_later_sink[] = {
    {"sample", "put an operator of type sample before the sink"},
    {"protect", "leave it out: this version slows down only when the sink itself does"},
    {"defer", "leave it out: this version waits"},
    {NULL, NULL}};

const struct sl_later sl_later_process[] = {{NULL, NULL}};

const struct sl_later sl_later_sources[] = {{NULL, NULL}};

const struct sl_later sl_later_operators[] = {
    {NULL, NULL}};

const struct sl_later sl_later_sinks[] = {
    {"s3", "write to files and copy them"},
    {NULL, NULL}};

static const struct {
    const char *setting, *word, *instead;
} later_words[] = {
    {"when_full", "defer", "write when_full: spool or when_full: wait"},
    {"when_full", "shed", "write when_full: spool or when_full: wait"},
};

const char *sl_later_word(const char *setting, const char *word)
{
    for (size_t i = 0; i < sizeof(later_words) / sizeof(later_words[0]); i++)
        if (strcmp(later_words[i].setting, setting) == 0 && strcmp(later_words[i].word, word) == 0)
            return later_words[i].instead;
    return NULL;
}
