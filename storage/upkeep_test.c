/* The file: it does not grow for ever, and it is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_drained_backlog_gives_its_room_back),
        TEST(a_steady_flow_does_not_grow_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
