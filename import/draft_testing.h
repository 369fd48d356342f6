#ifndef IMPORT_DRAFT_TESTING_H
#define IMPORT_DRAFT_TESTING_H

#include "import/draft.h"

/* The draft is a configuration that Holdfast reads, or wrong in a listener's address alone; and no
 * listener of it is open unless one may be. Ends the process otherwise. */
void draft_check_result(const struct draft *draft, bool may_be_open);

#endif
