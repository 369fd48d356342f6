#include "authorization/acl_explain.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "authorization/acl.h"
#include "base/file.h"
#include "protocol/topic.h"

enum { ALL_ALLOWED, SOMETHING_DENIED, FAILED };

enum what { WHAT_PUBLISH, WHAT_RECEIVE, WHAT_SUBSCRIBE };

static const char usage[] =
    "usage: holdfast acl explain --acl FILE [--client ID] [--user NAME] [--listener NAME]\n"
    "           [--certificate SUBJECT] publish|receive|subscribe TOPIC...\n"
    "\n"
    "Says of each topic whether this client may, and which line of the list decides. Without\n"
    "--user the client is anonymous; SUBJECT is as in \"CN=sensor-7,OU=sensors\". Exit status:\n"
    "0 all of it is allowed, 1 something is denied, 2 an error.\n";

struct question {
    const char *path;
    struct acl_subject subject;
    enum what what;
    struct buffer text;
    struct acl *acl;
    struct acl_client *client;
};

static int complain(const char *what, const char *detail)
{
    fprintf(stderr, "holdfast: %s%s\n", what, detail);
    return FAILED;
}

static int misused(void)
{
    fputs(usage, stderr);
    return FAILED;
}

/* False: `argv` is not understood. */
static bool parse_options(int argc, char **argv, struct question *question)
{
    static const struct option options[] = {
        {"acl", required_argument, NULL, 'a'},         {"client", required_argument, NULL, 'c'},
        {"user", required_argument, NULL, 'u'},        {"listener", required_argument, NULL, 'l'},
        {"certificate", required_argument, NULL, 's'}, {NULL, 0, NULL, 0},
    };
    struct acl_subject *subject = &question->subject;
    subject->anonymous = true;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        struct bytes value = bytes_of_text(optarg != NULL ? optarg : "");
        if (option == 'a')
            question->path = optarg;
        else if (option == 'c')
            subject->client_identifier = value;
        else if (option == 'l')
            subject->listener = value;
        else if (option == 's')
            subject->certificate_subject = value;
        else if (option != 'u')
            return false;
        else {
            subject->user_name = value;
            subject->anonymous = false;
        }
    }
    return question->path != NULL && argc - optind >= 2;
}

static bool parse_what(const char *word, enum what *out)
{
    static const char *const words[] = {"publish", "receive", "subscribe"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum what)i;
            return true;
        }
    }
    return false;
}

/* The rule on this line, without what stands around it. */
static struct bytes text_of_line(struct bytes text, uint32_t line)
{
    const uint8_t *from = text.data, *end = text.data + text.size;
    while (--line > 0)
        from = (const uint8_t *)memchr(from, '\n', (size_t)(end - from)) + 1;
    const uint8_t *to = memchr(from, '\n', (size_t)(end - from));
    if (to == NULL)
        to = end;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    return bytes_of(from, (size_t)(to - from));
}

static void print(const struct question *question, const char *topic, struct acl_verdict verdict)
{
    printf("%s: %s", topic, verdict.allowed ? "allowed" : "denied");
    if (verdict.line > 0) {
        struct bytes rule =
            text_of_line(bytes_of(question->text.data, question->text.size), verdict.line);
        printf(" by %s:%u: %.*s\n", question->path, verdict.line, (int)rule.size,
               (const char *)rule.data);
        return;
    }
    printf(": no rule grants it%s\n",
           verdict.reason == ACL_REASON_UNSAFE_NAME
               ? "; patterns do not count, for a name with +, # or / in it, with $ before it, or "
                 "that is empty"
               : "");
}

static int answer(const struct question *question, const char *topic)
{
    struct bytes text = bytes_of_text(topic);
    size_t offset;
    struct acl_verdict verdict;
    if (question->what == WHAT_SUBSCRIBE) {
        if (!utf8_validate(text, &offset))
            return complain("not a Topic Filter: ", topic);
        struct topic_filter filter = topic_filter_parse(text, true, &offset);
        if (filter.kind == TOPIC_FILTER_INVALID)
            return complain("not a Topic Filter: ", topic);
        verdict = acl_client_may_subscribe(question->client, filter.filter);
    } else {
        if (!topic_name_validate(text, &offset))
            return complain("not a Topic Name: ", topic);
        if (question->what == WHAT_PUBLISH && strncmp(topic, "$SYS/", 5) == 0) {
            printf("%s: denied: topics below $SYS are the Server's, whatever the list says\n",
                   topic);
            return SOMETHING_DENIED;
        }
        verdict = acl_client_may(question->client,
                                 question->what == WHAT_PUBLISH ? ACL_WRITE : ACL_READ, text);
    }
    print(question, topic, verdict);
    return verdict.allowed ? ALL_ALLOWED : SOMETHING_DENIED;
}

static int answer_all(struct question *question, char **topics, int count)
{
    char error[512];
    if (file_read(question->path, ACL_FILE_MAX, &question->text, error, sizeof error) !=
            STATUS_OK ||
        acl_load_text(question->path, bytes_of(question->text.data, question->text.size),
                      &question->acl, error, sizeof error) != STATUS_OK)
        return complain(error, "");
    question->client = acl_client_new(question->acl, &question->subject);
    if (question->client == NULL)
        return complain("out of memory", "");
    int worst = ALL_ALLOWED;
    for (int i = 0; i < count; i++) {
        int one = answer(question, topics[i]);
        worst = one > worst ? one : worst;
    }
    return worst;
}

int acl_explain_run(int argc, char **argv)
{
    struct question question = {0};
    const char *last = argv[argc - 1];
    if (argc <= 3 && (strcmp(last, "--help") == 0 || strcmp(last, "-h") == 0)) {
        fputs(usage, stdout);
        return ALL_ALLOWED;
    }
    if (argc < 2 || strcmp(argv[1], "explain") != 0)
        return misused();
    argc--, argv++;
    if (!parse_options(argc, argv, &question) || !parse_what(argv[optind], &question.what))
        return misused();
    int result = answer_all(&question, argv + optind + 1, argc - optind - 1);
    acl_client_free(question.client);
    acl_free(question.acl);
    buffer_fini(&question.text);
    return result;
}
