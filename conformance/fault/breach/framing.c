/* Faults of WebSocket frames, which the front in websocket.c carries out. */
#include "conformance/fault/fault.h"

FAULT_HOOKS(accepts_text_frames, .websocket = WEBSOCKET_TAKES_TEXT)
FAULT_HOOKS(sends_text_frames, .websocket = WEBSOCKET_SENDS_TEXT)
FAULT_HOOKS(one_packet_per_frame, .websocket = WEBSOCKET_FIRST_PACKET_ONLY)
FAULT_HOOKS(drops_split_packets, .websocket = WEBSOCKET_WHOLE_PACKETS_ONLY)
FAULT_HOOKS(wrong_subprotocol, .websocket = WEBSOCKET_WRONG_SUBPROTOCOL)
