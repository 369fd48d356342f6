/* A process that uses the store is killed at random moments. What it called durable must be in
 * the file, and the file must hold exactly the state after some batch. STORE_KILLS=1000 for
 * more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/history_testing.h"
#include "storage/store_testing.h"

struct shared {
    _Atomic uint64_t first_lsn, durable, made; /* LSNs; `made`: submitted, or about to be */
    _Atomic bool running;
};

static struct fixture fixture;
static struct shared *shared;
static struct history now, file, promised, latest;

static void count_backlog(void *context, const struct store_session *session, uint64_t backlog)
{
    *(uint64_t *)context += backlog;
}

/* The child. Batches of two workers, some submitted in another order than opened. */
static void live(void)
{
    uint64_t backlog = 0;
    struct store_visitor visitor = {.context = &backlog, .session = count_backlog};
    struct store *store;
    CHECK(store_open(&fixture.options, &store, fixture.error, sizeof fixture.error) == STATUS_OK);
    CHECK(store_load(store, &visitor) == STATUS_OK);
    CHECK(backlog == now.row_count);
    CHECK(store_start(store) == STATUS_OK);
    atomic_store(&shared->first_lsn, store_first_lsn(store));
    atomic_store(&shared->durable, store_first_lsn(store));
    atomic_store(&shared->running, true);
    for (unsigned turn = 0;; turn++) {
        struct store_batch *held = NULL;
        for (unsigned i = 0; i < 2; i++) {
            struct store_batch *batch = store_batch_open(store, i);
            history_step(&now, store_batch_lsn(batch), batch);
            atomic_store(&shared->made, now.lsn);
            if (i == 0 && turn % 4 == 0)
                held = batch;
            else
                store_submit(store, batch);
            atomic_store(&shared->durable, store_durable(store));
        }
        if (turn % 16 == 0) /* give those behind it time to go wrong */
            usleep(3000);
        if (held != NULL)
            store_submit(store, held);
        atomic_store(&shared->durable, store_durable(store));
        store_reclaim(store, 0);
        store_reclaim(store, 1);
        if (turn % 8 == 0)
            usleep(500);
    }
}

/* Replays the child's steps: `file` to what the file says, `promised` to what was durable. */
static void check_file(const char *path)
{
    uint64_t lsn = history_database_lsn(path);
    uint64_t durable = atomic_load(&shared->durable);
    file = now;
    for (uint64_t at = atomic_load(&shared->first_lsn) + 1; at <= lsn; at++)
        history_step(&file, at, NULL);
    promised = file;
    for (uint64_t at = (lsn > file.lsn ? lsn : file.lsn) + 1; at <= durable; at++)
        history_step(&promised, at, NULL);
    char *expected = history_dump(&file), *found = history_dump_database(path);
    assert_string_equal(found, expected);
    free(expected);
    free(found);
    latest = promised;
    for (uint64_t at = promised.lsn + 1; at <= atomic_load(&shared->made); at++)
        history_step(&latest, at, NULL);
    if (durable > lsn)
        assert_true(history_keeps(&file, &promised, &latest));
}

static void what_was_durable_survives_kill(void **state)
{
    const char *wanted = getenv("STORE_KILLS"), *seed_text = getenv("STORE_SEED");
    unsigned kills = wanted != NULL ? (unsigned)atoi(wanted) : 40;
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 0) : (uint64_t)getpid();
    print_message("STORE_SEED=%" PRIu64 "\n", seed);
    history_init(&now, seed);
    uint64_t batches = 0;
    char path[128];
    fixture_path(&fixture, "holdfast.db", path);
    for (unsigned kill_count = 0; kill_count < kills; kill_count++) {
        atomic_store(&shared->running, false);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            live();
            _exit(0);
        }
        while (!atomic_load(&shared->running)) {
            assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
            usleep(200);
        }
        usleep(1000 + history_random(&promised, 60000));
        kill(child, SIGKILL);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        assert_int_equal(WTERMSIG(how), SIGKILL);
        check_file(path);
        batches += file.lsn > now.lsn ? file.lsn - now.lsn : 0;
        now = file;
        now.random += kill_count; /* another future than the one that was killed */
    }
    print_message("%u kills, %" PRIu64 " batches in the file\n", kills, batches);
    assert_true(batches > kills);
}

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    fixture.options.workers = 2;
    fixture.options.flush_interval_ms = 20;
    fixture.options.flush_mem_threshold = 50;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_durable_survives_kill, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
