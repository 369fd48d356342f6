#include "proxy/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header header;
static size_t used;

static enum proxy_result parse(const char *data, size_t size)
{
    const char *why = NULL;
    enum proxy_result result = proxy_parse((const uint8_t *)data, size, &header, &used, &why);
    assert_int_equal(result == PROXY_REFUSED, why != NULL);
    return result;
}

/* Whole, with bytes behind it; and at each shorter length nothing is decided yet. */
static void expect_header(const char *data, size_t size)
{
    char longer[PROXY_HEADER_MAX + 2];
    for (size_t part = 0; part < size; part++)
        assert_int_equal(parse(data, part), PROXY_MORE);
    memcpy(longer, data, size);
    memcpy(longer + size, "\x10\x00", 2);
    assert_int_equal(parse(longer, size + 2), PROXY_DONE);
    assert_int_equal(used, size);
}

static void expect_line(const char *line)
{
    expect_header(line, strlen(line));
}

static void a_line_says_whose_the_connection_is(void **state)
{
    (void)state;
    expect_line("PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n");
    assert_true(header.has_address);
    assert_false(header.is_ipv6);
    assert_memory_equal(header.host, "\xc0\x00\x02\x07", 4);
    assert_int_equal(header.port, 56324);
    expect_line("PROXY TCP6 2001:db8::7 2001:db8::1 65535 1\r\n");
    assert_true(header.has_address);
    assert_true(header.is_ipv6);
    assert_memory_equal(header.host, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
    assert_int_equal(header.port, 65535);
}

static void a_line_may_not_know(void **state)
{
    (void)state;
    expect_line("PROXY UNKNOWN\r\n");
    assert_false(header.has_address);
    expect_line("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n");
    assert_false(header.has_address);
}

static void a_line_that_is_not_just_so_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x10\x10",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY UNKNOWN 456789 123456789 123456789 123456789 123456789 123456789 123456789 "
        "123456789 "
        "123456789 1234567\r\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(parse(wrong[i], strlen(wrong[i])), PROXY_REFUSED);
    assert_int_equal(parse("PROXY UNKNOWN \0\r\n", 17), PROXY_REFUSED);
}

#define V2(rest) SIGNATURE rest, sizeof SIGNATURE + sizeof rest - 2

static void a_binary_header_says_whose_the_connection_is(void **state)
{
    (void)state;
    expect_header(V2("\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22\xb3"));
    assert_true(header.has_address);
    assert_false(header.is_ipv6);
    assert_memory_equal(header.host, "\xc0\x00\x02\x07", 4);
    assert_int_equal(header.port, 0xdc04);
    expect_header(V2("\x21\x21\x00\x24"
                     "0123456789abcdef"
                     "fedcba9876543210"
                     "\x01\x02\x03\x04"));
    assert_true(header.has_address);
    assert_true(header.is_ipv6);
    assert_memory_equal(header.host, "0123456789abcdef", 16);
    assert_int_equal(header.port, 0x0102);
}

static void additional_fields_are_skipped(void **state)
{
    (void)state;
    expect_header(V2("\x21\x11\x00\x14\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22\xb3"
                     "\x02\x00\x05mqtt!"));
    assert_int_equal(header.port, 0xdc04);
    char longest[PROXY_HEADER_MAX] = SIGNATURE "\x21\x11";
    longest[14] = (char)((PROXY_HEADER_MAX - 16) >> 8);
    longest[15] = (char)((PROXY_HEADER_MAX - 16) & 0xff);
    expect_header(longest, sizeof longest);
}

static void the_balancers_own_connection_has_no_address(void **state)
{
    (void)state;
    expect_header(V2("\x20\x00\x00\x00"));
    assert_false(header.has_address);
    expect_header(V2("\x20\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22\xb3"));
    assert_false(header.has_address);
    expect_header(V2("\x21\x00\x00\x03xyz"));
    assert_false(header.has_address);
}

static void a_binary_header_that_is_not_just_so_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse(V2("\x11\x11\x00\x0c")), PROXY_REFUSED);
    assert_int_equal(parse(V2("\x22\x11\x00\x0c")), PROXY_REFUSED);
    assert_int_equal(parse(V2("\x21\x11\xff\xff")), PROXY_REFUSED);
    assert_int_equal(parse(V2("\x21\x11\x00\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22")),
                     PROXY_REFUSED);
    assert_int_equal(parse(V2("\x21\x21\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22\xb3")),
                     PROXY_REFUSED);
    assert_int_equal(parse(V2("\x21\x12\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x22\xb3")),
                     PROXY_REFUSED);
    assert_int_equal(parse("\r\n\r\n\0\r\nQUIT\r", 12), PROXY_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_whose_the_connection_is),
        cmocka_unit_test(a_line_may_not_know),
        cmocka_unit_test(a_line_that_is_not_just_so_is_refused),
        cmocka_unit_test(a_binary_header_says_whose_the_connection_is),
        cmocka_unit_test(additional_fields_are_skipped),
        cmocka_unit_test(the_balancers_own_connection_has_no_address),
        cmocka_unit_test(a_binary_header_that_is_not_just_so_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
