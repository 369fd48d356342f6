#include "conformance/runner/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_uint interrupts;

static void handle(int signal_number)
{
    if (atomic_fetch_add(&interrupts, 1) > 0)
        _exit(INTERRUPT_STATUS);
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_came(void)
{
    return atomic_load(&interrupts) > 0;
}
