/* The options' table for people: holdfast --help-config and docs/configuration.md. */
#include "config/config.h"

#include <string.h>

#include "config/config_option.h"

enum { HELP_WIDTH = 78, HELP_INDENT = 6 };

static const char example[] =
    "listener \"plain\" {\n"
    "    bind = \"127.0.0.1:1883\"\n"
    "    allow_anonymous = true\n"
    "}\n"
    "listener \"fleet\" {\n"
    "    bind = \"[::]:8883\"\n"
    "    transport = tls\n"
    "    certificate = \"/etc/holdfast/server.pem\"\n"
    "    key = \"/etc/holdfast/server.key\"\n"
    "    ca = \"/etc/holdfast/devices-ca.pem\"\n"
    "    client_certificate = required\n"
    "}\n"
    "mqtt   { max_packet_size = 65536 max_queued_messages = 20000 }\n"
    "sqlite { mounted_file_path = \"/var/lib/holdfast/\" durability = commit }\n"
    "log    { level = notice }\n";

static const char syntax[] =
    "A file is made of sections, `name { option = value ... }`. White space and line ends "
    "separate; "
    "`#` and `//` begin a comment to the end of the line, `/* */` enclose one. Words and numbers "
    "need "
    "no quotes; anything with spaces or with one of `* + , ( ) { } = #` does. Between `\"` a "
    "backslash "
    "stands before `\"` and `\\`; between `'` it is a plain character. Nothing is expanded: no "
    "`${HOME}`, no `~`. Numbers are decimal, without units: `65536`, not `64k` and not `0200000`.";

static const char strictness[] =
    "What is not understood is refused, with file, line and what is allowed: unknown sections and "
    "options, an option or a section given twice, values out of range, a brace or quote that is "
    "missing.";

static const char reloading[] =
    "SIGHUP has the running broker read its file again. Options marked \"(reloaded)\" then get "
    "their "
    "new value, with all clients or with none: where anything is wrong, everything stays as it "
    "was. What else has changed is named in the log and waits for a restart.";

static const char usage[] = "`holdfast --check-config -c FILE` checks a file without starting; "
                            "`holdfast -c FILE` runs with it. Both exit with 2 if it is not sound.";

/* Prints `text` in lines of HELP_WIDTH, indented; without backquotes, which are for Markdown. */
static void print_wrapped(FILE *file, const char *text, int indent)
{
    int column = 0;
    while (*text != '\0') {
        int size = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + size > HELP_WIDTH) {
            fputc('\n', file);
            column = 0;
        }
        column += fprintf(file, "%*s", column == 0 ? indent : 1, "");
        for (int i = 0; i < size; i++) {
            if (text[i] != '`')
                fputc(text[i], file);
        }
        column += size;
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

static const char *shown_default(const struct config_option *option)
{
    if (option->fallback == NULL)
        return NULL;
    return option->fallback[0] == '\0' ? "\"\"" : option->fallback;
}

static void print_option_help(FILE *file, const struct config_option *option)
{
    char allowed[160];
    config_option_allowed(option, allowed, sizeof allowed);
    fprintf(file, "\n  %s = %s", option->name, allowed);
    if (option->unit[0] != '\0')
        fprintf(file, " (%s)", option->unit);
    if (shown_default(option) != NULL)
        fprintf(file, "; default %s", shown_default(option));
    fprintf(file, "%s\n", config_option_is_reloaded(option) ? " (reloaded)" : "");
    print_wrapped(file, option->help, HELP_INDENT);
}

void config_print_help(FILE *file)
{
    print_wrapped(file, syntax, 0);
    fputc('\n', file);
    print_wrapped(file, strictness, 0);
    fputc('\n', file);
    print_wrapped(file, reloading, 0);
    fprintf(file, "\n%s", example);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        fprintf(file, "\n%s\n", config_section_name(section));
        print_wrapped(file, config_section_help(section), 2);
        for (size_t i = 0; i < config_option_count; i++) {
            if (config_options[i].section == section)
                print_option_help(file, &config_options[i]);
        }
    }
}

static void print_option_row(FILE *file, const struct config_option *option)
{
    char allowed[160];
    const char *fallback = shown_default(option);
    config_option_allowed(option, allowed, sizeof allowed);
    fprintf(file, "| `%s` | %s%s%s | ", option->name, allowed, option->unit[0] != '\0' ? ", " : "",
            option->unit);
    if (fallback != NULL)
        fprintf(file, "`%s`", fallback);
    fprintf(file, " | %s%s |\n", option->help,
            config_option_is_reloaded(option) ? " (reloaded)" : "");
}

void config_print_markdown(FILE *file)
{
    fprintf(file,
            "# Configuration\n\n"
            "<!-- Made by `holdfast --help-config-markdown` from config/config_option.def. -->\n\n"
            "```\n%s```\n\n%s\n\n%s\n\n%s\n\n%s\n\n"
            "Without a file, and for every option that a file does not have, the defaults below "
            "hold. An option that mosquitto or NanoMQ has too carries its name.\n",
            example, syntax, strictness, usage, reloading);
    for (unsigned section = 0; section < CONFIG_SECTION_COUNT; section++) {
        fprintf(file,
                "\n## %s\n\n%s\n\n| Option | Allowed | Default | Meaning |\n|---|---|---|---|\n",
                config_section_name(section), config_section_help(section));
        for (size_t i = 0; i < config_option_count; i++) {
            if (config_options[i].section == section)
                print_option_row(file, &config_options[i]);
        }
    }
}
