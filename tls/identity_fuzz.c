/* A certificate's subject, from bytes that nobody has signed. */
#include "base/check.h"
#include "tls/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names go into log lines and topics: no control characters, and no zero byte. */
static void check_clean(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        CHECK(text.data[i] >= 0x20 && text.data[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity identity;
    if (identity_from_certificate(bytes_of(data, size), &identity) == STATUS_OK) {
        CHECK(identity_name(&identity, IDENTITY_SUBJECT).size <= IDENTITY_SUBJECT_MAX);
        for (unsigned i = 0; i < IDENTITY_NAMES; i++)
            check_clean(identity_name(&identity, i));
        identity_fini(&identity);
    }
    return 0;
}
