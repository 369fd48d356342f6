#include "admin/door.h"
#include "base/accept.h"
#include "base/memory.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    VISITS_MAX = 64,
    PATIENCE_MS = 10000,
    LOOK_MS = 500,
};

struct door_visit {
    struct door *door;
    int fd;           /* -1: free */
    int64_t until_ms; /* INT64_MAX: it rests */
};

struct door {
    int fd, wake_fd;
    void (*enter)(void *context, int fd, const struct sockaddr *address, socklen_t size);
    void *context;
    pthread_t thread;
    _Atomic bool locking;
    bool locked; /* the thread has ended */
    pthread_mutex_t mutex;
    struct door_visit visits[VISITS_MAX]; /* under the mutex */
    unsigned count;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Visits ---- */

struct door_visit *door_came(struct door *door, int fd)
{
    struct door_visit *found = NULL;
    pthread_mutex_lock(&door->mutex);
    for (unsigned i = 0; i < VISITS_MAX && found == NULL; i++) {
        if (door->visits[i].fd < 0)
            found = &door->visits[i];
    }
    if (found != NULL) {
        *found = (struct door_visit){door, fd, now_ms() + PATIENCE_MS};
        door->count++;
    }
    pthread_mutex_unlock(&door->mutex);
    eventfd_write(door->wake_fd, 1); /* to look after it, where nobody was there to look after */
    return found;
}

void door_rests(struct door_visit *visit, bool rests)
{
    if (visit == NULL)
        return;
    pthread_mutex_lock(&visit->door->mutex);
    visit->until_ms = rests ? INT64_MAX : now_ms() + PATIENCE_MS;
    pthread_mutex_unlock(&visit->door->mutex);
}

void door_left(struct door_visit *visit)
{
    if (visit == NULL)
        return;
    struct door *door = visit->door;
    pthread_mutex_lock(&door->mutex);
    visit->fd = -1;
    door->count--;
    pthread_mutex_unlock(&door->mutex);
}

/* Whether there is still somebody to look after. The descriptor is theirs: it is not closed before
 * door_left(). */
static bool look_round(struct door *door)
{
    int64_t now = now_ms();
    pthread_mutex_lock(&door->mutex);
    bool any = door->count > 0;
    for (unsigned i = 0; any && i < VISITS_MAX; i++) {
#ifdef SEEDED_BUG_DRIPPED_FOR_EVER
        now = 0;
#endif
        if (door->visits[i].fd >= 0 && door->visits[i].until_ms <= now)
            shutdown(door->visits[i].fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&door->mutex);
    return any;
}

/* ---- The thread ---- */

/* False: there is no descriptor, or no memory, for who waits. */
static bool let_in(struct door *door)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int fd = accept4(door->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        door->enter(door->context, fd, (const struct sockaddr *)&address, size);
    return fd >= 0 || !accept_lacks_room(errno);
}

static void *run(void *argument)
{
    struct door *door = argument;
    bool has_room = true;
    memory_begin_thread();
    for (;;) {
        struct pollfd ready[] = {{.fd = door->wake_fd, .events = POLLIN},
                                 {.fd = has_room ? door->fd : -1, .events = POLLIN}};
        bool looks = look_round(door) || !has_room;
        poll(ready, 2, looks ? LOOK_MS : -1);
        if (atomic_load(&door->locking))
            return NULL;
        if (ready[0].revents != 0)
            eventfd_read(door->wake_fd, &(eventfd_t){0});
        has_room = ready[1].revents == 0 || let_in(door);
    }
}

enum status door_open(int fd,
                      void (*enter)(void *context, int fd, const struct sockaddr *address,
                                    socklen_t size),
                      void *context, struct door **out)
{
    struct door *door = calloc(1, sizeof *door);
    *out = NULL;
    if (door == NULL)
        return STATUS_NO_MEMORY;
    *door = (struct door){.fd = fd, .enter = enter, .context = context};
    for (unsigned i = 0; i < VISITS_MAX; i++)
        door->visits[i].fd = -1;
    pthread_mutex_init(&door->mutex, NULL);
    door->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *out = door; /* before somebody enters */
    if (door->wake_fd < 0 || pthread_create(&door->thread, NULL, run, door) != 0) {
        door->locked = true;
        *out = NULL;
        door->fd = -1; /* the caller's */
        door_close(door);
        return STATUS_NO_MEMORY;
    }
    pthread_setname_np(door->thread, "admin-door");
    return STATUS_OK;
}

void door_lock(struct door *door)
{
    atomic_store(&door->locking, true);
    eventfd_write(door->wake_fd, 1);
    pthread_join(door->thread, NULL);
    door->locked = true;
}

void door_close(struct door *door)
{
    if (door == NULL)
        return;
    if (!door->locked)
        door_lock(door);
    if (door->fd >= 0)
        close(door->fd);
    if (door->wake_fd >= 0)
        close(door->wake_fd);
    pthread_mutex_destroy(&door->mutex);
    free(door);
}
