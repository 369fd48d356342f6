#include "storage/roster.h"

#include "storage/statement.h"

struct roster_subscription {
    struct roster_subscription *next;
    uint32_t identifier;
    uint32_t filter_size;
    uint8_t options;
    uint8_t filter[];
};

struct roster_session {
    struct roster_session *next;
    struct roster_subscription *first, *last;
    const struct store_will *will; /* NULL: none */
    uint64_t incarnation;
    int64_t disconnected_at_ms, will_due_ms;
    uint32_t expiry_interval_s;
    uint32_t client_identifier_size, owner_size;
    uint8_t version;
    bool connected;
    uint8_t bytes[]; /* Client Identifier, owner */
};

/* A column's bytes; what did not read is damage. */
static struct bytes read_bytes(sqlite3_stmt *row, int column, int *rc)
{
    struct bytes bytes = statement_bytes(row, column);
    if (bytes.data == NULL && statement_lacks(row, column))
        *rc = sqlite3_errcode(sqlite3_db_handle(row));
    return bytes;
}

/* A time that cannot be is damage: the nearest that can. */
static int64_t read_time(sqlite3_stmt *row, int column)
{
    int64_t ms = sqlite3_column_int64(row, column);
#ifdef SEEDED_BUG_TIMES_BELIEVED
    return ms;
#endif
    return ms < 0 ? 0 : ms > STORE_TIME_MAX_MS ? STORE_TIME_MAX_MS : ms;
}

static const struct store_will *read_will(struct arena *arena, sqlite3_stmt *row, int *rc)
{
    if (sqlite3_column_type(row, 8) == SQLITE_NULL)
        return NULL;
    struct store_will *will = arena_take(arena, sizeof *will);
    *will = (struct store_will){
        .present = true,
        .qos = (uint8_t)sqlite3_column_int(row, 8),
        .retain = sqlite3_column_int(row, 9) != 0,
        .delay_interval_s = (uint32_t)sqlite3_column_int64(row, 10),
        .has_message_expiry = sqlite3_column_type(row, 11) != SQLITE_NULL,
        .message_expiry_interval_s = (uint32_t)sqlite3_column_int64(row, 11),
        .topic = arena_copy(arena, read_bytes(row, 12, rc)),
        .properties = arena_copy(arena, read_bytes(row, 13, rc)),
        .payload = arena_copy(arena, read_bytes(row, 14, rc)),
    };
    return will;
}

int roster_add_session(struct roster *roster, sqlite3_stmt *row)
{
    int rc = SQLITE_OK;
    struct bytes client_identifier = read_bytes(row, 1, &rc), owner = read_bytes(row, 2, &rc);
    struct roster_session *found =
        arena_take(&roster->arena, sizeof *found + client_identifier.size + owner.size);
    *found = (struct roster_session){
        .will = read_will(&roster->arena, row, &rc),
        .incarnation = statement_u64(row, 0),
        .disconnected_at_ms = read_time(row, 6),
        .will_due_ms = read_time(row, 7),
        .expiry_interval_s = (uint32_t)sqlite3_column_int64(row, 4),
        .client_identifier_size = (uint32_t)client_identifier.size,
        .owner_size = (uint32_t)owner.size,
        .version = (uint8_t)sqlite3_column_int(row, 3),
        .connected = sqlite3_column_int(row, 5) != 0,
    };
    put_bytes(found->bytes, client_identifier);
    put_bytes(found->bytes + client_identifier.size, owner);
    if (roster->last != NULL)
        roster->last->next = found;
    else
        roster->first = roster->current = found;
    roster->last = found;
    return rc;
}

int roster_add_subscription(struct roster *roster, sqlite3_stmt *row)
{
    int rc = SQLITE_OK;
    uint64_t incarnation = statement_u64(row, 0);
    struct bytes filter = read_bytes(row, 1, &rc);
    while (roster->current != NULL && roster->current->incarnation < incarnation)
        roster->current = roster->current->next;
    struct roster_session *session = roster->current;
    if (session == NULL || session->incarnation != incarnation)
        return rc;
    struct roster_subscription *found = arena_take(&roster->arena, sizeof *found + filter.size);
    *found = (struct roster_subscription){
        .identifier = (uint32_t)sqlite3_column_int64(row, 3),
        .filter_size = (uint32_t)filter.size,
        .options = (uint8_t)sqlite3_column_int(row, 2),
    };
    put_bytes(found->filter, filter);
    if (session->last != NULL)
        session->last->next = found;
    else
        session->first = found;
    session->last = found;
    return rc;
}

static void visit_session(const struct roster_session *found, const struct tally *tally,
                          const struct store_visitor *visitor)
{
    size_t size = found->client_identifier_size;
    struct store_session session = {
        .incarnation = found->incarnation,
        .client_identifier = bytes_of(found->bytes, size),
        .owner = bytes_of(found->bytes + size, found->owner_size),
        .version = found->version,
        .expiry_interval_s = found->expiry_interval_s,
        .connected = found->connected,
        .disconnected_at_ms = found->disconnected_at_ms,
        .will_due_ms = found->will_due_ms,
    };
    if (found->will != NULL)
        session.will = *found->will;
    visitor->session(visitor->context, &session, tally_of(tally, found->incarnation));
}

static void visit_subscription(uint64_t incarnation, const struct roster_subscription *found,
                               const struct store_visitor *visitor)
{
    struct store_subscription subscription = {
        .topic_filter = bytes_of(found->filter, found->filter_size),
        .options = found->options,
        .identifier = found->identifier,
    };
    visitor->subscription(visitor->context, incarnation, &subscription);
}

void roster_visit(const struct roster *roster, const struct tally *tally,
                  const struct store_visitor *visitor)
{
    for (const struct roster_session *at = roster->first; at != NULL; at = at->next) {
        if (visitor->session != NULL)
            visit_session(at, tally, visitor);
        if (visitor->subscription == NULL)
            continue;
        for (const struct roster_subscription *each = at->first; each != NULL; each = each->next)
            visit_subscription(at->incarnation, each, visitor);
    }
}

void roster_fini(struct roster *roster)
{
    arena_fini(&roster->arena);
    *roster = (struct roster){0};
}
