#include "conformance/runner/report_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/runner/selection.h"

enum { FORMAT_VERSION = 1 };

/* ---- Writing ---- */

/* Takes `value`. */
static void put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        abort(); /* no memory, or no UTF-8, which report_copy() has seen to */
}

static void append(json_t *list, json_t *value)
{
    if (json_array_append_new(list, value) != 0)
        abort();
}

static void set_text(json_t *object, const char *key, const char *value)
{
    put(object, key, json_string(value));
}

static void set_number(json_t *object, const char *key, json_int_t value)
{
    put(object, key, json_integer(value));
}

static void set_bool(json_t *object, const char *key, bool value)
{
    put(object, key, json_boolean(value));
}

static void set_number_or_null(json_t *object, const char *key, bool present, json_int_t value)
{
    put(object, key, present ? json_integer(value) : json_null());
}

static json_t *features_of(const struct server_features *features)
{
    json_t *object = json_object();
    set_number(object, "maximum_qos", features->maximum_qos);
    set_bool(object, "retain_available", features->retain_available);
    set_bool(object, "wildcard_available", features->wildcard_available);
    set_bool(object, "subscription_identifier_available",
             features->subscription_identifier_available);
    set_bool(object, "shared_available", features->shared_available);
    set_number(object, "receive_maximum", features->receive_maximum);
    set_number(object, "topic_alias_maximum", features->topic_alias_maximum);
    set_number_or_null(object, "server_keep_alive_s", features->has_server_keep_alive,
                       features->server_keep_alive_s);
    set_number_or_null(object, "maximum_packet_size", features->maximum_packet_size != UINT32_MAX,
                       features->maximum_packet_size);
    return object;
}

static json_t *version_of(const struct report *report, int index)
{
    const struct report_version *version = &report->versions[index];
    json_t *object = json_object(), *summary = json_object();
    set_bool(object, "judged", version->judged);
    set_text(object, "error", version->error ? version->error : "");
    put(object, "features", features_of(&version->features));
    for (int verdict = 0; verdict < VERDICTS; verdict++)
        set_number(summary, report_verdict_key((enum verdict)verdict),
                   report_count(report, report_versions[index], (enum verdict)verdict));
    set_number(summary, "should", report_remark_count(report, report_versions[index], false));
    set_number(summary, "debatable", report_remark_count(report, report_versions[index], true));
    put(object, "summary", summary);
    return object;
}

static json_t *ids_of(const char *words)
{
    json_t *list = json_array();
    const char *word;
    size_t size;
    while ((word = statement_word(&words, &size)))
        append(list, json_stringn(word, size));
    return list;
}

static json_t *remarks_of(const struct report_result *result)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < result->remark_count; i++) {
        json_t *object = json_object();
        set_text(object, "kind", result->remarks[i].debatable ? "debatable" : "should");
        set_text(object, "statement", result->remarks[i].statement);
        set_text(object, "text", result->remarks[i].text);
        append(list, object);
    }
    return list;
}

static json_t *result_of(const struct report_result *result)
{
    json_t *object = json_object();
    set_text(object, "case", result->name);
    set_text(object, "version", selection_version_name(result->version));
    set_text(object, "verdict", report_verdict_key(result->verdict));
    put(object, "statements", ids_of(result->statements));
    set_text(object, "statement", result->statement);
    set_text(object, "reason", result->reason);
    set_text(object, "sends", result->sends);
    set_text(object, "allowed", result->allowed);
    set_text(object, "why", result->why);
    put(object, "remarks", remarks_of(result));
    set_text(object, "trace", result->trace);
    set_number(object, "duration_ms", result->duration_ms);
    set_bool(object, "retried", result->retried);
    return object;
}

static void set_head(json_t *object, const struct report *report)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)report->seed);
    set_text(object, "format", "mqtt-conformance");
    set_number(object, "format_version", FORMAT_VERSION);
    set_text(object, "program_version", report->program_version);
    set_text(object, "label", report->label);
    set_text(object, "host", report->host);
    set_text(object, "port", report->port);
    set_text(object, "transport", report->transport);
    set_text(object, "command_line", report->command_line);
    set_text(object, "started", report->started);
    set_number(object, "duration_ms", report->duration_ms);
    set_number(object, "jobs", report->jobs);
    set_text(object, "seed", seed);
    set_bool(object, "full", report->full);
    set_bool(object, "interrupted", report->interrupted);
    set_number(object, "not_run", report->not_run);
}

bool report_json_write(const struct report *report, FILE *out)
{
    json_t *root = json_object(), *notes = json_array(), *versions = json_object();
    json_t *results = json_array();
    set_head(root, report);
    for (unsigned i = 0; i < report->note_count; i++)
        append(notes, json_string(report->notes[i]));
    for (int i = 0; i < VERSIONS; i++)
        put(versions, selection_version_name(report_versions[i]), version_of(report, i));
    for (unsigned i = 0; i < report->count; i++)
        append(results, result_of(&report->results[i]));
    put(root, "notes", notes);
    put(root, "versions", versions);
    put(root, "results", results);
    bool ok = json_dumpf(root, out, JSON_INDENT(1)) == 0 && fputc('\n', out) != EOF;
    json_decref(root);
    return ok;
}

/* ---- Reading ---- */

struct reader {
    const char *path;
    char *error;
    size_t error_size;
};

static bool refuse(const struct reader *reader, const char *what)
{
    snprintf(reader->error, reader->error_size, "%s: %s", reader->path, what);
    return false;
}

static void get_text(const json_t *object, const char *key, char **out)
{
    report_set(out, json_string_value(json_object_get(object, key)));
}

static unsigned get_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 && value <= UINT32_MAX ? (unsigned)value : 0;
}

static bool get_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void get_features(const json_t *object, struct server_features *out)
{
    out->maximum_qos = (uint8_t)get_number(object, "maximum_qos");
    out->retain_available = get_bool(object, "retain_available");
    out->wildcard_available = get_bool(object, "wildcard_available");
    out->subscription_identifier_available = get_bool(object, "subscription_identifier_available");
    out->shared_available = get_bool(object, "shared_available");
    out->receive_maximum = (uint16_t)get_number(object, "receive_maximum");
    out->topic_alias_maximum = (uint16_t)get_number(object, "topic_alias_maximum");
    out->has_server_keep_alive = json_is_integer(json_object_get(object, "server_keep_alive_s"));
    out->server_keep_alive_s = (uint16_t)get_number(object, "server_keep_alive_s");
    const json_t *size = json_object_get(object, "maximum_packet_size");
    out->maximum_packet_size =
        json_is_integer(size) ? get_number(object, "maximum_packet_size") : UINT32_MAX;
}

static bool get_version(const json_t *object, enum version *out)
{
    const char *name = json_string_value(json_object_get(object, "version"));
    for (int i = 0; i < VERSIONS; i++) {
        *out = report_versions[i];
        if (name && strcmp(name, selection_version_name(*out)) == 0)
            return true;
    }
    return false;
}

static bool get_verdict(const json_t *object, enum verdict *out)
{
    const char *name = json_string_value(json_object_get(object, "verdict"));
    for (int verdict = 0; verdict < VERDICTS; verdict++) {
        *out = (enum verdict)verdict;
        if (name && strcmp(name, report_verdict_key(*out)) == 0)
            return true;
    }
    return false;
}

static void get_statements(const json_t *object, struct report_result *out)
{
    const json_t *list = json_object_get(object, "statements");
    char *words;
    size_t size;
    FILE *stream = open_memstream(&words, &size);
    if (!stream)
        abort();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        fprintf(stream, "%s%s", i ? " " : "", id ? id : "");
    }
    fclose(stream);
    out->statements = words;
}

static void get_remarks(const json_t *object, struct report_result *out)
{
    const json_t *list = json_object_get(object, "remarks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *remark = json_array_get(list, i);
        const char *kind = json_string_value(json_object_get(remark, "kind"));
        report_add_remark(out, kind && strcmp(kind, "debatable") == 0,
                          json_string_value(json_object_get(remark, "statement")),
                          json_string_value(json_object_get(remark, "text")));
    }
}

static bool get_result(const struct reader *reader, const json_t *object, struct report *report)
{
    enum version version;
    enum verdict verdict;
    if (!get_version(object, &version) || !get_verdict(object, &verdict))
        return refuse(reader, "a result has no version or verdict that is known here");
    struct report_result *result = report_add(report);
    result->version = version;
    result->verdict = verdict;
    get_text(object, "case", &result->name);
    get_text(object, "statement", &result->statement);
    get_text(object, "reason", &result->reason);
    get_text(object, "sends", &result->sends);
    get_text(object, "allowed", &result->allowed);
    get_text(object, "why", &result->why);
    get_text(object, "trace", &result->trace);
    get_statements(object, result);
    get_remarks(object, result);
    result->duration_ms = get_number(object, "duration_ms");
    result->retried = get_bool(object, "retried");
    return true;
}

static void get_head(const json_t *root, struct report *out)
{
    get_text(root, "program_version", &out->program_version);
    get_text(root, "label", &out->label);
    get_text(root, "host", &out->host);
    get_text(root, "port", &out->port);
    get_text(root, "transport", &out->transport);
    get_text(root, "command_line", &out->command_line);
    get_text(root, "started", &out->started);
    out->duration_ms = get_number(root, "duration_ms");
    out->jobs = get_number(root, "jobs");
    out->full = get_bool(root, "full");
    out->interrupted = get_bool(root, "interrupted");
    out->not_run = get_number(root, "not_run");
    const char *seed = json_string_value(json_object_get(root, "seed"));
    out->seed = seed ? strtoull(seed, NULL, 10) : 0;
    const json_t *notes = json_object_get(root, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++) {
        const char *note = json_string_value(json_array_get(notes, i));
        report_note(out, "%s", note ? note : "");
    }
}

static void get_versions(const json_t *root, struct report *out)
{
    const json_t *versions = json_object_get(root, "versions");
    for (int i = 0; i < VERSIONS; i++) {
        const json_t *object =
            json_object_get(versions, selection_version_name(report_versions[i]));
        out->versions[i].judged = get_bool(object, "judged");
        get_text(object, "error", &out->versions[i].error);
        get_features(json_object_get(object, "features"), &out->versions[i].features);
    }
}

static bool get_report(const struct reader *reader, const json_t *root, struct report *out)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, "mqtt-conformance") != 0)
        return refuse(reader, "is no report of mqtt-conformance");
    if (get_number(root, "format_version") > FORMAT_VERSION)
        return refuse(reader, "was written by a newer mqtt-conformance than this one");
    get_head(root, out);
    get_versions(root, out);
    const json_t *results = json_object_get(root, "results");
    for (size_t i = 0; i < json_array_size(results); i++) {
        if (!get_result(reader, json_array_get(results, i), out))
            return false;
    }
    report_sort(out);
    return true;
}

bool report_json_read(const char *path, struct report *out, char *error, size_t error_size)
{
    const struct reader reader = {.path = path, .error = error, .error_size = error_size};
    json_error_t problem;
    *out = (struct report){0};
    json_t *root = json_load_file(path, 0, &problem);
    if (!root) {
        snprintf(error, error_size, "%s: line %d: %s", path, problem.line, problem.text);
        return false;
    }
    bool ok = get_report(&reader, root, out);
    json_decref(root);
    if (!ok)
        report_free(out);
    return ok;
}
