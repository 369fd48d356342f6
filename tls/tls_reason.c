/* What TLS says, in an operator's words. */
#include "tls/tls_internal.h"

#include <stdio.h>
#include <time.h>

struct reason {
    int code;
    const char *text;
};

static const struct reason reasons[] = {
    {NO_PEER_CERT, "the client sent no certificate"},
    {ASN_NO_SIGNER_E, "the certificate's authority is not among those in 'ca'"},
    {ASN_SELF_SIGNED_E, "the certificate is signed by itself and not among those in 'ca'"},
    {ASN_AFTER_DATE_E, "the certificate has expired, or this machine's clock is wrong"},
    {ASN_BEFORE_DATE_E, "the certificate is not valid yet, or this machine's clock is wrong"},
    {ASN_VERSION_E, "the certificate is X.509 version 1, which is refused: issue it as version 3"},
    {ASN_SIG_CONFIRM_E, "the certificate's signature does not fit"},
    {ASN_SIG_OID_E, "the certificate's signature algorithm is not supported"},
    {ASN_SIG_HASH_E, "the certificate's signature algorithm is not supported"},
    {ASN_PATHLEN_INV_E, "the certificate's chain is longer than an authority in it allows"},
    {ASN_PATHLEN_SIZE_E, "the certificate's chain is longer than an authority in it allows"},
    {NOT_CA_ERROR, "the certificate is signed by one that is no authority"},
    {KEYUSE_SIGNATURE_E, "the certificate may not be used for signatures (key usage)"},
    {EXTKEYUSE_AUTH_E, "the certificate is not meant for TLS clients (extended key usage)"},
    {RSA_KEY_SIZE_E, "the certificate's RSA key is too small"},
    {ECC_KEY_SIZE_E, "the certificate's elliptic curve key is too small"},
    {CRL_CERT_REVOKED, "the certificate is revoked"},
    {MAX_CHAIN_ERROR, "the certificate's chain is too long"},
    {VERIFY_SIGN_ERROR, "the peer does not hold the key of its certificate"},
    {VERSION_ERROR, "the peer offers no TLS version that is accepted here"},
    {UNSUPPORTED_PROTO_VERSION, "the peer offers no TLS version that is accepted here"},
    {MATCH_SUITE_ERROR, "no cipher suite in common"},
    {UNSUPPORTED_SUITE, "no cipher suite in common"},
    {UNKNOWN_ALPN_PROTOCOL_NAME_E, "no protocol in common (ALPN): see 'alpn'"},
    {KEY_SHARE_ERROR, "no key exchange group in common"},
    {ECC_CURVE_ERROR, "no key exchange group in common"},
    {VERIFY_MAC_ERROR, "a record is damaged or forged"},
    {DECRYPT_ERROR, "a record is damaged or forged"},
    {BAD_FUNC_ARG, "a record is damaged or forged"},
    {AES_GCM_AUTH_E, "a record is damaged or forged"},
    {MAC_CMP_FAILED_E, "a record is damaged or forged"},
    {VERIFY_FINISHED_ERROR, "the handshake was tampered with"},
    {DUPLICATE_MSG_E, "a handshake message a second time: there is no renegotiation"},
    {UNKNOWN_RECORD_TYPE, "a record of unknown type"},
    {MEMORY_E, "out of memory"},
    {MEMORY_ERROR, "out of memory"},
};

const char *tls_reason(int code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].code == code)
            return reasons[i].text;
    }
    return NULL;
}

static const struct reason alerts[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

const char *tls_alert_name(int code)
{
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++) {
        if (alerts[i].code == code)
            return alerts[i].text;
    }
    return "unknown alert";
}

const char *tls_error_words(int code, char *out, size_t capacity)
{
    const char *reason = tls_reason(code);
    if (reason == NULL)
        reason = wolfSSL_ERR_reason_error_string((unsigned long)code);
    snprintf(out, capacity, "%s (%d)", reason != NULL ? reason : "unknown error", code);
    return out;
}

const char *tls_time_text(int64_t time_s, char *out, size_t capacity)
{
    struct tm tm;
    time_t time = (time_t)time_s;
    if (gmtime_r(&time, &tm) == NULL || strftime(out, capacity, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, capacity, "%lld", (long long)time_s);
    return out;
}
