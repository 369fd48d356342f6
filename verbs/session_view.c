#include "verbs/session_view.h"

#include "broker/connection.h"
#include "broker/drop.h"
#include "broker/recorder.h"
#include "protocol/topic.h"
#include "verbs/verb.h"

enum { SUBSCRIPTIONS_SHOWN = 1000, EXCHANGES_SHOWN = 100, BYTES_SHOWN = 128 * 1024 };

static const char *version_name(uint8_t version)
{
    return version == MQTT_VERSION_5 ? "5.0" : version == MQTT_VERSION_311 ? "3.1.1" : "3.1";
}

static uint64_t queued(const struct session *session)
{
    const struct outbound *outbound = &session->outbound;
    return outbound->stored_count + outbound->numbers.count + outbound->paged.count +
           outbound->queue.count;
}

static void add_connection(json_t *out, const struct connection *connection)
{
    char peer[ADDRESS_TEXT_SIZE];
    json_object_set_new(out, "address", json_string(address_text(&connection->peer, peer)));
    json_object_set_new(out, "listener",
                        verb_json_text(bytes_of_text(connection->listener->config->name)));
    if (connection->principal->user_name.size > 0)
        json_object_set_new(out, "user", verb_json_text(connection->principal->user_name));
}

json_t *session_view_line(const struct worker *worker, const struct session *session)
{
    const struct connection *connection = session->connection;
    json_t *out = json_pack(
        "{s:o, s:s, s:s, s:I, s:I, s:I, s:b}", "client", verb_json_text(session->client_identifier),
        "state", connection != NULL ? "connected" : "away", "version",
        version_name(session->version), "subscriptions", (json_int_t)session->subscription_count,
        "queued", (json_int_t)queued(session), "inflight",
        (json_int_t)session->outbound.inflight_count, "stored", (int)session_is_stored(session));
    if (connection != NULL)
        add_connection(out, connection);
    else
        json_object_set_new(
            out, "away_s",
            json_integer((worker->store_now_ms - session->disconnected_at_ms) / 1000));
    return out;
}

/* ---- Parts of the whole ---- */

static json_t *subscriptions_of(const struct session *session)
{
    json_t *out = json_array();
    size_t bytes = 0; /* of what peers have chosen */
    for (uint32_t i = 0; i < session->subscription_capacity &&
                         json_array_size(out) < SUBSCRIPTIONS_SHOWN && bytes < BYTES_SHOWN;
         i++) {
        const struct subscription *subscription = session->subscriptions[i];
        if (subscription == NULL)
            continue;
        bytes += subscription->filter_size;
        uint8_t options = subscription->options; /* as in SUBSCRIBE: 5.0 section 3.8.3.1 */
        json_array_append_new(
            out,
            json_pack("{s:o, s:i, s:b, s:b, s:i, s:I}", "filter",
                      verb_json_text(bytes_of(subscription->filter, subscription->filter_size)),
                      "qos", options & 3, "no_local", options >> 2 & 1, "retain_as_published",
                      options >> 3 & 1, "retain_handling", options >> 4 & 3, "identifier",
                      (json_int_t)subscription->identifier));
    }
    return out;
}

static json_t *exchanges_of(const struct session *session)
{
    const struct outbound *outbound = &session->outbound;
    json_t *out = json_array();
    size_t bytes = 0; /* of what peers have chosen */
    for (uint32_t i = 0; i < outbound->inflight_capacity &&
                         json_array_size(out) < EXCHANGES_SHOWN && bytes < BYTES_SHOWN;
         i++) {
        const struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier == 0)
            continue;
        const struct fsm_machine *machine =
            exchange->qos == 2 ? &outbound_qos2_machine : &outbound_qos1_machine;
        json_t *one = json_pack("{s:i, s:i, s:s, s:s, s:s}", "packet_identifier",
                                exchange->packet_identifier, "qos", exchange->qos, "machine",
                                machine->name, "state", machine->state_names[exchange->state],
                                "text", machine->state_texts[exchange->state]);
        bytes += exchange->message != NULL ? exchange->message->stored.topic.size : 0;
        if (exchange->message != NULL)
            json_object_set_new(one, "topic", verb_json_text(exchange->message->stored.topic));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *machine_view(const struct fsm_machine *machine, uint8_t state)
{
    json_t *states = json_array();
    for (unsigned i = 0; i < machine->state_count; i++)
        json_array_append_new(states, json_string(machine->state_names[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", machine->name, "title", machine->title,
                     "state", machine->state_names[state], "text", machine->state_texts[state],
                     "states", states);
}

static json_t *machines_of(const struct session *session)
{
    json_t *out = json_array();
    if (session->connection != NULL)
        json_array_append_new(out, machine_view(&connection_machine, session->connection->state));
    json_array_append_new(out, machine_view(&session_machine, session->state));
    json_array_append_new(out, machine_view(&will_machine, session->will_state));
    return out;
}

static json_t *step_view(const struct worker *worker, const struct recorder_entry *entry)
{
    json_int_t ago_ms = (json_int_t)(uint32_t)((uint32_t)worker->now_ms - entry->at_ms);
    if (entry->kind == RECORDER_DROP)
        return json_pack("{s:I, s:s, s:s}", "ago_ms", ago_ms, "dropped", drop_topic(entry->state),
                         "text", drop_text((enum drop_reason)entry->state));
    if (entry->kind == RECORDER_NO_LOCAL)
        return json_pack("{s:I, s:s, s:s}", "ago_ms", ago_ms, "dropped", "no_local", "text",
                         "its own message, kept from it by No Local");
    const struct fsm_machine *machine = fsm_machines[entry->kind];
    const struct fsm_row *row = &machine->rows[entry->state * machine->event_count + entry->event];
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "ago_ms", ago_ms, "machine",
                     machine->name, "from", machine->state_names[entry->state], "event",
                     machine->event_names[entry->event], "to", machine->state_names[row->next],
                     "text", machine->event_texts[entry->event], "why", row->why, "instance",
                     (json_int_t)entry->instance);
}

static json_t *steps_of(const struct worker *worker, const struct session *session)
{
    const struct recorder_ring *ring = recorder_ring(worker, session);
    json_t *out = json_array();
    for (unsigned i = 0; recorder_is_of(ring, session) && i < ring->count; i++)
        json_array_append_new(out, step_view(worker, recorder_at(ring, i)));
    return out;
}

static json_t *drops_of(const struct session *session)
{
    json_t *out = json_object();
    for (unsigned i = 0; session->drops != NULL && i < DROP_COUNT; i++) {
        if (session->drops->count[i] > 0)
            json_object_set_new(out, drop_topic(i),
                                json_integer((json_int_t)session->drops->count[i]));
    }
    return out;
}

static json_t *limits_of(const struct worker *worker, const struct session *session)
{
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    const struct connection *connection = session->connection;
    json_t *out =
        json_pack("{s:I, s:I, s:I}", "max_queued_messages", (json_int_t)mqtt->max_queued_messages,
                  "max_queued_bytes", (json_int_t)mqtt->max_queued_bytes, "max_subscriptions",
                  (json_int_t)mqtt->max_subscriptions_per_session);
    if (connection == NULL)
        return out;
    json_object_set_new(out, "receive_maximum", json_integer(connection->receive_maximum));
    json_object_set_new(out, "send_quota", json_integer(connection->send_quota));
    json_object_set_new(out, "maximum_packet_size",
                        json_integer((json_int_t)connection->maximum_packet_size));
    json_object_set_new(out, "unsent_bytes",
                        json_integer((json_int_t)connection_backlog(connection)));
    return out;
}

json_t *session_view(struct worker *worker, const struct session *session)
{
    json_t *out = session_view_line(worker, session);
    if (out == NULL)
        return NULL;
    if (session->expiry_interval_s != UINT32_MAX)
        json_object_set_new(out, "expiry_interval_s",
                            json_integer((json_int_t)session->expiry_interval_s));
    json_object_set_new(out, "queued_bytes",
                        json_integer((json_int_t)session->outbound.queued_bytes));
    json_object_set_new(out, "queue_full",
                        json_boolean((session_facts(session) & SESSION_FACT_FULL) != 0));
    json_object_set_new(out, "limits", limits_of(worker, session));
    json_object_set_new(out, "subscribed", subscriptions_of(session));
    json_object_set_new(out, "exchanges", exchanges_of(session));
    json_object_set_new(out, "machines", machines_of(session));
    json_object_set_new(out, "steps", steps_of(worker, session));
    json_object_set_new(out, "dropped", drops_of(session));
    return out;
}
