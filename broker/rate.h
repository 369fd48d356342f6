/* Token buckets without tokens: a word says when what was taken so far will have been paid for at
 * the rate, and who is more than a second ahead of the clock has to wait. One word, so that several
 * threads may share one. Any thread. */
#ifndef BROKER_RATE_H
#define BROKER_RATE_H

#include <stdatomic.h>
#include <stdint.h>

struct rate {
    _Atomic uint64_t paid_ns; /* boot clock; zeroed: nothing was taken */
};

/* Takes `count`, where `per_second` (not 0) may be had, and a second's worth at once. */
void rate_take(struct rate *rate, uint32_t per_second, uint64_t count, uint64_t now_ms);

/* How long nothing more may be taken; 0: it may. A minute at most: debts beyond are forgiven. */
uint64_t rate_wait_ms(const struct rate *rate, uint64_t now_ms);

#endif
