#include "conformance/matrix/combination.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/matrix/pairwise.h"

static const char *const sessions[] = {
    [SESSION_CLEAN] = "clean",
    [SESSION_SHORT] = "short",
    [SESSION_LONG] = "long",
    [SESSION_UNLIMITED] = "unlimited",
    [SESSION_LENGTHENED] = "lengthened",
    [SESSION_SHORTENED] = "shortened",
};
static const char *const filters[] = {
    [FILTER_EXACT] = "exact",
    [FILTER_PLUS] = "plus",
    [FILTER_HASH] = "hash",
    [FILTER_SHARED] = "shared",
    [FILTER_OVERLAPPING] = "overlapping",
};
static const char *const leavings[] = {
    [LEAVING_DISCONNECT] = "disconnect", [LEAVING_DISCONNECT_WITH_WILL] = "disconnect_with_will",
    [LEAVING_CLOSE] = "close",           [LEAVING_RESET] = "reset",
    [LEAVING_TIMEOUT] = "timeout",       [LEAVING_TAKEOVER] = "takeover",
};
static const char *const steps[] = {
    [STEP_IDLE] = "idle",         [STEP_PUBLISHED] = "published", [STEP_RECEIVED] = "received",
    [STEP_RELEASED] = "released", [STEP_FINISHED] = "finished",
};
static const char *const outages[] = {
    [OUTAGE_NONE] = "none", [OUTAGE_RESTART] = "restart", [OUTAGE_KILL] = "kill"};

static const uint8_t value_counts[DIMENSIONS] = {
    [DIMENSION_PUBLISHED] = 3,
    [DIMENSION_GRANTED] = 3,
    [DIMENSION_SESSION] = SESSION_KINDS,
    [DIMENSION_FILTER] = FILTER_KINDS,
    [DIMENSION_LEAVING] = LEAVINGS,
    [DIMENSION_STEP] = STEPS,
    [DIMENSION_OUTAGE] = OUTAGE_KILL + 1,
};
_Static_assert((int)DIMENSIONS <= (int)PAIRWISE_DIMENSIONS_MAX, "pairwise.h has room for fewer");
_Static_assert((int)SESSION_KINDS <= (int)PAIRWISE_VALUES_MAX, "pairwise.h has room for fewer");

uint8_t combination_qos(const struct combination *combination)
{
    uint8_t published = combination->values[DIMENSION_PUBLISHED];
    uint8_t granted = combination->values[DIMENSION_GRANTED];
    return published < granted ? published : granted;
}

bool combination_survives(const struct combination *combination)
{
    enum session_kind session = combination->values[DIMENSION_SESSION];
    return session == SESSION_LONG || session == SESSION_UNLIMITED || session == SESSION_LENGTHENED;
}

static const char *version_objection(const struct combination *combination)
{
    enum session_kind session = combination->values[DIMENSION_SESSION];
    if (combination->version == VERSION_5)
        return NULL;
    if (session != SESSION_CLEAN && session != SESSION_UNLIMITED)
        return "3.1.1 has no Session Expiry Interval";
    if (combination->values[DIMENSION_FILTER] == FILTER_SHARED)
        return "3.1.1 has no Shared Subscriptions";
    if (combination->values[DIMENSION_LEAVING] == LEAVING_DISCONNECT_WITH_WILL)
        return "the DISCONNECT of 3.1.1 has no Reason Code";
    return NULL;
}

const char *combination_objection(const struct combination *combination)
{
    enum session_kind session = combination->values[DIMENSION_SESSION];
    enum leaving leaving = combination->values[DIMENSION_LEAVING];
    enum step step = combination->values[DIMENSION_STEP];
    const char *objection = version_objection(combination);
    if (objection != NULL)
        return objection;
    if ((session == SESSION_LENGTHENED || session == SESSION_SHORTENED) &&
        leaving != LEAVING_DISCONNECT && leaving != LEAVING_DISCONNECT_WITH_WILL)
        return "only DISCONNECT changes the expiry";
    if (session == SESSION_CLEAN && leaving == LEAVING_TAKEOVER)
        return "a takeover closes the connection that the session ends with, and resumes the "
               "session: what comes first is a matter of reading";
    if (step != STEP_IDLE && combination_qos(combination) == 0)
        return "QoS 0 is not acknowledged";
    if ((step == STEP_RECEIVED || step == STEP_RELEASED) && combination_qos(combination) != 2)
        return "only QoS 2 has PUBREC and PUBREL";
    return NULL;
}

void combination_name(const struct combination *combination, char *name, size_t size)
{
    const uint8_t *values = combination->values;
    snprintf(name, size, "q%u_q%u_%s_%s_%s_%s_%s", values[DIMENSION_PUBLISHED],
             values[DIMENSION_GRANTED], sessions[values[DIMENSION_SESSION]],
             filters[values[DIMENSION_FILTER]], leavings[values[DIMENSION_LEAVING]],
             steps[values[DIMENSION_STEP]], outages[values[DIMENSION_OUTAGE]]);
}

/* Counts up like a number whose digits have different bases; false after the last. */
static bool next(uint8_t *values)
{
    for (unsigned d = DIMENSIONS; d-- > 0;) {
        if (++values[d] < value_counts[d])
            return true;
        values[d] = 0;
    }
    return false;
}

size_t combination_all(enum version version, struct combination *list)
{
    struct combination combination = {.version = version};
    size_t count = 0;
    do {
        if (combination_objection(&combination) != NULL)
            continue;
        if (list != NULL)
            list[count] = combination;
        count++;
    } while (next(combination.values));
    return count;
}

/* Where the session is there at the return and owes something. */
static bool is_rich(const struct combination *combination)
{
    return combination_survives(combination) && combination_qos(combination) > 0;
}

/* The rich ones first; how many they are. */
static size_t sort(struct combination *list, size_t count)
{
    size_t rich = 0;
    struct combination *sorted = calloc(count, sizeof *sorted);
    if (sorted == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (is_rich(&list[i]))
            sorted[rich++] = list[i];
    }
    size_t end = rich;
    for (size_t i = 0; i < count; i++) {
        if (!is_rich(&list[i]))
            sorted[end++] = list[i];
    }
    memcpy(list, sorted, count * sizeof *list);
    free(sorted);
    return rich;
}

size_t combination_pairwise(enum version version, uint64_t seed, struct combination *list)
{
    size_t count = combination_all(version, list), rich = sort(list, count);
    struct pairwise_row *rows = calloc(count, sizeof *rows);
    size_t *chosen = calloc(count, sizeof *chosen);
    struct combination *choice = calloc(count, sizeof *choice);
    if (rows == NULL || chosen == NULL || choice == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        memcpy(rows[i].values, list[i].values, DIMENSIONS);
    size_t choices = pairwise_choose(rows, count, rich, DIMENSIONS, seed, chosen);
    for (size_t i = 0; i < choices; i++)
        choice[i] = list[chosen[i]];
    memcpy(list, choice, choices * sizeof *list);
    free(choice);
    free(chosen);
    free(rows);
    return choices;
}
