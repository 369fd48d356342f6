#include "capture/segment.h"

enum {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_SLL = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_SLL2 = 276
};
enum { ETHER_VLAN = 0x8100, TCP = 6 };

static struct bytes behind(struct bytes bytes, size_t size)
{
    return size > bytes.size ? bytes_of(NULL, 0) : bytes_of(bytes.data + size, bytes.size - size);
}

/* The IP packet; empty where there is none. Its version is in its first byte. */
static struct bytes network(const struct pcap_frame *frame)
{
    struct bytes data = frame->data;
    switch (frame->link) {
    case LINK_ETHERNET:
        if (data.size >= 18 && get_u16(data.data + 12) == ETHER_VLAN)
            return behind(data, 18);
        return behind(data, 14);
    case LINK_SLL:
        return behind(data, 16);
    case LINK_SLL2:
        return behind(data, 20);
    case LINK_NULL:
    case LINK_LOOP:
        return behind(data, 4);
    case LINK_RAW:
    case LINK_IPV4:
    case LINK_IPV6:
        return data;
    default:
        return bytes_of(NULL, 0);
    }
}

/* `size`: of the IP packet, as it says itself. */
static bool read_tcp(struct bytes ip, size_t header, size_t size, struct segment *out)
{
    struct bytes tcp = behind(ip, header);
    if (tcp.size < 20 || size < header + 20)
        return false;
    size_t offset = (size_t)(tcp.data[12] >> 4) * 4;
    if (offset < 20 || offset > tcp.size || header + offset > size)
        return false;
    size_t sent = size - header - offset;
    out->from.port = get_u16(tcp.data);
    out->to.port = get_u16(tcp.data + 2);
    out->sequence = get_u32(tcp.data + 4);
    out->acknowledged = get_u32(tcp.data + 8);
    out->fin = (tcp.data[13] & 1) != 0;
    out->syn = (tcp.data[13] & 2) != 0;
    out->rst = (tcp.data[13] & 4) != 0;
    out->ack = (tcp.data[13] & 16) != 0;
    out->payload = behind(tcp, offset);
    out->cut = out->payload.size < sent;
    if (out->payload.size > sent)
        out->payload.size = sent; /* what fills up an Ethernet frame */
    return true;
}

static bool read_ipv4(struct bytes ip, struct segment *out)
{
    if (ip.size < 20 || ip.data[9] != TCP || (get_u16(ip.data + 6) & 0x3fff) != 0)
        return false; /* a fragment is not put together: TCP avoids them */
    size_t header = (size_t)(ip.data[0] & 15) * 4, size = get_u16(ip.data + 2);
    if (header < 20 || header > ip.size)
        return false;
    memcpy(out->from.address, ip.data + 12, 4);
    memcpy(out->to.address, ip.data + 16, 4);
    out->from.size = out->to.size = 4;
    return read_tcp(ip, header, size > 0 ? size : ip.size, out); /* 0: the card cuts it later */
}

static bool read_ipv6(struct bytes ip, struct segment *out)
{
    if (ip.size < 40 || ip.data[6] != TCP)
        return false;
    memcpy(out->from.address, ip.data + 8, 16);
    memcpy(out->to.address, ip.data + 24, 16);
    out->from.size = out->to.size = 16;
    size_t size = get_u16(ip.data + 4);
    return read_tcp(ip, 40, size > 0 ? 40 + size : ip.size, out);
}

bool segment_read(const struct pcap_frame *frame, struct segment *out)
{
    struct bytes ip = network(frame);
    *out = (struct segment){0};
    if (ip.size > 0 && ip.data[0] >> 4 == 4)
        return read_ipv4(ip, out);
    return ip.size > 0 && ip.data[0] >> 4 == 6 && read_ipv6(ip, out);
}
