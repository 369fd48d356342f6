/* What a worker tells of a session of its own, as JSON. On its thread; bounded, however much there
 * is to tell. */
#ifndef VERBS_SESSION_VIEW_H
#define VERBS_SESSION_VIEW_H

#include <jansson.h>

#include "broker/session.h"

/* For a list. */
json_t *session_view_line(const struct worker *worker, const struct session *session);
/* All of it. NULL: no memory. */
json_t *session_view(struct worker *worker, const struct session *session);

#endif
