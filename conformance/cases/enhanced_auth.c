/* Enhanced authentication with a method that the server has (5.0 sections 3.15 and 4.12). The user
 * declares it: --auth-method, and --auth-data or --auth-user. scram.c has what SCRAM adds. */
#include "conformance/cases/enhanced_auth.h"

struct packet auth_connect(struct client *client, struct authentication *declared)
{
    struct packet connect = connect_of(client);
    struct text data = authentication_first(declared);
    property_add_text(&connect.properties, AUTHENTICATION_METHOD, declared->method);
    if (data.data)
        property_add_text(&connect.properties, AUTHENTICATION_DATA, data);
    return connect;
}

struct packet auth_packet(struct text method, uint8_t code, struct text data)
{
    struct packet auth = {.type = AUTH, .reason_code = code};
    property_add_text(&auth.properties, AUTHENTICATION_METHOD, method);
    if (data.data)
        property_add_text(&auth.properties, AUTHENTICATION_DATA, data);
    return auth;
}

bool auth_receive(struct client *client, struct packet *out)
{
    struct test *test = client->test;
    bool closed = false;
    if (!receive(client, test->time_limit_ms, out, &closed)) {
        if (!closed)
            fail(test, "nothing came within %u ms of an authentication exchange",
                 test->time_limit_ms);
        return false;
    }
    if (out->type == AUTH && out->reason_code != 0 && out->reason_code != 0x18)
        fail_statement(test, "MQTT-4.12.0-2", "the server sent AUTH 0x%02X instead of 0x18",
                       out->reason_code);
    return true;
}

bool auth_exchange(struct client *client, struct authentication *declared, struct packet *last)
{
    while (auth_receive(client, last)) {
        if (last->type != AUTH || last->reason_code == 0)
            return true;
        struct packet answer =
            auth_packet(declared->method, 0x18, authentication_answer(declared, last));
        client_send(client, &answer);
    }
    return false;
}

struct client *auth_connected(struct test *test, struct authentication *declared)
{
    struct client *client = client_new(test, "auth");
    struct packet connect = auth_connect(client, declared), last;
    client_open(client);
    client_send(client, &connect);
    if (!auth_exchange(client, declared, &last))
        fail(test, "the connection was closed; CONNACK with Success was owed");
    if (last.type != CONNACK || last.reason_code != 0)
        fail(test, "%s 0x%02X came; CONNACK with Success was owed", packet_name(last.type),
             last.reason_code);
    authentication_end(declared, &last);
    return client;
}

void auth_want_refusal(struct client *client, const struct packet *last)
{
    if (last->type != CONNACK || last->reason_code == 0)
        fail(client->test, "%s 0x%02X came; the connection had to be refused",
             packet_name(last->type), last->reason_code);
    expect_closed(client, 0);
}

CASE(method_authenticates,
     .v5 = "MQTT-4.12.0-5 MQTT-4.12.0-2 MQTT-3.15.2-1 MQTT-3.2.0-1 MQTT-3.1.4-5",
     .sends = "CONNECT with the declared method, then AUTH 0x18 for each of the server's",
     .allowed =
         "AUTH 0x18 as long as the server wants more, then CONNACK with Success, all of them "
         "with the method",
     .faults = "method_missing_in_connack method_missing_in_auth wrong_auth_code")
{
    expect_alive(auth_connected(test, need_authentication(test)));
}

CASE(wrong_authentication_data_is_refused, .v5 = "MQTT-4.12.0-4 MQTT-4.13.2-1 MQTT-3.1.4-2",
     .sends = "CONNECT with the declared method, and a last word that is wrong",
     .allowed = "the Network Connection is closed, perhaps after a CONNACK with an error",
     .faults = "takes_any_answer keeps_open")
{
    struct authentication *wrong = need_wrong_authentication(test);
    struct client *client = client_new(test, "refused");
    struct packet connect = auth_connect(client, wrong), last;
    client_open(client);
    client_send(client, &connect);
    if (auth_exchange(client, wrong, &last))
        auth_want_refusal(client, &last);
}

/* A client in the middle of the exchange: after CONNECT, before its first AUTH, which would be
 * `answer`. */
static struct client *in_exchange(struct refusal *refusal, struct packet *answer)
{
    struct test *test = refusal->client->test;
    struct authentication *declared = need_authentication(test);
    struct packet connect = auth_connect(refusal->client, declared), first;
    client_open(refusal->client);
    client_send(refusal->client, &connect);
    if (!auth_receive(refusal->client, &first))
        fail(test, "the connection was closed; AUTH or CONNACK was owed");
    if (first.type != AUTH)
        not_applicable(test, "the method has no AUTH: %s comes at once", packet_name(first.type));
    *answer = auth_packet(declared->method, 0x18, authentication_answer(declared, &first));
    return refusal->client;
}

CASE(
    exchange_takes_auth_0x18_only, .v5 = "MQTT-4.12.0-3 MQTT-3.1.2-30 MQTT-4.12.0-5",
    .sends =
        "in the middle of the exchange: the right answer, but in an AUTH 0x19, in an AUTH 0x00 and "
        "under another method; PINGREQ, SUBSCRIBE and PUBLISH",
    .allowed = "each of them closes the Network Connection, perhaps after a CONNACK with an error",
    .faults = "takes_any_auth_code takes_any_method keeps_open")
{
    struct text topic = topic_of(test, "t");
    static const char *const names[] = {"AUTH 0x19", "AUTH 0x00", "AUTH with another method",
                                        "PINGREQ",   "SUBSCRIBE", "PUBLISH"};
    struct refusal refusal = refusal_begin(test);
    for (unsigned i = 0; i < 6; i++) {
        struct packet answer;
        struct client *client = in_exchange(&refusal, &answer);
        if (i < 2)
            answer.reason_code = i == 0 ? 0x19 : 0x00;
        else if (i == 2)
            answer.properties.list[0].text = TEXT("another method");
        else if (i == 3)
            answer = (struct packet){.type = PINGREQ};
        else if (i == 4)
            answer = (struct packet){
                .type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1};
        else
            answer = (struct packet){.type = PUBLISH, .topic = topic};
        client_send(client, &answer);
        refusal_judge(&refusal, client, false, 0, names[i]);
    }
    refusal_end(&refusal);
}

CASE(reauthentication_succeeds, .v5 = "MQTT-4.12.1-1 MQTT-4.12.0-5 MQTT-4.12.0-2",
     .sends = "AUTH 0x19 on an authenticated connection, then AUTH 0x18 for each of the server's",
     .allowed = "AUTH 0x00 with the method, and the connection goes on",
     .faults = "refuses_reauthentication method_missing_in_auth wrong_auth_code")
{
    struct authentication *again = need_authentication(test);
    struct client *client = auth_connected(test, need_authentication(test));
    struct packet auth = auth_packet(again->method, 0x19, authentication_first(again)), last;
    client_send(client, &auth);
    if (!auth_exchange(client, again, &last))
        fail(test, "the connection was closed at a re-authentication");
    if (last.type != AUTH)
        fail(test, "%s 0x%02X came; AUTH with Success was owed", packet_name(last.type),
             last.reason_code);
    authentication_end(again, &last);
    expect_alive(client);
}

CASE(failed_reauthentication_closes, .v5 = "MQTT-4.12.1-2 MQTT-4.12.1-1",
     .sends = "AUTH 0x19 with a last word that is wrong, and with another method, on an "
              "authenticated connection",
     .allowed = "the Network Connection is closed, after DISCONNECT (a SHOULD)",
     .faults = "ignores_failed_reauthentication takes_any_answer")
{
    for (unsigned i = 0; i < 2; i++) {
        struct authentication *again =
            i ? need_authentication(test) : need_wrong_authentication(test);
        struct client *client = auth_connected(test, need_authentication(test));
        if (i)
            again->method = TEXT("another method");
        struct packet auth = auth_packet(again->method, 0x19, authentication_first(again)), last;
        client_send(client, &auth);
        if (!auth_exchange(client, again, &last)) {
            warn_should(test, NULL, "closed without DISCONNECT at a failed re-authentication");
            continue;
        }
        if (last.type != DISCONNECT || last.reason_code < 0x80)
            fail(test, "%s 0x%02X came; the connection had to be closed", packet_name(last.type),
                 last.reason_code);
        expect_closed(client, 0);
    }
}

CASE(malformed_auth_is_refused, .v5 = "MQTT-3.15.2-1 MQTT-4.13.1-1",
     .sends = "AUTH with codes that it has not got, and AUTH that cannot be read, on an "
              "authenticated connection",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_malformed accepts_bad_reason_code keeps_open")
{
    static const char *const packets[][2] = {
        {"F0 01 01", "AUTH 0x01"},
        {"F0 02 80 00", "AUTH 0x80"},
        {"F0 02 19 05", "AUTH with a Property Length beyond it"},
        {"F0 03 19 00 00", "AUTH with a byte left over"},
    };
    struct refusal refusal = refusal_begin(test);
    for (unsigned i = 0; i < 4; i++) {
        struct client *client = auth_connected(test, need_authentication(test));
        client_send_hex(client, packets[i][0]);
        refusal_judge(&refusal, client, true, 0, packets[i][1]);
    }
    refusal_end(&refusal);
}

CASE(auth_fits_the_clients_maximum, .v5 = "MQTT-3.15.2-2 MQTT-3.15.2-3 MQTT-3.1.2-24",
     .sends = "the exchange by clients with Maximum Packet Size from 8 to 256",
     .allowed = "no packet above that size; a server that cannot go on within it closes",
     .faults = "reason_string_exceeds_size")
{
    for (uint32_t maximum = 8; maximum <= 256; maximum += 4) {
        struct authentication *declared = need_authentication(test);
        struct client *client = client_new(test, "small");
        struct packet connect = auth_connect(client, declared), last;
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, maximum);
        client_open(client);
        client_send(client, &connect);
        /* Every packet's size is looked at by the harness. */
        auth_exchange(client, declared, &last);
        client_drop(client);
    }
}
