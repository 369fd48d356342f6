#include "conformance/runner/describe.h"

#include <string.h>

#include "conformance/runner/report.h"
#include "conformance/runner/selection.h"
#include "conformance/runner/statement.h"

enum { WIDTH = 100, COLUMN = 11 };

/* ---- The list ---- */

static void list_statements(FILE *out, const struct conformance_case *definition)
{
    bool same = definition->v5 && definition->v311 && strcmp(definition->v5, definition->v311) == 0;
    if (definition->v5)
        fprintf(out, "%s%s", same || !definition->v311 ? "" : "5.0: ", definition->v5);
    if (definition->v311 && !same)
        fprintf(out, "%s%s", definition->v5 ? "; 3.1.1: " : "", definition->v311);
}

static const char *versions_of(const struct conformance_case *definition)
{
    if (definition->v5 && definition->v311)
        return "5.0,3.1.1";
    return definition->v5 ? "5.0" : "3.1.1";
}

void describe_list(FILE *out, const struct conformance_case *first, const char *const *patterns,
                   unsigned pattern_count)
{
    char name[CASE_NAME_SIZE];
    for (; first; first = first->next) {
        if (!selection_matches(first, patterns, pattern_count))
            continue;
        fprintf(out, "%-64s %-9s  ", selection_name(first, name), versions_of(first));
        list_statements(out, first);
        fputc('\n', out);
    }
}

void describe_list_tab(FILE *out, const struct conformance_case *first, const char *const *patterns,
                       unsigned pattern_count)
{
    static const char *const outages[] = {"none", "restart", "kill"};
    char name[CASE_NAME_SIZE];
    for (; first; first = first->next) {
        if (selection_matches(first, patterns, pattern_count))
            fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", selection_name(first, name),
                    versions_of(first), outages[first->outage], first->v5 ? first->v5 : "",
                    first->v311 ? first->v311 : "", first->faults ? first->faults : "");
    }
}

/* ---- One case ---- */

static void fold(FILE *out, int indent, const char *text)
{
    int column = indent;
    const char *word;
    size_t size;
    while ((word = statement_word(&text, &size))) {
        if (column > indent && column + 1 + (int)size > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
        if (column > indent)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", (int)size, word);
    }
    fputc('\n', out);
}

static void explain_text(FILE *out, const char *title, const char *text)
{
    if (!text || !text[0])
        return;
    fprintf(out, "%-*s", COLUMN, title);
    fold(out, COLUMN, text);
    fputc('\n', out);
}

static void explain_statements(FILE *out, const struct conformance_case *definition,
                               enum version version)
{
    const char *words = selection_statements(definition, version), *id;
    struct statement_table table = statement_table(version);
    size_t size;
    while ((id = statement_word(&words, &size))) {
        const struct statement *row = statement_find(table, id, size);
        int column =
            fprintf(out, "  %-6s %-15.*s ", selection_version_name(version), (int)size, id);
        fold(out, column, row ? row->paraphrase : "(not a statement of this version)");
    }
}

static void explain_faults(FILE *out, const struct conformance_case *definition)
{
    const char *words = definition->faults, *name;
    size_t size;
    fputs("Must notice a server that\n", out);
    while ((name = statement_word(&words, &size))) {
        const char *sentence = statement_fault(name, size);
        fputs("  - ", out);
        fold(out, 4, sentence ? sentence : "(an unknown fault)");
    }
}

static void explain_needs(FILE *out, const struct conformance_case *definition)
{
    if (definition->outage != OUTAGE_NONE)
        explain_text(out, "Needs",
                     definition->outage == OUTAGE_KILL ? "--kill-cmd" : "--restart-cmd");
    if (definition->timing)
        explain_text(out, "Times",
                     "A busy machine can make it fail, so it is tried once more alone then.");
}

void describe_case(FILE *out, const struct conformance_case *definition)
{
    char name[CASE_NAME_SIZE];
    fprintf(out, "%s\n\n", selection_name(definition, name));
    for (int i = 0; i < VERSIONS; i++)
        explain_statements(out, definition, report_versions[i]);
    fputc('\n', out);
    explain_text(out, "Sent", definition->sends);
    explain_text(out, "Allowed", definition->allowed);
    explain_text(out, "Why", definition->why);
    explain_needs(out, definition);
    explain_faults(out, definition);
}
