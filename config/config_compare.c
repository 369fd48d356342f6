#include "config/config.h"

#include <string.h>

#include "config/config_option.h"

struct comparison {
    void (*differs)(void *context, const char *what);
    void *context;
};

static bool option_equal(const struct config_option *option, const void *one, const void *other)
{
    const char *a = (const char *)one + option->offset, *b = (const char *)other + option->offset;
    if (option->kind != CONFIG_TEXT)
        return memcmp(a, b, option->size) == 0;
    const char *text_a, *text_b;
    memcpy(&text_a, a, sizeof text_a);
    memcpy(&text_b, b, sizeof text_b);
    if (text_a == NULL || text_b == NULL)
        return text_a == text_b;
    return strcmp(text_a, text_b) == 0;
}

static void compare_section(const struct comparison *comparison, enum config_section section,
                            const char *name, const void *running, const void *wanted)
{
    char what[128];
    for (size_t i = 0; i < config_option_count; i++) {
        const struct config_option *option = &config_options[i];
        if (option->section != section || config_option_is_reloaded(option) ||
            option_equal(option, running, wanted))
            continue;
        snprintf(what, sizeof what, "%s: %s", name, option->name);
        comparison->differs(comparison->context, what);
    }
}

const struct config_listener *config_listener_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (strcmp(config->listeners[i].name, name) == 0)
            return &config->listeners[i];
    }
    return NULL;
}

static void compare_listeners(const struct comparison *comparison, const struct config *running,
                              const struct config *wanted)
{
    char what[128];
    for (size_t i = 0; i < running->listener_count; i++) {
        const struct config_listener *old = &running->listeners[i];
        const struct config_listener *new = config_listener_find(wanted, old->name);
        snprintf(what, sizeof what, "listener \"%s\"%s", old->name,
                 new == NULL ? ", which is gone" : "");
        if (new == NULL)
            comparison->differs(comparison->context, what);
        else
            compare_section(comparison, CONFIG_SECTION_listener, what, old, new);
    }
    for (size_t i = 0; i < wanted->listener_count; i++) {
        if (config_listener_find(running, wanted->listeners[i].name) != NULL)
            continue;
        snprintf(what, sizeof what, "listener \"%s\", which is new", wanted->listeners[i].name);
        comparison->differs(comparison->context, what);
    }
}

void config_compare(const struct config *running, const struct config *wanted,
                    void (*differs)(void *context, const char *what), void *context)
{
    const struct comparison comparison = {.differs = differs, .context = context};
    compare_listeners(&comparison, running, wanted);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        if (section != CONFIG_SECTION_listener)
            compare_section(&comparison, section, config_section_name(section),
                            config_section_base((struct config *)running, section),
                            config_section_base((struct config *)wanted, section));
    }
}
