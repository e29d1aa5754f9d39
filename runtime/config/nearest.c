/* nearest.c: edit distance (optimal string alignment) over short words.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { NEAREST_MAX = 64 };

static uint32_t nearest_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool nearest_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

uint32_t sl_edit_distance(const char *a, const char *b)
{
    size_t an = strlen(a), bn = strlen(b);
    uint32_t rows[3][NEAREST_MAX + 1];

    if (an > NEAREST_MAX || bn > NEAREST_MAX)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= bn; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= an; i++) {
        uint32_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (uint32_t j = 1; j <= bn; j++) {
            uint32_t cost = nearest_same(a[i - 1], b[j - 1]) ? 0 : 1;
            now[j] = nearest_min(nearest_min(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && nearest_same(a[i - 1], b[j - 2]) &&
                nearest_same(a[i - 2], b[j - 1]))
                now[j] = nearest_min(now[j], before[j - 2] + 1);
        }
    }
    return rows[an % 3][bn];
}

void sl_nearest_init(struct sl_nearest *nearest, const char *word)
{
    *nearest = (struct sl_nearest){word, NULL, UINT32_MAX};
}

/* A word cut short ("backoff" for backoff_min) is meant, however much is missing. */
static bool nearest_is_start(const char *word, const char *known)
{
    size_t bytes = strlen(word);

    return bytes >= 3 && bytes < strlen(known) && strncasecmp(word, known, bytes) == 0;
}

void sl_nearest_offer(struct sl_nearest *nearest, const char *known)
{
    uint32_t distance = sl_edit_distance(nearest->word, known);
    size_t word = strlen(nearest->word), other = strlen(known), shorter = word < other ? word : other;
    size_t enough = shorter < 3 ? 1 : shorter / 2 < 3 ? shorter / 2 : 3;

    if (distance > enough && nearest_is_start(nearest->word, known))
        distance = (uint32_t)enough;
    if (distance >= nearest->distance || distance > enough)
        return;
    nearest->best = known;
    nearest->distance = distance;
}
