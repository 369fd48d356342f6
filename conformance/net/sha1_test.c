#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/net/sha1.h"

static void check_digest(const char *text, size_t times, const char *hex)
{
    char message[1000] = "", written[2 * SHA1_SIZE + 1];
    uint8_t digest[SHA1_SIZE];
    for (size_t i = 0; i < times; i++)
        strcat(message, text);
    sha1(message, strlen(message), digest);
    for (unsigned i = 0; i < SHA1_SIZE; i++)
        snprintf(written + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(written, hex);
}

/* The first, the second and the fourth message of RFC 3174, section 7.3; the rest by another
 * implementation, around the places where the padding needs a block more. */
static void digests_are_those_of_rfc_3174(void **state)
{
    check_digest("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                 "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check_digest("0123456701234567012345670123456701234567012345670123456701234567", 10,
                 "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    check_digest("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest("x", 55, "cef734ba81a024479e09eb5a75b6ddae62e6abf1");
    check_digest("x", 56, "901305367c259952f4e7af8323f480d59f81335b");
    check_digest("x", 64, "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163");
}

static void check_base64(const char *text, const char *encoded)
{
    char out[20];
    base64(text, strlen(text), out);
    assert_string_equal(out, encoded);
}

static void base64_is_that_of_rfc_4648(void **state)
{
    check_base64("", "");
    check_base64("f", "Zg==");
    check_base64("fo", "Zm8=");
    check_base64("foo", "Zm9v");
    check_base64("foob", "Zm9vYg==");
    check_base64("fooba", "Zm9vYmE=");
    check_base64("foobar", "Zm9vYmFy");
    check_base64("\xff\xfe\xfd\xfc", "//79/A==");
}

/* The example of RFC 6455, section 1.3. */
static void both_make_the_answer_to_a_websocket_key(void **state)
{
    static const char joined[] = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[SHA1_SIZE];
    char accept[32];
    sha1(joined, strlen(joined), digest);
    base64(digest, sizeof digest, accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_rfc_3174),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(both_make_the_answer_to_a_websocket_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
