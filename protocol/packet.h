/* The fifteen MQTT Control Packets as values.
 *
 * Decoded packets borrow: every `struct bytes` in them points into the frame that was decoded and
 * is valid as long as it is. Encoders write into the caller's memory and return the size needed,
 * like snprintf: when that is more than `capacity`, nothing has been written.
 *
 * No function here allocates, reads a clock or does I/O; all are safe on any thread. */
#ifndef PROTOCOL_PACKET_H
#define PROTOCOL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum mqtt_version { MQTT_VERSION_31 = 3, MQTT_VERSION_311 = 4, MQTT_VERSION_5 = 5 };

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK,
    PACKET_PUBLISH,
    PACKET_PUBACK,
    PACKET_PUBREC,
    PACKET_PUBREL,
    PACKET_PUBCOMP,
    PACKET_SUBSCRIBE,
    PACKET_SUBACK,
    PACKET_UNSUBSCRIBE,
    PACKET_UNSUBACK,
    PACKET_PINGREQ,
    PACKET_PINGRESP,
    PACKET_DISCONNECT,
    PACKET_AUTH,
};

const char *packet_type_name(enum packet_type type); /* "PUBLISH"; "reserved" for 0 */

/* Reason codes: REASON_MALFORMED_PACKET and so on; reason_code_name(0x81) is "Malformed Packet". */
#include "protocol/reason_code.h"

/* What the peer did wrong, as a value that becomes an event. `reason_code` is always a v5 code;
 * reason_code_to_v3_return_code() translates it for CONNACK. */
struct refusal {
    uint8_t reason_code;
    uint32_t offset;       /* of the offending byte, from the first byte of the frame */
    const char *statement; /* "MQTT-3.1.2-3", or a section like "5.0 section 2.1.4" */
    const char *what;      /* a short clause for the log: "reserved CONNECT flag is set" */
};

/* A fixed header is refused before the version may be known, so frame_parser_feed() cites 5.0. This
 * turns its citation into the one of this version. */
void refusal_cite(struct refusal *refusal, enum mqtt_version version);

/* ---- Properties (5.0 section 2.2.2) ---- */

enum property {
    PROPERTY_PAYLOAD_FORMAT_INDICATOR,
    PROPERTY_MESSAGE_EXPIRY_INTERVAL,
    PROPERTY_CONTENT_TYPE,
    PROPERTY_RESPONSE_TOPIC,
    PROPERTY_CORRELATION_DATA,
    PROPERTY_SUBSCRIPTION_IDENTIFIER,
    PROPERTY_SESSION_EXPIRY_INTERVAL,
    PROPERTY_ASSIGNED_CLIENT_IDENTIFIER,
    PROPERTY_SERVER_KEEP_ALIVE,
    PROPERTY_AUTHENTICATION_METHOD,
    PROPERTY_AUTHENTICATION_DATA,
    PROPERTY_REQUEST_PROBLEM_INFORMATION,
    PROPERTY_WILL_DELAY_INTERVAL,
    PROPERTY_REQUEST_RESPONSE_INFORMATION,
    PROPERTY_RESPONSE_INFORMATION,
    PROPERTY_SERVER_REFERENCE,
    PROPERTY_REASON_STRING,
    PROPERTY_RECEIVE_MAXIMUM,
    PROPERTY_TOPIC_ALIAS_MAXIMUM,
    PROPERTY_TOPIC_ALIAS,
    PROPERTY_MAXIMUM_QOS,
    PROPERTY_RETAIN_AVAILABLE,
    PROPERTY_USER_PROPERTY,
    PROPERTY_MAXIMUM_PACKET_SIZE,
    PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE,
    PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE,
    PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE,
    PROPERTY_COUNT
};

/* A field is meaningful only while its bit is in `present`; nothing else is initialised. */
struct properties {
    uint32_t present; /* 1u << enum property */
    struct bytes raw; /* decoded: all property bytes, without the Property Length */
    uint8_t payload_format_indicator;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_identifier_available;
    uint8_t shared_subscription_available;
    uint16_t server_keep_alive_s;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint32_t message_expiry_interval_s;
    uint32_t subscription_identifier; /* the last one, where several are allowed */
    uint32_t session_expiry_interval_s;
    uint32_t will_delay_interval_s;
    uint32_t maximum_packet_size;
    struct bytes content_type;
    struct bytes response_topic;
    struct bytes correlation_data;
    struct bytes assigned_client_identifier;
    struct bytes authentication_method;
    struct bytes authentication_data;
    struct bytes response_information;
    struct bytes server_reference;
    struct bytes reason_string;
    struct bytes user_properties; /* encoding only: whole User Properties, wire format, identifier
                                   * bytes included, copied behind the others as they are */
};

static inline bool properties_has(const struct properties *properties, enum property property)
{
    return (properties->present >> property & 1u) != 0;
}

/* Walks the User Properties of `raw` (already validated) in order. `*cursor` starts at 0. False at
 * the end. */
bool properties_next_user_property(struct bytes raw, size_t *cursor, struct bytes *out_name,
                                   struct bytes *out_value);

/* Copies of a validated PUBLISH's or Will's `raw` what a Server forwards unaltered: everything but
 * Topic Alias, Message Expiry Interval, Subscription Identifier and Will Delay Interval, in order
 * [MQTT-3.3.2-18]. Returns the size; `out` has room for raw.size. */
size_t properties_forwardable(struct bytes raw, uint8_t *out);

/* ---- Packets ---- */

struct will {
    uint8_t qos;
    bool retain;
    struct properties properties;
    struct bytes topic;
    struct bytes payload;
};

struct connect {
    enum mqtt_version version;
    bool clean_start; /* 3.1.1: Clean Session */
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s;
    struct properties properties;
    struct bytes client_identifier;
    struct will will;
    struct bytes user_name;
    struct bytes password;
};

struct connack {
    bool session_present;
    uint8_t reason_code; /* v5: reason code; 3.x: return code 0..5 */
    struct properties properties;
};

struct publish {
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_identifier; /* 0 at QoS 0 */
    struct bytes topic_name;    /* may be empty with a Topic Alias */
    struct properties properties;
    struct bytes payload;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. 3.x: reason_code is 0. */
struct acknowledgement {
    uint16_t packet_identifier;
    uint8_t reason_code;
    struct properties properties;
};

struct subscribe {
    uint16_t packet_identifier;
    struct properties properties;
    struct bytes payload; /* validated Topic Filter / Subscription Options pairs; count of them: */
    uint32_t count;
};

struct subscription_request {
    struct bytes topic_filter; /* whole, "$share/..." included */
    uint8_t maximum_qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling;
};

struct suback { /* and UNSUBACK; 3.x UNSUBACK has no reason codes */
    uint16_t packet_identifier;
    struct properties properties;
    struct bytes reason_codes;
};

struct unsubscribe {
    uint16_t packet_identifier;
    struct properties properties;
    struct bytes payload; /* validated Topic Filters */
    uint32_t count;
};

struct disconnect {
    uint8_t reason_code;
    struct properties properties;
};

struct auth {
    uint8_t reason_code;
    struct properties properties;
};

struct packet {
    enum packet_type type;
    union {
        struct connect connect;
        struct connack connack;
        struct publish publish;
        struct acknowledgement acknowledgement;
        struct subscribe subscribe;
        struct suback suback;
        struct unsubscribe unsubscribe;
        struct suback unsuback;
        struct disconnect disconnect;
        struct auth auth;
    };
};

/* Walk the payload of a decoded SUBSCRIBE or UNSUBSCRIBE. `*cursor` starts at 0; false at the end.
 *
 * Topic Filters have been checked for UTF-8 and length only: whether one is a valid filter
 * ("a/#/b", "$share//a") is topic_filter_parse()'s to say, and the SUBACK's to answer. */
bool subscribe_next(const struct subscribe *subscribe, enum mqtt_version version, size_t *cursor,
                    struct subscription_request *out);
bool unsubscribe_next(const struct unsubscribe *unsubscribe, size_t *cursor,
                      struct bytes *out_topic_filter);

/* ---- Frames: the fixed header (section 2.1), across any split of the byte stream ---- */

/* All zero is a parser at the start of a packet. */
struct frame_parser {
    uint8_t state;           /* the Ragel machine's; 0 = at the start */
    uint8_t type;            /* enum packet_type once a byte has been read */
    uint8_t flags;           /* low four bits of the first byte */
    uint8_t header_size : 7; /* bytes of the fixed header read so far */
    bool mqtt_31 : 1;        /* the caller's: a Client of MQTT 3.1 may set DUP on more */
    uint32_t remaining_length;
};

enum frame_result {
    FRAME_MORE,    /* all `size` bytes were consumed and the header is not complete */
    FRAME_HEADER,  /* header complete; remaining_length bytes of body follow */
    FRAME_REFUSED, /* see the refusal; the connection is to be closed */
};

/* Consumes at most the rest of one fixed header from `data`; `*out_consumed` says how much.
 * Refuses reserved types, types that this side never receives, flag bits that are not as Table 2-2
 * lists them, and a Remaining Length that is not a valid Variable Byte Integer. A PUBLISH with QoS
 * 3, or with DUP at QoS 0, is refused here. The parser must be set to zero again after
 * FRAME_HEADER and the body. */
enum frame_result frame_parser_feed(struct frame_parser *parser, bool as_server,
                                    const uint8_t *data, size_t size, size_t *out_consumed,
                                    struct refusal *out_refusal);

/* ---- Decoding ---- */

/* Decodes the body of a complete frame. `frame` is the whole frame including its fixed header of
 * `header_size` bytes (so that offsets count from the frame's first byte). `version` is ignored for
 * CONNECT. Returns false and fills `*out_refusal` when the packet is malformed or a Protocol Error
 * that shows in the packet alone. `as_server`: a Server (true) refuses packets and properties that
 * only a Server may send, and the other way round.
 *
 * A refused CONNECT leaves in `out->connect.version` the version to answer in: the Client's where
 * it is one of ours, 3.1.1 for levels below it, and otherwise 5. */
bool packet_decode(enum mqtt_version version, bool as_server, const uint8_t *frame, size_t size,
                   size_t header_size, struct packet *out, struct refusal *out_refusal);

/* The same for a PUBLISH alone: the hot path. */
bool publish_decode(enum mqtt_version version, bool as_server, const uint8_t *frame, size_t size,
                    size_t header_size, struct publish *out, struct refusal *out_refusal);

/* In front of frame_parser_feed() and publish_decode(), which remain the judges: the size of the
 * whole PUBLISH at `data`, decoded, where it is there, well-formed and of the common kind. 0: ask
 * them. `size` may be more than one packet. */
size_t publish_decode_quick(enum mqtt_version version, const uint8_t *data, size_t size,
                            struct publish *out);

/* The same for a PUBACK, PUBREC, PUBREL or PUBCOMP, of any version, that says nothing but its
 * Packet Identifier. */
size_t acknowledgement_decode_quick(const uint8_t *data, size_t size, struct acknowledgement *out);

/* ---- Encoding ----
 *
 * SIZE_MAX, for the size of the packet too, when the packet would exceed what a Remaining Length
 * can say (268,435,455 bytes): larger than any capacity and than any Maximum Packet Size. */

/* A CONNECT too is encoded for `version`. Of repeated Subscription Identifiers only the last is
 * known here, and User Properties come from `user_properties`. */
size_t packet_encode(enum mqtt_version version, const struct packet *packet, uint8_t *out,
                     size_t capacity);

/* A PUBLISH to a Client, without its payload, which the caller sends behind it. */
struct publish_head {
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_identifier;
    uint16_t topic_alias; /* 0: none; v5 only, like all below */
    bool has_message_expiry_interval;
    uint32_t message_expiry_interval_s;
    const uint32_t *subscription_identifiers;
    uint32_t subscription_identifier_count;
    struct bytes topic_name; /* may be empty with an alias that the Client knows */
    struct bytes properties; /* as made by properties_forwardable() */
    size_t payload_size;
};

/* Returns the size of the head. `*out_packet_size` is the whole PUBLISH packet's, with payload. */
size_t publish_head_encode(enum mqtt_version version, const struct publish_head *head, uint8_t *out,
                           size_t capacity, size_t *out_packet_size);

/* CONNACK return code (3.1.1 Table 3.1) for a v5 reason code; 0 success, -1 where none is apt and
 * the Network Connection is closed without a CONNACK [MQTT-3.2.2-6]. */
int reason_code_to_v3_return_code(uint8_t reason_code);

#endif
