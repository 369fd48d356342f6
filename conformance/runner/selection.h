/* Which cases a name or pattern means. */
#ifndef CONFORMANCE_SELECTION_H
#define CONFORMANCE_SELECTION_H

#include <stdbool.h>

#include "conformance/harness/case.h"

enum { CASE_NAME_SIZE = 160 };

/* "file.name": unlike the name alone it is unique. Returns `name`. */
char *selection_name(const struct conformance_case *definition, char name[CASE_NAME_SIZE]);

/* Whether the name, or file.name, matches one of the patterns of fnmatch(3). No pattern: all. */
bool selection_matches(const struct conformance_case *definition, const char *const *patterns,
                       unsigned count);

/* The one case of that name, or of that file.name, or the only one that matches it as a pattern.
 * NULL: there is none, or several; then `*nearest` is one that may have been meant, or NULL. */
const struct conformance_case *selection_find(const struct conformance_case *first,
                                              const char *name,
                                              const struct conformance_case **nearest);

/* NULL where the case is not for that version. */
const char *selection_statements(const struct conformance_case *definition, enum version version);

const char *selection_version_name(enum version version); /* "5.0", "3.1.1" */

#endif
