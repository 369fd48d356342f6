/* The broker gives away what only root may do, once its sockets are bound. */
#ifndef BROKER_PRIVILEGES_H
#define BROKER_PRIVILEGES_H

#include <stddef.h>

#include "base/status.h"

/* Becomes `user`, with the groups of that user alone, for good: real, effective and saved. NULL:
 * stays who it is. A failure leaves the process half way, and it has to end; `error` says why. The
 * thread that starts the broker, before there is another. */
enum status MUST_USE privileges_drop(const char *user, char *error, size_t error_size);

#endif
