/* Sessions, for an operator: as `run` of a verb. */
#ifndef VERBS_SESSIONS_H
#define VERBS_SESSIONS_H

#include "verbs/verb.h"

void sessions_list(struct verb_call *call);
void sessions_show(struct verb_call *call);
void sessions_kick(struct verb_call *call);
void sessions_delete(struct verb_call *call);

/* Whether all of the text matches the pattern, in which * stands for any bytes and ? for one. In
 * time that grows with the product of their sizes at most. */
bool sessions_pattern_matches(struct bytes pattern, struct bytes text);

#endif
