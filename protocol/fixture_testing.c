#include "protocol/fixture_testing.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum block { BLOCK_NONE, BLOCK_BYTES, BLOCK_FIELDS, BLOCK_REFUSED, BLOCK_REENCODED };

struct reader {
    struct fixtures *out;
    const char *file;
    unsigned line;
    enum block block;
    char *heading;
    struct fixture *fixture; /* the one of this heading, once its bytes were seen */
    struct buffer text;
};

static bool wrong(const struct reader *reader, const char *what)
{
    fprintf(stderr, "%s:%u: %s\n", reader->file, reader->line, what);
    return false;
}

static bool add_fixture(struct reader *reader)
{
    struct fixtures *out = reader->out;
    char name[512];

    out->list = realloc(out->list, (out->count + 1) * sizeof *out->list);
    CHECK(out->list != NULL);
    reader->fixture = &out->list[out->count++];
    *reader->fixture = (struct fixture){0};
    const char *file = strrchr(reader->file, '/') + 1;
    snprintf(name, sizeof name, "%s: %s", file, reader->heading);
    reader->fixture->name = strdup(name);
    return true;
}

/* "to-server 5.0 3.1.1": who reads the packet, in which versions. */
static bool open_bytes(struct reader *reader, const char *info)
{
    if (reader->heading == NULL || reader->fixture != NULL)
        return wrong(reader, "each packet stands under a heading of its own");
    add_fixture(reader);

    struct fixture *fixture = reader->fixture;
    fixture->as_server = strncmp(info, "to-server", 9) == 0;
    for (const char *p = strchr(info, ' '); p != NULL; p = strchr(p + 1, ' ')) {
        enum mqtt_version version;
        if (strncmp(p + 1, "5.0", 3) == 0)
            version = MQTT_VERSION_5;
        else if (strncmp(p + 1, "3.1.1", 5) == 0)
            version = MQTT_VERSION_311;
        else if (strncmp(p + 1, "3.1", 3) == 0)
            version = MQTT_VERSION_31;
        else
            return wrong(reader, "no such version");
        if (fixture->version_count == 3)
            return wrong(reader, "too many versions");
        fixture->versions[fixture->version_count++] = version;
    }
    if (fixture->version_count == 0)
        return wrong(reader, "for which version?");
    reader->block = BLOCK_BYTES;
    return true;
}

static bool open_block(struct reader *reader, const char *info)
{
    reader->text.size = 0;
    if (strncmp(info, "to-server ", 10) == 0 || strncmp(info, "to-client ", 10) == 0)
        return open_bytes(reader, info);
    if (strcmp(info, "fields") == 0)
        reader->block = BLOCK_FIELDS;
    else if (strcmp(info, "refused") == 0)
        reader->block = BLOCK_REFUSED;
    else if (strcmp(info, "encodes") == 0)
        reader->block = BLOCK_REENCODED;
    else
        return wrong(reader, "unknown kind of block");
    if (reader->fixture == NULL || reader->fixture->bytes.size == 0)
        return wrong(reader, "the bytes come first");
    if (reader->block != BLOCK_REENCODED && reader->fixture->expected != NULL)
        return wrong(reader, "expected twice");
    return true;
}

static bool close_block(struct reader *reader)
{
    if (reader->block == BLOCK_FIELDS || reader->block == BLOCK_REFUSED) {
        reader->fixture->refused = reader->block == BLOCK_REFUSED;
        CHECK(buffer_append(&reader->text, "", 1) == STATUS_OK);
        reader->fixture->expected = strdup((const char *)reader->text.data);
    }
    reader->block = BLOCK_NONE;
    return true;
}

/* Quoted text up to the next quote. There are no escapes: other bytes are written in hex. */
static const char *read_quoted(struct buffer *out, const char *p)
{
    const char *end = strchr(p + 1, '"');

    if (end == NULL)
        return NULL;
    CHECK(buffer_append(out, p + 1, (size_t)(end - p) - 1) == STATUS_OK);
    return end + 1;
}

static const char *read_hex(struct buffer *out, const char *p)
{
    unsigned value;

    if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]) ||
        sscanf(p, "%2x", &value) != 1)
        return NULL;
    uint8_t byte = (uint8_t)value;
    CHECK(buffer_append(out, &byte, 1) == STATUS_OK);
    return p + 2;
}

/* Hex pairs, "text", and "x3" behind either for three times in all; "//" starts a comment. */
static bool read_bytes(struct reader *reader, struct buffer *out, const char *p)
{
    size_t last = out->size;

    while (*p != '\0' && strncmp(p, "//", 2) != 0) {
        if (*p == ' ') {
            p++;
        } else if (*p == 'x') {
            char *end;
            unsigned long times = strtoul(p + 1, &end, 10);
            size_t size = out->size - last;
            CHECK(buffer_reserve(out, size * times) == STATUS_OK);
            for (unsigned long i = 1; i < times; i++)
                CHECK(buffer_append(out, out->data + last, size) == STATUS_OK);
            p = end;
        } else {
            last = out->size;
            p = *p == '"' ? read_quoted(out, p) : read_hex(out, p);
            if (p == NULL)
                return wrong(reader, "neither hex nor text");
        }
    }
    return true;
}

static bool read_block_line(struct reader *reader, const char *line)
{
    switch (reader->block) {
    case BLOCK_BYTES:
        return read_bytes(reader, &reader->fixture->bytes, line);
    case BLOCK_REENCODED:
        return read_bytes(reader, &reader->fixture->reencoded, line);
    default:
        CHECK(buffer_append(&reader->text, line, strlen(line)) == STATUS_OK);
        CHECK(buffer_append(&reader->text, "\n", 1) == STATUS_OK);
        return true;
    }
}

static bool close_heading(struct reader *reader)
{
    if (reader->fixture != NULL && reader->fixture->expected == NULL)
        return wrong(reader, "the section before has no fields and no refusal");
    if (reader->heading != NULL && reader->fixture == NULL)
        return wrong(reader, "the section before has no packet");
    free(reader->heading);
    reader->heading = NULL;
    reader->fixture = NULL;
    return true;
}

static bool read_line(struct reader *reader, const char *line)
{
    reader->line++;
    if (strncmp(line, "```", 3) == 0)
        return reader->block == BLOCK_NONE ? open_block(reader, line + 3) : close_block(reader);
    if (reader->block != BLOCK_NONE)
        return read_block_line(reader, line);
    if (strncmp(line, "## ", 3) == 0) {
        if (!close_heading(reader))
            return false;
        reader->heading = strdup(line + 3);
    }
    return true;
}

static bool read_file(const char *path, struct fixtures *out)
{
    struct reader reader = {.out = out, .file = path};
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    bool good = file != NULL;

    while (good && (size = getline(&line, &capacity, file)) >= 0) {
        if (size > 0 && line[size - 1] == '\n')
            line[size - 1] = '\0';
        good = read_line(&reader, line);
    }
    good = good && (reader.block == BLOCK_NONE || wrong(&reader, "block is not closed"));
    good = good && close_heading(&reader);
    free(reader.heading);
    free(line);
    buffer_fini(&reader.text);
    if (file != NULL)
        fclose(file);
    return good;
}

static int is_fixture_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot != NULL && strcmp(dot, ".md") == 0 && strcmp(entry->d_name, "README.md") != 0;
}

bool fixtures_read(const char *directory, struct fixtures *out)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_fixture_file, alphasort);
    bool good = count > 0;

    *out = (struct fixtures){0};
    if (!good)
        fprintf(stderr, "%s: no fixtures\n", directory);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        good = good && read_file(path, out);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return good;
}

void fixtures_fini(struct fixtures *fixtures)
{
    for (size_t i = 0; i < fixtures->count; i++) {
        free(fixtures->list[i].name);
        free(fixtures->list[i].expected);
        buffer_fini(&fixtures->list[i].bytes);
        buffer_fini(&fixtures->list[i].reencoded);
    }
    free(fixtures->list);
}
