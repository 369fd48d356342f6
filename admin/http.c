#include "admin/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/api.h"
#include "admin/asker.h"
#include "admin/door.h"
#include "admin/host_header.h"
#include "admin/page.h"
#include "admin/token.h"
#include "base/list.h"
#include "base/log.h"
#include "broker/address.h"
#include "metrics/metrics.h"

enum {
    CONNECTIONS_MAX = 32,
    CONNECTIONS_OF_ONE = 24,        /* address: who drips in requests leaves room for others */
    CONNECTION_MEMORY = 256 * 1024, /* a Client Identifier, every byte escaped, is in its header */
};

struct http {
    struct broker *broker;
    struct MHD_Daemon *daemon;
    struct door *door;
    struct asker *asker;
};

/* A request whose header has come. */
struct request {
    struct asker_job job;
    const struct http *http;
    struct MHD_Connection *connection;
    const struct verb *verb; /* NULL: a page */
    json_t *query;           /* NULL: a wrong one */
    struct buffer body;
    bool asked;
    char *answer; /* NULL: there was no memory for it */
    unsigned code;
};

/* ---- Answers ---- */

/* Queues the response, and has it freed. One connection is one request: so its time is bounded. */
static enum MHD_Result queue(struct MHD_Connection *connection, unsigned code, const char *type,
                             struct MHD_Response *response)
{
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (code == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes `text`, of malloc. */
static enum MHD_Result respond(struct MHD_Connection *connection, unsigned code, const char *type,
                               char *text, size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    return queue(connection, code, type, response);
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned code, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return MHD_NO;
    return respond(connection, code, "text/plain; charset=utf-8", copy, strlen(text));
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection, const char *allowed)
{
    char text[96];
    int size = snprintf(text, sizeof text, "%s are answered\n", allowed);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)size, text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allowed);
    return queue(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", response);
}

static enum MHD_Result answer_metrics(const struct http *http, struct MHD_Connection *connection)
{
    char *text = NULL;
    size_t size = 0;
    FILE *page = open_memstream(&text, &size);
    if (page == NULL)
        return MHD_NO;
    metrics_write(http->broker, page);
    bool whole = ferror(page) == 0;
    if (fclose(page) != 0 || !whole) {
        free(text);
        return MHD_NO;
    }
    return respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, size);
}

static enum MHD_Result answer_health(const struct http *http, struct MHD_Connection *connection)
{
    if (store_health(http->broker->store) == STORE_HEALTH_OK)
        return say(connection, MHD_HTTP_OK, "ok\n");
    return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
               "the disk fails: QoS 1 and 2 are refused until it works again\n");
}

/* The dashboard: nothing in it is secret, and a browser asks for it without a token. */
static enum MHD_Result answer_page(struct MHD_Connection *connection, const struct page *page)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        page->size, (void *)(uintptr_t)page->data, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Security-Policy", PAGE_POLICY);
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    return queue(connection, MHD_HTTP_OK, page->type, response);
}

/* ---- Requests ---- */

static bool gives_token(const char *token_file, struct MHD_Connection *connection)
{
    return token_file != NULL &&
           token_is_given(token_file, MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                                  MHD_HTTP_HEADER_AUTHORIZATION));
}

static bool is_for_us(const struct config_admin *admin, struct MHD_Connection *connection)
{
    return host_header_is_own(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
        admin->host);
}

static bool is_reading(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static bool is_too_large(struct MHD_Connection *connection)
{
    const char *size =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return size != NULL && strtoull(size, NULL, 10) > API_BODY_MAX;
}

/* Who may not ask, or not so, is told before a body comes. */
static enum MHD_Result begin(const struct http *http, struct MHD_Connection *connection,
                             const char *path, const char *method, void **out)
{
    const char *token_file = http->broker->config->admin.token_file;
    const struct verb *verb = NULL;
    char allowed[64];
    bool is_verb = api_knows(path, method, &verb, allowed);
    if (is_verb && token_file == NULL)
        return say(connection, MHD_HTTP_FORBIDDEN, "this needs a token: admin, token_file\n");
    if ((is_verb || (token_file != NULL && page_find(path) == NULL)) &&
        !gives_token(token_file, connection))
        return say(connection, MHD_HTTP_UNAUTHORIZED, "a token is needed: Authorization: Bearer\n");
    if (token_file == NULL && !is_for_us(&http->broker->config->admin, connection))
        return say(connection, MHD_HTTP_MISDIRECTED_REQUEST,
                   "without token_file: ask by address, or for localhost\n");
    if (is_verb ? verb == NULL : !is_reading(method))
        return refuse_method(connection, is_verb ? allowed : "GET, HEAD");
    if (verb != NULL && is_too_large(connection))
        return say(connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large\n");
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return MHD_NO;
    *request = (struct request){.http = http, .connection = connection, .verb = verb};
    if (verb != NULL)
        request->query = api_query(connection);
    *out = request;
    return MHD_YES;
}

static enum MHD_Result answer_file(const struct http *http, struct MHD_Connection *connection,
                                   const char *path)
{
    const struct page *page = page_find(path);
    if (strcmp(path, "/metrics") == 0)
        return answer_metrics(http, connection);
    if (strcmp(path, "/health") == 0)
        return answer_health(http, connection);
    if (page != NULL)
        return answer_page(connection, page);
    return say(connection, MHD_HTTP_NOT_FOUND, "there are /, /metrics, /health and /api/v1\n");
}

static struct door_visit *visit_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void ask(struct asker_job *job, bool stopping)
{
    struct request *request = CONTAINER_OF(job, struct request, job);
    if (!stopping)
        request->answer =
            api_answer(request->http->broker, request->verb, request->query,
                       bytes_of(request->body.data, request->body.size), &request->code);
    MHD_resume_connection(request->connection);
}

/* Twice: to have the asker ask, and when there is its answer. Meanwhile others are answered. */
static enum MHD_Result answer_verb(const struct http *http, struct request *request)
{
    struct door_visit *visit = visit_of(request->connection);
    if (!request->asked) {
        request->asked = true;
        request->job.run = ask;
        door_rests(visit, true);
        MHD_suspend_connection(request->connection);
        if (!asker_ask(http->asker, &request->job))
            MHD_resume_connection(request->connection);
        return MHD_YES;
    }
    door_rests(visit, false);
    char *text = request->answer;
    request->answer = NULL;
    return text != NULL
               ? respond(request->connection, request->code, "application/json", text, strlen(text))
               : MHD_NO;
}

/* A body that nothing asks for, or that is too large, ends the connection: it may have no end. */
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **request_at)
{
    const struct http *http = context;
    struct request *request = *request_at;
    (void)version;
    if (request == NULL)
        return *body_size > 0 ? MHD_NO : begin(http, connection, path, method, request_at);
    if (*body_size > 0) {
        if (request->verb == NULL || !api_takes_body(request->verb) ||
            request->body.size + *body_size > API_BODY_MAX ||
            buffer_append(&request->body, body, *body_size) != STATUS_OK)
            return MHD_NO;
        *body_size = 0;
        return MHD_YES;
    }
    return request->verb != NULL ? answer_verb(http, request) : answer_file(http, connection, path);
}

static void completed(void *context, struct MHD_Connection *connection, void **request_at,
                      enum MHD_RequestTerminationCode how)
{
    struct request *request = *request_at;
    (void)context;
    (void)connection;
    (void)how;
    if (request != NULL) {
        buffer_fini(&request->body);
        json_decref(request->query);
        free(request->answer);
    }
    free(request);
    *request_at = NULL;
}

/* ---- Connections ---- */

static void enter(void *context, int fd, const struct sockaddr *address, socklen_t size)
{
    const struct http *http = context;
    MHD_add_connection(http->daemon, fd, address, size); /* which closes it, too */
}

static void changed(void *context, struct MHD_Connection *connection, void **visit,
                    enum MHD_ConnectionNotificationCode what)
{
    const struct http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        door_left(*visit);
    else if (info != NULL)
        *visit = door_came(http->door, info->connect_fd);
}

/* ---- Start and end ---- */

static int listen_on(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listen_at(const struct config_admin *admin, char *error, size_t error_size)
{
    char port[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    snprintf(port, sizeof port, "%u", admin->port);
    bool any = strcmp(admin->host, "*") == 0;
    int failure = getaddrinfo(any ? "::" : admin->host, port, &hints, &addresses);
    if (failure != 0) {
        snprintf(error, error_size, "%s", gai_strerror(failure));
        return -1;
    }
    int fd = listen_on(addresses);
    if (fd < 0)
        snprintf(error, error_size, "%s", strerror(errno));
    freeaddrinfo(addresses);
    return fd;
}

static void say_where(int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char text[ADDRESS_TEXT_SIZE] = "?";
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0) {
        struct address here = address_of((const struct sockaddr *)&bound);
        address_text(&here, text);
    }
    log_line(LOG_NOTICE, "admin: HTTP on %s", text);
}

/* What peers do wrong is answered to them; nobody else needs to know. */
static void ignore_words(void *context, const char *format, va_list arguments)
{
}

/* One thread, which nothing keeps waiting: what does is the asker's. */
static struct MHD_Daemon *start_daemon(struct http *http)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, answer, http, MHD_OPTION_EXTERNAL_LOGGER, ignore_words, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, changed, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_OF_ONE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_END);
}

enum status http_check(const struct config *config, char *error, size_t error_size)
{
    const struct config_admin *admin = &config->admin;
    return admin->http != NULL && admin->token_file != NULL
               ? token_check(admin->token_file, error, error_size)
               : STATUS_OK;
}

enum status http_open(struct broker *broker, struct http **out)
{
    const struct config_admin *admin = &broker->config->admin;
    char error[512];
    *out = NULL;
    if (admin->http == NULL)
        return STATUS_OK;
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return STATUS_NO_MEMORY;
    http->broker = broker;
    int fd = listen_at(admin, error, sizeof error);
    if (fd < 0) {
        log_line(LOG_WARNING, "admin: cannot listen on \"%s\": %s; /metrics cannot be read",
                 admin->http, error);
        free(http);
        return STATUS_OK;
    }
    if (http_check(broker->config, error, sizeof error) != STATUS_OK)
        log_line(LOG_WARNING, "admin: %s; nobody is answered until it is", error);
    if (asker_open(&http->asker) == STATUS_OK && (http->daemon = start_daemon(http)) != NULL &&
        door_open(fd, enter, http, &http->door) == STATUS_OK) {
        say_where(fd);
        *out = http;
        return STATUS_OK;
    }
    close(fd);
    http_close(http);
    return STATUS_NO_MEMORY;
}

void http_close(struct http *http)
{
    if (http == NULL)
        return;
    if (http->door != NULL)
        door_lock(http->door);
    if (http->asker != NULL)
        asker_stop(http->asker); /* nobody waits for it any more */
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    if (http->asker != NULL)
        asker_free(http->asker);
    door_close(http->door);
    free(http);
}
