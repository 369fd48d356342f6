/* The process: configuration, the shared structures, the workers, the listeners. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "broker/rate.h"
#include "config/config.h"
#include "storage/store.h"

enum { WORKERS_MAX = 256 }; /* as the option's range */

struct accounts;
struct worker;
struct topic_index;
struct retained;
struct network;
struct policy;
struct remembered;
struct throttle;
struct trace_log;
struct verifier;

struct listener {
    const struct config_listener *config;
    int fd;
    bool inherited; /* somebody else has it, too, and keeps who connects waiting */
    _Atomic uint32_t connections;
    _Atomic int64_t certificate_expires_s; /* Unix time; 0: it has none */
    struct rate accepts, messages, bytes;  /* of all of them */
    struct network *proxies;               /* whose word is taken: proxied.h */
    unsigned proxy_count;
};

struct broker {
    const struct config *config;   /* as of the start; what may change since is in the policy */
    struct policy *policy;         /* the latest; workers take it over at their next turn */
    struct verifier *verifier;     /* NULL until there is a password file */
    struct remembered *remembered; /* the same; or every password is hashed */
    struct throttle *throttle;     /* the same; or nobody is slowed down */
    struct accounts *accounts;     /* of users whose connections are limited; meter.h */
    struct hash_key key;
    struct store *store;
    struct topic_index *index;
    struct retained *retained;
    struct trace_log *trace; /* NULL: none is written */
    struct worker *workers;  /* array */
    unsigned worker_count;
    struct listener *listeners;
    unsigned listener_count;
    int64_t store_base_ms;       /* store time = this + boot clock */
    uint64_t first_number;       /* messages of this run have higher numbers */
    uint64_t queue_memory_bytes; /* per worker: above it, bodies that the disk has leave memory */
    uint64_t started_ms;
    _Atomic uint32_t next_incarnation; /* lower half; the upper half is store_boot() */
    _Atomic uint64_t stored_sessions;  /* that outlive their connections */
    _Atomic bool stopping;
    _Atomic unsigned stopped_workers; /* that have closed their connections and posted the last */
};

/* Opens store and listeners, loads sessions, starts the workers. Errors go to `error`. */
enum status MUST_USE broker_start(struct broker *broker, const struct config *config, char *error,
                                  size_t error_size);
/* The same without workers' threads: nothing happens but by worker_turn(). */
enum status MUST_USE broker_open(struct broker *broker, const struct config *config, char *error,
                                 size_t error_size);
/* Closes connections with 0x8B, lets the store commit everything, ends the threads, frees all. */
void broker_stop(struct broker *broker);

/* Starts the threads that try passwords, and the count of wrong ones and of wrong tokens, where the
 * policy needs them and there are none: before it is offered. NO_MEMORY: there is none, or no
 * threads. */
enum status MUST_USE broker_prepare(struct broker *broker, const struct policy *policy);

/* The worker on which the session of a Client Identifier lives. */
unsigned broker_home(const struct broker *broker, struct bytes client_identifier);

uint64_t broker_new_incarnation(struct broker *broker);

/* Boot clock. */
uint64_t broker_clock_us(void);
uint64_t broker_clock_ms(void);

#endif
