/* A history: what a few clients do, step by step. Made from a seed, printed as a script, made
 * smaller.
 *
 * A step that makes no sense where it stands (a client that is not connected subscribes) is passed
 * over when it is played, so that any part of a history is a history. */
#ifndef CONFORMANCE_HISTORY_H
#define CONFORMANCE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "conformance/wire/packet.h"

enum step_kind {
    STEP_CONNECT,
    STEP_DISCONNECT,
    STEP_DROP,
    STEP_SUBSCRIBE,
    STEP_UNSUBSCRIBE,
    STEP_PUBLISH,
    STEP_WITHHOLD, /* no more acknowledgements from this client */
    STEP_RELEASE,  /* sends `count` of the withheld ones, oldest first */
    STEP_RESUME,   /* sends all that are withheld, and further ones at once */
    STEP_FENCE,    /* PINGREQ, PINGRESP */
    STEP_OUTAGE,
    STEP_KIND_COUNT,
};

/* Where a publisher's connection breaks. */
enum cut { CUT_NONE, CUT_AFTER_PUBLISH, CUT_AFTER_PUBREC, CUT_AFTER_PUBREL };

struct step {
    enum step_kind kind;
    uint8_t client;
    uint8_t place;   /* topic or filter */
    uint8_t options; /* PUBLISH: QoS; SUBSCRIBE: the options byte */
    bool retain, clean_start, stored;
    enum cut cut;
    uint8_t count; /* RELEASE; CONNECT: Receive Maximum, 0: none */
};

enum { HISTORY_STEPS = 60 };

struct history {
    enum version version;
    uint64_t seed;
    bool with_outage;
    struct step steps[HISTORY_STEPS];
    unsigned count;
};

void history_make(struct history *history, enum version version, uint64_t seed, bool with_outage);
/* The steps from `first` on, `count` of them, left out. */
void history_without(const struct history *history, unsigned first, unsigned count,
                     struct history *out);
/* One line for a step: `alice subscribes to "a/#" at QoS 1`. Returns `line`. */
char *step_describe(const struct step *step, char *line, size_t size);
void history_print(const struct history *history, FILE *file);

/* Leaves out steps while `fails` still says true of what is left, asking at most `attempts` times.
 */
void history_shrink(struct history *history, unsigned attempts,
                    bool (*fails)(void *context, const struct history *history), void *context);

extern const char *const history_names[]; /* of the clients */

#endif
