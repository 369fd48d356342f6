/* mqtt-conformance --host H --port P [--version 5|3.1.1] [--only GLOB] [--trace]: runs cases one
 * after the other. */
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/harness/run_case.h"

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return i + 1 < argc ? argv[i + 1] : "";
    }
    return otherwise;
}

static unsigned run_all(enum version version, const struct run_settings *settings,
                        const char *pattern)
{
    unsigned failed = 0;
    for (const struct conformance_case *definition = case_first(); definition;
         definition = definition->next) {
        struct outcome outcome;
        if (!(version == VERSION_5 ? definition->v5 : definition->v311) ||
            fnmatch(pattern, definition->name, 0) != 0)
            continue;
        run_case(definition, version, settings, &outcome);
        failed += outcome.verdict == VERDICT_FAILED;
        printf("%-5s %-14s %s %s%s%s (%u ms)\n", version == VERSION_5 ? "5.0" : "3.1.1",
               verdict_name(outcome.verdict), definition->name, outcome.statement,
               outcome.reason ? ": " : "", outcome.reason ? outcome.reason : "",
               outcome.duration_ms);
        for (const struct remark *remark = outcome.remarks; remark; remark = remark->next)
            printf("      remark: %s: %s\n", remark->statement, remark->text);
        outcome_free(&outcome);
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct target target = {.host = option(argc, argv, "--host", "127.0.0.1"),
                            .port = option(argc, argv, "--port", "1883")};
    const char *only_version = option(argc, argv, "--version", "all");
    unsigned failed = 0;
    signal(SIGPIPE, SIG_IGN);
    for (enum version version = VERSION_311; version <= VERSION_5; version++) {
        if (strcmp(only_version, "all") != 0 &&
            strcmp(only_version, version == VERSION_5 ? "5" : "3.1.1") != 0)
            continue;
        struct server_features features;
        char error[200];
        if (!server_probe(&target, version, &features, error, sizeof error)) {
            fprintf(stderr, "%s\n", error);
            return 2;
        }
        struct run_settings settings = {.target = &target,
                                        .server = &features,
                                        .live_trace = option(argc, argv, "--trace", NULL)};
        failed += run_all(version, &settings, option(argc, argv, "--only", "*"));
    }
    return failed > 0;
}
