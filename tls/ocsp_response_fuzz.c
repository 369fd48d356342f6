/* OCSP responses, from bytes that nobody has signed, for one certificate. */
#include "base/check.h"
#include "tls/ocsp_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t serial[] = {1};
    static const uint8_t issuer[] = {0x30, 0};
    const struct certificate certificate = {.serial = bytes_of(serial, sizeof serial),
                                            .issuer = bytes_of(issuer, sizeof issuer)};
    struct ocsp_response response;
    const char *fault = ocsp_response_read(bytes_of(data, size), &certificate, &response);
    CHECK(fault != NULL || response.this_update_s < response.next_update_s);
    return 0;
}
