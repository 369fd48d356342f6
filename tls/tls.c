/* One connection's TLS. */
#include "tls/tls_internal.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "tls/identity.h"

enum tls_state { STATE_NEW, STATE_HANDSHAKE, STATE_ESTABLISHED, STATE_CLOSED, STATE_FAILED };

/* Bytes that are taken from the front: emptied buffers give their memory back, because most
 * connections are idle and have nothing in either of them. */
struct queue {
    struct buffer buffer;
    size_t taken;
};

struct tls {
    WOLFSSL *ssl;
    struct queue input;  /* ciphertext that wolfSSL has not asked for yet */
    struct queue output; /* ciphertext to be sent */
    struct identity identity;
    char *error; /* the heap, because most connections never need it */
    const char *certificate_error;
    enum tls_state state;
    bool verified; /* the handshake has been finished: the peer holds its certificate's key */
    bool out_of_memory;
};

/* ---- Queues ---- */

static size_t queue_size(const struct queue *queue)
{
    return queue->buffer.size - queue->taken;
}

static enum status queue_reserve(struct queue *queue, size_t more)
{
    if (queue->taken > 0 && queue->buffer.size + more > queue->buffer.capacity) {
        buffer_consume(&queue->buffer, queue->taken);
        queue->taken = 0;
    }
    return buffer_reserve(&queue->buffer, more);
}

static enum status queue_append(struct queue *queue, const void *data, size_t size)
{
    TRY(queue_reserve(queue, size));
    return buffer_append(&queue->buffer, data, size);
}

static void queue_take(struct queue *queue, size_t size)
{
    CHECK(size <= queue_size(queue));
    queue->taken += size;
    if (queue->taken == queue->buffer.size) {
        queue->buffer.size = 0;
        queue->taken = 0;
    }
}

static void queue_shrink(struct queue *queue)
{
    if (queue->buffer.size == 0)
        buffer_fini(&queue->buffer);
}

/* ---- wolfSSL's callbacks ---- */

int tls_pull(WOLFSSL *ssl, char *out, int capacity, void *connection)
{
    struct tls *tls = connection;
    size_t size = queue_size(&tls->input);
    if (size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (size > (size_t)capacity)
        size = (size_t)capacity;
    memcpy(out, tls->input.buffer.data + tls->input.taken, size);
    queue_take(&tls->input, size);
    return (int)size;
}

int tls_push(WOLFSSL *ssl, char *data, int size, void *connection)
{
    struct tls *tls = connection;
    if (queue_append(&tls->output, data, (size_t)size) != STATUS_OK) {
        tls->out_of_memory = true;
        return WOLFSSL_CBIO_ERR_GENERAL;
    }
    return size;
}

static const char *identity_error(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return NULL;
    case STATUS_FULL:
        return "the certificate's subject is too long";
    case STATUS_NO_MEMORY:
        return "out of memory";
    default:
        return "the certificate's subject is malformed";
    }
}

int tls_verify_peer(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    if (!verified || store->error_depth != 0 || store->totalCerts < 1)
        return verified;
    struct bytes der = bytes_of(store->certs[0].buffer, store->certs[0].length);
    identity_fini(&tls->identity);
    tls->certificate_error = identity_error(identity_from_certificate(der, &tls->identity));
    return tls->certificate_error == NULL;
}

/* ---- Failure ---- */

__attribute__((format(printf, 2, 3))) static enum tls_result fail(struct tls *tls,
                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (tls->error == NULL && vasprintf(&tls->error, format, arguments) < 0)
        tls->error = NULL;
    va_end(arguments);
    tls->state = STATE_FAILED;
    buffer_fini(&tls->input.buffer); /* nobody will read it */
    tls->input.taken = 0;
    return TLS_FAILED;
}

static enum tls_result fail_with_code(struct tls *tls, int code)
{
    char words[160];
    WOLFSSL_ALERT_HISTORY alerts = {0};
    if (tls->out_of_memory)
        return fail(tls, "out of memory");
    if (tls->certificate_error != NULL)
        return fail(tls, "%s", tls->certificate_error);
    wolfSSL_get_alert_history(tls->ssl, &alerts);
    if (alerts.last_rx.level == alert_fatal)
        return fail(tls, "the peer gave up with alert %d, %s", alerts.last_rx.code,
                    tls_alert_name(alerts.last_rx.code));
    return fail(tls, "%s", tls_error_words(code, words, sizeof words));
}

/* What a call into wolfSSL that did not succeed means. */
static enum tls_result settle(struct tls *tls, int returned)
{
    int code = wolfSSL_get_error(tls->ssl, returned);
#ifdef OPENSSL_EXTRA
    wolfSSL_ERR_clear_error(); /* a list for each thread that grows with every failure */
#endif
    switch (code) {
    case WOLFSSL_ERROR_WANT_READ:
        return TLS_OK;
    case WOLFSSL_ERROR_ZERO_RETURN:
        tls->state = STATE_CLOSED;
        return TLS_CLOSED;
    default:
        return fail_with_code(tls, code);
    }
}

static enum tls_result ended(const struct tls *tls)
{
    return tls->state == STATE_FAILED ? TLS_FAILED : TLS_CLOSED;
}

static bool has_ended(const struct tls *tls)
{
    return tls->state == STATE_FAILED || tls->state == STATE_CLOSED;
}

/* A TLS connection begins with a handshake record. Whoever sends something else has most likely
 * been given the wrong port, and wolfSSL would call that a version error. */
static enum tls_result check_first_byte(struct tls *tls, uint8_t byte)
{
    enum { RECORD_HANDSHAKE = 22, RECORD_ALERT = 21, MQTT_CONNECT = 0x10 };
    if (byte == RECORD_HANDSHAKE || byte == RECORD_ALERT)
        return TLS_OK;
    if (byte == MQTT_CONNECT)
        return fail(tls, "not TLS: plain MQTT on a port for TLS");
    if (byte == 'G' || byte == 'P' || byte == 'H' || byte == 'O')
        return fail(tls, "not TLS: looks like plain HTTP on a port for TLS");
    return fail(tls, "not TLS: the first byte is 0x%02x", byte);
}

/* ---- Life ---- */

static enum status set_up(struct tls *tls)
{
    static char protocol[] = "mqtt";
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
#ifdef HAVE_ALPN
    /* A peer that offers other protocols only is served all the same: brokers elsewhere have made
     * device fleets send names of their own. */
    if (wolfSSL_UseALPN(tls->ssl, protocol, sizeof protocol - 1,
                        WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS)
        return STATUS_NO_MEMORY;
#else
    (void)protocol;
#endif
    return STATUS_OK;
}

enum status tls_new(struct tls_context *context, struct tls **out)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return STATUS_NO_MEMORY;
    tls->ssl = wolfSSL_new(context->ctx);
    if (tls->ssl == NULL || set_up(tls) != STATUS_OK) {
        tls_free(tls);
        return STATUS_NO_MEMORY;
    }
    *out = tls;
    return STATUS_OK;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    wolfSSL_free(tls->ssl);
    buffer_fini(&tls->input.buffer);
    buffer_fini(&tls->output.buffer);
    identity_fini(&tls->identity);
    free(tls->error);
    free(tls);
}

static enum tls_result handshake(struct tls *tls)
{
    int returned = wolfSSL_accept(tls->ssl);
    if (returned != WOLFSSL_SUCCESS)
        return settle(tls, returned);
    tls->state = STATE_ESTABLISHED;
    tls->verified = true;
    return TLS_OK;
}

enum tls_result tls_feed(struct tls *tls, const uint8_t *data, size_t size)
{
    enum tls_result result = TLS_OK;
    if (has_ended(tls))
        return ended(tls);
    if (size == 0)
        return TLS_OK;
    if (tls->state == STATE_NEW) {
        if (check_first_byte(tls, data[0]) != TLS_OK)
            return TLS_FAILED;
        tls->state = STATE_HANDSHAKE;
    }
    if (queue_append(&tls->input, data, size) != STATUS_OK)
        return fail(tls, "out of memory");
    if (tls->state == STATE_HANDSHAKE) {
        result = handshake(tls);
        queue_shrink(&tls->input);
    }
    return result;
}

bool tls_established(const struct tls *tls)
{
    return tls->state == STATE_ESTABLISHED;
}

/* ---- Application data ---- */

/* wolfSSL takes no more than the record it works on, so with nothing pending on either side there
 * is nothing to be had, and no need to ask. */
static bool may_have_data(const struct tls *tls)
{
    return queue_size(&tls->input) > 0 || wolfSSL_pending(tls->ssl) > 0;
}

enum tls_result tls_read(struct tls *tls, uint8_t *out, size_t capacity, size_t *out_size)
{
    enum tls_result result = TLS_OK;
    *out_size = 0;
    if (has_ended(tls))
        return ended(tls);
    if (tls->state != STATE_ESTABLISHED)
        return TLS_OK;
    while (*out_size < capacity && may_have_data(tls)) {
        size_t room = capacity - *out_size;
        int got = wolfSSL_read(tls->ssl, out + *out_size, room > INT_MAX ? INT_MAX : (int)room);
        if (got <= 0) {
            result = settle(tls, got);
            break;
        }
        *out_size += (size_t)got;
    }
    queue_shrink(&tls->input);
    /* What came before the end is delivered first; the next call tells of the end. */
    return *out_size > 0 ? TLS_OK : result;
}

enum tls_result tls_write(struct tls *tls, const uint8_t *data, size_t size)
{
    enum { RECORD_PAYLOAD = 16384, RECORD_OVERHEAD = 64 };
    if (has_ended(tls))
        return ended(tls);
    CHECK(tls->state == STATE_ESTABLISHED);
    size_t records = size / RECORD_PAYLOAD + 1;
    if (queue_reserve(&tls->output, size + records * RECORD_OVERHEAD) != STATUS_OK)
        return fail(tls, "out of memory");
    while (size > 0) {
        int sent = wolfSSL_write(tls->ssl, data, size > INT_MAX ? INT_MAX : (int)size);
        if (sent <= 0)
            return settle(tls, sent);
        data += sent;
        size -= (size_t)sent;
    }
    return TLS_OK;
}

void tls_shutdown(struct tls *tls)
{
    if (tls->state == STATE_ESTABLISHED)
        wolfSSL_shutdown(tls->ssl);
#ifdef OPENSSL_EXTRA
    wolfSSL_ERR_clear_error();
#endif
}

struct bytes tls_output(const struct tls *tls)
{
    size_t size = queue_size(&tls->output);
    return bytes_of(size > 0 ? tls->output.buffer.data + tls->output.taken : NULL, size);
}

void tls_output_consume(struct tls *tls, size_t size)
{
    queue_take(&tls->output, size);
    queue_shrink(&tls->output);
}

/* ---- What is known of the peer ---- */

const char *tls_error(const struct tls *tls)
{
    if (tls->error != NULL)
        return tls->error;
    return tls->state == STATE_FAILED ? "out of memory" : "";
}

/* Until the handshake is done the peer has shown a certificate, and not that it holds its key. */
struct bytes tls_peer_common_name(const struct tls *tls)
{
    return tls->verified ? tls->identity.common_name : bytes_of(NULL, 0);
}

struct bytes tls_peer_subject(const struct tls *tls)
{
    return tls->verified ? tls->identity.subject : bytes_of(NULL, 0);
}

const char *tls_version(const struct tls *tls)
{
    return wolfSSL_get_version(tls->ssl);
}
