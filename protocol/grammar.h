/* For the .rl files alone: what actions use, and the warnings that generated code cannot avoid. */
#ifndef PROTOCOL_GRAMMAR_H
#define PROTOCOL_GRAMMAR_H

#include "protocol/decoder.h"

#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

/* Leaves the decoding function: the byte at `p` breaks this rule. */
#define REFUSE(rule) return decoder_refuse(decoder, (rule), p)

/* The same in an error action, which also runs where the range ends too early: that breaks CUT,
 * which each .rl file defines. */
#define REFUSE_BYTE(rule) return decoder_refuse(decoder, p == pe ? CUT : (rule), p)

static inline const uint8_t *bytes_end(struct bytes bytes)
{
    return bytes.size > 0 ? bytes.data + bytes.size : bytes.data;
}

#endif
