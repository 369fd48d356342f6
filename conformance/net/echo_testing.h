/* A server on the loopback that sends back what it gets, over TCP or TLS. */
#ifndef CONFORMANCE_ECHO_TESTING_H
#define CONFORMANCE_ECHO_TESTING_H

#include <pthread.h>
#include <stdbool.h>

enum echo_end { ECHO_CLOSES, ECHO_RESETS };

/* One connection: it is served until `bytes` were sent back, then it ends. */
struct echo {
    int listener;
    pthread_t thread;
    char port[8];
    /* To be set before echo_start(): */
    bool ipv6;
    unsigned long bytes;
    enum echo_end end;
    const char *certificate, *key; /* NULL: plain TCP */
    const char *client_authority;  /* NULL: no client certificate is wanted */
};

void echo_start(struct echo *echo);
/* Waits for its connection to end. */
void echo_stop(struct echo *echo);
/* For one that nobody has connected to. */
void echo_cancel(struct echo *echo);

/* Certificates in a new directory, made by the openssl command; for cmocka's group setup and
 * teardown. There are ca.pem, server.pem (localhost, 127.0.0.1, ::1), client.pem and their .key. */
int echo_make_certificates(void **state);
int echo_remove_certificates(void **state);
/* Its path; valid for the next 31 calls. */
const char *echo_certificate(const char *name);

#endif
