/* The token that a request has to give: the first line of a file, which is read with each request,
 * so that it can be replaced at any time. */
#ifndef ADMIN_TOKEN_H
#define ADMIN_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Whether the file holds a token. `error` says in one line what is wrong with it. */
enum status MUST_USE token_check(const char *path, char *error, size_t error_size);

/* Whether the value of a request's Authorization header (NULL: it has none) gives the token that
 * the file holds now. What it takes to find out says nothing about the token. */
bool token_is_given(const char *path, const char *authorization);

#endif
