/* The configuration is read again: at SIGHUP, or because a file that it names has changed. */
#ifndef BROKER_RELOAD_H
#define BROKER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct config_log;
struct policy;

/* Reads the file at `path` (NULL: there is none) and puts in force what of it may change while the
 * broker runs, with all workers or not at all; what may not, and what is wrong, is logged, `cause`
 * in front. The thread that started the broker, as for the following. */
void reload_from(struct broker *broker, const char *path, const char *cause);

/* Puts in force what of the log may change while the broker runs. Any thread. */
void reload_log(const struct config_log *config);

struct reload_watch {
    uint64_t read; /* what watch_look() said of the files that were read last, sound or not */
    uint64_t last; /* and at the last turn */
};

/* Of a policy that has just been put in force. */
struct reload_watch reload_watch_of(const struct policy *policy);
/* Every watch_interval: whether files of the policy have changed, and nothing has changed any more
 * since the last turn. True once for each change: what turns out to be broken is read again when it
 * has changed again. */
bool reload_is_due(struct reload_watch *watch, const struct policy *policy);

#endif
