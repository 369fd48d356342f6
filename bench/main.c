/* hf-bench: loads an MQTT broker, prints one line of JSON. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/engine.h"
#include "bench/scenario.h"

enum { EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    struct options options;
    if (!options_parse(argc, argv, &options))
        return EXIT_USAGE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    static struct engine engine;
    engine_init(&engine, &options);
    bool ran = options.scenario->run(&engine);
    engine_fini(&engine);
    return ran ? EXIT_SUCCESS : EXIT_FAILURE;
}
