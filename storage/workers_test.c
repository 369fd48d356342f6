/* Several workers at once, with cookies, reads and cancellation. Most useful under
 * ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/store_testing.h"

enum { WORKERS = 4, TURNS = 150, PER_TURN = 8, SESSIONS = 4 };

static struct fixture fixture;

struct worker {
    pthread_t thread;
    unsigned index;
    uint64_t owed, settled, made; /* of this worker's sessions; messages with cookies */
};

static uint64_t incarnation_of(const struct worker *worker, unsigned session)
{
    return (uint64_t)worker->index * 100 + session + 1;
}

static void publish(struct worker *worker, struct store_batch *batch, unsigned turn, unsigned i,
                    uint64_t *number)
{
    struct store_message *message = calloc(1, sizeof *message);
    CHECK(message != NULL);
    message->qos = 1;
    message->topic = bytes_of_text("t");
    message->payload = bytes_of_text("payload");
    struct store_owed owed = {.incarnation = incarnation_of(worker, (turn + i) % SESSIONS),
                              .qos = 1};
    struct store_publish delta = {
        .message = message,
        .owed = &owed,
        .owed_count = 1,
        .urgent = i % 4 == 0,
        .cookie = message,
    };
    store_batch_message(batch, &delta);
    *number = message->number;
    worker->made++;
}

static void read_back(struct worker *worker, struct store *store, unsigned session)
{
    struct store_read read = {
        .worker = worker->index,
        .incarnation = incarnation_of(worker, session),
        .until = UINT64_MAX,
        .limit = UINT32_MAX,
        .limit_bytes = UINT64_MAX,
    };
    fixture_await(store, &read);
    CHECK(read.status == STATUS_OK);
    for (uint32_t i = 0; i < read.row_count; i++)
        CHECK(read.rows[i].message.payload.size == 7);
    worker->owed += read.row_count;
    store_read_fini(&read);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct store *store = fixture.store;
    struct store_batch *batch = store_batch_open(store, worker->index);
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct store_session session = {.incarnation = incarnation_of(worker, i)};
        store_batch_session(batch, &session);
    }
    uint64_t lsn = store_batch_lsn(batch), before[PER_TURN] = {0};
    store_submit(store, batch);
    CHECK(fixture_wait_durable(store, lsn, 10000));
    for (unsigned turn = 0; turn < TURNS; turn++) {
        batch = store_batch_open(store, worker->index);
        lsn = store_batch_lsn(batch);
        for (unsigned i = 0; i < PER_TURN; i++) {
            if (before[i] != 0 && i % 2 == 0) {
                store_batch_settled(batch, incarnation_of(worker, (turn - 1 + i) % SESSIONS),
                                    before[i]);
                worker->settled++;
            }
            publish(worker, batch, turn, i, &before[i]);
        }
        store_submit(store, batch);
        store_reclaim(store, worker->index);
        if (turn % 20 == 0) {
            read_back(worker, store, turn % SESSIONS);
            worker->owed = 0;
        }
        if (turn % 7 == 0)
            CHECK(fixture_wait_durable(store, lsn, 10000));
        struct store_statistics statistics;
        store_statistics(store, &statistics);
        CHECK(store_health(store) == STORE_HEALTH_OK);
    }
    CHECK(fixture_wait_durable(store, lsn, 10000));
    for (unsigned i = 0; i < SESSIONS; i++)
        read_back(worker, store, i);
    return NULL;
}

static void workers_do_not_disturb_each_other(void **state)
{
    struct worker workers[WORKERS] = {0};
    uint64_t made = 0;
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    fixture.options.workers = WORKERS;
    fixture.options.flush_mem_threshold = 40;
    fixture.options.flush_interval_ms = 20;
    fixture_open(&fixture);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].owed, workers[i].made - workers[i].settled);
        made += workers[i].made;
    }
    fixture_close(&fixture);
    assert_int_equal(atomic_load(&fixture.released), made);
    assert_int_equal(fixture_owed(&fixture), fixture_messages(&fixture));
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
