#include "tls/identity.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- DER ---- */

enum {
    TAG_INTEGER = 0x02,
    TAG_OID = 0x06,
    TAG_UTF8_STRING = 0x0c,
    TAG_NUMERIC_STRING = 0x12,
    TAG_PRINTABLE_STRING = 0x13,
    TAG_IA5_STRING = 0x16,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_VERSION = 0xa0, /* [0], constructed */
};

struct element {
    uint8_t tag;
    struct bytes whole; /* with tag and length */
    struct bytes value;
};

/* Cuts the first element off `in`. Only what X.509 uses: tags of one byte, definite lengths. */
static bool next_element(struct bytes *in, struct element *out)
{
    size_t header = 2;
    if (in->size < 2 || (in->data[0] & 0x1f) == 0x1f)
        return false;
    size_t size = in->data[1];
    if (size >= 0x80) {
        size_t digits = size & 0x7f;
        if (digits == 0 || digits > 3 || in->size < 2 + digits)
            return false;
        size = 0;
        for (size_t i = 0; i < digits; i++)
            size = size << 8 | in->data[2 + i];
        header += digits;
    }
    if (size > in->size - header)
        return false;
    out->tag = in->data[0];
    out->whole = bytes_of(in->data, header + size);
    out->value = bytes_of(in->data + header, size);
    *in = bytes_of(in->data + header + size, in->size - header - size);
    return true;
}

static bool expect(struct bytes *in, uint8_t tag, struct element *out)
{
    return next_element(in, out) && out->tag == tag;
}

/* Certificate -> TBSCertificate -> subject (RFC 5280 section 4.1). */
static bool find_subject(struct bytes der, struct bytes *out)
{
    struct element e;
    if (!expect(&der, TAG_SEQUENCE, &e))
        return false;
    struct bytes in = e.value;
    if (!expect(&in, TAG_SEQUENCE, &e))
        return false;
    in = e.value;
    if (in.size > 0 && in.data[0] == TAG_VERSION && !next_element(&in, &e))
        return false;
    bool found = expect(&in, TAG_INTEGER, &e) &&  /* serial number */
                 expect(&in, TAG_SEQUENCE, &e) && /* signature algorithm */
                 expect(&in, TAG_SEQUENCE, &e) && /* issuer */
                 expect(&in, TAG_SEQUENCE, &e) && /* validity */
                 expect(&in, TAG_SEQUENCE, &e);   /* subject */
    *out = e.value;
    return found;
}

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
static bool is_text(const struct element *value)
{
    bool ascii = value->tag == TAG_PRINTABLE_STRING || value->tag == TAG_IA5_STRING ||
                 value->tag == TAG_NUMERIC_STRING;
    if (!ascii && value->tag != TAG_UTF8_STRING)
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
    struct element pair;
    struct element oid;
    struct element value;
    if (!expect(set, TAG_SEQUENCE, &pair) || !expect(&pair.value, TAG_OID, &oid) ||
        !next_element(&pair.value, &value) || pair.value.size != 0)
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
        struct element rdn;
        if (count == RDN_MAX)
            return STATUS_FULL;
        if (!expect(&name, TAG_SET, &rdn) || rdn.value.size == 0)
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

static enum status keep(const struct subject *subject, struct identity *out)
{
    size_t name_size = subject->common_name.size;
    size_t subject_size = subject->text.size;
    *out = (struct identity){0};
    if (name_size + subject_size == 0)
        return STATUS_OK;
    uint8_t *memory = malloc(name_size + subject_size);
    if (memory == NULL)
        return STATUS_NO_MEMORY;
    put_bytes(memory, subject->common_name);
    put_bytes(memory + name_size, bytes_of(subject->text.data, subject_size));
    out->memory = memory;
    out->common_name = bytes_of(memory, name_size);
    out->subject = bytes_of(memory + name_size, subject_size);
    return STATUS_OK;
}

enum status identity_from_certificate(struct bytes der, struct identity *out)
{
    char text[IDENTITY_SUBJECT_MAX + 1];
    struct bytes name;
    struct subject subject = {.text = {.data = text, .capacity = sizeof text}};
    *out = (struct identity){0};
    if (!find_subject(der, &name))
        return STATUS_INVALID;
    TRY(put_subject(&subject, name));
    return keep(&subject, out);
}

void identity_fini(struct identity *identity)
{
    free(identity->memory);
    *identity = (struct identity){0};
}
