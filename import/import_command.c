#include "import/import_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "config/config.h"
#include "import/draft.h"
#include "import/mosquitto_conf.h"
#include "import/mosquitto_db.h"
#include "import/mosquitto_store.h"
#include "import/nanomq_conf.h"
#include "transfer/offline.h"

enum { EXIT_LOOK = 1, EXIT_NOT_DONE = 2 };

#define DATABASE_MAX ((size_t)1 << 36) /* all of it is in memory */

static const char usage[] =
    "usage: holdfast import mosquitto.conf|nanomq.conf FILE [--output FILE]\n"
    "       holdfast import mosquitto.db FILE --store DIRECTORY\n"
    "\n"
    "mosquitto.conf  writes a configuration that is as near to FILE, and the files of its\n"
    "                include_dir, as Holdfast can, to standard output. What is different or has\n"
    "                no counterpart is named on standard error, with its line, and in comments.\n"
    "                A listener that would be more open than it was is left out. Exit status 1:\n"
    "                what is marked SECURITY wants to be looked at before the result is used.\n"
    "nanomq.conf     the same of a NanoMQ of 0.14 or later (HOCON), with the files that it "
    "includes.\n"
    "                Users and rights have to be written anew: remarks say where.\n"
    "mosquitto.db    takes sessions, subscriptions, queued and retained messages of a mosquitto "
    "that\n"
    "                has been stopped into DIRECTORY, which has no store yet. As root, it belongs\n"
    "                to DIRECTORY's owner then.\n";

static int fail(const char *error)
{
    fprintf(stderr, "holdfast: %s\n", error);
    return EXIT_NOT_DONE;
}

/* What Holdfast would not read is not written. */
static int check(const char *text, size_t size)
{
    struct config config;
    char error[512];
    if (config_load_text("result", bytes_of(text, size), &config, error, sizeof error) != STATUS_OK)
        return fail(error);
    config_fini(&config);
    return 0;
}

static int write_out(const char *text, size_t size, const char *path)
{
    FILE *file = path != NULL ? fopen(path, "wx") : stdout;
    bool written = file != NULL && fwrite(text, 1, size, file) == size && fflush(file) == 0;
    if (!written)
        perror(path != NULL ? path : "standard output");
    if (file != NULL && file != stdout && fclose(file) != 0)
        written = false;
    return written ? 0 : EXIT_NOT_DONE;
}

static int put(const struct draft *draft, const char *kind, const char *output)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (memory == NULL)
        return fail("out of memory");
    draft_print(draft, kind, memory);
    int status = fclose(memory) == 0 ? check(text, size) : fail("out of memory");
    if (status == 0)
        status = write_out(text, size, output);
    free(text);
    if (status == 0 && draft->warning_count > 0)
        status = EXIT_LOOK;
    return status;
}

static int import_configuration(const char *kind,
                                enum status (*read)(const char *path, struct draft *draft,
                                                    char *error, size_t error_size),
                                const char *path, const char *output)
{
    struct draft draft = {0};
    char error[512];
    int status;
    if (read(path, &draft, error, sizeof error) != STATUS_OK) {
        status = fail(error);
    } else {
        draft_print_remarks(&draft, stderr);
        status = put(&draft, kind, output);
    }
    draft_fini(&draft);
    return status;
}

static void print_report(const char *directory, const struct mosquitto_report *report)
{
    printf("%s: %zu sessions, %zu subscriptions, %zu messages owed, %zu retained\n", directory,
           report->sessions, report->subscriptions, report->owed, report->retained);
    if (report->over + report->expired + report->qos_0 > 0)
        printf("left out: %zu sessions that are over, %zu messages that have expired, %zu of QoS "
               "0\n",
               report->over, report->expired, report->qos_0);
}

static int take_database(const struct buffer *file, const char *path, const char *directory)
{
    struct mosquitto_db db;
    struct mosquitto_report report;
    char why[256] = "", error[768];
    int status = 0;
    if (mosquitto_db_read(bytes_of(file->data, file->size), &db, why, sizeof why) != STATUS_OK) {
        snprintf(error, sizeof error, "%.400s: %s", path, why);
        status = fail(error);
    } else if (!offline_become_owner(directory)) {
        status = fail("cannot become the owner of the directory");
    } else if (mosquitto_store_write(&db, directory, &report, error, sizeof error) != STATUS_OK) {
        status = fail(error);
    } else {
        if (!db.was_stopped)
            fprintf(stderr, "holdfast: mosquitto wrote this while it ran: what came behind is not "
                            "in it\n");
        print_report(directory, &report);
    }
    mosquitto_db_fini(&db);
    return status;
}

static int import_database(const char *path, const char *directory)
{
    struct buffer file = {0};
    char error[512];
    umask(S_IRWXG | S_IRWXO); /* what is in a store is its owner's alone */
    int status = file_read(path, DATABASE_MAX, &file, error, sizeof error) == STATUS_OK
                     ? take_database(&file, path, directory)
                     : fail(error);
    buffer_fini(&file);
    return status;
}

static int misused(void)
{
    fputs(usage, stderr);
    return EXIT_NOT_DONE;
}

int import_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"store", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *output = NULL, *store = NULL;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        switch (option) {
        case 'o':
            output = optarg;
            break;
        case 's':
            store = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return misused();
        }
    }
    const char *kind = argc - optind == 2 ? argv[optind] : "";
    if (strcmp(kind, "mosquitto.conf") == 0 && store == NULL)
        return import_configuration(kind, mosquitto_conf_read, argv[optind + 1], output);
    if (strcmp(kind, "nanomq.conf") == 0 && store == NULL)
        return import_configuration(kind, nanomq_conf_read, argv[optind + 1], output);
    if (strcmp(kind, "mosquitto.db") == 0 && store != NULL && output == NULL)
        return import_database(argv[optind + 1], store);
    return misused();
}
