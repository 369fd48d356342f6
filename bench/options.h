/* The command line: what load, against which broker. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>

/* name, default, least, most, help. Default 0 where a scenario has its own (see scenario.c). */
#define OPTION_LIST(X)                                                                             \
    X(port, 1883, 1, 65535, "TCP port")                                                            \
    X(version, 5, 4, 5, "5 is MQTT 5.0, 4 is MQTT 3.1.1")                                          \
    X(qos, 0, 0, 2, "of messages and subscriptions")                                               \
    X(publishers, 0, 0, 60000, "connections that publish")                                         \
    X(subscribers, 0, 0, 1000000, "connections that receive; sessions that are away in offline")   \
    X(filters, 1, 1, 100, "subscriptions of each session in offline, fill and drain")              \
    X(subscriptions, 1000000, 0, 100000000, "in all, of the scenario of that name")                \
    X(topics, 0, 0, 10000000, "different topics, shared out among the publishers")                 \
    X(payload, 64, 8, 200000, "bytes of payload")                                                  \
    X(window, 100, 1, 65535,                                                                       \
      "messages of QoS 1 and 2 in flight per connection; the server's "                            \
      "Receive Maximum and --credit can make it less")                                             \
    X(credit, 0, 0, 100000000, "messages that publishers may be ahead of their receivers")         \
    X(batch, 0, 0, 65535, "most messages in one write")                                            \
    X(seconds, 2, 1, 600, "measured time")                                                         \
    X(warmup_ms, 500, 0, 60000, "time before it")                                                  \
    X(messages, 0, 0, 2000000000, "stop after so many messages instead, and measure all of them")  \
    X(rate, 20000, 1, 10000000, "messages/s in latency, on schedule whatever the answers do")      \
    X(expiry, 0, 0, 4294967295, "Session Expiry Interval of flows and latency, in seconds")        \
    X(ack_delay_ms, 0, 0, 60000, "receivers answer so late, as if they were far away")             \
    X(rounds, 3, 1, 10000, "of storing and fetching in retained")                                  \
    X(tls, 0, 0, 1, "1: all clients speak TLS 1.3")                                                \
    X(resume, 0, 0, 1, "1: with --tls, by a session of an earlier connection")                     \
    X(pid, 0, 0, 2147483647, "the broker's process, to report its CPU time and memory")

struct scenario;

struct options {
    const struct scenario *scenario;
    const char *host; /* an IPv4 address */
    const char *label;
    const char *certificate, *key; /* PEM files of the server's, for handshakes; or NULL */
#define X(name, fallback, least, most, help) unsigned name;
    OPTION_LIST(X)
#undef X
};

/* Fills in every option, with the scenario's own defaults. False after a complaint to stderr. */
bool options_parse(int argc, char **argv, struct options *out);

#endif
