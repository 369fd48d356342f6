#include "tls/psk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/log.h"

struct entry {
    struct psk_key key;
    unsigned line;
};

struct psk_table {
    uint8_t *text; /* of the file, for the identities; the keys in it are wiped */
    size_t size;
    struct entry *entries;
    size_t count, capacity;
    struct psk_key decoy;
};

/* ---- Lines ---- */

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What is wrong with it, or NULL. Nothing of it stays in `hex`. */
static const char *take_key(uint8_t *hex, size_t size, struct psk_key *out)
{
    const char *fault = NULL;
    if (size % 2 != 0 || size < 2 * PSK_KEY_MIN || size > 2 * PSK_KEY_MAX)
        fault = "the key has not 32 to 128 hexadecimal digits (16 to 64 bytes)";
    for (size_t i = 0; fault == NULL && i < size; i += 2) {
        int high = digit_of(hex[i]), low = digit_of(hex[i + 1]);
        if (high < 0 || low < 0)
            fault = "the key is not hexadecimal";
        else
            out->key[out->size++] = (uint8_t)(high << 4 | low);
    }
    explicit_bzero(hex, size);
    return fault;
}

/* Printable ASCII: it is going to be a user name, and no two look alike. */
static bool is_identity(const uint8_t *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] < 0x20 || name[i] > 0x7e)
            return false;
    }
    return size > 0 && size <= PSK_IDENTITY_MAX;
}

static const char *take_line(struct psk_table *table, uint8_t *line, size_t size, unsigned number)
{
    struct entry *entry = &table->entries[table->count];
    uint8_t *colon = memchr(line, ':', size);
    if (colon == NULL)
        return "not IDENTITY:HEXKEY";
    size_t name_size = (size_t)(colon - line);
    if (!is_identity(line, name_size))
        return "the identity is not 1 to 128 printable ASCII characters";
    *entry = (struct entry){.key.identity = bytes_of(line, name_size), .line = number};
    table->count++;
    return take_key(colon + 1, size - name_size - 1, &entry->key);
}

static size_t trimmed(const uint8_t *line, size_t size)
{
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t' || line[size - 1] == '\r'))
        size--;
    return size;
}

static enum status take_lines(struct psk_table *table, const char *path, char *error,
                              size_t error_size)
{
    unsigned number = 1;
    uint8_t *end = table->text + table->size;
    for (uint8_t *line = table->text, *next; line < end; line = next + 1, number++) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next != NULL ? next : end;
        size_t size = trimmed(line, (size_t)(next - line));
        const char *fault =
            size > 0 && line[0] != '#' ? take_line(table, line, size, number) : NULL;
        if (fault == NULL)
            continue;
        snprintf(error, error_size, "%s:%u: %s", path, number, fault);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

/* ---- The table ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int order = bytes_compare(one->key.identity, other->key.identity);
    return order != 0 ? order : (one->line > other->line) - (one->line < other->line);
}

static enum status sort(struct psk_table *table, const char *path, char *error, size_t error_size)
{
    char name[200];
    qsort(table->entries, table->count, sizeof *table->entries, compare_entries);
    for (size_t i = 1; i < table->count; i++) {
        const struct entry *entry = &table->entries[i];
        struct bytes identity = entry->key.identity;
        if (!bytes_equal(identity, entry[-1].key.identity))
            continue;
        snprintf(error, error_size, "%s:%u: identity \"%s\" stands in line %u too", path,
                 entry->line, log_text(identity.data, identity.size, name, sizeof name),
                 entry[-1].line);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status reserve(struct psk_table *table, struct bytes text)
{
    table->capacity = 1;
    for (size_t i = 0; i < text.size; i++)
        table->capacity += text.data[i] == '\n';
    table->entries = calloc(table->capacity, sizeof *table->entries);
    table->text = malloc(text.size + 1);
    if (table->entries == NULL || table->text == NULL)
        return STATUS_NO_MEMORY;
    put_bytes(table->text, text);
    table->size = text.size;
    table->decoy.size = 32;
    return getrandom(table->decoy.key, table->decoy.size, 0) == (ssize_t)table->decoy.size
               ? STATUS_OK
               : STATUS_IO;
}

enum status psk_parse(const char *path, struct bytes text, struct psk_table **out, char *error,
                      size_t error_size)
{
    *out = NULL;
    error[0] = '\0';
    struct psk_table *table = calloc(1, sizeof *table);
    enum status status = table != NULL ? reserve(table, text) : STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        status = take_lines(table, path, error, error_size);
    if (status == STATUS_OK)
        status = sort(table, path, error, error_size);
    if (status == STATUS_OK) {
        *out = table;
        return STATUS_OK;
    }
    psk_free(table);
    if (error[0] == '\0')
        snprintf(error, error_size, "%s: %s", path, status_text(status));
    return status;
}

enum status psk_load(const char *path, struct psk_table **out, char *error, size_t error_size)
{
    struct buffer text = {0};
    *out = NULL;
    enum status status = file_read(path, PSK_FILE_MAX, &text, error, error_size);
    if (status == STATUS_OK)
        status = psk_parse(path, bytes_of(text.data, text.size), out, error, error_size);
    if (text.data != NULL)
        explicit_bzero(text.data, text.capacity);
    buffer_fini(&text);
    return status;
}

void psk_free(struct psk_table *table)
{
    if (table == NULL)
        return;
    if (table->entries != NULL)
        explicit_bzero(table->entries, table->capacity * sizeof *table->entries);
    if (table->text != NULL)
        explicit_bzero(table->text, table->size);
    free(table->entries);
    free(table->text);
    explicit_bzero(table, sizeof *table);
    free(table);
}

size_t psk_count(const struct psk_table *table)
{
    return table->count;
}

const struct psk_key *psk_find(const struct psk_table *table, struct bytes identity)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bytes_compare(identity, table->entries[middle].key.identity);
        if (order == 0)
            return &table->entries[middle].key;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct psk_key *psk_decoy(const struct psk_table *table)
{
    return &table->decoy;
}
