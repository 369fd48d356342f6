/* reason_code.def against Table 2-6 and Table 3-10 as they stand in the specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/packet.h"

/* Packets: c CONNACK, a PUBACK, r PUBREC, l PUBREL, p PUBCOMP, s SUBACK, u UNSUBACK, D DISCONNECT,
 * A AUTH; who sends it in a DISCONNECT. 0x8C is not in Table 3-10, see reason_code.def. */
static const struct {
    uint8_t value;
    const char *name, *packets, *disconnect;
} facts[] = {
    {0x00, "Success", "carlpuA", ""},
    {0x00, "Normal disconnection", "D", "CS"},
    {0x00, "Granted QoS 0", "s", ""},
    {0x01, "Granted QoS 1", "s", ""},
    {0x02, "Granted QoS 2", "s", ""},
    {0x04, "Disconnect with Will Message", "D", "C"},
    {0x10, "No matching subscribers", "ar", ""},
    {0x11, "No subscription existed", "u", ""},
    {0x18, "Continue authentication", "A", ""},
    {0x19, "Re-authenticate", "A", ""},
    {0x80, "Unspecified error", "carsuD", "CS"},
    {0x81, "Malformed Packet", "cD", "CS"},
    {0x82, "Protocol Error", "cD", "CS"},
    {0x83, "Implementation specific error", "carsuD", "CS"},
    {0x84, "Unsupported Protocol Version", "c", ""},
    {0x85, "Client Identifier not valid", "c", ""},
    {0x86, "Bad User Name or Password", "c", ""},
    {0x87, "Not authorized", "carsuD", "S"},
    {0x88, "Server unavailable", "c", ""},
    {0x89, "Server busy", "cD", "S"},
    {0x8A, "Banned", "c", ""},
    {0x8B, "Server shutting down", "D", "S"},
    {0x8C, "Bad authentication method", "cD", "S"},
    {0x8D, "Keep Alive timeout", "D", "S"},
    {0x8E, "Session taken over", "D", "S"},
    {0x8F, "Topic Filter invalid", "suD", "S"},
    {0x90, "Topic Name invalid", "carD", "CS"},
    {0x91, "Packet Identifier in use", "arsu", ""},
    {0x92, "Packet Identifier not found", "lp", ""},
    {0x93, "Receive Maximum exceeded", "D", "CS"},
    {0x94, "Topic Alias invalid", "D", "CS"},
    {0x95, "Packet too large", "cD", "CS"},
    {0x96, "Message rate too high", "D", "CS"},
    {0x97, "Quota exceeded", "carsD", "CS"},
    {0x98, "Administrative action", "D", "CS"},
    {0x99, "Payload format invalid", "carD", "CS"},
    {0x9A, "Retain not supported", "cD", "S"},
    {0x9B, "QoS not supported", "cD", "S"},
    {0x9C, "Use another server", "cD", "S"},
    {0x9D, "Server moved", "cD", "S"},
    {0x9E, "Shared Subscriptions not supported", "sD", "S"},
    {0x9F, "Connection rate exceeded", "cD", "S"},
    {0xA0, "Maximum connect time", "D", "S"},
    {0xA1, "Subscription Identifiers not supported", "sD", "S"},
    {0xA2, "Wildcard Subscriptions not supported", "sD", "S"},
};

static const char letters[] = "..c.arlp.s.u..DA"; /* by packet type */

static bool is_listed(unsigned type, unsigned value, bool from_server)
{
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        if (facts[i].value != value || letters[type] == '.' ||
            strchr(facts[i].packets, letters[type]) == NULL)
            continue;
        if (type == PACKET_DISCONNECT)
            return strchr(facts[i].disconnect, from_server ? 'S' : 'C') != NULL;
        if (type == PACKET_AUTH) /* Table 3-11 */
            return value == 0x18 || (value == 0x00 && from_server) ||
                   (value == 0x19 && !from_server);
        return true;
    }
    return false;
}

static void codes_are_allowed_where_the_tables_list_them(void **state)
{
    for (unsigned type = 0; type <= 15; type++) {
        for (unsigned value = 0; value <= 0xFF; value++) {
            for (unsigned from_server = 0; from_server <= 1; from_server++) {
                if (reason_code_allowed(type, (uint8_t)value, from_server) !=
                    is_listed(type, value, from_server))
                    fail_msg("0x%02X in %s", value, packet_type_name(type));
            }
        }
    }
}

static void codes_have_their_names(void **state)
{
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        if (facts[i].value != 0)
            assert_string_equal(reason_code_name(facts[i].value), facts[i].name);
    }
    assert_string_equal(reason_code_name(0x00), "Success");
    assert_string_equal(reason_code_name(0x7F), "unknown reason code");
}

static void constants_have_their_values(void **state)
{
    assert_int_equal(REASON_SUCCESS, 0x00);
    assert_int_equal(REASON_NORMAL_DISCONNECTION, 0x00);
    assert_int_equal(REASON_GRANTED_QOS_0, 0x00);
    assert_int_equal(REASON_NO_MATCHING_SUBSCRIBERS, 0x10);
    assert_int_equal(REASON_MALFORMED_PACKET, 0x81);
    assert_int_equal(REASON_SESSION_TAKEN_OVER, 0x8E);
    assert_int_equal(REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, 0xA2);
}

/* 3.1.1 Table 3.1 */
static void return_codes_before_5_0(void **state)
{
    assert_int_equal(reason_code_to_v3_return_code(REASON_SUCCESS), 0);
    assert_int_equal(reason_code_to_v3_return_code(REASON_UNSUPPORTED_PROTOCOL_VERSION), 1);
    assert_int_equal(reason_code_to_v3_return_code(REASON_CLIENT_IDENTIFIER_NOT_VALID), 2);
    assert_int_equal(reason_code_to_v3_return_code(REASON_SERVER_UNAVAILABLE), 3);
    assert_int_equal(reason_code_to_v3_return_code(REASON_BAD_USER_NAME_OR_PASSWORD), 4);
    assert_int_equal(reason_code_to_v3_return_code(REASON_NOT_AUTHORIZED), 5);
    /* [MQTT-3.1.4-1]: closed without a CONNACK */
    assert_int_equal(reason_code_to_v3_return_code(REASON_MALFORMED_PACKET), -1);
    assert_int_equal(reason_code_to_v3_return_code(REASON_PROTOCOL_ERROR), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_allowed_where_the_tables_list_them),
        cmocka_unit_test(codes_have_their_names),
        cmocka_unit_test(constants_have_their_values),
        cmocka_unit_test(return_codes_before_5_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
