/* What a server's certificate says of its addresses. */
#ifndef CONFORMANCE_CERTIFICATE_H
#define CONFORMANCE_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the Subject Alternative Names of a certificate in DER hold this address of 4 or 16 bytes
 * (RFC 5280, 4.2.1.6). Its signature is the caller's to verify. */
bool certificate_has_address(const uint8_t *der, size_t size, const uint8_t *address,
                             size_t address_size);

#endif
