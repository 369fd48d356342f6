/* Addresses as they are logged: RFC 4291 section 2.2 and RFC 5952 for IPv6. */
#include "broker/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void ipv4_is_host_colon_port(void **state)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(1883)};
    from.sin_addr.s_addr = htonl(0xc0000201);
    struct address address = address_of((const struct sockaddr *)&from);
    char text[ADDRESS_TEXT_SIZE];
    assert_string_equal(address_text(&address, text), "192.0.2.1:1883");
}

static void ipv6_stands_in_brackets(void **state)
{
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
    from.sin6_addr.s6_addr[0] = 0x20;
    from.sin6_addr.s6_addr[1] = 0x01;
    from.sin6_addr.s6_addr[2] = 0x0d;
    from.sin6_addr.s6_addr[3] = 0xb8;
    from.sin6_addr.s6_addr[15] = 0x0a;
    struct address address = address_of((const struct sockaddr *)&from);
    char text[ADDRESS_TEXT_SIZE];
    assert_string_equal(address_text(&address, text), "[2001:db8::a]:65535");
}

static void the_longest_one_fits(void **state)
{
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
    memset(&from.sin6_addr, 0xff, sizeof from.sin6_addr);
    struct address address = address_of((const struct sockaddr *)&from);
    char text[ADDRESS_TEXT_SIZE];
    assert_string_equal(address_text(&address, text),
                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_is_host_colon_port),
        cmocka_unit_test(ipv6_stands_in_brackets),
        cmocka_unit_test(the_longest_one_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
