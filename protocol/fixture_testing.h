/* Fixtures: Markdown files whose sections each hold a packet as bytes and what it is expected to
 * be. protocol/fixtures/README.md describes them. */
#ifndef PROTOCOL_FIXTURE_TESTING_H
#define PROTOCOL_FIXTURE_TESTING_H

#include "base/bytes.h"
#include "protocol/packet.h"

struct fixture {
    char *name; /* "connect.md: A Client Identifier may be empty" */
    bool as_server;
    unsigned version_count;
    enum mqtt_version versions[3];
    struct buffer bytes;
    bool refused;
    char *expected;          /* the lines of the fields or refused block */
    struct buffer reencoded; /* what the encoder makes of it; empty: the same bytes */
};

struct fixtures {
    struct fixture *list;
    size_t count;
};

/* Reads every .md file of the directory in the order of their names. Prints what is wrong with a
 * file and returns false. */
bool fixtures_read(const char *directory, struct fixtures *out);
void fixtures_fini(struct fixtures *fixtures);

#endif
