/* Small preprocessor loops for the tables: up to eight arguments. */
#ifndef FSM_FOR_EACH_H
#define FSM_FOR_EACH_H

#define FSM_COUNT(...) FSM_COUNT_(__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1)
#define FSM_COUNT_(a, b, c, d, e, f, g, h, n, ...) n

#define FSM_JOIN_(a, b) a##b
#define FSM_JOIN(a, b) FSM_JOIN_(a, b)

/* FSM_EACH(M, x, a, b): M(x, a) M(x, b) */
#define FSM_EACH(macro, x, ...) FSM_JOIN(FSM_EACH_, FSM_COUNT(__VA_ARGS__))(macro, x, __VA_ARGS__)
#define FSM_EACH_1(m, x, a) m(x, a)
#define FSM_EACH_2(m, x, a, ...) m(x, a) FSM_EACH_1(m, x, __VA_ARGS__)
#define FSM_EACH_3(m, x, a, ...) m(x, a) FSM_EACH_2(m, x, __VA_ARGS__)
#define FSM_EACH_4(m, x, a, ...) m(x, a) FSM_EACH_3(m, x, __VA_ARGS__)
#define FSM_EACH_5(m, x, a, ...) m(x, a) FSM_EACH_4(m, x, __VA_ARGS__)
#define FSM_EACH_6(m, x, a, ...) m(x, a) FSM_EACH_5(m, x, __VA_ARGS__)
#define FSM_EACH_7(m, x, a, ...) m(x, a) FSM_EACH_6(m, x, __VA_ARGS__)
#define FSM_EACH_8(m, x, a, ...) m(x, a) FSM_EACH_7(m, x, __VA_ARGS__)

#endif
