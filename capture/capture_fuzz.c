/* Any bytes as a capture. */
#include "base/check.h"
#include "capture/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capture_result result;
    char said[1 << 16];
    FILE *out = fmemopen(said, sizeof said, "w");
    FILE *file = fmemopen((void *)data, size > 0 ? size : 1, "r");
    CHECK(file != NULL && out != NULL);
    capture_check(file, "x", 1 << 20, out, &result);
    CHECK(result.wrong <= result.connections && result.left_off <= result.connections);
    fclose(file);
    fclose(out);
    return 0;
}
