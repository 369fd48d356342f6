#include "conformance/runner/coverage.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/runner/selection.h"

void coverage_count(struct statement_table table, const struct conformance_case *first,
                    unsigned *cited)
{
    memset(cited, 0, table.count * sizeof *cited);
    for (; first; first = first->next) {
        const char *ids = selection_statements(first, table.version), *id;
        size_t size;
        while ((id = statement_word(&ids, &size))) {
            const struct statement *row = statement_find(table, id, size);
            if (row)
                cited[row - table.rows]++;
        }
    }
}

static unsigned *counted(struct statement_table table, const struct conformance_case *first)
{
    unsigned *cited = calloc(table.count + 1, sizeof *cited);
    if (!cited)
        abort();
    coverage_count(table, first, cited);
    return cited;
}

/* ---- What is covered ---- */

struct sums {
    unsigned total, tested, client_only, unobservable, untested;
};

static void add_up(struct statement_table table, const unsigned *cited, struct sums *sums)
{
    for (unsigned i = 0; i < table.count; i++) {
        sums->total++;
        if (table.rows[i].kind == CLIENT_ONLY)
            sums->client_only++;
        else if (table.rows[i].kind == UNOBSERVABLE)
            sums->unobservable++;
        else if (cited[i])
            sums->tested++;
        else
            sums->untested++;
    }
}

static void print_rows(FILE *out, struct statement_table table, const unsigned *cited,
                       enum statement_kind kind)
{
    for (unsigned i = 0; i < table.count; i++) {
        const struct statement *row = &table.rows[i];
        if (row->kind != kind || (kind == OBSERVABLE && cited[i]))
            continue;
        fprintf(out, "  %-5s  %-15s  %s\n", selection_version_name(table.version), row->id,
                row->paraphrase);
        if (kind != OBSERVABLE)
            fprintf(out, "  %-5s  %-15s  (%s)\n", "", "", row->reason);
    }
}

void coverage_print(FILE *out, const struct statement_table *tables, unsigned table_count,
                    const struct conformance_case *first)
{
    unsigned *cited[2];
    struct sums sums = {0};
    for (unsigned i = 0; i < table_count; i++) {
        cited[i] = counted(tables[i], first);
        add_up(tables[i], cited[i], &sums);
    }
    fprintf(out, "%u statements: %u tested, %u client-only, %u unobservable", sums.total,
            sums.tested, sums.client_only, sums.unobservable);
    if (sums.untested)
        fprintf(out, ", %u observable but not tested", sums.untested);
    fputc('\n', out);
    static const char *const headings[] = {
        [OBSERVABLE] = "Observable, and tested by no case:",
        [CLIENT_ONLY] = "Rules for clients that no server can be held to:",
        [UNOBSERVABLE] = "Not to be observed from outside:",
    };
    static const enum statement_kind order[] = {UNOBSERVABLE, CLIENT_ONLY, OBSERVABLE};
    const unsigned present[] = {[OBSERVABLE] = sums.untested,
                                [CLIENT_ONLY] = sums.client_only,
                                [UNOBSERVABLE] = sums.unobservable};
    for (unsigned k = 0; k < 3; k++) {
        if (present[order[k]])
            fprintf(out, "\n%s\n", headings[order[k]]);
        for (unsigned i = 0; i < table_count; i++)
            print_rows(out, tables[i], cited[i], order[k]);
    }
    for (unsigned i = 0; i < table_count; i++)
        free(cited[i]);
}

/* ---- What does not fit ---- */

struct finding {
    FILE *out;
    unsigned count;
};

__attribute__((format(printf, 2, 3))) static void find(struct finding *finding, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(finding->out, format, arguments);
    va_end(arguments);
    fputc('\n', finding->out);
    finding->count++;
}

static void check_table(struct finding *finding, struct statement_table table,
                        const struct conformance_case *first)
{
    unsigned *cited = counted(table, first);
    const char *version = selection_version_name(table.version);
    for (unsigned i = 0; i < table.count; i++) {
        const struct statement *row = &table.rows[i];
        if (statement_find(table, row->id, strlen(row->id)) != row)
            find(finding, "%s (%s): stands in the table twice", row->id, version);
        if (!row->paraphrase[0])
            find(finding, "%s (%s): has no paraphrase", row->id, version);
        if (row->kind == OBSERVABLE && !cited[i])
            find(finding, "%s (%s): observable, and no case cites it", row->id, version);
        if (row->kind != OBSERVABLE && !row->reason[0])
            find(finding, "%s (%s): not tested, without a reason", row->id, version);
    }
    free(cited);
}

static void check_ids(struct finding *finding, const struct conformance_case *definition,
                      const char *name, struct statement_table table)
{
    const char *ids = selection_statements(definition, table.version), *id;
    const char *version = selection_version_name(table.version);
    size_t size;
    if (ids && ids[strspn(ids, " ")] == '\0')
        find(finding, "%s: is for %s and cites no statement of it", name, version);
    while ((id = statement_word(&ids, &size))) {
        const struct statement *row = statement_find(table, id, size);
        if (!row)
            find(finding, "%s: cites %.*s, which %s has not got", name, (int)size, id, version);
        else if (row->kind != OBSERVABLE)
            find(finding, "%s: cites %s, which is said to be %s (%s)", name, row->id,
                 row->kind == CLIENT_ONLY ? "client-only" : "unobservable", version);
    }
}

static void check_faults(struct finding *finding, const struct conformance_case *definition,
                         const char *name)
{
    const char *words = definition->faults, *word;
    unsigned count = 0;
    size_t size;
    while ((word = statement_word(&words, &size))) {
        count++;
        if (!statement_fault(word, size))
            find(finding, "%s: names the fault %.*s, which there is not", name, (int)size, word);
    }
    if (count == 0)
        find(finding, "%s: names no fault that it must notice", name);
}

static void check_case(struct finding *finding, const struct conformance_case *definition,
                       const struct statement_table *tables, unsigned table_count)
{
    char name[CASE_NAME_SIZE];
    selection_name(definition, name);
    for (unsigned i = 0; i < table_count; i++)
        check_ids(finding, definition, name, tables[i]);
    if (!definition->v5 && !definition->v311)
        find(finding, "%s: cites no statement", name);
    check_faults(finding, definition, name);
    if (!definition->sends || !definition->sends[0])
        find(finding, "%s: does not say what it sends", name);
    if (!definition->allowed || !definition->allowed[0])
        find(finding, "%s: does not say what it allows", name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_names(struct finding *finding, const struct conformance_case *first)
{
    unsigned count = 0;
    for (const struct conformance_case *at = first; at; at = at->next)
        count++;
    char **names = calloc(count + 1, sizeof *names);
    if (!names)
        abort();
    for (unsigned i = 0; i < count; i++, first = first->next) {
        names[i] = malloc(CASE_NAME_SIZE);
        if (!names[i])
            abort();
        selection_name(first, names[i]);
    }
    qsort(names, count, sizeof *names, by_name);
    for (unsigned i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            find(finding, "%s: is the name of two cases", names[i]);
    }
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

unsigned coverage_check(FILE *out, const struct statement_table *tables, unsigned table_count,
                        const struct conformance_case *first)
{
    struct finding finding = {.out = out};
    for (unsigned i = 0; i < table_count; i++)
        check_table(&finding, tables[i], first);
    for (const struct conformance_case *at = first; at; at = at->next)
        check_case(&finding, at, tables, table_count);
    check_names(&finding, first);
    return finding.count;
}
