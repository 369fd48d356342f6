/* Reason Codes (5.0 section 2.4), from reason_code.def. */
#ifndef PROTOCOL_REASON_CODE_H
#define PROTOCOL_REASON_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/packet.h" /* enum packet_type, defined before packet.h includes this file */

enum reason_code {
#define REASON(value, constant, name, packets, senders) REASON_##constant = value,
#include "protocol/reason_code.def"
};

/* The name as Table 2-6 has it; "Success" for 0; "unknown reason code" for what is none. */
const char *reason_code_name(uint8_t reason_code);

/* May a packet of this type, sent by a Server or a Client, carry this code (Tables 2-6, 3-10,
 * 3-11)? False for packet types that carry none. */
bool reason_code_allowed(enum packet_type type, uint8_t reason_code, bool from_server);

#endif
