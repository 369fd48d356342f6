/* What the pages have in common: escaping, frame, bars, anchors. */
#ifndef CONFORMANCE_HTML_H
#define CONFORMANCE_HTML_H

#include <stdio.h>

#include "conformance/runner/report.h"

/* page.css and page.js, which are part of each page. */
extern const char page_css[], page_js[];

void html_text(FILE *out, const char *text);
/* `before` and `after` are markup, `text` is not. */
void html_wrap(FILE *out, const char *before, const char *text, const char *after);

void html_begin(FILE *out, const char *title);
void html_end(FILE *out);

/* The class that colours it. */
const char *html_holding_class(enum holding holding);
const char *html_verdict_class(enum verdict verdict);

struct html_share {
    const char *class_, *name;
    unsigned count;
};

/* A bar of these shares, and what they mean; those of 0 are left out. */
void html_bar(FILE *out, const struct html_share *shares, unsigned count);
void html_holding_bar(FILE *out, const unsigned counts[HOLDINGS]);

void html_holding_counts(const enum holding *holdings, unsigned count, unsigned counts[HOLDINGS]);
/* Of those judged. */
unsigned html_judged(const unsigned counts[HOLDINGS]);
unsigned html_kept(const unsigned counts[HOLDINGS]);

/* "s5-3.1.2-7" and "c5-file.name", without and with the link around it. */
void html_statement_anchor(FILE *out, enum version version, const char *id);
void html_case_anchor(FILE *out, enum version version, const char *name);
void html_statement_link(FILE *out, enum version version, const char *id);
void html_case_link(FILE *out, const struct report_result *result);

/* The filter box and its switches; `differences`: with the one for them. */
void html_filter(FILE *out, bool differences);

/* The chapters of all versions that a page shows, each once and in order. */
enum { CHAPTERS_MAX = 64 };
struct html_chapters {
    char list[CHAPTERS_MAX][CHAPTER_SIZE];
    unsigned count;
};
void html_chapters(struct html_chapters *out);
/* Its number and title; the titles of both versions where they differ. */
void html_chapter_title(FILE *out, const char *chapter);

/* 1 h 2 min, 3 min 4 s, 5.6 s */
void html_duration(FILE *out, unsigned ms);

#endif
