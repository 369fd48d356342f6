#include "sim/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/task.h"

static struct {
    bool told, log;
    uint64_t sum;
    char *wrong;
    size_t wrong_size;
} history;

void history_begin(bool told, bool log, char *wrong, size_t size)
{
    history.wrong = wrong;
    history.wrong_size = size;
    history.told = told;
    history.log = log;
    history.sum = UINT64_C(0xcbf29ce484222325);
}

static void add(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        history.sum = (history.sum ^ (uint8_t)line[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
}

void history_line(const char *mark, const char *format, va_list arguments)
{
    char line[512];
    uint64_t now_us = task_now_us();
    int size = snprintf(line, sizeof line, "%5llu.%06llu %s", (unsigned long long)now_us / 1000000,
                        (unsigned long long)now_us % 1000000, mark);
    vsnprintf(line + size, sizeof line - (size_t)size, format, arguments);
    add(line, strlen(line));
    if (history.told)
        puts(line);
}

void history_log(const char *line, int size)
{
    add(line, (size_t)size);
    if (history.log)
        printf("              | %.*s", size, line);
}

_Noreturn void history_fail(const char *format, va_list arguments)
{
    va_list copy;
    va_copy(copy, arguments);
    vsnprintf(history.wrong, history.wrong_size, format, copy);
    va_end(copy);
    history_line("WRONG: ", format, arguments);
    fflush(stdout);
    _exit(HISTORY_FAILED);
}

uint64_t history_sum(void)
{
    return history.sum;
}
