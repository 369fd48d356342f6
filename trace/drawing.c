#include "trace/drawing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum kind { EVENT, ACTION };

enum { TEXT_MAX = 512 };

struct arrow {
    uint8_t machine, kind, number, from, to;
    const char *text;
};

static const struct arrow arrows[] = {
#define ARROW(machine, kind, name, from, to, text)                                                 \
    {machine##_MACHINE, kind, machine##_##kind##_##name, from, to, text},
#include "trace/arrow.def"
#undef ARROW
};

static const struct arrow *arrow_of(const struct record *record, enum kind kind, unsigned number)
{
    for (size_t i = 0; i < sizeof arrows / sizeof *arrows; i++) {
        if (arrows[i].machine == record->machine->number && arrows[i].kind == kind &&
            arrows[i].number == number)
            return &arrows[i];
    }
    return NULL;
}

static void draw_arrow(struct sheet *sheet, const struct record *record, const struct arrow *arrow)
{
    char text[TEXT_MAX];
    int size;
    if (arrow == NULL)
        return;
    size = snprintf(text, sizeof text, "%s", arrow->text);
    if (record->instance > 0 && !fsm_is_of_connection(record->machine))
        size +=
            snprintf(text + size, sizeof text - (size_t)size, " (%" PRIu32 ")", record->instance);
    if (arrow->from == DISK && record->lsn > 0)
        snprintf(text + size, sizeof text - (size_t)size, ", log sequence number %" PRIu64,
                 record->lsn);
    sheet->kind->arrow(sheet, arrow->from, arrow->to, text);
}

static void cite(const struct record *record, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(record->statements) && used < size; i++) {
        const char *id = json_string_value(json_array_get(record->statements, i));
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ", ", id);
    }
}

static void draw_note(struct sheet *sheet, const struct record *record)
{
    const char *const *states = record->machine->state_names;
    char text[TEXT_MAX], statements[TEXT_MAX], number[16] = "";
    if (record->instance > 0)
        snprintf(number, sizeof number, " %" PRIu32, record->instance);
    snprintf(text, sizeof text, "%s%s, %s: %s%s%s", record->machine->name, number,
             record->machine->event_names[record->event],
             record->state == record->next ? "stays " : states[record->state],
             record->state == record->next ? "" : " to ", states[record->next]);
    cite(record, statements, sizeof statements);
    sheet->kind->note(sheet, text, statements);
}

static void draw_actions(struct sheet *sheet, const struct record *record)
{
    for (size_t i = 0; i < json_array_size(record->actions); i++) {
        const char *name = json_string_value(json_array_get(record->actions, i));
        for (unsigned a = 0; name != NULL && a < record->machine->action_count; a++) {
            if (strcmp(record->machine->action_names[a], name) == 0)
                draw_arrow(sheet, record, arrow_of(record, ACTION, a));
        }
    }
}

/* One that goes to its handler: a machine that it moves says next which it was. */
static bool is_packet(const struct record *record)
{
    return record->machine->number == CONNECTION_MACHINE &&
           record->event == CONNECTION_EVENT_PACKET && record->next == record->state;
}

static void draw_packet(struct sheet *sheet)
{
    sheet->kind->arrow(sheet, CLIENT, BROKER, "a packet");
}

/* `packet`: a packet came before this step, and no machine has said yet which. */
static void draw_step(struct sheet *sheet, const struct record *record, bool packet)
{
    const struct arrow *arrow = arrow_of(record, EVENT, record->event);
    bool named =
        arrow != NULL && arrow->from == CLIENT && record->machine->number != CONNECTION_MACHINE;
    if (packet && !named)
        draw_packet(sheet);
    if (is_packet(record))
        return;
    draw_arrow(sheet, record, arrow);
    draw_note(sheet, record);
    draw_actions(sheet, record);
}

void drawing_print(struct record_reader *reader, const char *client, struct sheet *sheet,
                   struct drawing_result *result)
{
    struct record record;
    bool packet = false;
    *result = (struct drawing_result){0};
    sheet->kind->begin(sheet, client[0] != '\0' ? client : "no Client Identifier");
    for (record_next(reader, &record); record.kind != RECORD_END && record.kind != RECORD_WRONG;
         record_next(reader, &record)) {
        if (record.kind != RECORD_STEP) {
            sheet->kind->band(sheet, record.kind == RECORD_START ? "a run begins"
                                                                 : "steps are missing here");
        } else if (strcmp(record.session, client) == 0) {
            draw_step(sheet, &record, packet);
            packet = is_packet(&record);
            result->steps++;
        }
    }
    if (packet)
        draw_packet(sheet);
    sheet->kind->end(sheet);
    result->wrong = record;
}
