/* A Holdfast configuration that is being made of another broker's.
 *
 * The rule of all imports: nothing becomes more open than it was. A listener whose restrictions
 * cannot be kept is left out, and stands in the result as a comment; everything else that has no
 * counterpart is remarked, with file and line, and with its name but never its value: that may be
 * a password. Memory is had by base/memory.h; one thread. */
#ifndef IMPORT_DRAFT_H
#define IMPORT_DRAFT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/config_option.h"

/* Where something stood. */
struct draft_place {
    const char *file;
    unsigned line; /* 0: nowhere, it is what the other broker does by itself */
};

struct draft_listener {
    char *name;
    char **values;  /* by option, as in `struct draft` */
    char *left_out; /* why; NULL: it is not */
};

/* All zero is an empty draft. */
struct draft {
    char **values; /* by index in config_options; NULL: not given */
    struct draft_listener *listeners;
    size_t listener_count;
    char **remarks; /* "FILE:LINE: NAME: why", on one line each */
    size_t remark_count;
    size_t warning_count; /* of the remarks */
};

void draft_remark(struct draft *draft, struct draft_place place, const char *name,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same for what restricted who may connect or what they may do. */
void draft_warn(struct draft *draft, struct draft_place place, const char *name, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* Into `error`, what cannot be read: "FILE:LINE: why". */
void draft_refuse(struct draft_place place, char *error, size_t error_size, const char *format,
                  va_list arguments) __attribute__((format(printf, 4, 0)));

/* Sets an option outside of listeners. A value that Holdfast does not allow is warned about, with
 * what is allowed, and not set. */
void draft_set(struct draft *draft, struct draft_place place, enum config_section section,
               const char *name, const char *value);

/* A new listener; its name is `kind` with the port, made different from the others'. It is valid
 * until the next call. */
struct draft_listener *draft_listener(struct draft *draft, const char *kind, unsigned port);
void draft_listener_set(struct draft *draft, struct draft_place place,
                        struct draft_listener *listener, const char *name, const char *value);
/* Leaves it out, for the first reason that is given, and warns. */
void draft_leave_out(struct draft *draft, struct draft_place place, struct draft_listener *listener,
                     const char *name, const char *why);

/* The configuration, behind the remarks as comments. Where no listener is left there is one that
 * lets nobody in, because a configuration without any has one that is open on the loopback. */
void draft_print(const struct draft *draft, const char *source, FILE *file);
/* The remarks, a line each. */
void draft_print_remarks(const struct draft *draft, FILE *file);
void draft_fini(struct draft *draft);

#endif
