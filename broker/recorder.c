#include "broker/recorder.h"

#include <stdlib.h>

struct recorder_ring *recorder_new(void)
{
    return calloc(RECORDER_RINGS, sizeof(struct recorder_ring));
}
