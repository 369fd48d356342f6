#include "tls/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>

#include "tls/certificates_testing.h"

static void assert_bytes(struct bytes actual, const char *expected)
{
    if (!bytes_equal(actual, bytes_of_text(expected)))
        fail_msg("'%.*s' is not '%s'", (int)actual.size, (const char *)actual.data, expected);
}

static void read_der(const char *name, struct buffer *out)
{
    FILE *file = fopen(certificate_path(name), "rb");
    *out = (struct buffer){0};
    assert_non_null(file);
    assert_int_equal(buffer_reserve(out, 8192), STATUS_OK);
    out->size = fread(out->data, 1, 8192, file);
    fclose(file);
    assert_true(out->size > 100);
}

/* ---- Real certificates ---- */

static void names_come_as_rfc_4514_has_them(void **state)
{
    struct identity identity;
    struct buffer der;
    read_der("client.der", &der);
    assert_int_equal(identity_from_certificate(bytes_of(der.data, der.size), &identity), STATUS_OK);
    assert_bytes(identity_name(&identity, IDENTITY_COMMON_NAME), "sensor-7");
    assert_bytes(identity_name(&identity, IDENTITY_SUBJECT), "CN=sensor-7,O=Acme");
    identity_fini(&identity);
    buffer_fini(&der);
}

static void special_characters_are_escaped_and_the_first_cn_counts(void **state)
{
    struct identity identity;
    struct buffer der;
    read_der("names.der", &der);
    assert_int_equal(identity_from_certificate(bytes_of(der.data, der.size), &identity), STATUS_OK);
    assert_bytes(identity_name(&identity, IDENTITY_COMMON_NAME), "first");
    assert_bytes(identity_name(&identity, IDENTITY_SUBJECT),
                 "CN=second,CN=first,OU=\\ x\\ ,OU=Zo\xc3\xab,OU=\\#1,O=A\\, B\\+C,C=DE");
    identity_fini(&identity);
    buffer_fini(&der);
}

static void every_truncation_is_refused_or_the_same(void **state)
{
    struct identity identity;
    struct buffer der;
    read_der("client.der", &der);
    for (size_t size = 0; size < der.size; size++) {
        uint8_t *copy = malloc(size + 1); /* of its own, so that a read behind it is found */
        memcpy(copy, der.data, size);
        assert_int_equal(identity_from_certificate(bytes_of(copy, size), &identity),
                         STATUS_INVALID);
        free(copy);
    }
    buffer_fini(&der);
}

static void no_changed_byte_reads_out_of_bounds(void **state)
{
    struct identity identity;
    struct buffer der;
    read_der("names.der", &der);
    for (size_t i = 0; i < der.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            der.data[i] ^= (uint8_t)(1u << bit);
            if (identity_from_certificate(bytes_of(der.data, der.size), &identity) == STATUS_OK)
                identity_fini(&identity);
            der.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buffer_fini(&der);
}

/* ---- Certificates that no tool would make: as much of one as is read ---- */

struct der {
    uint8_t data[8192];
    size_t size;
};

static struct der wrap(uint8_t tag, const void *data, size_t size)
{
    struct der out = {.data = {tag, 0x82, (uint8_t)(size >> 8), (uint8_t)size}, .size = 4 + size};
    assert_true(out.size <= sizeof out.data);
    memcpy(out.data + 4, data, size);
    return out;
}

static void add(struct der *to, const struct der *part)
{
    assert_true(to->size + part->size <= sizeof to->data);
    memcpy(to->data + to->size, part->data, part->size);
    to->size += part->size;
}

/* SET { SEQUENCE { OID, value } } */
static struct der rdn(const char *oid, size_t oid_size, uint8_t tag, const char *value, size_t size)
{
    struct der pair = wrap(0x06, oid, oid_size);
    struct der text = wrap(tag, value, size);
    add(&pair, &text);
    pair = wrap(0x30, pair.data, pair.size);
    return wrap(0x31, pair.data, pair.size);
}

#define CN(tag, value) rdn("\x55\x04\x03", 3, tag, value, sizeof(value) - 1)

/* With these alternative names: [3] { SEQUENCE { SEQUENCE { OID, OCTET STRING { SEQUENCE { } } } }
 * }
 */
static struct der extensions(const struct der *names)
{
    struct der list = wrap(0x30, names->data, names->size);
    struct der value = wrap(0x04, list.data, list.size);
    struct der extension = wrap(0x06, "\x55\x1d\x11", 3);
    add(&extension, &value);
    extension = wrap(0x30, extension.data, extension.size);
    extension = wrap(0x30, extension.data, extension.size);
    return wrap(0xa3, extension.data, extension.size);
}

static struct der certificate_with(const struct der *name, const struct der *names)
{
    struct der tbs = wrap(0x02, "\x01", 1);
    struct der empty = wrap(0x30, "", 0);
    struct der time = wrap(0x17, "261123081928Z", 13);
    struct der validity = time;
    struct der subject = wrap(0x30, name->data, name->size);
    add(&validity, &time);
    validity = wrap(0x30, validity.data, validity.size);
    add(&tbs, &empty);
    add(&tbs, &empty);
    add(&tbs, &validity);
    add(&tbs, &subject);
    add(&tbs, &empty);
    struct der more = extensions(names);
    if (names->size > 0)
        add(&tbs, &more);
    tbs = wrap(0x30, tbs.data, tbs.size);
    return wrap(0x30, tbs.data, tbs.size);
}

static struct der certificate(const struct der *name)
{
    return certificate_with(name, &(struct der){.size = 0});
}

static void expect(struct der name, const char *common_name, const char *subject)
{
    struct identity identity;
    struct der whole = certificate(&name);
    assert_int_equal(identity_from_certificate(bytes_of(whole.data, whole.size), &identity),
                     STATUS_OK);
    assert_bytes(identity_name(&identity, IDENTITY_COMMON_NAME), common_name);
    assert_bytes(identity_name(&identity, IDENTITY_SUBJECT), subject);
    identity_fini(&identity);
}

static void expect_refusal(struct der name, enum status status)
{
    struct identity identity;
    struct der whole = certificate(&name);
    assert_int_equal(identity_from_certificate(bytes_of(whole.data, whole.size), &identity),
                     status);
}

enum { UTF8 = 0x0c, PRINTABLE = 0x13, TELETEX = 0x14, IA5 = 0x16, BMP = 0x1e };

static void a_zero_byte_makes_no_name(void **state)
{
    expect(CN(UTF8, "admin\0.example"), "", "CN=admin\\00.example");
    expect(CN(UTF8, "a\nb"), "", "CN=a\\0Ab");
}

static void other_encodings_are_shown_in_hexadecimal(void **state)
{
    expect(CN(BMP, "\0a"), "", "CN=#1E8200020061");
    expect(CN(TELETEX, "\xe4"), "", "CN=#14820001E4");
    expect(CN(UTF8, "\xff"), "", "CN=#0C820001FF");
    expect(CN(UTF8, "\xc0\xaf"), "", "CN=#0C820002C0AF");
    expect(CN(UTF8, "\xed\xa0\x80"), "", "CN=#0C820003EDA080");
    expect(CN(PRINTABLE, "\xc3\xab"), "", "CN=#13820002C3AB");
    expect(CN(IA5, "a@b"), "a@b", "CN=a@b");
    expect(CN(UTF8, "\xf0\x9f\x90\x98"), "\xf0\x9f\x90\x98", "CN=\xf0\x9f\x90\x98");
}

static void unknown_attributes_are_shown_with_their_oid(void **state)
{
    expect(rdn("\x2b\x06\x01\x04\x01\x82\x37\x01", 8, UTF8, "x", 1), "",
           "1.3.6.1.4.1.311.1=#0C82000178");
    expect_refusal(rdn("", 0, UTF8, "x", 1), STATUS_INVALID);
    expect_refusal(rdn("\x2b\x86", 2, UTF8, "x", 1), STATUS_INVALID);
    expect_refusal(rdn("\x2b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 12, UTF8, "x", 1),
                   STATUS_INVALID);
}

static void an_empty_subject_is_an_empty_identity(void **state)
{
    expect((struct der){.size = 0}, "", "");
    expect(CN(UTF8, ""), "", "CN=");
}

static void two_long_subjects_are_not_cut_to_the_same(void **state)
{
    static char value[IDENTITY_SUBJECT_MAX + 1];
    memset(value, 'a', sizeof value);
    expect_refusal(rdn("\x55\x04\x03", 3, UTF8, value, IDENTITY_SUBJECT_MAX - 2), STATUS_FULL);
    struct identity identity;
    struct der name = rdn("\x55\x04\x03", 3, UTF8, value, IDENTITY_SUBJECT_MAX - 3);
    struct der whole = certificate(&name);
    assert_int_equal(identity_from_certificate(bytes_of(whole.data, whole.size), &identity),
                     STATUS_OK);
    assert_int_equal(identity_name(&identity, IDENTITY_SUBJECT).size, IDENTITY_SUBJECT_MAX);
    identity_fini(&identity);
}

static void too_many_names_are_refused(void **state)
{
    struct der name = {.size = 0};
    struct der one = CN(UTF8, "a");
    for (unsigned i = 0; i < 65; i++)
        add(&name, &one);
    expect_refusal(name, STATUS_FULL);
}

/* ---- Alternative names ---- */

enum { EMAIL = 0x81, DNS = 0x82, URI = 0x86, ADDRESS = 0x87 };

static void add_name(struct der *names, uint8_t tag, const char *value, size_t size)
{
    struct der name = wrap(tag, value, size);
    add(names, &name);
}

static void assert_names(const struct der *subject, const struct der *names, const char *dns,
                         const char *uri, const char *email, const char *text)
{
    struct identity identity;
    struct der whole = certificate_with(subject, names);
    assert_int_equal(identity_from_certificate(bytes_of(whole.data, whole.size), &identity),
                     STATUS_OK);
    assert_bytes(identity_name(&identity, IDENTITY_DNS), dns);
    assert_bytes(identity_name(&identity, IDENTITY_URI), uri);
    assert_bytes(identity_name(&identity, IDENTITY_EMAIL), email);
    assert_bytes(identity_name(&identity, IDENTITY_SUBJECT), text);
    identity_fini(&identity);
}

static void the_first_alternative_name_of_each_kind_counts(void **state)
{
    struct der subject = CN(UTF8, "s");
    struct der names = {.size = 0};
    assert_names(&subject, &names, "", "", "", "CN=s");
    add_name(&names, ADDRESS, "\x7f\0\0\1", 4);
    add_name(&names, DNS, "a.example", 9);
    assert_names(&subject, &names, "a.example", "", "", "CN=s");
    add_name(&names, EMAIL, "a@example", 9);
    add_name(&names, URI, "urn:a", 5);
    add_name(&names, DNS, "b.example", 9);
    add_name(&names, URI, "urn:b", 5);
    add_name(&names, EMAIL, "b@example", 9);
    assert_names(&subject, &names, "a.example", "urn:a", "a@example", "CN=s");
}

/* Or all of these would be one and the same owner of sessions. */
static void an_alternative_name_stands_for_a_subject_that_is_empty(void **state)
{
    struct der nothing = {.size = 0};
    struct der names = {.size = 0};
    add_name(&names, EMAIL, "a@example", 9);
    assert_names(&nothing, &names, "", "", "a@example", "email:a@example");
    add_name(&names, DNS, "a.example", 9);
    assert_names(&nothing, &names, "a.example", "", "a@example", "DNS:a.example");
    add_name(&names, URI, "urn:a", 5);
    assert_names(&nothing, &names, "a.example", "urn:a", "a@example", "URI:urn:a");
}

static void an_alternative_name_that_is_no_name_is_refused(void **state)
{
    static const char *const bad[] = {"a\nb", "\x7f", "\xc3\xab"};
    struct identity identity;
    struct der nothing = {.size = 0};
    for (unsigned i = 0; i < 4; i++) {
        struct der names = {.size = 0};
        if (i < 3)
            add_name(&names, DNS, bad[i], strlen(bad[i]));
        else
            add_name(&names, DNS, "admin\0.example", 14);
        struct der whole = certificate_with(&nothing, &names);
        assert_int_equal(identity_from_certificate(bytes_of(whole.data, whole.size), &identity),
                         STATUS_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_as_rfc_4514_has_them),
        cmocka_unit_test(special_characters_are_escaped_and_the_first_cn_counts),
        cmocka_unit_test(every_truncation_is_refused_or_the_same),
        cmocka_unit_test(no_changed_byte_reads_out_of_bounds),
        cmocka_unit_test(a_zero_byte_makes_no_name),
        cmocka_unit_test(other_encodings_are_shown_in_hexadecimal),
        cmocka_unit_test(unknown_attributes_are_shown_with_their_oid),
        cmocka_unit_test(an_empty_subject_is_an_empty_identity),
        cmocka_unit_test(two_long_subjects_are_not_cut_to_the_same),
        cmocka_unit_test(too_many_names_are_refused),
        cmocka_unit_test(the_first_alternative_name_of_each_kind_counts),
        cmocka_unit_test(an_alternative_name_stands_for_a_subject_that_is_empty),
        cmocka_unit_test(an_alternative_name_that_is_no_name_is_refused),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
