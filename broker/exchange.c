#include "broker/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "authentication/password_file.h"
#include "authentication/scram.h"
#include "base/check.h"
#include "broker/policy.h"
#include "broker/transition.h"
#include "fsm/machines.h"

enum { RANDOM_SIZE = 18 };

struct exchange {
    struct scram scram;
    struct bytes challenge; /* in `scram` */
    struct buffer connect;  /* the whole packet, until it is handled again */
    uint64_t credential;    /* of the user, when it was challenged; 0: there is none */
    uint64_t begun_ms;
    bool known; /* the user, with a credential for SCRAM */
};

/* What came of a message. */
struct verdict {
    uint8_t reason_code; /* 0: it is as it should be */
    const char *why;
};

static const struct verdict sound = {0, NULL};

/* ---- Methods ---- */

static const char plain_method[] = "SCRAM-SHA-256";
static const char bound_method[] = "SCRAM-SHA-256-PLUS"; /* to this TLS channel */

/* How many channel bindings there are on this connection: one, or none. */
static size_t channels_of(const struct connection *connection, struct scram_channel *out)
{
    struct bytes data = connection->tls != NULL ? tls_channel(connection->tls) : bytes_of(NULL, 0);
    if (data.size == 0)
        return 0;
    CHECK(data.size <= sizeof out->data);
    *out = (struct scram_channel){.type = "tls-exporter", .size = data.size};
    memcpy(out->data, data.data, data.size);
    return 1;
}

static bool is_bound(struct bytes method)
{
    return bytes_equal(method, bytes_of_text(bound_method));
}

/* The one that CONNECT has named. */
static struct bytes method_of(const struct connection *connection)
{
    return bytes_of_text(connection->bound ? bound_method : plain_method);
}

bool exchange_has_method(const struct connection *connection, struct bytes method)
{
    struct scram_channel channel;
    const struct password_file *file = connection->worker->policy->passwords;
    if (file == NULL || !password_file_has_scram(file))
        return false;
    return is_bound(method) ? channels_of(connection, &channel) > 0
                            : bytes_equal(method, bytes_of_text(plain_method));
}

struct bytes exchange_user_name(const struct connection *connection)
{
    return connection->exchange != NULL ? connection->exchange->scram.user_name : bytes_of(NULL, 0);
}

size_t exchange_memory(const struct connection *connection)
{
    return connection->state == CONNECTION_STATE_EXCHANGING
               ? sizeof(struct exchange) + connection->exchange->connect.capacity +
                     connection->input.capacity
               : 0;
}

void exchange_end(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    if (exchange == NULL)
        return;
    connection->exchange = NULL;
    if (exchange->connect.size > 0)
        explicit_bzero(exchange->connect.data, exchange->connect.size);
    buffer_fini(&exchange->connect);
    explicit_bzero(exchange, sizeof *exchange);
    free(exchange);
}

/* ---- Packets ---- */

static void describe(const struct connection *connection, struct bytes data, struct properties *out)
{
    out->present |= 1u << PROPERTY_AUTHENTICATION_METHOD | 1u << PROPERTY_AUTHENTICATION_DATA;
    out->authentication_method = method_of(connection);
    out->authentication_data = data;
}

void exchange_describe(const struct connection *connection, struct properties *out)
{
    if (connection->exchange != NULL) /* [MQTT-4.12.0-5] [MQTT-4.12.0-6] */
        describe(connection, bytes_of_text(connection->exchange->scram.server_final), out);
}

/* With its code, 0x18 or 0x00, and the method [MQTT-4.12.0-2] [MQTT-4.12.0-5] [MQTT-3.15.2-1]; no
 * Reason String and no User Properties. */
static struct packet auth_of(const struct connection *connection, uint8_t reason_code,
                             struct bytes data)
{
    struct packet packet = {.type = PACKET_AUTH};
    packet.auth.reason_code = reason_code;
    packet.auth.properties.present = 0;
    packet.auth.properties.user_properties = bytes_of(NULL, 0);
    describe(connection, data, &packet.auth.properties);
    return packet;
}

/* ---- Challenge and proof ---- */

static void draw_nonce(char out[BASE64_SIZE(RANDOM_SIZE) + 1])
{
    uint8_t random[RANDOM_SIZE] = {0};
#ifndef SEEDED_BUG_SCRAM_NONCE_REPEATED
    CHECK(getrandom(random, sizeof random, 0) == sizeof random);
#endif
    base64_encode(bytes_of(random, sizeof random), out);
}

/* Makes the challenge for a first message. */
static struct verdict challenge(struct connection *connection, struct bytes data)
{
    const struct worker *worker = connection->worker;
    const struct hash_key *key = &worker->broker->key;
    struct scram_credential credential;
    char nonce[BASE64_SIZE(RANDOM_SIZE) + 1];
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return (struct verdict){REASON_SERVER_BUSY, "out of memory"};
    connection->exchange = exchange;
    struct scram_channel channel;
    size_t channel_count = channels_of(connection, &channel);
    const char *fault =
        scram_start(&exchange->scram, connection->bound, data, &channel, channel_count);
    if (fault != NULL)
        return (struct verdict){REASON_NOT_AUTHORIZED, fault};
    struct bytes user_name = exchange->scram.user_name;
    if (authenticate_has_to_wait(connection, user_name))
        return (struct verdict){REASON_CONNECTION_RATE_EXCEEDED, "too many wrong passwords"};
    const struct policy *policy = worker->policy;
    exchange->known = password_file_scram(policy->passwords, key, user_name, &credential);
    exchange->credential = policy_credential(policy, key, user_name);
    exchange->begun_ms = worker->now_ms;
    draw_nonce(nonce);
    exchange->challenge = scram_challenge(&exchange->scram, &credential, nonce);
    explicit_bzero(&credential, sizeof credential);
    struct packet packet = auth_of(connection, REASON_CONTINUE_AUTHENTICATION, exchange->challenge);
    if (packet_encode(MQTT_VERSION_5, &packet, NULL, 0) > connection->maximum_packet_size)
        return (struct verdict){REASON_PACKET_TOO_LARGE,
                                "the challenge is more than its Maximum Packet Size"};
    return sound;
}

/* One answer, whatever is wrong; and the throttle is told. The file may have been read anew since
 * the challenge: what counts is that the user's line is the same. */
static struct verdict try_proof(struct connection *connection, struct bytes data)
{
    struct worker *worker = connection->worker;
    struct exchange *exchange = connection->exchange;
    struct bytes user_name = exchange->scram.user_name;
    uint64_t limit_ms = (uint64_t)worker->broker->config->mqtt.connect_timeout_s * 1000;
    if (authenticate_has_to_wait(connection, user_name))
        return (struct verdict){REASON_CONNECTION_RATE_EXCEEDED, "too many wrong passwords"};
    const char *fault = scram_finish(&exchange->scram, data);
    if (fault == NULL && (!exchange->known ||
                          exchange->credential !=
                              policy_credential(worker->policy, &worker->broker->key, user_name)))
        fault = "no such user, or not its password";
    authenticate_remember(connection, user_name, fault == NULL);
    /* The connection's timer limits the first: it knows when the broker itself was late. */
    if (fault == NULL && connection->state == CONNECTION_STATE_CONNECTED &&
        worker->now_ms - exchange->begun_ms > limit_ms)
        fault = "the proof comes too late";
    return fault == NULL ? sound : (struct verdict){REASON_BAD_USER_NAME_OR_PASSWORD, fault};
}

/* ---- The machine ---- */

static void handle_connect_again(struct connection *connection)
{
    struct packet packet;
    struct refusal refusal;
    struct frame_parser parser = {0};
    size_t header;
    struct buffer kept = connection->exchange->connect;
    connection->exchange->connect = (struct buffer){0};
    CHECK(frame_parser_feed(&parser, true, kept.data, kept.size, &header, &refusal) ==
          FRAME_HEADER);
    packet.type = PACKET_CONNECT;
    CHECK(
        packet_decode((enum mqtt_version)0, true, kept.data, kept.size, header, &packet, &refusal));
    CHECK(connect_handle(connection, &packet.connect, kept.data, kept.size) == CONNECT_DONE);
    explicit_bzero(kept.data, kept.size);
    buffer_fini(&kept);
}

/* 0x86 is for CONNACK; DISCONNECT has not got it. */
static void send_away(struct connection *connection, struct verdict verdict, const char *statement)
{
    if (verdict.reason_code == REASON_BAD_USER_NAME_OR_PASSWORD)
        verdict.reason_code = REASON_NOT_AUTHORIZED;
    connection_event(connection,
                     verdict.reason_code == REASON_PROTOCOL_ERROR ? CONNECTION_EVENT_MALFORMED
                                                                  : CONNECTION_EVENT_STOPPED,
                     verdict.reason_code, statement, verdict.why);
}

static void step(struct connection *connection, uint8_t event, struct verdict verdict)
{
    struct packet packet;
    const struct fsm_row *row =
        transition_step(connection->worker, connection->session, &authentication_machine,
                        &connection->authentication_state, event, connection->serial);
    CHECK(row->step_count == 1);
    switch (row->steps[0]) {
    case AUTHENTICATION_ACTION_CHALLENGE:
        packet =
            auth_of(connection, REASON_CONTINUE_AUTHENTICATION, connection->exchange->challenge);
        connection_send(connection, &packet);
        break;
    case AUTHENTICATION_ACTION_ACCEPT:
        handle_connect_again(connection);
        break;
    case AUTHENTICATION_ACTION_CONFIRM:
        packet = auth_of(connection, REASON_SUCCESS,
                         bytes_of_text(connection->exchange->scram.server_final));
        connection_send(connection, &packet);
        exchange_end(connection);
        break;
    case AUTHENTICATION_ACTION_REFUSE:
        connection_event(connection, CONNECTION_EVENT_CONNECT_REFUSED, verdict.reason_code,
                         row->why, verdict.why);
        break;
    case AUTHENTICATION_ACTION_SEND_AWAY:
        send_away(connection, verdict, row->why);
        break;
    }
}

/* ---- CONNECT ---- */

enum authenticate_outcome exchange_connect(struct connection *connection,
                                           const struct connect *connect)
{
    if (connection->authentication_state == AUTHENTICATION_STATE_PROVEN)
        return AUTHENTICATE_PROVEN;
    const struct properties *properties = &connect->properties;
    bool has_data = properties_has(properties, PROPERTY_AUTHENTICATION_DATA);
    connection->exchanged = true;
    connection->bound = is_bound(properties->authentication_method);
    struct verdict verdict =
        challenge(connection, has_data ? properties->authentication_data : bytes_of(NULL, 0));
    if (verdict.reason_code == 0 && connect->has_user_name &&
        !bytes_equal(connect->user_name, exchange_user_name(connection)))
        verdict = (struct verdict){REASON_NOT_AUTHORIZED, "CONNECT has another user name"};
    step(connection,
         verdict.reason_code == 0 ? AUTHENTICATION_EVENT_CONNECT : AUTHENTICATION_EVENT_NO_PROOF,
         verdict);
    if (verdict.reason_code != 0)
        return AUTHENTICATE_REFUSED;
    connection_event(connection, CONNECTION_EVENT_CHALLENGED, 0, "", NULL);
    return AUTHENTICATE_EXCHANGES;
}

void exchange_keep(struct connection *connection, struct bytes packet)
{
    if (buffer_append(&connection->exchange->connect, packet.data, packet.size) != STATUS_OK)
        connection_event(connection, CONNECTION_EVENT_CONNECT_REFUSED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
}

/* ---- AUTH ---- */

static void authenticate_again(struct connection *connection, struct bytes data)
{
    if (connection->exchange != NULL) {
        step(connection, AUTHENTICATION_EVENT_REAUTHENTICATE,
             (struct verdict){REASON_PROTOCOL_ERROR, "AUTH 0x19 while a challenge is open"});
        return;
    }
    struct verdict verdict = challenge(connection, data);
    if (verdict.reason_code == 0 &&
        !bytes_equal(exchange_user_name(connection), connection->principal->user_name))
        verdict = (struct verdict){REASON_NOT_AUTHORIZED, "re-authentication as another user"};
    step(connection,
         verdict.reason_code == 0 ? AUTHENTICATION_EVENT_REAUTHENTICATE
                                  : AUTHENTICATION_EVENT_NO_PROOF,
         verdict);
}

static void go_on(struct connection *connection, struct bytes data)
{
    struct verdict verdict = {REASON_PROTOCOL_ERROR, "AUTH 0x18 without a challenge"};
    if (connection->exchange != NULL)
        verdict = try_proof(connection, data);
    step(connection,
         verdict.reason_code == 0 ? AUTHENTICATION_EVENT_PROOF : AUTHENTICATION_EVENT_NO_PROOF,
         verdict);
}

void exchange_auth(struct connection *connection, const struct auth *auth)
{
    const struct properties *properties = &auth->properties;
    struct bytes data = properties_has(properties, PROPERTY_AUTHENTICATION_DATA)
                            ? properties->authentication_data
                            : bytes_of(NULL, 0);
    bool same = connection->exchanged &&
                properties_has(properties, PROPERTY_AUTHENTICATION_METHOD) &&
                bytes_equal(properties->authentication_method, method_of(connection));
#ifdef SEEDED_BUG_ANY_AUTH_METHOD
    same = connection->exchanged;
#endif
    if (!same) /* [MQTT-4.12.0-7] [MQTT-4.12.1-1] */
        step(connection, AUTHENTICATION_EVENT_OUT_OF_TURN,
             (struct verdict){REASON_PROTOCOL_ERROR,
                              "AUTH with an Authentication Method that CONNECT did not have"});
    else if (auth->reason_code == REASON_RE_AUTHENTICATE)
        authenticate_again(connection, data);
    else
        go_on(connection, data);
}
