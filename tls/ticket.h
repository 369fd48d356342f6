/* What a session ticket says of the client, beside wolfSSL's own part, and how both are sealed.
 *
 * A resumed session comes without the client's certificate: who it is, and by which chain it was
 * let in, travels in the ticket, encrypted and authenticated, and is judged again when it comes
 * back. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "tls/identity.h"
#include "tls/peer.h"
#include "tls/ticket_keys.h"

/* Who the other side is, and since when that is proven. */
struct ticket_claim {
    struct identity identity;
    struct peer *peer; /* NULL: it has shown no certificate */
    int64_t proven_s;  /* of the whole handshake, however often the session was resumed since */
};

void ticket_claim_fini(struct ticket_claim *claim);

enum { TICKET_IV_SIZE = 12, TICKET_TAG_SIZE = 16 };

struct ticket_seal {
    uint8_t *name; /* TICKET_KEY_NAME_SIZE bytes, of the key */
    uint8_t *iv;   /* TICKET_IV_SIZE bytes */
    uint8_t *tag;  /* TICKET_TAG_SIZE bytes */
};

/* Encrypts in place the first `size` bytes of `data` with the claim behind them; returns how many
 * they are together, or 0 where that fails. A claim for which `capacity` has no room makes a ticket
 * that opens for nobody: its client does a whole handshake again. */
size_t ticket_seal(struct ticket_keys *keys, int64_t now_s, const struct ticket_claim *claim,
                   const struct ticket_seal *seal, uint8_t *data, size_t size, size_t capacity);
/* Decrypts in place; returns how many bytes stand before the claim, or 0 for what is not, or not
 * any more, a ticket of ours. */
size_t ticket_open(struct ticket_keys *keys, int64_t now_s, const struct ticket_seal *seal,
                   uint8_t *data, size_t size, struct ticket_claim *out);

#endif
