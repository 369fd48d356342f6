#include "conformance/fault/authenticator.h"
#include "conformance/fault/fault.h"

#include <stdlib.h>

static bool names_the_method(const struct packet *packet)
{
    const struct property *method = property_find(&packet->properties, AUTHENTICATION_METHOD);
    return method && text_equal(method->text, TEXT(AUTHENTICATOR_METHOD));
}

static bool says(const struct packet *packet, struct text wanted)
{
    const struct property *data = property_find(&packet->properties, AUTHENTICATION_DATA);
    return names_the_method(packet) && data && text_equal(data->text, wanted);
}

/* Within the client's Maximum Packet Size. */
static bool fits(const struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    bool fits = bytes.size <= link->maximum_packet_size;
    buffer_free(&bytes);
    return fits;
}

static void close_silently(struct link *link)
{
    link->authenticator.state = AUTHENTICATOR_NONE;
    link_server_gone(link);
}

static void send_auth(struct link *link, uint8_t reason_code, struct text data)
{
    struct packet auth = {.type = AUTH, .reason_code = reason_code};
    property_add_text(&auth.properties, AUTHENTICATION_METHOD, TEXT(AUTHENTICATOR_METHOD));
    property_add_text(&auth.properties, AUTHENTICATION_DATA, data);
    if (fits(link, &auth))
        link_from_server(link, &auth);
    else
        close_silently(link);
}

static void ask(struct link *link, enum authenticator_state state)
{
    link->authenticator.state = state;
    send_auth(link, 0x18, TEXT("who is there?"));
}

/* As a server would: the one behind knows nothing of it and sees the client go. */
static void refuse(struct link *link, uint8_t reason_code)
{
    enum packet_type type = link->authenticator.state < AUTHENTICATOR_DONE ? CONNACK : DISCONNECT;
    struct packet packet = {.type = type, .reason_code = reason_code};
    if (fits(link, &packet))
        link_from_server(link, &packet);
    close_silently(link);
}

static void hold_connect(struct link *link, const struct passing *passing)
{
    struct packet connect = passing->packet;
    struct buffer bytes = {0};
    property_remove(&connect.properties, AUTHENTICATION_METHOD);
    property_remove(&connect.properties, AUTHENTICATION_DATA);
    packet_write(&bytes, link->version, &connect);
    link->authenticator.connect = kept_new(bytes.data, bytes.size, false);
    buffer_free(&bytes);
    ask(link, AUTHENTICATOR_ASKED);
}

static void take_answer(struct link *link, const struct passing *passing)
{
    struct authenticator *own = &link->authenticator;
    if (!is(passing, AUTH) || passing->packet.reason_code != 0x18) {
        refuse(link, 0x82);
        return;
    }
    if (!says(&passing->packet, TEXT(AUTHENTICATOR_ANSWER))) {
        refuse(link, names_the_method(&passing->packet) ? 0x87 : 0x8C);
        return;
    }
    own->state = AUTHENTICATOR_ANSWERED;
    link_to_server_bytes(link, own->connect->bytes, own->connect->size);
}

static void take_auth_again(struct link *link, const struct packet *auth)
{
    bool asked = link->authenticator.state == AUTHENTICATOR_ASKED_AGAIN;
    if (auth->reason_code != (asked ? 0x18 : 0x19))
        refuse(link, 0x82);
    else if (!says(auth, asked ? TEXT(AUTHENTICATOR_ANSWER) : TEXT(AUTHENTICATOR_HELLO)))
        refuse(link, names_the_method(auth) ? 0x87 : 0x82);
    else if (!asked)
        ask(link, AUTHENTICATOR_ASKED_AGAIN);
    else {
        link->authenticator.state = AUTHENTICATOR_DONE;
        send_auth(link, 0x00, TEXT("welcome"));
    }
}

bool authenticator_client(struct link *link, const struct passing *passing)
{
    switch (link->authenticator.state) {
    case AUTHENTICATOR_NONE:
        if (!is_5(link) || link->connects != 1 || !is(passing, CONNECT) ||
            !names_the_method(&passing->packet))
            return false;
        if (says(&passing->packet, TEXT(AUTHENTICATOR_HELLO)))
            hold_connect(link, passing);
        else
            refuse(link, 0x87);
        return true;
    case AUTHENTICATOR_ASKED:
        take_answer(link, passing);
        return true;
    case AUTHENTICATOR_ANSWERED:
        return false;
    case AUTHENTICATOR_DONE:
    case AUTHENTICATOR_ASKED_AGAIN:
        if (!is(passing, AUTH))
            return false;
        take_auth_again(link, &passing->packet);
        return true;
    }
    return false;
}

void authenticator_server(struct link *link, struct passing *passing)
{
    if (link->authenticator.state != AUTHENTICATOR_ANSWERED || !is(passing, CONNACK) ||
        passing->packet.reason_code != 0)
        return;
    link->authenticator.state = AUTHENTICATOR_DONE;
    property_add_text(&passing->packet.properties, AUTHENTICATION_METHOD,
                      TEXT(AUTHENTICATOR_METHOD));
    property_add_text(&passing->packet.properties, AUTHENTICATION_DATA, TEXT("welcome"));
    change(passing);
    if (fits(link, &passing->packet))
        return;
    drop(passing);
    close_silently(link);
}

void authenticator_fini(struct authenticator *authenticator)
{
    free(authenticator->connect);
    authenticator->connect = NULL;
}
