/* Faults of retained messages. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"
#include "conformance/fault/topic.h"

#include <stdlib.h>

/* ---- What is stored ---- */

static bool retains(const struct passing *passing)
{
    return is(passing, PUBLISH) && passing->packet.retain;
}

static void set_retain(struct passing *passing, bool retain)
{
    passing->packet.retain = retain;
    change(passing);
}

static void clear_retain(struct link *link, struct passing *passing)
{
    if (retains(passing))
        set_retain(passing, false);
}

FAULT_HOOKS(clears_retain, .server = clear_retain)

static void clear_will_retain(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNECT) || !passing->packet.will_retain)
        return;
    passing->packet.will_retain = false;
    change(passing);
}

static void retain_nothing(struct link *link, struct passing *passing)
{
    clear_retain(link, passing);
    clear_will_retain(link, passing);
}

FAULT_HOOKS(never_retains, .client = retain_nothing)

static void retain_everything(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.payload.size)
        set_retain(passing, true);
}

FAULT_HOOKS(retains_everything, .client = retain_everything)

/* The proxy's memory.queue: the last retained PUBLISH of each topic, with aliases resolved. */

static struct kept *take_retained(struct link *link, struct text topic)
{
    struct queue *queue = &proxy_memory()->queue, others = {0};
    struct kept *found = NULL;
    for (struct kept *kept; (kept = queue_pop(queue));) {
        struct packet publish;
        if (!found && kept_read(kept, link, &publish) && text_equal(publish.topic, topic))
            found = kept;
        else
            queue_push(&others, kept);
    }
    *queue = others;
    return found;
}

static void note_retained(struct link *link, const struct passing *passing)
{
    free(take_retained(link, passing->topic));
    struct packet publish = {.type = PUBLISH,
                             .topic = passing->topic,
                             .payload = passing->packet.payload,
                             .retain = true};
    struct passing copy = {.packet = publish, .readable = true, .changed = true};
    queue_push(&proxy_memory()->queue, passing_keep(link, &copy));
}

static void keep_first(struct link *link, struct passing *passing)
{
    if (!retains(passing))
        return;
    struct kept *before = take_retained(link, passing->topic);
    if (before && passing->packet.payload.size) {
        queue_push(&proxy_memory()->queue, before);
        set_retain(passing, false);
        return;
    }
    free(before);
    if (passing->packet.payload.size)
        note_retained(link, passing);
}

FAULT_HOOKS(keeps_first_retained, .client = keep_first)

static void keep_at_empty(struct link *link, struct passing *passing)
{
    if (retains(passing) && !passing->packet.payload.size)
        set_retain(passing, false);
    if (is(passing, CONNECT) && !passing->packet.will_payload.size)
        clear_will_retain(link, passing);
}

FAULT_HOOKS(keeps_retained_after_empty, .client = keep_at_empty)

/* Sends those of the noted messages that match a new subscription of the link. */
static void send_noted(struct link *link)
{
    for (struct kept *kept = proxy_memory()->queue.first; kept; kept = kept->next) {
        struct packet publish;
        if (kept_read(kept, link, &publish) && session_match(link->session, publish.topic, NULL))
            inject_to_client(link, &publish);
    }
}

static void note_empty(struct link *link, struct passing *passing)
{
    if (!retains(passing))
        return;
    if (passing->packet.payload.size)
        free(take_retained(link, passing->topic));
    else
        note_retained(link, passing);
}

static void send_empty(struct link *link, const struct passing *passing)
{
    if (is(passing, SUBACK) && link->session)
        send_noted(link);
}

FAULT_HOOKS(retains_empty_message, .client = note_empty, .after_server = send_empty)

/* Notes what was hidden: a topic to which something was published without RETAIN. */
static void note_plain(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH))
        return;
    if (passing->packet.retain)
        free(take_retained(link, passing->topic));
    else
        note_retained(link, passing);
}

static void hide_removed(struct link *link, struct passing *passing)
{
    if (!retains(passing))
        return;
    struct kept *removed = take_retained(link, passing->topic);
    if (!removed)
        return;
    queue_push(&proxy_memory()->queue, removed);
    swallow_from_server(link, passing);
}

FAULT_HOOKS(removes_retained_at_plain_publish, .client = note_plain, .server = hide_removed)

/* The session's memory.queue: what it has retained. */
static void note_own_retained(struct link *link, struct passing *passing)
{
    if (retains(passing) && passing->packet.payload.size && link->session)
        queue_push(&link->session->memory.queue, passing_keep(link, passing));
}

static void delete_own_retained(struct link *link)
{
    if (!link->session || link->expiry_s)
        return;
    struct queue *queue = &link->session->memory.queue;
    for (struct kept *kept; (kept = queue_pop(queue)); free(kept)) {
        struct packet publish;
        if (kept_read(kept, link, &publish))
            proxy_publish(publish.topic, (struct text){0}, true);
    }
}

FAULT_HOOKS(deletes_retained_with_session, .client = note_own_retained,
            .client_closed = delete_own_retained)

/* ---- How it is delivered ---- */

static void retained_at_qos_0(struct link *link, struct passing *passing)
{
    if (!retains(passing) || !passing->packet.qos)
        return;
    struct packet copy = passing->packet;
    swallow_from_server(link, passing);
    copy.qos = 0;
    copy.dup = false;
    inject_to_client(link, &copy);
}

FAULT_HOOKS(retained_at_qos_0, .server = retained_at_qos_0)

static void remove_identifier(struct link *link, struct passing *passing)
{
    if (!retains(passing))
        return;
    property_remove(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    change(passing);
}

FAULT_HOOKS(retained_without_identifier, .server = remove_identifier)

static void set_retain_of_live(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH))
        set_retain(passing, true);
}

FAULT_HOOKS(sets_retain, .server = set_retain_of_live)

static void lose_retain_of_waiting(struct link *link, struct passing *passing)
{
    if (retains(passing) && published_offline(link, passing))
        set_retain(passing, false);
}

FAULT_HOOKS(loses_retain_as_published_offline, .server = lose_retain_of_waiting)

/* ---- Subscription Options ---- */

static void clear_options(struct link *link, struct passing *passing, uint8_t mask, uint8_t set)
{
    if (!is_5(link) || !is(passing, SUBSCRIBE))
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        uint8_t *options = &passing->packet.filters[i].options;
        *options = (uint8_t)((*options & ~mask) | set);
    }
    change(passing);
}

static void never_as_published(struct link *link, struct passing *passing)
{
    clear_options(link, passing, SUBSCRIBE_RETAIN_AS_PUBLISHED, 0);
}

FAULT_HOOKS(ignores_retain_as_published, .client = never_as_published)

static void always_as_published(struct link *link, struct passing *passing)
{
    clear_options(link, passing, SUBSCRIBE_RETAIN_AS_PUBLISHED, SUBSCRIBE_RETAIN_AS_PUBLISHED);
}

FAULT_HOOKS(retain_as_published_unasked, .client = always_as_published)

static void always_send(struct link *link, struct passing *passing)
{
    clear_options(link, passing, SUBSCRIBE_RETAIN_HANDLING(3), 0);
}

FAULT_HOOKS(sends_retained_always, .client = always_send)

static void hide_retained(struct link *link, struct passing *passing)
{
    if (retains(passing) && !published_offline(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(sends_retained_never, .server = hide_retained)

/* `memory.flag`: the last SUBSCRIBE renewed a subscription. */
static void note_renewal(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBSCRIBE) || !link->session)
        return;
    link->memory.flag = false;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        if (session_subscription(link->session, passing->packet.filters[i].filter))
            link->memory.flag = true;
    }
}

static void hide_from_renewed(struct link *link, struct passing *passing)
{
    if (link->memory.flag)
        hide_retained(link, passing);
}

FAULT_HOOKS(withholds_retained_at_resubscribe, .client = note_renewal, .server = hide_from_renewed)

/* `memory.count`: retained messages since the last SUBSCRIBE. */
static void count_anew(struct link *link, struct passing *passing)
{
    if (is(passing, SUBSCRIBE))
        link->memory.count = 0;
}

static void send_first_only(struct link *link, struct passing *passing)
{
    if (retains(passing) && link->memory.count++)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(sends_one_retained, .client = count_anew, .server = send_first_only)

enum { FETCH_MS = 100 };

static void stop_fetching(struct link *link, struct kept *kept)
{
    struct packet unsubscribe;
    if (kept_read(kept, link, &unsubscribe))
        inject_subscribe(link, &unsubscribe);
}

/* The unshared filter is subscribed for as long as its retained messages take to be sent. */
static void fetch_for_shared(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBSCRIBE) || !link->session)
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        struct text filter = passing->packet.filters[i].filter;
        if (!topic_is_shared(filter))
            continue;
        struct packet fetch = {.type = SUBSCRIBE, .filter_count = 1};
        fetch.filters[0].filter = topic_without_share(filter);
        inject_subscribe(link, &fetch);
        fetch.type = UNSUBSCRIBE;
        fetch.packet_id = 1; /* it gets another */
        struct passing later = {.packet = fetch, .readable = true, .changed = true};
        link_later(link, FETCH_MS, stop_fetching, passing_keep(link, &later));
    }
}

FAULT_HOOKS(sends_retained_to_shared, .client = fetch_for_shared)
