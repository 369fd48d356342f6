/* The control socket: a Unix domain socket for the broker's own user, and root, on which questions
 * are asked and answered as lines of JSON.
 *
 *   {"why": {"client": "thermostat", "topic": "house/set"}}      "topic" may be left out
 *
 * is answered by lines {"text": ..., "statements": [...]}, and {"end": true} behind the last; a
 * verb of verbs/verb.def, as in {"kick": {"client": "thermostat"}}, by {"result": {...}}; what is
 * not understood or not done by {"error": ...}. One asker at a time, who has two seconds to ask; a
 * thread of its own. */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include "base/status.h"
#include "broker/broker.h"

struct control;

/* Listens at the configured path; `*out` is NULL where there is none, or it is not to be had, which
 * is logged: a broker that cannot be asked still serves. */
enum status MUST_USE control_open(struct broker *broker, struct control **out);
/* Before the workers end. NULL is nothing. */
void control_close(struct control *control /* takes */);

#endif
