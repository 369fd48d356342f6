/* Verbs over HTTP: from a path, a query and a body to an answer. Any thread. */
#ifndef ADMIN_API_H
#define ADMIN_API_H

#include <microhttpd.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "verbs/verb.h"

enum { API_BODY_MAX = 512 * 1024 };

/* Whether a path is one of the table's, and which verb this method asks for: NULL, none does, and
 * `allowed` says which would. */
bool api_knows(const char *path, const char *method, const struct verb **out, char allowed[64]);
/* Whether its arguments come as a body. */
bool api_takes_body(const struct verb *verb);

/* The arguments of a query. NULL: it is not UTF-8, or names something twice. */
json_t *api_query(struct MHD_Connection *connection);

/* Carries it out, with `arguments`, or where the verb takes one, with `body`. Returns the answer,
 * of malloc; NULL: no memory. Waits for workers. */
char *api_answer(struct broker *broker, const struct verb *verb, const json_t *arguments,
                 struct bytes body, unsigned *out_code);

#endif
