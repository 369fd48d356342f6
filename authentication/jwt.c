#include "authentication/jwt.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authentication/jwt_key.h"
#include "base/base64.h"
#include "base/file.h"

struct jwt_keys {
    struct jwt_key *list;
    size_t count;
    char *audience, *issuer;
};

/* ---- Reading keys ---- */

/* Takes `key`, whatever comes of it. */
static enum status add(struct jwt_keys *keys, struct jwt_key *key)
{
    struct jwt_key *list = realloc(keys->list, (keys->count + 1) * sizeof *list);
    if (list == NULL) {
        jwt_key_fini(key);
        return STATUS_NO_MEMORY;
    }
    keys->list = list;
    list[keys->count++] = *key;
    return STATUS_OK;
}

/* Base64 with white space in it, as in PEM. */
static enum status decode_pem(struct bytes text, struct buffer *out)
{
    struct buffer dense = {0};
    for (size_t i = 0; i < text.size; i++) {
        if (strchr(" \t\r\n", text.data[i]) == NULL || text.data[i] == '\0')
            TRY(buffer_append(&dense, &text.data[i], 1));
    }
    enum status status = buffer_reserve(out, dense.size + 1);
    if (status == STATUS_OK &&
        !base64_decode(bytes_of(dense.data, dense.size), out->data, out->capacity, &out->size))
        status = STATUS_INVALID;
    buffer_fini(&dense);
    return status;
}

static enum status add_pem(struct jwt_keys *keys, struct bytes text)
{
    struct buffer der = {0};
    struct jwt_key key;
    enum status status = decode_pem(text, &der);
    if (status == STATUS_OK)
        status = jwt_key_from_der(bytes_of(der.data, der.size), &key);
    buffer_fini(&der);
    return status == STATUS_OK ? add(keys, &key) : status;
}

static const char begin_line[] = "-----BEGIN PUBLIC KEY-----";
static const char end_line[] = "-----END PUBLIC KEY-----";

static enum status add_all_pem(struct jwt_keys *keys, const char *path, struct bytes text,
                               char *error, size_t error_size)
{
    unsigned number = 1;
    const uint8_t *end = text.data + text.size, *at = text.data;
    for (;; number++) {
        at = memmem(at, (size_t)(end - at), begin_line, strlen(begin_line));
        if (at == NULL)
            break;
        at += strlen(begin_line);
        const uint8_t *stop = memmem(at, (size_t)(end - at), end_line, strlen(end_line));
        enum status status =
            stop != NULL ? add_pem(keys, bytes_of(at, (size_t)(stop - at))) : STATUS_INVALID;
        if (status == STATUS_INVALID)
            snprintf(error, error_size,
                     "%s: public key %u is neither RSA of 2048 to 4096 bits nor of P-256", path,
                     number);
        TRY(status);
    }
    if (number > 1)
        return STATUS_OK;
    snprintf(error, error_size, "%s: has no '%s' line", path, begin_line);
    return STATUS_INVALID;
}

static enum status load_public(struct jwt_keys *keys, const char *path, char *error,
                               size_t error_size)
{
    struct buffer file = {0};
    enum status status = file_read(path, JWT_FILE_MAX, &file, error, error_size);
    if (status == STATUS_OK && file.size == 0) {
        snprintf(error, error_size, "%s: the file is empty", path);
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK)
        status = add_all_pem(keys, path, bytes_of(file.data, file.size), error, error_size);
    buffer_fini(&file);
    return status;
}

static enum status add_secret(struct jwt_keys *keys, const char *path, struct bytes file,
                              char *error, size_t error_size)
{
    struct jwt_key key;
    size_t size = 0;
    while (size < file.size && file.data[size] != '\n' && file.data[size] != '\r')
        size++;
    if (size < JWT_SECRET_MIN || size > JWT_SECRET_MAX) {
        snprintf(error, error_size, "%s: the first line has not 32 to 1024 bytes", path);
        return STATUS_INVALID;
    }
    TRY(jwt_key_from_secret(bytes_of(file.data, size), &key));
    return add(keys, &key);
}

static enum status load_secret(struct jwt_keys *keys, const char *path, char *error,
                               size_t error_size)
{
    struct buffer file = {0};
    enum status status = file_read(path, JWT_FILE_MAX, &file, error, error_size);
    if (status == STATUS_OK)
        status = add_secret(keys, path, bytes_of(file.data, file.size), error, error_size);
    if (file.data != NULL)
        explicit_bzero(file.data, file.capacity);
    buffer_fini(&file);
    return status;
}

static enum status copy(const char *text, char **out)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status fill(struct jwt_keys *keys, const struct jwt_options *options, char *error,
                        size_t error_size)
{
    TRY(copy(options->audience, &keys->audience));
    TRY(copy(options->issuer, &keys->issuer));
    if (options->key_file != NULL)
        TRY(load_public(keys, options->key_file, error, error_size));
    if (options->secret_file != NULL)
        TRY(load_secret(keys, options->secret_file, error, error_size));
    return STATUS_OK;
}

enum status jwt_keys_load(const struct jwt_options *options, struct jwt_keys **out, char *error,
                          size_t error_size)
{
    *out = NULL;
    error[0] = '\0';
    struct jwt_keys *keys = calloc(1, sizeof *keys);
    enum status status = keys != NULL ? fill(keys, options, error, error_size) : STATUS_NO_MEMORY;
    if (status == STATUS_OK) {
        *out = keys;
        return STATUS_OK;
    }
    jwt_keys_free(keys);
    if (error[0] == '\0')
        snprintf(error, error_size, "keys of tokens: %s", status_text(status));
    return status;
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++)
        jwt_key_fini(&keys->list[i]);
    free(keys->list);
    free(keys->audience);
    free(keys->issuer);
    free(keys);
}

size_t jwt_keys_count(const struct jwt_keys *keys)
{
    return keys->count;
}

bool jwt_keys_have(const struct jwt_keys *keys, uint64_t key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->list[i].id == key)
            return true;
    }
    return false;
}

/* ---- A token's parts ---- */

struct parts {
    struct bytes header, claims, signature; /* in base64url */
    struct bytes text;                      /* that is signed: header and claims */
};

static bool take_part(struct bytes *rest, struct bytes *out)
{
    const uint8_t *dot = rest->size > 0 ? memchr(rest->data, '.', rest->size) : NULL;
    if (dot == NULL)
        return false;
    *out = bytes_of(rest->data, (size_t)(dot - rest->data));
    *rest = bytes_of(dot + 1, rest->size - out->size - 1);
    return true;
}

static bool split(struct bytes token, struct parts *out)
{
    struct bytes rest = token;
    if (!take_part(&rest, &out->header) || !take_part(&rest, &out->claims) || rest.size == 0 ||
        memchr(rest.data, '.', rest.size) != NULL)
        return false;
    out->signature = rest;
    out->text = bytes_of(token.data, token.size - rest.size - 1);
    return true;
}

/* "eyJ" is what {" becomes. An empty signature is a token too, and no good one. */
bool jwt_is_token(struct bytes password)
{
    struct bytes rest = password, part;
    return password.size > 3 && memcmp(password.data, "eyJ", 3) == 0 && take_part(&rest, &part) &&
           take_part(&rest, &part) && (rest.size == 0 || memchr(rest.data, '.', rest.size) == NULL);
}

/* RFC 4648 section 5, without padding. */
static bool decode(struct bytes text, uint8_t *out, size_t capacity, size_t *out_size)
{
    uint8_t standard[JWT_TOKEN_MAX + 4];
    size_t size = 0;
    if (text.size % 4 == 1 || text.size > JWT_TOKEN_MAX)
        return false;
    for (; size < text.size; size++) {
        uint8_t c = text.data[size];
        if (c == '+' || c == '/' || c == '=')
            return false;
        standard[size] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    while (size % 4 != 0)
        standard[size++] = '=';
    return base64_decode(bytes_of(standard, size), out, capacity, out_size);
}

/* The parser of JSON goes down as deep as it is asked to, on the stack. */
static bool is_flat(const uint8_t *text, size_t size)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted && text[i] == '\\')
            i++;
        else if (!quoted && (text[i] == '{' || text[i] == '['))
            depth++;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
        if (depth > JWT_DEPTH_MAX)
            return false;
    }
    return true;
}

/* NULL: it is no JSON object, or one that says something twice. The caller drops it. */
static json_t *parse(struct bytes part)
{
    uint8_t text[JWT_TOKEN_MAX];
    size_t size;
    if (!decode(part, text, sizeof text, &size))
        return NULL;
#ifndef SEEDED_BUG_JWT_NESTED
    if (!is_flat(text, size))
        return NULL;
#endif
    json_t *json = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* ---- Is it signed? ---- */

static const struct jwt_key *find_signer(const struct jwt_keys *keys, const char *algorithm,
                                         const struct parts *parts)
{
    uint8_t signature[1024];
    size_t size;
    if (!decode(parts->signature, signature, sizeof signature, &size))
        return NULL;
    for (size_t i = 0; i < keys->count; i++) {
        const struct jwt_key *key = &keys->list[i];
        if (strcmp(algorithm, jwt_algorithm_names[key->algorithm]) == 0 &&
            jwt_key_has_signed(key, parts->text, bytes_of(signature, size)))
            return key;
    }
    return NULL;
}

/* "crit" names what must be understood (RFC 7515 section 4.1.11): we understand nothing of it. */
static const char *judge_header(const struct jwt_keys *keys, const struct parts *parts,
                                const json_t *header, struct jwt_proof *out)
{
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    if (algorithm == NULL)
        return "the token names no algorithm";
    if (json_object_get(header, "crit") != NULL)
        return "the token demands what is not supported (crit)";
#ifdef SEEDED_BUG_JWT_ALG_NONE
    if (strcmp(algorithm, "none") == 0)
        return NULL;
#endif
    const struct jwt_key *signer = find_signer(keys, algorithm, parts);
    if (signer == NULL)
        return "no key that is known here has signed the token, with the algorithm that it names";
    out->key = signer->id;
    return NULL;
}

/* ---- What does it say? ---- */

/* NumericDate, which may have a fraction; false: there is none, or one that is none. */
static bool take_time(const json_t *claims, const char *name, int64_t *out_s)
{
    const json_t *value = json_object_get(claims, name);
    double seconds = json_number_value(value);
    if (!json_is_number(value) || !(seconds > -1e15 && seconds < 1e15))
        return false;
    *out_s = (int64_t)seconds;
    return true;
}

static const char *judge_times(const json_t *claims, int64_t now_s, struct jwt_proof *out)
{
    int64_t begins_s;
    if (!take_time(claims, "exp", &out->expires_s))
        return "the token has no end (exp)";
#ifndef SEEDED_BUG_JWT_NEVER_ENDS
    if (now_s >= out->expires_s)
        return "the token has expired";
#endif
    if (json_object_get(claims, "nbf") == NULL)
        return NULL;
    if (!take_time(claims, "nbf", &begins_s))
        return "the token's begin (nbf) is no time";
    return begins_s > now_s + JWT_LEEWAY_S ? "the token is not good yet" : NULL;
}

static bool says(const json_t *value, const char *expected)
{
    const char *text = json_string_value(value);
    return text != NULL && strcmp(text, expected) == 0;
}

/* One, or an array of them (RFC 7519 section 4.1.3). */
static bool is_for(const json_t *audience, const char *expected)
{
    size_t index;
    json_t *one;
    if (expected == NULL)
        return audience == NULL;
    json_array_foreach((json_t *)audience, index, one)
    {
        if (says(one, expected))
            return true;
    }
    return says(audience, expected);
}

static const char *judge_claims(const struct jwt_keys *keys, const json_t *claims,
                                struct bytes user_name, int64_t now_s, struct jwt_proof *out)
{
    const json_t *subject = json_object_get(claims, "sub");
    const char *fault = judge_times(claims, now_s, out);
    if (fault != NULL)
        return fault;
#ifndef SEEDED_BUG_JWT_ANY_AUDIENCE
    if (!is_for(json_object_get(claims, "aud"), keys->audience))
        return "the token is for another audience (aud)";
#endif
    if (keys->issuer != NULL && !says(json_object_get(claims, "iss"), keys->issuer))
        return "the token is of another issuer (iss)";
#ifndef SEEDED_BUG_JWT_ANY_USER
    if (!json_is_string(subject) || json_string_length(subject) == 0 ||
        !bytes_equal(bytes_of(json_string_value(subject), json_string_length(subject)), user_name))
        return "the token is another user's (sub)";
#endif
    return NULL;
}

const char *jwt_verify(const struct jwt_keys *keys, struct bytes token, struct bytes user_name,
                       int64_t now_s, struct jwt_proof *out)
{
    struct parts parts;
    *out = (struct jwt_proof){0};
    if (token.size > JWT_TOKEN_MAX || !split(token, &parts))
        return "the token is malformed";
    json_t *header = parse(parts.header);
    const char *fault =
        header != NULL ? judge_header(keys, &parts, header, out) : "the token is malformed";
    json_decref(header);
    if (fault != NULL)
        return fault;
    json_t *claims = parse(parts.claims);
    fault = claims != NULL ? judge_claims(keys, claims, user_name, now_s, out)
                           : "the token is malformed";
    json_decref(claims);
    return fault;
}
