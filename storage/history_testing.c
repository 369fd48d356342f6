#include "storage/history_testing.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void history_init(struct history *history, uint64_t seed)
{
    memset(history, 0, sizeof *history);
    history->random = seed * 2 + 1;
}

uint32_t history_random(struct history *history, uint32_t below)
{
    uint64_t x = history->random += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((x ^ x >> 31) % below);
}

static const char *const filters[] = {"a", "a/+", "#", "$share/g/x"};
static const char *const topics[HISTORY_RETAINED] = {"r/0", "r/1", "r/2", "r/3"};

/* ---- Facts ---- */

static int find_session(const struct history *h, uint64_t incarnation)
{
    for (uint32_t i = 0; i < h->session_count; i++) {
        if (h->sessions[i].incarnation == incarnation)
            return (int)i;
    }
    return -1;
}

/* Drops every element of one incarnation from an array of structs that begin with it. */
#define DROP_OF(array, count, gone)                                                                \
    do {                                                                                           \
        uint32_t kept_ = 0;                                                                        \
        for (uint32_t i_ = 0; i_ < (count); i_++) {                                                \
            if ((array)[i_].incarnation != (gone))                                                 \
                (array)[kept_++] = (array)[i_];                                                    \
        }                                                                                          \
        (count) = kept_;                                                                           \
    } while (0)

static void begin_session(struct history *h, struct store_batch *batch)
{
    bool again = h->session_count > 0 && history_random(h, 2) == 0;
    uint32_t at = again ? history_random(h, h->session_count) : h->session_count;
    if (!again) {
        if (h->session_count == 8)
            return;
        h->sessions[h->session_count++].incarnation = ++h->incarnation;
    }
    h->sessions[at].version = (uint8_t)(3 + history_random(h, 3));
    if (batch == NULL)
        return;
    char name[32];
    snprintf(name, sizeof name, "client-%" PRIu64, h->sessions[at].incarnation);
    struct store_session session = {
        .incarnation = h->sessions[at].incarnation,
        .client_identifier = bytes_of_text(name),
        .version = h->sessions[at].version,
    };
    store_batch_session(batch, &session);
}

static void end_session(struct history *h, struct store_batch *batch)
{
    if (h->session_count < 4 || history_random(h, 4) != 0)
        return;
    uint32_t at = history_random(h, h->session_count);
    uint64_t gone = h->sessions[at].incarnation;
    h->sessions[at] = h->sessions[--h->session_count];
    h->ended = gone;
    DROP_OF(h->rows, h->row_count, gone);
    DROP_OF(h->subscriptions, h->subscription_count, gone);
    DROP_OF(h->inbound, h->inbound_count, gone);
    if (batch != NULL)
        store_batch_session_end(batch, gone);
}

static void change_subscription(struct history *h, struct store_batch *batch)
{
    if (h->session_count == 0)
        return;
    uint64_t incarnation = h->sessions[history_random(h, h->session_count)].incarnation;
    uint32_t filter = history_random(h, 4);
    bool put = history_random(h, 3) != 0;
    uint8_t options = (uint8_t)history_random(h, 64);
    uint32_t at = 0;
    while (at < h->subscription_count && (h->subscriptions[at].incarnation != incarnation ||
                                          h->subscriptions[at].filter != filter))
        at++;
    if (put) {
        if (at == h->subscription_count)
            h->subscription_count++;
        h->subscriptions[at].incarnation = incarnation;
        h->subscriptions[at].filter = filter;
        h->subscriptions[at].options = options;
    } else if (at < h->subscription_count) {
        h->subscriptions[at] = h->subscriptions[--h->subscription_count];
    }
    if (batch == NULL)
        return;
    struct store_subscription subscription = {.topic_filter = bytes_of_text(filters[filter]),
                                              .options = options};
    if (put)
        store_batch_subscribe(batch, incarnation, &subscription);
    else
        store_batch_unsubscribe(batch, incarnation, subscription.topic_filter);
}

static void note_inbound(struct history *h, struct store_publish *publish)
{
    uint64_t incarnation = h->sessions[history_random(h, h->session_count)].incarnation;
    uint16_t identifier = (uint16_t)(1 + history_random(h, 20));
    publish->inbound_incarnation = incarnation;
    publish->inbound_packet_identifier = identifier;
    for (uint32_t i = 0; i < h->inbound_count; i++) {
        if (h->inbound[i].incarnation == incarnation &&
            h->inbound[i].packet_identifier == identifier)
            return;
    }
    CHECK(h->inbound_count < HISTORY_INBOUND);
    h->inbound[h->inbound_count].incarnation = incarnation;
    h->inbound[h->inbound_count++].packet_identifier = identifier;
}

static void publish_message(struct history *h, struct store_batch *batch, uint32_t *index)
{
    if (h->session_count == 0 || h->row_count + 8 > HISTORY_ROWS)
        return;
    struct store_owed owed[8];
    struct store_message message = {.qos = (uint8_t)(1 + history_random(h, 2))};
    struct store_publish publish = {.message = &message, .owed = owed};
    uint64_t number = h->lsn << STORE_NUMBER_BITS | (*index)++;
    uint64_t token = ++h->token;
    uint32_t first = history_random(h, h->session_count);
    uint32_t wanted = 1 + history_random(h, 3);
    for (uint32_t i = 0; i < wanted && i < h->session_count; i++) {
        uint64_t incarnation = h->sessions[(first + i) % h->session_count].incarnation;
        uint8_t qos = (uint8_t)(1 + history_random(h, message.qos));
        owed[publish.owed_count++] = (struct store_owed){.incarnation = incarnation, .qos = qos};
        h->rows[h->row_count++] = (struct history_row){
            .incarnation = incarnation, .number = number, .token = token, .qos = qos};
    }
    if (h->ended != 0 && history_random(h, 4) == 0) /* routed before the session ended */
        owed[publish.owed_count++] = (struct store_owed){.incarnation = h->ended, .qos = 1};
    publish.urgent = history_random(h, 4) == 0;
    if (history_random(h, 6) == 0)
        note_inbound(h, &publish);
    uint32_t topic = history_random(h, HISTORY_RETAINED);
    if (history_random(h, 6) == 0) {
        publish.retained = history_random(h, 3) == 0 ? STORE_RETAINED_DELETE : STORE_RETAINED_SET;
        bool set = publish.retained == STORE_RETAINED_SET;
        h->retained[topic].number = set ? number : 0;
        h->retained[topic].token = set ? token : 0;
    }
    if (batch == NULL)
        return;
    char payload[32];
    snprintf(payload, sizeof payload, "p%" PRIu64, token);
    message.topic = bytes_of_text(topics[topic]);
    message.payload = bytes_of_text(payload);
    store_batch_message(batch, &publish);
    CHECK(message.number == number);
}

static void send_row(struct history *h, struct store_batch *batch)
{
    if (h->row_count == 0)
        return;
    struct history_row *row = &h->rows[history_random(h, h->row_count)];
    if (row->state == 0) {
        row->state = 1;
        row->packet_identifier = (uint16_t)(1 + history_random(h, 65535));
        row->sequence = ++h->sequence;
        bool told = history_random(h, 2) == 0;
        if (batch != NULL && told)
            store_batch_sent_at_qos(batch, row->incarnation, row->number, row->qos,
                                    row->packet_identifier, row->sequence);
        else if (batch != NULL)
            store_batch_sent(batch, row->incarnation, row->number, row->packet_identifier,
                             row->sequence);
    } else if (row->state == 1 && row->qos == 2) {
        row->state = 2;
        if (batch != NULL)
            store_batch_released(batch, row->incarnation, row->number);
    }
}

static void settle_row(struct history *h, struct store_batch *batch)
{
    if (h->row_count == 0)
        return;
    /* Mostly young ones, so that some cancel and some are written first. */
    uint32_t back = 1 + history_random(h, h->row_count < 6 ? h->row_count : 6);
    uint32_t at = history_random(h, 3) == 0 ? history_random(h, h->row_count) : h->row_count - back;
    if (batch != NULL)
        store_batch_settled(batch, h->rows[at].incarnation, h->rows[at].number);
    memmove(&h->rows[at], &h->rows[at + 1], (h->row_count - at - 1) * sizeof h->rows[0]);
    h->row_count--;
}

static void erase_inbound(struct history *h, struct store_batch *batch)
{
    if (h->inbound_count == 0)
        return;
    uint32_t at = history_random(h, h->inbound_count);
    if (batch != NULL)
        store_batch_inbound_erase(batch, h->inbound[at].incarnation,
                                  h->inbound[at].packet_identifier);
    h->inbound[at] = h->inbound[--h->inbound_count];
}

void history_step(struct history *h, uint64_t lsn, struct store_batch *batch)
{
    uint32_t index = 0;
    h->lsn = lsn;
    for (uint32_t count = history_random(h, 6); count > 0; count--) {
        switch (history_random(h, 16)) {
        case 0:
            begin_session(h, batch);
            break;
        case 1:
            end_session(h, batch);
            break;
        case 2:
            change_subscription(h, batch);
            break;
        case 3:
            erase_inbound(h, batch);
            break;
        case 4:
        case 5:
        case 6:
            send_row(h, batch);
            break;
        case 7:
        case 8:
        case 9:
        case 10:
            settle_row(h, batch);
            break;
        default:
            publish_message(h, batch, &index);
            break;
        }
    }
}

/* ---- Dumps ---- */

struct lines {
    char **line;
    size_t count, capacity;
};

static void add(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct lines *lines, const char *format, ...)
{
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity == 0 ? 64 : lines->capacity * 2;
        lines->line = realloc(lines->line, lines->capacity * sizeof(char *));
        CHECK(lines->line != NULL);
    }
    va_list arguments;
    va_start(arguments, format);
    CHECK(vasprintf(&lines->line[lines->count++], format, arguments) >= 0);
    va_end(arguments);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static char *join(struct lines *lines)
{
    size_t size = 1, used = 0;
    if (lines->count > 0)
        qsort(lines->line, lines->count, sizeof(char *), compare_lines);
    for (size_t i = 0; i < lines->count; i++)
        size += strlen(lines->line[i]) + 1;
    char *text = malloc(size);
    CHECK(text != NULL);
    text[0] = '\0';
    for (size_t i = 0; i < lines->count; i++) {
        if (i == 0 || strcmp(lines->line[i], lines->line[i - 1]) != 0)
            used += (size_t)sprintf(text + used, "%s\n", lines->line[i]);
    }
    for (size_t i = 0; i < lines->count; i++)
        free(lines->line[i]);
    free(lines->line);
    return text;
}

char *history_dump(const struct history *h)
{
    struct lines lines = {0};
    for (uint32_t i = 0; i < h->session_count; i++)
        add(&lines, "session %" PRIu64 " version %u", h->sessions[i].incarnation,
            h->sessions[i].version);
    for (uint32_t i = 0; i < h->subscription_count; i++)
        add(&lines, "subscription %" PRIu64 " %s options %u", h->subscriptions[i].incarnation,
            filters[h->subscriptions[i].filter], h->subscriptions[i].options);
    for (uint32_t i = 0; i < h->inbound_count; i++)
        add(&lines, "inbound %" PRIu64 " %u", h->inbound[i].incarnation,
            h->inbound[i].packet_identifier);
    for (uint32_t i = 0; i < HISTORY_RETAINED; i++) {
        if (h->retained[i].number != 0)
            add(&lines, "retained %s %" PRIu64 " p%" PRIu64, topics[i], h->retained[i].number,
                h->retained[i].token);
    }
    for (uint32_t i = 0; i < h->row_count; i++) {
        const struct history_row *row = &h->rows[i];
        add(&lines,
            "owed %" PRIu64 " %" PRIu64 " qos %u state %u as %u sequence %" PRIu64 " p%" PRIu64,
            row->incarnation, row->number, row->qos, row->state, row->packet_identifier,
            row->sequence, row->token);
    }
    return join(&lines);
}

static sqlite3 *open_read_only(const char *path)
{
    sqlite3 *db;
    CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

static void add_query(sqlite3 *db, struct lines *lines, const char *sql)
{
    sqlite3_stmt *s;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (rc == SQLITE_ERROR) /* killed before the tables were made */
        return;
    CHECK(rc == SQLITE_OK);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        add(lines, "%s", (const char *)sqlite3_column_text(s, 0));
    CHECK(rc == SQLITE_DONE);
    sqlite3_finalize(s);
}

/* ---- Segments, read without the store's help ---- */

struct reading {
    sqlite3 *db;
    struct lines *lines;
    uint64_t *needed; /* numbers of bodies, each as often as an entry needs it */
    size_t needed_count, owed_count;
};

static uint64_t varint(const uint8_t **p)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

/* The payload of a message with a row, or of one that lies in its entry: what follows flags, times,
 * publisher, and the topic. Histories have no expiry, properties or identifiers. */
static void payload_of(struct reading *reading, uint64_t number, unsigned body,
                       const uint8_t *entry, size_t size, char out[32])
{
    snprintf(out, 32, "without a body");
    if (body == 1) {
        sqlite3_stmt *s;
        CHECK(sqlite3_prepare_v2(reading->db, "SELECT payload FROM message WHERE number = ?1", -1,
                                 &s, NULL) == SQLITE_OK);
        sqlite3_bind_int64(s, 1, (sqlite3_int64)number);
        if (sqlite3_step(s) == SQLITE_ROW)
            snprintf(out, 32, "%s", (const char *)sqlite3_column_text(s, 0));
        sqlite3_finalize(s);
    } else if (body == 0) {
        const uint8_t *p = entry + 1;
        varint(&p);
        varint(&p);
        uint64_t topic = varint(&p), properties = varint(&p);
        CHECK(properties == 0);
        p += topic;
        snprintf(out, 32, "%.*s", (int)(entry + size - p), (const char *)p);
    }
}

/* Where `number` is in flight: its state, else 0; and the identifier and sequence. */
static unsigned in_flight(const uint8_t *progress, size_t size, uint64_t distance, unsigned *as,
                          uint64_t *sequence)
{
    const uint8_t *end = progress + size;
    *as = 0;
    *sequence = 0;
    if (size == 0)
        return 0;
    progress += 2 + (progress[0] * 256 + progress[1] + 7) / 8;
    while (progress < end) {
        uint64_t here = varint(&progress);
        unsigned what = *progress++;
        unsigned identifier = progress[0] * 256u + progress[1];
        progress += 2;
        uint64_t order = varint(&progress);
        if (here != distance)
            continue;
        *as = identifier;
        *sequence = order;
        return what >> 2;
    }
    return 0;
}

/* Columns: incarnation, first, count, directory, data, progress. */
static void read_segment(struct reading *reading, sqlite3_stmt *s)
{
    uint64_t first = (uint64_t)sqlite3_column_int64(s, 1), distance = 0;
    const uint8_t *directory = sqlite3_column_blob(s, 3), *entry = sqlite3_column_blob(s, 4);
    const uint8_t *progress = sqlite3_column_blob(s, 5);
    size_t progress_size = (size_t)sqlite3_column_bytes(s, 5);
    for (int i = 0; i < sqlite3_column_int(s, 2); i++) {
        distance += varint(&directory);
        uint64_t what = varint(&directory);
        const uint8_t *here = entry;
        size_t size = what >> 3;
        entry += size;
        if (progress_size > 0 && (progress[2 + i / 8] >> i % 8 & 1) != 0)
            continue;
        char payload[32];
        unsigned as;
        uint64_t sequence;
        unsigned state = in_flight(progress, progress_size, distance, &as, &sequence);
        payload_of(reading, first + distance, what & 3, here, size, payload);
        add(reading->lines,
            "owed %" PRIu64 " %" PRIu64 " qos %u state %u as %u sequence %" PRIu64 " %s",
            (uint64_t)sqlite3_column_int64(s, 0), first + distance, (unsigned)(1 + (what >> 2 & 1)),
            state, as, sequence, payload);
        reading->owed_count++;
        if ((what & 3) == 1)
            reading->needed[reading->needed_count++] = first + distance;
    }
}

static sqlite3_stmt *query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK)
        return s;
    return NULL; /* killed before the tables were made */
}

static void read_segments(sqlite3 *db, struct lines *lines)
{
    struct reading reading = {db, lines, calloc(2 * HISTORY_ROWS, sizeof(uint64_t)), 0, 0};
    CHECK(reading.needed != NULL);
    sqlite3_stmt *s = query(db, "SELECT s.incarnation, s.first, s.count, s.directory, s.data,"
                                " p.data FROM segment AS s LEFT JOIN progress AS p"
                                " USING(incarnation, first)");
    while (s != NULL && sqlite3_step(s) == SQLITE_ROW)
        read_segment(&reading, s);
    sqlite3_finalize(s);
    s = query(db, "SELECT number, owed FROM message");
    while (s != NULL && sqlite3_step(s) == SQLITE_ROW) {
        int64_t needed = 0;
        for (size_t i = 0; i < reading.needed_count; i++)
            needed += (int64_t)reading.needed[i] == sqlite3_column_int64(s, 0);
        if (needed != sqlite3_column_int64(s, 1) || needed == 0)
            add(lines, "message %lld counts %lld entries", sqlite3_column_int64(s, 0),
                sqlite3_column_int64(s, 1));
    }
    sqlite3_finalize(s);
    s = query(db, "SELECT (SELECT messages FROM meta) - count(*) + total(owed) FROM message");
    if (s != NULL && sqlite3_step(s) == SQLITE_ROW &&
        (uint64_t)sqlite3_column_int64(s, 0) != reading.owed_count)
        add(lines, "meta counts messages wrongly");
    sqlite3_finalize(s);
    free(reading.needed);
}

/* What is still to be deleted of sessions that ended is not told. */
static void drop_ended(sqlite3 *db, struct lines *lines)
{
    size_t kept = 0;
    sqlite3_stmt *s = query(db, "SELECT 1 FROM session WHERE incarnation = ?1");
    for (size_t i = 0; i < lines->count; i++) {
        uint64_t incarnation;
        bool known = sscanf(lines->line[i], "owed %" SCNu64, &incarnation) != 1;
        if (!known) {
            sqlite3_bind_int64(s, 1, (sqlite3_int64)incarnation);
            known = sqlite3_step(s) == SQLITE_ROW;
            sqlite3_reset(s);
        }
        if (known)
            lines->line[kept++] = lines->line[i];
        else
            free(lines->line[i]);
    }
    lines->count = kept;
    sqlite3_finalize(s);
}

char *history_dump_database(const char *path)
{
    struct lines lines = {0};
    sqlite3 *db = open_read_only(path);
    static const char *const queries[] = {
        "SELECT 'session ' || incarnation || ' version ' || version FROM session",
        "SELECT 'subscription ' || incarnation || ' ' || CAST(topic_filter AS TEXT)"
        " || ' options ' || options FROM subscription",
        "SELECT 'inbound ' || incarnation || ' ' || packet_identifier FROM inbound",
        "SELECT 'retained ' || CAST(topic AS TEXT) || ' ' || number || ' '"
        " || CAST(payload AS TEXT) FROM retained",
        /* What must never be seen: */
        "SELECT 'segments of nobody, ' || incarnation FROM segment"
        " WHERE incarnation NOT IN (SELECT incarnation FROM session)"
        " AND incarnation NOT IN (SELECT incarnation FROM ended)",
        "SELECT 'progress of nothing, ' || first FROM progress AS p WHERE NOT EXISTS (SELECT 1"
        " FROM segment AS s WHERE s.incarnation = p.incarnation AND s.first = p.first)",
        "SELECT 'integrity: ' || integrity_check FROM pragma_integrity_check"
        " WHERE integrity_check <> 'ok'",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        add_query(db, &lines, queries[i]);
    sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    read_segments(db, &lines);
    drop_ended(db, &lines);
    sqlite3_close(db);
    return join(&lines);
}

uint64_t history_database_lsn(const char *path)
{
    sqlite3 *db = open_read_only(path);
    sqlite3_stmt *s;
    uint64_t lsn = 0;
    if (sqlite3_prepare_v2(db, "SELECT lsn FROM meta", -1, &s, NULL) == SQLITE_OK) {
        if (sqlite3_step(s) == SQLITE_ROW)
            lsn = (uint64_t)sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
    }
    sqlite3_close(db);
    return lsn;
}

/* ---- Promises ---- */

static const struct history_row *find_row(const struct history *h, const struct history_row *like)
{
    for (uint32_t i = 0; i < h->row_count; i++) {
        if (h->rows[i].number == like->number && h->rows[i].incarnation == like->incarnation)
            return &h->rows[i];
    }
    return NULL;
}

/* Rows aside, a promised state is the file's state. */
static char *dump_without_rows(const struct history *h)
{
    struct history *copy = malloc(sizeof *copy);
    CHECK(copy != NULL);
    *copy = *h;
    copy->row_count = 0;
    char *text = history_dump(copy);
    free(copy);
    return text;
}

bool history_keeps(const struct history *file, const struct history *promised,
                   const struct history *latest)
{
    char *ours = dump_without_rows(file), *theirs = dump_without_rows(promised);
    bool same = strcmp(ours, theirs) == 0;
    if (!same)
        fprintf(stderr, "promised:\n%s\nbut the file has:\n%s\n", theirs, ours);
    free(ours);
    free(theirs);
    for (uint32_t i = 0; i < promised->row_count && same; i++) {
        const struct history_row *row = &promised->rows[i];
        const struct history_row *found = find_row(file, row);
        if (find_row(latest, row) == NULL)
            continue;
        /* At QoS 1 nobody was promised that it counts as sent. */
        same = found != NULL &&
               (row->qos == 1 || (found->state == row->state && found->sequence == row->sequence &&
                                  found->packet_identifier == row->packet_identifier));
        if (!same)
            fprintf(stderr,
                    "promised to %" PRIu64 ": message %" PRIu64 " in state %u, the file %s it\n",
                    row->incarnation, row->number, row->state,
                    found == NULL ? "lacks" : "has another state of");
    }
    return same && find_session(file, 0) < 0;
}
