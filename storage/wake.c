#include "storage/wake.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void wake_init(struct wake *wake)
{
    atomic_init(&wake->state, WAKE_AWAKE);
}

void wake_announce(struct wake *wake, enum wake_state state)
{
    atomic_store(&wake->state, (uint32_t)state);
}

void wake_cancel(struct wake *wake)
{
    atomic_store(&wake->state, WAKE_AWAKE);
}

void wake_sleep(struct wake *wake, enum wake_state state, uint64_t timeout_us)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                               .tv_nsec = (long)(timeout_us % 1000000) * 1000};
    /* An early return, for whatever reason, only costs a look around. */
    syscall(SYS_futex, &wake->state, FUTEX_WAIT_PRIVATE, (uint32_t)state,
            timeout_us == UINT64_MAX ? NULL : &timeout, NULL, 0);
    atomic_store(&wake->state, WAKE_AWAKE);
}

void wake_up(struct wake *wake, bool urgent)
{
    uint32_t state = atomic_load(&wake->state);
    if (state == WAKE_AWAKE || (state == WAKE_NAPPING && !urgent))
        return;
    if (atomic_exchange(&wake->state, WAKE_AWAKE) != WAKE_AWAKE)
        syscall(SYS_futex, &wake->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
