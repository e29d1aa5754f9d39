/* later.h: words of the design that this version has not built. They are refused with that said,
 * never taken in silence.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_LATER_H
#define SL_RUNTIME_CONFIG_LATER_H

struct sl_later {
    const char *name;    /* NULL ends a list */
    const char *instead; /* what to do until then */
};

extern const struct sl_later sl_later_topology[], sl_later_sink[], sl_later_process[];   /* keys */
extern const struct sl_later sl_later_sources[], sl_later_operators[], sl_later_sinks[]; /* types */

/* NULL, or what to do instead of `word` in a setting of that name. */
const char *sl_later_word(const char *setting, const char *word);

#endif
