#include "base/status.h"

#include "base/check.h"

const char *status_text(enum status status)
{
    static const char *const texts[] = {
#define X(name, text) [STATUS_##name] = text,
        STATUS_LIST(X)
#undef X
    };
    CHECK(status < STATUS_COUNT);
    return texts[status];
}
