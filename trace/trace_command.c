#include "trace/trace_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "capture/capture.h"
#include "trace/drawing.h"
#include "trace/listing.h"
#include "trace/replay.h"

enum { EXIT_WRONG = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: holdfast trace check FILE...\n"
    "       holdfast trace check --pcap FILE...\n"
    "       holdfast trace show FILE [--client ID]\n"
    "       holdfast trace draw FILE --client ID [--svg]\n"
    "\n"
    "check   replays what log { trace = FILE } has written against the tables, and names\n"
    "        the first transition that they do not allow. Exit status 1 if there is one.\n"
    "        With --pcap FILE is a capture (pcap, pcapng) of any broker's traffic over plain\n"
    "        TCP; named is the first packet of each connection that the broker may not send.\n"
    "show    prints each transition as one line of JSON, with all that FILE says by number.\n"
    "draw    prints a sequence diagram (Mermaid, or with --svg a picture) of a client's packets,\n"
    "        state changes and statements. Exit status 1 if nothing of the client is in the\n"
    "        trace.\n"
    "\n"
    "FILE may be -, the standard input.\n";

static struct record_reader *open_file(const char *path)
{
    struct record_reader *reader = record_open(path);
    if (reader == NULL)
        fprintf(stderr, "holdfast: %s: %s\n", path, strerror(errno));
    return reader;
}

static void say_wrong(const char *path, const struct record *record)
{
    printf("%s:%" PRIu64 ": ", path, record->line);
    if (record->machine != NULL && record->session != NULL) {
        char session[256];
        printf("client \"%s\": %s",
               log_text(record->session, strlen(record->session), session, sizeof session),
               record->machine->name);
        if (record->instance > 0)
            printf(" %" PRIu32, record->instance);
        printf(": ");
    }
    printf("%s\n", record->wrong);
}

static int check(const char *path)
{
    struct record_reader *reader = open_file(path);
    if (reader == NULL)
        return EXIT_USAGE;
    struct replay_result result;
    replay_check(reader, &result);
    if (result.wrong.kind == RECORD_WRONG) {
        say_wrong(path, &result.wrong);
    } else {
        printf("%s: %" PRIu64 " transitions in %" PRIu64 " runs, all allowed", path, result.steps,
               result.runs);
        if (result.lost > 0)
            printf("; %" PRIu64 " steps are missing", result.lost);
        printf("\n");
    }
    record_close(reader);
    return result.wrong.kind == RECORD_WRONG ? EXIT_WRONG : 0;
}

static void sum_up(const char *path, const struct capture_result *result)
{
    printf("%s: %" PRIu64 " packets of servers in %" PRIu64 " connections; %" PRIu64 " not allowed",
           path, result->packets, result->connections, result->wrong);
    if (result->left_off > 0)
        printf("; of %" PRIu64 " connections not all was judged, %" PRIu64
               " of them for what the capture lacks",
               result->left_off, result->not_whole);
    printf("\n");
}

static bool say_no_room(const char *path, const struct capture_result *result)
{
    if (result->no_room == 0)
        return false;
    fflush(stdout);
    fprintf(stderr,
            "holdfast: %s: %" PRIu64
            " connections were left off: more than %d at a time, or %d MiB for all of them\n",
            path, result->no_room, CAPTURE_CONNECTIONS_MAX, CAPTURE_MEMORY >> 20);
    return true;
}

static int check_capture(const char *path)
{
    struct capture_result result;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "holdfast: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    capture_check(file, path, CAPTURE_MEMORY, stdout, &result);
    sum_up(path, &result);
    if (file != stdin)
        fclose(file);
    if (result.why != NULL) {
        fflush(stdout);
        fprintf(stderr, "holdfast: %s: behind packet %" PRIu64 ": %s\n", path, result.frames,
                result.why);
        return EXIT_USAGE;
    }
    return say_no_room(path, &result) ? EXIT_USAGE : result.wrong > 0 ? EXIT_WRONG : 0;
}

static int check_all(int argc, char **argv, int (*check_one)(const char *))
{
    int status = argc > 0 ? 0 : EXIT_USAGE;
    if (argc == 0)
        fputs(usage, stderr);
    for (int i = 0; i < argc; i++) {
        int one = check_one(argv[i]);
        status = one > status ? one : status;
    }
    return status;
}

static int show(struct record_reader *reader, const char *client, struct record *out_wrong)
{
    listing_print(reader, client, out_wrong, stdout);
    return 0;
}

static int draw_on(struct sheet *sheet, struct record_reader *reader, const char *client,
                   struct record *out_wrong)
{
    struct drawing_result result;
    drawing_print(reader, client, sheet, &result);
    *out_wrong = result.wrong;
    return result.steps > 0 ? 0 : EXIT_WRONG;
}

static int draw(struct record_reader *reader, const char *client, struct record *out_wrong)
{
    struct sheet sheet = {.kind = &sheet_mermaid, .out = stdout};
    return draw_on(&sheet, reader, client, out_wrong);
}

static int draw_svg(struct record_reader *reader, const char *client, struct record *out_wrong)
{
    struct sheet sheet = {.kind = &sheet_svg, .out = stdout};
    return draw_on(&sheet, reader, client, out_wrong);
}

/* FILE [--client ID] */
static int print(int argc, char **argv, bool of_client,
                 int (*what)(struct record_reader *, const char *, struct record *))
{
    if ((argc != 1 && (argc != 3 || strcmp(argv[1], "--client") != 0)) ||
        (of_client && argc == 1)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct record_reader *reader = open_file(argv[0]);
    if (reader == NULL)
        return EXIT_USAGE;
    struct record wrong;
    int status = what(reader, argc == 3 ? argv[2] : NULL, &wrong);
    if (wrong.kind == RECORD_WRONG) {
        fflush(stdout);
        fprintf(stderr, "holdfast: %s:%" PRIu64 ": %s\n", argv[0], wrong.line, wrong.wrong);
        status = EXIT_WRONG;
    }
    record_close(reader);
    return status;
}

int trace_command(int argc, char **argv)
{
    const char *last = argc > 0 ? argv[argc - 1] : "";
    if (argc <= 2 && (strcmp(last, "--help") == 0 || strcmp(last, "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[0], "check") == 0 && strcmp(argv[1], "--pcap") == 0)
        return check_all(argc - 2, argv + 2, check_capture);
    if (argc > 0 && strcmp(argv[0], "check") == 0)
        return check_all(argc - 1, argv + 1, check);
    if (argc > 0 && strcmp(argv[0], "show") == 0)
        return print(argc - 1, argv + 1, false, show);
    if (argc > 0 && strcmp(argv[0], "draw") == 0 && strcmp(last, "--svg") == 0)
        return print(argc - 2, argv + 1, true, draw_svg);
    if (argc > 0 && strcmp(argv[0], "draw") == 0)
        return print(argc - 1, argv + 1, true, draw);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
