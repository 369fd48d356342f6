/* A broker that owes a client MESSAGES at QoS 1 sends them, one behind the other under one Packet
 * Identifier, over connections that break at any point; it crashes at any point and writes behind.
 *
 * The table is machines.pml, made of fsm/outbound_qos1.def; what its actions mean is here. Nothing
 * waits for the disk: what it does not have yet is sent again. */
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

mtype = { PUBLISH, PUBLISH_DUP, PUBACK };

chan to_broker = [3] of { mtype, byte };
chan to_client = [3] of { mtype, byte };
bool connected;
byte losses, crashes, expiries;
bool expired[MESSAGES + 1], dropped[MESSAGES + 1]; /* the clock does not go back, whatever dies */

/* The client's memory. */
byte delivered[MESSAGES + 1];
byte last;
byte in_flight; /* on this connection: sent to it, and not answered by it */

/* The broker's memory. */
byte message = 1, state, event, quota;
bool resumed, counted; /* counted: of the quota of this connection */
bool sent;             /* in this life of the broker, or as far as its disk knew at the start */

/* Its disk: what it has of the message; and what is on its way there. */
#define OWED 0
#define ASSIGNED 1
byte on_disk_message = 1, on_disk;
chan writing = [3 * MESSAGES] of { byte, byte };

inline send(packet)
{
    if
    :: connected -> printf("broker: %e, message %d\n", packet, message);
        assert(nfull(to_client)); to_client!packet, message;
        in_flight++; assert(in_flight <= RECEIVE_MAXIMUM) /* rule 19 */
    :: else
    fi
}

inline outbound_qos1_do_ASSIGN() { assert(nfull(writing)); writing!message, ASSIGNED }
inline outbound_qos1_do_TAKE_QUOTA() { assert(quota > 0); quota--; counted = true }
inline outbound_qos1_do_FREE_QUOTA()
{
    if
    :: counted -> counted = false; quota++; assert(quota <= RECEIVE_MAXIMUM)
    :: else
    fi
}
inline outbound_qos1_do_PUBLISH() /* rule 15 */
{
    assert(!sent && !expired[message]); /* MQTT-3.3.2-5 */
    sent = true;
#ifdef SETTLED_EARLY
    writing!message + 1, OWED;
#endif
    send(PUBLISH)
}
inline outbound_qos1_do_PUBLISH_DUP() { assert(sent && counted); send(PUBLISH_DUP) } /* rules 15, 19 */
inline outbound_qos1_do_SETTLE()
{
    assert(delivered[message] > 0 || dropped[message]);
    assert(nfull(writing));
    writing!message + 1, OWED
}

#ifdef EXPIRED_DELIVERED
#define too_late false
#else
#define too_late (state == outbound_qos1_QUEUED && expired[message]) /* rule 15: what was sent does not expire */
#endif
#define may_be_sent ((state == outbound_qos1_QUEUED || state == outbound_qos1_UNACKNOWLEDGED) && !too_late)

inline on(what)
{
    event = what;
    outbound_qos1_step(state, event)
}

inline disconnect()
{
    connected = false;
    resumed = false;
    counted = false;
    in_flight = 0;
    do
    :: to_broker?_, _
    :: to_client?_, _
    :: empty(to_broker) && empty(to_client) -> break
    od
}

inline take()
{
    delivered[m]++;
    printf("client: has message %d\n", m);
    assert(m <= last + 1); /* in order; what came may come again */
    if
    :: m > last -> last = m
    :: else
    fi;
    in_flight--;
    if
    :: connected -> to_broker!PUBACK, m
    :: else
    fi
}

active proctype client()
{
    byte m;
end:
    do
    :: atomic { to_client?PUBLISH, m -> take() }
    :: atomic { to_client?PUBLISH_DUP, m -> take() }
    od
}

active proctype broker()
{
end:
    do
    /* CONNACK waits until all that was asked of the disk is there. */
    :: atomic { !connected && message <= MESSAGES && empty(writing) ->
        printf("client: connects\n"); connected = true; resumed = true; quota = RECEIVE_MAXIMUM }
    :: atomic { resumed && quota > 0 && message <= MESSAGES && may_be_sent ->
        on(outbound_qos1_on_SEND) }
    :: atomic { message <= MESSAGES && too_late ->
        printf("broker: drops message %d, which has expired\n", message);
        dropped[message] = true; last = (last < message -> message : last); on(outbound_qos1_on_DROP) }
    :: atomic { message <= MESSAGES && expiries < EXPIRIES && !expired[message] ->
        printf("broker: message %d expires\n", message); expiries++; expired[message] = true }
    :: atomic { to_broker?PUBACK, _ -> on(outbound_qos1_on_PUBACK) }
    :: atomic { nempty(writing) -> writing?on_disk_message, on_disk;
        printf("disk: message %d, step %d\n", on_disk_message, on_disk) }
    :: atomic { state == outbound_qos1_DONE ->
        message++; state = outbound_qos1_QUEUED; sent = false }
    :: atomic { connected && losses < LOSSES ->
        printf("network: the connection is lost\n"); losses++; disconnect();
        if
        :: state != outbound_qos1_DONE -> on(outbound_qos1_on_CONNECTION_LOST)
        :: else
        fi }
    :: atomic { crashes < CRASHES ->
        printf("broker: dies and starts\n"); crashes++; disconnect();
        do
        :: writing?_, _
        :: empty(writing) -> break
        od;
        message = on_disk_message;
        sent = (on_disk == ASSIGNED);
        state = (on_disk == OWED -> outbound_qos1_QUEUED : outbound_qos1_UNACKNOWLEDGED) }
    od
}

/* When nothing moves any more, everything has been delivered, and the store is empty. */
active proctype ending()
{
    byte i;
    timeout;
    assert(message == MESSAGES + 1 && on_disk_message == MESSAGES + 1 && on_disk == OWED);
    for (i : 1 .. MESSAGES) {
        assert(delivered[i] > 0 || dropped[i])
    }
}
