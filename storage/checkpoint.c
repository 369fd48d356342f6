#include "base/memory.h"
#include "storage/internal.h"

#include "base/log.h"

enum status checkpoint_init(struct checkpointer *checkpointer, const char *path)
{
    *checkpointer = (struct checkpointer){.path = path};
    pthread_mutex_init(&checkpointer->mutex, NULL);
    pthread_cond_init(&checkpointer->asked_cond, NULL);
    pthread_cond_init(&checkpointer->done_cond, NULL);
    return schema_status(schema_connect(path, SCHEMA_CHECKPOINTER, false, &checkpointer->db));
}

void checkpoint_fini(struct checkpointer *checkpointer)
{
    schema_disconnect(checkpointer->db);
    pthread_mutex_destroy(&checkpointer->mutex);
    pthread_cond_destroy(&checkpointer->asked_cond);
    pthread_cond_destroy(&checkpointer->done_cond);
}

void checkpoint_ask(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->asked = true;
    pthread_cond_signal(&checkpointer->asked_cond);
    pthread_mutex_unlock(&checkpointer->mutex);
}

bool checkpoint_running(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    bool running = checkpointer->running || checkpointer->asked;
    pthread_mutex_unlock(&checkpointer->mutex);
    return running;
}

void checkpoint_wait(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    while ((checkpointer->running || checkpointer->asked) && !checkpointer->closed)
        pthread_cond_wait(&checkpointer->done_cond, &checkpointer->mutex);
    pthread_mutex_unlock(&checkpointer->mutex);
}

void checkpoint_close(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->closed = true;
    pthread_cond_signal(&checkpointer->asked_cond);
    pthread_cond_broadcast(&checkpointer->done_cond);
    pthread_mutex_unlock(&checkpointer->mutex);
}

/* PASSIVE never waits and never makes anyone wait: it copies what it can. */
static void copy_log(struct checkpointer *checkpointer)
{
#ifdef SEEDED_BUG_LOG_KEPT
    return;
#endif
    int rc =
        sqlite3_wal_checkpoint_v2(checkpointer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        log_line(LOG_WARNING, "store: a checkpoint failed: %s; it will be repeated",
                 sqlite3_errmsg(checkpointer->db));
}

void *checkpoint_main(void *argument)
{
    struct checkpointer *checkpointer = argument;
    memory_begin_thread();
    pthread_mutex_lock(&checkpointer->mutex);
    for (;;) {
        while (!checkpointer->asked && !checkpointer->closed)
            pthread_cond_wait(&checkpointer->asked_cond, &checkpointer->mutex);
        if (checkpointer->closed)
            break;
        checkpointer->asked = false;
        checkpointer->running = true;
        pthread_mutex_unlock(&checkpointer->mutex);
        copy_log(checkpointer);
        pthread_mutex_lock(&checkpointer->mutex);
        checkpointer->running = false;
        pthread_cond_broadcast(&checkpointer->done_cond);
    }
    pthread_mutex_unlock(&checkpointer->mutex);
    return NULL;
}
