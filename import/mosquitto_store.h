/* What a database of mosquitto's holds, as a store of Holdfast's. */
#ifndef IMPORT_MOSQUITTO_STORE_H
#define IMPORT_MOSQUITTO_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "import/mosquitto_db.h"

struct mosquitto_report {
    size_t sessions, subscriptions, owed, retained; /* taken along */
    size_t over;    /* sessions whose expiry has passed, or that end with their connection */
    size_t expired; /* what was owed, and is not there any more */
    size_t qos_0;   /* owed at QoS 0: it is not stored */
};

/* Fills `directory`, which is created or has no store yet. OK: the store is whole and on disk;
 * otherwise there is none, and `error` (at least 512 bytes) says why. */
enum status MUST_USE mosquitto_store_write(const struct mosquitto_db *db, const char *directory,
                                           struct mosquitto_report *out, char *error,
                                           size_t error_size);

#endif
