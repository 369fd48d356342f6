#include "conformance/runner/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/net/scram.h"

/* Each option once: its name, the word for its value (NULL: it takes none), and its place in
 * --help. A help text that begins with '=' opens a group. */
#define OPTION_LIST(X)                                                                             \
    X(HOST, "host", "HOST", "=The server under test", "name or address (127.0.0.1)")               \
    X(PORT, "port", "PORT", "", "1883; with --tls 8883, --ws 80, both 443, unless given")          \
    X(LABEL, "label", "TEXT", "", "the server's name in reports (HOST:PORT)")                      \
    X(USERNAME, "username", "NAME", "", "sent in every CONNECT")                                   \
    X(PASSWORD, "password", "TEXT", "", "sent in every CONNECT; reports do not show it")           \
    X(AUTH_METHOD, "auth-method", "NAME", "",                                                      \
      "an Authentication Method that the server has, for the cases of\n"                           \
      "enhanced authentication")                                                                   \
    X(AUTH_DATA, "auth-data", "TEXT", "",                                                          \
      "Authentication Data: of CONNECT, then of each AUTH that answers\n"                          \
      "the server's; repeat it. Text, or hex: and digits. Not shown in reports")                   \
    X(AUTH_USER, "auth-user", "NAME", "",                                                          \
      "instead of data, for --auth-method SCRAM-SHA-256: whose password\n"                         \
      "--auth-password-file holds")                                                                \
    X(AUTH_PASSWORD_FILE, "auth-password-file", "FILE", "", "its first line is that password")     \
    X(DENIED_PUBLISH, "denied-publish", "TOPIC", "",                                               \
      "a Topic Name to which the server lets this user publish nothing")                           \
    X(DENIED_SUBSCRIBE, "denied-subscribe", "FILTER", "",                                          \
      "a Topic Filter that the server grants this user no subscription to")                        \
    X(TLS, "tls", NULL, "=Transport (TCP unless told otherwise)", "TLS")                           \
    X(CAFILE, "cafile", "FILE", "", "PEM file of the authorities that are trusted")                \
    X(CERT, "cert", "FILE", "", "PEM file of a client certificate, with --key")                    \
    X(KEY, "key", "FILE", "", "PEM file of its private key")                                       \
    X(SERVER_NAME, "server-name", "NAME", "", "expected in the server's certificate (HOST)")       \
    X(INSECURE, "insecure", NULL, "", "take any certificate of the server's")                      \
    X(WS, "ws", NULL, "", "WebSocket; with --tls secure WebSocket")                                \
    X(WS_PATH, "ws-path", "PATH", "", "of the WebSocket's URL (/mqtt)")                            \
    X(VERSION, "version", "V", "=What is judged", "5, 3.1.1 or all (all)")                         \
    X(ONLY, "only", "GLOB", "", "cases whose name, or file.name, matches; may be repeated")        \
    X(FULL, "full", NULL, "", "the complete offline-delivery matrix, not a pairwise one")          \
    X(RESTART_CMD, "restart-cmd", "COMMAND", "",                                                   \
      "shell command that stops the server in good order and starts it")                           \
    X(KILL_CMD, "kill-cmd", "COMMAND", "", "the same with SIGKILL, as a crash")                    \
    X(EXPLORE, "explore", "SECONDS", "", "also random histories against a model, for so long")     \
    X(NO_CASES, "no-cases", NULL, "", "only what --explore does")                                  \
    X(JOBS, "jobs", "N", "=How", "cases at a time (64)")                                           \
    X(NO_RETRY, "no-retry", NULL, "", "what fails is not tried again alone on a busy machine")     \
    X(SEED, "seed", "N", "", "repeats what was random in a run")                                   \
    X(TIME_LIMIT, "time-limit", "MS", "", "how long to wait for what is owed (5000)")              \
    X(QUIET, "quiet", "MS", "", "how long nothing must come where nothing is owed (300)")          \
    X(REPORT, "report", "KIND=FILE", "=What is written",                                           \
      "html, json, junit or tap; FILE - is standard output; repeat it, or\n"                       \
      "separate by commas: html=report.html,json=report.json")                                     \
    X(LIST, "list", NULL, "=Instead of a run", "each case: name, versions, statements")            \
    X(LIST_TAB, "list-tab", NULL, "",                                                              \
      "the same for programs: with outage and faults, tabs between")                               \
    X(COVERAGE, "coverage", NULL, "", "which statements are tested, and which cannot be")          \
    X(CHECK, "check", NULL, "", "whether statements and cases fit together; for the suite's CI")   \
    X(EXPLAIN, "explain", "CASE", "", "what a case sends, what is allowed, and why")               \
    X(TRACE, "trace", "CASE", "", "runs it and prints every packet, decoded and in hex")           \
    X(COMPARE, "compare", NULL, "",                                                                \
      "a page with a column for each JSON report that follows:\n"                                  \
      "--compare a.json b.json --report html=page.html (or standard output)")                      \
    X(HELP, "help", NULL, "", "this text")

enum option_id {
#define X(id, name, value, group, help) OPTION_##id,
    OPTION_LIST(X)
#undef X
        OPTION_COUNT,
};

struct option_row {
    const char *name, *value, *group, *help;
};

static const struct option_row rows[OPTION_COUNT] = {
#define X(id, name, value, group, help) [OPTION_##id] = {name, value, group, help},
    OPTION_LIST(X)
#undef X
};

static const char *const report_names[REPORT_FORMATS] = {
    [REPORT_HTML] = "html",
    [REPORT_JSON] = "json",
    [REPORT_JUNIT] = "junit",
    [REPORT_TAP] = "tap",
};

/* ---- Help ---- */

enum { HELP_COLUMN = 26 };

static void print_row(FILE *out, const struct option_row *row)
{
    if (row->group[0] == '=')
        fprintf(out, "\n%s:\n", row->group + 1);
    int width =
        fprintf(out, "  --%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
    if (width >= HELP_COLUMN)
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(out, "%*s", HELP_COLUMN - width, "");
    for (const char *at = row->help; *at; at++) {
        fputc(*at, out);
        if (*at == '\n')
            fprintf(out, "%*s", HELP_COLUMN, "");
    }
    fputc('\n', out);
}

void options_help(FILE *out)
{
    fprintf(out,
            "mqtt-conformance %s: judges any MQTT server over the wire, MQTT 5.0 and 3.1.1.\n\n"
            "usage: mqtt-conformance [OPTION]...\n",
            HOLDFAST_VERSION);
    for (int i = 0; i < OPTION_COUNT; i++)
        print_row(out, &rows[i]);
    fprintf(out,
            "\nExit status: 0 no MUST is broken; 1 one is, or cases could not be judged; 2 the "
            "command\nline is wrong, or the server cannot be reached; 130 interrupted.\n\n"
            "examples:\n"
            "  mqtt-conformance --host broker.example --report html=report.html\n"
            "  mqtt-conformance --host broker.example --tls --cafile ca.pem --version 5\n"
            "  mqtt-conformance --only 'will*' --only 'connect.*' --time-limit 10000\n"
            "  mqtt-conformance --restart-cmd 'systemctl restart mosquitto' \\\n"
            "                   --kill-cmd 'systemctl kill -s KILL mosquitto; sleep 1; "
            "systemctl start mosquitto'\n");
}

/* ---- Parsing ---- */

struct parser {
    struct options *options;
    FILE *errors;
    bool port_given, task_given;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct parser *parser, const char *format,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("mqtt-conformance: ", parser->errors);
    vfprintf(parser->errors, format, arguments);
    fputs("\nmqtt-conformance --help lists all options.\n", parser->errors);
    va_end(arguments);
    return false;
}

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < least || value > most)
        return false;
    *out = value;
    return true;
}

static bool parse_number(struct parser *parser, enum option_id id, const char *text, unsigned least,
                         unsigned most, unsigned *out)
{
    uint64_t value;
    if (!read_number(text, least, most, &value))
        return refuse(parser, "--%s is a number from %u to %u, not \"%s\".", rows[id].name, least,
                      most, text);
    *out = (unsigned)value;
    return true;
}

static bool parse_seed(struct parser *parser, const char *text)
{
    if (!read_number(text, 0, UINT64_MAX, &parser->options->seed))
        return refuse(parser, "--seed is a number of at most 64 bits, not \"%s\".", text);
    return true;
}

static bool parse_version(struct parser *parser, const char *text)
{
    bool all = strcmp(text, "all") == 0;
    struct options *options = parser->options;
    options->version_5 = all || strcmp(text, "5") == 0 || strcmp(text, "5.0") == 0;
    options->version_311 = all || strcmp(text, "3.1.1") == 0;
    if (!options->version_5 && !options->version_311)
        return refuse(parser, "--version is 5, 3.1.1 or all, not \"%s\".", text);
    return true;
}

static bool parse_only(struct parser *parser, const char *text)
{
    struct options *options = parser->options;
    if (options->pattern_count == PATTERNS_MAX)
        return refuse(parser, "--only is given more than %d times.", PATTERNS_MAX);
    options->patterns[options->pattern_count++] = text;
    return true;
}

static bool parse_report(struct parser *parser, const char *text, size_t size)
{
    for (int format = 0; format < REPORT_FORMATS; format++) {
        size_t name = strlen(report_names[format]);
        if (size <= name + 1 || strncmp(text, report_names[format], name) != 0 || text[name] != '=')
            continue;
        size_t path = size - name - 1;
        if (path >= OUTPUT_PATH_SIZE)
            return refuse(parser, "--report: the path is longer than %d bytes.", OUTPUT_PATH_SIZE);
        memcpy(parser->options->outputs[format], text + name + 1, path);
        parser->options->outputs[format][path] = '\0';
        return true;
    }
    return refuse(parser,
                  "--report takes html=FILE, json=FILE, junit=FILE or tap=FILE, not \"%.*s\".",
                  (int)size, text);
}

static bool parse_reports(struct parser *parser, const char *text)
{
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!parse_report(parser, text, size))
            return false;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

static bool parse_task(struct parser *parser, enum task task)
{
    if (parser->task_given && parser->options->task != task)
        return refuse(parser, "Choose one of --list, --coverage, --check, --explain, --trace and "
                              "--compare.");
    parser->task_given = true;
    parser->options->task = task;
    return true;
}

static bool parse_case(struct parser *parser, enum task task, const char *name)
{
    parser->options->case_name = name;
    return parse_task(parser, task);
}

static bool parse_auth_data(struct parser *parser, const char *text)
{
    struct target *target = &parser->options->target;
    if (target->auth_data_count == TARGET_AUTH_DATA_MAX)
        return refuse(parser, "--auth-data is given more than %d times.", TARGET_AUTH_DATA_MAX);
    if (strncmp(text, "hex:", 4) == 0 &&
        (strlen(text) % 2 != 0 || strspn(text + 4, "0123456789abcdefABCDEF") != strlen(text) - 4))
        return refuse(parser, "--auth-data: \"%s\" is not made of pairs of hexadecimal digits.",
                      text);
    target->auth_data[target->auth_data_count++] = text;
    return true;
}

static bool parse_auth_password(struct parser *parser, const char *path)
{
    struct options *options = parser->options;
    char line[AUTH_PASSWORD_SIZE + 1] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return refuse(parser, "--auth-password-file: %s: %s", path, strerror(errno));
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    size_t size = strcspn(line, "\r\n");
    if (!read || size == 0 || size >= AUTH_PASSWORD_SIZE)
        return refuse(parser,
                      "--auth-password-file: the first line of %s is not a password of 1 "
                      "to %d bytes.",
                      path, AUTH_PASSWORD_SIZE - 1);
    memcpy(options->auth_password, line, size);
    options->auth_password[size] = '\0';
    options->target.auth_password = options->auth_password;
    return true;
}

static bool parse_label(struct parser *parser, const char *text)
{
    struct options *options = parser->options;
    if (strlen(text) >= sizeof options->label)
        return refuse(parser, "--label is longer than %zu bytes.", sizeof options->label - 1);
    snprintf(options->label, sizeof options->label, "%s", text);
    return true;
}

static bool parse_port(struct parser *parser, const char *text)
{
    unsigned port;
    if (!parse_number(parser, OPTION_PORT, text, 1, 65535, &port))
        return false;
    parser->options->target.port = text;
    parser->port_given = true;
    return true;
}

static bool parse_one(struct parser *parser, enum option_id id, const char *value)
{
    struct options *options = parser->options;
    struct target *target = &options->target;
    switch (id) {
    case OPTION_HOST:
        target->host = value;
        return *value != '\0' || refuse(parser, "--host is empty.");
    case OPTION_PORT:
        return parse_port(parser, value);
    case OPTION_LABEL:
        return parse_label(parser, value);
    case OPTION_USERNAME:
        target->user_name = value;
        return true;
    case OPTION_PASSWORD:
        target->password = value;
        return true;
    case OPTION_AUTH_METHOD:
        target->auth_method = value;
        return true;
    case OPTION_AUTH_DATA:
        return parse_auth_data(parser, value);
    case OPTION_AUTH_USER:
        target->auth_user = value;
        return true;
    case OPTION_AUTH_PASSWORD_FILE:
        return parse_auth_password(parser, value);
    case OPTION_DENIED_PUBLISH:
        target->denied_publish = value;
        return (*value != '\0' && !strpbrk(value, "+#")) ||
               refuse(parser, "--denied-publish is a Topic Name, without wildcards, not \"%s\".",
                      value);
    case OPTION_DENIED_SUBSCRIBE:
        target->denied_subscribe = value;
        return *value != '\0' || refuse(parser, "--denied-subscribe is empty.");
    case OPTION_TLS:
        target->tls = true;
        return true;
    case OPTION_CAFILE:
        target->ca_file = value;
        return true;
    case OPTION_CERT:
        target->certificate_file = value;
        return true;
    case OPTION_KEY:
        target->key_file = value;
        return true;
    case OPTION_SERVER_NAME:
        target->server_name = value;
        return true;
    case OPTION_INSECURE:
        target->insecure = true;
        return true;
    case OPTION_WS:
        target->websocket = true;
        return true;
    case OPTION_WS_PATH:
        target->websocket_path = value;
        return *value == '/' || refuse(parser, "--ws-path begins with \"/\".");
    case OPTION_VERSION:
        return parse_version(parser, value);
    case OPTION_ONLY:
        return parse_only(parser, value);
    case OPTION_FULL:
        options->full = true;
        return true;
    case OPTION_RESTART_CMD:
        options->restart_command = value;
        return true;
    case OPTION_KILL_CMD:
        options->kill_command = value;
        return true;
    case OPTION_EXPLORE:
        return parse_number(parser, id, value, 1, 1000000, &options->explore_s);
    case OPTION_NO_RETRY:
        options->no_retry = true;
        return true;
    case OPTION_NO_CASES:
        options->no_cases = true;
        return true;
    case OPTION_JOBS:
        return parse_number(parser, id, value, 1, 4096, &options->jobs);
    case OPTION_SEED:
        return parse_seed(parser, value);
    case OPTION_TIME_LIMIT:
        return parse_number(parser, id, value, 10, 600000, &options->time_limit_ms);
    case OPTION_QUIET:
        return parse_number(parser, id, value, 1, 60000, &options->quiet_ms);
    case OPTION_REPORT:
        return parse_reports(parser, value);
    case OPTION_LIST:
        return parse_task(parser, TASK_LIST);
    case OPTION_LIST_TAB:
        return parse_task(parser, TASK_LIST_TAB);
    case OPTION_COVERAGE:
        return parse_task(parser, TASK_COVERAGE);
    case OPTION_CHECK:
        return parse_task(parser, TASK_CHECK);
    case OPTION_EXPLAIN:
        return parse_case(parser, TASK_EXPLAIN, value);
    case OPTION_TRACE:
        return parse_case(parser, TASK_TRACE, value);
    case OPTION_COMPARE:
        return parse_task(parser, TASK_COMPARE);
    case OPTION_HELP:
        return parse_task(parser, TASK_HELP);
    case OPTION_COUNT:
        break;
    }
    return false;
}

static const char *usual_port(const struct target *target)
{
    if (target->websocket)
        return target->tls ? "443" : "80";
    return target->tls ? "8883" : "1883";
}

static bool check_transport(struct parser *parser)
{
    const struct target *target = &parser->options->target;
    if (!target->tls &&
        (target->ca_file || target->certificate_file || target->key_file || target->insecure))
        return refuse(parser, "--cafile, --cert, --key and --insecure go with --tls.");
    if (!target->certificate_file != !target->key_file)
        return refuse(parser, "--cert and --key go together.");
    if (target->tls && !target->ca_file && !target->insecure)
        return refuse(parser, "--tls wants --cafile, to know whom to trust, or --insecure.");
    if (!target->websocket && strcmp(target->websocket_path, "/mqtt") != 0)
        return refuse(parser, "--ws-path goes with --ws.");
    if (target->auth_data_count > 0 && !target->auth_method)
        return refuse(parser, "--auth-data goes with --auth-method.");
    if (!target->auth_user != !target->auth_password)
        return refuse(parser, "--auth-user and --auth-password-file go together.");
    if (target->auth_user && (target->auth_data_count > 0 || !target->auth_method ||
                              strcmp(target->auth_method, SCRAM_METHOD) != 0))
        return refuse(parser, "--auth-user goes with --auth-method " SCRAM_METHOD
                              ", and without --auth-data.");
    if (target->password && !target->user_name && parser->options->version_311)
        return refuse(parser, "--password without --username is not allowed in MQTT 3.1.1: give "
                              "both, or --version 5.");
    return true;
}

static bool check_files(struct parser *parser, int argc, char **argv)
{
    struct options *options = parser->options;
    options->files = argv + optind;
    options->file_count = (unsigned)(argc - optind);
    if (options->task == TASK_COMPARE) {
        for (int format = 0; format < REPORT_FORMATS; format++) {
            if (format != REPORT_HTML && options->outputs[format][0])
                return refuse(parser, "--compare makes HTML only.");
        }
        return options->file_count > 0 ||
               refuse(parser, "--compare wants the JSON reports of earlier runs.");
    }
    return options->file_count == 0 ||
           refuse(parser, "\"%s\" is no option; only --compare takes files.", argv[optind]);
}

static bool check(struct parser *parser, int argc, char **argv)
{
    struct options *options = parser->options;
    if (options->no_cases && options->explore_s == 0)
        return refuse(parser, "--no-cases without --explore leaves nothing to do.");
    if (!check_transport(parser) || !check_files(parser, argc, argv))
        return false;
    if (!parser->port_given)
        options->target.port = usual_port(&options->target);
    if (!options->label[0])
        snprintf(options->label, sizeof options->label, "%s:%s", options->target.host,
                 options->target.port);
    return true;
}

static uint64_t fresh_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000003U ^ (uint64_t)now.tv_nsec) % 1000000000U;
}

bool options_parse(int argc, char **argv, struct options *out, FILE *errors)
{
    struct option table[OPTION_COUNT + 1] = {0};
    for (int i = 0; i < OPTION_COUNT; i++) {
        table[i].name = rows[i].name;
        table[i].has_arg = rows[i].value ? required_argument : no_argument;
        table[i].val = i;
    }
    *out = (struct options){
        .target = {.host = "127.0.0.1", .websocket_path = "/mqtt"},
        .version_5 = true,
        .version_311 = true,
        .jobs = 64,
        .time_limit_ms = 5000,
        .quiet_ms = 300,
        .seed = fresh_seed(),
    };
    struct parser parser = {.options = out, .errors = errors};
    int option;
    optind = 0; /* anew, also in glibc's own state */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        const char *given = argv[optind - 1];
        if (option == ':')
            return refuse(&parser, "%s wants a value.", given);
        if (option == '?')
            return refuse(&parser, "%s is no option, or is cut short, or takes no value.", given);
        if (!parse_one(&parser, (enum option_id)option, optarg))
            return false;
    }
    return out->task == TASK_HELP || check(&parser, argc, argv);
}

/* ---- The command line, for reports ---- */

static bool is_plain(const char *word)
{
    return *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "-_./:=,+@%") == strlen(word);
}

static void write_word(FILE *out, const char *word)
{
    if (is_plain(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    }
    fputc('\'', out);
}

/* What a word is that reports do not show the value of, or NULL. getopt_long takes an abbreviation
 * too. */
static const char *secret_option(const char *word, size_t *size)
{
    static const struct {
        const char *name;
        size_t least; /* where it can be told from all others */
    } secrets[] = {{"--password", 4}, {"--auth-data", 8}};
    *size = strcspn(word, "=");
    for (unsigned i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        if (*size >= secrets[i].least && strncmp(word, secrets[i].name, *size) == 0)
            return secrets[i].name;
    }
    return NULL;
}

char *options_command_line(int argc, char **argv)
{
    char *line = NULL;
    size_t line_size;
    FILE *out = open_memstream(&line, &line_size);
    if (!out)
        return NULL;
    fputs("mqtt-conformance", out);
    for (int i = 1; i < argc; i++) {
        size_t name;
        fputc(' ', out);
        const char *secret = secret_option(argv[i], &name);
        if (!secret) {
            write_word(out, argv[i]);
            continue;
        }
        fprintf(out, "%s%s", secret, argv[i][name] == '=' ? "=..." : "");
        if (argv[i][name] != '=' && i + 1 < argc) {
            fputs(" ...", out);
            i++;
        }
    }
    fclose(out);
    return line;
}
