/* One combination of the matrix, played: a subscriber comes, leaves, misses something, and returns.
 *
 * In steps, so that several combinations can share one outage and one waiting time. Every check
 * that fails ends the case and names the combination if the case has several. */
#ifndef CONFORMANCE_ABSENCE_H
#define CONFORMANCE_ABSENCE_H

#include "conformance/matrix/combination.h"

/* Messages, by what their payload says. */
enum {
    MESSAGE_FIRST,    /* 0 and 1 are sent while the subscriber is there, except at STEP_IDLE */
    MESSAGE_SECOND,   /* with RETAIN */
    MESSAGE_COUNTED,  /* while it is away: 5.0 with an expiry that is counted down */
    MESSAGE_RETAINED, /* with RETAIN */
    MESSAGE_EXPIRING, /* 5.0: with an expiry of a second */
    MESSAGE_LAST,
    MESSAGE_AFTERWARDS, /* at the end: the subscription still works */
    MESSAGES,
};

/* A PUBLISH that was read before the subscriber left. */
struct begun {
    unsigned message;
    uint16_t packet_id;
    bool settled; /* nothing more is owed, or may come, of it */
};

enum { BEGUN_MAX = 4, RECEIVE_MAXIMUM_AFTER = 2, HELD_MAX = RECEIVE_MAXIMUM_AFTER + BEGUN_MAX };

struct absence {
    struct test *test;
    const struct combination *combination;
    struct text prefix; /* of what a failure says; "" */
    struct client *publisher, *subscriber;
    struct text topic, will_topic;
    bool with_identifiers, with_retain;

    struct begun begun[BEGUN_MAX];
    unsigned begun_count;
    bool noticed; /* the server is known to have seen the end of the connection */
    uint64_t counted_before_ms, counted_after_ms; /* when MESSAGE_COUNTED was published */

    /* After the return. */
    uint8_t copies[MESSAGES], identifiers[MESSAGES];
    unsigned latest[4]; /* message number plus one, by the identifiers that a copy has, as bits */
    struct packet held[HELD_MAX];
    unsigned held_count;
    unsigned allowance; /* PUBLISHes that may be held; each PUBCOMP for an old exchange adds one */
    bool quota_checked;
};

/* Why the server can't be asked this, or NULL. */
const char *absence_obstacle(const struct combination *combination,
                             const struct server_features *server);

/* Connects, subscribes, takes the exchange to its step. */
void absence_begin(struct absence *absence, struct test *test,
                   const struct combination *combination, struct text prefix);
/* Leaves, except where that is to let the keep alive run out. */
void absence_leave(struct absence *absence);
/* Waits until the server has noticed. */
void absence_await_end(struct absence *absence);
/* Publishes what is missed. */
void absence_publish(struct absence *absence);
/* How long after MESSAGE_COUNTED the return may be at the soonest. */
unsigned absence_duration_ms(const struct absence *absence);
/* Comes back and checks everything. */
void absence_return(struct absence *absence);

#endif
