#include "conformance/runner/collect.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/runner/selection.h"

/* A failure so shortly before the server was missed may be its going. */
enum { LAST_MOMENTS_MS = 2000 };

void collect_head(struct report *report, const struct options *options, const char *command_line)
{
    static const char *const transports[2][2] = {{"TCP", "WebSocket"}, {"TLS", "secure WebSocket"}};
    const struct target *target = &options->target;
    char started[32];
    struct tm utc;
    time_t now = time(NULL);
    gmtime_r(&now, &utc);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    *report = (struct report){.seed = options->seed, .jobs = options->jobs, .full = options->full};
    report_set(&report->label, options->label);
    report_set(&report->host, target->host);
    report_set(&report->port, target->port);
    report_set(&report->transport, transports[target->tls][target->websocket]);
    report_set(&report->command_line, command_line);
    report_set(&report->program_version, HOLDFAST_VERSION);
    report_set(&report->started, started);
    for (int i = 0; i < VERSIONS; i++)
        report_set(&report->versions[i].error, "");
}

/* Cases write what happened as a clause; reports print sentences. A first word that is a name on
 * the wire ("a/#: ...") stays as it is. */
static void set_sentence(char **place, const char *clause)
{
    size_t size = clause ? strlen(clause) : 0;
    char *sentence = NULL;
    if (size == 0) {
        report_set(place, "");
        return;
    }
    size_t letters = strspn(clause, "abcdefghijklmnopqrstuvwxyz");
    bool is_word = letters > 0 && (clause[letters] == ' ' || clause[letters] == ',');
    bool is_ended = strchr(".!?)", clause[size - 1]) != NULL;
    char first = is_word ? (char)(clause[0] - 'a' + 'A') : clause[0];
    if (asprintf(&sentence, "%c%s%s", first, clause + 1, is_ended ? "" : ".") < 0)
        abort();
    report_set(place, sentence);
    free(sentence);
}

static void add_remarks(struct report_result *result, const struct outcome *outcome)
{
    for (const struct remark *remark = outcome->remarks; remark; remark = remark->next) {
        report_add_remark(result, remark->debatable, remark->statement, "");
        set_sentence(&result->remarks[result->remark_count - 1].text, remark->text);
    }
}

static bool wants_explaining(const struct outcome *outcome)
{
    return outcome->verdict == VERDICT_FAILED || outcome->verdict == VERDICT_FLAKY ||
           outcome->verdict == VERDICT_BROKEN || outcome->remarks;
}

static void add_result(struct report *report, const struct job *job)
{
    const struct conformance_case *definition = job->definition;
    const struct outcome *outcome = &job->outcome;
    struct report_result *result = report_add(report);
    char name[CASE_NAME_SIZE];
    result->version = job->version;
    result->verdict = outcome->verdict;
    result->duration_ms = outcome->duration_ms;
    result->retried = job->retried;
    report_set(&result->name, selection_name(definition, name));
    report_set(&result->statements, selection_statements(definition, job->version));
    report_set(&result->statement, outcome->statement);
    set_sentence(&result->reason, outcome->reason);
    set_sentence(&result->sends, definition->sends);
    set_sentence(&result->allowed, definition->allowed);
    set_sentence(&result->why, definition->why);
    report_set(&result->trace, wants_explaining(outcome) ? outcome->trace : "");
    add_remarks(result, outcome);
}

/* A server that dies takes down whatever runs at that moment: no verdict on the statements of these
 * cases, but one of them may be what killed it. */
static void excuse_last_moments(const struct run *run, const struct job *job,
                                struct report_result *result)
{
    char *reason;
    if (!run->server_gone || result->verdict != VERDICT_FAILED ||
        job->ended_ms + LAST_MOMENTS_MS < run->gone_ms)
        return;
    if (asprintf(&reason,
                 "The server went away while this case ran, or just behind it. What the "
                 "case saw: %s",
                 result->reason) < 0)
        abort();
    free(result->reason);
    result->reason = reason;
    result->verdict = VERDICT_BROKEN;
    report_set(&result->statement, "");
}

void collect_run(struct report *report, struct run *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        const struct job *job = &run->jobs[i];
        if (job->state == JOB_NOT_RUN) {
            report->not_run++;
            continue;
        }
        add_result(report, job);
        excuse_last_moments(run, job, &report->results[report->count - 1]);
    }
    report->interrupted = report->interrupted || run->interrupted;
    if (run->server_gone)
        report_note(report, "The server could not be reached any more in the middle of the run: %s",
                    run->gone_error);
}

void collect_finish(struct report *report, uint64_t start_ms)
{
    report->duration_ms = (unsigned)(clock_ms() - start_ms);
    report_sort(report);
    if (report->interrupted)
        report_note(report, "The run was interrupted: %u cases were not run to their end.",
                    report->not_run);
    for (int i = 0; i < VERSIONS; i++) {
        if (report->versions[i].error[0])
            report_note(report, "MQTT %s could not be judged: %s",
                        selection_version_name(report_versions[i]), report->versions[i].error);
    }
}
