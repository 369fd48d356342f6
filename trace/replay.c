#include "trace/replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 256 };

/* Where each machine is, under a name of its own: a number of its state, its worker and its line.
 */
struct replay {
    json_t *machines;
    uint32_t boot;
    uint64_t lsn[WORKERS_MAX]; /* the last */
    bool gap[WORKERS_MAX];     /* lines of this run are missing */
};

enum { STATE_BITS = 8, WORKER_BITS = 8 };

static json_t *place_of(const struct record *record)
{
    return json_integer((json_int_t)(record->line << (STATE_BITS + WORKER_BITS) |
                                     (uint64_t)record->worker << STATE_BITS | record->next));
}

static unsigned place_state(const json_t *place)
{
    return (unsigned)json_integer_value(place) & ((1u << STATE_BITS) - 1);
}

static unsigned place_worker(const json_t *place)
{
    return (unsigned)(json_integer_value(place) >> STATE_BITS) & ((1u << WORKER_BITS) - 1);
}

static uint64_t place_line(const json_t *place)
{
    return (uint64_t)json_integer_value(place) >> (STATE_BITS + WORKER_BITS);
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct record *record, const char *format,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(record->wrong, sizeof record->wrong, format, arguments);
    va_end(arguments);
    record->kind = RECORD_WRONG;
    return false;
}

/* ---- One row ---- */

static bool same_actions(const struct record *record, const struct fsm_row *row)
{
    if (json_array_size(record->actions) != row->step_count)
        return false;
    for (unsigned i = 0; i < row->step_count; i++) {
        const char *name = json_string_value(json_array_get(record->actions, i));
        if (name == NULL || strcmp(name, record->machine->action_names[row->steps[i]]) != 0)
            return false;
    }
    return true;
}

/* Each is cited by the row, which says more. */
static bool same_statements(const struct record *record, const struct fsm_row *row)
{
    for (size_t i = 0; i < json_array_size(record->statements); i++) {
        const char *statement = json_string_value(json_array_get(record->statements, i));
        if (statement == NULL || strstr(row->why, statement) == NULL)
            return false;
    }
    return json_array_size(record->statements) > 0;
}

static bool check_row(struct record *record)
{
    const struct fsm_machine *machine = record->machine;
    const struct fsm_row *row =
        &machine->rows[record->state * machine->event_count + record->event];
    const char *state = machine->state_names[record->state];
    const char *event = machine->event_names[record->event];
    if (row->why == NULL)
        return refuse(record, "%s in %s cannot occur: %s", event, state, row->never);
    if (row->next != record->next)
        return refuse(record, "%s in %s leads to %s, not to %s [%s]", event, state,
                      machine->state_names[row->next], machine->state_names[record->next],
                      row->why);
    if (!same_actions(record, row))
        return refuse(record, "%s in %s has other actions [%s]", event, state, row->why);
    if (!same_statements(record, row))
        return refuse(record, "%s in %s rests on other statements [%s]", event, state, row->why);
    return true;
}

/* ---- One machine after another ---- */

/* Where a machine may be when it is seen for the first time: at its beginning, or where the store
 * has it, if its session is from an earlier run. */
static bool may_start(const struct replay *replay, const struct record *record)
{
    static const uint8_t restored[FSM_MACHINE_COUNT] = {
        [SESSION_MACHINE] = 1 << SESSION_STATE_CONNECTED | 1 << SESSION_STATE_DISCONNECTED,
        [WILL_MACHINE] = 1 << WILL_STATE_ARMED | 1 << WILL_STATE_DELAYED,
        [INBOUND_QOS2_MACHINE] = 1 << INBOUND_QOS2_STATE_HELD,
        [OUTBOUND_QOS1_MACHINE] = 1 << OUTBOUND_QOS1_STATE_UNACKNOWLEDGED,
        [OUTBOUND_QOS2_MACHINE] =
            1 << OUTBOUND_QOS2_STATE_UNACKNOWLEDGED | 1 << OUTBOUND_QOS2_STATE_UNRELEASED,
    };
    if (record->state == 0 || replay->gap[record->worker])
        return true;
    return record->incarnation >> 32 < replay->boot &&
           (restored[record->machine->number] >> record->state & 1) != 0;
}

/* Its record goes with its last state. */
static bool is_gone(const struct record *record)
{
    return (record->machine->number == INBOUND_QOS2_MACHINE &&
            record->next == INBOUND_QOS2_STATE_FREE) ||
           (record->machine->number == OUTBOUND_QOS1_MACHINE &&
            record->next == OUTBOUND_QOS1_STATE_DONE) ||
           (record->machine->number == OUTBOUND_QOS2_MACHINE &&
            record->next == OUTBOUND_QOS2_STATE_DONE);
}

static bool check_place(struct replay *replay, struct record *record)
{
    char name[96];
    bool connection = fsm_is_of_connection(record->machine);
    if (!connection && record->incarnation == 0)
        return true; /* its session has ended: nothing follows */
    snprintf(name, sizeof name, "%s %" PRIu64 " %" PRIu32, record->machine->name,
             connection ? record->worker : record->incarnation, record->instance);
    const char *state = record->machine->state_names[record->state];
    const json_t *place = json_object_get(replay->machines, name);
    if (place == NULL && !may_start(replay, record))
        return refuse(record, "%s is not where it begins", state);
    if (place != NULL && place_state(place) != record->state)
        return refuse(record, "it is in %s since line %" PRIu64 ", not in %s",
                      record->machine->state_names[place_state(place)], place_line(place), state);
    if (is_gone(record))
        json_object_del(replay->machines, name);
    else
        json_object_set_new(replay->machines, name, place_of(record));
    return true;
}

/* What waits for the disk is released in the order of the log sequence numbers. */
static bool check_lsn(struct replay *replay, struct record *record)
{
    uint64_t *last = &replay->lsn[record->worker];
    if (record->lsn > 0 && record->lsn < *last)
        return refuse(record,
                      "it waited for log sequence number %" PRIu64 ", and %" PRIu64
                      " was released before [MQTT-4.6.0-2]",
                      record->lsn, *last);
    if (record->lsn > 0)
        *last = record->lsn;
    return true;
}

static bool check_step(struct replay *replay, struct record *record)
{
    if (record->worker >= WORKERS_MAX)
        return refuse(record, "there is no worker %u", record->worker);
    return check_row(record) && check_place(replay, record) && check_lsn(replay, record);
}

static void begin_run(struct replay *replay, const struct record *record)
{
    json_object_clear(replay->machines);
    replay->boot = record->boot;
    memset(replay->lsn, 0, sizeof replay->lsn);
    memset(replay->gap, 0, sizeof replay->gap);
}

/* Where the machines of this worker are is not known any more. */
static void leave_gap(struct replay *replay, const struct record *record)
{
    const char *name;
    json_t *place;
    void *next;
    json_object_foreach_safe(replay->machines, next, name, place)
    {
        if (place_worker(place) == record->worker)
            json_object_del(replay->machines, name);
    }
    if (record->worker < WORKERS_MAX)
        replay->gap[record->worker] = true;
}

void replay_check(struct record_reader *reader, struct replay_result *out)
{
    struct replay *replay = calloc(1, sizeof *replay);
    struct record record;
    *out = (struct replay_result){0};
    if (replay == NULL || (replay->machines = json_object()) == NULL)
        abort();
    for (record_next(reader, &record); record.kind != RECORD_END && record.kind != RECORD_WRONG;
         record_next(reader, &record)) {
        if (record.kind == RECORD_START) {
            begin_run(replay, &record);
            out->runs++;
        } else if (record.kind == RECORD_LOST) {
            leave_gap(replay, &record);
            out->lost += record.lost;
        } else if (out->runs == 0) {
            refuse(&record, "no run has begun");
        } else if (check_step(replay, &record)) {
            out->steps++;
        }
        if (record.kind == RECORD_WRONG)
            break;
    }
    out->wrong = record;
    json_decref(replay->machines);
    free(replay);
}
