/* SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677): the client, and the calculations that
 * a server shares with it. Text in, text out; it knows nothing of MQTT.
 *
 * Passwords and user names are taken as the bytes that they are: SASLprep, which changes nothing
 * about ASCII, is the user's to apply. */
#ifndef CONFORMANCE_SCRAM_H
#define CONFORMANCE_SCRAM_H

#include "conformance/wire/packet.h"

#define SCRAM_METHOD "SCRAM-SHA-256"

enum {
    SCRAM_KEY_SIZE = 32,
    SCRAM_BASE64_SIZE = 45,   /* a key in base64, with the NUL */
    SCRAM_NONCE_SIZE = 25,    /* 18 random bytes in base64, with the NUL */
    SCRAM_MESSAGE_SIZE = 768, /* the longest message that is read or written */
    SCRAM_LEAST_ITERATIONS = 4096,
};

/* ---- The client ---- */

struct scram_client {
    const char *user, *password; /* borrowed */
    char nonce[SCRAM_NONCE_SIZE];
    const char *header; /* GS2; NULL: "n,," */
    char first[SCRAM_MESSAGE_SIZE];
    char final[SCRAM_MESSAGE_SIZE];
    char signature[SCRAM_BASE64_SIZE]; /* which the server has to send */
};

/* Fills with random characters. */
void scram_nonce(char nonce[SCRAM_NONCE_SIZE]);

/* client-first-message into `first`. False: the name is too long. */
bool scram_client_first(struct scram_client *client);
/* client-final-message into `final`, in answer to the server's first one. Else what is wrong with
 * that. */
const char *scram_client_final(struct scram_client *client, struct text server_first);
/* The same with a text instead of "c=...,r=..." that need not be right; the proof is made for it.
 */
const char *scram_client_final_of(struct scram_client *client, struct text server_first,
                                  const char *without_proof);
/* Whether server-final-message proves that the server knows the password. */
bool scram_client_verifies(const struct scram_client *client, struct text server_final);

/* ---- What both sides calculate ---- */

struct scram_keys {
    uint8_t client[SCRAM_KEY_SIZE], stored[SCRAM_KEY_SIZE], server[SCRAM_KEY_SIZE];
};

void scram_keys_of(const char *password, struct text salt, unsigned iterations,
                   struct scram_keys *out);
/* ClientProof and ServerSignature, in base64. */
void scram_proof(const struct scram_keys *keys, const char *auth_message,
                 char out[SCRAM_BASE64_SIZE]);
void scram_signature(const struct scram_keys *keys, const char *auth_message,
                     char out[SCRAM_BASE64_SIZE]);

/* The value of "x=..." between commas; false: there is none. */
bool scram_attribute(struct text message, char name, struct text *out);

#endif
