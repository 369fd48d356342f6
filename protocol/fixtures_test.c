/* Every fixture of protocol/fixtures/, three ways: decoded, across every split of the fixed header,
 * and through the encoder and back. The fixtures are written from the specification, not from this
 * code, and so are their bytes: the encoder has to find the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/fixture_testing.h"
#include "protocol/packet_testing.h"

/* What refusals have said so far, for every_rule_is_broken_by_a_fixture. */
static const char *rules_broken[1024];
static size_t rules_broken_count;

struct header {
    enum frame_result result;
    struct frame_parser parser;
    size_t consumed;
    struct refusal refusal;
};

/* Feeds `bytes` in pieces: up to `first`, then up to `second`, then the rest. */
static struct header feed(const struct fixture *fixture, size_t first, size_t second)
{
    const size_t ends[] = {first, second, fixture->bytes.size};
    struct header header = {.result = FRAME_MORE};

    for (size_t i = 0; i < 3 && header.result == FRAME_MORE; i++) {
        size_t size = ends[i] - header.consumed, consumed;
        /* On the heap and no longer than said, so that a sanitizer sees one byte read too many. */
        uint8_t *piece = malloc(size > 0 ? size : 1);
        assert_non_null(piece);
        memcpy(piece, fixture->bytes.data + header.consumed, size);
        header.result = frame_parser_feed(&header.parser, fixture->as_server, piece, size,
                                          &consumed, &header.refusal);
        if (header.result == FRAME_MORE)
            assert_int_equal(consumed, size);
        header.consumed += consumed;
        free(piece);
    }
    return header;
}

static void assert_same_header(const struct header *a, const struct header *b)
{
    assert_int_equal(a->result, b->result);
    assert_int_equal(a->consumed, b->consumed);
    if (a->result == FRAME_HEADER) {
        assert_int_equal(a->parser.type, b->parser.type);
        assert_int_equal(a->parser.flags, b->parser.flags);
        assert_int_equal(a->parser.header_size, b->parser.header_size);
        assert_int_equal(a->parser.remaining_length, b->parser.remaining_length);
    }
    if (a->result == FRAME_REFUSED) {
        assert_int_equal(a->refusal.offset, b->refusal.offset);
        assert_string_equal(a->refusal.what, b->refusal.what);
    }
}

/* A split behind the header changes nothing any more, so these are all there are. */
static struct header feed_every_way(const struct fixture *fixture)
{
    struct header whole = feed(fixture, fixture->bytes.size, fixture->bytes.size);
    size_t last = fixture->bytes.size < 7 ? fixture->bytes.size : 7;

    for (size_t first = 0; first <= last; first++) {
        for (size_t second = first; second <= last; second++) {
            struct header pieces = feed(fixture, first, second);
            assert_same_header(&whole, &pieces);
        }
    }
    return whole;
}

static void assert_refusal(const struct fixture *fixture, const struct refusal *refusal)
{
    char text[256];

    snprintf(text, sizeof text, "reason_code = 0x%02X\nstatement = %s\noffset = %u\n",
             refusal->reason_code, refusal->statement, refusal->offset);
    assert_true(fixture->refused);
    assert_string_equal(text, fixture->expected);
    assert_true(strlen(refusal->what) > 0);
    assert_true(rules_broken_count < sizeof rules_broken / sizeof rules_broken[0]);
    rules_broken[rules_broken_count++] = refusal->what;
}

static void assert_fields(const struct fixture *fixture, enum mqtt_version version,
                          const struct packet *packet)
{
    struct buffer text = {0};

    packet_dump(version, packet, &text);
    assert_false(fixture->refused);
    assert_string_equal((const char *)text.data, fixture->expected);
    buffer_fini(&text);
}

static void decode_again(const struct fixture *fixture, enum mqtt_version version,
                         const struct buffer *bytes)
{
    struct frame_parser parser = {0};
    struct packet packet;
    struct refusal refusal;
    size_t header_size;

    assert_int_equal(FRAME_HEADER, frame_parser_feed(&parser, fixture->as_server, bytes->data,
                                                     bytes->size, &header_size, &refusal));
    assert_int_equal(bytes->size, header_size + parser.remaining_length);
    assert_true(packet_decode(version, fixture->as_server, bytes->data, bytes->size, header_size,
                              &packet, &refusal));
    assert_fields(fixture, version, &packet);
}

/* What packet_encode() is not for: it knows one Subscription Identifier. */
static bool has_several_subscription_identifiers(const struct fixture *fixture)
{
    const char *first = strstr(fixture->expected, "\nsubscription_identifier = ");

    return first != NULL && strstr(first + 1, "\nsubscription_identifier = ") != NULL;
}

static void assert_encoded(const struct fixture *fixture, const struct buffer *encoded)
{
    const struct buffer *expected =
        fixture->reencoded.size > 0 ? &fixture->reencoded : &fixture->bytes;

    assert_int_equal(encoded->size, expected->size);
    assert_memory_equal(encoded->data, expected->data, expected->size);
}

static void encode_and_compare(const struct fixture *fixture, enum mqtt_version version,
                               const struct packet *packet)
{
    struct buffer encoded = {0};

    if (packet->type == PACKET_PUBLISH) {
        assert_true(publish_reencode(version, &packet->publish, &encoded));
        decode_again(fixture, version, &encoded);
    }
    if (!has_several_subscription_identifiers(fixture)) {
        assert_true(packet_reencode(version, packet, &encoded));
        decode_again(fixture, version, &encoded);
    }
    assert_encoded(fixture, &encoded);
    buffer_fini(&encoded);
}

static void nothing_is_written_without_room(enum mqtt_version version, const struct packet *packet)
{
    size_t size = packet_encode(version, packet, NULL, 0);
    uint8_t *out = malloc(size);

    assert_non_null(out);
    memset(out, 0x5A, size);
    assert_int_equal(packet_encode(version, packet, out, size - 1), size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(out[i], 0x5A);
    free(out);
}

/* A shorter frame may be a whole packet too, and then all of it has been filled in; if not, the
 * refusal points into it. */
static void cut_everywhere(const struct fixture *fixture, enum mqtt_version version,
                           size_t header_size)
{
    struct buffer text = {0};

    for (size_t size = header_size; size < fixture->bytes.size; size++) {
        struct packet packet;
        struct refusal refusal;
        uint8_t *frame = malloc(size);

        assert_non_null(frame);
        memcpy(frame, fixture->bytes.data, size);
        memset(&packet, 0xA5, sizeof packet);
        memset(&refusal, 0xA5, sizeof refusal);
        if (packet_decode(version, fixture->as_server, frame, size, header_size, &packet,
                          &refusal)) {
            packet_dump(version, &packet, &text);
        } else {
            assert_true(refusal.offset <= size);
            assert_true(strlen(refusal.statement) > 0);
        }
        free(frame);
    }
    buffer_fini(&text);
}

static void run_version(const struct fixture *fixture, enum mqtt_version version)
{
    struct header header = feed_every_way(fixture);
    struct packet packet;
    struct refusal refusal;

    if (header.result == FRAME_REFUSED) {
        refusal_cite(&header.refusal, version);
        assert_refusal(fixture, &header.refusal);
        return;
    }
    assert_int_equal(header.result, FRAME_HEADER);
    assert_int_equal(header.consumed, header.parser.header_size);
    assert_int_equal(fixture->bytes.size, header.consumed + header.parser.remaining_length);
    cut_everywhere(fixture, version, header.consumed);

    memset(&packet, 0xA5, sizeof packet);
    if (!packet_decode(version, fixture->as_server, fixture->bytes.data, fixture->bytes.size,
                       header.consumed, &packet, &refusal)) {
        assert_refusal(fixture, &refusal);
        return;
    }
    if (packet.type == PACKET_CONNECT)
        version = packet.connect.version;
    assert_fields(fixture, version, &packet);
    encode_and_compare(fixture, version, &packet);
    nothing_is_written_without_room(version, &packet);
}

static void run(void **state)
{
    const struct fixture *fixture = *state;

    for (unsigned i = 0; i < fixture->version_count; i++)
        run_version(fixture, fixture->versions[i]);
}

/* Properties have a test of their own. */
static void every_rule_is_broken_by_a_fixture(void **state)
{
    static const char *const rules[] = {
#define RULE(constant, reason, v5, v3, what) what,
#include "protocol/rule.def"
    };

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        bool found = false;
        for (size_t j = 0; j < rules_broken_count && !found; j++)
            found = strcmp(rules[i], rules_broken[j]) == 0;
        if (!found)
            fail_msg("no fixture: %s", rules[i]);
    }
}

int main(void)
{
    const char *directory = __FILE__[0] == '/'
                                ? strndup(__FILE__, sizeof __FILE__ - sizeof "_test.c")
                                : strdup("protocol/fixtures");
    struct fixtures fixtures;

    if (!fixtures_read(directory, &fixtures))
        return 1;

    struct CMUnitTest *tests = calloc(fixtures.count + 1, sizeof *tests);
    for (size_t i = 0; i < fixtures.count; i++) {
        tests[i] = (struct CMUnitTest){
            .name = fixtures.list[i].name,
            .test_func = run,
            .initial_state = &fixtures.list[i],
        };
    }
    tests[fixtures.count] = (struct CMUnitTest)cmocka_unit_test(every_rule_is_broken_by_a_fixture);
    int failed = _cmocka_run_group_tests("fixtures", tests, fixtures.count + 1, NULL, NULL);

    free(tests);
    free((void *)directory);
    fixtures_fini(&fixtures);
    return failed;
}
