/* DER (ITU-T X.690), as far as X.509 certificates and revocation lists need it.
 *
 * Everything is a borrowed range of the bytes that are read. Nothing here can run over their end;
 * what is not well-formed is false. */
#ifndef TLS_DER_H
#define TLS_DER_H

#include "base/bytes.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_NUMERIC_STRING = 0x12,
    DER_PRINTABLE_STRING = 0x13,
    DER_IA5_STRING = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
};

struct der_element {
    uint8_t tag;
    struct bytes whole; /* with tag and length */
    struct bytes value;
};

/* Cuts the first element off `in`, which may be `out->value`, to go into an element. Only what
 * X.509 uses: tags of one byte, definite lengths. */
bool der_next(struct bytes *in, struct der_element *out);
/* The same, and it must have this tag. */
bool der_expect(struct bytes *in, uint8_t tag, struct der_element *out);
bool der_begins_with(struct bytes in, uint8_t tag);
/* UTCTime or GeneralizedTime as RFC 5280 has them, in seconds since 1970. */
bool der_time(const struct der_element *element, int64_t *out_s);

#endif
