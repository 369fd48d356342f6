"""Thousands of clients in one process, each with a stored session, that come back when they are sent away.

Some publish to the others, at QoS 1 and 2, a few messages each at a time; the rest keep what they get. The halves of
mqtt_session.py remember over connections; here is what waits for all of them at once."""

import select
import time
from collections import deque

import mqtt_packet as mqtt
import mqtt_wire
from mqtt_packet import CONNACK, SUBACK
from mqtt_session import Publisher, Subscriber

PENDING = 3000  # connections that wait for their CONNACK: less than a listener's queue holds
WINDOW = 4


class ManyFilesClient(mqtt_wire.Client):
    """One whose descriptor may be too high for select()."""

    def _wait(self, writing, deadline):
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if not poller.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise mqtt_wire.Late("the broker neither took nor sent a byte in time")


class Member:
    def __init__(self, name, half, topic=None):
        self.name, self.half, self.topic = name, half, topic
        self.client, self.is_there, self.visits = None, False, 0
        self.farewells = []  # how each connection ended

    def come(self, address):
        self.client = ManyFilesClient(address)
        self.client.send(mqtt.connect(5, self.name, clean=False, keep_alive=0,
                                      props={"session_expiry_interval": 3600}))

    def step(self):
        """Takes in what has come. Closed when that is the connection's end."""
        self.client.poll()
        while not self.is_there and (packet := self.client.next_packet()) is not None:
            self.arrive(packet)
        if self.is_there:
            self.half.step_if_any()  # also what came behind the CONNACK
        elif self.client.eof:
            raise mqtt_wire.Closed(f"{self.name} was not let in")

    def arrive(self, packet):
        """CONNACK; the first time, a subscriber's SUBACK behind it."""
        is_new = self.visits == 0
        if packet.kind == CONNACK:
            if packet.reason or packet.session_present == is_new:
                raise AssertionError(f"{self.name}, visit {self.visits + 1}: {packet}")
            self.client.connack = packet
            if is_new and self.topic is not None:
                self.client.send(mqtt.subscribe(5, 1, [(self.topic, 2)]))
                return
        elif packet.kind != SUBACK or packet.reasons != [2]:
            raise AssertionError(f"{self.name}: {packet}")
        self.visits += 1
        self.is_there = True
        self.half.attach(self.client)


class Fleet:
    def __init__(self, address, publishers, subscribers, random):
        self.address, self.random = address, random
        self.publishers = [Member(f"publisher-{n}", Publisher(WINDOW)) for n in range(publishers)]
        self.subscribers = [Member(f"member-{n}", Subscriber(), f"fleet/{n}") for n in range(subscribers)]
        self.members = self.publishers + self.subscribers
        self.away = deque(self.members)
        self.epoll, self.by_fd, self.pending = select.epoll(), {}, 0
        self.made = 0
        self.is_publishing = False

    # ---- What goes on ----

    def run_until(self, is_done, what, seconds):
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:.0f} s: {what}; {self}")
            self.turn()

    def turn(self):
        while self.away and self.pending < PENDING:
            self.begin(self.away.popleft())
        for fd, _ in self.epoll.poll(0.05):
            self.step(self.by_fd[fd])
        for member in self.publishers:
            if member.is_there:
                self.supply(member.half)
                self.step(member)

    def begin(self, member):
        member.come(self.address)
        self.pending += 1
        self.by_fd[member.client.socket.fileno()] = member
        self.epoll.register(member.client.socket, select.EPOLLIN)

    def step(self, member):
        was_there = member.is_there
        try:
            member.step()
        except mqtt_wire.Closed as end:
            self.part(member, str(end))
            return
        self.pending -= member.is_there and not was_there

    def part(self, member, why):
        self.pending -= not member.is_there
        member.is_there = False
        member.farewells.append(why)
        fd = member.client.socket.fileno()
        self.epoll.unregister(fd)
        del self.by_fd[fd]
        member.client.close()
        self.away.append(member)

    def supply(self, publisher):
        while self.is_publishing and len(publisher.queue) < WINDOW:
            to = self.random.randrange(len(self.subscribers))
            publisher.add(f"fleet/{to}", b"%d" % self.made, qos=1 + self.made % 2)
            self.made += 1

    # ---- What can be seen ----

    def __str__(self):
        return (f"{self.there()} there, {self.pending} waiting, {len(self.away)} away; {self.made} messages, "
                f"{len(self.acknowledged())} acknowledged, {len(self.received())} received")

    def there(self, visit=1):
        return sum(member.is_there and member.visits >= visit for member in self.members)

    def acknowledged(self):
        return [payload for member in self.publishers for payload in member.half.acknowledged]

    def received(self):
        return [payload for member in self.subscribers for payload in member.half.payloads()]

    def is_idle(self):
        """Everything that was begun is acknowledged to its end."""
        return not any(member.half.queue or member.half.flight for member in self.publishers)
