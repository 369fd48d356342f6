#include "conformance/wire/reader.h"

/* How many bytes the sequence at the front has, 0 if it is ill-formed: Unicode table 3-7. */
static size_t sequence(const uint8_t *s, size_t size)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, size;
    } rows[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (s[0] < rows[i].first_low || s[0] > rows[i].first_high)
            continue;
        if (rows[i].size > size)
            return 0;
        if (rows[i].size > 1 && (s[1] < rows[i].second_low || s[1] > rows[i].second_high))
            return 0;
        for (size_t k = 2; k < rows[i].size; k++) {
            if (s[k] < 0x80 || s[k] > 0xBF)
                return 0;
        }
        return rows[i].size;
    }
    return 0;
}

bool utf8_well_formed(struct text text, size_t *bad)
{
    for (size_t i = 0; i < text.size;) {
        size_t size = sequence(text.data + i, text.size - i);
        if (size == 0) {
            *bad = i;
            return false;
        }
        i += size;
    }
    return true;
}
