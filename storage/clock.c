#include "storage/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int64_t ms_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t boot_ms(void)
{
    return ms_of(CLOCK_BOOTTIME);
}

static int64_t wall_ms(void)
{
    return ms_of(CLOCK_REALTIME);
}

static void boot_id(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, out, 39);
    if (fd >= 0)
        close(fd);
    out[size > 0 ? size : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

const struct clock_source clock_system = {monotonic_us, boot_ms, wall_ms, boot_id};
const struct clock_source *clock_source = &clock_system;

/* A wall clock that says less has not been set yet: 2024-01-01. */
static const int64_t plausible_ms = INT64_C(1704067200000);

int64_t clock_store_base(const struct schema_meta *last)
{
    int64_t boot = clock_source->boot_ms();
    int64_t wall = clock_source->wall_ms();
    char id[40];
    clock_source->boot_id(id);
#ifdef SEEDED_BUG_TIME_BACKWARDS
    return wall - boot;
#endif
    if (last->store_ms == 0) /* a new database */
        return wall - boot;
    if (id[0] != '\0' && strcmp(id, last->boot_id) == 0 && boot >= last->boot_ms)
        return last->store_ms - last->boot_ms;
    /* Another boot: the time between is what the wall clock says, if it was right at both ends. */
    int64_t between = 0;
    if (last->wall_ms >= plausible_ms && wall > last->wall_ms)
        between = wall - last->wall_ms;
    return last->store_ms + between - boot;
}
