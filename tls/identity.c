#include "tls/identity.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "tls/certificate.h"
#include "tls/der.h"
#include "tls/psk.h"

/* ---- Text, as RFC 4514 ---- */

struct text {
    char *data;
    size_t size;
    size_t capacity;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    if (text->full)
        return;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text->data + text->size, text->capacity - text->size, format, arguments);
    va_end(arguments);
    text->full = size < 0 || (size_t)size >= text->capacity - text->size;
    if (!text->full)
        text->size += (size_t)size;
}

struct attribute_name {
    const char *name;
    uint8_t size;
    uint8_t oid[10];
};

/* RFC 4514 section 3, and the two that every other tool spells out as well. */
static const struct attribute_name attribute_names[] = {
    {"CN", 3, {0x55, 4, 3}},
    {"serialNumber", 3, {0x55, 4, 5}},
    {"C", 3, {0x55, 4, 6}},
    {"L", 3, {0x55, 4, 7}},
    {"ST", 3, {0x55, 4, 8}},
    {"STREET", 3, {0x55, 4, 9}},
    {"O", 3, {0x55, 4, 10}},
    {"OU", 3, {0x55, 4, 11}},
    {"UID", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1}},
    {"DC", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25}},
    {"emailAddress", 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1}},
};
static const size_t attribute_name_count = sizeof attribute_names / sizeof *attribute_names;

static const char *attribute_name(struct bytes oid)
{
    for (size_t i = 0; i < attribute_name_count; i++) {
        if (bytes_equal(oid, bytes_of(attribute_names[i].oid, attribute_names[i].size)))
            return attribute_names[i].name;
    }
    return NULL;
}

static bool put_dotted(struct text *text, struct bytes oid)
{
    uint64_t arc = 0;
    bool first = true;
    if (oid.size == 0 || (oid.data[oid.size - 1] & 0x80) != 0)
        return false;
    for (size_t i = 0; i < oid.size; i++) {
        if (arc >> 56 != 0)
            return false;
        arc = arc << 7 | (oid.data[i] & 0x7f);
        if ((oid.data[i] & 0x80) != 0)
            continue;
        unsigned root = arc < 80 ? (unsigned)arc / 40 : 2;
        if (first)
            put(text, "%u.%llu", root, (unsigned long long)arc - root * 40);
        else
            put(text, ".%llu", (unsigned long long)arc);
        first = false;
        arc = 0;
    }
    return true;
}

static void put_hex(struct text *text, struct bytes bytes)
{
    put(text, "#");
    for (size_t i = 0; i < bytes.size; i++)
        put(text, "%02X", bytes.data[i]);
}

static void put_escaped(struct text *text, struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        bool edge = i == 0 || i + 1 == value.size;
        if (c < 0x20 || c == 0x7f)
            put(text, "\\%02X", c);
        else if (strchr(",+\"\\<>;=", c) != NULL || (c == ' ' && edge) || (c == '#' && i == 0))
            put(text, "\\%c", c);
        else
            put(text, "%c", c);
    }
}

/* ---- Strings ---- */

/* Length of a well-formed UTF-8 character at `p`, or 0: no overlong forms, no surrogates. */
static size_t utf8_size(const uint8_t *p, size_t left)
{
    size_t size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (size == 0 || size > left || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return size;
}

/* Whether the value is text that stands for itself in UTF-8. The others (UCS-2, UCS-4, Teletex) are
 * written in hexadecimal, as RFC 4514 has it for what cannot be shown. */
static bool is_text(const struct der_element *value)
{
    bool ascii = value->tag == DER_PRINTABLE_STRING || value->tag == DER_IA5_STRING ||
                 value->tag == DER_NUMERIC_STRING;
    if (!ascii && value->tag != DER_UTF8_STRING)
        return false;
    for (size_t i = 0; i < value->value.size;) {
        size_t size = utf8_size(value->value.data + i, value->value.size - i);
        if (size == 0 || (ascii && size > 1))
            return false;
        i += size;
    }
    return true;
}

/* A zero byte or another control character in a name is an attempt at something. */
static bool is_clean(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
            return false;
    }
    return value.size > 0;
}

/* ---- The subject ---- */

struct subject {
    struct text text;
    struct bytes common_name; /* in the DER */
};

static bool put_attribute(struct subject *subject, struct bytes *set)
{
    struct der_element pair;
    struct der_element oid;
    struct der_element value;
    if (!der_expect(set, DER_SEQUENCE, &pair) || !der_expect(&pair.value, DER_OID, &oid) ||
        !der_next(&pair.value, &value) || pair.value.size != 0)
        return false;
    const char *name = attribute_name(oid.value);
    bool text = is_text(&value);
    if (name != NULL)
        put(&subject->text, "%s=", name);
    else if (put_dotted(&subject->text, oid.value))
        put(&subject->text, "=");
    else
        return false;
    if (text && name != NULL)
        put_escaped(&subject->text, value.value);
    else
        put_hex(&subject->text, value.whole);
    if (name != NULL && strcmp(name, "CN") == 0 && text && is_clean(value.value))
        subject->common_name = value.value;
    return true;
}

enum { RDN_MAX = 64 };

/* RFC 4514 writes the last name first, so that the most specific one stands in front; the first CN
 * of the certificate is therefore the one that is put last. */
static enum status put_subject(struct subject *subject, struct bytes name)
{
    struct bytes rdns[RDN_MAX];
    size_t count = 0;
    while (name.size > 0) {
        struct der_element rdn;
        if (count == RDN_MAX)
            return STATUS_FULL;
        if (!der_expect(&name, DER_SET, &rdn) || rdn.value.size == 0)
            return STATUS_INVALID;
        rdns[count++] = rdn.value;
    }
    while (count > 0) {
        struct bytes set = rdns[--count];
        while (set.size > 0) {
            if (!put_attribute(subject, &set))
                return STATUS_INVALID;
            if (set.size > 0)
                put(&subject->text, "+");
        }
        if (count > 0)
            put(&subject->text, ",");
    }
    return subject->text.full ? STATUS_FULL : STATUS_OK;
}

/* What stands in a Name. */
static bool content_of(struct bytes name, struct bytes *out)
{
    struct der_element e;
    if (!der_expect(&name, DER_SEQUENCE, &e))
        return false;
    *out = e.value;
    return true;
}

const char *identity_name_text(struct bytes name, char *out, size_t capacity)
{
    char text[IDENTITY_SUBJECT_MAX + 1];
    struct subject subject = {.text = {.data = text, .capacity = sizeof text}};
    struct bytes content;
    if (!content_of(name, &content) || put_subject(&subject, content) != STATUS_OK)
        snprintf(out, capacity, "%s", "(a name that cannot be shown)");
    else
        snprintf(out, capacity, "%.*s%s", (int)(capacity > 4 ? capacity - 4 : 0), text,
                 subject.text.size + 4 > capacity ? "..." : "");
    return out;
}

/* ---- The subject's alternative names (RFC 5280 section 4.2.1.6) ---- */

static bool is_ascii(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] > 0x7e)
            return false;
    }
    return true;
}

static struct bytes *place_of(uint8_t tag, struct bytes *names)
{
    switch (tag) {
    case 0x81:
        return &names[IDENTITY_EMAIL];
    case 0x82:
        return &names[IDENTITY_DNS];
    case 0x86:
        return &names[IDENTITY_URI];
    default:
        return NULL;
    }
}

/* The first of each kind counts, so that another one behind it cannot take its place. */
static enum status take_alternative_names(struct bytes in, struct bytes *names)
{
    struct der_element list;
    struct der_element name;
    if (in.size == 0)
        return STATUS_OK;
    if (!der_expect(&in, DER_SEQUENCE, &list))
        return STATUS_INVALID;
    while (list.value.size > 0) {
        if (!der_next(&list.value, &name))
            return STATUS_INVALID;
        struct bytes *place = place_of(name.tag, names);
        if (place == NULL || place->size > 0)
            continue;
        if (!is_clean(name.value) || !is_ascii(name.value))
            return STATUS_INVALID;
        if (name.value.size > IDENTITY_SUBJECT_MAX)
            return STATUS_FULL;
        *place = name.value;
    }
    return STATUS_OK;
}

/* Two certificates without a subject are no one's twins: what tells them apart stands here. */
static void put_instead_of_subject(struct text *text, const struct bytes *names)
{
    static const enum identity_name order[] = {IDENTITY_URI, IDENTITY_DNS, IDENTITY_EMAIL};
    static const char *const kinds[] = {"URI", "DNS", "email"};
    for (unsigned i = 0; i < 3; i++) {
        struct bytes name = names[order[i]];
        if (name.size > 0) {
            put(text, "%s:%.*s", kinds[i], (int)name.size, (const char *)name.data);
            return;
        }
    }
}

/* ---- All of them ---- */

enum status identity_from_names(const struct bytes *names, struct identity *out)
{
    size_t size = 0;
    *out = (struct identity){0};
    for (unsigned i = 0; i < IDENTITY_NAMES; i++)
        size += names[i].size;
    if (size == 0)
        return STATUS_OK;
    uint8_t *at = out->memory = malloc(size);
    if (at == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < IDENTITY_NAMES; i++) {
        at = put_bytes(at, names[i]);
        out->sizes[i] = (uint16_t)names[i].size;
    }
    return STATUS_OK;
}

enum status identity_from_certificate(struct bytes der, struct identity *out)
{
    char text[IDENTITY_SUBJECT_MAX + 1];
    struct bytes name;
    struct bytes names[IDENTITY_NAMES] = {0};
    struct certificate certificate;
    struct subject subject = {.text = {.data = text, .capacity = sizeof text}};
    *out = (struct identity){0};
    if (!certificate_parse(der, &certificate) || !content_of(certificate.subject, &name))
        return STATUS_INVALID;
    TRY(put_subject(&subject, name));
    TRY(take_alternative_names(certificate.alternative_names, names));
    if (subject.text.size == 0)
        put_instead_of_subject(&subject.text, names);
    if (subject.text.full)
        return STATUS_FULL;
    names[IDENTITY_COMMON_NAME] = subject.common_name;
    names[IDENTITY_SUBJECT] = bytes_of(text, subject.text.size);
    return identity_from_names(names, out);
}

enum status identity_from_psk(struct bytes name, struct identity *out)
{
    uint8_t subject[4 + PSK_IDENTITY_MAX];
    CHECK(name.size <= PSK_IDENTITY_MAX);
    const uint8_t *end = put_bytes(put_bytes(subject, bytes_of_text("PSK:")), name);
    const struct bytes names[IDENTITY_NAMES] = {
        [IDENTITY_SUBJECT] = bytes_of(subject, (size_t)(end - subject)),
        [IDENTITY_PSK] = name,
    };
    return identity_from_names(names, out);
}

void identity_fini(struct identity *identity)
{
    free(identity->memory);
    *identity = (struct identity){0};
}

struct bytes identity_name(const struct identity *identity, enum identity_name which)
{
    size_t before = 0;
    if (identity->sizes[which] == 0)
        return bytes_of(NULL, 0);
    for (unsigned i = 0; i < which; i++)
        before += identity->sizes[i];
    return bytes_of(identity->memory + before, identity->sizes[which]);
}
