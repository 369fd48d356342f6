/* The grammars without the fast path in front: its oracle in tests. Internal to protocol/. */
#ifndef PROTOCOL_TOPIC_GRAMMAR_H
#define PROTOCOL_TOPIC_GRAMMAR_H

#include "base/bytes.h"

bool utf8_grammar_validate(struct bytes text, size_t *out_offset);
bool topic_name_grammar_validate(struct bytes name, size_t *out_offset);

#endif
