#include "conformance/harness/test_run.h"

struct text need_denied_publish(struct test *test)
{
    const char *topic = test->run->settings->target->denied_publish;
    if (!topic)
        skip(test, "it needs a topic that is denied for publishing (--denied-publish)");
    return text_of(topic);
}

struct text need_denied_subscribe(struct test *test)
{
    const char *filter = test->run->settings->target->denied_subscribe;
    if (!filter)
        skip(test, "it needs a filter that is denied for subscribing (--denied-subscribe)");
    return text_of(filter);
}
