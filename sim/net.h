/* The network: connections of byte streams with bounded buffers and delays, one end the broker's
 * sockets, the other a client's. Bytes of one direction of one connection keep their order, those
 * of different ones do not. As with Linux, a short write means that the buffer is full, and a short
 * read that it is empty; what was sent at once arrives in pieces. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_connection;
struct net_listener;

void net_begin(uint64_t seed);

/* ---- The client's end ---- */

/* NULL: refused, nobody listens. The other results: bytes; NET_AGAIN; NET_END (the broker sends no
 * more); NET_RESET. */
enum { NET_AGAIN = -1, NET_END = -2, NET_RESET = -3 };
struct net_connection *net_connect(void);
long net_send(struct net_connection *connection, const void *data, size_t size);
long net_receive(struct net_connection *connection, void *data, size_t size);
/* There is something to receive; there is room to send. */
bool net_has_news(const struct net_connection *connection);
bool net_has_room(const struct net_connection *connection);
/* FIN behind what was sent; a RST; nothing at all, and what is on its way is lost; nothing, and it
 * is not. No calls afterwards. */
void net_close(struct net_connection *connection);
void net_reset(struct net_connection *connection);
void net_vanish(struct net_connection *connection);
void net_abandon(struct net_connection *connection);

/* ---- The broker's end: kernel.c ---- */

struct net_listener *net_listen(void);
void net_listener_close(struct net_listener *listener);
bool net_listener_waiting(const struct net_listener *listener);
/* NULL: none waits. */
struct net_connection *net_accept(struct net_listener *listener, unsigned *port);

/* -1 with errno set. */
long net_socket_send(struct net_connection *connection, const void *data, size_t size);
long net_socket_receive(struct net_connection *connection, void *data, size_t size);
void net_socket_shutdown(struct net_connection *connection);
void net_socket_close(struct net_connection *connection);
/* EPOLL* that hold now. */
uint32_t net_socket_ready(const struct net_connection *connection);
/* Counts up whenever something has happened that an edge-triggered watcher is told of. */
uint64_t net_socket_edges(const struct net_connection *connection);

/* ---- The world's ---- */

/* Delivers what is due; `changed` is called once when that was anything. When the next is. */
uint64_t net_advance(uint64_t now_us, void (*changed)(void));
/* The process is gone: its sockets send RST. Or its machine: they send nothing, and RST to what
 * they get from now on. */
void net_crash(bool power);
/* No more resets, losses and long delays. */
void net_calm(void);

#endif
