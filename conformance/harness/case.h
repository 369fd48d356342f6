/* Conformance cases: what one is, and how it speaks.
 *
 * A case is a function that plays one or more clients against the server under test and says what
 * the specification owes them. It runs in a thread of its own with blocking calls that all have a
 * time limit; the first broken MUST ends it (fail() does not return). It runs once for each version
 * that it names statements of, on whatever transport the user chose.
 *
 *     CASE(second_connect_closes_the_connection,
 *          .v5 = "MQTT-3.1.0-2", .v311 = "MQTT-3.1.0-2",
 *          .sends = "CONNECT twice on one Network Connection",
 *          .allowed = "the Network Connection is closed; 5.0: perhaps after DISCONNECT 0x82",
 *          .faults = "keeps_open")
 *     {
 *         struct client *client = client_connected(test, "twice");
 *         client_send(client, &(struct packet){.type = CONNECT, .client_id = client->id});
 *         expect_closed(client, 0x82);
 *     }
 *
 * Fairness is the case's duty: where the specification lets a server choose, every choice passes.
 */
#ifndef CONFORMANCE_CASE_H
#define CONFORMANCE_CASE_H

#include "conformance/wire/packet.h"

struct test;

enum outage { OUTAGE_NONE, OUTAGE_RESTART, OUTAGE_KILL };

struct conformance_case {
    const char *name, *file;
    /* Statement ids with spaces between; NULL: not for this version. */
    const char *v5, *v311;
    /* For --explain: what is sent, what is allowed in answer, and, where it is not plain, why. */
    const char *sends, *allowed, *why;
    /* The faults (fault/fault.def) that this case must notice, with spaces between. */
    const char *faults;
    /* Whether a busy machine can make it fail: it is then tried once more alone. */
    bool timing;
    /* A case that calls outage() says which one it needs. */
    enum outage outage;
    unsigned limit_s; /* wall time for all of it; 0: 30 */
    void (*run)(struct test *test);
    struct conformance_case *next;
};

void case_register(struct conformance_case *definition);

#define CASE(name_, ...)                                                                           \
    static void name_(struct test *test);                                                          \
    static struct conformance_case case_##name_ = {                                                \
        .name = #name_, .file = __FILE__, .run = name_, __VA_ARGS__};                              \
    __attribute__((constructor)) static void register_##name_(void)                                \
    {                                                                                              \
        case_register(&case_##name_);                                                              \
    }                                                                                              \
    static void name_(struct test *test)

/* ---- What the server said of itself in a CONNACK of 5.0 (3.1.1: what a probe found) ---- */

struct server_features {
    uint8_t maximum_qos;
    bool retain_available, wildcard_available, subscription_identifier_available, shared_available;
    uint16_t receive_maximum, topic_alias_maximum, server_keep_alive_s;
    bool has_server_keep_alive;
    uint32_t maximum_packet_size; /* UINT32_MAX: none */
};

struct test {
    const struct conformance_case *definition;
    enum version version;
    const struct server_features *server;
    unsigned time_limit_ms; /* how long to wait for what is owed; 5000 unless the user says more */
    unsigned quiet_ms;      /* how long nothing must come, where nothing is owed; 300 */
    uint64_t seed;
    struct test_run *run; /* the runner's own */
};

/* ---- Verdicts ---- */

/* The server broke a MUST: the first of the case's statements, or the one named. Ends the case. The
 * sentence says what the server did and what it owed. */
_Noreturn void fail(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void fail_statement(struct test *test, const char *statement, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A SHOULD that is not followed, or a reading that people disagree on: reported apart; goes on.
 * `statement` NULL: the first of the case's. */
void warn_should(struct test *test, const char *statement, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void warn_debatable(struct test *test, const char *statement, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The server has not got an optional feature, by its own word. */
_Noreturn void not_applicable(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The user has not given what the case needs. */
_Noreturn void skip(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Ends the case unless the server offers it. */
void need_qos(struct test *test, uint8_t qos);
void need_retain(struct test *test);
void need_wildcard(struct test *test);
void need_shared(struct test *test);
void need_subscription_identifier(struct test *test);

/* One exchange of the Authentication Method that the user has declared: with fixed words, or
 * SCRAM-SHA-256 with a nonce of its own. Without a method the case is skipped. */
struct authentication {
    struct test *test;
    struct text method;
    struct text words[8]; /* CONNECT's Authentication Data, then that of each AUTH in answer */
    unsigned count, step;
    struct scram_client *scram; /* NULL: fixed words */
};
struct authentication *need_authentication(struct test *test);
/* The same with a last word that is not the one that the server wants. */
struct authentication *need_wrong_authentication(struct test *test);
/* SCRAM-SHA-256, or the case is skipped. */
struct authentication *need_scram(struct test *test);

/* What the client says next: with CONNECT or AUTH 0x19, then in answer to the server's AUTH. A
 * server that cannot be answered has broken [MQTT-4.12.0-2]; without enough words the case is
 * skipped. */
struct text authentication_first(struct authentication *authentication);
struct text authentication_answer(struct authentication *authentication, const struct packet *auth);
/* The CONNACK or AUTH that says success names the method, and with SCRAM proves that the server
 * knows the password; else the case fails. */
void authentication_end(const struct authentication *authentication, const struct packet *last);

/* The Topic Name that the user has declared as denied for publishing, and the Topic Filter as
 * denied for subscribing. Without one the case is skipped. Other cases use them at the same time.
 */
struct text need_denied_publish(struct test *test);
struct text need_denied_subscribe(struct test *test);

/* Whether this run goes over WebSocket; need_websocket() skips the case if not. */
bool on_websocket(const struct test *test);
void need_websocket(struct test *test);

/* ---- Names ---- */

/* A Topic Name of this case alone: "conf/RUN/CASE/" and the suffix. Lives as long as the test.
 * Retained messages below it are removed when the case has ended. */
struct text topic_of(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Memory that lives as long as the test. */
void *test_alloc(struct test *test, size_t size);
struct text text_printf(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Milliseconds on a clock that only goes forward. */
uint64_t clock_ms(void);
/* Lets time pass on purpose (an expiry, a delay); never to hope that something has happened. */
void let_pass_ms(struct test *test, unsigned ms);

/* All cases of the phase meet here; the server is restarted or killed once; all go on when it
 * accepts connections again. Every client of the case is closed by it. */
void outage(struct test *test);

/* ---- Clients ---- */

struct client {
    struct text id;
    enum version version;
    uint16_t next_packet_id; /* starts at 1 */
    struct packet connack;   /* of the last connect */
    struct test *test;
    struct connection *connection; /* the harness's own; NULL: not open */
};

/* A client with an identifier of its own (at most 23 letters and digits, [MQTT-3.1.3-5]). Nothing
 * is sent yet. Its session, if one is stored, is ended after the case. */
struct client *client_new(struct test *test, const char *role);

/* Opens the Network Connection only; drops one that is open. */
void client_open(struct client *client);

/* A CONNECT of this client: Clean Start 1, keep alive 60, no will. Change it, then send it. */
struct packet connect_of(const struct client *client);

/* Opens if need be, sends, reads CONNACK whatever its code into client->connack. */
const struct packet *client_connect(struct client *client, const struct packet *connect);
/* The same, and the server has to accept. */
void client_connect_ok(struct client *client, const struct packet *connect);

/* client_new, default CONNECT, accepted. */
struct client *client_connected(struct test *test, const char *role);
/* The same with a session that outlives the connection: 5.0 Session Expiry Interval, 3.1.1
 * Clean Session 0. */
struct client *client_connected_stored(struct test *test, const char *role, uint32_t expiry_s);
/* Comes back: Clean Start 0 and the same kind of session; `session_present` is not judged. A
 * connection of this struct that is still open is dropped first. */
void client_resume(struct client *client, uint32_t expiry_s);

/* What is sent is written as it is, right or wrong. An answer in flight does not hinder it; a
 * connection that the server has closed is noticed by the next expect. */
void client_send(struct client *client, const struct packet *packet);
void client_send_bytes(struct client *client, const void *data, size_t size);
void client_send_hex(struct client *client, const char *hex);
/* WebSocket only: one frame of that opcode (1 text, 2 binary, 8 Close, 9 Ping); `fin` false: more
 * fragments, of opcode 0, follow. */
void client_send_frame(struct client *client, unsigned opcode, bool fin, const void *data,
                       size_t size);

/* WebSocket only: the server has selected the subprotocol "mqtt" [MQTT-6.0.0-4]. */
void expect_subprotocol(struct client *client);

/* DISCONNECT 0x00, then closes when the server has (or after a second). */
void client_disconnect(struct client *client);
/* Closes the socket without a word; `client_reset` with a TCP reset. */
void client_drop(struct client *client);
void client_reset(struct client *client);
/* No more reading (so the server's output fills), and again. */
void client_pause_reading(struct client *client, bool paused);

/* Subscribes and wants the QoS granted (a server that grants less, as it may, makes the case not
 * applicable); returns the packet identifier used. */
uint16_t client_subscribe(struct client *client, struct text filter, uint8_t options);
/* SUBACK's reason codes are the caller's to judge. */
struct packet client_subscribe_raw(struct client *client, struct packet *subscribe);
void client_unsubscribe(struct client *client, struct text filter);

/* Sends a PUBLISH and goes through its whole exchange; every acknowledgement has to be positive. */
void client_publish(struct client *client, struct text topic, struct text payload, uint8_t qos,
                    bool retain);
/* The same with anything in it (`packet_id` 0: the next one). */
void client_publish_packet(struct client *client, struct packet *publish);
/* Only sends it; returns the packet identifier. */
uint16_t client_publish_start(struct client *client, struct packet *publish);

/* ---- Expectations: each ends the case if not met within the time limit ----
 *
 * Packets point into memory of the test, so they stay valid until it ends. Every packet is read
 * strictly: what a server may never send is a failure under its own statement, whoever asked. */

/* The very next packet, of this type. */
struct packet expect(struct client *client, enum packet_type type);
/* The next packet of this type and identifier. What comes before it stays to be expected. */
struct packet expect_answer(struct client *client, enum packet_type type, uint16_t packet_id);
/* The next PUBLISH, which has to be this one; others fail. Acknowledgements that come before it
 * stay to be expected. QoS, DUP and RETAIN are the caller's. */
struct packet expect_publish(struct client *client, struct text topic, struct text payload);
/* Sends what the receiver owes to it and, for QoS 2, goes through PUBREL and PUBCOMP. */
void acknowledge(struct client *client, const struct packet *publish);
/* The next PUBLISH, acknowledged. */
struct packet take_publish(struct client *client, struct text topic, struct text payload);

/* The connection ends, by a reset too; a DISCONNECT of 5.0 (a CONNACK before one was received) may
 * come first, and then carries an error. `reason_code` is the one of 5.0 that the specification
 * names (0: any error); another error is a remark, because no statement wants that very one.
 * PUBLISHes and acknowledgements still under way are passed over. */
void expect_closed(struct client *client, uint8_t reason_code);
/* No packet, and still open, for quiet_ms; then PINGREQ is answered. */
void expect_quiet(struct client *client);
/* PINGREQ, and PINGRESP is the next packet. */
void expect_alive(struct client *client);

/* Without a verdict: false if nothing came in `ms` or the connection ended (`*closed`). */
bool receive(struct client *client, unsigned ms, struct packet *out, bool *closed);

#endif
