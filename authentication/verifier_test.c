#include "authentication/verifier.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define X "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$qdVSV23znpN3oRX4v17E59IodBxO1bzdFa3VKKRlE98"

enum { MANY = 12 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct verification *came[64];
static unsigned count;
static bool held; /* done() waits */

static void done(struct verification *verification)
{
    pthread_mutex_lock(&mutex);
    came[count++] = verification;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void await(unsigned wanted)
{
    pthread_mutex_lock(&mutex);
    while (count < wanted)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void hold(bool yes)
{
    pthread_mutex_lock(&mutex);
    held = yes;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void fill(struct verification *verification, char *password)
{
    *verification =
        (struct verification){.password = (uint8_t *)password, .password_size = strlen(password)};
    memcpy(verification->hash, X, sizeof X);
}

static int begin(void **state)
{
    (void)state;
    count = 0;
    return 0;
}

static void the_outcome_comes_and_the_password_goes(void **state)
{
    (void)state;
    struct verification right, wrong;
    char passwords[2][4] = {"x", "abc"};
    struct verifier *verifier = verifier_new(2, 4, done);
    assert_non_null(verifier);
    fill(&right, passwords[0]);
    fill(&wrong, passwords[1]);
    assert_true(verifier_submit(verifier, &right));
    assert_true(verifier_submit(verifier, &wrong));
    await(2);
    assert_true(right.matches);
    assert_false(wrong.matches);
    assert_memory_equal(passwords, "\0\0\0\0\0\0\0\0", sizeof passwords);
    verifier_free(verifier);
}

static void one_thread_keeps_the_order(void **state)
{
    (void)state;
    struct verification all[MANY];
    char passwords[MANY][2];
    struct verifier *verifier = verifier_new(1, MANY, done);
    assert_non_null(verifier);
    for (unsigned i = 0; i < MANY; i++) {
        memcpy(passwords[i], "x", 2);
        fill(&all[i], passwords[i]);
        assert_true(verifier_submit(verifier, &all[i]));
    }
    await(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_ptr_equal(came[i], &all[i]);
        assert_true(all[i].matches);
    }
    verifier_free(verifier);
}

static void what_does_not_fit_is_refused_and_the_end_gives_all_back(void **state)
{
    (void)state;
    struct verification all[4];
    char passwords[4][2] = {"x", "x", "x", "x"};
    struct verifier *verifier = verifier_new(1, 2, done);
    assert_non_null(verifier);
    for (unsigned i = 0; i < 4; i++)
        fill(&all[i], passwords[i]);
    hold(true);
    assert_true(verifier_submit(verifier, &all[0]));
    await(1); /* its thread stands in done() */
    assert_true(verifier_submit(verifier, &all[1]));
    assert_true(verifier_submit(verifier, &all[2]));
    assert_false(verifier_submit(verifier, &all[3]));
    assert_string_equal(passwords[3], "x");
    atomic_store(&all[1].abandoned, true);
    atomic_store(&all[2].abandoned, true);
    hold(false);
    verifier_free(verifier);
    assert_int_equal(count, 3);
    assert_true(all[0].matches);
    assert_false(all[1].matches); /* was not tried */
    assert_false(all[2].matches);
    assert_memory_equal(passwords, "\0\0\0\0\0\0x", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_outcome_comes_and_the_password_goes, begin),
        cmocka_unit_test_setup(one_thread_keeps_the_order, begin),
        cmocka_unit_test_setup(what_does_not_fit_is_refused_and_the_end_gives_all_back, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
