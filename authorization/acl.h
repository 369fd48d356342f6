/* Who may do what: an access control list in mosquitto's language, extended by groups and
 * conditions (docs/authorization.md has the language).
 *
 * A list is compiled once and is immutable from then on, for any number of threads. What of it
 * concerns one client is found once, when it connects: struct acl_client. A check then walks down a
 * tree by the levels of the topic; how many rules the file has does not matter to it. */
#ifndef AUTHORIZATION_ACL_H
#define AUTHORIZATION_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct acl;
struct acl_client;

enum { ACL_FILE_MAX = 64 << 20 }; /* bytes */

/* What a list can ask of a client. */
struct acl_subject {
    struct bytes client_identifier;
    struct bytes user_name;           /* proven; `anonymous`: there is none */
    struct bytes listener;            /* its name in the configuration */
    struct bytes certificate_subject; /* RFC 4514, verified; empty: no certificate */
    bool anonymous;
};

enum acl_action { ACL_READ, ACL_WRITE };

enum acl_reason {
    ACL_REASON_RULE,        /* of `line` */
    ACL_REASON_NO_RULE,     /* none grants it */
    ACL_REASON_UNSAFE_NAME, /* none grants it, and patterns do not count for this client */
};

struct acl_verdict {
    bool allowed;
    enum acl_reason reason;
    uint32_t line; /* of the rule that decides; 0: none */
};

/* Reads and compiles a file. Where it does not return OK, `error` says in one line what is wrong,
 * and where. */
enum status MUST_USE acl_load(const char *path, struct acl **out, char *error, size_t error_size);
/* The same from memory; `path` is what messages call it. */
enum status MUST_USE acl_load_text(const char *path, struct bytes text, struct acl **out,
                                   char *error, size_t error_size);
void acl_free(struct acl *acl); /* no clients of it are left; NULL does nothing */

uint32_t acl_rule_count(const struct acl *acl);
/* Calls `visit` for each listener that a condition names, with its line. */
void acl_visit_listeners(const struct acl *acl,
                         void (*visit)(void *context, struct bytes name, uint32_t line),
                         void *context);

/* What concerns this client. The list outlives it; `subject` is copied. NULL: no memory. */
struct acl_client *acl_client_new(const struct acl *acl, const struct acl_subject *subject);
void acl_client_free(struct acl_client *client); /* NULL does nothing */

/* Whether it may publish to this Topic Name (ACL_WRITE), or receive from it (ACL_READ). */
struct acl_verdict acl_client_may(const struct acl_client *client, enum acl_action action,
                                  struct bytes topic);
/* Whether it may subscribe: is there a topic that this plain Topic Filter matches and that it could
 * read? What comes is checked again, topic by topic. */
struct acl_verdict acl_client_may_subscribe(const struct acl_client *client, struct bytes filter);

#endif
