#include "config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
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

/* Where the options of a section go; the latest listener for listeners. */
static void *section_base(struct config *config, enum config_section section)
{
    switch (section) {
    case CONFIG_SECTION_listener:
        return &config->listeners[config->listener_count - 1];
    case CONFIG_SECTION_mqtt:
        return &config->mqtt;
    case CONFIG_SECTION_sqlite:
        return &config->sqlite;
    case CONFIG_SECTION_broker:
        return &config->broker;
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
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section != CONFIG_SECTION_listener)
            free_section(section, section_base(config, section));
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

static enum status check_tls_options(struct load *load, const struct config_listener *listener,
                                     unsigned line)
{
    if (listener->certificate == NULL || listener->key == NULL)
        return refuse(load, line, "listener '%s': transport = tls needs '%s'", listener->name,
                      listener->certificate == NULL ? "certificate" : "key");
    if (listener->client_certificate != TLS_CLIENT_NONE && listener->ca == NULL)
        return refuse(load, line,
                      "listener '%s': client_certificate = %s needs 'ca', the authorities of "
                      "those certificates",
                      listener->name,
                      listener->client_certificate == TLS_CLIENT_REQUIRED ? "required"
                                                                          : "optional");
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
                                                                           : NULL;
    if (option == NULL)
        return STATUS_OK;
    return refuse(load, line, "listener '%s': option '%s' needs transport = tls", listener->name,
                  option);
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
    TRY(listener->transport == LISTENER_TLS ? check_tls_options(load, listener, line)
                                            : check_tcp_options(load, listener, line));
    if (!listener->allow_anonymous && listener->client_certificate == TLS_CLIENT_NONE)
        TRY(warn(load, line,
                 "listener '%s' refuses every client: it neither allows anonymous ones nor asks "
                 "for certificates",
                 listener->name));
    return STATUS_OK;
}

static enum status check_rest(struct load *load)
{
    const struct config *config = load->config;
    const char *directory = config->sqlite.mounted_file_path;
    if (config->mqtt.keepalive_multiplier != 1.5)
        TRY(warn(load, 0,
                 "keepalive_multiplier is not 1.5, which does not conform to MQTT "
                 "[MQTT-3.1.2-22]"));
    if (config->sqlite.durability == STORE_DURABILITY_FLUSH)
        TRY(warn(load, 0, "durability = flush acknowledges messages that a crash can still lose"));
    if (config->sqlite.durability == STORE_DURABILITY_NONE)
        TRY(warn(load, 0,
                 "durability = none: a stop of the broker loses every session and message"));
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
    return config_option_set(option, section_base(load->config, option->section), value, why,
                             why_size);
}

static enum status load_sections(struct load *load, struct bytes text)
{
    const struct config_parse_handler handler = {
        .context = load, .listener = on_listener, .option = on_option};
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section != CONFIG_SECTION_listener)
            TRY(set_defaults(section, section_base(load->config, section)));
    }
    TRY(config_parse(load->path, text, &handler, load->error, load->error_size));
    if (load->config->listener_count == 0)
        TRY(default_listener(load));
    if (load->config->sqlite.mounted_file_path == NULL)
        TRY(default_directory(&load->config->sqlite.mounted_file_path));
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

/* Ours and not libconfuse's, which ends the process when it is given a directory. Pipes are
 * welcome: -c /dev/stdin. */
static enum status read_all(int fd, const char *path, struct buffer *out, char *error,
                            size_t error_size)
{
    for (;;) {
        TRY(buffer_reserve(out, 4096));
        ssize_t got = read(fd, out->data + out->size, out->capacity - out->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            snprintf(error, error_size, "%s: %s", path, strerror(errno));
            return STATUS_IO;
        }
        if (got == 0)
            return STATUS_OK;
        out->size += (size_t)got;
        if (out->size > FILE_SIZE_MAX) {
            snprintf(error, error_size, "%s: larger than a configuration can be", path);
            return STATUS_INVALID;
        }
    }
}

enum status config_load(const char *path, struct config *out, char *error, size_t error_size)
{
    struct buffer text = {0};
    if (path == NULL)
        return config_load_text("default configuration", bytes_of(NULL, 0), out, error, error_size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : errno == EACCES ? STATUS_DENIED : STATUS_IO;
    }
    error[0] = '\0';
    enum status status = read_all(fd, path, &text, error, error_size);
    close(fd);
    if (status == STATUS_OK)
        status = config_load_text(path, bytes_of(text.data, text.size), out, error, error_size);
    else if (error[0] == '\0')
        snprintf(error, error_size, "%s: %s", path, status_text(status));
    buffer_fini(&text);
    return status;
}
