/* The part of a policy that stands in files: certificates, keys, authorities, revocation lists. */
#ifndef BROKER_POLICY_TLS_H
#define BROKER_POLICY_TLS_H

#include "base/status.h"
#include "config/config.h"

struct broker;
struct connection;
struct policy;
struct tls_context;
struct worker;

/* Reads the files of a listener; `before` is what it speaks TLS with so far, or NULL. `*out` is
 * NULL for one without TLS; else one reference for the caller. `error` names the listener, the file
 * and the fault. */
enum status MUST_USE policy_tls_load(const struct config_listener *listener,
                                     const struct tls_context *before, struct tls_context **out,
                                     char *error, size_t error_size);

/* Notes with each listener when its certificate expires, for whoever shows it. The thread that puts
 * a policy in force. */
void policy_tls_note_expiry(struct broker *broker, const struct policy *policy);

/* A worker has its first policy, or has taken over another: who has expired will be found. */
void policy_tls_start(struct worker *worker);
void policy_tls_take(struct worker *worker);

/* Why a peer that has been let in would not be let in by this policy: its certificate is revoked
 * or, where the listener says so, expired, or its authority gone. NULL: it may stay. */
const char *policy_tls_withdrawal(const struct policy *policy, const struct connection *connection);

#endif
