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
        CHECK(identity.subject.size <= IDENTITY_SUBJECT_MAX);
        check_clean(identity.common_name);
        check_clean(identity.subject);
        identity_fini(&identity);
    }
    return 0;
}
