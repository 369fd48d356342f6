/* What a session is owed: the queue, the exchanges in flight, and sending them (4.3, 4.4, 4.9).
 *
 * Messages of an earlier run stay in the store and are paged in behind CONNACK, oldest first; newer
 * ones wait in memory. */
#ifndef BROKER_OUTBOUND_H
#define BROKER_OUTBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/pid_map.h"
#include "broker/queue.h"
#include "broker/worker.h"
#include "protocol/packet.h"

struct session;
struct store_read;

struct inflight {
    struct message *message; /* one reference; NULL: body no longer needed */
    struct identifiers identifiers;
    uint64_t number, sequence;
    uint16_t packet_identifier; /* 0: this slot is free */
    uint8_t qos;
    uint8_t state; /* enum outbound_qos1_state or outbound_qos2_state */
    bool retain;
    bool owed;
    bool counted; /* holds a slot of the send quota on this connection */
    uint32_t group;
    uint32_t sent_ms; /* the worker's clock, cut off: for resend_interval */
};

struct outbound {
    struct queue paged;          /* read back from the store: the oldest */
    struct number_queue numbers; /* of this run, paged out: between `paged` and `queue` */
    struct queue queue;
    struct inflight *inflight; /* by identifier: inflight.h */
    uint32_t inflight_capacity, inflight_count;
    uint32_t inflight_most; /* at a time, since there were none */
    uint16_t last_identifier;
    uint64_t next_sequence;
    uint32_t *resend; /* identifiers, in the order of first sending */
    uint32_t resend_count, resend_next;
    uint64_t stored_count;  /* rows of an earlier run that are not in memory yet */
    uint64_t stored_after;  /* the last number that was paged in */
    bool reading;           /* a page is on its way */
    bool near_full;         /* said so, and counted */
    bool trimming;          /* and it is for outbound_trim */
    uint32_t qos0_count;    /* of `queue` */
    uint64_t queued_bytes;  /* of what is queued in memory */
    uint64_t numbers_bytes; /* of `numbers` */
};

/* Delivers one message (takes the delivery's identifiers, takes no reference of the caller's). */
void outbound_deliver(struct worker *worker, struct session *session, struct message *message,
                      struct delivery *delivery);
/* Sends what quota and socket allow. */
void outbound_pump(struct worker *worker, struct session *session);
/* Whoever calls it calls outbound_pump() behind it, once for many. */
void outbound_acknowledged(struct worker *worker, struct session *session, enum packet_type type,
                           uint16_t packet_identifier, uint8_t reason_code);
/* The store has what the exchange under this identifier waited for. */
void outbound_stored(struct worker *worker, struct session *session, uint16_t packet_identifier);
void outbound_connection_lost(struct worker *worker, struct session *session);
/* Behind CONNACK: PUBRELs and PUBLISHes of earlier connections, then the queue [MQTT-4.4.0-1]. */
void outbound_resume(struct worker *worker, struct session *session);
/* Sends again what has not been answered for resend_interval: 3.1.1 and 3.1. */
void outbound_resend_due(struct worker *worker, struct session *session);
/* Asks the store for the session's state of an earlier run; outbound_loaded() gets the answer. */
void outbound_load(struct worker *worker, struct session *session);
void outbound_loaded(struct worker *worker, struct store_read *read /* takes */);
/* Frees everything; the rows are the caller's. */
void outbound_fini(struct worker *worker, struct outbound *outbound);

/* Gives what came through a shared subscription (0: any) that the session has just left to other
 * members. What has been begun stays, but for QoS 1 of a session that `ends`. */
void outbound_leave_group(struct worker *worker, struct session *session, uint32_t group,
                          bool ends);

enum { OUTBOUND_PAGE_MESSAGES = 1000 };
void outbound_room_init(struct worker *worker);
/* How much room the queue has, for publishers to see. */
void outbound_update_room(struct worker *worker, struct session *session);
void outbound_no_longer_near_full(struct worker *worker, struct outbound *outbound);
/* Drops the oldest that were not sent, until the queue is within its limits: drop_oldest. Goes on
 * when outbound_trimmed() has the answer to a read. */
void outbound_trim(struct worker *worker, struct session *session);
void outbound_trimmed(struct worker *worker, struct session *session,
                      const struct store_read *read);
/* Drops the first of a queue of the session's; one that has expired for that reason. */
void outbound_drop_head(struct worker *worker, struct session *session, struct queue *queue,
                        enum drop_reason reason);
/* For the log: which limit of the queue is reached, and where it stands. */
void outbound_explain_full(const struct worker *worker, const struct session *session, char *out,
                           size_t size);
/* Lets go of what is on disk. outbound_pages.c, like outbound_load and outbound_loaded. */
void outbound_page_out(struct worker *worker, struct session *session);
/* The Client is there, and its socket is not full of what it has not taken. */
bool outbound_can_send(const struct session *session);
/* What is queued is counted by session, for its limit, and what of it is in memory by worker. */
void outbound_count_bytes(struct worker *worker, struct outbound *outbound,
                          const struct message *message, bool more);

uint64_t outbound_count(const struct outbound *outbound);
/* Of these, what nobody has received: not what PUBREL alone is owed for. */
uint64_t outbound_undelivered(const struct outbound *outbound);

#endif
