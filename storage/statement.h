/* Short ways to bind and run SQLite's prepared statements. */
#ifndef STORAGE_STATEMENT_H
#define STORAGE_STATEMENT_H

#include <sqlite3.h>
#include <stdint.h>

#include "storage/store.h"

/* Returns from the enclosing function with the first SQLite code that is not OK. */
#define TRY_SQL(expr)                                                                              \
    do {                                                                                           \
        int try_rc_ = (expr);                                                                      \
        if (try_rc_ != SQLITE_OK)                                                                  \
            return try_rc_;                                                                        \
    } while (0)

static inline void statement_bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
    sqlite3_bind_int64(statement, index, (sqlite3_int64)value);
}

/* The bytes stay the caller's until the statement is bound anew. Empty ones are NULL. */
static inline void statement_bind_bytes(sqlite3_stmt *statement, int index, struct bytes bytes)
{
    if (bytes.size == 0)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_blob64(statement, index, bytes.data, bytes.size, SQLITE_STATIC);
}

/* Runs a bound statement that gives no rows. */
static inline int statement_run(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    return sqlite3_reset(statement);
}

static inline uint64_t statement_u64(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

/* Valid until the statement's next step. */
static inline struct bytes statement_bytes(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    return bytes_of(data, data != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0);
}

/* A column that did not read: its value lies on a page that is damaged. */
static inline bool statement_lacks(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_BLOB &&
           sqlite3_column_blob(statement, column) == NULL;
}

/* The message whose columns stand from `column` on in the order qos, retain, expiry_interval_s,
 * received_at_ms, publisher, topic, properties, payload. */
static inline void statement_message(sqlite3_stmt *statement, int column,
                                     struct store_message *message)
{
    message->qos = (uint8_t)sqlite3_column_int(statement, column);
    message->retain = sqlite3_column_int(statement, column + 1) != 0;
    message->has_expiry = sqlite3_column_type(statement, column + 2) != SQLITE_NULL;
    message->expiry_interval_s = (uint32_t)sqlite3_column_int64(statement, column + 2);
    message->received_at_ms = sqlite3_column_int64(statement, column + 3);
    message->publisher = statement_u64(statement, column + 4);
    message->topic = statement_bytes(statement, column + 5);
    message->properties = statement_bytes(statement, column + 6);
    message->payload = statement_bytes(statement, column + 7);
}

static inline void statement_bind_message(sqlite3_stmt *statement, int index,
                                          const struct store_message *message)
{
    sqlite3_bind_int(statement, index, message->qos);
    sqlite3_bind_int(statement, index + 1, message->retain);
    if (message->has_expiry)
        sqlite3_bind_int64(statement, index + 2, message->expiry_interval_s);
    else
        sqlite3_bind_null(statement, index + 2);
    sqlite3_bind_int64(statement, index + 3, message->received_at_ms);
    statement_bind_u64(statement, index + 4, message->publisher);
    statement_bind_bytes(statement, index + 5, message->topic);
    statement_bind_bytes(statement, index + 6, message->properties);
    statement_bind_bytes(statement, index + 7, message->payload);
}

#endif
