#include "admin/why_command.h"

#include <stdio.h>

#include "admin/ask.h"
#include "admin/command.h"

static const char usage[] =
    "usage: holdfast why [-c FILE | --socket PATH] --client ID [--topic TOPIC] [--json]\n"
    "\n"
    "Asks the running broker what it knows of a client's session: which subscription matches\n"
    "a topic or why none does, what waits for what, what was sent, acknowledged, dropped, by\n"
    "which limit or rule. The socket is that of the configuration file, or of the default.\n";

int why_command(int argc, char **argv)
{
    const char *file = NULL, *socket_path = NULL, *client = NULL, *topic = NULL;
    bool as_json = false;
    const struct command_option options[] = {
        {"config", &file, NULL}, {"socket", &socket_path, NULL}, {"client", &client, NULL},
        {"topic", &topic, NULL}, {"json", NULL, &as_json},       {0}};
    int status = command_parse(argc, argv, options, usage);
    if (status != COMMAND_GOES_ON)
        return status;
    if (client == NULL || (topic != NULL && topic[0] == '\0'))
        return command_misused(usage);
    return ask(file, socket_path,
               json_pack("{s:{s:s, s:s*}}", "why", "client", client, "topic", topic), as_json);
}
