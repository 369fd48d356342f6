/* The exchanges of a session that have a Packet Identifier: slots, found by identifier. */
#ifndef BROKER_INFLIGHT_H
#define BROKER_INFLIGHT_H

#include "broker/outbound.h"

#define INFLIGHT_NO_SLOT UINT32_MAX

/* A free slot, counted as taken; INFLIGHT_NO_SLOT without memory. Moves the others. */
uint32_t inflight_take(struct outbound *outbound);
/* Gives slot and identifier back, with the reference and identifiers that it holds. */
void inflight_free(struct outbound *outbound, struct inflight *exchange);
/* NULL when no exchange has the identifier. Valid until the next inflight_take. */
struct inflight *inflight_find(struct outbound *outbound, uint16_t packet_identifier);
/* A Packet Identifier that no exchange of this session uses [MQTT-2.2.1-4]. */
uint16_t inflight_unused_identifier(struct outbound *outbound);

#endif
