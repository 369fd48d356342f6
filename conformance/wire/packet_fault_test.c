/* What may not be sent: the statement that says so and the byte that is wrong, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/wire/packet.h"
#include "conformance/wire/reader.h"
#include "conformance/wire/rule.h"

enum { CLIENT, SERVER };

struct refusal {
    unsigned from;
    const char *hex, *statement;
    size_t offset;
};

static const struct refusal refusals_5[] = {
    /* Byte 1 and Remaining Length */
    {SERVER, "00 00", "5.0 section 2.1.2", 0},
    {SERVER, "10 00", "5.0 section 2.1.2", 0},
    {SERVER, "82 00", "5.0 section 2.1.2", 0},
    {SERVER, "a2 00", "5.0 section 2.1.2", 0},
    {SERVER, "c0 00", "5.0 section 2.1.2", 0},
    {CLIENT, "20 00", "5.0 section 2.1.2", 0},
    {CLIENT, "90 00", "5.0 section 2.1.2", 0},
    {CLIENT, "b0 00", "5.0 section 2.1.2", 0},
    {CLIENT, "d0 00", "5.0 section 2.1.2", 0},
    {SERVER, "21 03 00 00 00", "MQTT-2.1.3-1", 0},
    {SERVER, "41 02 0001", "MQTT-2.1.3-1", 0},
    {SERVER, "60 02 0001", "MQTT-3.6.1-1", 0},
    {CLIENT, "80 06 0001 00 0001 61 00", "MQTT-3.8.1-1", 0},
    {CLIENT, "a0 06 0001 00 0001 61", "MQTT-3.10.1-1", 0},
    {SERVER, "e1 00", "MQTT-3.14.1-1", 0},
    {SERVER, "f8 00", "MQTT-3.15.1-1", 0},
    {SERVER, "36 03 0001 74", "MQTT-3.3.1-4", 0},
    {SERVER, "38 04 0001 74 00", "MQTT-3.3.1-2", 0},
    {SERVER, "30 80808080 01", "5.0 section 2.1.4", 1},
    {SERVER, "d0 8000", "MQTT-1.5.5-1", 1},
    {SERVER, "d0 01 00", "5.0 section 3.13", 2},

    /* Strings */
    {SERVER, "30 05 0002 74c3 00", "MQTT-1.5.4-1", 5},
    {SERVER, "30 06 0003 eda080 00", "MQTT-1.5.4-1", 4},
    {SERVER, "30 05 0002 c0af 00", "MQTT-1.5.4-1", 4},
    {SERVER, "30 07 0004 f4908080 00", "MQTT-1.5.4-1", 4},
    {SERVER, "30 05 0002 7400 00", "MQTT-1.5.4-2", 5},
    {SERVER, "30 04 0005 7400", "5.0 section 3.3", 4},
    {SERVER, "30 09 0001 74 05 03 0002 61ff", "MQTT-1.5.4-1", 10},
    {SERVER, "30 0b 0001 74 07 26 0001 6b 0001 ff", "MQTT-1.5.7-1", 12},
    {SERVER, "30 0b 0001 74 07 26 0001 ff 0001 76", "MQTT-1.5.7-1", 9},

    /* Properties */
    {SERVER, "30 03 0001 74", "MQTT-2.2.2-1", 5},
    {SERVER, "30 06 0001 74 03 01 01", "5.0 section 2.2.2.1", 5},
    {SERVER, "30 05 0001 74 01 01", "5.0 section 3.3", 7},
    {SERVER, "30 07 0001 74 03 02 0000", "5.0 section 3.3", 7},
    {SERVER, "30 06 0001 74 02 7f 00", "5.0 section 2.2.2.2", 6},
    {SERVER, "30 06 0001 74 02 24 01", "5.0 section 2.2.2.2", 6},
    {SERVER, "30 08 0001 74 04 01 01 01 01", "5.0 section 3.3.2.3.2", 8},
    {SERVER, "30 07 0001 74 03 23 0000", "MQTT-3.3.2-8", 7},
    {SERVER, "30 06 0001 74 02 0b 00", "5.0 section 3.3.2.3.8", 7},
    {CLIENT, "30 06 0001 74 02 0b 01", "MQTT-3.3.4-6", 6},
    {SERVER, "30 08 0001 74 04 0b 818000", "MQTT-1.5.5-1", 7},
    {SERVER, "30 0a 0001 74 06 0b 8080808001", "5.0 section 1.5.5", 7},
    {SERVER, "30 05 0001 74 8000", "MQTT-1.5.5-1", 5},
    {SERVER, "30 08 0001 74 04 08 0001 2b", "MQTT-3.3.2-14", 9},
    {SERVER, "e0 07 00 05 11 00000000", "MQTT-3.14.2-2", 4},
    {CLIENT, "e0 06 00 04 1c 0001 68", "5.0 section 2.2.2.2", 4},
    {SERVER, "20 06 00 00 03 21 0000", "5.0 section 3.2.2.3.3", 6},
    {SERVER, "20 05 00 00 02 24 02", "5.0 section 3.2.2.3.4", 6},
    {SERVER, "20 05 00 00 02 25 02", "5.0 section 3.2.2.3.5", 6},
    {SERVER, "20 08 00 00 05 27 00000000", "5.0 section 3.2.2.3.6", 6},
    {SERVER, "20 05 00 00 02 28 02", "5.0 section 3.2.2.3.11", 6},
    {SERVER, "20 05 00 00 02 29 02", "5.0 section 3.2.2.3.12", 6},
    {SERVER, "20 05 00 00 02 2a 02", "5.0 section 3.2.2.3.13", 6},
    {SERVER, "20 09 00 00 06 13 0001 13 0001", "5.0 section 3.2.2.3.14", 8},

    /* CONNACK */
    {SERVER, "20 03 02 00 00", "MQTT-3.2.2-1", 2},
    {SERVER, "20 03 01 87 00", "MQTT-3.2.2-6", 2},
    {SERVER, "20 03 00 01 00", "MQTT-3.2.2-8", 3},
    {SERVER, "20 03 00 8e 00", "MQTT-3.2.2-8", 3},
    {SERVER, "20 02 00 00", "MQTT-2.2.2-1", 4},
    {SERVER, "20 01 00", "5.0 section 3.2", 3},
    {SERVER, "20 04 00 00 00 00", "5.0 section 3.2", 5},

    /* PUBLISH */
    {SERVER, "30 03 0000 00", "MQTT-4.7.3-1", 2},
    {SERVER, "30 04 0001 2b 00", "MQTT-3.3.2-2", 4},
    {SERVER, "30 06 0003 612f23 00", "MQTT-3.3.2-2", 6},
    {SERVER, "32 06 0001 74 0000 00", "MQTT-2.2.1-4", 5},
    {CLIENT, "32 06 0001 74 0000 00", "MQTT-2.2.1-3", 5},
    {SERVER, "32 04 0001 74 00", "5.0 section 3.3", 5},

    /* Acknowledgements */
    {SERVER, "40 02 0000", "MQTT-2.2.1-5", 2},
    {SERVER, "40 01 00", "5.0 section 3.4", 2},
    {SERVER, "40 03 0001 92", "MQTT-3.4.2-1", 4},
    {SERVER, "40 03 0001 01", "MQTT-3.4.2-1", 4},
    {CLIENT, "40 03 0001 10", "MQTT-3.4.2-1", 4},
    {SERVER, "50 03 0001 92", "MQTT-3.5.2-1", 4},
    {SERVER, "62 03 0001 80", "MQTT-3.6.2-1", 4},
    {SERVER, "70 03 0001 80", "MQTT-3.7.2-1", 4},
    {SERVER, "70 05 0001 00 00 00", "5.0 section 3.7", 6},

    /* SUBACK, UNSUBACK */
    {SERVER, "90 03 0001 00", "MQTT-3.8.4-6", 5},
    {SERVER, "90 04 0000 00 00", "MQTT-2.2.1-6", 2},
    {SERVER, "90 05 0001 00 01 03", "MQTT-3.9.3-2", 6},
    {SERVER, "b0 03 0001 00", "MQTT-3.11.3-2", 5},
    {SERVER, "b0 04 0001 00 01", "MQTT-3.11.3-2", 5},
    {SERVER, "b0 02 0001", "MQTT-2.2.2-1", 4},

    /* DISCONNECT, AUTH */
    {SERVER, "e0 01 04", "MQTT-3.14.2-1", 2},
    {CLIENT, "e0 01 8e", "MQTT-3.14.2-1", 2},
    {SERVER, "e0 01 84", "MQTT-3.14.2-1", 2},
    {SERVER, "f0 06 19 04 15 0001 6d", "MQTT-3.15.2-1", 2},
    {CLIENT, "f0 06 00 04 15 0001 6d", "MQTT-3.15.2-1", 2},
    {SERVER, "f0 02 18 00", "5.0 section 3.15.2.2.2", 3},
    {SERVER, "f0 01 18", "MQTT-2.2.2-1", 3},

    /* CONNECT */
    {CLIENT, "10 0d 0004 4d515458 05 02 0000 00 0000", "MQTT-3.1.2-1", 4},
    {CLIENT, "10 0d 0004 4d515454 06 02 0000 00 0000", "MQTT-3.1.2-2", 8},
    {CLIENT, "10 0d 0004 4d515454 05 03 0000 00 0000", "MQTT-3.1.2-3", 9},
    {CLIENT, "10 0d 0004 4d515454 05 1e 0000 00 0000", "MQTT-3.1.2-12", 9},
    {CLIENT, "10 0d 0004 4d515454 05 0a 0000 00 0000", "MQTT-3.1.2-11", 9},
    {CLIENT, "10 0d 0004 4d515454 05 22 0000 00 0000", "MQTT-3.1.2-13", 9},
    {CLIENT, "10 0e 0004 4d515454 05 02 0000 00 0001 ff", "MQTT-3.1.3-4", 15},
    {CLIENT, "10 0d 0004 4d515454 05 06 0000 00 0000", "5.0 section 3.1", 15},
    {CLIENT, "10 10 0004 4d515454 05 06 0000 00 0000 00 0000", "MQTT-4.7.3-1", 16},
    {CLIENT, "10 10 0004 4d515454 05 82 0000 00 0000 0001 ff", "MQTT-3.1.3-12", 17},
    {CLIENT, "10 0f 0004 4d515454 05 02 0000 02 17 02 0000", "5.0 section 3.1.2.11.7", 14},
    {CLIENT, "10 11 0004 4d515454 05 02 0000 04 16 0001 ff 0000", "5.0 section 3.1.2.11.10", 12},

    /* SUBSCRIBE, UNSUBSCRIBE */
    {CLIENT, "82 03 0001 00", "MQTT-3.8.3-2", 5},
    {CLIENT, "82 07 0000 00 0001 61 00", "MQTT-2.2.1-3", 2},
    {CLIENT, "82 07 0001 00 0001 61 40", "MQTT-3.8.3-5", 8},
    {CLIENT, "82 07 0001 00 0001 61 03", "5.0 section 3.8.3.1", 8},
    {CLIENT, "82 07 0001 00 0001 61 30", "5.0 section 3.8.3.1", 8},
    {CLIENT, "82 07 0001 00 0001 ff 00", "MQTT-3.8.3-1", 7},
    {CLIENT, "82 06 0001 00 0000 00", "MQTT-4.7.3-1", 7},
    {CLIENT, "82 08 0001 00 0002 6123 00", "MQTT-4.7.1-1", 8},
    {CLIENT, "82 09 0001 00 0003 232f61 00", "MQTT-4.7.1-1", 7},
    {CLIENT, "82 08 0001 00 0002 2b61 00", "MQTT-4.7.1-2", 7},
    {CLIENT, "82 0f 0001 00 0009 2473686172652f672f 00", "MQTT-4.8.2-2", 14},
    {CLIENT, "82 0f 0001 00 0009 2473686172652f2f61 00", "MQTT-4.8.2-1", 14},
    {CLIENT, "82 10 0001 00 000a 2473686172652f2b2f61 00", "MQTT-4.8.2-2", 14},
    {CLIENT, "82 10 0001 00 000a 2473686172652f672f61 04", "MQTT-3.8.3-4", 17},
    {CLIENT, "a2 03 0001 00", "MQTT-3.10.3-2", 5},
    {CLIENT, "a2 06 0001 00 0001 ff", "MQTT-3.10.3-1", 7},
};

static const struct refusal refusals_311[] = {
    {SERVER, "f0 00", "3.1.1 section 2.2.1", 0},
    {SERVER, "e0 00", "3.1.1 section 2.2.1", 0},
    {SERVER, "c0 00", "3.1.1 section 2.2.1", 0},
    {SERVER, "d1 00", "MQTT-2.2.2-1", 0},
    {SERVER, "64 02 0001", "MQTT-3.6.1-1", 0},
    {SERVER, "3e 03 0001 74", "MQTT-3.3.1-4", 0},
    {SERVER, "38 03 0001 74", "MQTT-3.3.1-2", 0},
    {SERVER, "30 ffffffff 01", "3.1.1 section 2.2.3", 1},
    {SERVER, "20 02 80 00", "3.1.1 section 3.2.2.1", 2},
    {SERVER, "20 02 01 05", "MQTT-3.2.2-4", 2},
    {SERVER, "20 02 00 06", "3.1.1 section 3.2.2.3", 3},
    {SERVER, "20 03 00 00 00", "3.1.1 section 3.2", 4},
    {SERVER, "30 03 0001 ff", "MQTT-1.5.3-1", 4},
    {SERVER, "30 03 0001 00", "MQTT-1.5.3-2", 4},
    {SERVER, "30 03 0001 23", "MQTT-3.3.2-2", 4},
    {SERVER, "30 02 0000", "MQTT-4.7.3-1", 2},
    {SERVER, "32 05 0001 74 0000", "MQTT-2.3.1-1", 5},
    {SERVER, "40 02 0000", "MQTT-2.3.1-6", 2},
    {SERVER, "40 03 0001 00", "3.1.1 section 3.4", 4},
    {SERVER, "90 02 0001", "MQTT-3.8.4-5", 4},
    {SERVER, "90 03 0001 03", "MQTT-3.9.3-2", 4},
    {SERVER, "90 03 0001 87", "MQTT-3.9.3-2", 4},
    {SERVER, "90 03 0000 00", "MQTT-2.3.1-7", 2},
    {SERVER, "b0 03 0001 00", "3.1.1 section 3.11", 4},
    {CLIENT, "10 0c 0004 4d515454 04 00 0000 0000", "MQTT-3.1.3-7", 12},
    {CLIENT, "10 0f 0004 4d515454 04 42 0000 0000 0001 70", "MQTT-3.1.2-22", 9},
    {CLIENT, "10 0c 0004 4d515454 04 1e 0000 0000", "MQTT-3.1.2-14", 9},
    {CLIENT, "10 0c 0004 4d515454 04 0a 0000 0000", "MQTT-3.1.2-13", 9},
    {CLIENT, "10 0c 0004 4d515454 04 22 0000 0000", "MQTT-3.1.2-15", 9},
    {CLIENT, "10 0f 0004 4d515454 04 82 0000 0000 0001 ff", "MQTT-3.1.3-11", 16},
    {CLIENT, "82 02 0001", "MQTT-3.8.3-3", 4},
    {CLIENT, "82 06 0001 0001 61 03", "MQTT-3.8.3-4", 7},
    {CLIENT, "82 06 0001 0001 61 04", "MQTT-3.8.3-4", 7},
    {CLIENT, "82 07 0001 0002 6123 00", "MQTT-4.7.1-2", 7},
    {CLIENT, "82 07 0001 0002 612b 00", "MQTT-4.7.1-3", 7},
    {CLIENT, "a2 02 0001", "MQTT-3.10.3-2", 4},
    {CLIENT, "e0 01 00", "3.1.1 section 3.14", 2},
};

static void check(const struct refusal *refusal, enum version version)
{
    struct buffer bytes = {0};
    struct packet packet;
    struct packet_fault fault;
    size_t used;
    buffer_hex(&bytes, refusal->hex);
    for (size_t size = 0; size <= bytes.size; size++) {
        uint8_t *part = malloc(size ? size : 1);
        memcpy(part, bytes.data, size);
        enum read_result result =
            packet_read(part, size, version, refusal->from == SERVER, &packet, &used, &fault);
        if (size == bytes.size && (result != READ_FAULT || !fault.statement ||
                                   strcmp(fault.statement, refusal->statement) != 0))
            fail_msg("%s: %s, not %s", refusal->hex, fault.statement ? fault.statement : "taken",
                     refusal->statement);
        assert_int_not_equal(result, READ_PACKET);
        if (result == READ_FAULT) {
            assert_string_equal(fault.statement, refusal->statement);
            if (fault.offset != refusal->offset)
                fail_msg("%s: at %zu, not %zu", refusal->hex, fault.offset, refusal->offset);
            assert_true(strlen(fault.what) > 0);
        }
        free(part);
    }
    buffer_free(&bytes);
}

static void what_5_0_forbids_is_refused(void **state)
{
    for (unsigned i = 0; i < sizeof refusals_5 / sizeof *refusals_5; i++)
        check(&refusals_5[i], VERSION_5);
}

static void what_3_1_1_forbids_is_refused(void **state)
{
    for (unsigned i = 0; i < sizeof refusals_311 / sizeof *refusals_311; i++)
        check(&refusals_311[i], VERSION_311);
}

/* Table 2-4, written down once more: how many packets may carry each property. */
static void every_property_has_its_packets(void **state)
{
    static const struct {
        uint32_t id;
        unsigned places;
    } rows[] = {
        {0x01, 2}, {0x02, 2},  {0x03, 2}, {0x08, 2}, {0x09, 2}, {0x0B, 2}, {0x11, 3},
        {0x12, 1}, {0x13, 1},  {0x15, 3}, {0x16, 3}, {0x17, 1}, {0x18, 1}, {0x19, 1},
        {0x1A, 1}, {0x1C, 2},  {0x1F, 9}, {0x21, 2}, {0x22, 2}, {0x23, 1}, {0x24, 1},
        {0x25, 1}, {0x26, 14}, {0x27, 2}, {0x28, 1}, {0x29, 1}, {0x2A, 1},
    };
    unsigned next = 0;
    for (uint32_t id = 0; id < 256; id++) {
        unsigned places = 0;
        for (unsigned place = 0; place <= RULE_WILL_PROPERTIES; place++)
            places += rule_property_section(place, id) != NULL;
        if (next < sizeof rows / sizeof *rows && rows[next].id == id) {
            assert_int_equal(places, rows[next].places);
            assert_int_not_equal(property_type(id), PROPERTY_UNKNOWN);
            next++;
        } else {
            assert_int_equal(places, 0);
            assert_int_equal(property_type(id), PROPERTY_UNKNOWN);
        }
    }
    assert_int_equal(next, sizeof rows / sizeof *rows);
}

static void well_formed_utf8_is_that_of_rfc_3629(void **state)
{
    static const struct {
        const char *text;
        int bad; /* -1: none */
    } rows[] = {
        {"", -1},
        {"plain", -1},
        {"\xc2\x80", -1},
        {"\xdf\xbf", -1},
        {"\xe0\xa0\x80", -1},
        {"\xef\xbf\xbf", -1},
        {"\xf0\x90\x80\x80", -1},
        {"\xf4\x8f\xbf\xbf", -1},
        {"\x80", 0},
        {"\xc1\xbf", 0},
        {"a\xe0\x9f\xbf", 1},
        {"\xed\xa0\x80", 0},
        {"\xed\xbf\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"ab\xc3", 2},
        {"ab\xe2\x82", 2},
        {"\xe2\x28\xa1", 0},
        {"\xf0\x90\x80\x28", 0},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t bad = 0;
        bool well_formed = utf8_well_formed(text_of(rows[i].text), &bad);
        assert_int_equal(well_formed, rows[i].bad < 0);
        if (!well_formed)
            assert_int_equal(bad, rows[i].bad);
    }
}

/* No input may be read beyond its end, whatever is in it. The seed is fixed: a failure repeats. */
static void random_bytes_are_never_read_beyond_their_end(void **state)
{
    unsigned seed = 1;
    for (unsigned round = 0; round < 200000; round++) {
        size_t size = (unsigned)rand_r(&seed) % 40 + 2, used;
        uint8_t *bytes = malloc(size);
        struct packet packet;
        struct packet_fault fault;
        char line[200];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(rand_r(&seed) % 4 ? rand_r(&seed) % 48 : rand_r(&seed));
        bytes[0] = (uint8_t)(rand_r(&seed) % 2 ? rand_r(&seed) : (rand_r(&seed) % 16) << 4);
        bytes[1] = (uint8_t)(size - 2);
        enum version version = rand_r(&seed) % 2 ? VERSION_5 : VERSION_311;
        enum read_result result =
            packet_read(bytes, size, version, rand_r(&seed) % 2, &packet, &used, &fault);
        if (result == READ_PACKET)
            packet_describe(&packet, version, line, sizeof line);
        assert_int_equal(result == READ_FAULT, fault.statement != NULL);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_5_0_forbids_is_refused),
        cmocka_unit_test(what_3_1_1_forbids_is_refused),
        cmocka_unit_test(every_property_has_its_packets),
        cmocka_unit_test(well_formed_utf8_is_that_of_rfc_3629),
        cmocka_unit_test(random_bytes_are_never_read_beyond_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
