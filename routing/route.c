/* Routes are built from matches in one allocation each and kept in a set-associative table: a set
 * is one cache line of four hashes and four routes, the victim is drawn. A hit is one hash, one
 * line of the table, and one comparison with the topic that stands in the route's own first lines.
 */
#include "routing/route.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/check.h"
#include "routing/topic_match.h"

enum {
    WAYS = 4,
    /* Routes may take so much memory in all, however many recipients they have. One that is larger
     * alone is kept all the same, by itself. */
    BYTES_PER_ROUTE = 512,
    BYTES_AT_LEAST = 8 << 20,
    /* How many changes a route is checked against before it is made anew: by measurement, one takes
     * about as long as making 64 bytes of a route. */
    CHANGES_AT_LEAST = 16,
    CHANGES_PER_BYTES = 64,
    ATTEMPTS = 3,
};

/* A target without its No Local subscriptions. */
struct without_no_local {
    uint32_t target; /* position in route.targets; they are sorted by it */
    bool none;       /* nothing is left */
    struct route_target left;
};

struct remembered {
    struct route route;
    const struct without_no_local *without;
    size_t size; /* of the allocation */
    uint32_t without_count;
    uint16_t topic_size;
    uint8_t topic[]; /* then targets, without, groups, members, identifiers */
};

struct set {
    alignas(64) uint64_t hashes[WAYS];
    struct remembered *routes[WAYS];
};

struct route_cache {
    struct topic_index *index;
    struct set *sets;
    uint32_t set_mask;
    uint32_t sweep; /* the next set to empty for memory */
    uint64_t random;
    size_t bytes, bytes_limit;
    struct topic_hash_key key;
    struct topic_matches matches;
    struct topic_match *sorted; /* scratch of the merge sort */
    uint32_t sorted_capacity;
};

struct route_cache *route_cache_new(struct topic_index *index, uint32_t capacity)
{
    struct route_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    uint32_t sets = 1;
    while (sets < capacity / WAYS && sets < UINT32_C(1) << 28)
        sets *= 2;
    cache->index = index;
    cache->set_mask = sets - 1;
    cache->sets = aligned_alloc(alignof(struct set), sets * sizeof *cache->sets);
    if (cache->sets == NULL) {
        free(cache);
        return NULL;
    }
    memset(cache->sets, 0, sets * sizeof *cache->sets);
    cache->bytes_limit = (size_t)sets * WAYS * BYTES_PER_ROUTE;
    if (cache->bytes_limit < BYTES_AT_LEAST)
        cache->bytes_limit = BYTES_AT_LEAST;
    cache->key = topic_index_hash_key(index);
    cache->random = cache->key.secret[1];
    return cache;
}

static void forget(struct route_cache *cache, struct set *set, unsigned way)
{
    if (set->routes[way] == NULL)
        return;
    cache->bytes -= set->routes[way]->size;
    free(set->routes[way]);
    set->routes[way] = NULL;
    set->hashes[way] = 0;
}

void route_cache_free(struct route_cache *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t i = 0; i <= cache->set_mask; i++)
        for (unsigned way = 0; way < WAYS; way++)
            forget(cache, &cache->sets[i], way);
    topic_matches_fini(&cache->matches);
    free(cache->sorted);
    free(cache->sets);
    free(cache);
}

/* ---- Order ---- */

static bool same_session(const struct topic_match *a, const struct topic_match *b)
{
    return a->session == b->session && a->incarnation == b->incarnation &&
           topic_match_home(a) == topic_match_home(b);
}

/* By home, session, incarnation, and then by what makes the order of identifiers certain. */
static bool before(const struct topic_match *a, const struct topic_match *b)
{
    uint16_t home_a = topic_match_home(a), home_b = topic_match_home(b);
    if (home_a != home_b)
        return home_a < home_b;
    if (a->session != b->session)
        return (uintptr_t)a->session < (uintptr_t)b->session;
    if (a->incarnation != b->incarnation)
        return a->incarnation < b->incarnation;
    return topic_match_identifier(a) < topic_match_identifier(b);
}

static void insertion_sort(struct topic_match *matches, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct topic_match moving = matches[i];
        uint32_t at = i;
        for (; at > 0 && before(&moving, &matches[at - 1]); at--)
            matches[at] = matches[at - 1];
        matches[at] = moving;
    }
}

static void merge(const struct topic_match *from, uint32_t middle, uint32_t end,
                  struct topic_match *to)
{
    uint32_t a = 0, b = middle;
    for (uint32_t i = 0; i < end; i++)
        to[i] = b == end || (a < middle && !before(&from[b], &from[a])) ? from[a++] : from[b++];
}

/* Merge sort over runs of RUN. Sets *out to where the sorted matches are. */
static enum status sort(struct route_cache *cache, struct topic_match **out)
{
    enum { RUN = 16 };
    struct topic_match *from = cache->matches.matches;
    uint32_t count = cache->matches.match_count;
    *out = from;
    if (count <= RUN) {
        insertion_sort(from, count);
        return STATUS_OK;
    }
    if (cache->sorted_capacity < count) {
        struct topic_match *sorted =
            realloc(cache->sorted, cache->matches.match_capacity * sizeof *sorted);
        if (sorted == NULL)
            return STATUS_NO_MEMORY;
        cache->sorted = sorted;
        cache->sorted_capacity = cache->matches.match_capacity;
    }
    for (uint32_t i = 0; i < count; i += RUN)
        insertion_sort(from + i, count - i < RUN ? count - i : RUN);
    struct topic_match *to = cache->sorted;
    for (uint64_t width = RUN; width < count; width *= 2) {
        for (uint64_t i = 0; i < count; i += 2 * width) {
            uint64_t left = count - i;
            merge(from + i, (uint32_t)(left < width ? left : width),
                  (uint32_t)(left < 2 * width ? left : 2 * width), to + i);
        }
        struct topic_match *swap = from;
        from = to;
        to = swap;
    }
    *out = from;
    return STATUS_OK;
}

/* ---- Building ---- */

static uint32_t session_end(const struct topic_match *matches, uint32_t i, uint32_t count)
{
    uint32_t end = i + 1;
    while (end < count && same_session(&matches[i], &matches[end]))
        end++;
    return end;
}

static bool is_no_local(const struct topic_match *match)
{
    return (topic_match_options(match) & 0x04) != 0;
}

struct counts {
    uint32_t targets, without, identifiers;
};

static struct counts count_all(const struct topic_match *matches, uint32_t count)
{
    struct counts out = {0};
    for (uint32_t i = 0, end; i < count; i = end) {
        end = session_end(matches, i, count);
        uint32_t all = 0, left = 0;
        bool no_local = false;
        for (uint32_t j = i; j < end; j++) {
            bool has_identifier = topic_match_identifier(&matches[j]) != 0;
            all += has_identifier;
            left += has_identifier && !is_no_local(&matches[j]);
            no_local = no_local || is_no_local(&matches[j]);
        }
        out.targets++;
        out.without += no_local;
        out.identifiers += all + (no_local ? left : 0);
    }
    return out;
}

/* Merges one session's matches; with `skip_no_local` those that have No Local are left out. Returns
 * how many went in. */
static uint32_t merge_session(const struct topic_match *matches, uint32_t count, bool skip_no_local,
                              uint32_t **identifiers, struct route_target *out)
{
    uint32_t merged = 0;
    uint32_t *first = *identifiers;
    *out = (struct route_target){
        .session = matches->session,
        .incarnation = matches->incarnation,
        .home = topic_match_home(matches),
    };
    for (uint32_t i = 0; i < count; i++) {
        uint8_t options = topic_match_options(&matches[i]);
        if (skip_no_local && is_no_local(&matches[i]))
            continue;
        merged++;
        if ((options & 0x03) > out->qos)
            out->qos = options & 0x03;
        out->retain_as_published = out->retain_as_published || (options & 0x08) != 0;
        out->has_no_local = out->has_no_local || is_no_local(&matches[i]);
        if (topic_match_identifier(&matches[i]) != 0)
            *(*identifiers)++ = topic_match_identifier(&matches[i]);
    }
    out->subscription_identifier_count = (uint32_t)(*identifiers - first);
    if (*identifiers != first)
        out->subscription_identifiers = first;
    return merged;
}

static size_t aligned(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* Everything after the topic, in the order of the allocation. */
struct parts {
    struct route_target *targets;
    struct without_no_local *without;
    struct route_group *groups;
    struct subscriber *members;
    uint32_t *identifiers;
};

static void fill(const struct topic_match *matches, const struct topic_matches *found,
                 struct parts parts)
{
    uint32_t target = 0;
    for (uint32_t i = 0, end; i < found->match_count; i = end, target++) {
        end = session_end(matches, i, found->match_count);
        merge_session(&matches[i], end - i, false, &parts.identifiers, &parts.targets[target]);
        if (!parts.targets[target].has_no_local)
            continue;
        uint32_t left =
            merge_session(&matches[i], end - i, true, &parts.identifiers, &parts.without->left);
        parts.without->target = target;
        parts.without->none = left == 0;
        parts.without++;
    }
    if (found->member_count > 0)
        memcpy(parts.members, found->members, found->member_count * sizeof *parts.members);
    for (uint32_t i = 0, first = 0; i < found->group_count; first = found->group_ends[i++])
        parts.groups[i] = (struct route_group){
            .members = parts.members + first,
            .count = found->group_ends[i] - first,
        };
}

static struct remembered *build(struct route_cache *cache, struct bytes topic, uint64_t version)
{
    struct topic_matches *found = &cache->matches;
    struct topic_match *matches;
    if (topic_index_match(cache->index, topic, found) != STATUS_OK ||
        sort(cache, &matches) != STATUS_OK)
        return NULL;
    struct counts counts = count_all(matches, found->match_count);

    size_t targets_at = aligned(sizeof(struct remembered) + topic.size);
    size_t without_at = targets_at + counts.targets * sizeof(struct route_target);
    size_t groups_at = without_at + counts.without * sizeof(struct without_no_local);
    size_t members_at = groups_at + found->group_count * sizeof(struct route_group);
    size_t identifiers_at = members_at + found->member_count * sizeof(struct subscriber);
    size_t size = identifiers_at + counts.identifiers * sizeof(uint32_t);
    struct remembered *out = malloc(size);
    if (out == NULL)
        return NULL;
    uint8_t *base = (uint8_t *)out;
    struct parts parts = {
        .targets = (struct route_target *)(base + targets_at),
        .without = (struct without_no_local *)(base + without_at),
        .groups = (struct route_group *)(base + groups_at),
        .members = (struct subscriber *)(base + members_at),
        .identifiers = (uint32_t *)(base + identifiers_at),
    };
    *out = (struct remembered){
        .route = {version, counts.targets, found->group_count, parts.targets, parts.groups},
        .without = parts.without,
        .size = size,
        .without_count = counts.without,
        .topic_size = (uint16_t)topic.size,
    };
    put_bytes(out->topic, topic);
    fill(matches, found, parts);
    return out;
}

/* ---- Remembering ---- */

static uint64_t draw(struct route_cache *cache)
{
    cache->random ^= cache->random << 13;
    cache->random ^= cache->random >> 7;
    cache->random ^= cache->random << 17;
    return cache->random;
}

/* Makes routes fit their memory again, without the one just made. */
static void sweep(struct route_cache *cache, const struct remembered *keep)
{
    for (uint32_t i = 0; i <= cache->set_mask && cache->bytes > cache->bytes_limit; i++) {
        struct set *set = &cache->sets[cache->sweep++ & cache->set_mask];
        for (unsigned way = 0; way < WAYS; way++)
            if (set->routes[way] != keep)
                forget(cache, set, way);
    }
}

/* The route as of one version: never older than it says, by taking the version before matching, and
 * never newer, by doing it again when a change that concerns it has begun meanwhile. When that goes
 * on, for a topic to which many subscribe now, changes have to wait once. */
static struct remembered *build_exact(struct route_cache *cache, struct bytes topic)
{
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t version = topic_index_version(cache->index);
        struct remembered *made = build(cache, topic, version);
        uint64_t begun = topic_index_begun(cache->index);
#ifdef SEEDED_BUG_ROUTE_OF_TWO_VERSIONS
        begun = version;
#endif
        if (made == NULL || begun == version ||
            !topic_index_changes_concern(cache->index, version, begun, topic))
            return made;
        free(made);
    }
    topic_index_hold(cache->index);
    struct remembered *made = build(cache, topic, topic_index_version(cache->index));
    topic_index_release(cache->index);
    return made;
}

static const struct route *find_anew(struct route_cache *cache, struct bytes topic, uint64_t hash,
                                     struct set *set, unsigned way)
{
    struct remembered *made = build_exact(cache, topic);
    if (made == NULL)
        return NULL;
    for (unsigned i = 0; way == WAYS && i < WAYS; i++)
        if (set->routes[i] == NULL)
            way = i;
    if (way == WAYS)
        way = draw(cache) >> 32 & (WAYS - 1);
    forget(cache, set, way);
    set->hashes[way] = hash;
    set->routes[way] = made;
    cache->bytes += made->size;
    if (cache->bytes > cache->bytes_limit)
        sweep(cache, made);
    return &made->route;
}

/* Looks at each change since the route was made, as long as that costs less than making it. */
static bool outlives_changes(struct route_cache *cache, struct remembered *route, uint64_t version)
{
    uint64_t changes = version - route->route.version;
    if (changes > CHANGES_AT_LEAST + route->size / CHANGES_PER_BYTES ||
        topic_index_changes_concern(cache->index, route->route.version, version,
                                    bytes_of(route->topic, route->topic_size)))
        return false;
    route->route.version = version;
    return true;
}

const struct route *route_find(struct route_cache *cache, struct bytes topic_name)
{
    uint64_t hash = topic_hash(&cache->key, topic_name);
    struct set *set = &cache->sets[hash & cache->set_mask];
    unsigned way = 0;
    for (; way < WAYS; way++) {
        struct remembered *route = set->routes[way];
        if (set->hashes[way] != hash || route == NULL || route->topic_size != topic_name.size ||
            memcmp(route->topic, topic_name.data, topic_name.size) != 0)
            continue;
        uint64_t version = topic_index_version(cache->index);
        if (route->route.version == version || outlives_changes(cache, route, version))
            return &route->route;
        break;
    }
    return find_anew(cache, topic_name, hash, set, way);
}

bool route_target_without_no_local(struct route_cache *cache, const struct route *route,
                                   const struct route_target *target, struct route_target *out)
{
    (void)cache;
    const struct remembered *remembered = (const struct remembered *)route;
    if (!target->has_no_local) {
        *out = *target;
        return true;
    }
    uint32_t position = (uint32_t)(target - route->targets);
    uint32_t low = 0, high = remembered->without_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (remembered->without[middle].target <= position)
            low = middle;
        else
            high = middle;
    }
    CHECK(low < high && remembered->without[low].target == position);
    *out = remembered->without[low].left;
    return !remembered->without[low].none;
}
