/* An honest client publishes MESSAGES at QoS 2, one behind the other under one Packet Identifier, over
 * connections that break at any point, to a broker that crashes at any point and writes behind.
 *
 * The table is machines.pml, made of fsm/inbound_qos2.def; what its actions mean is here. */
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

mtype = { PUBLISH, PUBREL, PUBREC, PUBCOMP };

chan to_broker = [3] of { mtype, byte };
chan to_client = [3] of { mtype, byte };
bool connected;
byte losses, crashes;

/* The client's memory, which it does not lose. */
byte message = 1; /* the one that is being sent; MESSAGES + 1: all are done */
bool released;    /* PUBREC has come: PUBREL is next */
bool sent;        /* on this connection */

/* The broker's memory, and its disk. */
byte state, current, event;
bool storing, erasing, stored, erased;
bool held_on_disk;
byte owed[MESSAGES + 1]; /* how often the disk owes it to a subscriber */

inline answer(packet)
{
    if
    :: connected -> printf("broker: %e\n", packet); assert(nfull(to_client)); to_client!packet, 0
    :: else
    fi
}

inline inbound_qos2_do_STORE() { storing = true }
inline inbound_qos2_do_ROUTE() { assert(owed[current] == 1) } /* rule 2 */
inline inbound_qos2_do_PUBREC() { assert(held_on_disk); answer(PUBREC) } /* rules 1 and 2 */
inline inbound_qos2_do_PUBREC_REFUSED() { assert(false) } /* nothing is refused here */
inline inbound_qos2_do_PUBCOMP() { assert(!held_on_disk); answer(PUBCOMP) } /* rule 3 */
inline inbound_qos2_do_PUBCOMP_NOT_FOUND() { assert(!held_on_disk); answer(PUBCOMP) }
#ifdef PUBCOMP_EARLY
inline inbound_qos2_do_ERASE() { erasing = true; erased = true }
#else
inline inbound_qos2_do_ERASE() { erasing = true }
#endif

inline disconnect()
{
    connected = false;
    do
    :: to_broker?_, _
    :: to_client?_, _
    :: empty(to_broker) && empty(to_client) -> break
    od
}

active proctype client()
{
end:
    do
    :: atomic { !connected && message <= MESSAGES ->
        printf("client: connects\n"); connected = true; sent = false }
    :: atomic { connected && !sent && message <= MESSAGES ->
        sent = true;
        if
        :: released -> printf("client: PUBREL\n"); to_broker!PUBREL, message
        :: else -> printf("client: PUBLISH of message %d\n", message); to_broker!PUBLISH, message
        fi }
    :: atomic { to_client?PUBREC, _ ->
        if
        :: !released -> released = true; sent = false
        :: else
        fi }
    :: atomic { to_client?PUBCOMP, _ ->
        if
        :: released -> assert(owed[message] == 1); released = false; sent = false; message++
        :: else
        fi }
    od
}

active proctype broker()
{
end:
    do
    :: atomic { to_broker?PUBLISH, current ->
        event = inbound_qos2_on_PUBLISH; inbound_qos2_step(state, event) }
    :: atomic { to_broker?PUBREL, _ ->
        event = inbound_qos2_on_PUBREL; inbound_qos2_step(state, event) }
    :: atomic { storing -> /* the disk has the message, who it is owed to, and the identifier */
        printf("disk: message %d and its identifier\n", current);
        storing = false; held_on_disk = true; owed[current]++;
        assert(owed[current] == 1); stored = true }
    :: atomic { stored -> stored = false;
        event = inbound_qos2_on_STORED; inbound_qos2_step(state, event) }
    :: atomic { erasing ->
        printf("disk: the identifier is free\n"); erasing = false; held_on_disk = false;
#ifndef PUBCOMP_EARLY
        erased = true
#endif
        }
    :: atomic { erased -> erased = false;
        event = inbound_qos2_on_ERASED; inbound_qos2_step(state, event) }
    :: atomic { connected && losses < LOSSES ->
        printf("network: the connection is lost\n"); losses++; disconnect() }
    :: atomic { crashes < CRASHES ->
        printf("broker: dies and starts\n"); crashes++; disconnect();
        storing = false; erasing = false; stored = false; erased = false;
        state = (held_on_disk -> inbound_qos2_HELD : inbound_qos2_FREE) }
    od
}

/* When nothing moves any more, everything is done: each message owed once. */
active proctype ending()
{
    byte i;
    timeout;
    assert(message == MESSAGES + 1 && state == inbound_qos2_FREE && !held_on_disk);
    for (i : 1 .. MESSAGES) {
        assert(owed[i] == 1)
    }
}
