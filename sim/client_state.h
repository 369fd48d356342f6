/* What the two parts of a client share: client.c sends, client_receive.c takes what comes. */
#ifndef SIM_CLIENT_STATE_H
#define SIM_CLIENT_STATE_H

#include "conformance/wire/packet.h"
#include "sim/client.h"
#include "sim/ledger.h"
#include "sim/net.h"

enum {
    EXCHANGES = 256,
    INPUT = 128 * 1024,
    HALF_OPEN_US = 500000,
    ALIASES = 3,
    UNSPECIFIED_ERROR = 0x80,
    QUOTA_EXCEEDED = 0x97
};

enum link { LINK_NONE, LINK_CONNECTING, LINK_UP, LINK_LEAVING };

/* A message on its way to the broker. */
struct outgoing {
    unsigned message; /* 0: unused */
    uint16_t id;      /* 0: not sent yet */
    bool released;    /* PUBREC has come */
    bool sent_here;   /* on this connection */
    struct ledger_publish is;
};

/* And from it. */
struct incoming {
    bool used;
    uint16_t id;
    unsigned message, qos;
    bool counts; /* against Receive Maximum: since its PUBLISH on this connection */
    bool retain;
};

struct asking {  /* SUBSCRIBE or UNSUBSCRIBE */
    uint16_t id; /* 0: unused */
    const char *filter;
    bool unsubscribe;
    unsigned subscription; /* the ledger's number of it */
    uint64_t asked;        /* UNSUBSCRIBE: when, by the ledger */
};

struct answer {
    enum packet_type type;
    uint16_t id;
    uint8_t reason_code;
};

struct client {
    unsigned number;
    enum version version;
    enum link link;
    struct net_connection *net;
    struct client_connect how;
    bool clean_first; /* a CONNECT with Clean Start was not answered: state is discarded */
    unsigned will;    /* message; 0: none */
    uint8_t input[INPUT];
    size_t input_size;
    struct buffer output;
    size_t output_sent;
    struct outgoing outgoing[EXCHANGES];
    unsigned outgoing_count;   /* in the order of publishing */
    uint16_t order[EXCHANGES]; /* identifiers whose first answer is awaited, in order */
    unsigned order_count;
    struct incoming incoming[EXCHANGES];
    struct asking asking[16];
    struct answer answers[EXCHANGES];
    unsigned answer_count;
    unsigned broker_receive_maximum, broker_aliases;
    /* By alias, of this connection: as this client has said, and as the broker has. */
    const char *aliases[ALIASES + 1];
    char broker_topics[ALIASES + 1][32];
    uint64_t hold_until_us, ping_at_us, leaving_until_us;
    uint64_t packets;
    uint32_t took; /* enum client_got: a bit for each type of packet */
    const struct client_customs *customs;
    bool excused; /* the broker may close this connection */
};

/* ---- client.c ---- */

void client_send_packet(struct client *client, const struct packet *packet);
void client_resend_all(struct client *client);
struct outgoing *client_outgoing(struct client *client, uint16_t id);
void client_outgoing_remove(struct client *client, struct outgoing *outgoing);
void client_answer(struct client *client, enum packet_type type, uint16_t id, uint8_t reason_code);
void client_forget_state(struct client *client);
void client_broker_closed(struct client *client, bool reset);

/* ---- client_receive.c ---- */

/* Takes all that has come. */
void client_receive(struct client *client);

#endif
