#include "sim/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim/chance.h"
#include "sim/task.h"

enum { FILES_MAX = 64, NAMES_MAX = 32, SECTOR = 512 };

struct content {
    uint8_t *bytes;
    uint64_t size, capacity;
};

/* A write since the last sync; `bytes` NULL: the file was cut or made longer to `offset`. */
struct change {
    uint64_t offset;
    size_t size;
    uint8_t *bytes;
};

struct disk_file {
    struct content cached, kept;
    struct change *changes;
    size_t count, capacity;
    uint64_t forgotten; /* changes, since the beginning: synced, or lost by a failing sync */
    unsigned failures;
    struct disk_sharing *sharing;
};

struct name {
    char text[64]; /* "": unused */
    struct disk_file *file;
};

struct names {
    struct name list[NAMES_MAX];
};

enum { NAME_CHANGES_MAX = 64 };

static struct {
    struct chance chance;
    struct names cached, kept;
    struct names history[NAME_CHANGES_MAX]; /* after each change since the last sync of names */
    unsigned changes;
    enum disk_fault fault;
    uint64_t slow_us;
    struct disk_statistics statistics;
} disk;

void disk_begin(uint64_t seed)
{
    static const uint64_t slow_us[] = {100, 1000, 5000, 60000};
    disk.chance = chance_of(seed, 3);
    disk.slow_us = slow_us[chance_below(&disk.chance, 4)];
}

void disk_set_fault(enum disk_fault fault)
{
    disk.fault = fault;
}

struct disk_statistics disk_statistics(void)
{
    return disk.statistics;
}

/* ---- Names ---- */

static struct name *find(struct names *names, const char *text)
{
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (strcmp(names->list[i].text, text) == 0)
            return &names->list[i];
    }
    return NULL;
}

static void names_changed(void)
{
    if (disk.changes == NAME_CHANGES_MAX) { /* the journal is written now and then anyhow */
        disk.kept = disk.history[0];
        memmove(disk.history, disk.history + 1, sizeof disk.history - sizeof disk.history[0]);
        disk.changes--;
    }
    disk.history[disk.changes++] = disk.cached;
}

struct disk_file *disk_find(const char *name)
{
    struct name *found = find(&disk.cached, name);
    return found != NULL && name[0] != '\0' ? found->file : NULL;
}

struct disk_file *disk_create_nameless(void)
{
    struct disk_file *file = calloc(1, sizeof *file);
    CHECK(file != NULL);
    return file;
}

struct disk_file *disk_create(const char *name)
{
    struct name *free_name = find(&disk.cached, "");
    CHECK(free_name != NULL && strlen(name) < sizeof free_name->text);
    strcpy(free_name->text, name);
    free_name->file = disk_create_nameless();
    names_changed();
    return free_name->file;
}

void disk_remove(const char *name)
{
    struct name *found = find(&disk.cached, name);
    if (found == NULL)
        return;
    *found = (struct name){0};
    names_changed();
}

void disk_rename(const char *from, const char *to)
{
    struct name *found = find(&disk.cached, from), *replaced = find(&disk.cached, to);
    CHECK(found != NULL && strlen(to) < sizeof found->text);
    if (replaced != NULL)
        *replaced = (struct name){0};
    strcpy(found->text, to);
    names_changed();
}

void disk_sync_names(void)
{
    disk.kept = disk.cached;
    disk.changes = 0;
}

/* ---- Bytes ---- */

static void content_resize(struct content *content, uint64_t size)
{
    if (size > content->capacity) {
        uint64_t more = size + size / 2 + 4096;
        content->bytes = realloc(content->bytes, more);
        CHECK(content->bytes != NULL);
        content->capacity = more;
    }
    if (size > content->size)
        memset(content->bytes + content->size, 0, size - content->size);
    content->size = size;
}

static void content_put(struct content *content, uint64_t offset, const void *data, size_t size)
{
    if (offset + size > content->size)
        content_resize(content, offset + size);
    memcpy(content->bytes + offset, data, size);
}

static void note(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    if (file->count == file->capacity) {
        file->capacity = file->capacity * 2 + 16;
        file->changes = realloc(file->changes, file->capacity * sizeof *file->changes);
        CHECK(file->changes != NULL);
    }
    struct change change = {offset, size, NULL};
    if (data != NULL) {
        change.bytes = malloc(size + 1);
        CHECK(change.bytes != NULL);
        memcpy(change.bytes, data, size);
    }
    file->changes[file->count++] = change;
}

static void apply(struct content *content, const struct change *change)
{
    if (change->bytes == NULL)
        content_resize(content, change->offset);
    else
        content_put(content, change->offset, change->bytes, change->size);
}

static void forget_changes(struct disk_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->changes[i].bytes);
    file->forgotten += file->count;
    file->count = 0;
}

int disk_write(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    task_pause();
    disk.statistics.writes++;
    if (disk.fault == DISK_FULL && offset + size > file->cached.size) {
        disk.statistics.failed++;
        return ENOSPC;
    }
    bool fails = disk.fault == DISK_WRITES_FAIL && chance_in_thousand(&disk.chance, 200);
    if (fails) {
        disk.statistics.failed++;
        size = chance_below(&disk.chance, size + 1);
    }
    content_put(&file->cached, offset, data, size);
    note(file, offset, data, size);
    return fails ? EIO : 0;
}

int disk_truncate(struct disk_file *file, uint64_t size)
{
    task_pause();
    content_resize(&file->cached, size);
    note(file, size, NULL, 0);
    return 0;
}

/* As Linux does it: what a failing sync was to bring to the disk counts as clean afterwards. */
static void fail_sync(struct disk_file *file)
{
    disk.statistics.failed++;
    file->failures++;
    for (size_t i = 0; i < file->count; i++) {
        if (chance_in_thousand(&disk.chance, 300))
            apply(&file->kept, &file->changes[i]);
    }
    forget_changes(file);
}

int disk_sync(struct disk_file *file)
{
    disk.statistics.syncs++;
    uint64_t until = file->forgotten + file->count;
    task_sleep(20 + chance_below(&disk.chance, disk.slow_us));
    if (disk.fault == DISK_SYNCS_FAIL) {
        fail_sync(file);
        return EIO;
    }
    disk.statistics.syncs_done++;
    /* What was written meanwhile may be on the disk or not; it is not promised. And somebody else
     * may have synced the file meanwhile. */
    size_t count = until > file->forgotten ? until - file->forgotten : 0;
    for (size_t i = 0; i < count; i++) {
        apply(&file->kept, &file->changes[i]);
        free(file->changes[i].bytes);
    }
    file->forgotten += count;
    memmove(file->changes, file->changes + count, (file->count - count) * sizeof *file->changes);
    file->count -= count;
    return 0;
}

size_t disk_read(const struct disk_file *file, uint64_t offset, void *data, size_t size)
{
    if (offset >= file->cached.size)
        return 0;
    if (size > file->cached.size - offset)
        size = file->cached.size - offset;
    memcpy(data, file->cached.bytes + offset, size);
    return size;
}

uint64_t disk_size(const struct disk_file *file)
{
    return file->cached.size;
}

struct disk_sharing **disk_sharing(struct disk_file *file)
{
    return &file->sharing;
}

unsigned disk_failures(const struct disk_file *file)
{
    return file->failures;
}

/* ---- The end ---- */

enum fate { FATE_ANY, FATE_LOST, FATE_KEPT };

static void tear(struct content *content, const struct change *change)
{
    disk.statistics.torn++;
    for (size_t at = 0; at < change->size;) {
        size_t size = SECTOR - (change->offset + at) % SECTOR;
        if (size > change->size - at)
            size = change->size - at;
        if (chance_in_thousand(&disk.chance, 500))
            content_put(content, change->offset + at, change->bytes + at, size);
        at += size;
    }
}

static void lose_power(struct disk_file *file, enum fate fate)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct change *change = &file->changes[i];
        uint64_t luck = fate == FATE_ANY ? chance_below(&disk.chance, 3) : fate == FATE_KEPT;
        if (luck == 1)
            apply(&file->kept, change);
        else if (luck == 2 && change->bytes != NULL)
            tear(&file->kept, change);
        else
            disk.statistics.lost++;
    }
    forget_changes(file);
    content_resize(&file->cached, 0);
    content_put(&file->cached, 0, file->kept.bytes, file->kept.size);
}

void disk_crash(bool power)
{
    if (power) {
        if (disk.changes > 0) {
            uint64_t kept = chance_below(&disk.chance, disk.changes + 1);
            if (kept > 0)
                disk.kept = disk.history[kept - 1];
        }
        disk.cached = disk.kept;
        disk.changes = 0;
    }
    enum fate fate = (enum fate)chance_below(&disk.chance, 3);
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        struct disk_file *file = disk.cached.list[i].file;
        if (file == NULL)
            continue;
        file->sharing = NULL;
        if (power)
            lose_power(file, fate);
    }
}
