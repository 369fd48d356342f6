/* What waits for the disk, on one worker: a FIFO of (log sequence number, what then).
 *
 * LSNs of a worker's batches only rise, so one queue for all of its sessions keeps the order of
 * every connection's acknowledgements [MQTT-4.6.0-2] and costs one comparison to look at. */
#ifndef BROKER_WAITING_H
#define BROKER_WAITING_H

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct session;
struct connection;

enum waiting_kind {
    WAITING_ACKNOWLEDGEMENT, /* send PUBACK, PUBREC or PUBCOMP (`packet_type`) */
    WAITING_INBOUND_STORED,  /* inbound QoS 2 STORED; `data` is its struct dispatch */
    WAITING_INBOUND_ERASED,  /* inbound QoS 2 ERASED */
    WAITING_OUTBOUND_STORED, /* outbound QoS 2 STORED */
    WAITING_BYTES,           /* send `data`, a struct waiting_bytes: SUBACK, UNSUBACK */
    WAITING_RESUMED,         /* connection RESUMED: CONNACK */
    WAITING_WILL,            /* a Will Message is forgotten; `data` is its struct dispatch */
};

struct waiting_bytes {
    uint32_t size;
    uint8_t bytes[];
};

struct waiting_entry {
    uint64_t lsn;
    struct session *session;
    uint64_t incarnation;
    void *data;                 /* owned */
    uint32_t connection_serial; /* packets go to this connection only; 0: to none */
    uint16_t packet_identifier;
    uint8_t kind;
    uint8_t packet_type;
    uint8_t reason_code;
};

struct waiting {
    struct waiting_entry *entries; /* ring */
    uint32_t capacity, head, count;
    uint64_t released;  /* entries, since the start */
    uint64_t releasing; /* the LSN whose commit is being acted on; 0: none */
    uint64_t retained;  /* what `released` is when the last one that retains has been carried out */
};

/* The LSN of the newest entry: what is appended behind it without a promise of its own waits for
 * that. */
static inline uint64_t waiting_last_lsn(const struct waiting *waiting)
{
    if (waiting->count == 0)
        return 0;
    return waiting->entries[(waiting->head + waiting->count - 1) & (waiting->capacity - 1)].lsn;
}

void waiting_push(struct worker *worker, const struct waiting_entry *entry);
/* Carries out everything that has become durable. */
void waiting_release(struct worker *worker);
/* Whether there is something to carry out now. */
bool waiting_is_due(const struct worker *worker);
void waiting_fini(struct worker *worker);

#endif
