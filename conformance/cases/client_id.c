/* The Client Identifier (section 3.1.3.1): what is allowed, and that it alone tells sessions apart.
 */
#include "conformance/cases/refusal.h"

#include <string.h>

static bool refused(const struct client *client)
{
    return client->connack.reason_code != 0;
}

static void expect_id_refused(struct client *client)
{
    struct test *test = client->test;
    uint8_t code = test->version == VERSION_5 ? 0x85 : 0x02;
    if (client->connack.reason_code != code)
        warn_debatable(test, test->version == VERSION_5 ? "MQTT-3.1.3-8" : "MQTT-3.1.3-9",
                       "a Client Identifier was refused with 0x%02X, not 0x%02X",
                       client->connack.reason_code, code);
    expect_closed(client, 0);
}

CASE(letters_and_digits_are_allowed, .v5 = "MQTT-3.1.3-5", .v311 = "MQTT-3.1.3-5",
     .sends = "Client Identifiers of each length from 1 to 23 that hold all letters and digits",
     .allowed = "CONNACK with Success for each of them", .faults = "refuses_client_id")
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    enum { LONGEST = 23, ALLOWED = sizeof allowed - 1, OWN_TO_THE_RUN = 7 };
    struct client *client = client_new(test, "id");
    /* One character is a name that others may choose, too: each run begins at another, and the two
     * versions of one run next to each other. */
    size_t start = 0;
    for (size_t i = 0; i < OWN_TO_THE_RUN; i++)
        start = start * 31 + client->id.data[i];
    start += (size_t)test->version;
    for (size_t size = 1; size <= LONGEST; size++) {
        char id[LONGEST + 1] = {0};
        for (size_t i = 0; i < size; i++)
            id[i] = allowed[(start + size * 7 + i * 5) % ALLOWED];
        struct packet connect = connect_of(client);
        connect.client_id = (struct text){(const uint8_t *)id, size};
        client_connect(client, &connect);
        if (refused(client))
            fail(test, "the Client Identifier \"%s\" was refused with 0x%02X", id,
                 client->connack.reason_code);
        client_disconnect(client);
    }
}

/* ---- Every byte counts ---- */

static void end_session(struct client *client)
{
    client_drop(client);
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
    client_disconnect(client);
}

/* A stored session for `first`; then `second` must be somebody else in every respect. */
static void expect_two_clients(struct test *test, struct text first, struct text second,
                               const char *how)
{
    struct client *one = client_new(test, "one"), *two = client_new(test, "two");
    struct text topic = topic_of(test, "%.*s", (int)one->id.size, (const char *)one->id.data);
    struct client *publisher = client_connected(test, "pub");
    one->id = first;
    two->id = second;
    client_resume(one, 60);
    client_subscribe(one, topic, 1);

    client_resume(two, 60);
    if (two->connack.session_present)
        fail(test, "Client Identifiers that differ in %s: one was given the other's session", how);
    expect_alive(one); /* not taken over */
    client_drop(one);
    end_session(two); /* and no other */
    client_publish(publisher, topic, TEXT("for one"), 1, false);
    client_resume(two, 60);
    if (two->connack.session_present)
        fail(test, "Client Identifiers that differ in %s: one was given the other's session", how);
    client_resume(one, 60);
    if (!one->connack.session_present)
        fail(test, "Client Identifiers that differ in %s: one ended the other's session", how);
    take_publish(one, topic, TEXT("for one"));
    expect_alive(two); /* and got nothing */
    end_session(one);
    end_session(two);
    client_disconnect(publisher);
}

/* Whether the server takes identifiers beyond the 23 letters and digits that it must. 5.0 lets it
 * close without CONNACK, 3.1.1 wants the return code. */
static bool id_allowed(struct test *test, struct text id)
{
    struct client *probe = client_new(test, "probe");
    struct packet connect = connect_of(probe), connack;
    bool closed = false;
    connect.client_id = id;
    client_open(probe);
    client_send(probe, &connect);
    if (!receive(probe, test->time_limit_ms, &connack, &closed)) {
        if (!closed)
            fail(test, "a Client Identifier of %zu bytes: no answer", id.size);
        /* A server that takes no packets of that size has not looked at the identifier. */
        if (test->version == VERSION_311 && id.size > 1000)
            warn_debatable(test, "MQTT-3.1.3-9",
                           "a Client Identifier of %zu bytes was refused without CONNACK", id.size);
        else if (test->version == VERSION_311)
            fail_statement(test, "MQTT-3.1.3-9",
                           "a Client Identifier of %zu bytes was refused without CONNACK", id.size);
        client_drop(probe);
        return false;
    }
    if (connack.type != CONNACK)
        fail_statement(test, "MQTT-3.2.0-1", "%s came before CONNACK", packet_name(connack.type));
    probe->connack = connack;
    if (refused(probe))
        expect_id_refused(probe);
    client_drop(probe);
    return !refused(probe);
}

CASE(identifiers_differ_in_case, .v5 = "MQTT-3.1.3-2", .v311 = "MQTT-3.1.3-2",
     .sends = "two clients whose identifiers differ in the case of one letter",
     .allowed = "two clients, each with a session of its own", .faults = "folds_client_id")
{
    struct text id = client_new(test, "x")->id;
    uint8_t *upper = test_alloc(test, id.size), *lower = test_alloc(test, id.size);
    memcpy(upper, id.data, id.size);
    memcpy(lower, id.data, id.size);
    upper[id.size - 1] = 'Q';
    lower[id.size - 1] = 'q';
    expect_two_clients(test, (struct text){upper, id.size}, (struct text){lower, id.size}, "case");
}

CASE(identifiers_differ_in_their_last_byte, .v5 = "MQTT-3.1.3-2", .v311 = "MQTT-3.1.3-2",
     .sends = "two clients whose identifiers of 23 bytes differ in the last one; the same with 24, "
              "65, 129, 257 and 4097 bytes, where the server takes them",
     .allowed = "two clients, each with a session of its own", .faults = "truncates_client_id")
{
    static const size_t sizes[] = {23, 24, 65, 129, 257, 4097};
    struct text seed = client_new(test, "x")->id;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *first = test_alloc(test, sizes[i]), *second = test_alloc(test, sizes[i]);
        memset(first, 'l', sizes[i]);
        memcpy(first, seed.data, seed.size < sizes[i] ? seed.size : sizes[i]);
        memcpy(second, first, sizes[i]);
        first[sizes[i] - 1] = '1';
        second[sizes[i] - 1] = '2';
        struct text one = {first, sizes[i]}, two = {second, sizes[i]};
        if (sizes[i] > 23 && !id_allowed(test, one))
            return;
        expect_two_clients(test, one, two, "the last byte");
    }
}

CASE(identifiers_that_look_alike_differ, .v5 = "MQTT-3.1.3-2", .v311 = "MQTT-3.1.3-2",
     .sends = "clients whose identifiers differ in white space, in a slash, in a sign of wildcards "
              "or in the Unicode normal form, where the server takes such identifiers",
     .allowed = "two clients, each with a session of its own, or a refusal of the identifier",
     .faults = "normalizes_client_id")
{
    static const struct {
        const char *first, *second, *how;
    } variants[] = {
        {"a", "a ", "a trailing space"},
        {"a", " a", "a leading space"},
        {"a/b", "a//b", "a slash"},
        {"a+", "a#", "a wildcard"},
        {"\xC3\xA9", "e\xCC\x81", "a normal form"},
        {"\xC3\x9F", "SS", "a case that folds"},
        {"\xEF\xBB\xBF"
         "a",
         "a", "U+FEFF"},
        {"%61", "a", "an escape"},
        {"a'--", "a", "an SQL comment"},
        {"../a", "a", "a path"},
    };
    unsigned taken = 0;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct text own = client_new(test, "x")->id;
        struct text first = text_printf(test, "%s%.*s%s", variants[i].first, (int)own.size,
                                        (const char *)own.data, variants[i].first);
        struct text second = text_printf(test, "%s%.*s%s", variants[i].second, (int)own.size,
                                         (const char *)own.data, variants[i].second);
        if (!id_allowed(test, first) || !id_allowed(test, second))
            continue;
        expect_two_clients(test, first, second, variants[i].how);
        taken++;
    }
    if (taken == 0)
        not_applicable(test, "the server takes letters and digits only");
}

CASE(refused_identifier_gets_its_code, .v5 = "MQTT-3.1.3-8 MQTT-3.2.2-7",
     .v311 = "MQTT-3.1.3-9 MQTT-3.2.2-5", .sends = "a Client Identifier of 65,535 bytes",
     .allowed = "CONNACK with Success, or with 0x85 (3.1.1: 0x02) and the end of the connection",
     .faults = "no_connack keeps_open_after_refusal")
{
    enum { LONGEST = 65535 };
    uint8_t *id = test_alloc(test, LONGEST);
    memset(id, 'x', LONGEST);
    struct text own = client_new(test, "x")->id;
    memcpy(id, own.data, own.size);
    if (test->server->maximum_packet_size < LONGEST + 100)
        not_applicable(test, "the server takes no packets of that size");
    if (id_allowed(test, (struct text){id, LONGEST}))
        not_applicable(test, "the server takes even the longest Client Identifier");
}

/* ---- No identifier ---- */

CASE(assigned_identifier_is_the_sessions, .v5 = "MQTT-3.1.3-6 MQTT-3.1.3-7 MQTT-3.2.2-16",
     .sends = "CONNECT with an empty Client Identifier and a Session Expiry Interval, then CONNECT "
              "with the Assigned Client Identifier and Clean Start 0",
     .allowed = "an Assigned Client Identifier, under which the session is found again; or the "
                "refusal of empty identifiers",
     .faults = "omits_assigned_client_id assigned_id_is_not_used")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "nobody");
    client->id = TEXT("");
    struct packet connect = connect_of(client);
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 60);
    client_connect(client, &connect);
    if (refused(client)) {
        expect_id_refused(client);
        not_applicable(test, "the server refuses empty Client Identifiers");
    }
    const struct property *assigned =
        property_find(&client->connack.properties, ASSIGNED_CLIENT_IDENTIFIER);
    if (!assigned || assigned->text.size == 0)
        fail(test, "CONNACK names no Assigned Client Identifier");
    client_subscribe(client, topic, 1);
    client_drop(client);

    struct client *again = client_new(test, "again");
    again->id = assigned->text;
    client_resume(again, 60);
    if (!again->connack.session_present)
        fail(test, "no session is found under the Assigned Client Identifier");
    client_publish(client_connected(test, "pub"), topic, TEXT("p"), 1, false);
    take_publish(again, topic, TEXT("p"));
    end_session(again);
}

CASE(assigned_identifiers_are_unique, .v5 = "MQTT-3.2.2-16 MQTT-3.1.3-6", .v311 = "MQTT-3.1.3-6",
     .sends = "five CONNECTs with an empty Client Identifier, all connections left open",
     .allowed = "five clients, none of which takes over another; 5.0: five identifiers",
     .faults = "assigns_same_client_id")
{
    enum { CLIENTS = 5 };
    struct client *clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_new(test, "nobody");
        clients[i]->id = TEXT("");
        struct packet connect = connect_of(clients[i]);
        client_connect(clients[i], &connect);
        if (refused(clients[i])) {
            expect_id_refused(clients[i]);
            not_applicable(test, "the server refuses empty Client Identifiers");
        }
        const struct property *mine =
            property_find(&clients[i]->connack.properties, ASSIGNED_CLIENT_IDENTIFIER);
        for (unsigned other = 0; test->version == VERSION_5 && other < i; other++) {
            const struct property *theirs =
                property_find(&clients[other]->connack.properties, ASSIGNED_CLIENT_IDENTIFIER);
            if (mine && theirs && text_equal(mine->text, theirs->text))
                fail(test, "two clients were assigned the same identifier \"%.*s\"",
                     (int)mine->text.size, (const char *)mine->text.data);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        expect_alive(clients[i]);
}

CASE(empty_identifier_needs_clean_session, .v311 = "MQTT-3.1.3-8 MQTT-3.1.3-7 MQTT-3.2.2-4",
     .sends = "CONNECT with an empty Client Identifier and Clean Session 0",
     .allowed = "CONNACK with return code 0x02, then the end of the connection",
     .faults = "accepts_empty_id_without_clean silent_about_empty_id")
{
    struct client *client = client_new(test, "nobody");
    client->id = TEXT("");
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    const struct packet *connack = client_connect(client, &connect);
    if (connack->reason_code != 0x02)
        fail(test, "answered with return code 0x%02X instead of 0x02", connack->reason_code);
    expect_closed(client, 0);
}

CASE(empty_identifier_with_clean_start_0, .v5 = "MQTT-3.1.3-6 MQTT-3.1.3-7 MQTT-3.2.2-3",
     .sends = "CONNECT with an empty Client Identifier and Clean Start 0",
     .allowed = "a new session under an Assigned Client Identifier, or a refusal",
     .why = "5.0 allows it, where 3.1.1 does not; there can be no session to resume.",
     .faults = "omits_assigned_client_id claims_session_present")
{
    struct client *client = client_new(test, "nobody");
    client->id = TEXT("");
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    client_connect(client, &connect);
    if (refused(client)) {
        expect_id_refused(client);
        not_applicable(test, "the server refuses empty Client Identifiers");
    }
    if (client->connack.session_present)
        fail(test, "a client without identifier was told that its session is present");
    if (!property_find(&client->connack.properties, ASSIGNED_CLIENT_IDENTIFIER))
        fail(test, "CONNACK names no Assigned Client Identifier");
}
