/* A password file: read or refused with a place, and every user in it is found. */
#include "authentication/password_file.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct password_file *file;
    char error[256] = "";
    enum status status = password_file_parse("x", bytes_of(data, size), &file, error, sizeof error);
    if (status == STATUS_OK) {
        struct hash_key key = {1, 2};
        const uint8_t *colon = size > 0 ? memchr(data, ':', size) : NULL;
        const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
        bool first = colon != NULL && (end == NULL || colon < end) && data[0] != '#';
        struct bytes name = bytes_of(data, first ? (size_t)(colon - data) : 0);
        CHECK(!first || password_file_find(file, name) != NULL);
        CHECK(password_file_decoy(file, &key, bytes_of(data, size)) != NULL);
        CHECK(password_file_count(file) <= size);
        password_file_free(file);
    } else {
        CHECK(file == NULL);
        CHECK(strncmp(error, "x:", 2) == 0);
        CHECK(strlen(error) > 5);
    }
    return 0;
}
