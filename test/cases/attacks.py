"""Attacks: what each of them gets, what others notice, and what the broker's memory is behind it.

Each attack is a function that makes one round of it and says what came of it. Two neighbours who do
nothing wrong exchange messages meanwhile, on a thread of their own. test/run prints these words and
figures for each case.
"""

import socket
import subprocess
import threading
import time

import checks
import mqtt_packet as mqtt
from case import case
from cases.passwords import write_users
from cases.tls import client_hello
from mqtt_packet import CONNACK, PINGRESP, PUBACK, SUBACK
from mqtt_wire import DEADLINE_S, PATIENCE, Closed
from websocket import CLOSE, CONTINUATION, PING, TEXT, WebSocket, frame

ROUNDS, ROUNDS_OF_WAITING = 10, 2
GROWTH_MB = 8
SLOWEST_S = 5 * PATIENCE
TIMEOUT_S = round(2 * PATIENCE)  # connect_timeout

SUBSCRIPTIONS = 1000  # of one session
ENDLESS = b"\xff\xff\xff\x7f"  # the largest Remaining Length


def slow_connects(t):
    connect = mqtt.connect(5, "slow", True)
    clients = [t.open() for _ in range(50)]
    for number in range(len(connect) - 1):
        for client in clients:
            try:
                client.send(connect[number:number + 1])
            except Closed:
                pass  # this program is late
    for client in clients:
        client.expect_close()
    return "closed without an answer when connect_timeout has passed"


def half_open_handshakes(t):
    peers = [socket.create_connection(t.broker.listeners()["tls"], DEADLINE_S) for _ in range(50)]
    hello = client_hello()
    for peer in peers:
        peer.sendall(hello[:len(hello) // 2])
    for peer in peers:
        try:
            peer.sendall(hello[len(hello) // 2:])
            while peer.recv(65536):
                pass
        except ConnectionError:
            pass
        peer.close()
    return "the broker's part of the handshake, closed when connect_timeout has passed"


def renegotiation(t):
    host, port = t.broker.listeners()["tls"]
    why = "there is no renegotiation"
    before = len(t.lines_about(why))
    subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-no_ign_eof",
                    "-legacy_renegotiation"], input=b"R\nhello\n", stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False)
    t.await_line(why, count=before + 1)
    return "closed, and a line in the log says why"


def oversized(t):
    for data in (b"\x30" + ENDLESS, b"\x82" + ENDLESS, b"\xe0" + ENDLESS,
                 mqtt.publish(5, "a", b"x" * (1 << 20))):
        client = t.client("oversized")
        try:
            client.send(data)
        except Closed:
            pass  # in the middle of it
        client.expect_disconnect(0x95)
    client = t.client("oversized")
    client.send(b"\x30\xff\xff\xff\xff\x7f")
    client.expect_disconnect(0x81)
    client = t.open()
    client.send(b"\x10" + ENDLESS + b"\0\4MQTT\5")
    client.expect(CONNACK, reason=0x95)
    client.expect_close()
    return "DISCONNECT 0x95 or 0x81 at the header, before anything is taken in"


def zero_length(t):
    for kind in range(1, 16):
        if kind in (12, 14, 15):
            continue  # PINGREQ, DISCONNECT and AUTH may be empty
        client = t.client("empty")
        client.send(bytes([kind << 4 | (2 if kind in (6, 8, 10) else 0), 0]))
        client.expect_disconnect(0x81, 0x82)
    for data in (mqtt.publish(5, ""), mqtt.subscribe(5, 1, []), mqtt.unsubscribe(5, 1, []),
                 mqtt.packet(mqtt.PUBLISH), mqtt.packet(mqtt.CONNECT)):
        client = t.client("empty")
        client.send(data)
        client.expect_disconnect(0x81, 0x82)
    client = t.client("")
    suback = client.subscribe("", refused=True)
    checks.equal("Reason Codes", suback.reasons, [0x8F])
    client.publish("zero/length", b"", qos=1, retain=True)
    client.disconnect()
    return "DISCONNECT 0x81 or 0x82; what may be empty is served"


def property_flood(t):
    many = b"\x26\0\0\0\0" * 50000  # User Properties, each with two empty strings
    client = t.open()
    client.send(mqtt.connect(5, "properties", True, props=many))
    client.expect(CONNACK, reason=0)
    client.send(b"".join(mqtt.publish(5, "flood", b"x", 1, packet_id, props=many)
                         for packet_id in range(1, 5)))
    for packet_id in range(1, 5):
        client.expect(PUBACK, packet_id=packet_id)
    client.send(mqtt.subscribe(5, 5, [("flood", 0)], props=many))
    client.expect(SUBACK, packet_id=5)
    client.disconnect()
    for twice in (b"\x01\1" * 50000, b"\x23\0\1" * 50000):  # the format, an alias
        client = t.client("properties")
        client.send(mqtt.publish(5, "flood", b"x", 1, 1, props=twice))
        client.expect_disconnect(0x82)
    return "an answer to each packet of max_packet_size at most; 0x82 for what may be there once"


def subscription_flood(t):
    client = t.client("greedy")
    granted = 0
    for start in range(0, 4 * SUBSCRIPTIONS, 500):
        suback = client.subscribe(*(f"f/{number}/+/#" for number in range(start, start + 500)),
                                  refused=True)
        granted += suback.reasons.count(0)
        checks.that(set(suback.reasons) <= {0, 0x97}, f"{set(suback.reasons)}")
    checks.equal("granted", granted, SUBSCRIPTIONS)
    client.disconnect()
    return f"max_subscriptions_per_session of them ({SUBSCRIPTIONS}), 0x97 for the others"


def topic_depth_bombs(t):
    client = t.client("deep")
    suback = client.subscribe("/" * 65535, "+/" * 200 + "#", refused=True)
    checks.equal("Reason Codes", suback.reasons, [0x8F, 0x8F])
    client.publish("/" * 65535, b"x", qos=1, retain=True, reasons=(0x90,))
    client.publish("/" * 200, b"x", qos=1, reasons=(0x90,))
    # As deep as it may be, and each level matches in two ways.
    client.subscribe(*("a/" * level + "+/" * (199 - level) + "#" for level in range(0, 199, 2)))
    for _ in range(20):
        client.publish("a/" * 199 + "b", b"", qos=1)
    client.disconnect()
    return "0x8F and 0x90 beyond 200 levels"


def websocket_frame_abuse(t):
    address = t.broker.listeners()["ws"]
    for bad in (frame(b"x", TEXT), b"\x82\x01x", b"\xc2\x80\0\0\0\0", frame(b"", CONTINUATION),
                frame(b"x" * 126, PING), b"\x83\x80\0\0\0\0", b"\x82\xff" + b"\xff" * 8 + b"\0" * 4,
                b"\x09\x80\0\0\0\0"):
        client = WebSocket(address).connect("frames")
        client.send(bad)
        checks.equal(f"what came for {bad[:14]}", client.frame()[0], CLOSE)
        client.close()
    client = WebSocket(address).connect("frames")
    ping = mqtt.pingreq()
    client.send(frame(ping[:1], fin=False) + frame(b"", CONTINUATION, fin=False) * 20000 +
                frame(ping[1:], CONTINUATION))
    checks.equal("packet", client.packet().kind, PINGRESP)
    client.close()
    return "Close for a bad frame; empty fragments without end are read and kept nowhere"


def tricks_with_names(t):
    client = t.client("tricky")
    for topic in ("$SYS/broker/uptime", "$SYS/", "$SYS//"):
        client.publish(topic, b"forged", qos=1, retain=True, reasons=(0x87,))
    suback = client.subscribe("$share/g", "$share//quiet", "$share/+/quiet", "$share/#", "$share/g/",
                              "$share/a#/quiet", refused=True)
    checks.equal("Reason Codes", set(suback.reasons), {0x8F})
    client.send(mqtt.subscribe(5, 1, [("$share/g/quiet", 4)]))  # No Local
    client.expect_disconnect(0x82)
    client = t.client("tricky")
    # A topic of this name is a topic, and no way into the group.
    client.publish("$share/g/quiet", b"forged", qos=1)
    client.publish("$share/g", b"forged", qos=1)
    client.disconnect()
    return "0x87 below $SYS, 0x8F and 0x82 for what is no shared subscription"


def takeover_by_another(t):
    for version, client_id, code in ((5, "reader", 0x85), (5, "writer", 0x85), (4, "reader", 2),
                                     (5, "reader/", 0x85), (5, "Reader", 0x85)):
        stranger = t.open(version)
        stranger.send(mqtt.connect(version, client_id, True, user="mallory", password="mallory's"))
        stranger.expect(CONNACK, reason=code, session_present=False)
        stranger.expect_close()
    return "CONNACK 0x85, before MQTT 5 return code 2"


ATTACKS = {attack.__name__: attack for attack in (
    slow_connects, half_open_handshakes, renegotiation, oversized, zero_length, property_flood,
    subscription_flood, topic_depth_bombs, websocket_frame_abuse, tricks_with_names,
    takeover_by_another)}
WAITING = ("slow_connects", "half_open_handshakes")  # for the end of connect_timeout


class Neighbours(threading.Thread):
    """Somebody who reads and somebody who writes: a message every 10 ms, and the longest that one
    took."""

    def __init__(self, t, **passwords):
        super().__init__()
        proofs = {name: {"user": name, "password": password}
                  for name, password in passwords.items()}
        self.reader = t.client("reader", **proofs.get("reader", {}))
        self.writer = t.client("writer", **proofs.get("writer", {}))
        self.reader.subscribe("quiet", qos=1)
        self.count, self.slowest, self.error = 0, 0, None
        self.ended = threading.Event()

    def exchange(self):
        started = time.monotonic()
        self.writer.publish("quiet", b"%d" % self.count, qos=1)
        self.reader.message(topic="quiet", payload=b"%d" % self.count)
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.count += 1

    def run(self):
        try:
            while not self.ended.wait(0.01):
                self.exchange()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def check(self):
        """Behind it all: nothing went wrong for them, nor came that they did not send."""
        if self.error is not None:
            raise self.error
        self.exchange()
        self.reader.expect_nothing()
        self.writer.expect_nothing()
        checks.that(self.slowest < SLOWEST_S, f"a message took {self.slowest:.1f} s")


def start(t, attack):
    t.holdfast_only("limits of these names")
    options = {"mqtt": {"max_subscriptions_per_session": SUBSCRIPTIONS}}
    if attack in WAITING:
        options["mqtt"]["connect_timeout"] = TIMEOUT_S
    if attack != "takeover_by_another":
        t.start(tls=True, web=True, **options)
        return Neighbours(t)
    users = {name: f"{name}'s" for name in ("reader", "writer", "mallory")}
    t.start(listener={"allow_anonymous": False, "client_id_binding": b"user_name"},
            authentication={"password_file": write_users(t, users)}, **options)
    return Neighbours(t, reader=users["reader"], writer=users["writer"])


@case("issue: tls", "promise 4", "MQTT-4.13.1-1", over={"attack": tuple(ATTACKS)}, timeout=90)
def an_attack_gets_little_and_its_neighbours_notice_nothing(t, attack):
    neighbours = start(t, attack)
    ATTACKS[attack](t)  # what it takes once stays
    neighbours.exchange()
    before = t.broker.resident_bytes()
    with neighbours:
        for _ in range(ROUNDS_OF_WAITING if attack in WAITING else ROUNDS):
            gets = ATTACKS[attack](t)
    after = t.broker.resident_bytes()
    neighbours.check()
    t.check_growth(before, GROWTH_MB, after)
    t.say(f"the attacker gets: {gets}; of {neighbours.count} messages of neighbours none took longer "
          f"than {neighbours.slowest * 1000:.0f} ms; memory {before / (1 << 20):.1f} MB before, "
          f"{after / (1 << 20):.1f} MB after")
