#include "capture/pcap.h"

#include <stdlib.h>

enum {
    LINKS_MAX = 64, /* interfaces of a section */
    SECTION = 0x0a0d0d0a,
    INTERFACE = 1,
    SIMPLE = 3,
    ENHANCED = 6,
    ORDER_MARK = 0x1a2b3c4d,
    BLOCK_MAX = PCAP_FRAME_MAX + 65536, /* with its options */
};

enum format { UNKNOWN, CLASSIC, NEXT_GENERATION };

struct pcap_reader {
    FILE *file;
    enum format format;
    bool swapped;
    uint32_t link, links[LINKS_MAX], link_count;
    uint64_t number;
    uint8_t data[BLOCK_MAX];
};

struct pcap_reader *pcap_new(FILE *file)
{
    struct pcap_reader *reader = calloc(1, sizeof *reader);
    if (reader != NULL)
        reader->file = file;
    return reader;
}

void pcap_free(struct pcap_reader *reader)
{
    free(reader);
}

static uint32_t u32(const struct pcap_reader *reader, const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return reader->swapped ? __builtin_bswap32(value) : value;
}

static uint16_t u16(const struct pcap_reader *reader, const uint8_t *p)
{
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return reader->swapped ? __builtin_bswap16(value) : value;
}

static enum pcap_result wrong(const char **out_why, const char *why)
{
    *out_why = why;
    return PCAP_WRONG;
}

/* PCAP_END where the file ends before the first byte. */
static enum pcap_result take(struct pcap_reader *reader, size_t at, size_t size,
                             const char **out_why)
{
    size_t got = fread(reader->data + at, 1, size, reader->file);
    if (got == size)
        return PCAP_FRAME;
    if (ferror(reader->file))
        return wrong(out_why, "it cannot be read");
    return got == 0 ? PCAP_END : wrong(out_why, "it ends in the middle of a packet");
}

/* What must be there after what was read. */
static enum pcap_result need(struct pcap_reader *reader, size_t at, size_t size,
                             const char **out_why)
{
    enum pcap_result result = take(reader, at, size, out_why);
    return result == PCAP_END ? wrong(out_why, "it ends in the middle of a packet") : result;
}

/* ---- pcap ---- */

static bool is_classic(struct pcap_reader *reader)
{
    static const uint32_t magics[] = {0xa1b2c3d4, 0xa1b23c4d};
    uint32_t magic;
    memcpy(&magic, reader->data, sizeof magic);
    for (unsigned i = 0; i < 2; i++) {
        reader->swapped = magic == __builtin_bswap32(magics[i]);
        if (reader->swapped || magic == magics[i])
            return true;
    }
    return false;
}

static enum pcap_result next_classic(struct pcap_reader *reader, struct pcap_frame *out,
                                     const char **out_why)
{
    enum pcap_result result = take(reader, 0, 16, out_why);
    if (result != PCAP_FRAME)
        return result;
    uint32_t size = u32(reader, reader->data + 8);
    if (size > PCAP_FRAME_MAX)
        return wrong(out_why, "a packet is larger than packets are");
    if (size > 0 && need(reader, 0, size, out_why) != PCAP_FRAME)
        return PCAP_WRONG;
    *out = (struct pcap_frame){++reader->number, reader->link, bytes_of(reader->data, size)};
    return PCAP_FRAME;
}

/* ---- pcapng ---- */

/* Behind the type and length of a section's header comes what says how to read them. */
static enum pcap_result begin_section(struct pcap_reader *reader, const char **out_why)
{
    uint32_t order;
    if (need(reader, 8, 4, out_why) != PCAP_FRAME)
        return PCAP_WRONG;
    memcpy(&order, reader->data + 8, sizeof order);
    reader->swapped = order == __builtin_bswap32(ORDER_MARK);
    if (!reader->swapped && order != ORDER_MARK)
        return wrong(out_why, "a section has no byte order");
    reader->link_count = 0;
    return PCAP_FRAME;
}

/* The frame in a block of `size` bytes at data; false: there is none. */
static bool frame_of(struct pcap_reader *reader, uint32_t type, uint32_t size,
                     struct pcap_frame *out, const char **out_why)
{
    const uint8_t *body = reader->data + 8;
    uint32_t header = type == ENHANCED ? 20 : 4, room = size - 12, interface = 0, captured;
    if (room < header) {
        *out_why = "a block is too short";
        return false;
    }
    captured = u32(reader, body + (type == ENHANCED ? 12 : 0));
    if (type == SIMPLE && captured > room - header)
        captured = room - header; /* it has the packet's own size, and maybe less of it */
    if (type == ENHANCED)
        interface = u32(reader, body);
    if (captured > room - header || captured > PCAP_FRAME_MAX)
        *out_why = "a packet is larger than its block";
    else if (interface >= reader->link_count)
        *out_why = "a packet is of an interface that there is not";
    else
        *out = (struct pcap_frame){++reader->number, reader->links[interface],
                                   bytes_of(body + header, captured)};
    return *out_why == NULL;
}

static bool take_interface(struct pcap_reader *reader, uint32_t size, const char **out_why)
{
    if (size < 20)
        *out_why = "a block is too short";
    else if (reader->link_count == LINKS_MAX)
        *out_why = "it has more than 64 interfaces";
    else
        reader->links[reader->link_count++] = u16(reader, reader->data + 8);
    return *out_why == NULL;
}

static enum pcap_result next_block(struct pcap_reader *reader, size_t have, uint32_t *out_type,
                                   uint32_t *out_size, const char **out_why)
{
    enum pcap_result result =
        have > 0 ? need(reader, have, 8 - have, out_why) : take(reader, 0, 8, out_why);
    size_t got = 8;
    if (result != PCAP_FRAME)
        return result;
    *out_type = u32(reader, reader->data);
    if (*out_type == SECTION) { /* the same in both byte orders */
        if (begin_section(reader, out_why) != PCAP_FRAME)
            return PCAP_WRONG;
        got = 12;
    }
    *out_size = u32(reader, reader->data + 4);
    if (*out_size < got + 4 || *out_size % 4 != 0 || *out_size > BLOCK_MAX)
        return wrong(out_why, "a block has a length that blocks do not have");
    return need(reader, got, *out_size - got, out_why);
}

static enum pcap_result next_in_blocks(struct pcap_reader *reader, size_t have,
                                       struct pcap_frame *out, const char **out_why)
{
    uint32_t type, size;
    enum pcap_result result;
    while ((result = next_block(reader, have, &type, &size, out_why)) == PCAP_FRAME) {
        have = 0;
        if (type == INTERFACE && !take_interface(reader, size, out_why))
            return PCAP_WRONG;
        if (type == ENHANCED || type == SIMPLE)
            return frame_of(reader, type, size, out, out_why) ? PCAP_FRAME : PCAP_WRONG;
    }
    return result;
}

/* ---- Both ---- */

enum pcap_result pcap_next(struct pcap_reader *reader, struct pcap_frame *out, const char **out_why)
{
    size_t have = 0;
    uint32_t type;
    *out_why = NULL;
    if (reader->format == UNKNOWN) {
        if (need(reader, 0, 4, out_why) != PCAP_FRAME)
            return wrong(out_why, "it is too short for a capture");
        memcpy(&type, reader->data, sizeof type);
        reader->format = type == SECTION ? NEXT_GENERATION : CLASSIC;
        have = type == SECTION ? 4 : 0;
        if (type != SECTION && !is_classic(reader))
            return wrong(out_why, "it is neither pcap nor pcapng");
        if (type != SECTION && need(reader, 4, 20, out_why) != PCAP_FRAME)
            return PCAP_WRONG;
        reader->link = type != SECTION ? u32(reader, reader->data + 20) & 0xffff : 0;
    }
    return reader->format == CLASSIC ? next_classic(reader, out, out_why)
                                     : next_in_blocks(reader, have, out, out_why);
}
