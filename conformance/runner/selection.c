#include "conformance/runner/selection.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

char *selection_name(const struct conformance_case *definition, char name[CASE_NAME_SIZE])
{
    const char *slash = strrchr(definition->file, '/');
    const char *file = slash ? slash + 1 : definition->file;
    snprintf(name, CASE_NAME_SIZE, "%.*s.%s", (int)strcspn(file, "."), file, definition->name);
    return name;
}

static bool matches(const struct conformance_case *definition, const char *pattern)
{
    char name[CASE_NAME_SIZE];
    selection_name(definition, name);
    return strcmp(pattern, name) == 0 || fnmatch(pattern, definition->name, 0) == 0 ||
           fnmatch(pattern, name, 0) == 0;
}

bool selection_matches(const struct conformance_case *definition, const char *const *patterns,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (matches(definition, patterns[i]))
            return true;
    }
    return count == 0;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters have to be put in, taken out or changed to make one of the other. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[CASE_NAME_SIZE];
    size_t width = strnlen(b, CASE_NAME_SIZE - 1);
    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= width; j++) {
            unsigned above = row[j];
            row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[width];
}

/* A part of a name counts as near, too: nobody types forty letters to be corrected. */
static unsigned strangeness(const struct conformance_case *definition, const char *name)
{
    char full[CASE_NAME_SIZE];
    selection_name(definition, full);
    if (strstr(full, name))
        return 1;
    return least(distance(name, definition->name), distance(name, full));
}

static const struct conformance_case *nearest_of(const struct conformance_case *first,
                                                 const char *name)
{
    const struct conformance_case *nearest = NULL;
    unsigned best = (unsigned)strlen(name) / 2 + 1;
    for (; first; first = first->next) {
        unsigned strange = strangeness(first, name);
        if (strange < best) {
            best = strange;
            nearest = first;
        }
    }
    return nearest;
}

static bool is_named(const struct conformance_case *definition, const char *name)
{
    char full[CASE_NAME_SIZE];
    return strcmp(definition->name, name) == 0 ||
           strcmp(selection_name(definition, full), name) == 0;
}

const struct conformance_case *selection_find(const struct conformance_case *first,
                                              const char *name,
                                              const struct conformance_case **nearest)
{
    const struct conformance_case *named = NULL, *matching = NULL;
    unsigned named_count = 0, matching_count = 0;
    for (const struct conformance_case *at = first; at; at = at->next) {
        if (is_named(at, name)) {
            named = at;
            named_count++;
        } else if (matches(at, name)) {
            matching = at;
            matching_count++;
        }
    }
    *nearest = NULL;
    if (named_count == 1)
        return named;
    if (named_count == 0 && matching_count == 1)
        return matching;
    *nearest = named ? named : matching ? matching : nearest_of(first, name);
    return NULL;
}

const char *selection_statements(const struct conformance_case *definition, enum version version)
{
    return version == VERSION_5 ? definition->v5 : definition->v311;
}

const char *selection_version_name(enum version version)
{
    return version == VERSION_5 ? "5.0" : "3.1.1";
}
