#include "broker/inflight.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

enum { FEWEST = 4, MOST = 65536 }; /* slots; with MOST every identifier has its own */

static struct inflight *slot_of(const struct outbound *outbound, uint16_t packet_identifier)
{
    return &outbound->inflight[packet_identifier & (outbound->inflight_capacity - 1)];
}

/* For so many: an eighth of the slots stays free, so that the next free one is eight steps away on
 * average at most, whatever is acknowledged first. */
static bool is_narrow(const struct outbound *outbound, uint32_t count)
{
    return count * 8 > outbound->inflight_capacity * 7;
}

/* Identifiers that differ modulo n differ modulo 2 n. */
static void grow(struct outbound *outbound)
{
    struct inflight *before = outbound->inflight;
    uint32_t count = outbound->inflight_capacity;
    CHECK(count < MOST);
    outbound->inflight_capacity = count > 0 ? count * 2 : FEWEST;
    while (count == 0 && is_narrow(outbound, outbound->inflight_most)) /* as many as last time */
        outbound->inflight_capacity *= 2;
    outbound->inflight = memory_take_zeroed(outbound->inflight_capacity, sizeof *before);
    for (uint32_t i = 0; i < count; i++) {
        if (before[i].packet_identifier != 0)
            *slot_of(outbound, before[i].packet_identifier) = before[i];
    }
    if (count == 0)
        outbound->inflight_most = 0;
    free(before);
}

static void make_room(struct outbound *outbound)
{
    if (is_narrow(outbound, outbound->inflight_count + 1))
        grow(outbound);
}

static struct inflight *take(struct outbound *outbound, uint16_t packet_identifier)
{
    struct inflight *exchange = slot_of(outbound, packet_identifier);
    CHECK(packet_identifier != 0 && exchange->packet_identifier == 0);
    exchange->packet_identifier = packet_identifier;
    if (++outbound->inflight_count > outbound->inflight_most)
        outbound->inflight_most = outbound->inflight_count;
    return exchange;
}

struct inflight *inflight_begin(struct outbound *outbound)
{
    make_room(outbound);
#ifdef SEEDED_BUG_IDENTIFIER_REUSED
    outbound->last_identifier = outbound->last_identifier % 4 + 1;
    return take(outbound, outbound->last_identifier);
#endif
    uint16_t next = outbound->last_identifier;
    do {
        next++;
    } while (next == 0 || slot_of(outbound, next)->packet_identifier != 0);
    outbound->last_identifier = next;
    return take(outbound, next);
}

struct inflight *inflight_restore(struct outbound *outbound, uint16_t packet_identifier)
{
    make_room(outbound);
    while (slot_of(outbound, packet_identifier)->packet_identifier != 0)
        grow(outbound);
    return take(outbound, packet_identifier);
}

void inflight_free(struct outbound *outbound, struct inflight *exchange)
{
    if (exchange->message != NULL)
        message_drop(exchange->message, 1);
    identifiers_fini(&exchange->identifiers);
    *exchange = (struct inflight){0};
    outbound->inflight_count--;
}

void inflight_fini(struct outbound *outbound)
{
    free(outbound->inflight);
    outbound->inflight = NULL;
    outbound->inflight_capacity = 0;
}
