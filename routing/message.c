#include "routing/message.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

static size_t size_of(struct bytes topic, struct bytes properties, struct bytes payload)
{
    return sizeof(struct message) + topic.size + properties.size + payload.size;
}

static struct message *fill(struct message *message, struct bytes topic, struct bytes properties,
                            struct bytes payload)
{
    uint8_t *topic_at = (uint8_t *)(message + 1);
    uint8_t *properties_at = put_bytes(topic_at, topic);
    uint8_t *payload_at = put_bytes(properties_at, properties);
    put_bytes(payload_at, payload);
    message->stored = (struct store_message){
        .topic = bytes_of(topic_at, topic.size),
        .properties = bytes_of(properties_at, properties.size),
        .payload = bytes_of(payload_at, payload.size),
    };
    message->routed_version = 0;
    message->claimed = false;
    atomic_init(&message->current, false);
    atomic_init(&message->references, 1);
    return message;
}

struct message *message_new(struct bytes topic, struct bytes properties, struct bytes payload)
{
    struct message *message = malloc(size_of(topic, properties, payload));
    return message != NULL ? fill(message, topic, properties, payload) : NULL;
}

struct message *message_copy(const struct store_message *stored)
{
    struct message *message =
        fill(memory_take(size_of(stored->topic, stored->properties, stored->payload)),
             stored->topic, stored->properties, stored->payload);
    struct store_message copy = *stored;
    copy.topic = message->stored.topic;
    copy.properties = message->stored.properties;
    copy.payload = message->stored.payload;
    message->stored = copy;
    return message;
}

void message_drop(struct message *message, uint32_t count)
{
    /* All that there are are ours: nobody else can take or drop one, and no locked instruction is
     * needed. Acquire pairs with the releases of all other holders. */
    if (atomic_load_explicit(&message->references, memory_order_acquire) == count) {
        free(message);
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&message->references, count, memory_order_release);
    CHECK(before >= count);
    if (before == count) {
        /* The same, in a way ThreadSanitizer understands. */
        (void)atomic_load_explicit(&message->references, memory_order_acquire);
        free(message);
    }
}
