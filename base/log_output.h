/* Where the lines of base/log.h go. For log.c alone. */
#ifndef BASE_LOG_OUTPUT_H
#define BASE_LOG_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/status.h"

enum { LOG_LINE_SIZE = 12 * 1024 };

/* A line, with its newline. */
struct log_output {
    enum log_level level;
    size_t size;
    char text[LOG_LINE_SIZE];
};

/* To the file, or where that fails or there is none to standard error; with its priority in front
 * of it where that is systemd's journal. */
void log_output_write(const struct log_output *line);

/* How many lines the file lacks since that was said, and why the last one; then it is the caller's
 * to say, or to have log_output_close_gap() count them again. */
uint64_t log_output_take_missing(int *error);
/* To the file alone, from which so many lines are missing. */
void log_output_close_gap(const struct log_output *line, uint64_t missing);

/* As log_open() and log_reopen(). */
enum status MUST_USE log_output_open(const char *path, char *error, size_t error_size);
enum status MUST_USE log_output_reopen(char *error, size_t error_size);

#endif
