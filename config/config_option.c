#include "config/config_option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "config/config.h"

const struct config_option config_options[] = {
#define OPTION(section_, name_, field_, kind_, unit_, default_, min_, max_, help_)                 \
    {.section = CONFIG_SECTION_##section_,                                                         \
     .kind = CONFIG_##kind_,                                                                       \
     .name = #name_,                                                                               \
     .unit = unit_,                                                                                \
     .fallback = default_,                                                                         \
     .help = help_,                                                                                \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     .offset = offsetof(struct config_##section_, field_),                                         \
     .size = sizeof(((struct config_##section_ *)0)->field_)},
#include "config/config_option.def"
};
const size_t config_option_count = sizeof config_options / sizeof *config_options;

struct choice {
    const char *option;
    const char *word;
    unsigned value;
};

static const struct choice choices[] = {
#define CHOICE(option_, word_, value_) {.option = #option_, .word = word_, .value = value_},
#include "config/config_option.def"
};
static const size_t choice_count = sizeof choices / sizeof *choices;

struct reloaded {
    enum config_section section;
    const char *option;
};

static const struct reloaded reloaded[] = {
#define RELOADED(section_, name_) {CONFIG_SECTION_##section_, #name_},
#include "config/config_option.def"
};

bool config_option_is_reloaded(const struct config_option *option)
{
    for (size_t i = 0; i < sizeof reloaded / sizeof *reloaded; i++) {
        if (reloaded[i].section == option->section && strcmp(reloaded[i].option, option->name) == 0)
            return true;
    }
    return false;
}

struct section {
    const char *name;
    const char *help;
};

static const struct section sections[] = {
#define SECTION(name_, help_) [CONFIG_SECTION_##name_] = {.name = #name_, .help = help_},
#include "config/config_option.def"
};

const char *config_section_name(enum config_section section)
{
    CHECK(section < CONFIG_SECTION_COUNT);
    return sections[section].name;
}

const char *config_section_help(enum config_section section)
{
    CHECK(section < CONFIG_SECTION_COUNT);
    return sections[section].help;
}

enum config_section config_section_find(const char *name)
{
    unsigned section = 0;
    while (section < CONFIG_SECTION_COUNT && strcmp(sections[section].name, name) != 0)
        section++;
    return section;
}

const struct config_option *config_option_find(enum config_section section, const char *name)
{
    for (size_t i = 0; i < config_option_count; i++) {
        if (config_options[i].section == section && strcmp(config_options[i].name, name) == 0)
            return &config_options[i];
    }
    return NULL;
}

/* ---- What is allowed ---- */

static void list_words(const struct config_option *option, char *out, size_t capacity)
{
    size_t used = (size_t)snprintf(out, capacity, "one of");
    const char *before = " ";
    for (size_t i = 0; i < choice_count && used < capacity; i++) {
        if (strcmp(choices[i].option, option->name) != 0)
            continue;
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", before, choices[i].word);
        before = ", ";
    }
}

const char *config_option_allowed(const struct config_option *option, char *out, size_t capacity)
{
    unsigned long long min = option->min;
    unsigned long long max = option->max;
    switch (option->kind) {
    case CONFIG_TEXT:
        snprintf(out, capacity, "a text of %llu to %llu bytes", min, max);
        break;
    case CONFIG_BOOL:
        snprintf(out, capacity, "true or false");
        break;
    case CONFIG_INTEGER:
        snprintf(out, capacity, "a whole number from %llu to %llu", min, max);
        break;
    case CONFIG_DECIMAL:
        snprintf(out, capacity, "a number from %llu to %llu", min, max);
        break;
    case CONFIG_MILLISECONDS:
        snprintf(out, capacity, "a number from %llu to %llu with up to three decimals", min, max);
        break;
    case CONFIG_CHOICE:
        list_words(option, out, capacity);
        break;
    }
    return out;
}

/* ---- Values ---- */

enum { DIGITS_MAX = 18 }; /* more would not fit 64 bits with three decimals */

/* Decimal digits and nothing else: no sign, no octal 010, no hexadecimal, no 100k. */
static bool parse_digits(const char *text, size_t size, uint64_t *out)
{
    *out = 0;
    if (size == 0 || size > DIGITS_MAX || (text[0] == '0' && size > 1))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

/* Digits with up to `decimals` of them behind a point, as a whole number of that smallest unit. */
static bool parse_fixed(const char *text, unsigned decimals, uint64_t *out)
{
    size_t before = strcspn(text, ".");
    const char *fraction = text[before] == '.' ? text + before + 1 : "0";
    size_t after = strlen(fraction);
    if (after == 0 || after > decimals || !parse_digits(text, before, out))
        return false;
    for (unsigned i = 0; i < decimals; i++) {
        unsigned digit = i < after ? (unsigned)fraction[i] - '0' : 0;
        if (digit > 9 || *out > UINT64_MAX / 10 - 1)
            return false;
        *out = *out * 10 + digit;
    }
    return true;
}

static void put_integer(void *field, size_t size, uint64_t value)
{
    switch (size) {
    case 1:
        *(uint8_t *)field = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        CHECK(size == 8);
        *(uint64_t *)field = value;
    }
}

static bool set_integer(const struct config_option *option, void *field, const char *text)
{
    uint64_t value;
    if (!parse_digits(text, strlen(text), &value) || value < option->min || value > option->max)
        return false;
    put_integer(field, option->size, value);
    return true;
}

/* Thousandths, both for milliseconds (then microseconds) and for plain numbers. */
static bool set_decimal(const struct config_option *option, void *field, const char *text)
{
    uint64_t thousandths;
    if (!parse_fixed(text, 3, &thousandths) || thousandths < option->min * 1000 ||
        thousandths > option->max * 1000)
        return false;
    if (option->kind == CONFIG_MILLISECONDS)
        put_integer(field, option->size, thousandths);
    else
        *(double *)field = (double)thousandths / 1000;
    return true;
}

static bool set_bool(void *field, const char *text)
{
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return false;
    *(bool *)field = value;
    return true;
}

static bool set_choice(const struct config_option *option, void *field, const char *text)
{
    for (size_t i = 0; i < choice_count; i++) {
        if (strcmp(choices[i].option, option->name) == 0 && strcmp(choices[i].word, text) == 0) {
            put_integer(field, option->size, choices[i].value);
            return true;
        }
    }
    return false;
}

static enum status set_text(const struct config_option *option, void *field, const char *text)
{
    size_t size = strlen(text);
    if (size < option->min || size > option->max)
        return STATUS_INVALID;
    char *copy = strdup(text);
    if (copy == NULL)
        return STATUS_NO_MEMORY;
    free(*(char **)field);
    *(char **)field = copy;
    return STATUS_OK;
}

/* People write 100k, 5s and 010 where other programs take them: say why this one does not. */
static const char *hint(const struct config_option *option, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    bool number = option->kind == CONFIG_INTEGER || option->kind == CONFIG_DECIMAL ||
                  option->kind == CONFIG_MILLISECONDS;
    if (!number || digits == 0)
        return "";
    if (digits > 1 && text[0] == '0')
        return "; write it without a leading zero";
    if (text[digits] != '\0' && text[digits] != '.')
        return "; write the number without a unit";
    return "";
}

static void explain(const struct config_option *option, const char *text, char *why,
                    size_t why_size)
{
    char shown[80];
    char allowed[160];
    log_text(text, strlen(text), shown, sizeof shown);
    config_option_allowed(option, allowed, sizeof allowed);
    snprintf(why, why_size, "'%s' is not %s%s%s%s%s", shown, allowed,
             option->unit[0] != '\0' ? " (" : "", option->unit, option->unit[0] != '\0' ? ")" : "",
             hint(option, text));
}

enum status config_option_set(const struct config_option *option, void *base, const char *text,
                              char *why, size_t why_size)
{
    void *field = (char *)base + option->offset;
    enum status status = STATUS_INVALID;
    switch (option->kind) {
    case CONFIG_TEXT:
        status = set_text(option, field, text);
        break;
    case CONFIG_BOOL:
        status = set_bool(field, text) ? STATUS_OK : STATUS_INVALID;
        break;
    case CONFIG_INTEGER:
        status = set_integer(option, field, text) ? STATUS_OK : STATUS_INVALID;
        break;
    case CONFIG_DECIMAL:
    case CONFIG_MILLISECONDS:
        status = set_decimal(option, field, text) ? STATUS_OK : STATUS_INVALID;
        break;
    case CONFIG_CHOICE:
        status = set_choice(option, field, text) ? STATUS_OK : STATUS_INVALID;
        break;
    }
    if (status == STATUS_INVALID)
        explain(option, text, why, why_size);
    return status;
}

enum status config_option_reset(const struct config_option *option, void *base)
{
    char why[256];
    if (option->fallback == NULL)
        return STATUS_OK;
    enum status status = config_option_set(option, base, option->fallback, why, sizeof why);
    CHECK(status != STATUS_INVALID);
    return status;
}

void config_option_fini(const struct config_option *option, void *base)
{
    if (option->kind != CONFIG_TEXT)
        return;
    char **field = (char **)((char *)base + option->offset);
    free(*field);
    *field = NULL;
}
