#include "conformance/fault/scram.h"

#include <stdio.h>
#include <string.h>

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/coding.h>

#define SALT "the salt of this"
#define SALT_BASE64 "dGhlIHNhbHQgb2YgdGhpcw=="

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Splits the header from the rest. */
static bool split(struct scram_server *server, enum scram_breach breach, struct text message)
{
    char text[SCRAM_MESSAGE_SIZE];
    if (message.size >= sizeof text)
        return false;
    memcpy(text, message.data, message.size);
    text[message.size] = '\0';
    char *second = strchr(text, ',');
    char *end = second ? strchr(second + 1, ',') : NULL;
    if (!end || (size_t)(end + 1 - text) >= sizeof server->header)
        return false;
    bool demands = begins_with(text, "p=") || begins_with(end + 1, "m=");
    bool usual = begins_with(text, "n,") || begins_with(text, "y,");
    if (breach == SCRAM_TAKES_DEMANDS ? !demands && !usual : demands || !usual)
        return false;
    memcpy(server->header, text, (size_t)(end + 1 - text));
    strcpy(server->first_bare, end + 1);
    return true;
}

bool scram_server_first(struct scram_server *server, enum scram_breach breach, struct text message)
{
    struct text user, nonce;
    char own[SCRAM_NONCE_SIZE] = "the same each time";
    *server = (struct scram_server){0};
    if (!split(server, breach, message) ||
        !scram_attribute(text_of(server->first_bare), 'n', &user) ||
        !scram_attribute(text_of(server->first_bare), 'r', &nonce) || nonce.size > 256)
        return false;
    server->known = text_equal(user, TEXT(SCRAM_USER)) || breach == SCRAM_TAKES_ANY_USER;
    if (breach != SCRAM_REPEATS_NONCE)
        scram_nonce(own);
    snprintf(server->nonce, sizeof server->nonce, "%.*s%s",
             breach == SCRAM_FORGETS_CLIENT_NONCE ? 0 : (int)nonce.size, (const char *)nonce.data,
             own);
    snprintf(server->out, sizeof server->out, "r=%s,s=" SALT_BASE64 ",i=%d", server->nonce,
             SCRAM_LEAST_ITERATIONS);
    return true;
}

static bool binding_fits(const struct scram_server *server, struct text binding)
{
    char wanted[128];
    word32 size = sizeof wanted;
    Base64_Encode_NoNl((const byte *)server->header, (word32)strlen(server->header), (byte *)wanted,
                       &size);
    return text_equal(binding, (struct text){(const uint8_t *)wanted, size});
}

bool scram_server_final(struct scram_server *server, enum scram_breach breach, bool takes_any,
                        struct text message)
{
    struct text binding, nonce, proof;
    struct scram_keys keys;
    char wanted[SCRAM_BASE64_SIZE], signature[SCRAM_BASE64_SIZE];
    bool has_binding = scram_attribute(message, 'c', &binding);
    bool has_nonce = scram_attribute(message, 'r', &nonce);
    bool has_proof = scram_attribute(message, 'p', &proof);
    if (!takes_any && (!has_binding || !has_nonce || !has_proof))
        return false;
    size_t before = has_proof ? (size_t)(proof.data - message.data) - 3 : message.size;
    snprintf(server->auth_message, sizeof server->auth_message, "%s,%s,%.*s", server->first_bare,
             server->out, (int)before, (const char *)message.data);
    scram_keys_of(SCRAM_PASSWORD, TEXT(SALT), SCRAM_LEAST_ITERATIONS, &keys);
    scram_proof(&keys, server->auth_message, wanted);
    scram_signature(&keys, server->auth_message, signature);
    if (breach == SCRAM_WRONG_SIGNATURE)
        signature[0] = signature[0] == 'A' ? 'B' : 'A';
    snprintf(server->out, sizeof server->out, "v=%s", signature);
    if (takes_any)
        return true;
    return server->known && text_equal(proof, text_of(wanted)) &&
           (text_equal(nonce, text_of(server->nonce)) || breach == SCRAM_TAKES_ANY_NONCE) &&
           (binding_fits(server, binding) || breach == SCRAM_TAKES_ANY_BINDING);
}
