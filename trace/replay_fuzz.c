/* Any bytes as a trace: what is wrong with it is said with its line, and each line is one step at
 * most. */
#include "trace/replay.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct replay_result result;
    int fd = memfd_create("trace", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct record_reader *reader = record_open(path);
    CHECK(reader != NULL);
    replay_check(reader, &result);
    record_close(reader);
    close(fd);
    CHECK(result.steps <= size && result.runs <= size);
    if (result.wrong.kind != RECORD_END)
        CHECK(result.wrong.line > 0 && result.wrong.wrong[0] != '\0');
    return 0;
}
