/* What the broker counts, as Prometheus reads it: text format 0.0.4. Names, labels and help are in
 * metric.def. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdio.h>

struct broker;

/* Any thread, while the broker runs; asks no worker and waits for none, so that a broker that hangs
 * can be looked at. */
void metrics_write(const struct broker *broker, FILE *out);

/* The table as docs/metrics.md. */
void metrics_print_markdown(FILE *out);

#endif
