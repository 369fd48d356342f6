#include "admin/kick_command.h"

#include <stdio.h>

#include "admin/ask.h"
#include "admin/command.h"

static const char usage[] =
    "usage: holdfast kick [-c FILE | --socket PATH] --client ID\n"
    "\n"
    "Has the running broker close a client's connection: with 0x98 Administrative action, where "
    "it\n"
    "speaks MQTT 5. Its will is published and its session stays, as after any lost connection; it\n"
    "may come back at once. To keep it out, change passwords or the access control list.\n";

int kick_command(int argc, char **argv)
{
    const char *file = NULL, *socket_path = NULL, *client = NULL;
    const struct command_option options[] = {
        {"config", &file, NULL}, {"socket", &socket_path, NULL}, {"client", &client, NULL}, {0}};
    int status = command_parse(argc, argv, options, usage);
    if (status != COMMAND_GOES_ON)
        return status;
    if (client == NULL)
        return command_misused(usage);
    status = ask(file, socket_path, json_pack("{s:{s:s}}", "kick", "client", client), false);
    if (status == 0)
        puts("Its connection is closed. Its session stays, and it may come back.");
    return status;
}
