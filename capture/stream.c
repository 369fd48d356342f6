#include "capture/stream.h"

#include <stdlib.h>

void stream_begin(struct stream *stream, uint32_t sequence, struct room *room)
{
    stream->room = room;
    stream->begun = true;
    stream->next = sequence + 1;
}

void stream_fini(struct stream *stream)
{
    for (unsigned i = 0; i < stream->early_count; i++)
        free(stream->early[i].data);
    if (stream->early_bytes > 0)
        room_give(stream->room, stream->early_bytes);
    *stream = (struct stream){0};
}

static bool keep(struct stream *stream, uint32_t sequence, struct bytes payload)
{
    if (stream->early_count == STREAM_EARLY_MAX ||
        stream->early_bytes + payload.size > STREAM_EARLY_BYTES ||
        !room_take(stream->room, payload.size))
        return false;
    uint8_t *data = malloc(payload.size);
    if (data == NULL) {
        room_give(stream->room, payload.size);
        return false;
    }
    memcpy(data, payload.data, payload.size);
    stream->early[stream->early_count++] = (struct stream_early){sequence, payload.size, data};
    stream->early_bytes += payload.size;
    return true;
}

/* Sequence numbers go round: what is before and behind is a matter of distance. */
static bool pass_on(struct stream *stream, uint32_t sequence, struct bytes payload,
                    void (*pass)(void *context, struct bytes bytes), void *context)
{
    int32_t ahead = (int32_t)(sequence - stream->next);
    size_t seen = stream->next - sequence;
    if (ahead > 0)
        return false;
    if (seen < payload.size) {
        stream->next += (uint32_t)(payload.size - seen);
        pass(context, bytes_of(payload.data + seen, payload.size - seen));
    }
    return true;
}

static void drop_early(struct stream *stream, unsigned at)
{
    free(stream->early[at].data);
    stream->early_bytes -= stream->early[at].size;
    room_give(stream->room, stream->early[at].size);
    stream->early[at] = stream->early[--stream->early_count];
}

bool stream_feed(struct stream *stream, uint32_t sequence, struct bytes payload,
                 void (*pass)(void *context, struct bytes bytes), void *context)
{
    if (payload.size == 0)
        return true;
    if (!pass_on(stream, sequence, payload, pass, context))
        return keep(stream, sequence, payload);
    for (unsigned i = 0; i < stream->early_count;) {
        const struct stream_early *early = &stream->early[i];
        if (pass_on(stream, early->sequence, bytes_of(early->data, early->size), pass, context)) {
            drop_early(stream, i);
            i = 0;
        } else {
            i++;
        }
    }
    return true;
}
