#include "conformance/runner/report_compare.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/runner/html.h"
#include "conformance/runner/selection.h"

struct comparison {
    const struct report *reports;
    unsigned count;
    FILE *out;
    struct statement_table tables[VERSIONS];
    enum holding *holdings[VERSIONS]; /* of report r, row i: [r * rows + i] */
};

static enum holding holding_of(const struct comparison *page, unsigned report, int index,
                               unsigned row)
{
    return page->holdings[index][report * page->tables[index].count + row];
}

/* ---- Head and cards ---- */

static void write_head(const struct comparison *page)
{
    FILE *out = page->out;
    fputs("<header><div class=\"wide\">\n<p class=\"eyebrow\">MQTT conformance, compared</p>\n<h1>",
          out);
    for (unsigned i = 0; i < page->count; i++)
        html_wrap(out,
                  i == 0                ? ""
                  : i + 1 < page->count ? ", "
                                        : " and ",
                  page->reports[i].label, "");
    fputs("</h1>\n<p>The same cases against each server, statement by statement. Broken is what at "
          "least one case has seen broken; kept, what cases have tried and none has.</p>\n"
          "</div></header>\n",
          out);
}

static void write_card_version(const struct comparison *page, unsigned report, int index)
{
    unsigned counts[HOLDINGS], rows = page->tables[index].count;
    FILE *out = page->out;
    html_wrap(out, "<h3>MQTT ", selection_version_name(report_versions[index]), "</h3>\n");
    if (!page->reports[report].versions[index].judged) {
        fputs("<p>Not judged.</p>\n", out);
        return;
    }
    html_holding_counts(page->holdings[index] + report * rows, rows, counts);
    fprintf(out, "<p class=\"big\"><b>%u</b> of %u statements judged are kept</p>\n",
            html_kept(counts), html_judged(counts));
    html_holding_bar(out, counts);
    enum version version = report_versions[index];
    fprintf(out, "<p class=\"sums\">Cases: %u passed, %u failed, %u left out</p>\n",
            report_count(&page->reports[report], version, VERDICT_PASSED) +
                report_count(&page->reports[report], version, VERDICT_FLAKY),
            report_count(&page->reports[report], version, VERDICT_FAILED),
            report_count(&page->reports[report], version, VERDICT_NOT_APPLICABLE) +
                report_count(&page->reports[report], version, VERDICT_SKIPPED) +
                report_count(&page->reports[report], version, VERDICT_BROKEN));
}

static void write_fact(FILE *out, const char *name, const char *value)
{
    html_wrap(out, "<div><dt>", name, "</dt>");
    html_wrap(out, "<dd>", value, "</dd></div>\n");
}

static void write_card(const struct comparison *page, unsigned index)
{
    const struct report *report = &page->reports[index];
    FILE *out = page->out;
    char date[16];
    html_wrap(out, "<div class=\"card\">\n<h2>", report->label, "</h2>\n");
    for (int i = 0; i < VERSIONS; i++)
        write_card_version(page, index, i);
    snprintf(date, sizeof date, "%.10s", report->started);
    fputs("<dl class=\"facts\">\n", out);
    write_fact(out, "Transport", report->transport);
    write_fact(out, "Date", date);
    fputs("<div><dt>Duration</dt><dd>", out);
    html_duration(out, report->duration_ms);
    fputs("</dd></div>\n</dl>\n</div>\n", out);
}

/* ---- The table ---- */

static bool differ(const struct comparison *page, int index, unsigned row)
{
    for (unsigned i = 1; i < page->count; i++) {
        if (holding_of(page, i, index, row) != holding_of(page, 0, index, row))
            return true;
    }
    return false;
}

static bool is_bad(const struct comparison *page, int index, unsigned row)
{
    for (unsigned i = 0; i < page->count; i++) {
        enum holding holding = holding_of(page, i, index, row);
        if (holding == HOLDING_BROKEN || holding == HOLDING_FLAKY)
            return true;
    }
    return false;
}

static void begin_row(const struct comparison *page, int index, unsigned row, const char *class_)
{
    const struct statement *statement = &page->tables[index].rows[row];
    FILE *out = page->out;
    fprintf(out, "<tr class=\"%s\" %s %s data-f=\"", class_,
            is_bad(page, index, row) ? "data-bad=\"1\"" : "",
            differ(page, index, row) ? "data-different=\"1\"" : "");
    html_wrap(out, "MQTT ", selection_version_name(report_versions[index]), " ");
    html_wrap(out, "", statement->id, " ");
    html_wrap(out, "", statement->paraphrase, "\">");
}

static void write_cell(const struct comparison *page, enum holding holding)
{
    bool plain = holding == HOLDING_KEPT || holding == HOLDING_BROKEN;
    fprintf(page->out, "<td><span class=\"cell %s\" title=\"%s\">%s</span></td>",
            html_holding_class(holding), report_holding_name(holding),
            plain ? "" : report_holding_name(holding));
}

static void write_row(const struct comparison *page, int index, unsigned row)
{
    const struct statement *statement = &page->tables[index].rows[row];
    FILE *out = page->out;
    begin_row(page, index, row, "statement-row");
    fputs("<th id=\"", out);
    html_statement_anchor(out, report_versions[index], statement->id);
    html_wrap(out, "\"><span class=\"id\">", statement->id, "</span>");
    html_text(out, statement->paraphrase);
    fputs("</th>", out);
    for (unsigned i = 0; i < page->count; i++)
        write_cell(page, holding_of(page, i, index, row));
    fputs("</tr>\n", out);
}

/* What one server did against the statement: the sentences of all cases that saw it. */
static void write_sentences(const struct comparison *page, unsigned index, enum version version,
                            const char *id)
{
    const struct report *report = &page->reports[index];
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (result->version != version || strcmp(result->statement, id) != 0 ||
            (result->verdict != VERDICT_FAILED && result->verdict != VERDICT_FLAKY))
            continue;
        html_wrap(page->out, "<dt>", report->label, "</dt>");
        html_wrap(page->out, "<dd>", result->reason, "");
        fprintf(page->out, " <span class=\"case %s\">", html_verdict_class(result->verdict));
        html_wrap(page->out, "", result->name, "</span></dd>\n");
    }
}

static void write_says(const struct comparison *page, int index, unsigned row)
{
    if (!is_bad(page, index, row))
        return;
    begin_row(page, index, row, "says");
    fprintf(page->out, "<td colspan=\"%u\"><dl>\n", page->count + 1);
    for (unsigned i = 0; i < page->count; i++)
        write_sentences(page, i, report_versions[index], page->tables[index].rows[row].id);
    fputs("</dl></td></tr>\n", page->out);
}

static bool is_in(const struct statement *statement, const char *chapter)
{
    char own[CHAPTER_SIZE];
    return strcmp(statement_chapter(statement->id, own), chapter) == 0;
}

static void write_chapter(const struct comparison *page, int index, const char *chapter)
{
    struct statement_table table = page->tables[index];
    bool begun = false;
    for (unsigned row = 0; row < table.count; row++) {
        if (!is_in(&table.rows[row], chapter) || table.rows[row].kind != OBSERVABLE)
            continue;
        if (!begun) {
            fprintf(page->out, "<tbody data-group>\n<tr class=\"chapter-row\"><th colspan=\"%u\">",
                    page->count + 1);
            html_wrap(page->out, "", chapter, " ");
            html_text(page->out, statement_chapter_title(table.version, chapter));
            fputs("</th></tr>\n", page->out);
        }
        begun = true;
        write_row(page, index, row);
        write_says(page, index, row);
    }
    if (begun)
        fputs("</tbody>\n", page->out);
}

static void write_table(const struct comparison *page, int index)
{
    struct html_chapters chapters;
    FILE *out = page->out;
    html_chapters(&chapters);
    fprintf(out, "<section id=\"v%d\" data-group>\n<h2>MQTT %s</h2>\n", index,
            selection_version_name(report_versions[index]));
    fputs("<p class=\"lead\">The statements that can be observed from outside.</p>\n"
          "<div class=\"card flush\"><table class=\"compare\">\n<thead><tr><th>Statement</th>",
          out);
    for (unsigned i = 0; i < page->count; i++)
        html_wrap(out, "<th>", page->reports[i].label, "</th>");
    fputs("</tr></thead>\n", out);
    for (unsigned i = 0; i < chapters.count; i++)
        write_chapter(page, index, chapters.list[i]);
    fputs("</table></div>\n</section>\n", out);
}

static bool is_judged(const struct comparison *page, int index)
{
    for (unsigned i = 0; i < page->count; i++) {
        if (page->reports[i].versions[index].judged)
            return true;
    }
    return false;
}

static void write_body(const struct comparison *page)
{
    FILE *out = page->out;
    write_head(page);
    fputs("<nav><div class=\"wide\">\n<div class=\"places\"><a href=\"#summary\">Summary</a>", out);
    for (int i = 0; i < VERSIONS; i++) {
        if (is_judged(page, i))
            fprintf(out, "<a href=\"#v%d\">MQTT %s</a>", i,
                    selection_version_name(report_versions[i]));
    }
    fputs("</div>\n", out);
    html_filter(out, true);
    fputs("</div></nav>\n<main class=\"wide\">\n<section id=\"summary\" class=\"cards\">\n", out);
    for (unsigned i = 0; i < page->count; i++)
        write_card(page, i);
    fputs("</section>\n", out);
    for (int i = 0; i < VERSIONS; i++) {
        if (is_judged(page, i))
            write_table(page, i);
    }
    fputs("<section id=\"commands\">\n<h2>How it was made</h2>\n", out);
    for (unsigned i = 0; i < page->count; i++) {
        html_wrap(out, "<h3>", page->reports[i].label, "</h3>\n");
        html_wrap(out, "<pre class=\"command\">", page->reports[i].command_line, "</pre>\n");
    }
    html_wrap(out, "</section>\n</main>\n<footer class=\"wide\">mqtt-conformance ",
              page->reports[0].program_version,
              ". Statement numbers are those of the OASIS Standards MQTT 5.0 and 3.1.1; the words "
              "are ours.</footer>\n");
}

bool report_compare_write(const struct report *reports, unsigned count, FILE *out)
{
    struct comparison page = {.reports = reports, .count = count, .out = out};
    for (int i = 0; i < VERSIONS; i++) {
        page.tables[i] = statement_table(report_versions[i]);
        page.holdings[i] = calloc((size_t)count * page.tables[i].count, sizeof *page.holdings[i]);
        if (!page.holdings[i])
            abort();
        for (unsigned r = 0; r < count; r++)
            report_judge(&reports[r], page.tables[i],
                         page.holdings[i] + (size_t)r * page.tables[i].count);
    }
    html_begin(out, "MQTT conformance, compared");
    write_body(&page);
    html_end(out);
    for (int i = 0; i < VERSIONS; i++)
        free(page.holdings[i]);
    return !ferror(out);
}
