/* A client of 5.0 or 3.1.1, honest to the letter: it keeps its session state over connections,
 * resends with DUP what was not answered, and holds the broker to the same. What it is to do comes
 * from the plan; what it learns goes to the ledger. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct ledger_publish;

struct client_connect {
    bool clean;
    uint32_t expiry_s; /* LEDGER_FOREVER: until it is ended; 3.1.1: 0 if clean, else for ever */
    uint16_t receive_maximum;
    uint16_t keep_alive_s;
    const char *will_topic; /* NULL: no will */
    unsigned will_qos;
    uint32_t will_delay_s;
    /* 5.0 alone: */
    uint32_t maximum_packet_size; /* 0: any; else what is big does not fit */
    uint16_t topic_alias_maximum;
    bool uses_aliases;
    bool refuses; /* now and then it answers a PUBLISH with an error */
};

enum client_leaving { CLIENT_CLOSES, CLIENT_RESETS, CLIENT_VANISHES };

/* What a client has to expect of the broker's settings. */
struct client_customs {
    bool resent;  /* to 3.1.1: what is not answered in time comes again on one connection */
    bool limited; /* queues may be full: 0x97 */
};

/* `customs` is borrowed for ever. */
struct client *client_new(unsigned number, bool v5, const struct client_customs *customs);

/* Whether it has something to do now; else `*next_us` is lowered to when. */
bool client_ready(struct client *client, uint64_t *next_us);
void client_step(struct client *client);

/* What the plan asks for. Where the client is in no state for it, nothing happens. */
void client_connect(struct client *client, const struct client_connect *how);
void client_disconnect(struct client *client);
void client_leave(struct client *client, enum client_leaving how);
/* Of the client's own, whatever `publish` says. 3.1.1 has no expiry. */
void client_publish(struct client *client, const struct ledger_publish *publish);
void client_subscribe(struct client *client, const char *filter, unsigned qos);
void client_unsubscribe(struct client *client, const char *filter);
/* Sends what waits for PUBREC again, as 3.1.1 allows on a connection that lives. */
void client_resend(struct client *client);
/* Acknowledges nothing until then. */
void client_hold(struct client *client, uint64_t until_us);

/* The broker is going away, or gone: closed connections are no surprise. */
void client_broker_down(struct client *client);
/* The broker may refuse, and close this connection: its disk fails. */
void client_excuse(struct client *client);

/* Connected, and nothing is left to be sent or answered. */
bool client_at_rest(const struct client *client);
bool client_connected(const struct client *client);
/* How often a packet came. */
uint64_t client_packets(const struct client *client);
/* What came since this was last asked. */
enum client_got {
    CLIENT_GOT_CONNACK = 1 << 2,
    CLIENT_GOT_PUBLISH = 1 << 3,
    CLIENT_GOT_PUBACK = 1 << 4,
    CLIENT_GOT_PUBREC = 1 << 5,
    CLIENT_GOT_PUBREL = 1 << 6,
    CLIENT_GOT_PUBCOMP = 1 << 7,
    CLIENT_GOT_SUBACK = 1 << 9,
    CLIENT_GOT_UNSUBACK = 1 << 11,
};
uint32_t client_got(struct client *client);
/* A word for a report. */
const char *client_state(const struct client *client);

#endif
