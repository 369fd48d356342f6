/* CHECK: our own bug, found early. On in release: a broker that goes on after an impossible state
 * loses messages quietly, one that stops restarts from what is durable. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#endif
