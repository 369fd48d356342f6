#include "admin/control.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "admin/why.h"
#include "base/accept.h"
#include "base/log.h"
#include "base/memory.h"
#include "verbs/verb.h"

enum {
    QUESTION_MAX = 512 * 1024, /* a Client Identifier and a topic, every byte escaped */
    PATIENCE_MS = 2000, /* with a question: who drips it in holds up the others, and a stop */
};

struct control {
    struct broker *broker;
    int fd;
    pthread_t thread;
};

/* ---- Answers ---- */

static bool send_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            shutdown(fd, SHUT_RDWR); /* who does not read is not waited for again */
            return false;
        }
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Takes `json`. */
static void send_line(int fd, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    if (text != NULL && send_all(fd, text, strlen(text)))
        send_all(fd, "\n", 1);
    free(text);
    json_decref(json);
}

/* The size of the citation at `at`: MQTT-4.9.0-2, or of what has no number of its own, 5.0 section
 * 4.8.2. 0: there is none. */
static size_t citation_at(const char *at)
{
    static const char *const beginnings[] = {"MQTT-", "5.0 section ", "3.1.1 section "};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        size_t size = strlen(beginnings[i]);
        if (strncmp(at, beginnings[i], size) == 0)
            return size + strspn(at + size, "0123456789.-");
    }
    return 0;
}

/* What a sentence cites: not what it quotes, which others have chosen. */
static json_t *statements_of(const char *sentence)
{
    json_t *out = json_array();
    bool quoted = false;
    for (const char *at = sentence; *at != '\0'; at++) {
        quoted ^= *at == '"';
        size_t size = quoted ? 0 : citation_at(at);
        if (size > 0)
            json_array_append_new(out, json_stringn(at, size));
    }
    return out;
}

static void send_sentences(int fd, const struct buffer *answer)
{
    const char *text = (const char *)answer->data, *end = text + answer->size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        char *sentence = strndup(text, (size_t)(newline - text));
        if (sentence == NULL)
            return;
        send_line(fd,
                  json_pack("{s:s, s:o}", "text", sentence, "statements", statements_of(sentence)));
        free(sentence);
        text = newline + 1;
    }
}

static void ask_others(const struct control *control, struct why *why)
{
    why->shared = bytes_of(why->found_shared.data, why->found_shared.size);
    why->errand.run = why_others;
    for (unsigned i = 0; i < control->broker->worker_count; i++)
        errand_send(&control->broker->workers[i], &why->errand);
}

static void answer_why(const struct control *control, int fd, const json_t *question)
{
    const json_t *client = json_object_get(question, "client");
    const json_t *topic = json_object_get(question, "topic");
    if (!json_is_string(client) || (topic != NULL && !json_is_string(topic))) {
        send_line(fd, json_pack("{s:s}", "error", "\"client\" is missing, or no text"));
        return;
    }
    struct why why = {
        .errand = {.run = why_session},
        .client = bytes_of(json_string_value(client), json_string_length(client)),
        .topic = bytes_of(json_string_value(topic), json_string_length(topic)),
    };
    if (why.client.size > UINT16_MAX || why.topic.size > UINT16_MAX) {
        send_line(fd, json_pack("{s:s}", "error", "longer than MQTT has them"));
        return;
    }
    if (!verb_begin()) {
        send_line(fd, json_pack("{s:s}", "error", "another question has not been answered yet"));
        return;
    }
    errand_send(&control->broker->workers[broker_home(control->broker, why.client)], &why.errand);
    if (why.found_shared.size > 0)
        ask_others(control, &why);
    verb_end();
    send_sentences(fd, &why.answer);
    send_line(fd, json_pack("{s:b}", "end", 1));
    why_fini(&why);
}

static void answer_verb(const struct control *control, int fd, const struct verb *verb,
                        const json_t *arguments)
{
    struct verb_call call = {.broker = control->broker, .arguments = arguments};
    verb_run(verb, &call);
    if (call.result != NULL)
        send_line(fd, json_pack("{s:o}", "result", call.result));
    else
        send_line(fd, json_pack("{s:s}", "error", call.error));
}

/* {"name": {...}}, and nothing else. */
static const struct verb *asked_for(json_t *question, const json_t **out_arguments)
{
    void *only = json_object_iter(question);
    if (json_object_size(question) != 1)
        return NULL;
    *out_arguments = json_object_iter_value(only);
    return json_is_object(*out_arguments) ? verb_named(json_object_iter_key(only)) : NULL;
}

static void answer(const struct control *control, int fd, const char *text, size_t size)
{
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    const json_t *why = json_object_get(json, "why"), *arguments = NULL;
    const struct verb *verb = asked_for(json, &arguments);
    if (json_is_object(why))
        answer_why(control, fd, why);
    else if (verb != NULL)
        answer_verb(control, fd, verb, arguments);
    else
        send_line(fd, json_pack("{s:s}", "error", "a question is {\"why\": {\"client\": ...}}"));
    json_decref(json);
}

/* ---- Askers ---- */

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Bounds the next calls by what is left of the asker's time; false: nothing is. */
static bool has_time(int fd, int64_t until_ms)
{
    int64_t left_ms = until_ms - now_ms();
    struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
    return left_ms > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) == 0;
}

/* One line. */
static void serve(const struct control *control, int fd)
{
    int64_t until_ms = now_ms() + PATIENCE_MS;
    if (!is_ours(fd)) {
        log_line(LOG_WARNING, "control: refused to answer another user");
        return;
    }
    struct buffer line = {0};
    while (has_time(fd, until_ms) && line.size < QUESTION_MAX &&
           buffer_reserve(&line, 4096) == STATUS_OK) {
        ssize_t got = recv(fd, line.data + line.size, 4096, 0);
        if (got <= 0)
            break;
        line.size += (size_t)got;
        const uint8_t *end = memchr(line.data, '\n', line.size);
        if (end != NULL) {
            answer(control, fd, (const char *)line.data, (size_t)(end - line.data));
            break;
        }
    }
    buffer_fini(&line);
}

static void *run(void *argument)
{
    struct control *control = argument;
    memory_begin_thread();
    for (;;) {
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(control, fd);
            close(fd);
        } else if (accept_lacks_room(errno)) {
            sleep(1); /* nothing tells when there is room again */
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return NULL; /* shut down */
        }
    }
}

/* ---- Start and end ---- */

/* Whether somebody listens there: another broker, with a store of its own. */
static bool is_taken(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool taken = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
                             errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return taken;
}

/* For the owner alone from the first moment: Linux gives the socket's mode to its file. What a
 * killed broker has left is removed. */
static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode)) {
        if (is_taken(&address)) {
            errno = EADDRINUSE;
            return -1;
        }
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, 8) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

enum status control_open(struct broker *broker, struct control **out)
{
    const char *path = broker->config->broker.control;
    *out = NULL;
    if (path[0] == '\0')
        return STATUS_OK;
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return STATUS_NO_MEMORY;
    control->broker = broker;
    control->fd = listen_at(path);
    if (control->fd < 0) {
        log_line(LOG_WARNING, "control: cannot listen at \"%s\": %s; holdfast why cannot ask", path,
                 strerror(errno));
        free(control);
        return STATUS_OK;
    }
    if (pthread_create(&control->thread, NULL, run, control) != 0) {
        close(control->fd);
        free(control);
        return STATUS_NO_MEMORY;
    }
    pthread_setname_np(control->thread, "control");
    *out = control;
    return STATUS_OK;
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    shutdown(control->fd, SHUT_RDWR); /* accept returns; who is being served is served */
    pthread_join(control->thread, NULL);
    unlink(control->broker->config->broker.control);
    close(control->fd);
    free(control);
}
