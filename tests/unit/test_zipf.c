/* test_zipf.c: draws follow the Zipf law.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampling/zipf.h"

enum { RANKS_MAX = 1000 };

/* The exact probability of each rank as the table has it: own share of its cell and the rest of others' cells. */
static void table_shares(const struct sl_zipf *zipf, double *shares)
{
    memset(shares, 0, RANKS_MAX * sizeof(*shares));
    for (uint32_t i = 0; i < zipf->count; i++) {
        double keep = ((double)zipf->cells[i].keep + 1) / 4294967296.0;
        shares[i] += keep / zipf->count;
        shares[zipf->cells[i].alias] += (1 - keep) / zipf->count;
    }
}

static void test_the_table_is_the_law(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 50, 1000};
    static const double exponents[] = {0, 0.5, 1, 1.1, 4};
    static struct sl_zipf_cell cells[RANKS_MAX];
    static uint32_t work[RANKS_MAX];
    static double shares[RANKS_MAX];
    (void)state;
    for (size_t c = 0; c < 5; c++)
        for (size_t e = 0; e < 5; e++) {
            struct sl_zipf zipf;
            sl_zipf_init(&zipf, counts[c], exponents[e], cells, work);
            table_shares(&zipf, shares);
            for (uint32_t rank = 0; rank < counts[c]; rank += 1 + counts[c] / 60)
                assert_true(fabs(shares[rank] - sl_zipf_share(counts[c], exponents[e], rank)) < 1e-8);
        }
}

static void test_draws_are_within_four_sigma(void **state)
{
    enum { RANKS = 50, DRAWS = 1000000 };
    static struct sl_zipf_cell cells[RANKS];
    static uint32_t work[RANKS], seen[RANKS];
    struct sl_zipf zipf;
    uint64_t random = 7;
    (void)state;
    sl_zipf_init(&zipf, RANKS, 1.1, cells, work);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t z = random += 0x9e3779b97f4a7c15ull;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        seen[sl_zipf_pick(&zipf, z ^ z >> 31)]++;
    }
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        double p = sl_zipf_share(RANKS, 1.1, rank);
        assert_true(fabs(seen[rank] - DRAWS * p) < 4 * sqrt(DRAWS * p * (1 - p)));
    }
}

static void test_every_random_number_gives_a_rank(void **state)
{
    static struct sl_zipf_cell cells[3];
    uint32_t work[3];
    struct sl_zipf zipf;
    (void)state;
    sl_zipf_init(&zipf, 3, 1, cells, work);
    assert_true(sl_zipf_pick(&zipf, 0) < 3);
    assert_true(sl_zipf_pick(&zipf, UINT64_MAX) < 3);
    assert_true(sl_zipf_pick(&zipf, 0xffffffff00000000ull) < 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_the_law),
        cmocka_unit_test(test_draws_are_within_four_sigma),
        cmocka_unit_test(test_every_random_number_gives_a_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
