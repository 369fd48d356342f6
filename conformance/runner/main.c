/* mqtt-conformance: judges any MQTT server over the wire. What it does is in options.c; how a run
 * goes, in run.c. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conformance/net/address.h"
#include "conformance/runner/busy.h"
#include "conformance/runner/collect.h"
#include "conformance/runner/coverage.h"
#include "conformance/runner/describe.h"
#include "conformance/runner/interrupt.h"
#include "conformance/runner/judge.h"
#include "conformance/runner/options.h"
#include "conformance/runner/output.h"
#include "conformance/runner/report_json.h"
#include "conformance/runner/selection.h"
#include "conformance/runner/settings.h"

enum { EXIT_USAGE = 2 };

static const struct conformance_case *all_cases(bool full)
{
    settings_set_full(full);
    settings_run_generators();
    return case_first();
}

/* NULL: there is no such case, which has been said. */
static const struct conformance_case *find_case(const struct options *options)
{
    const struct conformance_case *nearest;
    const struct conformance_case *found =
        selection_find(all_cases(options->full), options->case_name, &nearest);
    char name[CASE_NAME_SIZE];
    if (found)
        return found;
    fprintf(stderr, "mqtt-conformance: there is no one case \"%s\".", options->case_name);
    if (nearest)
        fprintf(stderr, " Do you mean %s?", selection_name(nearest, name));
    fputs(" --list prints all names.\n", stderr);
    return NULL;
}

static int explain(const struct options *options)
{
    const struct conformance_case *definition = find_case(options);
    if (!definition)
        return EXIT_USAGE;
    describe_case(stdout, definition);
    return EXIT_SUCCESS;
}

static int cover(const struct options *options)
{
    const struct statement_table tables[] = {statement_table(VERSION_5),
                                             statement_table(VERSION_311)};
    const struct conformance_case *first = all_cases(options->full);
    if (options->task == TASK_COVERAGE) {
        coverage_print(stdout, tables, 2, first);
        return EXIT_SUCCESS;
    }
    unsigned problems = coverage_check(stdout, tables, 2, first);
    if (problems)
        printf("%u problems\n", problems);
    return problems ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int compare(const struct options *options)
{
    struct report *reports = calloc(options->file_count, sizeof *reports);
    char error[512];
    unsigned read = 0;
    int status = EXIT_USAGE;
    if (!reports)
        abort();
    while (read < options->file_count &&
           report_json_read(options->files[read], &reports[read], error, sizeof error))
        read++;
    if (read < options->file_count)
        fprintf(stderr, "mqtt-conformance: %s\n", error);
    else if (output_write_comparison(options, reports, read, stderr))
        status = EXIT_SUCCESS;
    for (unsigned i = 0; i < read; i++)
        report_free(&reports[i]);
    free(reports);
    return status;
}

/* Hundreds of cases hold several connections each. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Once: a name server that is slow or away is no finding about the server under test. */
static bool resolve(struct options *options)
{
    struct target *target = &options->target;
    char error[512];
    target->addresses = address_resolve(target->host, target->port,
                                        clock_ms() + options->time_limit_ms, error, sizeof error);
    if (!target->addresses)
        fprintf(stderr, "mqtt-conformance: %s\n", error);
    return target->addresses != NULL;
}

static int run(struct options *options, int argc, char **argv)
{
    const struct conformance_case *first = all_cases(options->full);
    char name[CASE_NAME_SIZE];
    if (options->task == TASK_TRACE) {
        const struct conformance_case *traced = find_case(options);
        if (!traced)
            return EXIT_USAGE;
        options->patterns[0] = selection_name(traced, name);
        options->pattern_count = 1;
        options->jobs = 1;
    }
    if (!resolve(options))
        return EXIT_USAGE;
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    interrupt_catch();
    char *command_line = options_command_line(argc, argv);
    if (!command_line)
        abort();
    busy_watch_start();
    int status = judge_server(options, command_line, first);
    if (judge_left_threads()) {
        /* Threads that were given up still use what the end of main() would tear down. */
        fflush(NULL);
        _exit(status);
    }
    busy_watch_stop();
    address_free(options->target.addresses);
    free(command_line);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    if (!options_parse(argc, argv, &options, stderr))
        return EXIT_USAGE;
    switch (options.task) {
    case TASK_HELP:
        options_help(stdout);
        return EXIT_SUCCESS;
    case TASK_LIST:
        describe_list(stdout, all_cases(options.full), options.patterns, options.pattern_count);
        return EXIT_SUCCESS;
    case TASK_LIST_TAB:
        describe_list_tab(stdout, all_cases(options.full), options.patterns, options.pattern_count);
        return EXIT_SUCCESS;
    case TASK_COVERAGE:
    case TASK_CHECK:
        return cover(&options);
    case TASK_EXPLAIN:
        return explain(&options);
    case TASK_COMPARE:
        return compare(&options);
    case TASK_RUN:
    case TASK_TRACE:
        return run(&options, argc, argv);
    }
    return EXIT_USAGE;
}
