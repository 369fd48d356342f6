/* A mosquitto.conf, as mosquitto 2.0 reads one, turned into a draft. */
#ifndef IMPORT_MOSQUITTO_CONF_H
#define IMPORT_MOSQUITTO_CONF_H

#include "base/status.h"
#include "import/draft.h"

/* With the files of its include_dir. Where it does not return OK, `error` (at least 512 bytes) says
 * which file and line cannot be read. `draft` is the caller's to end, whatever is returned. */
enum status MUST_USE mosquitto_conf_read(const char *path, struct draft *draft, char *error,
                                         size_t error_size);
/* The same from memory; an include_dir is remarked and not opened. `text` is changed, and has a
 * byte behind its size. */
enum status MUST_USE mosquitto_conf_read_text(const char *path, char *text, size_t size,
                                              struct draft *draft, char *error, size_t error_size);

#endif
