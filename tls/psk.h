/* The pre-shared keys of a listener: a file of mosquitto's form, a line IDENTITY:HEXKEY for each.
 *
 * Immutable once read; any thread. Keys are wiped when they go. */
#ifndef TLS_PSK_H
#define TLS_PSK_H

#include "base/bytes.h"
#include "base/status.h"

enum {
    PSK_IDENTITY_MAX = 128, /* bytes, as in wolfSSL without TLS 1.3 */
    PSK_KEY_MIN = 16,       /* bytes: what is shorter can be guessed at, off line (RFC 9257, 6) */
    PSK_KEY_MAX = 64,
    PSK_FILE_MAX = 64 << 20,
};

struct psk_table;

struct psk_key {
    struct bytes identity; /* borrowed from the table */
    uint8_t key[PSK_KEY_MAX];
    size_t size;
};

/* INVALID with `path`, the line and its fault in `error`, which never has a key. */
enum status MUST_USE psk_parse(const char *path, struct bytes text, struct psk_table **out,
                               char *error, size_t error_size);
enum status MUST_USE psk_load(const char *path, struct psk_table **out, char *error,
                              size_t error_size);
void psk_free(struct psk_table *table); /* or NULL */

size_t psk_count(const struct psk_table *table);
/* NULL: there is no such identity. Borrowed. */
const struct psk_key *psk_find(const struct psk_table *table, struct bytes identity);
/* What stands for the key of whoever has none: random, the same as long as the table lives. A
 * handshake with it fails as one with a wrong key does. */
const struct psk_key *psk_decoy(const struct psk_table *table);

#endif
