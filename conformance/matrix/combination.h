/* The dimensions of the offline-delivery matrix, and which of their combinations make sense. */
#ifndef CONFORMANCE_COMBINATION_H
#define CONFORMANCE_COMBINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/harness/case.h"

enum dimension {
    DIMENSION_PUBLISHED, /* QoS of the publisher */
    DIMENSION_GRANTED,   /* QoS of the subscription */
    DIMENSION_SESSION,
    DIMENSION_FILTER,
    DIMENSION_LEAVING,
    DIMENSION_STEP,
    DIMENSION_OUTAGE, /* enum outage */
    DIMENSIONS,
};

enum session_kind {
    SESSION_CLEAN,      /* ends with its connection: expiry 0; 3.1.1: Clean Session 1 */
    SESSION_SHORT,      /* a second */
    SESSION_LONG,       /* an hour */
    SESSION_UNLIMITED,  /* 0xFFFFFFFF; 3.1.1: Clean Session 0 */
    SESSION_LENGTHENED, /* a second, made an hour at DISCONNECT */
    SESSION_SHORTENED,  /* an hour, made a second at DISCONNECT */
    SESSION_KINDS,
};

enum filter_kind {
    FILTER_EXACT,
    FILTER_PLUS,
    FILTER_HASH,
    FILTER_SHARED,
    FILTER_OVERLAPPING, /* exact and + */
    FILTER_KINDS,
};

enum leaving {
    LEAVING_DISCONNECT,
    LEAVING_DISCONNECT_WITH_WILL, /* 0x04 */
    LEAVING_CLOSE,
    LEAVING_RESET,
    LEAVING_TIMEOUT,  /* of the keep alive */
    LEAVING_TAKEOVER, /* by a connection that is closed at once */
    LEAVINGS,
};

/* Where in the exchange of two messages the subscriber leaves. */
enum step {
    STEP_IDLE,      /* none has been sent */
    STEP_PUBLISHED, /* PUBLISH was read, and nothing answered */
    STEP_RECEIVED,  /* PUBREC was sent, the answer not awaited */
    STEP_RELEASED,  /* PUBREL was read, and nothing answered */
    STEP_FINISHED,  /* acknowledged to the end, and the server has read it */
    STEPS,
};

struct combination {
    enum version version;
    uint8_t values[DIMENSIONS];
};

/* The QoS that messages are delivered at. */
uint8_t combination_qos(const struct combination *combination);
/* Whether the session is still there at the return. */
bool combination_survives(const struct combination *combination);

/* Why there can be no such combination, in words; NULL: there can. */
const char *combination_objection(const struct combination *combination);

/* "q1_q2_long_plus_reset_published_kill" */
void combination_name(const struct combination *combination, char *name, size_t size);

/* All combinations of a version that there can be; how many. `list` NULL: counts only. */
size_t combination_all(enum version version, struct combination *list);
/* Of these, one for each pair of values at least: see pairwise.h. Those in which the session is
 * there at the return and owes something go first. */
size_t combination_pairwise(enum version version, uint64_t seed, struct combination *list);

#endif
