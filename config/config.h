/* The configuration: immutable once read, shared by all threads. It is read at start, and again on
 * SIGHUP (broker/reload.h).
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

enum listener_transport { LISTENER_TCP, LISTENER_TLS, LISTENER_WS, LISTENER_WSS };

enum crl_freshness { CRL_FRESHNESS_REQUIRED, CRL_FRESHNESS_ANY };

enum tls_lowest_version { TLS_LOWEST_1_2, TLS_LOWEST_1_3 };

enum certificate_user {
    CERTIFICATE_USER_NONE,
    CERTIFICATE_USER_COMMON_NAME,
    CERTIFICATE_USER_SUBJECT,
    CERTIFICATE_USER_DNS,
    CERTIFICATE_USER_URI,
    CERTIFICATE_USER_EMAIL,
};

enum sandbox { SANDBOX_OFF, SANDBOX_REFUSE, SANDBOX_KILL };

enum psk_user { PSK_USER_NONE, PSK_USER_IDENTITY };

enum client_id_binding { CLIENT_ID_ANY, CLIENT_ID_IS_USER_NAME };

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
    uint32_t ticket_lifetime_s; /* 0: sessions are not resumed */
    char *groups;               /* NULL: the default, as of alpn */
    char *alpn;                 /* separated by commas */
    char *ocsp_response;        /* NULL: none, as of sni_directory and crl */
    char *sni_directory;
    char *crl;
    enum crl_freshness crl_freshness;
    bool disconnect_expired;
    char *psk_file; /* NULL: none, and certificates */
    enum psk_user psk_user;
    bool proxy_protocol;
    char *proxy_from;         /* networks, separated by spaces; given where proxy_protocol is */
    char *allowed_origins;    /* separated by spaces; NULL: any */
    uint32_t max_connections; /* 0: no limit, as of those that follow */
    uint32_t max_connect_rate;
    uint32_t max_message_rate, max_byte_rate; /* of all its clients */
    uint32_t max_user_connections, max_user_message_rate, max_user_byte_rate;
    uint32_t max_client_message_rate, max_client_byte_rate;
    enum certificate_user certificate_user;
    enum client_id_binding client_id_binding;
};

static inline bool config_listener_has_tls(const struct config_listener *listener)
{
    return listener->transport == LISTENER_TLS || listener->transport == LISTENER_WSS;
}

static inline bool config_listener_has_websocket(const struct config_listener *listener)
{
    return listener->transport == LISTENER_WS || listener->transport == LISTENER_WSS;
}

enum queue_full_policy { QUEUE_FULL_DROP_NEWEST, QUEUE_FULL_DROP_OLDEST, QUEUE_FULL_REJECT };

struct config_authentication {
    char *password_file;         /* NULL: none */
    uint16_t hash_threads;       /* at least 1 */
    uint32_t max_failures;       /* 0: nobody is slowed down */
    uint32_t remember_passwords; /* users; 0: each password is hashed */
    char *jwt_key_file;          /* NULL: none, as of the three that follow */
    char *jwt_secret_file;
    char *jwt_audience;
    char *jwt_issuer;
    bool jwt_disconnect_expired;
};

struct config_mqtt {
    double keepalive_multiplier;
    uint16_t max_keepalive_s; /* 0: no cap */
    uint16_t min_keepalive_s; /* not above it */
    uint32_t connect_timeout_s;
    uint32_t max_packet_size; /* bytes, both directions */
    uint16_t max_inflight_messages;
    uint32_t max_queued_messages; /* per session; 0: no limit */
    uint64_t max_queued_bytes;    /* per session; 0: no limit */
    enum queue_full_policy queue_full_policy;
    uint32_t max_stored_sessions; /* 0: no limit, as of all that follow */
    uint32_t max_retained_messages;
    uint64_t max_retained_bytes;
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
    uint64_t max_store_bytes;     /* 0: no limit */
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
    uint16_t workers;          /* 0: one for each core */
    uint32_t mailbox_size;     /* letters from one worker to another */
    uint32_t watch_interval_s; /* 0: files are read at SIGHUP alone */
    uint32_t shutdown_grace_s;
    char *user; /* NULL: whoever it is started as */
    enum sandbox sandbox;
    bool core_dumps;
    char *control; /* path of the control socket; "": none; never NULL after config_load() */
};

struct config_admin {
    char *http; /* as written; NULL: none */
    char *host; /* of it, as of a listener */
    uint16_t port;
    char *token_file; /* NULL: none */
};

/* Who may do what. */
struct config_authorization {
    char *acl_file; /* NULL: everybody everything */
};

struct config_log {
    enum log_level level;
    char *file; /* NULL: standard error */
    enum log_format format;
    uint32_t max_lines; /* of a kind in LOG_WINDOW_MS; 0: no limit */
    char *trace;        /* a file for every transition; NULL: none */
};

struct config {
    struct config_listener *listeners; /* at least one */
    size_t listener_count;
    struct config_authentication authentication;
    struct config_mqtt mqtt;
    struct config_sqlite sqlite;
    struct config_broker broker;
    struct config_admin admin;
    struct config_authorization authorization;
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

/* The listener of that name, or NULL. */
const struct config_listener *config_listener_find(const struct config *config, const char *name);

/* Tells, one by one, what in `wanted` a broker that runs with `running` cannot take over: listeners
 * and options by name. */
void config_compare(const struct config *running, const struct config *wanted,
                    void (*differs)(void *context, const char *what), void *context);

/* Every option for --help-config, and as docs/configuration.md. */
void config_print_help(FILE *file);
void config_print_markdown(FILE *file);

#endif
