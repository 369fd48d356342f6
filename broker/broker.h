/* The process: configuration, the shared structures, the workers, the listeners. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "config/config.h"
#include "storage/store.h"

enum { WORKERS_MAX = 256 }; /* as the option's range */

struct worker;
struct topic_index;
struct retained;
struct tls_context;

struct listener {
    const struct config_listener *config;
    int fd;
    struct tls_context *tls; /* NULL: plain TCP */
    _Atomic uint32_t connections;
};

struct broker {
    const struct config *config;
    struct hash_key key;
    struct store *store;
    struct topic_index *index;
    struct retained *retained;
    struct worker *workers; /* array */
    unsigned worker_count;
    struct listener *listeners;
    unsigned listener_count;
    int64_t store_base_ms;       /* store time = this + boot clock */
    uint64_t first_number;       /* messages of this run have higher numbers */
    uint64_t queue_memory_bytes; /* per worker: above it, bodies that the disk has leave memory */
    uint64_t started_ms;
    _Atomic uint32_t next_incarnation; /* lower half; the upper half is store_boot() */
    _Atomic bool stopping;
    _Atomic unsigned stopped_workers; /* that have closed their connections and posted the last */
};

/* Opens store and listeners, loads sessions, starts the workers. Errors go to `error`. */
enum status MUST_USE broker_start(struct broker *broker, const struct config *config, char *error,
                                  size_t error_size);
/* Closes connections with 0x8B, lets the store commit everything, ends the threads, frees all. */
void broker_stop(struct broker *broker);

/* The worker on which the session of a Client Identifier lives. */
unsigned broker_home(const struct broker *broker, struct bytes client_identifier);

uint64_t broker_new_incarnation(struct broker *broker);

/* Boot clock, milliseconds. */
uint64_t broker_clock_ms(void);

#endif
