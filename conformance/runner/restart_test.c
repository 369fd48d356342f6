#include "conformance/runner/restart.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A server of one thread. It keeps its first connection, the witness, as long as it is told. */
static struct server {
    int listener;
    char port[8];
    pthread_t thread;
    bool keeps_witness; /* open, as if nothing had been restarted */
    bool speaks;        /* answers CONNECT of the connections after it */
} server;

static void answer(int connection)
{
    static const uint8_t connack[] = {0x20, 0x02, 0x00, 0x00};
    char connect[512];
    if (server.speaks && read(connection, connect, sizeof connect) > 0 &&
        write(connection, connack, sizeof connack) == sizeof connack)
        while (read(connection, connect, sizeof connect) > 0)
            continue;
    close(connection);
}

static void *serve(void *unused)
{
    int witness = accept(server.listener, NULL, NULL), connection;
    if (!server.keeps_witness && witness >= 0) {
        close(witness);
        witness = -1;
    }
    while ((connection = accept(server.listener, NULL, NULL)) >= 0)
        answer(connection);
    if (witness >= 0)
        close(witness);
    return NULL;
}

static void start(bool keeps_witness, bool speaks)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = (struct server){.keeps_witness = keeps_witness, .speaks = speaks};
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server.listener, 16), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &size), 0);
    snprintf(server.port, sizeof server.port, "%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop(void)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
}

static char error[OUTAGE_ERROR_SIZE];

static bool make(const char *restart_command, const char *kill_command, enum outage kind)
{
    const struct target target = {.host = "127.0.0.1", .port = server.port};
    struct restart restart = {
        .target = &target,
        .version = VERSION_311,
        .commands = {[OUTAGE_RESTART] = restart_command, [OUTAGE_KILL] = kill_command},
        .command_limit_ms = 5000,
        .return_limit_ms = 200};
    error[0] = '\0';
    return restart_make(&restart, kind, error);
}

static void a_restart_that_works_says_nothing(void **state)
{
    start(false, true);
    assert_true(make("true", NULL, OUTAGE_RESTART));
    assert_string_equal(error, "");
    stop();
}

static void the_other_command_serves_where_one_is_missing(void **state)
{
    start(false, true);
    assert_true(make("true", NULL, OUTAGE_KILL));
    assert_false(make("true", "exit 7", OUTAGE_KILL));
    assert_string_equal(error, "\"exit 7\" ended with status 7");
    stop();
}

static void a_command_that_fails_is_told_with_its_last_line(void **state)
{
    start(false, true);
    assert_false(make("echo one; echo no such unit; exit 5", NULL, OUTAGE_RESTART));
    assert_string_equal(error, "\"echo one; echo no such unit; exit 5\" ended with status 5: "
                               "no such unit");
    stop();
}

static void a_server_that_never_stopped_is_noticed(void **state)
{
    start(true, true);
    assert_false(make("true", NULL, OUTAGE_RESTART));
    assert_non_null(strstr(error, "\"true\" did not stop the server"));
    stop();
}

static void a_server_that_does_not_come_back_is_noticed(void **state)
{
    start(false, false);
    assert_false(make("true", NULL, OUTAGE_RESTART));
    assert_non_null(strstr(error, "the server was not back 0 s after \"true\""));
    stop();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_that_works_says_nothing),
        cmocka_unit_test(the_other_command_serves_where_one_is_missing),
        cmocka_unit_test(a_command_that_fails_is_told_with_its_last_line),
        cmocka_unit_test(a_server_that_never_stopped_is_noticed),
        cmocka_unit_test(a_server_that_does_not_come_back_is_noticed),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
