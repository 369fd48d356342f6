#include "conformance/wire/packet.h"

#include <stdio.h>
#include <stdlib.h>

enum property_type property_type(uint32_t id)
{
    switch (id) {
#define PROPERTY(id_, name, type)                                                                  \
    case id_:                                                                                      \
        return PROPERTY_##type;
#include "conformance/wire/property.def"
    default:
        return PROPERTY_UNKNOWN;
    }
}

const char *property_name(uint32_t id)
{
    switch (id) {
#define PROPERTY(id_, name, type)                                                                  \
    case id_:                                                                                      \
        return name;
#include "conformance/wire/property.def"
    default:
        return "unknown property";
    }
}

static struct property *append(struct properties *properties, uint32_t id)
{
    if (properties->count == PROPERTIES_MAX) {
        fputs("more properties than a packet of this suite has room for\n", stderr);
        abort();
    }
    struct property *property = &properties->list[properties->count++];
    *property = (struct property){.id = id};
    return property;
}

void property_add(struct properties *properties, enum property_id id, uint32_t number)
{
    append(properties, id)->number = number;
}

void property_add_text(struct properties *properties, enum property_id id, struct text text)
{
    append(properties, id)->text = text;
}

void property_add_user(struct properties *properties, const char *name, const char *value)
{
    struct property *property = append(properties, USER_PROPERTY);
    property->text = text_of(name);
    property->value = text_of(value);
}

const struct property *property_find(const struct properties *properties, enum property_id id)
{
    for (unsigned i = 0; i < properties->count; i++) {
        if (properties->list[i].id == id)
            return &properties->list[i];
    }
    return NULL;
}

uint32_t property_number(const struct properties *properties, enum property_id id, uint32_t absent)
{
    const struct property *property = property_find(properties, id);
    return property ? property->number : absent;
}
