#include "import/draft_testing.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/config.h"

void draft_check_result(const struct draft *draft, bool may_be_open)
{
    char *text = NULL, error[512] = "";
    size_t size = 0;
    struct config config;
    FILE *memory = open_memstream(&text, &size);
    CHECK(memory != NULL);
    draft_print(draft, "some.conf", memory);
    fclose(memory);
    if (config_load_text("x", bytes_of(text, size), &config, error, sizeof error) == STATUS_OK) {
        for (size_t i = 0; i < config.listener_count; i++)
            CHECK(may_be_open || !config.listeners[i].allow_anonymous);
        config_fini(&config);
    } else {
        CHECK(strstr(error, "listener") != NULL || strstr(error, "bind") != NULL);
    }
    free(text);
}
