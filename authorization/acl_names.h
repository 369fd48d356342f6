/* Names below names: the one table behind the sections and the levels of an access control list.
 *
 * Every name has a number, from 1 on and in the order of adding; 0 is nothing. Built by one thread,
 * then read by any. */
#ifndef AUTHORIZATION_ACL_NAMES_H
#define AUTHORIZATION_ACL_NAMES_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct acl_name {
    uint32_t parent;
    uint32_t hash;
    size_t offset; /* in `text` */
    uint32_t size;
};

struct acl_names {
    struct acl_name *names; /* [0] is unused */
    uint32_t *slots;        /* open addressing, half empty at least */
    uint32_t count, capacity, slot_count;
    struct buffer text;
};

enum { ACL_NAMES_MAX = 1 << 26 };

/* All zero is empty. */
void acl_names_fini(struct acl_names *names);

uint32_t acl_names_find(const struct acl_names *names, uint32_t parent, struct bytes name);
/* Finds or adds; FULL beyond ACL_NAMES_MAX. */
enum status MUST_USE acl_names_add(struct acl_names *names, uint32_t parent, struct bytes name,
                                   uint32_t *out);

static inline struct bytes acl_names_text(const struct acl_names *names, uint32_t number)
{
    const struct acl_name *name = &names->names[number];
    return name->size > 0 ? bytes_of(names->text.data + name->offset, name->size)
                          : bytes_of(NULL, 0);
}

#endif
