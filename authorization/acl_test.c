/* The language of access control lists and what it grants. test/cases/authorization.py compares
 * many generated lists with a reference besides. With ACL_BENCH set, what a check costs. */
#include "authorization/acl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct acl *load(const char *text)
{
    struct acl *acl = NULL;
    char error[256];
    enum status status = acl_load_text("acl", bytes_of_text(text), &acl, error, sizeof error);
    if (status != STATUS_OK)
        fail_msg("%s", error);
    return acl;
}

static struct acl_subject named(const char *client_identifier, const char *user_name)
{
    return (struct acl_subject){
        .client_identifier = bytes_of_text(client_identifier),
        .user_name = bytes_of_text(user_name != NULL ? user_name : ""),
        .listener = bytes_of_text("plain"),
        .anonymous = user_name == NULL,
    };
}

/* The line that allows it, its negative where a line denies it, 0 where no line says anything. */
static int decide(const struct acl *acl, struct acl_subject subject, char what, const char *topic)
{
    struct acl_client *client = acl_client_new(acl, &subject);
    assert_non_null(client);
    struct acl_verdict verdict =
        what == 's'
            ? acl_client_may_subscribe(client, bytes_of_text(topic))
            : acl_client_may(client, what == 'r' ? ACL_READ : ACL_WRITE, bytes_of_text(topic));
    acl_client_free(client);
    assert_true(verdict.line != 0 || !verdict.allowed);
    return verdict.allowed ? (int)verdict.line : -(int)verdict.line;
}

static void rules_belong_to_the_user_above_them(void **state)
{
    struct acl *acl = load("# who is nobody\n"
                           "topic read news/#\n"
                           "\n"
                           "user alice\n"
                           "topic a\n"
                           "  topic\twrite b \r\n"
                           "user bob smith\n"
                           "topic readwrite two words\n"
                           "user alice\n"
                           "topic read c\n");
    assert_int_equal(acl_rule_count(acl), 5);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "news/today"), 2);
    assert_int_equal(decide(acl, named("x", NULL), 'w', "news/today"), 0);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "news/today"), 0);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "a"), 5);
    assert_int_equal(decide(acl, named("x", "alice"), 'w', "a"), 5);
    assert_int_equal(decide(acl, named("x", "alice"), 'w', "b"), 6);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "b"), 0);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "c"), 10);
    assert_int_equal(decide(acl, named("x", "bob smith"), 'r', "two words"), 8);
    assert_int_equal(decide(acl, named("x", "carol"), 'r', "a"), 0);
    assert_int_equal(decide(acl, named("x", ""), 'r', "news/today"), 0);
    acl_free(acl);
}

static void a_denial_counts_wherever_it_stands(void **state)
{
    struct acl *acl = load("user alice\n"
                           "topic readwrite plant/#\n"
                           "topic deny plant/+/secret\n"
                           "topic read plant/1/secret\n");
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "plant"), 2);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "plant/1/state"), 2);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "plant/1/secret"), -3);
    assert_int_equal(decide(acl, named("x", "alice"), 'w', "plant/1/secret"), -3);
    acl_free(acl);
}

static void patterns_come_behind_the_rules_of_a_client(void **state)
{
    struct acl *acl = load("pattern deny #\n"
                           "pattern read dev/%c/#\n"
                           "user alice\n"
                           "topic read dev/#\n"
                           "topic deny dev/x/key\n");
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "dev/y/state"), 4);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "dev/x/key"), -5);
    assert_int_equal(decide(acl, named("x", "bob"), 'r', "dev/x/state"), -1);
    acl_free(acl);
}

static void a_pattern_stands_for_one_level(void **state)
{
    struct acl *acl = load("pattern readwrite dev/%c/#\n"
                           "pattern write user/%u/+\n");
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "dev/x/state"), 1);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "dev/y/state"), 0);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "dev/%c/state"), 0);
    assert_int_equal(decide(acl, named("%c", "alice"), 'r', "dev/%c/state"), 1);
    assert_int_equal(decide(acl, named("x", "alice"), 'w', "user/alice/1"), 2);
    assert_int_equal(decide(acl, named("x", NULL), 'w', "user//1"), 0);
    acl_free(acl);
}

static void a_topic_rule_substitutes_nothing(void **state)
{
    struct acl *acl = load("topic read dev/%c\n");
    assert_int_equal(decide(acl, named("x", NULL), 'r', "dev/x"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "dev/%c"), 1);
    acl_free(acl);
}

static void a_name_with_wildcards_or_levels_widens_nothing(void **state)
{
    static const char *const names[] = {"+", "#", "a/b", "a+", "/", "$SYS", "+/+", ""};
    static const char *const topics[] = {"dev/x",  "dev/+",  "dev/#",  "dev/a/b",  "dev",
                                         "$SYS/x", "$SYS/+", "dev/a+", "dev/$SYS", "//"};
    struct acl *acl = load("pattern readwrite dev/%c/#\n"
                           "pattern readwrite dev/%u/#\n"
                           "pattern readwrite %u/#\n"
                           "pattern read #\n"
                           "user safe\n"
                           "topic read dev/x\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t j = 0; j < sizeof topics / sizeof topics[0]; j++) {
            assert_int_equal(decide(acl, named(names[i], "alice"), 'w', topics[j]), 0);
            assert_int_equal(decide(acl, named("x", names[i]), 'w', topics[j]), 0);
            assert_int_equal(decide(acl, named("x", names[i]), 's', topics[j]), 0);
        }
        /* What needs no pattern is left to it. */
        assert_int_equal(decide(acl, named(names[i], "safe"), 'r', "dev/x"), 6);
    }
    acl_free(acl);
}

static void a_name_that_no_pattern_uses_is_of_no_concern(void **state)
{
    struct acl *acl = load("pattern readwrite user/%u\n");
    assert_int_equal(decide(acl, named("site/1", "alice"), 'w', "user/alice"), 1);
    acl_free(acl);
}

static void a_wildcard_at_the_beginning_leaves_the_servers_topics_out(void **state)
{
    struct acl *acl = load("topic #\ntopic +/x\ntopic read $SYS/broker/#\n");
    assert_int_equal(decide(acl, named("x", NULL), 'r', "$SYS/x"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "$other"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "$SYS/broker/uptime"), 3);
    assert_int_equal(decide(acl, named("x", NULL), 's', "$SYS/x"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 's', "$SYS/#"), 3);
    acl_free(acl);
    acl = load("topic read $SYS/#\n");
    assert_int_equal(decide(acl, named("x", NULL), 's', "#"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 's', "+/broker"), 0);
    acl_free(acl);
}

static void groups_give_their_members_what_they_have(void **state)
{
    struct acl *acl = load("group operators\n"
                           "member alice\n"
                           "topic readwrite plant/#\n"
                           "topic deny plant/safe\n"
                           "group visitors\n"
                           "member alice\n"
                           "member bob\n"
                           "topic read lobby\n"
                           "group operators\n"
                           "member carol\n"
                           "user alice\n"
                           "topic read plant/safe\n");
    assert_int_equal(decide(acl, named("x", "alice"), 'w', "plant/1"), 3);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "plant/safe"), -4);
    assert_int_equal(decide(acl, named("x", "alice"), 'r', "lobby"), 8);
    assert_int_equal(decide(acl, named("x", "bob"), 'r', "plant/1"), 0);
    assert_int_equal(decide(acl, named("x", "carol"), 'r', "plant/1"), 3);
    assert_int_equal(decide(acl, named("x", "operators"), 'r', "plant/1"), 0);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "lobby"), 0);
    acl_free(acl);
}

static void conditions_narrow_the_rules_behind_them(void **state)
{
    struct acl *acl = load("user alice\n"
                           "topic read a\n"
                           "when listener inside\n"
                           "when certificate OU=ops\n"
                           "topic read b\n"
                           "when listener plain\n"
                           "topic read c\n"
                           "pattern read d\n"
                           "user bob\n"
                           "topic read b\n"
                           "when listener nowhere\n"
                           "topic read e\n"
                           "when always\n"
                           "topic read f\n"
                           "pattern read g\n");
    struct acl_subject alice = named("x", "alice");
    assert_int_equal(decide(acl, alice, 'r', "a"), 2);
    assert_int_equal(decide(acl, alice, 'r', "b"), 0);
    assert_int_equal(decide(acl, alice, 'r', "c"), 7);
    assert_int_equal(decide(acl, named("x", NULL), 'r', "d"), 8);
    alice.listener = bytes_of_text("inside");
    assert_int_equal(decide(acl, alice, 'r', "b"), 0);
    assert_int_equal(decide(acl, alice, 'r', "c"), 0);
    assert_int_equal(decide(acl, alice, 'r', "d"), 0);
    alice.certificate_subject = bytes_of_text("CN=a,OU=ops");
    assert_int_equal(decide(acl, alice, 'r', "b"), 5);
    assert_int_equal(decide(acl, named("x", "bob"), 'r', "b"), 10);
    assert_int_equal(decide(acl, named("x", "bob"), 'r', "e"), 0);
    assert_int_equal(decide(acl, named("x", "bob"), 'r', "f"), 14);
    assert_int_equal(decide(acl, alice, 'r', "g"), 15);
    acl_free(acl);
}

static void an_attribute_is_compared_as_a_whole(void **state)
{
    static const struct {
        const char *subject;
        bool holds;
    } cases[] = {
        {"OU=ops", true},
        {"CN=a,OU=ops", true},
        {"OU=ops,O=b", true},
        {"CN=a+OU=ops", true},
        {"OU=opsx", false},
        {"OU=op", false},
        {"XOU=ops", false},
        {"CN=a\\,OU=ops", false},
        {"CN=a\\+OU=ops", false},
        {"CN=a\\\\,OU=ops", true},
        {"", false},
        {"CN=OU=ops", false},
    };
    struct acl *acl = load("when certificate OU=ops\ntopic read a\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct acl_subject subject = named("x", NULL);
        subject.certificate_subject = bytes_of_text(cases[i].subject);
        assert_int_equal(decide(acl, subject, 'r', "a"), cases[i].holds ? 2 : 0);
    }
    acl_free(acl);
}

static void a_subscription_is_granted_where_some_topic_could_be_read(void **state)
{
    struct acl *acl = load("topic read plant/+/state\n"
                           "topic deny plant/3/#\n"
                           "topic read open/#\n"
                           "topic write log/#\n"
                           "topic read vault/a\n"
                           "topic deny vault/#\n");
    static const struct {
        const char *filter;
        int line;
    } cases[] = {
        {"#", 1},          {"+/+/state", 1}, {"plant/#", 1},   {"plant/1/state", 1},
        {"plant/3/#", -2}, {"plant/+", 0},   {"+/3/state", 1}, {"open", 3},
        {"open/a/+/b", 3}, {"+", 3},         {"log/#", 0},     {"vault/+", -6},
        {"plant/3/+", -2}, {"plant", 0},     {"+/x", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int line = decide(acl, named("x", NULL), 's', cases[i].filter);
        if (line != cases[i].line && !(line > 0 && cases[i].line > 0))
            fail_msg("%s: line %d", cases[i].filter, line);
    }
    acl_free(acl);
}

static void errors_name_their_line(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"topic read", "acl:1: the Topic Filter is missing"},
        {"\n\ntopic", "acl:3: the Topic Filter is missing"},
        {"topic raed a", "acl:1: 'raed' is none of read, write, readwrite and deny"},
        {"topic read a/#/b", "acl:1: 'a/#/b' is not a valid Topic Filter"},
        {"topic read \xff", "acl:1: '\\xff' is not a valid Topic Filter"},
        {"tpoic read a", "acl:1: 'tpoic' is none of user, group, member, when, topic and"},
        {"user", "acl:1: 'user' without a name"},
        {"user  ", "acl:1: 'user' without a name"},
        {"group", "acl:1: 'group' without a name"},
        {"member a", "acl:1: 'member' stands below a 'group' line"},
        {"group g\nuser u\nmember a", "acl:3: 'member' stands below a 'group' line"},
        {"pattern dev-%c", "acl:1: %c and %u must be the only text of their topic level"},
        {"when", "acl:1: 'when' goes on as in"},
        {"when certificate ops", "acl:1: 'when' goes on as in"},
        {"when certificate =ops", "acl:1: 'when' goes on as in"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct acl *acl;
        char error[256];
        assert_int_equal(
            acl_load_text("acl", bytes_of_text(cases[i].text), &acl, error, sizeof error),
            STATUS_INVALID);
        error[strlen(cases[i].error) < sizeof error ? strlen(cases[i].error) : 0] = '\0';
        assert_string_equal(error, cases[i].error);
    }
    struct acl *acl;
    char error[256];
    assert_int_equal(acl_load_text("acl", bytes_of("topic a\0b", 9), &acl, error, sizeof error),
                     STATUS_INVALID);
    assert_string_equal(error, "acl:1: there is a NUL byte: is this a text file?");
}

static void a_filter_of_more_levels_than_a_topic_may_have_is_refused(void **state)
{
    char text[512] = "topic a";
    struct acl *acl;
    char error[512];
    for (unsigned i = 1; i < 200; i++)
        strcat(text, "/");
    acl_free(load(text));
    strcat(text, "/");
    assert_int_equal(acl_load_text("acl", bytes_of_text(text), &acl, error, sizeof error),
                     STATUS_INVALID);
    assert_non_null(strstr(error, "more than 200 levels"));
}

static void what_is_no_list_is_refused(void **state)
{
    struct acl *acl;
    char error[256];
    assert_int_equal(acl_load("/nowhere/acl", &acl, error, sizeof error), STATUS_NOT_FOUND);
    assert_string_equal(error, "/nowhere/acl: No such file or directory");
    assert_int_equal(acl_load("/tmp", &acl, error, sizeof error), STATUS_IO);
    assert_string_equal(error, "/tmp: Is a directory");
    assert_int_equal(acl_load("/dev/zero", &acl, error, sizeof error), STATUS_INVALID);
    assert_non_null(strstr(error, "larger than the 67108864 bytes it may have"));
}

static void an_empty_list_grants_nothing(void **state)
{
    struct acl *acl = load("");
    assert_int_equal(decide(acl, named("x", NULL), 'r', "a"), 0);
    assert_int_equal(decide(acl, named("x", "alice"), 's', "#"), 0);
    acl_free(acl);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Many rules, of many users and of one: each still finds its own, and the figures say what for. */
static void many_rules_are_told_apart(void **state)
{
    unsigned users = getenv("ACL_BENCH") != NULL ? 100000 : 2000;
    struct buffer text = {0};
    char line[160];
    for (unsigned i = 0; i < users; i++) {
        int size =
            snprintf(line, sizeof line,
                     "user u%u\ntopic write site/%u/+/state\ntopic read site/%u/set/#\n", i, i, i);
        assert_int_equal(buffer_append(&text, line, (size_t)size), STATUS_OK);
    }
    assert_int_equal(buffer_append(&text, "user all\n", 9), STATUS_OK);
    for (unsigned i = 0; i < users; i++) {
        int size = snprintf(line, sizeof line, "topic read site/%u/set/x\n", i);
        assert_int_equal(buffer_append(&text, line, (size_t)size), STATUS_OK);
    }
    assert_int_equal(buffer_append(&text, "pattern write by/%u/#\n", 22), STATUS_OK);
    struct acl *acl;
    char error[256];
    double begin = seconds();
    assert_int_equal(
        acl_load_text("acl", bytes_of(text.data, text.size), &acl, error, sizeof error), STATUS_OK);
    double loaded = seconds();
    for (unsigned i = 0; i < users; i += 97) {
        snprintf(line, sizeof line, "u%u", i);
        struct acl_subject subject = named("x", "");
        subject.user_name = bytes_of_text(line);
        char topic[64];
        snprintf(topic, sizeof topic, "site/%u/9/state", i);
        assert_int_equal(decide(acl, subject, 'w', topic), 3 * (int)i + 2);
        snprintf(topic, sizeof topic, "site/%u/9/state", i + 1);
        assert_int_equal(decide(acl, subject, 'w', topic), 0);
        snprintf(topic, sizeof topic, "site/%u/set/x", i);
        assert_int_equal(decide(acl, named("x", "all"), 'r', topic), (int)(3 * users + 2 + i));
    }
    if (getenv("ACL_BENCH") != NULL) {
        static const char *const names[] = {"u7", "all"};
        static const char *const topics[] = {"site/7/set/x", "by/u7/a/b"};
        printf("%u rules read in %.3f s\n", acl_rule_count(acl), loaded - begin);
        for (unsigned i = 0; i < 4; i++) {
            struct acl_subject subject = named("x", names[i / 2]);
            struct acl_client *client = acl_client_new(acl, &subject);
            unsigned allowed = 0;
            begin = seconds();
            for (unsigned n = 0; n < 1000000; n++)
                allowed += acl_client_may(client, i % 2 ? ACL_WRITE : ACL_READ,
                                          bytes_of_text(topics[i % 2]))
                               .allowed;
            printf("%-4s %-14s %.0f ns a check, %s\n", names[i / 2], topics[i % 2],
                   (seconds() - begin) * 1e3, allowed ? "allowed" : "denied");
            acl_client_free(client);
        }
    }
    acl_free(acl);
    buffer_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_belong_to_the_user_above_them),
        cmocka_unit_test(a_denial_counts_wherever_it_stands),
        cmocka_unit_test(patterns_come_behind_the_rules_of_a_client),
        cmocka_unit_test(a_pattern_stands_for_one_level),
        cmocka_unit_test(a_topic_rule_substitutes_nothing),
        cmocka_unit_test(a_name_with_wildcards_or_levels_widens_nothing),
        cmocka_unit_test(a_name_that_no_pattern_uses_is_of_no_concern),
        cmocka_unit_test(a_wildcard_at_the_beginning_leaves_the_servers_topics_out),
        cmocka_unit_test(groups_give_their_members_what_they_have),
        cmocka_unit_test(conditions_narrow_the_rules_behind_them),
        cmocka_unit_test(an_attribute_is_compared_as_a_whole),
        cmocka_unit_test(a_subscription_is_granted_where_some_topic_could_be_read),
        cmocka_unit_test(errors_name_their_line),
        cmocka_unit_test(a_filter_of_more_levels_than_a_topic_may_have_is_refused),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(an_empty_list_grants_nothing),
        cmocka_unit_test(many_rules_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
