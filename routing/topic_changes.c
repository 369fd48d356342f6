#include "routing/topic_changes.h"

#include <string.h>

#include "routing/topic_table.h"

enum { ROOM = TOPIC_CHANGE_WORDS * 8 - 1 };

struct record {
    uint8_t size;
    uint8_t filter[ROOM];
};
_Static_assert(sizeof(struct record) == TOPIC_CHANGE_WORDS * sizeof(uint64_t), "fills the words");
_Static_assert((int)TOPIC_CHANGE_FILTER > (int)ROOM, "a cut filter does not look whole");

static struct record record_of(struct bytes filter)
{
    struct record out = {.size = 0};
    if (filter.size <= ROOM) {
        out.size = (uint8_t)filter.size;
        put_bytes(out.filter, filter);
        return out;
    }
    size_t cut = ROOM - 1; /* whole levels, with the slash behind them and "#" in ROOM */
    while (cut > 0 && filter.data[cut - 1] != '/')
        cut--;
    out.size = (uint8_t)(cut + 1);
    put_bytes(out.filter, bytes_of(filter.data, cut));
    out.filter[cut] = '#';
    return out;
}

void topic_changes_add(struct topic_changes *changes, uint64_t version, struct bytes filter)
{
    struct topic_change *change = &changes->ring[version % TOPIC_CHANGES_KEPT];
    struct record record = record_of(filter);
    uint64_t words[TOPIC_CHANGE_WORDS];
    memcpy(words, &record, sizeof words);
    atomic_store_explicit(&change->version, 0, memory_order_relaxed);
    for (unsigned i = 0; i < TOPIC_CHANGE_WORDS; i++)
        atomic_store_explicit(&change->words[i], words[i], memory_order_release);
    atomic_store_explicit(&change->version, version, memory_order_release);
}

static bool concerns(const struct topic_change *change, uint64_t version, struct bytes topic)
{
    if (atomic_load_explicit(&change->version, memory_order_acquire) != version)
        return true;
    uint64_t words[TOPIC_CHANGE_WORDS];
    for (unsigned i = 0; i < TOPIC_CHANGE_WORDS; i++)
        words[i] = atomic_load_explicit(&change->words[i], memory_order_acquire);
    if (atomic_load_explicit(&change->version, memory_order_relaxed) != version)
        return true;
    struct record record;
    memcpy(&record, words, sizeof record);
    return topic_levels_match(bytes_of(record.filter, record.size), topic);
}

bool topic_changes_concern(const struct topic_changes *changes, uint64_t from, uint64_t to,
                           struct bytes topic)
{
    if (to - from > TOPIC_CHANGES_KEPT)
        return true;
    for (uint64_t version = to; version != from; version--)
        if (concerns(&changes->ring[version % TOPIC_CHANGES_KEPT], version, topic))
            return true;
    return false;
}
