#include "storage/segment.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/varint.h"

enum {
    ENTRY_QOS = 0x03, /* the message's own */
    ENTRY_RETAIN = 0x04,
    ENTRY_HAS_EXPIRY = 0x08,
    ENTRY_SEND_RETAIN = 0x10,
    ENTRY_HAS_IDENTIFIERS = 0x20,
    ENTRY_FLAGS = 0x3f,
    OVERHEAD_MAX = 1 + 6 * VARINT_MAX, /* of an entry, identifiers and bytes aside */
};

/* ---- Integers ---- */

static uint64_t take_fixed(struct cursor *cursor, size_t size)
{
    struct bytes bytes = take_bytes(cursor, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size; i++)
        value = value << 8 | bytes.data[i];
    return value;
}

/* Times may lie before 1970. */
static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

/* ---- Building ---- */

static size_t body_size(const struct store_message *message)
{
    return message->topic.size + message->properties.size + message->payload.size;
}

bool segment_is_small(const struct store_message *message)
{
    return body_size(message) <= SEGMENT_INLINE;
}

static uint8_t *put_entry(uint8_t *p, const struct segment_entry *entry)
{
    const struct store_message *message = &entry->message;
    bool own = entry->body == SEGMENT_BODY_INLINE;
    uint8_t flags = entry->retain ? ENTRY_SEND_RETAIN : 0;
    if (entry->subscription_identifiers.size > 0)
        flags |= ENTRY_HAS_IDENTIFIERS;
    if (own)
        flags = (uint8_t)(flags | message->qos | (message->retain ? ENTRY_RETAIN : 0) |
                          (message->has_expiry ? ENTRY_HAS_EXPIRY : 0));
    *p++ = flags;
    if (entry->subscription_identifiers.size > 0) {
        p = put_varint(p, entry->subscription_identifiers.size / 4);
        p = put_bytes(p, entry->subscription_identifiers);
    }
    if (!own)
        return p;
    p = put_varint(p, zigzag(message->received_at_ms));
    p = put_varint(p, message->publisher);
    if (message->has_expiry)
        p = put_varint(p, message->expiry_interval_s);
    p = put_varint(p, message->topic.size);
    p = put_varint(p, message->properties.size);
    p = put_bytes(p, message->topic);
    p = put_bytes(p, message->properties);
    return put_bytes(p, message->payload); /* up to the entry's end */
}

bool segment_add(struct segment_builder *builder, const struct segment_entry *entry)
{
    struct buffer *data = &builder->data;
    uint64_t number = entry->message.number;
    CHECK(builder->count == 0 || number > builder->last);
    CHECK(entry->subscription_identifiers.size % 4 == 0 && (entry->qos == 1 || entry->qos == 2));
    size_t most = OVERHEAD_MAX + entry->subscription_identifiers.size +
                  (entry->body == SEGMENT_BODY_INLINE ? body_size(&entry->message) : 0);
    if (builder->count == SEGMENT_ENTRIES ||
        (builder->count > 0 && data->size + most > SEGMENT_BYTES))
        return false;
    buffer_take(data, most);
    size_t size = (size_t)(put_entry(data->data + data->size, entry) - (data->data + data->size));
    data->size += size;
    if (builder->count == 0)
        builder->first = builder->last = number;
    uint8_t *p = builder->directory + builder->directory_size;
    p = put_varint(p, number - builder->last);
    p = put_varint(p, (uint64_t)size << 3 | (uint64_t)(entry->qos - 1) << 2 | entry->body);
    builder->directory_size = (size_t)(p - builder->directory);
    builder->last = number;
    builder->count++;
    builder->shared += entry->body == SEGMENT_BODY_SHARED;
    return true;
}

void segment_reset(struct segment_builder *builder)
{
    builder->count = 0;
    builder->shared = 0;
    builder->data.size = 0;
    builder->directory_size = 0;
}

void segment_fini(struct segment_builder *builder)
{
    buffer_fini(&builder->data);
}

/* ---- Reading ---- */

bool segment_read_directory(struct bytes directory, uint64_t first, uint64_t count,
                            struct segment_directory *out)
{
    struct cursor cursor = cursor_of(directory);
    uint64_t number = first, offset = 0;
    out->shared = 0;
    if (count == 0 || count > SEGMENT_ENTRIES || first > INT64_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t step = take_varint(&cursor);
        uint64_t rest = take_varint(&cursor);
        uint64_t size = rest >> 3;
        if (cursor.failed || (step == 0) != (i == 0) || step > INT64_MAX - number || size == 0 ||
            size > UINT32_MAX - offset || (rest & 3) >= SEGMENT_BODY_COUNT)
            return false;
        number += step;
        out->slots[i] = (struct segment_slot){
            .number = number,
            .offset = (uint32_t)offset,
            .size = (uint32_t)size,
            .qos = (uint8_t)(1 + (rest >> 2 & 1)),
            .body = (uint8_t)(rest & 3),
        };
        out->shared += (rest & 3) == SEGMENT_BODY_SHARED;
        offset += size;
    }
    out->count = (uint32_t)count;
    out->data_size = offset;
    return left(&cursor) == 0;
}

int segment_find(const struct segment_directory *directory, uint64_t number)
{
    uint32_t low = 0, high = directory->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (directory->slots[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < directory->count && directory->slots[low].number == number ? (int)low : -1;
}

/* What damage makes of them no packet could carry, and whoever sends them would have to die. */
static bool identifiers_are_sound(struct bytes packed)
{
    enum { IDENTIFIER_MAX = 0x0fffffff }; /* a Variable Byte Integer, and not 0 */
#ifdef SEEDED_BUG_IDENTIFIERS_BELIEVED
    return true;
#endif
    for (size_t i = 0; i < packed.size; i += 4) {
        uint32_t identifier = get_u32(packed.data + i);
        if (identifier == 0 || identifier > IDENTIFIER_MAX)
            return false;
    }
    return true;
}

static void take_message(struct cursor *cursor, uint8_t flags, struct store_message *message)
{
    message->qos = flags & ENTRY_QOS;
    message->retain = (flags & ENTRY_RETAIN) != 0;
    message->has_expiry = (flags & ENTRY_HAS_EXPIRY) != 0;
    message->received_at_ms = unzigzag(take_varint(cursor));
    message->publisher = take_varint(cursor);
    if (message->has_expiry) {
        uint64_t expiry = take_varint(cursor);
        message->expiry_interval_s = expiry <= UINT32_MAX ? (uint32_t)expiry : 0;
        cursor->failed = cursor->failed || expiry > UINT32_MAX;
    }
    uint64_t topic = take_varint(cursor), properties = take_varint(cursor);
    message->topic = take_bytes(cursor, topic);
    cursor->failed = cursor->failed || topic > UINT16_MAX;
    message->properties = take_bytes(cursor, properties);
    message->payload = take_bytes(cursor, left(cursor));
}

bool segment_read_entry(const struct segment_slot *slot, struct bytes data,
                        struct segment_entry *out)
{
    *out = (struct segment_entry){
        .body = slot->body, .qos = slot->qos, .message.number = slot->number};
    if (slot->offset > data.size || slot->size > data.size - slot->offset)
        return false;
    struct cursor cursor = cursor_of(bytes_of(data.data + slot->offset, slot->size));
    uint8_t flags = (uint8_t)take_fixed(&cursor, 1);
    out->retain = (flags & ENTRY_SEND_RETAIN) != 0;
    if ((flags & ENTRY_HAS_IDENTIFIERS) != 0) {
        uint64_t count = take_varint(&cursor);
        if (count == 0 || count > left(&cursor) / 4)
            return false;
        out->subscription_identifiers = take_bytes(&cursor, count * 4);
        if (!identifiers_are_sound(out->subscription_identifiers))
            return false;
    }
    if (slot->body == SEGMENT_BODY_INLINE)
        take_message(&cursor, flags, &out->message);
    return !cursor.failed && left(&cursor) == 0 && (flags & ~ENTRY_FLAGS) == 0 &&
           (flags & ENTRY_QOS) != ENTRY_QOS;
}

/* ---- Progress ---- */

static bool is_in_flight(uint8_t state)
{
    return state == STORE_OUTBOUND_SENT || state == STORE_OUTBOUND_RELEASED;
}

void segment_set_state(struct segment_progress *progress, int at, uint8_t state)
{
    uint8_t *now = &progress->state[at];
    progress->settled -= *now == SEGMENT_SETTLED;
    progress->in_flight -= is_in_flight(*now);
    *now = state;
    progress->settled += state == SEGMENT_SETTLED;
    progress->in_flight += is_in_flight(state);
}

size_t segment_write_progress(const struct segment_directory *directory,
                              const struct segment_progress *progress, uint8_t *out)
{
    uint8_t *bits = put_u16(out, (uint16_t)directory->count);
    uint8_t *p = bits + (directory->count + 7) / 8;
    memset(bits, 0, (size_t)(p - bits));
    for (uint32_t i = 0; i < directory->count; i++) {
        const struct segment_slot *slot = &directory->slots[i];
        uint8_t state = progress->state[i];
        if (state == SEGMENT_SETTLED)
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1 << i % 8);
        if (!is_in_flight(state))
            continue;
        p = put_varint(p, slot->number - directory->slots[0].number);
        *p++ = (uint8_t)(state << 2 | slot->qos);
        p = put_u16(p, progress->packet_identifier[i]);
        p = put_varint(p, progress->sequence[i]);
    }
    return (size_t)(p - out);
}

static bool take_exchange(struct cursor *cursor, uint64_t first, struct segment_exchange *out)
{
    uint64_t distance = take_varint(cursor);
    uint8_t what = (uint8_t)take_fixed(cursor, 1);
    *out =
        (struct segment_exchange){.number = first + distance, .qos = what & 3, .state = what >> 2};
    out->packet_identifier = (uint16_t)take_fixed(cursor, 2);
    out->sequence = take_varint(cursor);
    return !cursor->failed && first <= INT64_MAX && distance <= INT64_MAX - first &&
           (out->qos == 1 || out->qos == 2) && is_in_flight(out->state);
}

static bool take_settled(struct cursor *cursor, const struct segment_directory *directory,
                         struct segment_progress *out)
{
    if (take_fixed(cursor, 2) != directory->count)
        return false;
    struct bytes bits = take_bytes(cursor, (directory->count + 7) / 8);
    if (bits.size == 0)
        return false;
    for (uint32_t i = 0; i < bits.size * 8; i++) {
        if ((bits.data[i / 8] >> i % 8 & 1) == 0)
            continue;
        if (i >= directory->count)
            return false;
        segment_set_state(out, (int)i, SEGMENT_SETTLED);
    }
    return true;
}

bool segment_read_progress(struct bytes bytes, const struct segment_directory *directory,
                           struct segment_progress *out)
{
    struct cursor cursor = cursor_of(bytes);
    memset(out, 0, sizeof *out);
    if (bytes.size == 0)
        return true;
    if (!take_settled(&cursor, directory, out))
        return false;
    while (left(&cursor) > 0) {
        struct segment_exchange exchange;
        if (!take_exchange(&cursor, directory->slots[0].number, &exchange))
            return false;
        int at = segment_find(directory, exchange.number);
        if (at < 0 || out->state[at] != STORE_OUTBOUND_QUEUED ||
            directory->slots[at].qos != exchange.qos)
            return false;
        segment_set_state(out, at, exchange.state);
        out->packet_identifier[at] = exchange.packet_identifier;
        out->sequence[at] = exchange.sequence;
    }
    return !cursor.failed && out->settled < directory->count;
}

bool segment_each_exchange(struct bytes progress, uint64_t first,
                           bool (*visit)(void *context, const struct segment_exchange *exchange),
                           void *context)
{
    struct cursor cursor = cursor_of(progress);
    uint64_t last = 0, count = take_fixed(&cursor, 2);
    take_bytes(&cursor, (count + 7) / 8);
    while (left(&cursor) > 0) {
        struct segment_exchange exchange;
        if (!take_exchange(&cursor, first, &exchange) || exchange.number <= last)
            return false;
        last = exchange.number;
        if (!visit(context, &exchange))
            return true;
    }
    return !cursor.failed;
}
