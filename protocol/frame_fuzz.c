/* The fixed header: whatever the split, the same answer. The first byte says who reads and where
 * the stream is split, the rest is the stream. */
#include "base/check.h"
#include "protocol/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum frame_result result;
    struct frame_parser parser;
    size_t consumed;
    struct refusal refusal;
};

static struct outcome feed(bool as_server, const uint8_t *data, size_t size, size_t piece)
{
    struct outcome outcome = {.result = FRAME_MORE};

    while (outcome.result == FRAME_MORE && outcome.consumed < size) {
        size_t left = size - outcome.consumed, consumed;
        size_t part = left < piece ? left : piece;
        outcome.result = frame_parser_feed(&outcome.parser, as_server, data + outcome.consumed,
                                           part, &consumed, &outcome.refusal);
        CHECK(consumed <= part);
        CHECK(outcome.result != FRAME_MORE || consumed == part);
        outcome.consumed += consumed;
    }
    return outcome;
}

/* The Remaining Length by the pseudocode of 5.0 section 1.5.5. */
static uint32_t remaining_length(const uint8_t *p)
{
    uint32_t multiplier = 1, value = 0;
    uint8_t byte;

    do {
        byte = *p++;
        value += (byte & 127u) * multiplier;
        multiplier *= 128;
    } while ((byte & 128) != 0);
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;

    bool as_server = (data[0] & 1) != 0;
    size_t piece = 1 + (data[0] >> 1 & 3);
    const uint8_t *stream = data + 1;
    struct outcome whole = feed(as_server, stream, size - 1, size);
    struct outcome split = feed(as_server, stream, size - 1, piece);

    CHECK(whole.result == split.result);
    if (whole.result == FRAME_HEADER) {
        CHECK(whole.consumed == split.consumed && whole.consumed <= 5);
        CHECK(whole.parser.header_size == whole.consumed);
        CHECK(split.parser.header_size == whole.consumed);
        CHECK(whole.parser.remaining_length == remaining_length(stream + 1));
        CHECK(split.parser.remaining_length == whole.parser.remaining_length);
        CHECK(whole.parser.type == stream[0] >> 4 && whole.parser.flags == (stream[0] & 15));
    } else if (whole.result == FRAME_REFUSED) {
        CHECK(whole.refusal.offset == split.refusal.offset);
        CHECK(whole.refusal.what == split.refusal.what);
        CHECK(whole.refusal.offset < 5 && whole.refusal.offset < size - 1);
    }
    return 0;
}
