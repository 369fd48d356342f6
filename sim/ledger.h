/* What the clients know: which messages were acknowledged to a publisher, which sessions they are
 * owed to, and what has arrived. Nothing of the broker's is looked at. Where the clients cannot
 * know (a packet was under way when the connection was lost) both outcomes are allowed; where they
 * can, one.
 *
 * The first thing that must not be ends the run: ledger_fail(). Times of the ledger are a count of
 * what happened, so that "before" is certain. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_CLIENTS = 8, LEDGER_MESSAGES = 1024, LEDGER_SUBSCRIPTIONS = 64 };
#define LEDGER_FOREVER UINT32_MAX
#define LEDGER_LONG_S 100000 /* longer than any run */

/* Says what is wrong, and ends the run. */
_Noreturn void ledger_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of the history. */
void ledger_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Messages ---- */

struct ledger_publish {
    unsigned publisher;
    const char *topic; /* borrowed for ever */
    unsigned qos;
    bool retain, empty; /* empty: removes the retained message */
    bool will;
    bool big;          /* larger than some clients take */
    uint32_t expiry_s; /* Message Expiry Interval; 0: none */
};

/* Returns its number, > 0. */
unsigned ledger_publish(const struct ledger_publish *publish);
void ledger_sent(unsigned message);
/* PUBACK or PUBREC; a refusal ends it. FOR_ALL: said to a client that would be told of a session
 * whose queue is full; TAKEN: to one of 3.1.1. */
enum ledger_answer { LEDGER_FOR_ALL, LEDGER_TAKEN, LEDGER_PARTLY, LEDGER_REFUSED };
void ledger_acknowledged(unsigned message, enum ledger_answer answer);
/* No queue holds more; 0: no limit. */
enum ledger_policy { LEDGER_DROP_NEWEST, LEDGER_DROP_OLDEST, LEDGER_REJECT };
void ledger_limit(unsigned messages, enum ledger_policy policy);
/* The broker's log says that something was dropped. */
void ledger_drop_said(void);
void ledger_abandoned(unsigned message);
/* The connection that had this will is over: with a DISCONNECT that the broker has read, or without
 * one. `certain`: the will must be published. */
void ledger_will_cancelled(unsigned message);
void ledger_will_due(unsigned message, bool certain);

/* ---- Sessions ---- */

/* CONNECT is sent. The session before it is over, as far as the client is concerned, if `clean`.
 * `small`: it takes nothing that is big. */
void ledger_connect(unsigned client, bool clean, uint32_t expiry_s, bool small);
/* CONNACK with Session Present. Returns whether the client's state goes on: not where the client
 * cannot know which of two sessions it is. */
bool ledger_connected(unsigned client, bool present, bool clean, uint32_t expiry_s);
/* The connection is over for the client, and at `noticed_us` at the latest for the broker. */
void ledger_left(unsigned client, uint64_t noticed_us);
/* The broker is gone; it is there again. */
void ledger_broker_down(void);
void ledger_broker_up(void);
/* The broker stores nothing, and has ended: its sessions have, too. */
void ledger_all_lost(void);
/* What was done may take long until it is durable. */
void ledger_disk_fails(void);
/* From now on nobody can tell when a session ends. */
void ledger_clock_unsure(void);

/* SUBSCRIBE sent; SUBACK; UNSUBSCRIBE sent; UNSUBACK. `subscribe` returns a number, `unsubscribe`
 * when that was: a subscription that was asked for behind it is not ended by its UNSUBACK. */
unsigned ledger_subscribe(unsigned client, const char *filter, unsigned qos);
void ledger_subscribed(unsigned client, unsigned subscription, bool refused);
uint64_t ledger_unsubscribe(unsigned client, const char *filter);
void ledger_unsubscribed(unsigned client, const char *filter, uint64_t asked);

struct ledger_delivery {
    unsigned message;
    const char *topic;
    unsigned qos;
    bool dup, retain;
    bool v5, has_expiry;
    uint32_t expiry_s;
};

/* Once for each PUBLISH; `again`: at QoS 2, of an exchange that the client is still in. */
void ledger_delivered(unsigned client, const struct ledger_delivery *delivery, bool again);
/* The client has sent a PUBREC with an error: it may come again. */
void ledger_client_refused(unsigned client, unsigned message, bool retain);

/* ---- The end ---- */

/* Something is still on its way. */
bool ledger_complete(void);
/* Everything owed must have arrived. */
void ledger_finish(void);
/* Retained messages as a new subscriber of "#" was given them. */
void ledger_retained(unsigned client);
unsigned ledger_messages(void);

#endif
