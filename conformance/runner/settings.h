/* What the user chose that decides which cases there are.
 *
 * Cases that are generated from a table register a generator, from a constructor, instead of
 * themselves; the runner calls it once, after the options are read and before case_first(). */
#ifndef CONFORMANCE_SETTINGS_H
#define CONFORMANCE_SETTINGS_H

#include <stdbool.h>

/* --full: the complete matrix instead of a pairwise one. */
bool settings_full(void);
void settings_set_full(bool full);

/* `generate` calls case_register() for each case that it makes. */
void settings_add_generator(void (*generate)(void));
/* Runs each of them once; again does nothing. */
void settings_run_generators(void);

#endif
