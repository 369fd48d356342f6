#include "import/hocon.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    DEPTH_MAX = 32,
    INCLUDES_MAX = 64, /* in all: a file may include itself */
    SETTINGS_MAX = 10000,
    PATH_SIZE = 512,
    NAME_SIZE = 4096,
};

struct reader {
    struct hocon *out;
    hocon_follows *follows; /* NULL: no include is followed */
    const char *at, *end;
    struct draft_place place;
    unsigned depth;
    char path[PATH_SIZE];
    size_t path_size;
    char *error;
    size_t error_size;
};

static enum status refuse(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status refuse(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    draft_refuse(reader->place, reader->error, reader->error_size, format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

/* ---- Between values ---- */

static char peek(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool looking_at(const struct reader *reader, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(reader->end - reader->at) >= size && memcmp(reader->at, text, size) == 0;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static void skip_blanks(struct reader *reader)
{
    while (is_blank(peek(reader)))
        reader->at++;
}

/* Blanks, line ends and comments; commas, too, where they separate. */
static void skip(struct reader *reader, bool commas)
{
    for (; reader->at < reader->end; reader->at++) {
        if (*reader->at == '#' || looking_at(reader, "//")) {
            while (reader->at < reader->end && *reader->at != '\n')
                reader->at++;
            if (reader->at == reader->end)
                return;
        }
        if (*reader->at == '\n')
            reader->place.line++;
        else if (!is_blank(*reader->at) && !(commas && *reader->at == ','))
            return;
    }
}

/* ---- Texts ---- */

static enum status take_escape(struct reader *reader, struct buffer *out)
{
    static const char names[] = "\"\\/nrtbf", values[] = "\"\\/\n\r\t\b\f";
    const char *found = reader->at < reader->end ? strchr(names, *reader->at) : NULL;
    if (found == NULL || *reader->at == '\0')
        return refuse(reader, "an escape in a text that is not read");
    reader->at++;
    return buffer_append(out, &values[found - names], 1);
}

/* Behind its first quotation mark. */
static enum status take_quoted(struct reader *reader, struct buffer *out)
{
    while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\n') {
        if (*reader->at == '\\') {
            reader->at++;
            TRY(take_escape(reader, out));
        } else {
            TRY(buffer_append(out, reader->at++, 1));
        }
    }
    if (peek(reader) != '"')
        return refuse(reader, "a text has no quotation mark at its end");
    reader->at++;
    return STATUS_OK;
}

/* Behind the three. */
static enum status take_long_quoted(struct reader *reader, struct buffer *out)
{
    struct draft_place begin = reader->place;
    while (reader->at < reader->end && !looking_at(reader, "\"\"\"")) {
        reader->place.line += *reader->at == '\n';
        TRY(buffer_append(out, reader->at++, 1));
    }
    if (reader->at == reader->end) {
        reader->place = begin;
        return refuse(reader, "a text has no three quotation marks at its end");
    }
    reader->at += 3;
    return STATUS_OK;
}

static bool ends_unquoted(const struct reader *reader)
{
    return strchr("\n,{}[]#\"", *reader->at) != NULL ||
           (looking_at(reader, "//") && is_blank(reader->at[-1]));
}

/* Up to the end of the line or what else ends it, without blanks at its end. */
static enum status take_unquoted(struct reader *reader, struct buffer *out)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && *reader->at != '\0' && !ends_unquoted(reader)) {
        if (looking_at(reader, "${"))
            return refuse(reader, "substitutions are not read: write the value itself");
        reader->at++;
    }
    const char *end = reader->at;
    while (end > begin && is_blank(end[-1]))
        end--;
    if (end == begin)
        return refuse(reader, "a value is missing");
    return buffer_append(out, begin, (size_t)(end - begin));
}

static enum status take_text(struct reader *reader, struct buffer *out)
{
    if (looking_at(reader, "\"\"\"")) {
        reader->at += 3;
        TRY(take_long_quoted(reader, out));
    } else if (peek(reader) == '"') {
        reader->at++;
        TRY(take_quoted(reader, out));
    } else {
        TRY(take_unquoted(reader, out));
    }
    if (out->size > 0 && memchr(out->data, '\0', out->size) != NULL)
        return refuse(reader, "a zero byte");
    return buffer_append(out, "", 1);
}

/* ---- Settings ---- */

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(memory_take(size), text, size);
}

static enum status add(struct reader *reader, const char *path, const char *value)
{
    struct hocon *out = reader->out;
    if (out->count == SETTINGS_MAX)
        return refuse(reader, "there are more than %d settings", SETTINGS_MAX);
    if ((out->count & (out->count + 1)) == 0) /* it is full: 0, 1, 3, 7, ... */
        out->settings = memory_resize(out->settings, (out->count * 2 + 1) * sizeof *out->settings);
    out->settings[out->count++] = (struct hocon_setting){
        .path = copy_text(path), .value = copy_text(value), .place = reader->place};
    return STATUS_OK;
}

static enum status take_value(struct reader *reader);
static enum status take_members(struct reader *reader, bool braced);
static enum status take_file(struct reader *reader, const char *path);

static enum status take_scalar(struct reader *reader)
{
    struct draft_place place = reader->place;
    struct buffer text = {0};
    enum status status = take_text(reader, &text);
    struct draft_place behind = reader->place;
    if (status == STATUS_OK) {
        reader->place = place;
        status = add(reader, reader->path, (const char *)text.data);
        reader->place = behind;
    }
    buffer_fini(&text);
    if (status != STATUS_OK)
        return status;
    skip_blanks(reader);
    if (peek(reader) == '"' || peek(reader) == '{' || peek(reader) == '[')
        return refuse(reader, "values that are put together are not read");
    return STATUS_OK;
}

static enum status take_array(struct reader *reader)
{
    struct draft_place begin = reader->place;
    for (;;) {
        skip(reader, true);
        if (reader->at == reader->end) {
            reader->place = begin;
            return refuse(reader, "a [ has no ] at its end");
        }
        if (*reader->at == ']') {
            reader->at++;
            return STATUS_OK;
        }
        TRY(take_value(reader));
    }
}

static enum status take_value(struct reader *reader)
{
    if (peek(reader) != '{' && peek(reader) != '[')
        return take_scalar(reader);
    if (reader->depth == DEPTH_MAX)
        return refuse(reader, "more than %d objects and arrays in each other", DEPTH_MAX);
    reader->depth++;
    bool is_object = *reader->at++ == '{';
    TRY(is_object ? take_members(reader, true) : take_array(reader));
    reader->depth--;
    return STATUS_OK;
}

/* ---- Members ---- */

static enum status add_to_path(struct reader *reader, const char *key, size_t size)
{
    if (reader->path_size + size + 2 > PATH_SIZE)
        return refuse(reader, "the name of a setting is too long");
    if (size == 0 || memchr(key, '\0', size) != NULL)
        return refuse(reader, "a setting has no name");
    if (reader->path_size > 0)
        reader->path[reader->path_size++] = '.';
    memcpy(reader->path + reader->path_size, key, size);
    reader->path_size += size;
    reader->path[reader->path_size] = '\0';
    return STATUS_OK;
}

static enum status take_quoted_key(struct reader *reader)
{
    struct buffer text = {0};
    reader->at++;
    enum status status = take_quoted(reader, &text);
    if (status == STATUS_OK)
        status = add_to_path(reader, (const char *)text.data, text.size);
    buffer_fini(&text);
    return status;
}

static enum status take_plain_key(struct reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && strchr("=:{}[],\"\n#+", *reader->at) == NULL)
        reader->at++;
    const char *end = reader->at;
    while (end > begin && (is_blank(end[-1]) || end[-1] == '.'))
        end--;
    return add_to_path(reader, begin, (size_t)(end - begin));
}

/* One or more parts, some of them in quotation marks. */
static enum status take_key(struct reader *reader)
{
    do {
        TRY(peek(reader) == '"' ? take_quoted_key(reader) : take_plain_key(reader));
        skip_blanks(reader);
        if (peek(reader) == '.')
            reader->at++;
        skip_blanks(reader);
    } while (peek(reader) == '"' || (reader->at[-1] == '.' && reader->at < reader->end));
    return STATUS_OK;
}

static enum status take_member(struct reader *reader)
{
    size_t before = reader->path_size;
    TRY(take_key(reader));
    if (looking_at(reader, "+="))
        return refuse(reader, "%s: += is not read", reader->path);
    if (peek(reader) == '=' || peek(reader) == ':') {
        reader->at++;
        skip(reader, false);
    } else if (peek(reader) != '{') {
        return refuse(reader, "%s: there is no value behind it", reader->path);
    }
    TRY(take_value(reader));
    reader->path_size = before;
    reader->path[before] = '\0';
    return STATUS_OK;
}

/* Beside the file that has it. */
static enum status make_name(struct reader *reader, const char *name, char *out)
{
    const char *slash = strrchr(reader->place.file, '/');
    int folder = name[0] != '/' && slash != NULL ? (int)(slash - reader->place.file) + 1 : 0;
    if (snprintf(out, NAME_SIZE, "%.*s%s", folder, reader->place.file, name) >= NAME_SIZE)
        return refuse(reader, "the name of a file is too long");
    return STATUS_OK;
}

static enum status include(struct reader *reader, const char *name)
{
    char path[NAME_SIZE];
    if (reader->follows == NULL || !reader->follows(reader->path)) {
        size_t before = reader->path_size;
        TRY(add_to_path(reader, "include", strlen("include")));
        TRY(add(reader, reader->path, name));
        reader->path_size = before;
        reader->path[before] = '\0';
        return STATUS_OK;
    }
    TRY(make_name(reader, name, path));
    struct reader outer = *reader;
    TRY(take_file(reader, path));
    reader->at = outer.at;
    reader->end = outer.end;
    reader->place = outer.place;
    return STATUS_OK;
}

static bool is_include(const struct reader *reader)
{
    const char *behind = reader->at + strlen("include");
    if (!looking_at(reader, "include") || behind == reader->end)
        return false;
    while (behind < reader->end && is_blank(*behind))
        behind++;
    return behind < reader->end && strchr("=:{.", *behind) == NULL;
}

static enum status take_include(struct reader *reader)
{
    struct buffer name = {0};
    reader->at += strlen("include");
    skip_blanks(reader);
    if (peek(reader) != '"')
        return refuse(reader, "include: the name of a file in quotation marks is missing");
    enum status status = take_text(reader, &name);
    if (status == STATUS_OK)
        status = include(reader, (const char *)name.data);
    buffer_fini(&name);
    return status;
}

/* Up to the brace that ends them, or to the end of the file. */
static enum status take_members(struct reader *reader, bool braced)
{
    struct draft_place begin = reader->place;
    for (;;) {
        skip(reader, true);
        if (reader->at == reader->end) {
            if (!braced)
                return STATUS_OK;
            reader->place = begin;
            return refuse(reader, "a { has no } at its end");
        }
        if (*reader->at == '}') {
            if (!braced)
                return refuse(reader, "a } has no { before it");
            reader->at++;
            return STATUS_OK;
        }
        TRY(is_include(reader) ? take_include(reader) : take_member(reader));
    }
}

/* ---- Files ---- */

static enum status take_all(struct reader *reader, const char *file, struct bytes text)
{
    struct hocon *out = reader->out;
    out->files = memory_resize(out->files, (out->file_count + 1) * sizeof *out->files);
    out->files[out->file_count] = copy_text(file);
    reader->place = (struct draft_place){.file = out->files[out->file_count++], .line = 1};
    reader->at = (const char *)text.data;
    reader->end = reader->at + text.size;
    skip(reader, false);
    if (peek(reader) != '{')
        return take_members(reader, false);
    reader->at++;
    TRY(take_members(reader, true)); /* the outermost object may have its braces */
    skip(reader, false);
    return reader->at == reader->end ? STATUS_OK : refuse(reader, "something behind the last }");
}

static enum status take_file(struct reader *reader, const char *path)
{
    struct buffer text = {0};
    if (reader->out->file_count > INCLUDES_MAX)
        return refuse(reader, "more than %d files are included", INCLUDES_MAX);
    enum status status = file_read(path, FILE_BYTES_MAX, &text, reader->error, reader->error_size);
    if (status == STATUS_OK)
        status = take_all(reader, path, bytes_of(text.data, text.size));
    buffer_fini(&text);
    return status;
}

enum status hocon_read(const char *path, hocon_follows *follows, struct hocon *out, char *error,
                       size_t error_size)
{
    struct reader reader = {
        .out = out, .follows = follows, .error = error, .error_size = error_size};
    *out = (struct hocon){0};
    return take_file(&reader, path);
}

enum status hocon_read_text(const char *path, struct bytes text, struct hocon *out, char *error,
                            size_t error_size)
{
    struct reader reader = {.out = out, .error = error, .error_size = error_size};
    *out = (struct hocon){0};
    return take_all(&reader, path, text);
}

void hocon_fini(struct hocon *hocon)
{
    for (size_t i = 0; i < hocon->count; i++) {
        free(hocon->settings[i].path);
        free(hocon->settings[i].value);
    }
    for (size_t i = 0; i < hocon->file_count; i++)
        free(hocon->files[i]);
    free(hocon->settings);
    free(hocon->files);
}
