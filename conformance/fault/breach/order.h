/* Packets out of order: tools that several faults share. */
#ifndef CONFORMANCE_FAULT_BREACH_ORDER_H
#define CONFORMANCE_FAULT_BREACH_ORDER_H

#include "conformance/fault/fault.h"

/* Holds a packet of the server back until the next one that is given here with the same `source`
 * has passed, or a moment has: 2 1 4 3. Uses the link's memory: queue, number and source. */
void order_swap(struct link *link, struct passing *passing, const void *source);

/* Sends all that is held back to the client. */
void order_release(struct link *link);

#endif
