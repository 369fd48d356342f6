#include "conformance/model/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/model/reference.h"

enum {
    WITHHELD_MAX = 256,
    LOOK_MS = 2,     /* for what may have come between two steps */
    SESSION_S = 600, /* longer than any history */
};

/* An acknowledgement that is owed and not sent yet. */
struct withheld {
    enum packet_type type;
    uint16_t packet_id;
};

/* A PUBLISH whose exchange broke. */
struct broken {
    unsigned message;
    uint16_t packet_id;
    uint8_t topic, qos;
    enum cut cut;
};

struct actor {
    struct client *client;
    bool connected, stored, withholds;
    struct withheld withheld[WITHHELD_MAX];
    unsigned withheld_count;
    struct broken broken[HISTORY_STEPS];
    unsigned broken_count;
};

struct player {
    struct test *test;
    const struct history *history;
    struct reference *reference;
    struct actor actors[MODEL_CLIENTS];
};

/* What the case that runs in this thread plays. */
static _Thread_local struct player *playing;

static void judge(struct player *player, const struct actor *actor, const char *sentence)
{
    if (sentence != NULL)
        fail_statement(player->test, reference_statement(player->reference), "%s: %s",
                       history_names[actor - player->actors], sentence);
}

static unsigned index_of(const struct player *player, const struct actor *actor)
{
    return (unsigned)(actor - player->actors);
}

static struct text topic_text(struct player *player, const char *name)
{
    return topic_of(player->test, "%s", name);
}

/* ---- What comes ---- */

static void send_acknowledgement(struct player *player, struct actor *actor,
                                 struct withheld withheld)
{
    struct packet packet = {
        .type = withheld.type, .packet_id = withheld.packet_id, .omit_reason_code = true};
    reference_acknowledges(player->reference, index_of(player, actor), withheld.type,
                           withheld.packet_id);
    client_send(actor->client, &packet);
}

static void owe_acknowledgement(struct player *player, struct actor *actor, enum packet_type type,
                                uint16_t packet_id)
{
    struct withheld withheld = {type, packet_id};
    if (!actor->withholds || actor->withheld_count == WITHHELD_MAX)
        send_acknowledgement(player, actor, withheld);
    else
        actor->withheld[actor->withheld_count++] = withheld;
}

/* Topic and number of a message of this history; number 0: it is none. */
static unsigned message_of(struct player *player, const struct packet *publish, unsigned *topic)
{
    *topic = MODEL_TOPICS;
    for (unsigned i = 0; i < MODEL_TOPICS; i++) {
        if (text_equal(publish->topic, topic_text(player, model_topics[i])))
            *topic = i;
    }
    char digits[12] = "";
    if (publish->payload.size == 0 || publish->payload.size >= sizeof digits)
        return 0;
    memcpy(digits, publish->payload.data, publish->payload.size);
    return (unsigned)strtoul(digits, NULL, 10);
}

static void take(struct player *player, struct actor *actor, const struct packet *packet)
{
    unsigned client = index_of(player, actor), topic, number;
    switch (packet->type) {
    case PUBLISH:
        number = message_of(player, packet, &topic);
        judge(player, actor,
              reference_saw_publish(player->reference, client, topic, number, packet));
        if (packet->qos > 0)
            owe_acknowledgement(player, actor, packet->qos == 1 ? PUBACK : PUBREC,
                                packet->packet_id);
        return;
    case PUBREL:
        judge(player, actor, reference_saw_pubrel(player->reference, client, packet->packet_id));
        owe_acknowledgement(player, actor, PUBCOMP, packet->packet_id);
        return;
    case DISCONNECT:
        fail(player->test, "%s: the server sent DISCONNECT 0x%02x", history_names[client],
             packet->reason_code);
    default:
        fail(player->test, "%s: %s %u came, to which nothing was sent", history_names[client],
             packet_name(packet->type), packet->packet_id);
    }
}

/* The next packet within `ms`; false: none. A connection that ends by itself is a failure. */
static bool next(struct player *player, struct actor *actor, unsigned ms, struct packet *out)
{
    bool closed = false;
    if (receive(actor->client, ms, out, &closed))
        return true;
    if (closed)
        fail(player->test, "%s: the server closed the connection",
             history_names[index_of(player, actor)]);
    return false;
}

static void take_all(struct player *player, struct actor *actor, unsigned ms)
{
    struct packet packet;
    while (actor->connected && next(player, actor, ms, &packet))
        take(player, actor, &packet);
}

/* The answer to something, taking in what comes before it. */
static struct packet wait_for(struct player *player, struct actor *actor, enum packet_type type,
                              uint16_t packet_id)
{
    uint64_t until = clock_ms() + player->test->time_limit_ms;
    struct packet packet;
    for (uint64_t now = clock_ms(); now < until; now = clock_ms()) {
        if (!next(player, actor, (unsigned)(until - now), &packet))
            break;
        if (packet.type == type && packet.packet_id == packet_id)
            return packet;
        take(player, actor, &packet);
    }
    fail(player->test, "%s: no %s %u within %u ms", history_names[index_of(player, actor)],
         packet_name(type), packet_id, player->test->time_limit_ms);
}

static void fence(struct player *player, struct actor *actor)
{
    client_send(actor->client, &(struct packet){.type = PINGREQ});
    wait_for(player, actor, PINGRESP, 0);
    reference_heard(player->reference, index_of(player, actor));
}

/* ---- Publishing ---- */

static struct packet publish_packet(struct player *player, const struct broken *broken)
{
    return (struct packet){
        .type = PUBLISH,
        .qos = broken->qos,
        .packet_id = broken->packet_id,
        .topic = topic_text(player, model_topics[broken->topic]),
        .payload = text_printf(player->test, "%u", broken->message),
    };
}

static void break_connection(struct player *player, struct actor *actor)
{
    client_drop(actor->client);
    actor->connected = false;
    actor->withheld_count = 0;
    reference_left(player->reference, index_of(player, actor), false);
    if (!actor->stored)
        actor->broken_count = 0;
}

static void remember_broken(struct player *player, struct actor *actor, struct broken broken,
                            enum cut cut)
{
    broken.cut = cut;
    reference_publish_cut(player->reference, broken.message);
    actor->broken[actor->broken_count++] = broken;
    break_connection(player, actor);
}

static void send_pubrel(struct actor *actor, uint16_t packet_id)
{
    struct packet packet = {.type = PUBREL, .packet_id = packet_id, .omit_reason_code = true};
    client_send(actor->client, &packet);
}

/* PUBREL and PUBCOMP. */
static void release(struct player *player, struct actor *actor, const struct broken *broken)
{
    send_pubrel(actor, broken->packet_id);
    wait_for(player, actor, PUBCOMP, broken->packet_id);
    reference_publish_owned(player->reference, broken->message);
}

/* From behind PUBLISH to the end. */
static void complete(struct player *player, struct actor *actor, struct broken broken, enum cut cut)
{
    if (broken.qos == 0) { /* so that it does not meet subscriptions that come later */
        fence(player, actor);
        return;
    }
    if (cut == CUT_AFTER_PUBLISH) {
        remember_broken(player, actor, broken, cut);
        return;
    }
    struct packet answer =
        wait_for(player, actor, broken.qos == 1 ? PUBACK : PUBREC, broken.packet_id);
    if (answer.reason_code >= 0x80)
        return; /* refused: nobody is owed it */
    if (broken.qos == 1) {
        reference_publish_owned(player->reference, broken.message);
    } else if (cut == CUT_NONE) {
        release(player, actor, &broken);
    } else {
        if (cut == CUT_AFTER_PUBREL)
            send_pubrel(actor, broken.packet_id);
        remember_broken(player, actor, broken, cut);
    }
}

static void publish(struct player *player, struct actor *actor, const struct step *step)
{
    struct broken broken = {.topic = step->place, .qos = step->options};
    broken.message = reference_publish(player->reference, index_of(player, actor), step->place,
                                       step->options, step->retain);
    struct packet packet = publish_packet(player, &broken);
    packet.retain = step->retain;
    broken.packet_id = client_publish_start(actor->client, &packet);
    complete(player, actor, broken, step->cut);
}

/* What the connection before left open, in its order [MQTT-4.4.0-1]. */
static void resume_publishing(struct player *player, struct actor *actor)
{
    unsigned count = actor->broken_count;
    actor->broken_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct broken broken = actor->broken[i];
        if (broken.cut == CUT_AFTER_PUBLISH) {
            struct packet packet = publish_packet(player, &broken);
            packet.dup = true;
            reference_publish_again(player->reference, broken.message);
            client_publish_start(actor->client, &packet);
            complete(player, actor, broken, CUT_NONE);
        } else {
            release(player, actor, &broken);
        }
    }
}

/* ---- Steps ---- */

static void connect_step(struct player *player, struct actor *actor, const struct step *step)
{
    struct packet packet = connect_of(actor->client);
    packet.clean_start = step->clean_start;
    if (actor->client->version == VERSION_5) {
        if (step->stored)
            property_add(&packet.properties, SESSION_EXPIRY_INTERVAL, SESSION_S);
        if (step->count > 0)
            property_add(&packet.properties, RECEIVE_MAXIMUM, step->count);
    }
    client_connect_ok(actor->client, &packet);
    actor->connected = true;
    actor->stored = step->stored;
    actor->withholds = false;
    actor->withheld_count = 0;
    bool present = actor->client->connack.session_present;
    judge(player, actor,
          reference_connected(player->reference, index_of(player, actor), step->clean_start,
                              step->stored, present));
    if (!present)
        actor->broken_count = 0;
    resume_publishing(player, actor);
}

static void disconnect_step(struct player *player, struct actor *actor)
{
    take_all(player, actor, LOOK_MS);
    client_disconnect(actor->client);
    actor->connected = false;
    actor->withheld_count = 0;
    reference_left(player->reference, index_of(player, actor), true);
    if (!actor->stored)
        actor->broken_count = 0;
}

static void subscribe_step(struct player *player, struct actor *actor, const struct step *step)
{
    struct packet packet = {
        .type = SUBSCRIBE, .packet_id = actor->client->next_packet_id++, .filter_count = 1};
    packet.filters[0].filter = topic_text(player, model_filters[step->place]);
    packet.filters[0].options = step->options;
    /* Messages of the new subscription may come before SUBACK [MQTT-3.8.4-2]. */
    reference_subscribed(player->reference, index_of(player, actor), step->place, step->options);
    client_send(actor->client, &packet);
    struct packet suback = wait_for(player, actor, SUBACK, packet.packet_id);
    if (suback.reason_codes.size != 1 || suback.reason_codes.data[0] != (step->options & 3))
        not_applicable(player->test, "a subscription was not granted as asked for");
}

static void unsubscribe_step(struct player *player, struct actor *actor, const struct step *step)
{
    struct packet packet = {
        .type = UNSUBSCRIBE, .packet_id = actor->client->next_packet_id++, .filter_count = 1};
    packet.filters[0].filter = topic_text(player, model_filters[step->place]);
    client_send(actor->client, &packet);
    wait_for(player, actor, UNSUBACK, packet.packet_id);
    reference_unsubscribed(player->reference, index_of(player, actor), step->place);
}

static void send_withheld(struct player *player, struct actor *actor, unsigned count)
{
    if (count > actor->withheld_count)
        count = actor->withheld_count;
    for (unsigned i = 0; i < count; i++)
        send_acknowledgement(player, actor, actor->withheld[i]);
    actor->withheld_count -= count;
    memmove(actor->withheld, actor->withheld + count,
            actor->withheld_count * sizeof *actor->withheld);
}

static void outage_step(struct player *player)
{
    if (!player->history->with_outage)
        return;
    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        take_all(player, &player->actors[i], LOOK_MS);
        player->actors[i].connected = false;
        player->actors[i].withheld_count = 0;
        if (!player->actors[i].stored)
            player->actors[i].broken_count = 0;
    }
    outage(player->test);
    reference_outage(player->reference);
}

static void take_step(struct player *player, const struct step *step)
{
    struct actor *actor = &player->actors[step->client];
    if (step->kind == STEP_OUTAGE) {
        outage_step(player);
        return;
    }
    if (actor->connected == (step->kind == STEP_CONNECT))
        return;
    switch (step->kind) {
    case STEP_CONNECT:
        connect_step(player, actor, step);
        break;
    case STEP_DISCONNECT:
        disconnect_step(player, actor);
        break;
    case STEP_DROP:
        break_connection(player, actor);
        break;
    case STEP_SUBSCRIBE:
        subscribe_step(player, actor, step);
        break;
    case STEP_UNSUBSCRIBE:
        unsubscribe_step(player, actor, step);
        break;
    case STEP_PUBLISH:
        publish(player, actor, step);
        break;
    case STEP_WITHHOLD:
        actor->withholds = true;
        break;
    case STEP_RELEASE:
        send_withheld(player, actor, step->count);
        break;
    case STEP_RESUME:
        send_withheld(player, actor, actor->withheld_count);
        actor->withholds = false;
        break;
    case STEP_FENCE:
        fence(player, actor);
        break;
    default:
        break;
    }
}

/* ---- The end: everybody comes back, and gets what is owed ---- */

static void settle(struct player *player, struct actor *actor)
{
    actor->withholds = false;
    send_withheld(player, actor, actor->withheld_count);
    uint64_t until = clock_ms() + player->test->time_limit_ms;
    const char *owes;
    while ((owes = reference_owes(player->reference, index_of(player, actor))) != NULL) {
        struct packet packet;
        uint64_t now = clock_ms();
        if (now >= until)
            judge(player, actor, owes);
        else if (next(player, actor, (unsigned)(until - now), &packet))
            take(player, actor, &packet);
    }
}

static void finish(struct player *player)
{
    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        struct actor *actor = &player->actors[i];
        struct step step = {.kind = STEP_CONNECT, .client = (uint8_t)i, .stored = true};
        if (!actor->connected)
            connect_step(player, actor, &step);
    }
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        settle(player, &player->actors[i]);
    /* What came twice, or was not owed, would come now. */
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        fence(player, &player->actors[i]);
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        take_all(player, &player->actors[i], i == 0 ? player->test->quiet_ms : LOOK_MS);
}

static void run_history(struct test *test)
{
    struct player *player = playing;
    player->test = test;
    player->reference = reference_new(test->version);
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        player->actors[i].client = client_new(test, history_names[i]);
    for (unsigned i = 0; i < player->history->count; i++) {
        take_step(player, &player->history->steps[i]);
        for (unsigned client = 0; client < MODEL_CLIENTS; client++)
            take_all(player, &player->actors[client], 0);
    }
    finish(player);
}

void play(const struct history *history, enum outage kind, const struct run_settings *settings,
          struct outcome *out)
{
    struct conformance_case definition = {
        .name = "history",
        .file = __FILE__,
        .v5 = "",
        .v311 = "",
        .outage = history->with_outage ? kind : OUTAGE_NONE,
        .limit_s = 60,
        .run = run_history,
    };
    struct player player = {.history = history};
    playing = &player;
    run_case(&definition, history->version, settings, out);
    playing = NULL;
    if (player.reference != NULL)
        reference_free(player.reference);
}
