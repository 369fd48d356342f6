/* 4.7 Topic Filters: what they match, with live and with retained messages, and which are refused.
 * Topic Names that a server has to refuse are in publish.c and strings.c. */
#include "conformance/cases/subscription.h"

#include <string.h>

/* ---- Matching: a table for live and for retained messages ---- */

#define NFC "\xC3\xA9"  /* U+00E9 */
#define NFD "e\xCC\x81" /* U+0065 U+0301, the same letter to a reader */
#define MARK "\xEF\xBB\xBF"

static const char *const topics[] = {
    "a",  "a/", "a/b", "a/b/", "a/b/c", "a//b", "/a",     "//",    "A",     "A/b",
    "ab", "ba", "a b", "a/$x", NFC,     NFD,    MARK "a", "a/%62", "a/./b", "a/b/../c",
};
enum { TOPICS = sizeof topics / sizeof *topics };

/* The topics that a filter matches, with | between. */
static const struct {
    const char *filter, *matches;
} table[] = {
    {"a", "a"},
    {"a/", "a/"},
    {"a/b", "a/b"},
    {"a/b/", "a/b/"},
    {"a//b", "a//b"},
    {"/a", "/a"},
    {"A/b", "A/b"},
    {"ab", "ab"},
    {NFC, NFC},
    {NFD, NFD},
    {MARK "a", MARK "a"},
    {"a/%62", "a/%62"},
    {"+", "a|A|ab|ba|a b|" NFC "|" NFD "|" MARK "a"},
    {"a/+", "a/|a/b|a/$x|a/%62"},
    {"+/b", "a/b|A/b"},
    {"+/", "a/"},
    {"/+", "/a"},
    {"+/+", "a/|a/b|/a|A/b|a/$x|a/%62"},
    {"+/+/+", "a/b/|a/b/c|a//b|//|a/./b"},
    {"a/+/c", "a/b/c"},
    {"a/+/b", "a//b|a/./b"},
    {"+/$x", "a/$x"},
    {"a/#", "a|a/|a/b|a/b/|a/b/c|a//b|a/$x|a/%62|a/./b|a/b/../c"},
    {"a/b/#", "a/b|a/b/|a/b/c|a/b/../c"},
    {"a/+/#", "a/|a/b|a/b/|a/b/c|a//b|a/$x|a/%62|a/./b|a/b/../c"},
    {"+/b/#", "a/b|a/b/|a/b/c|A/b|a/b/../c"},
    {"/#", "/a|//"},
    {"A/#", "A|A/b"},
    {"c/#", ""},
    {"#", "a|a/|a/b|a/b/|a/b/c|a//b|/a|//|A|A/b|ab|ba|a b|a/$x|" NFC "|" NFD "|" MARK
          "a|a/%62|a/./b|a/b/../c"},
};
enum { FILTERS = sizeof table / sizeof *table };

static bool listed(const char *list, const char *topic)
{
    size_t size = strlen(topic);
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, "|");
        if (length == size && memcmp(at, topic, size) == 0)
            return true;
        at += length + (at[length] == '|');
    }
    return false;
}

/* Takes what one filter owes, each topic once, in any order. */
static void take_matches(struct client *client, unsigned row, bool retained)
{
    struct test *test = client->test;
    bool seen[TOPICS] = {false};
    unsigned owed = 0;
    for (unsigned t = 0; t < TOPICS; t++)
        owed += listed(table[row].matches, topics[t]);
    for (unsigned n = 0; n < owed; n++) {
        struct packet publish;
        bool closed;
        if (!receive(client, test->time_limit_ms, &publish, &closed))
            fail(test, "the filter \"%s\" brought %u of the %u messages that match it",
                 table[row].filter, n, owed);
        unsigned t = 0;
        while (t < TOPICS && !text_equal(publish.topic, topic_of(test, "%s", topics[t])))
            t++;
        if (t == TOPICS || !listed(table[row].matches, topics[t]) || seen[t])
            fail(test, "the filter \"%s\" brought \"%.*s\", which it does not match or had brought",
                 table[row].filter, (int)publish.topic.size, publish.topic.data);
        if (publish.retain != retained)
            fail(test, "RETAIN is %d", publish.retain);
        seen[t] = true;
        acknowledge(client, &publish);
    }
}

static void publish_all(struct test *test, bool retained)
{
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned t = 0; t < TOPICS; t++)
        client_publish(publisher, topic_of(test, "%s", topics[t]), TEXT("x"), 1, retained);
}

/* A client for each filter, so that no two subscriptions overlap in one session. */
static void try_table(struct test *test, bool retained)
{
    struct client *subscribers[FILTERS];
    need_wildcard(test);
    need_qos(test, 1);
    if (retained)
        publish_all(test, true);
    for (unsigned i = 0; i < FILTERS; i++) {
        subscribers[i] = client_connected(test, "subscriber");
        client_subscribe(subscribers[i], topic_of(test, "%s", table[i].filter), 1);
    }
    if (!retained)
        publish_all(test, false);
    for (unsigned i = 0; i < FILTERS; i++)
        take_matches(subscribers[i], i, retained);
    let_pass_ms(test, test->quiet_ms);
    for (unsigned i = 0; i < FILTERS; i++)
        expect_alive(subscribers[i]); /* and nothing before PINGRESP */
}

CASE(
    filters_match_as_specified, .v5 = "MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.7.3-4 MQTT-3.3.2-3",
    .v311 = "MQTT-4.7.1-2 MQTT-4.7.1-3 MQTT-4.7.3-4 MQTT-3.3.2-3",
    .sends =
        "30 filters with and without wildcards, each of a client of its own; a PUBLISH to each "
        "of 20 topics: empty levels, slashes at both ends, upper and lower case, composed and "
        "decomposed letters, U+FEFF, $ behind the first level, %62, . and ..",
    .allowed = "each client gets exactly the topics that its filter matches; # includes the parent "
               "level, + one level, empty ones too; nothing is normalised",
    .faults = "hash_misses_parent hash_matches_one_level plus_matches_many plus_misses_empty_level "
              "prefix_matches normalizes_slashes folds_topic_case",
    .limit_s = 60)
{
    try_table(test, false);
}

CASE(filters_match_retained_messages_as_specified,
     .v5 = "MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.7.3-4 MQTT-3.3.1-9",
     .v311 = "MQTT-4.7.1-2 MQTT-4.7.1-3 MQTT-4.7.3-4 MQTT-3.3.1-6",
     .sends = "the same 20 topics as retained messages, then the same 30 filters",
     .allowed = "each client gets exactly the retained messages that its filter matches",
     .why = "servers look retained messages up by another way than they route live ones",
     .faults = "sends_retained_never sends_one_retained", .limit_s = 60)
{
    need_retain(test);
    try_table(test, true);
}

/* ---- Topics that begin with $ ---- */

/* "conf/RUN/CASE/x" with another first level. */
static struct text with_first_level(struct test *test, const char *level, struct text topic)
{
    size_t first = 0;
    while (first < topic.size && topic.data[first] != '/')
        first++;
    return text_printf(test, "%s%.*s", level, (int)(topic.size - first), topic.data + first);
}

CASE(wildcards_do_not_match_a_leading_dollar, .v5 = "MQTT-4.7.2-1", .v311 = "MQTT-4.7.2-1",
     .sends =
         "a subscription whose first level is +; PUBLISH to a topic that it matches and to one "
         "that differs in a leading $, at QoS 0 and 1",
     .allowed = "the first only; what happens to the second otherwise is the server's choice",
     .faults = "wildcard_matches_dollar")
{
    need_wildcard(test);
    struct client *subscriber = client_connected(test, "subscriber");
    struct client *publisher = client_connected(test, "publisher");
    struct client *dollar = client_connected(test, "dollar");
    struct text plain = topic_of(test, "x");
    client_subscribe(subscriber, with_first_level(test, "+", plain), 1);
    for (uint8_t qos = 0; qos <= (test->server->maximum_qos > 0 ? 1 : 0); qos++) {
        struct packet publish = {.type = PUBLISH, .qos = qos, .payload = TEXT("hidden")};
        publish.topic = with_first_level(test, "$conf", plain);
        client_publish_start(dollar, &publish);
        struct packet answer;
        bool closed = false;
        if (qos > 0 && !receive(dollar, test->time_limit_ms, &answer, &closed) && !closed)
            fail_statement(test, test->version == VERSION_5 ? "MQTT-4.3.2-4" : "MQTT-4.3.2-2",
                           "no answer to a PUBLISH at QoS 1");
        client_publish(publisher, plain, TEXT("seen"), qos, false);
        take_publish(subscriber, plain, TEXT("seen"));
        if (closed)
            break;
    }
    expect_quiet(subscriber);
}

CASE(wildcards_do_not_match_the_servers_own_topics, .v5 = "MQTT-4.7.2-1", .v311 = "MQTT-4.7.2-1",
     .sends = "SUBSCRIBE to $SYS/#; then, from another client, to the first topic that came with + "
              "instead of $SYS",
     .allowed = "nothing that begins with $ on the second", .faults = "wildcard_matches_dollar")
{
    need_wildcard(test);
    struct client *insider = client_connected(test, "insider");
    struct client *outsider = client_connected(test, "outsider");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 1};
    subscribe.filters[0].filter = TEXT("$SYS/#");
    struct packet suback = client_subscribe_raw(insider, &subscribe);
    if (suback.reason_codes.data[0] >= 0x80)
        not_applicable(test, "$SYS/# is refused");
    struct packet publish;
    bool closed = false;
    if (!receive(insider, 3 * test->quiet_ms, &publish, &closed) || publish.type != PUBLISH)
        not_applicable(test, "the server has no retained messages below $SYS");
    client_subscribe(outsider, with_first_level(test, "+", publish.topic), 0);
    while (receive(outsider, test->quiet_ms, &publish, &closed)) {
        if (publish.topic.size > 0 && publish.topic.data[0] == '$')
            fail(test, "a filter that begins with + brought \"%.*s\"", (int)publish.topic.size,
                 publish.topic.data);
    }
}

/* ---- Filters that have to be refused ---- */

static void must_not_be_granted(struct test *test, struct text filter, const char *what)
{
    struct client *client = client_connected(test, "client");
    if (subscription_try(client, filter, 0) == SUBSCRIPTION_GRANTED)
        fail(test, "%s was granted", what);
    client_drop(client);
}

CASE(misplaced_wildcards_are_refused, .v5 = "MQTT-4.7.1-1 MQTT-4.7.1-2",
     .v311 = "MQTT-4.7.1-2 MQTT-4.7.1-3",
     .sends = "SUBSCRIBE to filters with # before the end, and with # or + as part of a level",
     .allowed = "SUBACK with a code that refuses, or the Network Connection is closed",
     .why = "the specification leaves open whether such a filter makes the packet malformed",
     .faults = "accepts_bad_filter")
{
    static const char *const filters[] = {"a#", "#a",   "a/#/b", "#/",     "a/b#", "##",
                                          "a+", "+a",   "a/+b",  "a/b+/c", "++",   "+#",
                                          "#+", "a/+#", "/#/",   "a/b/#c"};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        must_not_be_granted(test, topic_of(test, "%s", filters[i]), filters[i]);
}

CASE(empty_filter_is_refused, .v5 = "MQTT-4.7.3-1", .v311 = "MQTT-4.7.3-1",
     .sends = "SUBSCRIBE to a filter of no characters",
     .allowed = "SUBACK with a code that refuses, or the Network Connection is closed",
     .faults = "accepts_empty_topic")
{
    must_not_be_granted(test, TEXT(""), "an empty Topic Filter");
}

/* ---- Depth ---- */

/* A name below this case's topics with so many levels more. */
static struct text deep_topic(struct test *test, size_t levels)
{
    struct text start = topic_of(test, "deep");
    uint8_t *name = test_alloc(test, start.size + 2 * levels);
    memcpy(name, start.data, start.size);
    for (size_t i = 0; i < levels; i++)
        memcpy(name + start.size + 2 * i, "/d", 2);
    return (struct text){name, start.size + 2 * levels};
}

/* Whether a message to a topic of so many levels reaches a subscriber to it. */
static bool depth_works(struct test *test, size_t levels)
{
    struct client *subscriber = client_connected(test, "subscriber");
    struct client *publisher = client_connected(test, "publisher");
    struct text topic = deep_topic(test, levels);
    if (subscription_try(subscriber, topic, 0) != SUBSCRIPTION_GRANTED)
        return false;
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("deep")};
    client_publish_start(publisher, &publish);
    struct packet got;
    bool closed = false;
    if (!receive(subscriber, test->quiet_ms, &got, &closed)) {
        if (!receive(publisher, 1, &got, &closed) && closed)
            return false; /* the name was refused */
        got = expect(subscriber, PUBLISH);
    }
    if (got.type != PUBLISH || !text_equal(got.topic, topic))
        fail(test, "a topic of %zu levels was delivered under another name", levels);
    return true;
}

CASE(topics_can_be_deep, .v5 = "MQTT-4.7.3-4", .v311 = "MQTT-4.7.3-4",
     .sends = "SUBSCRIBE and PUBLISH to topics of 50, 1,000 and 32,000 levels",
     .allowed = "delivery under the same name. Section 4.7.3 knows no limit but the length of the "
                "string; a server that refuses the two deep ones is remarked on only",
     .faults = "truncates_topics never_delivers")
{
    if (!depth_works(test, 50))
        fail(test, "a topic of 50 levels was refused");
    if (!depth_works(test, 1000))
        warn_debatable(test, "MQTT-4.7.3-4", "a topic of 1,000 levels was refused");
    else if (test->server->maximum_packet_size > 70000 && !depth_works(test, 32000))
        warn_debatable(test, "MQTT-4.7.3-4", "a topic of 32,000 levels was refused");
    expect_alive(client_connected(test, "after"));
}
