#include "conformance/fault/topic.h"

#include <string.h>

static const char share[] = "$share/";

bool topic_is_shared(struct text filter)
{
    return filter.size >= sizeof share - 1 && memcmp(filter.data, share, sizeof share - 1) == 0;
}

struct text topic_without_share(struct text filter)
{
    if (!topic_is_shared(filter))
        return filter;
    const uint8_t *name = filter.data + sizeof share - 1;
    size_t left = filter.size - (sizeof share - 1);
    const uint8_t *slash = left ? memchr(name, '/', left) : NULL;
    if (!slash)
        return filter;
    size_t skipped = (size_t)(slash + 1 - filter.data);
    return (struct text){slash + 1, filter.size - skipped};
}

bool topic_has_wildcard(struct text filter)
{
    return filter.size &&
           (memchr(filter.data, '+', filter.size) || memchr(filter.data, '#', filter.size));
}

bool topic_next_level(struct text *rest, bool *more, struct text *level)
{
    if (!*more)
        return false;
    const uint8_t *slash = rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    *level = (struct text){rest->data, slash ? (size_t)(slash - rest->data) : rest->size};
    *more = slash != NULL;
    if (slash)
        *rest = (struct text){slash + 1, rest->size - level->size - 1};
    return true;
}

static bool is_character(struct text level, char character)
{
    return level.size == 1 && level.data[0] == (uint8_t)character;
}

bool topic_matches(struct text filter, struct text name)
{
    filter = topic_without_share(filter);
    if (!filter.size || !name.size)
        return false;
    if (name.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        return false; /* [MQTT-4.7.2-1] */
    bool more_filter = true, more_name = true;
    for (;;) {
        struct text want, have;
        bool wants = topic_next_level(&filter, &more_filter, &want);
        if (wants && is_character(want, '#'))
            return true;
        bool has = topic_next_level(&name, &more_name, &have);
        if (!wants || !has)
            return wants == has;
        if (!is_character(want, '+') && !text_equal(want, have))
            return false;
    }
}
