/* What an operator asks of a running broker: a table of verbs, and one way to carry them out,
 * whoever has asked (admin/control.c, admin/api.c).
 *
 * Arguments are a JSON object and so are answers; a number or a truth value may be given as text,
 * as in a query of HTTP. What concerns sessions is done by their workers, in errands that are
 * short: long lists come by pages. Any thread; one verb at a time, and who waits longer than five
 * seconds for another's end is refused. */
#ifndef VERBS_VERB_H
#define VERBS_VERB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "broker/broker.h"
#include "broker/errand.h"

struct verb_call {
    struct broker *broker;
    const json_t *arguments; /* borrowed */
    json_t *result;          /* the caller's to drop; NULL: refused */
    unsigned code;           /* as of HTTP: 200, or what is wrong */
    char error[320];         /* where it is refused */
};

enum verb_method { VERB_GET, VERB_DELETE, VERB_POST, VERB_PUT, VERB_METHODS };

struct verb {
    const char *name;
    enum verb_method method;
    const char *path;
    void (*run)(struct verb_call *call);
    const char *parameters, *about;
};

extern const struct verb verbs[]; /* up to the one whose name is NULL */

const struct verb *verb_named(const char *name); /* NULL: there is none */

/* Carries it out: sets result, code and error of a call whose other members are set. */
void verb_run(const struct verb *verb, struct verb_call *call);

/* Around errands that others send, `holdfast why`'s: false when one has not come to its end. */
bool verb_begin(void);
void verb_end(void);

/* ---- For those who carry them out ---- */

/* Refuses; returns false. */
bool verb_refuse(struct verb_call *call, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An argument: false where it is refused. A text is borrowed from the call; without one, and unless
 * `needed`, its data is NULL. */
bool verb_text(struct verb_call *call, const char *name, bool needed, struct bytes *out);
bool verb_number(struct verb_call *call, const char *name, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *out);
bool verb_truth(struct verb_call *call, const char *name, bool *out); /* otherwise false */
/* A Client Identifier, which is needed. */
bool verb_client(struct verb_call *call, struct bytes *out);

/* Waits until what was recorded under this LSN (0: nothing was) is on disk, for some seconds at
 * most; whether it is. No worker waits with it. */
bool verb_await(const struct broker *broker, uint64_t lsn);

/* Text that a peer has chosen: where it is not UTF-8, as a log line shows it. */
json_t *verb_json_text(struct bytes text);

#endif
