/* The file: it does not grow for ever, and it is given back; and nobody waits for that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/fault_testing.h"
#include "storage/store_testing.h"

enum { MESSAGES = 6000, BODY = 4000, SOON_MS = 20000 };

static struct fixture fixture;
static uint64_t numbers[MESSAGES];
static char body[BODY + 1];

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    fixture.options.flush_mem_threshold = 1000;
    memset(body, 'x', BODY);
    fixture_open(&fixture);
    fixture_session(fixture.store, 1, "a");
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    return 0;
}

static void publish(unsigned from, unsigned count)
{
    uint64_t lsn = 0;
    for (unsigned i = from; i < from + count; i += 100) {
        struct store_batch *batch = store_batch_open(fixture.store, 0);
        for (unsigned k = i; k < i + 100; k++)
            numbers[k] = fixture_append(batch, 1, 1, 1, true, body);
        lsn = store_batch_lsn(batch);
        store_submit(fixture.store, batch);
        assert_true(fixture_wait_durable(fixture.store, lsn, SOON_MS));
        store_reclaim(fixture.store, 0);
    }
}

static void settle(unsigned from, unsigned count)
{
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    for (unsigned i = from; i < from + count; i++)
        store_batch_settled(batch, 1, numbers[i]);
    store_submit(fixture.store, batch);
    struct store_read read = fixture_read(fixture.store, 1, false); /* brings it to disk */
    store_read_fini(&read);
}

static uint64_t size_of(const char *name)
{
    char path[128];
    struct stat found;
    fixture_path(&fixture, name, path);
    return stat(path, &found) == 0 ? (uint64_t)found.st_size : 0;
}

static void a_drained_backlog_gives_its_room_back(void **state)
{
    publish(0, MESSAGES);
    fixture_close(&fixture);
    uint64_t full = size_of("holdfast.db");
    assert_true(full > (uint64_t)MESSAGES * BODY);
    fixture_open(&fixture);
    settle(0, MESSAGES);
    for (int i = 0; i < SOON_MS / 50 && size_of("holdfast.db") > full / 2; i++)
        usleep(50000);
    assert_true(size_of("holdfast.db") <= full / 2);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM pragma_integrity_check"
                                             " WHERE integrity_check <> 'ok'"),
                     0);
}

static void a_steady_flow_does_not_grow_the_files(void **state)
{
    /* 48 MB pass through a backlog of some 4. */
    for (unsigned round = 0; round < 12; round++) {
        publish(0, 1000);
        settle(0, 1000);
    }
    assert_true(size_of("holdfast.db") < 24 << 20);
    /* The log is copied beside the commits, begins anew, and is bounded in any case. */
    assert_true(size_of("holdfast.db-wal") < 80 << 20);
    struct store_statistics statistics;
    store_statistics(fixture.store, &statistics);
    assert_true(statistics.file_bytes >= size_of("holdfast.db"));
}

static void filled_and_drained_again_it_needs_no_more_room(void **state)
{
    uint64_t first = 0;
    for (unsigned round = 0; round < 4; round++) {
        publish(0, MESSAGES);
        if (round == 0) {
            fixture_close(&fixture); /* all of the log is copied then */
            first = size_of("holdfast.db");
            fixture_open(&fixture);
        }
        settle(0, MESSAGES);
    }
    fixture_close(&fixture);
    assert_true(first > (uint64_t)MESSAGES * BODY);
    assert_true(size_of("holdfast.db") < first + first / 4);
}

/* ---- A disk that takes its time ---- */

static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    const char *thread; /* whose syncs are held */
    uint64_t lsn;       /* once this is durable */
    uint64_t commits;   /* and there have been so many */
    bool shut, holds;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t commits(void)
{
    struct store_statistics statistics;
    store_statistics(fixture.store, &statistics);
    return statistics.commits;
}

static bool is_shut(void)
{
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    return gate.shut && strcmp(name, gate.thread) == 0 &&
           store_durable(fixture.store) >= gate.lsn && commits() >= gate.commits;
}

static void pass_gate(void *context)
{
    pthread_mutex_lock(&gate.mutex);
    while (is_shut()) {
        gate.holds = true;
        pthread_cond_broadcast(&gate.changed);
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
}

static void shut_gate(const char *thread, uint64_t lsn)
{
    pthread_mutex_lock(&gate.mutex);
    gate.thread = thread;
    gate.lsn = lsn;
    gate.commits = 0;
    gate.shut = true;
    gate.holds = false;
    pthread_mutex_unlock(&gate.mutex);
    fault_on_sync(pass_gate, NULL);
}

static bool gate_holds(void)
{
    pthread_mutex_lock(&gate.mutex);
    bool holds = gate.holds;
    pthread_mutex_unlock(&gate.mutex);
    return holds;
}

static bool await_gate(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SOON_MS / 1000;
    pthread_mutex_lock(&gate.mutex);
    while (!gate.holds && pthread_cond_timedwait(&gate.changed, &gate.mutex, &until) == 0) {
    }
    bool holds = gate.holds;
    pthread_mutex_unlock(&gate.mutex);
    return holds;
}

/* Holds the transaction behind the one that is held. */
static void let_one_through(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.commits = commits() + 1;
    gate.holds = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.shut = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static int set_up_slow_disk(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    memset(body, 'x', BODY);
    fault_install(fixture.directory);
    fixture_open(&fixture);
    fixture_session(fixture.store, 1, "a");
    return 0;
}

static int tear_down_slow_disk(void **state)
{
    open_gate();
    fixture_fini(&fixture);
    fault_on_sync(NULL, NULL);
    fault_uninstall();
    return 0;
}

/* The copying of the log is held in a sync from its first on. */
static void commits_do_not_wait_for_a_checkpoint(void **state)
{
    shut_gate("storage-copy", 0);
    publish(0, MESSAGES);
    assert_true(gate_holds());
    publish(0, 1000);
    assert_true(gate_holds());
}

/* Whoever comes behind the end of the session waits for one slice of its backlog at most. */
static void a_large_session_that_has_ended_goes_in_slices(void **state)
{
    static const char count[] = "SELECT count(*) FROM segment WHERE incarnation = 1";
    publish(0, MESSAGES);
    int64_t before = fixture_query(&fixture, count);
    assert_true(before > 300);
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    shut_gate("storage", store_batch_lsn(batch));
    store_batch_session_end(batch, 1);
    store_submit(fixture.store, batch);
    assert_true(await_gate());
    assert_int_equal(fixture_query(&fixture, count), before);
    let_one_through();
    assert_true(await_gate());
    int64_t left = fixture_query(&fixture, count);
    assert_true(left < before);
    assert_true(left > before - 100);
    open_gate();
    for (int i = 0; i < SOON_MS / 10 && fixture_query(&fixture, count) > 0; i++)
        usleep(10000);
    assert_int_equal(fixture_query(&fixture, count), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SLOW_DISK_TEST(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, set_up_slow_disk, tear_down_slow_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_drained_backlog_gives_its_room_back),
        TEST(a_steady_flow_does_not_grow_the_files),
        TEST(filled_and_drained_again_it_needs_no_more_room),
        SLOW_DISK_TEST(commits_do_not_wait_for_a_checkpoint),
        SLOW_DISK_TEST(a_large_session_that_has_ended_goes_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
