/* The machines of this folder: their states, events and actions, made from the .def files. */
#ifndef FSM_MACHINES_H
#define FSM_MACHINES_H

#include <stdbool.h>

#include "fsm/machine.h"

/* In the order of fsm_machines. */
enum fsm_machine_number {
    CONNECTION_MACHINE,
    SESSION_MACHINE,
    WILL_MACHINE,
    INBOUND_QOS2_MACHINE,
    OUTBOUND_QOS1_MACHINE,
    OUTBOUND_QOS2_MACHINE,
    AUTHENTICATION_MACHINE,
    FSM_MACHINE_COUNT
};

#define STATE(name, text) CONNECTION_STATE_##name,
enum connection_state {
#include "fsm/connection.def"
    CONNECTION_STATE_COUNT
};
#define EVENT(name, text) CONNECTION_EVENT_##name,
enum connection_event {
#include "fsm/connection.def"
    CONNECTION_EVENT_COUNT
};
#define ACTION(name, text) CONNECTION_ACTION_##name,
enum connection_action {
#include "fsm/connection.def"
    CONNECTION_ACTION_COUNT
};
extern const struct fsm_machine connection_machine;

#define STATE(name, text) SESSION_STATE_##name,
enum session_state {
#include "fsm/session.def"
    SESSION_STATE_COUNT
};
#define EVENT(name, text) SESSION_EVENT_##name,
enum session_event {
#include "fsm/session.def"
    SESSION_EVENT_COUNT
};
#define ACTION(name, text) SESSION_ACTION_##name,
enum session_action {
#include "fsm/session.def"
    SESSION_ACTION_COUNT
};
extern const struct fsm_machine session_machine;

#define STATE(name, text) WILL_STATE_##name,
enum will_state {
#include "fsm/will.def"
    WILL_STATE_COUNT
};
#define EVENT(name, text) WILL_EVENT_##name,
enum will_event {
#include "fsm/will.def"
    WILL_EVENT_COUNT
};
#define ACTION(name, text) WILL_ACTION_##name,
enum will_action {
#include "fsm/will.def"
    WILL_ACTION_COUNT
};
extern const struct fsm_machine will_machine;

#define STATE(name, text) INBOUND_QOS2_STATE_##name,
enum inbound_qos2_state {
#include "fsm/inbound_qos2.def"
    INBOUND_QOS2_STATE_COUNT
};
#define EVENT(name, text) INBOUND_QOS2_EVENT_##name,
enum inbound_qos2_event {
#include "fsm/inbound_qos2.def"
    INBOUND_QOS2_EVENT_COUNT
};
#define ACTION(name, text) INBOUND_QOS2_ACTION_##name,
enum inbound_qos2_action {
#include "fsm/inbound_qos2.def"
    INBOUND_QOS2_ACTION_COUNT
};
extern const struct fsm_machine inbound_qos2_machine;

#define STATE(name, text) OUTBOUND_QOS1_STATE_##name,
enum outbound_qos1_state {
#include "fsm/outbound_qos1.def"
    OUTBOUND_QOS1_STATE_COUNT
};
#define EVENT(name, text) OUTBOUND_QOS1_EVENT_##name,
enum outbound_qos1_event {
#include "fsm/outbound_qos1.def"
    OUTBOUND_QOS1_EVENT_COUNT
};
#define ACTION(name, text) OUTBOUND_QOS1_ACTION_##name,
enum outbound_qos1_action {
#include "fsm/outbound_qos1.def"
    OUTBOUND_QOS1_ACTION_COUNT
};
extern const struct fsm_machine outbound_qos1_machine;

#define STATE(name, text) OUTBOUND_QOS2_STATE_##name,
enum outbound_qos2_state {
#include "fsm/outbound_qos2.def"
    OUTBOUND_QOS2_STATE_COUNT
};
#define EVENT(name, text) OUTBOUND_QOS2_EVENT_##name,
enum outbound_qos2_event {
#include "fsm/outbound_qos2.def"
    OUTBOUND_QOS2_EVENT_COUNT
};
#define ACTION(name, text) OUTBOUND_QOS2_ACTION_##name,
enum outbound_qos2_action {
#include "fsm/outbound_qos2.def"
    OUTBOUND_QOS2_ACTION_COUNT
};
extern const struct fsm_machine outbound_qos2_machine;

#define STATE(name, text) AUTHENTICATION_STATE_##name,
enum authentication_state {
#include "fsm/authentication.def"
    AUTHENTICATION_STATE_COUNT
};
#define EVENT(name, text) AUTHENTICATION_EVENT_##name,
enum authentication_event {
#include "fsm/authentication.def"
    AUTHENTICATION_EVENT_COUNT
};
#define ACTION(name, text) AUTHENTICATION_ACTION_##name,
enum authentication_action {
#include "fsm/authentication.def"
    AUTHENTICATION_ACTION_COUNT
};
extern const struct fsm_machine authentication_machine;

/* Whether it belongs to a Network Connection, by whose number it is told from others of its kind.
 */
static inline bool fsm_is_of_connection(const struct fsm_machine *machine)
{
    return machine->number == CONNECTION_MACHINE || machine->number == AUTHENTICATION_MACHINE;
}

#endif
