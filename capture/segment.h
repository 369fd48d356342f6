/* The TCP segment in a captured frame: Ethernet, Linux "any", loopback or bare IP; IPv4 and IPv6.
 */
#ifndef CAPTURE_SEGMENT_H
#define CAPTURE_SEGMENT_H

#include "capture/pcap.h"

struct endpoint {
    uint8_t address[16]; /* IPv4: the first four */
    uint8_t size;        /* 4 or 16 */
    uint16_t port;
};

struct segment {
    struct endpoint from, to;
    uint32_t sequence, acknowledged;
    bool syn, ack, fin, rst;
    bool cut;             /* the capture has less than was sent */
    struct bytes payload; /* borrowed from the frame */
};

/* False: the frame has no TCP segment that can be read. */
bool segment_read(const struct pcap_frame *frame, struct segment *out);

#endif
