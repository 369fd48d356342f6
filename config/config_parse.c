#include "config/config_parse.h"

#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "config/config_scan.h"

enum { WHY_SIZE = 512, OPTIONS_MAX = 128 };

struct parse {
    const struct config_parse_handler *handler;
    const char *path;
    char *error;
    size_t error_size;
    enum status status;
    cfg_t *listener;        /* the latest that was announced */
    cfg_t *section;         /* where `seen` belongs to */
    bool seen[OPTIONS_MAX]; /* options of `section`, by their place in the table */
    unsigned section_line[CONFIG_SECTION_COUNT]; /* of the first one; 0: none yet */
};

/* libconfuse hands no context to its callbacks. */
static struct parse *current;

static enum status refuse(unsigned line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status refuse(unsigned line, const char *format, ...)
{
    struct parse *parse = current;
    if (parse->status != STATUS_OK)
        return parse->status; /* the first error is the one that counts */
    parse->status = STATUS_INVALID;
    int used = snprintf(parse->error, parse->error_size, "%s:%u: ", parse->path, line);
    if (used < 0 || (size_t)used >= parse->error_size)
        return STATUS_INVALID;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parse->error + used, parse->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

static unsigned line_of(const cfg_t *cfg)
{
    return cfg->line > 0 ? (unsigned)cfg->line : 1;
}

/* ---- Names that nobody knows ---- */

enum { NAME_MAX_COMPARED = 48 };

/* Levenshtein's distance. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_COMPARED + 1];
    size_t b_size = strlen(b);
    if (b_size > NAME_MAX_COMPARED)
        return NAME_MAX_COMPARED;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_size];
}

struct nearest {
    const char *wanted;
    const char *name;
    unsigned distance;
};

static void nearest_offer(struct nearest *nearest, const char *name)
{
    unsigned d = distance(nearest->wanted, name);
    if (d < nearest->distance) {
        nearest->distance = d;
        nearest->name = name;
    }
}

/* Half of the letters may be wrong; beyond that a guess confuses more than it helps. */
static struct nearest nearest_to(const char *wanted)
{
    return (struct nearest){.wanted = wanted, .distance = (unsigned)strlen(wanted) / 2 + 1};
}

static void suggest(const struct nearest *nearest, char *out, size_t capacity)
{
    if (nearest->name != NULL)
        snprintf(out, capacity, "; did you mean '%s'?", nearest->name);
    else
        snprintf(out, capacity, "; holdfast --help-config lists what there is");
}

static void refuse_unknown_section(unsigned line, const char *name, const char *shown)
{
    char hint[160];
    for (size_t i = 0; i < config_option_count; i++) {
        if (strcmp(config_options[i].name, name) == 0) {
            refuse(line, "option '%s' must stand in section '%s'", shown,
                   config_section_name(config_options[i].section));
            return;
        }
    }
    struct nearest nearest = nearest_to(name);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++)
        nearest_offer(&nearest, config_section_name(section));
    suggest(&nearest, hint, sizeof hint);
    refuse(line, "there is no section '%s'%s", shown, hint);
}

static void refuse_unknown_option(unsigned line, enum config_section section, const char *name,
                                  const char *shown)
{
    char hint[160];
    struct nearest nearest = nearest_to(name);
    const struct config_option *elsewhere = NULL;
    for (size_t i = 0; i < config_option_count; i++) {
        if (config_options[i].section == section)
            nearest_offer(&nearest, config_options[i].name);
        else if (strcmp(config_options[i].name, name) == 0)
            elsewhere = &config_options[i];
    }
    if (elsewhere != NULL)
        snprintf(hint, sizeof hint, "; it belongs in section '%s'",
                 config_section_name(elsewhere->section));
    else
        suggest(&nearest, hint, sizeof hint);
    refuse(line, "section '%s' has no option '%s'%s", config_section_name(section), shown, hint);
}

static void refuse_unknown(cfg_t *cfg, const char *name)
{
    char shown[64];
    char compared[NAME_MAX_COMPARED + 1];
    enum config_section section = config_section_find(cfg->name);
    log_text(name, strlen(name), shown, sizeof shown);
    snprintf(compared, sizeof compared, "%s", name);
    if (section == CONFIG_SECTION_COUNT)
        refuse_unknown_section(line_of(cfg), compared, shown);
    else
        refuse_unknown_option(line_of(cfg), section, compared, shown);
}

/* ---- libconfuse's callbacks ---- */

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
                                                           va_list arguments)
{
    char text[WHY_SIZE];
    char shown[WHY_SIZE];
    static const char no_such_option[] = "no such option '%s'";
    if (strcmp(format, no_such_option) == 0) {
        refuse_unknown(cfg, va_arg(arguments, const char *));
        return;
    }
    vsnprintf(text, sizeof text, format, arguments);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '"' ? '\'' : *c; /* which log_text would escape */
    log_text(text, strlen(text), shown, sizeof shown);
    refuse(line_of(cfg), "%s", shown);
}

static enum status enter_listener(cfg_t *section, char *why, size_t why_size)
{
    if (section == current->listener)
        return STATUS_OK;
    current->listener = section;
    return current->handler->listener(current->handler->context, line_of(section), section->title,
                                      why, why_size);
}

static enum status enter_once(cfg_t *section, enum config_section which, char *why, size_t why_size)
{
    if (section == current->section)
        return STATUS_OK;
    if (current->section_line[which] != 0) {
        snprintf(why, why_size, "section '%s' appears a second time; the first is at line %u",
                 section->name, current->section_line[which]);
        return STATUS_INVALID;
    }
    current->section_line[which] = line_of(section);
    return STATUS_OK;
}

/* At a section's first option, or at its end if it has none: libconfuse says no earlier that it is
 * there. */
static enum status enter(cfg_t *section, char *why, size_t why_size)
{
    enum config_section which = config_section_find(section->name);
    if (which == CONFIG_SECTION_COUNT) { /* libconfuse has paths: "mqtt|max_qos = 1" */
        snprintf(why, why_size, "a name with '|' means nothing here");
        return STATUS_INVALID;
    }
    enum status status = which == CONFIG_SECTION_listener
                             ? enter_listener(section, why, why_size)
                             : enter_once(section, which, why, why_size);
    if (section != current->section)
        memset(current->seen, 0, sizeof current->seen);
    current->section = section;
    return status;
}

static int report(enum status status, unsigned line, const char *why)
{
    if (status == STATUS_INVALID)
        refuse(line, "%s", why);
    else if (current->status == STATUS_OK)
        current->status = status;
    return status == STATUS_OK ? 0 : -1;
}

static int on_option(cfg_t *section, cfg_opt_t *opt)
{
    char why[WHY_SIZE] = "";
    unsigned line = line_of(section);
    enum status status = enter(section, why, sizeof why);
    if (status != STATUS_OK)
        return report(status, line, why);
    const struct config_option *option =
        config_option_find(config_section_find(section->name), opt->name);
    CHECK(option != NULL);
    size_t index = (size_t)(option - config_options);
    if (current->seen[index]) {
        refuse(line, "option '%s' appears a second time in section '%s'", opt->name, section->name);
        return -1;
    }
    current->seen[index] = true;
    status = current->handler->option(current->handler->context, line, option,
                                      cfg_opt_getnstr(opt, 0), why, sizeof why);
    if (status == STATUS_INVALID) {
        refuse(line, "option '%s' in section '%s': %s", opt->name, section->name, why);
        return -1;
    }
    return report(status, line, why);
}

static int on_section_end(cfg_t *root, cfg_opt_t *opt)
{
    char why[WHY_SIZE] = "";
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    return report(enter(section, why, sizeof why), line_of(root), why);
}

/* ---- The tables that libconfuse wants ---- */

/* Every option is a text to libconfuse: its numbers take 010 for octal, and what it says about
 * values names no range. */
static void declare_options(enum config_section section, cfg_opt_t *out)
{
    size_t used = 0;
    for (size_t i = 0; i < config_option_count; i++) {
        if (config_options[i].section == section)
            out[used++] = (cfg_opt_t)CFG_STR(config_options[i].name, NULL, CFGF_NODEFAULT);
    }
    out[used] = (cfg_opt_t)CFG_END();
}

static void declare(cfg_opt_t options[][OPTIONS_MAX], cfg_opt_t *sections)
{
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        cfg_flag_t flags = CFGF_MULTI;
        if (section == CONFIG_SECTION_listener)
            flags |= CFGF_TITLE | CFGF_NO_TITLE_DUPES;
        declare_options(section, options[section]);
        sections[section] =
            (cfg_opt_t)CFG_SEC(config_section_name(section), options[section], flags);
    }
    sections[CONFIG_SECTION_COUNT] = (cfg_opt_t)CFG_END();
}

static cfg_t *new_parser(void)
{
    cfg_opt_t options[CONFIG_SECTION_COUNT][OPTIONS_MAX];
    cfg_opt_t sections[CONFIG_SECTION_COUNT + 1];
    char path[128];
    declare(options, sections);
    cfg_t *cfg = cfg_init(sections, CFGF_NONE);
    if (cfg == NULL)
        return NULL;
    cfg_set_error_function(cfg, on_error);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++)
        cfg_set_validate_func(cfg, config_section_name(section), on_section_end);
    for (size_t i = 0; i < config_option_count; i++) {
        snprintf(path, sizeof path, "%s|%s", config_section_name(config_options[i].section),
                 config_options[i].name);
        cfg_set_validate_func(cfg, path, on_option);
    }
    return cfg;
}

static enum status run(struct parse *parse, const char *text)
{
    current = parse;
    cfg_t *cfg = new_parser();
    if (cfg == NULL)
        return STATUS_NO_MEMORY;
    int result = cfg_parse_buf(cfg, text);
    if (result != CFG_SUCCESS && parse->status == STATUS_OK)
        refuse(line_of(cfg), "not understood");
    cfg_free(cfg);
    return parse->status;
}

enum status config_parse(const char *path, struct bytes text,
                         const struct config_parse_handler *handler, char *error, size_t error_size)
{
    char why[WHY_SIZE];
    char *clean = NULL;
    unsigned line = 1;
    CHECK(config_option_count <= OPTIONS_MAX);
    struct parse parse = {
        .handler = handler, .path = path, .error = error, .error_size = error_size};
    enum status status = config_scan(text, &clean, &line, why, sizeof why);
    current = &parse;
    if (status == STATUS_INVALID)
        refuse(line, "%s", why);
    else if (status == STATUS_OK)
        status = clean[strspn(clean, " \t\r\n")] == '\0' ? STATUS_OK : run(&parse, clean);
    current = NULL;
    free(clean);
    return status;
}
