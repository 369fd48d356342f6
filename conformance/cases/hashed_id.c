/* Client Identifiers that collide under a 32-bit hash.
 *
 * A server that looks sessions up by a hash of the identifier, and does not compare the identifier
 * itself, gives one client the session of another. Among 2^18 identifiers some pair collides under
 * any hash of 32 bits all but surely, so pairs are searched anew for each run: the identifiers stay
 * unique to it, and no hash has to be special. */
#include "conformance/harness/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_SIZE = 20 };

static uint32_t fnv1(const uint8_t *p)
{
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = (hash * 16777619u) ^ p[i];
    return hash;
}

static uint32_t fnv1a(const uint8_t *p)
{
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return hash;
}

/* The wide form cut to its lower half. */
static uint32_t fnv1a_64(const uint8_t *p)
{
    uint64_t hash = 14695981039346656037u;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = (hash ^ p[i]) * 1099511628211u;
    return (uint32_t)hash;
}

static uint32_t djb2(const uint8_t *p)
{
    uint32_t hash = 5381;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = hash * 33 + p[i];
    return hash;
}

static uint32_t djb2_xor(const uint8_t *p)
{
    uint32_t hash = 5381;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = (hash * 33) ^ p[i];
    return hash;
}

static uint32_t sdbm(const uint8_t *p)
{
    uint32_t hash = 0;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = hash * 65599 + p[i];
    return hash;
}

static uint32_t times_31(const uint8_t *p)
{
    uint32_t hash = 0;
    for (unsigned i = 0; i < ID_SIZE; i++)
        hash = hash * 31 + p[i];
    return hash;
}

static uint32_t one_at_a_time(const uint8_t *p)
{
    uint32_t hash = 0;
    for (unsigned i = 0; i < ID_SIZE; i++) {
        hash += p[i];
        hash += hash << 10;
        hash ^= hash >> 6;
    }
    hash += hash << 3;
    hash ^= hash >> 11;
    return hash + (hash << 15);
}

static uint32_t crc32(const uint8_t *p)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (unsigned i = 0; i < ID_SIZE; i++) {
        crc ^= p[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static uint32_t rotate(uint32_t value, unsigned by)
{
    return (value << by) | (value >> (32 - by));
}

static uint32_t word(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The size is a multiple of four, so neither of the two has a tail to mix in. */
static uint32_t murmur3(const uint8_t *p)
{
    uint32_t hash = 0;
    for (unsigned i = 0; i < ID_SIZE; i += 4) {
        hash ^= rotate(word(p + i) * 0xCC9E2D51u, 15) * 0x1B873593u;
        hash = rotate(hash, 13) * 5 + 0xE6546B64u;
    }
    hash ^= ID_SIZE;
    hash = (hash ^ (hash >> 16)) * 0x85EBCA6Bu;
    hash = (hash ^ (hash >> 13)) * 0xC2B2AE35u;
    return hash ^ (hash >> 16);
}

static uint32_t murmur2(const uint8_t *p)
{
    const uint32_t m = 0x5BD1E995u;
    uint32_t hash = ID_SIZE;
    for (unsigned i = 0; i < ID_SIZE; i += 4) {
        uint32_t k = word(p + i) * m;
        hash = (hash * m) ^ ((k ^ (k >> 24)) * m);
    }
    hash = (hash ^ (hash >> 13)) * m;
    return hash ^ (hash >> 15);
}

static uint32_t adler32(const uint8_t *p)
{
    uint32_t a = 1, b = 0;
    for (unsigned i = 0; i < ID_SIZE; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static const struct hash {
    const char *name;
    uint32_t (*of)(const uint8_t *id);
} hashes[] = {
    {"FNV-1", fnv1},
    {"FNV-1a", fnv1a},
    {"FNV-1a of 64 bits, cut to 32", fnv1a_64},
    {"djb2", djb2},
    {"djb2 with exclusive or", djb2_xor},
    {"sdbm", sdbm},
    {"the factor 31", times_31},
    {"one-at-a-time", one_at_a_time},
    {"CRC-32", crc32},
    {"Murmur 2", murmur2},
    {"Murmur 3", murmur3},
    {"Adler-32", adler32},
};
enum { HASHES = sizeof hashes / sizeof *hashes };

/* ---- The search ---- */

enum { CANDIDATES = 1 << 18 };

/* The candidate's number in letters, behind what makes the identifiers this run's own. */
static void id_write(uint8_t id[ID_SIZE], const uint8_t own[ID_SIZE], uint32_t number)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    enum { TAIL = 8 };
    memcpy(id, own, ID_SIZE);
    /* Spread over all digits: hashes with a small factor would not collide on a counter. */
    uint64_t spread = (number + 1) * 0x9E3779B97F4A7C15u;
    for (unsigned i = 0; i < TAIL; i++) {
        id[ID_SIZE - 1 - i] = (uint8_t)digits[spread % 62];
        spread /= 62;
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool find_pair(struct test *test, const struct hash *hash, const uint8_t own[ID_SIZE],
                      uint64_t *room, struct text pair[2])
{
    uint8_t id[ID_SIZE];
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        id_write(id, own, i);
        room[i] = (uint64_t)hash->of(id) << 32 | i;
    }
    qsort(room, CANDIDATES, sizeof *room, compare_u64);
    for (uint32_t i = 1; i < CANDIDATES; i++) {
        if (room[i] >> 32 != room[i - 1] >> 32)
            continue;
        for (unsigned side = 0; side < 2; side++) {
            uint8_t *copy = test_alloc(test, ID_SIZE);
            id_write(copy, own, (uint32_t)room[i - side]);
            pair[side] = (struct text){copy, ID_SIZE};
        }
        return !text_equal(pair[0], pair[1]);
    }
    return false;
}

/* ---- The case ---- */

static void end_session(struct client *client)
{
    client_drop(client);
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
    client_disconnect(client);
}

static void expect_strangers(struct test *test, struct client *publisher, const char *hash,
                             const struct text pair[2])
{
    struct text topic = topic_of(test, "%.*s", (int)pair[0].size, (const char *)pair[0].data);
    struct client *one = client_new(test, "one"), *two = client_new(test, "two");
    one->id = pair[0];
    two->id = pair[1];
    client_resume(one, 60);
    client_subscribe(one, topic, 1);
    client_resume(two, 60);
    if (two->connack.session_present)
        fail(test, "%s: a client was given the session of one whose identifier collides", hash);
    expect_alive(one); /* not taken over */
    client_drop(one);
    end_session(two);
    client_publish(publisher, topic, TEXT("p"), 1, false);
    client_resume(one, 60);
    if (!one->connack.session_present)
        fail(test, "%s: a session was ended by a client whose identifier collides", hash);
    take_publish(one, topic, TEXT("p"));
    end_session(one);
}

CASE(colliding_identifiers_are_strangers, .v5 = "MQTT-3.1.3-2 MQTT-3.2.2-3 MQTT-3.1.4-3",
     .v311 = "MQTT-3.1.3-2 MQTT-3.2.2-3 MQTT-3.1.4-2",
     .sends = "pairs of Client Identifiers that collide under FNV-1, FNV-1a, djb2, sdbm, CRC-32, "
              "Murmur 2 and 3, one-at-a-time, Adler-32 and the factor 31",
     .allowed = "each has a session of its own, and neither takes over or ends the other's",
     .why = "Servers have been seen to know sessions by a 32-bit hash of the identifier alone.",
     .faults = "hashes_client_id", .limit_s = 60)
{
    uint64_t *room = test_alloc(test, CANDIDATES * sizeof *room);
    struct client *publisher = client_connected(test, "pub");
    uint8_t own[ID_SIZE];
    memset(own, 'x', ID_SIZE);
    memcpy(own, publisher->id.data, publisher->id.size < ID_SIZE ? publisher->id.size : ID_SIZE);
    for (unsigned i = 0; i < HASHES; i++) {
        struct text pair[2];
        if (find_pair(test, &hashes[i], own, room, pair))
            expect_strangers(test, publisher, hashes[i].name, pair);
    }
}
