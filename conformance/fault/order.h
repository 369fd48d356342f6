/* Packets out of order: tools that several faults share. */
#ifndef CONFORMANCE_FAULT_ORDER_H
#define CONFORMANCE_FAULT_ORDER_H

#include "conformance/fault/fault.h"

/* Holds a packet of the server back until the next one that is given here has passed, or a moment
 * has. Packets keep pairs: 2 1 4 3. Uses the link's memory.queue. */
void order_swap(struct link *link, struct passing *passing);

/* Sends all that is held back to the client. */
void order_release(struct link *link);

#endif
