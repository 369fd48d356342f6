/* Two devices use one Client Identifier. They connect CONNECTS times, with and without a Will Message, with and without
 * Clean Start, and take the Session over from each other; connections end at any point, by DISCONNECT or without a word;
 * the broker crashes at any point and writes behind.
 *
 * The tables are machines.pml, made of fsm/connection.def, fsm/session.def and fsm/will.def; what their actions mean and
 * which machine's action is another's event is here, as docs/spec/README.md has it. */
#include "machines.pml"

#ifndef CONNECTS
#define CONNECTS 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif

#define NOBODY 2
#define NEVER_ENDS 2 /* of the Session Expiry Interval; 1: some time; 0: with the connection */

/* The devices, and what the CONNECT of each asks for. */
byte connection[2], expiry[2], connects, crashes;
bool clean[2], with_will[2], delayed[2];
bool promised; /* CONNACK was sent for a Session that outlives its connection, and it has not ended */

/* The broker's memory: what belongs to the Session. */
byte session, will, session_expiry, owner = NOBODY, arriving = NOBODY;
byte life, began;       /* which Session it is, and the last that began */
byte kept, will_number; /* which Will Message it has, and the last that came */
bool present, will_delayed;

/* The disk, what has become of each Will Message, and what is on its way there. One delta has all that one event
 * changes. */
byte disk_life, disk_kept, disk_expiry;
bool disk_delayed, dirty;
bool published[CONNECTS + 1], cancelled[CONNECTS + 1], may_cancel[CONNECTS + 1], acknowledged[CONNECTS + 1];
byte publishing, cancelling; /* of the delta that is being made */
chan writing = [3] of { byte, byte, byte, bool, byte, byte };

/* Events that follow from actions: of which machine, which, and of which connection. */
#define CONNECTION 0
#define SESSION 1
#define WILL 2
chan next = [4] of { byte, byte };
byte self;
byte machine, event, w, c;

/* ---- What the actions of the tables mean ---- */

inline connection_do_AUTHENTICATE() { assert(false) } /* authentication.pml has these three */
inline connection_do_EXCHANGE() { assert(false) }
inline connection_do_REFUSE() { assert(false) }
inline connection_do_START_SESSION()
{
    owner = self;
    if
    :: clean[self] -> promised = false; next!SESSION, session_on_CONNECT_CLEAN
    :: else -> may_cancel[kept] = true; next!SESSION, session_on_CONNECT_RESUME
    fi
}
inline connection_do_CONNACK()
{
    printf("broker: CONNACK to device %d, Session Present %d\n", self, present);
    assert(owner == self && connection[1 - self] != connection_CONNECTED); /* MQTT-3.1.4-3 */
    assert(present || !promised); /* rule 5 */
    acknowledged[kept] = true;
    promised = (session_expiry > 0);
    present = false
}
inline connection_do_HANDLE() { skip }
inline connection_do_CLOSE_NORMALLY() { may_cancel[kept] = true; next!WILL, will_on_DISCONNECT_NORMAL }
inline connection_do_DETACH() { assert(owner == self); detach() }
inline connection_do_SEND_DISCONNECT() { printf("broker: DISCONNECT to device %d\n", self) }
inline connection_do_DRAIN() { skip }
inline connection_do_CLOSE() { skip }

inline session_do_CREATE() { began++; life = began; present = false; begin() }
inline session_do_RESUME() { present = true; begin() }
inline session_do_END() { life = 0; session_expiry = 0; promised = false; next!WILL, will_on_SESSION_ENDED }
inline session_do_ARM_EXPIRY() { skip }
inline session_do_CANCEL_EXPIRY() { skip }

inline will_do_KEEP()
{
    assert(!kept);
    will_number++;
    kept = will_number;
    will_delayed = delayed[self];
    delayed[self] = false;
    printf("broker: keeps will %d\n", kept)
}
inline will_do_PUBLISH() { assert(kept && !publishing); publishing = kept }
inline will_do_FORGET()
{
    if
    :: publishing == kept
    :: else -> assert(may_cancel[kept] && !cancelling); cancelling = kept
    fi;
    kept = 0;
    will_delayed = false
}
inline will_do_ARM_DELAY() { skip }
inline will_do_CANCEL_DELAY() { skip }

inline begin()
{
    session_expiry = expiry[self];
    clean[self] = false; expiry[self] = 0;
    next!WILL, (with_will[self] -> will_on_CONNECT_WITH_WILL : will_on_CONNECT_WITHOUT_WILL);
    with_will[self] = false
}

/* The connection is gone: the will first, then the Session. */
inline detach()
{
    owner = NOBODY;
    next!WILL, (will_delayed -> will_on_CLOSED_DELAYED : will_on_CLOSED_NOW);
    next!SESSION, (session_expiry == 0 -> session_on_CLOSED_ENDS :
                   (session_expiry == NEVER_ENDS -> session_on_CLOSED_STAYS : session_on_CLOSED_WAITS))
}

/* ---- What happens ---- */

#ifdef CONNACK_EARLY
#define durable true
#else
#define durable empty(writing) /* rule 5 */
#endif
#ifdef WILL_KEPT
#define kept_on_disk (publishing -> publishing : kept)
#else
#define kept_on_disk kept
#endif
#define quiet (empty(next) && !dirty && arriving == NOBODY)

inline connect()
{
    connects++;
    if
    :: clean[self] = false
    :: clean[self] = true
    fi;
    if
    :: with_will[self] = false; delayed[self] = false
    :: with_will[self] = true; delayed[self] = false
    :: with_will[self] = true; delayed[self] = true
    fi;
    if
    :: expiry[self] = 0
    :: expiry[self] = 1
    :: expiry[self] = NEVER_ENDS
    fi;
    printf("client: CONNECT of device %d, Clean Start %d, will %d (delayed %d), expiry %d\n", self,
           clean[self], with_will[self], delayed[self], expiry[self]);
    arriving = self
}

inline crash()
{
    crashes++;
    do
    :: writing?_, _, _, _, _, _
    :: empty(writing) -> break
    od;
    connection[0] = connection_ACCEPTED;
    connection[1] = connection_ACCEPTED;
    life = disk_life;
    kept = disk_kept;
    session_expiry = disk_expiry;
    will_delayed = disk_delayed;
    owner = NOBODY;
    session = (life -> session_CONNECTED : session_ABSENT);
    will = (kept -> will_ARMED : will_NONE);
    if
    :: life -> self = 0; detach() /* rule 16: a crash is an end of the connection */
    :: else
    fi
}

active proctype broker()
{
end:
    do
    /* What follows from an event comes before anything else. */
    :: atomic { nempty(next) ->
        next?machine, event;
        dirty = (dirty || machine != CONNECTION);
        if
        :: machine == CONNECTION -> connection_step(connection[self], event);
            if /* what is left to send, and the end of it, change nothing here */
            :: connection[self] == connection_CLOSING -> connection[self] = connection_ACCEPTED
            :: else
            fi
        :: machine == SESSION -> session_step(session, event)
        :: machine == WILL -> will_step(will, event)
        fi;
        machine = 0; event = 0 }
    :: atomic { empty(next) && dirty && nfull(writing) ->
        writing!life, kept_on_disk, session_expiry, will_delayed, publishing, cancelling;
        publishing = 0; cancelling = 0; dirty = false; self = 0 }
    :: atomic { empty(next) && !dirty && arriving != NOBODY ->
        if
        :: owner != NOBODY ->
            printf("broker: device %d is taken over\n", owner);
            self = owner; next!CONNECTION, connection_on_TAKEN_OVER
        :: else -> self = arriving; arriving = NOBODY; next!CONNECTION, connection_on_CONNECT
        fi }
    :: atomic { quiet && connects < CONNECTS ->
        if
        :: connection[0] == connection_ACCEPTED -> self = 0
        :: connection[1] == connection_ACCEPTED -> self = 1
        fi;
        connect() }
    :: atomic { quiet && owner != NOBODY && connection[owner] == connection_RESUMING && durable ->
        self = owner; next!CONNECTION, connection_on_RESUMED }
    :: atomic { quiet && owner != NOBODY && connection[owner] == connection_CONNECTED ->
        printf("client: DISCONNECT of device %d\n", owner);
        self = owner; next!CONNECTION, connection_on_DISCONNECT }
    :: atomic { quiet && owner != NOBODY ->
        printf("network: the connection of device %d is lost\n", owner);
        self = owner; next!CONNECTION, connection_on_PEER_CLOSED }
    :: atomic { quiet && will == will_DELAYED ->
        printf("broker: the Will Delay Interval has passed\n"); next!WILL, will_on_DUE }
    :: atomic { quiet && session == session_DISCONNECTED && session_expiry == 1 ->
        printf("broker: the Session expires\n"); next!SESSION, session_on_EXPIRED }
    :: atomic { empty(next) && (full(writing) || (nempty(writing) && !dirty && arriving == NOBODY)) ->
        writing?disk_life, disk_kept, disk_expiry, disk_delayed, w, c;
        printf("disk: session %d with will %d; will %d is published, %d forgotten\n", disk_life,
               disk_kept, w, c);
        assert(w == 0 || (!published[w] && !cancelled[w]));
        assert(c == 0 || (!published[c] && !cancelled[c]));
        published[w] = (w > 0); cancelled[c] = (c > 0);
        self = 0; w = 0; c = 0 }
    :: atomic { quiet && crashes < CRASHES -> printf("broker: dies and starts\n"); crash() }
    od
}

/* When nothing moves any more, each Will Message that was acknowledged has been published or cancelled, and the store is
 * empty, but for a Session that never ends. */
active proctype ending()
{
    byte i;
    timeout;
    assert(disk_life == life && disk_kept == 0 && kept == 0);
    assert(life == 0 || session_expiry == NEVER_ENDS);
    for (i : 1 .. CONNECTS) {
        assert(!acknowledged[i] || published[i] || cancelled[i])
    }
}
