/* Included first by every .def: what the includer did not define expands to nothing. No guard. */
#ifndef MACHINE
#define MACHINE(title, text)
#endif
#ifndef STATE
#define STATE(name, text)
#endif
#ifndef EVENT
#define EVENT(name, text)
#endif
#ifndef ACTION
#define ACTION(name, text)
#endif
#ifndef ROW
#define ROW(state, event, next, actions, why)
#endif
#ifndef NEVER
#define NEVER(state, why, ...)
#endif
