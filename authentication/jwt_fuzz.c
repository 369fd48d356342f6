/* Tokens of a stranger, and the JSON of one who has the secret: refused with a reason, or good for
 * as long as they say. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "authentication/hmac.h"
#include "authentication/jwt.h"
#include "base/base64.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "0123456789abcdef0123456789abcdef";

static struct jwt_keys *load(void)
{
    char path[] = "/tmp/holdfast-jwt-fuzz-XXXXXX", error[256];
    struct jwt_keys *keys;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, secret, sizeof secret - 1) == sizeof secret - 1);
    close(fd);
    struct jwt_options options = {.secret_file = path};
    CHECK(jwt_keys_load(&options, &keys, error, sizeof error) == STATUS_OK);
    unlink(path);
    return keys;
}

static size_t put_url(const void *data, size_t size, char *out)
{
    base64_encode(bytes_of(data, size), out);
    size_t length = strlen(out);
    while (length > 0 && out[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return length;
}

static size_t sign(const uint8_t *claims, size_t claims_size, char *out)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    uint8_t signature[HMAC_SIZE];
    size_t size = put_url(header, sizeof header - 1, out);
    out[size++] = '.';
    size += put_url(claims, claims_size, out + size);
    struct bytes text = bytes_of(out, size);
    CHECK(hmac_sha256(bytes_of(secret, sizeof secret - 1), &text, 1, signature));
    out[size++] = '.';
    return size + put_url(signature, sizeof signature, out + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { NOW = 1900000000 };
    static struct jwt_keys *keys;
    static char token[JWT_TOKEN_MAX + 200];
    struct jwt_proof proof;
    struct bytes user = bytes_of_text("bob");
    if (keys == NULL)
        keys = load();
    CHECK(jwt_verify(keys, bytes_of(data, size), user, NOW, &proof) != NULL);
    if (BASE64_SIZE(size) > JWT_TOKEN_MAX)
        return 0;
    size_t signed_size = sign(data, size, token);
    CHECK(jwt_is_token(bytes_of(token, signed_size)));
    if (jwt_verify(keys, bytes_of(token, signed_size), user, NOW, &proof) == NULL) {
        CHECK(proof.expires_s > NOW);
        CHECK(jwt_keys_have(keys, proof.key));
        CHECK(memmem(data, size, "exp", 3) != NULL || memmem(data, size, "\\u", 2) != NULL);
    }
    return 0;
}
