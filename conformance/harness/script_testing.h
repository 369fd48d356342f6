/* A server on the loopback that does what a script says, right or wrong: what the harness says of
 * it is under test.
 *
 * A script is words with white space between:
 *     <82      reads a whole packet, whose first byte has to be that
 *     <*       reads a whole packet
 *     >2002..  sends these bytes
 *     #        sends nothing more until the client has sent something
 *     close    ends the connection, `reset` with a TCP reset; the next word belongs to the next one
 *     eof      reads until the client has ended the connection
 *     stuck    reads nothing any more, until script_stop()
 * When the script is at its end, the connection stays open until the client leaves, and every
 * further one is refused by closing it. */
#ifndef CONFORMANCE_SCRIPT_TESTING_H
#define CONFORMANCE_SCRIPT_TESTING_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/harness/run_case.h"

#include <cmocka.h>

#undef fail /* cmocka's; the functions of cases have these names */
#undef skip

struct script {
    int listener;
    pthread_t thread;
    const char *words;
    char error[120]; /* what the client did that is not in the script */
    char port[8];
};

void script_start(struct script *script, const char *words);
/* Ends the thread; the test fails if the client did not keep to the script. */
void script_stop(struct script *script);

/* For what comes, a busy machine may take long; where nothing will come, the test sets less, and
 * sets it back. */
enum { SCRIPT_TIME_LIMIT_MS = 20000, SCRIPT_LIMIT_S = 60 };
extern unsigned script_time_limit_ms, script_limit_s;

/* Runs a case against a script. The caller frees the outcome. */
struct outcome script_run(const char *words, enum version version, void (*run)(struct test *test));

/* The same, and how it has to end: with this verdict, this statement (NULL: any) and these words in
 * the reason (NULL: any). */
void script_judge(const char *words, enum version version, void (*run)(struct test *test),
                  enum verdict verdict, const char *statement, const char *reason);

#endif
