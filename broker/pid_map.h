/* Packet Identifiers in use -> a 32-bit value: a small open-addressing table, one per direction and
 * session. Empty costs no memory. One thread. */
#ifndef BROKER_PID_MAP_H
#define BROKER_PID_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct pid_entry {
    uint16_t packet_identifier; /* 0: free */
    uint32_t value;
};

struct pid_map {
    struct pid_entry *entries;
    uint32_t capacity; /* a power of two, or 0; without entries, what to begin with */
    uint32_t count;
};

/* NULL when absent. Valid until the next put or erase. */
uint32_t *pid_map_find(const struct pid_map *map, uint16_t packet_identifier);
/* The identifier is not in the map. */
void pid_map_put(struct pid_map *map, uint16_t packet_identifier, uint32_t value);
void pid_map_erase(struct pid_map *map, uint16_t packet_identifier);
void pid_map_fini(struct pid_map *map);

#endif
