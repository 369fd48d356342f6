#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char prefix[] = "PROXY ";

static enum proxy_result refuse(const char *why, const char **out_why)
{
    *out_why = why;
    return PROXY_REFUSED;
}

/* ---- Version 2: binary ---- */

enum { HEADER_SIZE = 16, IPV4_SIZE = 12, IPV6_SIZE = 36 };

enum command { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; /* with the version */

enum family {
    FAMILY_UNSPECIFIED = 0x00,
    FAMILY_TCP4 = 0x11,
    FAMILY_TCP6 = 0x21,
    FAMILY_UNIX = 0x31
};

/* Source address, destination address, source port, destination port. */
static void take_address(const uint8_t *data, size_t host_size, struct proxy_header *out)
{
    out->has_address = true;
    memcpy(out->host, data, host_size);
    data += 2 * host_size;
    out->port = (uint16_t)(data[0] << 8 | data[1]);
}

static enum proxy_result parse_v2(const uint8_t *data, size_t size, struct proxy_header *out,
                                  size_t *out_used, const char **out_why)
{
    if (size < HEADER_SIZE)
        return PROXY_MORE;
    size_t length = (size_t)data[14] << 8 | data[15];
    if (data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
        return refuse("PROXY header of another version, or an unknown command", out_why);
    if (HEADER_SIZE + length > PROXY_HEADER_MAX)
        return refuse("PROXY header is too long", out_why);
    if (size < HEADER_SIZE + length)
        return PROXY_MORE;
    *out_used = HEADER_SIZE + length;
    if (data[12] == COMMAND_LOCAL)
        return PROXY_DONE;
    switch (data[13]) {
    case FAMILY_UNSPECIFIED:
    case FAMILY_UNIX:
        return PROXY_DONE;
    case FAMILY_TCP4:
        if (length < IPV4_SIZE)
            break;
        take_address(data + HEADER_SIZE, 4, out);
        return PROXY_DONE;
    case FAMILY_TCP6:
        if (length < IPV6_SIZE)
            break;
        out->is_ipv6 = true;
        take_address(data + HEADER_SIZE, 16, out);
        return PROXY_DONE;
    default:
        return refuse("PROXY header of a transport that is not TCP", out_why);
    }
    return refuse("PROXY header is too short for its addresses", out_why);
}

/* ---- Version 1: a line ---- */

enum { LINE_MAX = 107 };

/* Cuts the next word off; NULL: there is none. */
static char *next_word(char **rest)
{
    char *word = *rest;
    if (word == NULL)
        return NULL;
    char *space = strchr(word, ' ');
    *rest = space != NULL ? space + 1 : NULL;
    if (space != NULL)
        *space = '\0';
    return word;
}

static bool parse_port(const char *text, uint16_t *out)
{
    unsigned value = 0;
    size_t size = text != NULL ? strlen(text) : 0;
    if (size == 0 || size > 5 || strspn(text, "0123456789") != size || (text[0] == '0' && size > 1))
        return false;
    for (size_t i = 0; i < size; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool parse_addresses(char *line, struct proxy_header *out)
{
    uint8_t destination[16];
    uint16_t destination_port;
    const char *family = next_word(&line);
    if (strcmp(family, "TCP4") != 0 && strcmp(family, "TCP6") != 0)
        return false;
    out->is_ipv6 = family[3] == '6';
    int domain = out->is_ipv6 ? AF_INET6 : AF_INET;
    const char *from = next_word(&line), *to = next_word(&line);
    const char *from_port = next_word(&line), *to_port = next_word(&line);
    out->has_address = from != NULL && to != NULL && line == NULL &&
                       inet_pton(domain, from, out->host) == 1 &&
                       inet_pton(domain, to, destination) == 1 &&
                       parse_port(from_port, &out->port) && parse_port(to_port, &destination_port);
    return out->has_address;
}

static enum proxy_result parse_v1(const uint8_t *data, size_t size, struct proxy_header *out,
                                  size_t *out_used, const char **out_why)
{
    const uint8_t *end = memchr(data, '\n', size < LINE_MAX ? size : LINE_MAX);
    if (end == NULL)
        return size < LINE_MAX ? PROXY_MORE : refuse("PROXY line does not end", out_why);
    char line[LINE_MAX];
    size_t line_size = (size_t)(end - data);
    if (line_size < sizeof prefix || data[line_size - 1] != '\r' ||
        memchr(data, '\0', line_size) != NULL)
        return refuse("PROXY line is malformed", out_why);
    memcpy(line, data, line_size - 1);
    line[line_size - 1] = '\0';
    *out_used = line_size + 1;
    char *rest = line + sizeof prefix - 1;
    if (strncmp(rest, "UNKNOWN", 7) == 0 && (rest[7] == '\0' || rest[7] == ' '))
        return PROXY_DONE;
    if (!parse_addresses(rest, out))
        return refuse("PROXY line is malformed", out_why);
    return PROXY_DONE;
}

/* ---- Both ---- */

static bool begins_with(const uint8_t *data, size_t size, const void *what, size_t what_size)
{
    return memcmp(data, what, size < what_size ? size : what_size) == 0;
}

enum proxy_result proxy_parse(const uint8_t *data, size_t size, struct proxy_header *out,
                              size_t *out_used, const char **out_why)
{
    size_t prefix_size = sizeof prefix - 1;
    *out = (struct proxy_header){0};
    *out_used = 0;
    if (size == 0)
        return PROXY_MORE;
    if (begins_with(data, size, signature, sizeof signature))
        return parse_v2(data, size, out, out_used, out_why);
    if (!begins_with(data, size, prefix, prefix_size))
        return refuse("no PROXY header", out_why);
    return size < prefix_size ? PROXY_MORE : parse_v1(data, size, out, out_used, out_why);
}
