/* The database of mosquitto, its formats 5 and 6 (1.6 to 2.0): what stands in it, piece by piece.
 *
 * Written in the byte order and with the padding of the machine that mosquitto ran on: lengths and
 * identifiers big endian, 64-bit numbers as they lay in memory. Read here as x86-64 and arm64 have
 * them. Nothing in the file is believed: each length is held against what is left. */
#ifndef IMPORT_MOSQUITTO_DB_H
#define IMPORT_MOSQUITTO_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* All bytes are borrowed from the text that was read. */

struct mosquitto_client {
    struct bytes identifier;
    struct bytes user_name;     /* empty: none was stored */
    int64_t expires_at_s;       /* wall clock; 0: it was connected, or never does */
    uint32_t expiry_interval_s; /* 0xFFFFFFFF: never */
};

struct mosquitto_message {
    uint64_t id;
    int64_t expires_at_s; /* 0: never */
    uint8_t qos;
    bool retain;
    bool is_retained; /* it is the retained message of its topic */
    struct bytes topic;
    struct bytes payload;
    struct bytes properties; /* forwardable, without their length */
};

/* mosquitto's states of a message on its way. */
enum mosquitto_state {
    MOSQUITTO_STATE_PUBLISH_QOS_1 = 2,
    MOSQUITTO_STATE_WAIT_FOR_PUBACK = 3,
    MOSQUITTO_STATE_PUBLISH_QOS_2 = 4,
    MOSQUITTO_STATE_WAIT_FOR_PUBREC = 5,
    MOSQUITTO_STATE_RESEND_PUBREL = 6,
    MOSQUITTO_STATE_WAIT_FOR_PUBREL = 7,
    MOSQUITTO_STATE_RESEND_PUBCOMP = 8,
    MOSQUITTO_STATE_WAIT_FOR_PUBCOMP = 9,
    MOSQUITTO_STATE_SEND_PUBREC = 10,
    MOSQUITTO_STATE_QUEUED = 11,
};

/* A message that came from a client and waits for its PUBREL, or that a client is owed. */
struct mosquitto_delivery {
    struct bytes client_identifier;
    size_t client;    /* index */
    uint64_t message; /* its id; it may have expired and be missing */
    uint16_t packet_identifier;
    uint8_t qos;
    uint8_t state;
    bool retain;
    bool was_sent; /* once at least */
    bool from_client;
    uint32_t identifier; /* Subscription Identifier; 0: none */
};

struct mosquitto_subscription {
    struct bytes client_identifier;
    size_t client; /* index */
    struct bytes filter;
    uint8_t options; /* of SUBSCRIBE; mosquitto forgets the Retain Handling */
    uint32_t identifier;
};

struct mosquitto_db {
    struct mosquitto_client *clients; /* by identifier */
    size_t client_count;
    struct mosquitto_message *messages; /* by id, which is the order of publishing */
    size_t message_count;
    struct mosquitto_delivery *deliveries; /* of each client in its order */
    size_t delivery_count;
    struct mosquitto_subscription *subscriptions;
    size_t subscription_count;
    bool was_stopped; /* else mosquitto wrote it while it ran */
};

/* CORRUPT: `error` (at least 256 bytes) says what is wrong, and at which byte. `out` is the
 * caller's to end, whatever is returned. */
enum status MUST_USE mosquitto_db_read(struct bytes text, struct mosquitto_db *out, char *error,
                                       size_t error_size);
void mosquitto_db_fini(struct mosquitto_db *db);

/* Whether its exchange has begun, so that the client may know its Packet Identifier: mosquitto
 * gives one also to messages that have never been sent. */
bool mosquitto_delivery_is_in_flight(const struct mosquitto_delivery *delivery);

/* NULL: there is none of that id. */
const struct mosquitto_message *mosquitto_db_message(const struct mosquitto_db *db, uint64_t id);

#endif
