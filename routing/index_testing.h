/* For the tests of the index, its routes and retained messages. */
#ifndef BROKER_INDEX_TESTING_H
#define BROKER_INDEX_TESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Section 4.7 of the specification, written level by level from its text alone. */
bool index_testing_match(const char *filter, const char *topic);

/* 0 <= result < below, from a seed that the test sets. */
uint32_t index_testing_draw(uint64_t *state, uint32_t below);

double index_testing_seconds(void);

/* Bytes in use by malloc. False: a sanitizer's allocator does not say. */
bool index_testing_heap(size_t *out);

#endif
