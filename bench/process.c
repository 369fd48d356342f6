#include "bench/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t process_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) != 0)
        return 0;
    return read_clock(clock);
}

uint64_t process_memory_kib(pid_t pid, const char *figure)
{
    char line[256];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    unsigned long kib = 0;
    size_t length = strlen(figure);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, figure, length) == 0 && line[length] == ':') {
            if (sscanf(line + length + 1, "%lu", &kib) != 1)
                kib = 0;
            break;
        }
    }
    fclose(file);
    return kib;
}
