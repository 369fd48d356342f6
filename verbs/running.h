/* The broker as a whole, for an operator: as `run` of a verb. */
#ifndef VERBS_RUNNING_H
#define VERBS_RUNNING_H

#include "verbs/verb.h"

void running_listeners(struct verb_call *call);
void running_stats(struct verb_call *call);
void running_reload(struct verb_call *call);
void running_log_level(struct verb_call *call);
void running_backup(struct verb_call *call);

#endif
