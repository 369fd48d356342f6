#include "storage/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

/* The damaged files step aside, the log first: it must never meet another database. */
static enum status set_aside(const struct directory *directory, char *error, size_t error_size)
{
    static const char *const suffixes[] = {"-wal", "-shm", ""};
    char stamp[32], *from, *to;
    time_t now = time(NULL);
    struct tm utc;
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
    for (int i = 0; i < 3; i++) {
        CHECK(asprintf(&from, "%s%s", directory->database, suffixes[i]) > 0);
        CHECK(asprintf(&to, "%s.damaged-%s%s", directory->database, stamp, suffixes[i]) > 0);
        int failed = access(from, F_OK) == 0 && rename(from, to) != 0;
        if (failed)
            snprintf(error, error_size, "cannot set \"%s\" aside", from);
        free(from);
        free(to);
        if (failed)
            return STATUS_IO;
    }
    return STATUS_OK;
}

enum status salvage_database(struct directory *directory, const char *why, char *error,
                             size_t error_size)
{
    log_line(LOG_ERROR, "store: the database in \"%s\" is damaged: %s; it is set aside",
             directory->path, why);
    return set_aside(directory, error, error_size);
}

enum status salvage_resume(struct directory *directory)
{
    return STATUS_OK;
}
