#include "broker/mailbox.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

enum { CACHE_LINE = 64 };

/* `posted` and `taken` count for ever; a letter's place is its count modulo the ring's size, a
 * power of two. Each side keeps its own count and its last look at the other's on a cache line of
 * its own, so that it reads the other's line only when the mailbox seems full or empty. */
struct mailbox {
    size_t capacity;
    size_t mask;
    void **letters;
    _Alignas(CACHE_LINE) _Atomic size_t posted; /* written by the poster */
    size_t taken_seen;
    _Alignas(CACHE_LINE) _Atomic size_t taken; /* written by the taker */
    size_t posted_seen;
};

struct mailbox *mailbox_new(size_t capacity)
{
    size_t places = 1;
    CHECK(capacity >= 1 && capacity <= SIZE_MAX / 4 / sizeof(void *));
    while (places < capacity)
        places *= 2;
    struct mailbox *mailbox = aligned_alloc(CACHE_LINE, sizeof *mailbox);
    void **letters = calloc(places, sizeof *letters);
    if (mailbox == NULL || letters == NULL) {
        free(mailbox);
        free(letters);
        return NULL;
    }
    *mailbox = (struct mailbox){.capacity = capacity, .mask = places - 1, .letters = letters};
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    free(mailbox->letters);
    free(mailbox);
}

bool mailbox_post(struct mailbox *mailbox, void *letter)
{
    CHECK(letter != NULL);
    size_t posted = atomic_load_explicit(&mailbox->posted, memory_order_relaxed);
    if (posted - mailbox->taken_seen == mailbox->capacity) {
        /* Acquire: the taker has read the letter whose place is used again. */
        mailbox->taken_seen = atomic_load_explicit(&mailbox->taken, memory_order_acquire);
        if (posted - mailbox->taken_seen == mailbox->capacity)
            return false;
    }
    mailbox->letters[posted & mailbox->mask] = letter;
    atomic_store_explicit(&mailbox->posted, posted + 1, memory_order_release);
    return true;
}

size_t mailbox_pending(struct mailbox *mailbox)
{
    mailbox->posted_seen = atomic_load_explicit(&mailbox->posted, memory_order_acquire);
    return mailbox->posted_seen - atomic_load_explicit(&mailbox->taken, memory_order_relaxed);
}

size_t mailbox_depth(const struct mailbox *mailbox)
{
    /* What was taken is read first: then no more has been taken than posted. */
    size_t taken = atomic_load_explicit(&mailbox->taken, memory_order_acquire);
    return atomic_load_explicit(&mailbox->posted, memory_order_relaxed) - taken;
}

void *mailbox_take(struct mailbox *mailbox)
{
    size_t taken = atomic_load_explicit(&mailbox->taken, memory_order_relaxed);
    if (taken == mailbox->posted_seen && mailbox_pending(mailbox) == 0)
        return NULL;
    void *letter = mailbox->letters[taken & mailbox->mask];
    atomic_store_explicit(&mailbox->taken, taken + 1, memory_order_release);
    return letter;
}
