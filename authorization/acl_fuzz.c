/* An access control list: read or refused with a place. The first line of the input is a topic, the
 * second a name, the rest the list; what the list says of them holds together. */
#include "authorization/acl.h"

#include <string.h>

#include "base/check.h"
#include "protocol/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes next_line(struct bytes *rest)
{
    if (rest->size == 0)
        return *rest;
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    size_t size = end != NULL ? (size_t)(end - rest->data) : rest->size;
    struct bytes line = bytes_of(rest->data, size);
    size += end != NULL;
    *rest = bytes_of(rest->data + size, rest->size - size);
    return line;
}

static void check_verdict(struct acl_verdict verdict)
{
    CHECK((verdict.line != 0) == (verdict.reason == ACL_REASON_RULE));
    CHECK(!verdict.allowed || verdict.line != 0);
}

static void check_client(const struct acl *acl, const struct acl_subject *subject,
                         struct bytes topic)
{
    size_t offset;
    struct acl_client *client = acl_client_new(acl, subject);
    CHECK(client != NULL);
    if (topic_name_validate(topic, &offset)) {
        struct acl_verdict read = acl_client_may(client, ACL_READ, topic);
        check_verdict(read);
        check_verdict(acl_client_may(client, ACL_WRITE, topic));
        /* A topic is a filter that matches itself alone. */
        struct acl_verdict subscribe = acl_client_may_subscribe(client, topic);
        CHECK(subscribe.allowed == read.allowed);
    } else if (utf8_validate(topic, &offset) &&
               topic_filter_parse(topic, false, &offset).kind == TOPIC_FILTER_PLAIN) {
        check_verdict(acl_client_may_subscribe(client, topic));
    }
    acl_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size);
    struct bytes topic = next_line(&rest);
    struct bytes name = next_line(&rest);
    struct acl *acl;
    char error[256];
    if (acl_load_text("x", rest, &acl, error, sizeof error) != STATUS_OK) {
        CHECK(strncmp(error, "x:", 2) == 0);
        CHECK(strlen(error) > 5);
        return 0;
    }
    struct acl_subject subject = {.client_identifier = name, .user_name = name};
    check_client(acl, &subject, topic);
    subject.certificate_subject = name;
    subject.listener = name;
    subject.anonymous = true;
    check_client(acl, &subject, topic);
    acl_free(acl);
    return 0;
}
