/* sim: runs histories by seed, says which fail, and shortens them. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/history.h"
#include "sim/plan.h"
#include "sim/world.h"

static const char usage[] =
    "usage: sim [--seed N] [--seeds COUNT] [--seconds S] [--jobs J] [--leave-out LIST]\n"
    "\n"
    "One history for each seed: the broker with its clients on a machine that is all simulated.\n"
    "  --seed N          the first seed; alone, that run, told line by line. Default: a fresh one\n"
    "  --seeds COUNT     so many, one after the other, until one fails\n"
    "  --seconds S       as many as fit\n"
    "  --jobs J          processes at a time; default 1\n"
    "  --leave-out LIST  steps of the plan that are left out, such as 3,7-12 (of one seed)\n"
    "  --brief           do not shorten the one that fails\n"
    "  --log             tell what the broker logs, too\n"
    "Exit status: 0 all clean, 1 one failed, 2 usage.\n";

#define HANGS "Alarm clock" /* what strsignal(SIGALRM) says */

enum { HANG_S = 120, SHORTEN_S = 60 };

struct options {
    uint64_t seed, seeds;
    unsigned seconds, jobs;
    uint8_t left_out[PLAN_STEPS_MAX];
    bool alone, log, brief;
};

/* What a run in its own process says, in memory that both see. */
struct report {
    struct world_result result;
    char wrong[400];
    bool finished;
};

/* The real clock: clock_gettime() is the simulated machine's, here too. */
int __real_clock_gettime(clockid_t clock, struct timespec *out);

static double now_s(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- One run in a process of its own ---- */

/* Each run has its own process: what a broker's crash leaves behind ends with it, and a failed
 * CHECK is a result like others. */
static pid_t begin(uint64_t seed, const uint8_t *left_out, struct report *report, bool told,
                   bool log)
{
    fflush(stdout);
    *report = (struct report){0};
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    alarm(HANG_S);
    if (!told && freopen("/dev/null", "w", stderr) == NULL)
        _exit(2);
    history_begin(told, log, report->wrong, sizeof report->wrong);
    world_run(seed, left_out, &report->result);
    report->finished = true;
    fflush(stdout);
    _exit(0);
}

static bool judge(struct report *report, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && report->finished)
        return true;
    if (WIFSIGNALED(status) && report->wrong[0] == '\0')
        snprintf(report->wrong, sizeof report->wrong, "the broker ends with signal %d: %s",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    return false;
}

static bool run(uint64_t seed, const uint8_t *left_out, struct report *report, bool told, bool log)
{
    int status;
    pid_t pid = begin(seed, left_out, report, told, log);
    waitpid(pid, &status, 0);
    return judge(report, status);
}

/* ---- Shortening ---- */

/* What a failure is about, without its numbers. */
static void kind_of(const char *wrong, char *out, size_t size)
{
    size_t used = 0;
    for (; *wrong != '\0' && used + 1 < size; wrong++) {
        if (*wrong < '0' || *wrong > '9')
            out[used++] = *wrong;
    }
    out[used] = '\0';
}

/* Leaves out as many steps as it still fails without, in the same way. */
static void shorten(uint64_t seed, struct report *report, uint8_t *left_out)
{
    char wanted[400], got[400], wrong[400];
    static struct plan plan;
    struct config config = {0};
    if (strstr(report->wrong, HANGS) != NULL)
        return; /* each try would take as long */
    plan_make(seed, &plan, &config);
    strcpy(wrong, report->wrong);
    kind_of(wrong, wanted, sizeof wanted);
    double end_s = now_s() + SHORTEN_S;
    for (unsigned size = plan.count / 2; size > 0 && now_s() < end_s; size /= 2) {
        for (unsigned at = 0; at < plan.count && now_s() < end_s; at += size) {
            uint8_t tried[PLAN_STEPS_MAX];
            memcpy(tried, left_out, sizeof tried);
            unsigned part = at + size <= plan.count ? size : plan.count - at;
            memset(tried + at, 1, part);
            if (memcmp(tried, left_out, sizeof tried) == 0)
                continue;
            bool clean = run(seed, tried, report, false, false);
            kind_of(report->wrong, got, sizeof got);
            if (!clean && strcmp(got, wanted) == 0)
                memcpy(left_out, tried, sizeof tried);
        }
    }
}

static void print_list(const uint8_t *left_out)
{
    const char *separator = "";
    for (unsigned i = 0; i < PLAN_STEPS_MAX; i++) {
        if (left_out[i] == 0)
            continue;
        unsigned first = i;
        while (i + 1 < PLAN_STEPS_MAX && left_out[i + 1] != 0)
            i++;
        printf(first == i ? "%s%u" : "%s%u-%u", separator, first, i);
        separator = ",";
    }
}

static void tell_failure(const char *program, uint64_t seed, struct report *report, bool brief)
{
    uint8_t left_out[PLAN_STEPS_MAX] = {0};
    printf("seed %" PRIu64 " FAILED: %s\n", seed, report->wrong);
    printf("replay: %s --seed %" PRIu64 "\n", program, seed);
    fflush(stdout);
    if (brief)
        return;
    shorten(seed, report, left_out);
    printf("shortened: %s --seed %" PRIu64 " --leave-out ", program, seed);
    print_list(left_out);
    printf("\n");
    run(seed, left_out, report, true, false);
}

/* ---- Many ---- */

struct job {
    pid_t pid;
    uint64_t seed;
    struct report *report;
};

static int run_many(const char *program, const struct options *options)
{
    struct job jobs[64] = {0};
    uint64_t next = options->seed, clean = 0, messages = 0, lives = 0, failed_seed = 0;
    struct report *failed = NULL;
    unsigned running = 0;
    double start_s = now_s();
    struct report *reports =
        mmap(NULL, sizeof *reports * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reports == MAP_FAILED)
        return 2;
    printf("histories from seed %" PRIu64 "\n", options->seed);
    for (;;) {
        bool more =
            failed == NULL && (options->seconds > 0 ? now_s() - start_s < options->seconds
                                                    : next - options->seed < options->seeds);
        if (!more && running == 0)
            break;
        for (unsigned i = 0; more && i < options->jobs; i++) {
            if (jobs[i].pid != 0)
                continue;
            jobs[i] = (struct job){0, next++, &reports[i]};
            jobs[i].pid = begin(jobs[i].seed, NULL, jobs[i].report, false, false);
            running++;
            break;
        }
        if (more && running < options->jobs)
            continue;
        int status;
        pid_t pid = wait(&status);
        for (unsigned i = 0; i < options->jobs; i++) {
            if (jobs[i].pid != pid)
                continue;
            jobs[i].pid = 0;
            running--;
            if (judge(jobs[i].report, status)) {
                clean++;
                messages += jobs[i].report->result.messages;
                lives += jobs[i].report->result.lives;
            } else if (failed == NULL || jobs[i].seed < failed_seed) {
                failed = jobs[i].report;
                failed_seed = jobs[i].seed;
            }
        }
    }
    double seconds = now_s() - start_s;
    if (failed != NULL)
        tell_failure(program, failed_seed, failed, options->brief);
    printf("%" PRIu64 " histories clean from seed %" PRIu64 ", %" PRIu64 " messages, %" PRIu64
           " lives of the broker, in %.1f s: %.0f histories/s\n",
           clean, options->seed, messages, lives, seconds, (double)clean / seconds);
    return failed != NULL;
}

static int run_alone(const struct options *options)
{
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 2;
    bool clean = run(options->seed, options->left_out, report, true, options->log);
    if (!clean) {
        printf("seed %" PRIu64 " FAILED: %s\n", options->seed, report->wrong);
        return 1;
    }
    printf("seed %" PRIu64 " clean: %u steps, %" PRIu64 " messages, %" PRIu64
           " lives, %.1f simulated seconds, %" PRIu64 " switches, %" PRIu64
           " syncs, sum %016" PRIx64 "\n",
           options->seed, report->result.steps, report->result.messages, report->result.lives,
           (double)report->result.simulated_us / 1e6, report->result.switches, report->result.syncs,
           report->result.sum);
    return 0;
}

/* ---- The command line ---- */

static bool parse_list(const char *text, uint8_t *out)
{
    while (*text != '\0') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text)
            return false;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long i = first; i <= last && i < PLAN_STEPS_MAX; i++)
            out[i] = 1;
        if (*end != '\0' && *end != ',')
            return false;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'},
        {"jobs", required_argument, NULL, 'j'},
        {"leave-out", required_argument, NULL, 'o'},
        {"log", no_argument, NULL, 'l'},
        {"brief", no_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool seed_given = false;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 's':
            options->seed = strtoull(optarg, NULL, 10);
            seed_given = true;
            break;
        case 'n':
            options->seeds = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options->seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            options->jobs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'o':
            if (!parse_list(optarg, options->left_out))
                return false;
            break;
        case 'b':
            options->brief = true;
            break;
        case 'l':
            options->log = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        default:
            return false;
        }
    }
    options->alone = seed_given && options->seeds == 0 && options->seconds == 0;
    if (!seed_given)
        options->seed = (uint64_t)(now_s() * 1e6) * 1000003 % 1000000000;
    if (options->seeds == 0)
        options->seeds = 1;
    return optind == argc && options->jobs >= 1 && options->jobs <= 64;
}

int main(int argc, char **argv)
{
    struct options options = {.jobs = 1};
    /* Addresses decide the order in some tables: the same ones each time. */
    int persona = personality(0xffffffff);
    if (persona >= 0 && (persona & ADDR_NO_RANDOMIZE) == 0 &&
        personality((unsigned long)persona | ADDR_NO_RANDOMIZE) >= 0)
        execv("/proc/self/exe", argv);
    if (!parse(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    return options.alone ? run_alone(&options) : run_many(argv[0], &options);
}
