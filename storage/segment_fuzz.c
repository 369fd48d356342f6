/* A segment from a disk that may say anything. Input: count, the lengths of directory and progress
 * (2 bytes each), then directory, progress, data. */
#include "storage/segment.h"

#include <stdlib.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIRST = 1000 };

/* Of just its size, so that reading beyond it is noticed. */
static struct bytes copy(const uint8_t *from, size_t size)
{
    uint8_t *copied = malloc(size + (size == 0));
    CHECK(copied != NULL);
    if (size > 0)
        memcpy(copied, from, size);
    return bytes_of(copied, size);
}

static bool visit(void *context, const struct segment_exchange *exchange)
{
    CHECK(exchange->number >= FIRST && (exchange->qos == 1 || exchange->qos == 2));
    ++*(unsigned *)context;
    return true;
}

/* What reads must build the same directory again, with its entries that read. */
static void build_again(const struct segment_directory *directory, struct bytes data)
{
    struct segment_builder builder = {0};
    struct segment_directory again;
    for (uint32_t i = 0; i < directory->count; i++) {
        struct segment_entry entry;
        if (segment_read_entry(&directory->slots[i], data, &entry) &&
            !segment_add(&builder, &entry))
            break;
    }
    if (builder.count > 0)
        CHECK(segment_read_directory(bytes_of(builder.directory, builder.directory_size),
                                     builder.first, builder.count, &again));
    segment_fini(&builder);
}

static void read_all(uint64_t count, struct bytes directory, struct bytes told, struct bytes data)
{
    static struct segment_directory read;
    static struct segment_progress progress, again;
    uint8_t written[SEGMENT_PROGRESS_MAX];
    unsigned exchanges = 0;
    bool listed = segment_each_exchange(told, FIRST, visit, &exchanges);
    if (!segment_read_directory(directory, FIRST, count, &read))
        return;
    CHECK(read.count == count && segment_find(&read, FIRST) == 0);
    build_again(&read, data);
    if (!segment_read_progress(told, &read, &progress))
        return;
    CHECK(progress.settled + progress.in_flight <= read.count);
    CHECK(!listed || told.size == 0 || exchanges == progress.in_flight);
    size_t size = segment_write_progress(&read, &progress, written);
    CHECK(size <= sizeof written);
    CHECK(segment_read_progress(bytes_of(written, size), &read, &again));
    CHECK(memcmp(&progress, &again, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 5)
        return 0;
    size_t left = size - 5, directory_size = get_u16(input + 1), told_size = get_u16(input + 3);
    directory_size = directory_size < left ? directory_size : left;
    left -= directory_size;
    told_size = told_size < left ? told_size : left;
    struct bytes directory = copy(input + 5, directory_size);
    struct bytes told = copy(input + 5 + directory_size, told_size);
    struct bytes data = copy(input + 5 + directory_size + told_size, left - told_size);
    read_all((uint64_t)input[0] + 1, directory, told, data);
    free((void *)directory.data);
    free((void *)told.data);
    free((void *)data.data);
    return 0;
}
