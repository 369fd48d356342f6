#include "websocket/upgrade.h"

#include <stdio.h>
#include <strings.h>

/* wolfSSL's settings before its headers. */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/sha.h>

/* What a request says that matters here. */
struct request {
    bool is_get, is_http_1_1, upgrades, connection_upgrades, has_version, offers_mqtt;
    unsigned keys, hosts;
    struct bytes key, origin;
};

/* ---- The grammars ---- */

%%{
    machine upgrade_common;
    alphtype unsigned char;

    crlf  = "\r\n";
    token = [!#$%&'*+\-.^_`|~0-9A-Za-z]+;
    ows   = [ \t]*;
}%%

%%{
    machine token_list;
    include upgrade_common;

    action begin { start = p; }
    action end   { has = has || (strlen(wanted) == (size_t)(p - start) &&
                                 (exact ? memcmp : memory_casecmp)(start, wanted,
                                                                   (size_t)(p - start)) == 0); }

    # Also "websocket/13": a product with its version.
    item = token >begin %end ('/' token)?;
    main := ows (item ows)? (',' ows (item ows)?)*;

    write data noerror noentry;
}%%

static int memory_casecmp(const void *a, const void *b, size_t size)
{
    return strncasecmp(a, b, size);
}

/* Whether a list separated by commas has this token. */
static bool list_has(struct bytes list, const char *wanted, bool exact)
{
    const uint8_t *p = list.data, *pe = p + list.size, *eof = pe, *start = p;
    bool has = false;
    int cs;

    %% write init;
    %% write exec;
    return cs >= token_list_first_final && has;
}

static bool name_is(struct bytes name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}

static void take_header(struct request *request, struct bytes name, struct bytes value)
{
    while (value.size > 0 && (value.data[value.size - 1] == ' ' ||
                              value.data[value.size - 1] == '\t'))
        value.size--;
    if (name_is(name, "Host")) {
        request->hosts++;
    } else if (name_is(name, "Upgrade")) {
        request->upgrades |= list_has(value, "websocket", false);
    } else if (name_is(name, "Connection")) {
        request->connection_upgrades |= list_has(value, "upgrade", false);
    } else if (name_is(name, "Sec-WebSocket-Key")) {
        request->keys++;
        request->key = value;
    } else if (name_is(name, "Sec-WebSocket-Version")) {
        request->has_version |= list_has(value, "13", true);
    } else if (name_is(name, "Sec-WebSocket-Protocol")) {
        request->offers_mqtt |= list_has(value, "mqtt", true);
    } else if (name_is(name, "Origin")) {
        request->origin = value;
    }
}

%%{
    machine upgrade_request;
    include upgrade_common;

    action begin  { start = p; }
    action get    { out->is_get = p - start == 3 && memcmp(start, "GET", 3) == 0; }
    action recent { out->is_http_1_1 = true; }
    action name   { name = bytes_of(start, (size_t)(p - start)); start = p + 1; }
    action header { take_header(out, name, bytes_of(start, (size_t)(p - start))); }

    target  = 0x21..0x7E+;
    version = "HTTP/1." ('0' | [1-9] @recent);
    field   = token >begin %name ':' ows ((any - 0x00 - [\r\n \t]) (any - 0x00 - [\r\n])*)?
              >begin %header;
    main := token >begin %get ' ' target ' ' version crlf (field crlf)* crlf;

    write data noerror;
}%%

static bool parse(struct bytes text, struct request *out)
{
    const uint8_t *p = text.data, *pe = p + text.size, *start = p;
    struct bytes name = {0};
    int cs;

    *out = (struct request){0};
    %% write init;
    %% write exec;
    return p == pe && cs >= upgrade_request_first_final;
}

%%{
    machine upgrade_key;
    alphtype unsigned char;

    # 16 bytes in Base64.
    main := [A-Za-z0-9+/]{22} "==";

    write data noerror;
}%%

static bool key_is_sound(struct bytes key)
{
    const uint8_t *p = key.data, *pe = p + key.size;
    int cs;

    %% write init;
    %% write exec;
    return p == pe && cs >= upgrade_key_first_final;
}

/* ---- The answer ---- */

size_t upgrade_request_size(struct bytes bytes)
{
    const uint8_t *end = bytes.size > 0 ? memmem(bytes.data, bytes.size, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - bytes.data) + 4 : 0;
}

static bool origin_is_allowed(struct bytes origin, const char *origins)
{
    if (origins == NULL || origin.size == 0) /* only browsers say where they come from */
        return true;
    for (const char *at = origins; *at != '\0';) {
        size_t size = strcspn(at, " ");
        if (size == origin.size && strncasecmp(at, (const char *)origin.data, size) == 0)
            return true;
        at += size + strspn(at + size, " ");
    }
    return false;
}

static struct upgrade_refusal judge(const struct request *request, const char *origins)
{
    if (!request->is_get)
        return (struct upgrade_refusal){405, "the method of an opening handshake is GET"};
    if (!request->is_http_1_1 || request->hosts != 1)
        return (struct upgrade_refusal){400, "an opening handshake is HTTP/1.1 with one Host"};
    if (!request->upgrades || !request->connection_upgrades)
        return (struct upgrade_refusal){426, "this is a WebSocket for MQTT: it wants Connection: "
                                             "Upgrade and Upgrade: websocket"};
    if (!request->has_version)
        return (struct upgrade_refusal){426, "Sec-WebSocket-Version is not 13"};
    if (request->keys != 1 || !key_is_sound(request->key))
        return (struct upgrade_refusal){400, "Sec-WebSocket-Key is not 16 bytes in Base64"};
    if (!request->offers_mqtt)
        return (struct upgrade_refusal){
            400, "Sec-WebSocket-Protocol does not offer mqtt [MQTT-6.0.0-3]"};
    if (!origin_is_allowed(request->origin, origins))
        return (struct upgrade_refusal){403, "pages of this Origin are not allowed"};
    return (struct upgrade_refusal){0};
}

static const char *status_phrase(unsigned status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Bad Request";
    }
}

void upgrade_refuse(const struct upgrade_refusal *refusal, struct buffer *output)
{
    char text[512];
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 %u %s\r\n"
                        "%sConnection: close\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n%s\n",
                        refusal->status, status_phrase(refusal->status),
                        refusal->status == 426   ? "Upgrade: websocket\r\nSec-WebSocket-Version: "
                                                   "13\r\n"
                        : refusal->status == 405 ? "Allow: GET\r\n"
                                                 : "",
                        strlen(refusal->why) + 1, refusal->why);
    if (buffer_append(output, text, (size_t)size) != STATUS_OK)
        return; /* it is closed without a word */
}

/* RFC 6455 section 4.2.2: what shows that the server knows the protocol. */
static void accept_of(struct bytes key, char out[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[WC_SHA_DIGEST_SIZE], text[40];
    wc_Sha sha;
    word32 size = sizeof text;
    wc_InitSha(&sha);
    wc_ShaUpdate(&sha, key.data, (word32)key.size);
    wc_ShaUpdate(&sha, (const uint8_t *)guid, sizeof guid - 1);
    wc_ShaFinal(&sha, digest);
    wc_ShaFree(&sha);
    Base64_Encode(digest, sizeof digest, text, &size);
    memcpy(out, text, 28); /* without the line's end */
    out[28] = '\0';
}

bool upgrade_answer(struct bytes request, const char *origins, struct buffer *output,
                    struct upgrade_refusal *out)
{
    struct request parsed;
    *out = parse(request, &parsed) ? judge(&parsed, origins)
                                   : (struct upgrade_refusal){400, "not a request of HTTP/1.1"};
    if (out->status != 0) {
        upgrade_refuse(out, output);
        return false;
    }
    char accept[29], text[200];
    accept_of(parsed.key, accept);
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
                        accept); /* [MQTT-6.0.0-4] */
    return buffer_append(output, text, (size_t)size) == STATUS_OK;
}
