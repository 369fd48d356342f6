/* Random histories of a store, and a model that says what the file must hold after each batch. For
 * tests. The model is a plain list of facts and shares no code with the store. */
#ifndef STORAGE_HISTORY_TESTING_H
#define STORAGE_HISTORY_TESTING_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/store.h"

enum {
    HISTORY_SESSIONS = 64,
    HISTORY_ROWS = 4096,
    HISTORY_SUBSCRIPTIONS = 512,
    HISTORY_INBOUND = 512,
    HISTORY_RETAINED = 4
};

struct history_row {
    uint64_t incarnation, number, sequence, token;
    uint16_t packet_identifier;
    uint8_t qos, state;
};

struct history {
    uint64_t random;
    uint64_t lsn;         /* of the last batch made */
    uint64_t token;       /* makes payloads unique */
    uint64_t incarnation; /* last given */
    uint64_t sequence;
    struct {
        uint64_t incarnation;
        uint8_t version;
    } sessions[HISTORY_SESSIONS];
    uint32_t session_count;
    uint64_t ended; /* the last one that ended; 0: none yet */
    struct history_row rows[HISTORY_ROWS];
    uint32_t row_count;
    struct {
        uint64_t incarnation;
        uint32_t filter;
        uint8_t options;
    } subscriptions[HISTORY_SUBSCRIPTIONS];
    uint32_t subscription_count;
    struct {
        uint64_t incarnation;
        uint16_t packet_identifier;
    } inbound[HISTORY_INBOUND];
    uint32_t inbound_count;
    struct {
        uint64_t number, token; /* 0: none */
    } retained[HISTORY_RETAINED];
};

void history_init(struct history *history, uint64_t seed);
/* The next batch, with LSN `lsn`: into the model, and into `batch` unless that is NULL. */
void history_step(struct history *history, uint64_t lsn, struct store_batch *batch);
uint32_t history_random(struct history *history, uint32_t below);

/* What the model holds and what a database holds, one line per fact, sorted; on the heap. The
 * database is checked for consistency on the way. */
char *history_dump(const struct history *history);
char *history_dump_database(const char *path);
/* LSN of the database's last transaction. */
uint64_t history_database_lsn(const char *path);

/* Whether a file that is at `file` keeps every promise made when `promised` was durable and
 * batches up to `latest` had been made: what a later one has settled is owed to nobody, and need
 * not be there. */
bool history_keeps(const struct history *file, const struct history *promised,
                   const struct history *latest);

#endif
