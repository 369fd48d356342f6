#include "admin/store_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "storage/maintenance.h"
#include "transfer/offline.h"
#include "transfer/transfer.h"

enum { EXIT_NOT_DONE = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: holdfast store backup [-c FILE | --store DIRECTORY] TARGET\n"
    "       holdfast store verify [-c FILE | --store DIRECTORY] [--json]\n"
    "       holdfast store compact [-c FILE | --store DIRECTORY]\n"
    "       holdfast store export [-c FILE | --store DIRECTORY] >FILE\n"
    "       holdfast store import [-c FILE | --store DIRECTORY] <FILE\n"
    "\n"
    "The store is that of the configuration file, or of the default.\n"
    "\n"
    "backup   copies the store, as one moment has it, into the directory TARGET. The broker may\n"
    "         run meanwhile. To go back to it, stop the broker and have mounted_file_path name\n"
    "         TARGET, or a copy of it.\n"
    "verify   reads all of a store that no broker uses, and says what is in it, or damaged.\n"
    "compact  writes a store that no broker uses anew, without what is free in it.\n"
    "export   writes all of a store that no broker uses as lines of JSON to standard output.\n"
    "import   makes a store of such lines, where there is none yet.\n";

static int fail(const char *error)
{
    fprintf(stderr, "holdfast: %s\n", error);
    return EXIT_NOT_DONE;
}

static int backup(const char *directory, const char *target)
{
    char error[512];
    if (maintenance_backup(directory, target, error, sizeof error) != STATUS_OK)
        return fail(error);
    printf("%s: the store as it was, whole and on disk\n", target);
    return 0;
}

static int verify(const char *directory, bool as_json)
{
    static const char words[] =
        "%s: sound: %" PRIu64 " sessions, %" PRIu64 " subscriptions, %" PRIu64
        " messages owed, %" PRIu64 " retained, %" PRIu64 " bytes, schema %d, LSN %" PRIu64 "\n";
    static const char json[] =
        "{\"sound\": true, \"sessions\": %" PRIu64 ", \"subscriptions\": %" PRIu64
        ", \"messages\": %" PRIu64 ", \"retained\": %" PRIu64 ", \"bytes\": %" PRIu64
        ", \"schema\": %d, \"lsn\": %" PRIu64 "}\n";
    struct maintenance_report found;
    char error[512];
    if (maintenance_verify(directory, &found, error, sizeof error) != STATUS_OK)
        return fail(error);
    if (as_json)
        printf(json, found.sessions, found.subscriptions, found.messages, found.retained,
               found.bytes, found.schema, found.lsn);
    else
        printf(words, directory, found.sessions, found.subscriptions, found.messages,
               found.retained, found.bytes, found.schema, found.lsn);
    return 0;
}

static int compact(const char *directory)
{
    char error[512];
    return maintenance_compact(directory, error, sizeof error) == STATUS_OK ? 0 : fail(error);
}

static int export(const char *directory)
{
    char error[768];
    return transfer_export(directory, stdout, error, sizeof error) == STATUS_OK ? 0 : fail(error);
}

static int import(const char *directory)
{
    char error[768];
    if (!offline_become_owner(directory))
        return fail("cannot become the owner of the directory");
    return transfer_import(stdin, directory, error, sizeof error) == STATUS_OK ? 0 : fail(error);
}

/* What the configuration says; the caller frees it. */
static char *configured_directory(const char *file)
{
    struct config config;
    char error[512];
    if (config_load(file, &config, error, sizeof error) != STATUS_OK) {
        fail(error);
        return NULL;
    }
    char *directory = strdup(config.sqlite.mounted_file_path);
    config_fini(&config);
    return directory;
}

static int misused(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
}

static int run(const char *verb, const char *directory, const char *target, bool as_json)
{
    umask(S_IRWXG | S_IRWXO); /* what is in a store is its owner's alone */
    if (strcmp(verb, "backup") == 0)
        return backup(directory, target);
    if (strcmp(verb, "verify") == 0)
        return verify(directory, as_json);
    if (strcmp(verb, "export") == 0)
        return export(directory);
    if (strcmp(verb, "import") == 0)
        return import(directory);
    return compact(directory);
}

static bool is_verb(const char *word)
{
    static const char *const verbs[] = {"backup", "verify", "compact", "export", "import"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i], word) == 0)
            return true;
    }
    return false;
}

int store_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"store", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *file = NULL, *store = NULL;
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 's':
            store = optarg;
            break;
        case 'j':
            as_json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return misused();
        }
    }
    const char *verb = optind < argc ? argv[optind] : "";
    bool copies = strcmp(verb, "backup") == 0, verifies = strcmp(verb, "verify") == 0;
    if (!is_verb(verb) || argc - optind != (copies ? 2 : 1) || (as_json && !verifies))
        return misused();
    char *directory = store != NULL ? strdup(store) : configured_directory(file);
    if (directory == NULL)
        return EXIT_USAGE;
    int status = run(verb, directory, argv[optind + 1], as_json);
    free(directory);
    return status;
}
