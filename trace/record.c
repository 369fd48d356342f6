#include "trace/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A Client Identifier has up to 65,535 bytes, of each of which JSON makes six at most. */
enum { ROWS_MAX = 4096, SLOTS_MAX = 4096, RECENT_MAX = 8, LINE_MAX_SIZE = 1 << 20 };

struct short_step {
    uint64_t row, slot, instance, lsn;
};

/* What numbers in the lines stand for. */
struct said {
    json_t *time; /* the object of the last line that told the time of steps */
    json_t *rows[ROWS_MAX];
    json_t *slots[SLOTS_MAX];
    struct short_step recent[RECENT_MAX]; /* of the worker that `time` names */
    unsigned recent_count, recent_next;
};

struct record_reader {
    FILE *file;
    uint64_t line;
    char *text; /* LINE_MAX_SIZE bytes */
    json_t *json;
    bool whole;         /* the line had an end */
    struct record held; /* read, and not given out yet */
    bool has_held;
    struct said said;
};

struct record_reader *record_open(const char *path)
{
    struct record_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    reader->text = malloc(LINE_MAX_SIZE);
    if (reader->file == NULL || reader->text == NULL) {
        int error = errno;
        record_close(reader);
        errno = error;
        return NULL;
    }
    return reader;
}

static void forget(struct said *said)
{
    json_decref(said->time);
    for (unsigned i = 0; i < ROWS_MAX; i++)
        json_decref(said->rows[i]);
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        json_decref(said->slots[i]);
    *said = (struct said){0};
}

void record_close(struct record_reader *reader)
{
    if (reader->file != NULL && reader->file != stdin)
        fclose(reader->file);
    json_decref(reader->json);
    forget(&reader->said);
    free(reader->text);
    free(reader);
}

__attribute__((format(printf, 2, 3))) static void wrong(struct record *record, const char *format,
                                                        ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(record->wrong, sizeof record->wrong, format, arguments);
    va_end(arguments);
    record->kind = RECORD_WRONG;
}

static uint64_t number(const json_t *json, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(json, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* Finds the name that stands under `key`; false: it is none of these. */
static bool find_name(struct record *record, const json_t *json, const char *key,
                      const char *const *names, unsigned count, uint8_t *out)
{
    const char *name = json_string_value(json_object_get(json, key));
    for (unsigned i = 0; name != NULL && i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (uint8_t)i;
            return true;
        }
    }
    if (name == NULL)
        wrong(record, "there is no \"%s\"", key);
    else
        wrong(record, "%s has no %s %s", record->machine->name, strcmp(key, "next") ? key : "state",
              name);
    return false;
}

static bool find_machine(struct record *record, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "machine"));
    for (unsigned i = 0; name != NULL && fsm_machines[i] != NULL; i++) {
        if (strcmp(name, fsm_machines[i]->name) == 0) {
            record->machine = fsm_machines[i];
            return true;
        }
    }
    wrong(record, name == NULL ? "there is no \"machine\"" : "there is no machine %s", name);
    return false;
}

/* The row of the table: of the line itself, or of the one to which it refers. */
static bool read_row(struct record *record, const json_t *json)
{
    if (!find_machine(record, json))
        return false;
    const struct fsm_machine *machine = record->machine;
    record->actions = json_object_get(json, "actions");
    record->statements = json_object_get(json, "statements");
    return find_name(record, json, "state", machine->state_names, machine->state_count,
                     &record->state) &&
           find_name(record, json, "event", machine->event_names, machine->event_count,
                     &record->event) &&
           find_name(record, json, "next", machine->state_names, machine->state_count,
                     &record->next);
}

static void read_session(struct record *record, const json_t *json)
{
    record->session = json_string_value(json_object_get(json, "session"));
    record->incarnation = number(json, "incarnation");
}

/* A line that says everything itself, as `trace show` prints it. */
static void read_long_step(struct record *record, const json_t *json)
{
    if (!read_row(record, json))
        return;
    read_session(record, json);
    record->lsn = number(json, "lsn");
    record->instance = (uint32_t)number(
        json, fsm_is_of_connection(record->machine) ? "connection" : "packet_identifier");
    if (!json_is_array(record->actions) || !json_is_array(record->statements) ||
        record->session == NULL || !json_is_integer(json_object_get(json, "worker")))
        wrong(record, "\"session\", \"worker\", \"actions\" or \"statements\" is missing");
}

static void keep(json_t **place, json_t *json)
{
    json_decref(*place);
    *place = json_incref(json);
}

static unsigned worker_of(const json_t *json)
{
    return (unsigned)number(json, "worker");
}

/* Takes in a line to which later ones refer; false: it is another. */
static bool read_said(struct said *said, json_t *json)
{
    uint64_t row = number(json, "row"), slot = number(json, "slot");
    if (json_object_get(json, "row") != NULL && row < ROWS_MAX) {
        keep(&said->rows[row], json);
    } else if (json_object_get(json, "slot") != NULL && slot < SLOTS_MAX) {
        keep(&said->slots[slot], json);
    } else if (json_object_get(json, "time") != NULL && json_object_get(json, "worker") != NULL &&
               json_object_size(json) == 2) {
        if (said->time != NULL && worker_of(said->time) != worker_of(json))
            said->recent_count = 0;
        keep(&said->time, json);
    } else {
        return false;
    }
    return true;
}

static void remember(struct said *said, const struct short_step *step)
{
    said->recent[said->recent_next] = *step;
    said->recent_next = (said->recent_next + 1) % RECENT_MAX;
    if (said->recent_count < RECENT_MAX)
        said->recent_count++;
}

static void read_short_step(struct record *record, struct said *said, const struct short_step *step)
{
    record->kind = RECORD_STEP;
    if (said->time == NULL || step->row >= ROWS_MAX || said->rows[step->row] == NULL ||
        step->slot >= SLOTS_MAX || said->slots[step->slot] == NULL) {
        wrong(record, "no line before it says its time, its row and its session");
        return;
    }
    remember(said, step);
    record->time = json_string_value(json_object_get(said->time, "time"));
    record->worker = worker_of(said->time);
    if (!read_row(record, said->rows[step->row]))
        return;
    read_session(record, said->slots[step->slot]);
    record->instance = (uint32_t)step->instance;
    record->lsn = step->lsn;
    if (!json_is_array(record->actions) || !json_is_array(record->statements) ||
        record->session == NULL)
        wrong(record, "\"session\", \"actions\" or \"statements\" is missing before it");
}

static uint64_t element(const json_t *json, size_t index)
{
    json_int_t value = json_integer_value(json_array_get(json, index));
    return value > 0 ? (uint64_t)value : 0;
}

/* n: as n steps before; -n: the same with an instance one higher. */
static void read_like(struct record *record, struct said *said, json_int_t n)
{
    if (n == 0 || n > (json_int_t)said->recent_count || n < -(json_int_t)said->recent_count) {
        wrong(record, "a step like one before, which is not there");
        return;
    }
    unsigned distance = (unsigned)(n < 0 ? -n : n);
    struct short_step step = said->recent[(said->recent_next + RECENT_MAX - distance) % RECENT_MAX];
    step.lsn = 0;
    step.instance += n < 0;
    read_short_step(record, said, &step);
}

static void read_object(struct record *record, struct said *said, const json_t *json)
{
    said->recent_count = 0; /* another block begins */
    record->time = json_string_value(json_object_get(json, "time"));
    record->worker = worker_of(json);
    if (json_object_get(json, "start") != NULL) {
        record->kind = RECORD_START;
        record->start = json_string_value(json_object_get(json, "start"));
        record->workers = (unsigned)number(json, "workers");
        record->boot = (uint32_t)number(json, "boot");
    } else if (json_object_get(json, "lost") != NULL) {
        record->kind = RECORD_LOST;
        record->lost = number(json, "lost");
    } else {
        record->kind = RECORD_STEP;
        read_long_step(record, json);
    }
}

/* The size of the next line, of which the beginning is kept; 0: the file has ended. */
static uint64_t read_text(struct record_reader *reader)
{
    uint64_t size = 0;
    int c;
    reader->whole = false;
    while (!reader->whole && (c = getc_unlocked(reader->file)) != EOF) {
        reader->whole = c == '\n';
        if (size < LINE_MAX_SIZE)
            reader->text[size] = (char)c;
        size++;
    }
    reader->line++;
    return size;
}

static void parse_line(struct record_reader *reader, uint64_t size, struct record *out)
{
    json_error_t error;
    if (size > LINE_MAX_SIZE) {
        reader->json = json_null(); /* no line that was torn is as long */
        wrong(out, "a line of %" PRIu64 " bytes; none has more than %d", size, LINE_MAX_SIZE);
        return;
    }
    reader->json =
        json_loadb(reader->text, (size_t)size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (reader->json == NULL)
        wrong(out, "no JSON: %.200s", error.text);
}

/* Reads a line that is not empty; false: there is none any more. */
static bool next_line(struct record_reader *reader, struct record *out)
{
    uint64_t size;
    *out = (struct record){.kind = RECORD_END};
    do
        size = read_text(reader);
    while (size == 1 && reader->whole);
    json_decref(reader->json);
    reader->json = NULL;
    if (size == 0)
        return false;
    out->line = reader->line;
    parse_line(reader, size, out);
    return true;
}

static void read_line(struct record_reader *reader, struct record *out)
{
    while (next_line(reader, out) && out->kind != RECORD_WRONG) {
        struct said *said = &reader->said;
        const json_t *json = reader->json;
        if (json_is_array(json)) {
            struct short_step step = {element(json, 0), element(json, 1), element(json, 2),
                                      element(json, 3)};
            read_short_step(out, said, &step);
            return;
        }
        if (json_is_integer(json)) {
            read_like(out, said, json_integer_value(json));
            return;
        }
        if (!json_is_object(json)) {
            wrong(out, "neither an object nor an array nor a number");
            return;
        }
        if (!read_said(said, reader->json)) {
            read_object(out, said, json);
            return;
        }
    }
}

/* A line that was not written to its end is followed by one that says so: a start, a loss, or the
 * end of the file. */
void record_next(struct record_reader *reader, struct record *out)
{
    if (reader->has_held) {
        *out = reader->held;
        reader->has_held = false;
        return;
    }
    read_line(reader, out);
    if (out->kind != RECORD_WRONG || reader->json != NULL)
        return;
    struct record torn = *out;
    bool whole = reader->whole;
    read_line(reader, out);
    if ((out->kind == RECORD_END && !whole) || out->kind == RECORD_START ||
        out->kind == RECORD_LOST)
        return;
    reader->held = *out;
    reader->has_held = true;
    *out = torn;
}
