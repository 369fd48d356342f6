#include "conformance/matrix/combination.h"
#include "conformance/matrix/pairwise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS_MAX = 1000, PREFERRED_MAX = 3 };

static uint64_t random_state;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % limit;
}

static size_t random_rows(struct pairwise_row *rows, unsigned dimensions)
{
    size_t count = 1 + random_below(ROWS_MAX - 1);
    memset(rows, 0, count * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        for (unsigned d = 0; d < dimensions; d++)
            rows[i].values[d] = (uint8_t)random_below(2 + d % 4);
    }
    return count;
}

static bool holds(const struct pairwise_row *row, unsigned a, uint8_t va, unsigned b, uint8_t vb)
{
    return row->values[a] == va && row->values[b] == vb;
}

/* Whether one of the chosen rows holds the pair of values that `row` has in dimensions a and b. */
static bool is_met(const struct pairwise_row *rows, const size_t *chosen, size_t choices,
                   const struct pairwise_row *row, unsigned a, unsigned b)
{
    for (size_t i = 0; i < choices; i++) {
        if (holds(&rows[chosen[i]], a, row->values[a], b, row->values[b]))
            return true;
    }
    return false;
}

static size_t unmet_pairs(const struct pairwise_row *rows, size_t count, unsigned dimensions,
                          const size_t *chosen, size_t choices)
{
    size_t unmet = 0;
    for (size_t i = 0; i < count; i++) {
        for (unsigned a = 0; a < dimensions; a++) {
            for (unsigned b = a + 1; b < dimensions; b++)
                unmet += !is_met(rows, chosen, choices, &rows[i], a, b);
        }
    }
    return unmet;
}

static void every_pair_that_occurs_is_chosen(void **state)
{
    static struct pairwise_row rows[ROWS_MAX];
    static size_t chosen[ROWS_MAX];
    for (random_state = 1; random_state < 20; random_state++) {
        uint64_t seed = random_state;
        unsigned dimensions = 2 + random_below(PAIRWISE_DIMENSIONS_MAX - 1);
        size_t count = random_rows(rows, dimensions);
        size_t preferred = random_below((unsigned)count + 1);
        size_t choices = pairwise_choose(rows, count, preferred, dimensions, seed, chosen);
        assert_int_equal(unmet_pairs(rows, count, dimensions, chosen, choices), 0);
        /* Without the last there is one missing: none is chosen for nothing. */
        assert_int_not_equal(unmet_pairs(rows, count, dimensions, chosen, choices - 1), 0);
        random_state = seed;
    }
}

static void preferred_rows_meet_their_pairs_among_themselves(void **state)
{
    static struct pairwise_row rows[ROWS_MAX];
    static size_t chosen[ROWS_MAX], own[ROWS_MAX];
    for (random_state = 1; random_state < 20; random_state++) {
        uint64_t seed = random_state;
        size_t count = random_rows(rows, 4), preferred = count / 2, own_count = 0;
        size_t choices = pairwise_choose(rows, count, preferred, 4, seed, chosen);
        for (size_t i = 0; i < choices; i++) {
            if (chosen[i] < preferred)
                own[own_count++] = chosen[i];
        }
        assert_int_equal(unmet_pairs(rows, preferred, 4, own, own_count), 0);
        random_state = seed;
    }
}

static void same_seed_same_choice(void **state)
{
    static struct pairwise_row rows[ROWS_MAX];
    static size_t chosen[ROWS_MAX], again[ROWS_MAX];
    random_state = 7;
    size_t count = random_rows(rows, 5);
    size_t choices = pairwise_choose(rows, count, 0, 5, 1, chosen);
    assert_int_equal(pairwise_choose(rows, count, 0, 5, 1, again), choices);
    assert_memory_equal(chosen, again, choices * sizeof *chosen);
    pairwise_choose(rows, count, 0, 5, 2, again);
    assert_memory_not_equal(chosen, again, choices * sizeof *chosen);
}

/* Every value that a version has occurs in the choice, with the session there at the return. */
static void choice_for_the_matrix_is_small_and_rich(void **state)
{
    for (enum version version = VERSION_311; version <= VERSION_5; version++) {
        size_t all = combination_all(version, NULL), rich = 0;
        struct combination *list = calloc(all, sizeof *list);
        assert_non_null(list);
        size_t count = combination_pairwise(version, 1, list);
        for (size_t i = 0; i < count; i++) {
            assert_null(combination_objection(&list[i]));
            rich += combination_survives(&list[i]) && combination_qos(&list[i]) > 0;
        }
        assert_in_range(count, 30, 80);
        assert_true(rich > count / 2);
        assert_true(all > 20 * count);
        free(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_that_occurs_is_chosen),
        cmocka_unit_test(preferred_rows_meet_their_pairs_among_themselves),
        cmocka_unit_test(same_seed_same_choice),
        cmocka_unit_test(choice_for_the_matrix_is_small_and_rich),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
