/* Packets kept for later, and sets of Packet Identifiers. */
#ifndef CONFORMANCE_FAULT_KEPT_H
#define CONFORMANCE_FAULT_KEPT_H

#include "conformance/wire/packet.h"

/* The bytes of one packet. */
struct kept {
    struct kept *next;
    bool from_server;
    uint16_t packet_id;
    size_t size;
    uint8_t bytes[];
};

struct kept *kept_new(const void *data, size_t size, bool from_server);

/* First in, first out. Zeroed is empty. */
struct queue {
    struct kept *first, *last;
    unsigned count;
};

void queue_push(struct queue *queue, struct kept *kept); /* takes */
void queue_push_front(struct queue *queue, struct kept *kept);
struct kept *queue_pop(struct queue *queue); /* the caller's to free; NULL: empty */
void queue_clear(struct queue *queue);

/* Zeroed is empty. */
struct id_set {
    uint16_t *ids;
    unsigned count, capacity;
};

void id_set_add(struct id_set *set, uint16_t id); /* once */
bool id_set_has(const struct id_set *set, uint16_t id);
bool id_set_remove(struct id_set *set, uint16_t id); /* whether it was there */
void id_set_clear(struct id_set *set);

#endif
