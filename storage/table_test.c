/* The hash table against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/table.h"

enum { KEYS = 300 };

static void it_agrees_with_an_array(void **state)
{
    struct table table;
    uint64_t values[KEYS + 1] = {0};
    bool there[KEYS + 1] = {false};
    uint64_t random = 1;
    size_t count = 0;
    table_init(&table, false);
    for (unsigned i = 0; i < 200000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        uint64_t key = 1 + (random >> 33) % KEYS;
        switch ((random >> 60) % 3) {
        case 0:
            *table_put(&table, key << 16) = i;
            count += !there[key];
            there[key] = true;
            values[key] = i;
            break;
        case 1:
            assert_int_equal(table_remove(&table, key << 16), there[key]);
            count -= there[key];
            there[key] = false;
            break;
        default:
            assert_int_equal(table_has(&table, key << 16), there[key]);
            if (there[key])
                assert_int_equal(*table_find(&table, key << 16), values[key]);
            else
                assert_null(table_find(&table, key << 16));
            break;
        }
        assert_int_equal(table.count, count);
    }
    table_clear(&table);
    assert_int_equal(table.count, 0);
    assert_false(table_has(&table, UINT64_C(1) << 16));
    table_fini(&table);
}

static void a_set_holds_keys_only(void **state)
{
    struct table table;
    table_init(&table, true);
    for (uint64_t key = 1; key <= 10000; key++)
        assert_null(table_put(&table, key << 32));
    assert_int_equal(table.count, 10000);
    for (uint64_t key = 1; key <= 10000; key++)
        assert_true(table_remove(&table, key << 32));
    assert_int_equal(table.count, 0);
    table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_an_array),
        cmocka_unit_test(a_set_holds_keys_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
