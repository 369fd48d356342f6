/* A client that keeps to nothing sends PACKETS packets of any kind in any order: CONNECT with and without a method, AUTH
 * with right, wrong and old proofs, with its own method and with another, and others.
 *
 * The tables are machines.pml, made of fsm/connection.def and fsm/authentication.def; what their actions mean is here.
 * What a right proof is, is the method's business: here it is one that answers the challenge that is open. */
#include "machines.pml"

#ifndef PACKETS
#define PACKETS 7
#endif

mtype = { CONNECT, CONNECT_WITH_METHOD, CONNECT_WITH_NONSENSE, AUTH_PROOF, AUTH_NONSENSE, AUTH_AGAIN, AUTH_OTHER,
          PINGREQ };

byte connection, authentication, packets, event;
byte challenges, open_challenge, answered; /* numbered; which one is open; which was answered last */
bool has_method, proven, own_method;
byte proof;
mtype packet;
chan follows = [2] of { byte }; /* events of the connection that follow from the exchange */

inline authentication_do_CHALLENGE()
{
    assert(has_method && connection != connection_CLOSING && !open_challenge);
    challenges++;
    open_challenge = challenges;
    proven = false;
    printf("broker: AUTH 0x18, challenge %d\n", open_challenge)
}
inline authentication_do_ACCEPT() { answer(); follows!connection_on_CONNECT }
inline authentication_do_CONFIRM()
{
    assert(connection == connection_CONNECTED); /* MQTT-4.12.1-1 */
    answer();
    printf("broker: AUTH 0x00\n")
}
inline authentication_do_REFUSE() { follows!connection_on_CONNECT_REFUSED }
inline authentication_do_SEND_AWAY() { follows!connection_on_MALFORMED }

/* A challenge is answered once, by the client that has it, with the method of CONNECT [MQTT-4.12.0-5]. */
inline answer()
{
    assert(open_challenge && proof == open_challenge && answered < open_challenge && own_method);
    answered = open_challenge;
    open_challenge = 0;
    proven = true
}

inline connection_do_AUTHENTICATE() { assert(false) }
inline connection_do_EXCHANGE() { skip }
inline connection_do_START_SESSION() { assert(!has_method || proven) } /* MQTT-4.12.0-4 */
inline connection_do_CONNACK() { printf("broker: CONNACK 0x00\n"); assert(!has_method || proven) }
inline connection_do_REFUSE() { printf("broker: CONNACK, refused\n"); assert(!proven) }
inline connection_do_HANDLE() { assert(connection == connection_CONNECTED || packet != PINGREQ) } /* MQTT-4.12.0-3 */
inline connection_do_CLOSE_NORMALLY() { skip }
inline connection_do_DETACH() { skip }
inline connection_do_SEND_DISCONNECT() { printf("broker: DISCONNECT\n") }
inline connection_do_DRAIN() { skip }
inline connection_do_CLOSE() { printf("broker: closes\n") }

inline send()
{
    packets++;
    proof = 0;
    own_method = true;
    if
    :: packet = CONNECT
    :: packet = CONNECT_WITH_METHOD
    :: packet = CONNECT_WITH_NONSENSE
    :: challenges > 0 -> packet = AUTH_PROOF; proof = challenges
    :: challenges > 1 -> packet = AUTH_PROOF; proof = challenges - 1
    :: challenges > 0 -> packet = AUTH_OTHER; proof = challenges; own_method = false
    :: packet = AUTH_NONSENSE
    :: packet = AUTH_AGAIN
    :: packet = AUTH_OTHER; own_method = false
    :: packet = PINGREQ
    fi;
    printf("client: %e, proof of challenge %d\n", packet, proof)
}

/* Which event of the exchange an AUTH is: broker/enhanced.c. */
inline classify()
{
    if
#ifndef ANY_AUTH_METHOD
    :: !has_method || !own_method -> event = authentication_on_OUT_OF_TURN
    :: else ->
#else
    :: !has_method -> event = authentication_on_OUT_OF_TURN
    :: else ->
#endif
        if
        :: packet == AUTH_AGAIN -> event = authentication_on_REAUTHENTICATE
#ifdef OLD_PROOF
        :: packet != AUTH_AGAIN && proof && open_challenge -> event = authentication_on_PROOF
        :: packet != AUTH_AGAIN && !(proof && open_challenge) -> event = authentication_on_NO_PROOF
#else
        :: packet != AUTH_AGAIN && proof && proof == open_challenge -> event = authentication_on_PROOF
        :: packet != AUTH_AGAIN && !(proof && proof == open_challenge) -> event = authentication_on_NO_PROOF
#endif
        fi
    fi
}

inline take()
{
    if
    :: packet == CONNECT && connection == connection_ACCEPTED ->
        connection_step(connection, connection_on_CONNECT)
    :: packet == CONNECT_WITH_METHOD && connection == connection_ACCEPTED ->
        has_method = true;
        authentication_step(authentication, authentication_on_CONNECT);
        connection_step(connection, connection_on_CHALLENGED)
    :: packet == CONNECT_WITH_NONSENSE && connection == connection_ACCEPTED ->
        has_method = true;
        authentication_step(authentication, authentication_on_NO_PROOF)
    :: (packet == CONNECT || packet == CONNECT_WITH_METHOD || packet == CONNECT_WITH_NONSENSE) &&
       connection == connection_CONNECTED -> connection_step(connection, connection_on_CONNECT)
    :: (packet == CONNECT || packet == CONNECT_WITH_METHOD || packet == CONNECT_WITH_NONSENSE) &&
       connection == connection_EXCHANGING -> connection_step(connection, connection_on_MALFORMED)
    :: packet == PINGREQ && connection == connection_EXCHANGING ->
        connection_step(connection, connection_on_MALFORMED) /* MQTT-3.1.2-30 */
    :: (packet == PINGREQ || connection == connection_ACCEPTED) && connection != connection_EXCHANGING &&
       packet != CONNECT && packet != CONNECT_WITH_METHOD && packet != CONNECT_WITH_NONSENSE ->
        connection_step(connection, connection_on_PACKET)
    :: (packet == AUTH_PROOF || packet == AUTH_NONSENSE || packet == AUTH_AGAIN || packet == AUTH_OTHER) &&
       connection != connection_ACCEPTED ->
        connection_step(connection, connection_on_PACKET);
        classify();
        authentication_step(authentication, event)
    fi
}

active proctype broker()
{
end:
    do
    :: atomic { nempty(follows) -> follows?event; connection_step(connection, event) }
    :: atomic { empty(follows) && packets < PACKETS && connection != connection_CLOSING &&
                connection != connection_RESUMING -> send(); take() }
    :: atomic { empty(follows) && connection == connection_RESUMING ->
        connection_step(connection, connection_on_RESUMED) }
    :: atomic { empty(follows) && connection == connection_EXCHANGING ->
        printf("broker: the exchange takes too long\n"); connection_step(connection, connection_on_TIMED_OUT) }
    od
}

/* Who has been refused is not connected. */
active proctype watching()
{
end:
    atomic { empty(follows) && authentication == authentication_FAILED && connection == connection_CONNECTED ->
        assert(false) }
}
