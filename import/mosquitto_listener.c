#include "import/mosquitto_listener.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- What was given ---- */

void given_add(struct given_list *list, const char *name, const char *value,
               struct draft_place place)
{
    size_t size = strlen(value) + 1;
    list->items = memory_resize(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = (struct given){
        .name = name, .value = memcpy(memory_take(size), value, size), .place = place};
}

const struct given *given_find(const struct given_list *list, const char *name)
{
    for (size_t i = list->count; i > 0; i--) {
        if (strcmp(list->items[i - 1].name, name) == 0)
            return &list->items[i - 1];
    }
    return NULL;
}

void given_fini(struct given_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].value);
    free(list->items);
}

void mosquitto_listeners_fini(struct mosquitto_listeners *listeners)
{
    given_fini(&listeners->unnamed.given);
    given_fini(&listeners->security);
    for (size_t i = 0; i < listeners->count; i++) {
        free(listeners->items[i].host);
        given_fini(&listeners->items[i].given);
    }
    free(listeners->items);
}

/* ---- One listener ---- */

/* A listener on its way into the draft. */
struct work {
    const struct mosquitto_listeners *all;
    const struct mosquitto_listener *from;
    const struct given_list *security; /* its own or everybody's */
    struct draft *draft;
    struct draft_listener *to;
    bool has_tls, local_only;
};

static const struct given *option(const struct work *work, const char *name)
{
    return given_find(&work->from->given, name);
}

/* Like mosquitto; whatever it would not take for a truth has been remarked, and is false. */
static bool is_true(const struct given *given)
{
    return given != NULL && (strcmp(given->value, "true") == 0 || strcmp(given->value, "1") == 0);
}

static void leave_out(struct work *work, const struct given *given, const char *why)
{
    draft_leave_out(work->draft, given->place, work->to, given->name, why);
}

static void set(struct work *work, struct draft_place place, const char *name, const char *value)
{
    draft_listener_set(work->draft, place, work->to, name, value);
}

/* Under Holdfast's name, as it stands. */
static void take(struct work *work, const char *name, const char *as)
{
    const struct given *given = option(work, name);
    if (given != NULL)
        set(work, given->place, as, given->value);
}

static void bind_to(struct work *work, const char *host, unsigned port)
{
    char bind[400];
    bool is_ipv6 = strchr(host, ':') != NULL;
    snprintf(bind, sizeof bind, "%s%s%s:%u", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
    set(work, work->from->place, "bind", bind);
}

/* Without an address: every one, or those of one family. */
static const char *host_of(const struct work *work)
{
    const struct given *domain = option(work, "socket_domain");
    const struct given *address = option(work, "bind_address");
    if (work->local_only)
        return "127.0.0.1";
    if (work->from->host != NULL)
        return work->from->host;
    if (address != NULL)
        return address->value;
    if (domain == NULL)
        return "*";
    return strcmp(domain->value, "ipv4") == 0 ? "0.0.0.0" : "::";
}

static unsigned port_of(const struct work *work)
{
    const struct given *port = option(work, "port");
    if (work->from->port != 0)
        return work->from->port;
    return port != NULL ? (unsigned)strtoul(port->value, NULL, 10) : 1883;
}

static bool has_websocket(const struct work *work)
{
    const struct given *protocol = option(work, "protocol");
    return protocol != NULL && strcmp(protocol->value, "websockets") == 0;
}

static const char *transport_of(const struct work *work)
{
    if (has_websocket(work))
        return work->has_tls ? "wss" : "ws";
    return work->has_tls ? "tls" : "tcp";
}

/* What kept somebody out, and cannot be kept. */
static void look_for_what_is_missing(struct work *work)
{
    static const struct {
        const char *name, *why;
    } missing[] = {
        {"bind_interface", "it kept other interfaces out: give 'bind' an address of that one"},
        {"mount_point", "its clients would see topics outside of it"},
        {"tls_engine", "keys are read from files alone"},
        {"tls_keyform", "keys are read from files alone"},
    };
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        const struct given *given = option(work, missing[i].name);
        if (given != NULL)
            leave_out(work, given, missing[i].why);
    }
    const struct given *protocol = option(work, "protocol");
    if (protocol != NULL && strcmp(protocol->value, "mqtt") != 0 && !has_websocket(work))
        leave_out(work, protocol, "it is neither mqtt nor websockets");
    if (work->from->place.line != 0 && work->from->port == 0)
        draft_leave_out(work->draft, work->from->place, work->to, "listener",
                        "there are no Unix sockets");
}

/* ---- TLS ---- */

static void set_lowest_version(struct work *work)
{
    const struct given *version = option(work, "tls_version");
    if (version == NULL)
        return;
    bool known = strcmp(version->value, "tlsv1.3") == 0 || strcmp(version->value, "tlsv1.2") == 0;
    if (!known)
        draft_remark(work->draft, version->place, "tls_version", "TLS 1.2 is the lowest there is");
    else
        set(work, version->place, "tls_version", version->value);
}

/* A certificate that is proof enough here was not there, unless it gave the user's name. */
static void set_client_certificate(struct work *work, bool names_user, bool allows_anonymous)
{
    const struct given *required = option(work, "require_certificate");
    const struct given *directory = option(work, "capath");
    if (directory != NULL)
        draft_remark(work->draft, directory->place, "capath",
                     "there is 'ca', one file with all authorities");
    if (!is_true(required))
        return;
    set(work, required->place, "client_certificate", "required");
    take(work, "cafile", "ca");
    take(work, "crlfile", "crl");
    if (option(work, "cafile") == NULL)
        leave_out(work, required, "without cafile nobody's certificate can be checked");
    if (!names_user && !allows_anonymous)
        leave_out(work, required,
                  "a certificate alone lets a client in, which had to give a password, too; "
                  "see certificate_user");
}

/* As with certificates; a listener of Holdfast's has one or the other. */
static void set_psk(struct work *work, bool names_user, bool allows_anonymous)
{
    const struct given *hint = option(work, "psk_hint");
    const struct given *file = given_find(work->security, "psk_file");
    if (file == NULL) {
        leave_out(work, hint, "there is no psk_file");
        return;
    }
    set(work, file->place, "psk_file", file->value);
    set_lowest_version(work);
    if (option(work, "certfile") != NULL)
        leave_out(work, hint, "a listener has certificates or pre-shared keys");
    if (!names_user && !allows_anonymous)
        leave_out(work, hint, "a key alone lets a client in, which had to give a password, too");
}

static void set_tls(struct work *work)
{
    static const char *const suites[] = {"ciphers", "ciphers_tls1.3"};
    take(work, "certfile", "certificate");
    take(work, "keyfile", "key");
    set_lowest_version(work);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        const struct given *given = option(work, suites[i]);
        if (given != NULL)
            draft_warn(work->draft, given->place, given->name,
                       "the suites of Holdfast's default are left, which all have ephemeral keys "
                       "and authenticated encryption; 'ciphers' takes wolfSSL's names");
    }
    const struct given *half = option(work, "certfile");
    if (half == NULL || option(work, "keyfile") == NULL)
        draft_leave_out(work->draft, work->from->place, work->to, "certfile",
                        "there have to be a certificate and a key");
}

/* ---- Who may connect ---- */

/* Whether there are certificates at all, of which a name could be taken: mosquitto lets nobody in
 * whom it has not asked for one, and does not look without TLS. */
static bool asks_for_certificates(struct work *work, const struct given *name)
{
    if (!work->has_tls)
        draft_remark(work->draft, name->place, name->name,
                     "without TLS there are no certificates: it does nothing");
    else if (!is_true(option(work, "require_certificate")))
        leave_out(work, name, "no certificate is asked for, and without one it let nobody in");
    else
        return true;
    return false;
}

static bool set_user_names(struct work *work)
{
    const struct given *common_name = option(work, "use_identity_as_username");
    const struct given *subject = option(work, "use_subject_as_username");
    const struct given *identifier = option(work, "use_username_as_clientid");
    if (is_true(identifier)) {
        set(work, identifier->place, "client_id_binding", "user_name");
        draft_remark(work->draft, identifier->place, identifier->name,
                     "a client has to give its user name as its Client Identifier: it is refused "
                     "with another, and not given that one");
    }
    if (option(work, "psk_hint") != NULL) {
        set(work, work->from->place, "psk_user", is_true(common_name) ? "identity" : "none");
        return is_true(common_name);
    }
    const struct given *name = is_true(common_name) ? common_name : subject;
    if (!is_true(name) || !asks_for_certificates(work, name))
        return false;
    if (name == common_name) {
        set(work, common_name->place, "certificate_user", "common_name");
        return true;
    }
    set(work, subject->place, "certificate_user", "subject");
    draft_remark(work->draft, subject->place, subject->name,
                 "subjects are written as in \"CN=sensor-7,O=Acme\": compare those in acl_file");
    return true;
}

static bool set_anonymous(struct work *work)
{
    const struct given *given = given_find(work->security, "allow_anonymous");
    bool allowed = given != NULL ? is_true(given) : work->local_only;
#ifdef SEEDED_BUG_IMPORT_OPENS
    allowed = allowed || given == NULL;
#endif
    struct draft_place place = given != NULL ? given->place : work->from->place;
    set(work, place, "allow_anonymous", allowed ? "true" : "false");
    if (work->local_only && given != NULL && !allowed)
        draft_remark(work->draft, place, given->name,
                     "mosquitto without a listener lets everybody in all the same");
    return allowed;
}

/* There is one password file, and one access control list. A listener that had another one than the
 * first is left out; one that had none has it now, too. */
static void hold_against(struct work *work, const char *name, enum config_section section,
                         bool let_nobody_in)
{
    const struct given *mine = given_find(work->security, name);
    const struct config_option *found = config_option_find(section, name);
    char **values = work->draft->values;
    const char *everybodys = values != NULL ? values[found - config_options] : NULL;
    if (mine == NULL && everybodys == NULL)
        return;
#ifdef SEEDED_BUG_IMPORT_MIXES_USERS
    return;
#endif
    if (mine != NULL && (everybodys == NULL || strcmp(everybodys, mine->value) != 0))
        leave_out(work, mine, "there is one for all listeners, and it is another's");
    else if (mine == NULL && let_nobody_in)
        draft_leave_out(work->draft, work->from->place, work->to, name,
                        "it had none, and let nobody in");
    else if (mine == NULL && work->to->left_out == NULL)
        draft_remark(work->draft, work->from->place, name,
                     "listener \"%s\" had none, and has that of the others now", work->to->name);
}

static void look_for_plugins(struct work *work)
{
    static const char *const names[] = {"plugin", "auth_plugin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct given *given = given_find(work->security, names[i]);
        if (given != NULL)
            leave_out(work, given, "there are no plugins: what it refused would not be refused");
    }
}

/* ---- Limits ---- */

static void set_limits(struct work *work)
{
    const struct given *connections = option(work, "max_connections");
    if (connections != NULL && connections->value[0] != '-')
        set(work, connections->place, "max_connections", connections->value);
    if (connections != NULL && strcmp(connections->value, "0") == 0)
        leave_out(work, connections, "it let nobody in, and 0 is no limit here");
}

/* MQTT's own limits are everybody's: the lowest that a listener had. */
static void lower(struct work *work, const char *name, const char *as)
{
    const struct given *given = option(work, name);
    if (given == NULL)
        return;
    const struct config_option *found = config_option_find(CONFIG_SECTION_mqtt, as);
    const char *set_before =
        work->draft->values != NULL ? work->draft->values[found - config_options] : NULL;
    if (set_before == NULL || strtoul(given->value, NULL, 10) < strtoul(set_before, NULL, 10))
        draft_set(work->draft, given->place, CONFIG_SECTION_mqtt, as, given->value);
    if (work->all->count > 1)
        draft_remark(work->draft, given->place, name,
                     "it holds for all listeners: the lowest of theirs");
}

/* ---- All ---- */

static void finish(struct work *work)
{
    work->has_tls = option(work, "certfile") != NULL || option(work, "keyfile") != NULL ||
                    option(work, "psk_hint") != NULL ||
                    is_true(option(work, "require_certificate"));
    const char *transport = transport_of(work);
    work->to = draft_listener(work->draft, transport, port_of(work));
    bind_to(work, host_of(work), port_of(work));
    set(work, work->from->place, "transport", transport);
    look_for_what_is_missing(work);
    bool names_user = set_user_names(work), allows_anonymous = set_anonymous(work);
    if (option(work, "psk_hint") != NULL) {
        set_psk(work, names_user, allows_anonymous);
    } else if (work->has_tls) {
        set_tls(work);
        set_client_certificate(work, names_user, allows_anonymous);
    }
    look_for_plugins(work);
    hold_against(work, "password_file", CONFIG_SECTION_authentication,
                 !names_user && !allows_anonymous);
    hold_against(work, "acl_file", CONFIG_SECTION_authorization, false);
    set_limits(work);
    lower(work, "max_qos", "max_qos");
    lower(work, "maximum_qos", "max_qos");
    lower(work, "max_topic_alias", "max_topic_alias");
}

/* Everybody's, or the first that a listener has. */
static void set_first(const struct mosquitto_listeners *all, struct draft *draft, const char *name,
                      enum config_section section)
{
    const struct given *first =
        given_find(all->per_listener ? &all->unnamed.given : &all->security, name);
    for (size_t i = 0; first == NULL && all->per_listener && i < all->count; i++)
        first = given_find(&all->items[i].given, name);
    if (first != NULL)
        draft_set(draft, first->place, section, name, first->value);
}

static void finish_one(const struct mosquitto_listeners *all, const struct mosquitto_listener *one,
                       bool local_only, struct draft *draft)
{
    struct work work = {
        .all = all,
        .from = one,
        .security = all->per_listener ? &one->given : &all->security,
        .draft = draft,
        .local_only = local_only,
    };
    finish(&work);
}

/* mosquitto opens a listener for options that stand before any `listener` line, where one of them
 * is about more than who may do what, and is not what it is without it. */
static bool opens_unnamed(const struct given_list *list)
{
    static const char *const others[] = {"allow_anonymous", "acl_file", "max_topic_alias",
                                         "tls_version"};
    static const char *const defaults[] = {"false", "0", "-1", "mqtt"};
    for (size_t i = 0; i < list->count; i++) {
        const struct given *given = &list->items[i];
        bool counts = strcmp(given->name, "max_qos") != 0 || strcmp(given->value, "2") != 0;
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            counts = counts && strcmp(given->name, others[k]) != 0;
        for (size_t k = 0; k < sizeof defaults / sizeof *defaults; k++)
            counts = counts && strcmp(given->value, defaults[k]) != 0;
        if (counts)
            return true;
    }
    return false;
}

void mosquitto_listeners_finish(const struct mosquitto_listeners *all, struct draft *draft)
{
    bool opens = opens_unnamed(&all->unnamed.given);
    set_first(all, draft, "password_file", CONFIG_SECTION_authentication);
    set_first(all, draft, "acl_file", CONFIG_SECTION_authorization);
    if (opens || all->count == 0)
        finish_one(all, &all->unnamed, !opens, draft);
    for (size_t i = 0; i < all->count; i++)
        finish_one(all, &all->items[i], false, draft);
}
