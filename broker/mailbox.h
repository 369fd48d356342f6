/* A bounded queue of pointers from one thread to one other thread, without locks.
 *
 * One thread posts, one takes; both sides never wait. What the poster wrote before mailbox_post()
 * is seen by the taker. Waking the taker is the caller's business. */
#ifndef BROKER_MAILBOX_H
#define BROKER_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

struct mailbox;

/* Holds up to `capacity` (at least 1) letters. NULL when there is no memory. */
struct mailbox *mailbox_new(size_t capacity);
/* Both threads are done with it. Letters that are still inside are the caller's, who takes them
 * first. */
void mailbox_free(struct mailbox *mailbox);

/* Poster: false when the mailbox is full. `letter` is not NULL. */
bool mailbox_post(struct mailbox *mailbox, void *letter);

/* Taker: how many letters have been posted until now and not taken. That many mailbox_take() calls
 * succeed, so a turn can bound itself by what was there when it began. */
size_t mailbox_pending(struct mailbox *mailbox);

/* Any thread: about how many letters wait, as of some moment. */
size_t mailbox_depth(const struct mailbox *mailbox);

/* Taker: the oldest letter, or NULL. */
void *mailbox_take(struct mailbox *mailbox);

#endif
