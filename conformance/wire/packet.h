/* MQTT Control Packets of 5.0 and 3.1.1 as this suite writes and reads them.
 *
 * Written from the specification and from nothing of the broker's: a misreading must not be able to
 * hide on both sides. Writing believes everything (a test wants to send what is forbidden); reading
 * believes nothing (a server that sends it is at fault). One flat struct serves both. */
#ifndef CONFORMANCE_PACKET_H
#define CONFORMANCE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum version { VERSION_311 = 4, VERSION_5 = 5 }; /* the Protocol Level on the wire */

enum packet_type {
    CONNECT = 1,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    UNSUBSCRIBE,
    UNSUBACK,
    PINGREQ,
    PINGRESP,
    DISCONNECT,
    AUTH,
};

/* Bytes that somebody else owns. `data` may be NULL where size is 0; then an optional field is
 * absent, while "" is present and empty. */
struct text {
    const uint8_t *data;
    size_t size;
};

#define TEXT(literal) ((struct text){(const uint8_t *)(literal), sizeof(literal) - 1})
struct text text_of(const char *string); /* up to its NUL */
bool text_equal(struct text a, struct text b);

/* ---- Properties (5.0 section 2.2.2.2) ---- */

enum property_id {
    PAYLOAD_FORMAT_INDICATOR = 0x01,
    MESSAGE_EXPIRY_INTERVAL = 0x02,
    CONTENT_TYPE = 0x03,
    RESPONSE_TOPIC = 0x08,
    CORRELATION_DATA = 0x09,
    SUBSCRIPTION_IDENTIFIER = 0x0B,
    SESSION_EXPIRY_INTERVAL = 0x11,
    ASSIGNED_CLIENT_IDENTIFIER = 0x12,
    SERVER_KEEP_ALIVE = 0x13,
    AUTHENTICATION_METHOD = 0x15,
    AUTHENTICATION_DATA = 0x16,
    REQUEST_PROBLEM_INFORMATION = 0x17,
    WILL_DELAY_INTERVAL = 0x18,
    REQUEST_RESPONSE_INFORMATION = 0x19,
    RESPONSE_INFORMATION = 0x1A,
    SERVER_REFERENCE = 0x1C,
    REASON_STRING = 0x1F,
    RECEIVE_MAXIMUM = 0x21,
    TOPIC_ALIAS_MAXIMUM = 0x22,
    TOPIC_ALIAS = 0x23,
    MAXIMUM_QOS = 0x24,
    RETAIN_AVAILABLE = 0x25,
    USER_PROPERTY = 0x26,
    MAXIMUM_PACKET_SIZE = 0x27,
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28,
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29,
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A,
};

enum property_type {
    PROPERTY_BYTE,
    PROPERTY_TWO_BYTES,
    PROPERTY_FOUR_BYTES,
    PROPERTY_VARIABLE_BYTE_INTEGER,
    PROPERTY_STRING,
    PROPERTY_STRING_PAIR,
    PROPERTY_BINARY,
    PROPERTY_UNKNOWN,
};

struct property {
    uint32_t id;
    uint32_t number;         /* of the four numeric types */
    struct text text, value; /* `value`: of a string pair */
};

enum { PROPERTIES_MAX = 64 };

/* In the order of the wire, repeats and forbidden ones included. */
struct properties {
    struct property list[PROPERTIES_MAX];
    unsigned count;
    unsigned more; /* read, but beyond the room of `list` */
};

enum property_type property_type(uint32_t id);
const char *property_name(uint32_t id); /* as the specification spells it */

/* Appends; the texts are borrowed until the packet has been written. */
void property_add(struct properties *properties, enum property_id id, uint32_t number);
void property_add_text(struct properties *properties, enum property_id id, struct text text);
void property_add_user(struct properties *properties, const char *name, const char *value);

/* The first of that id, or NULL. */
const struct property *property_find(const struct properties *properties, enum property_id id);
uint32_t property_number(const struct properties *properties, enum property_id id, uint32_t absent);

/* ---- Packets ---- */

struct filter {
    struct text filter;
    uint8_t options; /* the Subscription Options byte; 3.1.1: the Requested QoS */
};

enum { SUBSCRIBE_NO_LOCAL = 0x04, SUBSCRIBE_RETAIN_AS_PUBLISHED = 0x08 };
#define SUBSCRIBE_RETAIN_HANDLING(n) ((uint8_t)((n) << 4))

enum { FILTERS_MAX = 32 };

struct packet {
    enum packet_type type;

    /* PUBLISH */
    bool dup, retain;
    uint8_t qos;
    struct text topic, payload;
    bool topic_from_alias; /* set by a client of the suite, which fills in `topic` then */

    uint16_t packet_id;   /* PUBLISH at QoS > 0, acknowledgements, SUBSCRIBE and UNSUBSCRIBE */
    uint8_t reason_code;  /* CONNACK (3.1.1: return code), acknowledgements, DISCONNECT, AUTH */
    bool session_present; /* CONNACK */
    struct properties properties;
    struct text reason_codes; /* SUBACK, UNSUBACK */

    struct filter filters[FILTERS_MAX]; /* SUBSCRIBE, UNSUBSCRIBE */
    unsigned filter_count;
    unsigned more_filters; /* read, but beyond the room of `filters` */

    /* CONNECT. A NULL user name, password or will topic is left out with its flag. */
    struct text protocol_name; /* NULL: "MQTT" */
    uint8_t protocol_level;    /* 0: the version's */
    bool clean_start;
    uint16_t keep_alive_s;
    struct text client_id; /* NULL: written as a string of no bytes */
    struct text will_topic, will_payload;
    uint8_t will_qos;
    bool will_retain;
    struct properties will_properties;
    struct text user_name, password;

    uint8_t
        forced_flags; /* bits 3 to 0 of byte 1, with FORCE_FLAGS set: instead of the right ones */
    bool force_flags;
    bool omit_packet_id;   /* leaves out what the specification wants */
    bool omit_properties;  /* leaves out Property Length too, where the specification allows it */
    bool omit_reason_code; /* the two-byte acknowledgement, the empty DISCONNECT */
};

const char *packet_name(enum packet_type type);
const char *reason_code_name(enum version version, enum packet_type type, uint8_t code);

/* ---- Writing ---- */

/* Grows by itself; zeroed is empty. buffer_free() or a client's arena ends it. */
struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

void buffer_free(struct buffer *buffer);
void buffer_u8(struct buffer *buffer, unsigned value);
void buffer_u16(struct buffer *buffer, unsigned value);
void buffer_u32(struct buffer *buffer, uint32_t value);
void buffer_varint(struct buffer *buffer, uint32_t value); /* the shortest form */
void buffer_bytes(struct buffer *buffer, const void *data, size_t size);
void buffer_string(struct buffer *buffer, struct text text); /* two bytes of length, the bytes */
/* Hexadecimal digits with white space between bytes as one likes. */
void buffer_hex(struct buffer *buffer, const char *hex);
/* Byte 1, Remaining Length of `body`, `body`. */
void buffer_frame(struct buffer *buffer, unsigned first_byte, const struct buffer *body);

/* Appends the whole packet. */
void packet_write(struct buffer *buffer, enum version version, const struct packet *packet);

/* ---- Reading ---- */

/* What is wrong with a packet; zeroed: nothing. */
struct packet_fault {
    const char *statement; /* of the version read; or a section, such as "5.0 section 3.4.2" */
    size_t offset;         /* of the byte that is wrong, from the start of the packet */
    char what[160];
};

/* How many bytes the packet at the front has, whatever is in it: 0 as long as its fixed header is
 * not complete, SIZE_MAX if its Remaining Length is longer than four bytes. */
size_t packet_size(const uint8_t *data, size_t size);

enum read_result { READ_MORE, READ_PACKET, READ_FAULT };

/* Reads one packet from the front. READ_PACKET: `*packet` points into `data` and `*used` says how
 * much was the packet. READ_FAULT: `*fault` says why a receiver has to close, `*packet` holds what
 * was read until then. What is wrong with byte 1 or the Remaining Length is said before the rest is
 * there; who wants to know the whole malformed packet awaits packet_size() bytes first.
 *
 * `from_server`: whether a server sent it; what only a client may send is a fault then, and all of
 * 5.0's rules on which property and reason code may stand where are checked for that sender.
 *
 * A CONNECT is read in the version that it names, whatever `version` is. */
enum read_result packet_read(const uint8_t *data, size_t size, enum version version,
                             bool from_server, struct packet *packet, size_t *used,
                             struct packet_fault *fault);

/* One line in words, for traces: `PUBLISH id 7, QoS 1, DUP, topic "a/b", 5 bytes "hello"`.
 * Returns `line`. */
char *packet_describe(const struct packet *packet, enum version version, char *line, size_t size);

#endif
