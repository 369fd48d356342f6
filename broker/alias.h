/* Topic Aliases of one Network Connection and direction [MQTT-3.3.2-7]. */
#ifndef BROKER_ALIAS_H
#define BROKER_ALIAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct alias_table;

/* Aliases 1 to `maximum`. Memory for a topic is taken when its alias is set. */
struct alias_table *alias_table_new(uint16_t maximum);
void alias_table_free(struct alias_table *table);

/* Inbound: what the Client has set. */
enum status MUST_USE alias_set(struct alias_table *table, uint16_t alias, struct bytes topic);
/* Empty when the alias was never set. Valid until it is set again. */
struct bytes alias_get(const struct alias_table *table, uint16_t alias);

/* Outbound: the alias for a topic. Gives a free one to a topic that has none (`*out_new`: the topic
 * must be sent along); 0 when all are taken. */
uint16_t alias_assign(struct alias_table *table, struct bytes topic, bool *out_new);

#endif
