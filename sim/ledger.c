#include "sim/ledger_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim/history.h"
#include "sim/task.h"

enum {
    SLACK_US = 3000000,        /* a busy machine, a slow disk */
    WILL_DURABLE_US = 8000000, /* a failing disk */
    NOTICE_DURABLE_US = 2000000,
};

struct ledger ledger;

/* What all sessions of a group's members were given of a message. */
static uint8_t group_got[LEDGER_MESSAGES];

static uint64_t tick(void)
{
    return ++ledger.now;
}

struct message *message_of(unsigned number)
{
    CHECK(number > 0 && number <= ledger.count);
    return &ledger.messages[number];
}

unsigned ledger_messages(void)
{
    return ledger.count;
}

/* ---- Topic Filters: 5.0 section 4.7 ---- */

bool matches(const char *filter, const char *topic)
{
    for (;;) {
        if (strcmp(filter, "#") == 0)
            return true;
        size_t filter_size = strcspn(filter, "/"), topic_size = strcspn(topic, "/");
        bool any = filter_size == 1 && filter[0] == '+';
        if (!any && (filter_size != topic_size || memcmp(filter, topic, topic_size) != 0))
            return false;
        filter += filter_size;
        topic += topic_size;
        if (*filter == '\0' && *topic == '\0')
            return true;
        if (*filter == '\0' || *topic == '\0')
            return strcmp(filter, "/#") == 0;
        filter++;
        topic++;
    }
}

/* ---- Messages ---- */

unsigned ledger_publish(const struct ledger_publish *publish)
{
    CHECK(ledger.count + 1 < LEDGER_MESSAGES);
    unsigned number = ++ledger.count;
    ledger.messages[number] = (struct message){.is = *publish};
    return number;
}

void ledger_sent(unsigned number)
{
    struct message *message = message_of(number);
    if (message->is.retain)
        retained_sent(message->is.topic);
    if (message->acknowledged == 0)
        message->lost = false;
    message->last_sent_us = task_now_us();
    if (message->sends++ == 0) {
        message->sent = tick();
        message->sent_us = task_now_us();
        message->crashes = ledger.crashes;
    }
}

void ledger_acknowledged(unsigned number, enum ledger_answer answer)
{
    struct message *message = message_of(number);
    message->answer = answer;
    for (unsigned client = 0; answer == LEDGER_REFUSED && client < LEDGER_CLIENTS; client++) {
        if (ledger.sessions[client].got[number].live > 0 && message->sends == 1)
            ledger_fail("m%u is refused, and has come to c%u", number, client);
    }
    if (answer == LEDGER_REFUSED)
        message->refused = true;
    else if (message->acknowledged == 0)
        message->acknowledged = tick();
    message->acknowledged_us = task_now_us();
}

void ledger_abandoned(unsigned number)
{
    message_of(number)->abandoned = true;
}

void ledger_will_cancelled(unsigned number)
{
    struct message *message = message_of(number);
    if (message->due == 0) {
        message->cancelled = true;
        message->cancelled_us = task_now_us();
    }
}

void ledger_will_due(unsigned number, bool certain)
{
    struct message *message = message_of(number);
    if (message->due == 0)
        message->due = tick();
    message->due_for_certain = certain;
}

/* ---- Sessions ---- */

static void session_begin(unsigned client, uint32_t expiry_s)
{
    ledger.ended[client] = tick();
    ledger.sessions[client] = (struct session){
        .exists = true,
        .expiry_least_s = expiry_s,
        .expiry_most_s = expiry_s,
        .begun = ledger.now,
        .small = ledger.small[client],
    };
}

static uint64_t end_us(uint64_t from_us, uint32_t expiry_s)
{
    if (expiry_s == LEDGER_FOREVER || from_us == UINT64_MAX)
        return UINT64_MAX;
    return from_us + (uint64_t)expiry_s * 1000000;
}

/* Whether it cannot have ended. */
static bool session_must_be(const struct session *session)
{
    if (!session->certain)
        return false;
    if (session->connected)
        return session->expiry_least_s > 0;
    return end_us(session->left_us, session->expiry_least_s) > task_now_us() + 1000000;
}

void ledger_connect(unsigned client, bool clean, uint32_t expiry_s, bool small)
{
    struct session *session = &ledger.sessions[client];
    tick();
    ledger.small[client] = small;
    ledger.asked_in_life[client]++;
    session->small |= small;
    session->resent = 0;
    session->connected_at = ledger.now;
    session->asked_us = task_now_us();
    if (clean || !session->exists) {
        session_begin(client, expiry_s);
        session->asked_us = task_now_us();
        session->connected_at = ledger.now;
        return;
    }
    if (session->asking && session->may_end)
        session->in_doubt = true;
    session->asking = true;
    session->may_end = !session_must_be(session);
    if (expiry_s < session->expiry_least_s)
        session->expiry_least_s = expiry_s;
    if (expiry_s > session->expiry_most_s)
        session->expiry_most_s = expiry_s;
}

static bool session_must_not_be(const struct session *session)
{
    if (!session->certain)
        return false;
    if (session->connected || ledger.clock_unsure)
        return false;
    /* Where it is not sure that this is on the disk, it counts as disconnected at the start. */
    if (session->noted_us != 0) {
        uint64_t end = end_us(session->noted_us, session->expiry_most_s);
        return end != UINT64_MAX && end + SLACK_US < session->asked_us;
    }
    uint64_t noticed_us = session->noticed_us;
    if (ledger.up_us > session->left_us &&
        (noticed_us == UINT64_MAX || noticed_us < ledger.up_us + SLACK_US))
        noticed_us = ledger.up_us + SLACK_US;
    uint64_t last_us = end_us(noticed_us, session->expiry_most_s);
    /* A disk that fails may keep the answer to a CONNECT back for long. */
    return last_us != UINT64_MAX && last_us + SLACK_US < session->asked_us;
}

bool ledger_connected(unsigned client, bool present, bool clean, uint32_t expiry_s)
{
    struct session *session = &ledger.sessions[client];
    tick();
    if (present && ledger.nothing_kept && ledger.asked_in_life[client] == 1)
        ledger_fail("c%u: its session is there, and nothing is stored", client);
    if (present && clean)
        ledger_fail("c%u: Clean Start, and Session Present 1 [MQTT-3.2.2-2]", client);
    if (present && session_must_not_be(session))
        ledger_fail("c%u: its session has outlived its Session Expiry Interval", client);
    if (!present && !clean && session_must_be(session))
        ledger_fail("c%u: its session is gone before its expiry", client);
    if (present && session->in_doubt) { /* nothing is certain of it */
        for (unsigned i = 0; i < session->subscription_count; i++)
            session->subscriptions[i].granted = 0;
    }
    bool goes_on = present && !session->in_doubt;
    session->asking = session->in_doubt = false;
    uint64_t asked_us = session->asked_us;
    if (!present)
        session_begin(client, expiry_s);
    session->certain = session->connected = true;
    session->noted_us = 0;
    if (asked_us < ledger.down_us) { /* the broker that answered is gone already */
        session->connected = false;
        session->left_us = session->noticed_us = ledger.down_us;
        session->exists = session->certain = !ledger.nothing_kept;
    }
    session->expiry_least_s = session->expiry_most_s = expiry_s;
    return goes_on;
}

void ledger_left(unsigned client, uint64_t noticed_us)
{
    struct session *session = &ledger.sessions[client];
    tick();
    session->noted_us = 0;
    if (session->connected) {
        session->left_us = task_now_us();
        session->noticed_us = noticed_us;
    } else if (session->noticed_us < noticed_us) { /* a CONNECT without an answer */
        session->noticed_us = noticed_us;
    }
    session->connected = false;
}

/* At the end of a life: whether the broker had time in it to put on the disk that the Client is
 * gone. It finds out at its start of those who went before. */
static void note_absence(struct session *session)
{
    uint64_t from_us = session->noticed_us, now_us = task_now_us();
    if (session->connected || session->asking || session->noted_us != 0 || from_us == UINT64_MAX)
        return;
    if (from_us < ledger.up_us)
        from_us = ledger.up_us;
    if (from_us + (ledger.troubled ? WILL_DURABLE_US : NOTICE_DURABLE_US) < now_us)
        session->noted_us = from_us;
}

void ledger_broker_down(void)
{
    tick();
    ledger.crashes++;
    for (unsigned i = 0; ledger.up_us > ledger.down_us && i < LEDGER_CLIENTS; i++)
        note_absence(&ledger.sessions[i]);
    ledger.down_us = task_now_us();
    /* A DISCONNECT has no answer, so nothing says that the end of its will is durable. */
    for (unsigned i = 1; i <= ledger.count; i++) {
        if (ledger.messages[i].cancelled_us + WILL_DURABLE_US > task_now_us())
            ledger.messages[i].cancelled = false;
    }
}

void ledger_broker_up(void)
{
    ledger.up_us = task_now_us();
}

void ledger_all_lost(void)
{
    ledger.nothing_kept = true;
    for (unsigned i = 1; i <= ledger.count; i++)
        ledger.messages[i].lost |= ledger.messages[i].sends > 0;
    for (unsigned client = 0; client < LEDGER_CLIENTS; client++) {
        struct session *session = &ledger.sessions[client];
        if (session->exists)
            ledger.ended[client] = tick();
        session->exists = session->certain = session->connected = session->asking = false;
        session->in_doubt = false;
        ledger.asked_in_life[client] = 0;
    }
}

void ledger_disk_fails(void)
{
    ledger.troubled = true;
}

void ledger_clock_unsure(void)
{
    ledger.clock_unsure = true;
}

/* ---- Subscriptions ---- */

static struct subscription *current(struct session *session, const char *whole)
{
    for (unsigned i = session->subscription_count; i-- > 0;) {
        struct subscription *subscription = &session->subscriptions[i];
        if (strcmp(subscription->whole, whole) == 0)
            return subscription;
    }
    return NULL;
}

unsigned ledger_subscribe(unsigned client, const char *filter, unsigned qos)
{
    struct session *session = &ledger.sessions[client];
    struct subscription *found = current(session, filter);
    uint64_t now = tick();
    if (found != NULL && found->given_up == 0) {
        found->qos_least = qos < found->qos_least ? qos : found->qos_least;
        found->qos_most = qos > found->qos_most ? qos : found->qos_most;
        found->asked_times++;
        return (unsigned)(found - session->subscriptions);
    }
    CHECK(session->subscription_count < LEDGER_SUBSCRIPTIONS);
    struct subscription *made = &session->subscriptions[session->subscription_count++];
    *made = (struct subscription){.whole = filter,
                                  .filter = filter,
                                  .qos_least = qos,
                                  .qos_most = qos,
                                  .asked = now,
                                  .asked_us = task_now_us(),
                                  .asked_times = 1};
    if (strncmp(filter, "$share/", 7) == 0) {
        made->shared = true;
        made->filter = strchr(filter + 7, '/') + 1;
    }
    retained_owe(client, session->subscription_count - 1);
    return session->subscription_count - 1;
}

void ledger_subscribed(unsigned client, unsigned number, bool refused)
{
    struct subscription *subscription = &ledger.sessions[client].subscriptions[number];
    if (!refused && subscription->granted == 0)
        subscription->granted = tick();
}

uint64_t ledger_unsubscribe(unsigned client, const char *filter)
{
    struct session *session = &ledger.sessions[client];
    uint64_t now = tick();
    for (unsigned i = 0; i < session->subscription_count; i++) {
        struct subscription *subscription = &session->subscriptions[i];
        if (strcmp(subscription->whole, filter) == 0 && subscription->given_up == 0)
            subscription->given_up = now;
    }
    return now;
}

void ledger_unsubscribed(unsigned client, const char *filter, uint64_t asked)
{
    struct session *session = &ledger.sessions[client];
    uint64_t now = tick();
    for (unsigned i = 0; i < session->subscription_count; i++) {
        struct subscription *subscription = &session->subscriptions[i];
        if (strcmp(subscription->whole, filter) == 0 && subscription->given_up != 0 &&
            subscription->given_up <= asked && subscription->ended == 0)
            subscription->ended = now;
    }
}

/* ---- Deliveries ---- */

bool may_expire(const struct message *message)
{
    return message->is.expiry_s > 0 && message->is.expiry_s < LEDGER_LONG_S;
}

void ledger_limit(unsigned messages, enum ledger_policy policy)
{
    ledger.limit = messages;
    ledger.policy = policy;
}

void ledger_drop_said(void)
{
    ledger.drops_said++;
}

bool is_too_big(const struct session *session, const struct message *message)
{
    return session->small && message->is.big;
}

/* Whether the subscription may have stood at some time when the message was routed. */
static bool may_match(const struct subscription *subscription, const struct message *message)
{
    if (!matches(subscription->filter, message->is.topic))
        return false;
    if (message->sent == 0 || (subscription->ended != 0 && subscription->ended < message->sent))
        return false;
    if (subscription->shared)
        return true; /* another member had it, and has left (rule 23) */
    return message->is.will || message->acknowledged == 0 ||
           subscription->asked < message->acknowledged;
}

/* As many others were the session's to get. */
bool may_have_been_full(const struct session *session, unsigned number)
{
    if (ledger.limit == 0 || ledger.drops_said == 0)
        return false;
    unsigned others = 0;
    for (unsigned i = 1; i <= ledger.count; i++) {
        bool matches_some = false;
        for (unsigned n = 0; n < session->subscription_count; n++)
            matches_some |= may_match(&session->subscriptions[n], &ledger.messages[i]);
        others += i != number && matches_some && ledger.messages[i].is.qos > 0;
    }
    for (unsigned n = 0; n < session->subscription_count; n++)
        others += session->subscriptions[n].asked_times * 4; /* retained ones */
    return others >= ledger.limit;
}

/* Whoever was told that all sessions have it was told the truth. */
bool may_be_dropped(const struct session *session, unsigned number)
{
    const struct message *message = message_of(number);
    if (!message->is.will && ledger.policy == LEDGER_REJECT)
        return false;
    if (!message->is.will && ledger.policy == LEDGER_DROP_NEWEST &&
        message->answer == LEDGER_FOR_ALL && message->sends == 1)
        return false;
    return may_have_been_full(session, number);
}

/* Whether it stood all the time when the message may have been routed. */
static bool must_match(const struct subscription *subscription, const struct message *message)
{
    if (subscription->granted == 0 || !matches(subscription->filter, message->is.topic))
        return false;
    if (message->is.will)
        return message->due_for_certain && !message->lost &&
               subscription->granted < message->sent && subscription->given_up == 0;
    if (message->acknowledged == 0 || message->refused || message->is.empty ||
        may_expire(message) || message->lost)
        return false; /* one without payload has no number to be known by */
    return subscription->granted < message->sent &&
           (subscription->given_up == 0 || subscription->given_up > message->acknowledged);
}

/* Its PUBREC with 0x97 may have been lost with the connection: what its publisher sends again is
 * new to the broker then, and behind what was taken meanwhile. */
static bool may_have_been_refused(const struct message *message)
{
    return message->sends > 1 &&
           (ledger.troubled || (ledger.limit > 0 && ledger.policy == LEDGER_REJECT));
}

/* What arrives for the first time comes in the order of its publisher. One of QoS 1 that the
 * publisher has sent again is routed again, to whoever has subscribed or connected meanwhile. What
 * was once left out as too large may come again behind others: a crash forgets that. */
static void check_order(unsigned client, const struct ledger_delivery *delivery)
{
    const struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    if (message->is.will || (message->is.qos == 1 && message->sends > 1) ||
        is_too_big(session, message) || may_have_been_refused(message))
        return;
    for (unsigned i = delivery->message + 1; i <= ledger.count; i++) {
        const struct message *later = &ledger.messages[i];
        if (session->got[i].live > 0 && later->is.publisher == message->is.publisher &&
            !later->is.will && later->is.qos == message->is.qos &&
            session->got[i].qos == delivery->qos && strcmp(later->is.topic, message->is.topic) == 0)
            ledger_fail("c%u: m%u comes behind m%u, which c%u published later to %s", client,
                        delivery->message, i, message->is.publisher, message->is.topic);
    }
}

static void check_live(unsigned client, const struct ledger_delivery *delivery)
{
    const struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    const struct got *got = &session->got[delivery->message];
    unsigned single = 0, shared = 0, qos = 0;
    if (message->refused && message->sends == 1)
        ledger_fail("c%u: m%u comes, and was refused", client, delivery->message);
    for (unsigned i = 0; i < session->subscription_count; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (!may_match(subscription, message))
            continue;
        if (subscription->shared)
            shared++;
        else
            single = 1;
        if (subscription->qos_most > qos)
            qos = subscription->qos_most;
    }
    if (single + shared == 0)
        ledger_fail("c%u: m%u comes to a session that is not owed it", client, delivery->message);
    if (delivery->qos > qos || delivery->qos > message->is.qos)
        ledger_fail("c%u: m%u comes at QoS %u", client, delivery->message, delivery->qos);
    if (message->is.will && message->cancelled)
        ledger_fail("c%u: will m%u comes though its client sent DISCONNECT", client,
                    delivery->message);
    unsigned copies = single + shared;
    if (got->live_once > copies)
        ledger_fail("c%u: m%u comes twice at QoS 2", client, delivery->message);
    if (got->live_zero > copies * (message->is.qos == 2 ? 1 : message->sends))
        ledger_fail("c%u: m%u comes twice at QoS 0", client, delivery->message);
    /* At QoS 1 nothing waits until "sent" is durable: a crash may forget it (docs/ordering.md). */
    if (got->live_new > copies * (message->is.qos == 2 ? 1 : message->sends) *
                            (1 + ledger.crashes - message->crashes))
        ledger_fail("c%u: m%u comes again, and DUP is 0 [MQTT-3.3.1-1]", client, delivery->message);
    if (shared == 0 && got->live == 1) {
        check_order(client, delivery);
        retained_check_order(client, delivery);
    }
    if (shared > 0 && single == 0 && shared == 1 && delivery->qos == 2 &&
        ++group_got[delivery->message] > 2)
        ledger_fail("m%u comes twice at QoS 2 to the members of a group", delivery->message);
}

/* What is sent again comes in the order in which it came first. */
static void check_resent(unsigned client, const struct ledger_delivery *delivery)
{
    struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    const struct got *got = &session->got[delivery->message];
    if (got->live != 1 || message->sends > 1 || got->qos != delivery->qos ||
        is_too_big(session, message))
        return; /* which of its copies is it? */
    const struct message *before = message_of(session->resent != 0 ? session->resent : 1);
    if (session->resent != 0 && got->last < session->connected_at &&
        before->is.publisher == message->is.publisher &&
        strcmp(before->is.topic, message->is.topic) == 0 &&
        session->got[session->resent].qos == got->qos &&
        session->got[session->resent].first > got->first)
        ledger_fail("c%u: m%u is sent again behind m%u, and was sent before it [MQTT-4.6.0-6]",
                    client, delivery->message, session->resent);
    session->resent = delivery->message;
}

/* What is sent again while a connection lasts (resend_interval), too: when a later one comes for
 * the second time since this one came, this one was due before it. */
static void check_turns(unsigned client, unsigned number)
{
    const struct session *session = &ledger.sessions[client];
    const struct got *got = &session->got[number];
    for (unsigned i = 0; i < session->subscription_count; i++) {
        if (session->subscriptions[i].shared)
            return; /* which of its copies is it? */
    }
    for (unsigned i = 1; i <= ledger.count && got->last > session->connected_at; i++) {
        const struct got *other = &session->got[i];
        if (other->first > got->first && other->last_but_one > got->last &&
            other->qos == got->qos &&
            strcmp(message_of(i)->is.topic, message_of(number)->is.topic) == 0 &&
            message_of(i)->sends == 1 && message_of(number)->sends == 1 &&
            !is_too_big(session, message_of(number)))
            ledger_fail("c%u: m%u is sent again behind m%u, which had its turn twice [3.1.1 "
                        "MQTT-4.6.0-6]",
                        client, number, i);
    }
}

static void note_arrival(struct session *session, unsigned number)
{
    struct got *got = &session->got[number];
    got->last_but_one = got->last;
    got->last = ledger.now;
}

void ledger_delivered(unsigned client, const struct ledger_delivery *delivery, bool again)
{
    struct session *session = &ledger.sessions[client];
    tick();
    if (delivery->message == 0 || delivery->message > ledger.count)
        ledger_fail("c%u: a message that nobody published", client);
    if (strcmp(message_of(delivery->message)->is.topic, delivery->topic) != 0)
        ledger_fail("c%u: m%u comes with topic %s", client, delivery->message, delivery->topic);
    if (delivery->dup && !delivery->retain) {
        check_resent(client, delivery);
        check_turns(client, delivery->message);
    }
    if (!delivery->retain)
        note_arrival(session, delivery->message);
    expiry_check(client, delivery, !again && !delivery->dup);
    if (again)
        return;
    struct got *got = &session->got[delivery->message];
    if (delivery->retain) {
        got->retained++;
        got->retained_once += delivery->qos == 2;
        retained_check(client, delivery);
        if (got->retained == 1) {
            got->retained_qos = (uint8_t)delivery->qos;
            retained_check_order(client, delivery);
        }
        return;
    }
    if (got->live == 0) {
        got->qos = (uint8_t)delivery->qos;
        got->first = ledger.now;
    }
    if (got->live < UINT8_MAX)
        got->live++;
    got->live_once += delivery->qos == 2;
    got->live_zero += delivery->qos == 0 && got->live_zero < UINT8_MAX;
    if (!delivery->dup && got->live_new < UINT8_MAX)
        got->live_new++;
    check_live(client, delivery);
}

void ledger_client_refused(unsigned client, unsigned number, bool retain)
{
    if (number == 0)
        return;
    struct got *got = &ledger.sessions[client].got[number];
    if (retain && got->retained_once > 0)
        got->retained_once--;
    if (!retain && got->live_once > 0)
        got->live_once--;
    if (!retain && group_got[number] > 0)
        group_got[number]--;
}

/* ---- The end ---- */

static bool is_owed(const struct session *session, const struct message *message)
{
    if (is_too_big(session, message))
        return false;
    for (unsigned i = 0; i < session->subscription_count; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (!subscription->shared && subscription->qos_least > 0 && message->is.qos > 0 &&
            must_match(subscription, message))
            return true;
    }
    return false;
}

/* The first that is owed and has not arrived: its session; LEDGER_CLIENTS: none. */
static unsigned missing(unsigned *out_message)
{
    for (unsigned i = 1; i <= ledger.count; i++) {
        for (unsigned client = 0; client < LEDGER_CLIENTS; client++) {
            const struct session *session = &ledger.sessions[client];
            if (session->certain && session->got[i].live == 0 &&
                is_owed(session, &ledger.messages[i]) && !may_be_dropped(session, i)) {
                *out_message = i;
                return client;
            }
        }
    }
    return LEDGER_CLIENTS;
}

/* Of a shared subscription: somebody has it, where no member has left meanwhile. */
static bool group_has(const struct message *message, unsigned number, const char *whole)
{
    bool owed = false;
    for (unsigned client = 0; client < LEDGER_CLIENTS; client++) {
        const struct session *session = &ledger.sessions[client];
        if (session->got[number].live > 0 || ledger.ended[client] > message->sent ||
            is_too_big(session, message) || may_be_dropped(session, number))
            return true;
        for (unsigned i = 0; i < session->subscription_count; i++) {
            const struct subscription *subscription = &session->subscriptions[i];
            if (strcmp(subscription->whole, whole) != 0)
                continue;
            if (subscription->given_up != 0 || subscription->qos_least == 0)
                return true;
            owed |= must_match(subscription, message);
        }
    }
    return !owed;
}

static unsigned missing_of_group(const char **out_group)
{
    for (unsigned client = 0; client < LEDGER_CLIENTS; client++) {
        const struct session *session = &ledger.sessions[client];
        for (unsigned i = 0; i < session->subscription_count; i++) {
            const struct subscription *subscription = &session->subscriptions[i];
            for (unsigned m = 1; subscription->shared && m <= ledger.count; m++) {
                const struct message *message = &ledger.messages[m];
                if (message->is.qos > 0 && must_match(subscription, message) &&
                    !group_has(message, m, subscription->whole)) {
                    *out_group = subscription->whole;
                    return m;
                }
            }
        }
    }
    return 0;
}

bool ledger_complete(void)
{
    unsigned message;
    const char *group;
    return missing(&message) == LEDGER_CLIENTS && missing_of_group(&group) == 0;
}

void ledger_finish(void)
{
    retained_check_owed();
    unsigned number;
    const char *group;
    unsigned client = missing(&number);
    if (client < LEDGER_CLIENTS)
        ledger_fail("c%u: m%u to %s%s is owed to it and never came", client, number,
                    message_of(number)->is.topic, message_of(number)->is.will ? ", a will," : "");
    number = missing_of_group(&group);
    if (number != 0)
        ledger_fail("m%u to %s is owed to %s and never came to a member", number,
                    message_of(number)->is.topic, group);
}

/* ---- Telling ---- */

void ledger_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    history_line("", format, arguments);
    va_end(arguments);
}

_Noreturn void ledger_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    history_fail(format, arguments);
}
