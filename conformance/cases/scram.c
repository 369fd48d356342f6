/* SCRAM-SHA-256 (RFC 5802, RFC 7677) as the server's Authentication Method: what the mechanism
 * makes a server refuse, and what it has to prove itself. The user declares it: --auth-user. */
#include "conformance/cases/enhanced_auth.h"

#include <string.h>

#include "conformance/net/scram.h"

CASE(server_proves_that_it_knows_the_password, .v5 = "MQTT-4.12.0-2 MQTT-4.12.1-1",
     .sends = "an authentication and a re-authentication with SCRAM-SHA-256",
     .allowed = "CONNACK, and then AUTH, with v= and the signature that only the holder of the "
                "password's keys can calculate",
     .why = "RFC 5802 section 3: the client checks it, or anybody could have answered",
     .faults = "wrong_server_signature")
{
    struct authentication *again = need_scram(test);
    struct client *client = auth_connected(test, need_scram(test));
    struct packet auth = auth_packet(again->method, 0x19, authentication_first(again)), last;
    client_send(client, &auth);
    if (!auth_exchange(client, again, &last) || last.type != AUTH)
        fail_statement(test, "MQTT-4.12.1-1", "a re-authentication was refused");
    authentication_end(again, &last);
}

/* Up to the server's first message, which is returned. */
static struct text challenge_of(struct client *client, struct authentication *declared)
{
    struct packet connect = auth_connect(client, declared), auth;
    client_open(client);
    client_send(client, &connect);
    if (!auth_receive(client, &auth) || auth.type != AUTH)
        fail(client->test, "AUTH with SCRAM's server-first-message was owed");
    const struct property *data = property_find(&auth.properties, AUTHENTICATION_DATA);
    if (!data)
        fail(client->test, "AUTH holds no Authentication Data");
    return data->text;
}

CASE(challenge_is_sound, .v5 = "MQTT-4.12.0-2",
     .sends = "two exchanges with SCRAM-SHA-256 under one nonce of the client's, as far as the "
              "server's first message",
     .allowed =
         "r= the client's nonce with more behind it, different each time; s= in base64; i= of "
         "4096 at least (fewer are remarked on)",
     .why = "RFC 5802 section 5.1, RFC 7677 section 4",
     .faults = "forgets_client_nonce repeats_server_nonce")
{
    struct text nonces[2], iterations;
    struct authentication *declared = need_scram(test);
    for (unsigned i = 0; i < 2; i++) {
        struct client *client = client_new(test, i ? "second" : "first");
        struct text challenge = challenge_of(client, declared);
        const char *problem = scram_client_final(declared->scram, challenge);
        if (problem)
            fail(test, "SCRAM cannot go on from the server's first message: %s", problem);
        scram_attribute(challenge, 'r', &nonces[i]);
        scram_attribute(challenge, 'i', &iterations);
        if (iterations.size < 4 || (iterations.size == 4 && memcmp(iterations.data, "4096", 4) < 0))
            warn_should(test, NULL, "the iteration count is %.*s, below 4096", (int)iterations.size,
                        (const char *)iterations.data);
        client_drop(client);
    }
    if (text_equal(nonces[0], nonces[1]))
        fail(test, "the server's part of the nonce is the same in two exchanges");
}

/* The server's answer to an AUTH is a refusal. */
static void want_refused_answer(struct client *client, struct authentication *declared,
                                struct text data, const char *what)
{
    struct packet auth = auth_packet(declared->method, 0x18, data), last;
    client_send(client, &auth);
    if (!auth_receive(client, &last))
        return;
    if (last.type != CONNACK || last.reason_code == 0)
        fail(client->test, "%s: %s 0x%02X came; the connection had to be refused", what,
             packet_name(last.type), last.reason_code);
    expect_closed(client, 0);
}

static struct text nonce_of(struct text challenge)
{
    struct text nonce = {0};
    scram_attribute(challenge, 'r', &nonce);
    return nonce;
}

CASE(
    unsound_proof_is_refused, .v5 = "MQTT-4.12.0-4 MQTT-3.1.4-2",
    .sends = "a last message of SCRAM-SHA-256 whose proof fits but whose nonce or channel binding "
             "is not that of the exchange; one without a proof, with an empty and with a short one",
    .allowed = "each of them is refused: CONNACK with an error or nothing, then the end of the "
               "connection",
    .why = "RFC 5802 section 5.1: the server checks nonce and channel binding, not the proof alone",
    .faults = "takes_any_nonce takes_any_channel_binding takes_any_answer")
{
    static const struct {
        const char *binding, *more, *what;
    } variants[] = {
        {"biws", "x", "a nonce with a letter more"},
        {"eSws", "", "the channel binding of another GS2 header"},
        {"", "", "an empty channel binding"},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct authentication *declared = need_scram(test);
        struct client *client = client_new(test, "refused");
        struct text challenge = challenge_of(client, declared), nonce = nonce_of(challenge);
        struct text message =
            text_printf(test, "c=%s,r=%.*s%s", variants[i].binding, (int)nonce.size,
                        (const char *)nonce.data, variants[i].more);
        scram_client_final_of(declared->scram, challenge, (const char *)message.data);
        want_refused_answer(client, declared, text_of(declared->scram->final), variants[i].what);
    }
    static const char *const proofs[] = {"", ",p=", ",p=AAAA"};
    for (unsigned i = 0; i < 3; i++) {
        struct authentication *declared = need_scram(test);
        struct client *client = client_new(test, "refused");
        struct text nonce = nonce_of(challenge_of(client, declared));
        want_refused_answer(client, declared,
                            text_printf(test, "c=biws,r=%.*s%s", (int)nonce.size,
                                        (const char *)nonce.data, proofs[i]),
                            "a message without a whole proof");
    }
}

/* The attribute stands behind the GS2 header, which is "n,,". */
static void demand_extension(struct test *test, struct scram_client *scram)
{
    struct text first = text_printf(test, "n,,m=extension,%s", scram->first + 3);
    if (first.size < sizeof scram->first)
        memcpy(scram->first, first.data, first.size + 1);
}

CASE(unsound_first_message_is_refused, .v5 = "MQTT-4.12.0-4 MQTT-3.1.4-2",
     .sends = "exchanges of SCRAM-SHA-256 with the right password whose first message demands "
              "channel binding, or an extension; of a user that does not exist; and one that is no "
              "message of SCRAM's",
     .allowed = "each is refused at once or at the end, which hides whether there is such a user",
     .why = "RFC 5802 sections 5.1 and 6: what a server does not support it must not pass over",
     .faults = "takes_demands takes_any_user")
{
    static const char *const what[] = {"channel binding demanded", "an extension demanded",
                                       "a user that does not exist", "no message of SCRAM's"};
    for (unsigned i = 0; i < 4; i++) {
        struct authentication *declared = need_scram(test);
        struct scram_client *scram = declared->scram;
        if (i == 0)
            scram->header = "p=tls-unique,,";
        if (i == 2)
            scram->user = (const char *)text_printf(test, "%s nobody", scram->user).data;
        scram_client_first(scram);
        if (i == 1)
            demand_extension(test, scram);
        if (i == 3)
            scram->first[1] = '\0';
        struct client *client = client_new(test, "refused");
        struct packet connect = auth_connect(client, declared), last;
        client_open(client);
        client_send(client, &connect);
        if (!auth_exchange(client, declared, &last))
            continue;
        if (last.type != CONNACK || last.reason_code == 0)
            fail(test, "%s: %s 0x%02X came; the connection had to be refused", what[i],
                 packet_name(last.type), last.reason_code);
        expect_closed(client, 0);
    }
}
