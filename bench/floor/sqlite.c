/* hf-sqlite: what SQLite takes when nothing else is done: the floor under `durability = commit`.
 *
 * One thread, one table, prepared statements; WAL, synchronous = FULL, and otherwise what SQLite
 * does on its own. Each message is a row of what a broker needs to deliver it later: number,
 * session, times, topic, payload. That is the cheapest layout that appends: no index but the
 * number. With --rate, one message a commit on schedule, and how long after it was due it was on
 * disk. */
#include <errno.h>
#include <getopt.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/histogram.h"
#include "bench/process.h"

enum { EXIT_USAGE = 2, TOPIC_SIZE = 14, PAYLOAD_MOST = 65536 };

struct load {
    const char *directory;
    unsigned batch, messages, payload, sessions, rate;
};

struct table {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    unsigned written;
};

static void exec(const struct table *table, const char *sql)
{
    CHECK(sqlite3_exec(table->db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static sqlite3_stmt *prepare(const struct table *table, const char *sql)
{
    sqlite3_stmt *statement;
    CHECK(sqlite3_prepare_v2(table->db, sql, -1, &statement, NULL) == SQLITE_OK);
    return statement;
}

static void run(sqlite3_stmt *statement)
{
    CHECK(sqlite3_step(statement) == SQLITE_DONE);
    sqlite3_reset(statement);
}

static void open_table(const struct load *load, struct table *out)
{
    *out = (struct table){0};
    CHECK(asprintf(&out->path, "%s/hf-sqlite-%d.db", load->directory, (int)getpid()) > 0);
    if (sqlite3_open(out->path, &out->db) != SQLITE_OK) {
        fprintf(stderr, "hf-sqlite: %s: %s\n", out->path, sqlite3_errmsg(out->db));
        exit(EXIT_FAILURE);
    }
    exec(out, "PRAGMA journal_mode=WAL");
    exec(out, "PRAGMA synchronous=FULL");
    exec(out, "CREATE TABLE message(number INTEGER PRIMARY KEY, session INTEGER, qos INTEGER,"
              " received_at_ms INTEGER, publisher INTEGER, topic BLOB, payload BLOB)");
    out->begin = prepare(out, "BEGIN IMMEDIATE");
    out->insert = prepare(out, "INSERT INTO message VALUES(?1, ?2, 1, ?3, ?4, ?5, ?6)");
    out->commit = prepare(out, "COMMIT");
}

static void remove_file(const char *path, const char *suffix)
{
    char *file;
    CHECK(asprintf(&file, "%s%s", path, suffix) > 0);
    unlink(file);
    free(file);
}

static void close_table(struct table *table)
{
    sqlite3_finalize(table->begin);
    sqlite3_finalize(table->insert);
    sqlite3_finalize(table->commit);
    sqlite3_close(table->db);
    remove_file(table->path, "");
    remove_file(table->path, "-wal");
    remove_file(table->path, "-shm");
    free(table->path);
}

static void insert(struct table *table, const struct load *load)
{
    static uint8_t payload[PAYLOAD_MOST];
    char topic[TOPIC_SIZE + 1];
    unsigned session = table->written % load->sessions;
    snprintf(topic, sizeof topic, "bench/%08u", session % 100000000);
    sqlite3_bind_int64(table->insert, 1, ++table->written);
    sqlite3_bind_int64(table->insert, 2, INT64_C(1) << 32 | session);
    sqlite3_bind_int64(table->insert, 3, INT64_C(1700000000000) + table->written);
    sqlite3_bind_int64(table->insert, 4, INT64_C(2) << 32);
    sqlite3_bind_blob(table->insert, 5, topic, TOPIC_SIZE, SQLITE_STATIC);
    sqlite3_bind_blob(table->insert, 6, payload, (int)load->payload, SQLITE_STATIC);
    run(table->insert);
}

static void commit_batch(struct table *table, const struct load *load, unsigned count)
{
    run(table->begin);
    for (unsigned i = 0; i < count; i++)
        insert(table, load);
    run(table->commit);
}

static void as_fast_as_it_goes(struct table *table, const struct load *load)
{
    uint64_t began_ns = process_now_ns(), cpu_ns = process_cpu_ns(getpid());
    while (table->written < load->messages) {
        unsigned left = load->messages - table->written;
        commit_batch(table, load, left < load->batch ? left : load->batch);
    }
    double wall_s = (double)(process_now_ns() - began_ns) / 1e9;
    double cpu_us = (double)(process_cpu_ns(getpid()) - cpu_ns) / 1e3;
    printf("{\"batch\": %u, \"messages\": %u, \"publish_per_s\": %.0f, \"publish_cpu_us\": %.3f}\n",
           load->batch, load->messages, load->messages / wall_s, cpu_us / load->messages);
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
    }
}

/* Open loop: what was due while a commit took its time goes with the next one, and its time counts
 * from when it was due. */
static void on_schedule(struct table *table, const struct load *load)
{
    static struct histogram taken;
    uint64_t interval_ns = 1000000000 / load->rate;
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t due_ns = process_now_ns() + interval_ns;
    while (table->written < load->messages) {
        sleep_until(due_ns);
        unsigned left = load->messages - table->written;
        uint64_t count = (process_now_ns() - due_ns) / interval_ns + 1;
        count = count < left ? count : left;
        commit_batch(table, load, (unsigned)count);
        uint64_t now_ns = process_now_ns();
        for (; count > 0; count--, due_ns += interval_ns)
            histogram_add(&taken, now_ns - due_ns);
    }
    printf("{\"rate\": %u, \"messages\": %u, \"ack_us\": {\"p50\": %.1f, \"p99\": %.1f, "
           "\"p999\": %.1f, \"max\": %.1f}}\n",
           load->rate, load->messages, (double)histogram_quantile(&taken, 0.5) / 1e3,
           (double)histogram_quantile(&taken, 0.99) / 1e3,
           (double)histogram_quantile(&taken, 0.999) / 1e3, (double)taken.max / 1e3);
}

static bool parse(int argc, char **argv, struct load *out)
{
    static const struct option table[] = {
        {"directory", required_argument, NULL, 'd'},
        {"batch", required_argument, NULL, 'b'},
        {"messages", required_argument, NULL, 'm'},
        {"payload", required_argument, NULL, 'p'},
        {"sessions", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct load){"/tmp", .batch = 1000, .messages = 100000, .payload = 64, .sessions = 100};
    unsigned *const numbers[] = {['b'] = &out->batch,
                                 ['m'] = &out->messages,
                                 ['p'] = &out->payload,
                                 ['s'] = &out->sessions,
                                 ['r'] = &out->rate};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == '?')
            return false;
        if (option == 'd')
            out->directory = optarg;
        else
            *numbers[option] = (unsigned)strtoul(optarg, NULL, 10);
    }
    return optind == argc && out->batch > 0 && out->sessions > 0 && out->payload <= PAYLOAD_MOST &&
           out->rate <= 1000000;
}

int main(int argc, char **argv)
{
    struct load load;
    struct table table;
    if (!parse(argc, argv, &load)) {
        fprintf(stderr,
                "usage: hf-sqlite [--directory DIR] [--batch N] [--messages N] [--payload N]"
                " [--sessions N] [--rate N]\n");
        return EXIT_USAGE;
    }
    open_table(&load, &table);
    (load.rate > 0 ? on_schedule : as_fast_as_it_goes)(&table, &load);
    close_table(&table);
    return EXIT_SUCCESS;
}
