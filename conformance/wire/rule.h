/* What the specification allows where, as the reader asks for it. */
#ifndef CONFORMANCE_RULE_H
#define CONFORMANCE_RULE_H

#include "conformance/wire/packet.h"

/* Where properties stand: a packet type, or these. */
enum { RULE_WILL_PROPERTIES = 16 };

/* The section that allows the property there; NULL: it has no place there. */
const char *rule_property_section(unsigned place, uint32_t id);
bool rule_property_repeats(unsigned place, uint32_t id);

bool rule_reason_code_allowed(enum packet_type type, uint8_t code, bool from_server);
/* The statement that names the packet's Reason Codes. */
const char *rule_reason_code_statement(enum version version, enum packet_type type);

/* The packet's own section, such as "5.0 section 3.4". */
const char *rule_section(enum version version, enum packet_type type);

#endif
