/* versions.c: which flushes the topology of the command line can be asked about. A flush says which generation was live when it was sealed,
 * and whether some of its records went through another one (a swap, a canary). Only what FILE alone has made can be made again from the
 * source; of the rest the files are proved against their manifests, and the ranges against each other.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "runtime/cli/audit/audit.h"
#include "runtime/store/generations.h"

static bool versions_is_file(const struct sl_generations *generations, uint32_t number, uint64_t digest)
{
    const struct sl_generation_row *row = sl_generations_find(generations, number);

    return row != NULL && row->digest == digest;
}

void audit_versions(struct audit *audit)
{
    struct sl_generations generations = {0};
    struct sl_err err = {0};
    uint32_t others = 0, several = 0, other = 0;

    if (sl_generations_look(audit->fs, audit->data_dir, audit->topology->name, &generations, &err) != 0) {
        audit_say(audit, AUDIT_NOTE, "versions", "%s; every flush is taken for one of this file", err.text);
        return;
    }
    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        struct audit_flush *flush = audit->flushes[f];
        if (flush->unproved != NULL || flush->entry->generation == 0)
            continue;
        if (flush->entry->several) {
            flush->unproved = "records of it went through more than one generation";
            several++;
        } else if (!versions_is_file(&generations, flush->entry->generation, audit->topology->digest)) {
            flush->unproved = "it is of another generation than this file";
            other = flush->entry->generation;
            others++;
        }
    }
    sl_generations_close(&generations);
    if (others > 0)
        audit_say(audit, AUDIT_NOTE, "versions",
                  "%" PRIu32 " flushes are of other generations than this file, such as %" PRIu32 ": their files and ranges are proved, their content only by an audit with that one's file",
                  others, other);
    if (several > 0)
        audit_say(audit, AUDIT_NOTE, "versions",
                  "%" PRIu32 " flushes have records of more than one generation, since a swap or a canary fell into them: their files and ranges are proved, not their content",
                  several);
}
