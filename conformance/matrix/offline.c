/* The offline-delivery matrix as cases: one for each combination of a pairwise choice, or with
 * --full a case for each few of all combinations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/harness/case.h"
#include "conformance/matrix/absence.h"
#include "conformance/runner/settings.h"

/* Fixed, so that cases have the same names in every run and reports can be compared. */
enum { SEED = 20190307, TOGETHER_MAX = 24, SINGLE_LIMIT_S = 60, TOGETHER_LIMIT_S = 240 };

struct matrix_case {
    struct conformance_case definition;        /* first: a case is found by its definition */
    const struct combination *combinations[2]; /* by version: 3.1.1, 5.0 */
    unsigned count;
    char name[80], sends[420], faults[200];
};

static const char file[] = "conformance/matrix/matrix.c";
static const char allowed[] =
    "a session that ended: Session Present 0 and nothing more. One that is stored: Session Present "
    "1; what was begun goes on under its Packet Identifiers, PUBLISH with DUP, and PUBREL where it "
    "had been sent; then what was missed, in order, with DUP 0, RETAIN as published (3.1.1: 0) and "
    "the Subscription Identifiers, its expiry counted down, what expired left out; never more than "
    "Receive Maximum without acknowledgement; and the subscription works";
static const char why[] =
    "QoS 0 may be kept or dropped. Where subscriptions overlap one copy may come or two. After a "
    "kill the last acknowledgement may be forgotten, since the server told nobody that it had read "
    "it. Two seconds are enough for an expiry of one; Message Expiry Interval has a second of "
    "tolerance";

/* ---- Playing ---- */

static bool outage_is_wanted(const struct combination *combination)
{
    return combination->values[DIMENSION_OUTAGE] != OUTAGE_NONE;
}

static void await_return(struct test *test, const struct absence *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t passed_ms = clock_ms() - list[i].counted_after_ms;
        if (passed_ms < absence_duration_ms(&list[i]))
            let_pass_ms(test, absence_duration_ms(&list[i]) - (unsigned)passed_ms);
    }
}

static void run(struct test *test)
{
    const struct matrix_case *this = (const struct matrix_case *)test->definition;
    const struct combination *combinations = this->combinations[test->version == VERSION_5];
    struct absence *list = test_alloc(test, this->count * sizeof *list);
    unsigned count = 0;
    for (unsigned i = 0; i < this->count; i++) {
        const char *obstacle = absence_obstacle(&combinations[i], test->server);
        char name[80];
        combination_name(&combinations[i], name, sizeof name);
        if (obstacle != NULL && this->count == 1)
            not_applicable(test, "%s", obstacle);
        if (obstacle == NULL)
            absence_begin(&list[count++], test, &combinations[i],
                          this->count == 1 ? TEXT("") : text_printf(test, "%s: ", name));
    }
    if (count == 0)
        not_applicable(test, "the server offers nothing of what these combinations need");
    for (unsigned i = 0; i < count; i++)
        absence_leave(&list[i]);
    for (unsigned i = 0; i < count; i++)
        absence_await_end(&list[i]);
    for (unsigned i = 0; i < count; i++)
        absence_publish(&list[i]);
    if (outage_is_wanted(list[0].combination))
        outage(test);
    await_return(test, list, count);
    for (unsigned i = 0; i < count; i++)
        absence_return(&list[i]);
}

/* ---- Describing ---- */

static const char *const session_words[] = {
    [SESSION_CLEAN] = "a session that ends with its connection",
    [SESSION_SHORT] = "a session with an expiry of 1 s",
    [SESSION_LONG] = "a session with an expiry of an hour",
    [SESSION_UNLIMITED] = "a session that does not expire",
    [SESSION_LENGTHENED] = "a session with an expiry of 1 s that DISCONNECT makes an hour",
    [SESSION_SHORTENED] = "a session with an expiry of an hour that DISCONNECT makes 1 s",
};
static const char *const filter_words[] = {
    [FILTER_EXACT] = "its topic",
    [FILTER_PLUS] = "a filter with +",
    [FILTER_HASH] = "a filter with #",
    [FILTER_SHARED] = "a Shared Subscription",
    [FILTER_OVERLAPPING] = "its topic and a filter with +",
};
static const char *const leaving_words[] = {
    [LEAVING_DISCONNECT] = "sends DISCONNECT",
    [LEAVING_DISCONNECT_WITH_WILL] = "sends DISCONNECT 0x04",
    [LEAVING_CLOSE] = "closes its socket",
    [LEAVING_RESET] = "resets its connection",
    [LEAVING_TIMEOUT] = "lets its keep alive run out",
    [LEAVING_TAKEOVER] = "is taken over by a connection that closes at once",
};
static const char *const step_words[] = {
    [STEP_IDLE] = "when nothing is under way",
    [STEP_PUBLISHED] = "having read two PUBLISHes and acknowledged none",
    [STEP_RECEIVED] = "right after PUBREC for two messages",
    [STEP_RELEASED] = "having read two PUBRELs and sent no PUBCOMP",
    [STEP_FINISHED] = "having acknowledged two messages to the end",
};
static const char *const outage_words[] = {
    [OUTAGE_NONE] = "then it returns",
    [OUTAGE_RESTART] = "the server is restarted, and it returns",
    [OUTAGE_KILL] = "the server is killed, and it returns",
};

static void describe(struct matrix_case *this, const struct combination *combination)
{
    const uint8_t *values = combination->values;
    snprintf(this->sends, sizeof this->sends,
             "%s, subscribed at QoS %u to %s. The client %s, %s; four messages at QoS %u follow "
             "(one retained, 5.0: one with an expiry of 100 s, one of 1 s); %s after two seconds "
             "at least",
             session_words[values[DIMENSION_SESSION]], values[DIMENSION_GRANTED],
             filter_words[values[DIMENSION_FILTER]], leaving_words[values[DIMENSION_LEAVING]],
             step_words[values[DIMENSION_STEP]], values[DIMENSION_PUBLISHED],
             outage_words[values[DIMENSION_OUTAGE]]);
}

static void describe_several(struct matrix_case *this)
{
    const struct combination *list =
        this->combinations[0] != NULL ? this->combinations[0] : this->combinations[1];
    char first[80], last[80];
    combination_name(&list[0], first, sizeof first);
    combination_name(&list[this->count - 1], last, sizeof last);
    snprintf(this->sends, sizeof this->sends,
             "%u combinations of publisher's QoS, subscriber's QoS, session, filter, leaving, step "
             "and outage, one after the other, from %s to %s",
             this->count, first, last);
}

static void add_word(char *text, size_t size, const char *word)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", word);
}

/* One more for each, in turn: so that all that is checked is shown to be, and proving stays quick.
 */
static const char *further_fault(const struct combination *combination)
{
    static const char *const further[] = {
        "expiry_not_counted_down",
        "loses_retain_as_published_offline",
        "ignores_receive_maximum",
        "loses_subscription_identifier_offline",
        "sets_dup",
        "reorders_offline",
    };
    enum { COUNT = sizeof further / sizeof *further, QUOTA = 2, OF_BOTH_VERSIONS = 4 };
    enum step step = combination->values[DIMENSION_STEP];
    unsigned turn = 0;
    for (unsigned d = 0; d < DIMENSIONS; d++)
        turn += combination->values[d] * (d + 1);
    turn %= COUNT;
    if (combination->version == VERSION_311)
        turn = OF_BOTH_VERSIONS + turn % (COUNT - OF_BOTH_VERSIONS);
    if (combination->values[DIMENSION_FILTER] == FILTER_SHARED && turn == COUNT - 1)
        turn--; /* their order is free */
    if ((step == STEP_RECEIVED || step == STEP_RELEASED) && turn == QUOTA)
        turn++; /* PUBCOMP for what was begun raises the quota beyond what is waiting */
    return further[turn];
}

/* What this combination must notice. */
static void name_faults(struct matrix_case *this, const struct combination *combination)
{
    enum step step = combination->values[DIMENSION_STEP];
    enum outage outage_kind = combination->values[DIMENSION_OUTAGE];
    char *faults = this->faults;
    size_t size = sizeof this->faults;
    if (!combination_survives(combination)) {
        add_word(faults, size, "claims_session_present");
        return;
    }
    add_word(faults, size, "denies_session_present");
    if (outage_kind != OUTAGE_NONE)
        add_word(faults, size, "forgets_sessions_at_outage");
    if (combination_qos(combination) == 0)
        return;
    add_word(faults, size,
             outage_kind == OUTAGE_NONE ? "loses_offline_messages" : "forgets_messages_at_outage");
    if (step == STEP_PUBLISHED)
        add_word(faults, size, "forgets_unacknowledged clears_dup");
    if (step == STEP_RELEASED)
        add_word(faults, size, "forgets_pubrel");
    add_word(faults, size, further_fault(combination));
}

/* ---- Registering ---- */

static const char v5_stored[] =
    "MQTT-3.1.2-23 MQTT-3.1.2-5 MQTT-3.2.2-3 MQTT-4.1.0-1 MQTT-4.4.0-1 MQTT-4.5.0-1 MQTT-3.3.1-1 "
    "MQTT-3.3.1-3 MQTT-3.3.1-13 MQTT-3.3.2-5 MQTT-3.3.2-6 MQTT-3.3.4-3 MQTT-3.3.4-9 MQTT-4.6.0-5";
static const char v5_ended[] = "MQTT-4.1.0-2 MQTT-3.1.2-6 MQTT-3.2.2-3";
static const char v311_stored[] =
    "MQTT-3.1.2-4 MQTT-3.1.2-5 MQTT-3.2.2-2 MQTT-4.1.0-1 MQTT-4.4.0-1 "
    "MQTT-4.5.0-1 MQTT-3.3.1-1 MQTT-3.3.1-3 MQTT-3.3.1-9 MQTT-4.6.0-6";
static const char v311_ended[] = "MQTT-3.1.2-6 MQTT-3.2.2-3";

static struct matrix_case *case_new(const struct combination *combinations, unsigned count)
{
    struct matrix_case *this = calloc(1, sizeof *this);
    bool v5 = combinations[0].version == VERSION_5;
    if (this == NULL)
        abort();
    this->combinations[v5] = combinations;
    this->count = count;
    this->definition = (struct conformance_case){
        .name = this->name,
        .file = file,
        .sends = this->sends,
        .allowed = allowed,
        .why = why,
        .faults = this->faults,
        .timing = true,
        .outage = combinations[0].values[DIMENSION_OUTAGE],
        .limit_s = count == 1 ? SINGLE_LIMIT_S : TOGETHER_LIMIT_S,
        .run = run,
    };
    if (count == 1)
        describe(this, &combinations[0]);
    else
        describe_several(this);
    name_faults(this, &combinations[0]);
    return this;
}

static void set_statements(struct matrix_case *this, enum version version)
{
    bool stored = combination_survives(&this->combinations[version == VERSION_5][0]);
    if (version == VERSION_5)
        this->definition.v5 = stored ? v5_stored : v5_ended;
    else
        this->definition.v311 = stored ? v311_stored : v311_ended;
}

/* The same combination may be chosen for both versions: then it is one case. */
static struct matrix_case *find(struct matrix_case **cases, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cases[i]->name, name) == 0)
            return cases[i];
    }
    return NULL;
}

static struct combination *room_for(enum version version)
{
    struct combination *list = calloc(combination_all(version, NULL), sizeof *list);
    if (list == NULL)
        abort();
    return list;
}

static void generate_pairwise(void)
{
    struct matrix_case *cases[400];
    size_t case_count = 0;
    for (enum version version = VERSION_311; version <= VERSION_5; version++) {
        struct combination *list = room_for(version);
        size_t count = combination_pairwise(version, SEED, list);
        for (size_t i = 0; i < count && case_count < sizeof cases / sizeof *cases; i++) {
            char name[80];
            combination_name(&list[i], name, sizeof name);
            struct matrix_case *this = find(cases, case_count, name);
            if (this == NULL) {
                this = cases[case_count++] = case_new(&list[i], 1);
                memcpy(this->name, name, sizeof name);
            }
            this->combinations[version == VERSION_5] = &list[i];
            set_statements(this, version);
        }
    }
    for (size_t i = 0; i < case_count; i++)
        case_register(&cases[i]->definition);
}

/* Those that a case can play together: one outage and one way of leaving, and one way of needing
 * the server's features. */
static int compare(const void *a, const void *b)
{
    static const enum dimension order[] = {
        DIMENSION_OUTAGE, DIMENSION_LEAVING,   DIMENSION_FILTER, DIMENSION_SESSION,
        DIMENSION_STEP,   DIMENSION_PUBLISHED, DIMENSION_GRANTED};
    const struct combination *left = a, *right = b;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int difference = left->values[order[i]] - right->values[order[i]];
        if (difference != 0)
            return difference;
    }
    return 0;
}

static bool fit_together(const struct combination *a, const struct combination *b)
{
    return a->values[DIMENSION_OUTAGE] == b->values[DIMENSION_OUTAGE] &&
           a->values[DIMENSION_LEAVING] == b->values[DIMENSION_LEAVING] &&
           a->values[DIMENSION_FILTER] == b->values[DIMENSION_FILTER] &&
           combination_survives(a) == combination_survives(b);
}

static void generate_full(void)
{
    for (enum version version = VERSION_311; version <= VERSION_5; version++) {
        struct combination *list = room_for(version);
        size_t count = combination_all(version, list);
        qsort(list, count, sizeof *list, compare);
        unsigned number = 0, size;
        for (size_t i = 0; i < count; i += size) {
            size = 1;
            while (i + size < count && size < TOGETHER_MAX &&
                   fit_together(&list[i], &list[i + size]))
                size++;
            struct matrix_case *this = case_new(&list[i], size);
            snprintf(this->name, sizeof this->name, "full_%s_%04u",
                     version == VERSION_5 ? "5" : "311", number++);
            set_statements(this, version);
            case_register(&this->definition);
        }
    }
}

static void generate(void)
{
    if (settings_full())
        generate_full();
    else
        generate_pairwise();
}

__attribute__((constructor)) static void register_generator(void)
{
    settings_add_generator(generate);
}
