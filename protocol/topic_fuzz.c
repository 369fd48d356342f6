/* Strings, Topic Names and Topic Filters: the fast path says what the grammar says, a filter is
 * what it was parsed from, and the matcher says what a second one says. The first line of the input
 * is the filter, the second the name. */
#include <stdlib.h>

#include "base/check.h"
#include "protocol/topic.h"
#include "protocol/topic_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_strings(struct bytes text)
{
    size_t offset = SIZE_MAX, grammar_offset = SIZE_MAX;
    bool valid = utf8_validate(text, &offset);

    CHECK(valid == utf8_grammar_validate(text, &grammar_offset));
    CHECK(valid || (offset == grammar_offset && offset <= text.size));

    bool is_name = topic_name_validate(text, &offset);
    CHECK(is_name == topic_name_grammar_validate(text, &grammar_offset));
    CHECK(is_name || (offset == grammar_offset && offset <= text.size));
    CHECK(is_name == (valid && text.size > 0 && memchr(text.data, '+', text.size) == NULL &&
                      memchr(text.data, '#', text.size) == NULL));
}

static bool starts_shared(struct bytes text)
{
    return text.size >= 7 && memcmp(text.data, "$share/", 7) == 0;
}

/* Section 4.7.1, as its sentences say it. */
static bool is_plain_filter(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool starts = i == 0 || text.data[i - 1] == '/';
        bool ends = i + 1 == text.size;

        if (c == '#' && !(starts && ends))
            return false;
        if (c == '+' && !(starts && (ends || text.data[i + 1] == '/')))
            return false;
    }
    return text.size > 0;
}

static void check_filter(struct bytes text, bool shared_subscriptions)
{
    size_t offset = SIZE_MAX;
    struct topic_filter filter = topic_filter_parse(text, shared_subscriptions, &offset);

    switch (filter.kind) {
    case TOPIC_FILTER_INVALID:
        CHECK(offset <= text.size);
        CHECK((shared_subscriptions && starts_shared(text)) || !is_plain_filter(text));
        break;
    case TOPIC_FILTER_PLAIN:
        CHECK(!(shared_subscriptions && starts_shared(text)));
        CHECK(bytes_equal(filter.filter, text) && is_plain_filter(text));
        break;
    case TOPIC_FILTER_SHARED:
        CHECK(shared_subscriptions && starts_shared(text));
        CHECK(filter.share_name.data == text.data + 7 && filter.share_name.size > 0);
        CHECK(memchr(filter.share_name.data, '/', filter.share_name.size) == NULL);
        CHECK(filter.filter.data == filter.share_name.data + filter.share_name.size + 1);
        CHECK(filter.filter.data + filter.filter.size == text.data + text.size);
        CHECK(is_plain_filter(filter.filter));
        break;
    }
}

/* Matching by recursion over characters, as unlike the one under test as can be. */
static bool matches(const uint8_t *f, const uint8_t *f_end, const uint8_t *n, const uint8_t *n_end)
{
    if (f == f_end)
        return n == n_end;
    if (*f == '#')
        return true;
    if (*f == '+') {
        while (n < n_end && *n != '/')
            n++;
        return matches(f + 1, f_end, n, n_end) ||
               (n == n_end && f + 3 == f_end && f[1] == '/' && f[2] == '#');
    }
    if (n == n_end)
        return f + 2 == f_end && f[0] == '/' && f[1] == '#';
    return *f == *n && matches(f + 1, f_end, n + 1, n_end);
}

static void check_match(struct bytes filter, struct bytes name)
{
    size_t offset;

    if (!is_plain_filter(filter) || !topic_name_validate(name, &offset))
        return;
    bool expected =
        matches(filter.data, filter.data + filter.size, name.data, name.data + name.size);
    if (name.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        expected = false;
    CHECK(topic_filter_matches(filter, name) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    size_t offset;

    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);

    const uint8_t *line = size > 0 ? memchr(copy, '\n', size) : NULL;
    struct bytes filter = bytes_of(copy, line != NULL ? (size_t)(line - copy) : size);
    struct bytes name =
        line != NULL ? bytes_of(line + 1, size - filter.size - 1) : (struct bytes){0};

    check_strings(filter);
    check_strings(name);
    if (utf8_validate(filter, &offset) && filter.size <= UINT16_MAX) {
        check_filter(filter, true);
        check_filter(filter, false);
        check_match(filter, name);
    }
    free(copy);
    return 0;
}
