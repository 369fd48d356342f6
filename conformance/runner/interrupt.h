/* Ctrl-C and SIGTERM: the first one ends the run in good order, the second one at once. */
#ifndef CONFORMANCE_INTERRUPT_H
#define CONFORMANCE_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
bool interrupt_came(void);

enum { INTERRUPT_STATUS = 130 };

#endif
