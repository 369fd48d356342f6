/* Captures made here, byte by byte, and what is said of them. What a server may send is from the
 * specification. */
#include "capture/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "capture/stream.h"

enum { CLIENT, SERVER };

/* A capture that is being made: one connection, each packet a segment. */
struct made {
    uint8_t data[65536];
    size_t size;
    uint32_t sequence[2];
    bool big_endian;
};

static void put(struct made *made, const void *data, size_t size)
{
    assert_true(made->size + size <= sizeof made->data);
    memcpy(made->data + made->size, data, size);
    made->size += size;
}

static void put_word(struct made *made, uint32_t value)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < 4; i++)
        bytes[made->big_endian ? 3 - i : i] = (uint8_t)(value >> 8 * i);
    put(made, bytes, 4);
}

static void be16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void be32(uint8_t *p, uint32_t value)
{
    be16(p, value >> 16);
    be16(p + 2, value & 0xffff);
}

/* A frame of a bare IPv4 packet, from 10.0.0.1 to 10.0.0.2 or back. */
static void segment(struct made *made, unsigned from, uint8_t flags, uint32_t sequence,
                    const void *payload, size_t size)
{
    uint8_t packet[2048] = {0x45};
    be16(packet + 2, (unsigned)(40 + size));
    packet[9] = 6;
    memcpy(packet + 12, from == CLIENT ? "\x0a\0\0\1\x0a\0\0\2" : "\x0a\0\0\2\x0a\0\0\1", 8);
    be16(packet + 20, from == CLIENT ? 50000 : 1883);
    be16(packet + 22, from == CLIENT ? 1883 : 50000);
    be32(packet + 24, sequence);
    be32(packet + 28, made->sequence[1 - from]);
    packet[32] = 5 << 4;
    packet[33] = flags;
    if (size > 0)
        memcpy(packet + 40, payload, size);
    put_word(made, 0);
    put_word(made, 0);
    put_word(made, (uint32_t)(40 + size));
    put_word(made, (uint32_t)(40 + size));
    put(made, packet, 40 + size);
}

static void begin(struct made *made)
{
    *made = (struct made){.big_endian = made->big_endian, .sequence = {0xfffffffe, 7}};
    put_word(made, 0xa1b2c3d4);
    put(made, made->big_endian ? "\0\2\0\4" : "\2\0\4\0", 4);
    put_word(made, 0);
    put_word(made, 0);
    put_word(made, 65535);
    put_word(made, 101);
    segment(made, CLIENT, 2, made->sequence[CLIENT]++, NULL, 0);
    segment(made, SERVER, 18, made->sequence[SERVER]++, NULL, 0);
}

static void sends(struct made *made, unsigned from, const void *payload, size_t size)
{
    segment(made, from, 16, made->sequence[from], payload, size);
    made->sequence[from] += (uint32_t)size;
}

#define C(made, bytes) sends(made, CLIENT, bytes, sizeof(bytes) - 1)
#define S(made, bytes) sends(made, SERVER, bytes, sizeof(bytes) - 1)

#define CONNECT "\x10\x0e\0\4MQTT\5\2\0\0\0\0\1c"
#define CONNECT_ONE "\x10\x11\0\4MQTT\5\2\0\0\3\x21\0\1\0\1c" /* Receive Maximum 1 */
#define CONNECT_311 "\x10\x0d\0\4MQTT\4\2\0\0\0\1c"
#define CONNACK "\x20\3\0\0\0"
#define CONNACK_PRESENT "\x20\3\1\0\0"
#define CONNACK_311 "\x20\2\0\0"
#define PUBLISH_1(id, first) first "\6\0\1a\0" id "\0"
#define PUBREC "\x50\2\0\1"
#define PUBREL "\x62\2\0\1"
#define PUBCOMP "\x70\2\0\1"

static char said[4096];

static struct capture_result check_within(size_t memory, const void *data, size_t size)
{
    struct capture_result result;
    FILE *file = fmemopen((void *)(uintptr_t)data, size > 0 ? size : 1, "r");
    memset(said, 0, sizeof said);
    FILE *out = fmemopen(said, sizeof said, "w");
    assert_true(file != NULL && out != NULL);
    if (size == 0)
        fgetc(file);
    capture_check(file, "file", memory, out, &result);
    fclose(out);
    fclose(file);
    return result;
}

static struct capture_result check(const void *data, size_t size)
{
    return check_within(CAPTURE_MEMORY, data, size);
}

static void allowed(const struct made *made, unsigned packets)
{
    struct capture_result result = check(made->data, made->size);
    if (result.why != NULL || said[0] != '\0')
        fail_msg("%s%s", said, result.why != NULL ? result.why : "");
    assert_int_equal(result.packets, packets);
    assert_int_equal(result.left_off, 0);
}

static void forbidden(const struct made *made, const char *statement, const char *words)
{
    struct capture_result result = check(made->data, made->size);
    assert_null(result.why);
    assert_int_equal(result.wrong, 1);
    if (strstr(said, statement) == NULL || strstr(said, words) == NULL)
        fail_msg("%s does not say %s %s", said, statement, words);
    assert_non_null(strstr(said, "10.0.0.2:1883 to 10.0.0.1:50000, client \"c\": "));
}

static void connected(struct made *made)
{
    begin(made);
    C(made, CONNECT);
    S(made, CONNACK);
}

static void what_a_server_may_send_is_allowed(void **state)
{
    static struct made made;
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        made.big_endian = big_endian == 1;
        connected(&made);
        S(&made, PUBLISH_1("\1", "\x34"));
        C(&made, PUBREC);
        S(&made, PUBREL);
        C(&made, PUBREC);
        S(&made, PUBREL);
        C(&made, PUBCOMP);
        S(&made, PUBLISH_1("\1", "\x32"));
        C(&made, "\x82\7\0\5\0\0\1a\0\xc0\0");
        S(&made, "\x90\4\0\5\0\0\xd0\0\xe0\0");
        allowed(&made, 8);
    }
}

/* The Server reads later than the Client sends: every order that may have been is allowed. */
static void what_crosses_on_its_way_is_allowed(void **state)
{
    static struct made made;
    connected(&made);
    C(&made, PUBLISH_1("\1", "\x34"));
    C(&made, PUBLISH_1("\1", "\x3c"));
    C(&made, PUBREL);
    S(&made, PUBREC);
    S(&made, PUBREC);
    S(&made, PUBCOMP);
    C(&made, PUBREL);
    S(&made, "\x70\3\0\1\x92");
    C(&made, PUBREC); /* of nothing: the Server may say so */
    S(&made, "\x62\3\0\1\x92");
    allowed(&made, 6);
    begin(&made);
    C(&made, CONNECT_311);
    S(&made, CONNACK_311);
    S(&made, "\x34\5\0\1a\0\1");
    C(&made, PUBREC);
    S(&made, "\x3c\5\0\1a\0\1");
    S(&made, PUBREL);
    allowed(&made, 4);
}

static void a_session_that_goes_on_brings_what_the_capture_has_not(void **state)
{
    static struct made made;
    begin(&made);
    C(&made, CONNECT);
    S(&made, CONNACK_PRESENT);
    S(&made, PUBREL);
    S(&made, PUBLISH_1("\2", "\x3a"));
    allowed(&made, 3);
}

static void what_it_may_not_send_is_named_with_its_statement(void **state)
{
    static struct made made;
    begin(&made);
    C(&made, CONNECT);
    S(&made, "\xd0\0");
    forbidden(&made, "[MQTT-3.2.0-1]", "PINGRESP before CONNACK");
    connected(&made);
    S(&made, CONNACK);
    forbidden(&made, "[MQTT-3.2.0-2]", "a second CONNACK");
    connected(&made);
    S(&made, PUBREL);
    forbidden(&made, "[MQTT-4.3.3-4]", "outbound_qos2 1: PUBREL");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x34"));
    C(&made, PUBREC);
    S(&made, PUBREL);
    S(&made, PUBLISH_1("\1", "\x3c"));
    forbidden(&made, "[MQTT-4.3.3-6]", "outbound_qos2 1: PUBLISH");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x34"));
    C(&made, PUBREC);
    S(&made, PUBLISH_1("\1", "\x3c"));
    forbidden(&made, "[MQTT-4.4.0-1]", "outbound_qos2 1: PUBLISH a second time");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x34"));
    C(&made, PUBREC);
    S(&made, PUBREL);
    S(&made, PUBREL);
    forbidden(&made, "[MQTT-4.4.0-1]", "outbound_qos2 1: PUBREL a second time");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x34"));
    S(&made, PUBLISH_1("\1", "\x32"));
    forbidden(&made, "[MQTT-2.2.1-4]", "outbound_qos1 1: PUBLISH under");
    connected(&made);
    C(&made, PUBLISH_1("\1", "\x34"));
    S(&made, PUBREC);
    S(&made, PUBREC);
    forbidden(&made, "[MQTT-2.2.1-5]", "inbound_qos2 1: PUBREC answers nothing");
    connected(&made);
    C(&made, PUBLISH_1("\1", "\x34"));
    S(&made, PUBCOMP);
    forbidden(&made, "[MQTT-4.3.3-11]", "inbound_qos2 1: PUBCOMP answers nothing");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x32"));
    S(&made, PUBLISH_1("\1", "\x32"));
    forbidden(&made, "[MQTT-2.2.1-4]", "in use");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x32"));
    S(&made, PUBLISH_1("\1", "\x3a"));
    forbidden(&made, "[MQTT-4.4.0-1]", "a second time");
    connected(&made);
    S(&made, PUBLISH_1("\1", "\x3a"));
    forbidden(&made, "[MQTT-3.3.1-3]", "with DUP");
    connected(&made);
    S(&made, "\x40\2\0\1");
    forbidden(&made, "[MQTT-2.2.1-5]", "PUBACK 1 answers nothing");
    connected(&made);
    S(&made, "\xd0\0");
    forbidden(&made, "[MQTT-3.12.4-1]", "PINGRESP answers nothing");
    connected(&made);
    S(&made, "\xf0\0");
    forbidden(&made, "[MQTT-4.12.0-6]", "no Authentication Method");
    connected(&made);
    C(&made, "\x82\7\0\5\0\0\1a\0");
    S(&made, "\x90\5\0\5\0\0\0");
    forbidden(&made, "[MQTT-3.8.4-6]", "2 Reason Codes for 1 Topic Filters");
    connected(&made);
    S(&made, "\xe0\0\x30\4\0\1a\0");
    forbidden(&made, "[MQTT-3.14.4-1]", "PUBLISH behind DISCONNECT");
    begin(&made);
    C(&made, CONNECT);
    S(&made, "\x20\3\0\x87\0\xe0\0");
    forbidden(&made, "[MQTT-3.2.2-7]", "DISCONNECT behind a CONNACK");
    begin(&made);
    C(&made, CONNECT_ONE);
    S(&made, CONNACK);
    S(&made, PUBLISH_1("\1", "\x32"));
    S(&made, PUBLISH_1("\2", "\x32"));
    forbidden(&made, "[MQTT-3.3.4-9]", "2 PUBLISHes in flight; Receive Maximum is 1");
}

static void version_311_has_its_own_rules(void **state)
{
    static struct made made;
    begin(&made);
    C(&made, CONNECT_311);
    S(&made, CONNACK_311);
    S(&made, "\x32\5\0\1a\0\1");
    S(&made, "\x3a\5\0\1a\0\1"); /* 3.1.1 leaves open when it is sent again */
    allowed(&made, 3);
    S(&made, "\x32\5\0\1a\0\1");
    forbidden(&made, "[3.1.1 MQTT-2.3.1-4]", "in use");
}

static void segments_out_of_order_and_twice_are_one_stream(void **state)
{
    static struct made made;
    begin(&made);
    uint32_t at = made.sequence[CLIENT];
    segment(&made, CLIENT, 16, at + 9, &CONNECT[9], 7);
    segment(&made, CLIENT, 16, at, CONNECT, 5);
    segment(&made, CLIENT, 16, at, CONNECT, 11);
    S(&made, CONNACK);
    allowed(&made, 1);
    S(&made, PUBREL);
    forbidden(&made, "[MQTT-4.3.3-4]", "PUBREL");
}

static void what_a_capture_lacks_is_not_judged(void **state)
{
    static struct made made;
    connected(&made);
    made.sequence[SERVER] += 10;
    for (unsigned i = 0; i <= STREAM_EARLY_MAX; i++)
        S(&made, PUBREL);
    struct capture_result result = check(made.data, made.size);
    assert_int_equal(result.wrong, 0);
    assert_int_equal(result.left_off, 1);
    assert_int_equal(result.not_whole, 1);
    connected(&made);
    made.sequence[CLIENT] += 9; /* a SUBSCRIBE that was not captured, and acknowledged */
    S(&made, "\x90\4\0\5\0\0");
    result = check(made.data, made.size);
    assert_int_equal(result.wrong, 0);
    assert_int_equal(result.not_whole, 1);
}

static void a_client_that_breaks_the_protocol_is_not_the_servers_fault(void **state)
{
    static struct made made;
    connected(&made);
    C(&made, CONNECT);
    S(&made, PUBREL);
    struct capture_result result = check(made.data, made.size);
    assert_int_equal(result.wrong, 0);
    assert_int_equal(result.left_off, 1);
    assert_int_equal(result.not_whole, 0);
}

/* A PUBLISH at QoS 1 under each of so many Packet Identifiers, far from one another. */
static void spread(struct made *made, unsigned count)
{
    connected(made);
    for (unsigned i = 1; i <= count; i++) {
        uint8_t publish[] = "\x32\6\0\1a\0\0";
        be16(publish + 5, i * 256);
        sends(made, CLIENT, publish, 8);
    }
}

static void a_capture_takes_no_more_memory_than_it_is_given(void **state)
{
    static struct made made;
    spread(&made, 100);
    struct capture_result result = check_within(64 << 10, made.data, made.size);
    assert_null(result.why);
    assert_int_equal(result.left_off, 1);
    assert_int_equal(result.no_room, 1);
    assert_int_equal(result.not_whole, 0);
    assert_string_equal(said, "");
    assert_int_equal(check(made.data, made.size).left_off, 0);
}

static void a_connection_that_is_over_gives_its_memory_back(void **state)
{
    static struct made made;
    spread(&made, 2);
    for (unsigned i = 0; i < 20; i++) { /* the same ports again */
        segment(&made, CLIENT, 2, made.sequence[CLIENT]++, NULL, 0);
        segment(&made, SERVER, 18, made.sequence[SERVER]++, NULL, 0);
        C(&made, CONNECT);
        S(&made, CONNACK);
        C(&made, "\x32\6\0\1a\0\1\0");
        S(&made, "\x40\2\0\1");
        C(&made, "\x30\x7f"); /* the rest of it never comes */
    }
    struct capture_result result = check_within(64 << 10, made.data, made.size);
    assert_int_equal(result.connections, 21);
    assert_int_equal(result.no_room, 0);
    assert_int_equal(result.packets, 41);
}

static void a_packet_that_does_not_end_takes_no_more_memory_than_is_given(void **state)
{
    static struct made made;
    static const uint8_t rest[1000];
    connected(&made);
    C(&made, "\x30\xff\xff\x7f");
    for (unsigned i = 0; i < 20; i++)
        sends(&made, CLIENT, rest, sizeof rest);
    assert_int_equal(check_within(16 << 10, made.data, made.size).no_room, 1);
    assert_int_equal(check(made.data, made.size).no_room, 0);
}

static void what_comes_early_takes_no_more_memory_than_is_given(void **state)
{
    static struct made made;
    static const uint8_t rest[1000];
    connected(&made);
    uint32_t missing = made.sequence[CLIENT]++;
    for (unsigned i = 0; i < 10; i++)
        sends(&made, CLIENT, rest, sizeof rest);
    segment(&made, CLIENT, 16, missing, "\xc0", 1);
    assert_int_equal(check_within(8 << 10, made.data, made.size).not_whole, 1);
    assert_int_equal(check(made.data, made.size).not_whole, 0);
}

static void refused(const void *data, size_t size, const char *why)
{
    struct capture_result result = check(data, size);
    assert_non_null(result.why);
    if (strstr(result.why, why) == NULL)
        fail_msg("\"%s\" is not \"%s\"", result.why, why);
}

#define SHB                                                                                        \
    "\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0"
#define REFUSED(bytes, why) refused(bytes, sizeof(bytes) - 1, why)

static void a_file_that_is_no_capture_is_refused_with_a_reason(void **state)
{
    static struct made made;
    refused("x", 0, "it is too short");
    REFUSED("abcd", "neither pcap nor pcapng");
    REFUSED("\xd4\xc3\xb2\xa1\2\0", "in the middle");
    connected(&made);
    refused(made.data, made.size - 1, "in the middle");
    memcpy(made.data + 32, "\xff\xff\xff\x7f", 4);
    refused(made.data, made.size, "larger than packets are");
    REFUSED("\x0a\x0d\x0d\x0a\x1c\0\0\0abcd", "no byte order");
    REFUSED(SHB "\6\0\0\0\x0d\0\0\0", "a length that blocks do not have");
    REFUSED(SHB "\6\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0", "too short");
    REFUSED(SHB "\6\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0",
            "an interface that there is not");
    REFUSED(SHB "\6\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x20\0\0\0",
            "larger than its block");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_server_may_send_is_allowed),
        cmocka_unit_test(what_crosses_on_its_way_is_allowed),
        cmocka_unit_test(a_session_that_goes_on_brings_what_the_capture_has_not),
        cmocka_unit_test(what_it_may_not_send_is_named_with_its_statement),
        cmocka_unit_test(version_311_has_its_own_rules),
        cmocka_unit_test(segments_out_of_order_and_twice_are_one_stream),
        cmocka_unit_test(what_a_capture_lacks_is_not_judged),
        cmocka_unit_test(a_client_that_breaks_the_protocol_is_not_the_servers_fault),
        cmocka_unit_test(a_capture_takes_no_more_memory_than_it_is_given),
        cmocka_unit_test(a_connection_that_is_over_gives_its_memory_back),
        cmocka_unit_test(a_packet_that_does_not_end_takes_no_more_memory_than_is_given),
        cmocka_unit_test(what_comes_early_takes_no_more_memory_than_is_given),
        cmocka_unit_test(a_file_that_is_no_capture_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
