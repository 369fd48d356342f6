/* A store in a directory of its own, and short ways to say what a worker does to it. For tests. */
#ifndef STORAGE_STORE_TESTING_H
#define STORAGE_STORE_TESTING_H

#include <stdatomic.h>

#include "storage/store.h"

struct fixture {
    char directory[64];
    struct store_options options;
    struct store *store;
    char error[256];
    _Atomic uint32_t notified[8]; /* per worker */
    _Atomic uint32_t released;
};

/* A fresh directory; `commit`, one worker, a long interval and threshold. Change `options`, then
 * open. */
void fixture_init(struct fixture *fixture);
/* Opens, loads with a visitor that counts, and starts. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* Closes if open, and removes the directory. */
void fixture_fini(struct fixture *fixture);

/* Keeps what is logged to itself, where failures are wanted. */
void fixture_mute(bool mute);
/* Whether that was logged since the last fixture_mute(true). */
bool fixture_said(const char *text);

void fixture_path(const struct fixture *fixture, const char *name, char out[128]);
bool fixture_wait_durable(struct store *store, uint64_t lsn, unsigned ms);
/* One batch of one delta, submitted; its LSN. */
uint64_t fixture_session(struct store *store, uint64_t incarnation, const char *client_identifier);
uint64_t fixture_end(struct store *store, uint64_t incarnation);
uint64_t fixture_subscribe(struct store *store, uint64_t incarnation, const char *filter);
/* A message owed to `count` sessions from `first` on; *number is its number. */
uint64_t fixture_publish(struct store *store, uint64_t first, uint32_t count, uint8_t qos,
                         bool urgent, const char *payload, uint64_t *number);
uint64_t fixture_sent(struct store *store, uint64_t incarnation, uint64_t number, uint8_t qos,
                      uint16_t packet_identifier, uint64_t sequence);
uint64_t fixture_released(struct store *store, uint64_t incarnation, uint64_t number);
uint64_t fixture_settled(struct store *store, uint64_t incarnation, uint64_t number);
/* Appends a message to an open batch, copied; its number. */
uint64_t fixture_append(struct store_batch *batch, uint64_t first, uint32_t count, uint8_t qos,
                        bool urgent, const char *payload);
/* Waits for the answer. Free with store_read_fini. */
struct store_read fixture_read(struct store *store, uint64_t incarnation, bool resume);
void fixture_await(struct store *store, struct store_read *read);

/* One number out of the database, by a connection of its own. */
int64_t fixture_query(const struct fixture *fixture, const char *sql);
/* How many times a message is owed, as the database's columns count it. */
int64_t fixture_owed(const struct fixture *fixture);
/* Messages in the database, each once; their count in `meta` is checked. */
int64_t fixture_messages(const struct fixture *fixture);
/* Changes the database behind the store's back. */
void fixture_exec(const struct fixture *fixture, const char *sql);

#endif
