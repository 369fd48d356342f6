/* The configuration: read once at start, immutable afterwards, shared by all threads.
 *
 * Every option is declared in config_option.def (name, type, unit, default, range, help). The
 * parser,
 * --check-config, --help-config and docs/configuration.md come from that table; this struct is
 * where its values go. */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/status.h"
#include "storage/store.h"
#include "tls/tls.h"

enum listener_transport { LISTENER_TCP, LISTENER_TLS };

enum tls_lowest_version { TLS_LOWEST_1_2, TLS_LOWEST_1_3 };

struct config_listener {
    char *name;
    char *bind;    /* as written: "[::]:8883" */
    char *host;    /* "127.0.0.1", "::", a host name; "*": every interface, both families */
    uint16_t port; /* 0: any free port, for tests */
    enum listener_transport transport;
    bool allow_anonymous;
    char *certificate; /* NULL if not given, as are key, ca and ciphers */
    char *key;
    char *ca;
    enum tls_client_certificate client_certificate;
    enum tls_lowest_version tls_version;
    char *ciphers;
    uint32_t max_connections; /* 0: no limit */
};

struct config_mqtt {
    double keepalive_multiplier;
    uint16_t max_keepalive_s; /* 0: no cap */
    uint32_t connect_timeout_s;
    uint32_t max_packet_size; /* bytes, both directions */
    uint16_t max_inflight_messages;
    uint32_t max_queued_messages; /* per session; 0: no limit */
    uint64_t max_queued_bytes;    /* per session; 0: no limit */
    bool queue_qos0_messages;
    uint32_t max_outgoing_buffer;            /* bytes per connection before QoS 0 is dropped */
    uint32_t persistent_client_expiration_s; /* 0: never */
    uint32_t max_session_expiry_s;           /* 0: no cap */
    uint32_t max_subscriptions_per_session;  /* 0: no limit */
    uint16_t max_topic_alias;
    uint8_t max_qos;
    bool retain_available;
    char *response_information; /* "" : none */
    uint32_t sys_interval_s;    /* 0: no $SYS messages */
};

struct config_sqlite {
    uint64_t disk_cache_size;     /* messages in the store in all */
    char *mounted_file_path;      /* a directory; never NULL or empty after config_load() */
    uint32_t flush_mem_threshold; /* messages */
    uint32_t flush_interval_ms;
    uint32_t commit_delay_us;    /* the option is in milliseconds, with a fraction */
    uint32_t resend_interval_ms; /* to 3.1.1 clients; 0: never */
    enum store_durability durability;
    uint32_t disk_stall_limit_ms;
    bool secure_delete;
};

struct config_broker {
    uint16_t workers;      /* 0: one for each core */
    uint32_t mailbox_size; /* letters from one worker to another */
    uint32_t shutdown_grace_s;
};

struct config_log {
    enum log_level level;
};

struct config {
    struct config_listener *listeners; /* at least one */
    size_t listener_count;
    struct config_mqtt mqtt;
    struct config_sqlite sqlite;
    struct config_broker broker;
    struct config_log log;
    char **warnings; /* lines for the operator, each with its place, for main to log */
    size_t warning_count;
};

/* Reads and checks a file; NULL: the defaults. Where it does not return OK, `out` needs no
 * config_fini() and `error` says in one line what is wrong: file, line, option, what is allowed. */
enum status MUST_USE config_load(const char *path, struct config *out, char *error,
                                 size_t error_size);
/* The same from memory; `path` is what messages call it. */
enum status MUST_USE config_load_text(const char *path, struct bytes text, struct config *out,
                                      char *error, size_t error_size);
void config_fini(struct config *config);

/* Every option for --help-config, and as docs/configuration.md. */
void config_print_help(FILE *file);
void config_print_markdown(FILE *file);

#endif
