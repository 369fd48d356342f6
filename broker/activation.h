/* Sockets that were there before the broker: systemd's, or another's (sd_listen_fds(3)). They go on
 * taking connections while the broker is being restarted. */
#ifndef BROKER_ACTIVATION_H
#define BROKER_ACTIVATION_H

struct sockaddr;

/* The inherited socket that listens at this address, not blocking from here on; -1: there is none.
 * The thread that starts the broker, once for each address. */
int activation_take(const struct sockaddr *address);

#endif
