#include "metrics/metrics.h"

#include <inttypes.h>

#include "broker/broker.h"
#include "broker/counters.h"
#include "broker/limits.h"
#include "broker/worker.h"
#include "metrics/process.h"
#include "protocol/packet.h"
#include "routing/retained.h"
#include "routing/topic_index.h"

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const char *kind_name(enum kind kind)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return names[kind];
}

/* A scrape: where it goes, and of what. */
struct page {
    FILE *out;
    const struct broker *broker;
    struct store_statistics store;
    const char *family;
};

static void begin(struct page *page, enum kind kind, const char *name, const char *help)
{
    page->family = name;
    fprintf(page->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind_name(kind));
}

static void write_sample(struct page *page, const char *labels, uint64_t value)
{
    if (labels[0] != '\0')
        fprintf(page->out, "%s{%s} %" PRIu64 "\n", page->family, labels, value);
    else
        fprintf(page->out, "%s %" PRIu64 "\n", page->family, value);
}

/* ---- Series that the table does not know ---- */

/* Of the listener's name anything may be part. */
static void write_of_listener(struct page *page, const struct listener *listener, uint64_t value)
{
    fprintf(page->out, "%s{listener=\"", page->family);
    for (const char *at = listener->config->name; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fputc('\\', page->out);
        fputc(*at, page->out);
    }
    fprintf(page->out, "\"} %" PRIu64 "\n", value);
}

/* A listener may have several sockets, next to each other. */
static bool has_more(const struct broker *broker, unsigned index)
{
    return index + 1 < broker->listener_count &&
           broker->listeners[index].config == broker->listeners[index + 1].config;
}

static void write_connections(struct page *page)
{
    const struct broker *broker = page->broker;
    uint64_t connections = 0;
    for (unsigned i = 0; i < broker->listener_count; i++) {
        connections +=
            atomic_load_explicit(&broker->listeners[i].connections, memory_order_relaxed);
        if (has_more(broker, i))
            continue;
        write_of_listener(page, &broker->listeners[i], connections);
        connections = 0;
    }
}

static void write_certificates(struct page *page)
{
    const struct broker *broker = page->broker;
    for (unsigned i = 0; i < broker->listener_count; i++) {
        int64_t expires_s =
            atomic_load_explicit(&broker->listeners[i].certificate_expires_s, memory_order_relaxed);
        if (expires_s > 0 && !has_more(broker, i))
            write_of_listener(page, &broker->listeners[i], (uint64_t)expires_s);
    }
}

/* Those that CONNACK may carry; what else ends an attempt has no answer. */
static void write_refusals(struct page *page)
{
    char labels[80];
    for (unsigned i = 0; i < COUNTERS_REFUSALS; i++) {
        uint8_t code = (uint8_t)(0x80 + i);
        if (!reason_code_allowed(PACKET_CONNACK, code, true))
            continue;
        snprintf(labels, sizeof labels, "reason=\"%s\"", reason_code_name(code));
        write_sample(page, labels, COUNTERS_SUM_OF(page->broker, connects_refused, i));
    }
}

static void write_drops(struct page *page)
{
    char labels[80];
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        snprintf(labels, sizeof labels, "reason=\"%s\"", drop_topic(i));
        write_sample(page, labels, COUNTERS_SUM_OF(page->broker, dropped, i));
    }
}

static void write_limits(struct page *page)
{
    for (unsigned i = 0; i < LIMITS_COUNT; i++) {
        struct limits_usage usage = limits_usage(page->broker, (enum limits_name)i);
        if (usage.limit > 0)
            fprintf(page->out, "%s{limit=\"%s\"} %.4f\n", page->family, usage.option,
                    (double)usage.used / (double)usage.limit);
    }
}

static uint64_t away(const struct broker *broker)
{
    uint64_t connected = COUNTERS_SUM(broker, clients_connected);
    uint64_t sessions = COUNTERS_SUM(broker, sessions);
    return sessions > connected ? sessions - connected : 0; /* not read in one moment */
}

static void write_mailboxes(struct page *page)
{
    const struct broker *broker = page->broker;
    char labels[32];
    for (unsigned i = 0; i < broker->worker_count; i++) {
        uint64_t letters = 0;
        for (unsigned from = 0; from < broker->worker_count; from++)
            letters += mailbox_depth(broker->workers[i].inboxes[from]);
        snprintf(labels, sizeof labels, "worker=\"%u\"", i);
        write_sample(page, labels, letters);
    }
}

static void write_mail(struct page *page)
{
    char labels[32];
    for (unsigned i = 0; i < page->broker->worker_count; i++) {
        const struct worker *worker = &page->broker->workers[i];
        snprintf(labels, sizeof labels, "worker=\"%u\"", i);
        write_sample(page, labels, atomic_load_explicit(&worker->in_mail, memory_order_relaxed));
    }
}

static void write_processor_time(struct page *page)
{
    fprintf(page->out, "%s %.6f\n", page->family, process_cpu_seconds());
}

/* ---- Histograms ---- */

static void write_distribution(struct page *page, const struct distribution_reading *reading,
                               double unit)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < DISTRIBUTION_BOUNDS; i++) {
        count += reading->counts[i];
        fprintf(page->out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", page->family,
                (double)(1ull << i) * unit, count);
    }
    count += reading->counts[DISTRIBUTION_BOUNDS];
    fprintf(page->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
            page->family, count, page->family, (double)reading->sum * unit, page->family, count);
}

static void write_commit_seconds(struct page *page)
{
    write_distribution(page, &page->store.commit_us, 1e-6);
}

static void write_sync_seconds(struct page *page)
{
    write_distribution(page, &page->store.sync_us, 1e-6);
}

static void write_commit_rows(struct page *page)
{
    write_distribution(page, &page->store.commit_rows, 1);
}

static void write_of_workers(struct page *page, size_t offset, double unit)
{
    struct distribution_reading reading = {0};
    for (unsigned i = 0; i < page->broker->worker_count; i++) {
        const char *counters = (const char *)&page->broker->workers[i].counters;
        distribution_read((const struct distribution *)(const void *)(counters + offset), &reading);
    }
    write_distribution(page, &reading, unit);
}

static void write_turn_seconds(struct page *page)
{
    write_of_workers(page, offsetof(struct worker_counters, turn_us), 1e-6);
}

static void write_queue_age(struct page *page)
{
    write_of_workers(page, offsetof(struct worker_counters, queue_age), COUNTERS_AGE_MS * 1e-3);
}

/* ---- The table ---- */

void metrics_write(const struct broker *broker, FILE *out)
{
    struct page page = {.out = out, .broker = broker};
    const struct store_statistics *store = &page.store;
    store_statistics(broker->store, &page.store);
#define FAMILY(kind, name, labels, help) begin(&page, kind, name, help);
#define SAMPLE(labels, value) write_sample(&page, labels, value);
#define EACH(function) function(&page);
#include "metrics/metric.def"
}

void metrics_print_markdown(FILE *out)
{
    fputs("# Metrics\n\n"
          "<!-- Made by `holdfast --help-metrics-markdown` from metrics/metric.def. -->\n\n"
          "`admin { http = \"127.0.0.1:9883\" }` has the broker answer on `/metrics` in the text "
          "format of Prometheus; `docs/operation.md` says how it is asked and who may. The number "
          "of series is bounded by the configuration, never by clients, sessions or topics. "
          "Counters begin at 0 with the broker's start. Histograms have a bound at each power of "
          "two, of microseconds, of 16 milliseconds or of rows.\n\n"
          "| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n",
          out);
#define FAMILY(kind, name, labels, help)                                                           \
    fprintf(out, "| `%s` | %s | %s | %s |\n", name, kind_name(kind), labels, help);
#include "metrics/metric.def"
}
