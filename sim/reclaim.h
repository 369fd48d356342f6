/* The scheduler's side of routing/reclaim.h. */
#ifndef SIM_RECLAIM_H
#define SIM_RECLAIM_H

#include <stdbool.h>

/* Releases one pointer that no reader can have any more; false: there is none. */
bool reclaim_step(void);
void reclaim_crash(void);

#endif
