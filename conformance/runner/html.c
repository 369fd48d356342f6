#include "conformance/runner/html.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/runner/selection.h"

void html_text(FILE *out, const char *text)
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
        default:
            fputc(*text, out);
        }
    }
}

void html_wrap(FILE *out, const char *before, const char *text, const char *after)
{
    fputs(before, out);
    html_text(out, text);
    fputs(after, out);
}

void html_begin(FILE *out, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n",
          out);
    html_wrap(out, "<title>", title, "</title>\n<style>\n");
    fputs(page_css, out);
    fputs("</style>\n</head>\n<body>\n", out);
}

void html_end(FILE *out)
{
    fputs("<script>\n", out);
    fputs(page_js, out);
    fputs("</script>\n</body>\n</html>\n", out);
}

/* ---- Colours and bars ---- */

const char *html_holding_class(enum holding holding)
{
    static const char *const classes[HOLDINGS] = {
        [HOLDING_BROKEN] = "k-broken",         [HOLDING_FLAKY] = "k-flaky",
        [HOLDING_REMARK] = "k-remark",         [HOLDING_KEPT] = "k-kept",
        [HOLDING_UNJUDGED] = "k-unjudged",     [HOLDING_NOT_APPLICABLE] = "k-na",
        [HOLDING_SKIPPED] = "k-skipped",       [HOLDING_NOT_RUN] = "k-notrun",
        [HOLDING_UNTESTABLE] = "k-untestable",
    };
    return classes[holding];
}

const char *html_verdict_class(enum verdict verdict)
{
    static const char *const classes[VERDICTS] = {
        [VERDICT_PASSED] = "k-kept",       [VERDICT_FAILED] = "k-broken",
        [VERDICT_NOT_APPLICABLE] = "k-na", [VERDICT_SKIPPED] = "k-skipped",
        [VERDICT_FLAKY] = "k-flaky",       [VERDICT_BROKEN] = "k-unjudged",
    };
    return classes[verdict];
}

void html_bar(FILE *out, const struct html_share *shares, unsigned count)
{
    fputs("<div class=\"bar\">", out);
    for (unsigned i = 0; i < count; i++) {
        if (shares[i].count)
            fprintf(out, "<span class=\"%s\" style=\"flex-grow:%u\" title=\"%u %s\"></span>",
                    shares[i].class_, shares[i].count, shares[i].count, shares[i].name);
    }
    fputs("</div>\n<ul class=\"legend\">", out);
    for (unsigned i = 0; i < count; i++) {
        if (shares[i].count)
            fprintf(out, "<li><i class=\"%s\"></i><b>%u</b> %s</li>", shares[i].class_,
                    shares[i].count, shares[i].name);
    }
    fputs("</ul>\n", out);
}

void html_holding_bar(FILE *out, const unsigned counts[HOLDINGS])
{
    static const enum holding order[HOLDINGS] = {
        HOLDING_KEPT,    HOLDING_REMARK,   HOLDING_FLAKY,
        HOLDING_BROKEN,  HOLDING_UNJUDGED, HOLDING_NOT_APPLICABLE,
        HOLDING_SKIPPED, HOLDING_NOT_RUN,  HOLDING_UNTESTABLE,
    };
    struct html_share shares[HOLDINGS];
    for (int i = 0; i < HOLDINGS; i++)
        shares[i] = (struct html_share){html_holding_class(order[i]), report_holding_name(order[i]),
                                        counts[order[i]]};
    html_bar(out, shares, HOLDINGS);
}

void html_holding_counts(const enum holding *holdings, unsigned count, unsigned counts[HOLDINGS])
{
    memset(counts, 0, HOLDINGS * sizeof *counts);
    for (unsigned i = 0; i < count; i++)
        counts[holdings[i]]++;
}

unsigned html_kept(const unsigned counts[HOLDINGS])
{
    return counts[HOLDING_KEPT] + counts[HOLDING_REMARK];
}

unsigned html_judged(const unsigned counts[HOLDINGS])
{
    return html_kept(counts) + counts[HOLDING_BROKEN] + counts[HOLDING_FLAKY];
}

/* ---- Anchors and links ---- */

void html_statement_anchor(FILE *out, enum version version, const char *id)
{
    fprintf(out, "s%d-", version == VERSION_5 ? 5 : 3);
    html_text(out, strncmp(id, "MQTT-", 5) == 0 ? id + 5 : id);
}

void html_case_anchor(FILE *out, enum version version, const char *name)
{
    fprintf(out, "c%d-", version == VERSION_5 ? 5 : 3);
    html_text(out, name);
}

void html_statement_link(FILE *out, enum version version, const char *id)
{
    fputs("<a class=\"id\" href=\"#", out);
    html_statement_anchor(out, version, id);
    html_wrap(out, "\">", id, "</a>");
}

void html_case_link(FILE *out, const struct report_result *result)
{
    fprintf(out, "<a class=\"case %s\" href=\"#", html_verdict_class(result->verdict));
    html_case_anchor(out, result->version, result->name);
    html_wrap(out, "\">", result->name, "</a>");
}

void html_filter(FILE *out, bool differences)
{
    fputs("<div class=\"filter\" role=\"search\"><input id=\"filter\" type=\"search\" "
          "placeholder=\"Filter: 3.3.4, will, QoS 2 ...\" aria-label=\"Filter\">"
          "<label><input id=\"only-bad\" type=\"checkbox\"> only failures</label>",
          out);
    if (differences)
        fputs("<label><input id=\"only-different\" type=\"checkbox\"> only differences</label>",
              out);
    fputs("<span id=\"none\" hidden>Nothing matches.</span></div>\n", out);
}

/* ---- Chapters ---- */

static long chapter_order(const char *chapter)
{
    char *rest;
    long major = strtol(chapter, &rest, 10);
    return major * 1000 + (*rest == '.' ? strtol(rest + 1, NULL, 10) : 0);
}

static int by_order(const void *a, const void *b)
{
    long left = chapter_order(a), right = chapter_order(b);
    return left < right ? -1 : left > right;
}

static void add_chapter(struct html_chapters *chapters, const char *chapter)
{
    for (unsigned i = 0; i < chapters->count; i++) {
        if (strcmp(chapters->list[i], chapter) == 0)
            return;
    }
    if (chapters->count < CHAPTERS_MAX)
        snprintf(chapters->list[chapters->count++], CHAPTER_SIZE, "%s", chapter);
}

void html_chapters(struct html_chapters *out)
{
    out->count = 0;
    for (int i = 0; i < VERSIONS; i++) {
        struct statement_table table = statement_table(report_versions[i]);
        char chapter[CHAPTER_SIZE];
        for (unsigned row = 0; row < table.count; row++)
            add_chapter(out, statement_chapter(table.rows[row].id, chapter));
    }
    qsort(out->list, out->count, sizeof out->list[0], by_order);
}

void html_chapter_title(FILE *out, const char *chapter)
{
    const char *title_5 = statement_chapter_title(VERSION_5, chapter);
    const char *title_311 = statement_chapter_title(VERSION_311, chapter);
    html_wrap(out, "<b>", chapter, "</b> ");
    html_text(out, title_5);
    if (strcmp(title_5, title_311) != 0)
        html_wrap(out, "<small>3.1.1: ", title_311, "</small>");
}

void html_duration(FILE *out, unsigned ms)
{
    unsigned s = ms / 1000;
    if (s >= 3600)
        fprintf(out, "%u h %u min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        fprintf(out, "%u min %u s", s / 60, s % 60);
    else
        fprintf(out, "%u.%u s", s, ms / 100 % 10);
}
