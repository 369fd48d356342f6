/* Faults of CONNECT and CONNACK: identifiers, takeovers, what CONNACK says. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Client Identifiers ---- */

static void refuse(struct link *link, struct passing *passing, uint8_t code_311, uint8_t code_5)
{
    drop(passing);
    link_to_client(
        link, &(struct packet){.type = CONNACK, .reason_code = is_5(link) ? code_5 : code_311});
    link_close(link, 0);
}

static void refuse_client_id(struct link *link, struct passing *passing)
{
    size_t size = passing->packet.client_id.size;
    if (is_first_connect(link, passing) && (size == 1 || size == 23))
        refuse(link, passing, 0x02, 0x85);
}

FAULT_HOOKS(refuses_client_id, .client = refuse_client_id)

static void truncate_client_id(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || passing->packet.client_id.size <= 12)
        return;
    passing->packet.client_id.size = 12;
    change(passing);
}

FAULT_HOOKS(truncates_client_id, .client = truncate_client_id)

static void fold_client_id(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing))
        return;
    struct text id = proxy_scratch_text(passing->packet.client_id);
    for (size_t i = 0; i < id.size; i++)
        ((uint8_t *)id.data)[i] = (uint8_t)tolower(id.data[i]);
    passing->packet.client_id = id;
    change(passing);
}

FAULT_HOOKS(folds_client_id, .client = fold_client_id)

static void normalize_client_id(struct link *link, struct passing *passing)
{
    struct text id = passing->packet.client_id;
    if (!is_first_connect(link, passing))
        return;
    uint8_t *kept = proxy_scratch(id.size + 1);
    size_t size = 0;
    for (size_t i = 0; i < id.size; i++) {
        if (isalnum(id.data[i]))
            kept[size++] = id.data[i];
    }
    passing->packet.client_id = (struct text){kept, size};
    change(passing);
}

FAULT_HOOKS(normalizes_client_id, .client = normalize_client_id)

/* FNV-1a of 32 bits. */
static void hash_client_id(struct link *link, struct passing *passing)
{
    struct text id = passing->packet.client_id;
    if (!is_first_connect(link, passing) || !id.size)
        return;
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < id.size; i++)
        hash = (hash ^ id.data[i]) * 0x01000193;
    char *name = proxy_scratch(9);
    snprintf(name, 9, "%08x", hash);
    passing->packet.client_id = text_of(name);
    change(passing);
}

FAULT_HOOKS(hashes_client_id, .client = hash_client_id)

static void assign_constant_id(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || passing->packet.client_id.size)
        return;
    link->memory.flag = true;
    passing->packet.client_id = TEXT("anonymous");
    change(passing);
}

static void tell_constant_id(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, CONNACK) || !link->memory.flag)
        return;
    property_add_text(&passing->packet.properties, ASSIGNED_CLIENT_IDENTIFIER, TEXT("anonymous"));
    change(passing);
}

FAULT_HOOKS(assigns_same_client_id, .client = assign_constant_id, .server = tell_constant_id)

static void omit_assigned_id(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNACK))
        return;
    property_remove(&passing->packet.properties, ASSIGNED_CLIENT_IDENTIFIER);
    change(passing);
}

FAULT_HOOKS(omits_assigned_client_id, .server = omit_assigned_id)

static void tell_another_id(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, CONNACK) || passing->packet.reason_code)
        return;
    char *name = proxy_scratch(24);
    snprintf(name, 24, "assigned%u", link->number);
    property_remove(&passing->packet.properties, ASSIGNED_CLIENT_IDENTIFIER);
    property_add_text(&passing->packet.properties, ASSIGNED_CLIENT_IDENTIFIER, text_of(name));
    change(passing);
}

FAULT_HOOKS(assigned_id_is_not_used, .server = tell_another_id)

/* ---- Takeover ---- */

static bool takes_over(const struct link *link, const struct passing *passing)
{
    if (!is_first_connect(link, passing) || !link->session)
        return false;
    for (struct link *other = proxy_first_link(); other; other = link_next(other)) {
        if (other != link && other->session == link->session && !other->client.ended)
            return true;
    }
    return false;
}

static void connect_under_another_id(struct link *link, struct passing *passing)
{
    if (!takes_over(link, passing))
        return;
    struct text id = passing->packet.client_id;
    char *name = proxy_scratch(id.size + 24);
    int size =
        snprintf(name, id.size + 24, "%.*s-%u", (int)id.size, (const char *)id.data, link->number);
    passing->packet.client_id = (struct text){(uint8_t *)name, (size_t)size};
    change(passing);
}

FAULT_HOOKS(allows_two_connections, .client = connect_under_another_id)

static void refuse_second(struct link *link, struct passing *passing)
{
    if (takes_over(link, passing))
        refuse(link, passing, 0x02, 0x85);
}

FAULT_HOOKS(closes_new_at_takeover, .client = refuse_second)

static void change_takeover_code(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT) || passing->packet.reason_code != 0x8E)
        return;
    passing->packet.reason_code = 0x97;
    change(passing);
}

FAULT_HOOKS(wrong_takeover_code, .server = change_takeover_code)

static void hide_takeover(struct link *link, struct passing *passing)
{
    if (is(passing, DISCONNECT) && passing->packet.reason_code == 0x8E)
        drop(passing);
}

FAULT_HOOKS(silent_takeover, .server = hide_takeover)

/* ---- What is refused ---- */

static void refuse_password(struct link *link, struct passing *passing)
{
    if (is_5(link) && is_first_connect(link, passing) && passing->packet.password.data &&
        !passing->packet.user_name.data)
        refuse(link, passing, 0x04, 0x81);
}

FAULT_HOOKS(refuses_password_alone, .client = refuse_password)

static unsigned user_properties(const struct properties *properties)
{
    unsigned count = 0;
    for (unsigned i = 0; i < properties->count; i++)
        count += properties->list[i].id == USER_PROPERTY;
    return count;
}

static void refuse_repeated_user_property(struct link *link, struct passing *passing)
{
    if (!passing->readable || (user_properties(&passing->packet.properties) < 2 &&
                               user_properties(&passing->packet.will_properties) < 2))
        return;
    drop(passing);
    link_close(link, 0x82);
}

FAULT_HOOKS(refuses_repeated_user_property, .client = refuse_repeated_user_property)

/* Refusing a long identifier is a server's right; leaving the connection open is not. */
static void refuse_and_stay(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || passing->packet.client_id.size < 1024)
        return;
    drop(passing);
    link_to_client(link, &(struct packet){.type = CONNACK, .reason_code = is_5(link) ? 0x85 : 2});
    link_orphan(link);
}

static bool hide_close_of_refused(struct link *link)
{
    return !link->connected;
}

FAULT_HOOKS(keeps_open_after_refusal, .client = refuse_and_stay,
            .server_closed = hide_close_of_refused)

/* ---- CONNACK ---- */

static void refuse_large_maximum(struct link *link, struct passing *passing)
{
    enum { LARGEST_PACKET = 5 + 268435455 };
    if (!is_5(link) || !is_first_connect(link, passing) ||
        property_number(&passing->packet.properties, MAXIMUM_PACKET_SIZE, 0) <= LARGEST_PACKET)
        return;
    drop(passing);
    link_close(link, 0x82);
}

FAULT_HOOKS(refuses_large_maximum, .client = refuse_large_maximum)

/* The CONNACK is held back in `memory.queue` until a PUBLISH has passed. */
static void hold_connack(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNACK) || !passing->packet.session_present)
        return;
    queue_push(&link->memory.queue, passing_keep(link, passing));
    drop(passing);
}

static void send_held_connack(struct link *link, const struct passing *passing)
{
    struct kept *kept = is(passing, PUBLISH) ? queue_pop(&link->memory.queue) : NULL;
    if (!kept)
        return;
    link_to_client_bytes(link, kept->bytes, kept->size);
    free(kept);
}

FAULT_HOOKS(waiting_before_connack, .server = hold_connack, .after_server = send_held_connack)

static void drop_connack(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        drop(passing);
}

FAULT_HOOKS(no_connack, .server = drop_connack)

static void repeat_connack(struct link *link, const struct passing *passing)
{
    if (is(passing, CONNACK))
        link_to_client_bytes(link, passing->bytes.data, passing->bytes.size);
}

FAULT_HOOKS(connack_twice, .after_server = repeat_connack)

static void precede_connack(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        link_to_client(link, &(struct packet){.type = PINGRESP});
}

FAULT_HOOKS(sends_before_connack, .server = precede_connack)

/* `memory.queue`: what came before CONNACK; `memory.flag`: refused. */
static void keep_early_publish(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || link->connected)
        return;
    if (link->memory.flag)
        proxy_publish(passing->packet.topic, passing->packet.payload, passing->packet.retain);
    else
        queue_push(&link->memory.queue, passing_keep(link, passing));
}

static void publish_kept(struct link *link)
{
    link->memory.flag = true;
    for (struct kept *kept; (kept = queue_pop(&link->memory.queue)); free(kept)) {
        struct packet publish;
        if (kept_read(kept, link, &publish))
            proxy_publish(publish.topic, publish.payload, publish.retain);
    }
}

static void process_at_refusal(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && passing->packet.reason_code)
        publish_kept(link);
}

static bool process_at_close(struct link *link)
{
    if (!link->connected)
        publish_kept(link);
    return false;
}

FAULT_HOOKS(processes_after_refusal, .client = keep_early_publish, .server = process_at_refusal,
            .server_closed = process_at_close)

static void add_text(struct passing *passing, enum property_id id, struct text text)
{
    property_add_text(&passing->packet.properties, id, text);
    change(passing);
}

static void add_response_information(struct link *link, struct passing *passing)
{
    if (is_5(link) && is(passing, CONNACK))
        add_text(passing, RESPONSE_INFORMATION, TEXT("responses/"));
}

FAULT_HOOKS(response_information_unasked, .server = add_response_information)

static bool takes_reason_string(const struct passing *passing)
{
    enum packet_type type = passing->packet.type;
    return passing->readable &&
           ((type >= PUBACK && type <= PUBCOMP) || type == SUBACK || type == UNSUBACK);
}

static void add_problem_information(struct link *link, struct passing *passing)
{
    if (is_5(link) && takes_reason_string(passing))
        add_text(passing, REASON_STRING, TEXT("all is well"));
}

FAULT_HOOKS(problem_information_unasked, .server = add_problem_information)

static void exceed_size(struct link *link, struct passing *passing, enum property_id id)
{
    uint32_t maximum = link->maximum_packet_size;
    if (!is_5(link) || maximum > 60000)
        return;
    uint8_t *filler = proxy_scratch(maximum);
    for (uint32_t i = 0; i < maximum; i++)
        filler[i] = 'x';
    add_text(passing, id, (struct text){filler, maximum});
}

static void exceed_size_of_connack(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        exceed_size(link, passing, REASON_STRING);
}

FAULT_HOOKS(connack_exceeds_maximum_size, .server = exceed_size_of_connack)

static void exceed_size_of_others(struct link *link, struct passing *passing)
{
    if (takes_reason_string(passing) || is(passing, DISCONNECT) || is(passing, AUTH))
        exceed_size(link, passing, REASON_STRING);
}

FAULT_HOOKS(reason_string_exceeds_size, .server = exceed_size_of_others)

/* ---- Authentication ---- */

static void name_method(struct link *link, struct passing *passing)
{
    if (is_5(link) && is(passing, CONNACK) && !link_named_method(link))
        add_text(passing, AUTHENTICATION_METHOD, TEXT("GUESS"));
}

FAULT_HOOKS(method_in_connack_unasked, .server = name_method)

static void precede_with_auth(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, CONNACK) || link_named_method(link))
        return;
    struct packet auth = {.type = AUTH, .reason_code = 0x18};
    property_add_text(&auth.properties, AUTHENTICATION_METHOD, TEXT("GUESS"));
    link_to_client(link, &auth);
}

FAULT_HOOKS(auth_unasked, .server = precede_with_auth)

static void forget_method(struct passing *passing)
{
    property_remove(&passing->packet.properties, AUTHENTICATION_METHOD);
    property_remove(&passing->packet.properties, AUTHENTICATION_DATA);
    change(passing);
}

static void forget_method_in_connack(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        forget_method(passing);
}

FAULT_HOOKS(method_missing_in_connack, .server = forget_method_in_connack)

static void forget_method_in_auth(struct link *link, struct passing *passing)
{
    if (is(passing, AUTH))
        forget_method(passing);
}

FAULT_HOOKS(method_missing_in_auth, .server = forget_method_in_auth)

static void change_auth_code(struct link *link, struct passing *passing)
{
    if (!is(passing, AUTH) || passing->packet.reason_code != 0x18)
        return;
    passing->packet.reason_code = 0x19; /* only a client's to send */
    change(passing);
}

FAULT_HOOKS(wrong_auth_code, .server = change_auth_code)

static void note_reauthentication(struct link *link, struct passing *passing)
{
    if (is(passing, AUTH) && passing->packet.reason_code == 0x19)
        link->memory.flag = true;
}

static void hide_disconnect_of_auth(struct link *link, struct passing *passing)
{
    if (is(passing, DISCONNECT) && link->memory.flag)
        drop(passing);
}

static bool hide_close_of_auth(struct link *link)
{
    return link->memory.flag;
}

FAULT_HOOKS(ignores_failed_reauthentication, .client = note_reauthentication,
            .server = hide_disconnect_of_auth, .server_closed = hide_close_of_auth)
