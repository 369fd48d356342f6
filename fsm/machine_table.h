/* Turns one .def into one `const struct fsm_machine`. Included by machine.c once per machine, with
 * FSM_MACHINE (its name), FSM_PREFIX (of its enum constants) and FSM_DEF (its file). No guard. */

#define FSM_NAME(suffix) FSM_JOIN(FSM_MACHINE, suffix)
#define FSM_S(name) FSM_JOIN(FSM_PREFIX, _STATE_##name)
#define FSM_E(name) FSM_JOIN(FSM_PREFIX, _EVENT_##name)
#define FSM_A(name) FSM_JOIN(FSM_PREFIX, _ACTION_##name)

#define STATE(name, text) #name,
static const char *const FSM_NAME(_state_names)[] = {
#include FSM_DEF
};
#define STATE(name, text) text,
static const char *const FSM_NAME(_state_texts)[] = {
#include FSM_DEF
};
#define EVENT(name, text) #name,
static const char *const FSM_NAME(_event_names)[] = {
#include FSM_DEF
};
#define EVENT(name, text) text,
static const char *const FSM_NAME(_event_texts)[] = {
#include FSM_DEF
};
#define ACTION(name, text) #name,
static const char *const FSM_NAME(_action_names)[] = {
#include FSM_DEF
};
#define ACTION(name, text) text,
static const char *const FSM_NAME(_action_texts)[] = {
#include FSM_DEF
};

#define FSM_STEP(ignored, action) FSM_A(action),
#define DO(...)                           \
    .step_count = FSM_COUNT(__VA_ARGS__), \
    .steps = {FSM_EACH(FSM_STEP, , __VA_ARGS__)}
#define DO_NOTHING .step_count = 0
#define ROW(state, event, next_, actions, why_) \
    [FSM_S(state)][FSM_E(event)] = {.next = FSM_S(next_), actions, .why = why_},
#define FSM_NEVER_CELL(state_and_reason, event) FSM_NEVER_CELL_(FSM_UNWRAP state_and_reason, event)
#define FSM_UNWRAP(...) __VA_ARGS__
#define FSM_NEVER_CELL_(...) FSM_NEVER_CELL__(__VA_ARGS__)
#define FSM_NEVER_CELL__(state, reason, event) [FSM_S(state)][FSM_E(event)] = {.never = reason},
#define NEVER(state, why_, ...) FSM_EACH(FSM_NEVER_CELL, (state, why_), __VA_ARGS__)

static const struct fsm_row FSM_NAME(_rows)[FSM_JOIN(FSM_PREFIX, _STATE_COUNT)]
                                           [FSM_JOIN(FSM_PREFIX, _EVENT_COUNT)] = {
#include FSM_DEF
};

#define FSM_TEXT_(x) #x
#define FSM_TEXT(x) FSM_TEXT_(x)
const struct fsm_machine FSM_NAME(_machine) = {
    .name = FSM_TEXT(FSM_MACHINE),
    .state_count = FSM_JOIN(FSM_PREFIX, _STATE_COUNT),
    .event_count = FSM_JOIN(FSM_PREFIX, _EVENT_COUNT),
    .action_count = FSM_JOIN(FSM_PREFIX, _ACTION_COUNT),
    .rows = &FSM_NAME(_rows)[0][0],
    .state_names = FSM_NAME(_state_names),
    .state_texts = FSM_NAME(_state_texts),
    .event_names = FSM_NAME(_event_names),
    .event_texts = FSM_NAME(_event_texts),
    .action_names = FSM_NAME(_action_names),
    .action_texts = FSM_NAME(_action_texts),
};

#undef DO
#undef DO_NOTHING
#undef FSM_STEP
#undef FSM_NEVER_CELL
#undef FSM_NEVER_CELL_
#undef FSM_NEVER_CELL__
#undef FSM_UNWRAP
#undef FSM_TEXT
#undef FSM_TEXT_
#undef FSM_NAME
#undef FSM_S
#undef FSM_E
#undef FSM_A
#undef FSM_MACHINE
#undef FSM_PREFIX
#undef FSM_DEF
