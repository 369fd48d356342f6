/* spec_agree: the compiled machines against what the conformance suite knows that a server owes.
 *
 * The reference is written from the specification and knows no table; the server is made of the
 * tables and knows no reference. The same random histories as of mqtt-conformance --explore are
 * played between them, without sockets, until so many steps of machines have been taken. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/model/play.h"
#include "spec/agree/server.h"

enum { SHRINK_ATTEMPTS = 2000 };

static bool fails(void *context, const struct history *history)
{
    struct outcome outcome;
    (void)context;
    play(history, OUTAGE_NONE, &(struct run_settings){.seed = history->seed}, &outcome);
    bool failed = outcome.verdict != VERDICT_PASSED;
    outcome_free(&outcome);
    return failed;
}

static void report(struct history *history)
{
    struct outcome outcome;
    unsigned steps = history->count;
    history_shrink(history, SHRINK_ATTEMPTS, fails, NULL);
    play(history, OUTAGE_NONE, &(struct run_settings){.seed = history->seed}, &outcome);
    printf("DISAGREE [%s] MQTT %s, seed %" PRIu64 ": %s\n%u of %u steps show it:\n",
           outcome.statement, history->version == VERSION_5 ? "5.0" : "3.1.1", history->seed,
           outcome.reason != NULL ? outcome.reason : "", history->count, steps);
    history_print(history, stdout);
    outcome_free(&outcome);
}

static int usage(void)
{
    fputs("usage: spec_agree [--events N] [--seed N]\n\n"
          "Plays random histories until the machines have taken N steps (1000000). Exit status 1\n"
          "where machines and reference disagree: the history is printed, made shorter.\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t events = 1000000, first = 1, seed, histories = 0;
    for (int i = 1; i < argc; i += 2) {
        uint64_t *value = strcmp(argv[i], "--events") == 0 ? &events
                          : strcmp(argv[i], "--seed") == 0 ? &first
                                                           : NULL;
        if (value == NULL || i + 1 == argc)
            return usage();
        *value = strtoull(argv[i + 1], NULL, 10);
    }
    for (seed = first; server_steps() < events; seed++) {
        struct history history;
        history_make(&history, seed % 2 == 0 ? VERSION_5 : VERSION_311, seed, false);
        histories++;
        if (fails(NULL, &history)) {
            report(&history);
            return 1;
        }
    }
    unsigned all, rows = server_rows(&all);
    printf("%" PRIu64 " steps in %" PRIu64 " histories agree, seeds %" PRIu64 " to %" PRIu64
           "; %u of %u rows were taken\n",
           server_steps(), histories, first, seed - 1, rows, all);
    return 0;
}
