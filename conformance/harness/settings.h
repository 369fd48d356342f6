/* What the user asked for that decides which cases there are.
 *
 * Most cases register themselves before main(). Those of a generated matrix wait until the options
 * have been read: the runner sets settings_full, calls case_generate() once, and only then looks
 * for cases with case_first(). */
#ifndef CONFORMANCE_SETTINGS_H
#define CONFORMANCE_SETTINGS_H

#include <stdbool.h>

/* --full: every combination of the generated matrices, not one for each pair of values. */
extern bool settings_full;

/* Before main(): `generate` will register the cases that settings_full asks for. */
void case_generator_register(void (*generate)(void));

/* Runs all generators. */
void case_generate(void);

#endif
