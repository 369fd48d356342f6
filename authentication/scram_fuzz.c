/* SCRAM's two messages of a client: what is taken stays within its bounds, and nobody without the
 * password gets in. Input: both, with a newline in between. */
#include "authentication/scram.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct scram_channel channel = {"tls-exporter", {1, 2, 3}, 3};
    static const struct scram_credential credential = {4096, 3, {7}, {8}, {9}};
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t first = newline != NULL ? (size_t)(newline - data) : size;
    struct bytes second =
        newline != NULL ? bytes_of(newline + 1, size - first - 1) : bytes_of(NULL, 0);
    for (unsigned plus = 0; plus < 2; plus++) {
        struct scram scram;
        if (scram_start(&scram, plus != 0, bytes_of(data, first), &channel, 1) != NULL)
            continue;
        CHECK(scram.user_name.size > 0 && scram.user_name.size <= SCRAM_USER_MAX);
        CHECK(scram.header_size < first && first <= SCRAM_FIRST_MAX);
        CHECK(scram.nonce_size > 0 && scram.nonce_size <= SCRAM_NONCE_MAX);
        struct bytes answer = scram_challenge(&scram, &credential, "server");
        CHECK(answer.size < SCRAM_SERVER_FIRST_MAX && memcmp(answer.data, "r=", 2) == 0);
        CHECK(scram_finish(&scram, second) != NULL);
    }
    return 0;
}
