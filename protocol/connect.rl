/* CONNECT (5.0 section 3.1). */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_CONNECT_CUT
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE PACKET_CONNECT

/* Connect Flags (section 3.1.2.3) */
enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80,
};

static enum rule connect_flags_rule(uint8_t flags, enum mqtt_version version)
{
    if (flags & FLAG_RESERVED)
        return RULE_CONNECT_RESERVED_FLAG; /* [MQTT-3.1.2-3] */
    if (!(flags & FLAG_WILL) && (flags & FLAG_WILL_QOS))
        return RULE_WILL_QOS_WITHOUT_WILL; /* [MQTT-3.1.2-11] */
    if (!(flags & FLAG_WILL) && (flags & FLAG_WILL_RETAIN))
        return RULE_WILL_RETAIN_WITHOUT_WILL; /* [MQTT-3.1.2-13] */
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return RULE_WILL_QOS_3; /* [MQTT-3.1.2-12] */
    if (version != MQTT_VERSION_5 && (flags & FLAG_PASSWORD) && !(flags & FLAG_USER_NAME))
        return RULE_PASSWORD_WITHOUT_USER_NAME; /* 3.1.1 [MQTT-3.1.2-22] */
    return RULE_NONE;
}

%%{
    machine connect;
    include common "common.rlh";

    # ---- Variable Header ----

    action name_wrong    { REFUSE_BYTE(RULE_PROTOCOL_NAME); }
    action version_wrong {
        if (p != pe && *p < MQTT_VERSION_5)
            out->version = decoder->version = MQTT_VERSION_311;
        REFUSE_BYTE(RULE_PROTOCOL_VERSION);
    }
    action version       { out->version = decoder->version = (enum mqtt_version)*p; }

    protocol = ( 0x00 0x04 "MQTT"   (0x04 | 0x05) >!version_wrong @version    # [MQTT-3.1.2-1]
               | 0x00 0x06 "MQIsdp" 0x03 >!version_wrong @version             # [MQTT-3.1.2-2]
               ) @!name_wrong;

    action flags {
        rule = connect_flags_rule(*p, out->version);
        if (rule != RULE_NONE)
            REFUSE(rule);
        flags = *p;
        out->clean_start = (flags & FLAG_CLEAN_START) != 0;
        out->has_will = (flags & FLAG_WILL) != 0;
        out->will.qos = (flags & FLAG_WILL_QOS) >> 3;
        out->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    }

    action keep_alive {
        out->keep_alive_s = (uint16_t)value;
        if (out->version == MQTT_VERSION_5)
            fnext properties_v5;
        else
            fnext client_identifier;
    }

    main := ( protocol any @flags two_byte_integer @keep_alive ) $!unexpected;

    # ---- Payload: which fields there are is for the flags to say, their order is fixed
    # [MQTT-3.1.3-1] ----

    action next_field {
        if (flags & FLAG_WILL) {
            flags &= (uint8_t)~FLAG_WILL;
            if (out->version == MQTT_VERSION_5)
                fnext will_v5;
            else
                fnext will_v3;
        } else if (flags & FLAG_USER_NAME) {
            flags &= (uint8_t)~FLAG_USER_NAME;
            if (out->version == MQTT_VERSION_31)
                fnext user_name_v31;
            else
                fnext user_name;
        } else if (flags & FLAG_PASSWORD) {
            flags &= (uint8_t)~FLAG_PASSWORD;
            if (out->version == MQTT_VERSION_31)
                fnext password_v31;
            else
                fnext password;
        } else {
            fnext the_end; /* no field without its flag [MQTT-3.1.2-16] [MQTT-3.1.2-18] */
        }
    }

    action client_identifier {
        if (!decoder_text(decoder, field, RULE_CLIENT_IDENTIFIER_UTF8))
            return false; /* [MQTT-3.1.3-4] */
        out->client_identifier = field;
    }
    action will_properties {
        if (!decoder_properties(decoder, p, value, PROPERTY_PLACE_WILL, &out->will.properties))
            return false;
        fexec p + 1 + value;
    }
    action will_topic {
        if (!decoder_topic_name(decoder, field, RULE_WILL_TOPIC_UTF8, RULE_WILL_TOPIC_WILDCARD,
                                RULE_TOPIC_NAME_EMPTY))
            return false; /* [MQTT-3.1.3-11] */
        out->will.topic = field;
    }
    action will_payload { out->will.payload = field; }
    action user_name {
        if (!decoder_text(decoder, field, RULE_USER_NAME_UTF8))
            return false; /* [MQTT-3.1.3-12] */
        out->user_name = field;
        out->has_user_name = true;
    }
    action password {
        out->password = field;
        out->has_password = true;
    }

    action client_identifier_missing { REFUSE(RULE_CLIENT_IDENTIFIER_MISSING); }
    action will_missing              { REFUSE(RULE_WILL_MISSING); }
    action user_name_missing         { REFUSE(RULE_USER_NAME_MISSING); }
    action password_missing          { REFUSE(RULE_PASSWORD_MISSING); }
    action left_over                 { REFUSE(RULE_CONNECT_TRAILING_BYTES); }

    to_client_identifier = properties @{ fnext client_identifier; };
    will_fields = binary_data @will_topic binary_data @will_payload @next_field;
    user_name_field = binary_data @user_name @next_field;
    password_field = binary_data @password @next_field;

    properties_v5     := to_client_identifier $!unexpected;
    client_identifier := ( binary_data @client_identifier @next_field )
                         >!client_identifier_missing $!unexpected;               # [MQTT-3.1.3-3]
    will_v5           := ( (variable_byte_integer @will_properties) will_fields )
                         >!will_missing $!unexpected;                            # [MQTT-3.1.2-9]
    will_v3           := will_fields >!will_missing $!unexpected;
    user_name         := user_name_field >!user_name_missing $!unexpected;       # [MQTT-3.1.2-17]
    password          := password_field >!password_missing $!unexpected;         # [MQTT-3.1.2-19]
    the_end           := zlen $!left_over;

    # "The Remaining Length field from the fixed header takes precedence over the User Name flag"
    # (MQTT 3.1 section 3.1), and over the Password flag: there they may be missing.
    user_name_v31     := user_name_field? $!unexpected;
    password_v31      := password_field? $!unexpected;

    write data nofinal noerror;
}%%

static void connect_clear(struct connect *out, const uint8_t *at)
{
    out->version = MQTT_VERSION_5;
    out->has_will = false;
    out->has_user_name = false;
    out->has_password = false;
    properties_clear(&out->properties, at);
    properties_clear(&out->will.properties, at);
    out->client_identifier = (struct bytes){0};
    out->will.topic = out->will.payload = (struct bytes){0};
    out->user_name = out->password = (struct bytes){0};
}

bool connect_decode(struct decoder *decoder, struct connect *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    enum rule rule;
    struct bytes field;
    uint32_t value = 0;
    unsigned shift = 0;
    uint8_t flags = 0;
    int cs;

    connect_clear(out, p);
    decoder->version = MQTT_VERSION_5;

    %% write init;
    %% write exec;
    return true;
}
