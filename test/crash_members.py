"""Honest clients that live through kills of the broker, and the books kept on them.

Each stream is one publisher's messages of one topic and QoS, numbered without a gap. Of a stream a
subscriber must get 0, 1, 2, ...: a number that is left out is lost or out of order, one that comes
again is a repetition, which QoS 2 forbids. So a book is one number a stream, and is checked with
each arrival.
"""

import time

import mqtt_packet as mqtt
from mqtt_packet import PUBLISH
from mqtt_session import Half, Publisher, Subscriber
from mqtt_wire import DEADLINE_S, Closed
from topics import matches

QUEUE = 20  # what a publisher has ready to send
LARGE = 20000  # bytes of a message that is not packed with others
GONE = (Closed, OSError)


class Broken(AssertionError):
    """A promise is broken."""


class Stream:
    def __init__(self, topic, qos, kept):
        """`kept`: the publisher has a session, so that it never publishes one message twice."""
        self.topic, self.qos, self.kept = topic, qos, kept
        self.made = self.acknowledged = 0  # numbers below these

    def payload(self, number, padding=0):
        return b"%s %d %s" % (self.topic.encode(), number, b"." * padding)


def number_of(packet):
    return int(packet.payload.split(b" ", 2)[1])


class Member:
    """A client that comes and goes; `half` is what it remembers meanwhile."""

    there = 0.2  # how likely it is to come at a chance to

    def __init__(self, rig, client_id, version, stored, half):
        self.rig, self.t = rig, rig.t
        self.client_id, self.version, self.stored = client_id, version, stored
        self.half, self.client, self.was_there = half, None, False

    def open(self):
        return self.t.open(self.version, trace=self.rig.history.recorder(self.client_id))

    def connect(self, **fields):
        """A connection with its CONNACK; the session must be there when it was."""
        client, known = self.open(), self.was_there
        self.was_there = known or None  # in doubt, until the CONNACK has come
        client.connect(self.client_id, stored=self.stored, **fields)
        present = client.connack.session_present
        if known is not None and present != (self.stored and known):
            raise Broken(f"the session of {self.client_id} is "
                         f"{'there, and was ended' if present else 'gone'}")
        self.was_there = True
        self.rig.count("sessions_resumed", present)
        return client

    def come(self):
        """Connects, and goes on where it was; may find no broker, or lose it again."""
        try:
            self.client = self.connect()
            self.half.attach(self.client)
        except GONE as error:
            self.gone(error)

    def gone(self, error):
        """The connection is lost, which only a broker that has been killed may do."""
        self.rig.must_be_dead(f"{self.client_id}: {error}")
        self.lose()

    def lose(self):
        """The connection is gone, but what has arrived on it counts."""
        if self.client is not None:
            try:
                Half.step_if_any(self.half)  # sends nothing new
            except GONE:
                pass
            self.close()

    def close(self):
        self.client.close()
        self.t.opened.remove(self.client)
        self.client = None

    def act(self):
        try:
            self.half.step_if_any()
        except GONE as error:
            self.gone(error)


class NumberingPublisher(Member):
    def __init__(self, rig, number, version, stored, *levels):
        random = rig.t.random
        super().__init__(rig, f"publisher-{number}", version, stored,
                         Publisher(window=random.randrange(1, 20), thrifty=number % 2 == 1))
        self.streams = [Stream(f"crash/{number}/{qos}", qos, stored) for qos in levels]
        self.by_topic = {stream.topic: stream for stream in self.streams}

    def make(self):
        """One more message."""
        stream = self.t.random.choice(self.streams)
        padding = LARGE if self.t.random.random() < 0.01 else self.t.random.randrange(200)
        self.half.add(stream.topic, stream.payload(stream.made, padding), stream.qos)
        stream.made += 1

    def keep_books(self):
        for payload in self.half.acknowledged:
            topic, number = payload.split(b" ", 2)[:2]
            stream = self.by_topic[topic.decode()]
            if int(number) != stream.acknowledged:
                raise Broken(f"{self.client_id}: number {int(number)} of {stream.topic} was "
                             f"acknowledged where {stream.acknowledged} was due")
            stream.acknowledged += 1
        self.rig.count("acknowledged", len(self.half.acknowledged))
        self.half.acknowledged.clear()
        if self.half.refused:
            raise Broken(f"{self.client_id} was refused {self.half.refused[:3]}")

    def act(self):
        while len(self.half.queue) < QUEUE:
            self.make()
        super().act()
        self.keep_books()

    def lose(self):
        super().lose()
        self.keep_books()

    def is_done(self):
        return not self.half.queue and not self.half.flight

    def finish(self):
        """Goes on until all is acknowledged; one step."""
        if not self.is_done():
            self.half.step_if_any()
            self.keep_books()


class RetainingPublisher(NumberingPublisher):
    """Sets and deletes one retained message; knows which values it may have."""

    def __init__(self, rig, number, version, qos):
        super().__init__(rig, number, version, True)
        self.client_id, self.topic = f"retaining-{number}", f"retained/{number}"
        self.stream = Stream(self.topic, qos, True)
        self.by_topic = {self.topic: self.stream}
        self.value = b""  # as acknowledged

    def make(self):
        if self.t.random.random() < 0.2:
            self.half.add(self.topic, b"", self.stream.qos, retain=True)
            return
        payload = self.stream.payload(self.stream.made)
        self.half.add(self.topic, payload, self.stream.qos, retain=True)
        self.stream.made += 1

    def keep_books(self):
        if self.half.acknowledged:
            self.value = self.half.acknowledged[-1]
        self.half.acknowledged = [payload for payload in self.half.acknowledged if payload]
        super().keep_books()

    def may_be(self):
        """What a new subscription may find: what was acknowledged last, or sent behind it."""
        return {self.value} | {message.payload for message in self.half.flight.values()
                               if not message.released}


class Book(Subscriber):
    """Hands each message on as it comes, and keeps none."""

    def __init__(self, arrived):
        super().__init__()
        self.arrived = arrived

    def handle(self, packet):
        answer = super().handle(packet)
        if self.received:
            self.arrived(self.received.pop())
        return answer


class StoredSubscriber(Member):
    def __init__(self, rig, number, version, topic_filter, qos, name="subscriber"):
        super().__init__(rig, f"{name}-{number}", version, True, Book(self.arrived))
        self.topic_filter, self.qos = topic_filter, qos
        self.next = {}  # topic -> number
        self.wills = {}  # payload -> how often it has come

    def subscribe(self):
        self.come()
        self.client.subscribe(self.topic_filter, qos=self.qos)

    def arrived(self, packet):
        self.rig.count("delivered", 1)
        if packet.topic.startswith("will/"):
            self.will_arrived(packet)
        elif packet.payload and packet.topic in self.rig.streams:
            self.number_arrived(self.rig.streams[packet.topic], number_of(packet))

    def will_arrived(self, packet):
        self.wills[packet.payload] = self.wills.get(packet.payload, 0) + 1
        if self.qos == 2 and packet.qos == 2 and self.wills[packet.payload] > 1:
            raise Broken(f"{self.client_id}: the will {packet.payload!r} came twice")
        self.rig.wills.check_may_come(self.client_id, packet.payload)

    def is_exact(self, stream):
        return stream.kept and min(stream.qos, self.qos) == 2

    def repeated(self, stream, number):
        self.rig.count("repeated", 1)
        if self.is_exact(stream):
            raise Broken(f"{self.client_id}: number {number} of {stream.topic} came twice at QoS 2")

    def number_arrived(self, stream, number):
        due = self.next.get(stream.topic, 0)
        if number < due:
            self.repeated(stream, number)
        elif number > due:
            raise Broken(f"{self.client_id}: number {number} of {stream.topic} came, and {due} has "
                         f"not ({stream.acknowledged} are acknowledged)")
        else:
            self.next[stream.topic] = number + 1

    def is_owed(self):
        """What has been acknowledged and has not come, as words; None when nothing."""
        for stream in self.rig.streams.values():
            came = self.next.get(stream.topic, 0)
            if matches(self.topic_filter, stream.topic) and came < stream.acknowledged:
                return f"{stream.acknowledged - came} of {stream.topic}, from number {came} on"
        if matches(self.topic_filter, "will/x"):
            for will in self.rig.wills.owed():
                if will not in self.wills:
                    return f"the will {will!r}"
        return f"{len(self.half.held)} PUBRELs" if self.half.held else None

    def finish(self):
        """Until all that is owed has come, and nothing is behind it."""
        deadline = time.monotonic() + DEADLINE_S
        while (owed := self.is_owed()) is not None:
            if time.monotonic() > deadline:
                raise Broken(f"{self.client_id}: acknowledged, and has not come: {owed}")
            self.half.step_if_any()
            if self.is_owed() is not None:
                self.t.pass_time(0.001)
        self.half.drain()


class AwaySubscriber(StoredSubscriber):
    """Comes when the books are closed, and seldom otherwise."""
    there = 0.002


class SharingSubscriber(StoredSubscriber):
    """A member of a group that has each message once between them."""

    def __init__(self, rig, number, version, qos, group):
        super().__init__(rig, number, version, "$share/group/crash/#", qos, "sharing")
        self.group = group
        self.last = {}  # topic -> number

    def number_arrived(self, stream, number):
        if not self.group.take(stream, number):
            self.repeated(stream, number)
            return
        # Of what may be published again, another member may have had the first copy.
        if self.is_exact(stream) and number < self.last.get(stream.topic, 0):
            raise Broken(f"{self.client_id}: number {number} of {stream.topic} came behind "
                         f"{self.last[stream.topic]}")
        self.last[stream.topic] = number

    def is_owed(self):
        return f"{len(self.half.held)} PUBRELs" if self.half.held else None


class Group:
    """What the members of a shared subscription have received between them."""

    def __init__(self, rig):
        self.rig, self.next, self.ahead = rig, {}, {}

    def take(self, stream, number):
        """False: somebody has had it."""
        due, ahead = self.next.get(stream.topic, 0), self.ahead.setdefault(stream.topic, set())
        if number < due or number in ahead:
            return False
        ahead.add(number)
        while due in ahead:
            ahead.discard(due)
            due += 1
        self.next[stream.topic] = due
        return True

    def is_owed(self):
        for stream in self.rig.streams.values():
            came = self.next.get(stream.topic, 0)
            if stream.topic.startswith("crash/") and came < stream.acknowledged:
                return f"of {stream.topic}, {came} and others below {stream.acknowledged}"
        return None

    def finish(self, members):
        deadline = time.monotonic() + DEADLINE_S
        while (owed := self.is_owed()) is not None:
            if time.monotonic() > deadline:
                raise Broken(f"the group: acknowledged, and has not come to any member: {owed}")
            for member in members:
                member.half.step_if_any()


class Starter(StoredSubscriber):
    """Ends its session now and then and starts a new one, which is owed only what is new."""

    def __init__(self, rig, number, version, topic_filter, qos):
        super().__init__(rig, number, version, topic_filter, qos, "starter")
        self.floor, self.since = {}, {}  # topic -> number: none below it; all from it on
        self.subscribed = False

    def connect(self, **fields):
        """A stored session, from the start where the last attempt at that is in doubt."""
        if self.was_there:
            return super().connect(**fields)
        floor = {topic: stream.acknowledged for topic, stream in self.rig.streams.items()}
        client = self.open()
        client.connect(self.client_id, clean=True, **(
            {"expiry": 3600} if self.version == 5 else {}))
        if client.connack.session_present:
            raise Broken(f"the session of {self.client_id} is there behind a clean start")
        self.floor, self.next, self.since = floor, {}, {}
        self.was_there, self.subscribed = self.version == 5, False
        if self.version != 5:  # Clean Session 1 ends with its connection
            client.disconnect()
            client = super().connect(**fields)
        return client

    def come(self):
        super().come()
        if self.client is not None and not self.subscribed:
            self.ask()

    def ask(self):
        try:
            self.client.subscribe(self.topic_filter, qos=self.qos)
            self.subscribed = True
            self.since = {topic: stream.made for topic, stream in self.rig.streams.items()}
        except GONE as error:
            self.gone(error)

    subscribe = come

    def act(self):
        super().act()
        if self.client is not None and self.t.random.random() < 0.01:
            self.lose()
            self.was_there = False  # so the next CONNECT starts anew

    def number_arrived(self, stream, number):
        if number < self.floor.get(stream.topic, 0):
            raise Broken(f"{self.client_id}: number {number} of {stream.topic} was owed to a "
                         "session that has ended")
        promised = self.since.get(stream.topic, number)  # none before the SUBACK
        if self.next.get(stream.topic, -1) < number <= promised:
            self.next[stream.topic] = number
        super().number_arrived(stream, number)

    def is_owed(self):
        for topic, since in self.since.items():
            stream = self.rig.streams[topic]
            if matches(self.topic_filter, topic) and \
                    max(since, self.next.get(topic, 0)) < stream.acknowledged:
                return f"{topic}, from number {max(since, self.next.get(topic, 0))} on"
        return f"{len(self.half.held)} PUBRELs" if self.half.held else None


class Wills:
    """What is known of each will: it may come, or it must. All others must not."""

    MAY, MUST = "may come", "must come"

    def __init__(self):
        self.verdicts = {}
        self.aging = set()

    def say(self, will, verdict):
        self.verdicts[will] = verdict

    def cancel(self, will):
        self.verdicts.pop(will, None)

    def check_may_come(self, who, will):
        if will not in self.verdicts:
            raise Broken(f"{who}: the will {will!r} came, and its client is there or has gone well")

    def owed(self):
        return [will for will, verdict in self.verdicts.items() if verdict == self.MUST]

    def close_books(self):
        """What must come has; at QoS 1 it may come once more, when a crash forgets the PUBACK."""
        kept = set(self.verdicts) - self.aging
        self.verdicts, self.aging = {will: self.MAY for will in kept}, kept


class WillClient(Member):
    """Connects with a will of its own each time, and goes in every way there is."""

    def __init__(self, rig, number, version, stored=False, delay_s=0):
        super().__init__(rig, f"will-{number}", version, stored, Subscriber())
        self.delay_s, self.serial = delay_s, 0
        self.will = None  # of this connection
        self.cancelled = []  # by a DISCONNECT that may not be on disk yet

    def come(self):
        self.serial += 1
        old, new = self.will, b"will/%s %d" % (self.client_id.encode(), self.serial)
        qos = self.t.random.choice((1, 2))
        will = {"topic": f"will/{self.client_id}", "payload": new, "qos": qos}
        if self.version == 5 and self.delay_s:
            will["will_delay_interval"] = self.delay_s
        taken_over, self.client = self.client, None
        if not self.delay_s:
            self.rig.wills.say(new, Wills.MAY)
        if taken_over is not None:
            self.lost(old)
        try:
            client = self.connect(will=will)
        except GONE as error:
            self.gone(error)
            return
        finally:
            if taken_over is not None:
                taken_over.close()
                self.t.opened.remove(taken_over)
        for one in self.cancelled:  # this CONNACK is behind it
            self.rig.wills.cancel(one)
        self.cancelled.clear()
        self.client, self.will = client, new
        self.rig.wills.cancel(new)  # as long as it is connected
        self.half.attach(client)

    def lost(self, will):
        """Its connection has ended without a DISCONNECT."""
        if will is not None and not self.delay_s:
            self.rig.wills.say(will, Wills.MUST)
            self.rig.count("wills", 1)

    def lose(self):
        self.lost(self.will)
        self.will = None
        self.cancelled.clear()  # a kill may have forgotten it
        super().lose()

    def leave(self):
        will, self.will = self.will, None
        if not self.delay_s:
            self.rig.wills.say(will, Wills.MAY)
        try:
            self.client.disconnect()
            if not self.delay_s:
                self.cancelled.append(will)
            self.client = None
        except GONE as error:
            self.gone(error)

    def act(self):
        super().act()
        if self.client is None:
            return
        chance = self.t.random.random()
        if chance < 0.01:
            self.leave()
        elif chance < 0.02:
            self.come()


class History:
    """What went over the connections since the books were closed last."""

    def __init__(self):
        self.events, self.started = [], time.monotonic()

    def recorder(self, who):
        def record(direction, data):
            self.events.append((time.monotonic() - self.started, who, direction, bytes(data)))
        return record

    def say(self, what):
        self.events.append((time.monotonic() - self.started, "", "", what))

    def forget(self):
        self.events.clear()

    def write(self, path):
        streams = {}
        with open(path, "w", encoding="utf-8") as file:
            for when, who, direction, data in self.events:
                if isinstance(data, str):
                    file.write(f"{when:.6f} ---- {data}\n")
                    continue
                waiting = streams.setdefault((who, direction), bytearray())
                if data[:1] == b"\x10" and direction == "->":  # CONNECT: a new connection
                    waiting.clear()
                    streams.pop((who, "<-"), None)
                waiting += data
                for packet in split(waiting):
                    file.write(f"{when:.6f} {who} {direction} {packet}\n")


def split(data):
    """Takes whole packets from the front, as words."""
    while len(data) >= 2:
        length = shift = 0
        at = 1
        while at < len(data):
            length |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        else:
            return
        if len(data) < at + length:
            return
        kind, flags, body = data[0] >> 4, data[0] & 15, bytes(data[at:at + length])
        del data[:at + length]
        yield describe(kind, flags, body)


def describe(kind, flags, body):
    name = mqtt.NAMES[kind]
    if kind == PUBLISH:
        size = int.from_bytes(body[:2], "big")
        topic, rest = body[2:2 + size].decode(errors="replace"), body[2 + size:]
        packet_id = int.from_bytes(rest[:2], "big") if flags & 6 else 0
        text = rest[2 if flags & 6 else 0:].lstrip(b"\x00")[:60].rstrip(b".")
        return (f"{name} {packet_id} qos={flags >> 1 & 3} dup={flags >> 3} retain={flags & 1} "
                f"{topic} {text!r}")
    if 4 <= kind <= 11 and len(body) >= 2:
        return f"{name} {int.from_bytes(body[:2], 'big')} {body[2:40].hex()}"
    return f"{name} flags={flags} {body[:40].hex()}"
