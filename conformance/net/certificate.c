#include "conformance/net/certificate.h"

#include <string.h>

enum { BOOLEAN = 0x01, OCTET_STRING = 0x04, SEQUENCE = 0x30, IP_ADDRESS = 0x87 };

struct range {
    const uint8_t *at, *end;
};

/* Takes one element from the front: its tag, and its contents in `*out`. -1: there is none. */
static int take(struct range *from, struct range *out)
{
    if (from->end - from->at < 2)
        return -1;
    int tag = *from->at++;
    size_t size = *from->at++;
    if (size & 0x80) {
        size_t bytes = size & 0x7f;
        if (bytes == 0 || bytes > 3 || bytes > (size_t)(from->end - from->at))
            return -1;
        for (size = 0; bytes > 0; bytes--)
            size = size << 8 | *from->at++;
    }
    if (size > (size_t)(from->end - from->at))
        return -1;
    *out = (struct range){from->at, from->at + size};
    from->at += size;
    return tag;
}

/* The GeneralNames behind the identifier 2.5.29.17; empty if there are none. */
static struct range alternative_names(const uint8_t *der, size_t size)
{
    static const uint8_t identifier[] = {0x06, 0x03, 0x55, 0x1D, 0x11};
    struct range rest = {NULL, NULL}, part, names;
    const uint8_t *found = memmem(der, size, identifier, sizeof identifier);
    if (!found)
        return rest;
    rest = (struct range){found + sizeof identifier, der + size};
    int tag = take(&rest, &part);
    if (tag == BOOLEAN) /* critical */
        tag = take(&rest, &part);
    if (tag == OCTET_STRING && take(&part, &names) == SEQUENCE)
        return names;
    return (struct range){NULL, NULL};
}

bool certificate_has_address(const uint8_t *der, size_t size, const uint8_t *address,
                             size_t address_size)
{
    struct range names = alternative_names(der, size), name;
    for (int tag = take(&names, &name); tag >= 0; tag = take(&names, &name)) {
        if (tag == IP_ADDRESS && (size_t)(name.end - name.at) == address_size &&
            memcmp(name.at, address, address_size) == 0)
            return true;
    }
    return false;
}
