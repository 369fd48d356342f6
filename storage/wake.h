/* A thread that sleeps until there is work, and is woken with one system call, or none while awake.
 *
 * The sleeper announces its sleep, looks for work once more, and only then sleeps; the waker
 * makes work visible, and only then looks for a sleeper. Both orders are sequentially
 * consistent, so one of them sees the other. */
#ifndef STORAGE_WAKE_H
#define STORAGE_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum wake_state {
    WAKE_AWAKE,
    WAKE_NAPPING, /* briefly; only urgent work wakes it */
    WAKE_ASLEEP,
};

struct wake {
    _Alignas(64) _Atomic uint32_t state;
};

void wake_init(struct wake *wake);
/* Announces the sleep. Look for work now; then wake_sleep, or wake_cancel. */
void wake_announce(struct wake *wake, enum wake_state state);
void wake_cancel(struct wake *wake);
/* Until woken, or for so long. UINT64_MAX: for ever. */
void wake_sleep(struct wake *wake, enum wake_state state, uint64_t timeout_us);
/* Any thread, after its work has become visible. */
void wake_up(struct wake *wake, bool urgent);

#endif
