/* What another process costs. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* CPU time of all its threads so far; 0 if there is no such process. Pid 0 is this process. */
uint64_t process_cpu_ns(pid_t pid);

/* A figure of /proc/PID/status in KiB, for example "VmRSS" or "VmHWM"; 0 if unknown. */
uint64_t process_memory_kib(pid_t pid, const char *figure);

uint64_t process_now_ns(void);

#endif
