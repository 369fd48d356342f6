/* Any nanomq.conf: a draft that Holdfast reads, or a place; and no listener that is open where the
 * text does not say that one is. */
#include "import/nanomq_conf.h"

#include <string.h>

#include "base/check.h"
#include "import/draft_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct draft draft = {0};
    char error[512] = "";
    bool may_be_open = memmem(data, size, "true", 4) != NULL;
    if (nanomq_conf_read_text("x", bytes_of(data, size), &draft, error, sizeof error) == STATUS_OK)
        draft_check_result(&draft, may_be_open);
    else
        CHECK(strncmp(error, "x:", 2) == 0);
    draft_fini(&draft);
    return 0;
}
