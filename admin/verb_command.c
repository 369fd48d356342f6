#include "admin/verb_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/ask.h"
#include "admin/command.h"
#include "base/log.h"

#define WHERE "[-c FILE | --socket PATH]"

static const char usage[] =
    "usage: holdfast sessions " WHERE " [--client PATTERN] [--state STATE]\n"
    "                         [--user NAME] [--json]\n"
    "       holdfast session " WHERE " --client ID [--json]\n"
    "       holdfast retained " WHERE " [--filter FILTER] [--json]\n"
    "       holdfast stats " WHERE " [--json]\n"
    "       holdfast drain " WHERE " [--rate N] [--reason REASON]\n"
    "\n"
    "They ask the running broker.\n"
    "\n"
    "sessions  the sessions that there are, or those whose client identifier matches PATTERN "
    "(with\n"
    "          * and ?), whose STATE is connected or away, whose client has proven this user NAME\n"
    "session   one of them, with its subscriptions, exchanges and last steps\n"
    "retained  the retained messages, or those whose topic matches FILTER\n"
    "stats     the broker's numbers\n"
    "drain     closes connections, N a second (100), takes no new ones, and stops the broker when\n"
    "          nobody is left. REASON: shutting_down (0x8B), or use_another_server (0x9C)\n"
    "\n"
    "--json prints what the broker answers, a line for each session or message.\n";

struct query {
    const char *file, *socket_path;
    const char *client, *state, *user, *filter, *rate, *reason;
    bool as_json;
};

/* What a peer has chosen must not reach the terminal as it is. */
static const char *shown(const json_t *text)
{
    static char out[4][256];
    static unsigned next;
    char *here = out[next++ % 4];
    return log_text(json_string_value(text), json_string_length(text), here, sizeof out[0]);
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
}

/* ---- Lists ---- */

static void print_session(const json_t *session)
{
    const json_t *address = json_object_get(session, "address");
    char away[40];
    snprintf(away, sizeof away, "away for %" JSON_INTEGER_FORMAT " s", number(session, "away_s"));
    printf("%-32s %-5s %6" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
           "  %s\n",
           shown(json_object_get(session, "client")), shown(json_object_get(session, "version")),
           number(session, "subscriptions"), number(session, "queued"), number(session, "inflight"),
           address != NULL ? shown(address) : away);
}

static void print_retained(const json_t *message)
{
    const json_t *payload = json_object_get(message, "payload");
    printf("%-40s %3" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT "  %s\n",
           shown(json_object_get(message, "topic")), number(message, "qos"),
           number(message, "size"), payload != NULL ? shown(payload) : "(not text)");
}

struct list {
    const char *verb, *member, *title;
    void (*print)(const json_t *one);
};

static void print_page(const struct list *list, const json_t *page, bool as_json)
{
    size_t index;
    json_t *one;
    json_array_foreach(json_object_get(page, list->member), index, one)
    {
        if (as_json)
            print_json(one);
        else
            list->print(one);
    }
}

/* Page after page: however many there are, neither side has all of them in memory. */
static int print_list(const struct query *query, const struct list *list)
{
    char cursor[64] = "";
    if (!query->as_json)
        puts(list->title);
    do {
        json_t *page;
        json_t *arguments =
            json_pack("{s:i, s:s*, s:s*, s:s*, s:s*, s:s*}", "limit", 500, "client", query->client,
                      "state", query->state, "user", query->user, "filter", query->filter, "cursor",
                      cursor[0] != '\0' ? cursor : NULL);
        int status = ask_verb(query->file, query->socket_path, list->verb, arguments, &page);
        if (status != 0)
            return status;
        print_page(list, page, query->as_json);
        const char *next = json_string_value(json_object_get(page, "next"));
        snprintf(cursor, sizeof cursor, "%s", next != NULL ? next : "");
        json_decref(page);
    } while (cursor[0] != '\0');
    return 0;
}

/* ---- Anything else: names and values ---- */

static void print_value(const json_t *value, const char *name, int depth);

static void print_members(const json_t *value, int depth)
{
    const char *name;
    json_t *member;
    size_t index;
    json_object_foreach((json_t *)value, name, member) print_value(member, name, depth);
    json_array_foreach(value, index, member) print_value(member, "-", depth);
}

static bool is_flat(const json_t *value)
{
    size_t index;
    json_t *member;
    json_array_foreach(value, index, member)
    {
        if (json_is_object(member) || json_is_array(member))
            return false;
    }
    return !json_is_object(value);
}

static void print_flat(const json_t *value)
{
    size_t index;
    json_t *member;
    if (json_is_string(value))
        printf(" %s", shown(value));
    else if (json_is_integer(value))
        printf(" %" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? " yes" : " no", stdout);
    json_array_foreach(value, index, member) print_flat(member);
}

static void print_value(const json_t *value, const char *name, int depth)
{
    char printable[80];
    printf("%*s%s:", 2 * depth, "", log_text(name, strlen(name), printable, sizeof printable));
    if (is_flat(value))
        print_flat(value);
    putchar('\n');
    if (!is_flat(value))
        print_members(value, depth + 1);
}

/* ---- The commands ---- */

static int print_one(const struct query *query, const char *verb, json_t *arguments)
{
    json_t *result;
    int status = ask_verb(query->file, query->socket_path, verb, arguments, &result);
    if (status != 0)
        return status;
    if (query->as_json)
        print_json(result);
    else
        print_members(result, 0);
    json_decref(result);
    return 0;
}

static int run_sessions(const struct query *query)
{
    static const struct list list = {
        "sessions", "sessions",
        "CLIENT                           MQTT    SUBS    QUEUED INFLIGHT  WHERE", print_session};
    return print_list(query, &list);
}

static int run_retained(const struct query *query)
{
    static const struct list list = {
        "retained", "messages", "TOPIC                                    QOS      SIZE  PAYLOAD",
        print_retained};
    return print_list(query, &list);
}

static int run_session(const struct query *query)
{
    if (query->client == NULL)
        return command_misused(usage);
    return print_one(query, "session", json_pack("{s:s}", "client", query->client));
}

static int run_stats(const struct query *query)
{
    return print_one(query, "stats", json_object());
}

static int run_drain(const struct query *query)
{
    return print_one(query, "drain",
                     json_pack("{s:s*, s:s*}", "rate", query->rate, "reason", query->reason));
}

static const struct {
    const char *name, *options; /* those that not all have */
    int (*run)(const struct query *query);
} commands[] = {
    {"sessions", "client state user", run_sessions},
    {"session", "client", run_session},
    {"retained", "filter", run_retained},
    {"stats", "", run_stats},
    {"drain", "rate reason", run_drain},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return i;
    }
    return -1;
}

bool verb_command_is(const char *name)
{
    return find(name) >= 0;
}

int verb_command(int argc, char **argv)
{
    struct query query = {0};
    const struct command_option all[] = {
        {"client", &query.client, NULL}, {"state", &query.state, NULL},
        {"user", &query.user, NULL},     {"filter", &query.filter, NULL},
        {"rate", &query.rate, NULL},     {"reason", &query.reason, NULL},
    };
    struct command_option options[10] = {{"config", &query.file, NULL},
                                         {"socket", &query.socket_path, NULL},
                                         {"json", NULL, &query.as_json}};
    int command = find(argv[0]), count = 3;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strstr(commands[command].options, all[i].name) != NULL)
            options[count++] = all[i];
    }
    int status = command_parse(argc, argv, options, usage);
    return status == COMMAND_GOES_ON ? commands[command].run(&query) : status;
}
