/* The table of config_option.def as data, and its values from text. */
#ifndef BROKER_CONFIG_OPTION_H
#define BROKER_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum config_section {
#define SECTION(name, help) CONFIG_SECTION_##name,
#include "config/config_option.def"
    CONFIG_SECTION_COUNT
};

enum config_kind {
    CONFIG_TEXT,
    CONFIG_BOOL,
    CONFIG_INTEGER,
    CONFIG_DECIMAL,
    CONFIG_MILLISECONDS,
    CONFIG_CHOICE,
};

struct config;

struct config_option {
    enum config_section section;
    enum config_kind kind;
    const char *name;
    const char *unit;
    const char *fallback; /* the default, as it would be written; NULL: not given */
    const char *help;
    uint64_t min; /* for TEXT of its length */
    uint64_t max;
    size_t offset; /* in struct config_<section> */
    size_t size;
};

extern const struct config_option config_options[]; /* in the order of the file */
extern const size_t config_option_count;

const char *config_section_name(enum config_section section);
const char *config_section_help(enum config_section section);

/* CONFIG_SECTION_COUNT if there is none of that name. */
enum config_section config_section_find(const char *name);
/* Where its options go: in the latest listener for those of listeners. */
void *config_section_base(struct config *config, enum config_section section);
/* NULL if there is none of that name. */
const struct config_option *config_option_find(enum config_section section, const char *name);

/* Whether SIGHUP puts a new value in force. */
bool config_option_is_reloaded(const struct config_option *option);

/* What the option allows, in words: "a whole number from 1 to 65535". Returns `out`. */
const char *config_option_allowed(const struct config_option *option, char *out, size_t capacity);

/* Stores the value that `text` stands for into the option's section at `base`. INVALID: `why` says
 * what is allowed. */
enum status MUST_USE config_option_set(const struct config_option *option, void *base,
                                       const char *text, char *why, size_t why_size);
/* Gives a zeroed section its default. */
enum status MUST_USE config_option_reset(const struct config_option *option, void *base);
/* Frees what the value owns. */
void config_option_fini(const struct config_option *option, void *base);

#endif
