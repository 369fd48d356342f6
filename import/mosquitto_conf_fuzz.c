/* Any mosquitto.conf: a draft that Holdfast reads, or a place; and no listener that is open where
 * the text does not say that one is. */
#include "import/mosquitto_conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "import/draft_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char closed[] = "listener 1\n";
    size_t before = sizeof closed - 1;
    struct draft draft = {0};
    char error[512] = "", *text = memory_take(before + size + 1);
    memcpy(text, closed, before);
    if (size > 0)
        memcpy(text + before, data, size);
    bool may_be_open = memmem(data, size, "allow_anonymous", 15) != NULL;
    if (mosquitto_conf_read_text("x", text, before + size, &draft, error, sizeof error) ==
        STATUS_OK)
        draft_check_result(&draft, may_be_open);
    else
        CHECK(strncmp(error, "x:", 2) == 0);
    draft_fini(&draft);
    free(text);
    return 0;
}
