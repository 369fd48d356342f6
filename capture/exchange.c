#include "capture/exchange.h"

#include <string.h>

enum { FIRST = 1 << 0 };

#define BIT(n) (1u << (n))

/* What happens within the Server. No connection is lost while one is looked at, and what was sent
 * on it is dropped by nobody. */
static bool is_hidden(const struct exchange_rules *rules, unsigned state, unsigned event)
{
    switch (rules->machine->number) {
    case INBOUND_QOS2_MACHINE:
        return event == INBOUND_QOS2_EVENT_STORED || event == INBOUND_QOS2_EVENT_ERASED;
    case OUTBOUND_QOS1_MACHINE:
        return event == OUTBOUND_QOS1_EVENT_SEND ||
               (event == OUTBOUND_QOS1_EVENT_RESEND_DUE && rules->may_send_again) ||
               (event == OUTBOUND_QOS1_EVENT_DROP && state != OUTBOUND_QOS1_STATE_SENT);
    default:
        return event == OUTBOUND_QOS2_EVENT_SEND || event == OUTBOUND_QOS2_EVENT_STORED ||
               event == OUTBOUND_QOS2_EVENT_RESUME ||
               (event == OUTBOUND_QOS2_EVENT_RESEND_DUE && rules->may_send_again) ||
               (event == OUTBOUND_QOS2_EVENT_DROP && state != OUTBOUND_QOS2_STATE_SENT);
    }
}

/* Actions that the Client sees. */
static uint32_t seen_actions(const struct exchange_rules *rules)
{
    switch (rules->machine->number) {
    case INBOUND_QOS2_MACHINE:
        return BIT(INBOUND_QOS2_ACTION_PUBREC) | BIT(INBOUND_QOS2_ACTION_PUBREC_REFUSED) |
               BIT(INBOUND_QOS2_ACTION_PUBCOMP) | BIT(INBOUND_QOS2_ACTION_PUBCOMP_NOT_FOUND);
    case OUTBOUND_QOS1_MACHINE:
        return BIT(OUTBOUND_QOS1_ACTION_PUBLISH) | BIT(OUTBOUND_QOS1_ACTION_PUBLISH_DUP);
    default:
        return BIT(OUTBOUND_QOS2_ACTION_PUBLISH) | BIT(OUTBOUND_QOS2_ACTION_PUBLISH_DUP) |
               BIT(OUTBOUND_QOS2_ACTION_PUBREL);
    }
}

static bool frees_quota(const struct exchange_rules *rules, const struct fsm_row *row)
{
    unsigned action = rules->machine->number == OUTBOUND_QOS1_MACHINE
                          ? (unsigned)OUTBOUND_QOS1_ACTION_FREE_QUOTA
                          : (unsigned)OUTBOUND_QOS2_ACTION_FREE_QUOTA;
    for (unsigned i = 0; i < row->step_count; i++) {
        if (rules->machine->number != INBOUND_QOS2_MACHINE && row->steps[i] == action)
            return true;
    }
    return false;
}

static uint32_t actions_of(const struct fsm_row *row)
{
    uint32_t actions = 0;
    for (unsigned i = 0; i < row->step_count; i++)
        actions |= BIT(row->steps[i]);
    return actions;
}

/* The Packet Identifier of a message that is done is that of the next one. */
static uint16_t state_after(const struct exchange_rules *rules, const struct fsm_row *row)
{
    bool is_done =
        (rules->machine->number == OUTBOUND_QOS1_MACHINE &&
         row->next == OUTBOUND_QOS1_STATE_DONE) ||
        (rules->machine->number == OUTBOUND_QOS2_MACHINE && row->next == OUTBOUND_QOS2_STATE_DONE);
    return is_done ? FIRST : (uint16_t)BIT(row->next);
}

/* Where a connection finds it. */
static uint16_t states_at_first(const struct exchange_rules *rules)
{
    if (!rules->resumes)
        return FIRST;
    switch (rules->machine->number) {
    case INBOUND_QOS2_MACHINE:
        return BIT(INBOUND_QOS2_STATE_COUNT) - 1;
    case OUTBOUND_QOS1_MACHINE:
        return FIRST | BIT(OUTBOUND_QOS1_STATE_UNACKNOWLEDGED);
    default:
        return FIRST | BIT(OUTBOUND_QOS2_STATE_UNACKNOWLEDGED) |
               BIT(OUTBOUND_QOS2_STATE_UNRELEASED);
    }
}

/* Rows with a packet of `actions` lead from `from` to `out`, all others within `from`. */
struct walk {
    const struct exchange_rules *rules;
    const struct exchange *exchange;
    uint32_t actions;
    uint16_t from[EXCHANGE_EVENTS_MAX + 1], out[EXCHANGE_EVENTS_MAX + 1];
    bool has_freed; /* the last event of the Client's has */
};

static bool follow(struct walk *walk, unsigned state, unsigned event, unsigned read, bool is_read)
{
    const struct exchange_rules *rules = walk->rules;
    const struct fsm_row *row = &rules->machine->rows[state * rules->machine->event_count + event];
    unsigned then = is_read ? read + 1 : read;
    uint16_t next = row->why != NULL ? state_after(rules, row) : (uint16_t)BIT(state);
    if (row->why == NULL && !is_read)
        return false;
    if (row->why != NULL && is_read && then == walk->exchange->count && frees_quota(rules, row))
        walk->has_freed = true;
    uint32_t seen = row->why != NULL ? actions_of(row) & seen_actions(rules) : 0;
    if ((seen & walk->actions) != 0)
        walk->out[then] |= next;
    if (seen != 0 || (walk->from[then] | next) == walk->from[then])
        return false;
    walk->from[then] |= next;
    return true;
}

/* A PUBLISH at QoS 2 may be taken or refused. */
static bool follow_client(struct walk *walk, unsigned state, unsigned read)
{
    uint8_t event = walk->exchange->events[read];
    bool more = follow(walk, state, event, read, true);
    if (walk->rules->machine->number == INBOUND_QOS2_MACHINE && event == INBOUND_QOS2_EVENT_PUBLISH)
        more |= follow(walk, state, INBOUND_QOS2_EVENT_PUBLISH_REFUSED, read, true);
    return more;
}

static bool follow_all(struct walk *walk, unsigned state, unsigned read)
{
    bool more = false;
    for (unsigned event = 0; event < walk->rules->machine->event_count; event++) {
        if (is_hidden(walk->rules, state, event))
            more |= follow(walk, state, event, read, false);
    }
    if (read < walk->exchange->count)
        more |= follow_client(walk, state, read);
    return more;
}

static void walk(struct walk *walk, const struct exchange *exchange,
                 const struct exchange_rules *rules, uint32_t actions)
{
    static const struct exchange unknown;
    *walk = (struct walk){.rules = rules, .exchange = exchange, .actions = actions};
    memcpy(walk->from, exchange->states, sizeof walk->from);
    if (memcmp(exchange->states, unknown.states, sizeof unknown.states) == 0)
        walk->from[0] = states_at_first(rules);
    for (bool more = true; more;) {
        more = false;
        for (unsigned read = 0; read <= exchange->count; read++) {
            for (unsigned state = 0; state < rules->machine->state_count; state++) {
                if ((walk->from[read] >> state & 1) != 0)
                    more |= follow_all(walk, state, read);
            }
        }
    }
}

bool exchange_take(struct exchange *exchange, const struct exchange_rules *rules, uint8_t event)
{
    struct walk walked;
    if (exchange->count == EXCHANGE_EVENTS_MAX)
        exchange->is_lost = true;
    if (exchange->is_lost)
        return true;
    exchange->events[exchange->count++] = event;
    walk(&walked, exchange, rules, 0);
    memcpy(exchange->states, walked.from, sizeof exchange->states);
    return walked.has_freed;
}

/* What has been read in every case is forgotten. */
static void forget_read(struct exchange *exchange)
{
    unsigned read = 0;
    while (exchange->states[read] == 0)
        read++;
    exchange->count = (uint8_t)(exchange->count - read);
    memmove(exchange->events, exchange->events + read, exchange->count);
    memmove(exchange->states, exchange->states + read,
            (exchange->count + 1u) * sizeof *exchange->states);
    memset(exchange->states + exchange->count + 1, 0,
           (EXCHANGE_EVENTS_MAX - exchange->count) * sizeof *exchange->states);
}

bool exchange_give(struct exchange *exchange, const struct exchange_rules *rules, uint32_t actions)
{
    static const struct exchange nowhere;
    struct walk walked;
    if (exchange->is_lost)
        return true;
    walk(&walked, exchange, rules, actions);
    if (memcmp(walked.out, nowhere.states, sizeof walked.out) == 0)
        return false;
    memcpy(exchange->states, walked.out, sizeof exchange->states);
    forget_read(exchange);
    return true;
}

uint16_t exchange_states(const struct exchange *exchange, const struct exchange_rules *rules)
{
    struct walk walked;
    uint16_t states = 0;
    if (exchange->is_lost)
        return UINT16_MAX;
    walk(&walked, exchange, rules, 0);
    for (unsigned read = 0; read <= exchange->count; read++)
        states |= walked.from[read];
    return states;
}
