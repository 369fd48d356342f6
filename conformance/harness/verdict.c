#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/harness/test_run.h"

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"passed",  "failed", "not applicable",
                                        "skipped", "flaky",  "broken"};
    return names[verdict];
}

static void copy_statement(char out[24], const char *statement)
{
    size_t size = strcspn(statement, statement[0] == 'M' ? " " : "");
    snprintf(out, 24, "%.*s", size < 24 ? (int)size : 23, statement);
}

/* The first that the case names: its main one. */
static const char *main_statement(const struct test *test)
{
    const char *list = test->version == VERSION_5 ? test->definition->v5 : test->definition->v311;
    return list ? list : "";
}

static char *format_text(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

static char *format_text(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    return text;
}

_Noreturn void test_run_end(struct test_run *run, enum verdict verdict, const char *statement,
                            const char *format, va_list arguments)
{
    if (!run->cleaning) {
        struct outcome *outcome = run->outcome;
        outcome->verdict = verdict;
        outcome->reason = format_text(format, arguments);
        copy_statement(outcome->statement, statement);
        char words[400];
        snprintf(words, sizeof words, "%s: %s%s%s", verdict_name(verdict), outcome->statement,
                 *outcome->statement ? ": " : "", outcome->reason);
        trace_line(&run->trace, TEXT(""), TRACE_EVENT, words, NULL, 0);
    }
    longjmp(run->end, 1);
}

_Noreturn void test_run_broken(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    test_run_end(test->run, VERDICT_BROKEN, "", format, arguments);
}

_Noreturn void fail(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    test_run_end(test->run, VERDICT_FAILED, main_statement(test), format, arguments);
}

_Noreturn void fail_statement(struct test *test, const char *statement, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    test_run_end(test->run, VERDICT_FAILED, statement, format, arguments);
}

_Noreturn void not_applicable(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    test_run_end(test->run, VERDICT_NOT_APPLICABLE, "", format, arguments);
}

_Noreturn void skip(struct test *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    test_run_end(test->run, VERDICT_SKIPPED, "", format, arguments);
}

static void remark(struct test *test, bool debatable, const char *statement, const char *format,
                   va_list arguments) __attribute__((format(printf, 4, 0)));

static void remark(struct test *test, bool debatable, const char *statement, const char *format,
                   va_list arguments)
{
    struct test_run *run = test->run;
    if (run->cleaning)
        return;
    struct remark *entry = calloc(1, sizeof *entry);
    if (!entry)
        abort();
    entry->debatable = debatable;
    entry->text = format_text(format, arguments);
    copy_statement(entry->statement, statement ? statement : main_statement(test));
    *run->last_remark = entry;
    run->last_remark = &entry->next;
    char words[400];
    snprintf(words, sizeof words, "%s: %s: %s", debatable ? "debatable" : "SHOULD",
             entry->statement, entry->text);
    trace_line(&run->trace, TEXT(""), TRACE_EVENT, words, NULL, 0);
}

void warn_should(struct test *test, const char *statement, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    remark(test, false, statement, format, arguments);
    va_end(arguments);
}

void warn_debatable(struct test *test, const char *statement, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    remark(test, true, statement, format, arguments);
    va_end(arguments);
}

/* ---- Optional features ---- */

void need_qos(struct test *test, uint8_t qos)
{
    if (test->server->maximum_qos < qos)
        not_applicable(test, "the server's Maximum QoS is %u", test->server->maximum_qos);
}

void need_retain(struct test *test)
{
    if (!test->server->retain_available)
        not_applicable(test, "the server says Retain Available 0");
}

void need_wildcard(struct test *test)
{
    if (!test->server->wildcard_available)
        not_applicable(test, "the server says Wildcard Subscription Available 0");
}

void need_shared(struct test *test)
{
    if (!test->server->shared_available)
        not_applicable(test, "the server says Shared Subscription Available 0");
}

void need_subscription_identifier(struct test *test)
{
    if (!test->server->subscription_identifier_available)
        not_applicable(test, "the server says Subscription Identifier Available 0");
}

bool on_websocket(const struct test *test)
{
    return test->run->settings->target->websocket;
}

void need_websocket(struct test *test)
{
    if (!on_websocket(test))
        skip(test, "it needs WebSocket (--ws)");
}
