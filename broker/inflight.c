#include "broker/inflight.h"

#include <stdlib.h>

#include "base/check.h"

uint32_t inflight_take(struct outbound *outbound)
{
    if (outbound->inflight_count == outbound->inflight_capacity) {
        uint32_t capacity = outbound->inflight_capacity > 0 ? outbound->inflight_capacity * 2 : 4;
        struct inflight *slots = realloc(outbound->inflight, capacity * sizeof *slots);
        if (slots == NULL)
            return INFLIGHT_NO_SLOT;
        for (uint32_t i = capacity; i-- > outbound->inflight_capacity;) {
            slots[i] = (struct inflight){.next_free = outbound->inflight_free};
            outbound->inflight_free = i;
        }
        outbound->inflight = slots;
        outbound->inflight_capacity = capacity;
    }
    uint32_t slot = outbound->inflight_free;
    outbound->inflight_free = outbound->inflight[slot].next_free;
    outbound->inflight_count++;
    return slot;
}

void inflight_free(struct outbound *outbound, struct inflight *exchange)
{
    uint32_t slot = (uint32_t)(exchange - outbound->inflight);
    pid_map_erase(&outbound->by_identifier, exchange->packet_identifier);
    if (exchange->message != NULL)
        message_drop(exchange->message, 1);
    identifiers_fini(&exchange->identifiers);
    *exchange = (struct inflight){.next_free = outbound->inflight_free};
    outbound->inflight_free = slot;
    if (--outbound->inflight_count == 0) {
        free(outbound->inflight);
        outbound->inflight = NULL;
        outbound->inflight_capacity = 0;
        outbound->inflight_free = INFLIGHT_NO_SLOT;
    }
}

struct inflight *inflight_find(struct outbound *outbound, uint16_t packet_identifier)
{
    const uint32_t *slot = pid_map_find(&outbound->by_identifier, packet_identifier);
    return slot != NULL ? &outbound->inflight[*slot] : NULL;
}

/* A Packet Identifier that no exchange of this session uses [MQTT-2.2.1-4]. */
uint16_t inflight_unused_identifier(struct outbound *outbound)
{
    CHECK(outbound->inflight_count < UINT16_MAX);
    do {
        if (++outbound->last_identifier == 0)
            outbound->last_identifier = 1;
    } while (pid_map_find(&outbound->by_identifier, outbound->last_identifier) != NULL);
    return outbound->last_identifier;
}
