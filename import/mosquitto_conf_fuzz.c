/* Any mosquitto.conf: a draft that Holdfast reads, or a place; and no listener that is open where
 * the text does not say that one is. */
#include "import/mosquitto_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_result(const struct draft *draft, bool may_be_open)
{
    char *text = NULL, error[512] = "";
    size_t size = 0;
    struct config config;
    FILE *memory = open_memstream(&text, &size);
    CHECK(memory != NULL);
    draft_print(draft, "mosquitto.conf", memory);
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
        check_result(&draft, may_be_open);
    else
        CHECK(strncmp(error, "x:", 2) == 0);
    draft_fini(&draft);
    free(text);
    return 0;
}
