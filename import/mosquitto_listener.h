/* The listeners of a mosquitto.conf: what was given of them, and what they become. */
#ifndef IMPORT_MOSQUITTO_LISTENER_H
#define IMPORT_MOSQUITTO_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "import/draft.h"

/* An option that a line gave. */
struct given {
    const char *name; /* of mosquitto_option.def */
    char *value;
    struct draft_place place;
};

/* All zero is valid and empty. */
struct given_list {
    struct given *items;
    size_t count;
};

void given_add(struct given_list *list, const char *name, const char *value,
               struct draft_place place);
/* The last of that name, which is the one that counts; NULL: none. */
const struct given *given_find(const struct given_list *list, const char *name);
void given_fini(struct given_list *list);

struct mosquitto_listener {
    struct draft_place place; /* of its `listener` line */
    unsigned port;            /* 0: a Unix socket, or not given */
    char *host;               /* NULL: not given */
    struct given_list given;
};

struct mosquitto_listeners {
    struct mosquitto_listener unnamed; /* of the options before any `listener` line */
    struct mosquitto_listener *items;
    size_t count;
    struct given_list security; /* of all, without per_listener_settings */
    bool per_listener;
};

/* Puts them into the draft. */
void mosquitto_listeners_finish(const struct mosquitto_listeners *listeners, struct draft *draft);
void mosquitto_listeners_fini(struct mosquitto_listeners *listeners);

#endif
