/* The reference against stories told by hand: what it must allow, and what it must not. */
#include "conformance/model/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ALICE, BOB, CAROL };
enum { TOPIC_A, TOPIC_B, TOPIC_AX };
enum { FILTER_A, FILTER_B, FILTER_AX, FILTER_PLUS, FILTER_A_ALL, FILTER_ALL };

static int setup(void **state)
{
    struct reference *reference = reference_new(VERSION_5);
    assert_null(reference_connected(reference, ALICE, true, true, false));
    assert_null(reference_connected(reference, BOB, true, true, false));
    *state = reference;
    return 0;
}

static int teardown(void **state)
{
    reference_free(*state);
    return 0;
}

static struct packet publish_of(uint8_t qos, uint16_t packet_id, bool dup)
{
    return (struct packet){.type = PUBLISH, .qos = qos, .packet_id = packet_id, .dup = dup};
}

static const char *alice_sees(struct reference *reference, unsigned message, uint8_t qos,
                              uint16_t packet_id, bool dup)
{
    struct packet packet = publish_of(qos, packet_id, dup);
    return reference_saw_publish(reference, ALICE, TOPIC_A, message, &packet);
}

static unsigned bob_publishes(struct reference *reference, uint8_t qos)
{
    unsigned message = reference_publish(reference, BOB, TOPIC_A, qos, false);
    reference_publish_owned(reference, message);
    return message;
}

static void assert_wrong(const char *sentence, const char *part)
{
    assert_non_null(sentence);
    if (strstr(sentence, part) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\"", sentence, part);
}

static void leave_and_return(struct reference *reference, bool heard)
{
    reference_left(reference, ALICE, heard);
    assert_null(reference_connected(reference, ALICE, false, true, true));
}

static void a_message_is_owed_once(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_wrong(reference_owes(reference, ALICE), "never came");
    assert_null(alice_sees(reference, message, 1, 7, false));
    assert_null(reference_owes(reference, ALICE));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    assert_wrong(alice_sees(reference, message, 1, 8, false), "no more often");
}

static void what_matches_no_subscription_is_not_owed(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_B, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(reference_owes(reference, ALICE));
    assert_wrong(alice_sees(reference, message, 1, 7, false), "matched no subscription");
}

static void the_lower_qos_is_owed(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 2);
    assert_wrong(alice_sees(reference, message, 2, 7, false), "another QoS");
    assert_null(alice_sees(reference, message, 1, 7, false));
}

static void qos_0_may_be_lost(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 0);
    bob_publishes(reference, 1);
    assert_null(reference_owes(reference, ALICE));
}

static void overlapping_subscriptions_may_give_one_copy_each_and_no_more(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    reference_subscribed(reference, ALICE, FILTER_ALL, 2);
    unsigned message = bob_publishes(reference, 2);
    assert_null(alice_sees(reference, message, 2, 7, false));
    assert_null(reference_owes(reference, ALICE));
    assert_null(alice_sees(reference, message, 1, 8, false));
    assert_wrong(alice_sees(reference, message, 1, 9, false), "no more often");
}

static void an_open_message_comes_again_with_dup_and_its_identifier(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, message, 1, 7, false));
    leave_and_return(reference, false);
    assert_wrong(reference_owes(reference, ALICE), "did not come again");
    assert_wrong(alice_sees(reference, message, 1, 7, false), "without DUP");
    assert_null(alice_sees(reference, message, 1, 7, true));
    assert_null(reference_owes(reference, ALICE));
    assert_wrong(alice_sees(reference, message, 1, 7, true), "twice on one connection");
}

static void another_identifier_is_another_message(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, message, 1, 7, false));
    leave_and_return(reference, false);
    assert_wrong(alice_sees(reference, message, 1, 8, true), "no more often");
}

static void an_acknowledgement_that_was_heard_ends_it(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, message, 1, 7, false));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    reference_heard(reference, ALICE);
    leave_and_return(reference, false);
    assert_wrong(alice_sees(reference, message, 1, 7, true), "had been taken in");
}

static void an_acknowledgement_that_may_be_lost_allows_both(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, message, 1, 7, false));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    leave_and_return(reference, false);
    assert_null(reference_owes(reference, ALICE));
    assert_null(alice_sees(reference, message, 1, 7, true));
}

static void an_acknowledgement_that_was_lost_is_not_heard_on_a_later_connection(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, message, 1, 7, false));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    leave_and_return(reference, false);
    reference_heard(reference, ALICE);
    assert_null(alice_sees(reference, message, 1, 7, true));
}

static void qos_2_after_pubrel_is_never_a_publish_again(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    unsigned message = bob_publishes(reference, 2);
    assert_null(alice_sees(reference, message, 2, 7, false));
    assert_wrong(reference_saw_pubrel(reference, ALICE, 7), "no PUBREC");
    reference_acknowledges(reference, ALICE, PUBREC, 7);
    assert_wrong(reference_owes(reference, ALICE), "PUBREL");
    assert_null(reference_saw_pubrel(reference, ALICE, 7));
    assert_null(reference_owes(reference, ALICE));
    reference_outage(reference);
    assert_null(reference_connected(reference, ALICE, false, true, true));
    assert_wrong(alice_sees(reference, message, 2, 7, true), "after its PUBREL");
    assert_null(reference_saw_pubrel(reference, ALICE, 7));
}

static void an_identifier_in_use_stands_for_one_message(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned first = bob_publishes(reference, 1), second = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, first, 1, 7, false));
    assert_wrong(alice_sees(reference, second, 1, 7, false), "still open");
}

static void order_holds_for_one_publisher_topic_and_qos(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    unsigned first = bob_publishes(reference, 1), other = bob_publishes(reference, 2),
             second = bob_publishes(reference, 1);
    assert_null(alice_sees(reference, second, 1, 7, false));
    assert_null(alice_sees(reference, other, 2, 8, false));
    assert_wrong(alice_sees(reference, first, 1, 9, false), "after message");
}

static void dup_is_wrong_at_a_first_sending(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    assert_wrong(alice_sees(reference, message, 1, 7, true), "DUP");
    leave_and_return(reference, true);
    assert_null(alice_sees(reference, message, 1, 7, true)); /* it may have been sent before */
}

static void session_present_is_judged(void **state)
{
    struct reference *reference = *state;
    reference_left(reference, ALICE, true);
    assert_wrong(reference_connected(reference, ALICE, false, false, false), "gone");
    reference_left(reference, ALICE, true);
    assert_wrong(reference_connected(reference, ALICE, false, true, true), "no session");
    assert_wrong(reference_connected(reference, ALICE, true, true, true), "Clean Start");
}

static void clean_start_forgets_what_was_owed(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = bob_publishes(reference, 1);
    reference_left(reference, ALICE, true);
    assert_null(reference_connected(reference, ALICE, true, true, false));
    assert_null(reference_owes(reference, ALICE));
    assert_wrong(alice_sees(reference, message, 1, 7, false), "matched no subscription");
}

static void retained_messages_are_owed_at_subscribe(void **state)
{
    struct reference *reference = *state;
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 1, true);
    reference_publish_owned(reference, message);
    reference_subscribed(reference, ALICE, FILTER_A_ALL, 1);
    assert_wrong(reference_owes(reference, ALICE), "retained");
    assert_wrong(alice_sees(reference, message, 1, 7, false), "RETAIN");
    struct packet packet = publish_of(1, 7, false);
    packet.retain = true;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, message, &packet));
    assert_null(reference_owes(reference, ALICE));
    /* Retain Handling 1: not for a subscription that is there already. */
    reference_subscribed(reference, ALICE, FILTER_A_ALL, 1 | SUBSCRIBE_RETAIN_HANDLING(1));
    assert_null(reference_owes(reference, ALICE));
    reference_subscribed(reference, ALICE, FILTER_A_ALL, 1);
    assert_non_null(reference_owes(reference, ALICE));
}

static void no_local_and_retain_as_published(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
    reference_subscribed(reference, BOB, FILTER_A, 1 | SUBSCRIBE_NO_LOCAL);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 1, true);
    reference_publish_owned(reference, message);
    assert_null(reference_owes(reference, BOB));
    assert_wrong(alice_sees(reference, message, 1, 7, false), "RETAIN");
    struct packet packet = publish_of(1, 7, false);
    packet.retain = true;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, message, &packet));
}

static void a_broken_publish_may_have_been_taken_in(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 1, false);
    reference_publish_cut(reference, message);
    assert_null(reference_owes(reference, ALICE));
    assert_null(alice_sees(reference, message, 1, 7, false));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    reference_publish_again(reference, message);
    reference_publish_owned(reference, message);
    assert_null(alice_sees(reference, message, 1, 8, false)); /* QoS 1: perhaps twice */
    reference_acknowledges(reference, ALICE, PUBACK, 8);
    assert_wrong(alice_sees(reference, message, 1, 9, false), "no more often");
}

static void a_broken_publish_at_qos_2_comes_once(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 2, false);
    reference_publish_cut(reference, message);
    assert_null(alice_sees(reference, message, 2, 7, false));
    reference_publish_again(reference, message);
    reference_publish_owned(reference, message);
    assert_wrong(alice_sees(reference, message, 2, 8, false), "no more often");
}

static void a_broken_publish_may_meet_a_later_subscription(void **state)
{
    struct reference *reference = *state;
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 2, false);
    reference_publish_cut(reference, message);
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    assert_null(reference_owes(reference, ALICE));
    assert_null(alice_sees(reference, message, 1, 7, false));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    assert_wrong(alice_sees(reference, message, 1, 8, false), "no more often");
}

/* Taken in before the better subscription was made, it was for one that is owed nothing for sure.
 */
static void a_broken_publish_need_not_meet_a_better_subscription(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 0);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 2, false);
    reference_publish_cut(reference, message);
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    reference_publish_again(reference, message);
    reference_publish_owned(reference, message);
    assert_null(reference_owes(reference, ALICE));
    assert_null(alice_sees(reference, message, 2, 7, false)); /* it may */
}

/* But one that had to come by each has to come. */
static void a_broken_publish_meets_the_subscriptions_of_both_times(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 2, false);
    reference_publish_cut(reference, message);
    reference_subscribed(reference, ALICE, FILTER_A, 2);
    reference_publish_again(reference, message);
    reference_publish_owned(reference, message);
    assert_wrong(reference_owes(reference, ALICE), "never came");
}

static void filters_match_as_the_specification_says(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } table[] = {
        {"a", "a", true},         {"a", "b", false},       {"a", "a/x", false},
        {"+", "a", true},         {"+", "a/x", false},     {"a/#", "a", true},
        {"a/#", "a/x", true},     {"a/#", "b/y/z", false}, {"#", "b/y/z", true},
        {"+/+/z", "b/y/z", true}, {"+/+/z", "b/y", false}, {"a/x", "a", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(reference_topic_matches(table[i].filter, table[i].topic),
                         table[i].matches);
}

static void retained_copies_may_come_before_the_message_itself(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_A_ALL, 2);
    reference_subscribed(reference, ALICE, FILTER_ALL, 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
    unsigned message = reference_publish(reference, BOB, TOPIC_A, 2, true);
    reference_publish_owned(reference, message);
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    reference_subscribed(reference, ALICE, FILTER_ALL, 1);
    struct packet retained = publish_of(1, 7, false);
    retained.retain = true;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, message, &retained));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    retained.packet_id = 8;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, message, &retained));
    assert_null(alice_sees(reference, message, 2, 9, false));
}

static void a_retained_copy_has_no_place_in_the_order(void **state)
{
    struct reference *reference = *state;
    reference_subscribed(reference, ALICE, FILTER_ALL, 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
    unsigned first = reference_publish(reference, BOB, TOPIC_A, 1, true);
    reference_publish_owned(reference, first);
    unsigned second = bob_publishes(reference, 1);
    reference_subscribed(reference, ALICE, FILTER_A, 1);
    struct packet packet = publish_of(1, 7, false);
    packet.retain = true;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, first, &packet));
    reference_acknowledges(reference, ALICE, PUBACK, 7);
    assert_null(alice_sees(reference, second, 1, 8, false));
    packet.packet_id = 9;
    assert_null(reference_saw_publish(reference, ALICE, TOPIC_A, first, &packet));
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(a_message_is_owed_once),
        STORY(what_matches_no_subscription_is_not_owed),
        STORY(the_lower_qos_is_owed),
        STORY(qos_0_may_be_lost),
        STORY(overlapping_subscriptions_may_give_one_copy_each_and_no_more),
        STORY(an_open_message_comes_again_with_dup_and_its_identifier),
        STORY(another_identifier_is_another_message),
        STORY(an_acknowledgement_that_was_heard_ends_it),
        STORY(an_acknowledgement_that_may_be_lost_allows_both),
        STORY(an_acknowledgement_that_was_lost_is_not_heard_on_a_later_connection),
        STORY(qos_2_after_pubrel_is_never_a_publish_again),
        STORY(an_identifier_in_use_stands_for_one_message),
        STORY(order_holds_for_one_publisher_topic_and_qos),
        STORY(dup_is_wrong_at_a_first_sending),
        STORY(session_present_is_judged),
        STORY(clean_start_forgets_what_was_owed),
        STORY(retained_messages_are_owed_at_subscribe),
        STORY(retained_copies_may_come_before_the_message_itself),
        STORY(a_retained_copy_has_no_place_in_the_order),
        STORY(no_local_and_retain_as_published),
        STORY(a_broken_publish_may_have_been_taken_in),
        STORY(a_broken_publish_at_qos_2_comes_once),
        STORY(a_broken_publish_may_meet_a_later_subscription),
        STORY(a_broken_publish_need_not_meet_a_better_subscription),
        STORY(a_broken_publish_meets_the_subscriptions_of_both_times),
        cmocka_unit_test(filters_match_as_the_specification_says),
    };
    return cmocka_run_group_tests_name("conformance/reference", tests, NULL, NULL);
}
