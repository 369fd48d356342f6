/* The smallest server that the compiled machines make: what a session does is their doing, and here
 * is only what their actions mean. In memory, with a disk that answers late; connections are lost.
 *
 * Written for main.c alone. One thread; every choice comes of the seed. */
#ifndef SPEC_AGREE_SERVER_H
#define SPEC_AGREE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "conformance/wire/packet.h"

/* What passes between a client and the server. */
struct note {
    enum packet_type type;
    uint16_t packet_id;
    uint8_t qos, topic, filter, options; /* numbers of model_topics and model_filters */
    bool dup, retain;
    unsigned message;
};

struct server_connect {
    enum version version;
    bool clean_start, stored;
    uint16_t receive_maximum;
};

void server_reset(uint64_t seed);
/* Returns Session Present. */
bool server_connect(unsigned client, const struct server_connect *connect);
/* The connection is over, all that was sent has been taken in. */
void server_close(unsigned client);
void server_take(unsigned client, const struct note *note);
/* What is next for the client; false: nothing now. */
bool server_give(unsigned client, struct note *out);
/* The disk does the oldest thing that it was asked for; false: nothing was asked. */
bool server_disk(void);
/* A number below `limit`, of the seed. */
unsigned server_draw(unsigned limit);

/* Over all that was played: steps of machines, and how many rows were taken of how many. */
uint64_t server_steps(void);
unsigned server_rows(unsigned *out_all);

#endif
