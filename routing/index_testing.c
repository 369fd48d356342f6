#include "routing/index_testing.h"

#include <malloc.h>
#include <string.h>
#include <time.h>

static bool match_levels(const char *filter, const char *topic)
{
    if (strcmp(filter, "#") == 0)
        return true;
    size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");
    bool same = (f == 1 && filter[0] == '+') || (f == t && strncmp(filter, topic, f) == 0);
    if (!same)
        return false;
    if (filter[f] == '\0')
        return topic[t] == '\0';
    if (topic[t] == '\0')
        return strcmp(filter + f, "/#") == 0;
    return match_levels(filter + f + 1, topic + t + 1);
}

bool index_testing_match(const char *filter, const char *topic)
{
    if (topic[0] == '$' && (filter[0] == '#' || filter[0] == '+'))
        return false;
    return match_levels(filter, topic);
}

uint32_t index_testing_draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

double index_testing_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool index_testing_heap(size_t *out)
{
    struct mallinfo2 info = mallinfo2();
    *out = info.uordblks + info.hblkhd;
    return *out != 0; /* the sanitizers' mallinfo says nothing */
}
