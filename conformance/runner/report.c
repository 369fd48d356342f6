#include "conformance/runner/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const enum version report_versions[VERSIONS] = {VERSION_5, VERSION_311};

int report_version_index(enum version version)
{
    return version == VERSION_5 ? 0 : 1;
}

const char *report_verdict_key(enum verdict verdict)
{
    static const char *const keys[VERDICTS] = {
        [VERDICT_PASSED] = "passed",
        [VERDICT_FAILED] = "failed",
        [VERDICT_NOT_APPLICABLE] = "not_applicable",
        [VERDICT_SKIPPED] = "skipped",
        [VERDICT_FLAKY] = "flaky",
        [VERDICT_BROKEN] = "broken",
    };
    return keys[verdict];
}

/* ---- Text ---- */

/* How many bytes the character at the front has; 0: it is no UTF-8. */
static size_t character_size(const unsigned char *text)
{
    static const struct {
        unsigned char mask, lead, least; /* `least`: of the second byte, after these leads */
        size_t size;
    } forms[] = {{0x80, 0x00, 0, 1}, {0xE0, 0xC0, 0, 2}, {0xF0, 0xE0, 0, 3}, {0xF8, 0xF0, 0, 4}};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((text[0] & forms[i].mask) != forms[i].lead)
            continue;
        for (size_t at = 1; at < forms[i].size; at++) {
            if ((text[at] & 0xC0) != 0x80)
                return 0;
        }
        bool overlong = (text[0] & 0xFE) == 0xC0 || (text[0] == 0xE0 && text[1] < 0xA0) ||
                        (text[0] == 0xF0 && text[1] < 0x90);
        bool beyond = (text[0] == 0xED && text[1] >= 0xA0) || text[0] > 0xF4 ||
                      (text[0] == 0xF4 && text[1] >= 0x90);
        return overlong || beyond ? 0 : forms[i].size;
    }
    return 0;
}

char *report_copy(const char *text)
{
    char *copy;
    size_t size;
    FILE *out = open_memstream(&copy, &size);
    if (!out)
        abort();
    for (const unsigned char *at = (const unsigned char *)(text ? text : ""); *at;) {
        size_t bytes = character_size(at);
        if (bytes)
            fwrite(at, 1, bytes, out);
        else
            fputs("\xEF\xBF\xBD", out); /* U+FFFD */
        at += bytes ? bytes : 1;
    }
    if (fclose(out) != 0)
        abort();
    return copy;
}

void report_set(char **place, const char *text)
{
    char *copy = report_copy(text);
    free(*place);
    *place = copy;
}

/* ---- Lifetime ---- */

struct report_result *report_add(struct report *report)
{
    if ((report->count & (report->count - 1)) == 0) {
        unsigned room = report->count ? 2 * report->count : 1;
        report->results = reallocarray(report->results, room, sizeof *report->results);
        if (!report->results)
            abort();
    }
    struct report_result *result = &report->results[report->count++];
    *result = (struct report_result){0};
    return result;
}

void report_add_remark(struct report_result *result, bool debatable, const char *statement,
                       const char *text)
{
    result->remarks =
        reallocarray(result->remarks, result->remark_count + 1, sizeof *result->remarks);
    if (!result->remarks)
        abort();
    result->remarks[result->remark_count++] = (struct report_remark){
        .debatable = debatable, .statement = report_copy(statement), .text = report_copy(text)};
}

void report_note(struct report *report, const char *format, ...)
{
    va_list arguments;
    char *note;
    va_start(arguments, format);
    if (vasprintf(&note, format, arguments) < 0)
        abort();
    va_end(arguments);
    report->notes = reallocarray(report->notes, report->note_count + 1, sizeof *report->notes);
    if (!report->notes)
        abort();
    report->notes[report->note_count++] = report_copy(note);
    free(note);
}

static void free_result(struct report_result *result)
{
    char *texts[] = {result->name,  result->statements, result->statement, result->reason,
                     result->sends, result->allowed,    result->why,       result->trace};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (unsigned i = 0; i < result->remark_count; i++) {
        free(result->remarks[i].statement);
        free(result->remarks[i].text);
    }
    free(result->remarks);
}

void report_free(struct report *report)
{
    char *texts[] = {report->label,     report->host,         report->port,
                     report->transport, report->command_line, report->program_version,
                     report->started};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (unsigned i = 0; i < VERSIONS; i++)
        free(report->versions[i].error);
    for (unsigned i = 0; i < report->note_count; i++)
        free(report->notes[i]);
    for (unsigned i = 0; i < report->count; i++)
        free_result(&report->results[i]);
    free(report->notes);
    free(report->results);
    *report = (struct report){0};
}

/* ---- Order and sums ---- */

static int by_name_and_version(const void *a, const void *b)
{
    const struct report_result *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order
                 : report_version_index(left->version) - report_version_index(right->version);
}

void report_sort(struct report *report)
{
    if (report->count > 0)
        qsort(report->results, report->count, sizeof *report->results, by_name_and_version);
}

unsigned report_count(const struct report *report, enum version version, enum verdict verdict)
{
    unsigned count = 0;
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        count += result->verdict == verdict && (version == 0 || result->version == version);
    }
    return count;
}

unsigned report_remark_count(const struct report *report, enum version version, bool debatable)
{
    unsigned count = 0;
    for (unsigned i = 0; i < report->count; i++) {
        const struct report_result *result = &report->results[i];
        if (version != 0 && result->version != version)
            continue;
        for (unsigned k = 0; k < result->remark_count; k++)
            count += result->remarks[k].debatable == debatable;
    }
    return count;
}

/* ---- Remarks that several cases make ---- */

static bool is_same_remark(const struct report_remark *a, const struct report_remark *b)
{
    return a->debatable == b->debatable && strcmp(a->statement, b->statement) == 0 &&
           strcmp(a->text, b->text) == 0;
}

bool report_has_remark(const struct report_result *result, enum version version,
                       const struct report_remark *remark)
{
    for (unsigned i = 0; i < result->remark_count && result->version == version; i++) {
        if (is_same_remark(&result->remarks[i], remark))
            return true;
    }
    return false;
}

bool report_is_first_remark(const struct report *report, const struct report_result *result,
                            const struct report_remark *remark)
{
    for (const struct report_result *at = report->results; at < result; at++) {
        if (report_has_remark(at, result->version, remark))
            return false;
    }
    for (const struct report_remark *at = result->remarks; at < remark; at++) {
        if (is_same_remark(at, remark))
            return false;
    }
    return true;
}

/* ---- Statements ---- */

const char *report_holding_name(enum holding holding)
{
    static const char *const names[HOLDINGS] = {
        [HOLDING_BROKEN] = "broken",
        [HOLDING_FLAKY] = "broken once",
        [HOLDING_REMARK] = "kept, with a remark",
        [HOLDING_KEPT] = "kept",
        [HOLDING_UNJUDGED] = "not judged",
        [HOLDING_NOT_APPLICABLE] = "not applicable",
        [HOLDING_SKIPPED] = "skipped",
        [HOLDING_NOT_RUN] = "not run",
        [HOLDING_UNTESTABLE] = "not testable",
    };
    return names[holding];
}

static bool cites(const struct report_result *result, const char *id)
{
    const char *words = result->statements, *word;
    size_t size;
    while ((word = statement_word(&words, &size))) {
        if (strlen(id) == size && memcmp(id, word, size) == 0)
            return true;
    }
    return false;
}

static bool remarks_on(const struct report_result *result, const char *id)
{
    for (unsigned i = 0; i < result->remark_count; i++) {
        if (strcmp(result->remarks[i].statement, id) == 0)
            return true;
    }
    return false;
}

bool report_result_concerns(const struct report_result *result, const char *id)
{
    return strcmp(result->statement, id) == 0 || cites(result, id) || remarks_on(result, id);
}

/* A failure ends its case, so what it broke is all that it says: the other statements that it cites
 * are left to other cases. */
static enum holding holding_of(const struct report_result *result, const char *id)
{
    bool names_one = result->statement[0] != '\0';
    bool meant = names_one ? strcmp(result->statement, id) == 0 : cites(result, id);
    if (meant && result->verdict == VERDICT_FAILED)
        return HOLDING_BROKEN;
    if (meant && result->verdict == VERDICT_FLAKY)
        return HOLDING_FLAKY;
    if (remarks_on(result, id))
        return HOLDING_REMARK;
    if (!cites(result, id))
        return HOLDING_NOT_RUN;
    switch (result->verdict) {
    case VERDICT_PASSED:
        return HOLDING_KEPT;
    case VERDICT_NOT_APPLICABLE:
        return HOLDING_NOT_APPLICABLE;
    case VERDICT_SKIPPED:
        return HOLDING_SKIPPED;
    case VERDICT_FAILED:
    case VERDICT_FLAKY:
    case VERDICT_BROKEN:
        break;
    }
    return HOLDING_UNJUDGED;
}

/* The values of enum holding are in the order in which one overrules another. */
void report_judge(const struct report *report, struct statement_table table, enum holding *out)
{
    for (unsigned row = 0; row < table.count; row++) {
        bool observable = table.rows[row].kind == OBSERVABLE;
        out[row] = observable ? HOLDING_NOT_RUN : HOLDING_UNTESTABLE;
        for (unsigned i = 0; i < report->count; i++) {
            const struct report_result *result = &report->results[i];
            if (result->version != table.version)
                continue;
            enum holding holding = holding_of(result, table.rows[row].id);
            if (holding != HOLDING_NOT_RUN && holding < out[row])
                out[row] = holding;
        }
    }
}
