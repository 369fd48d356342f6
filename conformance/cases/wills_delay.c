/* Will Properties (5.0 section 3.1.3.2): the delay, the expiry, and what is handed on.
 *
 * A will may come TOLERANCE_MS later than it is due. */
#include "conformance/cases/refusal.h"

#include <string.h>

enum { TOLERANCE_MS = 2500, SLICE_MS = 500 };

struct scene {
    struct text topic;
    struct client *watcher, *client;
};

static struct scene scene_of(struct test *test)
{
    struct scene scene = {.topic = topic_of(test, "will"),
                          .watcher = client_connected(test, "watcher"),
                          .client = client_new(test, "mortal")};
    client_subscribe(scene.watcher, scene.topic, 0);
    return scene;
}

static struct packet connect_with(const struct scene *scene, uint32_t delay_s, uint32_t expiry_s)
{
    struct packet connect = connect_of(scene->client);
    connect.will_topic = scene->topic;
    connect.will_payload = TEXT("will");
    if (delay_s > 0)
        property_add(&connect.will_properties, WILL_DELAY_INTERVAL, delay_s);
    if (expiry_s > 0)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    return connect;
}

static struct scene connected_with(struct test *test, uint32_t delay_s, uint32_t expiry_s)
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with(&scene, delay_s, expiry_s);
    client_connect_ok(scene.client, &connect);
    return scene;
}

/* Nothing before `from_ms`, the will before `to_ms` plus the tolerance, counted from `start_ms`. */
static struct packet expect_will_between(const struct scene *scene, uint64_t start_ms,
                                         unsigned from_ms, unsigned to_ms)
{
    struct test *test = scene->client->test;
    struct packet will;
    bool closed = false;
    uint64_t end_ms = start_ms + to_ms + TOLERANCE_MS, now_ms = clock_ms();
    unsigned left_ms = now_ms < end_ms ? (unsigned)(end_ms - now_ms) : 1;
    if (!receive(scene->watcher, left_ms, &will, &closed))
        fail(test, "no will was published within %u ms", to_ms + TOLERANCE_MS);
    unsigned after_ms = (unsigned)(clock_ms() - start_ms);
    if (will.type != PUBLISH || !text_equal(will.topic, scene->topic))
        fail(test, "%s came where the will was owed", packet_name(will.type));
    if (after_ms < from_ms)
        fail(test, "the will was published after %u ms, not after %u", after_ms, from_ms);
    return will;
}

/* Sends PINGREQ all the time: a Server Keep Alive may be shorter than the wait. */
static void expect_no_will(const struct scene *scene, unsigned within_ms)
{
    uint64_t end_ms = clock_ms() + within_ms;
    while (clock_ms() < end_ms) {
        struct packet packet;
        bool closed = false;
        if (receive(scene->watcher, SLICE_MS, &packet, &closed))
            fail(scene->client->test, "the will was published, and it is not owed");
        expect_alive(scene->watcher);
    }
}

/* ---- The delay ---- */

CASE(will_waits_for_its_delay, .v5 = "MQTT-3.1.2-8",
     .sends = "the end of a connection with a Will Delay Interval of 2 s and a Session Expiry "
              "Interval of 60 s",
     .allowed = "the will is published after 2 s, not before (tolerance: 2.5 s)",
     .faults = "ignores_will_delay forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 2, 60);
    uint64_t start_ms = clock_ms();
    client_drop(scene.client);
    /* A server that counts whole seconds of its clock may be a little early. */
    expect_will_between(&scene, start_ms, 1000, 2000);
}

CASE(delayed_will_after_disconnect_0x04, .v5 = "MQTT-3.1.2-8",
     .sends = "DISCONNECT 0x04 from a client with a Will Delay Interval of 2 s",
     .allowed = "the will is published after 2 s, not before (tolerance: 2.5 s)",
     .faults = "ignores_will_delay no_will_after_0x04 forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 2, 60);
    uint64_t start_ms = clock_ms();
    refusal_leave(scene.client, &(struct packet){.type = DISCONNECT, .reason_code = 0x04});
    expect_will_between(&scene, start_ms, 1000, 2000);
}

CASE(no_delayed_will_if_the_client_returns, .v5 = "MQTT-3.1.3-9 MQTT-3.1.2-8",
     .sends = "a return to the session, without a will, within its Will Delay Interval of 1 s",
     .allowed = "the will is never published, nor when the new connection ends",
     .faults = "will_after_return ignores_will_delay", .timing = true)
{
    struct scene scene = connected_with(test, 1, 60);
    client_drop(scene.client);
    client_resume(scene.client, 60);
    expect_no_will(&scene, 1000 + TOLERANCE_MS);
    client_drop(scene.client);
    expect_no_will(&scene, test->quiet_ms);
}

CASE(no_delayed_will_at_a_takeover, .v5 = "MQTT-3.1.3-9 MQTT-3.1.2-8",
     .sends = "a takeover with Clean Start 0 of a client with a Will Delay Interval of 1 s",
     .allowed = "the will is never published", .faults = "ignores_will_delay will_after_return",
     .timing = true)
{
    struct scene scene = connected_with(test, 1, 60);
    struct client *twin = client_new(test, "twin");
    twin->id = scene.client->id;
    client_resume(twin, 60);
    expect_no_will(&scene, 1000 + TOLERANCE_MS);
}

CASE(delayed_will_at_clean_start, .v5 = "MQTT-3.1.2-8 MQTT-3.1.2-4",
     .sends = "CONNECT with Clean Start 1 within a Will Delay Interval of 60 s",
     .allowed = "the session ends, and the will is published once at once (tolerance: 2.5 s), or "
                "never",
     .why = "The session's end publishes it [MQTT-3.1.2-8]; a connection opened within the delay "
            "deletes it by the same sentence. 5.0 section 3.1.4 says that it is sent, so never is "
            "remarked on.",
     .faults = "will_twice alters_payload", .timing = true)
{
    struct scene scene = connected_with(test, 60, 120);
    client_drop(scene.client);
    struct packet connect = connect_of(scene.client), packet;
    client_connect_ok(scene.client, &connect);
    bool closed = false;
    if (!receive(scene.watcher, TOLERANCE_MS, &packet, &closed)) {
        warn_debatable(test, "MQTT-3.1.2-8",
                       "the will of a session that Clean Start 1 ended was not published");
    } else {
        if (packet.type != PUBLISH || !text_equal(packet.payload, TEXT("will")))
            fail(test, "%s that is not the will was sent to its subscriber",
                 packet_name(packet.type));
        acknowledge(scene.watcher, &packet);
        expect_quiet(scene.watcher);
    }
    client_disconnect(scene.client);
}

CASE(delayed_will_at_the_end_of_the_session, .v5 = "MQTT-3.1.2-8",
     .sends = "the end of a connection with a Will Delay Interval of 60 s and a Session Expiry "
              "Interval of 1 s",
     .allowed = "the will is published when the session ends, after 1 s (tolerance: 2.5 s)",
     .faults = "will_delay_beyond_session forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 60, 1);
    uint64_t start_ms = clock_ms();
    client_drop(scene.client);
    expect_will_between(&scene, start_ms, 0, 1000);
}

CASE(
    delayed_will_without_a_stored_session, .v5 = "MQTT-3.1.2-8",
    .sends = "the end of a connection with a Will Delay Interval of 60 s and no Session Expiry "
             "Interval",
    .allowed = "the session ends with its connection, and the will is published (tolerance: 2.5 s)",
    .faults = "will_delay_beyond_session forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 60, 0);
    uint64_t start_ms = clock_ms();
    client_drop(scene.client);
    expect_will_between(&scene, start_ms, 0, 0);
}

CASE(delayed_will_when_disconnect_ends_the_session, .v5 = "MQTT-3.1.2-8",
     .sends = "DISCONNECT 0x04 with Session Expiry Interval 0 from a client with a Will Delay "
              "Interval and an expiry of 60 s",
     .allowed = "the session ends, and the will is published (tolerance: 2.5 s)",
     .faults = "will_delay_beyond_session no_will_after_0x04 forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 60, 60);
    struct packet disconnect = {.type = DISCONNECT, .reason_code = 0x04};
    property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, 0);
    uint64_t start_ms = clock_ms();
    refusal_leave(scene.client, &disconnect);
    expect_will_between(&scene, start_ms, 0, 0);
}

CASE(no_delayed_will_after_a_normal_disconnect, .v5 = "MQTT-3.14.4-3 MQTT-3.1.2-10",
     .sends = "DISCONNECT 0x00 from a client with a Will Delay Interval of 1 s",
     .allowed = "the will is never published", .faults = "will_after_disconnect", .timing = true)
{
    struct scene scene = connected_with(test, 1, 60);
    client_disconnect(scene.client);
    expect_no_will(&scene, 1000 + TOLERANCE_MS);
}

CASE(a_new_will_replaces_the_delayed_one, .v5 = "MQTT-3.1.3-9 MQTT-3.1.2-8",
     .sends = "a return within the Will Delay Interval of 1 s with another will, without a delay; "
              "then the end of that connection",
     .allowed = "the new will is published, and the old one never",
     .faults = "will_after_return keeps_will forgets_will", .timing = true)
{
    struct scene scene = connected_with(test, 1, 60);
    client_drop(scene.client);
    struct packet connect = connect_with(&scene, 0, 60);
    connect.clean_start = false;
    connect.will_payload = TEXT("new will");
    client_connect_ok(scene.client, &connect);
    client_drop(scene.client);
    expect_publish(scene.watcher, scene.topic, TEXT("new will"));
    expect_no_will(&scene, 1000 + TOLERANCE_MS);
}

/* ---- The other properties ---- */

CASE(
    will_properties_are_handed_on,
    .v5 = "MQTT-3.1.2-7 MQTT-3.1.3-10 MQTT-3.3.2-4 MQTT-3.3.2-15 "
          "MQTT-3.3.2-16 MQTT-3.3.2-17 MQTT-3.3.2-20",
    .sends = "a will with Payload Format Indicator, Content Type, Response Topic, Correlation Data "
             "and four User Properties, two of one name, then the end of the connection",
    .allowed = "the message has all of them, the User Properties in their order, and no Will Delay "
               "Interval",
    .faults = "drops_will_properties reorders_user_properties merges_user_properties")
{
    static const char *const pairs[][2] = {{"b", "1"}, {"a", "2"}, {"b", "3"}, {"", ""}};
    static const enum property_id texts[] = {CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA};
    struct scene scene = scene_of(test);
    struct packet connect = connect_with(&scene, 0, 0);
    struct properties *will = &connect.will_properties;
    property_add(will, WILL_DELAY_INTERVAL, 0);
    property_add(will, PAYLOAD_FORMAT_INDICATOR, 1);
    for (unsigned i = 0; i < 3; i++)
        property_add_text(will, texts[i], TEXT("t\xC3\xA9xt"));
    for (unsigned i = 0; i < 4; i++)
        property_add_user(will, pairs[i][0], pairs[i][1]);
    client_connect_ok(scene.client, &connect);
    client_drop(scene.client);
    struct packet got = expect_publish(scene.watcher, scene.topic, TEXT("will"));
    if (property_number(&got.properties, PAYLOAD_FORMAT_INDICATOR, 0) != 1)
        fail(test, "the will was published without its Payload Format Indicator");
    for (unsigned i = 0; i < 3; i++) {
        const struct property *property = property_find(&got.properties, texts[i]);
        if (!property || !text_equal(property->text, TEXT("t\xC3\xA9xt")))
            fail(test, "the will was published without its %s, or with another",
                 property_name(texts[i]));
    }
    unsigned pair = 0;
    for (unsigned i = 0; i < got.properties.count; i++) {
        const struct property *property = &got.properties.list[i];
        if (property->id != USER_PROPERTY)
            continue;
        if (pair == 4 || !text_equal(property->text, text_of(pairs[pair][0])) ||
            !text_equal(property->value, text_of(pairs[pair][1])))
            fail_statement(test, "MQTT-3.1.3-10", "User Property %u of the will is another one",
                           pair + 1);
        pair++;
    }
    if (pair != 4)
        fail_statement(test, "MQTT-3.1.3-10", "%u of 4 User Properties of the will came", pair);
}

CASE(will_expiry_counts_from_its_publication, .v5 = "MQTT-3.1.2-8 MQTT-3.3.2-6",
     .sends = "a will with a Message Expiry Interval of 1 s from a connection that lasts for 2 s",
     .allowed = "it is delivered, with a Message Expiry Interval of 1 s",
     .why = "5.0 section 3.1.3.2.4: the interval is sent as the Publication Expiry Interval when "
            "the server publishes the will; the time before that does not count.",
     .faults = "forgets_will drops_message_expiry", .timing = true)
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with(&scene, 0, 0);
    property_add(&connect.will_properties, MESSAGE_EXPIRY_INTERVAL, 1);
    client_connect_ok(scene.client, &connect);
    let_pass_ms(test, 2000);
    client_drop(scene.client);
    struct packet got = expect_publish(scene.watcher, scene.topic, TEXT("will"));
    const struct property *expiry = property_find(&got.properties, MESSAGE_EXPIRY_INTERVAL);
    if (!expiry)
        fail(test, "the will was delivered without its Message Expiry Interval");
    if (expiry->number > 1)
        fail(test, "a will with Message Expiry Interval 1 was delivered with %u", expiry->number);
}

CASE(will_expires, .v5 = "MQTT-3.3.2-5",
     .sends = "a will at QoS 1 with a Message Expiry Interval of 1 s, for a session that is away "
              "until 2.5 s after its publication",
     .allowed = "it is not delivered", .faults = "delivers_expired", .timing = true)
{
    need_qos(test, 1);
    struct scene scene = scene_of(test);
    struct client *away = client_connected_stored(test, "away", 60);
    client_subscribe(away, scene.topic, 1);
    client_drop(away);
    struct packet connect = connect_with(&scene, 0, 0);
    connect.will_qos = 1;
    property_add(&connect.will_properties, MESSAGE_EXPIRY_INTERVAL, 1);
    client_connect_ok(scene.client, &connect);
    client_drop(scene.client);
    expect_publish(scene.watcher, scene.topic, TEXT("will"));
    let_pass_ms(test, 2500);
    client_resume(away, 60);
    expect_quiet(away);
}
