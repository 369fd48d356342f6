#include "conformance/wire/rule.h"

#define IN(type) (1u << (type))
enum { CLIENT = 1, SERVER = 2, BOTH = 3, WILL = RULE_WILL_PROPERTIES, PLACES = 17, IDS = 0x2B };

static const char *const allowed[PLACES][IDS] = {
#define ALLOWED(place, id, section) [place][id] = section,
#include "conformance/wire/property.def"
};

static const struct {
    const char *name;
    uint32_t packets;
    uint8_t code, senders;
} reason_codes[] = {
#define REASON_CODE(code, name, packets, senders) {name, packets, code, senders},
#include "conformance/wire/reason_code.def"
#undef REASON_CODE
};

enum { REASON_CODES = sizeof reason_codes / sizeof *reason_codes };

static const char *const return_codes_311[] = {
    "Connection Accepted", "Unacceptable protocol version", "Identifier rejected",
    "Server unavailable",  "Bad user name or password",     "Not authorized"};

static const char *const types[] = {"0x00",      "CONNECT",  "CONNACK",     "PUBLISH",
                                    "PUBACK",    "PUBREC",   "PUBREL",      "PUBCOMP",
                                    "SUBSCRIBE", "SUBACK",   "UNSUBSCRIBE", "UNSUBACK",
                                    "PINGREQ",   "PINGRESP", "DISCONNECT",  "AUTH"};

static const char *const sections[2][16] = {
    {"3.1.1 section 2.2.1", "3.1.1 section 3.1", "3.1.1 section 3.2", "3.1.1 section 3.3",
     "3.1.1 section 3.4", "3.1.1 section 3.5", "3.1.1 section 3.6", "3.1.1 section 3.7",
     "3.1.1 section 3.8", "3.1.1 section 3.9", "3.1.1 section 3.10", "3.1.1 section 3.11",
     "3.1.1 section 3.12", "3.1.1 section 3.13", "3.1.1 section 3.14", "3.1.1 section 2.2.1"},
    {"5.0 section 2.1.2", "5.0 section 3.1", "5.0 section 3.2", "5.0 section 3.3",
     "5.0 section 3.4", "5.0 section 3.5", "5.0 section 3.6", "5.0 section 3.7", "5.0 section 3.8",
     "5.0 section 3.9", "5.0 section 3.10", "5.0 section 3.11", "5.0 section 3.12",
     "5.0 section 3.13", "5.0 section 3.14", "5.0 section 3.15"}};

const char *packet_name(enum packet_type type)
{
    return types[(unsigned)type & 15];
}

const char *rule_section(enum version version, enum packet_type type)
{
    return sections[version == VERSION_5][(unsigned)type & 15];
}

const char *rule_property_section(unsigned place, uint32_t id)
{
    return place < PLACES && id < IDS ? allowed[place][id] : NULL;
}

bool rule_property_repeats(unsigned place, uint32_t id)
{
    return id == USER_PROPERTY || (id == SUBSCRIPTION_IDENTIFIER && place == PUBLISH);
}

bool rule_reason_code_allowed(enum packet_type type, uint8_t code, bool from_server)
{
    for (unsigned i = 0; i < REASON_CODES; i++) {
        if (reason_codes[i].code == code && reason_codes[i].packets & IN(type) &&
            reason_codes[i].senders & (from_server ? SERVER : CLIENT))
            return true;
    }
    return false;
}

static const char *return_code_name_311(enum packet_type type, uint8_t code)
{
    static const char *const granted[] = {"Maximum QoS 0", "Maximum QoS 1", "Maximum QoS 2"};

    if (type == CONNACK && code < sizeof return_codes_311 / sizeof *return_codes_311)
        return return_codes_311[code];
    if (type == SUBACK && code < 3)
        return granted[code];
    if (type == SUBACK && code == 0x80)
        return "Failure";
    return "reserved";
}

const char *reason_code_name(enum version version, enum packet_type type, uint8_t code)
{
    if (version != VERSION_5)
        return return_code_name_311(type, code);
    const char *elsewhere = "unknown";
    for (unsigned i = 0; i < REASON_CODES; i++) {
        if (reason_codes[i].code != code)
            continue;
        if (reason_codes[i].packets & IN(type))
            return reason_codes[i].name;
        elsewhere = reason_codes[i].name;
    }
    return elsewhere;
}

const char *rule_reason_code_statement(enum version version, enum packet_type type)
{
    if (version != VERSION_5) /* a SUBACK alone has a statement, a CONNACK a table */
        return type == SUBACK ? "MQTT-3.9.3-2" : "3.1.1 section 3.2.2.3";
    switch (type) {
    case CONNACK:
        return "MQTT-3.2.2-8";
    case PUBACK:
        return "MQTT-3.4.2-1";
    case PUBREC:
        return "MQTT-3.5.2-1";
    case PUBREL:
        return "MQTT-3.6.2-1";
    case PUBCOMP:
        return "MQTT-3.7.2-1";
    case SUBACK:
        return "MQTT-3.9.3-2";
    case UNSUBACK:
        return "MQTT-3.11.3-2";
    case DISCONNECT:
        return "MQTT-3.14.2-1";
    case AUTH:
        return "MQTT-3.15.2-1";
    default:
        return rule_section(version, type);
    }
}
