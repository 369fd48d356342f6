/* One exchange of SCRAM-SHA-256 or SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), on the server's side:
 * text in, text out. It knows nothing of MQTT, of files or of sockets, and allocates nothing; its
 * memory is what stands here.
 *
 * The client says who it is (scram_start); the server answers with salt, iterations and a nonce
 * (scram_challenge); the client proves that it knows the password, and that it sees the same
 * TLS channel, and the server proves in return that it has the credential (scram_finish).
 *
 * User names are the bytes that they are: SASLprep, which changes nothing about ASCII, is left to
 * the client. On one thread at a time. */
#ifndef AUTHENTICATION_SCRAM_H
#define AUTHENTICATION_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authentication/scram_credential.h"
#include "base/base64.h"
#include "base/bytes.h"

enum {
    SCRAM_USER_MAX = 255,
    SCRAM_NONCE_MAX = 128,  /* of the client; of the server, a quarter of it */
    SCRAM_FIRST_MAX = 1024, /* client-first-message */
    SCRAM_FINAL_MAX = 2048, /* client-final-message */
    SCRAM_CHANNEL_MAX = 64, /* bytes of channel binding data */
    SCRAM_SERVER_FIRST_MAX = 320,
    SCRAM_SERVER_FINAL_SIZE = 2 + BASE64_SIZE(HMAC_SIZE) + 1,
};

/* What both ends know of the TLS channel between them, and nobody in between (RFC 5056). */
struct scram_channel {
    const char *type; /* "tls-exporter" */
    uint8_t data[SCRAM_CHANNEL_MAX];
    size_t size;
};

struct scram {
    uint8_t first[SCRAM_FIRST_MAX];
    size_t first_size, header_size; /* the GS2 header stands in front */
    uint8_t user[SCRAM_USER_MAX];
    struct bytes user_name; /* in `user` */
    char server_first[SCRAM_SERVER_FIRST_MAX];
    size_t nonce_size; /* of both, which stands at `server_first` + 2 */
    struct scram_channel channel;
    struct scram_credential credential;
    char server_final[SCRAM_SERVER_FINAL_SIZE];
};

/* Takes the client-first-message. `plus`: the method is SCRAM-SHA-256-PLUS. `channels` are those
 * that there are; none, and the client may say that it would have wanted one. NULL, or what is
 * wrong with it. scram->user_name says who it claims to be. */
const char *scram_start(struct scram *scram, bool plus, struct bytes message,
                        const struct scram_channel *channels, size_t channel_count);

/* The server-first-message, in the exchange's memory. `nonce`, of printable ASCII without commas,
 * is what the server adds to the client's: random, and never the same twice. */
struct bytes scram_challenge(struct scram *scram, const struct scram_credential *credential,
                             const char *nonce);

/* Takes the client-final-message. NULL: the client is who it claims to be, and
 * scram->server_final says that the server is. Else what is wrong; the peer is told none of it. */
const char *scram_finish(struct scram *scram, struct bytes message);

#endif
