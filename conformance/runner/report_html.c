#include "conformance/runner/report_html.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/runner/html.h"
#include "conformance/runner/selection.h"

struct page {
    const struct report *report;
    FILE *out;
    enum holding *holdings[VERSIONS]; /* of each row of the version's table */
    struct statement_table tables[VERSIONS];
    unsigned counts[VERSIONS][HOLDINGS];
};

/* ---- Head: what was judged, and the verdict ---- */

static void write_fact(FILE *out, const char *name, const char *value)
{
    html_wrap(out, "<div><dt>", name, "</dt>");
    html_wrap(out, "<dd>", value, "</dd></div>\n");
}

static void write_badge(const struct page *page)
{
    const struct report *report = page->report;
    unsigned failed = report_count(report, 0, VERDICT_FAILED);
    unsigned broken = report_count(report, 0, VERDICT_BROKEN);
    unsigned statements = page->counts[0][HOLDING_BROKEN] + page->counts[1][HOLDING_BROKEN];
    FILE *out = page->out;
    if (statements > 0)
        fprintf(out, "<p class=\"badge bad\">%u %s of the specification broken</p>\n", statements,
                statements == 1 ? "statement" : "statements");
    else if (failed > 0)
        fprintf(out, "<p class=\"badge bad\">%u %s failed</p>\n", failed,
                failed == 1 ? "case" : "cases");
    else if (broken > 0 || report->interrupted)
        fputs("<p class=\"badge warn\">No MUST seen broken, but not everything was judged</p>\n",
              out);
    else
        fputs("<p class=\"badge good\">No MUST broken</p>\n", out);
}

static void write_versions(char *text, size_t size, const struct report *report)
{
    text[0] = '\0';
    for (int i = 0; i < VERSIONS; i++) {
        size_t used = strlen(text);
        if (report->versions[i].judged)
            snprintf(text + used, size - used, "%s%s", used ? " and " : "",
                     selection_version_name(report_versions[i]));
    }
}

static void write_head(const struct page *page)
{
    const struct report *report = page->report;
    FILE *out = page->out;
    char text[160];
    fputs("<header><div class=\"wide\">\n<p class=\"eyebrow\">MQTT conformance report</p>\n", out);
    html_wrap(out, "<h1>", report->label, "</h1>\n");
    write_badge(page);
    fputs("<dl class=\"facts\">\n", out);
    snprintf(text, sizeof text, "%s:%s", report->host, report->port);
    write_fact(out, "Server", text);
    write_fact(out, "Transport", report->transport);
    write_versions(text, sizeof text, report);
    write_fact(out, "MQTT", text);
    snprintf(text, sizeof text, "%.10s %.5s UTC", report->started,
             strlen(report->started) > 11 ? report->started + 11 : "");
    write_fact(out, "Date", text);
    fputs("<div><dt>Duration</dt><dd>", out);
    html_duration(out, report->duration_ms);
    fputs("</dd></div>\n", out);
    snprintf(text, sizeof text, "%llu", (unsigned long long)report->seed);
    write_fact(out, "Seed", text);
    html_wrap(out, "</dl>\n<pre class=\"command\">", report->command_line,
              "</pre>\n</div></header>\n");
}

static void write_notes(const struct page *page)
{
    const struct report *report = page->report;
    if (report->note_count == 0)
        return;
    fputs("<ul class=\"notes\">\n", page->out);
    for (unsigned i = 0; i < report->note_count; i++)
        html_wrap(page->out, "<li>", report->notes[i], "</li>\n");
    fputs("</ul>\n", page->out);
}

/* ---- Summary ---- */

static void write_case_bar(const struct page *page, enum version version)
{
    static const struct {
        enum verdict verdict;
        const char *name;
    } order[] = {
        {VERDICT_PASSED, "passed"},
        {VERDICT_FLAKY, "flaky"},
        {VERDICT_FAILED, "failed"},
        {VERDICT_BROKEN, "could not be judged"},
        {VERDICT_NOT_APPLICABLE, "not applicable"},
        {VERDICT_SKIPPED, "skipped"},
    };
    enum { COUNT = sizeof order / sizeof order[0] };
    struct html_share shares[COUNT];
    unsigned total = 0;
    for (int i = 0; i < COUNT; i++) {
        unsigned count = report_count(page->report, version, order[i].verdict);
        shares[i] = (struct html_share){html_verdict_class(order[i].verdict), order[i].name, count};
        total += count;
    }
    fprintf(page->out, "<h3>%u cases</h3>\n", total);
    html_bar(page->out, shares, COUNT);
}

static void write_card(const struct page *page, int index)
{
    const unsigned *counts = page->counts[index];
    unsigned judged = html_judged(counts), kept = html_kept(counts);
    FILE *out = page->out;
    html_wrap(out, "<div class=\"card\">\n<h2>MQTT ",
              selection_version_name(report_versions[index]), "</h2>\n");
    if (!page->report->versions[index].judged) {
        const char *error = page->report->versions[index].error;
        html_wrap(out, "<p>Not judged", error[0] ? ": " : "", "");
        html_wrap(out, "", error, error[0] ? "</p>\n</div>\n" : ".</p>\n</div>\n");
        return;
    }
    fprintf(out, "<p class=\"big\"><b>%u</b> of %u statements judged %s kept</p>\n", kept, judged,
            kept == 1 ? "is" : "are");
    html_holding_bar(out, counts);
    write_case_bar(page, report_versions[index]);
    fputs("</div>\n", out);
}

static void write_summary(const struct page *page)
{
    fputs("<section id=\"summary\" class=\"cards\">\n", page->out);
    for (int i = 0; i < VERSIONS; i++)
        write_card(page, i);
    fputs("</section>\n", page->out);
}

/* ---- One result, explained ---- */

static void write_detail(FILE *out, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    html_wrap(out, "<dt>", name, "</dt>");
    html_wrap(out, "<dd>", value, "</dd>\n");
}

static void write_details(FILE *out, const struct report_result *result)
{
    fputs("<dl class=\"how\">\n", out);
    write_detail(out, "Sent", result->sends);
    write_detail(out, "Allowed", result->allowed);
    write_detail(out, "Why", result->why);
    fputs("</dl>\n", out);
}

static void write_trace(FILE *out, const struct report_result *result)
{
    if (result->trace[0])
        html_wrap(out, "<details class=\"trace\"><summary>Packet trace</summary><pre>",
                  result->trace, "</pre></details>\n");
}

static void write_finding(FILE *out, const struct report_result *result)
{
    fputs("<div class=\"finding\">\n", out);
    html_wrap(out, "<p class=\"reason\">", result->reason, "</p>\n<p class=\"by\">");
    html_case_link(out, result);
    fputs(" <span>", out);
    html_duration(out, result->duration_ms);
    if (result->retried)
        fputs(result->verdict == VERDICT_FLAKY ? ", passed when tried again alone"
                                               : ", failed also when tried again alone",
              out);
    fputs("</span></p>\n<details><summary>How it was tested</summary>\n", out);
    write_details(out, result);
    fputs("</details>\n", out);
    write_trace(out, result);
    fputs("</div>\n", out);
}

/* ---- Findings: by the statement that was broken, in the order of the specification ---- */

/* The row of the table, or NULL: what was broken may also be a section, or nothing that has an id.
 */
static const struct statement *row_of(const struct page *page, int index, const char *id)
{
    return statement_find(page->tables[index], id, strlen(id));
}

static void begin_group(const struct page *page, enum verdict verdict, int index,
                        const struct statement *statement, const struct report_result *first)
{
    FILE *out = page->out;
    const char *version = selection_version_name(report_versions[index]);
    const char *id = statement ? statement->id : first->statement;
    fprintf(out, "<article class=\"found %s\" data-bad=\"1\" data-f=\"MQTT %s ",
            html_verdict_class(verdict), version);
    html_wrap(out, "", id, " ");
    html_wrap(out, "", statement ? statement->paraphrase : "", " ");
    html_wrap(out, "", first->name, "\">\n<p class=\"rule\">");
    html_wrap(out, "<span class=\"version\">", version, "</span> ");
    if (statement)
        html_statement_link(out, report_versions[index], id);
    else
        html_text(out, id);
    html_wrap(out, " ", statement ? statement->paraphrase : "", "</p>\n");
}

static void write_group(const struct page *page, enum verdict verdict, int index,
                        const struct statement *statement)
{
    const struct report *report = page->report;
    bool begun = false;
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (result->verdict != verdict || result->version != report_versions[index] ||
            row_of(page, index, result->statement) != statement)
            continue;
        if (!begun)
            begin_group(page, verdict, index, statement, result);
        begun = true;
        write_finding(page->out, result);
    }
    if (begun)
        fputs("</article>\n", page->out);
}

static void write_findings(const struct page *page, enum verdict verdict, const char *id,
                           const char *title, const char *lead)
{
    unsigned count = report_count(page->report, 0, verdict);
    if (count == 0)
        return;
    fprintf(page->out, "<section id=\"%s\" data-group>\n<h2>%s <span>%u</span></h2>\n", id, title,
            count);
    fprintf(page->out, "<p class=\"lead\">%s</p>\n", lead);
    for (int i = 0; i < VERSIONS; i++) {
        for (unsigned row = 0; row < page->tables[i].count; row++)
            write_group(page, verdict, i, &page->tables[i].rows[row]);
        write_group(page, verdict, i, NULL);
    }
    fputs("</section>\n", page->out);
}

/* ---- Remarks: by statement, each sentence once with the cases that say it ---- */

static void write_remark(const struct page *page, const struct report_result *first,
                         const struct report_remark *remark)
{
    const struct report *report = page->report;
    FILE *out = page->out;
    fputs("<li data-f=\"", out);
    html_wrap(out, "", remark->statement, " ");
    html_wrap(out, "", remark->text, " ");
    html_wrap(out, "", first->name, "\">");
    html_wrap(out, "<p><span class=\"version\">", selection_version_name(first->version),
              "</span> ");
    if (remark->statement[0])
        html_statement_link(out, first->version, remark->statement);
    html_wrap(out, " ", remark->text, "</p>\n<p class=\"cases\">");
    for (unsigned i = 0; i < report->count; i++) {
        if (report_has_remark(&report->results[i], first->version, remark))
            html_case_link(out, &report->results[i]);
    }
    fputs("</p></li>\n", out);
}

/* Those on one statement; NULL: those on none that is known here. */
static void write_remarks_on(const struct page *page, bool debatable, int index,
                             const struct statement *statement)
{
    const struct report *report = page->report;
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (result->version != report_versions[index])
            continue;
        for (unsigned k = 0; k < result->remark_count; k++) {
            const struct report_remark *remark = &result->remarks[k];
            if (remark->debatable == debatable &&
                row_of(page, index, remark->statement) == statement &&
                report_is_first_remark(report, result, remark))
                write_remark(page, result, remark);
        }
    }
}

static void write_remarks(const struct page *page, bool debatable, const char *title,
                          const char *lead)
{
    unsigned count = report_remark_count(page->report, 0, debatable);
    if (count == 0)
        return;
    fprintf(page->out,
            "<section data-group class=\"remarks\">\n<h2>%s <span>%u</span></h2>\n"
            "<p class=\"lead\">%s</p>\n<ul>\n",
            title, count, lead);
    for (int i = 0; i < VERSIONS; i++) {
        for (unsigned row = 0; row < page->tables[i].count; row++)
            write_remarks_on(page, debatable, i, &page->tables[i].rows[row]);
        write_remarks_on(page, debatable, i, NULL);
    }
    fputs("</ul>\n</section>\n", page->out);
}

/* ---- The matrix of statements ---- */

static bool is_in(const struct statement *statement, const char *chapter)
{
    char own[CHAPTER_SIZE];
    return strcmp(statement_chapter(statement->id, own), chapter) == 0;
}

static void write_tiles(const struct page *page, int index, const char *chapter)
{
    FILE *out = page->out;
    enum version version = report_versions[index];
    fprintf(out, "<span class=\"tiles\" data-version=\"%s\">", selection_version_name(version));
    for (unsigned row = 0; row < page->tables[index].count; row++) {
        const struct statement *statement = &page->tables[index].rows[row];
        enum holding holding = page->holdings[index][row];
        if (!is_in(statement, chapter))
            continue;
        fprintf(out, "<a class=\"%s\" href=\"#", html_holding_class(holding));
        html_statement_anchor(out, version, statement->id);
        html_wrap(out, "\" title=\"", statement->id, " ");
        html_wrap(out, "(", report_holding_name(holding), "): ");
        html_wrap(out, "", statement->paraphrase, "\"></a>");
    }
    fputs("</span>\n", out);
}

static void write_statement_cases(const struct page *page, enum version version, const char *id)
{
    const struct report *report = page->report;
    fputs("<p class=\"cases\">", page->out);
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (result->version != version || !report_result_concerns(result, id))
            continue;
        html_case_link(page->out, result);
        fputc(' ', page->out);
    }
    fputs("</p>\n", page->out);
}

static void write_statement(const struct page *page, int index, unsigned row)
{
    FILE *out = page->out;
    enum version version = report_versions[index];
    const struct statement *statement = &page->tables[index].rows[row];
    enum holding holding = page->holdings[index][row];
    bool bad = holding == HOLDING_BROKEN || holding == HOLDING_FLAKY;
    fprintf(out, "<div class=\"statement %s\" %s id=\"", html_holding_class(holding),
            bad ? "data-bad=\"1\"" : "");
    html_statement_anchor(out, version, statement->id);
    html_wrap(out, "\" data-f=\"", statement->id, " ");
    html_wrap(out, "", statement->paraphrase, "\">");
    html_wrap(out, "<span class=\"version\">", selection_version_name(version), "</span>");
    html_wrap(out, "<b>", statement->id, "</b>");
    html_wrap(out, "<span class=\"state\">", report_holding_name(holding), "</span>\n");
    html_wrap(out, "<p>", statement->paraphrase, "</p>\n");
    if (statement->kind != OBSERVABLE)
        html_wrap(out, "<p class=\"note\">", statement->reason, "</p>\n");
    write_statement_cases(page, version, statement->id);
    fputs("</div>\n", out);
}

static void write_chapter(const struct page *page, const char *chapter)
{
    FILE *out = page->out;
    fputs("<details class=\"chapter\" data-group><summary><span class=\"title\">", out);
    html_chapter_title(out, chapter);
    fputs("</span>\n", out);
    for (int i = 0; i < VERSIONS; i++)
        write_tiles(page, i, chapter);
    fputs("</summary>\n", out);
    for (int i = 0; i < VERSIONS; i++) {
        for (unsigned row = 0; row < page->tables[i].count; row++) {
            if (is_in(&page->tables[i].rows[row], chapter))
                write_statement(page, i, row);
        }
    }
    fputs("</details>\n", out);
}

static void write_matrix(const struct page *page)
{
    struct html_chapters chapters;
    html_chapters(&chapters);
    fprintf(page->out,
            "<section id=\"statements\" data-group>\n<h2>Statements <span>%u</span></h2>\n"
            "<p class=\"lead\">Every normative statement of both versions, one tile each. A tile "
            "leads to the statement in our words and to the cases that judge it. A case ends "
            "with its first failure and says nothing about the others that it cites.</p>\n"
            "<ul class=\"legend key\">",
            page->tables[0].count + page->tables[1].count);
    for (int holding = 0; holding < HOLDINGS; holding++)
        fprintf(page->out, "<li><i class=\"%s\"></i>%s</li>",
                html_holding_class((enum holding)holding),
                report_holding_name((enum holding)holding));
    fputs("</ul>\n<div class=\"matrix\">\n<div class=\"head\"><span></span><span>MQTT 5.0</span>"
          "<span>MQTT 3.1.1</span></div>\n",
          page->out);
    for (unsigned i = 0; i < chapters.count; i++)
        write_chapter(page, chapters.list[i]);
    fputs("</div>\n</section>\n", page->out);
}

/* ---- Cases ---- */

static void write_statement_ids(FILE *out, const struct report_result *result)
{
    const char *words = result->statements, *word;
    size_t size;
    char id[32];
    fputs("<p class=\"ids\">", out);
    while ((word = statement_word(&words, &size))) {
        snprintf(id, sizeof id, "%.*s", (int)size, word);
        html_statement_link(out, result->version, id);
        fputc(' ', out);
    }
    fputs("</p>\n", out);
}

static void write_case(const struct page *page, const struct report_result *result)
{
    FILE *out = page->out;
    bool bad = result->verdict == VERDICT_FAILED || result->verdict == VERDICT_FLAKY ||
               result->verdict == VERDICT_BROKEN;
    fprintf(out, "<details class=\"one %s\" %s id=\"", html_verdict_class(result->verdict),
            bad ? "data-bad=\"1\"" : "");
    html_case_anchor(out, result->version, result->name);
    html_wrap(out, "\" data-f=\"", result->name, " ");
    html_wrap(out, "MQTT ", selection_version_name(result->version), " ");
    html_wrap(out, "", result->statements, " ");
    html_wrap(out, "", report_verdict_key(result->verdict), "\"><summary><i></i>");
    html_wrap(out, "<span class=\"version\">", selection_version_name(result->version), "</span>");
    html_wrap(out, "<span class=\"name\">", result->name, "</span><span class=\"time\">");
    html_duration(out, result->duration_ms);
    fputs("</span></summary>\n", out);
    if (result->reason[0])
        html_wrap(out, "<p class=\"reason\">", result->reason, "</p>\n");
    write_details(out, result);
    write_statement_ids(out, result);
    fputs("</details>\n", out);
}

static void write_cases(const struct page *page)
{
    const struct report *report = page->report;
    fprintf(page->out,
            "<section id=\"cases\" data-group>\n<h2>Cases <span>%u</span></h2>\n"
            "<p class=\"lead\">What was sent, and what the specification allows in answer.</p>\n"
            "<div class=\"list\">\n",
            report->count);
    for (unsigned i = 0; i < report->count; i++)
        write_case(page, &report->results[i]);
    fputs("</div>\n</section>\n", page->out);
}

/* ---- What was left out, by reason ---- */

static bool is_left_out(const struct report_result *result)
{
    return result->verdict == VERDICT_SKIPPED || result->verdict == VERDICT_NOT_APPLICABLE;
}

static bool is_first_of_reason(const struct report *report, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (is_left_out(&report->results[i]) &&
            strcmp(report->results[i].reason, report->results[index].reason) == 0)
            return false;
    }
    return true;
}

static void write_reason(const struct page *page, const char *reason)
{
    const struct report *report = page->report;
    unsigned count = 0;
    for (unsigned i = 0; i < report->count; i++)
        count += is_left_out(&report->results[i]) && strcmp(report->results[i].reason, reason) == 0;
    html_wrap(page->out, "<details class=\"left-out\"><summary>", reason, "");
    fprintf(page->out, " <span>%u</span></summary>\n<p class=\"cases\">", count);
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (!is_left_out(result) || strcmp(result->reason, reason) != 0)
            continue;
        html_case_link(page->out, result);
        fprintf(page->out, "<small>%s</small> ", selection_version_name(result->version));
    }
    fputs("</p></details>\n", page->out);
}

static void write_left_out(const struct page *page)
{
    const struct report *report = page->report;
    unsigned count =
        report_count(report, 0, VERDICT_SKIPPED) + report_count(report, 0, VERDICT_NOT_APPLICABLE);
    if (count == 0)
        return;
    fprintf(page->out,
            "<section id=\"left-out\">\n<h2>Skipped and not applicable <span>%u</span></h2>\n"
            "<p class=\"lead\">Cases that need what this server says it has not got, or what the "
            "run was not given.</p>\n",
            count);
    for (unsigned i = 0; i < report->count; i++) {
        if (is_left_out(&report->results[i]) && is_first_of_reason(report, i))
            write_reason(page, report->results[i].reason);
    }
    fputs("</section>\n", page->out);
}

/* ---- The server, by its own word ---- */

static void write_flag(FILE *out, bool value)
{
    fprintf(out, "<td>%s</td>", value ? "yes" : "no");
}

static void write_number(FILE *out, bool present, unsigned value, const char *unit)
{
    if (present)
        fprintf(out, "<td>%u%s</td>", value, unit);
    else
        fputs("<td>none</td>", out);
}

static void write_features(const struct page *page)
{
    const struct report *report = page->report;
    FILE *out = page->out;
    fputs("<section id=\"server\">\n<h2>The server, by its own word</h2>\n<p class=\"lead\">From "
          "its CONNACK of 5.0. That of 3.1.1 has no such words, so everything is taken for "
          "granted.</p>\n"
          "<div class=\"scroll\"><table>\n<tr><th></th><th>Maximum QoS</th>"
          "<th>Retain</th><th>Wildcards</th><th>Subscription Identifiers</th><th>Shared "
          "Subscriptions</th><th>Receive Maximum</th><th>Topic Alias Maximum</th><th>Server Keep "
          "Alive</th><th>Maximum Packet Size</th></tr>\n",
          out);
    for (int i = 0; i < VERSIONS; i++) {
        const struct server_features *features = &report->versions[i].features;
        if (!report->versions[i].judged)
            continue;
        html_wrap(out, "<tr><th>", selection_version_name(report_versions[i]), "</th>");
        write_number(out, true, features->maximum_qos, "");
        write_flag(out, features->retain_available);
        write_flag(out, features->wildcard_available);
        write_flag(out, features->subscription_identifier_available);
        write_flag(out, features->shared_available);
        write_number(out, true, features->receive_maximum, "");
        write_number(out, true, features->topic_alias_maximum, "");
        write_number(out, features->has_server_keep_alive, features->server_keep_alive_s, " s");
        write_number(out, features->maximum_packet_size != UINT32_MAX,
                     features->maximum_packet_size, "");
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n</section>\n", out);
}

/* ---- The page ---- */

static void write_nav(const struct page *page)
{
    const struct report *report = page->report;
    const struct {
        const char *anchor, *name;
        unsigned count;
        bool present;
    } places[] = {
        {"statements", "Statements", 0, true},
        {"failures", "Failures", report_count(report, 0, VERDICT_FAILED), false},
        {"flaky", "Flaky", report_count(report, 0, VERDICT_FLAKY), false},
        {"unjudged", "Unjudged", report_count(report, 0, VERDICT_BROKEN), false},
        {"remarks", "Remarks",
         report_remark_count(report, 0, false) + report_remark_count(report, 0, true), false},
        {"cases", "Cases", 0, true},
        {"server", "Server", 0, true},
    };
    fputs("<nav><div class=\"wide\">\n<div class=\"places\">", page->out);
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i].count == 0 && !places[i].present)
            continue;
        fprintf(page->out, "<a href=\"#%s\">%s", places[i].anchor, places[i].name);
        if (places[i].count)
            fprintf(page->out, " <span>%u</span>", places[i].count);
        fputs("</a>", page->out);
    }
    fputs("</div>\n", page->out);
    html_filter(page->out, false);
    fputs("</div></nav>\n", page->out);
}

static void write_body(const struct page *page)
{
    write_head(page);
    write_nav(page);
    fputs("<main class=\"wide\">\n", page->out);
    write_notes(page);
    write_summary(page);
    write_matrix(page);
    write_findings(page, VERDICT_FAILED, "failures", "Failures",
                   "Each MUST that was seen broken, with what the server did and what it owed.");
    write_findings(page, VERDICT_FLAKY, "flaky", "Flaky",
                   "Failed among the other cases and passed when tried again alone.");
    write_findings(page, VERDICT_BROKEN, "unjudged", "Could not be judged",
                   "The server could not be reached, or this suite is at fault.");
    fputs("<div id=\"remarks\"></div>\n", page->out);
    write_remarks(page, false, "SHOULD",
                  "Recommendations that the server does not follow. None of "
                  "them is a failure.");
    write_remarks(page, true, "Debatable",
                  "Behaviour that some readings of the specification allow and others do not.");
    write_cases(page);
    write_left_out(page);
    write_features(page);
    html_wrap(page->out, "</main>\n<footer class=\"wide\">mqtt-conformance ",
              page->report->program_version,
              ". Statement numbers are those of the OASIS Standards MQTT 5.0 and 3.1.1; the words "
              "are ours.</footer>\n");
}

bool report_html_write(const struct report *report, FILE *out)
{
    struct page page = {.report = report, .out = out};
    char title[200];
    for (int i = 0; i < VERSIONS; i++) {
        page.tables[i] = statement_table(report_versions[i]);
        page.holdings[i] = calloc(page.tables[i].count, sizeof *page.holdings[i]);
        if (!page.holdings[i])
            abort();
        report_judge(report, page.tables[i], page.holdings[i]);
        html_holding_counts(page.holdings[i], page.tables[i].count, page.counts[i]);
    }
    snprintf(title, sizeof title, "%s: MQTT conformance", report->label);
    html_begin(out, title);
    write_body(&page);
    html_end(out);
    for (int i = 0; i < VERSIONS; i++)
        free(page.holdings[i]);
    return !ferror(out);
}
