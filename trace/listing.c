#include "trace/listing.h"

#include <stdlib.h>
#include <string.h>

static json_t *start_line(const struct record *record)
{
    return json_pack("{s:s*, s:s*, s:I, s:i}", "time", record->time, "start", record->start, "boot",
                     (json_int_t)record->boot, "workers", (int)record->workers);
}

static json_t *lost_line(const struct record *record)
{
    return json_pack("{s:s*, s:i, s:I}", "time", record->time, "worker", (int)record->worker,
                     "lost", (json_int_t)record->lost);
}

static void set_number(json_t *line, const char *key, uint64_t value)
{
    if (value > 0)
        json_object_set_new(line, key, json_integer((json_int_t)value));
}

static json_t *step_line(const struct record *record)
{
    const struct fsm_machine *machine = record->machine;
    json_t *line =
        json_pack("{s:s*, s:s, s:I, s:i}", "time", record->time, "session", record->session,
                  "incarnation", (json_int_t)record->incarnation, "worker", (int)record->worker);
    set_number(line, fsm_is_of_connection(machine) ? "connection" : "packet_identifier",
               record->instance);
    json_object_set_new(line, "machine", json_string(machine->name));
    json_object_set_new(line, "state", json_string(machine->state_names[record->state]));
    json_object_set_new(line, "event", json_string(machine->event_names[record->event]));
    json_object_set_new(line, "next", json_string(machine->state_names[record->next]));
    json_object_set(line, "actions", (json_t *)record->actions);
    json_object_set(line, "statements", (json_t *)record->statements);
    set_number(line, "lsn", record->lsn);
    return line;
}

static json_t *line_of(const struct record *record)
{
    switch (record->kind) {
    case RECORD_START:
        return start_line(record);
    case RECORD_LOST:
        return lost_line(record);
    default:
        return step_line(record);
    }
}

void listing_print(struct record_reader *reader, const char *client, struct record *out_wrong,
                   FILE *out)
{
    struct record record;
    for (record_next(reader, &record); record.kind != RECORD_END && record.kind != RECORD_WRONG;
         record_next(reader, &record)) {
        if (record.kind == RECORD_STEP && client != NULL && strcmp(record.session, client) != 0)
            continue;
        json_t *line = line_of(&record);
        if (line == NULL)
            abort();
        json_dumpf(line, out, JSON_COMPACT);
        fputc('\n', out);
        json_decref(line);
    }
    *out_wrong = record;
}
