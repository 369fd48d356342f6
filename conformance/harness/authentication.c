#include <string.h>

#include "conformance/harness/test_run.h"
#include "conformance/net/scram.h"

static struct text data_of(struct test *test, const char *word)
{
    static const char prefix[] = "hex:";
    if (strncmp(word, prefix, sizeof prefix - 1) != 0)
        return text_of(word);
    struct buffer bytes = {0};
    buffer_hex(&bytes, word + sizeof prefix - 1);
    size_t size = bytes.size;
    uint8_t *copy = test_alloc(test, size + 1); /* present, though empty */
    if (size > 0)
        memcpy(copy, bytes.data, size);
    buffer_free(&bytes);
    return (struct text){copy, size};
}

static struct scram_client *scram_of(struct test *test, const struct target *target)
{
    struct scram_client *scram = test_alloc(test, sizeof *scram);
    *scram = (struct scram_client){.user = target->auth_user, .password = target->auth_password};
    scram_nonce(scram->nonce);
    if (!scram_client_first(scram))
        test_run_broken(test, "the name of --auth-user is too long for SCRAM");
    return scram;
}

struct authentication *need_authentication(struct test *test)
{
    const struct target *target = test->run->settings->target;
    if (!target->auth_method)
        skip(test, "it needs an Authentication Method of the server's (--auth-method)");
    struct authentication *out = test_alloc(test, sizeof *out);
    *out = (struct authentication){.test = test, .method = text_of(target->auth_method)};
    if (target->auth_user) {
        out->scram = scram_of(test, target);
        return out;
    }
    out->count = target->auth_data_count;
    for (unsigned i = 0; i < out->count; i++)
        out->words[i] = data_of(test, target->auth_data[i]);
    return out;
}

struct authentication *need_scram(struct test *test)
{
    if (!test->run->settings->target->auth_user)
        skip(test, "it needs a user of " SCRAM_METHOD " (--auth-user)");
    return need_authentication(test);
}

struct authentication *need_wrong_authentication(struct test *test)
{
    struct authentication *out = need_authentication(test);
    if (out->scram) {
        out->scram->password = (const char *)text_printf(test, "%s?", out->scram->password).data;
        return out;
    }
    if (out->count == 0)
        skip(test, "it needs Authentication Data that can be wrong (--auth-data)");
    struct text *last = &out->words[out->count - 1];
    uint8_t *copy = test_alloc(test, last->size + 1);
    if (last->size > 0)
        memcpy(copy, last->data, last->size);
    copy[last->size] = '?';
    *last = (struct text){copy, last->size + 1};
    return out;
}

struct text authentication_first(struct authentication *authentication)
{
    authentication->step = 1;
    if (authentication->scram)
        return text_of(authentication->scram->first);
    return authentication->count > 0 ? authentication->words[0] : (struct text){0};
}

static struct text scram_answer(struct authentication *authentication, const struct packet *auth)
{
    struct test *test = authentication->test;
    const struct property *data = property_find(&auth->properties, AUTHENTICATION_DATA);
    if (authentication->step > 2)
        fail_statement(test, "MQTT-4.12.0-2",
                       "the server asks for more after SCRAM's last message of the client");
    const char *problem = scram_client_final(authentication->scram, data ? data->text : TEXT(""));
    if (problem)
        fail_statement(test, "MQTT-4.12.0-2",
                       "SCRAM cannot go on from the server's first message: "
                       "%s",
                       problem);
    return text_of(authentication->scram->final);
}

struct text authentication_answer(struct authentication *authentication, const struct packet *auth)
{
    unsigned step = authentication->step++;
    if (authentication->scram)
        return scram_answer(authentication, auth);
    if (step >= authentication->count)
        skip(authentication->test, "the server asks for more than the %u --auth-data given",
             authentication->count);
    return authentication->words[step];
}

void authentication_end(const struct authentication *authentication, const struct packet *last)
{
    struct test *test = authentication->test;
    const struct property *method = property_find(&last->properties, AUTHENTICATION_METHOD);
    const struct property *data = property_find(&last->properties, AUTHENTICATION_DATA);
    if (!method || !text_equal(method->text, authentication->method))
        fail_statement(test, "MQTT-4.12.0-5",
                       "%s does not name the Authentication Method of the CONNECT",
                       packet_name(last->type));
    if (authentication->scram &&
        (!data || !scram_client_verifies(authentication->scram, data->text)))
        fail_statement(test, "MQTT-4.12.0-2",
                       "%s does not hold SCRAM's proof that the server knows the password",
                       packet_name(last->type));
}
