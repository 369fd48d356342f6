/* What of the configuration may change while the broker runs.
 *
 * A policy is immutable and shared by all threads. SIGHUP makes a new one, whole or not at all, and
 * offers it to each worker, which takes it over between two turns: within a turn nothing changes
 * under anybody's hands. The old one goes when the last worker has let go of it. */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "broker/watch.h"
#include "config/config.h"

struct acl;
struct broker;
struct jwt_keys;
struct password_file;
struct tls_context;
struct worker;

struct policy {
    _Atomic uint32_t references;
    _Atomic uint32_t awaited; /* workers that it was offered to and that have not taken it over */
    uint32_t number;          /* 0 for the one of the start, and one more with each reload */
    struct password_file *passwords; /* NULL: there is none, and user names prove nothing */
    struct jwt_keys *tokens;         /* NULL: a password is never a token */
    bool tokens_end;                 /* for connected clients, too */
    struct policy_listener {
        char *name;
        bool allow_anonymous;
        struct tls_context *tls; /* a reference; NULL: plain */
    } * listeners;
    size_t listener_count;
    struct acl *acl;    /* NULL: everybody may do everything */
    struct watch watch; /* the files that it is made from */
    uint64_t seen;      /* what watch_look() said before they were read */
};

/* One reference, for the caller. Copies what it needs of `config`, and reads the files that it
 * names; what stands there no more, and cannot go before a restart, stays as in `before` (NULL: the
 * start). `error` says in one line what is wrong. */
enum status MUST_USE policy_new(const struct config *config, const struct policy *before,
                                struct policy **out, char *error, size_t error_size);
struct policy *policy_hold(struct policy *policy);
void policy_drop(struct policy *policy); /* or NULL */

/* The thread that started the broker: puts a policy, whose reference it takes, in the place of the
 * one before, and offers it to all workers. */
void policy_offer(struct broker *broker, struct policy *policy);
/* A worker, between turns: takes over what was offered to it, and sends away who is not welcome any
 * more. */
void policy_take(struct worker *worker);

/* A worker: sends away who is not welcome, by the policy that it has or because time has passed. */
void policy_review(struct worker *worker);

/* What a new connection of the listener speaks TLS with; NULL: it is plain. Borrowed. */
struct tls_context *policy_tls(const struct policy *policy, const struct config_listener *listener);
bool policy_allows_anonymous(const struct policy *policy, const struct config_listener *listener);

/* What stands for the user's hash in the password file; 0: there is no such user. */
uint64_t policy_credential(const struct policy *policy, const struct hash_key *key,
                           struct bytes user_name);

#endif
