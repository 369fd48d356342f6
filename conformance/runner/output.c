#include "conformance/runner/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/runner/report_ci.h"
#include "conformance/runner/report_compare.h"
#include "conformance/runner/report_html.h"
#include "conformance/runner/report_json.h"

static bool (*const writers[REPORT_FORMATS])(const struct report *, FILE *) = {
    [REPORT_HTML] = report_html_write,
    [REPORT_JSON] = report_json_write,
    [REPORT_JUNIT] = report_junit_write,
    [REPORT_TAP] = report_tap_write,
};

static bool is_stdout(const char *path)
{
    return strcmp(path, "-") == 0;
}

static bool complain(FILE *errors, const char *path)
{
    fprintf(errors, "mqtt-conformance: %s cannot be written: %s\n",
            is_stdout(path) ? "standard output" : path, strerror(errno));
    return false;
}

bool output_check(const struct options *options, FILE *errors)
{
    for (int format = 0; format < REPORT_FORMATS; format++) {
        const char *path = options->outputs[format];
        if (path[0] == '\0' || is_stdout(path))
            continue;
        int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (file < 0)
            return complain(errors, path);
        close(file);
    }
    return true;
}

bool output_takes_stdout(const struct options *options)
{
    for (int format = 0; format < REPORT_FORMATS; format++) {
        if (is_stdout(options->outputs[format]))
            return true;
    }
    return false;
}

static FILE *start(const char *path)
{
    return is_stdout(path) ? stdout : fopen(path, "w");
}

static bool finish(const char *path, FILE *out, bool ok)
{
    if (is_stdout(path))
        return fflush(out) == 0 && ok;
    return fclose(out) == 0 && ok;
}

bool output_write(const struct options *options, const struct report *report, FILE *errors)
{
    bool all = true;
    for (int format = 0; format < REPORT_FORMATS; format++) {
        const char *path = options->outputs[format];
        if (path[0] == '\0')
            continue;
        FILE *out = start(path);
        if (!out || !finish(path, out, writers[format](report, out)))
            all = complain(errors, path);
    }
    return all;
}

bool output_write_comparison(const struct options *options, const struct report *reports,
                             unsigned count, FILE *errors)
{
    const char *path = options->outputs[REPORT_HTML];
    if (path[0] == '\0')
        path = "-";
    FILE *out = start(path);
    if (!out || !finish(path, out, report_compare_write(reports, count, out)))
        return complain(errors, path);
    return true;
}
