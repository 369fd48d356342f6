#include "admin/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

int command_misused(const char *usage)
{
    fputs(usage, stderr);
    return COMMAND_MISUSED;
}

static void take(const struct command_option *option, const char *value)
{
    if (option->value != NULL)
        *option->value = value;
    else
        *option->flag = true;
}

int command_parse(int argc, char **argv, const struct command_option *options, const char *usage)
{
    enum { OPTIONS_MAX = 16, FIRST = 256 };
    struct option known[OPTIONS_MAX] = {{"help", no_argument, NULL, 'h'}};
    const struct command_option *config = NULL;
    for (int i = 0; i < OPTIONS_MAX - 2 && options[i].name != NULL; i++) {
        known[i + 1] = (struct option){options[i].name,
                                       options[i].value != NULL ? required_argument : no_argument,
                                       NULL, FIRST + i};
        if (strcmp(options[i].name, "config") == 0)
            config = &options[i];
    }
    for (int got; (got = getopt_long(argc, argv, "c:h", known, NULL)) != -1;) {
        if (got == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (got == 'c' && config != NULL)
            take(config, optarg);
        else if (got >= FIRST)
            take(&options[got - FIRST], optarg);
        else
            return command_misused(usage);
    }
    return optind < argc ? command_misused(usage) : COMMAND_GOES_ON;
}
