#include "conformance/harness/run_case.h"

#include <errno.h>
#include <stdatomic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "conformance/harness/test_run.h"

enum { LIMIT_S = 30, TIME_LIMIT_MS = 5000, QUIET_MS = 300 };

static char process_name[7];
static pthread_once_t process_named = PTHREAD_ONCE_INIT;
static atomic_uint runs;

static void name_process(void)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint32_t random;
    while (getrandom(&random, sizeof random, 0) != sizeof random) {
        if (errno != EINTR)
            abort();
    }
    for (unsigned i = 0; i < 6; i++, random /= 36)
        process_name[i] = digits[random % 36];
}

const char *run_name(void)
{
    pthread_once(&process_named, name_process);
    return process_name;
}

/* ---- Time ---- */

uint64_t clock_ms(void)
{
    return transport_clock_ms();
}

uint64_t test_run_deadline(const struct test_run *run, unsigned ms)
{
    uint64_t deadline_ms = transport_clock_ms() + ms;
    return deadline_ms < run->deadline_ms ? deadline_ms : run->deadline_ms;
}

const char *test_run_over(const struct test_run *run)
{
    return transport_clock_ms() >= run->deadline_ms ? " (the time limit of the whole case)" : "";
}

void let_pass_ms(struct test *test, unsigned ms)
{
    struct test_run *run = test->run;
    uint64_t until_ms = transport_clock_ms() + ms;
    if (until_ms > run->deadline_ms)
        test_run_broken(test, "the case has no time left to wait for %u ms", ms);
    while (transport_clock_ms() < until_ms)
        test_run_wait(run, until_ms);
}

static void close_all(struct test_run *run)
{
    while (run->connections)
        connection_close(run->connections->client, false);
}

void outage(struct test *test)
{
    struct test_run *run = test->run;
    if (!run->settings->outage)
        skip(test, "it needs a command that %s the server",
             test->definition->outage == OUTAGE_KILL ? "kills and starts" : "restarts");
    uint64_t start_ms = transport_clock_ms();
    trace_line(&run->trace, TEXT(""), TRACE_EVENT, "outage: the server is stopped and started",
               NULL, 0);
    run->settings->outage(run->settings->outage_context, test->definition->outage);
    run->deadline_ms += transport_clock_ms() - start_ms; /* it is not the case's own time */
    test_run_wait(run, 0); /* its last words, DISCONNECT 0x8B perhaps */
    close_all(run); /* only now: whoever was connected has to be so when the server goes down */
    trace_line(&run->trace, TEXT(""), TRACE_EVENT, "outage: over", NULL, 0);
}

/* ---- Memory and names ---- */

void *test_alloc(struct test *test, size_t size)
{
    return memset(arena_alloc(&test->run->arena, size), 0, size);
}

static struct text print(struct test *test, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static struct text print(struct test *test, const char *format, va_list arguments)
{
    char *text = NULL;
    int size = vasprintf(&text, format, arguments);
    if (size < 0)
        abort();
    char *copy = memcpy(arena_alloc(&test->run->arena, (size_t)size + 1), text, (size_t)size + 1);
    free(text);
    return (struct text){(const uint8_t *)copy, (size_t)size};
}

struct text text_printf(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct text text = print(test, format, arguments);
    va_end(arguments);
    return text;
}

struct text topic_of(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct text suffix = print(test, format, arguments);
    va_end(arguments);
    return text_printf(test, "conf/%s-%u/%s/%s", run_name(), test->run->number,
                       test->definition->name, (const char *)suffix.data);
}

/* ---- A run ---- */

static void begin(struct test_run *run, const struct conformance_case *definition,
                  enum version version, const struct run_settings *settings,
                  struct outcome *outcome)
{
    unsigned limit_s = definition->limit_s ? definition->limit_s : LIMIT_S;
    run->settings = settings;
    run->outcome = outcome;
    run->number = atomic_fetch_add(&runs, 1) + 1;
    run->start_ms = transport_clock_ms();
    run->deadline_ms = run->start_ms + limit_s * 1000ull;
    run->trace.start_ms = run->start_ms;
    run->trace.live = settings->live_trace;
    run->last_remark = &outcome->remarks;
    run->test = (struct test){
        .definition = definition,
        .version = version,
        .server = settings->server,
        .time_limit_ms = settings->time_limit_ms ? settings->time_limit_ms : TIME_LIMIT_MS,
        .quiet_ms = settings->quiet_ms ? settings->quiet_ms : QUIET_MS,
        .seed = settings->seed,
        .run = run,
    };
}

/* What has come meanwhile is checked too, without waiting for more. */
static void play(struct test_run *run)
{
    if (setjmp(run->end))
        return;
    run->test.definition->run(&run->test);
    test_run_wait(run, 0);
    run->outcome->verdict = VERDICT_PASSED;
}

static void run_with(struct test_run *run)
{
    play(run);
    run->outcome->duration_ms = (unsigned)(transport_clock_ms() - run->start_ms);
    test_run_cleanup(run);
    close_all(run);
    run->outcome->trace = trace_text(&run->trace);
    trace_free(&run->trace);
    arena_free(&run->arena);
    free(run->entries);
    free(run);
}

void run_case(const struct conformance_case *definition, enum version version,
              const struct run_settings *settings, struct outcome *out)
{
    *out = (struct outcome){0};
    struct test_run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    begin(run, definition, version, settings, out);
    run_with(run);
}

void outcome_free(struct outcome *outcome)
{
    while (outcome->remarks) {
        struct remark *next = outcome->remarks->next;
        free(outcome->remarks->text);
        free(outcome->remarks);
        outcome->remarks = next;
    }
    free(outcome->reason);
    free(outcome->trace);
    *outcome = (struct outcome){0};
}

/* ---- The probe: a case that only connects ---- */

static void read_features(const struct packet *connack, struct server_features *out)
{
    const struct properties *properties = &connack->properties;
    out->maximum_qos = (uint8_t)property_number(properties, MAXIMUM_QOS, 2);
    out->retain_available = property_number(properties, RETAIN_AVAILABLE, 1);
    out->wildcard_available = property_number(properties, WILDCARD_SUBSCRIPTION_AVAILABLE, 1);
    out->subscription_identifier_available =
        property_number(properties, SUBSCRIPTION_IDENTIFIER_AVAILABLE, 1);
    out->shared_available = property_number(properties, SHARED_SUBSCRIPTION_AVAILABLE, 1);
    out->receive_maximum = (uint16_t)property_number(properties, RECEIVE_MAXIMUM, UINT16_MAX);
    out->topic_alias_maximum = (uint16_t)property_number(properties, TOPIC_ALIAS_MAXIMUM, 0);
    out->maximum_packet_size = property_number(properties, MAXIMUM_PACKET_SIZE, UINT32_MAX);
    out->has_server_keep_alive = property_find(properties, SERVER_KEEP_ALIVE) != NULL;
    out->server_keep_alive_s = (uint16_t)property_number(properties, SERVER_KEEP_ALIVE, 0);
}

struct answer {
    struct server_features *features;
    uint8_t code; /* of a CONNACK that refuses */
};

/* A CONNACK of 3.1.1 says nothing of this, so everything that 3.1.1 has is taken for granted. */
static void probe(struct test *test)
{
    struct answer *answer = test->run->context;
    struct client *client = client_new(test, "probe");
    struct packet connect = connect_of(client);
    answer->code = client_connect(client, &connect)->reason_code;
    if (answer->code != 0)
        fail_statement(test, "", "the server refused a sound CONNECT with 0x%02X %s", answer->code,
                       reason_code_name(test->version, CONNACK, answer->code));
    read_features(&client->connack, answer->features);
    client_disconnect(client);
}

static enum probe probe_result(const struct outcome *outcome, const struct answer *answer)
{
    if (outcome->verdict == VERDICT_PASSED)
        return PROBE_ACCEPTED;
    if (outcome->verdict != VERDICT_FAILED)
        return PROBE_UNREACHABLE;
    return answer->code != 0 ? PROBE_REFUSED : PROBE_FAULTY;
}

enum probe server_ask(const struct target *target, enum version version,
                      struct server_features *out, uint8_t *code, char *error, size_t error_size)
{
    static const struct conformance_case definition = {
        .name = "probe", .file = __FILE__, .run = probe};
    struct run_settings settings = {.target = target, .server = out};
    struct answer answer = {.features = out};
    struct outcome outcome = {0};
    struct test_run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    read_features(&(struct packet){.type = CONNACK}, out);
    begin(run, &definition, version, &settings, &outcome);
    run->context = &answer;
    run_with(run);
    enum probe result = probe_result(&outcome, &answer);
    if (result != PROBE_ACCEPTED)
        snprintf(error, error_size, "%s", outcome.reason ? outcome.reason : "no answer");
    *code = answer.code;
    outcome_free(&outcome);
    return result;
}

bool server_probe(const struct target *target, enum version version, struct server_features *out,
                  char *error, size_t error_size)
{
    uint8_t code;
    return server_ask(target, version, out, &code, error, error_size) == PROBE_ACCEPTED;
}
