/* Any bytes as a mosquitto.db: a place that is wrong, or pieces that fit together. */
#include "import/mosquitto_db.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mosquitto_db db;
    char error[256] = "";
    if (mosquitto_db_read(bytes_of(data, size), &db, error, sizeof error) == STATUS_OK) {
        for (size_t i = 0; i < db.delivery_count; i++)
            CHECK(db.deliveries[i].client < db.client_count);
        for (size_t i = 0; i < db.subscription_count; i++)
            CHECK(db.subscriptions[i].client < db.client_count);
        for (size_t i = 0; i < db.message_count; i++)
            CHECK(mosquitto_db_message(&db, db.messages[i].id) == &db.messages[i]);
    } else {
        CHECK(strncmp(error, "byte ", 5) == 0);
    }
    mosquitto_db_fini(&db);
    return 0;
}
