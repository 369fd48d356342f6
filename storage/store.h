/* The write-behind store: batches of session deltas in, a durable log sequence number out.
 *
 * Workers append deltas to a batch, submit it, and hold back whatever promises its content until
 * store_durable() has reached its log sequence number (LSN). One storage thread applies the batches
 * in LSN order to what is pending in memory, cancels what has been acknowledged before it was
 * written, and commits the rest in groups. Nothing here knows of MQTT packets or of sockets, and
 * nothing above knows of SQLite, so that the same batches can feed a replicated log.
 *
 * Rules (docs/ordering.md): a batch gets its LSN when it is opened, after its worker has taken the
 * turn's mailbox snapshot, and is submitted before any effect of it leaves the worker; commits hold
 * whole prefixes of LSNs. So a transaction never holds a delta without those it could have learned
 * of.
 *
 * Times are `store time` in milliseconds: see store_now_base(). Numbers of messages are
 * lsn << STORE_NUMBER_BITS | index in the batch: unique for ever, and in publishing order. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/distribution.h"
#include "base/status.h"

struct store;
struct store_batch;

enum { STORE_NUMBER_BITS = 16 };

enum store_durability {
    STORE_DURABILITY_COMMIT, /* durable = on disk, fdatasync returned, or nothing owed any more */
    STORE_DURABILITY_FLUSH,  /* durable at once; loss bounded by threshold and interval */
    STORE_DURABILITY_NONE,   /* memory only; no file is opened */
};

struct store_options {
    const char *directory; /* created when missing; holds holdfast.db */
    enum store_durability durability;
    unsigned workers;
    uint32_t flush_mem_threshold; /* dirty messages that start a flush at once */
    uint32_t flush_interval_ms;   /* at the latest */
    uint32_t commit_delay_us;     /* how long a delta that is not urgent may wait for its
                                   * acknowledgement (default 2000) */
    uint32_t disk_stall_limit_ms; /* after a failing disk for so long, health is STALLED */
    bool secure_delete;
    /* Called on a thread of the store, or in any worker's store_submit, when `worker` has something
     * to collect: durable moved past a batch of its own, a read was answered, or the store is no
     * longer behind. Must not block. */
    void (*notify)(void *context, unsigned worker);
    void *context;
    /* Called on the worker's own thread, from store_reclaim(), for each message cookie. */
    void (*release)(void *context, void *cookie);
};

/* ---- What is stored ---- */

struct store_will { /* all bytes borrowed */
    bool present;
    uint8_t qos;
    bool retain;
    uint32_t delay_interval_s;
    bool has_message_expiry;
    uint32_t message_expiry_interval_s;
    struct bytes topic;
    struct bytes properties; /* forwardable properties, wire format */
    struct bytes payload;
};

/* The latest time that there is: an interval of 32 bits in seconds can be added to it. */
#define STORE_TIME_MAX_MS (INT64_MAX / 2)

/* A session, or a connection's will waiting for a session that is not stored (expiry 0). */
struct store_session {    /* all bytes borrowed */
    uint64_t incarnation; /* never reused, not 0 */
    struct bytes client_identifier;
    struct bytes owner;         /* opaque: the identity that made it; another may not have it */
    uint8_t version;            /* 3, 4 or 5: who connected last */
    uint32_t expiry_interval_s; /* 0xFFFFFFFF: never */
    bool connected;
    /* Store time, 0 to STORE_TIME_MAX_MS; meaningful while not connected, the second with a will.
     */
    int64_t disconnected_at_ms;
    int64_t will_due_ms;
    struct store_will will;
};

struct store_subscription {    /* bytes borrowed */
    struct bytes topic_filter; /* as in the SUBSCRIBE, "$share/..." included */
    uint8_t options;           /* the Subscription Options byte */
    uint32_t identifier;       /* 0: none */
};

enum store_retained { STORE_RETAINED_NONE, STORE_RETAINED_SET, STORE_RETAINED_DELETE };

/* One Application Message. Lives in its owner's memory; bytes must stay until its cookie is
 * released. */
struct store_message {
    uint64_t number; /* set by store_batch_message */
    uint8_t qos;
    bool retain; /* the RETAIN flag it was published with */
    bool has_expiry;
    uint32_t expiry_interval_s; /* as received */
    int64_t received_at_ms;     /* store time */
    uint64_t publisher;         /* incarnation of the publishing session; 0: the broker */
    struct bytes topic;
    struct bytes properties; /* forwardable properties, wire format */
    struct bytes payload;
};

/* What one stored session is owed of one message. */
struct store_owed {
    uint64_t incarnation;
    uint8_t qos;                              /* effective: 1 or 2 */
    bool retain;                              /* the RETAIN flag to send */
    const uint32_t *subscription_identifiers; /* borrowed, copied by the store */
    uint32_t subscription_identifier_count;
};

enum store_outbound {
    STORE_OUTBOUND_QUEUED,   /* no Packet Identifier yet */
    STORE_OUTBOUND_SENT,     /* PUBLISH sent, or about to be, under packet_identifier */
    STORE_OUTBOUND_RELEASED, /* QoS 2: PUBREC received; PUBREL is owed, the body is not */
};

/* ---- Opening and stopping ---- */

struct store_visitor {
    void *context;
    /* Every session that has not been ended, each followed by its subscriptions. `backlog` counts
     * its owed messages in every state. */
    void (*session)(void *context, const struct store_session *session, uint64_t backlog);
    void (*subscription)(void *context, uint64_t incarnation,
                         const struct store_subscription *subscription);
    void (*retained)(void *context, const struct store_message *message);
};

/* Opens or creates the database and migrates an older schema. LOCKED: another process has it.
 * TOO_NEW: a newer release wrote it; it was not touched. A damaged one is set aside as
 * holdfast.db.damaged-<UTC time>, what reads is salvaged into a new one, loudly, and the store
 * opens. `error` (at least 256 bytes) gets a sentence for the operator on failure. */
enum status MUST_USE store_open(const struct store_options *options, struct store **out,
                                char *error, size_t error_size);
/* Visits what was stored, once. After store_open and before store_start; the calling thread. */
enum status MUST_USE store_load(struct store *store, const struct store_visitor *visitor);
/* Starts the storage threads. */
enum status MUST_USE store_start(struct store *store);
/* Commits everything submitted, ends the threads, closes the files. Workers have stopped. Cookies
 * that were not reclaimed yet are released here. */
void store_close(struct store *store);

/* Counts the opens of this database, durably raised at each: the upper half of incarnations. 1 at
 * the first. */
uint32_t store_boot(const struct store *store);
/* The last LSN that an earlier run made durable; this run's begin behind it. */
uint64_t store_first_lsn(const struct store *store);
/* Store time at which CLOCK_BOOTTIME would have been zero: store time = this + boot clock. Within
 * one boot of the machine store time follows the boot clock, else wall time, and never runs
 * backwards. */
int64_t store_now_base(const struct store *store);

/* ---- Batches: one worker's thread each, no locks ---- */

/* Opens a batch and gives it its LSN. Every opened batch must be submitted soon: later ones of all
 * workers wait for it. Memory for deltas comes from the reserve if it must (base/memory.h). */
struct store_batch *store_batch_open(struct store *store, unsigned worker);
uint64_t store_batch_lsn(const struct store_batch *batch);
/* The number that its next message will have, and the LSN of the batch that a number is from. */
uint64_t store_batch_next_number(const struct store_batch *batch);
uint64_t store_number_lsn(uint64_t number);
/* True when the batch holds as many messages as numbers allow, or is large: submit it, open
 * another. */
bool store_batch_full(const struct store_batch *batch);
void store_submit(struct store *store, struct store_batch *batch /* takes */);

/* Inserts or replaces a session's row; its subscriptions and messages stay. */
void store_batch_session(struct store_batch *batch, const struct store_session *session);
/* Ends a session: its row, subscriptions and will go now; its backlog later, in slices. */
void store_batch_session_end(struct store_batch *batch, uint64_t incarnation);
void store_batch_subscribe(struct store_batch *batch, uint64_t incarnation,
                           const struct store_subscription *subscription);
void store_batch_unsubscribe(struct store_batch *batch, uint64_t incarnation,
                             struct bytes topic_filter);

/* One publish, atomically: the message once, what each stored session is owed of it, the inbound
 * QoS 2 identifier of a stored publisher (inbound_incarnation 0: none), and what it does to the
 * retained message of its topic. Sets message->number. Not `urgent`: it may wait commit_delay for
 * its acknowledgements and then never be written; anything else starts a flush. Keeps `message`
 * until it releases `cookie` through store_reclaim; with NULL it keeps a copy. */
struct store_publish {
    struct store_message *message;
    const struct store_owed *owed; /* borrowed until return */
    uint32_t owed_count;
    uint64_t inbound_incarnation;
    uint16_t inbound_packet_identifier;
    enum store_retained retained;
    bool urgent;
    void *cookie;
};
void store_batch_message(struct store_batch *batch, const struct store_publish *publish);

/* The message was given this Packet Identifier; `sequence` orders a session's sends. */
void store_batch_sent(struct store_batch *batch, uint64_t incarnation, uint64_t number,
                      uint16_t packet_identifier, uint64_t sequence);
/* The same, telling the effective QoS: at QoS 1 nothing waits for it, so that a backlog which
 * drains starts no flush for each page. Without it a written row is taken for QoS 2, which is
 * always safe. */
void store_batch_sent_at_qos(struct store_batch *batch, uint64_t incarnation, uint64_t number,
                             uint8_t qos, uint16_t packet_identifier, uint64_t sequence);
/* QoS 2: PUBREC received. */
void store_batch_released(struct store_batch *batch, uint64_t incarnation, uint64_t number);
/* No longer owed: acknowledged, completed, or dropped for a reason that the caller has counted. */
void store_batch_settled(struct store_batch *batch, uint64_t incarnation, uint64_t number);
/* The inbound QoS 2 identifier is free again. */
void store_batch_inbound_erase(struct store_batch *batch, uint64_t incarnation,
                               uint16_t packet_identifier);

/* The retained message of this topic goes, if it is still the one with this number: its Message
 * Expiry Interval has passed. */
void store_batch_retained_expire(struct store_batch *batch, struct bytes topic, uint64_t number);

/* ---- What has become durable ---- */

/* What may be promised. Any thread, a few atomic reads. Under NONE: UINT64_MAX. Under FLUSH the
 * same, unless more than four times flush_mem_threshold messages are submitted and not written, or
 * too many bytes: then what really is durable, so that a promise has to wait. Every worker is
 * notified when that is over. */
uint64_t store_durable(const struct store *store);
/* So much is submitted and not written that no more is to be taken in, with any durability. Any
 * thread, one atomic read; every worker is notified when it is over. */
bool store_is_full(const struct store *store);

/* On the worker's thread, when notified: releases cookies of committed batches. */
void store_reclaim(struct store *store, unsigned worker);

enum store_health {
    STORE_HEALTH_OK,
    STORE_HEALTH_STALLED, /* commits have failed for disk_stall_limit: refuse new QoS 1 and 2 */
};
enum store_health store_health(const struct store *store); /* any thread, one atomic read */

struct store_statistics {
    uint64_t commits, rows_written, messages_cancelled, dirty_messages, failed_commits;
    uint64_t messages; /* in the database, each once */
    uint64_t file_bytes;
    struct distribution_reading commit_us; /* a whole transaction */
    struct distribution_reading sync_us;   /* its end: the pages to the log, and fdatasync */
    struct distribution_reading commit_rows;
};
void store_statistics(const struct store *store, struct store_statistics *out); /* any thread */
/* Messages in the database and on their way to it. Any thread, two atomic reads. */
uint64_t store_messages(const struct store *store);
/* Bytes of the database that are in use, with the log. Any thread, one atomic read; as of the last
 * commit. */
uint64_t store_bytes(const struct store *store);

/* ---- Reading back: asynchronous, on the store's reader thread and connection ---- */

struct store_row {
    struct store_message message; /* RELEASED: bytes empty */
    uint8_t qos;                  /* effective */
    bool retain;                  /* to send */
    uint16_t packet_identifier;
    enum store_outbound state;
    uint64_t sequence;
    const uint32_t *subscription_identifiers;
    uint32_t subscription_identifier_count;
};

/* A request and its answer; memory is the caller's until store_read_free. Bytes of rows live in it.
 */
struct store_read {
    /* request */
    unsigned worker;
    uint64_t incarnation;
    bool resume;    /* also give inbound identifiers, and SENT and RELEASED rows */
    uint64_t after; /* QUEUED rows with number > after and <= until, in order, */
    uint64_t until;
    uint32_t limit; /* at most so many, and at most limit_bytes of them (at least one) */
    uint64_t limit_bytes;
    const uint64_t *numbers; /* not NULL: give just these messages' rows instead; borrowed */
    uint32_t number_count;   /* lowered to how many were looked for when limit_bytes (0: none) was
                              * reached; `more` is set then */
    void *context;
    /* answer */
    enum status status;     /* CORRUPT, IO, ...: what was read before it is given */
    struct store_row *rows; /* SENT and RELEASED by sequence, then QUEUED by number */
    uint32_t row_count;
    bool more; /* QUEUED rows within `until` are left behind the last */
    uint16_t *inbound_packet_identifiers;
    uint32_t inbound_count;
    /* the store's */
    void *memory;
    uint64_t needs; /* LSN */
    struct store_read *next;
};

/* Queues a request; sees everything durable when it is called, and the numbers that it asks for,
 * which have been submitted. Worker's thread; does not block. */
void store_read_submit(struct store *store, struct store_read *read);
/* The next answered request of this worker, or NULL. */
struct store_read *store_read_next(struct store *store, unsigned worker);
/* Frees the answer's memory (not the struct). */
void store_read_fini(struct store_read *read);

#endif
