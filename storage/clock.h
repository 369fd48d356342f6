/* The clocks the store reads, and store time. A struct of functions, so that tests can put their
 * own. */
#ifndef STORAGE_CLOCK_H
#define STORAGE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/schema.h"

struct clock_source {
    uint64_t (*monotonic_us)(void);
    int64_t (*boot_ms)(void); /* since the machine booted, sleep included */
    int64_t (*wall_ms)(void);
    void (*boot_id)(char out[40]); /* differs from boot to boot; "" when not to be had */
};

extern const struct clock_source clock_system;
extern const struct clock_source *clock_source; /* clock_system, but for tests */

/* Store time at boot clock 0, given what the last transaction of an earlier run wrote. */
int64_t clock_store_base(const struct schema_meta *last);

#endif
