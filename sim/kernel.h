/* The machine under the broker: the calls into the C library that its objects make are turned here
 * when the simulator is linked (--wrap), and act on simulated threads, clocks, files and sockets.
 * sim/calls.txt names them all. */
#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_DIRECTORY "/store"

void kernel_begin(uint64_t seed);
/* The process is gone; or the machine, whose next boot has another id. */
void kernel_crash(bool power);
/* The wall clock of the machine jumps. */
void kernel_step_wall(int64_t ms);
int64_t kernel_wall_ms(void);
/* Something has happened on a socket: whoever waits for one looks. */
void kernel_sockets_changed(void);

/* The name within the directory, or the path itself. */
const char *kernel_name(const char *path);

/* Lines of the broker's log go there. */
extern void (*kernel_log)(const char *line, int size);

#endif
