/* Packets as bytes, written by hand from the specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/wire/packet.h"

static void check(const struct packet *packet, enum version version, const char *hex)
{
    struct buffer written = {0}, wanted = {0};
    packet_write(&written, version, packet);
    buffer_hex(&wanted, hex);
    assert_int_equal(written.size, wanted.size);
    assert_memory_equal(written.data, wanted.data, wanted.size);
    buffer_free(&written);
    buffer_free(&wanted);
}

static void check_both(const struct packet *packet, const char *hex_311, const char *hex_5)
{
    check(packet, VERSION_311, hex_311);
    check(packet, VERSION_5, hex_5);
}

static void connect_has_the_fields_of_section_3_1(void **state)
{
    struct packet packet = {
        .type = CONNECT, .clean_start = true, .keep_alive_s = 60, .client_id = TEXT("ab")};
    check_both(&packet, "10 0e  0004 4d515454 04 02 003c  0002 6162",
               "10 0f  0004 4d515454 05 02 003c 00  0002 6162");
}

static void connect_with_everything_has_its_payload_in_order(void **state)
{
    struct packet packet = {.type = CONNECT,
                            .client_id = TEXT("c"),
                            .will_topic = TEXT("w"),
                            .will_payload = TEXT("gone"),
                            .will_qos = 2,
                            .will_retain = true,
                            .user_name = TEXT("u"),
                            .password = TEXT("p")};
    property_add(&packet.properties, SESSION_EXPIRY_INTERVAL, 0x01020304);
    property_add(&packet.will_properties, WILL_DELAY_INTERVAL, 5);
    check_both(&packet,
               "10 1c  0004 4d515454 04 f4 0000  0001 63  0001 77 0004 676f6e65  0001 75  0001 70",
               "10 28  0004 4d515454 05 f4 0000 05 11 01020304  0001 63"
               "       05 18 00000005  0001 77 0004 676f6e65  0001 75  0001 70");
}

static void an_empty_user_name_is_not_an_absent_one(void **state)
{
    struct packet packet = {.type = CONNECT, .user_name = TEXT("")};
    check(&packet, VERSION_311, "10 0e  0004 4d515454 04 80 0000  0000  0000");
}

static void protocol_name_and_level_can_be_wrong(void **state)
{
    struct packet packet = {.type = CONNECT, .protocol_name = TEXT("MQIsdp"), .protocol_level = 3};
    check(&packet, VERSION_311, "10 0e  0006 4d5149736470 03 00 0000  0000");
}

static void connack_has_flags_and_code(void **state)
{
    struct packet packet = {.type = CONNACK, .session_present = true};
    check_both(&packet, "20 02 01 00", "20 03 01 00 00");
    property_add(&packet.properties, RECEIVE_MAXIMUM, 20);
    property_add_text(&packet.properties, ASSIGNED_CLIENT_IDENTIFIER, TEXT("x"));
    check(&packet, VERSION_5, "20 0a 01 00 07 21 0014 12 0001 78");
}

static void publish_has_an_identifier_only_above_qos_0(void **state)
{
    struct packet packet = {
        .type = PUBLISH, .packet_id = 10, .topic = TEXT("a/b"), .payload = TEXT("hi")};
    check_both(&packet, "30 07 0003 612f62 6869", "30 08 0003 612f62 00 6869");
    packet.qos = 1;
    check_both(&packet, "32 09 0003 612f62 000a 6869", "32 0a 0003 612f62 000a 00 6869");
    packet.qos = 2;
    packet.dup = packet.retain = true;
    check_both(&packet, "3d 09 0003 612f62 000a 6869", "3d 0a 0003 612f62 000a 00 6869");
    packet.qos = 3;
    check(&packet, VERSION_311, "3f 09 0003 612f62 000a 6869");
}

static void every_type_of_property_has_its_form(void **state)
{
    struct packet packet = {.type = PUBLISH, .topic = TEXT("t")};
    property_add(&packet.properties, PAYLOAD_FORMAT_INDICATOR, 1);
    property_add(&packet.properties, TOPIC_ALIAS, 0x0203);
    property_add(&packet.properties, MESSAGE_EXPIRY_INTERVAL, 7);
    property_add(&packet.properties, SUBSCRIPTION_IDENTIFIER, 300);
    property_add_text(&packet.properties, CONTENT_TYPE, TEXT("c"));
    property_add_text(&packet.properties, CORRELATION_DATA, TEXT("\0\1"));
    property_add_user(&packet.properties, "k", "v");
    check(&packet, VERSION_5,
          "30 21 0001 74 1d  01 01  23 0203  02 00000007  0b ac02  03 0001 63  09 0002 0001"
          "  26 0001 6b 0001 76");
}

static void an_unknown_property_is_written_as_it_is(void **state)
{
    struct packet packet = {.type = DISCONNECT};
    packet.properties.list[packet.properties.count++] =
        (struct property){.id = 0x7f, .text = TEXT("\xff")};
    check(&packet, VERSION_5, "e0 04 00 02 7f ff");
}

static void acknowledgements_have_code_and_properties_in_5_0(void **state)
{
    struct packet packet = {.packet_id = 0x1234};
    static const struct {
        enum packet_type type;
        const char *v311, *v5;
    } rows[] = {
        {PUBACK, "40 02 1234", "40 04 1234 00 00"},
        {PUBREC, "50 02 1234", "50 04 1234 00 00"},
        {PUBREL, "62 02 1234", "62 04 1234 00 00"},
        {PUBCOMP, "70 02 1234", "70 04 1234 00 00"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        packet.type = rows[i].type;
        check_both(&packet, rows[i].v311, rows[i].v5);
    }
}

static void what_may_be_left_out_can_be_left_out(void **state)
{
    struct packet packet = {.type = PUBACK, .packet_id = 1, .reason_code = 0x10};
    packet.omit_properties = true;
    check(&packet, VERSION_5, "40 03 0001 10");
    packet.omit_reason_code = true;
    check(&packet, VERSION_5, "40 02 0001");
    packet.omit_packet_id = true;
    check(&packet, VERSION_5, "40 00");
    packet = (struct packet){.type = DISCONNECT, .omit_reason_code = true};
    check_both(&packet, "e0 00", "e0 00");
    packet = (struct packet){.type = DISCONNECT, .reason_code = 4, .omit_properties = true};
    check_both(&packet, "e0 00", "e0 01 04");
}

static void subscribe_and_unsubscribe_list_filters(void **state)
{
    struct packet packet = {
        .type = SUBSCRIBE,
        .packet_id = 2,
        .filters = {{TEXT("a/#"), 1},
                    {TEXT("+"), 2 | SUBSCRIBE_NO_LOCAL | SUBSCRIBE_RETAIN_AS_PUBLISHED |
                                    SUBSCRIBE_RETAIN_HANDLING(2)}},
        .filter_count = 2};
    check_both(&packet, "82 0c 0002 0003 612f23 01 0001 2b 2e",
               "82 0d 0002 00 0003 612f23 01 0001 2b 2e");
    packet.type = UNSUBSCRIBE;
    check_both(&packet, "a2 0a 0002 0003 612f23 0001 2b", "a2 0b 0002 00 0003 612f23 0001 2b");
}

static void suback_and_unsuback_list_codes(void **state)
{
    struct packet packet = {.type = SUBACK, .packet_id = 2, .reason_codes = TEXT("\x01\x80")};
    check_both(&packet, "90 04 0002 0180", "90 05 0002 00 0180");
    packet.type = UNSUBACK; /* of 3.1.1: the identifier alone */
    check_both(&packet, "b0 02 0002", "b0 05 0002 00 0180");
}

static void auth_and_pings(void **state)
{
    struct packet packet = {.type = AUTH, .reason_code = 0x18};
    property_add_text(&packet.properties, AUTHENTICATION_METHOD, TEXT("m"));
    check(&packet, VERSION_5, "f0 06 18 04 15 0001 6d");
    check_both(&(struct packet){.type = PINGREQ}, "c0 00", "c0 00");
    check_both(&(struct packet){.type = PINGRESP}, "d0 00", "d0 00");
}

static void flags_can_be_forced(void **state)
{
    struct packet packet = {.type = PUBREL, .packet_id = 1, .force_flags = true, .forced_flags = 0};
    check(&packet, VERSION_311, "60 02 0001");
    packet = (struct packet){.type = PINGREQ, .force_flags = true, .forced_flags = 0x0f};
    check(&packet, VERSION_311, "cf 00");
}

static void remaining_length_takes_the_fewest_bytes(void **state)
{
    static const struct {
        uint32_t value;
        const char *hex;
    } rows[] = {
        {0, "00"},         {127, "7f"},         {128, "8001"},         {16383, "ff7f"},
        {16384, "808001"}, {2097151, "ffff7f"}, {2097152, "80808001"}, {268435455, "ffffff7f"}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer written = {0}, wanted = {0};
        buffer_varint(&written, rows[i].value);
        buffer_hex(&wanted, rows[i].hex);
        assert_int_equal(written.size, wanted.size);
        assert_memory_equal(written.data, wanted.data, wanted.size);
        buffer_free(&written);
        buffer_free(&wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_has_the_fields_of_section_3_1),
        cmocka_unit_test(connect_with_everything_has_its_payload_in_order),
        cmocka_unit_test(an_empty_user_name_is_not_an_absent_one),
        cmocka_unit_test(protocol_name_and_level_can_be_wrong),
        cmocka_unit_test(connack_has_flags_and_code),
        cmocka_unit_test(publish_has_an_identifier_only_above_qos_0),
        cmocka_unit_test(every_type_of_property_has_its_form),
        cmocka_unit_test(an_unknown_property_is_written_as_it_is),
        cmocka_unit_test(acknowledgements_have_code_and_properties_in_5_0),
        cmocka_unit_test(what_may_be_left_out_can_be_left_out),
        cmocka_unit_test(subscribe_and_unsubscribe_list_filters),
        cmocka_unit_test(suback_and_unsuback_list_codes),
        cmocka_unit_test(auth_and_pings),
        cmocka_unit_test(flags_can_be_forced),
        cmocka_unit_test(remaining_length_takes_the_fewest_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
