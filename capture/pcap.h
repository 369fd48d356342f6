/* A file of captured packets, frame by frame: pcap of either byte order, with microseconds or
 * nanoseconds, and pcapng.
 *
 * One thread. A frame borrows from the reader and is valid until the next call. What the file says
 * about sizes is believed only as far as PCAP_FRAME_MAX. */
#ifndef CAPTURE_PCAP_H
#define CAPTURE_PCAP_H

#include <stdio.h>

#include "base/bytes.h"

enum { PCAP_FRAME_MAX = 262144 }; /* bytes; what dumpcap takes of a packet */

enum pcap_result { PCAP_FRAME, PCAP_END, PCAP_WRONG };

struct pcap_frame {
    uint64_t number; /* from 1, as Wireshark counts */
    uint32_t link;   /* LINKTYPE_... */
    struct bytes data;
};

struct pcap_reader;

/* NULL: no memory. `file` stays the caller's. */
struct pcap_reader *pcap_new(FILE *file);
void pcap_free(struct pcap_reader *reader /* takes */);

/* PCAP_WRONG: `*out_why` says what is wrong with the file. */
enum pcap_result pcap_next(struct pcap_reader *reader, struct pcap_frame *out,
                           const char **out_why);

#endif
