/* holdfast: the command line. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "admin/control.h"
#include "admin/http.h"
#include "admin/kick_command.h"
#include "admin/service.h"
#include "admin/store_command.h"
#include "admin/top_command.h"
#include "admin/verb_command.h"
#include "admin/why_command.h"
#include "authentication/passwd.h"
#include "authorization/acl_explain.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/policy.h"
#include "broker/reload.h"
#include "broker/sandbox.h"
#include "broker/trace_log.h"
#include "config/config.h"
#include "import/import_command.h"
#include "metrics/metrics.h"
#include "tls/tls.h"

#include "trace/trace_command.h"
#include "verbs/drain.h"

enum { EXIT_CONFIGURATION = 2 };

/* For jemalloc, where it is linked: what is free goes back to the system within 0.3 s. What one
 * thread takes another lets go of here, so that free pages lie in each thread's part; in the ten
 * seconds that are jemalloc's own, a backlog that drains left half of its peak there. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:300";

static const char usage[] =
    "usage: holdfast [-c FILE]                  run the broker in the foreground\n"
    "       holdfast --check-config [-c FILE]   read the configuration, say what is wrong\n"
    "       holdfast --help-config              every option, its default and its range\n"
    "       holdfast --help-config-markdown     the same as docs/configuration.md\n"
    "       holdfast --help-metrics-markdown    every metric, as docs/metrics.md\n"
    "       holdfast --version\n"
    "\n"
    "       holdfast passwd ...                 set or delete users and their passwords\n"
    "       holdfast acl explain ...            say what an access control list allows\n"
    "       holdfast why ...                    ask the broker what became of a message\n"
    "       holdfast trace check ...            hold a trace against the tables\n"
    "       holdfast trace show ...             print it, or a client's part\n"
    "       holdfast trace draw ...             draw a client's part\n"
    "       holdfast kick ...                   have the broker send a client away\n"
    "       holdfast sessions ...               list sessions\n"
    "       holdfast session ...                all that concerns one of them\n"
    "       holdfast retained ...               list retained messages\n"
    "       holdfast stats ...                  the broker's numbers\n"
    "       holdfast top ...                    the same, again and again\n"
    "       holdfast drain ...                  send clients away at a rate, and stop\n"
    "       holdfast store ...                  back up, verify or compact a store\n"
    "       holdfast import ...                 take over what another broker had\n"
    "\n"
    "Those with dots say more with --help.\n"
    "\n"
    "Without a file the broker listens on 127.0.0.1:1883 and keeps its database in the\n"
    "directory that --help-config names. SIGTERM and SIGINT stop it: clients are told\n"
    "(0x8B Server shutting down), everything acknowledged is on disk, exit status 0.\n"
    "SIGHUP has it read its file again.\n";

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

static void reopen_log(void)
{
    char error[4352];
    if (log_reopen(error, sizeof error) != STATUS_OK)
        log_line(LOG_ERROR, "%s; it goes on where it went", error);
}

/* Reads again what is asked for, or what has changed. */
static void reload(struct reload_watch *watch, struct broker *broker, const char *path, int signal)
{
    const struct policy *before = broker->policy;
    if (signal == 0 && !reload_is_due(watch, before))
        return;
    service_reloading();
    if (signal == SIGHUP)
        reopen_log();
    reload_from(broker, path, signal == SIGHUP ? "SIGHUP" : "files have changed");
    if (broker->policy != before) /* and with it, perhaps, the files */
        *watch = reload_watch_of(broker->policy);
    service_ready();
}

/* Until a signal asks for the end. */
static void serve(struct broker *broker, const char *path, const sigset_t *signals)
{
    static struct service service;
    struct reload_watch watch = reload_watch_of(broker->policy);
    uint64_t interval_ms = (uint64_t)broker->config->broker.watch_interval_s * 1000;
    service_init(&service, broker);
    service_ready();
    for (;;) {
        int got = service_await(&service, signals, interval_ms);
        if (got != SIGHUP && got != 0)
            break;
        reload(&watch, broker, path, got);
    }
    service_stopping();
}

/* Root makes no file in a directory that may be another user's: with 'user', it is that user who
 * does. */
static enum status start_log(const struct config *config, char *error, size_t error_size)
{
    if (config->log.file != NULL)
        TRY(log_open(config->log.file, error, error_size));
    for (size_t i = 0; i < config->warning_count; i++)
        log_line(LOG_WARNING, "%s", config->warnings[i]);
    return STATUS_OK;
}

/* Who starts the broker sees it, and so does who reads its log. */
static int complain_in_log(const struct config *config, const char *error)
{
    if (config->log.file != NULL)
        log_line(LOG_ERROR, "%s", error);
    return complain(error);
}

static int run(const char *path, const struct config *config)
{
    static struct broker broker;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it */
    signal(SIGPIPE, SIG_IGN);
    memory_reserve();
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error like a full disk */
    raise_descriptor_limit();
    umask(S_IRWXG | S_IRWXO);                       /* what is in the store is its owner's alone */
    sandbox_allow_cores(config->broker.core_dumps); /* before any key is read */
    char error[512] = "out of memory";
    if (config->broker.user == NULL && start_log(config, error, sizeof error) != STATUS_OK)
        return complain(error);
    if (broker_start(&broker, config, error, sizeof error) != STATUS_OK)
        return complain_in_log(config, error);
    if (config->broker.user != NULL && start_log(config, error, sizeof error) != STATUS_OK) {
        broker_stop(&broker);
        return complain(error);
    }
    log_line(LOG_NOTICE, "holdfast %s: %u workers, store %s, durability %s", HOLDFAST_VERSION,
             broker.worker_count, config->sqlite.mounted_file_path,
             durability_text(config->sqlite.durability));
    struct control *control;
    if (control_open(&broker, &control) != STATUS_OK)
        log_line(LOG_WARNING, "control: out of memory; holdfast why cannot ask");
    struct http *http;
    if (http_open(&broker, &http) != STATUS_OK)
        log_line(LOG_WARNING, "admin: out of memory; /metrics cannot be read");
    sandbox_close(config->broker.sandbox);
    log_line(LOG_NOTICE, "ready");
    serve(&broker, path, &signals);
    log_line(LOG_NOTICE, "stopping");
    http_close(http);
    control_close(control);
    drain_end();
    broker_stop(&broker);
    log_line(LOG_NOTICE, "stopped");
    log_say_left_out(true);
    return EXIT_SUCCESS;
}

static int check(const char *path, const struct config *config)
{
    char error[4352] = "out of memory";
    for (size_t i = 0; i < config->warning_count; i++)
        fprintf(stderr, "holdfast: warning: %s\n", config->warnings[i]);
    struct policy *policy;
    if (tls_init() != STATUS_OK || http_check(config, error, sizeof error) != STATUS_OK ||
        policy_new(config, NULL, &policy, error, sizeof error) != STATUS_OK)
        return complain(error);
    policy_drop(policy);
    if (trace_log_try(config->log.trace, error, sizeof error) != STATUS_OK)
        return complain(error);
    int obstacle = config->log.file != NULL ? file_obstacle(config->log.file) : 0;
    if (obstacle != 0) {
        snprintf(error, sizeof error, "cannot write the log \"%s\": %s", config->log.file,
                 strerror(obstacle));
        return complain(error);
    }
    printf("%s: ok\n", path != NULL ? path : "defaults");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    enum {
        OPTION_CHECK = 256,
        OPTION_HELP_CONFIG,
        OPTION_VERSION,
        OPTION_MARKDOWN,
        OPTION_METRICS
    };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, OPTION_CHECK},
        {"help-config", no_argument, NULL, OPTION_HELP_CONFIG},
        {"help-config-markdown", no_argument, NULL, OPTION_MARKDOWN},
        {"help-metrics-markdown", no_argument, NULL, OPTION_METRICS},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    if (argc > 1 && strcmp(argv[1], "trace") == 0)
        return trace_command(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "acl") == 0)
        return acl_explain_run(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "passwd") == 0)
        return passwd_command(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "kick") == 0)
        return kick_command(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "store") == 0)
        return store_command(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "import") == 0)
        return import_command(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "why") == 0)
        return why_command(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "top") == 0)
        return top_command(argc - 1, argv + 1);
    if (argc > 1 && verb_command_is(argv[1]))
        return verb_command(argc - 1, argv + 1);
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
        case OPTION_METRICS:
            metrics_print_markdown(stdout);
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
    int result = EXIT_SUCCESS;
    if (check_only) {
        result = check(path, &config);
    } else {
        reload_log(&config.log);
        result = run(path, &config);
    }
    config_fini(&config);
    return result;
}
