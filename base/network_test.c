#include "base/network.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool contains(const char *network, const char *address)
{
    struct network parsed;
    uint8_t host[16] = {0};
    bool is_ipv6 = strchr(address, ':') != NULL;
    assert_true(network_next(&network, &parsed));
    assert_int_equal(inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, host), 1);
    return network_contains(&parsed, host, is_ipv6);
}

static void a_network_contains_what_begins_like_it(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.1.2"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("192.168.4.0/22", "192.168.7.255"));
    assert_false(contains("192.168.4.0/22", "192.168.8.0"));
    assert_true(contains("192.168.4.9/22", "192.168.4.1"));
    assert_true(contains("0.0.0.0/0", "1.2.3.4"));
    assert_true(contains("127.0.0.1", "127.0.0.1"));
    assert_false(contains("127.0.0.1", "127.0.0.2"));
    assert_true(contains("fd00::/7", "fc00::1"));
    assert_true(contains("2001:db8::1/128", "2001:db8::1"));
    assert_false(contains("2001:db8::1", "2001:db8::2"));
}

static void families_are_told_apart(void **state)
{
    (void)state;
    assert_false(contains("0.0.0.0/0", "::"));
    assert_false(contains("::/0", "0.0.0.0"));
}

static void a_list_is_read_one_by_one(void **state)
{
    (void)state;
    const char *text = " 10.0.0.0/8  ::1 ";
    struct network network;
    assert_true(network_next(&text, &network));
    assert_int_equal(network.bits, 8);
    assert_true(network_next(&text, &network));
    assert_true(network.is_ipv6);
    assert_false(network_next(&text, &network));
    assert_string_equal(text, "");
}

static void what_is_no_network_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "10.0.0/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "::1/129",
        "host",
        "::1%lo",
        "10.0.0.0,::1",
        "/8",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *text = wrong[i];
        struct network network;
        assert_false(network_next(&text, &network));
        assert_ptr_equal(text, wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_contains_what_begins_like_it),
        cmocka_unit_test(families_are_told_apart),
        cmocka_unit_test(a_list_is_read_one_by_one),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
