/* Writes the pending set into the database: one flush, one transaction. The storage thread only. */
#ifndef STORAGE_WRITER_H
#define STORAGE_WRITER_H

#include "base/distribution.h"
#include "storage/owed.h"
#include "storage/pending.h"
#include "storage/schema.h"

#define WRITER_STATEMENTS(X)                                                                       \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(META, "UPDATE meta SET lsn = ?1, messages = ?2, boot_id = ?3, boot_ms = ?4, store_ms = ?5,"  \
            " wall_ms = ?6 WHERE id = 1")                                                          \
    X(SESSION_PUT, "INSERT OR REPLACE INTO session VALUES"                                         \
                   "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")           \
    X(SESSION_DELETE, "DELETE FROM session WHERE incarnation = ?1")                                \
    X(SUBSCRIPTION_PUT, "INSERT OR REPLACE INTO subscription VALUES(?1, ?2, ?3, ?4)")              \
    X(SUBSCRIPTION_DELETE,                                                                         \
      "DELETE FROM subscription WHERE incarnation = ?1 AND topic_filter = ?2")                     \
    X(SUBSCRIPTIONS_DELETE, "DELETE FROM subscription WHERE incarnation = ?1")                     \
    X(INBOUND_PUT, "INSERT OR REPLACE INTO inbound VALUES(?1, ?2)")                                \
    X(INBOUND_DELETE, "DELETE FROM inbound WHERE incarnation = ?1 AND packet_identifier = ?2")     \
    X(INBOUNDS_DELETE, "DELETE FROM inbound WHERE incarnation = ?1")                               \
    X(RETAINED_PUT, "INSERT OR REPLACE INTO retained"                                              \
                    "(number, qos, retain, expiry_interval_s, received_at_ms, publisher, topic,"   \
                    " properties, payload) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")            \
    X(RETAINED_DELETE, "DELETE FROM retained WHERE topic = ?1")                                    \
    X(RETAINED_EXPIRE, "DELETE FROM retained WHERE topic = ?1 AND number = ?2")                    \
    X(MESSAGE_PUT, "INSERT INTO message"                                                           \
                   "(number, qos, retain, expiry_interval_s, received_at_ms, publisher, topic,"    \
                   " properties, payload, owed) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")  \
    X(MESSAGE_FREE, "DELETE FROM message WHERE number = ?1 AND owed <= ?2")                        \
    X(MESSAGE_LESS, "UPDATE message SET owed = owed - ?2 WHERE number = ?1")                       \
    X(SEGMENT_PUT, "INSERT INTO segment(period, incarnation, first, count, shared, directory,"     \
                   " data) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                    \
    X(SEGMENT_FIND, "SELECT s.id, s.first, s.count, s.directory, p.data FROM segment AS s"         \
                    " LEFT JOIN progress AS p USING(incarnation, first)"                           \
                    " WHERE s.period = ?3 AND s.incarnation = ?1 AND s.first <= ?2 ORDER BY "      \
                    "s.first DESC LIMIT 1")                                                        \
    X(SEGMENT_DELETE, "DELETE FROM segment WHERE id = ?1")                                         \
    X(SEGMENT_SLICE, "SELECT s.id, s.first, s.count, s.shared, length(s.data), s.directory,"       \
                     " p.data FROM segment AS s LEFT JOIN progress AS p USING(incarnation, first)" \
                     " WHERE s.period = ?2 AND s.incarnation = ?1 ORDER BY s.first LIMIT 1")       \
    X(PERIOD_NEXT, "SELECT min(period) FROM segment WHERE period > ?1")                            \
    X(PROGRESS_PUT, "INSERT OR REPLACE INTO progress VALUES(?1, ?2, ?3, ?4, ?5)")                  \
    X(PROGRESS_DELETE, "DELETE FROM progress WHERE incarnation = ?1 AND first = ?2")               \
    X(TALLY_PUT, "INSERT INTO tally(data) VALUES(?1)")                                             \
    X(TALLY_CLEAR, "DELETE FROM tally")                                                            \
    X(ENDED_PUT, "INSERT OR IGNORE INTO ended VALUES(?1)")                                         \
    X(ENDED_DELETE, "DELETE FROM ended WHERE incarnation = ?1")                                    \
    X(PAGES, "PRAGMA page_count")                                                                  \
    X(FREE_PAGES, "PRAGMA freelist_count")

enum writer_statement {
#define X(name, sql) WRITER_##name,
    WRITER_STATEMENTS(X)
#undef X
        WRITER_STATEMENT_COUNT
};

/* Incarnations whose backlog is being deleted, oldest first. */
struct writer_ended {
    uint64_t *incarnations;
    size_t first, count, capacity;
};

struct writer {
    const char *path; /* borrowed */
    bool secure_delete;
    sqlite3 *db; /* NULL: to be opened */
    sqlite3_stmt *statements[WRITER_STATEMENT_COUNT];
    struct schema_meta meta; /* as last committed */
    int64_t store_base_ms;
    struct owed owed;
    struct writer_ended ended;
    struct writer_ended newly_ended; /* in this transaction */
    /* statistics */
    uint64_t commits, rows_written, failed_commits;
    uint64_t rows;       /* in this transaction */
    uint32_t log_pages;  /* of the write-ahead log after the last commit */
    uint64_t used_bytes; /* of the database, without free pages and the log; as last committed */
    struct distribution sync_us; /* of COMMIT: its pages to the log, and fdatasync */
    char error[256];             /* of the last failure */
};

void writer_init(struct writer *writer, const char *path, bool secure_delete,
                 const struct schema_meta *meta, int64_t store_base_ms);
void writer_fini(struct writer *writer);
/* At open: what is in use, through another connection. */
void writer_measure(struct writer *writer, sqlite3 *db);

/* An incarnation without a session row that has segments: delete them in slices. */
void writer_add_ended(struct writer *writer, uint64_t incarnation);
bool writer_has_ended(const struct writer *writer);

/* One transaction: all that is pending, and some `slice` rows of ended sessions. OK only when
 * it is on disk; otherwise nothing of it is, the pending set is as it was, and the call may be
 * repeated. */
enum status MUST_USE writer_flush(struct writer *writer, struct pending *pending, uint32_t slice);
/* Gives back free pages to the file system, at most `pages`. Returns whether there is more to
 * do. */
bool writer_vacuum(struct writer *writer, uint32_t pages);
/* Copies the log into the database file, on the writer's connection, when no one waits. */
void writer_checkpoint(struct writer *writer);

#endif
