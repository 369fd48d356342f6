/* What an idle session costs: the number that decides how many devices a machine holds. */
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <malloc.h>

#include "tls/certificates_testing.h"
#include "tls/link_testing.h"

/* wolfSSL's heap, block by block; what is counted is what malloc sets aside for it. */
static size_t in_use;
static size_t blocks;

static void *counted_malloc(size_t size)
{
    void *block = malloc(size);
    in_use += block != NULL ? malloc_usable_size(block) : 0;
    blocks += block != NULL;
    return block;
}

static void counted_free(void *block)
{
    in_use -= block != NULL ? malloc_usable_size(block) : 0;
    blocks -= block != NULL;
    free(block);
}

static void *counted_realloc(void *block, size_t size)
{
    in_use -= block != NULL ? malloc_usable_size(block) : 0;
    void *moved = realloc(block, size);
    in_use += moved != NULL ? malloc_usable_size(moved) : 0;
    blocks += block == NULL;
    return moved;
}

/* Bytes that one established session holds in wolfSSL's heap, its client gone. */
static size_t session_size(struct tls_context *context, struct link_client client)
{
    struct link link;
    size_t before = in_use;
    size_t blocks_before = blocks;
    uint8_t data[3000] = {0};
    link_open(&link, context, &client);
    link_handshake(&link);
    link_send_up(&link, data, sizeof data);
    link_send_down(&link, data, sizeof data);
    wolfSSL_free(link.client);
    wolfSSL_CTX_free(link.client_ctx);
    link.client = NULL;
    link.client_ctx = NULL;
    size_t size = in_use - before;
    print_message("%s%s: %zu bytes in %zu blocks\n", tls_version(link.server),
                  client.certificate != NULL ? ", client certificate" : "", size,
                  blocks - blocks_before);
    link_close(&link);
    return size;
}

static void an_idle_session_is_small(void **state)
{
#ifdef OPENSSL_EXTRA
    skip(); /* the distribution's build keeps tables and certificates by the megabyte */
#endif
    enum { LIMIT = 5500 };
    static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3};
    struct tls_options plain_options = link_options(TLS_CLIENT_NONE);
    struct tls_options mutual_options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_context *plain = link_context(&plain_options);
    struct tls_context *mutual = link_context(&mutual_options);
    struct link_client client = {.certificate = "client.pem", .key = "client.key"};
    for (unsigned i = 0; i < 2; i++) {
        client.version = versions[i];
        session_size(plain, (struct link_client){.version = versions[i]}); /* what is made once */
        assert_in_range(session_size(plain, (struct link_client){.version = versions[i]}), 1,
                        LIMIT);
        assert_in_range(session_size(mutual, client), 1, LIMIT);
    }
    tls_context_free(plain);
    tls_context_free(mutual);
}

static int set_up(void **state)
{
    wolfSSL_SetAllocators(counted_malloc, counted_free, counted_realloc);
    return link_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_idle_session_is_small)};
    return cmocka_run_group_tests(tests, set_up, link_tear_down);
}
