/* Enhanced authentication with a method that the server has (5.0 sections 3.15 and 4.12). The user
 * declares it: --auth-method, and with --auth-data what the client has to say. */
#include "conformance/cases/refusal.h"

#include <string.h>

static struct packet connect_with(struct client *client, const struct authentication *declared)
{
    struct packet connect = connect_of(client);
    property_add_text(&connect.properties, AUTHENTICATION_METHOD, declared->method);
    if (declared->count > 0)
        property_add_text(&connect.properties, AUTHENTICATION_DATA, declared->data[0]);
    return connect;
}

static struct packet auth_of(const struct authentication *declared, uint8_t code, unsigned step)
{
    struct packet auth = {.type = AUTH, .reason_code = code};
    property_add_text(&auth.properties, AUTHENTICATION_METHOD, declared->method);
    if (step < declared->count)
        property_add_text(&auth.properties, AUTHENTICATION_DATA, declared->data[step]);
    return auth;
}

/* The same words, but for the last, which is not the one that the server wants. */
static struct authentication spoilt(struct test *test, const struct authentication *declared)
{
    struct authentication out = *declared;
    if (out.count == 0)
        skip(test, "it needs Authentication Data that can be wrong (--auth-data)");
    struct text *last = &out.data[out.count - 1];
    uint8_t *copy = test_alloc(test, last->size + 1);
    if (last->size > 0)
        memcpy(copy, last->data, last->size);
    copy[last->size] = '?';
    *last = (struct text){copy, last->size + 1};
    return out;
}

/* Answers every AUTH that wants more until something else comes. False: the connection was closed.
 */
static bool authenticate(struct client *client, const struct authentication *declared,
                         struct packet *last)
{
    struct test *test = client->test;
    bool closed = false;
    for (unsigned step = 1;; step++) {
        if (!receive(client, test->time_limit_ms, last, &closed)) {
            if (!closed)
                fail(test, "nothing came within %u ms of an authentication exchange",
                     test->time_limit_ms);
            return false;
        }
        if (last->type != AUTH || last->reason_code == 0)
            return true;
        if (last->reason_code != 0x18)
            fail_statement(test, "MQTT-4.12.0-2", "the server sent AUTH 0x%02X instead of 0x18",
                           last->reason_code);
        if (step >= declared->count)
            skip(test, "the server asks for more than the %u --auth-data given", declared->count);
        struct packet answer = auth_of(declared, 0x18, step);
        client_send(client, &answer);
    }
}

static struct client *authenticated(struct test *test, const struct authentication *declared)
{
    struct client *client = client_new(test, "auth");
    struct packet connect = connect_with(client, declared), last;
    client_open(client);
    client_send(client, &connect);
    if (!authenticate(client, declared, &last))
        fail(test, "the connection was closed; CONNACK with Success was owed");
    if (last.type != CONNACK || last.reason_code != 0)
        fail(test, "%s 0x%02X came; CONNACK with Success was owed", packet_name(last.type),
             last.reason_code);
    const struct property *method = property_find(&last.properties, AUTHENTICATION_METHOD);
    if (!method || !text_equal(method->text, declared->method))
        fail_statement(test, "MQTT-4.12.0-5",
                       "CONNACK does not name the Authentication Method of the CONNECT");
    return client;
}

CASE(method_authenticates, .v5 = "MQTT-4.12.0-5 MQTT-4.12.0-2 MQTT-3.15.2-1 MQTT-3.2.0-1",
     .sends = "CONNECT with the declared method, then AUTH 0x18 for each of the server's",
     .allowed =
         "AUTH 0x18 as long as the server wants more, then CONNACK with Success, all of them "
         "with the method",
     .faults = "method_missing_in_connack method_missing_in_auth wrong_auth_code")
{
    expect_alive(authenticated(test, need_authentication(test)));
}

CASE(wrong_authentication_data_is_refused, .v5 = "MQTT-4.12.0-4 MQTT-4.13.2-1 MQTT-3.1.4-2",
     .sends = "CONNECT with the declared method, and a last word that is wrong",
     .allowed = "the Network Connection is closed, perhaps after a CONNACK with an error",
     .faults = "keeps_open")
{
    struct authentication wrong = spoilt(test, need_authentication(test));
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_with(refusal.client, &wrong), last;
    client_open(refusal.client);
    client_send(refusal.client, &connect);
    if (authenticate(refusal.client, &wrong, &last)) {
        if (last.type != CONNACK || last.reason_code == 0)
            fail(test, "%s 0x%02X came; the connection had to be refused", packet_name(last.type),
                 last.reason_code);
        expect_closed(refusal.client, 0);
    }
}

/* In the middle of the exchange: after CONNECT, before the client's first AUTH. */
static void refuse_in_exchange(struct refusal *refusal, const struct authentication *declared,
                               const struct packet *packet, const char *variant)
{
    struct packet connect = connect_with(refusal->client, declared);
    client_open(refusal->client);
    client_send(refusal->client, &connect);
    struct packet first = expect(refusal->client, AUTH);
    if (first.reason_code != 0x18)
        fail_statement(refusal->client->test, "MQTT-4.12.0-2",
                       "the server sent AUTH 0x%02X instead of 0x18", first.reason_code);
    client_send(refusal->client, packet);
    refusal_judge(refusal, refusal->client, false, 0, variant);
}

CASE(exchange_takes_auth_0x18_only, .v5 = "MQTT-4.12.0-3 MQTT-3.1.2-30 MQTT-4.12.0-5",
     .sends =
         "in the middle of the exchange: AUTH 0x19 and 0x00, AUTH with another method, PINGREQ, "
         "SUBSCRIBE and PUBLISH",
     .allowed = "each of them closes the Network Connection, perhaps after a CONNACK with an error",
     .faults = "keeps_open wrong_auth_code")
{
    const struct authentication *declared = need_authentication(test);
    if (declared->count < 2)
        skip(test, "it needs an exchange with AUTH (more than one --auth-data)");
    struct authentication other = *declared;
    other.method = TEXT("another method");
    struct text topic = topic_of(test, "t");
    const struct packet again = auth_of(declared, 0x19, 1), success = auth_of(declared, 0x00, 1);
    const struct packet others = auth_of(&other, 0x18, 1), ping = {.type = PINGREQ};
    const struct packet publish = {.type = PUBLISH, .topic = topic};
    const struct packet subscribe = {
        .type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1};
    struct refusal refusal = refusal_begin(test);
    refuse_in_exchange(&refusal, declared, &again, "AUTH 0x19");
    refuse_in_exchange(&refusal, declared, &success, "AUTH 0x00");
    refuse_in_exchange(&refusal, declared, &others, "AUTH with another method");
    refuse_in_exchange(&refusal, declared, &ping, "PINGREQ");
    refuse_in_exchange(&refusal, declared, &subscribe, "SUBSCRIBE");
    refuse_in_exchange(&refusal, declared, &publish, "PUBLISH");
    refusal_end(&refusal);
}

CASE(reauthentication_succeeds, .v5 = "MQTT-4.12.1-1 MQTT-4.12.0-5 MQTT-4.12.0-2",
     .sends = "AUTH 0x19 on an authenticated connection, then AUTH 0x18 for each of the server's",
     .allowed = "AUTH 0x00 with the method, and the connection goes on",
     .faults = "method_missing_in_auth wrong_auth_code")
{
    const struct authentication *declared = need_authentication(test);
    struct client *client = authenticated(test, declared);
    struct packet auth = auth_of(declared, 0x19, 0), last;
    client_send(client, &auth);
    if (!authenticate(client, declared, &last))
        fail(test, "the connection was closed at a re-authentication");
    if (last.type != AUTH)
        fail(test, "%s 0x%02X came; AUTH with Success was owed", packet_name(last.type),
             last.reason_code);
    const struct property *method = property_find(&last.properties, AUTHENTICATION_METHOD);
    if (!method || !text_equal(method->text, declared->method))
        fail_statement(test, "MQTT-4.12.0-5", "the last AUTH does not name the method");
    expect_alive(client);
}

CASE(failed_reauthentication_closes, .v5 = "MQTT-4.12.1-2 MQTT-4.12.1-1",
     .sends = "AUTH 0x19 with a last word that is wrong, and with another method, on an "
              "authenticated connection",
     .allowed = "the Network Connection is closed, after DISCONNECT (a SHOULD)",
     .faults = "ignores_failed_reauthentication keeps_open")
{
    const struct authentication *declared = need_authentication(test);
    struct authentication wrong = spoilt(test, declared), other = *declared;
    other.method = TEXT("another method");
    for (unsigned i = 0; i < 2; i++) {
        struct client *client = authenticated(test, declared);
        struct packet auth = auth_of(i ? &other : &wrong, 0x19, 0), last;
        client_send(client, &auth);
        if (!authenticate(client, &wrong, &last)) {
            warn_should(test, NULL, "closed without DISCONNECT at a failed re-authentication");
            continue;
        }
        if (last.type != DISCONNECT || last.reason_code < 0x80)
            fail(test, "%s 0x%02X came; the connection had to be closed", packet_name(last.type),
                 last.reason_code);
        expect_closed(client, 0);
    }
}

CASE(auth_fits_the_clients_maximum, .v5 = "MQTT-3.15.2-2 MQTT-3.15.2-3 MQTT-3.1.2-24",
     .sends = "the exchange by clients with Maximum Packet Size from 8 to 128",
     .allowed = "no packet above that size; a server that cannot go on within it closes",
     .faults = "reason_string_exceeds_size")
{
    const struct authentication *declared = need_authentication(test);
    for (uint32_t maximum = 8; maximum <= 128; maximum += 4) {
        struct client *client = client_new(test, "small");
        struct packet connect = connect_with(client, declared), last;
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, maximum);
        client_open(client);
        client_send(client, &connect);
        authenticate(client, declared, &last); /* every packet's size is looked at by the harness */
        client_drop(client);
    }
}
