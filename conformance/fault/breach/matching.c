/* Faults of matching topics with filters, and of Shared Subscriptions. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"
#include "conformance/fault/topic.h"

#include <ctype.h>
#include <string.h>

static bool is_character(struct text level, char character)
{
    return level.size == 1 && level.data[0] == (uint8_t)character;
}

/* ---- Matching too much: those get a copy who should not ---- */

static void deliver_where(struct link *link, struct passing *passing,
                          bool (*wrongly_matches)(struct text filter, struct text topic))
{
    if (!is(passing, PUBLISH) || !passing->topic.size)
        return;
    struct packet copy = {
        .type = PUBLISH, .topic = passing->topic, .payload = passing->packet.payload};
    for (struct session *session = session_first(); session; session = session->next) {
        if (!session->link || session->link->orphaned)
            continue;
        for (struct subscription *at = session->subscriptions; at; at = at->next) {
            if (!topic_matches(at->filter, copy.topic) && wrongly_matches(at->filter, copy.topic))
                inject_to_client(session->link, &copy);
        }
    }
}

static bool matches_dollar(struct text filter, struct text topic)
{
    filter = topic_without_share(filter);
    if (topic.data[0] != '$' || !filter.size || (filter.data[0] != '+' && filter.data[0] != '#'))
        return false;
    struct text copy = proxy_scratch_text(topic);
    ((uint8_t *)copy.data)[0] = 'x';
    return topic_matches(filter, copy);
}

static void deliver_dollar(struct link *link, struct passing *passing)
{
    deliver_where(link, passing, matches_dollar);
}

/* The server's own topics: noted in the proxy's memory.queue when a client gets them. */
static void note_dollar(struct link *link, struct passing *passing)
{
    struct queue *queue = &proxy_memory()->queue;
    if (!is(passing, PUBLISH) || !passing->topic.size || passing->topic.data[0] != '$')
        return;
    if (queue->count < 100)
        queue_push(queue, passing_keep(link, passing));
}

static void deliver_noted(struct link *link, const struct passing *passing)
{
    if (!is(passing, SUBACK) || !link->session)
        return;
    for (const struct kept *kept = proxy_memory()->queue.first; kept; kept = kept->next) {
        struct packet publish;
        struct subscription *at = link->session->subscriptions;
        if (!kept_read(kept, link, &publish) || !publish.topic.size)
            continue;
        while (at && !matches_dollar(at->filter, publish.topic))
            at = at->next;
        if (at)
            inject_to_client(link, &publish);
    }
}

FAULT_HOOKS(wildcard_matches_dollar, .client = deliver_dollar, .server = note_dollar,
            .after_server = deliver_noted)

/* Whether it matches when + stands for one level or more. */
static bool plus_as_many(struct text filter, bool more_filter, struct text topic, bool more_topic)
{
    struct text want, have;
    if (!topic_next_level(&filter, &more_filter, &want))
        return !more_topic;
    if (is_character(want, '#'))
        return true;
    bool plus = is_character(want, '+');
    while (topic_next_level(&topic, &more_topic, &have)) {
        if (!plus && !text_equal(want, have))
            return false;
        if (plus_as_many(filter, more_filter, topic, more_topic))
            return true;
        if (!plus)
            return false;
    }
    return false;
}

static bool matches_many(struct text filter, struct text topic)
{
    return topic.data[0] != '$' && plus_as_many(topic_without_share(filter), true, topic, true);
}

static void deliver_many(struct link *link, struct passing *passing)
{
    deliver_where(link, passing, matches_many);
}

FAULT_HOOKS(plus_matches_many, .client = deliver_many)

static bool matches_prefix(struct text filter, struct text topic)
{
    return !topic_has_wildcard(filter) && filter.size < topic.size &&
           memcmp(filter.data, topic.data, filter.size) == 0;
}

static void deliver_prefix(struct link *link, struct passing *passing)
{
    deliver_where(link, passing, matches_prefix);
}

FAULT_HOOKS(prefix_matches, .client = deliver_prefix)

/* ---- Matching too little: lost where every matching subscription is of that kind ---- */

static void lose_where(struct link *link, struct passing *passing,
                       bool (*misses)(struct text filter, struct text topic))
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    bool any = false;
    for (struct subscription *at = NULL; (at = session_match(link->session, passing->topic, at));) {
        any = true;
        if (!misses(topic_without_share(at->filter), passing->topic))
            return;
    }
    if (any)
        swallow_from_server(link, passing);
}

static unsigned levels(struct text text)
{
    struct text level;
    unsigned count = 0;
    for (bool more = true; topic_next_level(&text, &more, &level);)
        count++;
    return count;
}

static bool ends_with_hash(struct text filter)
{
    return filter.size && filter.data[filter.size - 1] == '#';
}

static bool is_parent(struct text filter, struct text topic)
{
    return ends_with_hash(filter) && levels(topic) + 1 == levels(filter);
}

static void lose_parent(struct link *link, struct passing *passing)
{
    lose_where(link, passing, is_parent);
}

FAULT_HOOKS(hash_misses_parent, .server = lose_parent)

static bool is_deep(struct text filter, struct text topic)
{
    return ends_with_hash(filter) && levels(topic) > levels(filter);
}

static void lose_deep(struct link *link, struct passing *passing)
{
    lose_where(link, passing, is_deep);
}

FAULT_HOOKS(hash_matches_one_level, .server = lose_deep)

static bool plus_meets_nothing(struct text filter, struct text topic)
{
    struct text want, have;
    bool more_filter = true, more_topic = true;
    while (topic_next_level(&filter, &more_filter, &want) &&
           topic_next_level(&topic, &more_topic, &have)) {
        if (is_character(want, '+') && !have.size)
            return true;
    }
    return false;
}

static void lose_empty_level(struct link *link, struct passing *passing)
{
    lose_where(link, passing, plus_meets_nothing);
}

FAULT_HOOKS(plus_misses_empty_level, .server = lose_empty_level)

/* ---- Topics taken for others ---- */

static void replace_topics(struct passing *passing, struct text (*replace)(struct text))
{
    struct packet *packet = &passing->packet;
    if (is(passing, PUBLISH) && packet->topic.size)
        packet->topic = replace(packet->topic);
    else if (!is(passing, SUBSCRIBE) && !is(passing, UNSUBSCRIBE))
        return;
    for (unsigned i = 0; i < packet->filter_count; i++)
        packet->filters[i].filter = replace(packet->filters[i].filter);
    change(passing);
}

/* "/a//b/" -> "a/b" */
static struct text without_empty_levels(struct text topic)
{
    uint8_t *out = proxy_scratch(topic.size + 1);
    size_t size = 0;
    struct text level, rest = topic;
    for (bool more = true; topic_next_level(&rest, &more, &level);) {
        if (!level.size)
            continue;
        if (size)
            out[size++] = '/';
        memcpy(out + size, level.data, level.size);
        size += level.size;
    }
    return size ? (struct text){out, size} : topic;
}

static void normalize_slashes(struct link *link, struct passing *passing)
{
    replace_topics(passing, without_empty_levels);
}

FAULT_HOOKS(normalizes_slashes, .client = normalize_slashes)

static struct text in_lower_case(struct text topic)
{
    struct text copy = proxy_scratch_text(topic);
    for (size_t i = 0; i < copy.size; i++)
        ((uint8_t *)copy.data)[i] = (uint8_t)tolower(copy.data[i]);
    return copy;
}

static void fold_case(struct link *link, struct passing *passing)
{
    replace_topics(passing, in_lower_case);
}

FAULT_HOOKS(folds_topic_case, .client = fold_case)

enum { SIZE_KEPT = 1024, LEVELS_KEPT = 40 };

static struct text cut_off(struct text topic)
{
    struct text level, rest = topic;
    bool more = true;
    for (unsigned i = 0; i < LEVELS_KEPT && topic_next_level(&rest, &more, &level); i++)
        continue;
    if (more && level.size < topic.size)
        topic.size = (size_t)(level.data - topic.data) + level.size;
    return (struct text){topic.data, topic.size < SIZE_KEPT ? topic.size : SIZE_KEPT};
}

static void truncate_topics(struct link *link, struct passing *passing)
{
    replace_topics(passing, cut_off);
}

FAULT_HOOKS(truncates_topics, .client = truncate_topics)

/* ---- Shared Subscriptions ---- */

static void unshare(struct link *link, struct passing *passing)
{
    if (is_5(link) && (is(passing, SUBSCRIBE) || is(passing, UNSUBSCRIBE)))
        replace_topics(passing, topic_without_share);
}

FAULT_HOOKS(shared_as_plain, .client = unshare)

static struct text with_common_share(struct text filter)
{
    if (!topic_is_shared(filter))
        return filter;
    static const char common[] = "$share/common/";
    struct text rest = topic_without_share(filter);
    uint8_t *out = proxy_scratch(sizeof common + rest.size);
    memcpy(out, common, sizeof common - 1);
    memcpy(out + sizeof common - 1, rest.data, rest.size);
    return (struct text){out, sizeof common - 1 + rest.size};
}

static void share_with_all(struct link *link, struct passing *passing)
{
    if (is_5(link) && (is(passing, SUBSCRIBE) || is(passing, UNSUBSCRIBE)))
        replace_topics(passing, with_common_share);
}

FAULT_HOOKS(ignores_share_name, .client = share_with_all)

static struct subscription *shared_match(struct session *session, struct text topic)
{
    struct subscription *at = NULL;
    while ((at = session_match(session, topic, at)) && !topic_is_shared(at->filter))
        ;
    return at;
}

static void deliver_at_groups_lowest(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    struct packet copy = passing->packet;
    const struct subscription *mine = shared_match(link->session, passing->topic);
    for (struct session *other = session_first(); mine && other; other = other->next) {
        const struct subscription *theirs = session_subscription(other, mine->filter);
        if (theirs && theirs->granted < copy.qos)
            copy.qos = theirs->granted;
    }
    if (copy.qos == passing->packet.qos)
        return;
    swallow_from_server(link, passing);
    inject_to_client(link, &copy);
}

FAULT_HOOKS(group_at_lowest_qos, .server = deliver_at_groups_lowest)

/* Of two copies for one session, one for the share, the second is lost. */
static void hide_second(struct link *link, struct passing *passing)
{
    struct memory *memory = &link->session->memory;
    if (passing->origin && memory->source == passing->origin)
        swallow_from_server(link, passing);
    memory->source = passing->origin;
}

static void hide_from_plain(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    if (shared_match(link->session, passing->topic)) {
        hide_second(link, passing);
        return;
    }
    for (struct session *other = session_first(); other; other = other->next) {
        if (shared_match(other, passing->topic)) {
            swallow_from_server(link, passing);
            return;
        }
    }
}

FAULT_HOOKS(share_hides_plain, .server = hide_from_plain)

static bool is_shared_exchange(struct link *link, const struct exchange *exchange)
{
    struct packet publish;
    return exchange && kept_read(exchange->publish, link, &publish) &&
           shared_match(link->session, publish.topic);
}

/* `memory.ids` of the session: exchanges of Shared Subscriptions that a close broke off. */
static void note_begun(struct link *link)
{
    if (!link->session || link->session->link != link)
        return;
    for (const struct exchange *at = link->session->exchanges; at; at = at->next) {
        if (is_shared_exchange(link, at))
            id_set_add(&link->session->memory.ids, at->packet_id);
    }
}

static void lose_begun(struct link *link, struct passing *passing)
{
    struct session *session = link->session;
    bool resent = is(passing, PUBREL) || (is(passing, PUBLISH) && passing->packet.dup);
    if (!session || !resent || !id_set_remove(&session->memory.ids, passing->packet.packet_id))
        return;
    if (is(passing, PUBLISH)) {
        swallow_from_server(link, passing);
        return;
    }
    drop(passing);
    link_to_server(link, &(struct packet){.type = PUBCOMP, .packet_id = passing->packet.packet_id});
}

FAULT_HOOKS(shared_loses_begun, .server = lose_begun, .client_closed = note_begun)

/* Every second message that a member gets was for one who is away. */
static void lose_for_absent(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    const struct subscription *mine = shared_match(link->session, passing->topic);
    for (struct session *other = session_first(); mine && other; other = other->next) {
        if (!other->exists || other->link || !session_subscription(other, mine->filter))
            continue;
        if (proxy_memory()->count++ % 2)
            swallow_from_server(link, passing);
        return;
    }
}

FAULT_HOOKS(shared_loses_for_absent, .server = lose_for_absent)

/* Sends it to another connected member of the group. */
static void hand_over(struct link *link, const struct exchange *exchange)
{
    struct packet publish;
    if (!exchange || !kept_read(exchange->publish, link, &publish))
        return;
    const struct subscription *mine = shared_match(link->session, publish.topic);
    for (struct session *other = session_first(); mine && other; other = other->next) {
        if (!other->link || other->link == link || !session_subscription(other, mine->filter))
            continue;
        publish.dup = false;
        inject_to_client(other->link, &publish);
        return;
    }
}

static void hand_over_begun(struct link *link)
{
    if (!link->session || link->session->link != link)
        return;
    for (const struct exchange *at = link->session->exchanges; at; at = at->next)
        hand_over(link, at);
}

FAULT_HOOKS(shared_hands_over, .client_closed = hand_over_begun)

static void pass_refused_on(struct link *link, struct passing *passing)
{
    if ((!is(passing, PUBACK) && !is(passing, PUBREC)) || passing->packet.reason_code < 0x80 ||
        !link->session)
        return;
    hand_over(link, session_exchange(link->session, passing->packet.packet_id));
}

FAULT_HOOKS(shared_passes_refused_on, .client = pass_refused_on)
