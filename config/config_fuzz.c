/* A configuration file: read or refused with a place, and nothing in between. */
#include "config/config.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    char error[256] = "";
    if (config_load_text("x", bytes_of(data, size), &config, error, sizeof error) == STATUS_OK) {
        CHECK(config.listener_count >= 1);
        CHECK(config.listeners[0].host[0] != '\0');
        CHECK(config.mqtt.max_inflight_messages >= 1);
        CHECK(config.sqlite.mounted_file_path[0] != '\0');
        config_fini(&config);
    } else {
        CHECK(strncmp(error, "x:", 2) == 0);
        CHECK(strlen(error) > 5);
    }
    return 0;
}
