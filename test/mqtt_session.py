"""The two halves of a Client's Session State (5.0 section 4.1), kept over connections and crashes.

A `Publisher` resends what was not acknowledged, a `Subscriber` knows a QoS 2 redelivery from a new
message: what a case needs to say "at least once" and "exactly once" across restarts.
"""

import time
from collections import OrderedDict, deque

import mqtt_packet as mqtt
from mqtt_packet import DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqtt_wire import DEADLINE_S, Closed

SHUTTING_DOWN = 0x8B


class Half:
    """What both halves do with the packets of their connection."""

    client = None

    def _handle_all(self, packets):
        """These packets, and all that have come behind them; answered in one write."""
        answers = b"".join(self.handle(packet) for packet in packets)
        while (packet := self.client.next_packet()) is not None:
            if packet.kind == DISCONNECT and packet.reason == SHUTTING_DOWN:
                raise Closed(f"{packet}")
            answers += self.handle(packet)
        if answers:
            self.client.send(answers)

    def step_if_any(self):
        """Handles what has come, if anything."""
        self.client.poll()
        set_aside = list(self.client.inbox)
        self.client.inbox.clear()
        self._handle_all(set_aside)
        if self.client.eof:
            raise Closed("the broker closed the connection")


class Outgoing:
    """One message on its way to the broker."""

    def __init__(self, topic, payload, qos, retain=False):
        self.topic, self.payload, self.qos, self.retain = topic, payload, qos, retain
        self.released = False  # QoS 2: PUBREC received, PUBREL owed


class Publisher(Half):
    """Publishes a queue of messages, `window` at a time, as one session. `thrifty`: under the
    lowest Packet Identifier that is free, and so soon under one that was just used."""

    def __init__(self, window=None, thrifty=False):
        self.thrifty = thrifty
        self.wanted_window = self.window = window
        self.queue = deque()
        self.flight = OrderedDict()  # Packet Identifier -> Outgoing, in the order of sending
        self.unanswered = deque()  # identifiers in the order in which answers are due (rule 7)
        self.acknowledged = []  # payloads that the broker has taken ownership of
        self.refused = []  # (payload, Reason Code) of those it has not
        self.client = None
        self.last_id = 0

    def add(self, topic, payload, qos, retain=False):
        self.queue.append(Outgoing(topic, payload, qos, retain))

    def attach(self, client):
        """Goes on over this connection, with the session if the broker still has it."""
        self.client = client
        self.unanswered.clear()
        # Before MQTT 5 nobody says how many may be in flight; 20 is what clients are used to.
        limit = client.connack.props.get("receive_maximum", 65535)
        self.window = min(self.wanted_window or (100 if client.version == 5 else 20), limit)
        if client.connack.session_present:
            self._resend()
        else:
            # What was released has arrived; the rest is published anew, under new identifiers.
            self.queue.extendleft(reversed([message for message in self.flight.values()
                                            if not message.released]))
            self.flight.clear()

    def _resend(self):
        """[MQTT-4.4.0-1]"""
        out = b""
        for packet_id, message in self.flight.items():
            if message.released:
                out += mqtt.acknowledgement(PUBREL, packet_id)
            else:
                out += self._packet(packet_id, message, dup=True)
                self.unanswered.append(packet_id)
        self.client.send(out)

    def _packet(self, packet_id, message, dup=False):
        return mqtt.publish(self.client.version, message.topic, message.payload, message.qos,
                            packet_id if message.qos else None, dup, message.retain)

    def _new_id(self):
        if self.thrifty:
            self.last_id = 0
        while True:
            self.last_id = self.last_id % 65535 + 1
            if self.last_id not in self.flight:
                return self.last_id

    def _fill(self):
        """Sends as many as the window takes, in one write."""
        out = b""
        while self.queue and len(self.flight) < self.window:
            message = self.queue.popleft()
            packet_id = 0
            if message.qos:
                packet_id = self._new_id()
                self.flight[packet_id] = message
                self.unanswered.append(packet_id)
            out += self._packet(packet_id, message)
        if out:
            self.client.send(out)

    def handle(self, packet):
        """One packet from the broker; returns what it is answered with."""
        if packet.kind not in (PUBACK, PUBREC, PUBCOMP):
            raise AssertionError(f"an acknowledgement was awaited, {packet} came")
        message = self.flight.get(packet.packet_id)
        if message is None:
            raise AssertionError(f"{packet} for a Packet Identifier that is not in flight")
        if packet.kind == PUBCOMP:
            del self.flight[packet.packet_id]
            return b""
        due = self.unanswered.popleft() if self.unanswered else None
        if due != packet.packet_id:
            raise AssertionError(f"{packet} came where the answer to {due} was due (rule 7)")
        if packet.reason >= 0x80:
            self.refused.append((message.payload, packet.reason))
            del self.flight[packet.packet_id]
            return b""
        self.acknowledged.append(message.payload)
        if packet.kind == PUBACK:
            del self.flight[packet.packet_id]
            return b""
        message.released = True
        return mqtt.acknowledgement(PUBREL, packet.packet_id)

    def step(self, timeout=None):
        """Sends what the window allows and handles what has come, at least one packet."""
        self._fill()
        if not self.flight:
            return
        self._handle_all([self.client.receive(timeout)])

    def step_if_any(self):
        """Sends what the window allows and handles what has come, if anything."""
        self._fill()
        super().step_if_any()

    def run(self):
        """Until everything queued is acknowledged and complete."""
        while self.queue or self.flight:
            self.step()
        return self


class Subscriber(Half):
    """What one session has received, over all its connections."""

    def __init__(self):
        self.held = set()  # QoS 2 identifiers whose PUBREL is awaited
        self.received = []  # PUBLISH packets; a QoS 2 message once
        self.redelivered = 0
        self.client = None

    def attach(self, client):
        self.client = client
        if not client.connack.session_present:
            self.held.clear()

    def handle(self, packet):
        """One packet from the broker; returns what it is answered with."""
        if packet.kind == PUBREL:
            self.held.discard(packet.packet_id)
            return mqtt.acknowledgement(PUBCOMP, packet.packet_id)
        if packet.kind != PUBLISH:
            raise AssertionError(f"a PUBLISH was awaited, {packet} came")
        if packet.qos == 2 and packet.packet_id in self.held:
            if not packet.dup:
                raise AssertionError(f"{packet} under an identifier whose PUBREL is awaited, "
                                     "without DUP [MQTT-3.3.1-1]")
            self.redelivered += 1
        else:
            self.received.append(packet)
        if packet.qos == 0:
            return b""
        if packet.qos == 1:
            return mqtt.acknowledgement(PUBACK, packet.packet_id)
        self.held.add(packet.packet_id)
        return mqtt.acknowledgement(PUBREC, packet.packet_id)

    def step(self, timeout=None):
        """Handles what has come, at least one packet."""
        self._handle_all([self.client.receive(timeout)])

    def receive(self, count, timeout=None):
        """Until `count` messages have been received in all and no exchange is open."""
        deadline = time.monotonic() + (timeout or DEADLINE_S)
        while len(self.received) < count or self.held:
            try:
                self.step(max(deadline - time.monotonic(), 0))
            except AssertionError as error:
                raise type(error)(f"{error}; {len(self.received)} of {count} messages received, "
                                  f"{len(self.held)} exchanges open") from None
        return self.received

    def drain(self):
        """Receives until a PINGREQ is answered with nothing before it and no exchange is open."""
        while True:
            arrived = self.client.settle()
            self.client.send(b"".join(self.handle(packet) for packet in arrived))
            if not arrived and not self.held:
                return self.received

    def receive_until(self, payload, timeout=None):
        """Until this payload has come and no exchange is open."""
        deadline = time.monotonic() + (timeout or DEADLINE_S)
        while self.held or payload not in self.payloads():
            self.step(max(deadline - time.monotonic(), 0))
        return self.received

    def payloads(self, qos=None, topic=None):
        return [packet.payload for packet in self.received
                if (qos is None or packet.qos == qos) and (topic is None or packet.topic == topic)]
