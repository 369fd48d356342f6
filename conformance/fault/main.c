/* mqtt-fault: stands between clients and a healthy MQTT server and breaks one rule. */
#include "conformance/fault/proxy.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "mqtt-fault: a proxy that makes of a healthy MQTT server one that breaks a single rule\n"
    "\n"
    "usage: mqtt-fault --listen [HOST:]PORT --server [HOST:]PORT --fault NAME [--ws]\n"
    "       mqtt-fault --list\n"
    "\n"
    "  --listen [HOST:]PORT   where clients connect (host: 127.0.0.1; port 0: any that is free)\n"
    "  --server [HOST:]PORT   the healthy server (host: 127.0.0.1; port 1883)\n"
    "  --fault NAME           the rule to break; none: packets pass as they came\n"
    "  --ws                   the clients speak WebSocket, the server behind does not\n"
    "  --list                 all faults, a line each: name, tab, what the server does wrong\n"
    "  --help                 this text\n"
    "\n"
    "What the server behind need not have it brings along: the methods CONFORMANCE, for which the\n"
    "suite is given --auth-data hello --auth-data 'the suite', and SCRAM-SHA-256 with the "
    "user\n" SCRAM_USER " and the password " SCRAM_PASSWORD
    "; and it denies PUBLISH to " AUTHORISER_TOPIC "\nand SUBSCRIBE to " AUTHORISER_FILTER ".\n"
    "\n"
    "It prints 'listening on PORT' when it is ready and ends at SIGTERM. While the server is gone\n"
    "it does not listen; its memory of sessions and messages outlives the server.\n";

static void list(void)
{
    for (const struct fault *fault = fault_first(); fault->name; fault++)
        printf("%s\t%s\n", fault->name, fault->sentence);
}

/* Splits "HOST:PORT" or "PORT" in place. */
static void take_address(char *argument, const char **host, const char **port)
{
    char *colon = strrchr(argument, ':');
    if (colon) {
        *colon = 0;
        *host = argument;
    }
    *port = colon ? colon + 1 : argument;
}

static int usage_error(const char *what)
{
    fprintf(stderr, "mqtt-fault: %s; see --help\n", what);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"server", required_argument, NULL, 's'},
        {"fault", required_argument, NULL, 'f'},
        {"ws", no_argument, NULL, 'w'},
        {"list", no_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct proxy_settings settings = {
        .listen_host = "127.0.0.1", .server_host = "127.0.0.1", .server_port = "1883"};
    const char *listen_port = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'l':
            take_address(optarg, &settings.listen_host, &listen_port);
            break;
        case 's':
            take_address(optarg, &settings.server_host, &settings.server_port);
            break;
        case 'f':
            settings.fault = fault_named(optarg);
            if (!settings.fault)
                return usage_error("no such fault");
            break;
        case 'w':
            settings.websocket = true;
            break;
        case 'L':
            list();
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return usage_error("wrong arguments");
        }
    }
    if (optind < argc || !listen_port || !settings.fault)
        return usage_error("--listen and --fault are needed");
    char *end;
    settings.listen_port = (unsigned)strtoul(listen_port, &end, 10);
    if (*end || settings.listen_port > 65535)
        return usage_error("--listen: no such port");
    return proxy_run(&settings);
}
