/* Each __wrap_x is what the broker's objects get for x. Calls that may block, and some that may
 * not, let other tasks run; semantics are Linux's as far as the broker uses them, and what it does
 * not use ends the program. */
#include "sim/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/check.h"
#include "sim/chance.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/task.h"

#define WRAP(name) __wrap_##name
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* they answer to the C library's */

enum { DESCRIPTORS = 1024, FIRST = 100, WATCHES = 256 };

enum kind {
    KIND_NONE,
    KIND_NULL,
    KIND_FILE,
    KIND_DIRECTORY,
    KIND_BOOT_ID,
    KIND_SOCKET,
    KIND_LISTENER,
    KIND_EVENT,
    KIND_EPOLL
};

struct watch {
    int fd; /* 0: unused */
    uint32_t events;
    epoll_data_t data;
    uint64_t edges; /* seen */
    bool fresh;     /* added, and not looked at yet */
};

struct descriptor {
    enum kind kind;
    void *object;     /* of disk or net */
    uint64_t counter; /* EVENT */
    uint64_t offset;  /* FILE: of read() */
    struct watch *watches;
};

static struct {
    struct descriptor descriptors[DESCRIPTORS];
    struct chance chance;
    unsigned boot;
    uint64_t boot_us; /* the machine's start */
    int64_t wall_ms;  /* what its clock shows, less the time that it has run in all */
    uint64_t seed;
} kernel;

void (*kernel_log)(const char *line, int size);

void kernel_begin(uint64_t seed)
{
    kernel.chance = chance_of(seed, 5);
    kernel.seed = seed;
    kernel.boot = 1;
    kernel.wall_ms = INT64_C(1780000000000); /* 2026 */
}

void kernel_step_wall(int64_t ms)
{
    kernel.wall_ms += ms;
}

int64_t kernel_wall_ms(void)
{
    return kernel.wall_ms + (int64_t)(task_now_us() / 1000);
}

void kernel_crash(bool power)
{
    for (int i = 0; i < DESCRIPTORS; i++)
        free(kernel.descriptors[i].watches);
    memset(kernel.descriptors, 0, sizeof kernel.descriptors);
    net_crash(power);
    disk_crash(power);
    if (power) {
        kernel.boot++;
        kernel.boot_us = task_now_us();
    }
}

const char *kernel_name(const char *path)
{
    static const char directory[] = KERNEL_DIRECTORY "/";
    return strncmp(path, directory, sizeof directory - 1) == 0 ? path + sizeof directory - 1 : path;
}

/* ---- Descriptors ---- */

static int fail(int error)
{
    errno = error;
    return -1;
}

static struct descriptor *get(int fd)
{
    if (fd < FIRST || fd >= DESCRIPTORS || kernel.descriptors[fd].kind == KIND_NONE)
        return NULL;
    return &kernel.descriptors[fd];
}

static struct descriptor *get_kind(int fd, enum kind kind)
{
    struct descriptor *found = get(fd);
    CHECK(found != NULL && found->kind == kind);
    return found;
}

static int give(enum kind kind, void *object)
{
    for (int fd = FIRST; fd < DESCRIPTORS; fd++) {
        if (kernel.descriptors[fd].kind != KIND_NONE)
            continue;
        kernel.descriptors[fd] = (struct descriptor){.kind = kind, .object = object};
        return fd;
    }
    return fail(EMFILE);
}

static void unwatch(int fd)
{
    for (int i = FIRST; i < DESCRIPTORS; i++) {
        struct watch *watches = kernel.descriptors[i].watches;
        for (int at = 0; watches != NULL && at < WATCHES; at++) {
            if (watches[at].fd == fd)
                watches[at].fd = 0;
        }
    }
}

int WRAP(close)(int fd)
{
    struct descriptor *found = get(fd);
    if (found == NULL)
        return fail(EBADF);
    if (found->kind == KIND_SOCKET)
        net_socket_close(found->object);
    if (found->kind == KIND_LISTENER && found->object != NULL)
        net_listener_close(found->object);
    free(found->watches);
    *found = (struct descriptor){0};
    unwatch(fd);
    return 0;
}

/* ---- Waiting for events ---- */

static void wake_pollers(void)
{
    for (int i = FIRST; i < DESCRIPTORS; i++) {
        if (kernel.descriptors[i].kind == KIND_EPOLL)
            task_wake(&kernel.descriptors[i]);
    }
}

void kernel_sockets_changed(void)
{
    wake_pollers();
}

int WRAP(epoll_create1)(int flags)
{
    int fd = give(KIND_EPOLL, NULL);
    if (fd < 0)
        return fd;
    kernel.descriptors[fd].watches = calloc(WATCHES, sizeof(struct watch));
    CHECK(kernel.descriptors[fd].watches != NULL);
    return fd;
}

int WRAP(epoll_ctl)(int epoll, int operation, int fd, struct epoll_event *event)
{
    struct watch *watches = get_kind(epoll, KIND_EPOLL)->watches, *unused = NULL;
    CHECK(get(fd) != NULL);
    for (int i = 0; i < WATCHES; i++) {
        if (watches[i].fd == 0 && unused == NULL)
            unused = &watches[i];
        if (watches[i].fd != fd)
            continue;
        CHECK(operation == EPOLL_CTL_DEL);
        watches[i].fd = 0;
        return 0;
    }
    CHECK(operation == EPOLL_CTL_ADD && unused != NULL);
    *unused = (struct watch){fd, event->events, event->data, 0, true};
    return 0;
}

static uint32_t ready(struct watch *watch)
{
    const struct descriptor *found = get(watch->fd);
    if (found->kind == KIND_EVENT)
        return found->counter > 0 ? EPOLLIN : 0;
    if (found->kind == KIND_LISTENER)
        return net_listener_waiting(found->object) ? EPOLLIN : 0;
    CHECK(found->kind == KIND_SOCKET && watch->events & EPOLLET);
    uint64_t edges = net_socket_edges(found->object);
    if (!watch->fresh && watch->edges == edges)
        return 0;
    watch->fresh = false;
    watch->edges = edges;
    return net_socket_ready(found->object) & (watch->events | EPOLLERR | EPOLLHUP);
}

static int harvest(struct descriptor *epoll, struct epoll_event *events, int most)
{
    int count = 0;
    unsigned start = (unsigned)chance_below(&kernel.chance, WATCHES);
    for (unsigned i = 0; i < WATCHES && count < most; i++) {
        struct watch *watch = &epoll->watches[(start + i) % WATCHES];
        if (watch->fd == 0)
            continue;
        uint32_t found = ready(watch);
        if (found != 0)
            events[count++] = (struct epoll_event){.events = found, .data = watch->data};
    }
    return count;
}

int WRAP(epoll_wait)(int fd, struct epoll_event *events, int most, int timeout_ms)
{
    struct descriptor *epoll = get_kind(fd, KIND_EPOLL);
    uint64_t until_us = timeout_ms < 0 ? TASK_NEVER : task_now_us() + (uint64_t)timeout_ms * 1000;
    task_yield(); /* a turn takes its time */
    for (;;) {
        int count = harvest(epoll, events, most);
        if (count > 0 || task_now_us() >= until_us)
            return count;
        task_block(epoll, until_us);
    }
}

int WRAP(eventfd)(unsigned start, int flags)
{
    return give(KIND_EVENT, NULL);
}

/* ---- Threads ---- */

int WRAP(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*main)(void *),
                         void *argument)
{
    *thread = task_start("thread", main, argument);
    return 0;
}

int WRAP(pthread_join)(pthread_t thread, void **result)
{
    while (!task_ended((unsigned)thread))
        task_sleep(100);
    return 0;
}

int WRAP(pthread_setname_np)(pthread_t thread, const char *name)
{
    return 0;
}

int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *before)
{
    return 0;
}

int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);

int WRAP(pthread_mutex_trylock)(pthread_mutex_t *mutex)
{
    task_pause();
    return __real_pthread_mutex_trylock(mutex);
}

int WRAP(pthread_mutex_lock)(pthread_mutex_t *mutex)
{
    task_pause();
    while (__real_pthread_mutex_trylock(mutex) != 0) {
        CHECK(task_current() != 0);
        task_yield();
    }
    return 0;
}

int WRAP(pthread_cond_wait)(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    task_block(condition, TASK_NEVER);
    return WRAP(pthread_mutex_lock)(mutex);
}

int WRAP(pthread_cond_signal)(pthread_cond_t *condition)
{
    task_wake(condition);
    return 0;
}

int WRAP(pthread_cond_broadcast)(pthread_cond_t *condition)
{
    task_wake(condition);
    return 0;
}

long WRAP(syscall)(long number, ...)
{
    CHECK(number == SYS_futex);
    va_list arguments;
    va_start(arguments, number);
    uint32_t *word = va_arg(arguments, uint32_t *);
    int operation = va_arg(arguments, int);
    uint32_t value = va_arg(arguments, uint32_t);
    const struct timespec *timeout =
        operation == FUTEX_WAIT_PRIVATE ? va_arg(arguments, const struct timespec *) : NULL;
    va_end(arguments);
    if (operation == FUTEX_WAKE_PRIVATE) {
        task_wake(word);
        return 1;
    }
    CHECK(operation == FUTEX_WAIT_PRIVATE);
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
        return fail(EAGAIN);
    uint64_t until_us = timeout == NULL ? TASK_NEVER
                                        : task_now_us() + (uint64_t)timeout->tv_sec * 1000000 +
                                              (uint64_t)timeout->tv_nsec / 1000;
    task_block(word, until_us);
    return 0;
}

int WRAP(usleep)(useconds_t us)
{
    task_sleep(us);
    return 0;
}

/* ---- Clocks, chance, the process ---- */

int WRAP(clock_gettime)(clockid_t clock, struct timespec *out)
{
    uint64_t us = task_now_us() - kernel.boot_us;
    if (clock == CLOCK_REALTIME)
        us = (uint64_t)kernel_wall_ms() * 1000;
    else
        CHECK(clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME);
    out->tv_sec = (time_t)(us / 1000000);
    out->tv_nsec = (long)(us % 1000000) * 1000;
    return 0;
}

time_t WRAP(time)(time_t *out)
{
    return kernel_wall_ms() / 1000;
}

ssize_t WRAP(getrandom)(void *out, size_t size, unsigned flags)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)chance_next(&kernel.chance);
    return (ssize_t)size;
}

pid_t WRAP(getpid)(void)
{
    return 4711;
}

long WRAP(sysconf)(int name)
{
    CHECK(name == _SC_NPROCESSORS_ONLN);
    return 2;
}

/* ---- Files ---- */

int WRAP(open)(const char *path, int flags, ...)
{
    if (strcmp(path, "/dev/null") == 0)
        return give(KIND_NULL, NULL);
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return give(KIND_BOOT_ID, NULL);
    if (flags & O_DIRECTORY)
        return give(KIND_DIRECTORY, NULL);
    CHECK(strncmp(path, KERNEL_DIRECTORY "/", sizeof KERNEL_DIRECTORY) == 0);
    struct disk_file *file = disk_find(kernel_name(path));
    if (file == NULL && !(flags & O_CREAT))
        return fail(ENOENT);
    if (file != NULL && flags & O_CREAT && flags & O_EXCL)
        return fail(EEXIST);
    if (file == NULL)
        file = disk_create(kernel_name(path));
    CHECK(!(flags & O_TRUNC));
    return give(KIND_FILE, file);
}

ssize_t WRAP(read)(int fd, void *out, size_t size)
{
    struct descriptor *found = get(fd);
    CHECK(found != NULL);
    if (found->kind == KIND_EVENT) {
        if (found->counter == 0)
            return fail(EAGAIN);
        memcpy(out, &found->counter, sizeof found->counter);
        found->counter = 0;
        return sizeof found->counter;
    }
    if (found->kind == KIND_BOOT_ID)
        return snprintf(out, size, "%08x-0000-4000-8000-%012llx", kernel.boot,
                        (unsigned long long)kernel.seed & 0xffffffffffff);
    CHECK(found->kind == KIND_FILE);
    size_t got = disk_read(found->object, found->offset, out, size);
    found->offset += got;
    return (ssize_t)got;
}

ssize_t WRAP(write)(int fd, const void *data, size_t size)
{
    if (fd == STDERR_FILENO) {
        kernel_log(data, (int)size);
        return (ssize_t)size;
    }
    struct descriptor *found = get(fd);
    CHECK(found != NULL);
    if (found->kind == KIND_EVENT) {
        found->counter++;
        wake_pollers();
        return (ssize_t)size;
    }
    CHECK(found->kind == KIND_FILE);
    int error = disk_write(found->object, found->offset, data, size);
    if (error != 0)
        return fail(error);
    found->offset += size;
    return (ssize_t)size;
}

ssize_t WRAP(pread)(int fd, void *out, size_t size, off_t offset)
{
    return (ssize_t)disk_read(get_kind(fd, KIND_FILE)->object, (uint64_t)offset, out, size);
}

ssize_t WRAP(pwrite)(int fd, const void *data, size_t size, off_t offset)
{
    int error = disk_write(get_kind(fd, KIND_FILE)->object, (uint64_t)offset, data, size);
    return error == 0 ? (ssize_t)size : fail(error);
}

int WRAP(ftruncate)(int fd, off_t size)
{
    int error = disk_truncate(get_kind(fd, KIND_FILE)->object, (uint64_t)size);
    return error == 0 ? 0 : fail(error);
}

int WRAP(fsync)(int fd)
{
    struct descriptor *found = get(fd);
    CHECK(found != NULL);
    if (found->kind == KIND_DIRECTORY) {
        disk_sync_names();
        return 0;
    }
    CHECK(found->kind == KIND_FILE);
    int error = disk_sync(found->object);
    return error == 0 ? 0 : fail(error);
}

int WRAP(flock)(int fd, int operation)
{
    return 0; /* one process */
}

int WRAP(mkdir)(const char *path, mode_t mode)
{
    return fail(EEXIST);
}

int WRAP(access)(const char *path, int mode)
{
    return disk_find(kernel_name(path)) != NULL ? 0 : fail(ENOENT);
}

int WRAP(stat)(const char *path, struct stat *out)
{
    const struct disk_file *file = disk_find(kernel_name(path));
    if (file == NULL)
        return fail(ENOENT);
    *out = (struct stat){.st_size = (off_t)disk_size(file)};
    return 0;
}

int WRAP(fstat)(int fd, struct stat *out)
{
    *out = (struct stat){.st_size = (off_t)disk_size(get_kind(fd, KIND_FILE)->object)};
    return 0;
}

int WRAP(rename)(const char *from, const char *to)
{
    if (disk_find(kernel_name(from)) == NULL)
        return fail(ENOENT);
    disk_rename(kernel_name(from), kernel_name(to));
    return 0;
}

int WRAP(unlink)(const char *path)
{
    if (disk_find(kernel_name(path)) == NULL)
        return fail(ENOENT);
    disk_remove(kernel_name(path));
    return 0;
}

/* ---- Sockets ---- */

int WRAP(socket)(int domain, int type, int protocol)
{
    return give(KIND_LISTENER, NULL);
}

int WRAP(bind)(int fd, const struct sockaddr *address, socklen_t size)
{
    return 0;
}

int WRAP(listen)(int fd, int backlog)
{
    get_kind(fd, KIND_LISTENER)->object = net_listen();
    return 0;
}

int WRAP(setsockopt)(int fd, int level, int option, const void *value, socklen_t size)
{
    return 0;
}

int WRAP(getsockname)(int fd, struct sockaddr *address, socklen_t *size)
{
    return fail(ENOTCONN);
}

int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    unsigned port;
    task_pause();
    struct net_connection *connection = net_accept(get_kind(fd, KIND_LISTENER)->object, &port);
    if (connection == NULL)
        return fail(EAGAIN);
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(address, &from, sizeof from);
    *size = sizeof from;
    return give(KIND_SOCKET, connection);
}

ssize_t WRAP(recv)(int fd, void *out, size_t size, int flags)
{
    task_pause();
    return net_socket_receive(get_kind(fd, KIND_SOCKET)->object, out, size);
}

ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags)
{
    task_pause();
    return net_socket_send(get_kind(fd, KIND_SOCKET)->object, data, size);
}

int WRAP(shutdown)(int fd, int how)
{
    net_socket_shutdown(get_kind(fd, KIND_SOCKET)->object);
    return 0;
}
