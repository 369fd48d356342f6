"""Publishers and subscribers that live through kills of the broker, and the books kept on them.

Each publisher numbers its messages. In the end each subscriber must have, of each publisher,
everything that was acknowledged, first arrivals in order, and at QoS 2 nothing twice.
"""

import time

import checks
from mqtt_session import Half, Publisher, Subscriber
from mqtt_wire import DEADLINE_S, Closed
from topics import matches

QUEUE = 20  # what a publisher has ready to send
GONE = (Closed, OSError)


class Member:
    """A client that comes and goes; `half` is what it remembers meanwhile."""

    def __init__(self, t, client_id, version, stored, half):
        self.t, self.client_id, self.version, self.stored = t, client_id, version, stored
        self.half, self.client, self.was_there = half, None, False

    def come(self):
        """Connects, and goes on where it was; may find no broker, or lose it again."""
        try:
            client = self.t.client(self.client_id, self.version, stored=self.stored)
            present = client.connack.session_present
            if self.stored and self.was_there and not present:
                raise AssertionError(f"the session of {self.client_id} is gone")
            self.was_there, self.client = True, client
            self.half.attach(client)
        except GONE:
            self.lose()

    def lose(self):
        """The connection is gone, but what has arrived on it counts."""
        if self.client is not None:
            try:
                Half.step_if_any(self.half)  # sends nothing new
            except GONE:
                pass
            self.client.close()
            self.client = None

    def act(self):
        try:
            self.half.step_if_any()
        except GONE:
            self.lose()


class NumberingPublisher(Member):
    def __init__(self, t, number, version, stored, qos):
        super().__init__(t, f"publisher-{number}", version, stored,
                         Publisher(window=t.random.randrange(1, 20)))
        self.qos, self.topic, self.numbers = qos, f"crash/{number}", 0

    def act(self):
        while len(self.half.queue) < QUEUE:
            self.half.add(self.topic, b"%d" % self.numbers, self.qos)
            self.numbers += 1
        super().act()


class StoredSubscriber(Member):
    def __init__(self, t, number, version, topic_filter, qos):
        super().__init__(t, f"subscriber-{number}", version, True, Subscriber())
        self.topic_filter, self.qos = topic_filter, qos

    def subscribe(self):
        self.come()
        self.client.subscribe(self.topic_filter, qos=self.qos)

    def numbers(self, topic):
        return [int(payload) for payload in self.half.payloads(topic=topic)]

    def receive_all_of(self, publishers):
        deadline = time.monotonic() + DEADLINE_S
        owed = {(publisher.topic, payload) for publisher in publishers
                if matches(self.topic_filter, publisher.topic)
                for payload in publisher.half.acknowledged}
        counted = 0
        while owed or self.half.held:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{self.client_id}: {len(owed)} acknowledged messages have not come, such as "
                    f"{sorted(owed)[:5]}; {len(self.half.held)} PUBRELs have not")
            self.half.step_if_any()
            for packet in self.half.received[counted:]:
                owed.discard((packet.topic, packet.payload))
            if counted == len(self.half.received):
                self.t.pass_time(0.001)
            counted = len(self.half.received)
        self.half.drain()


def check_pair(publisher, subscriber):
    what = (f"{publisher.client_id} (QoS {publisher.qos}, {'stored' if publisher.stored else ''}) "
            f"to {subscriber.client_id} (QoS {subscriber.qos})")
    came = subscriber.numbers(publisher.topic)
    first = list(dict.fromkeys(came))
    checks.in_order(what, first)
    # A publisher without a session cannot know what has arrived, and publishes it again.
    if min(publisher.qos, subscriber.qos) == 2 and publisher.stored and len(came) != len(first):
        seen = set()
        twice = [number for number in came if number in seen or seen.add(number)]
        raise AssertionError(f"{what}: {len(twice)} came twice, such as {twice[:5]}")


class Rig:
    def __init__(self, t):
        self.t = t
        self.publishers = [
            NumberingPublisher(t, number, version, stored, qos) for number, (version, stored, qos)
            in enumerate(((4, True, 1), (4, True, 2), (5, True, 1), (5, True, 2), (4, False, 1),
                          (5, False, 2), (5, True, 2), (4, True, 2)))
            # The control routes at PUBREL, and so forgets what a lost session had not released.
            if stored or qos == 1 or t.dialect.name == "holdfast"]
        self.subscribers = [
            StoredSubscriber(t, number, version, topic_filter, qos)
            for number, (version, topic_filter, qos)
            in enumerate(((4, "crash/#", 2), (5, "crash/+", 2), (4, "#", 1), (5, "crash/3", 1),
                          (5, "crash/6", 2)))]
        for subscriber in self.subscribers:
            subscriber.subscribe()

    def members(self):
        return self.publishers + self.subscribers

    def acknowledged(self):
        return sum(len(publisher.half.acknowledged) for publisher in self.publishers)

    def live(self, seconds):
        """Everybody works, until something has been done; some go and come back."""
        deadline = time.monotonic() + seconds
        wanted = self.acknowledged() + 20
        give_up = deadline + DEADLINE_S
        while time.monotonic() < deadline or self.acknowledged() < wanted:
            if time.monotonic() > give_up:
                raise AssertionError("the broker acknowledges next to nothing")
            for member in self.members():
                if member.client is None:
                    if self.t.random.random() < 0.2:
                        member.come()
                elif self.t.random.random() < 0.01:
                    member.lose()
                else:
                    member.act()

    def kill(self):
        self.t.broker.kill()
        for member in self.members():
            member.lose()
        self.t.broker.start()

    def settle(self):
        """Everything under way arrives; then the books."""
        for member in self.members():
            if member.client is None:
                member.come()
        for publisher in self.publishers:
            while publisher.half.queue or publisher.half.flight:
                publisher.half.step()
                for subscriber in self.subscribers:
                    subscriber.half.step_if_any()
        for subscriber in self.subscribers:
            subscriber.receive_all_of(self.publishers)
            for publisher in self.publishers:
                check_pair(publisher, subscriber)

    def close(self):
        for member in self.members():
            member.client.disconnect()
            member.client = None
