#include "import/nanomq_conf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "import/hocon.h"

enum { PATH_SIZE = 600, TEXT_SIZE = 4200, LISTENERS_MAX = 256 };

#define ACL_FILE "/etc/holdfast/acl" /* which the operator has to write */

struct work {
    const struct hocon *from;
    struct draft *draft;
    bool *remarked;  /* by known setting */
    char **prefixes; /* by setting: the path of the listener that it is of, or NULL */
    char *error;
    size_t error_size;
};

static enum status refuse(struct work *work, const struct hocon_setting *setting, const char *why)
{
    snprintf(work->error, work->error_size, "%s:%u: %.100s: %s", setting->place.file,
             setting->place.line, setting->path, why);
    return STATUS_INVALID;
}

/* ---- Looking ---- */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The last one holds. */
static const struct hocon_setting *find(const struct work *work, const char *path)
{
    for (size_t i = work->from->count; i > 0; i--) {
        if (strcmp(work->from->settings[i - 1].path, path) == 0)
            return &work->from->settings[i - 1];
    }
    return NULL;
}

static const struct hocon_setting *find_below(const struct work *work, const char *prefix)
{
    for (size_t i = 0; i < work->from->count; i++) {
        if (begins_with(work->from->settings[i].path, prefix))
            return &work->from->settings[i];
    }
    return NULL;
}

static bool is_true(const struct hocon_setting *setting)
{
    return setting != NULL && strcmp(setting->value, "true") == 0;
}

/* ---- Values ---- */

/* A whole number with a unit of `units`, which has its factors; the first is of no unit. False: it
 * is none. */
struct unit {
    const char *name;
    unsigned long long factor;
};

static bool read_number(const char *text, const struct unit *units, unsigned long long *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 12)
        return false;
    const char *unit = text + digits + strspn(text + digits, " ");
    for (; units->name != NULL; units++) {
        if (strcasecmp(units->name, unit) == 0) {
            *out = strtoull(text, NULL, 10) * units->factor;
            return true;
        }
    }
    return false;
}

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},         {"B", 1},       {"KB", 1024},    {"K", 1024},
                                    {"MB", 1 << 20}, {"M", 1 << 20}, {"GB", 1 << 30}, {NULL, 0}};
static const struct unit milliseconds[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                           {"m", 60000}, {"h", 3600000}, {NULL, 0}};

static void set_number(struct work *work, const struct hocon_setting *setting,
                       enum config_section section, const char *name, unsigned long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", value);
    draft_set(work->draft, setting->place, section, name, text);
}

static enum status take_number(struct work *work, const struct hocon_setting *setting,
                               const struct unit *units, enum config_section section,
                               const char *name)
{
    unsigned long long value;
    if (!read_number(setting->value, units, &value))
        return refuse(work, setting, "it is no number with a unit that is known");
    set_number(work, setting, section, name, value);
    return STATUS_OK;
}

/* ---- Settings of the whole broker ---- */

static enum status take_packet_size(struct work *work, const struct hocon_setting *setting)
{
    return take_number(work, setting, sizes, CONFIG_SECTION_mqtt, "max_packet_size");
}

static enum status take_queue(struct work *work, const struct hocon_setting *setting)
{
    return take_number(work, setting, no_units, CONFIG_SECTION_mqtt, "max_queued_messages");
}

static enum status take_keepalive_multiplier(struct work *work, const struct hocon_setting *setting)
{
    draft_set(work->draft, setting->place, CONFIG_SECTION_mqtt, "keepalive_multiplier",
              setting->value);
    return STATUS_OK;
}

static enum status take_disk_cache(struct work *work, const struct hocon_setting *setting)
{
    if (strcmp(setting->value, "0") == 0) {
        draft_remark(work->draft, setting->place, setting->path,
                     "without a limit there; Holdfast's own holds here");
        return STATUS_OK;
    }
    return take_number(work, setting, no_units, CONFIG_SECTION_sqlite, "disk_cache_size");
}

static enum status take_directory(struct work *work, const struct hocon_setting *setting)
{
    draft_set(work->draft, setting->place, CONFIG_SECTION_sqlite, "mounted_file_path",
              setting->value);
    draft_remark(work->draft, setting->place, setting->path,
                 "Holdfast's user has to be able to write there; what NanoMQ has stored in it is "
                 "not read");
    return STATUS_OK;
}

static enum status take_threshold(struct work *work, const struct hocon_setting *setting)
{
    return take_number(work, setting, no_units, CONFIG_SECTION_sqlite, "flush_mem_threshold");
}

static enum status take_resend_interval(struct work *work, const struct hocon_setting *setting)
{
    return take_number(work, setting, milliseconds, CONFIG_SECTION_sqlite, "resend_interval");
}

static enum status take_log_level(struct work *work, const struct hocon_setting *setting)
{
    static const struct {
        const char *theirs, *ours;
    } levels[] = {{"fatal", "error"}, {"error", "error"}, {"warn", "warning"},
                  {"info", "info"},   {"debug", "debug"}, {"trace", "trace"}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].theirs, setting->value) == 0) {
            draft_set(work->draft, setting->place, CONFIG_SECTION_log, "level", levels[i].ours);
            return STATUS_OK;
        }
    }
    return refuse(work, setting, "there is no such level");
}

/* Of the destinations one can be kept: a file. */
static void set_log_file(struct work *work)
{
    const struct hocon_setting *folder = find(work, "log.dir"), *file = find(work, "log.file");
    char path[TEXT_SIZE];
    for (size_t i = 0; i < work->from->count; i++) {
        const struct hocon_setting *to = &work->from->settings[i];
        if (strcmp(to->path, "log.to") != 0)
            continue;
        if (strcmp(to->value, "file") != 0) {
            draft_remark(work->draft, to->place, to->path,
                         "the log goes to standard error, or to the file");
        } else if (file != NULL && folder != NULL) {
            snprintf(path, sizeof path, "%.2000s/%.2000s", folder->value, file->value);
            draft_set(work->draft, to->place, CONFIG_SECTION_log, "file", path);
            draft_remark(work->draft, to->place, to->path,
                         "Holdfast's user has to be able to write that file");
        } else {
            draft_remark(work->draft, to->place, to->path, "there are no log.dir and log.file");
        }
    }
}

/* ---- Who may connect, and do what ---- */

static void leave_all_out(struct work *work, const struct hocon_setting *setting, const char *why)
{
    for (size_t i = 0; i < work->draft->listener_count; i++)
        draft_leave_out(work->draft, setting->place, &work->draft->listeners[i], setting->path,
                        why);
}

static void set_passwords(struct work *work)
{
    const struct hocon_setting *given = find_below(work, "auth.password.");
    if (given != NULL)
        draft_remark(work->draft, given->place, "auth.password",
                     "passwords stand there as they are: make each user with holdfast passwd, and "
                     "give the file as password_file in section authentication");
}

/* In NanoMQ the first rule that matches decides, which cannot be said here: until the operator has
 * written the list, the broker does not start. */
static void set_rights(struct work *work)
{
    const struct hocon_setting *rules = find_below(work, "auth.acl.");
    const struct hocon_setting *no_match = find(work, "auth.no_match");
#ifdef SEEDED_BUG_NANOMQ_RIGHTS_FORGOTTEN
    return;
#endif
    if (rules == NULL && no_match != NULL && strcmp(no_match->value, "allow") != 0)
        rules = no_match;
    if (rules == NULL)
        return;
    draft_set(work->draft, rules->place, CONFIG_SECTION_authorization, "acl_file", ACL_FILE);
    draft_warn(work->draft, rules->place, "auth.acl",
               "write its rules into " ACL_FILE " (docs/authorization.md), where what is not "
               "granted is denied; Holdfast does not start without that file");
}

/* ---- Listeners ---- */

static const struct listener_kind {
    const char *name, *transport;
    unsigned port; /* by itself */
    bool has_tls;
} kinds[] = {{"tcp", "tcp", 1883, false},
             {"ssl", "tls", 8883, true},
             {"ws", "ws", 8083, false},
             {"wss", "wss", 8084, true}};

/* One block, `prefix` being its path. */
struct listener_work {
    struct work *work;
    const struct listener_kind *kind;
    const char *prefix;
    const char *keys; /* the path of the block that has the certificate */
    struct draft_place place;
    struct draft_listener *to;
};

static const struct hocon_setting *option_below(const struct work *work, const char *prefix,
                                                const char *name)
{
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s.%s", prefix, name);
    return find(work, path);
}

static const struct hocon_setting *option(const struct listener_work *one, const char *name)
{
    return option_below(one->work, one->prefix, name);
}

static void set(struct listener_work *one, struct draft_place place, const char *name,
                const char *value)
{
    draft_listener_set(one->work->draft, place, one->to, name, value);
}

static void leave_out(struct listener_work *one, struct draft_place place, const char *name,
                      const char *why)
{
    draft_leave_out(one->work->draft, place, one->to, name, why);
}

/* [SCHEME://]HOST:PORT[/PATH] */
static enum status take_bind(struct listener_work *one, const struct hocon_setting *given,
                             char *bind, size_t size, unsigned *port)
{
    const char *text = given->value, *scheme = strstr(text, "://");
    if (scheme != NULL)
        text = scheme + 3;
    snprintf(bind, size, "%.*s", (int)strcspn(text, "/"), text);
    const char *colon = strrchr(bind, ':');
    unsigned long long number;
    if (colon == NULL || !read_number(colon + 1, no_units, &number) || number == 0 ||
        number > UINT16_MAX)
        return refuse(one->work, given, "it is no address with a port");
    *port = (unsigned)number;
    return STATUS_OK;
}

static void set_anonymous(struct listener_work *one)
{
    const struct hocon_setting *given = find(one->work, "auth.allow_anonymous");
    bool allowed = is_true(given);
#ifdef SEEDED_BUG_NANOMQ_OPENS
    allowed = allowed || given == NULL;
#endif
    set(one, given != NULL ? given->place : one->place, "allow_anonymous",
        allowed ? "true" : "false");
    if (given == NULL && one->work->draft->listener_count == 1) /* said once */
        draft_remark(one->work->draft, one->place, "auth.allow_anonymous",
                     "NanoMQ lets everybody in where it is not given; Holdfast does not");
}

static void set_client_certificate(struct listener_work *one)
{
    const struct hocon_setting *verify = option_below(one->work, one->keys, "verify_peer");
    const struct hocon_setting *fail = option_below(one->work, one->keys, "fail_if_no_peer_cert");
    const struct hocon_setting *authorities = option_below(one->work, one->keys, "cacertfile");
    if (!is_true(verify))
        return;
    set(one, verify->place, "client_certificate", is_true(fail) ? "required" : "optional");
    if (authorities == NULL)
        leave_out(one, verify->place, "verify_peer",
                  "without cacertfile nobody's certificate can be checked");
    else
        set(one, authorities->place, "ca", authorities->value);
    if (!is_true(find(one->work, "auth.allow_anonymous")))
        leave_out(one, verify->place, "verify_peer",
                  "a certificate alone lets a client in, which had to give a password, too; see "
                  "certificate_user");
}

static void set_tls(struct listener_work *one)
{
    const struct hocon_setting *certificate = option_below(one->work, one->keys, "certfile");
    const struct hocon_setting *key = option_below(one->work, one->keys, "keyfile");
    const struct hocon_setting *password = option_below(one->work, one->keys, "key_password");
    if (certificate == NULL || key == NULL) {
        leave_out(one, one->place, "certfile", "there have to be a certificate and a key");
        return;
    }
    set(one, certificate->place, "certificate", certificate->value);
    set(one, key->place, "key", key->value);
    if (password != NULL)
        draft_remark(one->work->draft, password->place, password->path,
                     "the key has to be in its file without a password");
    set_client_certificate(one);
}

static const char *const listener_options[] = {
    "bind",       "enable",       "keyfile",     "certfile",
    "cacertfile", "key_password", "verify_peer", "fail_if_no_peer_cert"};

static bool is_listener_option(const char *name)
{
    for (size_t i = 0; i < sizeof listener_options / sizeof *listener_options; i++) {
        if (strcmp(listener_options[i], name) == 0)
            return true;
    }
    return false;
}

/* What is said of it and not known may have kept somebody out. */
static void look_for_unknown(struct listener_work *one)
{
    size_t size = strlen(one->prefix);
    char **prefixes = one->work->prefixes;
    for (size_t i = 0; i < one->work->from->count; i++) {
        const struct hocon_setting *setting = &one->work->from->settings[i];
        if (prefixes[i] != NULL && strcmp(prefixes[i], one->prefix) == 0 &&
            !is_listener_option(setting->path + size + 1))
            leave_out(one, setting->place, setting->path, "it is not known what that is");
    }
}

static enum status add_listener(struct listener_work *one)
{
    char bind[TEXT_SIZE];
    unsigned port = one->kind->port;
    const struct hocon_setting *given = option(one, "bind"), *enable = option(one, "enable");
    if (enable != NULL && !is_true(enable))
        return STATUS_OK;
    if (given != NULL) {
        TRY(take_bind(one, given, bind, sizeof bind, &port));
    } else {
        snprintf(bind, sizeof bind, "0.0.0.0:%u", port);
    }
    one->to = draft_listener(one->work->draft, one->kind->transport, port);
    set(one, one->place, "bind", bind);
    set(one, one->place, "transport", one->kind->transport);
    set_anonymous(one);
    if (one->kind->has_tls)
        set_tls(one);
    look_for_unknown(one);
    return STATUS_OK;
}

/* "listeners.KIND", or "listeners.KIND.NAME" where that has an address of its own. */
static char *make_prefix(const struct work *work, const char *path)
{
    char *prefix = memory_take(PATH_SIZE);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int size = snprintf(prefix, PATH_SIZE, "listeners.%s", kinds[i].name);
        if (!begins_with(path, prefix) || path[size] != '.')
            continue;
        const char *rest = path + size + 1, *dot = strchr(rest, '.');
        if (dot != NULL) {
            snprintf(prefix + size, PATH_SIZE - (size_t)size, ".%.*s", (int)(dot - rest), rest);
            if (option_below(work, prefix, "bind") == NULL)
                prefix[size] = '\0';
        }
        return prefix;
    }
    free(prefix);
    return NULL;
}

static void make_prefixes(struct work *work)
{
    work->prefixes = memory_take_zeroed(work->from->count + 1, sizeof *work->prefixes);
    for (size_t i = 0; i < work->from->count; i++)
        work->prefixes[i] = make_prefix(work, work->from->settings[i].path);
}

static void free_prefixes(struct work *work)
{
    for (size_t i = 0; i < work->from->count; i++)
        free(work->prefixes[i]);
    free(work->prefixes);
}

static bool is_of_kind(const char *prefix, const struct listener_kind *kind)
{
    const char *name = prefix + strlen("listeners.");
    size_t size = strlen(kind->name);
    return strncmp(name, kind->name, size) == 0 && (name[size] == '\0' || name[size] == '.');
}

static bool was_seen(const struct work *work, size_t setting)
{
    for (size_t i = 0; i < setting; i++) {
        if (work->prefixes[i] != NULL && strcmp(work->prefixes[i], work->prefixes[setting]) == 0)
            return true;
    }
    return false;
}

static enum status add_listeners(struct work *work, const struct listener_kind *kind)
{
    for (size_t i = 0; i < work->from->count; i++) {
        const struct hocon_setting *setting = &work->from->settings[i];
        if (work->prefixes[i] == NULL || !is_of_kind(work->prefixes[i], kind) || was_seen(work, i))
            continue;
        if (work->draft->listener_count == LISTENERS_MAX)
            return refuse(work, setting, "there are too many listeners");
        struct listener_work one = {
            .work = work, .kind = kind, .prefix = work->prefixes[i], .place = setting->place};
        /* wss has those of ssl where it has none of its own. */
        one.keys = option(&one, "certfile") != NULL ? one.prefix : "listeners.ssl";
        TRY(add_listener(&one));
    }
    return STATUS_OK;
}

static enum status set_listeners(struct work *work)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        TRY(add_listeners(work, &kinds[i]));
    if (find_below(work, "listeners.") != NULL)
        return STATUS_OK;
    struct listener_work one = {.work = work, .kind = &kinds[0], .prefix = "listeners.tcp"};
    draft_remark(work->draft, one.place, "listeners", "without any, NanoMQ is at 0.0.0.0:1883");
    return add_listener(&one);
}

/* ---- All ---- */

enum known_kind { TAKEN, DROPPED, CLOSED };

static const struct known {
    const char *path;
    enum known_kind kind;
    enum status (*take)(struct work *work, const struct hocon_setting *setting);
    const char *why;
} known_settings[] = {
#define TAKEN(path_, take_) {.path = path_, .kind = TAKEN, .take = take_},
#define DROPPED(path_, why_) {.path = path_, .kind = DROPPED, .why = why_},
#define CLOSED(path_, why_) {.path = path_, .kind = CLOSED, .why = why_},
#include "import/nanomq_option.def"
};

enum { KNOWN_COUNT = sizeof known_settings / sizeof *known_settings };

static bool is_below(const char *path, const char *section)
{
    size_t size = strlen(section);
    return section[size - 1] == '.' ? begins_with(path, section) : strcmp(path, section) == 0;
}

/* What others look at by themselves. */
static bool is_looked_at(const char *path)
{
    static const char *const others[] = {
        "auth.password.", "auth.acl.", "auth.no_match", "auth.allow_anonymous",
        "log.to",         "log.dir",   "log.file"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (is_below(path, others[i]))
            return true;
    }
    return false;
}

static enum status take_known(struct work *work, unsigned number,
                              const struct hocon_setting *setting)
{
    const struct known *known = &known_settings[number];
    if (known->kind == TAKEN)
        return known->take(work, setting);
    if (work->remarked[number])
        return STATUS_OK;
    work->remarked[number] = true;
    if (known->kind == DROPPED)
        draft_remark(work->draft, setting->place, setting->path, "%s", known->why);
    else
        leave_all_out(work, setting, known->why);
    return STATUS_OK;
}

static enum status take_setting(struct work *work, size_t number)
{
    const struct hocon_setting *setting = &work->from->settings[number];
    for (unsigned i = 0; i < KNOWN_COUNT; i++) {
        if (is_below(setting->path, known_settings[i].path))
            return take_known(work, i, setting);
    }
    if (work->prefixes[number] != NULL || is_looked_at(setting->path))
        return STATUS_OK;
    if (begins_with(setting->path, "auth."))
        leave_all_out(work, setting, "it is not known whom it kept out");
    else
        draft_warn(work->draft, setting->place, setting->path, "it is not known what that is");
    return STATUS_OK;
}

/* Up to 0.13 each line was a name and a value. */
static enum status refuse_old_format(struct work *work)
{
    const struct hocon_setting *url = find(work, "url");
    return url == NULL
               ? STATUS_OK
               : refuse(work, url, "this is the format of NanoMQ before 0.14, which is not read");
}

static enum status take_all(struct work *work)
{
    TRY(refuse_old_format(work));
    TRY(set_listeners(work));
    for (size_t i = 0; i < work->from->count; i++)
        TRY(take_setting(work, i));
    set_log_file(work);
    set_passwords(work);
    set_rights(work);
    if (find_below(work, "sqlite.") == NULL)
        draft_remark(work->draft, (struct draft_place){0}, "sqlite",
                     "without it NanoMQ keeps nothing over a restart; Holdfast stores what it "
                     "acknowledges, unless durability is none");
    return STATUS_OK;
}

static enum status finish(const struct hocon *from, struct draft *draft, char *error,
                          size_t error_size)
{
    struct work work = {.from = from, .draft = draft, .error = error, .error_size = error_size};
    work.remarked = memory_take_zeroed(KNOWN_COUNT, sizeof *work.remarked);
    make_prefixes(&work);
    enum status status = take_all(&work);
    free(work.remarked);
    free_prefixes(&work);
    return status;
}

static bool follows(const char *path)
{
    return !begins_with(path, "auth.password") && !begins_with(path, "auth.acl");
}

enum status nanomq_conf_read(const char *path, struct draft *draft, char *error, size_t error_size)
{
    struct hocon from;
    enum status status = hocon_read(path, follows, &from, error, error_size);
    if (status == STATUS_OK)
        status = finish(&from, draft, error, error_size);
    hocon_fini(&from);
    return status;
}

enum status nanomq_conf_read_text(const char *path, struct bytes text, struct draft *draft,
                                  char *error, size_t error_size)
{
    struct hocon from;
    enum status status = hocon_read_text(path, text, &from, error, error_size);
    if (status == STATUS_OK)
        status = finish(&from, draft, error, error_size);
    hocon_fini(&from);
    return status;
}
