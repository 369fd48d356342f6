#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(uint8_t character)
{
    const char *at = character != '\0' ? strchr(alphabet, character) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Four characters, of which the last `padding` are left out. */
static bool decode_group(const uint8_t *text, unsigned padding, uint8_t out[3])
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - padding ? value_of(text[i]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    /* What stands in the bits that are left out has to be nothing: one text for one value. */
    return (padding < 1 || out[2] == 0) && (padding < 2 || out[1] == 0);
}

bool base64_decode(struct bytes text, uint8_t *out, size_t capacity, size_t *out_size)
{
    *out_size = 0;
    if (text.size % 4 != 0)
        return false;
    for (size_t at = 0; at < text.size; at += 4) {
        uint8_t group[3];
        bool last = at + 4 == text.size;
        unsigned padding = !last || text.data[at + 3] != '=' ? 0 : text.data[at + 2] != '=' ? 1 : 2;
        if (!decode_group(text.data + at, padding, group) || *out_size + 3 - padding > capacity)
            return false;
        memcpy(out + *out_size, group, 3 - padding);
        *out_size += 3 - padding;
    }
    return true;
}

void base64_encode(struct bytes data, char *out)
{
    for (size_t at = 0; at < data.size; at += 3) {
        size_t count = data.size - at < 3 ? data.size - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? data.data[at + i] : 0u);
        for (size_t i = 0; i < 4; i++)
            *out++ = i <= count ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    }
    *out = '\0';
}
