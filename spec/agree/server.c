#include "spec/agree/server.h"

#include <string.h>

#include "base/check.h"
#include "conformance/model/reference.h"
#include "fsm/machines.h"

enum { IDENTIFIERS = 256, OWN_IDENTIFIERS = 24, QUEUE = 512, OUTPUT = 1024, DISK = 1024 };

struct outgoing {
    struct note publish; /* packet_id 0: none yet */
    uint8_t state;
    bool counted; /* of the send quota of this connection */
};

struct session {
    uint8_t state; /* enum session_state */
    bool connected, stored;
    unsigned incarnation;
    struct {
        bool exists;
        uint8_t options;
    } subscriptions[MODEL_FILTERS];
    uint8_t inbound[IDENTIFIERS];
    struct note held[IDENTIFIERS]; /* what came under it */
    struct outgoing queue[QUEUE];
    unsigned queued, quota;
    uint16_t last_identifier;
    struct note output[OUTPUT];
    unsigned first, end;
};

struct asked {
    unsigned client, incarnation;
    const struct fsm_machine *machine;
    uint16_t packet_id;
    uint8_t event; /* its answer */
};

static struct {
    struct session sessions[MODEL_CLIENTS];
    struct note retained[MODEL_TOPICS]; /* message 0: none */
    struct asked disk[DISK];
    unsigned disk_first, disk_end, incarnations;
    uint64_t seed;
} server;

static uint64_t steps;
static bool taken[FSM_MACHINE_COUNT][256];

unsigned server_draw(unsigned limit)
{
    server.seed = server.seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(server.seed >> 33) % limit;
}

static const struct fsm_row *step(const struct fsm_machine *machine, uint8_t *state, uint8_t event)
{
    steps++;
    taken[machine->number][*state * machine->event_count + event] = true;
    return fsm_step(machine, state, event);
}

static unsigned index_of(const struct session *session)
{
    return (unsigned)(session - server.sessions);
}

static void send(struct session *session, struct note note)
{
    if (!session->connected)
        return;
    CHECK(session->end < OUTPUT);
    session->output[session->end++] = note;
}

static void answer(struct session *session, enum packet_type type, uint16_t packet_id)
{
    send(session, (struct note){.type = type, .packet_id = packet_id});
}

static void ask(struct session *session, const struct fsm_machine *machine, uint16_t packet_id,
                uint8_t event)
{
    CHECK(server.disk_end < DISK);
    server.disk[server.disk_end++] =
        (struct asked){index_of(session), session->incarnation, machine, packet_id, event};
}

/* ---- To a client ---- */

static void assign(struct session *session, struct outgoing *outgoing)
{
    for (bool used = true; used;) {
        session->last_identifier = session->last_identifier % OWN_IDENTIFIERS + 1;
        used = false;
        for (unsigned i = 0; i < session->queued; i++)
            used |= session->queue[i].publish.packet_id == session->last_identifier;
    }
    outgoing->publish.packet_id = session->last_identifier;
}

static void send_publish(struct session *session, const struct outgoing *outgoing, bool dup)
{
    struct note note = outgoing->publish;
    note.dup = dup;
    send(session, note);
}

static void take_quota(struct session *session, struct outgoing *outgoing)
{
    CHECK(session->quota > 0 && !outgoing->counted);
    session->quota--;
    outgoing->counted = true;
}

static void free_quota(struct session *session, struct outgoing *outgoing)
{
    session->quota += outgoing->counted;
    outgoing->counted = false;
}

static void do_qos1(struct session *session, struct outgoing *outgoing, uint8_t action)
{
    switch (action) {
    case OUTBOUND_QOS1_ACTION_ASSIGN:
        assign(session, outgoing);
        break;
    case OUTBOUND_QOS1_ACTION_TAKE_QUOTA:
        take_quota(session, outgoing);
        break;
    case OUTBOUND_QOS1_ACTION_FREE_QUOTA:
        free_quota(session, outgoing);
        break;
    case OUTBOUND_QOS1_ACTION_PUBLISH:
    case OUTBOUND_QOS1_ACTION_PUBLISH_DUP:
        send_publish(session, outgoing, action == OUTBOUND_QOS1_ACTION_PUBLISH_DUP);
        break;
    default: /* SETTLE: remove() */
        break;
    }
}

static void do_qos2(struct session *session, struct outgoing *outgoing, uint8_t action)
{
    switch (action) {
    case OUTBOUND_QOS2_ACTION_ASSIGN:
        assign(session, outgoing);
        ask(session, &outbound_qos2_machine, outgoing->publish.packet_id,
            OUTBOUND_QOS2_EVENT_STORED);
        break;
    case OUTBOUND_QOS2_ACTION_TAKE_QUOTA:
        take_quota(session, outgoing);
        break;
    case OUTBOUND_QOS2_ACTION_FREE_QUOTA:
        free_quota(session, outgoing);
        break;
    case OUTBOUND_QOS2_ACTION_PUBLISH:
    case OUTBOUND_QOS2_ACTION_PUBLISH_DUP:
        send_publish(session, outgoing, action == OUTBOUND_QOS2_ACTION_PUBLISH_DUP);
        break;
    case OUTBOUND_QOS2_ACTION_RECORD_PUBREC:
        ask(session, &outbound_qos2_machine, outgoing->publish.packet_id,
            OUTBOUND_QOS2_EVENT_STORED);
        break;
    case OUTBOUND_QOS2_ACTION_PUBREL:
        answer(session, PUBREL, outgoing->publish.packet_id);
        break;
    default: /* SETTLE: remove() */
        break;
    }
}

static bool is_done(const struct outgoing *outgoing)
{
    return outgoing->state ==
           (outgoing->publish.qos == 1 ? OUTBOUND_QOS1_STATE_DONE : OUTBOUND_QOS2_STATE_DONE);
}

/* An event by the name that it has in either machine. */
static void on_outgoing(struct session *session, struct outgoing *outgoing, uint8_t qos1_event,
                        uint8_t qos2_event)
{
    bool once = outgoing->publish.qos == 1;
    const struct fsm_row *row = step(once ? &outbound_qos1_machine : &outbound_qos2_machine,
                                     &outgoing->state, once ? qos1_event : qos2_event);
    for (unsigned i = 0; i < row->step_count; i++) {
        if (once)
            do_qos1(session, outgoing, row->steps[i]);
        else
            do_qos2(session, outgoing, row->steps[i]);
    }
}

static void remove_done(struct session *session)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < session->queued; i++) {
        if (!is_done(&session->queue[i]))
            session->queue[kept++] = session->queue[i];
    }
    session->queued = kept;
}

static bool may_be_sent(const struct outgoing *outgoing)
{
    return outgoing->publish.qos == 1 ? outgoing->state == OUTBOUND_QOS1_STATE_QUEUED ||
                                            outgoing->state == OUTBOUND_QOS1_STATE_UNACKNOWLEDGED
                                      : outgoing->state == OUTBOUND_QOS2_STATE_QUEUED ||
                                            outgoing->state == OUTBOUND_QOS2_STATE_UNACKNOWLEDGED;
}

static unsigned open_exchanges(const struct session *session)
{
    unsigned count = 0;
    for (unsigned i = 0; i < session->queued; i++)
        count += session->queue[i].publish.packet_id > 0;
    return count;
}

/* In the order of the queue, in which what was sent before comes first. */
static void pump(struct session *session)
{
    for (unsigned i = 0; session->connected && i < session->queued && session->quota > 0; i++) {
        struct outgoing *outgoing = &session->queue[i];
        if (!may_be_sent(outgoing))
            continue;
        if (outgoing->publish.packet_id == 0 && open_exchanges(session) == OWN_IDENTIFIERS)
            break;
        on_outgoing(session, outgoing, OUTBOUND_QOS1_EVENT_SEND, OUTBOUND_QOS2_EVENT_SEND);
    }
}

static void owe(struct session *session, struct note publish)
{
    publish.type = PUBLISH;
    publish.packet_id = 0;
    publish.dup = false;
    if (publish.qos == 0) {
        send(session, publish);
        return;
    }
    CHECK(session->queued < QUEUE);
    session->queue[session->queued++] = (struct outgoing){.publish = publish};
    pump(session);
}

static struct outgoing *exchange(struct session *session, uint16_t packet_id, bool once)
{
    for (unsigned i = 0; i < session->queued; i++) {
        struct outgoing *outgoing = &session->queue[i];
        if (outgoing->publish.packet_id == packet_id && (outgoing->publish.qos == 1) == once)
            return outgoing;
    }
    return NULL;
}

static void on_answer(struct session *session, uint16_t packet_id, bool once, uint8_t event)
{
    struct outgoing *outgoing = exchange(session, packet_id, once);
    if (outgoing == NULL)
        return;
    on_outgoing(session, outgoing, event, event);
    remove_done(session);
    pump(session);
}

/* ---- From a client ---- */

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* One copy for a session, at the highest QoS of the subscriptions that match. */
static void route_to(struct session *session, const struct note *message, unsigned publisher)
{
    struct note copy = *message;
    bool matches = false;
    copy.qos = 0;
    copy.retain = false;
    for (unsigned i = 0; i < MODEL_FILTERS; i++) {
        uint8_t options = session->subscriptions[i].options;
        if (!session->subscriptions[i].exists ||
            !reference_topic_matches(model_filters[i], model_topics[message->topic]) ||
            ((options & SUBSCRIBE_NO_LOCAL) != 0 && index_of(session) == publisher))
            continue;
        uint8_t qos = lower(message->qos, options & 3);
        if (!matches || qos > copy.qos) {
            copy.qos = qos;
            copy.retain = message->retain && (options & SUBSCRIBE_RETAIN_AS_PUBLISHED) != 0;
        }
        matches = true;
    }
    if (matches)
        owe(session, copy);
}

static void route(const struct note *message, unsigned publisher)
{
    if (message->retain)
        server.retained[message->topic] = *message;
    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        if (server.sessions[i].state != SESSION_STATE_ABSENT)
            route_to(&server.sessions[i], message, publisher);
    }
}

static void on_inbound(struct session *session, uint16_t packet_id, uint8_t event)
{
    const struct fsm_row *row = step(&inbound_qos2_machine, &session->inbound[packet_id], event);
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case INBOUND_QOS2_ACTION_STORE:
            ask(session, &inbound_qos2_machine, packet_id, INBOUND_QOS2_EVENT_STORED);
            break;
        case INBOUND_QOS2_ACTION_ROUTE:
            route(&session->held[packet_id], index_of(session));
            break;
        case INBOUND_QOS2_ACTION_PUBREC:
            answer(session, PUBREC, packet_id);
            break;
        case INBOUND_QOS2_ACTION_ERASE:
            ask(session, &inbound_qos2_machine, packet_id, INBOUND_QOS2_EVENT_ERASED);
            break;
        default: /* PUBCOMP, PUBCOMP_NOT_FOUND */
            answer(session, PUBCOMP, packet_id);
            break;
        }
    }
}

static void take_publish(struct session *session, const struct note *note)
{
    if (note->qos == 2) {
        if (session->inbound[note->packet_id] == INBOUND_QOS2_STATE_FREE)
            session->held[note->packet_id] = *note;
        on_inbound(session, note->packet_id, INBOUND_QOS2_EVENT_PUBLISH);
        return;
    }
    route(note, index_of(session));
    if (note->qos == 1)
        answer(session, PUBACK, note->packet_id);
}

static void subscribe(struct session *session, const struct note *note)
{
    bool existed = session->subscriptions[note->filter].exists;
    unsigned handling = note->options >> 4;
    session->subscriptions[note->filter].exists = true;
    session->subscriptions[note->filter].options = note->options;
    send(session,
         (struct note){.type = SUBACK, .packet_id = note->packet_id, .qos = note->options & 3});
    for (unsigned topic = 0; handling < 2 && topic < MODEL_TOPICS; topic++) {
        struct note copy = server.retained[topic];
        if (copy.message == 0 || (handling == 1 && existed) ||
            !reference_topic_matches(model_filters[note->filter], model_topics[topic]))
            continue;
        copy.qos = lower(copy.qos, note->options & 3);
        owe(session, copy);
    }
}

void server_take(unsigned client, const struct note *note)
{
    struct session *session = &server.sessions[client];
    switch (note->type) {
    case PUBLISH:
        take_publish(session, note);
        break;
    case PUBREL:
        on_inbound(session, note->packet_id, INBOUND_QOS2_EVENT_PUBREL);
        break;
    case PUBACK:
        on_answer(session, note->packet_id, true, OUTBOUND_QOS1_EVENT_PUBACK);
        break;
    case PUBREC:
        on_answer(session, note->packet_id, false, OUTBOUND_QOS2_EVENT_PUBREC);
        break;
    case PUBCOMP:
        on_answer(session, note->packet_id, false, OUTBOUND_QOS2_EVENT_PUBCOMP);
        break;
    case SUBSCRIBE:
        subscribe(session, note);
        break;
    case UNSUBSCRIBE:
        session->subscriptions[note->filter].exists = false;
        answer(session, UNSUBACK, note->packet_id);
        break;
    default:
        answer(session, PINGRESP, 0);
        break;
    }
}

/* ---- Connections, the disk ---- */

static bool on_session(struct session *session, uint8_t event)
{
    bool present = false;
    const struct fsm_row *row = step(&session_machine, &session->state, event);
    for (unsigned i = 0; i < row->step_count; i++) {
        uint8_t state = session->state;
        present |= row->steps[i] == SESSION_ACTION_RESUME;
        if (row->steps[i] == SESSION_ACTION_CREATE || row->steps[i] == SESSION_ACTION_END) {
            memset(session, 0, sizeof *session);
            session->state = state;
            session->incarnation = ++server.incarnations;
        }
    }
    return present;
}

bool server_connect(unsigned client, const struct server_connect *connect)
{
    struct session *session = &server.sessions[client];
    while (server_disk()) /* CONNACK waits for what was asked before */
        continue;
    bool present = on_session(session, connect->clean_start ? SESSION_EVENT_CONNECT_CLEAN
                                                            : SESSION_EVENT_CONNECT_RESUME);
    session->connected = true;
    session->stored = connect->stored;
    session->quota = connect->receive_maximum;
    session->first = session->end = 0;
    for (unsigned i = 0; i < session->queued; i++) {
        struct outgoing *outgoing = &session->queue[i];
        if (outgoing->publish.qos == 2 && outgoing->state != OUTBOUND_QOS2_STATE_QUEUED)
            on_outgoing(session, outgoing, 0, OUTBOUND_QOS2_EVENT_RESUME);
    }
    pump(session);
    return present;
}

void server_close(unsigned client)
{
    struct session *session = &server.sessions[client];
    session->connected = false;
    session->first = session->end = 0;
    for (unsigned i = 0; i < session->queued; i++) {
        on_outgoing(session, &session->queue[i], OUTBOUND_QOS1_EVENT_CONNECTION_LOST,
                    OUTBOUND_QOS2_EVENT_CONNECTION_LOST);
        session->queue[i].counted = false;
    }
    on_session(session, session->stored ? SESSION_EVENT_CLOSED_WAITS : SESSION_EVENT_CLOSED_ENDS);
}

bool server_disk(void)
{
    if (server.disk_first == server.disk_end) {
        server.disk_first = server.disk_end = 0;
        return false;
    }
    const struct asked *asked = &server.disk[server.disk_first++];
    struct session *session = &server.sessions[asked->client];
    if (session->incarnation != asked->incarnation)
        return true;
    if (asked->machine == &inbound_qos2_machine) {
        on_inbound(session, asked->packet_id, asked->event);
    } else {
        struct outgoing *outgoing = exchange(session, asked->packet_id, false);
        CHECK(outgoing != NULL);
        on_outgoing(session, outgoing, 0, asked->event);
    }
    return true;
}

bool server_give(unsigned client, struct note *out)
{
    struct session *session = &server.sessions[client];
    if (session->first == session->end) {
        session->first = session->end = 0;
        return false;
    }
    *out = session->output[session->first++];
    return true;
}

void server_reset(uint64_t seed)
{
    memset(&server, 0, sizeof server);
    server.seed = seed;
}

uint64_t server_steps(void)
{
    return steps;
}

unsigned server_rows(unsigned *out_all)
{
    static const struct fsm_machine *const played[] = {
        &session_machine, &inbound_qos2_machine, &outbound_qos1_machine, &outbound_qos2_machine};
    unsigned count = 0;
    *out_all = 0;
    for (unsigned i = 0; i < sizeof played / sizeof *played; i++) {
        for (unsigned c = 0; c < (unsigned)played[i]->state_count * played[i]->event_count; c++) {
            *out_all += played[i]->rows[c].why != NULL;
            count += taken[played[i]->number][c];
        }
    }
    return count;
}
