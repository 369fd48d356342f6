/* What libconfuse lets pass without a word: found before it parses.
 *
 * It accepts a missing last brace, expands ${HOME}, drops characters that it has no rule for ('*'
 * in an address without quotes), lets a forgotten quote swallow lines, stops at a zero byte, and
 * counts a line too many for each comment between slash-stars. */
#ifndef BROKER_CONFIG_SCAN_H
#define BROKER_CONFIG_SCAN_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* Copies `text` to the heap as a C string with its comments blanked out and its lines kept.
 * INVALID: `why` and *out_line say what is wrong and where. */
enum status MUST_USE config_scan(struct bytes text, char **out, unsigned *out_line, char *why,
                                 size_t why_size);

#endif
