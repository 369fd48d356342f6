/* Disks that fail, fill up and lose power. What was called durable must be on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/fault_testing.h"
#include "storage/history_testing.h"
#include "storage/store_testing.h"

enum { SOON_MS = 5000, IMAGES = 120 };

static struct fixture fixture;
static struct store *store;
static char images[64]; /* a directory for what is left after power loss */

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    snprintf(images, sizeof images, "/tmp/holdfast-image-XXXXXX");
    fault_install(fixture.directory);
    return mkdtemp(images) == NULL;
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    fixture_mute(false);
    fault_uninstall();
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", images);
    return system(command);
}

static void open_quietly(void)
{
    fixture_open(&fixture);
    store = fixture.store;
    assert_true(fixture_wait_durable(store, fixture_session(store, 1, "a"), SOON_MS));
    fixture_mute(true); /* the failures below are wanted */
}

/* What the disk holds now, as a dump. */
static char *after_power_loss(void)
{
    char path[128];
    fault_power_loss(images, 0);
    snprintf(path, sizeof path, "%s/holdfast.db", images);
    return history_dump_database(path);
}

static void assert_on_disk(const char *line, bool wanted)
{
    char *dump = after_power_loss();
    bool found = strstr(dump, line) != NULL;
    free(dump);
    assert_int_equal(found, wanted);
}

static void what_is_durable_is_synced(void **state)
{
    open_quietly();
    for (int i = 0; i < 20; i++) {
        char line[32], payload[16];
        snprintf(payload, sizeof payload, "p%d", 1000 + i);
        snprintf(line, sizeof line, " %s\n", payload);
        assert_true(fixture_wait_durable(
            store, fixture_publish(store, 1, 1, 1, true, payload, NULL), SOON_MS));
        assert_on_disk(line, true);
    }
}

/* Nothing tells of it: the broker asks before each message. */
static void assert_becomes(enum store_health health)
{
    for (int i = 0; i < SOON_MS && store_health(store) != health; i++)
        usleep(1000);
    assert_int_equal(store_health(store), health);
}

static void assert_waits_and_heals(void (*break_disk)(bool on))
{
    fixture.options.disk_stall_limit_ms = 50;
    open_quietly();
    break_disk(true);
    uint64_t lsn = fixture_publish(store, 1, 1, 1, true, "p1", NULL);
    usleep(30000);
    uint64_t later = fixture_publish(store, 1, 1, 1, true, "p2", NULL);
    assert_becomes(STORE_HEALTH_STALLED);
    assert_true(store_durable(store) < lsn);
    assert_on_disk(" p1\n", false);
    break_disk(false);
    assert_true(fixture_wait_durable(store, later, SOON_MS));
    assert_on_disk(" p1\n", true);
    assert_on_disk(" p2\n", true);
    assert_becomes(STORE_HEALTH_OK);
    struct store_statistics statistics;
    store_statistics(store, &statistics);
    assert_true(statistics.failed_commits > 0);
    fixture_close(&fixture);
    fixture_open(&fixture);
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 2);
    store_read_fini(&read);
}

static void fail_all_syncs(bool on)
{
    fault_fail_syncs(on ? -1 : 0);
}

static void fail_short(bool on)
{
    fault_short_writes(on ? 1000000 : 0);
}

static void nothing_is_durable_while_syncs_fail_and_all_is_written_again(void **state)
{
    assert_waits_and_heals(fail_all_syncs);
}

static void a_full_disk_stalls_and_heals(void **state)
{
    assert_waits_and_heals(fault_fill_disk);
}

static void short_writes_stall_and_heal(void **state)
{
    assert_waits_and_heals(fail_short);
}

/* The dangerous one: the next sync says "fine" and means nothing. */
static void one_failed_sync_is_not_forgotten_by_the_next(void **state)
{
    open_quietly();
    for (int i = 0; i < 10; i++) {
        char line[32], payload[16];
        snprintf(payload, sizeof payload, "p%d", 1000 + i);
        snprintf(line, sizeof line, " %s\n", payload);
        fault_fail_syncs(1);
        assert_true(fixture_wait_durable(
            store, fixture_publish(store, 1, 1, 1, true, payload, NULL), SOON_MS));
        assert_on_disk(line, true);
    }
    assert_int_equal(fault_failures(), 10);
}

static void cancelled_messages_need_no_disk(void **state)
{
    fixture.options.commit_delay_us = 10000000;
    open_quietly();
    fault_fail_syncs(-1);
    uint64_t number;
    fixture_publish(store, 1, 1, 1, false, "x", &number);
    assert_true(fixture_wait_durable(store, fixture_settled(store, 1, number), SOON_MS));
    fault_fail_syncs(0);
}

/* A store that is stalled refuses what would make it try again. */
static void a_stalled_store_heals_though_nothing_waits_any_more(void **state)
{
    fixture.options.disk_stall_limit_ms = 50;
    open_quietly();
    fault_fail_syncs(-1);
    uint64_t number;
    fixture_publish(store, 1, 1, 1, true, "p1", &number);
    assert_becomes(STORE_HEALTH_STALLED);
    assert_true(fixture_wait_durable(store, fixture_settled(store, 1, number), SOON_MS));
    fault_fail_syncs(0);
    assert_becomes(STORE_HEALTH_OK);
}

static void a_close_with_a_dead_disk_ends_and_says_nothing_untrue(void **state)
{
    open_quietly();
    fault_fail_syncs(-1);
    uint64_t lsn = fixture_publish(store, 1, 1, 1, true, "p1", NULL);
    usleep(5000);
    assert_true(store_durable(store) < lsn);
    fixture_close(&fixture);
    fault_fail_syncs(0);
}

/* ---- Power loss at every sync of a random history ---- */

static struct {
    pthread_mutex_t mutex;
    unsigned count, calls, every;
    uint64_t durable[IMAGES], made[IMAGES], seed;
    _Atomic uint64_t made_now;
} taken = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct history made, file, promised, latest;

static void take_image(void *context)
{
    pthread_mutex_lock(&taken.mutex);
    if (taken.count < IMAGES && taken.calls++ % taken.every == 0) {
        char directory[128];
        snprintf(directory, sizeof directory, "%s/%u", images, taken.count);
        mkdir(directory, 0700);
        taken.durable[taken.count] = store_durable(store); /* read before the power fails */
        taken.made[taken.count] = atomic_load(&taken.made_now);
        fault_power_loss(directory, taken.count % 2 == 0 ? 0 : taken.seed + taken.count);
        taken.count++;
    }
    pthread_mutex_unlock(&taken.mutex);
}

static void check_image(unsigned which, uint64_t seed, uint64_t last_lsn)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%u/holdfast.db", images, which);
    uint64_t lsn = history_database_lsn(path);
    assert_true(lsn <= last_lsn);
    history_init(&file, seed);
    for (uint64_t at = 1; at <= lsn; at++)
        history_step(&file, at, NULL);
    promised = file;
    for (uint64_t at = lsn + 1; at <= taken.durable[which]; at++)
        history_step(&promised, at, NULL);
    latest = promised;
    for (uint64_t at = promised.lsn + 1; at <= taken.made[which]; at++)
        history_step(&latest, at, NULL);
    char *expected = history_dump(&file), *found = history_dump_database(path);
    assert_string_equal(found, expected);
    free(expected);
    free(found);
    if (taken.durable[which] > lsn)
        assert_true(history_keeps(&file, &promised, &latest));
}

static void run_with_power_loss(unsigned in_a_thousand, unsigned batches)
{
    const char *seed_text = getenv("STORE_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 0) : (uint64_t)getpid();
    print_message("STORE_SEED=%" PRIu64 "\n", seed);
    taken.count = taken.calls = 0;
    taken.every = 3;
    taken.seed = seed;
    fixture.options.flush_interval_ms = 5;
    fixture.options.flush_mem_threshold = 30;
    fixture_open(&fixture);
    store = fixture.store;
    fixture_mute(in_a_thousand > 0);
    history_init(&made, seed);
    fault_at_random(in_a_thousand, seed);
    fault_on_sync(take_image, NULL);
    for (unsigned i = 0; i < batches; i++) {
        struct store_batch *batch = store_batch_open(store, 0);
        history_step(&made, store_batch_lsn(batch), batch);
        atomic_store(&taken.made_now, made.lsn);
        store_submit(store, batch);
        store_reclaim(store, 0);
        if (i % 4 == 0)
            usleep(500);
        if (i % 16 == 0)
            take_image(NULL);
    }
    usleep(20000);
    fault_at_random(0, 0);
    assert_true(fixture_wait_durable(store, made.lsn, SOON_MS));
    fault_on_sync(NULL, NULL);
    take_image(NULL);
    fixture_close(&fixture);
    fixture_mute(false);
    for (unsigned i = 0; i < taken.count; i++)
        check_image(i, seed, made.lsn);
    print_message("%u power losses, %u failures of the disk\n", taken.count, fault_failures());
    assert_true(taken.count > 10);
}

static void power_loss_keeps_every_promise(void **state)
{
    run_with_power_loss(0, 600);
}

static void power_loss_of_a_failing_disk_keeps_every_promise(void **state)
{
    run_with_power_loss(20, 600);
    assert_true(fault_failures() > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_durable_is_synced),
        TEST(nothing_is_durable_while_syncs_fail_and_all_is_written_again),
        TEST(a_full_disk_stalls_and_heals),
        TEST(short_writes_stall_and_heal),
        TEST(one_failed_sync_is_not_forgotten_by_the_next),
        TEST(cancelled_messages_need_no_disk),
        TEST(a_stalled_store_heals_though_nothing_waits_any_more),
        TEST(a_close_with_a_dead_disk_ends_and_says_nothing_untrue),
        TEST(power_loss_keeps_every_promise),
        TEST(power_loss_of_a_failing_disk_keeps_every_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
