#include "websocket/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <wslay/wslay.h>

#include "websocket/upgrade.h"

struct websocket {
    wslay_event_context_ptr frames; /* NULL before the handshake is done */
    const char *origins;
    struct buffer request; /* as far as it has come */
    enum websocket_result result;
    const char *error;
    bool close_sent;
    /* While websocket_take() runs: */
    const uint8_t *next, *end; /* not looked at yet */
    uint8_t *payload;          /* where the next byte for MQTT goes: never beyond `next` */
    uint8_t opcode;            /* of the frame whose payload comes */
    struct buffer *output;
};

enum status websocket_new(const char *origins, struct websocket **out)
{
    struct websocket *websocket = calloc(1, sizeof *websocket);
    if (websocket == NULL)
        return STATUS_NO_MEMORY;
    websocket->origins = origins;
    websocket->error = "";
    *out = websocket;
    return STATUS_OK;
}

void websocket_free(struct websocket *websocket)
{
    if (websocket == NULL)
        return;
    if (websocket->frames != NULL)
        wslay_event_context_free(websocket->frames);
    buffer_fini(&websocket->request);
    free(websocket);
}

enum websocket_result websocket_result(const struct websocket *websocket)
{
    return websocket->result;
}

const char *websocket_error(const struct websocket *websocket)
{
    return websocket->error;
}

static void fail(struct websocket *websocket, const char *why)
{
    websocket->result = WEBSOCKET_FAILED;
    websocket->error = why;
}

/* ---- Frames: what wslay asks for and tells ---- */

static ssize_t give_bytes(wslay_event_context_ptr frames, uint8_t *out, size_t capacity, int flags,
                          void *user)
{
    (void)flags;
    struct websocket *websocket = user;
    size_t size = (size_t)(websocket->end - websocket->next);
    if (size == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (size > capacity)
        size = capacity;
    memcpy(out, websocket->next, size);
    websocket->next += size;
    return (ssize_t)size;
}

static ssize_t take_answer(wslay_event_context_ptr frames, const uint8_t *data, size_t size,
                           int flags, void *user)
{
    (void)flags;
    struct websocket *websocket = user;
    if (buffer_append(websocket->output, data, size) == STATUS_OK)
        return (ssize_t)size;
    fail(websocket, "out of memory");
    wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void begin_frame(wslay_event_context_ptr frames,
                        const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
    struct websocket *websocket = user;
    websocket->opcode = frame->opcode;
    if (frame->opcode != WSLAY_TEXT_FRAME || websocket->result != WEBSOCKET_OK)
        return;
    static const char why[] = "MQTT travels in binary frames [MQTT-6.0.0-1]";
    fail(websocket, why);
    websocket->close_sent = true;
    wslay_event_queue_close(frames, WSLAY_CODE_UNSUPPORTED_DATA, (const uint8_t *)why,
                            sizeof why - 1);
}

/* Frames and packets have nothing to do with each other [MQTT-6.0.0-2]: payload is one stream. */
static void take_payload(wslay_event_context_ptr frames,
                         const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
    (void)frames;
    struct websocket *websocket = user;
    if (wslay_is_ctrl_frame(websocket->opcode) || websocket->result != WEBSOCKET_OK)
        return;
    memcpy(websocket->payload, chunk->data, chunk->data_length); /* from wslay's own buffer */
    websocket->payload += chunk->data_length;
}

static bool begin_frames(struct websocket *websocket)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = give_bytes,
        .send_callback = take_answer,
        .on_frame_recv_start_callback = begin_frame,
        .on_frame_recv_chunk_callback = take_payload,
    };
    if (wslay_event_context_server_init(&websocket->frames, &callbacks, websocket) != 0) {
        websocket->frames = NULL;
        return false;
    }
    /* Nothing is kept of a message, so it may have any length; MQTT has limits of its own. */
    wslay_event_config_set_no_buffering(websocket->frames, 1);
    wslay_event_config_set_max_recv_msg_length(websocket->frames, UINT64_MAX >> 1);
    return true;
}

static enum status append_close(struct websocket *websocket, uint16_t code, struct buffer *output)
{
    uint8_t frame[] = {0x80 | WSLAY_CONNECTION_CLOSE, 2, (uint8_t)(code >> 8), (uint8_t)code};
    if (websocket->close_sent)
        return STATUS_OK;
    websocket->close_sent = true;
    return buffer_append(output, frame, sizeof frame);
}

static void take_frames(struct websocket *websocket)
{
    wslay_event_context_ptr frames = websocket->frames;
    /* Where a frame is against the protocol, wslay has a Close frame to send, whatever it returns.
     */
    int received = wslay_event_recv(frames);
    int sent = wslay_event_want_write(frames) ? wslay_event_send(frames) : 0;
    if (websocket->result != WEBSOCKET_OK)
        return;
    if (received == WSLAY_ERR_NOMEM || sent != 0) {
        fail(websocket, "out of memory");
    } else if (wslay_event_get_close_received(frames)) {
        websocket->result = WEBSOCKET_CLOSED;
        websocket->close_sent = true;
    } else if (received != 0 || !wslay_event_get_read_enabled(frames)) {
        fail(websocket, "a frame that is against RFC 6455");
        websocket->close_sent = wslay_event_get_close_sent(frames);
        if (append_close(websocket, WSLAY_CODE_PROTOCOL_ERROR, websocket->output) != STATUS_OK)
            return; /* it is closed without a word */
    }
}

/* ---- The opening handshake ---- */

/* Appends to the request what belongs to it. True when it is whole and accepted. */
static bool take_request(struct websocket *websocket)
{
    struct buffer *request = &websocket->request;
    size_t had = request->size, more = (size_t)(websocket->end - websocket->next);
    if (buffer_append(request, websocket->next, more) != STATUS_OK) {
        fail(websocket, "out of memory");
        return false;
    }
    size_t whole = upgrade_request_size(bytes_of(request->data, request->size));
    struct upgrade_refusal refusal = {431, "more than 8192 bytes of request"};
    if (whole > UPGRADE_REQUEST_MAX || (whole == 0 && request->size > UPGRADE_REQUEST_MAX)) {
        upgrade_refuse(&refusal, websocket->output);
        fail(websocket, refusal.why);
        return false;
    }
    if (whole == 0) {
        websocket->next = websocket->end;
        return false;
    }
    websocket->next += whole - had;
    bool accepted = upgrade_answer(bytes_of(request->data, whole), websocket->origins,
                                   websocket->output, &refusal);
    buffer_fini(request);
    if (accepted && begin_frames(websocket))
        return true;
    fail(websocket, accepted || refusal.why == NULL ? "out of memory" : refusal.why);
    return false;
}

enum websocket_result websocket_take(struct websocket *websocket, uint8_t *data, size_t size,
                                     size_t *out_size, struct buffer *output)
{
    *out_size = 0;
    if (websocket->result != WEBSOCKET_OK)
        return websocket->result;
    websocket->next = data;
    websocket->end = data + size;
    websocket->payload = data;
    websocket->output = output;
    if (websocket->frames != NULL || take_request(websocket))
        take_frames(websocket);
    *out_size = (size_t)(websocket->payload - data);
    return websocket->result;
}

/* ---- Frames out ---- */

enum status websocket_frame(struct buffer *output, size_t framed)
{
    size_t size = output->size - framed;
    if (size == 0)
        return STATUS_OK;
    uint8_t header[10] = {0x80 | WSLAY_BINARY_FRAME};
    size_t header_size = 2;
    if (size < 126) {
        header[1] = (uint8_t)size;
    } else if (size <= UINT16_MAX) {
        header[1] = 126;
        put_u16(header + 2, (uint16_t)size);
        header_size = 4;
    } else {
        header[1] = 127;
        put_u32(header + 2, (uint32_t)((uint64_t)size >> 32));
        put_u32(header + 6, (uint32_t)size);
        header_size = 10;
    }
    TRY(buffer_reserve(output, header_size));
    uint8_t *start = output->data + framed;
    memmove(start + header_size, start, size);
    memcpy(start, header, header_size);
    output->size += header_size;
    return STATUS_OK;
}

enum status websocket_close(struct websocket *websocket, struct buffer *output)
{
    if (websocket->frames == NULL)
        return STATUS_OK;
    return append_close(websocket, WSLAY_CODE_NORMAL_CLOSURE, output);
}
