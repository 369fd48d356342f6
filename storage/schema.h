/* Connections to the database and what is in it. */
#ifndef STORAGE_SCHEMA_H
#define STORAGE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SCHEMA_VERSION = 3,
    SCHEMA_APPLICATION = 0x486f6c64, /* "Hold", in the file's header */
    SCHEMA_PAGE_SIZE = 4096,
};

enum schema_role { SCHEMA_WRITER, SCHEMA_READER, SCHEMA_CHECKPOINTER };

/* The one row of `meta`. */
struct schema_meta {
    uint32_t boot;     /* opens so far */
    uint64_t lsn;      /* of the last transaction */
    uint64_t messages; /* in the database: each once, however many it is owed to */
    char boot_id[40];  /* of the machine, at the last transaction */
    int64_t boot_ms;   /* its boot clock then */
    int64_t store_ms;  /* store time then */
    int64_t wall_ms;   /* wall clock then */
};

/* Opens a connection and sets it up for its role; the writer's creates the file. SQLite's result
 * code; `*out` may be set even on failure, for its message; schema_disconnect takes both. */
int schema_connect(const char *path, enum schema_role role, bool secure_delete, sqlite3 **out);
void schema_disconnect(sqlite3 *db);

/* user_version of the file, read without SQLite and so without touching it: -1 when there is no
 * file or it has no SQLite header. */
int64_t schema_peek_version(const char *path);
/* Climbs the ladder of migrations from whatever version the database has up to `version`, each step
 * in its own transaction. */
int schema_migrate(sqlite3 *db, int version);
/* SQLITE_CORRUPT when there is no such row. */
int schema_read_meta(sqlite3 *db, struct schema_meta *out);
int schema_write_meta(sqlite3 *db, const struct schema_meta *meta);
int schema_user_version(sqlite3 *db, int *out);

/* Whether the code says that bytes are not what was written, as against a failing disk. */
bool schema_is_damage(int code);
enum status schema_status(int code);

#endif
