#include "broker/watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"

/* ---- The list ---- */

static enum status add(struct watch *watch, const char *path)
{
    if (path == NULL)
        return STATUS_OK;
    char **paths = realloc(watch->paths, (watch->count + 1) * sizeof *paths);
    if (paths == NULL)
        return STATUS_NO_MEMORY;
    watch->paths = paths;
    paths[watch->count] = strdup(path);
    return paths[watch->count++] != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status add_listener(struct watch *watch, const struct config_listener *listener)
{
    const char *const paths[] = {listener->certificate, listener->key, listener->ocsp_response,
                                 listener->ca,          listener->crl, listener->sni_directory,
                                 listener->psk_file};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        TRY(add(watch, paths[i]));
    return STATUS_OK;
}

enum status watch_init(struct watch *watch, const struct config *config)
{
    *watch = (struct watch){0};
    for (size_t i = 0; i < config->listener_count; i++)
        TRY(add_listener(watch, &config->listeners[i]));
    TRY(add(watch, config->authentication.password_file));
    TRY(add(watch, config->authentication.jwt_key_file));
    TRY(add(watch, config->authentication.jwt_secret_file));
    return add(watch, config->authorization.acl_file);
}

void watch_fini(struct watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        free(watch->paths[i]);
    free(watch->paths);
    *watch = (struct watch){0};
}

/* ---- A look ---- */

static uint64_t mark_of(const char *path, const struct stat *found)
{
    static const struct hash_key key = {0}; /* nobody gains by two that are alike */
    uint64_t facts[] = {found->st_dev,
                        found->st_ino,
                        (uint64_t)found->st_size,
                        (uint64_t)found->st_mtim.tv_sec,
                        (uint64_t)found->st_mtim.tv_nsec,
                        (uint64_t)found->st_ctim.tv_sec,
                        (uint64_t)found->st_ctim.tv_nsec,
                        hash_bytes(&key, path, strlen(path))};
    return hash_bytes(&key, facts, sizeof facts);
}

/* A sum, because a directory has no order. */
static uint64_t mark_of_directory(const char *path, DIR *directory)
{
    enum { PATH_SIZE = 4400 };
    char name[PATH_SIZE];
    struct stat found;
    uint64_t sum = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && stat(name, &found) == 0 && S_ISREG(found.st_mode))
            sum += mark_of(name, &found);
    }
    return sum;
}

static uint64_t look(const char *path)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return 0;
    DIR *directory = S_ISDIR(found.st_mode) ? opendir(path) : NULL;
    if (directory == NULL)
        return mark_of(path, &found);
    uint64_t sum = mark_of_directory(path, directory);
    closedir(directory);
    return sum;
}

uint64_t watch_look(const struct watch *watch)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < watch->count; i++)
        sum += look(watch->paths[i]);
    return sum;
}
