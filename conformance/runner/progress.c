#include "conformance/runner/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "conformance/runner/selection.h"

/* Of what could not be judged, which may be all of a run, not every case is named. */
enum { SAY_EVERY_MS = 10000, REDRAW_EVERY_MS = 100, INDENT = 8, WIDTH = 100, BROKEN_MAX = 20 };

#define RED "31"
#define GREEN "32"
#define YELLOW "33"
#define BOLD "1"
#define DIM "2"

void progress_init(struct progress *progress, FILE *out, unsigned total)
{
    const char *kind = getenv("TERM");
    *progress = (struct progress){.out = out, .total = total, .start_ms = clock_ms()};
    progress->said_ms = progress->start_ms;
    progress->terminal = isatty(fileno(out)) && kind && strcmp(kind, "dumb") != 0;
    progress->colour = progress->terminal && !getenv("NO_COLOR");
}

static void coloured(const struct progress *progress, const char *colour, const char *text)
{
    if (progress->colour)
        fprintf(progress->out, "\033[%sm%s\033[0m", colour, text);
    else
        fputs(text, progress->out);
}

/* ---- While it runs ---- */

void progress_clear(struct progress *progress)
{
    if (progress->line_drawn)
        fputs("\r\033[K", progress->out);
    progress->line_drawn = false;
    fflush(progress->out);
}

static int columns(const struct progress *progress)
{
    struct winsize size;
    if (ioctl(fileno(progress->out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

static void draw(struct progress *progress)
{
    enum { BAR = 24 };
    char line[256], bar[BAR + 1];
    unsigned filled =
        progress->phase_jobs ? BAR * progress->phase_settled / progress->phase_jobs : 0;
    for (unsigned i = 0; i < BAR; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR] = '\0';
    int size = snprintf(line, sizeof line, "[%s] %u of %u  %s  %u failed  %llu s", bar,
                        progress->settled, progress->total, progress->title, progress->failed,
                        (unsigned long long)(clock_ms() - progress->start_ms) / 1000);
    int width = columns(progress) - 1;
    fprintf(progress->out, "\r%.*s\033[K", size < width ? size : width, line);
    fflush(progress->out);
    progress->line_drawn = true;
}

void progress_tick(struct progress *progress)
{
    uint64_t now_ms = clock_ms();
    if (!progress->title)
        return;
    if (progress->terminal && now_ms - progress->said_ms >= REDRAW_EVERY_MS) {
        draw(progress);
    } else if (!progress->terminal && now_ms - progress->said_ms >= SAY_EVERY_MS) {
        fprintf(progress->out, "%s: %u of %u, %u failed, %llu s\n", progress->title,
                progress->settled, progress->total, progress->failed,
                (unsigned long long)(now_ms - progress->start_ms) / 1000);
        fflush(progress->out);
    } else {
        return;
    }
    progress->said_ms = now_ms;
}

void progress_phase(struct progress *progress, const char *title, unsigned jobs)
{
    progress->title = title;
    progress->phase_jobs = jobs;
    progress->phase_settled = 0;
    if (!progress->terminal)
        fprintf(progress->out, "%s: %u\n", title, jobs);
    fflush(progress->out);
}

void progress_settled(struct progress *progress, const struct job *job)
{
    static const char *const words[VERDICTS] = {
        [VERDICT_FAILED] = "FAILED",
        [VERDICT_FLAKY] = "FLAKY",
        [VERDICT_BROKEN] = "BROKEN",
    };
    char name[CASE_NAME_SIZE], head[16];
    enum verdict verdict = job->outcome.verdict;
    progress->settled++;
    progress->phase_settled++;
    progress->failed += verdict == VERDICT_FAILED;
    progress->broken += verdict == VERDICT_BROKEN;
    if (!words[verdict] || (verdict == VERDICT_BROKEN && progress->broken > BROKEN_MAX))
        return;
    progress_clear(progress);
    snprintf(head, sizeof head, "%-8s", words[verdict]);
    coloured(progress, verdict == VERDICT_FAILED ? RED : YELLOW, head);
    fprintf(progress->out, "%-6s %s", selection_version_name(job->version),
            selection_name(job->definition, name));
    if (job->outcome.statement[0])
        fprintf(progress->out, " [%s]", job->outcome.statement);
    fputc('\n', progress->out);
    fflush(progress->out);
}

/* ---- At the end ---- */

/* Words folded at WIDTH, all lines indented. */
static void print_folded(FILE *out, int indent, const char *text)
{
    int column = 0;
    const char *word;
    size_t size;
    while ((word = statement_word(&text, &size))) {
        if (column > 0 && column + 1 + (int)size > WIDTH - indent) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            fprintf(out, "%*s", indent, "");
        else
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", (int)size, word);
    }
    fputc('\n', out);
}

static void print_result(const struct progress *progress, const struct report_result *result)
{
    FILE *out = progress->out;
    fprintf(out, "  %-6s ", selection_version_name(result->version));
    coloured(progress, BOLD, result->name);
    if (result->statement[0])
        fprintf(out, " [%s]", result->statement);
    fputc('\n', out);
    if (result->reason[0])
        print_folded(out, INDENT + 1, result->reason);
}

static void print_results(const struct progress *progress, const struct report *report,
                          enum verdict verdict, const char *title, const char *colour)
{
    unsigned count = report_count(report, 0, verdict), printed = 0;
    unsigned most = verdict == VERDICT_BROKEN ? BROKEN_MAX : count;
    if (count == 0)
        return;
    fputc('\n', progress->out);
    coloured(progress, colour, title);
    fputc('\n', progress->out);
    /* Those that have been tried come first: one of them may have killed the server. */
    for (int tried = 1; tried >= 0; tried--) {
        for (unsigned i = 0; i < report->count && printed < most; i++) {
            const struct report_result *result = &report->results[i];
            if (result->verdict != verdict || (result->trace[0] != '\0') != tried)
                continue;
            print_result(progress, result);
            printed++;
        }
    }
    if (printed < count)
        fprintf(progress->out, "  and %u more\n", count - printed);
}

static void print_remark(FILE *out, const struct report *report, const struct report_result *first,
                         const struct report_remark *remark)
{
    unsigned more = 0;
    for (const struct report_result *at = first + 1; at < report->results + report->count; at++)
        more += report_has_remark(at, first->version, remark);
    fprintf(out, "  %-6s %s", selection_version_name(first->version), first->name);
    if (more)
        fprintf(out, " and %u more", more);
    fprintf(out, " [%s]\n", remark->statement);
    print_folded(out, INDENT + 1, remark->text);
}

static void print_remarks(const struct progress *progress, const struct report *report,
                          bool debatable, const char *title)
{
    FILE *out = progress->out;
    if (report_remark_count(report, 0, debatable) == 0)
        return;
    fprintf(out, "\n%s\n", title);
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        for (unsigned k = 0; k < result->remark_count; k++) {
            if (result->remarks[k].debatable == debatable &&
                report_is_first_remark(report, result, &result->remarks[k]))
                print_remark(out, report, result, &result->remarks[k]);
        }
    }
}

static void print_sums_row(FILE *out, const char *name, unsigned count_5, unsigned count_311)
{
    if (count_5 || count_311)
        fprintf(out, "  %-22s %6u %6u\n", name, count_5, count_311);
}

static void print_sums(FILE *out, const struct report *report)
{
    static const struct {
        enum verdict verdict;
        const char *name;
    } rows[] = {
        {VERDICT_PASSED, "passed"},   {VERDICT_FAILED, "failed"},
        {VERDICT_FLAKY, "flaky"},     {VERDICT_NOT_APPLICABLE, "not applicable"},
        {VERDICT_SKIPPED, "skipped"}, {VERDICT_BROKEN, "could not be judged"},
    };
    fprintf(out, "\n  %-22s %6s %6s\n", "cases", "5.0", "3.1.1");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        print_sums_row(out, rows[i].name, report_count(report, VERSION_5, rows[i].verdict),
                       report_count(report, VERSION_311, rows[i].verdict));
    print_sums_row(out, "remarks, SHOULD", report_remark_count(report, VERSION_5, false),
                   report_remark_count(report, VERSION_311, false));
    print_sums_row(out, "remarks, debatable", report_remark_count(report, VERSION_5, true),
                   report_remark_count(report, VERSION_311, true));
}

/* Why cases were left out, each reason once. */
static void print_left_out(FILE *out, const struct report *report)
{
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        unsigned count = 0;
        bool seen = false;
        if (result->verdict != VERDICT_SKIPPED)
            continue;
        for (unsigned k = 0; k < report->count; k++) {
            bool same = report->results[k].verdict == VERDICT_SKIPPED &&
                        strcmp(report->results[k].reason, result->reason) == 0;
            count += same;
            seen = seen || (same && k < i);
        }
        if (!seen)
            fprintf(out, "  %u skipped: %s\n", count, result->reason);
    }
}

void progress_sum_up(struct progress *progress, const struct report *report)
{
    FILE *out = progress->out;
    progress_clear(progress);
    print_remarks(progress, report, false, "SHOULD: recommendations that are not followed");
    print_remarks(progress, report, true, "Debatable: some readings of the specification object");
    print_results(progress, report, VERDICT_FLAKY,
                  "Flaky: failed among others, passed when tried again alone", YELLOW);
    print_results(progress, report, VERDICT_BROKEN, "Could not be judged", YELLOW);
    print_results(progress, report, VERDICT_FAILED, "Failed", RED);
    print_sums(out, report);
    print_left_out(out, report);
    fputc('\n', out);
    for (unsigned i = 0; i < report->note_count; i++)
        fprintf(out, "%s\n", report->notes[i]);
    unsigned failed =
        report_count(report, 0, VERDICT_FAILED) + report_count(report, 0, VERDICT_BROKEN);
    fprintf(
        out, "%u passed, %u failed, %u skipped\n",
        report_count(report, 0, VERDICT_PASSED) + report_count(report, 0, VERDICT_FLAKY), failed,
        report_count(report, 0, VERDICT_SKIPPED) + report_count(report, 0, VERDICT_NOT_APPLICABLE));
    fflush(out);
}
