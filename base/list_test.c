#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

static int number_of(struct list *node)
{
    return CONTAINER_OF(node, struct item, node)->number;
}

static void what_is_prepended_comes_out_first(void **state)
{
    struct list list;
    struct item items[3];
    list_init(&list);
    for (int i = 0; i < 3; i++) {
        items[i].number = i;
        if (i == 1)
            list_append(&list, &items[i].node);
        else
            list_prepend(&list, &items[i].node);
    }
    assert_int_equal(number_of(list_pop(&list)), 2);
    assert_int_equal(number_of(list_pop(&list)), 0);
    assert_int_equal(number_of(list_pop(&list)), 1);
    assert_true(list_empty(&list));
}

static void nodes_come_out_in_the_order_they_went_in(void **state)
{
    struct list list;
    struct item items[5];
    list_init(&list);
    assert_true(list_empty(&list));
    assert_null(list_pop(&list));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_append(&list, &items[i].node);
    }
    assert_false(list_empty(&list));
    for (int i = 0; i < 5; i++)
        assert_int_equal(number_of(list_pop(&list)), i);
    assert_true(list_empty(&list));
    assert_null(list_pop(&list));
}

static void a_node_can_be_removed_from_anywhere_and_twice(void **state)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}};
    for (unsigned order = 0; order < 3; order++) {
        struct list list;
        struct item items[3];
        list_init(&list);
        for (int i = 0; i < 3; i++)
            list_append(&list, &items[i].node);
        for (unsigned i = 0; i < 3; i++) {
            struct list *node = &items[orders[order][i]].node;
            list_remove(node);
            assert_true(list_empty(node));
            list_remove(node);
            unsigned left = 0;
            for (struct list *at = list.next; at != &list; at = at->next) {
                assert_ptr_equal(at->next->prev, at);
                left++;
            }
            assert_int_equal(left, 2 - i);
        }
        assert_true(list_empty(&list));
    }
}

static void a_popped_node_can_be_appended_again(void **state)
{
    struct list list, other;
    struct item items[2] = {{.number = 1}, {.number = 2}};
    list_init(&list);
    list_init(&other);
    list_append(&list, &items[0].node);
    list_append(&list, &items[1].node);
    list_append(&other, list_pop(&list));
    list_append(&list, list_pop(&list));
    assert_int_equal(number_of(other.next), 1);
    assert_int_equal(number_of(list.next), 2);
    assert_ptr_equal(list.next->next, &list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(what_is_prepended_comes_out_first),
        cmocka_unit_test(a_node_can_be_removed_from_anywhere_and_twice),
        cmocka_unit_test(a_popped_node_can_be_appended_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
