/* Segments: what goes in comes out, and what is damaged is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "storage/segment.h"

static struct segment_builder builder;
static struct segment_directory directory;
static struct segment_progress progress, read_back;
static uint8_t bytes[SEGMENT_PROGRESS_MAX];

static int set_up(void **state)
{
    segment_reset(&builder);
    memset(&progress, 0, sizeof progress);
    return 0;
}

static int tear_down(void **state)
{
    segment_fini(&builder);
    return 0;
}

static struct segment_entry entry_of(uint64_t number, const char *payload)
{
    return (struct segment_entry){
        .qos = 1,
        .message = {.number = number,
                    .qos = 1,
                    .topic = bytes_of_text("a/b"),
                    .payload = bytes_of_text(payload)},
    };
}

static void add(uint64_t number, const char *payload)
{
    struct segment_entry entry = entry_of(number, payload);
    assert_true(segment_add(&builder, &entry));
}

static struct bytes built_directory(void)
{
    return bytes_of(builder.directory, builder.directory_size);
}

static struct bytes built_data(void)
{
    return bytes_of(builder.data.data, builder.data.size);
}

static void read_directory(void)
{
    assert_true(
        segment_read_directory(built_directory(), builder.first, builder.count, &directory));
}

/* ---- Entries ---- */

static void assert_same(const struct segment_entry *a, const struct segment_entry *b)
{
    assert_int_equal(a->body, b->body);
    assert_int_equal(a->qos, b->qos);
    assert_int_equal(a->retain, b->retain);
    assert_true(bytes_equal(a->subscription_identifiers, b->subscription_identifiers));
    assert_true(a->message.number == b->message.number);
    if (a->body != SEGMENT_BODY_INLINE)
        return;
    assert_int_equal(a->message.qos, b->message.qos);
    assert_int_equal(a->message.retain, b->message.retain);
    assert_int_equal(a->message.has_expiry, b->message.has_expiry);
    assert_int_equal(a->message.expiry_interval_s, b->message.expiry_interval_s);
    assert_true(a->message.received_at_ms == b->message.received_at_ms);
    assert_true(a->message.publisher == b->message.publisher);
    assert_true(bytes_equal(a->message.topic, b->message.topic));
    assert_true(bytes_equal(a->message.properties, b->message.properties));
    assert_true(bytes_equal(a->message.payload, b->message.payload));
}

/* A broker that believed it would stop at its own check, at each start again. */
static void what_no_packet_could_carry_is_damage(void **state)
{
    static const char *const identifiers[] = {"\0\0\0\0", "\x10\0\0\0", "\xff\xff\xff\xff"};
    struct segment_entry out;
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++) {
        struct segment_entry entry = entry_of(5, "x");
        segment_reset(&builder);
        entry.subscription_identifiers = bytes_of(identifiers[i], 4);
        assert_true(segment_add(&builder, &entry));
        read_directory();
        assert_false(segment_read_entry(&directory.slots[0], built_data(), &out));
    }
    char *topic = calloc(1, UINT16_MAX + 1);
    for (size_t size = UINT16_MAX; size <= UINT16_MAX + 1; size++) {
        struct segment_entry entry = entry_of(5, "x");
        segment_reset(&builder);
        entry.message.topic = bytes_of(topic, size);
        assert_true(segment_add(&builder, &entry));
        read_directory();
        assert_int_equal(segment_read_entry(&directory.slots[0], built_data(), &out),
                         size <= UINT16_MAX);
    }
    free(topic);
}

static void entries_come_back_with_everything_they_had(void **state)
{
    struct segment_entry entries[] = {
        entry_of(5, ""),
        {.body = SEGMENT_BODY_INLINE,
         .qos = 2,
         .retain = true,
         .subscription_identifiers = bytes_of("\0\0\0\1\x0f\xff\xff\xff", 8),
         .message = {.number = 6,
                     .qos = 2,
                     .retain = true,
                     .has_expiry = true,
                     .expiry_interval_s = UINT32_MAX,
                     .received_at_ms = INT64_MIN,
                     .publisher = UINT64_MAX,
                     .topic = bytes_of_text("t"),
                     .properties = bytes_of_text("\x01\x01"),
                     .payload = bytes_of("\0\xff", 2)}},
        {.body = SEGMENT_BODY_SHARED, .qos = 1, .message.number = 1000},
        {.body = SEGMENT_BODY_SHARED,
         .qos = 2,
         .retain = true,
         .subscription_identifiers = bytes_of("\0\0\0\7", 4),
         .message.number = UINT64_C(1) << 40},
        {.body = SEGMENT_BODY_NONE, .qos = 2, .message.number = INT64_MAX},
    };
    size_t count = sizeof entries / sizeof entries[0];
    for (size_t i = 0; i < count; i++)
        assert_true(segment_add(&builder, &entries[i]));
    assert_int_equal(builder.first, 5);
    assert_int_equal(builder.shared, 2);
    read_directory();
    assert_int_equal(directory.count, count);
    assert_int_equal(directory.shared, 2);
    assert_int_equal(directory.data_size, builder.data.size);
    for (size_t i = 0; i < count; i++) {
        struct segment_entry entry;
        assert_int_equal(segment_find(&directory, entries[i].message.number), i);
        assert_true(segment_read_entry(&directory.slots[i], built_data(), &entry));
        assert_same(&entry, &entries[i]);
    }
    assert_int_equal(segment_find(&directory, 4), -1);
    assert_int_equal(segment_find(&directory, 7), -1);
    assert_int_equal(segment_find(&directory, UINT64_MAX), -1);
}

static void a_segment_takes_so_many_entries(void **state)
{
    struct segment_entry entry = entry_of(0, "x");
    while (entry.message.number++, segment_add(&builder, &entry))
        ;
    assert_int_equal(builder.count, SEGMENT_ENTRIES);
    read_directory();
}

static void a_segment_takes_so_many_bytes_and_one_entry_whatever_its_size(void **state)
{
    static uint8_t large[SEGMENT_BYTES];
    struct segment_entry entry = entry_of(1, "");
    entry.subscription_identifiers = bytes_of(large, sizeof large);
    assert_true(segment_add(&builder, &entry));
    entry = entry_of(2, "x");
    assert_false(segment_add(&builder, &entry));
    read_directory();
    segment_reset(&builder);
    entry.message.payload = bytes_of(large, SEGMENT_INLINE);
    while (segment_add(&builder, &entry))
        entry.message.number++;
    assert_true(builder.count >= SEGMENT_BYTES / SEGMENT_INLINE - 1);
    assert_true(builder.data.size <= SEGMENT_BYTES);
}

/* ---- Progress ---- */

static void progress_comes_back(void **state)
{
    for (uint64_t i = 0; i < 20; i++)
        add(100 + 3 * i, "x");
    read_directory();
    segment_set_state(&progress, 0, SEGMENT_SETTLED);
    segment_set_state(&progress, 19, STORE_OUTBOUND_SENT);
    segment_set_state(&progress, 19, SEGMENT_SETTLED);
    segment_set_state(&progress, 8, STORE_OUTBOUND_SENT);
    progress.packet_identifier[8] = 65535;
    progress.sequence[8] = UINT64_MAX;
    segment_set_state(&progress, 9, STORE_OUTBOUND_SENT);
    segment_set_state(&progress, 9, STORE_OUTBOUND_RELEASED);
    assert_int_equal(progress.settled, 2);
    assert_int_equal(progress.in_flight, 2);
    size_t size = segment_write_progress(&directory, &progress, bytes);
    assert_true(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    assert_memory_equal(&read_back, &progress, sizeof progress);
    assert_true(segment_read_progress(bytes_of(NULL, 0), &directory, &read_back));
    assert_int_equal(read_back.settled + read_back.in_flight, 0);
}

static void the_longest_progress_has_room(void **state)
{
    for (uint64_t i = 0; i < SEGMENT_ENTRIES; i++) {
        struct segment_entry entry = entry_of(1 + i * (INT64_MAX / SEGMENT_ENTRIES), "x");
        assert_true(segment_add(&builder, &entry));
    }
    read_directory();
    for (int i = 0; i < SEGMENT_ENTRIES; i++) {
        segment_set_state(&progress, i, STORE_OUTBOUND_SENT);
        progress.sequence[i] = UINT64_MAX;
    }
    size_t size = segment_write_progress(&directory, &progress, bytes);
    assert_true(size <= sizeof bytes);
    assert_true(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    assert_int_equal(read_back.in_flight, SEGMENT_ENTRIES);
}

static struct segment_exchange seen[4];
static unsigned seen_count;

static bool see(void *context, const struct segment_exchange *exchange)
{
    seen[seen_count++] = *exchange;
    return seen_count < 4;
}

static void exchanges_are_known_without_their_segment(void **state)
{
    for (uint64_t i = 0; i < 10; i++) {
        struct segment_entry entry = entry_of(7 + i, "x");
        entry.qos = (uint8_t)(1 + i % 2);
        assert_true(segment_add(&builder, &entry));
    }
    read_directory();
    segment_set_state(&progress, 2, STORE_OUTBOUND_SENT);
    segment_set_state(&progress, 3, STORE_OUTBOUND_RELEASED);
    progress.packet_identifier[3] = 12;
    progress.sequence[3] = 34;
    size_t size = segment_write_progress(&directory, &progress, bytes);
    seen_count = 0;
    assert_true(segment_each_exchange(bytes_of(bytes, size), 7, see, NULL));
    assert_int_equal(seen_count, 2);
    assert_int_equal(seen[0].number, 9);
    assert_int_equal(seen[0].qos, 1);
    assert_int_equal(seen[1].number, 10);
    assert_int_equal(seen[1].qos, 2);
    assert_int_equal(seen[1].state, STORE_OUTBOUND_RELEASED);
    assert_int_equal(seen[1].packet_identifier, 12);
    assert_int_equal(seen[1].sequence, 34);
}

/* ---- Damage ---- */

static void what_does_not_fit_its_row_is_damaged(void **state)
{
    for (uint64_t i = 0; i < 3; i++)
        add(10 + i, "hello");
    struct bytes good = built_directory();
    assert_true(segment_read_directory(good, 10, 3, &directory));
    assert_false(segment_read_directory(good, 10, 2, &directory));
    assert_false(segment_read_directory(good, 10, 4, &directory));
    assert_false(segment_read_directory(good, 10, 0, &directory));
    assert_false(segment_read_directory(good, UINT64_MAX, 3, &directory));
    assert_false(segment_read_directory(good, 10, UINT64_MAX, &directory));
    for (size_t size = 0; size < good.size; size++)
        assert_false(segment_read_directory(bytes_of(good.data, size), 10, 3, &directory));
}

static void an_entry_that_is_cut_off_is_damaged_and_the_others_are_not(void **state)
{
    for (uint64_t i = 0; i < 3; i++)
        add(10 + i, "hello");
    read_directory();
    for (size_t size = 0; size <= builder.data.size; size++) {
        /* A copy of just that size, so that reading beyond it is noticed. */
        uint8_t *part = malloc(size + 1);
        memcpy(part, builder.data.data, size);
        struct segment_entry entry;
        for (uint32_t i = 0; i < 3; i++) {
            const struct segment_slot *slot = &directory.slots[i];
            assert_int_equal(segment_read_entry(slot, bytes_of(part, size), &entry),
                             slot->offset + slot->size <= size);
        }
        free(part);
    }
}

static void progress_of_another_segment_is_damaged(void **state)
{
    for (uint64_t i = 0; i < 9; i++)
        add(10 + 2 * i, "x");
    read_directory();
    segment_set_state(&progress, 1, STORE_OUTBOUND_SENT);
    segment_set_state(&progress, 8, SEGMENT_SETTLED);
    size_t size = segment_write_progress(&directory, &progress, bytes);
    assert_true(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    for (size_t less = 1; less < size; less++) {
        bool bits_only = less == 4; /* a shorter list is a list */
        assert_int_equal(segment_read_progress(bytes_of(bytes, less), &directory, &read_back),
                         bits_only);
    }
    bytes[3] |= 0x80; /* settled, of an entry that is not there */
    assert_false(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    bytes[3] &= 0x7f;
    bytes[4]++; /* in flight, of a number that is not there */
    assert_false(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    bytes[4]--;
    bytes[2] |= 2; /* in flight and settled */
    assert_false(segment_read_progress(bytes_of(bytes, size), &directory, &read_back));
    memset(bytes + 2, 0xff, 1); /* all settled: there would be no row */
    bytes[3] = 1;
    assert_false(segment_read_progress(bytes_of(bytes, 4), &directory, &read_back));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_no_packet_could_carry_is_damage),
        TEST(entries_come_back_with_everything_they_had),
        TEST(a_segment_takes_so_many_entries),
        TEST(a_segment_takes_so_many_bytes_and_one_entry_whatever_its_size),
        TEST(progress_comes_back),
        TEST(the_longest_progress_has_room),
        TEST(exchanges_are_known_without_their_segment),
        TEST(what_does_not_fit_its_row_is_damaged),
        TEST(an_entry_that_is_cut_off_is_damaged_and_the_others_are_not),
        TEST(progress_of_another_segment_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
