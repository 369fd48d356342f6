"""A synchronous MQTT connection on which nothing happens by itself.

`Wire` is a byte stream and the packets in it: every byte that goes out was asked for, every packet
that comes in is handed over, and waiting means reading with a deadline. `Client` adds the exchanges
that most cases need; each of them is also there in single steps, to be withheld or broken.
"""

import os
import select
import socket
import ssl
import struct
import time
from collections import deque

import mqtt_packet as mqtt
from mqtt_packet import (AUTH, CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
                         PUBREL, SUBACK, UNSUBACK)

# Everything that waits for the broker is multiplied by this: for sanitizers and busy machines.
PATIENCE = float(os.environ.get("HOLDFAST_TEST_PATIENCE", "1"))
DEADLINE_S = 10 * PATIENCE

AT_MOST_A_READ = 1 << 18


class Late(AssertionError):
    """What was awaited did not come in time."""


class Closed(AssertionError):
    """The broker closed the Network Connection where a packet was awaited."""


class Wire:
    def __init__(self, address, version=5, tls=None, receive_buffer=None, trace=None,
                 prelude=b""):
        """`tls` is an ssl.SSLContext; `receive_buffer` makes a small window, for slow readers;
        `trace` is told "->" or "<-" and the bytes; `prelude` goes in front of all, TLS too."""
        self.trace = trace
        self.version = version
        self.input, self.parsed = bytearray(), 0
        self.eof = False
        self.reading = True  # False: this client leaves what comes in the kernel's hands
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(DEADLINE_S)
        self.socket = plain
        try:
            plain.connect(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.sendall(prelude)
            if tls is not None:
                self.socket = tls.wrap_socket(plain, server_hostname=address[0])
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    # ---- Bytes ----

    def _read_some(self):
        """Takes in what is there; True if anything was, the end included."""
        try:
            data = self.socket.recv(AT_MOST_A_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (ConnectionError, ssl.SSLError, OSError):
            data = b""
        if data:
            self.input += data
            if self.trace is not None:
                self.trace("<-", data)
        else:
            self.eof = True
        return True

    def _write_some(self, data):
        try:
            sent = self.socket.send(data)
            if self.trace is not None:
                self.trace("->", data[:sent])
            return sent
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise Closed(f"the broker closed the connection while it was written to ({error}); "
                         f"unread: {bytes(self.input[self.parsed:self.parsed + 200])!r}") from None

    def _wait(self, writing, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Late("the broker neither took nor sent a byte in time")
        readers = [self.socket] if self.reading and not self.eof else []
        select.select(readers, [self.socket] if writing else [], [], left)

    def send(self, data, timeout=None):
        """Sends all of it, reading what comes meanwhile; Closed when the broker has gone."""
        deadline = time.monotonic() + (timeout or DEADLINE_S)
        left = memoryview(data)
        while left:
            left = left[self._write_some(left):]
            if left and not (self.reading and not self.eof and self._read_some()):
                self._wait(True, deadline)

    def next_packet(self):
        """One complete packet out of the bytes read so far, or None."""
        data, at = self.input, self.parsed
        length, shift, end = 0, 0, at + 1
        while True:
            if end >= len(data):
                return None
            length |= (data[end] & 0x7F) << shift
            end, shift = end + 1, shift + 7
            if data[end - 1] < 0x80:
                break
            if shift > 21:
                raise mqtt.BadPacket("a Remaining Length of more than four bytes")
        if end + length > len(data):
            return None
        packet = mqtt.decode(self.version, data[at], data[end:end + length])
        self.parsed = end + length
        if self.parsed == len(data) or self.parsed > AT_MOST_A_READ:
            del data[:self.parsed]
            self.parsed = 0
        return packet

    def wait(self, timeout=None):
        """Until there is something to read, the end included."""
        self._wait(False, time.monotonic() + (DEADLINE_S if timeout is None else timeout))

    def poll(self):
        """Takes in what is there without waiting; packets then come from next_packet()."""
        while self._read_some() and not self.eof:
            pass

    def read_packet(self, timeout=None):
        """The next packet in the stream; Late or Closed if there is none."""
        deadline = time.monotonic() + (DEADLINE_S if timeout is None else timeout)
        while True:
            packet = self.next_packet()
            if packet is not None:
                return packet
            if self.eof:
                raise Closed("the broker closed the connection")
            if not self._read_some():
                self._wait(False, deadline)

    def expect_close(self, timeout=None):
        """The broker closes and sends nothing before it does."""
        try:
            packet = self.read_packet(timeout)
        except Closed:
            self.close()
            return
        raise AssertionError(f"a close was expected, {packet} came")

    def close(self):
        """Drops the connection without a DISCONNECT."""
        self.socket.close()

    def reset(self):
        """Drops it with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def matches(packet, kind, fields):
    return packet.kind == kind and all(getattr(packet, key) == value
                                       for key, value in fields.items())


class Client(Wire):
    """One connection with MQTT's exchanges. Packets set aside by an exchange stay in `inbox`."""

    def __init__(self, address, version=5, tls=None, **options):
        super().__init__(address, version, tls, **options)
        self.inbox = deque()
        self.last_id = 0
        self.connack = None

    # ---- Packets ----

    def receive(self, timeout=None):
        return self.inbox.popleft() if self.inbox else self.read_packet(timeout)

    def expect(self, kind, timeout=None, **fields):
        """The next packet is of this kind and has these fields."""
        try:
            packet = self.receive(timeout)
        except (Late, Closed) as error:
            raise type(error)(f"{error}; awaited {mqtt.NAMES[kind]} {fields or ''}") from None
        if not matches(packet, kind, fields):
            raise AssertionError(f"awaited {mqtt.NAMES[kind]} {fields or ''}, {packet} came")
        return packet

    def find(self, kind, timeout=None, **fields):
        """The next packet like this; whatever comes before it is set aside, in order."""
        for index, packet in enumerate(self.inbox):
            if matches(packet, kind, fields):
                del self.inbox[index]
                return packet
        deadline = time.monotonic() + (DEADLINE_S if timeout is None else timeout)
        while True:
            try:
                packet = self.read_packet(max(deadline - time.monotonic(), 0))
            except (Late, Closed) as error:
                raise type(error)(f"{error}; awaited {mqtt.NAMES[kind]} {fields or ''}, "
                                  f"set aside {list(self.inbox)[:5]}") from None
            if matches(packet, kind, fields):
                return packet
            if packet.kind == DISCONNECT:
                raise Closed(f"awaited {mqtt.NAMES[kind]} {fields or ''}, {packet} came")
            self.inbox.append(packet)

    def new_id(self):
        self.last_id = self.last_id % 65535 + 1
        return self.last_id

    # ---- Exchanges ----

    def connect(self, client_id="", stored=False, clean=None, expiry=None, props=(), **fields):
        """CONNECT and a CONNACK that accepts. `stored` asks for a session that outlives the
        connection and resumes it if it is there, in the terms of each version."""
        clean = not stored if clean is None else clean
        props = dict(props)
        if self.version == 5 and (stored or expiry is not None):
            props.setdefault("session_expiry_interval", 3600 if expiry is None else expiry)
        self.client_id = client_id
        self.send(mqtt.connect(self.version, client_id, clean, props=props, **fields))
        self.connack = self.expect(CONNACK, reason=0)
        return self.connack

    def subscribe(self, *filters, qos=0, options=0, props=(), refused=False):
        """Each filter is a text, subscribed with `qos` and `options`, or (text, options byte)."""
        packet_id = self.new_id()
        pairs = [item if isinstance(item, tuple) else (item, qos | options) for item in filters]
        self.send(mqtt.subscribe(self.version, packet_id, pairs, props))
        suback = self.find(SUBACK, packet_id=packet_id)
        granted = [options & 3 for _, options in pairs]
        if not refused and suback.reasons != granted:
            raise AssertionError(f"{pairs} granted as {suback}")
        return suback

    def unsubscribe(self, *filters, props=()):
        packet_id = self.new_id()
        self.send(mqtt.unsubscribe(self.version, packet_id, filters, props))
        return self.find(UNSUBACK, packet_id=packet_id)

    def send_publish(self, topic, payload=b"", qos=0, packet_id=None, **fields):
        """PUBLISH alone; returns its Packet Identifier."""
        if qos and packet_id is None:
            packet_id = self.new_id()
        self.send(mqtt.publish(self.version, topic, payload, qos, packet_id, **fields))
        return packet_id

    def acknowledge(self, kind, packet_id, reason=None, props=None):
        self.send(mqtt.acknowledgement(kind, packet_id, reason, props))

    def publish(self, topic, payload=b"", qos=0, reasons=(0x00, 0x10), **fields):
        """The whole exchange; returns the Reason Code of the PUBACK or PUBREC."""
        packet_id = self.send_publish(topic, payload, qos, **fields)
        if qos == 0:
            return None
        answer = self.find(PUBACK if qos == 1 else PUBREC, packet_id=packet_id)
        if answer.reason not in reasons:
            raise AssertionError(f"PUBLISH to {topic} was answered with {answer}")
        if qos == 2 and answer.reason < 0x80:
            self.acknowledge(PUBREL, packet_id)
            self.find(PUBCOMP, packet_id=packet_id, reason=0)
        return answer.reason

    def answer(self, packet):
        """What a well-behaved receiver answers to this packet."""
        if packet.kind == PUBLISH and packet.qos:
            self.acknowledge(PUBACK if packet.qos == 1 else PUBREC, packet.packet_id)
        elif packet.kind == PUBREL:
            self.acknowledge(PUBCOMP, packet.packet_id)

    def message(self, timeout=None, **fields):
        """The next packet is a PUBLISH like this; its exchange is carried out."""
        packet = self.expect(PUBLISH, timeout, **fields)
        self.answer(packet)
        if packet.qos == 2:
            self.find(PUBREL, packet_id=packet.packet_id)
            self.acknowledge(PUBCOMP, packet.packet_id)
        return packet

    def messages(self, count, timeout=None):
        """The next `count` messages, answered as they come, every exchange completed."""
        out, open_exchanges = [], set()
        while len(out) < count or open_exchanges:
            try:
                packet = self.receive(timeout)
            except (Late, Closed) as error:
                raise type(error)(f"{error}; {len(out)} of {count} messages came, "
                                  f"{len(open_exchanges)} exchanges are open") from None
            if packet.kind == PUBLISH:
                out.append(packet)
                if packet.qos == 2:
                    open_exchanges.add(packet.packet_id)
            elif packet.kind == PUBREL:
                open_exchanges.discard(packet.packet_id)
            else:
                raise AssertionError(f"a PUBLISH was awaited, {packet} came")
            self.answer(packet)
        if len(out) > count:
            raise AssertionError(f"{count} messages were awaited, {len(out)} came: {out[-1]}")
        return out

    def settle(self):
        """PINGREQ and PINGRESP: all that came before it has been handled. Returns what arrived,
        without answering it."""
        self.send(mqtt.pingreq())
        arrived = list(self.inbox)
        self.inbox.clear()
        while True:
            packet = self.read_packet()
            if packet.kind == PINGRESP:
                return arrived
            arrived.append(packet)

    def expect_nothing(self):
        """A PINGREQ is answered and nothing else has come."""
        arrived = self.settle()
        if arrived:
            raise AssertionError(f"nothing was expected, {arrived[:3]} came")

    def expect_disconnect(self, *reasons, timeout=None):
        """A DISCONNECT with one of these Reason Codes and the close; before MQTT 5 the close."""
        if self.version < 5:
            return self.expect_close(timeout)
        packet = self.expect(DISCONNECT, timeout)
        if packet.reason not in reasons:
            raise AssertionError(f"DISCONNECT with one of {[hex(code) for code in reasons]} was "
                                 f"awaited, 0x{packet.reason:02X} came: {packet}")
        self.expect_close(timeout)
        return packet

    def disconnect(self, reason=0, props=None):
        """DISCONNECT; returns when the broker has closed, and so has carried it out."""
        self.send(mqtt.disconnect(self.version, reason, props))
        deadline = time.monotonic() + DEADLINE_S
        while not self.eof:
            if not self._read_some():
                self._wait(False, deadline)
        self.close()
