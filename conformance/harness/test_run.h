/* One case while it runs: what the parts of the harness share. */
#ifndef CONFORMANCE_TEST_RUN_H
#define CONFORMANCE_TEST_RUN_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include "conformance/harness/arena.h"
#include "conformance/harness/run_case.h"
#include "conformance/harness/trace.h"
#include "conformance/harness/watch.h"
#include "conformance/net/transport.h"

/* A packet that has arrived and that the case has not taken yet. */
struct arrival {
    const uint8_t *bytes; /* of the arena */
    size_t size;
    enum version version; /* that it was read in */
    enum packet_type type;
    uint16_t packet_id;
    struct text topic; /* by alias, else data NULL */
    struct arrival *next;
};

struct connection {
    struct client *client;
    struct transport *transport;
    struct watch watch;
    struct buffer sent; /* by the case, not yet a whole packet */
    bool sent_unreadable;
    bool stored; /* the CONNECT asks for a session that outlives the connection */
    struct arrival *first, **last;
    size_t waiting; /* bytes of the arrivals */
    bool paused;    /* by the case */
    bool end_noted; /* in the trace */
    struct connection *next;
};

/* What has to be undone on the server. */
struct leftover {
    struct text name; /* a Client Identifier, or the topic of a retained message */
    enum version version;
    struct leftover *next;
};

struct test_run {
    struct test test;
    const struct run_settings *settings;
    struct outcome *outcome;
    jmp_buf end; /* of the case, or of the cleanup */
    bool cleaning;
    struct arena arena;
    struct trace trace;
    struct connection *connections;
    struct pollfd *entries; /* for poll(2) */
    unsigned entry_room;
    uint64_t start_ms, deadline_ms;
    unsigned number; /* of this run in the process */
    unsigned clients;
    struct leftover *sessions, *retained;
    struct remark **last_remark;
    void *context; /* of a case that is not one, such as the probe */
};

/* Ends the case with any verdict. */
_Noreturn void test_run_end(struct test_run *run, enum verdict verdict, const char *statement,
                            const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));
_Noreturn void test_run_broken(struct test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `ms` from now, but never behind the case's limit. */
uint64_t test_run_deadline(const struct test_run *run, unsigned ms);
/* Whether the limit of the whole case has passed; then it says so in words, else "". */
const char *test_run_over(const struct test_run *run);

/* Moves bytes of all connections, waiting for some until the deadline. Packets that arrive are
 * checked; a fault ends the case. False: nothing happened. */
bool test_run_wait(struct test_run *run, uint64_t deadline_ms);

/* Notes what the cleanup has to end, once. */
void test_run_leftover(struct test_run *run, struct leftover **list, struct text name,
                       enum version version);
/* Ends stored sessions and removes retained messages. Changes no verdict. */
void test_run_cleanup(struct test_run *run);

/* ---- Connections ---- */

/* The case ends as broken if the server cannot be reached. */
void connection_open(struct client *client);
void connection_close(struct client *client, bool reset);
void connection_send(struct client *client, const void *data, size_t size);
void connection_send_frame(struct client *client, unsigned opcode, bool fin, const void *data,
                           size_t size);
/* Reads and checks what the transport has brought. */
void connection_check(struct connection *connection);
/* Takes it out of the queue. */
struct packet connection_take(struct connection *connection, struct arrival *arrival);
/* Whether no more will come. */
bool connection_ended(const struct connection *connection);
/* "the server closed the connection", "... reset ..." */
const char *connection_end_words(const struct connection *connection);

/* Unique to this process's run: six digits of base 36. */
const char *run_name(void);

#endif
