#include "broker/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct hash_key key = {1, 2};
static struct accounts *accounts;

static int begin(void **state)
{
    (void)state;
    accounts = accounts_new(&key);
    return accounts == NULL;
}

static int end(void **state)
{
    (void)state;
    accounts_free(accounts);
    return 0;
}

static struct account *join(uint32_t listener, const char *user_name)
{
    struct account *account = accounts_join(accounts, listener, bytes_of_text(user_name));
    assert_non_null(account);
    return account;
}

static void connections_of_one_user_share_an_account(void **state)
{
    (void)state;
    struct account *first = join(0, "alice"), *second = join(0, "alice");
    assert_ptr_equal(first, second);
    assert_int_equal(accounts_connections(accounts, first), 2);
    accounts_leave(accounts, first);
    assert_int_equal(accounts_connections(accounts, second), 1);
    accounts_leave(accounts, second);
}

static void users_and_listeners_are_told_apart(void **state)
{
    (void)state;
    struct account *alice = join(0, "alice"), *bob = join(0, "bob"), *other = join(1, "alice");
    assert_ptr_not_equal(alice, bob);
    assert_ptr_not_equal(alice, other);
    assert_int_equal(accounts_connections(accounts, alice), 1);
    accounts_leave(accounts, alice);
    accounts_leave(accounts, bob);
    accounts_leave(accounts, other);
}

static void many_users_come_and_go(void **state)
{
    (void)state;
    enum { USERS = 5000 };
    static struct account *all[USERS];
    char name[16];
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user-%u", i);
        all[i] = join(0, name);
    }
    for (unsigned i = 0; i < USERS; i += 2)
        accounts_leave(accounts, all[i]);
    for (unsigned i = 1; i < USERS; i += 2) {
        snprintf(name, sizeof name, "user-%u", i);
        assert_ptr_equal(join(0, name), all[i]);
        accounts_leave(accounts, all[i]);
        accounts_leave(accounts, all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_of_one_user_share_an_account, begin, end),
        cmocka_unit_test_setup_teardown(users_and_listeners_are_told_apart, begin, end),
        cmocka_unit_test_setup_teardown(many_users_come_and_go, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
