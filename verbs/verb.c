#include "verbs/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "verbs/drain.h"
#include "verbs/messages.h"
#include "verbs/running.h"
#include "verbs/sessions.h"

#define VERB(name, method, path, function, parameters, about)                                      \
    {name, VERB_##method, path, function, parameters, about},
const struct verb verbs[] = {
#include "verbs/verb.def"
    {0},
};

const struct verb *verb_named(const char *name)
{
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0)
            return verb;
    }
    return NULL;
}

/* ---- One at a time ---- */

/* A worker that hangs keeps one who asks waiting, and not all of them. */
enum { PATIENCE_S = 5 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool asking; /* under the mutex */

bool verb_begin(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&mutex);
    while (asking && pthread_cond_clockwait(&ended, &mutex, CLOCK_MONOTONIC, &until) == 0)
        continue;
    bool begun = !asking;
    asking = true;
    pthread_mutex_unlock(&mutex);
    return begun;
}

void verb_end(void)
{
    pthread_mutex_lock(&mutex);
    asking = false;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&mutex);
}

/* The store wakes workers, and nobody else. */
bool verb_await(const struct broker *broker, uint64_t lsn)
{
    enum { LOOKS = 2500 };
    const struct timespec pause = {.tv_nsec = 2000000};
    for (unsigned i = 0; i < LOOKS && store_durable(broker->store) < lsn; i++)
        nanosleep(&pause, NULL);
    return store_durable(broker->store) >= lsn;
}

/* ---- Arguments ---- */

bool verb_refuse(struct verb_call *call, unsigned code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->error, sizeof call->error, format, arguments);
    va_end(arguments);
    call->code = code;
    json_decref(call->result);
    call->result = NULL;
    return false;
}

bool verb_text(struct verb_call *call, const char *name, bool needed, struct bytes *out)
{
    const json_t *value = json_object_get(call->arguments, name);
    *out = bytes_of(NULL, 0);
    if (value == NULL)
        return !needed || verb_refuse(call, 400, "\"%s\" is missing", name);
    if (!json_is_string(value))
        return verb_refuse(call, 400, "\"%s\" is no text", name);
    *out = bytes_of(json_string_value(value), json_string_length(value));
    return true;
}

/* Decimal digits and nothing else. */
static bool parse_number(const char *text, uint64_t *out)
{
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 19)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

bool verb_number(struct verb_call *call, const char *name, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *out)
{
    const json_t *value = json_object_get(call->arguments, name);
    bool is_number = true;
    *out = otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        *out = (uint64_t)json_integer_value(value);
    else if (json_is_string(value))
        is_number = parse_number(json_string_value(value), out);
    else
        is_number = value == NULL;
    if (is_number && *out >= least && *out <= most)
        return true;
    return verb_refuse(call, 400, "\"%s\" is a number from %" PRIu64 " to %" PRIu64, name, least,
                       most);
}

bool verb_truth(struct verb_call *call, const char *name, bool *out)
{
    const json_t *value = json_object_get(call->arguments, name);
    const char *text = json_string_value(value);
    *out = json_is_true(value) || (text != NULL && strcmp(text, "true") == 0);
    if (value == NULL || json_is_boolean(value) || *out ||
        (text != NULL && strcmp(text, "false") == 0))
        return true;
    return verb_refuse(call, 400, "\"%s\" is true or false", name);
}

bool verb_client(struct verb_call *call, struct bytes *out)
{
    if (!verb_text(call, "client", true, out))
        return false;
    return out->size <= UINT16_MAX ||
           verb_refuse(call, 400, "\"client\" is longer than a Client Identifier can be");
}

json_t *verb_json_text(struct bytes text)
{
    json_t *json = json_stringn(text.size > 0 ? (const char *)text.data : "", text.size);
    char printable[1024];
    return json != NULL ? json
                        : json_string(log_text(text.data, text.size, printable, sizeof printable));
}

/* ---- Carrying out ---- */

static bool has_word(const char *words, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = words; *at != '\0';) {
        size_t here = strcspn(at, " ");
        if (here == size && size > 0 && memcmp(at, word, size) == 0)
            return true;
        at += here + (at[here] == ' ');
    }
    return false;
}

static bool knows_arguments(const struct verb *verb, struct verb_call *call)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)call->arguments, name, value)
    {
        char shown[80];
        if (!has_word(verb->parameters, name))
            return verb_refuse(call, 400, "there is no \"%s\" here",
                               log_text(name, strlen(name), shown, sizeof shown));
    }
    return true;
}

void verb_run(const struct verb *verb, struct verb_call *call)
{
    call->result = NULL;
    call->code = 200;
    call->error[0] = '\0';
    if (!knows_arguments(verb, call))
        return;
    if (!verb_begin()) {
        verb_refuse(call, 503, "another question has not been answered yet");
        return;
    }
    verb->run(call);
    verb_end();
    if (call->result == NULL && call->error[0] == '\0')
        verb_refuse(call, 503, "out of memory");
}
