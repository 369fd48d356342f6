/* A packet of any type, in any version, read by either side. What is accepted is encoded, and what
 * has been encoded is accepted and says the same.
 *
 * The first byte is the reader and the version, the rest the frame. Its Remaining Length is taken
 * as whatever is there, so that the fuzzer need not learn to count. */
#include <stdlib.h>

#include "base/check.h"
#include "protocol/packet_testing.h"
#include "protocol/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the body starts in the encoder's output. Checks that it is a frame. */
static size_t header_size_of(bool as_server, const struct buffer *bytes)
{
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t consumed;

    CHECK(frame_parser_feed(&parser, as_server, bytes->data, bytes->size, &consumed, &refusal) ==
          FRAME_HEADER);
    CHECK(consumed + parser.remaining_length == bytes->size);
    return consumed;
}

static void decode_again(enum mqtt_version version, bool as_server, const struct buffer *bytes,
                         const struct buffer *text)
{
    struct packet packet;
    struct refusal refusal;
    struct buffer again = {0};

    CHECK(packet_decode(version, as_server, bytes->data, bytes->size,
                        header_size_of(as_server, bytes), &packet, &refusal));
    packet_dump(version, &packet, &again);
    CHECK(again.size == text->size && memcmp(again.data, text->data, text->size) == 0);
    buffer_fini(&again);
}

static bool has_one_subscription_identifier(const struct buffer *text)
{
    const char *first = strstr((const char *)text->data, "\nsubscription_identifier = ");

    return first == NULL || strstr(first + 1, "\nsubscription_identifier = ") == NULL;
}

static void encode_and_compare(enum mqtt_version version, bool as_server,
                               const struct packet *packet)
{
    struct buffer text = {0}, bytes = {0};

    packet_dump(version, packet, &text);
    if (packet->type == PACKET_PUBLISH && publish_reencode(version, &packet->publish, &bytes))
        decode_again(version, as_server, &bytes, &text);
    if (has_one_subscription_identifier(&text) && packet_reencode(version, packet, &bytes))
        decode_again(version, as_server, &bytes, &text);
    buffer_fini(&text);
    buffer_fini(&bytes);
}

static void parse_filters(const struct packet *packet, enum mqtt_version version)
{
    struct subscription_request request;
    size_t offset;

    if (packet->type != PACKET_SUBSCRIBE)
        return;
    for (size_t cursor = 0; subscribe_next(&packet->subscribe, version, &cursor, &request);)
        topic_filter_parse(request.topic_filter, true, &offset);
}

/* What the quick way takes is what the grammars take. */
static void decode_quickly(enum mqtt_version version, const uint8_t *frame, size_t size)
{
    struct publish quick, publish;
    struct acknowledgement acknowledgement;
    struct packet packet;
    struct refusal refusal;
    size_t whole = publish_decode_quick(version, frame, size, &quick);

    if (acknowledgement_decode_quick(frame, size, &acknowledgement) > 0) {
        packet.type = frame[0] >> 4;
        CHECK(packet_decode(version, true, frame, 4, 2, &packet, &refusal) &&
              packet.acknowledgement.packet_identifier == acknowledgement.packet_identifier &&
              packet.acknowledgement.reason_code == acknowledgement.reason_code &&
              packet.acknowledgement.properties.present == 0);
    }
    if (whole == 0)
        return;
    CHECK(whole <= size &&
          publish_decode(version, true, frame, whole, frame[1] < 0x80 ? 2 : 3, &publish, &refusal));
    CHECK(bytes_equal(quick.topic_name, publish.topic_name) &&
          bytes_equal(quick.payload, publish.payload) && quick.qos == publish.qos &&
          quick.dup == publish.dup && quick.retain == publish.retain &&
          quick.packet_identifier == publish.packet_identifier && publish.properties.present == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet packet;
    struct refusal refusal = {.reason_code = 0};

    if (size < 3)
        return 0;

    bool as_server = (data[0] & 1) != 0;
    enum mqtt_version version = MQTT_VERSION_31 + (data[0] >> 1) % 3;
    /* A copy of its own, so that a sanitizer sees one byte read too many. */
    size_t frame_size = size - 1;
    uint8_t *frame = malloc(frame_size);
    CHECK(frame != NULL);
    memcpy(frame, data + 1, frame_size);
    decode_quickly(version, frame, frame_size);

    if (packet_decode(version, as_server, frame, frame_size, 2, &packet, &refusal)) {
        if (packet.type == PACKET_CONNECT)
            version = packet.connect.version;
        parse_filters(&packet, version);
        encode_and_compare(version, as_server, &packet);
    } else {
        CHECK(refusal.reason_code >= 0x80 && refusal.offset <= frame_size);
        CHECK(strlen(refusal.statement) > 0 && strlen(refusal.what) > 0);
    }
    free(frame);
    return 0;
}
