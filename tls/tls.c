/* One connection's TLS. */
#include "tls/tls_internal.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "tls/ticket.h"

enum { CHANNEL_SIZE = 32 }; /* RFC 9266 */

enum tls_state { STATE_NEW, STATE_HANDSHAKE, STATE_ESTABLISHED, STATE_CLOSED, STATE_FAILED };

/* Bytes that are taken from the front: emptied buffers give their memory back, because most
 * connections are idle and have nothing in either of them. */
struct queue {
    struct buffer buffer;
    size_t taken;
};

struct tls {
    WOLFSSL *ssl;                  /* NULL: it is not known yet which certificate is wanted */
    struct queue input;            /* ciphertext that wolfSSL has not asked for yet */
    struct queue output;           /* ciphertext to be sent */
    struct tls_context *context;   /* a reference */
    struct ticket_claim claim;     /* of the certificate, or of the ticket of a resumed session */
    struct ticket_claim *offered;  /* by a ticket, during the handshake; or NULL */
    char *error;                   /* the heap, because most connections never need it */
    char *names;                   /* of the certificate in question, during the handshake */
    const char *certificate_error; /* what we have against it, and wolfSSL has not */
    const struct psk_key *psk;     /* the context's, that the handshake goes by; NULL: a decoy */
    uint8_t channel[CHANNEL_SIZE];
    bool has_channel;
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
        return "a name in the certificate is too long";
    case STATUS_NO_MEMORY:
        return "out of memory";
    default:
        return "a name in the certificate is malformed";
    }
}

static void name_of(const WOLFSSL_BUFFER_INFO *der, char *subject, char *issuer, size_t capacity)
{
    struct certificate certificate;
    bool known = certificate_parse(bytes_of(der->buffer, der->length), &certificate);
    snprintf(subject, capacity, "?");
    snprintf(issuer, capacity, "?");
    if (known)
        identity_name_text(certificate.subject, subject, capacity);
    if (known)
        identity_name_text(certificate.issuer, issuer, capacity);
}

/* The peer's own certificate, and the one of its chain that it is about. */
static void note_names(struct tls *tls, const WOLFSSL_BUFFER_INFO *certs, int depth)
{
    enum { NAME_SIZE = 300 };
    char subject[NAME_SIZE], issuer[NAME_SIZE];
    char link[NAME_SIZE], unused[NAME_SIZE];
    name_of(&certs[0], subject, issuer, NAME_SIZE);
    name_of(&certs[depth], link, unused, NAME_SIZE);
    if (asprintf(&tls->names, "certificate of '%s', issued by '%s'%s%s%s", subject, issuer,
                 depth > 0 ? ": in its chain, '" : "", depth > 0 ? link : "",
                 depth > 0 ? "'" : "") < 0)
        tls->names = NULL;
}

/* The rules that wolfSSL knows nothing of. */
static const char *judge(struct tls *tls, const WOLFSSL_BUFFER_INFO *certs, int count)
{
    struct certificate chain[PEER_LINKS_MAX];
    const struct peer_rules *rules = &tls->context->rules;
    const char *error = identity_error(identity_from_certificate(
        bytes_of(certs[0].buffer, certs[0].length), &tls->claim.identity));
    if (error != NULL)
        return error;
    if (count > PEER_LINKS_MAX)
        count = PEER_LINKS_MAX;
    for (int i = 0; i < count; i++) {
        if (!certificate_parse(bytes_of(certs[i].buffer, certs[i].length), &chain[i]))
            return "the certificate is malformed";
    }
    tls->claim.peer = peer_new(chain, (size_t)count, &rules->authorities, &error);
    return tls->claim.peer != NULL ? peer_fault(tls->claim.peer, rules, time(NULL)) : error;
}

/* wolfSSL asks from the authority down to the leaf, and of those above it only where they are no
 * good. */
int tls_verify_peer(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    const WOLFSSL_BUFFER_INFO *certs = store->certs;
    if (tls->names == NULL && store->error_depth < store->totalCerts)
        note_names(tls, certs, store->error_depth);
    if (!verified || store->error_depth != 0 || store->totalCerts < 1)
        return verified;
    ticket_claim_fini(&tls->claim);
    tls->certificate_error = judge(tls, certs, store->totalCerts);
#ifdef SEEDED_BUG_REVOKED_GETS_IN
    tls->certificate_error = NULL;
#endif
    return tls->certificate_error == NULL;
}

/* ---- Pre-shared keys ---- */

/* An identity that there is not gets a key that nobody has: its handshake goes on, and fails where
 * one with a wrong key does, in the same words. With more than one identity offered (TLS 1.3) the
 * last call is for the one that is gone by: it is chosen or the handshake ends. */
unsigned tls_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned capacity)
{
    struct tls *tls = wolfSSL_GetIOReadCtx(ssl);
    const struct psk_table *table = tls->context->psk;
    char shown[200];
    tls->psk = psk_find(table, bytes_of_text(identity));
    const struct psk_key *used = tls->psk != NULL ? tls->psk : psk_decoy(table);
    log_text(identity, strlen(identity), shown, sizeof shown);
    free(tls->names);
    if (asprintf(&tls->names, "pre-shared key of '%s'", shown) < 0)
        tls->names = NULL;
#ifdef SEEDED_BUG_PSK_STRANGER_AT_ONCE
    if (tls->psk == NULL)
        return 0;
#endif
    if (used->size > capacity)
        return 0;
    memcpy(key, used->key, used->size);
    return (unsigned)used->size;
}

/* The listener has no certificate: who has come so far has proven to hold a key. Its exchange has
 * to be ephemeral, or the key opens what was recorded. */
static const char *take_psk(struct tls *tls)
{
    if (tls->psk == NULL)
        return "there is no such key";
#ifndef SEEDED_BUG_PSK_WITHOUT_EPHEMERAL_KEYS
    if (wolfSSL_get_curve_name(tls->ssl) == NULL)
        return "the client wants no ephemeral keys";
#endif
    return identity_error(identity_from_psk(tls->psk->identity, &tls->claim.identity));
}

/* ---- Tickets ---- */

static void drop_offered(struct tls *tls)
{
    if (tls->offered != NULL)
        ticket_claim_fini(tls->offered);
    free(tls->offered);
    tls->offered = NULL;
}

/* A session that is resumed skips all of wolfSSL's checks of certificates, so they are done here,
 * as far as time can have changed their outcome. What does not pass costs the client a whole
 * handshake, in which its certificate is refused or not, with a line in the log. */
static bool may_resume(const struct tls *tls, const struct ticket_claim *claim, int64_t now_s)
{
    const struct tls_context *context = tls->context;
    int64_t age_s = now_s - claim->proven_s;
    if (age_s < 0 || age_s >= ticket_keys_lifetime_s(context->ticket_keys))
        return false;
    if (claim->peer == NULL)
        return !context->requires_certificate;
#ifdef SEEDED_BUG_TICKET_NOT_JUDGED
    return true;
#endif
    return peer_fault(claim->peer, &context->rules, now_s) == NULL;
}

static int seal_ticket(struct tls *tls, const struct ticket_seal *seal, uint8_t *data, int size,
                       int *out_size)
{
    int64_t now_s = time(NULL);
    struct ticket_claim *claim = &tls->claim;
    if (wolfSSL_session_reused(tls->ssl) && tls->offered != NULL)
        claim = tls->offered;
    else
        claim->proven_s = now_s;
    size_t sealed = ticket_seal(tls->context->ticket_keys, now_s, claim, seal, data, (size_t)size,
                                (size_t)*out_size);
    *out_size = (int)sealed;
    return sealed > 0 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_FATAL;
}

static int open_ticket(struct tls *tls, const struct ticket_seal *seal, uint8_t *data, int size,
                       int *out_size)
{
    int64_t now_s = time(NULL);
    struct ticket_claim claim;
    drop_offered(tls);
    size_t opened = ticket_open(tls->context->ticket_keys, now_s, seal, data, (size_t)size, &claim);
    if (opened > 0 && may_resume(tls, &claim, now_s))
        tls->offered = malloc(sizeof *tls->offered);
    if (tls->offered == NULL) {
        ticket_claim_fini(&claim);
        return WOLFSSL_TICKET_RET_REJECT;
    }
    *tls->offered = claim;
    *out_size = (int)opened;
    return WOLFSSL_TICKET_RET_OK;
}

int tls_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac,
               int sealing, unsigned char *data, int size, int *out_size, void *unused)
{
    struct tls *tls = wolfSSL_GetIOReadCtx(ssl);
    struct ticket_seal seal = {.name = name, .iv = iv, .tag = mac};
    if (sealing)
        return seal_ticket(tls, &seal, data, size, out_size);
    return open_ticket(tls, &seal, data, size, out_size);
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

/* One sentence for an identity that there is not and for a wrong key: wolfSSL finds a record
 * damaged in TLS 1.2, and a binder in TLS 1.3. */
static enum tls_result fail_without_key(struct tls *tls, int code)
{
    char words[160];
    if (tls->names == NULL)
        return fail(tls, "%s: the listener takes clients with a pre-shared key",
                    tls_error_words(code, words, sizeof words));
    return fail(tls, "%s: no such identity, or not its key (%d)", tls->names, code);
}

static enum tls_result fail_with_code(struct tls *tls, int code)
{
    char words[160];
    WOLFSSL_ALERT_HISTORY alerts = {0};
    const char *names = tls->names != NULL ? tls->names : "";
    const char *colon = tls->names != NULL ? ": " : "";
    if (tls->out_of_memory)
        return fail(tls, "out of memory");
    if (tls->certificate_error != NULL)
        return fail(tls, "%s%s%s", names, colon, tls->certificate_error);
    wolfSSL_get_alert_history(tls->ssl, &alerts);
    if (alerts.last_rx.level == alert_fatal)
        return fail(tls, "%s%sthe peer gave up with alert %d, %s", names, colon,
                    alerts.last_rx.code, tls_alert_name(alerts.last_rx.code));
    if (tls->context->psk != NULL && tls->state == STATE_HANDSHAKE)
        return fail_without_key(tls, code);
    return fail(tls, "%s%s%s", names, colon, tls_error_words(code, words, sizeof words));
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
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
#ifdef HAVE_KEYING_MATERIAL
    wolfSSL_KeepArrays(tls->ssl); /* until take_channel() */
#endif
#ifdef HAVE_ALPN
    char *alpn = tls->context->alpn;
    if (alpn != NULL && wolfSSL_UseALPN(tls->ssl, alpn, (unsigned)strlen(alpn),
                                        WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
        return STATUS_NO_MEMORY;
#endif
    return STATUS_OK;
}

enum status tls_new(struct tls_context *context, struct tls **out)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return STATUS_NO_MEMORY;
    tls->context = tls_context_hold(context);
    *out = tls;
    return STATUS_OK;
}

/* wolfSSL's part is made when it is known which certificate is wanted: a peer that says nothing
 * costs next to nothing. */
static enum tls_result begin(struct tls *tls)
{
    struct bytes hello =
        bytes_of(tls->input.buffer.data + tls->input.taken, queue_size(&tls->input));
    WOLFSSL_CTX *ctx = tls_names_choose(tls->context, hello);
    if (ctx == NULL)
        return TLS_OK;
    tls->ssl = wolfSSL_new(ctx);
    if (tls->ssl == NULL || set_up(tls) != STATUS_OK)
        return fail(tls, "out of memory");
    tls->state = STATE_HANDSHAKE;
    return TLS_OK;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    wolfSSL_free(tls->ssl);
    buffer_fini(&tls->input.buffer);
    buffer_fini(&tls->output.buffer);
    ticket_claim_fini(&tls->claim);
    drop_offered(tls);
    free(tls->names);
    free(tls->error);
    tls_context_free(tls->context);
    free(tls);
}

/* A ticket that could be opened may still not have been chosen: only now it is known. */
static enum tls_result take_offered(struct tls *tls)
{
    if (wolfSSL_session_reused(tls->ssl)) {
        if (tls->offered == NULL)
            return fail(tls, "a session is resumed without a ticket of ours");
        ticket_claim_fini(&tls->claim);
        tls->claim = *tls->offered;
        free(tls->offered);
        tls->offered = NULL;
    }
    drop_offered(tls);
    return TLS_OK;
}

/* Taken at once: what wolfSSL calculates it from is of the handshake, and hundreds of bytes. */
static void take_channel(struct tls *tls)
{
#ifdef HAVE_KEYING_MATERIAL
#ifndef SEEDED_BUG_CHANNEL_OF_ANOTHER_LABEL
    static const char label[] = "EXPORTER-Channel-Binding";
#else
    static const char label[] = "EXPORTER-Channel-Name";
#endif
    tls->has_channel =
        wolfSSL_version(tls->ssl) == TLS1_3_VERSION &&
        wolfSSL_export_keying_material(tls->ssl, tls->channel, sizeof tls->channel, label,
                                       sizeof label - 1, NULL, 0, 0) == WOLFSSL_SUCCESS;
    wolfSSL_FreeArrays(tls->ssl);
#else
    tls->has_channel = false;
#endif
}

static enum tls_result handshake(struct tls *tls)
{
    int returned = wolfSSL_accept(tls->ssl);
    if (returned != WOLFSSL_SUCCESS)
        return settle(tls, returned);
    const char *fault = tls->context->psk != NULL ? take_psk(tls) : NULL;
    if (fault != NULL)
        return fail(tls, "%s: %s", tls->names != NULL ? tls->names : "pre-shared key", fault);
    if (take_offered(tls) != TLS_OK)
        return TLS_FAILED;
    take_channel(tls);
    tls->state = STATE_ESTABLISHED;
    tls->verified = true;
    free(tls->names);
    tls->names = NULL;
    return TLS_OK;
}

enum tls_result tls_feed(struct tls *tls, const uint8_t *data, size_t size)
{
    enum tls_result result = TLS_OK;
    if (has_ended(tls))
        return ended(tls);
    if (size == 0)
        return TLS_OK;
    if (tls->state == STATE_NEW && queue_size(&tls->input) == 0 &&
        check_first_byte(tls, data[0]) != TLS_OK)
        return TLS_FAILED;
    if (queue_append(&tls->input, data, size) != STATUS_OK)
        return fail(tls, "out of memory");
    if (tls->state == STATE_NEW)
        result = begin(tls);
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
struct bytes tls_peer_name(const struct tls *tls, enum identity_name which)
{
    return tls->verified ? identity_name(&tls->claim.identity, which) : bytes_of(NULL, 0);
}

struct bytes tls_peer_subject(const struct tls *tls)
{
    return tls_peer_name(tls, IDENTITY_SUBJECT);
}

bool tls_resumed(const struct tls *tls)
{
    return tls->verified && wolfSSL_session_reused(tls->ssl) != 0;
}

const char *tls_version(const struct tls *tls)
{
    return tls->ssl != NULL ? wolfSSL_get_version(tls->ssl) : "";
}

struct bytes tls_channel(const struct tls *tls)
{
    return bytes_of(tls->channel, tls->has_channel ? sizeof tls->channel : 0);
}

static const char *psk_withdrawal(const struct psk_key *held, const struct psk_table *table)
{
    if (held == NULL)
        return "the listener asks for a pre-shared key now";
    if (table == NULL)
        return "the listener takes no pre-shared keys any more";
    const struct psk_key *now = psk_find(table, held->identity);
#ifdef SEEDED_BUG_OLD_PSK_STAYS
    return now != NULL ? NULL : "its pre-shared key has gone";
#endif
    bool same =
        now != NULL && bytes_equal(bytes_of(now->key, now->size), bytes_of(held->key, held->size));
    return same ? NULL : "its pre-shared key has gone, or is another one now";
}

const char *tls_withdrawal(const struct tls *tls, const struct tls_context *context, int64_t now_s)
{
    const struct peer *peer = tls->claim.peer;
    if (!tls->verified)
        return NULL;
    if (context->ends_expired && peer != NULL && peer->not_after_s < now_s)
        return "the certificate, or one above it, has expired";
    if (context == tls->context)
        return NULL;
    if (tls->psk != NULL || context->psk != NULL)
        return psk_withdrawal(tls->psk, context->psk);
    if (peer == NULL)
        return context->requires_certificate ? "the listener asks for a client certificate now"
                                             : NULL;
    return peer_withdrawal(peer, &context->rules);
}
