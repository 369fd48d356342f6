/* One run: the broker on its simulated machine, the clients, what befalls them, and the calm in
 * which everything owed must arrive. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct world_result {
    unsigned steps; /* of the plan */
    uint64_t messages, switches, lives, syncs, sum;
    uint64_t simulated_us;
};

/* `left_out`: one byte for each step of the plan, not 0 where it is left out; NULL: none. Returns
 * when the run was clean; else history_fail() ends the process. */
void world_run(uint64_t seed, const uint8_t *left_out, struct world_result *out);

#endif
