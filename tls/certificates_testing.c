#include "tls/certificates_testing.h"

#include <stdio.h>
#include <stdlib.h>

static char directory[] = "/tmp/holdfast-tls-XXXXXX";

int certificates_make(void **state)
{
    char command[256];
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(command, sizeof command, "sh tls/certificates_testing.sh %s >%s/log 2>&1", directory,
             directory);
    if (system(command) == 0)
        return 0;
    snprintf(command, sizeof command, "tail -n 20 %s/log >&2", directory);
    return system(command) == 0 ? -1 : -2;
}

int certificates_remove(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

const char *certificate_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}
