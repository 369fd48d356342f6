#include "conformance/fault/authenticator.h"

#include <stdlib.h>

#include "conformance/fault/proxy.h"

static const struct fault_hooks *hooks(void)
{
    return proxy_settings()->fault->hooks;
}

static enum authenticator_breach breach(void)
{
    return hooks()->authentication;
}

/* ---- The two methods ---- */

static struct text method_of(const struct link *link)
{
    return link->authenticator.by_scram ? TEXT(SCRAM_METHOD) : TEXT(AUTHENTICATOR_METHOD);
}

static bool names(const struct packet *packet, struct text wanted)
{
    const struct property *method = property_find(&packet->properties, AUTHENTICATION_METHOD);
    return method && text_equal(method->text, wanted);
}

static bool names_the_method(const struct link *link, const struct packet *packet)
{
    return names(packet, method_of(link)) || breach() == AUTHENTICATOR_TAKES_ANY_METHOD;
}

static struct text data_of(const struct packet *packet)
{
    const struct property *data = property_find(&packet->properties, AUTHENTICATION_DATA);
    return data ? data->text : TEXT("");
}

/* What the client says first, and the question in return. */
static bool take_hello(struct link *link, const struct packet *packet, struct text *question)
{
    struct authenticator *own = &link->authenticator;
    *question = TEXT("who is there?");
    if (!own->by_scram)
        return text_equal(data_of(packet), TEXT(AUTHENTICATOR_HELLO));
    bool taken = scram_server_first(&own->scram, hooks()->scram, data_of(packet));
    *question = text_of(own->scram.out);
    return taken;
}

/* What it answers, and what is said to whom is let in. */
static bool answer_fits(struct link *link, const struct packet *packet)
{
    struct authenticator *own = &link->authenticator;
    bool takes_any = breach() == AUTHENTICATOR_TAKES_ANY_ANSWER;
    if (own->by_scram)
        return scram_server_final(&own->scram, hooks()->scram, takes_any, data_of(packet));
    return takes_any || text_equal(data_of(packet), TEXT(AUTHENTICATOR_ANSWER));
}

static struct text welcome_of(const struct link *link)
{
    return link->authenticator.by_scram ? text_of(link->authenticator.scram.out) : TEXT("welcome");
}

/* ---- The exchange ---- */

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
    property_add_text(&auth.properties, AUTHENTICATION_METHOD, method_of(link));
    property_add_text(&auth.properties, AUTHENTICATION_DATA, data);
    if (fits(link, &auth))
        link_from_server(link, &auth);
    else
        close_silently(link);
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

static bool takes_code(const struct packet *auth, uint8_t code)
{
    return auth->reason_code == code || breach() == AUTHENTICATOR_TAKES_ANY_CODE;
}

static void take_connect(struct link *link, const struct passing *passing)
{
    struct packet connect = passing->packet;
    struct text question;
    struct buffer bytes = {0};
    link->authenticator.by_scram = names(&connect, TEXT(SCRAM_METHOD));
    if (!take_hello(link, &connect, &question)) {
        refuse(link, 0x87);
        return;
    }
    property_remove(&connect.properties, AUTHENTICATION_METHOD);
    property_remove(&connect.properties, AUTHENTICATION_DATA);
    packet_write(&bytes, link->version, &connect);
    link->authenticator.connect = kept_new(bytes.data, bytes.size, false);
    buffer_free(&bytes);
    link->authenticator.state = AUTHENTICATOR_ASKED;
    send_auth(link, 0x18, question);
}

static void take_answer(struct link *link, const struct passing *passing)
{
    struct authenticator *own = &link->authenticator;
    const struct packet *auth = &passing->packet;
    if (!is(passing, AUTH) || !takes_code(auth, 0x18)) {
        refuse(link, 0x82);
    } else if (!names_the_method(link, auth)) {
        refuse(link, 0x8C);
    } else if (!answer_fits(link, auth)) {
        refuse(link, 0x87);
    } else {
        own->state = AUTHENTICATOR_ANSWERED;
        link_to_server_bytes(link, own->connect->bytes, own->connect->size);
    }
}

static void take_auth_again(struct link *link, const struct packet *auth)
{
    bool asked = link->authenticator.state == AUTHENTICATOR_ASKED_AGAIN;
    struct text question;
    if (!takes_code(auth, asked ? 0x18 : 0x19) || !names_the_method(link, auth)) {
        refuse(link, 0x82);
    } else if (breach() == AUTHENTICATOR_REFUSES_AGAIN ||
               !(asked ? answer_fits(link, auth) : take_hello(link, auth, &question))) {
        refuse(link, 0x87);
    } else if (!asked) {
        link->authenticator.state = AUTHENTICATOR_ASKED_AGAIN;
        send_auth(link, 0x18, question);
    } else {
        link->authenticator.state = AUTHENTICATOR_DONE;
        send_auth(link, 0x00, welcome_of(link));
    }
}

bool authenticator_client(struct link *link, const struct passing *passing)
{
    switch (link->authenticator.state) {
    case AUTHENTICATOR_NONE:
        if (!is_5(link) || link->connects != 1 || !is(passing, CONNECT) ||
            !(names(&passing->packet, TEXT(AUTHENTICATOR_METHOD)) ||
              names(&passing->packet, TEXT(SCRAM_METHOD))))
            return false;
        take_connect(link, passing);
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
    property_add_text(&passing->packet.properties, AUTHENTICATION_METHOD, method_of(link));
    property_add_text(&passing->packet.properties, AUTHENTICATION_DATA, welcome_of(link));
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
