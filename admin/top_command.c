#include "admin/top_command.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/ask.h"
#include "admin/command.h"
#include "base/distribution.h"

static const char usage[] =
    "usage: holdfast top [-c FILE | --socket PATH] [--interval SECONDS]\n"
    "\n"
    "Shows what the running broker does, every 2 seconds or as often as is said, until Ctrl-C:\n"
    "messages and bytes a second, how long the disk and the workers take, how far each limit is\n"
    "used, and what is dropped.\n";

enum { INTERVAL_S = 2, INTERVAL_MAX_S = 3600 };

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    interrupted = signal;
}

static json_int_t at(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static json_int_t sum(const json_t *array)
{
    json_int_t total = 0;
    size_t index;
    json_t *one;
    json_array_foreach(array, index, one) total += json_integer_value(one);
    return total;
}

/* ---- A screen ---- */

struct screen {
    const json_t *before, *now;
    double seconds; /* between them */
};

/* A second, of a number, or of an array's sum. */
static double rate(const struct screen *screen, const char *group, const char *name)
{
    const json_t *before = json_object_get(json_object_get(screen->before, group), name);
    const json_t *now = json_object_get(json_object_get(screen->now, group), name);
    json_int_t gone = json_is_array(now) ? sum(now) - sum(before)
                                         : json_integer_value(now) - json_integer_value(before);
    return (double)gone / screen->seconds;
}

/* The bound, in milliseconds, below which 99 of 100 were; of what was counted in between. */
static double percentile_ms(const json_t *before, const json_t *now)
{
    json_int_t counts[DISTRIBUTION_BOUNDS + 1], total = 0, seen = 0;
    for (unsigned i = 0; i <= DISTRIBUTION_BOUNDS; i++) {
        counts[i] = json_integer_value(json_array_get(json_object_get(now, "counts"), i)) -
                    json_integer_value(json_array_get(json_object_get(before, "counts"), i));
        total += counts[i];
    }
    for (unsigned i = 0; i <= DISTRIBUTION_BOUNDS; i++) {
        seen += counts[i];
        if (total > 0 && seen * 100 >= total * 99)
            return (double)(1ull << i) / 1000;
    }
    return 0;
}

static void print_limits(const json_t *limits)
{
    size_t index;
    json_t *one;
    json_array_foreach(limits, index, one)
    {
        if (at(one, "limit") > 0)
            printf("  %-24s %5.1f %% of %" JSON_INTEGER_FORMAT "\n",
                   json_string_value(json_object_get(one, "name")),
                   (double)at(one, "used") * 100 / (double)at(one, "limit"), at(one, "limit"));
    }
}

static void print_drops(const struct screen *screen)
{
    const char *name;
    json_t *count;
    json_object_foreach(json_object_get(screen->now, "dropped"), name, count)
    {
        if (json_integer_value(count) > 0)
            printf("  %-24s %10" JSON_INTEGER_FORMAT " %9.0f/s\n", name, json_integer_value(count),
                   rate(screen, "dropped", name));
    }
}

static void print_screen(const struct screen *screen)
{
    const json_t *now = screen->now, *store = json_object_get(now, "store");
    const json_t *store_before = json_object_get(screen->before, "store");
    printf("holdfast %s, up %" JSON_INTEGER_FORMAT " s, %" JSON_INTEGER_FORMAT " workers%s\n\n",
           json_string_value(json_object_get(now, "version")), at(now, "uptime_s"),
           at(now, "workers"),
           json_is_true(json_object_get(store, "stalled")) ? ", THE DISK FAILS" : "");
    printf("clients   %" JSON_INTEGER_FORMAT " connected, %" JSON_INTEGER_FORMAT
           " away; %" JSON_INTEGER_FORMAT " subscriptions, %" JSON_INTEGER_FORMAT " retained\n",
           at(now, "connected"), at(now, "away"), at(now, "subscriptions"), at(now, "retained"));
    printf("PUBLISH   %.0f/s received, %.0f/s sent; %.0f and %.0f kB/s\n",
           rate(screen, "traffic", "publish_received"), rate(screen, "traffic", "publish_sent"),
           rate(screen, "traffic", "bytes_received") / 1000,
           rate(screen, "traffic", "bytes_sent") / 1000);
    printf("store     %.0f commits/s, 99 %% within %.1f ms; %" JSON_INTEGER_FORMAT " messages\n",
           rate(screen, "store", "commits"),
           percentile_ms(json_object_get(store_before, "commit_us"),
                         json_object_get(store, "commit_us")),
           at(store, "messages") + at(store, "dirty_messages"));
    printf(
        "workers   99 %% of turns within %.1f ms; queues near full: %" JSON_INTEGER_FORMAT "\n",
        percentile_ms(json_object_get(screen->before, "turn_us"), json_object_get(now, "turn_us")),
        at(now, "queues_near_full"));
    puts("\nlimits");
    print_limits(json_object_get(now, "limits"));
    puts("\ndropped");
    print_drops(screen);
}

/* ---- Again and again ---- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* On a screen of the terminal's own, which the one before comes back behind. */
static void enter(bool is_terminal)
{
    if (is_terminal)
        fputs("\033[?1049h\033[?25l", stdout);
}

static void leave(bool is_terminal)
{
    if (is_terminal)
        fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

static int watch(const char *file, const char *socket_path, int interval_s, bool is_terminal)
{
    json_t *before = NULL, *now = NULL;
    double before_s = 0;
    int status = 0;
    while (!interrupted &&
           (status = ask_verb(file, socket_path, "stats", json_object(), &now)) == 0) {
        double here_s = now_s();
        if (before != NULL) {
            struct screen screen = {before, now, here_s - before_s};
            fputs(is_terminal ? "\033[H\033[J" : "", stdout);
            print_screen(&screen);
            fflush(stdout);
        }
        json_decref(before);
        before = now;
        before_s = here_s;
        poll(NULL, 0, interval_s * 1000); /* which a signal ends */
    }
    json_decref(before);
    return status;
}

int top_command(int argc, char **argv)
{
    const char *file = NULL, *socket_path = NULL, *interval = NULL;
    const struct command_option options[] = {{"config", &file, NULL},
                                             {"socket", &socket_path, NULL},
                                             {"interval", &interval, NULL},
                                             {0}};
    int status = command_parse(argc, argv, options, usage);
    if (status != COMMAND_GOES_ON)
        return status;
    long interval_s = interval != NULL ? strtol(interval, NULL, 10) : INTERVAL_S;
    if (interval_s < 1 || interval_s > INTERVAL_MAX_S)
        return command_misused(usage);
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool is_terminal = isatty(STDOUT_FILENO) != 0;
    enter(is_terminal);
    status = watch(file, socket_path, (int)interval_s, is_terminal);
    leave(is_terminal);
    return status;
}
