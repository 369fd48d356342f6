#include "authentication/principal.h"

#include <stdlib.h>
#include <string.h>

const struct principal principal_anonymous = {.proof = PRINCIPAL_ANONYMOUS};

static struct bytes put(uint8_t **at, struct bytes from)
{
    struct bytes copy = bytes_of(*at, from.size);
    if (from.size > 0)
        memcpy(*at, from.data, from.size);
    *at += from.size;
    return copy;
}

struct principal *principal_new(const struct principal *from)
{
    size_t size = from->user_name.size + from->common_name.size + from->subject.size;
    struct principal *principal = malloc(sizeof *principal + size);
    if (principal == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(principal + 1);
    principal->proof = from->proof;
    principal->credential = from->credential;
    principal->expires_s = from->expires_s;
    principal->user_name = put(&at, from->user_name);
    principal->common_name = put(&at, from->common_name);
    principal->subject = put(&at, from->subject);
    return principal;
}

void principal_free(const struct principal *principal)
{
    if (principal != &principal_anonymous)
        free((void *)principal);
}
