/* A nanomq.conf (HOCON, NanoMQ 0.14 and later) turned into a draft. */
#ifndef IMPORT_NANOMQ_CONF_H
#define IMPORT_NANOMQ_CONF_H

#include "base/bytes.h"
#include "base/status.h"
#include "import/draft.h"

/* With the files that it includes, but for those of passwords and rights. Where it does not return
 * OK, `error` (at least 512 bytes) says which file and line cannot be read. `draft` is the caller's
 * to end, whatever is returned. */
enum status MUST_USE nanomq_conf_read(const char *path, struct draft *draft, char *error,
                                      size_t error_size);
/* The same from memory; no other file is read. */
enum status MUST_USE nanomq_conf_read_text(const char *path, struct bytes text, struct draft *draft,
                                           char *error, size_t error_size);

#endif
