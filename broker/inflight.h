/* The exchanges of a session that have a Packet Identifier, found by it.
 *
 * An exchange lies in the slot that its identifier is, modulo their number. Identifiers are ours to
 * choose, so none is chosen whose slot is taken, and nothing is ever searched for. */
#ifndef BROKER_INFLIGHT_H
#define BROKER_INFLIGHT_H

#include "broker/outbound.h"

/* A new exchange, with the next identifier that no exchange of this session uses [MQTT-2.2.1-4] and
 * nothing else. Moves the others. */
struct inflight *inflight_begin(struct outbound *outbound);
/* The same under an identifier that it has from an earlier run. There are as many slots as there
 * were then, at most: they lay in slots of their own. Where damage has made identifiers up there
 * may be one for each, 4 MiB. */
struct inflight *inflight_restore(struct outbound *outbound, uint16_t packet_identifier);
/* Gives slot and identifier back, with the reference and identifiers that it holds. */
void inflight_free(struct outbound *outbound, struct inflight *exchange);
/* Lets go of the memory, once all are free. */
void inflight_fini(struct outbound *outbound);

/* NULL when no exchange has the identifier. Valid until the next that begins. */
static inline struct inflight *inflight_find(const struct outbound *outbound,
                                             uint16_t packet_identifier)
{
    if (outbound->inflight_count == 0 || packet_identifier == 0)
        return NULL;
    struct inflight *slot =
        &outbound->inflight[packet_identifier & (outbound->inflight_capacity - 1)];
    return slot->packet_identifier == packet_identifier ? slot : NULL;
}

#endif
