/* What the system says about this process. Any thread; 0 where it does not say. */
#ifndef METRICS_PROCESS_H
#define METRICS_PROCESS_H

#include <stdint.h>

uint64_t process_resident_bytes(void);
uint64_t process_open_descriptors(void);
uint64_t process_most_descriptors(void);
double process_cpu_seconds(void);

#endif
