/* Message Expiry Intervals: what a PUBLISH says of its own, and what must not come any more.
 *
 * Clients know of the time that a message has waited at the broker only bounds: it came there
 * between its PUBLISH and the answer, and left it between what was done to get it (CONNECT;
 * SUBSCRIBE, where it is a retained one) and now. Seconds are rounded by a way of the broker's, and
 * its clock counts whole milliseconds: one may be missing between two readings, and two more behind
 * each boot of the machine, whose clock goes on from what two others said. */
#include "sim/ledger_book.h"
#include "sim/task.h"

enum { ROUNDED_US = 1000000, COUNTED_US = 1000, BOOT_US = 2000 };

/* By so much may the broker's account of a wait be short. */
static uint64_t short_us(void)
{
    return ROUNDED_US + COUNTED_US + ledger.crashes * BOOT_US;
}

/* Not earlier did the broker send it. */
static uint64_t earliest_us(const struct session *session, const struct ledger_delivery *delivery)
{
    uint64_t asked_us = UINT64_MAX;
    for (unsigned i = 0; i < session->subscription_count && delivery->retain; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (matches(subscription->filter, delivery->topic) && subscription->asked_us < asked_us)
            asked_us = subscription->asked_us;
    }
    if (asked_us == UINT64_MAX || asked_us < session->asked_us)
        asked_us = session->asked_us;
    return asked_us;
}

void expiry_check(unsigned client, const struct ledger_delivery *delivery, bool first)
{
    const struct session *session = &ledger.sessions[client];
    const struct message *message = message_of(delivery->message);
    uint64_t interval_us = (uint64_t)message->is.expiry_s * 1000000, now_us = task_now_us();
    if (delivery->has_expiry != (delivery->v5 && message->is.expiry_s > 0))
        ledger_fail("c%u: m%u comes %s Message Expiry Interval [MQTT-3.3.2-6]", client,
                    delivery->message, delivery->has_expiry ? "with a" : "without its");
    if (message->is.expiry_s == 0)
        return;
    uint64_t left_us = (uint64_t)delivery->expiry_s * 1000000;
    uint64_t waited_most_us = now_us - message->sent_us + ROUNDED_US;
    if (delivery->has_expiry &&
        (delivery->expiry_s > message->is.expiry_s || left_us + waited_most_us < interval_us))
        ledger_fail("c%u: m%u comes with Message Expiry Interval %u of %u, and waited %.3f s at "
                    "most [MQTT-3.3.2-6]",
                    client, delivery->message, delivery->expiry_s, message->is.expiry_s,
                    (double)(now_us - message->sent_us) / 1e6);
    uint64_t from_us = earliest_us(session, delivery);
    if (message->acknowledged == 0 || from_us <= message->acknowledged_us + short_us() ||
        ledger.clock_unsure)
        return;
    uint64_t waited_us = from_us - message->acknowledged_us - short_us();
    if (first && waited_us > interval_us)
        ledger_fail("c%u: m%u comes after its Message Expiry Interval of %u s [MQTT-3.3.2-5]",
                    client, delivery->message, message->is.expiry_s);
    if (delivery->has_expiry && waited_us < interval_us && left_us + waited_us > interval_us)
        ledger_fail("c%u: m%u comes with Message Expiry Interval %u of %u, and waited %.3f s at "
                    "least [MQTT-3.3.2-6]",
                    client, delivery->message, delivery->expiry_s, message->is.expiry_s,
                    (double)waited_us / 1e6);
}
