/* What the parts of the ledger share. */
#ifndef SIM_LEDGER_BOOK_H
#define SIM_LEDGER_BOOK_H

#include "sim/ledger.h"

struct message {
    struct ledger_publish is;
    uint64_t sent, acknowledged; /* when first; 0: not */
    uint64_t sent_us, acknowledged_us;
    uint64_t last_sent_us;
    unsigned crashes; /* of the broker, before it was sent */
    unsigned sends;
    bool refused, abandoned, lost;
    enum ledger_answer answer;
    bool cancelled; /* will */
    uint64_t cancelled_us;
    uint64_t due; /* will: its connection was over; 0: not */
    bool due_for_certain;
};

struct subscription {
    const char *filter; /* behind $share/name/ */
    const char *whole;
    unsigned qos_least, qos_most;
    uint64_t asked, granted, given_up, ended; /* SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK */
    uint64_t asked_us;                        /* when first */
    unsigned asked_times;
    bool shared;
};

struct got {
    uint8_t live, live_new;       /* all; those with DUP 0 */
    uint8_t live_once, live_zero; /* those at QoS 2, at QoS 0 */
    uint8_t retained, retained_once;
    uint8_t qos; /* as it came first; as it came first as a retained message */
    uint8_t retained_qos;
    uint64_t first, last, last_but_one; /* when, DUP or not */
};

struct session {
    bool exists;  /* a CONNECT was sent for it */
    bool certain; /* and answered */
    bool connected;
    bool asking;   /* a CONNECT was sent and not answered yet */
    bool small;    /* some of its connections take nothing big */
    bool may_end;  /* and then the session may have been over: it may have begun a new one */
    bool in_doubt; /* of two CONNECTs the first was never answered: which session is it? */
    uint32_t expiry_least_s, expiry_most_s;
    uint64_t asked_us;   /* when CONNECT was sent */
    uint64_t left_us;    /* not earlier did the broker take it for disconnected */
    uint64_t noticed_us; /* not later */
    uint64_t noted_us;   /* and has this on the disk, as the start of its expiry; 0: perhaps not */
    uint64_t begun;
    uint64_t connected_at; /* CONNECT was sent */
    unsigned resent;       /* the last message that came again on this connection; 0: none */
    struct subscription subscriptions[LEDGER_SUBSCRIPTIONS];
    unsigned subscription_count;
    struct got got[LEDGER_MESSAGES];
};

struct ledger {
    struct message messages[LEDGER_MESSAGES];
    unsigned count;
    struct session sessions[LEDGER_CLIENTS];
    uint64_t ended[LEDGER_CLIENTS]; /* when a session of this client last ended */
    uint64_t now;                   /* of the ledger */
    uint64_t up_us, down_us;        /* the broker's last start and end */
    bool clock_unsure, troubled, nothing_kept;
    unsigned limit, drops_said;
    enum ledger_policy policy;
    unsigned asked_in_life[LEDGER_CLIENTS]; /* CONNECTs since the broker's last end */
    bool small[LEDGER_CLIENTS];             /* this client's last connection */
    unsigned crashes;
};

extern struct ledger ledger;

struct message *message_of(unsigned number);
/* Topic Filters: 5.0 section 4.7. */
bool matches(const char *filter, const char *topic);
/* Whether it may vanish without having arrived. */
bool may_expire(const struct message *message);
/* Whether the session's queue may have been full, so that it does not get the message: as a
 * retained one; or live, of which its publisher may have been told. */
bool may_have_been_full(const struct session *session, unsigned number);
bool may_be_dropped(const struct session *session, unsigned number);
bool is_too_big(const struct session *session, const struct message *message);

/* ---- Message Expiry Intervals: ledger_expiry.c ---- */

/* `first`: it was never sent before, as far as the client knows. */
void expiry_check(unsigned client, const struct ledger_delivery *delivery, bool first);

/* ---- Retained messages: ledger_retained.c ---- */

/* A PUBLISH with RETAIN is sent; a SUBSCRIBE is. */
void retained_sent(const char *topic);
void retained_owe(unsigned client, unsigned subscription);
/* One has come. */
void retained_check(unsigned client, const struct ledger_delivery *delivery);
/* What has come for the first time, live or as a retained message. */
void retained_check_order(unsigned client, const struct ledger_delivery *delivery);
void retained_check_owed(void);

#endif
