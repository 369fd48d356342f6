/* A broker that owes a client MESSAGES at QoS 2 sends them, one behind the other under one Packet
 * Identifier, over connections that break at any point; it crashes at any point and writes behind.
 *
 * The table is machines.pml, made of fsm/outbound_qos2.def; what its actions mean is here. */
#include "machines.pml"

#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef LOSSES
#define LOSSES 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef EXPIRIES
#define EXPIRIES 1
#endif
#define RECEIVE_MAXIMUM 1

mtype = { PUBLISH, PUBREL, PUBREC, PUBCOMP };

chan to_broker = [4] of { mtype, byte };
chan to_client = [4] of { mtype, byte };
bool connected;
byte losses, crashes, expiries;
bool expired[MESSAGES + 1], dropped[MESSAGES + 1]; /* the clock does not go back, whatever dies */

/* The client's memory, which it does not lose. */
bool held;
byte delivered[MESSAGES + 1];
byte last;

/* The broker's memory. */
byte message = 1, state, event, quota;
bool resumed, stored, counted; /* counted: of the quota of this connection */

/* Its disk: what it has of the message, in the order of the table; and what is on its way there. */
#define OWED 0
#define ASSIGNED 1
#define RECEIVED 2
byte on_disk_message = 1, on_disk;
chan writing = [3] of { byte, byte };

inline send(packet)
{
    if
    :: connected -> printf("broker: %e, message %d\n", packet, message);
        assert(nfull(to_client)); to_client!packet, message
    :: else
    fi
}

inline outbound_qos2_do_ASSIGN() { assert(!expired[message]); writing!message, ASSIGNED }
inline outbound_qos2_do_TAKE_QUOTA() { assert(quota > 0); quota--; counted = true }
inline outbound_qos2_do_FREE_QUOTA()
{
    if
    :: counted -> counted = false; quota++; assert(quota <= RECEIVE_MAXIMUM)
    :: else
    fi
}
inline outbound_qos2_do_PUBLISH() { assert(on_disk_message == message && on_disk >= ASSIGNED); send(PUBLISH) }
inline outbound_qos2_do_PUBLISH_DUP() { assert(counted); send(PUBLISH) }
inline outbound_qos2_do_RECORD_PUBREC() { writing!message, RECEIVED }
inline outbound_qos2_do_PUBREL() { send(PUBREL) }
inline outbound_qos2_do_SETTLE() { writing!message + 1, OWED }

#ifdef EXPIRED_DELIVERED
#define too_late false
#else
#ifdef EXPIRED_IN_FLIGHT
#define too_late ((state == outbound_qos2_QUEUED || state == outbound_qos2_UNACKNOWLEDGED) && expired[message])
#else
#define too_late (state == outbound_qos2_QUEUED && expired[message]) /* rule 15: what has an identifier does not expire */
#endif
#endif
#define may_be_sent ((state == outbound_qos2_QUEUED || state == outbound_qos2_UNACKNOWLEDGED) && !too_late)

inline on(what)
{
    event = what;
    outbound_qos2_step(state, event)
}

inline disconnect()
{
    connected = false;
    resumed = false;
    counted = false;
    do
    :: to_broker?_, _
    :: to_client?_, _
    :: empty(to_broker) && empty(to_client) -> break
    od
}

active proctype client()
{
    byte m;
end:
    do
    :: atomic { to_client?PUBLISH, m ->
        if
        :: !held -> held = true; delivered[m]++; printf("client: has message %d\n", m);
            assert(delivered[m] == 1 && m > last); last = m
        :: else
        fi;
        if
        :: connected -> to_broker!PUBREC, m
        :: else
        fi }
    :: atomic { to_client?PUBREL, m ->
        held = false;
        if
        :: connected -> to_broker!PUBCOMP, m
        :: else
        fi }
    od
}

active proctype broker()
{
end:
    do
    /* CONNACK waits until all that was asked of the disk is there. */
    :: atomic { !connected && message <= MESSAGES && empty(writing) && !stored ->
        printf("client: connects\n");
        connected = true; quota = RECEIVE_MAXIMUM }
    :: atomic { connected && !resumed ->
        resumed = true;
        if
        :: state == outbound_qos2_UNACKNOWLEDGED || state == outbound_qos2_UNRELEASED ->
            on(outbound_qos2_on_RESUME)
        :: else
        fi }
    :: atomic { resumed && quota > 0 && message <= MESSAGES && may_be_sent ->
        on(outbound_qos2_on_SEND) }
    :: atomic { message <= MESSAGES && (resumed || (!connected && state == outbound_qos2_QUEUED)) &&
                empty(writing) && !stored && too_late ->
        printf("broker: drops message %d, which has expired\n", message);
        dropped[message] = (state == outbound_qos2_QUEUED); on(outbound_qos2_on_DROP) }
    :: atomic { message <= MESSAGES && expiries < EXPIRIES && !expired[message] ->
        printf("broker: message %d expires\n", message); expiries++; expired[message] = true }
    /* Something comes only after something was sent, so behind RESUME. */
    :: atomic { to_broker?PUBREC, _ -> on(outbound_qos2_on_PUBREC) }
    :: atomic { to_broker?PUBCOMP, _ -> on(outbound_qos2_on_PUBCOMP) }
    :: atomic { nempty(writing) ->
        writing?on_disk_message, on_disk;
        printf("disk: message %d, step %d\n", on_disk_message, on_disk);
        if
        :: on_disk == OWED
        :: else -> assert(!stored); stored = true
        fi }
    :: atomic { stored -> stored = false; on(outbound_qos2_on_STORED) }
    :: atomic { state == outbound_qos2_DONE -> message++; state = outbound_qos2_QUEUED }
    :: atomic { connected && losses < LOSSES ->
        printf("network: the connection is lost\n"); losses++; disconnect();
        if
        :: state != outbound_qos2_DONE -> on(outbound_qos2_on_CONNECTION_LOST)
        :: else
        fi }
    :: atomic { crashes < CRASHES ->
        printf("broker: dies and starts\n"); crashes++; disconnect(); stored = false;
        do
        :: writing?_, _
        :: empty(writing) -> break
        od;
        message = on_disk_message;
        state = (on_disk == OWED -> outbound_qos2_QUEUED :
                 (on_disk == ASSIGNED -> outbound_qos2_UNACKNOWLEDGED : outbound_qos2_UNRELEASED)) }
    od
}

/* When nothing moves any more, everything has been delivered, and the store is empty. */
active proctype ending()
{
    byte i;
    timeout;
    assert(message == MESSAGES + 1 && on_disk_message == MESSAGES + 1 && !held);
    for (i : 1 .. MESSAGES) {
        assert(delivered[i] == 1 || (dropped[i] && delivered[i] == 0))
    }
}
