/* A command's side of the control socket: asks a running broker, and prints what it answers. */
#ifndef ADMIN_ASK_H
#define ADMIN_ASK_H

#include <jansson.h>
#include <stdbool.h>

/* At `socket_path`, or, where that is NULL, where the configuration `file` says (NULL: the
 * default). `question` is NULL where it is not UTF-8. Returns the exit status: 0; 1: nobody
 * answers, or the answer is a refusal; 2: the question, or the configuration. */
int ask(const char *file, const char *socket_path, json_t *question /* takes */, bool as_json);

/* The same for a verb of verbs/verb.def, whose result is the caller's to drop. */
int ask_verb(const char *file, const char *socket_path, const char *verb,
             json_t *arguments /* takes */, json_t **out);

#endif
