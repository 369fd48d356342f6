/* From a message to the sessions it is owed to: who matches, the one delta that records it all, and
 * delivery here and on other workers. On the publisher's home worker. */
#ifndef BROKER_DISPATCH_H
#define BROKER_DISPATCH_H

#include "broker/worker.h"

struct dispatch;
struct session;

/* What dispatch_collect() found, in the worker's scratch. */
struct collection {
    uint32_t count, owed_count;
    uint32_t refused; /* of `count`: for sessions without room (rule 22), to be told so */
    bool moves;       /* it was promised to a session: another has to take it, full or not */
    bool urgent;
    uint64_t version;        /* of the topic index as of which it was found */
    struct dispatch *extras; /* further copies for the same sessions, by shared subscriptions */
};

/* Fills the worker's scratch with everyone the message is for. False: no memory. */
bool dispatch_collect(struct worker *worker, const struct store_message *message,
                      struct collection *out);
/* Nobody gets it. Sessions without room are told, so that they count it. */
void dispatch_abandon(struct worker *worker, struct message *message, struct collection *found);
/* One publish, one delta in the turn's batch, with the inbound QoS 2 identifier of a stored
 * publisher (0: none). True when there was something to record. */
bool dispatch_record(struct worker *worker, struct message *message, const struct collection *found,
                     uint64_t inbound_incarnation, uint16_t packet_identifier);
/* Hands deliveries to their homes; takes their identifiers. */
void dispatch_run(struct worker *worker, struct message *message, struct delivery *deliveries,
                  uint32_t count);
/* Deliveries whose home is here. */
void dispatch_deliver(struct worker *worker, struct message *message, struct delivery *deliveries,
                      uint32_t count);

/* A routed message that waits for the disk before it is delivered. */
struct dispatch {
    struct message *message; /* one reference */
    uint64_t version;        /* of the topic index as of which it was routed */
    struct dispatch *extras; /* to be carried out behind it */
    uint32_t count;
    struct delivery deliveries[];
};

/* Of what the scratch holds. */
struct dispatch *dispatch_new(const struct worker *worker, struct message *message,
                              const struct collection *found);
/* Delivers what has been recorded, and retains it where it says so. Takes the dispatch. */
void dispatch_carry_out(struct worker *worker, struct dispatch *dispatch);
void dispatch_extras(struct worker *worker, struct dispatch *extras);
void dispatch_free(struct dispatch *dispatch);

/* Whether the store takes one more message of anybody. */
bool dispatch_store_has_room(const struct worker *worker);

/* False: it would be one more retained message than there may be. A topic that has one may always
 * replace it, so that none gets stale. */
bool dispatch_may_retain(const struct worker *worker, const struct store_message *message);

/* Publishes the Will Message of a session, which has it no more: records both as one, routes,
 * delivers. The `stored` fields of the message but the number are set. */
void dispatch_will(struct worker *worker, struct session *session, struct message *message);

/* Publishes what the broker says of itself: retained, never stored. QoS 0 only. */
void dispatch_volatile(struct worker *worker, struct message *message);

/* Publishes for an operator what dispatch_will() takes. Returns a Reason Code: 0, or why nobody
 * gets it. `*out_lsn`: it cannot be lost any more when that is durable; 0: nothing of it is stored.
 * `*out_count`: sessions that it is for. */
uint8_t dispatch_for_operator(struct worker *worker, struct message *message, uint64_t *out_lsn,
                              uint32_t *out_count);

/* Delivers one retained message to one session because of a new subscription. */
void dispatch_retained_to(struct worker *worker, struct session *session, struct message *retained,
                          uint8_t qos, bool retain, uint32_t subscription_identifier);

/* Gives an unsent message of a shared subscription to another of its members, in one delta with its
 * end at the first (rule 23; NULL: a session that has ended, and its rows with it). False: there is
 * no other. */
bool dispatch_move(struct worker *worker, const struct session *from, struct message *message,
                   uint32_t group, bool owed);

#endif
