#include "conformance/runner/judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/model/explore.h"
#include "conformance/runner/busy.h"
#include "conformance/runner/collect.h"
#include "conformance/runner/interrupt.h"
#include "conformance/runner/output.h"
#include "conformance/runner/progress.h"
#include "conformance/runner/restart.h"
#include "conformance/runner/selection.h"

enum {
    STATUS_UNREACHABLE = 2,
    OUTAGE_JOBS_FACTOR = 4,    /* cases in an outage mostly wait for each other */
    GRACE_MS = 20000,          /* for the clean-up behind a case */
    COMMAND_LIMIT_MS = 60000,  /* of --restart-cmd and --kill-cmd */
    RETURN_LIMIT_MS = 30000,   /* for the server to be back after them */
    ALIVE_LIMIT_MS = 3000,     /* for a server that does not answer to be started by others */
    EXPLORE_MORE_TIME_S = 120, /* to shrink what was found */
};

struct judge {
    const struct options *options;
    struct progress progress;
    struct report report;
    struct server_features features[VERSION_5 + 1];
    bool speaks[VERSION_5 + 1];
    char refusal[VERSION_5 + 1][RUN_ERROR_SIZE];
    struct restart restart;
};

static bool left_threads;

bool judge_left_threads(void)
{
    return left_threads;
}

static bool wants(const struct options *options, enum version version)
{
    return version == VERSION_5 ? options->version_5 : options->version_311;
}

/* ---- What the server is ---- */

static bool refuses_version(enum version version, uint8_t code)
{
    return code == (version == VERSION_5 ? 0x84 : 0x01);
}

/* A server that answers neither version as it should is judged all the same: what is wrong is the
 * cases' to say. Where it speaks the other one well, it has not got this one. */
static enum probe ask(struct judge *judge, enum version version)
{
    uint8_t code = 0;
    char *refusal = judge->refusal[version];
    enum probe probe = server_ask(&judge->options->target, version, &judge->features[version],
                                  &code, refusal, RUN_ERROR_SIZE);
    judge->speaks[version] = probe == PROBE_ACCEPTED;
    if (probe == PROBE_REFUSED && refuses_version(version, code))
        snprintf(refusal, RUN_ERROR_SIZE, "The server does not speak MQTT %s.",
                 selection_version_name(version));
    return probe;
}

static bool one_is(const enum probe *probes, enum probe wanted)
{
    return probes[0] == wanted || probes[1] == wanted;
}

/* False: nothing can be judged; it has been said. */
static bool ask_all(struct judge *judge)
{
    const struct options *options = judge->options;
    enum probe probes[VERSIONS] = {PROBE_UNREACHABLE, PROBE_UNREACHABLE};
    const char *error = "";
    for (int i = 0; i < VERSIONS; i++) {
        if (!wants(options, report_versions[i]))
            continue;
        probes[i] = ask(judge, report_versions[i]);
        if (probes[i] != PROBE_ACCEPTED)
            error = judge->refusal[report_versions[i]];
    }
    if (!one_is(probes, PROBE_ACCEPTED) && one_is(probes, PROBE_FAULTY)) {
        for (int i = 0; i < VERSIONS; i++)
            judge->speaks[report_versions[i]] = probes[i] == PROBE_FAULTY;
        report_note(&judge->report, "The server does not answer CONNECT as it should: %s", error);
    } else if (!one_is(probes, PROBE_ACCEPTED)) {
        fprintf(stderr, "mqtt-conformance: %s:%s cannot be judged: %s\n", options->target.host,
                options->target.port, error);
        return false;
    }
    for (int i = 0; i < VERSIONS; i++) {
        enum version version = report_versions[i];
        judge->report.versions[i].judged = judge->speaks[version];
        judge->report.versions[i].features = judge->features[version];
        if (wants(options, version) && !judge->speaks[version])
            report_set(&judge->report.versions[i].error, judge->refusal[version]);
    }
    return true;
}

/* ---- What a run needs of the world ---- */

static bool is_alive(void *context, char *error, size_t error_size)
{
    const struct judge *judge = context;
    return restart_await(&judge->options->target, judge->restart.version, ALIVE_LIMIT_MS, error,
                         error_size);
}

static bool make_outage(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE])
{
    struct judge *judge = context;
    return restart_make(&judge->restart, kind, error);
}

static void show_phase(void *context, const char *title, unsigned jobs)
{
    struct judge *judge = context;
    progress_phase(&judge->progress, title, jobs);
}

static void show_settled(void *context, const struct job *job)
{
    struct judge *judge = context;
    progress_settled(&judge->progress, job);
}

static bool show_tick(void *context)
{
    struct judge *judge = context;
    progress_tick(&judge->progress);
    return !interrupt_came();
}

static void trace_case(const struct conformance_case *definition, enum version version,
                       const struct run_settings *settings, struct outcome *out)
{
    char name[CASE_NAME_SIZE];
    printf("\n%s, MQTT %s\n", selection_name(definition, name), selection_version_name(version));
    run_case(definition, version, settings, out);
}

static void begin_run(struct judge *judge, struct run *run)
{
    const struct options *options = judge->options;
    bool traces = options->task == TASK_TRACE;
    *run = (struct run){
        .world = {.run_case = traces ? trace_case : run_case,
                  .is_alive = is_alive,
                  .make_outage = make_outage,
                  .was_busy = busy_between,
                  .context = judge},
        .view = {show_phase, show_settled, show_tick, judge},
        .settings = {.target = &options->target,
                     .time_limit_ms = options->time_limit_ms,
                     .quiet_ms = options->quiet_ms,
                     .seed = options->seed,
                     .live_trace = traces},
        .has_command = {[OUTAGE_RESTART] = options->restart_command != NULL,
                        [OUTAGE_KILL] = options->kill_command != NULL},
        .threads = options->jobs,
        .outage_threads = options->jobs * OUTAGE_JOBS_FACTOR,
        .retries = !traces && !options->no_retry,
        .grace_ms = GRACE_MS,
    };
    for (int i = 0; i < VERSIONS; i++) {
        enum version version = report_versions[i];
        run->features[version] = judge->speaks[version] ? &judge->features[version] : NULL;
        run->refusal[version] = judge->refusal[version];
    }
}

static void end_run(struct judge *judge, struct run *run)
{
    collect_run(&judge->report, run);
    if (run->abandoned > 0 || run->interrupted)
        left_threads = true;
    else
        run_free(run);
}

/* ---- Exploration, which is run as one long case ---- */

static void never_run(struct test *test)
{
}

static unsigned explore_s;

static char *reason_of(int violations, const char *script)
{
    char *reason = NULL;
    int line = (int)strcspn(script, "\n");
    int size = violations < 0
                   ? asprintf(&reason, "The exploration could not be made: %.*s", line, script)
                   : asprintf(&reason,
                              "%d of the histories played %s answered as the specification does "
                              "not allow. The first, whose shrunk script is in the trace: %.*s",
                              violations, violations == 1 ? "was" : "were", line, script);
    if (size < 0)
        abort();
    return reason;
}

/* The first line is `VIOLATION [statement] ...`. */
static void name_statement(const char *script, char statement[24])
{
    static const char begin[] = "VIOLATION [";
    if (strncmp(script, begin, sizeof begin - 1) == 0)
        snprintf(statement, 24, "%.*s", (int)strcspn(script + sizeof begin - 1, "]\n"),
                 script + sizeof begin - 1);
}

static void explore_as_case(const struct conformance_case *definition, enum version version,
                            const struct run_settings *settings, struct outcome *out)
{
    uint64_t start_ms = clock_ms();
    size_t size;
    *out = (struct outcome){.verdict = VERDICT_PASSED};
    FILE *script = open_memstream(&out->trace, &size);
    if (!script)
        abort();
    int violations = explore(settings, version, explore_s, settings->seed, script);
    if (fclose(script) != 0)
        abort();
    if (violations != 0) {
        out->verdict = violations < 0 ? VERDICT_BROKEN : VERDICT_FAILED;
        out->reason = reason_of(violations, out->trace);
        name_statement(out->trace, out->statement);
    }
    out->duration_ms = (unsigned)(clock_ms() - start_ms);
}

static struct conformance_case exploration = {
    .name = "exploration",
    .file = "model.c",
    .v5 = "",
    .v311 = "",
    .sends = "seeded random histories of several clients: connecting, leaving, subscribing, "
             "publishing, acknowledging or not, and restarts where there is a command for them",
    .allowed = "whatever a model written from the specification holds possible",
    .run = never_run,
};

/* The time is shared by the versions. */
static void run_exploration(struct judge *judge)
{
    const struct options *options = judge->options;
    unsigned versions = judge->speaks[VERSION_5] + judge->speaks[VERSION_311];
    /* Threads that are left behind keep it. */
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    explore_s = options->explore_s > versions ? options->explore_s / versions : 1;
    exploration.limit_s = explore_s + EXPLORE_MORE_TIME_S;
    exploration.outage = options->restart_command ? OUTAGE_RESTART
                         : options->kill_command  ? OUTAGE_KILL
                                                  : OUTAGE_NONE;
    begin_run(judge, run);
    run->title = "exploring";
    run->world.run_case = explore_as_case;
    run->threads = run->outage_threads = 1;
    run->retries = false;
    run_plan(run, &exploration, NULL, 0, judge->speaks[VERSION_5], judge->speaks[VERSION_311]);
    judge->progress.total += run->count;
    run_execute(run);
    end_run(judge, run);
    if (!left_threads)
        free(run);
}

/* ---- The whole ---- */

static bool run_cases(struct judge *judge, const struct conformance_case *first)
{
    const struct options *options = judge->options;
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    begin_run(judge, run);
    run_plan(run, first, options->patterns, options->pattern_count, options->version_5,
             options->version_311);
    bool found = run->count > 0;
    if (!found)
        fputs("mqtt-conformance: no case of that name is for that version; --list prints all "
              "names.\n",
              stderr);
    judge->progress.total += run->count;
    if (found)
        run_execute(run);
    end_run(judge, run);
    if (!left_threads)
        free(run);
    return found;
}

static void introduce(struct judge *judge)
{
    const struct options *options = judge->options;
    char versions[32] = "";
    for (int i = 0; i < VERSIONS; i++) {
        if (judge->speaks[report_versions[i]])
            snprintf(versions + strlen(versions), sizeof versions - strlen(versions), "%s%s",
                     versions[0] ? " and " : "", selection_version_name(report_versions[i]));
    }
    fprintf(judge->progress.out, "%s: MQTT %s over %s, %u cases at a time, seed %" PRIu64 "\n",
            options->label, versions, judge->report.transport, options->jobs, options->seed);
}

static int exit_status(const struct report *report)
{
    if (report->interrupted)
        return INTERRUPT_STATUS;
    bool good = report_count(report, 0, VERDICT_FAILED) == 0 &&
                report_count(report, 0, VERDICT_BROKEN) == 0;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int judge_all(struct judge *judge, const struct conformance_case *first)
{
    const struct options *options = judge->options;
    uint64_t start_ms = clock_ms();
    if (!ask_all(judge))
        return STATUS_UNREACHABLE;
    introduce(judge);
    judge->restart = (struct restart){
        .target = &options->target,
        .version = judge->speaks[VERSION_5] ? VERSION_5 : VERSION_311,
        .commands =
            {[OUTAGE_RESTART] = options->restart_command, [OUTAGE_KILL] = options->kill_command},
        .command_limit_ms = COMMAND_LIMIT_MS,
        .return_limit_ms = RETURN_LIMIT_MS,
    };
    if (!options->no_cases && !run_cases(judge, first))
        return STATUS_UNREACHABLE;
    if (options->explore_s && !interrupt_came())
        run_exploration(judge);
    collect_finish(&judge->report, start_ms);
    progress_sum_up(&judge->progress, &judge->report);
    if (!output_write(options, &judge->report, stderr))
        return EXIT_FAILURE;
    return exit_status(&judge->report);
}

int judge_server(const struct options *options, const char *command_line,
                 const struct conformance_case *first)
{
    if (!output_check(options, stderr))
        return STATUS_UNREACHABLE;
    struct judge *judge = calloc(1, sizeof *judge);
    if (!judge)
        abort();
    judge->options = options;
    collect_head(&judge->report, options, command_line);
    progress_init(&judge->progress, output_takes_stdout(options) ? stderr : stdout, 0);
    if (options->task == TASK_TRACE)
        judge->progress.terminal = false;
    int status = judge_all(judge, first);
    report_free(&judge->report);
    if (!left_threads)
        free(judge);
    return status;
}
