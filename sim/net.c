#include "sim/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "sim/chance.h"
#include "sim/task.h"

enum { CONNECTIONS_MAX = 4096, CHUNKS = 256 };

/* What was sent in one piece, and when it arrives. */
struct chunk {
    uint64_t at_us;
    size_t size;
};

struct stream {
    uint8_t *bytes; /* sent and not read yet */
    size_t size, room;
    size_t arrived; /* of them */
    struct chunk chunks[CHUNKS];
    unsigned first, count;
    uint64_t last_us;
    uint64_t fin_us; /* 0: not sent */
    bool fin;        /* arrived */
    bool was_full;
};

struct net_connection {
    struct stream up, down; /* to and from the broker */
    uint64_t syn_us;
    bool accepted, announced;
    bool client_gone;     /* closed, reset or vanished */
    bool lost;            /* nothing passes any more, either way */
    bool silent;          /* the client tells the broker nothing more */
    bool broker_gone;     /* closed its socket, or crashed */
    uint64_t reset_up_us; /* a RST on its way to the broker; 0: none */
    uint64_t reset_down_us;
    bool is_reset_up, is_reset_down;
    uint64_t edges;
    uint64_t slow_us; /* delays up to this */
    unsigned port;
};

struct net_listener {
    bool open;
};

static struct {
    struct chance chance;
    struct net_connection *all[CONNECTIONS_MAX];
    unsigned count, ports;
    struct net_listener listener;
    uint64_t slow_us;
    size_t room_least, room_most;
    bool pieces;    /* what is sent arrives in pieces */
    uint64_t dirty; /* something was sent since the last look */
    uint64_t next_us;
} net;

void net_begin(uint64_t seed)
{
    static const size_t rooms[] = {48, 300, 2000, 65536};
    net.chance = chance_of(seed, 2);
    net.slow_us = chance_in_thousand(&net.chance, 500) ? 300 : 20000;
    net.room_least = rooms[chance_below(&net.chance, 4)];
    net.room_most = 65536;
    net.pieces = chance_in_thousand(&net.chance, 600);
    net.next_us = UINT64_MAX;
}

void net_calm(void)
{
    net.slow_us = 300;
}

/* ---- Streams ---- */

static uint64_t arrival(struct net_connection *connection, const struct stream *stream)
{
    uint64_t delay_us = 20 + chance_below(&net.chance, connection->slow_us);
    if (chance_in_thousand(&net.chance, 10))
        delay_us *= 20; /* a packet was lost on the way, and repeated */
    uint64_t at_us = task_now_us() + delay_us;
    return at_us > stream->last_us ? at_us : stream->last_us;
}

static void expect(uint64_t at_us)
{
    if (at_us < net.next_us)
        net.next_us = at_us;
}

static size_t part(size_t size)
{
    if (!net.pieces || size < 2 || chance_in_thousand(&net.chance, 500))
        return size;
    return chance_between(&net.chance, 1, size);
}

static size_t stream_put(struct net_connection *connection, struct stream *stream, const void *data,
                         size_t size)
{
    size_t room = stream->room > stream->size ? stream->room - stream->size : 0;
    if (stream->count == CHUNKS)
        room = 0;
    if (size > room) {
        stream->was_full = true;
        size = room;
    }
    if (size == 0)
        return 0;
    stream->bytes = realloc(stream->bytes, stream->size + size);
    CHECK(stream->bytes != NULL);
    memcpy(stream->bytes + stream->size, data, size);
    stream->size += size;
    for (size_t left = size; left > 0;) {
        size_t piece = stream->count + 1 < CHUNKS ? part(left) : left;
        stream->last_us = arrival(connection, stream);
        stream->chunks[(stream->first + stream->count++) % CHUNKS] =
            (struct chunk){stream->last_us, piece};
        expect(stream->last_us);
        left -= piece;
    }
    return size;
}

static size_t stream_take(struct stream *stream, void *data, size_t size)
{
    if (size > stream->arrived)
        size = stream->arrived;
    memcpy(data, stream->bytes, size);
    memmove(stream->bytes, stream->bytes + size, stream->size - size);
    stream->size -= size;
    stream->arrived -= size;
    return size;
}

static void stream_finish(struct net_connection *connection, struct stream *stream)
{
    if (stream->fin_us != 0)
        return;
    stream->fin_us = stream->last_us = arrival(connection, stream);
    expect(stream->fin_us);
}

/* Whether anything arrived. */
static bool stream_advance(struct stream *stream, uint64_t now_us)
{
    bool any = false;
    while (stream->count > 0 && stream->chunks[stream->first].at_us <= now_us) {
        stream->arrived += stream->chunks[stream->first].size;
        stream->first = (stream->first + 1) % CHUNKS;
        stream->count--;
        any = true;
    }
    if (stream->count > 0)
        expect(stream->chunks[stream->first].at_us);
    if (stream->fin_us != 0 && !stream->fin) {
        if (stream->count == 0 && stream->fin_us <= now_us)
            stream->fin = any = true;
        else
            expect(stream->fin_us > now_us ? stream->fin_us : now_us);
    }
    return any;
}

/* ---- The client's end ---- */

struct net_connection *net_connect(void)
{
    if (!net.listener.open)
        return NULL;
    CHECK(net.count < CONNECTIONS_MAX);
    struct net_connection *connection = calloc(1, sizeof *connection);
    CHECK(connection != NULL);
    net.all[net.count++] = connection;
    connection->port = 10000 + ++net.ports;
    connection->slow_us = 1 + chance_below(&net.chance, net.slow_us);
    connection->up.room = chance_between(&net.chance, net.room_least, net.room_most);
    connection->down.room = chance_between(&net.chance, net.room_least, net.room_most);
    connection->syn_us = connection->up.last_us = arrival(connection, &connection->up);
    expect(connection->syn_us);
    return connection;
}

long net_send(struct net_connection *connection, const void *data, size_t size)
{
    if (connection->is_reset_down)
        return NET_RESET;
    if (connection->broker_gone && connection->accepted && !connection->down.fin) {
        connection->reset_down_us = arrival(connection, &connection->down);
        expect(connection->reset_down_us);
    }
    size_t sent = stream_put(connection, &connection->up, data, size);
    return sent > 0 ? (long)sent : NET_AGAIN;
}

long net_receive(struct net_connection *connection, void *data, size_t size)
{
    if (connection->is_reset_down)
        return NET_RESET;
    if (connection->down.arrived > 0) {
        size_t taken = stream_take(&connection->down, data, size);
        if (connection->down.was_full && !connection->broker_gone) {
            connection->down.was_full = false;
            connection->edges++;
            net.dirty++;
        }
        return (long)taken;
    }
    return connection->down.fin ? NET_END : NET_AGAIN;
}

void net_close(struct net_connection *connection)
{
    connection->client_gone = true;
    stream_finish(connection, &connection->up);
}

static void reset_up(struct net_connection *connection)
{
    if (connection->reset_up_us != 0 || connection->broker_gone)
        return;
    connection->reset_up_us = arrival(connection, &connection->up);
    expect(connection->reset_up_us);
}

void net_reset(struct net_connection *connection)
{
    connection->client_gone = true;
    reset_up(connection);
}

void net_vanish(struct net_connection *connection)
{
    connection->client_gone = connection->lost = true;
}

void net_abandon(struct net_connection *connection)
{
    connection->client_gone = connection->silent = true;
}

bool net_has_news(const struct net_connection *connection)
{
    return connection->is_reset_down || connection->down.arrived > 0 || connection->down.fin;
}

bool net_has_room(const struct net_connection *connection)
{
    return connection->is_reset_down || connection->up.size < connection->up.room;
}

/* ---- The broker's end ---- */

struct net_listener *net_listen(void)
{
    net.listener.open = true;
    return &net.listener;
}

void net_listener_close(struct net_listener *listener)
{
    listener->open = false;
    for (unsigned i = 0; i < net.count; i++) {
        struct net_connection *connection = net.all[i];
        if (connection->accepted || connection->broker_gone)
            continue;
        connection->broker_gone = true;
        connection->reset_down_us = task_now_us() + 50;
        expect(connection->reset_down_us);
    }
}

static struct net_connection *first_waiting(void)
{
    for (unsigned i = 0; i < net.count; i++) {
        if (net.all[i]->announced && !net.all[i]->accepted && !net.all[i]->broker_gone)
            return net.all[i];
    }
    return NULL;
}

bool net_listener_waiting(const struct net_listener *listener)
{
    return listener->open && first_waiting() != NULL;
}

struct net_connection *net_accept(struct net_listener *listener, unsigned *port)
{
    struct net_connection *connection = listener->open ? first_waiting() : NULL;
    if (connection == NULL)
        return NULL;
    connection->accepted = true;
    *port = connection->port;
    return connection;
}

long net_socket_send(struct net_connection *connection, const void *data, size_t size)
{
    if (connection->is_reset_up) {
        errno = ECONNRESET;
        return -1;
    }
    if (connection->client_gone && !connection->lost && !connection->silent) {
        /* Nobody reads it any more. That comes back as a reset. */
        reset_up(connection);
        return (long)size;
    }
    size_t sent = stream_put(connection, &connection->down, data, size);
    if (sent > 0)
        return (long)sent;
    errno = EAGAIN;
    return -1;
}

long net_socket_receive(struct net_connection *connection, void *data, size_t size)
{
    if (connection->is_reset_up) {
        errno = ECONNRESET;
        return -1;
    }
    if (connection->up.arrived > 0) {
        size_t taken = stream_take(&connection->up, data, size);
        connection->up.was_full = false;
        return (long)taken;
    }
    if (connection->up.fin)
        return 0;
    errno = EAGAIN;
    return -1;
}

void net_socket_shutdown(struct net_connection *connection)
{
    stream_finish(connection, &connection->down);
}

void net_socket_close(struct net_connection *connection)
{
    if (connection->broker_gone)
        return;
    connection->broker_gone = true;
    /* With bytes unread a close is a reset, which may overtake what was sent. */
    if (connection->up.size > 0 || connection->is_reset_up) {
        connection->reset_down_us = arrival(connection, &connection->down);
        expect(connection->reset_down_us);
    } else {
        stream_finish(connection, &connection->down);
    }
}

uint32_t net_socket_ready(const struct net_connection *connection)
{
    if (connection->is_reset_up)
        return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
    uint32_t ready = 0;
    if (connection->up.arrived > 0)
        ready |= EPOLLIN;
    if (connection->up.fin)
        ready |= EPOLLIN | EPOLLRDHUP;
    if (connection->down.size < connection->down.room)
        ready |= EPOLLOUT;
    return ready;
}

uint64_t net_socket_edges(const struct net_connection *connection)
{
    return connection->edges;
}

/* ---- The world's ---- */

static bool due(uint64_t *at_us, bool *done, uint64_t now_us)
{
    if (*at_us == 0 || *done)
        return false;
    if (*at_us > now_us) {
        expect(*at_us);
        return false;
    }
    return *done = true;
}

static bool advance_one(struct net_connection *connection, uint64_t now_us)
{
    bool any = false;
    if (!connection->announced) {
        if (connection->syn_us > now_us) {
            expect(connection->syn_us);
            return false;
        }
        connection->announced = any = true;
    }
    if (connection->lost && !connection->accepted)
        return any;
    if (due(&connection->reset_down_us, &connection->is_reset_down, now_us))
        any = true;
    if (due(&connection->reset_up_us, &connection->is_reset_up, now_us)) {
        connection->edges++;
        any = true;
    }
    if (connection->lost)
        return any;
    if (!connection->broker_gone && stream_advance(&connection->up, now_us)) {
        connection->edges++;
        any = true;
    }
    return stream_advance(&connection->down, now_us) || any;
}

static void forget(unsigned i)
{
    free(net.all[i]->up.bytes);
    free(net.all[i]->down.bytes);
    free(net.all[i]);
    net.all[i] = net.all[--net.count];
}

uint64_t net_advance(uint64_t now_us, void (*changed)(void))
{
    static uint64_t seen_dirty;
    bool any = net.dirty != seen_dirty;
    seen_dirty = net.dirty;
    if (now_us >= net.next_us) {
        net.next_us = UINT64_MAX;
        for (unsigned i = 0; i < net.count; i++) {
            if (net.all[i]->client_gone && net.all[i]->broker_gone)
                forget(i--);
            else
                any |= advance_one(net.all[i], now_us);
        }
    }
    if (any)
        changed();
    return net.next_us;
}

void net_crash(bool power)
{
    net.listener.open = false;
    for (unsigned i = 0; i < net.count; i++) {
        struct net_connection *connection = net.all[i];
        if (connection->broker_gone)
            continue;
        connection->broker_gone = true;
        /* Of a machine that is gone a client learns when it asks, or in a while. */
        connection->reset_down_us = power ? task_now_us() + chance_below(&net.chance, 3000000)
                                          : arrival(connection, &connection->down);
        expect(connection->reset_down_us);
    }
}
