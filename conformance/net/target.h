/* How to reach the server under test. */
#ifndef CONFORMANCE_TARGET_H
#define CONFORMANCE_TARGET_H

#include <stdbool.h>

struct addrinfo;

enum { TARGET_AUTH_DATA_MAX = 8 };

/* Strings are borrowed and outlive all runs. */
struct target {
    const char *host, *port;
    /* Of these, once they have been resolved; NULL: each connection looks them up. */
    struct addrinfo *addresses;
    bool tls, websocket;
    const char *ca_file, *certificate_file, *key_file, *server_name; /* NULL: not given */
    bool insecure;                    /* no check of its certificate */
    const char *websocket_path;       /* "/mqtt" */
    const char *user_name, *password; /* for every CONNECT, or NULL */
    /* Enhanced authentication that the user declares. Data as text, or "hex:" and digits:
     * CONNECT's, then one for each AUTH of the server's. */
    const char *auth_method; /* NULL: none */
    const char *auth_data[TARGET_AUTH_DATA_MAX];
    unsigned auth_data_count;
    const char *auth_user, *auth_password; /* of SCRAM-SHA-256, instead of data; NULL: none */
    /* What the user declares as denied to them: a Topic Name, a Topic Filter; NULL: nothing. */
    const char *denied_publish, *denied_subscribe;
};

#endif
