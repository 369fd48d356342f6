#include "conformance/cases/subscription.h"

static struct packet subscribe_packet(struct text filter, uint8_t options, uint32_t identifier)
{
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 1};
    subscribe.filters[0] = (struct filter){filter, options};
    if (identifier > 0)
        property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, identifier);
    return subscribe;
}

void subscription_make(struct client *client, struct text filter, uint8_t options,
                       uint32_t identifier)
{
    struct packet subscribe = subscribe_packet(filter, options, identifier);
    struct packet suback = client_subscribe_raw(client, &subscribe);
    if (suback.reason_codes.size != 1)
        fail(client->test, "SUBACK holds %zu Reason Codes for one filter",
             suback.reason_codes.size);
    if (suback.reason_codes.data[0] != (options & 3))
        fail(client->test, "the subscription to \"%.*s\" at QoS %u was answered with 0x%02X",
             (int)filter.size, (const char *)filter.data, options & 3, suback.reason_codes.data[0]);
}

/* What may be on its way when a SUBSCRIBE is answered. */
static bool may_come_before_suback(const struct packet *packet)
{
    return packet->type == PUBLISH || packet->type == PUBREL;
}

enum subscription_answer subscription_try(struct client *client, struct text filter,
                                          uint8_t options)
{
    struct test *test = client->test;
    struct packet subscribe = subscribe_packet(filter, options, 0);
    subscribe.packet_id = client->next_packet_id++;
    client_send(client, &subscribe);
    for (;;) {
        struct packet answer;
        bool closed = false;
        if (!receive(client, test->time_limit_ms, &answer, &closed)) {
            if (!closed)
                fail(test, "SUBSCRIBE was neither answered nor the Network Connection closed");
            client_drop(client);
            return SUBSCRIPTION_CLOSED;
        }
        if (may_come_before_suback(&answer))
            continue;
        if (answer.type == DISCONNECT) {
            expect_closed(client, 0);
            client_drop(client);
            return SUBSCRIPTION_CLOSED;
        }
        if (answer.type != SUBACK || answer.reason_codes.size != 1)
            fail(test, "SUBSCRIBE was answered with %s", packet_name(answer.type));
        return answer.reason_codes.data[0] < 0x80 ? SUBSCRIPTION_GRANTED : SUBSCRIPTION_REFUSED;
    }
}

uint32_t subscription_identifiers(const struct packet *publish)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < publish->properties.count; i++) {
        const struct property *property = &publish->properties.list[i];
        if (property->id == SUBSCRIPTION_IDENTIFIER && property->number < 32)
            bits |= UINT32_C(1) << property->number;
    }
    return bits;
}

static bool is_one_bit(uint32_t bits)
{
    return bits != 0 && (bits & (bits - 1)) == 0;
}

/* What overlapping subscriptions to one message still owe, or may still send. */
struct overlap {
    struct test *test;
    uint32_t all, missing; /* Subscription Identifiers, as bits */
    unsigned plain;        /* subscriptions without one that have not sent a copy */
    uint8_t qos, highest;
    bool single; /* one copy came for all of them: no other may follow */
};

static void overlap_count(struct overlap *overlap, const struct packet *copy)
{
    uint32_t got = subscription_identifiers(copy);
    if (copy->qos > overlap->qos)
        fail(overlap->test, "a copy came at QoS %u, above the QoS %u that is owed", copy->qos,
             overlap->qos);
    overlap->highest = copy->qos > overlap->highest ? copy->qos : overlap->highest;
    if (overlap->single)
        fail(overlap->test, "a copy more came than there are subscriptions");
    if (!is_one_bit(got) && got != 0 && got == overlap->missing)
        overlap->single = true;
    if (got == 0 && overlap->plain > 0)
        overlap->plain--;
    else if (got == 0 || (overlap->missing & got) != got || (!is_one_bit(got) && !overlap->single))
        fail_statement(overlap->test, "MQTT-3.3.4-4",
                       "a copy came with the Subscription Identifiers 0x%X (as bits), of 0x%X that "
                       "matched and 0x%X that were still due",
                       got, overlap->all, overlap->missing);
    overlap->missing &= ~got;
}

void subscription_take_copies(struct client *client, struct text topic, struct text payload,
                              uint32_t identifiers, unsigned plain, uint8_t qos)
{
    struct test *test = client->test;
    struct overlap overlap = {
        .test = test, .all = identifiers, .missing = identifiers, .plain = plain, .qos = qos};
    do {
        struct packet copy = take_publish(client, topic, payload);
        overlap_count(&overlap, &copy);
    } while (overlap.missing != 0);

    /* Further copies are a server's choice, as long as each has a subscription of its own. */
    struct packet copy;
    bool closed = false;
    while (receive(client, test->quiet_ms, &copy, &closed)) {
        if (copy.type != PUBLISH || !text_equal(copy.payload, payload))
            fail(test, "%s came instead of a further copy", packet_name(copy.type));
        acknowledge(client, &copy);
        overlap_count(&overlap, &copy);
    }
    if (closed)
        fail(test, "the Network Connection was closed");
    if (overlap.highest != qos)
        fail_statement(test, client->version == VERSION_5 ? "MQTT-3.3.4-2" : "MQTT-3.3.5-1",
                       "the highest QoS delivered was %u, not %u", overlap.highest, qos);
}
