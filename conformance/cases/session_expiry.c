/* The Session Expiry Interval (5.0 sections 3.1.2.11.2 and 3.14.2.2.2).
 *
 * Nobody can see a session end but by coming back, so each case leaves and comes back once. A
 * server may take a while to tidy up: TOLERANCE_MS beyond the expiry are allowed. */
#include "conformance/cases/refusal.h"

enum { TOLERANCE_MS = 2500 };

static struct client *stored(struct test *test, const char *role, uint32_t expiry_s)
{
    return client_connected_stored(test, role, expiry_s);
}

static void disconnect_with_expiry(struct client *client, uint32_t expiry_s)
{
    struct packet disconnect = {.type = DISCONNECT};
    property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    refusal_leave(client, &disconnect);
}

static void resume_and_expect(struct client *client, bool present, const char *why)
{
    client_resume(client, 60);
    if (client->connack.session_present != present)
        fail(client->test, "%s: Session Present is %u instead of %u", why,
             client->connack.session_present, present);
}

CASE(session_expires, .v5 = "MQTT-4.1.0-2 MQTT-3.1.2-23",
     .sends = "a session with an expiry of 1 s, left alone for 3.5 s",
     .allowed = "it has ended: Session Present 0 and its messages gone (tolerance: 2.5 s)",
     .faults = "never_expires_session", .timing = true)
{
    struct text topic = topic_of(test, "t");
    struct client *client = stored(test, "brief", 1);
    client_subscribe(client, topic, 1);
    client_drop(client);
    client_publish(client_connected(test, "pub"), topic, TEXT("lost"), 1, false);
    let_pass_ms(test, 1000 + TOLERANCE_MS);
    resume_and_expect(client, false, "2.5 s after its Session Expiry Interval");
    expect_quiet(client);
}

CASE(session_does_not_expire_early, .v5 = "MQTT-3.1.2-23 MQTT-3.1.2-5",
     .sends = "a session with an expiry of 3 s, left alone for 1.5 s, with a message meanwhile",
     .allowed = "Session Present 1 and the message", .faults = "expires_session_early",
     .timing = true)
{
    struct text topic = topic_of(test, "t");
    struct client *client = stored(test, "brief", 3);
    client_subscribe(client, topic, 1);
    client_drop(client);
    client_publish(client_connected(test, "pub"), topic, TEXT("kept"), 1, false);
    let_pass_ms(test, 1500);
    resume_and_expect(client, true, "1.5 s before its Session Expiry Interval has passed");
    take_publish(client, topic, TEXT("kept"));
}

CASE(expiry_is_counted_from_the_end_of_the_connection, .v5 = "MQTT-4.1.0-1 MQTT-3.1.2-23",
     .sends = "a session with an expiry of 1 s whose connection stays open for 2.5 s; a message; "
              "the end of the connection and an immediate return",
     .allowed = "the subscription works all the time, and the session is there",
     .faults = "counts_expiry_from_connect", .timing = true)
{
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = stored(test, "stays", 1);
    client_subscribe(client, topic, 1);
    for (unsigned i = 0; i < 5; i++) {
        let_pass_ms(test, 500);
        expect_alive(client); /* a Server Keep Alive may be shorter than the wait */
        expect_alive(publisher);
    }
    client_publish(publisher, topic, TEXT("here"), 1, false);
    take_publish(client, topic, TEXT("here"));
    client_drop(client);
    let_pass_ms(test, 200); /* so that the server sees an end and not a takeover */
    resume_and_expect(client, true, "right after the end of the connection");
}

CASE(expiry_starts_anew_at_each_end, .v5 = "MQTT-3.1.2-23",
     .sends =
         "a session with an expiry of 2 s that is left, resumed after 1.2 s and left again for "
         "1.2 s",
     .allowed = "it is there: the two absences are not added up",
     .faults = "expires_session_early expiry_not_renewed", .timing = true)
{
    struct client *client = stored(test, "again", 2);
    client_drop(client);
    let_pass_ms(test, 1200);
    client_resume(client, 2);
    if (!client->connack.session_present)
        fail(test, "after 1.2 s of 2 s: Session Present is 0");
    client_drop(client);
    let_pass_ms(test, 1200);
    resume_and_expect(client, true, "1.2 s of 2 s after the second end");
}

CASE(expiry_of_the_last_connect_counts, .v5 = "MQTT-4.1.0-2 MQTT-3.1.2-23",
     .sends = "a session with an expiry of 60 s that is resumed with none, and left",
     .allowed = "it has ended with its last connection",
     .faults = "never_expires_session keeps_ended_session")
{
    struct client *client = stored(test, "last", 60);
    client_drop(client);
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    client_connect_ok(client, &connect);
    client_disconnect(client);
    resume_and_expect(client, false, "after a connection without Session Expiry Interval");
}

CASE(
    longest_expiry_is_no_small_number, .v5 = "MQTT-3.1.2-23",
    .sends = "sessions with the expiries 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE and 0xFFFFFFFF, which "
             "are left for 2.5 s",
    .allowed = "they are there",
    .why = "4,294,967,295 means that the session does not expire; none of the others may overflow.",
    .faults = "expires_session_early forgets_session")
{
    static const uint32_t expiries[] = {0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF};
    struct client *clients[4];
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = stored(test, "long", expiries[i]);
        client_drop(clients[i]);
    }
    let_pass_ms(test, 2500);
    for (unsigned i = 0; i < 4; i++) {
        client_resume(clients[i], 60);
        if (!clients[i]->connack.session_present)
            fail(test, "the session with the expiry 0x%X has ended after 2.5 s", expiries[i]);
    }
}

/* ---- Changed by DISCONNECT ---- */

CASE(disconnect_can_end_the_session, .v5 = "MQTT-4.1.0-2",
     .sends = "DISCONNECT with Session Expiry Interval 0 in a session with an expiry of 60 s",
     .allowed = "it has ended with its connection", .faults = "ignores_disconnect_expiry")
{
    struct client *client = stored(test, "ends", 60);
    disconnect_with_expiry(client, 0);
    resume_and_expect(client, false, "after DISCONNECT with Session Expiry Interval 0");
}

CASE(disconnect_can_lengthen_the_expiry, .v5 = "MQTT-3.1.2-23",
     .sends =
         "DISCONNECT with Session Expiry Interval 60 in a session with an expiry of 1 s, and a "
         "return after 3.5 s",
     .allowed = "Session Present 1", .faults = "ignores_disconnect_expiry expires_session_early")
{
    struct client *client = stored(test, "longer", 1);
    disconnect_with_expiry(client, 60);
    let_pass_ms(test, 1000 + TOLERANCE_MS);
    resume_and_expect(client, true, "after DISCONNECT with Session Expiry Interval 60");
}

CASE(disconnect_can_shorten_the_expiry, .v5 = "MQTT-4.1.0-2",
     .sends =
         "DISCONNECT with Session Expiry Interval 1 in a session with an expiry of 60 s, and a "
         "return after 3.5 s",
     .allowed = "Session Present 0 (tolerance: 2.5 s)",
     .faults = "ignores_disconnect_expiry never_expires_session", .timing = true)
{
    struct client *client = stored(test, "shorter", 60);
    disconnect_with_expiry(client, 1);
    let_pass_ms(test, 1000 + TOLERANCE_MS);
    resume_and_expect(client, false, "after DISCONNECT with Session Expiry Interval 1");
}

CASE(disconnect_cannot_raise_an_expiry_of_0, .v5 = "MQTT-4.13.1-1 MQTT-3.1.2-8",
     .sends = "DISCONNECT with Session Expiry Interval 60 in a session that has none, by a client "
              "with a will",
     .allowed = "a Protocol Error: the connection is closed, the will published, no session kept",
     .why = "5.0 section 3.14.2.2.2: it is not treated as a valid DISCONNECT packet.",
     .faults = "accepts_raised_expiry")
{
    struct text topic = topic_of(test, "will");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    connect.will_topic = topic;
    connect.will_payload = TEXT("will");
    client_connect_ok(refusal.client, &connect);
    struct packet disconnect = {.type = DISCONNECT};
    property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, 60);
    client_send(refusal.client, &disconnect);
    refusal_judge(&refusal, refusal.client, true, 0x82, "a raised Session Expiry Interval");
    refusal_end(&refusal);
    expect_publish(watcher, topic, TEXT("will"));
    resume_and_expect(refusal.client, false, "a session that had no expiry");
}
