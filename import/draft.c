#include "import/draft.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "config/config.h"

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(memory_take(size), text, size);
}

/* ---- Remarks ---- */

/* Names of files and of options may have any byte in them. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

__attribute__((format(printf, 5, 0))) static void add_remark(struct draft *draft,
                                                             struct draft_place place,
                                                             const char *kind, const char *name,
                                                             const char *format, va_list arguments)
{
    char why[1024], where[512] = "", text[2048];
    vsnprintf(why, sizeof why, format, arguments);
    if (place.line != 0)
        snprintf(where, sizeof where, "%s:%u: ", place.file, place.line);
    snprintf(text, sizeof text, "%s%s%.100s: %s", where, kind, name, why);
    make_printable(text);
    draft->remarks =
        memory_resize(draft->remarks, (draft->remark_count + 1) * sizeof *draft->remarks);
    draft->remarks[draft->remark_count++] = copy_text(text);
}

void draft_remark(struct draft *draft, struct draft_place place, const char *name,
                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_remark(draft, place, "", name, format, arguments);
    va_end(arguments);
}

void draft_warn(struct draft *draft, struct draft_place place, const char *name, const char *format,
                ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_remark(draft, place, "SECURITY: ", name, format, arguments);
    va_end(arguments);
    draft->warning_count++;
}

void draft_refuse(struct draft_place place, char *error, size_t error_size, const char *format,
                  va_list arguments)
{
    char why[256];
    vsnprintf(why, sizeof why, format, arguments);
    snprintf(error, error_size, "%s:%u: %s", place.file, place.line, why);
}

/* ---- Options ---- */

/* What of a text would not be read back as it is. */
static const char *unreadable(const char *value)
{
    if (strstr(value, "${") != NULL)
        return "a value with \"${\" cannot be written";
    for (const char *at = value; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return "a value with a control character cannot be written";
    }
    return NULL;
}

/* Holdfast's own check, into a section that is thrown away. */
static bool is_allowed(struct draft *draft, struct draft_place place,
                       const struct config_option *option, const char *value)
{
    struct config_listener listener = {0};
    struct config scratch = {.listeners = &listener, .listener_count = 1};
    void *base = config_section_base(&scratch, option->section);
    char why[256] = "";
    const char *problem = unreadable(value);
    if (problem == NULL && config_option_set(option, base, value, why, sizeof why) != STATUS_OK)
        problem = why;
    config_option_fini(option, base);
    if (problem != NULL)
        draft_warn(draft, place, option->name, "%s; Holdfast's default is left", problem);
    return problem == NULL;
}

static void set(struct draft *draft, struct draft_place place, char ***values,
                enum config_section section, const char *name, const char *value)
{
    const struct config_option *option = config_option_find(section, name);
    CHECK(option != NULL);
    if (!is_allowed(draft, place, option, value))
        return;
    if (*values == NULL)
        *values = memory_take_zeroed(config_option_count, sizeof **values);
    char **slot = &(*values)[option - config_options];
    free(*slot);
    *slot = copy_text(value);
}

void draft_set(struct draft *draft, struct draft_place place, enum config_section section,
               const char *name, const char *value)
{
    set(draft, place, &draft->values, section, name, value);
}

/* ---- Listeners ---- */

static bool is_taken(const struct draft *draft, const char *name)
{
    for (size_t i = 0; i < draft->listener_count; i++) {
        if (strcmp(draft->listeners[i].name, name) == 0)
            return true;
    }
    return false;
}

struct draft_listener *draft_listener(struct draft *draft, const char *kind, unsigned port)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%u", kind, port);
    for (unsigned i = 2; is_taken(draft, name); i++)
        snprintf(name, sizeof name, "%s-%u-%u", kind, port, i);
    draft->listeners =
        memory_resize(draft->listeners, (draft->listener_count + 1) * sizeof *draft->listeners);
    struct draft_listener *listener = &draft->listeners[draft->listener_count++];
    *listener = (struct draft_listener){.name = copy_text(name)};
    return listener;
}

void draft_listener_set(struct draft *draft, struct draft_place place,
                        struct draft_listener *listener, const char *name, const char *value)
{
    set(draft, place, &listener->values, CONFIG_SECTION_listener, name, value);
}

void draft_leave_out(struct draft *draft, struct draft_place place, struct draft_listener *listener,
                     const char *name, const char *why)
{
    draft_warn(draft, place, name, "%s: listener \"%s\" is left out", why, listener->name);
    if (listener->left_out == NULL)
        listener->left_out = copy_text(why);
}

/* ---- Printing ---- */

void draft_print_remarks(const struct draft *draft, FILE *file)
{
    for (size_t i = 0; i < draft->remark_count; i++)
        fprintf(file, "%s\n", draft->remarks[i]);
}

static void print_value(const struct config_option *option, const char *value, FILE *file)
{
    if (option->kind != CONFIG_TEXT) {
        fputs(value, file);
        return;
    }
    fputc('"', file);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fputc('\\', file);
        fputc(*at, file);
    }
    fputc('"', file);
}

static void print_options(char *const *values, enum config_section section, const char *before,
                          FILE *file)
{
    for (size_t i = 0; values != NULL && i < config_option_count; i++) {
        if (config_options[i].section == section && values[i] != NULL) {
            fprintf(file, "%s    %s = ", before, config_options[i].name);
            print_value(&config_options[i], values[i], file);
            fputc('\n', file);
        }
    }
}

static void print_listener(const struct draft_listener *listener, FILE *file)
{
    const char *before = listener->left_out != NULL ? "# " : "";
    fputc('\n', file);
    if (listener->left_out != NULL)
        fprintf(file, "# Left out: %s.\n", listener->left_out);
    fprintf(file, "%slistener \"%s\" {\n", before, listener->name);
    print_options(listener->values, CONFIG_SECTION_listener, before, file);
    fprintf(file, "%s}\n", before);
}

static void print_listeners(const struct draft *draft, FILE *file)
{
    size_t left = 0;
    for (size_t i = 0; i < draft->listener_count; i++) {
        print_listener(&draft->listeners[i], file);
        left += draft->listeners[i].left_out == NULL;
    }
    if (left == 0)
        fprintf(file,
                "\n# No listener could be taken over. This one lets in nobody who does not prove\n"
                "# who it is; without any, there would be one that is open.\n"
                "listener \"none\" {\n    bind = \"127.0.0.1:1883\"\n"
                "    allow_anonymous = false\n}\n");
}

static bool has_options(const struct draft *draft, enum config_section section)
{
    for (size_t i = 0; draft->values != NULL && i < config_option_count; i++) {
        if (config_options[i].section == section && draft->values[i] != NULL)
            return true;
    }
    return false;
}

void draft_print(const struct draft *draft, const char *source, FILE *file)
{
    fprintf(file,
            "# Made by holdfast import %s. What is not given here is as\n"
            "# holdfast --help-config says.\n",
            source);
    if (draft->remark_count > 0)
        fprintf(file, "#\n# What is different, or has no counterpart:\n");
    for (size_t i = 0; i < draft->remark_count; i++)
        fprintf(file, "# %s\n", draft->remarks[i]);
    print_listeners(draft, file);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section == CONFIG_SECTION_listener || !has_options(draft, section))
            continue;
        fprintf(file, "\n%s {\n", config_section_name(section));
        print_options(draft->values, section, "", file);
        fprintf(file, "}\n");
    }
}

static void free_values(char **values)
{
    for (size_t i = 0; values != NULL && i < config_option_count; i++)
        free(values[i]);
    free(values);
}

void draft_fini(struct draft *draft)
{
    for (size_t i = 0; i < draft->remark_count; i++)
        free(draft->remarks[i]);
    for (size_t i = 0; i < draft->listener_count; i++) {
        free(draft->listeners[i].name);
        free(draft->listeners[i].left_out);
        free_values(draft->listeners[i].values);
    }
    free(draft->remarks);
    free(draft->listeners);
    free_values(draft->values);
}
