#include "protocol/reason_code.h"

#include <stddef.h>

enum { CLIENT = 1, SERVER = 2, BOTH = 3 };

#define IN(type) (1u << PACKET_##type)

static const struct {
    uint8_t value;
    uint8_t senders;
    uint16_t packets;
    const char *name;
} table[] = {
#define REASON(value, constant, name, packets, senders) {value, senders, packets, name},
#include "protocol/reason_code.def"
};

enum { TABLE_SIZE = sizeof table / sizeof table[0] };

const char *reason_code_name(uint8_t reason_code)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].value == reason_code)
            return table[i].name;
    }
    return "unknown reason code";
}

bool reason_code_allowed(enum packet_type type, uint8_t reason_code, bool from_server)
{
    bool by_sender = type == PACKET_DISCONNECT || type == PACKET_AUTH;
    unsigned sender = from_server ? SERVER : CLIENT;

    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (table[i].value == reason_code && (table[i].packets >> type & 1u) != 0)
            return !by_sender || (table[i].senders & sender) != 0;
    }
    return false;
}

/* 3.1.1 Table 3.1. A Client told 3 tries again later, which is what these are about. */
int reason_code_to_v3_return_code(uint8_t reason_code)
{
    switch (reason_code) {
    case REASON_SUCCESS:
        return 0;
    case REASON_UNSUPPORTED_PROTOCOL_VERSION:
        return 1;
    case REASON_CLIENT_IDENTIFIER_NOT_VALID:
        return 2;
    case REASON_UNSPECIFIED_ERROR:
    case REASON_IMPLEMENTATION_SPECIFIC_ERROR:
    case REASON_SERVER_UNAVAILABLE:
    case REASON_SERVER_BUSY:
    case REASON_QUOTA_EXCEEDED:
    case REASON_USE_ANOTHER_SERVER:
    case REASON_SERVER_MOVED:
    case REASON_CONNECTION_RATE_EXCEEDED:
        return 3;
    case REASON_BAD_USER_NAME_OR_PASSWORD:
        return 4;
    case REASON_NOT_AUTHORIZED:
    case REASON_BANNED:
        return 5;
    default:
        return -1;
    }
}
