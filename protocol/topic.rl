/* UTF-8 Encoded Strings, Topic Names and Topic Filters as grammars, with a fast path for ASCII. */
#include "protocol/topic.h"

#include "protocol/grammar.h"
#include "protocol/topic_grammar.h"

/* ---- The grammars ---- */

%%{
    machine utf8_string;
    alphtype unsigned char;
    include utf8 "utf8.rlh";

    main := (utf8_1 | utf8_multibyte)*;

    write data noerror;
}%%

bool utf8_grammar_validate(struct bytes text, size_t *out_offset)
{
    const uint8_t *p = text.data, *pe = bytes_end(text);
    int cs;

    %% write init;
    %% write exec;
    *out_offset = (size_t)(p - text.data);
    return p == pe && cs >= utf8_string_first_final;
}

%%{
    machine topic_name;
    alphtype unsigned char;
    include utf8 "utf8.rlh";

    main := ( (utf8_1 - [+#])   # [MQTT-4.7.0-1]
            | utf8_multibyte )+; # at least one character [MQTT-4.7.3-1]

    write data noerror;
}%%

bool topic_name_grammar_validate(struct bytes name, size_t *out_offset)
{
    const uint8_t *p = name.data, *pe = bytes_end(name);
    int cs;

    %% write init;
    %% write exec;
    *out_offset = (size_t)(p - name.data);
    return p == pe && cs >= topic_name_first_final;
}

%%{
    machine topic_filter;
    alphtype unsigned char;

    # Whole characters above U+007F are no more than bytes here: the text is valid UTF-8.
    character = any - 0x00 - [/+#];

    action wildcard   { result.has_wildcard = true; }
    action share_name { result.share_name = bytes_of(share, (size_t)(p - share)); }
    action filter     { result.filter = bytes_of(p + 1, (size_t)(pe - p) - 1); }

    # "+" takes a whole level [MQTT-4.7.1-2], "#" a whole last level [MQTT-4.7.1-1].
    level  = character* | '+' @wildcard;
    filter = ( (level '/')* (level | '#' @wildcard) ) - zlen; # one character at least [MQTT-4.7.3-1]

    # A ShareName has a character, none of "/", "+", "#", and a filter behind it
    # [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    shared := character+ '/' @share_name @filter filter;
    plain := filter;

    write data noerror;
}%%

struct topic_filter topic_filter_parse(struct bytes text, bool shared_subscriptions,
                                       size_t *out_offset)
{
    static const struct bytes prefix = {(const uint8_t *)"$share/", 7};
    bool shared = shared_subscriptions && text.size >= prefix.size &&
                  memcmp(text.data, prefix.data, prefix.size) == 0;
    const uint8_t *share = shared ? text.data + prefix.size : text.data;
    const uint8_t *p = share, *pe = bytes_end(text);
    int cs = shared ? topic_filter_en_shared : topic_filter_en_plain;
    struct topic_filter result = {
        .kind = shared ? TOPIC_FILTER_SHARED : TOPIC_FILTER_PLAIN,
        .filter = text,
    };

    %% write exec;
    if (p == pe && cs >= topic_filter_first_final)
        return result;
    *out_offset = (size_t)(p - text.data);
    return (struct topic_filter){.kind = TOPIC_FILTER_INVALID};
}

/* ---- The fast path: eight bytes at a time, for what is ASCII and nothing else ---- */

static inline uint64_t load_64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Bit 7 of a byte is set where that byte is 0, or, only above such a byte, where it may be. */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE(0x01)) & ~word & EACH_BYTE(0x80);
}

/* Not zero when a byte is NUL or above 0x7F. */
static inline uint64_t not_text(uint64_t word)
{
    return (word & EACH_BYTE(0x80)) | zero_bytes(word);
}

/* '#' is 0x23 and '+' 0x2B: one bit apart, so one test finds both. */
static inline uint64_t not_name(uint64_t word)
{
    return not_text(word) | zero_bytes((word & ~EACH_BYTE(0x08)) ^ EACH_BYTE(0x23));
}

/* The last word overlaps the one before it; fewer than eight bytes are padded with 'a'. */
#define ALL_WORDS_ARE(text, is_not)                                                                \
    do {                                                                                           \
        const uint8_t *at = (text).data;                                                           \
        size_t left = (text).size;                                                                 \
        uint64_t found = 0;                                                                        \
        if (left < 8) {                                                                            \
            uint64_t word = EACH_BYTE('a');                                                        \
            if (left > 0)                                                                          \
                memcpy(&word, at, left);                                                           \
            return is_not(word) == 0;                                                              \
        }                                                                                          \
        for (; left > 8; at += 8, left -= 8)                                                       \
            found |= is_not(load_64(at));                                                          \
        return (found | is_not(load_64(at + left - 8))) == 0;                                      \
    } while (0)

static inline bool is_ascii_text(struct bytes text)
{
    ALL_WORDS_ARE(text, not_text);
}

static inline bool is_ascii_name(struct bytes text)
{
    ALL_WORDS_ARE(text, not_name);
}

bool utf8_validate(struct bytes text, size_t *out_offset)
{
    return is_ascii_text(text) || utf8_grammar_validate(text, out_offset);
}

bool topic_name_validate(struct bytes name, size_t *out_offset)
{
    return (name.size > 0 && is_ascii_name(name)) || topic_name_grammar_validate(name, out_offset);
}

/* ---- Matching ---- */

/* The level of `text` at `*at`; `*at` goes behind its separator, or past the end by one. */
static struct bytes level_at(struct bytes text, size_t *at)
{
    size_t start = *at, end = start;

    while (end < text.size && text.data[end] != '/')
        end++;
    *at = end + 1;
    return bytes_of(text.data + start, end - start);
}

static bool level_is(struct bytes level, char wildcard)
{
    return level.size == 1 && level.data[0] == wildcard;
}

size_t topic_levels(struct bytes topic)
{
    size_t levels = 1;
    for (size_t i = 0; i < topic.size; i++)
        levels += topic.data[i] == '/';
    return levels;
}

bool topic_filter_matches(struct bytes filter, struct bytes name)
{
    size_t filter_at = 0, name_at = 0;

    if (name.size > 0 && name.data[0] == '$' && filter.size > 0 &&
        (filter.data[0] == '+' || filter.data[0] == '#'))
        return false; /* [MQTT-4.7.2-1] */

    while (filter_at <= filter.size) {
        struct bytes wanted = level_at(filter, &filter_at);

        if (level_is(wanted, '#'))
            return true; /* also the parent level: "a/#" matches "a" (section 4.7.1.2) */
        if (name_at > name.size)
            return false;
        struct bytes level = level_at(name, &name_at);
        if (!level_is(wanted, '+') && !bytes_equal(wanted, level))
            return false;
    }
    return name_at > name.size;
}
