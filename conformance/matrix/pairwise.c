#include "conformance/matrix/pairwise.h"

#include <stdbool.h>
#include <string.h>

/* Which pairs of values have met, by dimension and value of both. */
struct met {
    bool pair[PAIRWISE_DIMENSIONS_MAX][PAIRWISE_VALUES_MAX][PAIRWISE_DIMENSIONS_MAX]
             [PAIRWISE_VALUES_MAX];
};

static unsigned pairs_added(const struct met *met, const struct pairwise_row *row,
                            unsigned dimensions)
{
    unsigned added = 0;
    for (unsigned a = 0; a < dimensions; a++) {
        for (unsigned b = a + 1; b < dimensions; b++)
            added += !met->pair[a][row->values[a]][b][row->values[b]];
    }
    return added;
}

static void add_pairs(struct met *met, const struct pairwise_row *row, unsigned dimensions)
{
    for (unsigned a = 0; a < dimensions; a++) {
        for (unsigned b = a + 1; b < dimensions; b++)
            met->pair[a][row->values[a]][b][row->values[b]] = true;
    }
}

/* A number for a row that looks drawn by lot: splitmix64 of both. */
static uint64_t lot(uint64_t seed, size_t row)
{
    uint64_t z = seed + (row + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Goes on until no row of the first `count` adds a pair. */
static size_t choose_from(struct met *met, const struct pairwise_row *rows, size_t count,
                          unsigned dimensions, uint64_t seed, size_t *chosen)
{
    size_t choices = 0;
    for (;;) {
        unsigned most = 0;
        size_t best = 0;
        for (size_t i = 0; i < count; i++) {
            unsigned added = pairs_added(met, &rows[i], dimensions);
            if (added > most || (added == most && most > 0 && lot(seed, i) < lot(seed, best))) {
                most = added;
                best = i;
            }
        }
        if (most == 0)
            return choices;
        add_pairs(met, &rows[best], dimensions);
        chosen[choices++] = best;
    }
}

size_t pairwise_choose(const struct pairwise_row *rows, size_t count, size_t preferred,
                       unsigned dimensions, uint64_t seed, size_t *chosen)
{
    struct met met;
    memset(&met, 0, sizeof met);
    size_t choices = choose_from(&met, rows, preferred, dimensions, seed, chosen);
    return choices + choose_from(&met, rows, count, dimensions, seed, chosen + choices);
}
