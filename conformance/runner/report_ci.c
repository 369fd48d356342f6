#include "conformance/runner/report_ci.h"

#include <string.h>

#include "conformance/runner/selection.h"

/* ---- JUnit ---- */

/* XML 1.0 has no way to write most control characters. */
static void write_xml(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\n':
            fputs("&#10;", out);
            break;
        case '\t':
            fputs("&#9;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? '?' : *text, out);
        }
    }
}

static void write_problem(FILE *out, const char *element, const struct report_result *result)
{
    fprintf(out, "      <%s type=\"", element);
    write_xml(out, result->statement[0] ? result->statement : report_verdict_key(result->verdict));
    fputs("\" message=\"", out);
    write_xml(out, result->reason);
    fputs("\">", out);
    write_xml(out, result->trace);
    fprintf(out, "</%s>\n", element);
}

static void write_testcase(FILE *out, const struct report_result *result)
{
    const char *dot = strchr(result->name, '.');
    fputs("    <testcase classname=\"", out);
    fprintf(out, "%.*s", dot ? (int)(dot - result->name) : 0, result->name);
    fputs("\" name=\"", out);
    write_xml(out, dot ? dot + 1 : result->name);
    fprintf(out, "\" time=\"%u.%03u\">\n", result->duration_ms / 1000, result->duration_ms % 1000);
    switch (result->verdict) {
    case VERDICT_PASSED:
        break;
    case VERDICT_FAILED:
        write_problem(out, "failure", result);
        break;
    case VERDICT_FLAKY:
        write_problem(out, "flakyFailure", result);
        break;
    case VERDICT_BROKEN:
        write_problem(out, "error", result);
        break;
    case VERDICT_NOT_APPLICABLE:
    case VERDICT_SKIPPED:
        fputs("      <skipped message=\"", out);
        write_xml(out, result->reason);
        fputs("\"/>\n", out);
        break;
    }
    fputs("    </testcase>\n", out);
}

static void write_suite(FILE *out, const struct report *report, enum version version)
{
    unsigned total = 0, time_ms = 0;
    for (unsigned i = 0; i < report->count; i++) {
        if (report->results[i].version != version)
            continue;
        total++;
        time_ms += report->results[i].duration_ms;
    }
    fprintf(out,
            "  <testsuite name=\"MQTT %s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" "
            "skipped=\"%u\" time=\"%u.%03u\" timestamp=\"",
            selection_version_name(version), total, report_count(report, version, VERDICT_FAILED),
            report_count(report, version, VERDICT_BROKEN),
            report_count(report, version, VERDICT_SKIPPED) +
                report_count(report, version, VERDICT_NOT_APPLICABLE),
            time_ms / 1000, time_ms % 1000);
    /* JUnit's timestamps have no zone. */
    fprintf(out, "%.*s\" hostname=\"", (int)strcspn(report->started, "Z"), report->started);
    write_xml(out, report->host);
    fputs("\">\n", out);
    for (unsigned i = 0; i < report->count; i++) {
        if (report->results[i].version == version)
            write_testcase(out, &report->results[i]);
    }
    fputs("  </testsuite>\n", out);
}

bool report_junit_write(const struct report *report, FILE *out)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mqtt-conformance: ", out);
    write_xml(out, report->label);
    fputs("\">\n", out);
    for (int i = 0; i < VERSIONS; i++) {
        if (report->versions[i].judged)
            write_suite(out, report, report_versions[i]);
    }
    fputs("</testsuites>\n", out);
    return !ferror(out);
}

/* ---- TAP ---- */

/* On one line, and without what would begin a directive. */
static void write_line(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '#' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
}

/* A double-quoted YAML scalar. */
static void write_yaml(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if (*text == '\n')
            fputs("\\n", out);
        else
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
    fputc('"', out);
}

static void write_yaml_block(FILE *out, const struct report_result *result)
{
    fprintf(out, "  ---\n  verdict: %s\n", report_verdict_key(result->verdict));
    if (result->statement[0])
        fprintf(out, "  statement: %s\n", result->statement);
    fputs("  message: ", out);
    write_yaml(out, result->reason);
    fprintf(out, "\n  duration_ms: %u\n  ...\n", result->duration_ms);
}

static void write_point(FILE *out, unsigned number, const struct report_result *result)
{
    bool bad = result->verdict == VERDICT_FAILED || result->verdict == VERDICT_BROKEN;
    fprintf(out, "%s %u - %s (%s)", bad ? "not ok" : "ok", number, result->name,
            selection_version_name(result->version));
    if (result->verdict == VERDICT_SKIPPED || result->verdict == VERDICT_NOT_APPLICABLE) {
        fputs(" # SKIP ", out);
        write_line(out, result->reason);
    }
    fputc('\n', out);
    if (bad || result->verdict == VERDICT_FLAKY)
        write_yaml_block(out, result);
}

bool report_tap_write(const struct report *report, FILE *out)
{
    fprintf(out, "TAP version 13\n1..%u\n", report->count);
    for (unsigned i = 0; i < report->count; i++)
        write_point(out, i + 1, &report->results[i]);
    for (unsigned i = 0; i < report->note_count; i++) {
        fputs("# ", out);
        write_line(out, report->notes[i]);
        fputc('\n', out);
    }
    return !ferror(out);
}
