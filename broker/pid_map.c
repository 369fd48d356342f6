#include "broker/pid_map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

enum { FEWEST = 8 };

/* Peers choose inbound identifiers; with at most 65,535 keys a multiplicative hash is good enough.
 * The identifier itself is not: nearly all count, and an erasure would look at all that follow. */
static uint32_t home_of(const struct pid_map *map, uint16_t packet_identifier)
{
    return (packet_identifier * 2654435769u >> 8) & (map->capacity - 1);
}

static uint32_t slot_of(const struct pid_map *map, uint16_t packet_identifier)
{
    uint32_t slot = home_of(map, packet_identifier);
    while (map->entries[slot].packet_identifier != 0 &&
           map->entries[slot].packet_identifier != packet_identifier)
        slot = (slot + 1) & (map->capacity - 1);
    return slot;
}

uint32_t *pid_map_find(const struct pid_map *map, uint16_t packet_identifier)
{
    if (map->count == 0)
        return NULL;
    struct pid_entry *entry = &map->entries[slot_of(map, packet_identifier)];
    return entry->packet_identifier != 0 ? &entry->value : NULL;
}

static void grow(struct pid_map *map)
{
    bool full = map->entries != NULL; /* or what is left of it is its size */
    struct pid_map wider = {.capacity = map->capacity > 0 ? map->capacity << full : FEWEST};
    wider.entries = memory_take_zeroed(wider.capacity, sizeof *wider.entries);
    for (uint32_t i = 0; full && i < map->capacity; i++) {
        if (map->entries[i].packet_identifier == 0)
            continue;
        wider.entries[slot_of(&wider, map->entries[i].packet_identifier)] = map->entries[i];
        wider.count++;
    }
    free(map->entries);
    *map = wider;
}

void pid_map_put(struct pid_map *map, uint16_t packet_identifier, uint32_t value)
{
    CHECK(packet_identifier != 0);
    if (map->entries == NULL || (map->count + 1) * 4 > map->capacity * 3)
        grow(map);
    struct pid_entry *entry = &map->entries[slot_of(map, packet_identifier)];
    CHECK(entry->packet_identifier == 0);
    *entry = (struct pid_entry){packet_identifier, value};
    map->count++;
}

void pid_map_erase(struct pid_map *map, uint16_t packet_identifier)
{
    if (map->count == 0)
        return;
    uint32_t mask = map->capacity - 1;
    uint32_t hole = slot_of(map, packet_identifier);
    if (map->entries[hole].packet_identifier == 0)
        return;
    /* Close the gap: move back every later entry of the run that may live in the hole. */
    for (uint32_t at = (hole + 1) & mask; map->entries[at].packet_identifier != 0;
         at = (at + 1) & mask) {
        uint32_t home = home_of(map, map->entries[at].packet_identifier);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole].packet_identifier = 0;
    if (--map->count == 0) { /* half of it next time: it need not grow from nothing */
        uint32_t capacity = map->capacity > FEWEST ? map->capacity / 2 : 0;
        pid_map_fini(map);
        map->capacity = capacity;
    }
}

void pid_map_fini(struct pid_map *map)
{
    free(map->entries);
    *map = (struct pid_map){0};
}
