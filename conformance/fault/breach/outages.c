/* Faults that show when the server is back from an outage. Most are another fault, confined to the
 * first connection that a session makes afterwards. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

/* `link->after_outage` is set by the proxy. */

static bool from_before(const struct passing *passing)
{
    return passing->origin && passing->origin->at_ms <= proxy_outage_ms();
}

#define AT_OUTAGE(name, other)                                                                     \
    static void name##_client(struct link *link, struct passing *passing)                          \
    {                                                                                              \
        bool notes_only = fault_##other.server || fault_##other.after_server;                      \
        if (fault_##other.client && (link->after_outage || notes_only))                            \
            fault_##other.client(link, passing);                                                   \
    }                                                                                              \
    static void name##_server(struct link *link, struct passing *passing)                          \
    {                                                                                              \
        if (fault_##other.server && link->after_outage)                                            \
            fault_##other.server(link, passing);                                                   \
    }                                                                                              \
    static void name##_after_server(struct link *link, const struct passing *passing)              \
    {                                                                                              \
        if (fault_##other.after_server && link->after_outage)                                      \
            fault_##other.after_server(link, passing);                                             \
    }                                                                                              \
    FAULT_HOOKS(name, .client = name##_client, .server = name##_server,                            \
                .after_server = name##_after_server)

AT_OUTAGE(forgets_sessions_at_outage, forgets_session)
AT_OUTAGE(forgets_subscriptions_at_outage, forgets_subscriptions)
AT_OUTAGE(forgets_pubrel_at_outage, publish_instead_of_pubrel)
AT_OUTAGE(clears_dup_at_outage, clears_dup)
AT_OUTAGE(reorders_at_outage, reorders)
AT_OUTAGE(restarts_expiry_at_outage, expiry_not_counted_down)
AT_OUTAGE(forgets_qos_2_at_outage, forgets_qos_2_at_reconnect)
AT_OUTAGE(resends_acknowledged_at_outage, resends_acknowledged)

static void note_pubrec(struct link *link, struct passing *passing)
{
    fault_forgets_pubrel.client(link, passing);
}

static void lose_exchanges(struct link *link, struct passing *passing)
{
    if (!link->after_outage)
        return;
    fault_forgets_unacknowledged.server(link, passing);
    fault_forgets_pubrel.server(link, passing);
}

FAULT_HOOKS(forgets_unacknowledged_at_outage, .client = note_pubrec, .server = lose_exchanges)

static void lose_queued(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->packet.retain && from_before(passing) &&
        !passing->origin->will)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(forgets_messages_at_outage, .server = lose_queued)

static void lose_retained(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.retain && from_before(passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(forgets_retained_at_outage, .server = lose_retained)

static void lose_wills(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && from_before(passing) && passing->origin->will)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(forgets_will_at_outage, .server = lose_wills)
