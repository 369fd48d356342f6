#include "bench/publisher.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "bench/engine.h"

enum id_state { ID_FREE, ID_PUBLISHED, ID_RELEASED };

void publisher_init(struct publisher *publisher, struct engine *engine, struct client *client,
                    struct group *group, const char *prefix, unsigned first, unsigned topic_count)
{
    const struct options *options = engine->options;
    char topic[64];
    struct wire_message message = {.version = options->version,
                                   .qos = options->qos,
                                   .topic = topic,
                                   .payload_size = options->payload};
    message.retain = strcmp(prefix, "retained") == 0;
    /* Whole rounds of the topics, and at least a batch: a write never wraps. */
    unsigned rounds = (options->batch + topic_count - 1) / topic_count;
    publisher->ring_count = rounds * topic_count;
    for (unsigned i = 0; i < publisher->ring_count; i++) {
        snprintf(topic, sizeof topic, "%s/%08u", prefix, first + i % topic_count);
        wire_publish(&publisher->ring, &message);
    }
    publisher->client = client;
    publisher->group = group;
    publisher->stride = publisher->ring.size / publisher->ring_count;
    publisher->id_offset = wire_publish_id_offset(&message);
    publisher->qos = options->qos;
    publisher->left = UINT64_MAX;
    publisher->pings = options->qos == 0 && group->fan == 0;
    client->publisher = publisher;
}

void publisher_fini(struct publisher *publisher)
{
    buffer_fini(&publisher->ring);
    free(publisher->free_ids);
    free(publisher->id_states);
    free(publisher->due_ns_of);
}

void publisher_ready(struct publisher *publisher, struct engine *engine)
{
    if (publisher->qos == 0 || publisher->window > 0)
        return;
    unsigned window = engine->options->window;
    if (window > publisher->client->receive_maximum)
        window = publisher->client->receive_maximum;
    publisher->window = window;
    publisher->free_ids = calloc(window, sizeof *publisher->free_ids);
    publisher->id_states = calloc(window + 1, sizeof *publisher->id_states);
    publisher->due_ns_of = calloc(window + 1, sizeof *publisher->due_ns_of);
    CHECK(publisher->free_ids && publisher->id_states && publisher->due_ns_of);
    for (unsigned i = 0; i < window; i++)
        publisher->free_ids[i] = (uint16_t)(i + 1);
}

static unsigned least(uint64_t a, unsigned b)
{
    return a < b ? (unsigned)a : b;
}

/* How many messages to write now. Fewer than a quarter of the window are not worth a system call:
 * otherwise the run drifts towards one message a write, and measures the kernel. */
static unsigned share(const struct publisher *publisher, const struct engine *engine, unsigned room)
{
    unsigned count = least(publisher->left, engine->options->batch);
    count = least(publisher->ring_count - publisher->cursor, count);
    if (publisher->interval_ns > 0) {
        if (publisher->due_ns > engine->now_ns)
            return 0;
        uint64_t due = (engine->now_ns - publisher->due_ns) / publisher->interval_ns + 1;
        count = least(due, count);
    }
    if (publisher->qos == 0)
        return count <= room ? count : 0;
    unsigned vacant = publisher->window - publisher->in_flight;
    if (publisher->interval_ns == 0 && vacant < publisher->window / 4 && vacant < count)
        return 0;
    return least(vacant, least(room, count));
}

static void put_id(struct publisher *publisher, uint8_t *packet)
{
    uint16_t id = publisher->free_ids[publisher->free_head];
    publisher->free_head = (publisher->free_head + 1) % publisher->window;
    publisher->in_flight++;
    publisher->id_states[id] = ID_PUBLISHED;
    publisher->due_ns_of[id] = publisher->due_ns;
    put_u16(packet + publisher->id_offset, id);
}

static void free_id(struct publisher *publisher, uint16_t id)
{
    unsigned tail = (publisher->free_head + publisher->window - publisher->in_flight);
    publisher->free_ids[tail % publisher->window] = id;
    publisher->in_flight--;
    publisher->id_states[id] = ID_FREE;
}

static void put_ping(struct publisher *publisher)
{
    wire_empty(&publisher->client->out, WIRE_PINGREQ);
    publisher->ping_waits = true;
    publisher->ping_covers = publisher->sent;
}

unsigned publisher_send(struct publisher *publisher, struct engine *engine, unsigned room)
{
    struct client *client = publisher->client;
    if (client->blocked || client->state != CLIENT_READY)
        return 0;
    unsigned count = share(publisher, engine, room);
    if (count == 0)
        return 0;
    uint8_t *start = publisher->ring.data + publisher->cursor * publisher->stride;
    uint8_t *packet = start;
    if (publisher->qos > 0 || publisher->interval_ns > 0) {
        for (unsigned i = 0; i < count; i++, packet += publisher->stride) {
            if (publisher->qos > 0)
                put_id(publisher, packet);
            if (publisher->interval_ns > 0) {
                memcpy(packet + publisher->stride - sizeof publisher->due_ns, &publisher->due_ns,
                       sizeof publisher->due_ns);
                publisher->due_ns += publisher->interval_ns;
            }
        }
    }
    publisher->cursor = (publisher->cursor + count) % publisher->ring_count;
    if (publisher->left != UINT64_MAX)
        publisher->left -= count;
    publisher->sent += count;
    publisher->group->sent += count;
    client_write(engine, client, bytes_of(start, count * publisher->stride));
    if (publisher->pings && !publisher->ping_waits) {
        put_ping(publisher);
        client_write(engine, client, (struct bytes){0});
    }
    return count;
}

static void acked(struct publisher *publisher, struct engine *engine, uint16_t id, uint8_t reason)
{
    if (engine->latency)
        histogram_add(&engine->ack_latency, engine->now_ns - publisher->due_ns_of[id]);
    free_id(publisher, id);
    publisher->acked++;
    if (reason >= WIRE_REFUSED) {
        engine->refused++;
        publisher->group->lost += publisher->group->fan;
    }
    if (publisher->group->fan == 0)
        publisher->group->received++;
}

static void take_pingresp(struct publisher *publisher)
{
    publisher->group->received += publisher->ping_covers - publisher->acked;
    publisher->acked = publisher->ping_covers;
    publisher->ping_waits = false;
    if (publisher->sent > publisher->acked)
        put_ping(publisher);
}

void publisher_answer(struct publisher *publisher, struct engine *engine,
                      const struct wire_frame *frame)
{
    unsigned type = frame->first & WIRE_TYPE_MASK;
    if (type == WIRE_PINGRESP) {
        take_pingresp(publisher);
        return;
    }
    uint16_t id = get_u16(frame->body);
    uint8_t reason = wire_ack_reason(frame);
    enum id_state expected = type == WIRE_PUBCOMP ? ID_RELEASED : ID_PUBLISHED;
    if (id == 0 || id > publisher->window || publisher->id_states[id] != expected ||
        (type == WIRE_PUBACK) != (publisher->qos == 1)) {
        engine_fail(engine, publisher->client, "an acknowledgement of nothing");
    } else if (type == WIRE_PUBREC && reason < WIRE_REFUSED) {
        publisher->id_states[id] = ID_RELEASED;
        wire_ack(&publisher->client->out, WIRE_PUBREL, id);
    } else {
        acked(publisher, engine, id, reason);
    }
}

bool publisher_settled(const struct publisher *publisher)
{
    return publisher->in_flight == 0 && (!publisher->pings || publisher->acked == publisher->sent);
}
