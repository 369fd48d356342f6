/* Faults of what carries packets: WebSocket frames, which the front in websocket.c deals with, and
 * TCP, where a read has nothing to do with a packet. */
#include "conformance/fault/fault.h"

FAULT_HOOKS(accepts_text_frames, .websocket = WEBSOCKET_TAKES_TEXT)
FAULT_HOOKS(sends_text_frames, .websocket = WEBSOCKET_SENDS_TEXT)
FAULT_HOOKS(one_packet_per_frame, .websocket = WEBSOCKET_FIRST_PACKET_ONLY)
FAULT_HOOKS(drops_split_packets, .websocket = WEBSOCKET_WHOLE_PACKETS_ONLY)
FAULT_HOOKS(wrong_subprotocol, .websocket = WEBSOCKET_WRONG_SUBPROTOCOL)
FAULT_HOOKS(one_packet_per_read, .one_packet_per_read = true)
FAULT_HOOKS(closes_at_split_packet, .whole_packets_only = true)
