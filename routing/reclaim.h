/* Freeing memory that readers without locks may still see: the one file behind which liburcu's
 * QSBR flavour sits.
 *
 * A registered thread is a reader from the moment it is online. What it finds through a shared
 * pointer stays mapped until its next reclaim_quiescent() or reclaim_offline(), so it calls the
 * first once per loop turn, when it keeps no such pointer, and the second before it blocks.
 * A thread that stays online without either holds up every deferred release.
 *
 * Shared pointers themselves are C11 atomics, stored with release and loaded with acquire. What
 * ThreadSanitizer cannot see inside liburcu, that a release runs after every reader has let go, is
 * told to it here. */
#ifndef BROKER_RECLAIM_H
#define BROKER_RECLAIM_H

/* Registers the calling thread, online. Once per thread. */
void reclaim_thread_register(void);
/* Before a registered thread ends. */
void reclaim_thread_unregister(void);

/* Around calls that block; no shared pointer may be kept over offline. */
void reclaim_offline(void);
void reclaim_online(void);

/* The calling thread keeps no shared pointer from before this call. A few nanoseconds. */
void reclaim_quiescent(void);

/* Calls release(pointer) on the reclaiming thread when no reader can have the pointer any more.
 * The caller has made it unreachable for new readers. Never blocks. From a registered thread the
 * calls are gathered until its next quiescent, offline or unregister. Without memory to remember
 * it, the pointer is leaked, with a log line. */
void reclaim_defer(void (*release)(void *pointer), void *pointer);

/* Returns when everything deferred before it has been released: by this thread, and by others up
 * to their last quiescent, offline or unregister. A quiescent state of the calling thread; blocks
 * until all other readers have passed one. For shutdown and tests, never on a busy worker. */
void reclaim_barrier(void);

#endif
