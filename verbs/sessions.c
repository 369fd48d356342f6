#include "verbs/sessions.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/list.h"
#include "broker/connection.h"
#include "broker/session.h"
#include "verbs/session_view.h"

enum {
    PAGE_DEFAULT = 100,
    PAGE_MAX = 1000,
    PATTERN_MAX = 64,
    LOOKED_AT_TURN = 256,     /* places, in one errand: about a millisecond of the worker's */
    BYTES_A_TURN = 64 * 1024, /* of identifiers that are held against a pattern */
    ERRANDS_A_PAGE = 512,
    BYTES_A_PAGE = 1024 * 1024, /* of identifiers: each byte may take six when it is escaped */
};

bool sessions_pattern_matches(struct bytes pattern, struct bytes text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.size &&
                   (pattern.data[p] == '?' || pattern.data[p] == text.data[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

/* ---- A page ---- */

enum wanted_state { WANTED_ANY, WANTED_CONNECTED, WANTED_AWAY };

struct page {
    struct errand errand;
    struct bytes pattern, user; /* of no bytes: any */
    enum wanted_state state;
    size_t limit, bytes; /* of identifiers in it */
    uint64_t place;      /* the next to be looked at */
    bool ended;          /* this worker has no more */
    json_t *sessions;
};

static bool is_wanted(const struct page *page, const struct session *session)
{
    const struct connection *connection = session->connection;
    if (page->state != WANTED_ANY && (page->state == WANTED_CONNECTED) != (connection != NULL))
        return false;
    if (page->user.size > 0 &&
        (connection == NULL || !bytes_equal(connection->principal->user_name, page->user)))
        return false;
    return page->pattern.size == 0 ||
           sessions_pattern_matches(page->pattern, session->client_identifier);
}

static bool is_full(const struct page *page)
{
    return json_array_size(page->sessions) >= page->limit || page->bytes >= BYTES_A_PAGE;
}

static void fill(struct worker *worker, struct errand *errand)
{
    struct page *page = CONTAINER_OF(errand, struct page, errand);
    const struct session *session;
    size_t bytes = 0;
    for (unsigned i = 0; i < LOOKED_AT_TURN && bytes < BYTES_A_TURN; i++) {
        if (is_full(page))
            return;
        if (!session_at(worker, page->place, &session)) {
            page->ended = true;
            return;
        }
        page->place++;
        if (session == NULL)
            continue;
        bytes += session->client_identifier.size;
        if (!is_wanted(page, session))
            continue;
        page->bytes += session->client_identifier.size;
        json_array_append_new(page->sessions, session_view_line(worker, session));
    }
}

static bool parse_state(struct verb_call *call, enum wanted_state *out)
{
    struct bytes state;
    if (!verb_text(call, "state", false, &state))
        return false;
    *out = WANTED_ANY;
    if (state.size == 0 || bytes_equal(state, bytes_of_text("any")))
        return true;
    *out = bytes_equal(state, bytes_of_text("away")) ? WANTED_AWAY : WANTED_CONNECTED;
    return *out == WANTED_AWAY || bytes_equal(state, bytes_of_text("connected")) ||
           verb_refuse(call, 400, "\"state\" is any, connected or away");
}

/* "WORKER.PLACE": where the page before has ended. */
static bool parse_cursor(struct verb_call *call, unsigned *worker, uint64_t *place)
{
    struct bytes cursor;
    char text[32];
    int used = 0;
    *worker = 0;
    *place = 0;
    if (!verb_text(call, "cursor", false, &cursor))
        return false;
    if (cursor.size == 0)
        return true;
    if (cursor.size < sizeof text) {
        memcpy(text, cursor.data, cursor.size);
        text[cursor.size] = '\0';
        if (strspn(text, "0123456789.") == cursor.size &&
            sscanf(text, "%3u.%15" SCNu64 "%n", worker, place, &used) == 2 &&
            (size_t)used == cursor.size && *worker < call->broker->worker_count)
            return true;
    }
    return verb_refuse(call, 400, "\"cursor\" is none of a page before");
}

static bool parse_page(struct verb_call *call, struct page *page, unsigned *worker)
{
    uint64_t limit;
    if (!verb_number(call, "limit", 1, PAGE_MAX, PAGE_DEFAULT, &limit) ||
        !verb_text(call, "client", false, &page->pattern) ||
        !verb_text(call, "user", false, &page->user) || !parse_state(call, &page->state) ||
        !parse_cursor(call, worker, &page->place))
        return false;
    page->limit = limit;
    return page->pattern.size <= PATTERN_MAX ||
           verb_refuse(call, 400, "\"client\" is a pattern of %d bytes at most", PATTERN_MAX);
}

void sessions_list(struct verb_call *call)
{
    struct page page = {.errand = {.run = fill}};
    unsigned worker;
    if (!parse_page(call, &page, &worker) || (page.sessions = json_array()) == NULL)
        return;
    for (unsigned errands = 0;
         errands < ERRANDS_A_PAGE && worker < call->broker->worker_count && !is_full(&page);
         errands++) {
        errand_send(&call->broker->workers[worker], &page.errand);
        if (page.ended) {
            page.ended = false;
            page.place = 0;
            worker++;
        }
    }
    char next[32];
    snprintf(next, sizeof next, "%u.%" PRIu64, worker, page.place);
    call->result = json_pack("{s:o, s:s*}", "sessions", page.sessions, "next",
                             worker < call->broker->worker_count ? next : NULL);
}

/* ---- One ---- */

struct one {
    struct errand errand;
    struct bytes client;
    bool found;
    uint64_t lsn; /* of what has been recorded */
    json_t *view;
};

static void send_home(struct verb_call *call, struct one *one)
{
    errand_send(&call->broker->workers[broker_home(call->broker, one->client)], &one->errand);
}

static void show(struct worker *worker, struct errand *errand)
{
    struct one *one = CONTAINER_OF(errand, struct one, errand);
    const struct session *session = session_find(worker, one->client);
    one->found = session != NULL;
    if (one->found)
        one->view = session_view(worker, session);
}

void sessions_show(struct verb_call *call)
{
    struct one one = {.errand = {.run = show}};
    if (!verb_client(call, &one.client))
        return;
    send_home(call, &one);
    call->result = one.view;
    if (!one.found)
        verb_refuse(call, 404, "there is no session of this client");
}

static bool send_away(struct session *session)
{
    if (session == NULL || session->connection == NULL)
        return false;
#ifndef SEEDED_BUG_KICK_IN_WORDS
    connection_event(session->connection, CONNECTION_EVENT_STOPPED, REASON_ADMINISTRATIVE_ACTION,
                     "5.0 section 4.13.2", "by an operator");
#endif
    return true;
}

static void kick(struct worker *worker, struct errand *errand)
{
    struct one *one = CONTAINER_OF(errand, struct one, errand);
    one->found = send_away(session_find(worker, one->client));
}

void sessions_kick(struct verb_call *call)
{
    struct one one = {.errand = {.run = kick}};
    if (!verb_client(call, &one.client))
        return;
    send_home(call, &one);
    call->result = json_pack("{s:b}", "kicked", 1);
    if (!one.found)
        verb_refuse(call, 404, "no client of this name is connected");
}

static void discard(struct worker *worker, struct errand *errand)
{
    struct one *one = CONTAINER_OF(errand, struct one, errand);
    struct session *session = session_find(worker, one->client);
    one->found = session != NULL;
    if (session == NULL)
        return;
    bool recorded = session->has_row;
    send_away(session);
    session = session_find(worker, one->client); /* with its connection it may have ended */
#ifndef SEEDED_BUG_DELETED_IN_WORDS
    if (session != NULL)
        session_discard(worker, session);
#endif
    one->lsn = recorded ? worker_lsn(worker) : 0;
}

void sessions_delete(struct verb_call *call)
{
    struct one one = {.errand = {.run = discard}};
    if (!verb_client(call, &one.client))
        return;
    send_home(call, &one);
    if (!one.found)
        verb_refuse(call, 404, "there is no session of this client");
    else
        call->result =
            json_pack("{s:b, s:b}", "deleted", 1, "durable", verb_await(call->broker, one.lsn));
}
