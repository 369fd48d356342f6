/* Tokens of RFC 7515 and of openssl are good; whatever somebody has made of one is not. */
#include "authentication/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "authentication/hmac.h"
#include "base/base64.h"

/* RFC 7515, appendix A.1: its secret and its token; the claims have no "sub". */
static const uint8_t rfc_secret[] = {
    3,   35,  53, 75,  43,  15, 165, 188, 131, 126, 6,   101, 119, 123, 166, 143,
    90,  179, 40, 230, 240, 84, 201, 40,  169, 15,  132, 178, 210, 80,  46,  191,
    211, 251, 90, 146, 210, 6,  71,  239, 150, 138, 180, 195, 119, 98,  61,  34,
    61,  46,  33, 114, 5,   46, 79,  8,   192, 205, 154, 245, 103, 208, 128, 163,
};
static const char rfc_hs256[] =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsD"
    "QogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gF"
    "WFOEjXk";
/* Appendix A.3: the key is its x and y as SubjectPublicKeyInfo. */
static const char rfc_es256_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
    "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
    "-----END PUBLIC KEY-----\n";
static const char rfc_es256[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc"
    "GxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djx"
    "La8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/* Made and signed by openssl: {"sub":"alice","exp":2000000000}. */
static const char rsa_key[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4hqqUAqUKaziuHobnJzT\n"
                              "PEOhhrES7jdoCg8Ndacmcz59WxjpLf2kHRZMajlFzL9Zc1WJ0qsRm0bIOFkbVk/8\n"
                              "AukuqXGr9+Zz+tm8Q5jPi9eYzn1Kj9H/AeOoP2uVAkKvmOU8jqquCJq1a75qqLjW\n"
                              "moWGirBM2kW4g6B8cdLQGQIlTDMUCawT3FH6AalJ7fwpRimc+2Zzrgw5X64FrwiE\n"
                              "/JPCp7+xmYGJmTNsrjbgOa7W0AsFyidxGis5PJWKOVDi5NiRssO3Ma/Ak9JTXRZv\n"
                              "QYXvJ4OyhiyXJMeqav79vjkplyRa0dIULb86w6dMIb3fBnb/ounO0O4vcGULXalT\n"
                              "VwIDAQAB\n"
                              "-----END PUBLIC KEY-----\n";
static const char rsa_token[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSIsImV4cCI6MjAwMDAwMDAwMH0.vRJtuFX"
    "aam4Mgny5xJNnZOyFQCN5YaDqb7H5bATXJU0oDRMRZ2YzAPX9NAKJBSd8gdSL8sztw0C_duz7n3cMFOk_jKgI4"
    "NyyEkcHq6DDS3f1rSQbIz7Kog7ptBBQzlBOysd3J0lKU0bV8hKGxQCDxWcl5vsTrJ_7MSB-y3E6COQr0i7HQwm"
    "cQt31rIYOCjGTzOCdWwvuc7y7Ls66i6WJhnIU9y37iAxii53k_Q65PfMtlyeJin0BR7iarb6vzrdsmyG3urdQb"
    "QNrYCgZ40ruslbj5EncZuqFUhD7pBlhgju1lidmZD7fTBxeWgOZk_XkPPtTIO1_7owaKYf3Sb3zig";
static const char weak_rsa_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCy8YRTV3347bheb1BPPW+BSorz\n"
    "dT650bEs2/VUlfYzX0dcL2dFwuvVhjkWtyfxYv9+UP2KxnGC/5kAtbd4fUW0wPST\n"
    "MlsRN/yS+CP3lmvkG7EHdd4AEkh9ENdWfMR80D4tC5Ljd3f+zxsNXSUX6cqaD/o7\n"
    "LkRagQCciuCmNBs8nQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
static const char p384_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEjhHobLlXfhq6jJFlfcGw3N7OLxI5tcPn\n"
                               "Hr8yqgmgc4xDt8G77Ojj/OkPA5EX5zLhbZ8A7AW6+E0EE+XzlHJnzJUCgfO3wI3K\n"
                               "1i6sNLDmEQ4Vjh6cNKerrI+yoUt+fr3z\n"
                               "-----END PUBLIC KEY-----\n";

enum { NOW = 1900000000, RFC_EXPIRES = 1300819380 };

/* ---- Keys ---- */

static char directory[64];

static const char *file_with(const char *name, const void *data, size_t size)
{
    static char paths[2][128];
    static unsigned next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static struct jwt_keys *load(const struct jwt_options *options)
{
    struct jwt_keys *keys;
    char error[256];
    if (jwt_keys_load(options, &keys, error, sizeof error) != STATUS_OK)
        fail_msg("refused: %s", error);
    return keys;
}

static struct jwt_keys *public_keys(const char *pem)
{
    return load(&(struct jwt_options){.key_file = file_with("keys", pem, strlen(pem))});
}

static struct jwt_keys *secret_of(const void *secret, size_t size)
{
    return load(&(struct jwt_options){.secret_file = file_with("secret", secret, size)});
}

static void refuses_keys(const char *pem, const char *part)
{
    struct jwt_keys *keys;
    char error[256];
    struct jwt_options options = {.key_file = file_with("keys", pem, strlen(pem))};
    assert_int_equal(jwt_keys_load(&options, &keys, error, sizeof error), STATUS_INVALID);
    assert_null(keys);
    if (strstr(error, part) == NULL || strstr(error, "/keys: ") == NULL)
        fail_msg("'%s' does not say '%s'", error, part);
}

static void keys_that_are_none_are_refused(void **state)
{
    refuses_keys("", "the file is empty");
    refuses_keys("nonsense", "has no '-----BEGIN PUBLIC KEY-----' line");
    refuses_keys("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public key 1");
    refuses_keys("-----BEGIN PUBLIC KEY-----\nAAAA\n", "public key 1");
    refuses_keys(weak_rsa_key, "neither RSA of 2048 to 4096 bits nor of P-256");
    refuses_keys(p384_key, "neither RSA of 2048 to 4096 bits nor of P-256");
}

static void a_secret_that_can_be_guessed_is_refused(void **state)
{
    struct jwt_keys *keys;
    char error[256];
    const char *secret = "0123456789abcdef0123456789abcde\nand more in the next line";
    struct jwt_options options = {.secret_file = file_with("secret", secret, strlen(secret))};
    assert_int_equal(jwt_keys_load(&options, &keys, error, sizeof error), STATUS_INVALID);
    assert_non_null(strstr(error, "/secret: the first line has not 32 to 1024 bytes"));
    assert_null(strstr(error, "0123456789"));
}

/* ---- Tokens of others ---- */

static void expect(const struct jwt_keys *keys, const char *token, const char *user, int64_t now_s,
                   const char *expected)
{
    struct jwt_proof proof;
    const char *fault = jwt_verify(keys, bytes_of_text(token), bytes_of_text(user), now_s, &proof);
    if (expected == NULL && fault != NULL)
        fail_msg("%s: refused: %s", token, fault);
    if (expected != NULL && (fault == NULL || strstr(fault, expected) == NULL))
        fail_msg("%s: '%s' does not say '%s'", token, fault != NULL ? fault : "good", expected);
}

static const char unsigned_by_us[] = "no key that is known here";

/* What is wrong with the RFC's is found behind the signature. */
static void the_examples_of_the_rfc_are_signed(void **state)
{
    struct jwt_keys *secret = secret_of(rfc_secret, sizeof rfc_secret);
    struct jwt_keys *ec = public_keys(rfc_es256_key);
    assert_true(jwt_is_token(bytes_of_text(rfc_hs256)));
    expect(secret, rfc_hs256, "joe", RFC_EXPIRES - 1, "another user's (sub)");
    expect(secret, rfc_hs256, "joe", RFC_EXPIRES, "expired");
    expect(ec, rfc_es256, "joe", RFC_EXPIRES - 1, "another user's (sub)");
    expect(ec, rfc_es256, "joe", RFC_EXPIRES, "expired");
    expect(secret, rfc_es256, "joe", RFC_EXPIRES - 1, unsigned_by_us);
    expect(ec, rfc_hs256, "joe", RFC_EXPIRES - 1, unsigned_by_us);
    jwt_keys_free(secret);
    jwt_keys_free(ec);
}

static void openssls_rs256_is_good_for_its_user_until_it_expires(void **state)
{
    char both[2000];
    snprintf(both, sizeof both, "%s\n# the next one\n%s", rfc_es256_key, rsa_key);
    struct jwt_keys *keys = public_keys(both);
    struct jwt_proof proof;
    assert_int_equal(jwt_keys_count(keys), 2);
    assert_null(jwt_verify(keys, bytes_of_text(rsa_token), bytes_of_text("alice"), NOW, &proof));
    assert_int_equal(proof.expires_s, 2000000000);
    assert_true(jwt_keys_have(keys, proof.key));
    expect(keys, rsa_token, "alice", 1999999999, NULL);
    expect(keys, rsa_token, "alice", 2000000000, "expired");
    expect(keys, rsa_token, "alic", NOW, "another user's");
    expect(keys, rsa_token, "", NOW, "another user's");
    jwt_keys_free(keys);
    keys = public_keys(rfc_es256_key);
    expect(keys, rsa_token, "alice", NOW, unsigned_by_us);
    assert_false(jwt_keys_have(keys, proof.key));
    jwt_keys_free(keys);
}

static void one_bit_is_enough(void **state)
{
    struct jwt_keys *keys = public_keys(rsa_key);
    size_t size = strlen(rsa_token);
    char token[sizeof rsa_token];
    struct jwt_proof proof;
    for (size_t i = 0; i < size; i++) {
        memcpy(token, rsa_token, sizeof token);
        token[i] ^= 1;
        assert_non_null(
            jwt_verify(keys, bytes_of(token, size), bytes_of_text("alice"), NOW, &proof));
        assert_non_null(
            jwt_verify(keys, bytes_of(rsa_token, i), bytes_of_text("alice"), NOW, &proof));
    }
    jwt_keys_free(keys);
}

/* ---- Tokens of ours: the signature has been seen to be the RFC's ---- */

static const char secret[] = "0123456789abcdef0123456789abcdef";

static size_t put_url(const void *data, size_t size, char *out)
{
    base64_encode(bytes_of(data, size), out);
    size_t length = strlen(out);
    while (length > 0 && out[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    out[length] = '\0';
    return length;
}

static const char *sign_with(struct bytes key, const char *header, const char *claims)
{
    static char token[40000];
    uint8_t signature[HMAC_SIZE];
    size_t size = put_url(header, strlen(header), token);
    token[size++] = '.';
    size += put_url(claims, strlen(claims), token + size);
    struct bytes text = bytes_of(token, size);
    assert_true(hmac_sha256(key, &text, 1, signature));
    token[size++] = '.';
    put_url(signature, sizeof signature, token + size);
    return token;
}

static const char *sign(const char *claims)
{
    return sign_with(bytes_of_text(secret), "{\"alg\":\"HS256\"}", claims);
}

static void claims_decide(void **state)
{
    static const struct {
        const char *claims, *fault;
    } rows[] = {
        {"{\"sub\":\"bob\",\"exp\":1900000001}", NULL},
        {"{\"sub\":\"bob\",\"exp\":1900000000.5}", "expired"},
        {"{\"sub\":\"bob\",\"exp\":1900000001.5,\"nbf\":1900000030,\"iat\":\"x\"}", NULL},
        {"{\"sub\":\"bob\",\"exp\":1900000100,\"nbf\":1900000031}", "not good yet"},
        {"{\"sub\":\"bob\",\"exp\":1900000100,\"nbf\":\"0\"}", "no time"},
        {"{\"sub\":\"bob\"}", "no end"},
        {"{\"sub\":\"bob\",\"exp\":\"2000000000\"}", "no end"},
        {"{\"sub\":\"bob\",\"exp\":null}", "no end"},
        {"{\"sub\":\"bob\",\"exp\":1e300}", "no end"},
        {"{\"sub\":\"bob\",\"exp\":99999999999999999999}", "malformed"},
        {"{\"sub\":\"bob\",\"exp\":-1}", "expired"},
        {"{\"sub\":\"Bob\",\"exp\":2000000000}", "another user's"},
        {"{\"sub\":[\"bob\"],\"exp\":2000000000}", "another user's"},
        {"{\"sub\":\"bob\\u0000\",\"exp\":2000000000}", "malformed"},
        {"{\"exp\":2000000000}", "another user's"},
        {"{\"sub\":\"bob\",\"exp\":1,\"exp\":2000000000}", "malformed"},
        {"{\"sub\":\"bob\",\"exp\":2000000000,\"aud\":\"x\"}", "another audience"},
        {"{\"sub\":\"bob\",\"exp\":2000000000,\"aud\":null}", "another audience"},
        {"{\"sub\":\"bob\",\"exp\":2000000000} x", "malformed"},
        {"[\"sub\",\"bob\"]", "malformed"},
        {"", "malformed"},
    };
    struct jwt_keys *keys = secret_of(secret, strlen(secret));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(keys, sign(rows[i].claims), "bob", NOW, rows[i].fault);
    jwt_keys_free(keys);
}

static void the_audience_and_the_issuer_are_those_that_are_asked_for(void **state)
{
    static const struct {
        const char *claims, *fault;
    } rows[] = {
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":\"mqtt\",\"iss\":\"me\"}", NULL},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":[1,\"web\",\"mqtt\"],\"iss\":\"me\"}", NULL},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":[\"web\"],\"iss\":\"me\"}", "audience"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":[],\"iss\":\"me\"}", "audience"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":{\"mqtt\":1},\"iss\":\"me\"}", "audience"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":\"mqtt2\",\"iss\":\"me\"}", "audience"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"iss\":\"me\"}", "audience"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":\"mqtt\",\"iss\":\"you\"}", "issuer"},
        {"{\"sub\":\"b\",\"exp\":2000000000,\"aud\":\"mqtt\"}", "issuer"},
    };
    struct jwt_keys *keys =
        load(&(struct jwt_options){.secret_file = file_with("secret", secret, strlen(secret)),
                                   .audience = "mqtt",
                                   .issuer = "me"});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(keys, sign(rows[i].claims), "b", NOW, rows[i].fault);
    jwt_keys_free(keys);
}

static const char good[] = "{\"sub\":\"b\",\"exp\":2000000000}";

static void only_the_algorithm_of_the_key_will_do(void **state)
{
    static const struct {
        const char *header, *fault;
    } rows[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", NULL},
        {"{\"alg\":\"none\"}", unsigned_by_us},
        {"{\"alg\":\"None\"}", unsigned_by_us},
        {"{\"alg\":\"hs256\"}", unsigned_by_us},
        {"{\"alg\":\"HS384\"}", unsigned_by_us},
        {"{\"alg\":\"RS256\"}", unsigned_by_us},
        {"{\"alg\":[\"HS256\"]}", "names no algorithm"},
        {"{}", "names no algorithm"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "malformed"},
        {"{\"alg\":\"HS256\",\"crit\":[\"x\"]}", "crit"},
    };
    struct jwt_keys *keys = secret_of(secret, strlen(secret));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(keys, sign_with(bytes_of_text(secret), rows[i].header, good), "b", NOW,
               rows[i].fault);
    char token[200];
    snprintf(token, sizeof token, "%s",
             sign_with(bytes_of_text(secret), "{\"alg\":\"none\"}", good));
    *(strrchr(token, '.') + 1) = '\0';
    expect(keys, token, "b", NOW, "malformed");
    jwt_keys_free(keys);
}

/* The public key is public: as a secret of HS256 it proves nothing. */
static void a_public_key_is_no_secret(void **state)
{
    struct jwt_keys *keys = public_keys(rsa_key);
    expect(keys, sign_with(bytes_of_text(rsa_key), "{\"alg\":\"HS256\"}", good), "b", NOW,
           unsigned_by_us);
    expect(keys, sign_with(bytes_of(NULL, 0), "{\"alg\":\"HS256\"}", good), "b", NOW,
           unsigned_by_us);
    jwt_keys_free(keys);
}

static void what_is_too_large_or_too_deep_is_refused(void **state)
{
    struct jwt_keys *keys = secret_of(secret, strlen(secret));
    char claims[20000];
    for (unsigned depth = 1; depth <= 2500; depth += depth < 12 ? 1 : 1000) {
        snprintf(claims, sizeof claims, "{\"sub\":\"b\",\"exp\":2000000000,\"x\":%*s", 0, "");
        size_t size = strlen(claims);
        memset(claims + size, '[', depth);
        memset(claims + size + depth, ']', depth);
        strcpy(claims + size + 2 * (size_t)depth, "}");
        expect(keys, sign(claims), "b", NOW, depth < JWT_DEPTH_MAX ? NULL : "malformed");
    }
    /* Brackets in a text are none. */
    expect(keys, sign("{\"x\":\"[[[[[[[[[[[[\\\"{{{{\",\"sub\":\"b\",\"exp\":2000000000}"), "b",
           NOW, NULL);
    snprintf(claims, sizeof claims, "{\"sub\":\"b\",\"exp\":2000000000,\"x\":\"%06000d\"}", 0);
    expect(keys, sign(claims), "b", NOW, NULL);
    snprintf(claims, sizeof claims, "{\"sub\":\"b\",\"exp\":2000000000,\"x\":\"%06200d\"}", 0);
    expect(keys, sign(claims), "b", NOW, "malformed");
    jwt_keys_free(keys);
}

static void a_password_is_not_taken_for_a_token(void **state)
{
    static const char *const passwords[] = {"", "eyJ", "secret", "eyJ.x", "a.b.c", "eyJ.b.c.d"};
    for (size_t i = 0; i < sizeof passwords / sizeof *passwords; i++)
        assert_false(jwt_is_token(bytes_of_text(passwords[i])));
    assert_true(jwt_is_token(bytes_of_text("eyJ.b.c")));
    assert_true(jwt_is_token(bytes_of_text("eyJ..")));
}

static int set_up(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/holdfast-jwt-test-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    unlink(file_with("keys", "", 0));
    unlink(file_with("secret", "", 0));
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(a_secret_that_can_be_guessed_is_refused),
        cmocka_unit_test(the_examples_of_the_rfc_are_signed),
        cmocka_unit_test(openssls_rs256_is_good_for_its_user_until_it_expires),
        cmocka_unit_test(one_bit_is_enough),
        cmocka_unit_test(claims_decide),
        cmocka_unit_test(the_audience_and_the_issuer_are_those_that_are_asked_for),
        cmocka_unit_test(only_the_algorithm_of_the_key_will_do),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(what_is_too_large_or_too_deep_is_refused),
        cmocka_unit_test(a_password_is_not_taken_for_a_token),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
