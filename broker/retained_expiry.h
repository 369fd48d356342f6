/* Retained messages whose Message Expiry Interval has passed go, in memory and on disk: in slices,
 * on the first worker [MQTT-3.3.2-5]. Until then nobody gets them either. */
#ifndef BROKER_RETAINED_EXPIRY_H
#define BROKER_RETAINED_EXPIRY_H

struct worker;

void retained_expiry_start(struct worker *worker);

#endif
