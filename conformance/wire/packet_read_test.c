/* Sound packets, by hand from the specification: read at every split, described, and written again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/wire/packet.h"

enum { CLIENT = 0, SERVER = 1, SHORT = 2 /* not what packet_write() makes of it */ };

static const struct sample {
    enum version version;
    unsigned kind;
    const char *hex, *line;
} samples[] = {
    /* CONNECT */
    {VERSION_311, CLIENT, "10 0e 0004 4d515454 04 02 003c 0002 6162",
     "CONNECT level 4, client \"ab\", Clean Session 1, Keep Alive 60"},
    {VERSION_5, CLIENT, "10 0f 0004 4d515454 05 02 003c 00 0002 6162",
     "CONNECT level 5, client \"ab\", Clean Start 1, Keep Alive 60"},
    {VERSION_5, CLIENT,
     "10 28 0004 4d515454 05 f4 0000 05 11 01020304 0001 63 05 18 00000005 0001 77 0004 676f6e65"
     "0001 75 0001 70",
     "CONNECT level 5, client \"c\", Clean Start 0, Keep Alive 0, Session Expiry Interval "
     "16909060, "
     "Will QoS 2, RETAIN, topic \"w\", 4 bytes \"gone\", Will Delay Interval 5, User Name \"u\", "
     "Password of 1 bytes"},
    {VERSION_311, CLIENT, "10 0e 0004 4d515454 04 82 0000 0000 0000",
     "CONNECT level 4, client \"\", Clean Session 1, Keep Alive 0, User Name \"\""},

    /* CONNACK */
    {VERSION_311, SERVER, "20 02 01 00", "CONNACK 0x00 Connection Accepted, Session Present 1"},
    {VERSION_311, SERVER, "20 02 00 05", "CONNACK 0x05 Not authorized, Session Present 0"},
    {VERSION_5, SERVER, "20 03 01 00 00", "CONNACK 0x00 Success, Session Present 1"},
    {VERSION_5, SERVER, "20 0a 00 00 07 21 0014 12 0001 78",
     "CONNACK 0x00 Success, Session Present 0, Receive Maximum 20, Assigned Client Identifier "
     "\"x\""},
    {VERSION_5, SERVER, "20 12 00 87 0f 26 0001 6b 0001 76 26 0001 6b 0002 7a22",
     "CONNACK 0x87 Not authorized, Session Present 0, User Property \"k\" = \"v\", User Property "
     "\"k\" = \"z\\\"\""},

    /* PUBLISH */
    {VERSION_311, SERVER, "30 07 0003 612f62 6869", "PUBLISH QoS 0, topic \"a/b\", 2 bytes \"hi\""},
    {VERSION_311, SERVER, "3d 08 0003 612f62 000a 00",
     "PUBLISH id 10, QoS 2, DUP, RETAIN, topic \"a/b\", 1 byte \"\\x00\""},
    {VERSION_5, CLIENT, "32 08 0003 612f62 ffff 00",
     "PUBLISH id 65535, QoS 1, topic \"a/b\", 0 bytes"},
    {VERSION_5, SERVER, "30 06 0000 03 23 0003",
     "PUBLISH QoS 0, topic \"\", 0 bytes, Topic Alias 3"},
    {VERSION_5, SERVER,
     "30 23 0001 74 1f 01 01 23 0203 02 00000007 0b ac02 0b 01 03 0001 63 09 0002 0001"
     "26 0001 6b 0001 76",
     "PUBLISH QoS 0, topic \"t\", 0 bytes, Payload Format Indicator 1, Topic Alias 515, Message "
     "Expiry Interval 7, Subscription Identifier 300, Subscription Identifier 1, Content Type "
     "\"c\", "
     "Correlation Data 2 bytes \"\\x00\\x01\", User Property \"k\" = \"v\""},
    {VERSION_5, CLIENT, "30 0a 0001 74 06 08 0003 612f62",
     "PUBLISH QoS 0, topic \"t\", 0 bytes, Response Topic \"a/b\""},
    /* U+10FFFF, U+FEFF and U+D7FF are characters as any other */
    {VERSION_311, SERVER, "30 0c 000a f48fbfbf efbbbf ed9fbf",
     "PUBLISH QoS 0, topic \"\\xf4\\x8f\\xbf\\xbf\\xef\\xbb\\xbf\\xed\\x9f\\xbf\", 0 bytes"},

    /* Acknowledgements */
    {VERSION_311, SERVER, "40 02 1234", "PUBACK id 4660"},
    {VERSION_311, CLIENT, "62 02 0001", "PUBREL id 1"},
    {VERSION_5, SERVER | SHORT, "40 02 1234", "PUBACK id 4660"},
    {VERSION_5, SERVER | SHORT, "50 03 1234 10", "PUBREC id 4660, 0x10 No matching subscribers"},
    {VERSION_5, CLIENT, "62 04 0001 92 00", "PUBREL id 1, 0x92 Packet Identifier not found"},
    {VERSION_5, SERVER, "70 08 0001 00 04 1f 0001 78", "PUBCOMP id 1, Reason String \"x\""},

    /* SUBSCRIBE to UNSUBACK */
    {VERSION_311, CLIENT, "82 0c 0002 0003 612f23 01 0001 2b 02",
     "SUBSCRIBE id 2, \"a/#\" QoS 1, \"+\" QoS 2"},
    {VERSION_5, CLIENT, "82 0f 0002 02 0b 05 0003 612f23 01 0001 2b 2e",
     "SUBSCRIBE id 2, \"a/#\" QoS 1, \"+\" QoS 2, No Local, Retain As Published, Retain Handling "
     "2, "
     "Subscription Identifier 5"},
    {VERSION_5, CLIENT, "82 10 0001 00 000a 2473686172652f672f23 00",
     "SUBSCRIBE id 1, \"$share/g/#\" QoS 0"},
    {VERSION_311, SERVER, "90 05 0002 02 80 00",
     "SUBACK id 2, 0x02 Maximum QoS 2, 0x80 Failure, 0x00 Maximum QoS 0"},
    {VERSION_5, SERVER, "90 05 0002 00 01 a2",
     "SUBACK id 2, 0x01 Granted QoS 1, 0xA2 Wildcard Subscriptions not supported"},
    {VERSION_5, CLIENT, "a2 08 0002 00 0003 612f23", "UNSUBSCRIBE id 2, \"a/#\""},
    {VERSION_311, SERVER, "b0 02 0002", "UNSUBACK id 2"},
    {VERSION_5, SERVER, "b0 05 0002 00 00 11",
     "UNSUBACK id 2, 0x00 Success, 0x11 No subscription existed"},

    /* The rest */
    {VERSION_311, CLIENT, "c0 00", "PINGREQ"},
    {VERSION_5, SERVER, "d0 00", "PINGRESP"},
    {VERSION_311, CLIENT, "e0 00", "DISCONNECT"},
    {VERSION_5, CLIENT | SHORT, "e0 00", "DISCONNECT 0x00 Normal disconnection"},
    {VERSION_5, CLIENT | SHORT, "e0 01 04", "DISCONNECT 0x04 Disconnect with Will Message"},
    {VERSION_5, CLIENT, "e0 07 00 05 11 00000000",
     "DISCONNECT 0x00 Normal disconnection, Session Expiry Interval 0"},
    {VERSION_5, SERVER, "e0 06 9d 04 1c 0001 68",
     "DISCONNECT 0x9D Server moved, Server Reference \"h\""},
    {VERSION_5, SERVER, "e0 02 8c 00", "DISCONNECT 0x8C Bad authentication method"},
    {VERSION_5, SERVER, "f0 0a 18 08 15 0001 6d 16 0001 ff",
     "AUTH 0x18 Continue authentication, Authentication Method \"m\", Authentication Data 1 byte "
     "\"\\xff\""},
    {VERSION_5, SERVER | SHORT, "f0 00", "AUTH 0x00 Success"},

    /* 3.1.1 does not ask for the shortest Remaining Length */
    {VERSION_311, SERVER | SHORT, "40 8200 1234", "PUBACK id 4660"},
};

enum { SAMPLES = sizeof samples / sizeof *samples };

static void sound_packets_are_read(void **state)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        const struct sample *sample = &samples[i];
        struct buffer bytes = {0};
        struct packet packet;
        struct packet_fault fault;
        size_t used = 0;
        char line[400];
        buffer_hex(&bytes, sample->hex);
        enum read_result result = packet_read(bytes.data, bytes.size, sample->version,
                                              sample->kind & SERVER, &packet, &used, &fault);
        assert_string_equal(fault.what, "");
        assert_int_equal(result, READ_PACKET);
        assert_int_equal(used, bytes.size);
        assert_string_equal(packet_describe(&packet, sample->version, line, sizeof line),
                            sample->line);
        buffer_free(&bytes);
    }
}

/* The bytes are in memory of exactly their size, so that a sanitizer sees whoever reads beyond. */
static void every_part_of_a_sound_packet_wants_more(void **state)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        const struct sample *sample = &samples[i];
        struct buffer bytes = {0};
        buffer_hex(&bytes, sample->hex);
        for (size_t size = 0; size < bytes.size; size++) {
            struct packet packet;
            struct packet_fault fault;
            size_t used = 0;
            uint8_t *part = malloc(size ? size : 1);
            memcpy(part, bytes.data, size);
            assert_int_equal(packet_read(part, size, sample->version, sample->kind & SERVER,
                                         &packet, &used, &fault),
                             READ_MORE);
            free(part);
        }
        buffer_free(&bytes);
    }
}

static void what_follows_a_packet_is_left_alone(void **state)
{
    struct buffer bytes = {0};
    struct packet packet;
    struct packet_fault fault;
    size_t used = 0;
    buffer_hex(&bytes, "d0 00 30 05 0001 74 6869");
    assert_int_equal(packet_read(bytes.data, bytes.size, VERSION_311, true, &packet, &used, &fault),
                     READ_PACKET);
    assert_int_equal(packet.type, PINGRESP);
    assert_int_equal(used, 2);
    assert_int_equal(
        packet_read(bytes.data + 2, bytes.size - 2, VERSION_311, true, &packet, &used, &fault),
        READ_PACKET);
    assert_int_equal(used, 7);
    assert_true(text_equal(packet.payload, TEXT("hi")));
    buffer_free(&bytes);
}

static void a_packet_that_was_read_is_written_as_it_came(void **state)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        const struct sample *sample = &samples[i];
        struct buffer bytes = {0}, again = {0};
        struct packet packet;
        struct packet_fault fault;
        size_t used = 0;
        if (sample->kind & SHORT)
            continue;
        buffer_hex(&bytes, sample->hex);
        packet_read(bytes.data, bytes.size, sample->version, sample->kind & SERVER, &packet, &used,
                    &fault);
        packet_write(&again, sample->version, &packet);
        assert_int_equal(again.size, bytes.size);
        assert_memory_equal(again.data, bytes.data, bytes.size);
        buffer_free(&bytes);
        buffer_free(&again);
    }
}

/* More than there is room for is no fault of the sender. */
static void many_properties_and_filters_are_counted(void **state)
{
    struct buffer list = {0}, body = {0}, bytes = {0};
    struct packet packet;
    struct packet_fault fault;
    size_t used = 0;
    for (unsigned i = 0; i < PROPERTIES_MAX + 3; i++)
        buffer_hex(&list, "26 0001 6b 0001 76");
    buffer_string(&body, TEXT("t"));
    buffer_varint(&body, (uint32_t)list.size);
    buffer_bytes(&body, list.data, list.size);
    buffer_frame(&bytes, 0x30, &body);
    assert_int_equal(packet_read(bytes.data, bytes.size, VERSION_5, true, &packet, &used, &fault),
                     READ_PACKET);
    assert_int_equal(packet.properties.count, PROPERTIES_MAX);
    assert_int_equal(packet.properties.more, 3);

    body.size = bytes.size = 0;
    buffer_hex(&body, "0001 00");
    for (unsigned i = 0; i < FILTERS_MAX + 2; i++)
        buffer_hex(&body, "0001 61 00");
    buffer_frame(&bytes, 0x82, &body);
    assert_int_equal(packet_read(bytes.data, bytes.size, VERSION_5, false, &packet, &used, &fault),
                     READ_PACKET);
    assert_int_equal(packet.filter_count, FILTERS_MAX);
    assert_int_equal(packet.more_filters, 2);
    buffer_free(&list);
    buffer_free(&body);
    buffer_free(&bytes);
}

static void packet_size_knows_the_frame_before_the_packet(void **state)
{
    assert_int_equal(packet_size((const uint8_t *)"\x30", 1), 0);
    assert_int_equal(packet_size((const uint8_t *)"\x30\x05", 2), 7);
    assert_int_equal(packet_size((const uint8_t *)"\x30\x80", 2), 0);
    assert_int_equal(packet_size((const uint8_t *)"\x30\x80\x01", 3), 131);
    assert_int_equal(packet_size((const uint8_t *)"\xff\xff\xff\xff\x7f", 5), 268435460);
    assert_true(packet_size((const uint8_t *)"\x30\x80\x80\x80\x80", 5) == SIZE_MAX);
}

static void a_long_description_is_cut_where_the_line_ends(void **state)
{
    char line[12];
    struct packet packet = {.type = PUBLISH, .topic = TEXT("a long topic"), .packet_id = 1};
    packet_describe(&packet, VERSION_5, line, sizeof line);
    assert_string_equal(line, "PUBLISH QoS");
    packet_describe(&packet, VERSION_5, line, 1);
    assert_string_equal(line, "");
}

static void properties_are_found_by_their_identifier(void **state)
{
    struct properties properties = {0};
    property_add(&properties, RECEIVE_MAXIMUM, 3);
    property_add_user(&properties, "a", "1");
    property_add_user(&properties, "a", "2");
    assert_int_equal(property_number(&properties, RECEIVE_MAXIMUM, 65535), 3);
    assert_int_equal(property_number(&properties, TOPIC_ALIAS, 9), 9);
    assert_null(property_find(&properties, TOPIC_ALIAS));
    assert_true(text_equal(property_find(&properties, USER_PROPERTY)->value, TEXT("1")));
    assert_int_equal(property_type(0x0a), PROPERTY_UNKNOWN);
    assert_string_equal(property_name(CORRELATION_DATA), "Correlation Data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_packets_are_read),
        cmocka_unit_test(every_part_of_a_sound_packet_wants_more),
        cmocka_unit_test(what_follows_a_packet_is_left_alone),
        cmocka_unit_test(a_packet_that_was_read_is_written_as_it_came),
        cmocka_unit_test(many_properties_and_filters_are_counted),
        cmocka_unit_test(packet_size_knows_the_frame_before_the_packet),
        cmocka_unit_test(a_long_description_is_cut_where_the_line_ends),
        cmocka_unit_test(properties_are_found_by_their_identifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
