#include "tls/revocation.h"

#include <stdlib.h>

#include "tls/der.h"

enum { TAG_LIST_EXTENSIONS = 0xa0 };

struct authority {
    struct certificate_id issuer;
    int64_t next_update_s;
};

struct revocation {
    struct buffer authorities; /* struct authority, in no order: there are few */
    struct buffer revoked;     /* struct certificate_id, sorted */
};

enum status revocation_new(struct revocation **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

void revocation_free(struct revocation *revocation)
{
    if (revocation == NULL)
        return;
    buffer_fini(&revocation->authorities);
    buffer_fini(&revocation->revoked);
    free(revocation);
}

struct certificate_id revocation_issuer(struct bytes issuer)
{
    return certificate_id_of(issuer, bytes_of(NULL, 0));
}

struct certificate_id revocation_certificate(struct bytes issuer, struct bytes serial)
{
    while (serial.size > 1 && serial.data[0] == 0)
        serial = bytes_of(serial.data + 1, serial.size - 1);
    return certificate_id_of(issuer, serial);
}

/* ---- Reading a list ---- */

/* Whether a SEQUENCE OF Extension holds one that must be understood: what makes a list a delta, or
 * one for some certificates only, or an entry one of another authority, is always critical. */
static bool has_critical_extension(struct bytes in)
{
    struct der_element extension;
    struct der_element e;
    while (in.size > 0) {
        if (!der_expect(&in, DER_SEQUENCE, &extension) ||
            !der_expect(&extension.value, DER_OID, &e))
            return true;
        if (der_begins_with(extension.value, DER_BOOLEAN) &&
            (!der_next(&extension.value, &e) || e.value.size != 1 || e.value.data[0] != 0))
            return true;
    }
    return false;
}

struct list {
    struct bytes issuer;
    int64_t next_update_s;
    struct bytes entries;
    bool has_critical;
};

static bool is_time(struct bytes in)
{
    return der_begins_with(in, DER_UTC_TIME) || der_begins_with(in, DER_GENERALIZED_TIME);
}

/* CertificateList -> TBSCertList (RFC 5280 section 5.1). */
static bool parse_list(struct bytes der, struct list *out)
{
    struct der_element e;
    *out = (struct list){0};
    if (!der_expect(&der, DER_SEQUENCE, &e) || !der_expect(&e.value, DER_SEQUENCE, &e))
        return false;
    struct bytes in = e.value;
    if (der_begins_with(in, DER_INTEGER) && !der_next(&in, &e)) /* version */
        return false;
    if (!der_expect(&in, DER_SEQUENCE, &e) || /* signature algorithm */
        !der_expect(&in, DER_SEQUENCE, &e))
        return false;
    out->issuer = e.whole;
    if (!is_time(in) || !der_next(&in, &e) || !is_time(in) || !der_next(&in, &e) ||
        !der_time(&e, &out->next_update_s))
        return false;
    if (der_begins_with(in, DER_SEQUENCE)) {
        if (!der_next(&in, &e))
            return false;
        out->entries = e.value;
    }
    if (der_begins_with(in, TAG_LIST_EXTENSIONS)) {
        if (!der_next(&in, &e) || !der_expect(&e.value, DER_SEQUENCE, &e))
            return false;
        out->has_critical = has_critical_extension(e.value);
    }
    return in.size == 0;
}

static bool parse_entry(struct bytes *in, struct bytes *out_serial, bool *out_critical)
{
    struct der_element entry;
    struct der_element serial;
    struct der_element e;
    if (!der_expect(in, DER_SEQUENCE, &entry) || !der_expect(&entry.value, DER_INTEGER, &serial) ||
        !is_time(entry.value) || !der_next(&entry.value, &e))
        return false;
    if (der_begins_with(entry.value, DER_SEQUENCE)) {
        if (!der_next(&entry.value, &e))
            return false;
        *out_critical |= has_critical_extension(e.value);
    }
    *out_serial = serial.value;
    return entry.value.size == 0;
}

/* ---- Adding it ---- */

static enum status add_entries(struct revocation *revocation, struct list *list, size_t *out_count)
{
    *out_count = 0;
    while (list->entries.size > 0) {
        struct bytes serial;
        if (!parse_entry(&list->entries, &serial, &list->has_critical))
            return STATUS_INVALID;
        struct certificate_id id = revocation_certificate(list->issuer, serial);
        TRY(buffer_append(&revocation->revoked, &id, sizeof id));
        *out_count += 1;
    }
    return STATUS_OK;
}

static struct authority *authority_find(const struct revocation *revocation,
                                        const struct certificate_id *issuer)
{
    struct authority *authorities = (struct authority *)revocation->authorities.data;
    size_t count = revocation->authorities.size / sizeof *authorities;
    for (size_t i = 0; i < count; i++) {
        if (certificate_id_equal(&authorities[i].issuer, issuer))
            return &authorities[i];
    }
    return NULL;
}

static enum status add_authority(struct revocation *revocation, const struct list *list)
{
    struct authority authority = {.issuer = revocation_issuer(list->issuer),
                                  .next_update_s = list->next_update_s};
    struct authority *known = authority_find(revocation, &authority.issuer);
    if (known == NULL)
        return buffer_append(&revocation->authorities, &authority, sizeof authority);
    if (known->next_update_s < authority.next_update_s)
        known->next_update_s = authority.next_update_s;
    return STATUS_OK;
}

enum status revocation_add(struct revocation *revocation, struct bytes der, bool counts,
                           struct revocation_summary *out, const char **error)
{
    struct list list;
    *error = "not a certificate revocation list, or damaged";
    if (!parse_list(der, &list))
        return STATUS_INVALID;
    size_t before = revocation->revoked.size;
    enum status status = add_entries(revocation, &list, &out->count);
    if (status == STATUS_OK && list.has_critical) {
        *error = "a delta or partial list, or with extensions that are not known here: it cannot "
                 "be used";
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK && counts)
        status = add_authority(revocation, &list);
    if (status != STATUS_OK)
        revocation->revoked.size = before;
    out->issuer = list.issuer;
    out->next_update_s = list.next_update_s;
    return status;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct certificate_id));
}

void revocation_seal(struct revocation *revocation)
{
    size_t count = revocation->revoked.size / sizeof(struct certificate_id);
    if (count > 0)
        qsort(revocation->revoked.data, count, sizeof(struct certificate_id), compare);
}

/* ---- Asking ---- */

static bool is_revoked(const struct revocation *revocation, const struct certificate_id *id)
{
    const struct certificate_id *revoked = (struct certificate_id *)revocation->revoked.data;
    size_t low = 0;
    size_t high = revocation->revoked.size / sizeof *revoked;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(id, &revoked[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

enum revocation_verdict revocation_ask(const struct revocation *revocation,
                                       const struct certificate_id *issuer,
                                       const struct certificate_id *certificate, int64_t now_s)
{
    if (is_revoked(revocation, certificate))
        return REVOCATION_REVOKED;
    const struct authority *authority = authority_find(revocation, issuer);
    if (authority == NULL)
        return REVOCATION_UNKNOWN;
    return authority->next_update_s < now_s ? REVOCATION_STALE : REVOCATION_GOOD;
}
