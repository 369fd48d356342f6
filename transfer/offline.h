/* A store without a broker: read through, or filled and put in its place as a whole. One thread. */
#ifndef TRANSFER_OFFLINE_H
#define TRANSFER_OFFLINE_H

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "storage/store.h"

struct offline {
    struct store *store;
    sem_t woken;
};

/* Opens it, which no broker may have, and has `visitor` see what it holds. Where it does not return
 * OK `error` (at least 512 bytes) says why, and there is nothing to close. */
enum status MUST_USE offline_open(struct offline *offline, const char *directory,
                                  const struct store_visitor *visitor, char *error,
                                  size_t error_size);
void offline_close(struct offline *offline);

/* Store time. */
int64_t offline_now_ms(const struct offline *offline);

/* Blocks until the read is answered. */
void offline_read(struct offline *offline, struct store_read *read);

/* Has `fill` write a new store, and puts it into `directory`, which is created or has no store yet,
 * when all of it is on disk; otherwise there is none. `fill` gives the LSN of its last batch. */
struct offline_filler {
    void *context;
    enum status (*fill)(void *context, struct offline *offline, uint64_t *out_lsn, char *error,
                        size_t error_size);
};
enum status MUST_USE offline_write(const char *directory, const struct offline_filler *filler,
                                   char *error, size_t error_size);

/* As root: acts as the directory's owner from here on, who runs the broker and is to be able to
 * write what is made. False: it cannot. */
bool offline_become_owner(const char *directory);

#endif
