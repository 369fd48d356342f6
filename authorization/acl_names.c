#include "authorization/acl_names.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64, NAMES_MIN = 32 };

void acl_names_fini(struct acl_names *names)
{
    free(names->names);
    free(names->slots);
    buffer_fini(&names->text);
    *names = (struct acl_names){0};
}

/* FNV-1a. Without a key: who chooses what is in the table is the operator, and what a peer looks up
 * in it changes nothing for others. */
static uint32_t hash_of(uint32_t parent, struct bytes name)
{
    uint64_t hash = 14695981039346656037u ^ parent;
    hash *= 1099511628211u;
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ name.data[i]) * 1099511628211u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* Where it is, or the empty slot where it would be. */
static uint32_t *slot_of(const struct acl_names *names, uint32_t parent, struct bytes name,
                         uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        uint32_t *slot = &names->slots[i & (names->slot_count - 1)];
        const struct acl_name *found = &names->names[*slot];
        if (*slot == 0 || (found->hash == hash && found->parent == parent &&
                           bytes_equal(acl_names_text(names, *slot), name)))
            return slot;
    }
}

uint32_t acl_names_find(const struct acl_names *names, uint32_t parent, struct bytes name)
{
    return names->count == 0 ? 0 : *slot_of(names, parent, name, hash_of(parent, name));
}

static enum status grow_slots(struct acl_names *names)
{
    uint32_t count = names->slot_count > 0 ? 2 * names->slot_count : SLOTS_MIN;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return STATUS_NO_MEMORY;
    for (uint32_t number = 1; number <= names->count; number++) {
        uint32_t i = names->names[number].hash;
        while (slots[i & (count - 1)] != 0)
            i++;
        slots[i & (count - 1)] = number;
    }
    free(names->slots);
    names->slots = slots;
    names->slot_count = count;
    return STATUS_OK;
}

static enum status grow_names(struct acl_names *names)
{
    uint32_t capacity = names->capacity > 0 ? 2 * names->capacity : NAMES_MIN;
    struct acl_name *grown = realloc(names->names, capacity * sizeof *grown);
    if (grown == NULL)
        return STATUS_NO_MEMORY;
    names->names = grown;
    names->capacity = capacity;
    return STATUS_OK;
}

enum status acl_names_add(struct acl_names *names, uint32_t parent, struct bytes name,
                          uint32_t *out)
{
    *out = acl_names_find(names, parent, name);
    if (*out != 0)
        return STATUS_OK;
    if (names->count == ACL_NAMES_MAX)
        return STATUS_FULL;
    if (2 * (names->count + 1) > names->slot_count)
        TRY(grow_slots(names));
    if (names->count + 1 >= names->capacity)
        TRY(grow_names(names));
    size_t offset = names->text.size;
    TRY(buffer_append(&names->text, name.data, name.size));
    uint32_t hash = hash_of(parent, name);
    uint32_t *slot = slot_of(names, parent, name, hash);
    *slot = *out = ++names->count;
    names->names[*out] = (struct acl_name){
        .parent = parent, .hash = hash, .offset = offset, .size = (uint32_t)name.size};
    return STATUS_OK;
}
