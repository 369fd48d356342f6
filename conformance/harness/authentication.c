#include <string.h>

#include "conformance/harness/test_run.h"

static struct text data_of(struct test *test, const char *word)
{
    static const char prefix[] = "hex:";
    if (strncmp(word, prefix, sizeof prefix - 1) != 0)
        return text_of(word);
    struct buffer bytes = {0};
    buffer_hex(&bytes, word + sizeof prefix - 1);
    size_t size = bytes.size;
    uint8_t *copy = test_alloc(test, size + 1); /* present, though empty */
    if (size > 0)
        memcpy(copy, bytes.data, size);
    buffer_free(&bytes);
    return (struct text){copy, size};
}

const struct authentication *need_authentication(struct test *test)
{
    const struct target *target = test->run->settings->target;
    if (!target->auth_method)
        skip(test, "it needs an Authentication Method of the server's (--auth-method)");
    struct authentication *out = test_alloc(test, sizeof *out);
    out->method = text_of(target->auth_method);
    out->count = target->auth_data_count;
    for (unsigned i = 0; i < out->count; i++)
        out->data[i] = data_of(test, target->auth_data[i]);
    return out;
}
