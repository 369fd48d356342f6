/* Subscriptions as the cases of chapters 3.8 to 4.8 make them, and what overlapping ones deliver.
 */
#ifndef CONFORMANCE_SUBSCRIPTION_H
#define CONFORMANCE_SUBSCRIPTION_H

#include "conformance/harness/case.h"

/* SUBSCRIBE to one filter; `identifier` 0: without Subscription Identifier. The QoS asked for has
 * to be granted. */
void subscription_make(struct client *client, struct text filter, uint8_t options,
                       uint32_t identifier);

enum subscription_answer { SUBSCRIPTION_GRANTED, SUBSCRIPTION_REFUSED, SUBSCRIPTION_CLOSED };

/* SUBSCRIBE to one filter that a server may or must refuse. REFUSED: by SUBACK. CLOSED: the Network
 * Connection has been closed; the client has to connect again. */
enum subscription_answer subscription_try(struct client *client, struct text filter,
                                          uint8_t options);

/* The Subscription Identifiers of a PUBLISH as bits; all are below 32. */
uint32_t subscription_identifiers(const struct packet *publish);

/* Takes all copies of one message that overlapping subscriptions owe: either one copy with the
 * identifiers of all [MQTT-3.3.4-4], or a copy for each subscription with its own [MQTT-3.3.4-5].
 * `identifiers` has a bit for each identifier; `plain` more subscriptions match without one. A copy
 * has to come at `qos`, none above it. Acknowledges, and leaves no copy under way. */
void subscription_take_copies(struct client *client, struct text topic, struct text payload,
                              uint32_t identifiers, unsigned plain, uint8_t qos);

#endif
