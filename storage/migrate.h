/* Steps between versions of the schema that take more than SQL. Each runs behind the SQL of its
 * step (schema.c) and in the same transaction, and gives a SQLite code. A step that has been
 * released keeps doing what it does. */
#ifndef STORAGE_MIGRATE_H
#define STORAGE_MIGRATE_H

#include <sqlite3.h>

/* 1 to 2: rows of `owed` become segments and progress, bodies that one session alone is owed move
 * into them, and `owed` goes. */
int migrate_to_segments(sqlite3 *db);

#endif
