/* UTF-8 Encoded Strings against a decoder that does it the other way: code point by code point, by
 * arithmetic and not by ranges of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/topic.h"
#include "protocol/topic_grammar.h"

/* How many bytes the first byte announces; 0 for one that cannot be first. */
static size_t announced(uint8_t first)
{
    return first < 0x80   ? 1
           : first < 0xC0 ? 0
           : first < 0xE0 ? 2
           : first < 0xF0 ? 3
           : first < 0xF8 ? 4
                          : 0;
}

/* Is there any code point that is allowed and whose encoding starts with these bytes? */
static bool is_prefix(const uint8_t *p, size_t size)
{
    static const uint32_t smallest[] = {0, 1, 0x80, 0x800, 0x10000}; /* U+0000 is not allowed */
    size_t whole = announced(p[0]);
    uint32_t low, high;

    if (whole == 0 || size > whole)
        return false;
    low = whole == 1 ? p[0] : p[0] & (0x7Fu >> whole);
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return false;
        low = low << 6 | (p[i] & 0x3F);
    }
    low <<= 6 * (whole - size);
    high = low | ((1u << 6 * (whole - size)) - 1);
    if (low < smallest[whole])
        low = smallest[whole];
    if (high > 0x10FFFF)
        high = 0x10FFFF;
    return low <= high && !(low >= 0xD800 && high <= 0xDFFF);
}

/* The first byte that no allowed string has there; `size` when it ends inside a character. */
static bool slow_validate(const uint8_t *p, size_t size, size_t *out_offset)
{
    size_t start = 0;

    for (size_t i = 0; i < size; i++) {
        if (!is_prefix(p + start, i - start + 1)) {
            *out_offset = i;
            return false;
        }
        if (i - start + 1 == announced(p[start]))
            start = i + 1;
    }
    *out_offset = size;
    return start == size;
}

static void assert_agrees(const uint8_t *p, size_t size)
{
    /* Off the end of the copy nothing can be read unseen. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    size_t expected_offset, offset = SIZE_MAX;

    assert_non_null(copy);
    memcpy(copy, p, size);
    bool expected = slow_validate(p, size, &expected_offset);
    assert_int_equal(utf8_grammar_validate(bytes_of(copy, size), &offset), expected);
    assert_int_equal(offset, expected_offset);
    offset = SIZE_MAX;
    assert_int_equal(utf8_validate(bytes_of(copy, size), &offset), expected);
    if (!expected)
        assert_int_equal(offset, expected_offset);
    free(copy);
}

static size_t encode_code_point(uint32_t c, size_t size, uint8_t *out)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = size; i-- > 1; c >>= 6)
        out[i] = 0x80 | (c & 0x3F);
    out[0] = (uint8_t)(size == 1 ? c : lead[size] | c);
    return size;
}

static void every_code_point_up_to_its_end_is_taken_but_null_and_surrogates(void **state)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        uint8_t text[4];
        size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, offset;
        bool expected = c != 0 && !(c >= 0xD800 && c <= 0xDFFF);

        encode_code_point(c, size, text);
        if (utf8_validate(bytes_of(text, size), &offset) != expected)
            fail_msg("U+%04X", c);
    }
}

static void longer_encodings_are_refused(void **state)
{
    static const uint32_t code_points[] = {0, 0x2F, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF};

    for (size_t i = 0; i < sizeof code_points / sizeof code_points[0]; i++) {
        uint32_t c = code_points[i];
        for (size_t size = c < 0x80 ? 2 : c < 0x800 ? 3 : 4; size <= 4; size++) {
            uint8_t text[4];
            size_t offset;
            encode_code_point(c, size, text);
            assert_false(utf8_validate(bytes_of(text, size), &offset));
            assert_agrees(text, size);
        }
    }
}

static void every_two_bytes_are_judged_as_the_slow_decoder_does(void **state)
{
    for (unsigned i = 0; i <= 0xFFFF; i++) {
        const uint8_t text[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        assert_agrees(text, 2);
        assert_agrees(text, 1);
    }
}

/* All second bytes, and the edges of tails for the third and fourth. */
static void every_boundary_of_longer_characters_is_judged_as_the_slow_decoder_does(void **state)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90,
                                    0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    enum { EDGES = sizeof edges };

    for (unsigned first = 0xC0; first <= 0xFF; first++) {
        for (unsigned second = 0; second <= 0xFF; second++) {
            for (size_t i = 0; i < EDGES * EDGES; i++) {
                const uint8_t text[5] = {(uint8_t)first, (uint8_t)second, edges[i / EDGES],
                                         edges[i % EDGES], 'a'};
                assert_agrees(text, 3);
                assert_agrees(text, 4);
                assert_agrees(text, 5);
            }
        }
    }
}

/* The fast path reads words: every length around them, every place, every byte. */
static void a_byte_anywhere_in_a_text_is_judged_as_the_slow_decoder_does(void **state)
{
    for (size_t size = 0; size <= 26; size++) {
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte <= 0xFF; byte++) {
                uint8_t text[26];
                memset(text, 'a', sizeof text);
                text[at] = (uint8_t)byte;
                assert_agrees(text, size);
            }
        }
    }
}

static void a_character_anywhere_in_a_text_is_taken(void **state)
{
    static const char *const characters[] = {"\xC2\x80", "\xEF\xBB\xBF", "\xEF\xBF\xBF",
                                             "\xF4\x8F\xBF\xBF"};

    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
        size_t length = strlen(characters[i]);
        for (size_t at = 0; at + length <= 26; at++) {
            uint8_t text[26];
            size_t offset;
            memset(text, '~', sizeof text);
            memcpy(text + at, characters[i], length);
            assert_true(utf8_validate(bytes_of(text, sizeof text), &offset));
            assert_agrees(text, at + length - 1);
        }
    }
}

static void no_text_at_all_is_a_text(void **state)
{
    size_t offset;

    assert_true(utf8_validate((struct bytes){0}, &offset));
    assert_true(utf8_grammar_validate((struct bytes){0}, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_up_to_its_end_is_taken_but_null_and_surrogates),
        cmocka_unit_test(longer_encodings_are_refused),
        cmocka_unit_test(every_two_bytes_are_judged_as_the_slow_decoder_does),
        cmocka_unit_test(every_boundary_of_longer_characters_is_judged_as_the_slow_decoder_does),
        cmocka_unit_test(a_byte_anywhere_in_a_text_is_judged_as_the_slow_decoder_does),
        cmocka_unit_test(a_character_anywhere_in_a_text_is_taken),
        cmocka_unit_test(no_text_at_all_is_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
