/* Retained messages: which of them a subscription is owed, and which may come. */
#include <string.h>

#include "sim/ledger_book.h"

/* A retained message that a new subscription is owed: it was the one of its topic, for certain,
 * when SUBSCRIBE was sent, and nothing retained was sent to the topic until SUBACK. */
struct retained_owed {
    unsigned client, subscription, message;
    uint64_t begun; /* of the session */
    bool cancelled;
};

enum {
    RETAINED_OWED_MAX = 1024,
    ARRIVED_US = 5000000, /* what was sent has come to the broker by then, or never will */
};

static struct retained_owed retained_owed[RETAINED_OWED_MAX];
static unsigned retained_owed_count;

/* ---- Owed ---- */

void retained_sent(const char *topic)
{
    for (unsigned i = 0; i < retained_owed_count; i++) {
        struct retained_owed *owed = &retained_owed[i];
        const struct session *session = &ledger.sessions[owed->client];
        if (session->begun == owed->begun &&
            session->subscriptions[owed->subscription].granted == 0 &&
            strcmp(message_of(owed->message)->is.topic, topic) == 0)
            owed->cancelled = true;
    }
}

/* Whether `later` came to the broker behind `earlier`, as far as clients can tell. */
static bool is_behind(const struct message *later, const struct message *earlier)
{
    if (earlier->acknowledged != 0 && earlier->acknowledged < later->sent)
        return true;
    return later > earlier && later->is.publisher == earlier->is.publisher &&
           later->is.qos == earlier->is.qos && later->sends == 1 && earlier->sends == 1 &&
           !later->is.will && !earlier->is.will;
}

/* The one that the topic has for certain; 0: nobody can know, or there is none. */
static unsigned retained_for_certain(const char *topic)
{
    unsigned last = 0;
    /* One without an answer was last sent then. Sent again, it may come behind later ones. */
    uint64_t unsure_us = 0;
    for (unsigned i = 1; i <= ledger.count; i++) {
        const struct message *message = &ledger.messages[i];
        if (!message->is.retain || message->sends == 0 || strcmp(message->is.topic, topic) != 0 ||
            message->lost)
            continue;
        if (message->acknowledged == 0 && (message->is.qos == 0 || message->abandoned)) {
            if (message->last_sent_us > unsure_us)
                unsure_us = message->last_sent_us;
            continue;
        }
        if (message->acknowledged == 0 || message->refused)
            return 0;
        if (last != 0 && !is_behind(message, message_of(last)))
            return 0; /* both were under way at once */
        last = i;
    }
    if (last != 0 && unsure_us != 0 && message_of(last)->sent_us < unsure_us + ARRIVED_US)
        return 0;
    return last != 0 && (message_of(last)->is.empty || may_expire(message_of(last))) ? 0 : last;
}

void retained_owe(unsigned client, unsigned subscription)
{
    const struct session *session = &ledger.sessions[client];
    const struct subscription *made = &session->subscriptions[subscription];
    for (unsigned i = 1; i <= ledger.count; i++) {
        const char *topic = ledger.messages[i].is.topic;
        if (made->shared || !matches(made->filter, topic) || retained_for_certain(topic) != i ||
            retained_owed_count == RETAINED_OWED_MAX)
            continue;
        retained_owed[retained_owed_count++] =
            (struct retained_owed){client, subscription, i, session->begun, false};
    }
}

/* What is retained at the end came to all who are subscribed to it, live or as a retained message,
 * whatever was under way when they subscribed. */
static void check_either(unsigned client, const struct subscription *subscription)
{
    const struct session *session = &ledger.sessions[client];
    if (!session->certain || subscription->shared || subscription->granted == 0 ||
        subscription->given_up != 0 || subscription->qos_least == 0)
        return;
    for (unsigned i = 1; i <= ledger.count; i++) {
        const struct message *message = &ledger.messages[i];
        if (message->is.qos > 0 && matches(subscription->filter, message->is.topic) &&
            retained_for_certain(message->is.topic) == i && session->got[i].live == 0 &&
            session->got[i].retained == 0 && !is_too_big(session, message) &&
            !may_have_been_full(session, i))
            ledger_fail("c%u: m%u is retained, and came to its subscription of %s neither live nor "
                        "as a retained message",
                        client, i, subscription->whole);
    }
}

void retained_check_owed(void)
{
    for (unsigned client = 0; client < LEDGER_CLIENTS; client++) {
        for (unsigned i = 0; i < ledger.sessions[client].subscription_count; i++)
            check_either(client, &ledger.sessions[client].subscriptions[i]);
    }
    for (unsigned i = 0; i < retained_owed_count; i++) {
        const struct retained_owed *owed = &retained_owed[i];
        const struct session *session = &ledger.sessions[owed->client];
        const struct subscription *made = &session->subscriptions[owed->subscription];
        if (owed->cancelled || session->begun != owed->begun || made->granted == 0 ||
            made->given_up != 0 || made->qos_least == 0 ||
            is_too_big(session, message_of(owed->message)) ||
            may_have_been_full(session, owed->message))
            continue;
        if (session->got[owed->message].retained == 0 && session->got[owed->message].live == 0)
            ledger_fail("c%u: its subscription of %s did not bring retained m%u", owed->client,
                        made->whole, owed->message);
    }
}

/* ---- Coming ---- */

/* A later message of the topic had taken its place before that time, whatever was under way. */
static bool superseded(unsigned number, uint64_t before)
{
    const struct message *message = message_of(number);
    for (unsigned i = 1; i <= ledger.count; i++) {
        const struct message *other = &ledger.messages[i];
        if (i != number && other->is.retain && message->acknowledged != 0 &&
            strcmp(other->is.topic, message->is.topic) == 0 && other->acknowledged != 0 &&
            !other->refused && other->sent > message->acknowledged && other->acknowledged < before)
            return true;
    }
    return false;
}

void retained_check(unsigned client, const struct ledger_delivery *delivery)
{
    const struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    if (!message->is.retain || message->is.empty)
        ledger_fail("c%u: m%u comes with RETAIN 1 and was not published so", client,
                    delivery->message);
    unsigned asked = 0, outdated = 0;
    for (unsigned i = 0; i < session->subscription_count; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (subscription->shared || !matches(subscription->filter, message->is.topic))
            continue;
        asked += subscription->asked_times;
        if (subscription->asked_times == 1 && superseded(delivery->message, subscription->asked))
            outdated++;
    }
    if (asked == 0)
        ledger_fail("c%u: retained m%u comes without a subscription", client, delivery->message);
    if (outdated == asked)
        ledger_fail("c%u: retained m%u was replaced before the subscription", client,
                    delivery->message);
    if (session->got[delivery->message].retained_once > asked)
        ledger_fail("c%u: retained m%u comes more often than it was asked for", client,
                    delivery->message);
}

/* Whether this session has asked once for what the topic brings, and is in no group that it goes
 * to. */
static bool asked_once(const struct session *session, const char *topic)
{
    unsigned times = 0;
    for (unsigned i = 0; i < session->subscription_count; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (matches(subscription->filter, topic))
            times += subscription->shared ? 2 : subscription->asked_times;
    }
    return times == 1;
}

/* Who has asked once gets the retained message and all behind it, or the live ones alone
 * (rule 10); between QoS there is no order. */
void retained_check_order(unsigned client, const struct ledger_delivery *delivery)
{
    const struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    if (!message->is.retain || message->is.will || message->sends > 1 ||
        !asked_once(session, message->is.topic))
        return;
    for (unsigned i = 1; i <= ledger.count; i++) {
        const struct message *other = &ledger.messages[i];
        const struct got *got = &session->got[i];
        bool before = delivery->retain ? got->live > 0 : got->retained > 0;
        if (!before || !other->is.retain || other->is.will || other->sends > 1 ||
            strcmp(other->is.topic, message->is.topic) != 0)
            continue;
        if (other == message)
            ledger_fail("c%u: m%u comes as a retained message and as a live one", client, i);
        if (is_behind(other, message) &&
            delivery->qos == (delivery->retain ? got->qos : got->retained_qos))
            ledger_fail("c%u: m%u comes %s behind m%u, which took its place", client,
                        delivery->message, delivery->retain ? "as a retained message" : "live", i);
    }
}

/* ---- The end ---- */

void ledger_retained(unsigned client)
{
    const struct session *session = &ledger.sessions[client];
    for (unsigned i = 1; i <= ledger.count; i++) {
        const struct message *message = &ledger.messages[i];
        if (!message->is.retain || message->sends == 0)
            continue;
        /* Of its topic, those that nothing took the place of: one of them is the one. */
        bool sure = false, may_be_none = false, found = false, first = true;
        for (unsigned j = 1; j <= ledger.count; j++) {
            const struct message *other = &ledger.messages[j];
            if (!other->is.retain || other->sends == 0 ||
                strcmp(other->is.topic, message->is.topic) != 0)
                continue;
            first &= j >= i;
            bool old = other->lost || superseded(j, UINT64_MAX);
            if (session->got[j].retained > 0 && old)
                ledger_fail("m%u is retained at the end, though a later one took its place", j);
            found |= session->got[j].retained > 0;
            may_be_none |= !old && (other->is.empty || may_expire(other));
            sure |= !old && !other->is.empty && other->acknowledged != 0;
        }
        if (first && sure && !may_be_none && !found)
            ledger_fail("%s has no retained message at the end", message->is.topic);
    }
}
