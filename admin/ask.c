#include "admin/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"

enum { EXIT_SILENT = 1, EXIT_USAGE = 2 };

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* What the configuration says; the caller frees it. */
static char *configured_path(const char *file)
{
    struct config config;
    char error[512];
    if (config_load(file, &config, error, sizeof error) != STATUS_OK) {
        fprintf(stderr, "holdfast: %s\n", error);
        return NULL;
    }
    char *path = strdup(config.broker.control);
    config_fini(&config);
    return path;
}

/* True: that was the last. */
static bool print_line(const char *line, bool as_json, int *status)
{
    json_error_t error;
    json_t *json = json_loads(line, 0, &error);
    const char *text = json_string_value(json_object_get(json, "text"));
    const char *wrong = json_string_value(json_object_get(json, "error"));
    const json_t *result = json_object_get(json, "result");
    bool last = text == NULL;
    if (as_json && text != NULL)
        fputs(line, stdout);
    else if (text != NULL)
        puts(text);
    else if (wrong != NULL)
        fprintf(stderr, "holdfast: %s\n", wrong);
    *status =
        text != NULL || result != NULL || json_object_get(json, "end") != NULL ? 0 : EXIT_SILENT;
    json_decref(json);
    return last;
}

/* Takes `question`. On OK the answer can be read from `*out`; else the exit status. */
static int send_question(const char *path, json_t *question, FILE **out)
{
    int fd = connect_to(path);
    FILE *file = fd >= 0 ? fdopen(fd, "r+e") : NULL;
    if (file == NULL) {
        fprintf(stderr, "holdfast: no broker answers at \"%s\": %s\n", path, strerror(errno));
        json_decref(question);
        return EXIT_SILENT;
    }
    char *text = question != NULL ? json_dumps(question, JSON_COMPACT) : NULL;
    json_decref(question);
    if (text == NULL) {
        fprintf(stderr, "holdfast: what is asked for is UTF-8\n");
        fclose(file);
        return EXIT_USAGE;
    }
    fprintf(file, "%s\n", text);
    fflush(file);
    free(text);
    *out = file;
    return 0;
}

static int ask_at(const char *path, json_t *question, bool as_json)
{
    FILE *file;
    int status = send_question(path, question, &file);
    if (status != 0)
        return status;
    status = EXIT_SILENT;
    char *line = NULL;
    size_t capacity = 0;
    bool last = false;
    while (!last && getline(&line, &capacity, file) > 0)
        last = print_line(line, as_json, &status);
    if (!last) {
        fprintf(stderr, "holdfast: the broker at \"%s\" does not answer\n", path);
        status = EXIT_SILENT;
    }
    free(line);
    fclose(file);
    return status;
}

static char *path_of(const char *file, const char *socket_path)
{
    return socket_path != NULL ? strdup(socket_path) : configured_path(file);
}

int ask(const char *file, const char *socket_path, json_t *question, bool as_json)
{
    char *path = path_of(file, socket_path);
    if (path == NULL) {
        json_decref(question);
        return EXIT_USAGE;
    }
    int status = ask_at(path, question, as_json);
    free(path);
    return status;
}

static int ask_verb_at(const char *path, json_t *question, json_t **out)
{
    FILE *file;
    json_error_t error;
    int status = send_question(path, question, &file);
    if (status != 0)
        return status;
    json_t *answer = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
    fclose(file);
    const char *wrong = json_string_value(json_object_get(answer, "error"));
    *out = json_incref(json_object_get(answer, "result"));
    if (wrong != NULL)
        fprintf(stderr, "holdfast: %s\n", wrong);
    else if (*out == NULL)
        fprintf(stderr, "holdfast: the broker at \"%s\" does not answer\n", path);
    json_decref(answer);
    return *out != NULL ? 0 : EXIT_SILENT;
}

int ask_verb(const char *file, const char *socket_path, const char *verb, json_t *arguments,
             json_t **out)
{
    char *path = path_of(file, socket_path);
    *out = NULL;
    if (path == NULL) {
        json_decref(arguments);
        return EXIT_USAGE;
    }
    json_t *question = arguments != NULL ? json_pack("{s:o}", verb, arguments) : NULL;
    int status = ask_verb_at(path, question, out);
    free(path);
    return status;
}
