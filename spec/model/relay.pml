/* An honest client publishes MESSAGES at QoS 1 to a topic that a stored Session subscribes to, whose client gets them
 * at QoS 1, loses its connection at any point, and may begin a new Session with the same Client Identifier and
 * subscription. Their homes are two workers. The broker crashes at any point and writes behind.
 *
 * How a message goes out is machines.pml, made of fsm/outbound_qos1.def; what its actions mean is here, and what stands
 * between the two clients: routing, mail from worker to worker, deltas (docs/ordering.md, rules 1, 8 and 9). */
#include "machines.pml"

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef RENEWALS
#define RENEWALS 1
#endif
#define ROWS (MESSAGES + CRASHES) /* a message comes again if its PUBACK was lost; no more than 4 */
#define SLOTS 5

mtype = { OWED, SETTLED, BEGUN };

chan to_broker = [1] of { byte };
chan to_publisher = [ROWS] of { byte };
chan to_subscriber = [ROWS] of { byte };
chan from_subscriber = [ROWS] of { byte };
byte losses, crashes, renewals;

/* The publisher's memory, and the subscriber's. */
byte message = 1;
bool sent, acknowledged[MESSAGES + 1], delivered[MESSAGES + 1];
byte life = 1; /* which Session it was told of */

/* What each worker knows, and the mail from the publisher's to the subscriber's. */
byte row, message_of[SLOTS], state[SLOTS];
bool here[SLOTS]; /* in the subscriber's queue */
bool publisher_connected, subscriber_connected, beginning;
byte incarnation = 1, session = 1;       /* its name, and which one it really is */
byte matched[SLOTS], owed_to[MESSAGES + 1]; /* which Session it really matched */
chan mail = [ROWS] of { byte, byte };    /* row, incarnation */

/* The disk, and what is on its way there: in one order over both workers (rule 8). */
byte disk_owed[SLOTS], disk_incarnation = 1, disk_session = 1;
chan deltas = [2 * ROWS + 2] of { mtype, byte, byte };
#ifdef TWO_TRANSACTIONS
chan others = [2 * ROWS + 2] of { mtype, byte, byte };
#else
#define others deltas
#endif

byte r; /* the row that a step is about */
byte i, name;
mtype what;

inline outbound_qos1_do_ASSIGN() { skip }
inline outbound_qos1_do_TAKE_QUOTA() { skip }
inline outbound_qos1_do_FREE_QUOTA() { skip }
inline outbound_qos1_do_PUBLISH()
{
    printf("broker: PUBLISH of message %d\n", message_of[r]);
    assert(matched[r] == session); /* rule 9 */
    to_subscriber!r
}
inline outbound_qos1_do_PUBLISH_DUP()
{
    printf("broker: PUBLISH of message %d again\n", message_of[r]);
    assert(matched[r] == session);
    to_subscriber!r
}
inline outbound_qos1_do_SETTLE() { others!SETTLED, r, 0; here[r] = false }

#define ready(n) (here[n] && (state[n] == outbound_qos1_QUEUED || state[n] == outbound_qos1_UNACKNOWLEDGED))
#define left_over(n) (disk_owed[n] && disk_owed[n] != disk_incarnation)

inline acknowledge()
{
    if
    :: publisher_connected -> printf("broker: PUBACK of message %d\n", message_of[r]);
        owed_to[message_of[r]] = matched[r]; to_publisher!message_of[r]
    :: else
    fi
}

/* To everybody who has subscribed: one delta, then the mail. */
inline route()
{
    row++;
    r = row;
    message_of[r] = message_in;
    matched[r] = session;
    deltas!OWED, r, incarnation;
    mail!r, incarnation;
#ifdef ACKNOWLEDGE_EARLY
    acknowledge()
#endif
}

inline commit()
{
    if
    :: what == OWED -> printf("disk: message %d is owed to session %d\n", message_of[r], name);
        disk_owed[r] = name;
#ifndef ACKNOWLEDGE_EARLY
        acknowledge() /* rule 1 */
#endif
    :: what == SETTLED -> printf("disk: message %d is settled\n", message_of[r]);
        assert(disk_owed[r]); /* rule 8: it meets a row */
        disk_owed[r] = 0
    :: what == BEGUN -> printf("disk: session %d begins\n", name);
        disk_incarnation = name; disk_session = r
    fi;
    r = 0; name = 0; what = 0
}

inline forget_queue()
{
    for (i : 1 .. ROWS) {
        here[i] = false;
        state[i] = 0
    }
    i = 0
}

/* The subscriber's connection is gone. */
inline disconnect()
{
    subscriber_connected = false;
    beginning = false;
    do
    :: to_subscriber?_
    :: from_subscriber?_
    :: empty(to_subscriber) && empty(from_subscriber) -> break
    od
}

inline crash()
{
    disconnect();
    publisher_connected = false;
    do
    :: to_broker?_
    :: to_publisher?_
    :: mail?_, _
    :: deltas?_, _, _
    :: others?_, _, _
    :: empty(to_broker) && empty(to_publisher) && empty(mail) && empty(deltas) && empty(others) -> break
    od;
    incarnation = disk_incarnation;
    session = disk_session;
    forget_queue();
    for (i : 1 .. ROWS) {
#ifdef SUCCESSOR_DELIVERY
        here[i] = (disk_owed[i] != 0)
#else
        here[i] = (disk_owed[i] == incarnation)
#endif
    }
    i = 0
}

active proctype publisher()
{
    byte x;
end:
    do
    :: atomic { !publisher_connected && message <= MESSAGES -> publisher_connected = true; sent = false }
    :: atomic { publisher_connected && !sent && message <= MESSAGES ->
        printf("publisher: PUBLISH of message %d\n", message); sent = true; to_broker!message }
    :: atomic { to_publisher?x ->
        if
        :: x == message -> acknowledged[x] = true; message++; sent = false
        :: else
        fi;
        x = 0 }
    od
}

active proctype subscriber()
{
    byte x;
end:
    do
    :: atomic { to_subscriber?x ->
        printf("subscriber: has message %d\n", message_of[x]);
        assert(matched[x] == life); /* rule 9 */
        delivered[message_of[x]] = true; from_subscriber!x; x = 0 }
    :: atomic { !subscriber_connected && !beginning ->
        printf("subscriber: connects\n"); subscriber_connected = true; life = session }
    :: atomic { !subscriber_connected && !beginning && renewals < RENEWALS ->
        printf("subscriber: connects with Clean Start, and subscribes\n");
        renewals++; session = renewals + 1;
#ifndef INCARNATION_REUSED
        incarnation = session;
#endif
        forget_queue(); beginning = true; others!BEGUN, session, incarnation }
    od
}

active proctype broker()
{
    byte message_in;
end:
    do
    :: atomic { to_broker?message_in -> route(); message_in = 0; r = 0 }
    :: atomic { mail?r, name ->
        if
#ifdef SUCCESSOR_DELIVERY
        :: true -> here[r] = true
#else
        :: name == incarnation -> here[r] = true
        :: else /* rule 9: its session has ended */
#endif
        fi;
        r = 0; name = 0 }
    :: atomic { subscriber_connected && (ready(1) || ready(2) || ready(3) || ready(4)) ->
        r = (ready(1) -> 1 : (ready(2) -> 2 : (ready(3) -> 3 : 4))); /* in the order of the queue */
        outbound_qos1_step(state[r], outbound_qos1_on_SEND);
        r = 0 }
    :: atomic { from_subscriber?r -> outbound_qos1_step(state[r], outbound_qos1_on_PUBACK); r = 0 }
    :: atomic { beginning && disk_session == session -> /* rule 5: CONNACK and SUBACK */
        beginning = false; subscriber_connected = true; life = session }
    :: atomic { deltas?what, r, name -> commit() }
#ifdef TWO_TRANSACTIONS
    :: atomic { others?what, r, name -> commit() }
#endif
    :: atomic { subscriber_connected && losses < LOSSES ->
        printf("network: the subscriber's connection is lost\n"); losses++; disconnect();
        for (r : 1 .. ROWS) {
            if
            :: here[r] -> outbound_qos1_step(state[r], outbound_qos1_on_CONNECTION_LOST)
            :: else
            fi
        }
        r = 0 }
    :: atomic { crashes < CRASHES -> printf("broker: dies and starts\n"); crashes++; crash() }
    /* What is owed to a session that has ended goes later, bit by bit. */
    :: atomic { left_over(1) -> disk_owed[1] = 0 }
    :: atomic { left_over(2) -> disk_owed[2] = 0 }
    :: atomic { left_over(3) -> disk_owed[3] = 0 }
    :: atomic { left_over(4) -> disk_owed[4] = 0 }
    od
}

/* When nothing moves any more, each message has come to the Session it was owed to, unless that has ended; and the store
 * is empty. */
active proctype ending()
{
    byte n;
    timeout;
    assert(message == MESSAGES + 1 && empty(deltas) && empty(others) && empty(mail));
    for (n : 1 .. MESSAGES) {
        assert(delivered[n] || owed_to[n] != session)
    }
    for (n : 1 .. ROWS) {
        assert(disk_owed[n] == 0)
    }
}
