#include "admin/host_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void addresses_and_names_of_its_own_are_taken(void **state)
{
    static const char *const own[] = {"127.0.0.1:9883", "127.0.0.1", "[::1]:9883",     "[::1]",
                                      "localhost:9883", "LocalHost", "broker.lan:9883"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        assert_true(host_header_is_own(own[i], "broker.lan"));
    assert_true(host_header_is_own(NULL, "broker.lan"));
}

static void names_of_others_are_not(void **state)
{
    char endless[1000];
    memset(endless, '1', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    const char *const others[] = {"evil.example",
                                  "evil.example:9883",
                                  "localhost.evil.example",
                                  "127.0.0.1.evil.example:9883",
                                  "",
                                  ":9883",
                                  "[evil.example]",
                                  "broker",
                                  endless};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(host_header_is_own(others[i], "broker.lan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_names_of_its_own_are_taken),
        cmocka_unit_test(names_of_others_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
