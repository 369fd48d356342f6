/* The files that a policy was made from, and whether they are still what they were.
 *
 * Looked at by stat(), through links: a certificate is renewed by changing a link as often as by
 * writing a file, and not every file system tells of changes. */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "config/config.h"

struct watch {
    char **paths; /* files, and directories with all that is in them */
    size_t count;
};

/* Certificates, keys, authorities, lists, passwords and rights; not the configuration itself, which
 * is read when somebody says so. A partial watch is for the caller to end, too. */
enum status MUST_USE watch_init(struct watch *watch, const struct config *config);
void watch_fini(struct watch *watch);

/* Stands for what there is now: another value, other files. */
uint64_t watch_look(const struct watch *watch);

#endif
