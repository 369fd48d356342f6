/* The text of a configuration file, option by option, through libconfuse. */
#ifndef BROKER_CONFIG_PARSE_H
#define BROKER_CONFIG_PARSE_H

#include "base/bytes.h"
#include "base/status.h"
#include "config/config_option.h"

struct config_parse_handler {
    void *context;
    /* A listener begins. The others' sections exist once and need no beginning. */
    enum status (*listener)(void *context, unsigned line, const char *name, char *why,
                            size_t why_size);
    /* An option of the section, or of the latest listener. */
    enum status (*option)(void *context, unsigned line, const struct config_option *option,
                          const char *value, char *why, size_t why_size);
};

/* INVALID: `error` says "path:line: what is wrong". libconfuse is not reentrant, so neither is
 * this: one thread, before the others start. */
enum status MUST_USE config_parse(const char *path, struct bytes text,
                                  const struct config_parse_handler *handler, char *error,
                                  size_t error_size);

#endif
