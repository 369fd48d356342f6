/* A store as text, and back: the way to another machine, and to an older release.
 *
 * One JSON object a line, in an order that what is stored alone decides: docs/operation.md has the
 * format. Numbers that only one store knows (incarnations, message numbers) are not in it. One
 * thread; each call opens and closes what it needs. Where it does not return OK `error` (at least
 * 512 bytes) says what is wrong. */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

enum { TRANSFER_VERSION = 1 }; /* raised when an older release could not read what is written */

/* Writes all of a store that no broker uses. */
enum status MUST_USE transfer_export(const char *directory, FILE *file, char *error,
                                     size_t error_size);

/* Fills `directory`, which is created or has no store yet. INVALID: the text is none, is not whole,
 * or there is a store; TOO_NEW: a newer release wrote it. Nothing is left behind then. */
enum status MUST_USE transfer_import(FILE *file, const char *directory, char *error,
                                     size_t error_size);

#endif
