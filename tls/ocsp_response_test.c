/* OCSP responses, made by the openssl command. */
#include "tls/ocsp_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <time.h>

#include "base/file.h"
#include "tls/certificates_testing.h"
#include "tls/link_testing.h"

static struct buffer read_file(const char *name)
{
    struct buffer file = {0};
    char error[200];
    assert_int_equal(file_read(certificate_path(name), 1 << 20, &file, error, sizeof error),
                     STATUS_OK);
    return file;
}

/* The response as it is, and in a copy of its own size, so that reading over its end is seen. */
static const char *read_of(const uint8_t *data, size_t size, struct ocsp_response *out)
{
    struct certificate server;
    struct buffer pem = read_file("server.pem");
    DerBuffer *der = NULL;
    uint8_t *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy + 1, data, size);
    assert_int_equal(wc_PemToDer(pem.data, (long)pem.size, CERT_TYPE, &der, NULL, NULL, NULL), 0);
    assert_true(certificate_parse(bytes_of(der->buffer, der->length), &server));
    const char *fault = ocsp_response_read(bytes_of(copy + 1, size), &server, out);
    wc_FreeDer(&der);
    buffer_fini(&pem);
    free(copy);
    return fault;
}

static void a_good_response_says_from_when_until_when(void **state)
{
    static const char *const files[] = {"good.ocsp", "sha256.ocsp"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct ocsp_response response;
        struct buffer file = read_file(files[i]);
        assert_null(read_of(file.data, file.size, &response));
        assert_int_equal(response.next_update_s - response.this_update_s, 7 * 86400);
        assert_in_range(response.this_update_s, time(NULL) - 600, time(NULL));
        buffer_fini(&file);
    }
}

static void what_is_not_good_is_told_apart(void **state)
{
    static const struct {
        const char *file, *fault;
    } cases[] = {
        {"revoked.ocsp", "it says that the certificate is revoked"},
        {"unknown.ocsp", "it says that the certificate is not known to its authority"},
        {"endless.ocsp", "it does not say until when it is good (nextUpdate)"},
        {"foreign.ocsp", "it is about another certificate"},
        {"refusal.ocsp", "the responder's answer is an error"},
        {"server.der", "not an OCSP response (DER)"},
        {"server.pem", "not an OCSP response (DER)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ocsp_response response;
        struct buffer file = read_file(cases[i].file);
        const char *fault = read_of(file.data, file.size, &response);
        assert_non_null(fault);
        assert_string_equal(fault, cases[i].fault);
        buffer_fini(&file);
    }
}

static void a_cut_response_is_refused_and_never_read_beyond(void **state)
{
    struct ocsp_response response;
    struct buffer file = read_file("good.ocsp");
    for (size_t size = 0; size < file.size; size++)
        assert_non_null(read_of(file.data, size, &response));
    buffer_fini(&file);
}

static void a_context_takes_good_ones_alone(void **state)
{
    static const struct {
        const char *file, *error;
    } cases[] = {
        {"good.ocsp", NULL},
        {"foreign.ocsp", "it is about another certificate"},
        {"empty.pem", "the file is empty"},
        {"no-such-file", "No such file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char error[512];
        struct tls_context *context;
        struct tls_options options = link_options(TLS_CLIENT_NONE);
        options.ocsp_response = certificate_path(cases[i].file);
        enum status status = tls_context_new(&options, &context, error, sizeof error);
#ifndef HOLDFAST_STAPLING
        assert_int_not_equal(status, STATUS_OK);
        if (cases[i].error == NULL)
            assert_non_null(strstr(error, "this wolfSSL cannot do it"));
        continue;
#endif
        assert_int_equal(status == STATUS_OK, cases[i].error == NULL);
        if (cases[i].error != NULL)
            assert_non_null(strstr(error, cases[i].error));
        assert_int_equal(context != NULL && tls_context_has_staples(context),
                         cases[i].error == NULL);
        tls_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_response_says_from_when_until_when),
        cmocka_unit_test(what_is_not_good_is_told_apart),
        cmocka_unit_test(a_cut_response_is_refused_and_never_read_beyond),
        cmocka_unit_test(a_context_takes_good_ones_alone),
    };
    return cmocka_run_group_tests(tests, link_set_up, link_tear_down);
}
