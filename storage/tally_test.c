/* The counts of what sessions are owed, against plain arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "storage/tally.h"

enum { SESSIONS = 200 };

static const uint64_t BOOT = UINT64_C(7) << 32;

struct desk {
    sqlite3 *db;
    sqlite3_stmt *put, *clear;
    struct tally tally;
};

static struct desk desk;

static void exec(const char *sql)
{
    assert_int_equal(sqlite3_exec(desk.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int64_t query(const char *sql)
{
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_prepare_v2(desk.db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

static int set_up(void **state)
{
    assert_int_equal(sqlite3_open(":memory:", &desk.db), SQLITE_OK);
    exec("CREATE TABLE tally(id INTEGER PRIMARY KEY, data BLOB NOT NULL)");
    sqlite3_prepare_v2(desk.db, "INSERT INTO tally(data) VALUES(?1)", -1, &desk.put, NULL);
    sqlite3_prepare_v2(desk.db, "DELETE FROM tally", -1, &desk.clear, NULL);
    tally_init(&desk.tally);
    return 0;
}

static int tear_down(void **state)
{
    tally_fini(&desk.tally);
    sqlite3_finalize(desk.put);
    sqlite3_finalize(desk.clear);
    sqlite3_close(desk.db);
    return 0;
}

static void commit(bool works)
{
    exec("BEGIN");
    assert_int_equal(tally_write(&desk.tally, desk.put, desk.clear), SQLITE_OK);
    exec(works ? "COMMIT" : "ROLLBACK");
    tally_end(&desk.tally, works);
}

static void assert_counts(const struct tally *tally, const int64_t *expected)
{
    size_t sessions = 0;
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(tally_of(tally, BOOT + i), expected[i]);
        sessions += expected[i] > 0;
    }
    assert_int_equal(tally->counts.count, sessions);
}

static void assert_stored(const int64_t *expected)
{
    struct tally read;
    tally_init(&read);
    assert_int_equal(tally_load(&read, desk.db), SQLITE_OK);
    assert_counts(&read, expected);
    tally_fini(&read);
}

static uint32_t draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(*random >> 33);
}

/* Every fifth transaction fails. */
static void counts_agree_with_arithmetic_and_are_there_again(void **state)
{
    int64_t expected[SESSIONS] = {0};
    uint64_t random = 1;
    for (unsigned turn = 0; turn < 2000; turn++) {
        bool works = turn % 5 != 4;
        for (unsigned i = draw(&random) % 7; i < SESSIONS; i += 1 + draw(&random) % 40) {
            int64_t by = (int64_t)(draw(&random) % 100) - 50;
            by = by < -expected[i] || draw(&random) % 16 == 0 ? -expected[i] : by;
            tally_add(&desk.tally, BOOT + i, by);
            if (works)
                expected[i] += by;
        }
        commit(works);
        if (turn % 100 == 99) {
            assert_counts(&desk.tally, expected);
            assert_stored(expected);
        }
    }
}

static void rows_do_not_become_many(void **state)
{
    int64_t expected[SESSIONS] = {0};
    int64_t most = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        tally_add(&desk.tally, BOOT + turn % SESSIONS, 1);
        expected[turn % SESSIONS]++;
        commit(true);
        int64_t rows = turn % 500 == 0 ? query("SELECT count(*) FROM tally") : 0;
        most = rows > most ? rows : most;
    }
    assert_true(most > 100);
    assert_true(most < 10000);
    assert_true(query("SELECT sum(length(data)) FROM tally") < 128 << 10);
    assert_stored(expected);
}

static void what_falls_below_nothing_is_refused(void **state)
{
    tally_add(&desk.tally, BOOT, 3);
    commit(true);
    tally_add(&desk.tally, BOOT, -2);
    tally_add(&desk.tally, BOOT, -2);
    assert_int_equal(tally_write(&desk.tally, desk.put, desk.clear), SQLITE_CORRUPT);
    tally_end(&desk.tally, false);
    assert_int_equal(tally_of(&desk.tally, BOOT), 3);
}

static void bytes_that_make_no_sense_are_damage(void **state)
{
    static const char *const rows[] = {
        "x'80'",                             /* ends within a number */
        "x'02'",                             /* half a pair */
        "x'0201'",                           /* less than nothing */
        "x'0002'",                           /* no incarnation */
        "x'ffffffffffffffffffff0202'",       /* no number */
        "x'02feffffffffffffffff010202feff'", /* too many */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char sql[128];
        struct tally read;
        exec("DELETE FROM tally");
        snprintf(sql, sizeof sql, "INSERT INTO tally(data) VALUES(%s)", rows[i]);
        exec(sql);
        tally_init(&read);
        assert_int_equal(tally_load(&read, desk.db), SQLITE_CORRUPT);
        tally_fini(&read);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_agree_with_arithmetic_and_are_there_again),
        TEST(rows_do_not_become_many),
        TEST(what_falls_below_nothing_is_refused),
        TEST(bytes_that_make_no_sense_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
