/* A file of pre-shared keys: read or refused with a place; the first identity in it is found. */
#include "base/check.h"
#include "tls/psk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct psk_table *table;
    char error[256] = "";
    if (psk_parse("x", bytes_of(data, size), &table, error, sizeof error) != STATUS_OK) {
        CHECK(table == NULL);
        CHECK(strncmp(error, "x:", 2) == 0 && strlen(error) > 5);
        return 0;
    }
    const uint8_t *colon = size > 0 ? memchr(data, ':', size) : NULL;
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    bool first = colon != NULL && data[0] != '#' && (end == NULL || colon < end);
    struct bytes name = bytes_of(data, first ? (size_t)(colon - data) : 0);
    CHECK(!first || psk_find(table, name)->size >= PSK_KEY_MIN);
    CHECK(psk_count(table) * 2 * PSK_KEY_MIN <= size);
    CHECK(psk_decoy(table)->size >= PSK_KEY_MIN);
    psk_free(table);
    return 0;
}
