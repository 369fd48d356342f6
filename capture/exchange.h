/* What the wire shows of one exchange of messages, followed in its table (fsm/outbound_qos1.def,
 * outbound_qos2.def, inbound_qos2.def).
 *
 * The wire does not show when the Server reads what its Client has sent, nor when its disk answers.
 * So an exchange may be in several states at once: those that some order of reading and answering
 * leads to. A packet is allowed if the table sends it in one of them. */
#ifndef CAPTURE_EXCHANGE_H
#define CAPTURE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/machines.h"

enum { EXCHANGE_EVENTS_MAX = 6 };

/* All bytes 0: nothing is known of it yet. */
struct exchange {
    uint16_t states[EXCHANGE_EVENTS_MAX + 1]; /* [n]: bits of the states with n events read */
    uint8_t events[EXCHANGE_EVENTS_MAX];      /* of the Client's, in order */
    uint8_t count;
    bool is_lost; /* more events than are kept: anything is allowed */
};

/* What does not change while a connection lasts. */
struct exchange_rules {
    const struct fsm_machine *machine;
    bool resumes;        /* the Session goes on: what it brings is not known */
    bool may_send_again; /* at any time: MQTT 3.1.1 and 3.1 */
};

/* The Client has sent what is `event` to the table. Returns whether it may end a count against the
 * Receive Maximum. */
bool exchange_take(struct exchange *exchange, const struct exchange_rules *rules, uint8_t event);

/* The Server has sent what is one of `actions`, bits. Returns false, and changes nothing, if no row
 * of the table does. */
bool exchange_give(struct exchange *exchange, const struct exchange_rules *rules, uint32_t actions);

/* Bits of the states that it may be in. Where a message is done its Packet Identifier is another
 * one's: that is the first state, 0. */
uint16_t exchange_states(const struct exchange *exchange, const struct exchange_rules *rules);

#endif
