/* Packets as text, for comparing them, and packets back as bytes. For tests and fuzz targets. */
#ifndef PROTOCOL_PACKET_TESTING_H
#define PROTOCOL_PACKET_TESTING_H

#include "base/bytes.h"
#include "protocol/packet.h"

/* One "name = value" line a field, behind a line with the packet's name; terminated with NUL.
 * Properties that are not there are left out. */
void packet_dump(enum mqtt_version version, const struct packet *packet, struct buffer *out);

/* What a decoded packet encodes to, its User Properties and all its Subscription Identifiers
 * included. False when the packet cannot be encoded. */
bool packet_reencode(enum mqtt_version version, const struct packet *packet, struct buffer *out);

/* The same for a PUBLISH, by way of properties_forwardable() and publish_head_encode(), as a Server
 * forwards it. */
bool publish_reencode(enum mqtt_version version, const struct publish *publish, struct buffer *out);

#endif
