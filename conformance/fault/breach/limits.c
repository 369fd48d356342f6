/* Faults of a server that announces limits in CONNACK and does not keep them. The healthy server
 * behind has no such limit, so announcing it is all that is to be done. */
#include "conformance/fault/fault.h"

static void announce(struct link *link, struct passing *passing, enum property_id id,
                     uint32_t number)
{
    if (!is_5(link) || !is(passing, CONNACK) || passing->packet.reason_code)
        return;
    property_set(&passing->packet.properties, id, number);
    change(passing);
}

#define ANNOUNCES(name, id, number)                                                                \
    static void name##_(struct link *link, struct passing *passing)                                \
    {                                                                                              \
        announce(link, passing, id, number);                                                       \
    }

ANNOUNCES(announce_qos_0, MAXIMUM_QOS, 0)
ANNOUNCES(announce_no_retain, RETAIN_AVAILABLE, 0)
ANNOUNCES(announce_no_wildcard, WILDCARD_SUBSCRIPTION_AVAILABLE, 0)
ANNOUNCES(announce_no_shared, SHARED_SUBSCRIPTION_AVAILABLE, 0)
ANNOUNCES(announce_no_identifier, SUBSCRIPTION_IDENTIFIER_AVAILABLE, 0)
ANNOUNCES(announce_keep_alive, SERVER_KEEP_ALIVE, 1)

FAULT_HOOKS(ignores_own_maximum_qos, .server = announce_qos_0_)
FAULT_HOOKS(ignores_own_retain_available, .server = announce_no_retain_)
FAULT_HOOKS(ignores_own_wildcard_available, .server = announce_no_wildcard_)
FAULT_HOOKS(ignores_own_shared_available, .server = announce_no_shared_)
FAULT_HOOKS(ignores_own_identifier_available, .server = announce_no_identifier_)

static void forget_keep_alive(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, CONNECT))
        return;
    passing->packet.keep_alive_s = 0;
    change(passing);
}

FAULT_HOOKS(ignores_own_server_keep_alive, .client = forget_keep_alive,
            .server = announce_keep_alive_)

static void refuse_high_qos(struct link *link, struct passing *passing)
{
    struct packet *subscribe = &passing->packet;
    if (!is_5(link) || !is(passing, SUBSCRIBE))
        return;
    uint8_t *codes = proxy_scratch(subscribe->filter_count + 1);
    bool refused = false;
    for (unsigned i = 0; i < subscribe->filter_count; i++) {
        codes[i] = subscribe->filters[i].options & 0x03 ? 0x80 : 0x00;
        refused |= codes[i] != 0;
    }
    if (!refused)
        return;
    link_to_client(link, &(struct packet){.type = SUBACK,
                                          .packet_id = subscribe->packet_id,
                                          .reason_codes = {codes, subscribe->filter_count}});
    drop(passing);
}

FAULT_HOOKS(refuses_high_qos_subscription, .client = refuse_high_qos, .server = announce_qos_0_)
