#include "admin/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const methods[VERB_METHODS] = {
    [VERB_GET] = "GET", [VERB_DELETE] = "DELETE", [VERB_POST] = "POST", [VERB_PUT] = "PUT"};

bool api_knows(const char *path, const char *method, const struct verb **out, char allowed[64])
{
    size_t used = 0;
    allowed[0] = '\0';
    *out = NULL;
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->path, path) != 0)
            continue;
        used += (size_t)snprintf(allowed + used, 64 - used, "%s%s", used > 0 ? ", " : "",
                                 methods[verb->method]);
        if (strcmp(methods[verb->method], method) == 0)
            *out = verb;
    }
    return used > 0;
}

bool api_takes_body(const struct verb *verb)
{
    return verb->method == VERB_POST || verb->method == VERB_PUT;
}

/* ---- Arguments ---- */

struct query {
    json_t *arguments;
    bool wrong; /* not UTF-8, or the same twice */
};

static enum MHD_Result add_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_size, const char *value, size_t value_size)
{
    struct query *query = context;
    (void)kind;
    json_t *text = json_stringn(value != NULL ? value : "", value != NULL ? value_size : 0);
    query->wrong = query->wrong || text == NULL || strlen(name) != name_size ||
                   json_object_get(query->arguments, name) != NULL ||
                   json_object_set(query->arguments, name, text) != 0;
    json_decref(text);
    return query->wrong ? MHD_NO : MHD_YES;
}

json_t *api_query(struct MHD_Connection *connection)
{
    struct query query = {.arguments = json_object()};
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, add_argument, &query);
    if (!query.wrong)
        return query.arguments;
    json_decref(query.arguments);
    return NULL;
}

/* NULL: it is no object. */
static json_t *parse_body(struct bytes body)
{
    json_error_t error;
    if (body.size == 0)
        return json_object();
    json_t *json = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

/* ---- Answers ---- */

/* Takes `json`. */
static char *text_of(json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(json);
    return text;
}

char *api_answer(struct broker *broker, const struct verb *verb, const json_t *arguments,
                 struct bytes body, unsigned *out_code)
{
    json_t *parsed = api_takes_body(verb) ? parse_body(body) : NULL;
    struct verb_call call = {.broker = broker,
                             .arguments = api_takes_body(verb) ? parsed : arguments};
    if (call.arguments != NULL)
        verb_run(verb, &call);
    else if (api_takes_body(verb))
        verb_refuse(&call, 400, "the body is no JSON object");
    else
        verb_refuse(&call, 400, "the query is not UTF-8, or names something twice");
    json_decref(parsed);
    *out_code = call.code;
    return text_of(call.result != NULL ? call.result : json_pack("{s:s}", "error", call.error));
}
