#include "bench/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bench/scenario.h"

enum {
    OPTION_HELP = 1,
    OPTION_HOST,
    OPTION_LABEL,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_FIRST,
};

static const struct number {
    const char *name;
    unsigned fallback;
    unsigned least;
    unsigned most;
    size_t offset;
    const char *help;
} numbers[] = {
#define X(name, fallback, least, most, help)                                                       \
    {#name, fallback, least, most, offsetof(struct options, name), help},
    OPTION_LIST(X)
#undef X
};

enum { NUMBER_COUNT = sizeof numbers / sizeof numbers[0] };

static unsigned *place_of(struct options *options, const struct number *number)
{
    return (unsigned *)((char *)options + number->offset);
}

/* Whether apply_scenario() fills it in. */
static bool is_scenarios(const struct number *number)
{
    static const size_t those[] = {
        offsetof(struct options, publishers), offsetof(struct options, subscribers),
        offsetof(struct options, topics),     offsetof(struct options, credit),
        offsetof(struct options, batch),
    };
    for (unsigned i = 0; i < sizeof those / sizeof those[0]; i++)
        if (number->offset == those[i])
            return true;
    return false;
}

static void print_help(void)
{
    printf("usage: hf-bench SCENARIO [--OPTION VALUE]...\n\n"
           "Loads an MQTT broker and prints one line of JSON.\n\nscenarios:\n");
    for (unsigned i = 0; i < scenario_count; i++)
        printf("  %-13s %s\n", scenarios[i].name, scenarios[i].help);
    printf("\noptions:\n");
    printf("  --%-12s an IPv4 address (127.0.0.1)\n", "host");
    printf("  --%-12s the broker's name in the JSON\n", "label");
    printf("  --%-12s the broker's PEM file: handshakes measures the library alone too\n",
           "certificate");
    printf("  --%-12s of that certificate\n", "key");
    for (const struct number *number = numbers; number < numbers + NUMBER_COUNT; number++) {
        printf("  --%-12s %s (", number->name, number->help);
        if (is_scenarios(number))
            printf("the scenario's)\n");
        else
            printf("%u)\n", number->fallback);
    }
}

static bool parse_number(const struct number *number, const char *text, unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < number->least ||
        value > number->most) {
        fprintf(stderr, "hf-bench: --%s is a number from %u to %u, not \"%s\"\n", number->name,
                number->least, number->most, text);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

static void fall_back(unsigned *value, unsigned fallback)
{
    if (*value == 0)
        *value = fallback;
}

/* What a scenario does not say is 0, and stays so. */
static void apply_scenario(struct options *options)
{
    const struct scenario *scenario = options->scenario;
    fall_back(&options->publishers, scenario->publishers);
    fall_back(&options->subscribers, scenario->subscribers);
    fall_back(&options->topics, scenario->topics);
    fall_back(&options->credit, scenario->credit);
    fall_back(&options->batch, scenario->batch);
    if (options->batch > options->credit)
        options->batch = options->credit;
}

bool options_parse(int argc, char **argv, struct options *out)
{
    static struct option table[NUMBER_COUNT + OPTION_FIRST] = {
        {"help", no_argument, NULL, OPTION_HELP},
        {"host", required_argument, NULL, OPTION_HOST},
        {"label", required_argument, NULL, OPTION_LABEL},
        {"certificate", required_argument, NULL, OPTION_CERTIFICATE},
        {"key", required_argument, NULL, OPTION_KEY},
    };
    *out = (struct options){.host = "127.0.0.1", .label = ""};
    for (int i = 0; i < NUMBER_COUNT; i++) {
        table[OPTION_FIRST - 1 + i] =
            (struct option){numbers[i].name, required_argument, NULL, OPTION_FIRST + i};
        *place_of(out, &numbers[i]) = numbers[i].fallback;
    }
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == OPTION_HELP) {
            print_help();
            exit(0);
        } else if (option == OPTION_HOST) {
            out->host = optarg;
        } else if (option == OPTION_LABEL) {
            out->label = optarg;
        } else if (option == OPTION_CERTIFICATE) {
            out->certificate = optarg;
        } else if (option == OPTION_KEY) {
            out->key = optarg;
        } else if (option >= OPTION_FIRST) {
            const struct number *number = &numbers[option - OPTION_FIRST];
            if (!parse_number(number, optarg, place_of(out, number)))
                return false;
        } else {
            return false;
        }
    }
    struct in_addr address;
    if (inet_pton(AF_INET, out->host, &address) != 1) {
        fprintf(stderr, "hf-bench: --host is an IPv4 address, not \"%s\"\n", out->host);
        return false;
    }
    if (optind + 1 != argc || !(out->scenario = scenario_find(argv[optind]))) {
        fprintf(stderr, "hf-bench: name one scenario; hf-bench --help lists them\n");
        return false;
    }
    apply_scenario(out);
    return true;
}
