/* Memory that runs out when the test says so: preloaded into a broker, it lets allocations fail by
 * the numbers in the file named by HOLDFAST_TEST_MEMORY (struct control, eight bytes each). Every
 * malloc, calloc, realloc and aligned_alloc of the process counts, those of its libraries too. See
 * scarce_memory.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
    int64_t armed;
    int64_t calls, wanted; /* so far; the one that fails */
    int64_t failed;
    int64_t live; /* allocations that have not been freed */
};

static struct control nowhere, *control = &nowhere;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

__attribute__((constructor)) static void open_control(void)
{
    const char *path = getenv("HOLDFAST_TEST_MEMORY");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED)
        control = found;
    close(fd);
}

/* Calls are counted while `armed`, and one of them fails. */
static int fails(void)
{
    if (!__atomic_load_n(&control->armed, __ATOMIC_RELAXED))
        return 0;
    int64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
    if (number != control->wanted)
        return 0;
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
    errno = ENOMEM;
    return 1;
}

static void *counted(void *memory)
{
    if (memory != NULL)
        __atomic_add_fetch(&control->live, 1, __ATOMIC_RELAXED);
    return memory;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return malloc(size);
    return fails() ? NULL : __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out != NULL ? 0 : ENOMEM;
}

void free(void *memory)
{
    if (memory == NULL)
        return;
    __atomic_sub_fetch(&control->live, 1, __ATOMIC_RELAXED);
    __libc_free(memory);
}
