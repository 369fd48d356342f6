#include "conformance/runner/job.h"

#include <string.h>

uint64_t job_limit_ms(const struct job *job)
{
    unsigned limit_s = job->definition->limit_s;
    return (limit_s ? limit_s : 30) * UINT64_C(1000);
}

void job_settle(struct job *job, enum verdict verdict, const char *reason)
{
    job->outcome = (struct outcome){.verdict = verdict, .reason = strdup(reason)};
    job->state = JOB_ENDED;
}
