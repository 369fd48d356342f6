/* A PROXY header: what is decided on a part of the bytes stays decided, and what is used was there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum proxy_result parse(const uint8_t *data, size_t size, struct proxy_header *out,
                               size_t *out_used)
{
    const char *why = NULL;
    uint8_t *copy = malloc(size > 0 ? size : 1); /* of its size, for the sanitizer */
    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    enum proxy_result result = proxy_parse(copy, size, out, out_used, &why);
    CHECK((result == PROXY_REFUSED) == (why != NULL));
    CHECK(*out_used <= size);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    size_t whole_used, part_used;
    enum proxy_result result = parse(data, size, &whole, &whole_used);
    CHECK(result != PROXY_MORE || size < PROXY_HEADER_MAX);
    for (size_t at = 0; at < size && at <= PROXY_HEADER_MAX; at += at < 128 ? 1 : 61) {
        enum proxy_result early = parse(data, at, &part, &part_used);
        if (early == PROXY_MORE)
            continue;
        CHECK(early == result);
        CHECK(early != PROXY_DONE || (part_used == whole_used && part.port == whole.port &&
                                      part.has_address == whole.has_address &&
                                      memcmp(part.host, whole.host, sizeof part.host) == 0));
    }
    return 0;
}
