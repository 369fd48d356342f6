#include "conformance/wire/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conformance/wire/rule.h"

bool reader_fault(struct reader *reader, const uint8_t *at, const char *statement,
                  const char *format, ...)
{
    reader->fault->statement = statement;
    reader->fault->offset = (size_t)(at - reader->start);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->fault->what, sizeof reader->fault->what, format, arguments);
    va_end(arguments);
    return false;
}

static bool too_short(struct reader *reader, const char *what)
{
    return reader_fault(reader, reader->at, rule_section(reader->version, reader->packet->type),
                        "%s ends within its %s", packet_name(reader->packet->type), what);
}

bool reader_u8(struct reader *reader, const char *what, uint8_t *out)
{
    if (reader_left(reader) < 1)
        return too_short(reader, what);
    *out = *reader->at++;
    return true;
}

bool reader_u16(struct reader *reader, const char *what, uint16_t *out)
{
    if (reader_left(reader) < 2)
        return too_short(reader, what);
    *out = (uint16_t)(reader->at[0] << 8 | reader->at[1]);
    reader->at += 2;
    return true;
}

bool reader_u32(struct reader *reader, const char *what, uint32_t *out)
{
    if (reader_left(reader) < 4)
        return too_short(reader, what);
    const uint8_t *b = reader->at;
    *out = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    reader->at += 4;
    return true;
}

bool reader_varint(struct reader *reader, const char *what, uint32_t *out)
{
    const uint8_t *start = reader->at;
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t byte;
        if (!reader_u8(reader, what, &byte))
            return false;
        value |= (uint32_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (i > 0 && byte == 0)
            return reader_fault(reader, start, "MQTT-1.5.5-1",
                                "%s is not written in the fewest bytes possible", what);
        *out = value;
        return true;
    }
    return reader_fault(reader, start, "5.0 section 1.5.5", "%s is longer than four bytes", what);
}

bool reader_binary(struct reader *reader, const char *what, struct text *out)
{
    uint16_t size;
    if (!reader_u16(reader, what, &size))
        return false;
    if (reader_left(reader) < size)
        return too_short(reader, what);
    *out = (struct text){reader->at, size};
    reader->at += size;
    return true;
}

bool reader_string(struct reader *reader, const char *what, const char *statement, struct text *out)
{
    if (!reader_binary(reader, what, out))
        return false;
    size_t bad;
    if (!utf8_well_formed(*out, &bad)) {
        if (!statement)
            statement = reader_statement(reader, "MQTT-1.5.4-1", "MQTT-1.5.3-1");
        return reader_fault(reader, out->data + bad, statement, "%s is not well-formed UTF-8",
                            what);
    }
    const uint8_t *nul = memchr(out->data, 0, out->size);
    if (nul)
        return reader_fault(reader, nul, reader_statement(reader, "MQTT-1.5.4-2", "MQTT-1.5.3-2"),
                            "%s contains U+0000", what);
    return true;
}

bool reader_topic_name(struct reader *reader, const char *what, const char *wildcard_statement,
                       struct text *out)
{
    if (!reader_string(reader, what, NULL, out))
        return false;
    for (size_t i = 0; i < out->size; i++) {
        if (out->data[i] == '+' || out->data[i] == '#')
            return reader_fault(reader, out->data + i, wildcard_statement,
                                "%s contains the wildcard \"%c\"", what, out->data[i]);
    }
    return true;
}

bool reader_end(struct reader *reader)
{
    if (reader_left(reader) == 0)
        return true;
    return reader_fault(reader, reader->at, rule_section(reader->version, reader->packet->type),
                        "%s has %zu bytes behind its last field", packet_name(reader->packet->type),
                        reader_left(reader));
}
