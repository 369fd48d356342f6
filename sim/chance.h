/* Chance by seed: equal seeds, equal numbers. Every part of the world that decides has a state of
 * its own, so that one that decides less often does not change the others' luck. */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *chance) /* splitmix64 */
{
    uint64_t x = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline struct chance chance_of(uint64_t seed, uint64_t purpose)
{
    struct chance chance = {seed * UINT64_C(0xd1342543de82ef95) + purpose};
    chance_next(&chance);
    return chance;
}

/* 0 <= result < limit; limit > 0. */
static inline uint64_t chance_below(struct chance *chance, uint64_t limit)
{
    return chance_next(chance) % limit;
}

static inline uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high)
{
    return low + chance_below(chance, high - low + 1);
}

static inline bool chance_in_thousand(struct chance *chance, unsigned thousandths)
{
    return chance_below(chance, 1000) < thousandths;
}

#endif
