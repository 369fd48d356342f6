#include "conformance/harness/script_testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

/* ---- The server's thread; it asserts nothing, because cmocka wants its own for that ---- */

struct peer {
    struct script *script;
    int fd;
    struct buffer inbound;
};

static void complain(struct script *script, const char *what, const char *word)
{
    if (!script->error[0])
        snprintf(script->error, sizeof script->error, "%s at \"%.40s\"", what, word);
}

/* False at the end, or when nothing comes for very long. */
static bool fill(struct peer *peer)
{
    uint8_t data[65536];
    struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
    if (poll(&entry, 1, PATIENCE_MS) <= 0)
        return false;
    ssize_t size = recv(peer->fd, data, sizeof data, 0);
    if (size <= 0)
        return false;
    buffer_bytes(&peer->inbound, data, (size_t)size);
    return true;
}

static void read_packet(struct peer *peer, const char *word)
{
    struct buffer *inbound = &peer->inbound;
    size_t size;
    while ((size = packet_size(inbound->data, inbound->size)) == 0 || size > inbound->size) {
        if (!fill(peer)) {
            complain(peer->script, "no packet came", word);
            return;
        }
    }
    if (word[1] != '*' && strtoul(word + 1, NULL, 16) != inbound->data[0])
        complain(peer->script, "another packet came", word);
    inbound->size -= size;
    memmove(inbound->data, inbound->data + size, inbound->size);
}

static void send_bytes(struct peer *peer, const char *word, size_t size)
{
    struct buffer bytes = {0};
    char *hex = strndup(word + 1, size - 1);
    buffer_hex(&bytes, hex);
    size_t sent = 0;
    while (sent < bytes.size) {
        ssize_t step = send(peer->fd, bytes.data + sent, bytes.size - sent, MSG_NOSIGNAL);
        if (step <= 0)
            break;
        sent += (size_t)step;
    }
    free(hex);
    buffer_free(&bytes);
}

static void close_peer(struct peer *peer, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(peer->fd);
    buffer_free(&peer->inbound);
    peer->fd = -1;
}

static bool word_is(const char *word, size_t size, const char *name)
{
    return strlen(name) == size && strncmp(word, name, size) == 0;
}

static void play(struct peer *peer, const char *word, size_t size)
{
    if (*word == '<') {
        read_packet(peer, word);
    } else if (*word == '>') {
        send_bytes(peer, word, size);
    } else if (*word == '#') {
        if (peer->inbound.size == 0 && !fill(peer))
            complain(peer->script, "nothing came", word);
    } else if (word_is(word, size, "stuck")) {
        struct pollfd stopped = {.fd = peer->script->listener}; /* POLLHUP comes unasked */
        poll(&stopped, 1, PATIENCE_MS);
        close_peer(peer, false);
    } else if (word_is(word, size, "eof")) {
        while (fill(peer))
            ;
        close_peer(peer, false);
    } else {
        close_peer(peer, word_is(word, size, "reset"));
    }
}

static void *serve(void *argument)
{
    struct script *script = argument;
    struct peer peer = {.script = script, .fd = -1};
    const char *word = script->words;
    for (;;) {
        word += strspn(word, " \n");
        if (peer.fd < 0 && (peer.fd = accept(script->listener, NULL, NULL)) < 0)
            return NULL; /* script_stop() */
        if (*word) {
            size_t size = strcspn(word, " \n");
            play(&peer, word, size);
            word += size;
            if (peer.fd >= 0 || word[strspn(word, " \n")])
                continue;
        }
        /* The script is over. */
        if (peer.fd >= 0) {
            while (fill(&peer))
                ;
            close_peer(&peer, false);
        }
        while ((peer.fd = accept(script->listener, NULL, NULL)) >= 0)
            close_peer(&peer, false);
        return NULL;
    }
}

/* ---- The test's side ---- */

void script_start(struct script *script, const char *words)
{
    *script = (struct script){.words = words};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(script->listener >= 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(script->listener, 16), 0);
    assert_int_equal(getsockname(script->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(script->port, sizeof script->port, "%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&script->thread, NULL, serve, script), 0);
}

void script_stop(struct script *script)
{
    shutdown(script->listener, SHUT_RDWR); /* ends accept() */
    pthread_join(script->thread, NULL);
    close(script->listener);
    assert_string_equal(script->error, "");
}

unsigned script_time_limit_ms = SCRIPT_TIME_LIMIT_MS, script_limit_s = SCRIPT_LIMIT_S;

struct outcome script_run(const char *words, enum version version, void (*run)(struct test *test))
{
    static const struct server_features features = {.maximum_qos = 2,
                                                    .retain_available = true,
                                                    .wildcard_available = true,
                                                    .subscription_identifier_available = true,
                                                    .shared_available = true,
                                                    .receive_maximum = UINT16_MAX,
                                                    .maximum_packet_size = UINT32_MAX};
    struct script script;
    script_start(&script, words);
    struct target target = {.host = "127.0.0.1", .port = script.port};
    struct run_settings settings = {.target = &target,
                                    .server = &features,
                                    .time_limit_ms = script_time_limit_ms,
                                    .quiet_ms = 500};
    struct conformance_case definition = {.name = "scripted",
                                          .file = __FILE__,
                                          .v5 = "MQTT-1.5.4-1 MQTT-1.5.4-2",
                                          .v311 = "MQTT-1.5.3-1",
                                          .run = run,
                                          .limit_s = script_limit_s};
    struct outcome outcome;
    run_case(&definition, version, &settings, &outcome);
    script_stop(&script);
    return outcome;
}

void script_judge(const char *words, enum version version, void (*run)(struct test *test),
                  enum verdict verdict, const char *statement, const char *reason)
{
    struct outcome outcome = script_run(words, version, run);
    if (outcome.verdict != verdict || (statement && strcmp(outcome.statement, statement) != 0) ||
        (reason && !(outcome.reason && strstr(outcome.reason, reason)))) {
        print_error("%s [%s] %s\n%s", verdict_name(outcome.verdict), outcome.statement,
                    outcome.reason ? outcome.reason : "", outcome.trace);
        _fail(__FILE__, __LINE__);
    }
    outcome_free(&outcome);
}
