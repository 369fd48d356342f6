/* The proxy between a client and a server that are both played here, over sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conformance/fault/proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

static const char connect_311[] = "10 0D 0004 4D515454 04 02 003C 0001 61";
static const char connack_311[] = "20 02 00 00";
static const char connect_5[] = "10 0E 0004 4D515454 05 02 003C 00 0001 61";
static const char connack_5[] = "20 03 00 00 00";
static const char pingreq[] = "C0 00", pingresp[] = "D0 00";

struct scene {
    pid_t proxy;
    int listener, sentry, client, server;
    uint16_t server_port, port;
};

static int listen_on(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    return fd;
}

/* -1: nobody listens. */
static int try_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, PATIENCE_MS) == 1;
}

static void send_hex(int fd, const char *hex)
{
    struct buffer bytes = {0};
    buffer_hex(&bytes, hex);
    assert_int_equal(send(fd, bytes.data, bytes.size, MSG_NOSIGNAL), bytes.size);
    buffer_free(&bytes);
}

/* The very next bytes. */
static void expect_hex(int fd, const char *hex)
{
    struct buffer wanted = {0};
    uint8_t got[4096];
    size_t size = 0;
    buffer_hex(&wanted, hex);
    while (size < wanted.size) {
        assert_true(readable(fd));
        ssize_t part = recv(fd, got + size, wanted.size - size, 0);
        assert_true(part > 0);
        size += (size_t)part;
    }
    assert_memory_equal(got, wanted.data, wanted.size);
    buffer_free(&wanted);
}

static void expect_end(int fd)
{
    uint8_t byte;
    assert_true(readable(fd));
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static void read_port(struct scene *scene, int output)
{
    char line[64] = "";
    size_t size = 0;
    while (size < sizeof line - 1 && !strchr(line, '\n')) {
        assert_true(readable(output));
        ssize_t part = read(output, line + size, sizeof line - 1 - size);
        assert_true(part > 0);
        size += (size_t)part;
        line[size] = 0;
    }
    assert_int_equal(strncmp(line, "listening on ", 13), 0);
    scene->port = (uint16_t)strtoul(line + 13, NULL, 10);
}

static int accept_one(int listener)
{
    assert_true(readable(listener));
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void begin(struct scene *scene, const char *fault)
{
    int output[2];
    char server_port[8];
    *scene = (struct scene){.client = -1, .server = -1};
    scene->listener = listen_on(&scene->server_port);
    snprintf(server_port, sizeof server_port, "%u", scene->server_port);
    assert_int_equal(pipe(output), 0);
    fflush(stdout);
    scene->proxy = fork();
    assert_true(scene->proxy >= 0);
    if (scene->proxy == 0) {
        const struct proxy_settings settings = {.listen_host = "127.0.0.1",
                                                .server_host = "127.0.0.1",
                                                .server_port = server_port,
                                                .fault = fault_named(fault)};
        close(scene->listener);
        dup2(output[1], STDOUT_FILENO);
        _exit(proxy_run(&settings));
    }
    close(output[1]);
    read_port(scene, output[0]);
    close(output[0]);
    scene->sentry = accept_one(scene->listener);
}

static void meet(struct scene *scene)
{
    scene->client = try_connect(scene->port);
    assert_true(scene->client >= 0);
    scene->server = accept_one(scene->listener);
}

static void meet_connected(struct scene *scene, const char *connect, const char *connack)
{
    meet(scene);
    send_hex(scene->client, connect);
    expect_hex(scene->server, connect);
    send_hex(scene->server, connack);
    expect_hex(scene->client, connack);
}

static void end(struct scene *scene)
{
    int status;
    kill(scene->proxy, SIGTERM);
    assert_int_equal(waitpid(scene->proxy, &status, 0), scene->proxy);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(scene->client);
    close(scene->server);
    close(scene->sentry);
    close(scene->listener);
}

/* ---- Without a fault ---- */

static void everything_passes_as_it_came(void **state)
{
    static const char *const both_ways[] = {
        "30 05 0001 61 6869", "FF 00", "C0 01 00", "82 02 0001",
        "40 82 00 0001",      "E0 00", "00 80 00", "36 00",
    };
    struct scene scene;
    begin(&scene, "none");
    meet_connected(&scene, connect_311, connack_311);
    for (unsigned i = 0; i < sizeof both_ways / sizeof *both_ways; i++) {
        send_hex(scene.client, both_ways[i]);
        expect_hex(scene.server, both_ways[i]);
        send_hex(scene.server, both_ways[i]);
        expect_hex(scene.client, both_ways[i]);
    }
    end(&scene);
}

static void lengths_that_never_end_pass(void **state)
{
    struct scene scene;
    begin(&scene, "none");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.client, "30 FFFFFFFF 7F 0102");
    expect_hex(scene.server, "30 FFFFFFFF 7F 0102");
    send_hex(scene.client, pingreq);
    expect_hex(scene.server, pingreq);
    end(&scene);
}

static void half_a_packet_passes_at_the_end(void **state)
{
    struct scene scene;
    begin(&scene, "none");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.client, "30 05 0001");
    shutdown(scene.client, SHUT_WR);
    expect_hex(scene.server, "30 05 0001");
    expect_end(scene.server);
    end(&scene);
}

static void ends_pass_in_both_directions(void **state)
{
    struct scene scene;
    begin(&scene, "none");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.server, pingresp);
    shutdown(scene.server, SHUT_RDWR);
    expect_hex(scene.client, pingresp);
    expect_end(scene.client);
    close(scene.client);
    close(scene.server);
    meet_connected(&scene, connect_311, connack_311);
    shutdown(scene.client, SHUT_WR);
    expect_end(scene.server);
    end(&scene);
}

static void nobody_listens_while_the_server_is_gone(void **state)
{
    struct scene scene;
    begin(&scene, "none");
    close(scene.listener);
    close(scene.sentry);
    int refused = 0;
    while ((refused = try_connect(scene.port)) >= 0)
        close(refused);
    scene.listener = listen_on(&scene.server_port);
    while ((scene.client = try_connect(scene.port)) < 0)
        poll(NULL, 0, 1);
    end(&scene);
}

/* ---- With one ---- */

static void a_packet_is_changed_and_others_are_not(void **state)
{
    struct scene scene;
    begin(&scene, "clears_dup");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.server, "3A 06 0001 61 0007 78  D000  3A 06 0001 61 0008 79");
    expect_hex(scene.client, "32 06 0001 61 0007 78  D000  32 06 0001 61 0008 79");
    end(&scene);
}

static void a_close_is_hidden_and_pings_are_answered(void **state)
{
    struct scene scene;
    begin(&scene, "keeps_open");
    meet_connected(&scene, connect_311, connack_311);
    shutdown(scene.server, SHUT_RDWR);
    /* The first ones may still go to the server. */
    struct pollfd answer = {.fd = scene.client, .events = POLLIN};
    do
        send_hex(scene.client, pingreq);
    while (poll(&answer, 1, 20) == 0);
    expect_hex(scene.client, pingresp);
    end(&scene);
}

static void a_swallowed_message_is_acknowledged_in_its_place(void **state)
{
    struct scene scene;
    begin(&scene, "drops_empty_messages");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.server, "32 05 0001 61 0007");
    expect_hex(scene.server, "40 02 0007");
    send_hex(scene.server, "34 05 0001 61 0008");
    expect_hex(scene.server, "50 02 0008");
    send_hex(scene.server, "62 02 0008");
    expect_hex(scene.server, "70 02 0008");
    send_hex(scene.server, pingresp);
    expect_hex(scene.client, pingresp);
    end(&scene);
}

static void an_exchange_of_the_proxys_own_does_not_reach_the_server(void **state)
{
    struct scene scene;
    begin(&scene, "duplicates_qos_2");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.server, "34 06 0001 61 0007 78");
    expect_hex(scene.client, "34 06 0001 61 0007 78  34 06 0001 61 EE48 78");
    send_hex(scene.client, "50 02 EE48");
    expect_hex(scene.client, "62 02 EE48");
    send_hex(scene.client, "70 02 EE48  50 02 0007");
    expect_hex(scene.server, "50 02 0007");
    end(&scene);
}

static void what_is_malformed_is_accepted(void **state)
{
    struct scene scene;
    begin(&scene, "accepts_malformed");
    meet_connected(&scene, connect_5, connack_5);
    send_hex(scene.client, "82 03 0009 00");
    expect_hex(scene.client, "90 04 0009 00 00");
    send_hex(scene.client, "C1 00");
    expect_hex(scene.client, pingresp);
    send_hex(scene.client, pingreq);
    expect_hex(scene.server, pingreq);
    end(&scene);
}

static void a_fault_of_one_version_leaves_the_other_alone(void **state)
{
    struct scene scene;
    begin(&scene, "undefined_reason_code");
    meet_connected(&scene, connect_311, connack_311);
    send_hex(scene.server, "40 02 0007");
    expect_hex(scene.client, "40 02 0007");
    close(scene.client);
    close(scene.server);
    meet_connected(&scene, connect_5, connack_5);
    send_hex(scene.server, "40 02 0007");
    expect_hex(scene.client, "40 04 0007 03 00");
    end(&scene);
}

/* ---- The table ---- */

static void sentences_are_in_one_form(void **state)
{
    unsigned count = 0;
    for (const struct fault *fault = fault_first(); fault->name; fault++, count++) {
        size_t size = strlen(fault->sentence);
        assert_ptr_equal(fault_named(fault->name), fault); /* so no name stands there twice */
        assert_non_null(fault->hooks);
        assert_true(size > 10);
        assert_int_not_equal(fault->sentence[size - 1], '.');
    }
    assert_true(count > 200);
    assert_null(fault_named("no such fault"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_passes_as_it_came),
        cmocka_unit_test(lengths_that_never_end_pass),
        cmocka_unit_test(half_a_packet_passes_at_the_end),
        cmocka_unit_test(ends_pass_in_both_directions),
        cmocka_unit_test(nobody_listens_while_the_server_is_gone),
        cmocka_unit_test(a_packet_is_changed_and_others_are_not),
        cmocka_unit_test(a_close_is_hidden_and_pings_are_answered),
        cmocka_unit_test(a_swallowed_message_is_acknowledged_in_its_place),
        cmocka_unit_test(an_exchange_of_the_proxys_own_does_not_reach_the_server),
        cmocka_unit_test(what_is_malformed_is_accepted),
        cmocka_unit_test(a_fault_of_one_version_leaves_the_other_alone),
        cmocka_unit_test(sentences_are_in_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
