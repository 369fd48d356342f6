/* $SYS: what the broker says of itself, as retained messages at QoS 0, never stored. */
#ifndef BROKER_SYS_TOPICS_H
#define BROKER_SYS_TOPICS_H

struct worker;

/* On one worker, before its first turn. */
void sys_topics_start(struct worker *worker);

#endif
