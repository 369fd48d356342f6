#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_option.h"

static char error[512];

static enum status load(const char *text, struct config *out)
{
    return config_load_text("x.conf", bytes_of_text(text), out, error, sizeof error);
}

static void accepts(const char *text, struct config *out)
{
    enum status status = load(text, out);
    if (status != STATUS_OK)
        fail_msg("refused: %s", error);
}

static void refuses(const char *text, const char *expected)
{
    struct config config;
    assert_int_equal(load(text, &config), STATUS_INVALID);
    assert_string_equal(error, expected);
}

static bool warns(const struct config *config, const char *part)
{
    for (size_t i = 0; i < config->warning_count; i++) {
        if (strstr(config->warnings[i], part) != NULL)
            return true;
    }
    return false;
}

/* ---- The table ---- */

static void every_option_fits_its_field_and_has_help(void **state)
{
    for (size_t i = 0; i < config_option_count; i++) {
        const struct config_option *option = &config_options[i];
        bool number = option->kind == CONFIG_INTEGER || option->kind == CONFIG_MILLISECONDS;
        uint64_t max = option->max * (option->kind == CONFIG_MILLISECONDS ? 1000 : 1);
        assert_true(strlen(option->help) > 10);
        assert_ptr_equal(config_option_find(option->section, option->name), option);
        assert_true(!number || option->size == 8 || max < UINT64_C(1) << option->size * 8);
        assert_true(option->kind != CONFIG_TEXT || option->size == sizeof(char *));
        assert_true(option->kind != CONFIG_DECIMAL || option->size == sizeof(double));
        assert_true(option->kind != CONFIG_CHOICE || option->size == sizeof(enum log_level));
        assert_true(option->kind != CONFIG_BOOL || option->size == sizeof(bool));
    }
}

/* A value of the listener's section cannot touch its neighbours: fields do not overlap. */
static void no_two_options_share_a_field(void **state)
{
    for (size_t i = 0; i < config_option_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct config_option *a = &config_options[i];
            const struct config_option *b = &config_options[j];
            bool apart = a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
            assert_true(a->section != b->section || apart);
        }
    }
}

/* ---- What is read ---- */

static void defaults_are_safe(void **state)
{
    struct config config;
    assert_int_equal(config_load(NULL, &config, error, sizeof error), STATUS_OK);
    assert_int_equal(config.listener_count, 1);
    assert_string_equal(config.listeners[0].host, "127.0.0.1");
    assert_int_equal(config.listeners[0].port, 1883);
    assert_int_equal(config.listeners[0].transport, LISTENER_TCP);
    assert_true(config.listeners[0].allow_anonymous);
    assert_true(config.mqtt.keepalive_multiplier == 1.5);
    assert_int_equal(config.mqtt.max_packet_size, 1048576);
    assert_int_equal(config.mqtt.max_inflight_messages, 1000);
    assert_int_equal(config.mqtt.max_queued_messages, 100000);
    assert_int_equal(config.mqtt.max_qos, 2);
    assert_true(config.mqtt.retain_available);
    assert_string_equal(config.mqtt.response_information, "");
    assert_int_equal(config.sqlite.durability, STORE_DURABILITY_COMMIT);
    assert_int_equal(config.sqlite.commit_delay_us, 2000);
    assert_int_equal(config.sqlite.flush_interval_ms, 100);
    assert_int_equal(config.log.level, LOG_INFO);
    assert_int_equal(config.sqlite.mounted_file_path[0], '/');
    assert_int_equal(config.warning_count, 0);
    config_fini(&config);
}

static void the_shape_of_the_manual_is_read(void **state)
{
    struct config config;
    accepts("listener \"plain\" { bind = \"127.0.0.1:1883\" allow_anonymous = true }\n"
            "listener \"fleet\" { bind = \"[::]:8883\" transport = tls certificate = \"/c\"\n"
            "  key = '/k' ca = /a client_certificate = required } // fleet\n"
            "mqtt   { keepalive_multiplier = 1.5 max_packet_size = 268435460 /* all\n of it */\n"
            "  max_inflight_messages = 100 max_queued_messages = 100000\n"
            "  persistent_client_expiration = 0 }\n"
            "sqlite { disk_cache_size = 10000000 mounted_file_path = \"/var/lib/holdfast/\"\n"
            "  flush_mem_threshold = 1000 flush_interval = 100 resend_interval = 0\n"
            "  commit_delay = 0.25 durability = flush }\n"
            "log    { level = trace } # the end",
            &config);
    assert_int_equal(config.listener_count, 2);
    assert_string_equal(config.listeners[1].name, "fleet");
    assert_string_equal(config.listeners[1].host, "::");
    assert_int_equal(config.listeners[1].port, 8883);
    assert_int_equal(config.listeners[1].transport, LISTENER_TLS);
    assert_int_equal(config.listeners[1].client_certificate, TLS_CLIENT_REQUIRED);
    assert_string_equal(config.listeners[1].ca, "/a");
    assert_false(config.listeners[1].allow_anonymous);
    assert_int_equal(config.mqtt.max_packet_size, 268435460);
    assert_int_equal(config.sqlite.commit_delay_us, 250);
    assert_int_equal(config.sqlite.durability, STORE_DURABILITY_FLUSH);
    assert_int_equal(config.log.level, LOG_TRACE);
    assert_int_equal(config.warning_count, 1);
    assert_true(warns(&config, "durability = flush"));
    config_fini(&config);
}

static void nanomq_sqlite_block_is_read_as_it_stands(void **state)
{
    struct config config;
    accepts("sqlite {\n"
            "    disk_cache_size = 102400\n"
            "    mounted_file_path=\"/tmp/\"\n"
            "    flush_mem_threshold = 100\n"
            "    resend_interval = 5000\n"
            "}\n",
            &config);
    assert_int_equal(config.sqlite.disk_cache_size, 102400);
    assert_string_equal(config.sqlite.mounted_file_path, "/tmp/");
    assert_int_equal(config.sqlite.flush_mem_threshold, 100);
    assert_int_equal(config.sqlite.resend_interval_ms, 5000);
    assert_int_equal(config.listener_count, 1);
    config_fini(&config);
}

static void bind_takes_the_usual_forms(void **state)
{
    static const struct {
        const char *bind, *host;
        unsigned port;
    } good[] = {
        {"127.0.0.1:1883", "127.0.0.1", 1883},
        {"[::]:8883", "::", 8883},
        {"*:1883", "*", 1883},
        {"1883", "*", 1883},
        {"[fe80::1]:1", "fe80::1", 1},
        {"localhost:0", "localhost", 0},
        {"my-host.example:65535", "my-host.example", 65535},
    };
    static const char *const bad[] = {
        "127.0.0.1",  "127.0.0.1:", ":1883",   "::1:1883", "[::1]",           "[::1]1883",
        "host:65536", "host:x",     "host:01", "1.2.3:1",  "256.0.0.1:1",     "ho st:1",
        "[zz]:1",     "[]:1",       "",        "host:-1",  "host:99999999999"};
    char text[256];
    struct config config;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "listener a { bind = \"%s\" }", good[i].bind);
        accepts(text, &config);
        assert_string_equal(config.listeners[0].host, good[i].host);
        assert_int_equal(config.listeners[0].port, good[i].port);
        config_fini(&config);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "listener a { bind = \"%s\" }", bad[i]);
        if (load(text, &config) != STATUS_INVALID)
            fail_msg("bind %s was accepted", bad[i]);
    }
}

static void empty_files_are_the_defaults(void **state)
{
    static const char *const texts[] = {
        "",        "\n", "# nothing\n", "/* nothing */", "\xef\xbb\xbf# mark\n", "\r\n\t \r\n",
        "mqtt { }"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config config;
        accepts(texts[i], &config);
        assert_int_equal(config.listener_count, 1);
        config_fini(&config);
    }
}

static void quotes_and_comments_keep_what_is_in_them(void **state)
{
    struct config config;
    accepts("sqlite { mounted_file_path = \"/a#b//c/*d {} +$\" }", &config);
    assert_string_equal(config.sqlite.mounted_file_path, "/a#b//c/*d {} +$");
    config_fini(&config);
    accepts("sqlite { mounted_file_path = '/${HOME}' }", &config);
    assert_string_equal(config.sqlite.mounted_file_path, "/${HOME}");
    config_fini(&config);
    accepts("# \" ' { ${\n// }\n/* \" { */ mqtt { max_qos = 1 }", &config);
    assert_int_equal(config.mqtt.max_qos, 1);
    config_fini(&config);
}

static void slashes_in_a_word_are_no_comment(void **state)
{
    struct config config;
    accepts("sqlite { mounted_file_path = /var//lib/x//y//comment\n secure_delete = true }",
            &config);
    assert_string_equal(config.sqlite.mounted_file_path, "/var//lib/x//y//comment");
    assert_true(config.sqlite.secure_delete);
    config_fini(&config);
    accepts("sqlite { mounted_file_path = '/a \"b\\c\\\\' }", &config);
    assert_string_equal(config.sqlite.mounted_file_path, "/a \"b\\c\\");
    config_fini(&config);
    accepts("mqtt{max_qos=1}sqlite{mounted_file_path=\"/a\\\"b\\\\\"}", &config);
    assert_string_equal(config.sqlite.mounted_file_path, "/a\"b\\");
    assert_int_equal(config.mqtt.max_qos, 1);
    config_fini(&config);
}

/* ---- What is refused ---- */

static void values_out_of_range_name_the_range(void **state)
{
    refuses(
        "mqtt {\n max_packet_size = 268435461\n}",
        "x.conf:2: option 'max_packet_size' in section 'mqtt': '268435461' is not a whole number "
        "from 32 to 268435460 (bytes)");
    refuses(
        "sqlite { durability = maybe }",
        "x.conf:1: option 'durability' in section 'sqlite': 'maybe' is not one of commit, flush, "
        "none");
    refuses(
        "\n\nmqtt {\n\n keepalive_multiplier = 0.9 }",
        "x.conf:5: option 'keepalive_multiplier' in section 'mqtt': '0.9' is not a number from 1 "
        "to 100");
    refuses("sqlite { mounted_file_path = \"/dev/null\" }",
            "x.conf: mounted_file_path '/dev/null' is not a directory: the store is several files, "
            "and needs one of its own");
    refuses("mqtt { retain_available = maybe }",
            "x.conf:1: option 'retain_available' in section 'mqtt': 'maybe' is not true or false");
    refuses("mqtt { max_qos = -1 }",
            "x.conf:1: option 'max_qos' in section 'mqtt': '-1' is not a whole number from 0 to 2");
    refuses("mqtt { max_qos = 99999999999999999999 }",
            "x.conf:1: option 'max_qos' in section 'mqtt': '99999999999999999999' is not a whole "
            "number from 0 to 2");
    refuses("listener a { bind = '1' ca = '' }",
            "x.conf:1: option 'ca' in section 'listener': '' is not a text of 1 to 4096 bytes");
    refuses(
        "sqlite { commit_delay = 0.0001 }",
        "x.conf:1: option 'commit_delay' in section 'sqlite': '0.0001' is not a number from 0 to "
        "1000 with up to three decimals (ms)");
}

static void octal_hexadecimal_and_units_are_refused(void **state)
{
    struct config config;
    refuses(
        "mqtt { max_packet_size = 100k }",
        "x.conf:1: option 'max_packet_size' in section 'mqtt': '100k' is not a whole number from "
        "32 to 268435460 (bytes); write the number without a unit");
    refuses(
        "mqtt { max_inflight_messages = 010 }",
        "x.conf:1: option 'max_inflight_messages' in section 'mqtt': '010' is not a whole number "
        "from 1 to 65535 (messages); write it without a leading zero");
    assert_int_equal(load("mqtt { max_inflight_messages = 0x10 }", &config), STATUS_INVALID);
    assert_int_equal(load("mqtt { keepalive_multiplier = 1e1 }", &config), STATUS_INVALID);
    assert_int_equal(load("mqtt { keepalive_multiplier = 1.5. }", &config), STATUS_INVALID);
    assert_int_equal(load("mqtt { keepalive_multiplier = nan }", &config), STATUS_INVALID);
    assert_int_equal(load("sqlite { commit_delay = 01.5 }", &config), STATUS_INVALID);
    assert_int_equal(load("sqlite { commit_delay = .5 }", &config), STATUS_INVALID);
}

static void unknown_names_are_refused_with_the_nearest(void **state)
{
    refuses("mqtt { max_packetsize = 5 }",
            "x.conf:1: section 'mqtt' has no option 'max_packetsize'; did you mean "
            "'max_packet_size'?");
    refuses("mqtt { durability = commit }",
            "x.conf:1: section 'mqtt' has no option 'durability'; it belongs in section 'sqlite'");
    refuses("mqtt { zzzzzzzzz = commit }", "x.conf:1: section 'mqtt' has no option 'zzzzzzzzz'; "
                                           "holdfast --help-config lists what there is");
    refuses("\nlisteners a { }",
            "x.conf:2: there is no section 'listeners'; did you mean 'listener'?");
    refuses("max_qos = 1", "x.conf:1: option 'max_qos' must stand in section 'mqtt'");
    refuses("mqtt { \x1b[31m = 1 }", "x.conf:1: section 'mqtt' has no option '\\x1b[31m'; "
                                     "holdfast --help-config lists what there is");
    refuses("mqtt { } \"mqtt|max_qos\" = 1", "x.conf:1: a name with '|' means nothing here");
}

static void what_stands_twice_is_refused(void **state)
{
    refuses("mqtt {\n max_qos = 1\n max_qos = 2\n}",
            "x.conf:3: option 'max_qos' appears a second time in section 'mqtt'");
    refuses("mqtt {\n max_qos = 1\n}\nmqtt {\n max_qos = 2\n}",
            "x.conf:5: section 'mqtt' appears a second time; the first is at line 2");
    refuses("mqtt { }\nmqtt { }",
            "x.conf:2: section 'mqtt' appears a second time; the first is at line 1");
    refuses("listener a { bind = '1' }\nlistener a { bind = '2' }",
            "x.conf:2: found duplicate title 'a'");
    refuses("listener a { bind = '1' }\nlistener b { bind = '*:1' }",
            "x.conf:2: listener 'b': '*:1' is the address of listener 'a' too");
}

static void an_admin_address_from_elsewhere_needs_a_token(void **state)
{
    static const char *const reachable[] = {
        "*:9883", "9883", "10.0.0.1:9883", "[::]:9883", "example.com:9883", "128.0.0.1:9883"};
    static const char *const loopback[] = {"127.0.0.1:9883", "127.1.2.3:1", "[::1]:9883",
                                           "localhost:9883"};
    char text[160], expected[200];
    struct config config;
    for (size_t i = 0; i < sizeof reachable / sizeof *reachable; i++) {
        snprintf(text, sizeof text, "admin { http = \"%s\" }", reachable[i]);
        snprintf(expected, sizeof expected,
                 "x.conf: admin: http '%s' can be reached from elsewhere, and needs 'token_file'",
                 reachable[i]);
        refuses(text, expected);
        snprintf(text, sizeof text, "admin { http = \"%s\" token_file = \"/t\" }", reachable[i]);
        accepts(text, &config);
        config_fini(&config);
    }
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        snprintf(text, sizeof text, "admin { http = \"%s\" }", loopback[i]);
        accepts(text, &config);
        assert_int_not_equal(config.admin.port, 0);
        config_fini(&config);
    }
    refuses("admin { http = \"localhost\" }",
            "x.conf: admin: http 'localhost' is not an address and port, as in \"127.0.0.1:9883\" "
            "or \"[::1]:9883\"");
}

static void the_same_option_in_two_listeners_is_fine(void **state)
{
    struct config config;
    accepts("listener a { bind = '1' } listener b { bind = '2' }", &config);
    assert_int_equal(config.listeners[1].port, 2);
    config_fini(&config);
}

static void broken_structure_is_refused_where_it_is(void **state)
{
    refuses("log { level = info }\nmqtt {\n max_qos = 1\n\n",
            "x.conf:2: the section that begins here is not closed: '}' is missing");
    refuses("mqtt { } }", "x.conf:1: this closing brace has no opening one");
    refuses("sqlite {\n mounted_file_path = \"/tmp\n}\n",
            "x.conf:2: a quote is missing: the string does not end on its line");
    refuses("\n/* open\n\n", "x.conf:2: the comment that begins here does not end");
    refuses("mqtt { max_qos 1 }", "x.conf:1: missing equal sign after option 'max_qos'");
    refuses("mqtt { max_qos = }", "x.conf:1: unexpected token '}'");
    refuses("mqtt { max_qos = {1, 2} }", "x.conf:1: unexpected token '{'");
    refuses("mqtt { max_qos = (1) }", "x.conf:1: unexpected token '('");
    refuses("mqtt { max_qos",
            "x.conf:1: the section that begins here is not closed: '}' is missing");
    refuses("mqtt", "x.conf:1: premature end of file");
    refuses("listener { bind = '1' }", "x.conf:1: missing title for section 'listener'");
    refuses("listener '' { bind = '1' }",
            "x.conf:1: a listener's name is 1 to 40 printable characters");
    refuses("listener a { bind = *:1883 }",
            "x.conf:1: a value with '*' or '+' must stand in quotes");
}

static void nothing_is_expanded(void **state)
{
    refuses("sqlite { mounted_file_path = \"${HOME}/x\" }",
            "x.conf:1: '${' is not expanded: write the value itself, or use '...' quotes");
    refuses("sqlite { mounted_file_path = ${HOME} }",
            "x.conf:1: '${' is not expanded: write the value itself");
    refuses("sqlite { mounted_file_path = \"C:\\new\" }",
            "x.conf:1: a backslash in \"...\" must be doubled, or stand before a quote");
}

static void lines_are_right_after_comments(void **state)
{
    refuses("/* one */ /* two */ // three\n/* four\n five */\n# six\nmqtt { max_qos = 3 }",
            "x.conf:5: option 'max_qos' in section 'mqtt': '3' is not a whole number from 0 to 2");
}

static void a_parse_after_a_failed_one_starts_afresh(void **state)
{
    struct config config;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(load("mqtt { max_qos = ( }", &config), STATUS_INVALID);
        accepts("mqtt { max_qos = 1 }", &config);
        config_fini(&config);
    }
}

static void every_prefix_of_a_file_is_read_or_refused(void **state)
{
    static const char text[] =
        "listener \"plain\" { bind = \"127.0.0.1:1883\" allow_anonymous = true } /* c */ # d\n"
        "mqtt { keepalive_multiplier = 1.5 } sqlite { mounted_file_path='/tmp' commit_delay = 0.5 "
        "}\n";
    for (size_t size = 0; size < sizeof text; size++) {
        struct config config;
        /* A copy of just that size, so that a read behind it is found. */
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, text, size);
        if (config_load_text("x", bytes_of(copy, size), &config, error, sizeof error) == STATUS_OK)
            config_fini(&config);
        else
            assert_true(strlen(error) > 5);
        free(copy);
    }
}

static void a_short_error_buffer_is_enough(void **state)
{
    struct config config;
    char small[8];
    assert_int_equal(
        config_load_text("x.conf", bytes_of_text("mqtt { a = 1 }"), &config, small, sizeof small),
        STATUS_INVALID);
    assert_string_equal(small, "x.conf:");
}

static void a_zero_byte_is_refused(void **state)
{
    struct config config;
    static const char text[] = "log { level = info }\n\0mqtt { }";
    assert_int_equal(
        config_load_text("x", bytes_of(text, sizeof text - 1), &config, error, sizeof error),
        STATUS_INVALID);
    assert_string_equal(error, "x:2: there is a zero byte in the text");
}

static void tls_options_must_fit_together(void **state)
{
    struct config config;
    refuses("listener a {\n bind = '1'\n transport = tls key = k }",
            "x.conf:2: listener 'a': transport = tls needs 'certificate'");
    refuses("listener a { bind = '1' transport = tls certificate = c }",
            "x.conf:1: listener 'a': transport = tls needs 'key'");
    refuses("listener a { bind = '1' transport = tls certificate = c key = k client_certificate = "
            "required }",
            "x.conf:1: listener 'a': client_certificate = required needs 'ca', the authorities of "
            "those certificates");
    refuses("listener a { bind = '1' certificate_user = subject allow_anonymous = true }",
            "x.conf:1: listener 'a': option 'certificate_user' needs client_certificate = optional "
            "or required");
    refuses("listener a { bind = '1' certificate = c }",
            "x.conf:1: listener 'a': option 'certificate' needs transport = tls or wss");
    refuses("listener a { bind = '1' client_certificate = required }",
            "x.conf:1: listener 'a': option 'client_certificate' needs transport = tls or wss");
    refuses("listener a {\n bind = '1'\n transport = wss key = k }",
            "x.conf:2: listener 'a': transport = wss needs 'certificate'");
    refuses("listener a { bind = '1' transport = ws certificate = c }",
            "x.conf:1: listener 'a': option 'certificate' needs transport = tls or wss");
    refuses("listener a { bind = '1' transport = tcp allowed_origins = 'https://a' }",
            "x.conf:1: listener 'a': option 'allowed_origins' needs transport = ws or wss");
    refuses("listener a { bind = '1' transport = tls certificate = c key = k crl = d }",
            "x.conf:1: listener 'a': 'crl' needs client_certificate = required or optional");
    refuses("listener a { bind = '1' psk_file = p }",
            "x.conf:1: listener 'a': option 'psk_file' needs transport = tls or wss");
    refuses("listener a { bind = '1' transport = tls psk_file = p certificate = c key = k }",
            "x.conf:1: listener 'a': 'psk_file' and 'certificate' exclude each other");
    refuses("listener a { bind = '1' transport = wss psk_file = p client_certificate = optional }",
            "x.conf:1: listener 'a': 'psk_file' and 'client_certificate' exclude each other");
    refuses("listener a { bind = '1' transport = tls psk_file = p ocsp_response = d }",
            "x.conf:1: listener 'a': 'psk_file' and 'ocsp_response' exclude each other");
    refuses("listener a { bind = '1' ocsp_response = d }",
            "x.conf:1: listener 'a': option 'ocsp_response' needs transport = tls or wss");
    refuses("listener a { bind = '1' transport = tls psk_file = p sni_directory = d }",
            "x.conf:1: listener 'a': 'psk_file' and 'sni_directory' exclude each other");
    accepts("listener a { bind = '1' transport = tls psk_file = p }", &config);
    assert_int_equal(config.warning_count, 0);
    assert_string_equal(config.listeners[0].psk_file, "p");
    assert_int_equal(config.listeners[0].psk_user, PSK_USER_IDENTITY);
    config_fini(&config);
    refuses("listener a { bind = '1' crl = d }",
            "x.conf:1: listener 'a': option 'crl' needs transport = tls or wss");
    refuses("listener a { transport = tcp }",
            "x.conf:1: listener 'a' has no 'bind': give it an address and a port, as in bind = "
            "\"127.0.0.1:1883\"");
    accepts(
        "listener a { bind = '1' transport = tls certificate = c key = k ca = d allow_anonymous = "
        "true tls_version = tlsv1.3 }",
        &config);
    assert_int_equal(config.listeners[0].tls_version, TLS_LOWEST_1_3);
    assert_true(warns(&config, "'ca' has no effect"));
    config_fini(&config);
}

static void doubtful_choices_are_warned_about(void **state)
{
    struct config config;
    accepts("listener a { bind = '1' }", &config);
    assert_true(warns(&config, "x.conf:1: listener 'a' refuses every client"));
    config_fini(&config);
    accepts("mqtt { keepalive_multiplier = 2 }", &config);
    assert_true(warns(&config, "does not conform"));
    config_fini(&config);
    accepts("sqlite { mounted_file_path = 'db' durability = none }", &config);
    assert_true(warns(&config, "is relative"));
    assert_true(warns(&config, "durability = none"));
    assert_int_equal(config.warning_count, 2);
    config_fini(&config);
}

static void files_that_cannot_be_read_are_named(void **state)
{
    struct config config;
    assert_int_equal(config_load("/nonexistent/x.conf", &config, error, sizeof error),
                     STATUS_NOT_FOUND);
    assert_string_equal(error, "/nonexistent/x.conf: No such file or directory");
    assert_int_equal(config_load("/", &config, error, sizeof error), STATUS_IO);
    assert_string_equal(error, "/: Is a directory");
    assert_int_equal(config_load("/dev/zero", &config, error, sizeof error), STATUS_INVALID);
    assert_string_equal(error, "/dev/zero: larger than the 1048576 bytes it may have");
}

/* ---- The store's place ---- */

static void expect_directory(const char *expected)
{
    struct config config;
    accepts("", &config);
    assert_string_equal(config.sqlite.mounted_file_path, expected);
    config_fini(&config);
}

static void the_default_directory_does_not_depend_on_where_one_stands(void **state)
{
    setenv("STATE_DIRECTORY", "/var/lib/private/holdfast", 1);
    expect_directory("/var/lib/private/holdfast/");
    unsetenv("STATE_DIRECTORY");
    if (geteuid() == 0) {
        expect_directory("/var/lib/holdfast/");
        return;
    }
    setenv("XDG_STATE_HOME", "/home/x/state", 1);
    expect_directory("/home/x/state/holdfast/");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/x", 1);
    expect_directory("/home/x/.local/state/holdfast/");
}

/* ---- What is printed ---- */

static char *printed(void (*print)(FILE *file))
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    print(file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void collect(void *context, const char *what)
{
    strcat(context, what);
    strcat(context, "\n");
}

static void what_takes_a_restart_is_told_and_nothing_else(void **state)
{
    char said[512] = "";
    struct config running, wanted;
    accepts("listener \"a\" { bind = \"127.0.0.1:1\" allow_anonymous = true }\n"
            "listener \"b\" { bind = \"127.0.0.1:2\" allow_anonymous = true }\n",
            &running);
    accepts("listener \"c\" { bind = \"127.0.0.1:3\" allow_anonymous = true }\n"
            "listener \"a\" { bind = \"127.0.0.1:4\" max_connections = 3 }\n"
            "mqtt { response_information = \"x\" keepalive_multiplier = 2 }\n"
            "log { level = trace }\n",
            &wanted);
    config_compare(&running, &wanted, collect, said);
    assert_string_equal(said, "listener \"a\": bind\n"
                              "listener \"a\": max_connections\n"
                              "listener \"b\", which is gone\n"
                              "listener \"c\", which is new\n"
                              "mqtt: keepalive_multiplier\n"
                              "mqtt: response_information\n");
    said[0] = '\0';
    config_compare(&running, &running, collect, said);
    assert_string_equal(said, "");
    config_fini(&running);
    config_fini(&wanted);
}

static void docs_configuration_md_is_what_the_table_says(void **state)
{
    char *expected = printed(config_print_markdown);
    struct bytes committed = {0};
    struct buffer buffer = {0};
    FILE *file = fopen("docs/configuration.md", "r");
    assert_non_null(file);
    assert_int_equal(buffer_reserve(&buffer, 1 << 20), STATUS_OK);
    committed = bytes_of(buffer.data, fread(buffer.data, 1, buffer.capacity, file));
    fclose(file);
    if (!bytes_equal(committed, bytes_of_text(expected)))
        fail_msg("docs/configuration.md is old: holdfast --help-config-markdown > "
                 "docs/configuration.md");
    buffer_fini(&buffer);
    free(expected);
}

static void the_help_names_every_option_and_fits_a_terminal(void **state)
{
    char *help = printed(config_print_help);
    char *rest = help;
    for (size_t i = 0; i < config_option_count; i++) {
        char head[64];
        snprintf(head, sizeof head, "\n  %s = ", config_options[i].name);
        assert_non_null(strstr(help, head));
    }
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        assert_true(strlen(line) <= 100);
    free(help);
}

static void the_example_of_the_manual_is_sound(void **state)
{
    char *text = printed(config_print_markdown);
    char *begin = strstr(text, "```\n") + 4;
    struct config config;
    *strstr(begin, "```") = '\0';
    accepts(begin, &config);
    assert_int_equal(config.listener_count, 2);
    assert_int_equal(config.warning_count, 0);
    config_fini(&config);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_fits_its_field_and_has_help),
        cmocka_unit_test(no_two_options_share_a_field),
        cmocka_unit_test(defaults_are_safe),
        cmocka_unit_test(the_shape_of_the_manual_is_read),
        cmocka_unit_test(nanomq_sqlite_block_is_read_as_it_stands),
        cmocka_unit_test(bind_takes_the_usual_forms),
        cmocka_unit_test(empty_files_are_the_defaults),
        cmocka_unit_test(quotes_and_comments_keep_what_is_in_them),
        cmocka_unit_test(slashes_in_a_word_are_no_comment),
        cmocka_unit_test(values_out_of_range_name_the_range),
        cmocka_unit_test(octal_hexadecimal_and_units_are_refused),
        cmocka_unit_test(unknown_names_are_refused_with_the_nearest),
        cmocka_unit_test(what_stands_twice_is_refused),
        cmocka_unit_test(an_admin_address_from_elsewhere_needs_a_token),
        cmocka_unit_test(the_same_option_in_two_listeners_is_fine),
        cmocka_unit_test(broken_structure_is_refused_where_it_is),
        cmocka_unit_test(nothing_is_expanded),
        cmocka_unit_test(lines_are_right_after_comments),
        cmocka_unit_test(a_parse_after_a_failed_one_starts_afresh),
        cmocka_unit_test(every_prefix_of_a_file_is_read_or_refused),
        cmocka_unit_test(a_short_error_buffer_is_enough),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(tls_options_must_fit_together),
        cmocka_unit_test(doubtful_choices_are_warned_about),
        cmocka_unit_test(files_that_cannot_be_read_are_named),
        cmocka_unit_test(the_default_directory_does_not_depend_on_where_one_stands),
        cmocka_unit_test(what_takes_a_restart_is_told_and_nothing_else),
        cmocka_unit_test(docs_configuration_md_is_what_the_table_says),
        cmocka_unit_test(the_help_names_every_option_and_fits_a_terminal),
        cmocka_unit_test(the_example_of_the_manual_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
