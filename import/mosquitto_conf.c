#include "import/mosquitto_conf.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "import/mosquitto_listener.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    FILES_MAX = 1000, /* in include_dir */
    PATH_SIZE = 4096,
};

struct reader {
    struct draft *draft;
    struct mosquitto_listeners listeners;
    struct draft_place place;
    bool in_unnamed;   /* options are of listeners.unnamed, not of the last listener */
    bool had_security; /* per_listener_settings comes too late */
    bool in_bridge;
    bool had_persistence;
    bool had_log_file;
    bool may_include;
    char *names[FILES_MAX]; /* of included files: places point to them */
    size_t name_count;
    char *error;
    size_t error_size;
};

static enum status refuse(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status refuse(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    draft_refuse(reader->place, reader->error, reader->error_size, format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

/* ---- Values ---- */

/* Takes the next word off `*rest`; NULL: there is none. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " ");
    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, " ");
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static bool is_number(const char *text)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    return digits[0] != '\0' && strlen(digits) < 16 &&
           strspn(digits, "0123456789") == strlen(digits);
}

static bool is_switch(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || strcmp(text, "1") == 0 ||
           strcmp(text, "0") == 0;
}

static bool switched_on(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

static void set_mqtt(struct reader *reader, const char *name, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    draft_set(reader->draft, reader->place, CONFIG_SECTION_mqtt, name, text);
}

/* ---- Options of the whole broker ---- */

static enum status take_number(struct reader *reader, const char *name, char *value)
{
    if (!is_number(value))
        return refuse(reader, "%s: a whole number is missing", name);
    set_mqtt(reader, name, strtoll(value, NULL, 10));
    return STATUS_OK;
}

static enum status take_switch(struct reader *reader, const char *name, char *value)
{
    if (!is_switch(value))
        return refuse(reader, "%s: true or false is missing", name);
    draft_set(reader->draft, reader->place, CONFIG_SECTION_mqtt, name,
              switched_on(value) ? "true" : "false");
    return STATUS_OK;
}

/* 0 is no limit there, and not allowed here. */
static enum status take_unless_zero(struct reader *reader, const char *name, const char *value,
                                    long long instead)
{
    if (!is_number(value))
        return refuse(reader, "%s: a whole number is missing", name);
    long long number = strtoll(value, NULL, 10);
    set_mqtt(reader, name, number == 0 ? instead : number);
    return STATUS_OK;
}

static enum status take_max_inflight_messages(struct reader *reader, const char *name, char *value)
{
    return take_unless_zero(reader, name, value, UINT16_MAX);
}

static enum status take_max_packet_size(struct reader *reader, const char *name, char *value)
{
    enum { LARGEST = 268435460 }; /* that MQTT's lengths allow */
    return take_unless_zero(reader, name, value, LARGEST);
}

static enum status take_persistence(struct reader *reader, const char *name, char *value)
{
    if (!is_switch(value))
        return refuse(reader, "%s: true or false is missing", name);
    reader->had_persistence = true;
    draft_set(reader->draft, reader->place, CONFIG_SECTION_sqlite, "durability",
              switched_on(value) ? "commit" : "none");
    return STATUS_OK;
}

static enum status take_persistent_client_expiration(struct reader *reader, const char *name,
                                                     char *value)
{
    static const struct {
        char unit;
        long long seconds;
    } units[] = {
        {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}, {'m', 30 * 86400}, {'y', 365 * 86400}};
    size_t size = strlen(value);
    char unit = value[size - 1];
    value[size - 1] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].unit == unit && strlen(value) < 9 && is_number(value)) {
            set_mqtt(reader, name, strtoll(value, NULL, 10) * units[i].seconds);
            return STATUS_OK;
        }
    }
    return refuse(reader, "%s: a number with h, d, w, m or y is missing", name);
}

/* One of each line's destinations can be kept: a file. The names are those of mosquitto.conf(5). */
static enum status take_log_dest(struct reader *reader, const char *name, char *value)
{
    static const char *const others[] = {"none",  "stdout", "stderr", "syslog",
                                         "topic", "dlt",    "android"};
    const char *destination = next_word(&value);
    const char *path = value + strspn(value, " ");
    if (strcmp(destination, "file") == 0) {
        if (path[0] == '\0')
            return refuse(reader, "%s: the name of its file is missing", name);
        if (reader->had_log_file)
            return refuse(reader, "%s: mosquitto takes one file", name);
        reader->had_log_file = true;
        draft_set(reader->draft, reader->place, CONFIG_SECTION_log, "file", path);
        draft_remark(reader->draft, reader->place, name,
                     "Holdfast's user has to be able to write that file");
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(others[i], destination) == 0) {
            draft_remark(reader->draft, reader->place, name,
                         "the log goes to standard error, or to the file of 'log_dest file'");
            return STATUS_OK;
        }
    }
    return refuse(reader, "%s: there is no such destination", name);
}

/* Each line adds a kind; levels here have those above them. */
static enum status take_log_type(struct reader *reader, const char *name, char *value)
{
    static const struct {
        const char *kind, *level;
    } kinds[] = {{"none", "error"},        {"error", "error"},      {"warning", "warning"},
                 {"notice", "notice"},     {"information", "info"}, {"subscribe", "debug"},
                 {"unsubscribe", "debug"}, {"debug", "debug"},      {"all", "debug"}};
    const struct config_option *option = config_option_find(CONFIG_SECTION_log, "level");
    const char *now =
        reader->draft->values != NULL ? reader->draft->values[option - config_options] : NULL;
    size_t count = sizeof kinds / sizeof *kinds, had = 0, wanted = 0;
    while (wanted < count && strcmp(kinds[wanted].kind, value) != 0)
        wanted++;
    if (wanted == count) {
        draft_remark(reader->draft, reader->place, name, "there is no such kind: see log level");
        return STATUS_OK;
    }
    while (now != NULL && strcmp(kinds[had].level, now) != 0)
        had++;
    if (now == NULL || wanted > had)
        draft_set(reader->draft, reader->place, CONFIG_SECTION_log, "level", kinds[wanted].level);
    return STATUS_OK;
}

/* ---- Listeners ---- */

static enum status take_per_listener_settings(struct reader *reader, const char *name, char *value)
{
    if (!is_switch(value))
        return refuse(reader, "%s: true or false is missing", name);
    if (reader->had_security && switched_on(value) != reader->listeners.per_listener)
        return refuse(reader, "%s: it has to stand before what it is about", name);
    reader->listeners.per_listener = switched_on(value);
    return STATUS_OK;
}

static enum status take_listener(struct reader *reader, const char *name, char *value)
{
    char *port = next_word(&value), *host = next_word(&value);
    if (port == NULL || !is_number(port) || strtoll(port, NULL, 10) < 0 ||
        strtoll(port, NULL, 10) > UINT16_MAX)
        return refuse(reader, "%s: a port is missing", name);
    struct mosquitto_listeners *all = &reader->listeners;
    all->items = memory_resize(all->items, (all->count + 1) * sizeof *all->items);
    struct mosquitto_listener *listener = &all->items[all->count++];
    *listener = (struct mosquitto_listener){.place = reader->place,
                                            .port = (unsigned)strtoul(port, NULL, 10)};
    if (host != NULL && host[0] != '#') {
        listener->host = memory_take(strlen(host) + 1);
        memcpy(listener->host, host, strlen(host) + 1);
    }
    reader->in_unnamed = false;
    return STATUS_OK;
}

/* What of a listener's options is no text. */
static enum status check_kind(struct reader *reader, const char *name, const char *value)
{
    static const char *const switches[] = {"allow_anonymous", "require_certificate",
                                           "use_identity_as_username", "use_subject_as_username",
                                           "use_username_as_clientid"};
    static const char *const numbers[] = {"max_connections", "max_qos", "maximum_qos",
                                          "max_topic_alias", "port"};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(switches[i], name) == 0 && !is_switch(value))
            return refuse(reader, "%s: true or false is missing", name);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i], name) == 0 && !is_number(value))
            return refuse(reader, "%s: a whole number is missing", name);
    }
    if (strcmp(name, "port") == 0 && (value[0] == '-' || strtoll(value, NULL, 10) > UINT16_MAX))
        return refuse(reader, "port: it is not one");
    return STATUS_OK;
}

static struct mosquitto_listener *current(struct reader *reader)
{
    struct mosquitto_listeners *all = &reader->listeners;
    return reader->in_unnamed ? &all->unnamed : &all->items[all->count - 1];
}

static enum status keep_listeners(struct reader *reader, const char *name, const char *value)
{
    TRY(check_kind(reader, name, value));
    bool is_unnamed = strcmp(name, "port") == 0 || strcmp(name, "bind_address") == 0;
    struct mosquitto_listener *listener = is_unnamed ? &reader->listeners.unnamed : current(reader);
    given_add(&listener->given, name, value, reader->place);
    return STATUS_OK;
}

static enum status keep_security(struct reader *reader, const char *name, const char *value)
{
    TRY(check_kind(reader, name, value));
    struct given_list *list =
        reader->listeners.per_listener ? &current(reader)->given : &reader->listeners.security;
    given_add(list, name, value, reader->place);
    reader->had_security = true;
    return STATUS_OK;
}

/* ---- Lines ---- */

enum known_kind { GLOBAL, LISTENER, SECURITY, DROPPED, GUARD };

static const struct known {
    const char *name;
    enum known_kind kind;
    enum status (*take)(struct reader *reader, const char *name, char *value);
    const char *why;
} known_options[] = {
#define GLOBAL(name_, take_) {.name = name_, .kind = GLOBAL, .take = take_},
#define LISTENER(name_) {.name = name_, .kind = LISTENER},
#define SECURITY(name_) {.name = name_, .kind = SECURITY},
#define DROPPED(name_, why_) {.name = name_, .kind = DROPPED, .why = why_},
#define GUARD(name_, why_) {.name = name_, .kind = GUARD, .why = why_},
#include "import/mosquitto_option.def"
};

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* They are all options of `connection`, and many. */
static bool is_of_bridge(const struct reader *reader, const char *name)
{
    static const char *const names[] = {"address",
                                        "addresses",
                                        "cleansession",
                                        "clientid",
                                        "idle_timeout",
                                        "keepalive_interval",
                                        "local_cleansession",
                                        "local_clientid",
                                        "local_password",
                                        "local_username",
                                        "notification_topic",
                                        "notifications",
                                        "notifications_local_only",
                                        "password",
                                        "remote_clientid",
                                        "remote_password",
                                        "remote_username",
                                        "restart_timeout",
                                        "round_robin",
                                        "start_type",
                                        "threshold",
                                        "topic",
                                        "try_private",
                                        "username"};
    if (strcmp(name, "connection") == 0 || begins_with(name, "bridge_"))
        return true;
    for (size_t i = 0; reader->in_bridge && i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static enum status take_known(struct reader *reader, const struct known *known, char *value)
{
    switch (known->kind) {
    case GLOBAL:
        return known->take(reader, known->name, value);
    case LISTENER:
        return keep_listeners(reader, known->name, value);
    case SECURITY:
        return keep_security(reader, known->name, value);
    case DROPPED:
        draft_remark(reader->draft, reader->place, known->name, "%s", known->why);
        return STATUS_OK;
    default:
        draft_warn(reader->draft, reader->place, known->name, "%s", known->why);
        return STATUS_OK;
    }
}

static enum status take_option(struct reader *reader, const char *name, char *value)
{
    if (is_of_bridge(reader, name)) {
        reader->in_bridge = true;
        draft_remark(reader->draft, reader->place, name, "there are no bridges");
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof known_options / sizeof *known_options; i++) {
        if (strcmp(known_options[i].name, name) == 0) {
            if (*value == '\0')
                return refuse(reader, "%s: its value is missing", name);
            return take_known(reader, &known_options[i], value);
        }
    }
    if (begins_with(name, "auth_opt_") || begins_with(name, "plugin_opt_"))
        draft_remark(reader->draft, reader->place, name, "there are no plugins");
    else
        draft_warn(reader->draft, reader->place, name, "this is no option of mosquitto 2.0");
    return STATUS_OK;
}

static enum status include(struct reader *reader, const char *directory);

static enum status take_line(struct reader *reader, char *line)
{
    size_t size = strlen(line);
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == ' ' || line[size - 1] == '\t'))
        line[--size] = '\0';
    char *name = next_word(&line);
    if (name == NULL || name[0] == '#')
        return STATUS_OK;
    char *value = line + strspn(line, " \t");
    if (strcmp(name, "include_dir") == 0)
        return include(reader, value);
    return take_option(reader, name, value);
}

static enum status take_text(struct reader *reader, char *text, size_t size)
{
    char *end = text + size;
    for (char *next; text < end; text = next) {
        char *line_end = memchr(text, '\n', (size_t)(end - text));
        next = line_end != NULL ? line_end + 1 : end;
        size_t length = (size_t)(next - text) - (line_end != NULL);
        text[length] = '\0'; /* there is one behind the last, too */
        reader->place.line++;
        if (memchr(text, '\0', length) != NULL)
            return refuse(reader, "there is a zero byte: this is no text");
        TRY(take_line(reader, text));
    }
    return STATUS_OK;
}

/* ---- Files ---- */

static enum status take_file(struct reader *reader, const char *path)
{
    struct buffer text = {0};
    enum status status = file_read(path, FILE_BYTES_MAX, &text, reader->error, reader->error_size);
    reader->place = (struct draft_place){.file = path};
    if (status == STATUS_OK && buffer_append(&text, "", 1) != STATUS_OK)
        status = refuse(reader, "out of memory");
    if (status == STATUS_OK)
        status = take_text(reader, (char *)text.data, text.size - 1);
    buffer_fini(&text);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

/* The names of those that mosquitto reads. */
static enum status list_directory(struct reader *reader, const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return refuse(reader, "include_dir: %s", strerror(errno));
    enum status status = STATUS_OK;
    size_t first = reader->name_count;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size <= 5 || strcmp(entry->d_name + size - 5, ".conf") != 0)
            continue;
        if (reader->name_count == FILES_MAX) {
            status = refuse(reader, "include_dir: there are more than %d files", FILES_MAX);
            break;
        }
        char name[PATH_SIZE];
        size = (size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (size >= sizeof name)
            status = refuse(reader, "include_dir: a name is too long");
        else
            reader->names[reader->name_count++] = memcpy(memory_take(size + 1), name, size + 1);
    }
    closedir(directory);
    qsort(reader->names + first, reader->name_count - first, sizeof *reader->names, by_name);
    return status;
}

/* Only the first file may have it, so that no loop is possible; mosquitto has it so. Each file
 * begins with the options of no listener. */
static enum status include(struct reader *reader, const char *directory)
{
    struct draft_place place = reader->place;
    bool in_unnamed = reader->in_unnamed, in_bridge = reader->in_bridge;
    size_t next = reader->name_count;
    if (!reader->may_include) {
        draft_warn(reader->draft, place, "include_dir", "it is not followed from here");
        return STATUS_OK;
    }
    TRY(list_directory(reader, directory));
    reader->may_include = false;
    for (; next < reader->name_count; next++) {
        reader->in_unnamed = true;
        reader->in_bridge = false;
        TRY(take_file(reader, reader->names[next]));
    }
    reader->may_include = true;
    reader->place = place;
    reader->in_unnamed = in_unnamed;
    reader->in_bridge = in_bridge;
    return STATUS_OK;
}

/* ---- All ---- */

static void finish(struct reader *reader)
{
    mosquitto_listeners_finish(&reader->listeners, reader->draft);
    if (!reader->had_persistence)
        draft_remark(reader->draft, (struct draft_place){0}, "persistence",
                     "without it mosquitto forgets everything when it stops; Holdfast stores what "
                     "it acknowledges, unless durability is none");
}

static void fini(struct reader *reader)
{
    mosquitto_listeners_fini(&reader->listeners);
    for (size_t i = 0; i < reader->name_count; i++)
        free(reader->names[i]);
}

enum status mosquitto_conf_read(const char *path, struct draft *draft, char *error,
                                size_t error_size)
{
    struct reader reader = {.draft = draft,
                            .in_unnamed = true,
                            .may_include = true,
                            .error = error,
                            .error_size = error_size};
    enum status status = take_file(&reader, path);
    if (status == STATUS_OK)
        finish(&reader);
    fini(&reader);
    return status;
}

enum status mosquitto_conf_read_text(const char *path, char *text, size_t size, struct draft *draft,
                                     char *error, size_t error_size)
{
    struct reader reader = {.draft = draft,
                            .place.file = path,
                            .in_unnamed = true,
                            .error = error,
                            .error_size = error_size};
    enum status status = take_text(&reader, text, size);
    if (status == STATUS_OK)
        finish(&reader);
    fini(&reader);
    return status;
}
