/* Messages, for an operator: as `run` of a verb. */
#ifndef VERBS_MESSAGES_H
#define VERBS_MESSAGES_H

#include "verbs/verb.h"

void messages_publish(struct verb_call *call);
void messages_retained(struct verb_call *call);
void messages_forget(struct verb_call *call);

#endif
