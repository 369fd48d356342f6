#include "conformance/wire/packet.h"

#include <string.h>

struct text text_of(const char *string)
{
    return (struct text){(const uint8_t *)string, strlen(string)};
}

bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
