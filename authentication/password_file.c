#include "authentication/password_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authentication/password.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/log.h"

struct entry {
    struct bytes user_name; /* both in `text` */
    const char *hash;
    unsigned line;
};

struct password_file {
    char *text; /* with zeros where lines and names end */
    struct entry *entries;
    size_t count;
    struct scram_credential pattern; /* of the first line that has one; 0 iterations: none has */
    uint8_t decoys[HMAC_SIZE];
    bool has_decoys;
};

const char password_file_decoys[] = "#decoys:";

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int order = bytes_compare(one->user_name, other->user_name);
    return order != 0 ? order : (one->line > other->line) - (one->line < other->line);
}

/* Fills in an entry from a line; returns what is wrong with it, or NULL. */
static const char *parse_line(char *line, struct entry *out)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line)
        return "not USER:HASH";
    *colon = '\0';
    out->user_name = bytes_of(line, (size_t)(colon - line));
    out->hash = colon + 1;
    return password_hash_fault(out->hash);
}

static size_t count_lines(const char *text, size_t size)
{
    size_t lines = 1;
    if (size == 0)
        return lines;
    for (const char *end = text + size; (text = memchr(text, '\n', (size_t)(end - text))) != NULL;
         text++)
        lines++;
    return lines;
}

/* A comment, which may be the one that is none; what is wrong with that, or NULL. */
static const char *parse_comment(struct password_file *file, const char *line)
{
    size_t size, skipped = strlen(password_file_decoys);
    if (strncmp(line, password_file_decoys, skipped) != 0)
        return NULL;
    file->has_decoys =
        base64_decode(bytes_of_text(line + skipped), file->decoys, sizeof file->decoys, &size) &&
        size == sizeof file->decoys;
    return file->has_decoys ? NULL : "not #decoys:KEY with 32 bytes in base64";
}

/* A line without its end. */
static const char *take_line(struct password_file *file, char *line, unsigned number)
{
    if (line[0] == '#')
        return parse_comment(file, line);
    if (line[0] == '\0')
        return NULL;
    struct entry *entry = &file->entries[file->count];
    const char *fault = parse_line(line, entry);
    if (fault != NULL)
        return fault;
    entry->line = number;
    file->count++;
    if (file->pattern.iterations == 0 && scram_credential_is(entry->hash))
        return scram_credential_parse(entry->hash, &file->pattern) ? NULL : "no hash";
    return NULL;
}

static enum status parse_lines(struct password_file *file, const char *path, size_t size,
                               char *error, size_t error_size)
{
    unsigned number = 1;
    for (char *line = file->text, *end = line + size; line < end; number++) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        next = next != NULL ? next : end;
        if (memchr(line, '\0', (size_t)(next - line)) != NULL) {
            snprintf(error, error_size, "%s:%u: a zero byte", path, number);
            return STATUS_INVALID;
        }
        char *last = next;
        while (last > line && strchr(" \t\r", last[-1]) != NULL)
            last--;
        *last = '\0';
        const char *fault = take_line(file, line, number);
        if (fault != NULL) {
            snprintf(error, error_size, "%s:%u: %s", path, number, fault);
            return STATUS_INVALID;
        }
        line = next + 1;
    }
    return STATUS_OK;
}

static enum status sort_entries(struct password_file *file, const char *path, char *error,
                                size_t error_size)
{
    char name[128];
    qsort(file->entries, file->count, sizeof *file->entries, compare_entries);
    for (size_t i = 1; i < file->count; i++) {
        const struct entry *entry = &file->entries[i];
        if (!bytes_equal(entry->user_name, entry[-1].user_name))
            continue;
        snprintf(error, error_size, "%s:%u: user \"%s\" stands in line %u too", path, entry->line,
                 log_text(entry->user_name.data, entry->user_name.size, name, sizeof name),
                 entry[-1].line);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

enum status password_file_parse(const char *path, struct bytes text, struct password_file **out,
                                char *error, size_t error_size)
{
    enum status status = STATUS_NO_MEMORY;
    struct password_file *file = calloc(1, sizeof *file);
    *out = NULL;
    error[0] = '\0';
    if (file == NULL)
        goto out;
    file->text = malloc(text.size + 1);
    file->entries = calloc(count_lines((const char *)text.data, text.size), sizeof(struct entry));
    if (file->text == NULL || file->entries == NULL)
        goto out;
    if (text.size > 0)
        memcpy(file->text, text.data, text.size);
    file->text[text.size] = '\0';
    status = parse_lines(file, path, text.size, error, error_size);
    if (status == STATUS_OK)
        status = sort_entries(file, path, error, error_size);
out:
    if (status == STATUS_OK) {
        *out = file;
        return STATUS_OK;
    }
    password_file_free(file);
    if (error[0] == '\0')
        snprintf(error, error_size, "%s: %s", path, status_text(status));
    return status;
}

enum status password_file_load(const char *path, struct password_file **out, char *error,
                               size_t error_size)
{
    struct buffer text = {0};
    *out = NULL;
    enum status status = file_read(path, PASSWORD_FILE_MAX, &text, error, error_size);
    if (status == STATUS_OK)
        status = password_file_parse(path, bytes_of(text.data, text.size), out, error, error_size);
    buffer_fini(&text);
    return status;
}

void password_file_free(struct password_file *file)
{
    if (file == NULL)
        return;
    free(file->text);
    free(file->entries);
    explicit_bzero(&file->pattern, sizeof file->pattern);
    explicit_bzero(file->decoys, sizeof file->decoys);
    free(file);
}

size_t password_file_count(const struct password_file *file)
{
    return file->count;
}

const char *password_file_find(const struct password_file *file, struct bytes user_name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bytes_compare(user_name, file->entries[middle].user_name);
        if (order == 0)
            return file->entries[middle].hash;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *password_file_decoy(const struct password_file *file, const struct hash_key *key,
                                struct bytes user_name)
{
    if (file->count == 0)
        return password_nobody;
    return file->entries[hash_bytes(key, user_name.data, user_name.size) % file->count].hash;
}

bool password_file_has_scram(const struct password_file *file)
{
    return file->pattern.iterations > 0;
}

static bool make_up(struct bytes key, const char *what, struct bytes user_name,
                    uint8_t out[HMAC_SIZE])
{
    const struct bytes parts[] = {bytes_of_text(what), user_name};
    return hmac_sha256(key, parts, 2, out);
}

bool password_file_scram(const struct password_file *file, const struct hash_key *key,
                         struct bytes user_name, struct scram_credential *out)
{
    uint8_t salt[2][HMAC_SIZE];
#ifdef SEEDED_BUG_SCRAM_DECOY_ANEW
    struct bytes secret = bytes_of(key, sizeof *key);
#else
    struct bytes secret =
        file->has_decoys ? bytes_of(file->decoys, sizeof file->decoys) : bytes_of(key, sizeof *key);
#endif
    const char *hash = password_file_find(file, user_name);
    /* Made up in any case: it takes its time. */
    bool sound = make_up(secret, "salt", user_name, salt[0]) &&
                 make_up(secret, "more salt", user_name, salt[1]) &&
                 make_up(secret, "stored key", user_name, out->stored_key) &&
                 make_up(secret, "server key", user_name, out->server_key);
    out->iterations = file->pattern.iterations;
    out->salt_size = file->pattern.salt_size;
    memcpy(out->salt, salt, out->salt_size);
    return sound && hash != NULL && scram_credential_is(hash) && scram_credential_parse(hash, out);
}
