/* holdfast: the command line. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "broker/broker.h"
#include "config/config.h"
#include "broker/listener.h"

enum { EXIT_CONFIGURATION = 2 };

static const char usage[] =
    "usage: holdfast [-c FILE]            run the broker in the foreground\n"
    "       holdfast --check-config -c FILE  read the configuration and say what is wrong\n"
    "       holdfast --help-config        every option, its default and its range\n"
    "       holdfast --version\n"
    "\n"
    "Without a file the broker listens on 127.0.0.1:1883 and keeps its database in the\n"
    "directory that --help-config names. SIGTERM and SIGINT stop it: clients are told\n"
    "(0x8B Server shutting down), everything acknowledged is on disk, exit status 0.\n";

static int complain(const char *error)
{
    fprintf(stderr, "holdfast: %s\n", error);
    return EXIT_CONFIGURATION;
}

/* Every connection is a descriptor: as many as the system lets us have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static const char *durability_text(enum store_durability durability)
{
    switch (durability) {
    case STORE_DURABILITY_COMMIT:
        return "commit: acknowledged is on disk";
    case STORE_DURABILITY_FLUSH:
        return "flush: a crash may lose what the last flush_interval acknowledged";
    default:
        return "none: nothing survives a restart";
    }
}

static int run(const struct config *config)
{
    static struct broker broker;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it */
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    char error[512];
    if (broker_start(&broker, config, error, sizeof error) != STATUS_OK)
        return complain(error);
    log_line(LOG_NOTICE, "holdfast %s: %u workers, store %s, durability %s", HOLDFAST_VERSION,
             broker.worker_count, config->sqlite.mounted_file_path,
             durability_text(config->sqlite.durability));
    log_line(LOG_NOTICE, "ready");
    for (;;) {
        int got = 0;
        if (sigwait(&signals, &got) != 0)
            continue;
        if (got != SIGHUP)
            break;
        log_line(LOG_NOTICE, "SIGHUP: nothing can be reloaded yet; restart to change options");
    }
    log_line(LOG_NOTICE, "stopping");
    broker_stop(&broker);
    log_line(LOG_NOTICE, "stopped");
    return EXIT_SUCCESS;
}

static int check(const char *path, const struct config *config)
{
    char error[512] = "out of memory";
    if (listeners_check(config, error, sizeof error) != STATUS_OK)
        return complain(error);
    printf("%s: ok\n", path != NULL ? path : "defaults");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    enum { OPTION_CHECK = 256, OPTION_HELP_CONFIG, OPTION_VERSION, OPTION_MARKDOWN };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, OPTION_CHECK},
        {"help-config", no_argument, NULL, OPTION_HELP_CONFIG},
        {"help-config-markdown", no_argument, NULL, OPTION_MARKDOWN},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *path = NULL;
    bool check_only = false;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case OPTION_CHECK:
            check_only = true;
            break;
        case OPTION_HELP_CONFIG:
            config_print_help(stdout);
            return EXIT_SUCCESS;
        case OPTION_MARKDOWN:
            config_print_markdown(stdout);
            return EXIT_SUCCESS;
        case OPTION_VERSION:
            printf("holdfast %s\n", HOLDFAST_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_CONFIGURATION;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "holdfast: unexpected argument \"%s\"\n%s", argv[optind], usage);
        return EXIT_CONFIGURATION;
    }
    struct config config;
    char error[512];
    if (config_load(path, &config, error, sizeof error) != STATUS_OK)
        return complain(error);
    for (size_t i = 0; i < config.warning_count; i++)
        fprintf(stderr, "holdfast: warning: %s\n", config.warnings[i]);
    int result = EXIT_SUCCESS;
    if (check_only) {
        result = check(path, &config);
    } else {
        log_threshold = config.log.level;
        result = run(&config);
    }
    config_fini(&config);
    return result;
}
