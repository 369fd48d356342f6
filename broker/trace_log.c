#include "broker/trace_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/mailbox.h"
#include "fsm/machines.h"

enum {
    STEP_SIZE = 1024,              /* a step with the time and the row before it */
    SESSION_SIZE = 64 + 6 * 65535, /* a byte of a Client Identifier may need six */
    BLOCK_FULL = 128 * 1024,
    BLOCK_SIZE = BLOCK_FULL + STEP_SIZE + SESSION_SIZE,
    BLOCKS = 6,     /* of each worker */
    SLOTS = 1024,   /* sessions that a block can refer to at a time */
    RECENT = 8,     /* steps to which another may be said to be like; a power of two */
    SAY_MS = 10000, /* how often it is said what is lost */
    TIME_SIZE = 32,
};

/* A number of up to five digits and a comma, ready to be copied: steps are many. */
struct figure {
    char text[7];
    uint8_t size;
};

/* Says all that its steps refer to: blocks before it may be missing. */
struct block {
    unsigned worker;
    uint32_t steps;
    uint64_t lost; /* steps that were left out before it */
    size_t size;
    char text[BLOCK_SIZE];
};

struct slot {
    uint64_t incarnation;
    uint32_t block; /* in which it was said */
    struct figure figure;
};

/* The last steps of the block: row, slot and instance in one number, with a gap behind each. */
struct recent {
    uint64_t keys[RECENT];
    unsigned next;     /* counts steps */
    unsigned distance; /* at which one was like another last: traffic repeats itself */
};

struct trace_writer {
    struct trace_log *log;
    struct mailbox *full, *empty;
    struct block *block; /* to be filled; NULL: none is free */
    unsigned index;
    uint64_t lost;
    uint64_t time_ms;      /* that the block said last */
    uint32_t block_number; /* of `block`, 1 and up */
    uint32_t *row_block;   /* by row: the block in which it was said */
    struct slot slots[SLOTS];
    struct recent recent;
    uint64_t unwritten; /* the thread's: steps that were lost since the last one in the file */
};

/* A machine's rows as they are said: the lines of all cells, one behind the other. */
struct trace_rows {
    struct buffer text;
    size_t *offsets; /* by cell */
    struct figure *figures;
    unsigned first; /* the number of its first row */
};

struct trace_log {
    int fd;
    int error; /* of the last write that failed, until it is said */
    unsigned writer_count;
    struct trace_writer *writers;
    struct trace_rows rows[FSM_MACHINE_COUNT];
    unsigned row_count; /* of all machines */
    uint64_t lost, said, said_ms;
    bool torn; /* the last line in the file is not whole */
    bool running;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool passed_on, closing; /* under the mutex */
};

/* ---- Lines ---- */

static char *put_text(char *p, const char *text)
{
    size_t size = strlen(text);
    memcpy(p, text, size);
    return p + size;
}

static enum status append(struct buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

static char *put_number(char *p, uint64_t value)
{
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *p++ = digits[--count];
    return p;
}

static struct figure figure_of(unsigned number)
{
    struct figure figure;
    char *end = put_number(figure.text, number);
    *end++ = ',';
    figure.size = (uint8_t)(end - figure.text);
    return figure;
}

/* Copies more than it needs: there is room. */
static char *put_figure(char *p, const struct figure *figure)
{
    memcpy(p, figure->text, sizeof figure->text);
    return p + figure->size;
}

/* Client Identifiers are UTF-8, and so is JSON. */
static char *put_quoted(char *p, struct bytes text)
{
    static const char hex[] = "0123456789abcdef";
    *p++ = '"';
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte < 0x20) {
            p = put_text(p, "\\u00");
            *p++ = hex[byte >> 4];
            *p++ = hex[byte & 15];
            continue;
        }
        if (byte == '"' || byte == '\\')
            *p++ = '\\';
        *p++ = (char)byte;
    }
    *p++ = '"';
    return p;
}

/* Returns its end. */
static char *time_text(char out[TIME_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(out + used, TIME_SIZE - used, ".%03ldZ", now.tv_nsec / 1000000);
    return out + used;
}

/* The statements and sections that a row cites: what stands before the first ": ". */
static enum status append_statements(struct buffer *out, const char *why)
{
    const char *end = strstr(why, ": ");
    if (end == NULL)
        end = why + strlen(why);
    while (why < end) {
        size_t size = strcspn(why, ",;");
        if (size > (size_t)(end - why))
            size = (size_t)(end - why);
        TRY(append(out, "\""));
        TRY(buffer_append(out, why, size));
        why += size + strspn(why + size, ",; ");
        TRY(append(out, why < end ? "\"," : "\""));
    }
    return STATUS_OK;
}

static enum status append_row(struct buffer *out, unsigned number,
                              const struct fsm_machine *machine, unsigned cell)
{
    const struct fsm_row *row = &machine->rows[cell];
    char digits[TIME_SIZE];
    snprintf(digits, sizeof digits, "{\"row\":%u,", number);
    const char *const parts[] = {
        digits,
        "\"machine\":\"",
        machine->name,
        "\",\"state\":\"",
        machine->state_names[cell / machine->event_count],
        "\",\"event\":\"",
        machine->event_names[cell % machine->event_count],
        "\",\"next\":\"",
        machine->state_names[row->next],
        "\",\"actions\":[",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        TRY(append(out, parts[i]));
    for (unsigned i = 0; i < row->step_count; i++) {
        TRY(append(out, i > 0 ? ",\"" : "\""));
        TRY(append(out, machine->action_names[row->steps[i]]));
        TRY(append(out, "\""));
    }
    TRY(append(out, "],\"statements\":["));
    TRY(append_statements(out, row->why));
    return append(out, "]}\n");
}

/* The line that says a row, for each row, made once. */
static enum status make_rows(struct trace_log *log, const struct fsm_machine *machine)
{
    struct trace_rows *rows = &log->rows[machine->number];
    unsigned count = (unsigned)machine->state_count * machine->event_count;
    rows->first = log->row_count;
    log->row_count += count;
    rows->offsets = calloc(count + 1, sizeof *rows->offsets);
    rows->figures = calloc(count, sizeof *rows->figures);
    if (rows->offsets == NULL || rows->figures == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < count; i++) {
        if (machine->rows[i].why != NULL)
            TRY(append_row(&rows->text, rows->first + i, machine, i));
        rows->offsets[i + 1] = rows->text.size;
        rows->figures[i] = figure_of(rows->first + i);
        CHECK(rows->offsets[i + 1] - rows->offsets[i] < STEP_SIZE / 2);
    }
    return STATUS_OK;
}

static char *put_time(char *p, struct trace_writer *writer, uint64_t now_ms)
{
    writer->time_ms = now_ms;
    p = put_text(p, "{\"time\":\"");
    p = time_text(p);
    p = put_text(p, "\",\"worker\":");
    p = put_number(p, writer->index);
    return put_text(p, "}\n");
}

static char *put_row(char *p, struct trace_writer *writer, const struct trace_rows *rows,
                     unsigned cell)
{
    size_t size = rows->offsets[cell + 1] - rows->offsets[cell];
    memcpy(p, rows->text.data + rows->offsets[cell], size);
    writer->row_block[rows->first + cell] = writer->block_number;
    return p + size;
}

static char *put_session(char *p, struct trace_writer *writer, const struct trace_line *line)
{
    unsigned slot = (unsigned)(line->incarnation % SLOTS);
    p = put_text(p, "{\"slot\":");
    p = put_number(p, slot);
    p = put_text(p, ",\"session\":");
    p = put_quoted(p, line->session);
    p = put_text(p, ",\"incarnation\":");
    p = put_number(p, line->incarnation);
    writer->slots[slot] = (struct slot){line->incarnation, writer->block_number, figure_of(slot)};
    return put_text(p, "}\n");
}

static bool session_is_said(const struct trace_writer *writer, const struct trace_line *line)
{
    const struct slot *slot = &writer->slots[line->incarnation % SLOTS];
    return slot->block == writer->block_number && slot->incarnation == line->incarnation &&
           (line->incarnation > 0 || line->session.size == 0);
}

/* ---- Steps that are like one before ----
 *
 * Packets come in batches, and what happens to them alternates. A number n alone is the step n
 * steps before, and -n the same with an instance one higher: the next Packet Identifier. */

enum { LIKE, LIKE_NEXT, LIKE_COUNT };
#define UNLIKE ((uint64_t)1 << 63) /* no key is as large */

static uint64_t key_of(unsigned row, unsigned slot, const struct trace_line *line)
{
    /* The last instance has no next. */
    if (line->lsn > 0 || line->instance == UINT32_MAX)
        return UNLIKE;
    return (uint64_t)(row * SLOTS + slot) << 32 | line->instance;
}

static void recent_forget(struct recent *recent)
{
    for (unsigned i = 0; i < RECENT; i++)
        recent->keys[i] = UNLIKE;
}

/* Whether one of the last steps is like this one: `distance` and the return value say how. */
static uint64_t recent_find(struct recent *recent, uint64_t key)
{
    uint64_t like = key - recent->keys[(recent->next - recent->distance) % RECENT];
    for (unsigned i = 1; like >= LIKE_COUNT && i <= RECENT; i++) {
        recent->distance = i;
        like = key - recent->keys[(recent->next - i) % RECENT];
    }
    return like;
}

static char *put_like(char *p, uint64_t like, unsigned distance)
{
#ifdef SEEDED_BUG_TRACE_LIKE_WRONG
    like = LIKE;
#endif
    if (like == LIKE_NEXT)
        *p++ = '-';
    *p++ = (char)('0' + distance);
    *p++ = '\n';
    return p;
}

/* [row, slot, instance, log sequence number], and before it what of that was not said yet. */
static char *put_step(char *p, struct trace_writer *writer, const struct trace_line *line)
{
    const struct trace_rows *rows = &writer->log->rows[line->machine->number];
    unsigned cell = line->state * line->machine->event_count + line->event;
    if (line->now_ms != writer->time_ms)
        p = put_time(p, writer, line->now_ms);
    if (writer->row_block[rows->first + cell] != writer->block_number)
        p = put_row(p, writer, rows, cell);
    if (!session_is_said(writer, line))
        p = put_session(p, writer, line);
    unsigned slot = (unsigned)(line->incarnation % SLOTS);
    uint64_t key = key_of(rows->first + cell, slot, line);
    uint64_t like = key != UNLIKE ? recent_find(&writer->recent, key) : LIKE_COUNT;
    writer->recent.keys[writer->recent.next++ % RECENT] = key;
    if (like < LIKE_COUNT)
        return put_like(p, like, writer->recent.distance);
    *p++ = '[';
    p = put_figure(p, &rows->figures[cell]);
    p = put_figure(p, &writer->slots[slot].figure);
    p = put_number(p, line->instance);
    if (line->lsn > 0) {
        *p++ = ',';
        p = put_number(p, line->lsn);
    }
    return put_text(p, "]\n");
}

/* ---- A worker's side ---- */

void trace_log_pass_on(struct trace_writer *writer)
{
    struct trace_log *log = writer->log;
    struct block *block = writer->block;
    if (block == NULL || block->steps == 0)
        return;
    bool posted = mailbox_post(writer->full, block);
    CHECK(posted); /* it has room for all blocks */
    writer->block = mailbox_take(writer->empty);
    pthread_mutex_lock(&log->mutex);
    log->passed_on = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->mutex);
}

void trace_log_add(struct trace_writer *writer, const struct trace_line *line)
{
    if (writer->block != NULL && writer->block->size >= BLOCK_FULL)
        trace_log_pass_on(writer);
    if (writer->block == NULL && (writer->block = mailbox_take(writer->empty)) == NULL) {
        writer->lost++;
        return;
    }
    struct block *block = writer->block;
    if (block->steps++ == 0) {
        block->lost = writer->lost;
        writer->lost = 0;
        writer->block_number++;
        writer->time_ms = UINT64_MAX;
        recent_forget(&writer->recent);
    }
    block->size = (size_t)(put_step(block->text + block->size, writer, line) - block->text);
}

/* ---- The thread's side ---- */

/* Returns how much of it. Whether that ends within a line is noted. */
static size_t write_all(struct trace_log *log, const char *text, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t written = write(log->fd, text + done, size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log->error = written < 0 && errno != EAGAIN ? errno : 0; /* 0: too slow */
            break;
        }
        done += (size_t)written;
        log->torn = text[done - 1] != '\n';
    }
    return done;
}

/* The steps that are in the file whole, when so much of the block is: whoever writes next closes a
 * line that lacks its end alone. */
static uint32_t steps_in(const struct block *block, size_t size)
{
    uint32_t steps = 0;
    if (size < block->size && block->text[size] == '\n')
        size++;
    const char *line = block->text, *end = block->text + size;
    for (const char *next; (next = memchr(line, '\n', (size_t)(end - line))) != NULL;
         line = next + 1)
        steps += *line != '{';
    return steps;
}

/* A line that says what is missing behind it, and closes one that was not written whole. */
static bool write_gap(struct trace_log *log, struct trace_writer *writer)
{
    char time[TIME_SIZE], text[128];
    time_text(time);
    int size =
        snprintf(text, sizeof text, "%s{\"time\":\"%s\",\"worker\":%u,\"lost\":%" PRIu64 "}\n",
                 log->torn ? "\n" : "", time, writer->index, writer->unwritten);
    size_t written = write_all(log, text, (size_t)size);
    if (written + 1 >= (size_t)size)
        writer->unwritten = 0; /* it is said, even where its end is missing */
    return written == (size_t)size;
}

static void say_lost(struct trace_log *log)
{
    uint64_t now_ms = broker_clock_ms();
    if (log->lost == log->said || (log->said > 0 && now_ms - log->said_ms < SAY_MS))
        return;
    log_line(LOG_WARNING, "trace: %" PRIu64 " steps left out so far: %s", log->lost,
             log->error != 0 ? strerror(log->error) : "the file is too slow");
    log->said = log->lost;
    log->said_ms = now_ms;
    log->error = 0;
}

static void write_block(struct trace_log *log, struct block *block)
{
    struct trace_writer *writer = &log->writers[block->worker];
    uint32_t lost = block->steps;
    writer->unwritten += block->lost;
    if ((writer->unwritten == 0 && !log->torn) || write_gap(log, writer)) {
        size_t written = write_all(log, block->text, block->size);
        lost = written < block->size ? lost - steps_in(block, written) : 0;
    }
    writer->unwritten += lost;
    log->lost += block->lost + lost;
    say_lost(log);
    block->lost = block->steps = 0;
    block->size = 0;
    mailbox_post(writer->empty, block);
}

static bool await_blocks(struct trace_log *log)
{
    pthread_mutex_lock(&log->mutex);
    while (!log->passed_on && !log->closing)
        pthread_cond_wait(&log->wake, &log->mutex);
    bool more = log->passed_on;
    log->passed_on = false;
    pthread_mutex_unlock(&log->mutex);
    return more;
}

static void *run(void *argument)
{
    struct trace_log *log = argument;
    memory_begin_thread();
    while (await_blocks(log)) {
        for (unsigned i = 0; i < log->writer_count; i++) {
            for (struct block *block; (block = mailbox_take(log->writers[i].full)) != NULL;)
                write_block(log, block);
        }
    }
    return NULL;
}

/* ---- Start and end ---- */

static enum status make_writer(struct trace_log *log, unsigned index)
{
    struct trace_writer *writer = &log->writers[index];
    *writer = (struct trace_writer){.log = log,
                                    .index = index,
                                    .full = mailbox_new(BLOCKS),
                                    .empty = mailbox_new(BLOCKS),
                                    .recent.distance = 1};
    writer->row_block = calloc(log->row_count, sizeof *writer->row_block);
    if (writer->full == NULL || writer->empty == NULL || writer->row_block == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct block *block = malloc(sizeof *block);
        if (block == NULL)
            return STATUS_NO_MEMORY;
        block->worker = index;
        block->lost = block->steps = 0;
        block->size = 0;
        mailbox_post(writer->empty, block);
    }
    return STATUS_OK;
}

/* A run begins: nothing of what stood in memory is left. The line before may be torn. */
static enum status write_start(struct trace_log *log, uint32_t boot)
{
    char time[TIME_SIZE], text[128];
    time_text(time);
    int size = snprintf(text, sizeof text,
                        "\n{\"time\":\"%s\",\"start\":\"holdfast %s\",\"boot\":%" PRIu32
                        ",\"workers\":%u}\n",
                        time, HOLDFAST_VERSION, boot, log->writer_count);
    return write_all(log, text, (size_t)size) == (size_t)size ? STATUS_OK : STATUS_IO;
}

static enum status open_all(struct trace_log *log, const char *path, unsigned workers,
                            uint32_t boot)
{
    /* A FIFO that nobody reads, or that is full, is no reason to stand still. */
    log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (log->fd < 0) {
        log->error = errno;
        return STATUS_IO;
    }
    log->writers = calloc(workers, sizeof *log->writers);
    if (log->writers == NULL)
        return STATUS_NO_MEMORY;
    log->writer_count = workers;
    for (unsigned i = 0; i < FSM_MACHINE_COUNT; i++)
        TRY(make_rows(log, fsm_machines[i]));
    for (unsigned i = 0; i < workers; i++)
        TRY(make_writer(log, i));
    TRY(write_start(log, boot));
    if (pthread_create(&log->thread, NULL, run, log) != 0)
        return STATUS_NO_MEMORY;
    pthread_setname_np(log->thread, "trace");
    log->running = true;
    return STATUS_OK;
}

enum status trace_log_try(const char *path, char *error, size_t error_size)
{
    int code = path != NULL ? file_obstacle(path) : 0;
    if (code == 0)
        return STATUS_OK;
    snprintf(error, error_size, "cannot write the trace \"%s\": %s", path, strerror(code));
    return STATUS_IO;
}

enum status trace_log_open(const char *path, unsigned workers, uint32_t boot,
                           struct trace_log **out, char *error, size_t error_size)
{
    struct trace_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return STATUS_NO_MEMORY;
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->wake, NULL);
    enum status status = open_all(log, path, workers, boot);
    if (status == STATUS_IO)
        snprintf(error, error_size, "cannot write the trace \"%s\": %s", path,
                 strerror(log->error));
    if (status != STATUS_OK) {
        trace_log_close(log);
        log = NULL;
    }
    *out = log;
    return status;
}

static void writer_fini(struct trace_writer *writer)
{
    free(writer->block);
    free(writer->row_block);
    if (writer->empty != NULL) {
        for (struct block *block; (block = mailbox_take(writer->empty)) != NULL;)
            free(block);
        mailbox_free(writer->empty);
    }
    if (writer->full != NULL)
        mailbox_free(writer->full);
}

void trace_log_close(struct trace_log *log)
{
    if (log == NULL)
        return;
    if (log->running) {
        pthread_mutex_lock(&log->mutex);
        log->closing = true;
        pthread_cond_signal(&log->wake);
        pthread_mutex_unlock(&log->mutex);
        pthread_join(log->thread, NULL);
        log->said_ms = 0;
        say_lost(log);
    }
    for (unsigned i = 0; i < log->writer_count; i++)
        writer_fini(&log->writers[i]);
    for (unsigned i = 0; i < FSM_MACHINE_COUNT; i++) {
        buffer_fini(&log->rows[i].text);
        free(log->rows[i].offsets);
        free(log->rows[i].figures);
    }
    free(log->writers);
    if (log->fd >= 0)
        close(log->fd);
    pthread_mutex_destroy(&log->mutex);
    pthread_cond_destroy(&log->wake);
    free(log);
}

struct trace_writer *trace_log_writer(struct trace_log *log, unsigned worker)
{
    return &log->writers[worker];
}
