#include "config/config.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"
#include "base/network.h"
#include "config/config_option.h"
#include "config/config_parse.h"

enum { FILE_SIZE_MAX = 1 << 20, WHY_SIZE = 512, LISTENER_NAME_MAX = 40 };

struct load {
    const char *path;
    struct config *config;
    unsigned *listener_lines; /* where each begins */
    char *error;
    size_t error_size;
};

/* ---- Sections as the table knows them ---- */

void *config_section_base(struct config *config, enum config_section section)
{
    switch (section) {
    case CONFIG_SECTION_listener:
        return &config->listeners[config->listener_count - 1];
    case CONFIG_SECTION_authentication:
        return &config->authentication;
    case CONFIG_SECTION_mqtt:
        return &config->mqtt;
    case CONFIG_SECTION_sqlite:
        return &config->sqlite;
    case CONFIG_SECTION_broker:
        return &config->broker;
    case CONFIG_SECTION_admin:
        return &config->admin;
    case CONFIG_SECTION_authorization:
        return &config->authorization;
    case CONFIG_SECTION_log:
        return &config->log;
    default:
        CHECK(section < CONFIG_SECTION_COUNT);
        return NULL;
    }
}

static enum status set_defaults(enum config_section section, void *base)
{
    for (size_t i = 0; i < config_option_count; i++) {
        if (config_options[i].section == section)
            TRY(config_option_reset(&config_options[i], base));
    }
    return STATUS_OK;
}

static void free_section(enum config_section section, void *base)
{
    for (size_t i = 0; i < config_option_count; i++) {
        if (config_options[i].section == section)
            config_option_fini(&config_options[i], base);
    }
}

void config_fini(struct config *config)
{
    for (; config->listener_count > 0; config->listener_count--) {
        struct config_listener *listener = &config->listeners[config->listener_count - 1];
        free_section(CONFIG_SECTION_listener, listener);
        free(listener->name);
        free(listener->host);
    }
    free(config->listeners);
    free(config->admin.host);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section != CONFIG_SECTION_listener)
            free_section(section, config_section_base(config, section));
    }
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config->warnings);
    *config = (struct config){0};
}

static enum status add_listener(struct load *load, unsigned line, const char *name)
{
    struct config *config = load->config;
    size_t count = config->listener_count + 1;
    struct config_listener *listeners = realloc(config->listeners, count * sizeof *listeners);
    if (listeners == NULL)
        return STATUS_NO_MEMORY;
    config->listeners = listeners;
    unsigned *lines = realloc(load->listener_lines, count * sizeof *lines);
    if (lines == NULL)
        return STATUS_NO_MEMORY;
    load->listener_lines = lines;
    lines[count - 1] = line;
    listeners[count - 1] = (struct config_listener){.name = strdup(name)};
    config->listener_count = count;
    if (listeners[count - 1].name == NULL)
        return STATUS_NO_MEMORY;
    return set_defaults(CONFIG_SECTION_listener, &listeners[count - 1]);
}

/* ---- Warnings and refusals ---- */

__attribute__((format(printf, 3, 4))) static enum status warn(struct load *load, unsigned line,
                                                              const char *format, ...)
{
    char text[WHY_SIZE];
    struct config *config = load->config;
    int used = snprintf(text, sizeof text, "%s:%u: ", load->path, line);
    if (line == 0)
        used = snprintf(text, sizeof text, "%s: ", load->path);
    if (used < 0 || (size_t)used >= sizeof text)
        used = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    char **warnings =
        realloc(config->warnings, (config->warning_count + 1) * sizeof *config->warnings);
    if (warnings == NULL)
        return STATUS_NO_MEMORY;
    config->warnings = warnings;
    warnings[config->warning_count] = strdup(text);
    if (warnings[config->warning_count] == NULL)
        return STATUS_NO_MEMORY;
    config->warning_count++;
    return STATUS_OK;
}

__attribute__((format(printf, 3, 4))) static enum status refuse(struct load *load, unsigned line,
                                                                const char *format, ...)
{
    int used = snprintf(load->error, load->error_size, "%s:%u: ", load->path, line);
    if (line == 0)
        used = snprintf(load->error, load->error_size, "%s: ", load->path);
    if (used < 0 || (size_t)used >= load->error_size)
        return STATUS_INVALID;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(load->error + used, load->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

/* ---- bind ---- */

static bool parse_port(const char *text, uint16_t *out)
{
    unsigned value = 0;
    size_t size = strlen(text);
    if (size == 0 || size > 5 || strspn(text, "0123456789") != size || (size > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < size; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* Digits and dots are meant as an IPv4 address: 127.0.0 is a slip and no host name. */
static bool host_is_sound(const char *host, bool in_brackets)
{
    struct in6_addr address;
    if (in_brackets)
        return inet_pton(AF_INET6, host, &address) == 1;
    if (strcmp(host, "*") == 0)
        return true;
    if (strspn(host, "0123456789.") == strlen(host))
        return inet_pton(AF_INET, host, &address) == 1;
    return host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789.-_")] == '\0';
}

/* "host:port", "[v6]:port", "*:port" or "port". INVALID if it is neither. */
static enum status parse_bind(const char *text, char **out_host, uint16_t *out_port)
{
    const char *host = text;
    const char *port = text;
    size_t host_size = 0;
    bool in_brackets = text[0] == '[';
    const char *colon = in_brackets ? strstr(text, "]:") : strchr(text, ':');
    if (in_brackets && colon == NULL)
        return STATUS_INVALID;
    if (colon == NULL) {
        host = "*";
        host_size = 1;
    } else {
        host += in_brackets;
        host_size = (size_t)(colon - host);
        port = colon + 1 + in_brackets;
    }
    if (host_size == 0 || !parse_port(port, out_port))
        return STATUS_INVALID;
    *out_host = strndup(host, host_size);
    if (*out_host == NULL)
        return STATUS_NO_MEMORY;
    return host_is_sound(*out_host, in_brackets) ? STATUS_OK : STATUS_INVALID;
}

/* ---- What the table cannot say: options that need or exclude each other ---- */

/* Neither side has a certificate then: an option of theirs would promise what is not kept. */
static enum status check_psk_options(struct load *load, const struct config_listener *listener,
                                     unsigned line)
{
    const char *option = listener->certificate != NULL                     ? "certificate"
                         : listener->key != NULL                           ? "key"
                         : listener->ca != NULL                            ? "ca"
                         : listener->client_certificate != TLS_CLIENT_NONE ? "client_certificate"
                         : listener->crl != NULL                           ? "crl"
                         : listener->disconnect_expired                    ? "disconnect_expired"
                         : listener->sni_directory != NULL                 ? "sni_directory"
                         : listener->ocsp_response != NULL                 ? "ocsp_response"
                                                                           : NULL;
    if (option == NULL)
        return STATUS_OK;
    return refuse(load, line, "listener '%s': 'psk_file' and '%s' exclude each other",
                  listener->name, option);
}

static enum status check_tls_options(struct load *load, const struct config_listener *listener,
                                     unsigned line)
{
    if (listener->psk_file != NULL)
        return check_psk_options(load, listener, line);
    if (listener->certificate == NULL || listener->key == NULL)
        return refuse(load, line, "listener '%s': transport = %s needs '%s'", listener->name,
                      listener->transport == LISTENER_WSS ? "wss" : "tls",
                      listener->certificate == NULL ? "certificate" : "key");
    if (listener->client_certificate != TLS_CLIENT_NONE && listener->ca == NULL)
        return refuse(load, line,
                      "listener '%s': client_certificate = %s needs 'ca', the authorities of "
                      "those certificates",
                      listener->name,
                      listener->client_certificate == TLS_CLIENT_REQUIRED ? "required"
                                                                          : "optional");
    if (listener->client_certificate == TLS_CLIENT_NONE && listener->crl != NULL)
        return refuse(load, line,
                      "listener '%s': 'crl' needs client_certificate = required or optional",
                      listener->name);
    if (listener->client_certificate == TLS_CLIENT_NONE && listener->ca != NULL)
        return warn(load, line,
                    "listener '%s': 'ca' has no effect while client_certificate is none",
                    listener->name);
    return STATUS_OK;
}

/* Whoever writes them means to have TLS; to go on in plain text would be the worst answer. */
static enum status check_tcp_options(struct load *load, const struct config_listener *listener,
                                     unsigned line)
{
    const char *option = listener->certificate != NULL                     ? "certificate"
                         : listener->key != NULL                           ? "key"
                         : listener->ca != NULL                            ? "ca"
                         : listener->client_certificate != TLS_CLIENT_NONE ? "client_certificate"
                         : listener->tls_version != TLS_LOWEST_1_2         ? "tls_version"
                         : listener->ciphers != NULL                       ? "ciphers"
                         : listener->crl != NULL                           ? "crl"
                         : listener->disconnect_expired                    ? "disconnect_expired"
                         : listener->psk_file != NULL                      ? "psk_file"
                         : listener->groups != NULL                        ? "groups"
                         : listener->alpn != NULL                          ? "alpn"
                         : listener->sni_directory != NULL                 ? "sni_directory"
                         : listener->ocsp_response != NULL                 ? "ocsp_response"
                                                                           : NULL;
    if (option == NULL)
        return STATUS_OK;
    return refuse(load, line, "listener '%s': option '%s' needs transport = tls or wss",
                  listener->name, option);
}

static enum status check_bind(struct load *load, struct config_listener *listener, unsigned line)
{
    char shown[128];
    if (listener->bind == NULL)
        return refuse(load, line,
                      "listener '%s' has no 'bind': give it an address and a port, as in "
                      "bind = \"127.0.0.1:1883\"",
                      listener->name);
    enum status status = parse_bind(listener->bind, &listener->host, &listener->port);
    if (status == STATUS_INVALID)
        return refuse(load, line,
                      "listener '%s': bind '%s' is not an address and port, as in "
                      "\"127.0.0.1:1883\", \"[::1]:1883\", \"*:1883\" or \"1883\"",
                      listener->name,
                      log_text(listener->bind, strlen(listener->bind), shown, sizeof shown));
    return status;
}

static enum status check_proxy(struct load *load, const struct config_listener *listener,
                               unsigned line)
{
    const char *rest = listener->proxy_from;
    struct network network;
    if (listener->proxy_protocol != (rest != NULL))
        return refuse(load, line,
                      "listener '%s': proxy_protocol = true and 'proxy_from' need each other",
                      listener->name);
    while (rest != NULL && network_next(&rest, &network))
        ;
    if (rest == NULL ||
        (rest[0] == '\0' && strspn(listener->proxy_from, " ") != strlen(listener->proxy_from)))
        return STATUS_OK;
    char shown[80];
    return refuse(load, line,
                  "listener '%s': proxy_from: '%s' does not begin with an address or a network, as "
                  "in \"10.0.0.0/24 fd00::7\"",
                  listener->name, log_text(rest, strlen(rest), shown, sizeof shown));
}

static bool takes_tokens(const struct config *config)
{
    return config->authentication.jwt_key_file != NULL ||
           config->authentication.jwt_secret_file != NULL;
}

static enum status check_listener(struct load *load, size_t index)
{
    struct config_listener *listener = &load->config->listeners[index];
    unsigned line = load->listener_lines[index];
    TRY(check_bind(load, listener, line));
    for (size_t i = 0; i < index; i++) {
        const struct config_listener *other = &load->config->listeners[i];
        if (other->port == listener->port && listener->port != 0 &&
            strcmp(other->host, listener->host) == 0)
            return refuse(load, line, "listener '%s': '%s' is the address of listener '%s' too",
                          listener->name, listener->bind, other->name);
    }
    TRY(config_listener_has_tls(listener) ? check_tls_options(load, listener, line)
                                          : check_tcp_options(load, listener, line));
    TRY(check_proxy(load, listener, line));
    if (listener->allowed_origins != NULL && !config_listener_has_websocket(listener))
        return refuse(load, line,
                      "listener '%s': option 'allowed_origins' needs transport = ws or wss",
                      listener->name);
    if (listener->certificate_user != CERTIFICATE_USER_NONE &&
        listener->client_certificate == TLS_CLIENT_NONE)
        return refuse(
            load, line,
            "listener '%s': option 'certificate_user' needs client_certificate = optional "
            "or required",
            listener->name);
    if (!listener->allow_anonymous && listener->client_certificate == TLS_CLIENT_NONE &&
        listener->psk_file == NULL && load->config->authentication.password_file == NULL &&
        !takes_tokens(load->config))
        TRY(warn(load, line,
                 "listener '%s' refuses every client: it neither allows anonymous ones nor asks "
                 "for certificates, and there is neither a password_file nor a key of tokens",
                 listener->name));
    return STATUS_OK;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static enum status check_admin(struct load *load)
{
    struct config_admin *admin = &load->config->admin;
    char shown[128];
    if (admin->http == NULL)
        return STATUS_OK;
    enum status status = parse_bind(admin->http, &admin->host, &admin->port);
    if (status == STATUS_INVALID)
        return refuse(load, 0,
                      "admin: http '%s' is not an address and port, as in "
                      "\"127.0.0.1:9883\" or \"[::1]:9883\"",
                      log_text(admin->http, strlen(admin->http), shown, sizeof shown));
    TRY(status);
#ifndef SEEDED_BUG_ADMIN_OPEN
    if (admin->token_file == NULL && !is_loopback(admin->host))
        return refuse(load, 0,
                      "admin: http '%s' can be reached from elsewhere, and needs 'token_file'",
                      admin->http);
#endif
    return STATUS_OK;
}

static enum status check_rest(struct load *load)
{
    const struct config *config = load->config;
    const char *directory = config->sqlite.mounted_file_path;
    if (config->mqtt.max_keepalive_s > 0 &&
        config->mqtt.min_keepalive_s > config->mqtt.max_keepalive_s)
        return refuse(load, 0, "min_keepalive is above max_keepalive");
    if (config->mqtt.keepalive_multiplier != 1.5)
        TRY(warn(load, 0,
                 "keepalive_multiplier is not 1.5, which does not conform to MQTT "
                 "[MQTT-3.1.2-22]"));
    if (config->sqlite.durability == STORE_DURABILITY_FLUSH)
        TRY(warn(load, 0, "durability = flush acknowledges messages that a crash can still lose"));
    if (config->sqlite.durability == STORE_DURABILITY_NONE)
        TRY(warn(load, 0,
                 "durability = none: a stop of the broker loses every session and message"));
    if (!takes_tokens(config) &&
        (config->authentication.jwt_audience != NULL || config->authentication.jwt_issuer != NULL))
        return refuse(load, 0, "jwt_audience and jwt_issuer need jwt_key_file or jwt_secret_file");
    TRY(check_admin(load));
    struct stat found;
    if (stat(directory, &found) == 0 && !S_ISDIR(found.st_mode))
        return refuse(load, 0,
                      "mounted_file_path '%s' is not a directory: the store is several files, and "
                      "needs one of its own",
                      directory);
    if (directory[0] != '/')
        TRY(warn(load, 0,
                 "mounted_file_path '%s' is relative: started elsewhere, the broker finds "
                 "another store, and none of its sessions",
                 directory));
    return STATUS_OK;
}

/* ---- Defaults that are not a constant ---- */

static enum status join(const char *directory, const char *rest, char **out)
{
    if (asprintf(out, "%s%s", directory, rest) < 0) {
        *out = NULL;
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

/* Never below the working directory: a broker started from another place would come up empty, and
 * what it holds for others would seem lost. */
static enum status default_directory(char **out)
{
    const char *service = getenv("STATE_DIRECTORY"); /* systemd: one path, or several with colons */
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (service != NULL && service[0] == '/' && strchr(service, ':') == NULL)
        return join(service, "/", out);
    if (geteuid() == 0)
        return join("/var/lib/holdfast/", "", out);
    if (state != NULL && state[0] == '/')
        return join(state, "/holdfast/", out);
    if (home != NULL && home[0] == '/')
        return join(home, "/.local/state/holdfast/", out);
    return join("/var/lib/holdfast/", "", out);
}

static enum status default_listener(struct load *load)
{
    TRY(add_listener(load, 0, "default"));
    struct config_listener *listener = &load->config->listeners[0];
    listener->allow_anonymous = true; /* only this machine can reach it */
    listener->bind = strdup("127.0.0.1:1883");
    return listener->bind != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- Loading ---- */

static enum status on_listener(void *context, unsigned line, const char *name, char *why,
                               size_t why_size)
{
    char shown[64];
    if (name[0] == '\0' || strlen(name) > LISTENER_NAME_MAX ||
        strcmp(log_text(name, strlen(name), shown, sizeof shown), name) != 0) {
        snprintf(why, why_size, "a listener's name is 1 to %d printable characters",
                 LISTENER_NAME_MAX);
        return STATUS_INVALID;
    }
    return add_listener(context, line, name);
}

static enum status on_option(void *context, unsigned line, const struct config_option *option,
                             const char *value, char *why, size_t why_size)
{
    struct load *load = context;
    return config_option_set(option, config_section_base(load->config, option->section), value, why,
                             why_size);
}

/* In the store's directory, where there is one. A path that is too long for a socket is none. */
static enum status default_control(struct config *config)
{
    enum { PATH_SIZE = 107 };
    const char *directory = config->sqlite.mounted_file_path;
    size_t size = strlen(directory);
    char path[4096 + 16];
    snprintf(path, sizeof path, "%s%sholdfast.sock", directory,
             size > 0 && directory[size - 1] == '/' ? "" : "/");
    if (config->sqlite.durability == STORE_DURABILITY_NONE || strlen(path) > PATH_SIZE)
        path[0] = '\0';
    config->broker.control = strdup(path);
    return config->broker.control != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status load_sections(struct load *load, struct bytes text)
{
    const struct config_parse_handler handler = {
        .context = load, .listener = on_listener, .option = on_option};
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section != CONFIG_SECTION_listener)
            TRY(set_defaults(section, config_section_base(load->config, section)));
    }
    TRY(config_parse(load->path, text, &handler, load->error, load->error_size));
    if (load->config->listener_count == 0)
        TRY(default_listener(load));
    if (load->config->sqlite.mounted_file_path == NULL)
        TRY(default_directory(&load->config->sqlite.mounted_file_path));
    if (load->config->broker.control == NULL)
        TRY(default_control(load->config));
    for (size_t i = 0; i < load->config->listener_count; i++)
        TRY(check_listener(load, i));
    return check_rest(load);
}

enum status config_load_text(const char *path, struct bytes text, struct config *out, char *error,
                             size_t error_size)
{
    static const uint8_t byte_order_mark[] = {0xef, 0xbb, 0xbf};
    struct load load = {.path = path, .config = out, .error = error, .error_size = error_size};
    *out = (struct config){0};
    error[0] = '\0';
    if (text.size >= 3 && memcmp(text.data, byte_order_mark, 3) == 0)
        text = bytes_of(text.data + 3, text.size - 3);
    enum status status = load_sections(&load, text);
    free(load.listener_lines);
    if (status == STATUS_OK)
        return STATUS_OK;
    config_fini(out);
    if (error[0] == '\0')
        snprintf(error, error_size, "%s: %s", path, status_text(status));
    return status;
}

enum status config_load(const char *path, struct config *out, char *error, size_t error_size)
{
    struct buffer text = {0};
    if (path == NULL)
        return config_load_text("default configuration", bytes_of(NULL, 0), out, error, error_size);
    /* Not libconfuse, which ends the process when it is given a directory. */
    enum status status = file_read(path, FILE_SIZE_MAX, &text, error, error_size);
    if (status == STATUS_OK)
        status = config_load_text(path, bytes_of(text.data, text.size), out, error, error_size);
    buffer_fini(&text);
    return status;
}
