#include "broker/alias.h"

#include <stdlib.h>

#include "base/check.h"

struct alias {
    uint8_t *topic;
    uint16_t size;
};

struct alias_table {
    uint16_t maximum, used;
    struct alias aliases[]; /* [alias - 1] */
};

struct alias_table *alias_table_new(uint16_t maximum)
{
    struct alias_table *table = calloc(1, sizeof *table + maximum * sizeof table->aliases[0]);
    if (table != NULL)
        table->maximum = maximum;
    return table;
}

void alias_table_free(struct alias_table *table)
{
    if (table == NULL)
        return;
    for (unsigned i = 0; i < table->maximum; i++)
        free(table->aliases[i].topic);
    free(table);
}

enum status alias_set(struct alias_table *table, uint16_t alias, struct bytes topic)
{
    CHECK(alias >= 1 && alias <= table->maximum && topic.size > 0 && topic.size <= UINT16_MAX);
    struct alias *at = &table->aliases[alias - 1];
    if (at->size == topic.size && memcmp(at->topic, topic.data, topic.size) == 0)
        return STATUS_OK;
#ifdef SEEDED_BUG_ALIAS_SET_ONCE
    if (at->size > 0)
        return STATUS_OK;
#endif
    uint8_t *copy = malloc(topic.size);
    if (copy == NULL)
        return STATUS_NO_MEMORY;
    memcpy(copy, topic.data, topic.size);
    free(at->topic);
    *at = (struct alias){copy, (uint16_t)topic.size};
    return STATUS_OK;
}

struct bytes alias_get(const struct alias_table *table, uint16_t alias)
{
    CHECK(alias >= 1 && alias <= table->maximum);
    return bytes_of(table->aliases[alias - 1].topic, table->aliases[alias - 1].size);
}

uint16_t alias_assign(struct alias_table *table, struct bytes topic, bool *out_new)
{
    *out_new = false;
    for (uint16_t i = 0; i < table->used; i++) {
        if (table->aliases[i].size == topic.size &&
            memcmp(table->aliases[i].topic, topic.data, topic.size) == 0)
            return (uint16_t)(i + 1);
    }
    if (table->used == table->maximum)
        return 0;
    if (alias_set(table, (uint16_t)(table->used + 1), topic) != STATUS_OK)
        return 0;
    *out_new = true;
    return ++table->used;
}
