/* The JSON report: what `--compare` and other programs read.
 *
 * One object:
 *
 *   format           "mqtt-conformance"
 *   format_version   1; a reader refuses what is higher
 *   program_version  of the suite
 *   label            the server's name
 *   host, port, transport ("TCP", "TLS", "WebSocket", "secure WebSocket")
 *   command_line     without the password
 *   started          UTC, 2026-01-31T12:00:00Z
 *   duration_ms, jobs, seed (a string: 64 bits), full, interrupted, not_run
 *   notes            sentences about the run as a whole
 *   versions         {"5.0": {...}, "3.1.1": {...}}, each with
 *     judged         whether cases of that version were run
 *     error          why not, or ""
 *     features       what the server offers: maximum_qos, retain_available, wildcard_available,
 *                    subscription_identifier_available, shared_available, receive_maximum,
 *                    topic_alias_maximum, server_keep_alive_s or null, maximum_packet_size or null
 *     summary        passed, failed, flaky, not_applicable, skipped, broken, should, debatable;
 *                    for readers, and made anew from `results` when read here
 *   results          a list, sorted by case and version, each with
 *     case           file.name
 *     version        "5.0" or "3.1.1"
 *     verdict        "passed", "failed", "flaky", "not_applicable", "skipped", "broken"
 *     statements     the ids that the case cites
 *     statement      the one broken, or ""
 *     reason         a sentence: what the server did, and what it owed; or why there is no verdict
 *     sends, allowed, why    what the case does, as --explain prints it
 *     remarks        a list of {kind: "should" or "debatable", statement, text}
 *     trace          packets of a result that wants explaining, or ""
 *     duration_ms, retried
 */
#ifndef CONFORMANCE_REPORT_JSON_H
#define CONFORMANCE_REPORT_JSON_H

#include "conformance/runner/report.h"

/* False if it could not be written. */
bool report_json_write(const struct report *report, FILE *out);

/* False and a sentence in `error` if the file is no report of a format known here. */
bool report_json_read(const char *path, struct report *out, char *error, size_t error_size);

#endif
