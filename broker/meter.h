/* What a connection may send in a second: its own rates, its user's and its listener's. Above one
 * of them it is not read until it may go on: nothing is dropped, and its silence meanwhile is ours
 * (rule 20). Where the listener has no such limits there is no meter. On the thread of its worker.
 */
#ifndef BROKER_METER_H
#define BROKER_METER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct connection;
struct session;

/* Of a CONNECT that is about to be accepted, for `session` (or NULL). NULL: it may; otherwise why
 * not, and with which reason code. */
const char *meter_start(struct connection *connection, const struct session *session,
                        uint8_t *out_reason_code);
/* When the session leaves the connection, or there has been none. */
void meter_stop(struct connection *connection);

/* Of a connection with a meter: it has published; it has sent bytes. Sets `pushed_back`. */
void meter_message(struct connection *connection);
void meter_bytes(struct connection *connection, size_t size);
/* How much may be read at a time, so that it does not get far ahead. */
size_t meter_read_size(const struct connection *connection, size_t capacity);

#endif
