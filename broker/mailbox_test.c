#include "broker/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

static void a_full_mailbox_refuses_and_keeps_order(void **state)
{
    static const size_t capacities[] = {1, 2, 3, 5, 1024};
    char letters[1024];
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        struct mailbox *mailbox = mailbox_new(capacities[c]);
        assert_non_null(mailbox);
        for (unsigned round = 0; round < 3; round++) {
            assert_null(mailbox_take(mailbox));
            assert_int_equal(mailbox_pending(mailbox), 0);
            for (size_t i = 0; i < capacities[c]; i++)
                assert_true(mailbox_post(mailbox, &letters[i]));
            assert_false(mailbox_post(mailbox, &letters[0]));
            assert_int_equal(mailbox_pending(mailbox), capacities[c]);
            for (size_t i = 0; i < capacities[c]; i++)
                assert_ptr_equal(mailbox_take(mailbox), &letters[i]);
        }
        mailbox_free(mailbox);
    }
}

static void taking_one_makes_room_for_one(void **state)
{
    char letters[2];
    struct mailbox *mailbox = mailbox_new(1);
    assert_true(mailbox_post(mailbox, &letters[0]));
    assert_false(mailbox_post(mailbox, &letters[1]));
    assert_ptr_equal(mailbox_take(mailbox), &letters[0]);
    assert_true(mailbox_post(mailbox, &letters[1]));
    assert_false(mailbox_post(mailbox, &letters[0]));
    assert_ptr_equal(mailbox_take(mailbox), &letters[1]);
    mailbox_free(mailbox);
}

enum { LETTERS = 200000 };

struct traffic {
    struct mailbox *mailbox;
    uint64_t *letters; /* plain memory: ThreadSanitizer sees whether the mailbox orders it */
};

static void *post_all(void *argument)
{
    struct traffic *traffic = argument;
    for (uint64_t i = 0; i < LETTERS; i++) {
        traffic->letters[i] = i * 3 + 1;
        while (!mailbox_post(traffic->mailbox, &traffic->letters[i]))
            sched_yield();
    }
    return NULL;
}

static void take_all(struct traffic *traffic, size_t capacity)
{
    for (uint64_t next = 0; next < LETTERS;) {
        size_t pending = mailbox_pending(traffic->mailbox);
        assert_true(pending <= capacity);
        if (pending == 0)
            sched_yield();
        for (; pending > 0; pending--, next++) {
            uint64_t *letter = mailbox_take(traffic->mailbox);
            assert_ptr_equal(letter, &traffic->letters[next]);
            assert_int_equal(*letter, next * 3 + 1);
            *letter = 0;
        }
    }
}

static void two_threads_pass_every_letter_once_in_order(void **state)
{
    static const size_t capacities[] = {1, 2, 1024};
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        struct traffic traffic = {.mailbox = mailbox_new(capacities[c]),
                                  .letters = calloc(LETTERS, sizeof *traffic.letters)};
        pthread_t poster;
        assert_non_null(traffic.mailbox);
        assert_non_null(traffic.letters);
        assert_int_equal(pthread_create(&poster, NULL, post_all, &traffic), 0);
        take_all(&traffic, capacities[c]);
        assert_int_equal(pthread_join(poster, NULL), 0);
        assert_null(mailbox_take(traffic.mailbox));
        mailbox_free(traffic.mailbox);
        free(traffic.letters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_mailbox_refuses_and_keeps_order),
        cmocka_unit_test(taking_one_makes_room_for_one),
        cmocka_unit_test(two_threads_pass_every_letter_once_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
