/* Chooses few of many combinations so that each pair of values meets at least once.
 *
 * Most failures need two circumstances to come together, seldom three. So of all allowed
 * combinations those are taken that between them hold every pair of values, of any two dimensions,
 * which any allowed combination holds. Pairs that no combination allows are thus never asked for,
 * whatever the rules between the dimensions are.
 *
 * A combination in which little can go wrong hides what its pairs could show. So the caller may put
 * some first: a pair that one of these holds is met among these, and the others only add the rest.
 *
 * Greedy: the one that adds most pairs goes next, until none adds any. Among equals a number drawn
 * from the seed decides, so the same combinations and the same seed always give the same choice. */
#ifndef CONFORMANCE_PAIRWISE_H
#define CONFORMANCE_PAIRWISE_H

#include <stddef.h>
#include <stdint.h>

enum { PAIRWISE_DIMENSIONS_MAX = 8, PAIRWISE_VALUES_MAX = 8 };

struct pairwise_row {
    uint8_t values[PAIRWISE_DIMENSIONS_MAX]; /* each below PAIRWISE_VALUES_MAX */
};

/* The first `preferred` rows are those to be met first. Writes the indices of the chosen rows, in
 * the order of their choice; `chosen` has room for `count`. Returns how many there are. */
size_t pairwise_choose(const struct pairwise_row *rows, size_t count, size_t preferred,
                       unsigned dimensions, uint64_t seed, size_t *chosen);

#endif
