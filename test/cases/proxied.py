"""Connections through a load balancer: the PROXY protocol. Headers are built here byte by byte."""

import socket
import struct

import checks
import mqtt_packet as mqtt
import websocket
from case import case
from cases.passwords import write_users
from mqtt_packet import CONNACK
from mqtt_wire import Closed

HERE = "127.0.0.1"  # where clients come from, whatever the listener's address is
REAL = "192.0.2.7:56324"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 8883\r\n"
LINE6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 8883\r\n"


def binary(command=0x21, family=0x11, address=None, fields=b""):
    if address is None:
        address = (socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") +
                   struct.pack(">HH", 56324, 8883))
    body = address + fields
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + struct.pack(">H", len(body)) + body)


# A name that was asked for, a checksum, a TLS block with parts of its own, and one nobody knows.
FIELDS = (b"\x02\x00\x07devices" + b"\x03\x00\x04\0\0\0\0" + b"\x20\x00\x0d\x07\0\0\0\0" +
          b"\x21\x00\x05TLS13" + b"\xee\x02\x00" + b"x" * 512)

HEADERS = {"line": (LINE, REAL), "line, IPv6": (LINE6, "[2001:db8::7]:56324"),
           "binary": (binary(), REAL), "binary with fields": (binary(fields=FIELDS), REAL),
           "binary, IPv6": (binary(family=0x21, address=socket.inet_pton(
               socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack(">HH", 56324, 1)),
                            "[2001:db8::7]:56324"),
           "unknown": (b"PROXY UNKNOWN\r\n", None), "local": (binary(0x20, 0, b""), None)}


def start(t, workers=None, trusted=None, **config):
    t.holdfast_only("proxy_protocol")
    options = {"proxy_protocol": True, "proxy_from": trusted or f"10.0.0.0/8 {HERE}/32"}
    return t.start(workers=workers, tls=True, web=True, listener=options, ws=options,
                   secure=options, **config)


@case("issue: PROXY protocol", over=[{"header": header, "transport": transport, "workers": workers}
                                     for header in HEADERS
                                     for transport, workers in (("tcp", 4), ("tls", 1))])
def the_address_that_the_balancer_names_is_the_clients(t, header, transport, workers):
    start(t, workers)
    said, shown = HEADERS[header]
    client = t.open(transport=transport, prelude=said)
    client.connect("through")
    client.subscribe("a")
    client.publish("a", b"x", qos=1)
    client.message(payload=b"x")
    t.await_line(f'client "through" at {shown or HERE}', "CONNECT")


@case("issue: PROXY protocol", over={"header": ("line", "binary with fields")})
def a_header_may_come_byte_by_byte(t, header):
    start(t)
    client = t.open()
    for byte in HEADERS[header][0][:60]:
        client.send(bytes([byte]))
        t.pass_time(0.002)
    client.send(HEADERS[header][0][60:])
    client.connect("through")
    t.await_line(f'client "through" at {REAL}', "CONNECT")


@case("issue: PROXY protocol")
def a_websocket_may_come_through_a_balancer(t):
    start(t)
    client = websocket.WebSocket(t.broker.listeners()["ws"])
    client.send(LINE + websocket.request())
    checks.equal("status", client.response()[0], 101)
    client.send(websocket.frame(mqtt.connect(5, "through", True)))
    t.await_line(f'client "through" at {REAL}', "CONNECT")
    client.close()


WRONG = {"no header": mqtt.connect(5, "through", True), "a line of UDP": LINE.replace(b"TCP", b"UDP"),
         "no end": b"PROXY UNKNOWN " + b"x" * 200, "no carriage return": LINE.replace(b"\r", b""),
         "a port too high": LINE.replace(b"56324", b"65536"), "version 3": binary(0x31),
         "too short": binary(address=b"\xc0\0\2\7"), "too long": binary(fields=bytes(3000)),
         "datagrams": binary(family=0x12), "a TLS handshake": b"\x16\x03\x01\x02\x00\x01"}


@case("issue: PROXY protocol", over={"what": tuple(WRONG)})
def what_is_no_header_is_closed_without_an_answer(t, what):
    start(t)
    client = t.open()
    try:
        client.send(WRONG[what])
    except Closed:
        pass
    client.expect_close()
    t.await_line(HERE, 'listener "plain"', "PROXY")
    t.open(prelude=LINE).connect("through")


@case("issue: PROXY protocol", over={"workers": (1, 4)})
def who_is_no_balancer_is_closed_at_once(t, workers):
    start(t, workers, trusted="10.0.0.0/8 fd00::/8")
    client = t.open()
    client.expect_close()
    t.await_line(HERE, "not in proxy_from")


@case("issue: PROXY protocol", "5.0 section 3.1.4")
def a_header_that_does_not_end_is_not_awaited_for_ever(t):
    start(t, mqtt={"connect_timeout": 1})
    client = t.open()
    client.send(LINE[:-1])
    client.expect_close()


@case("issue: PROXY protocol")
def wrong_passwords_slow_down_the_real_address_and_nobody_else(t):
    start(t, authentication={"password_file": write_users(t), "max_failures": 1})

    def attempt(header, password):
        client = t.open(prelude=header)
        client.send(mqtt.connect(5, "", True, user="alice", password=password))
        return client.expect(CONNACK).reason

    other = LINE.replace(b"192.0.2.7", b"192.0.2.8")
    checks.equal("reason", attempt(LINE, "no"), 0x86)
    checks.equal("reason", attempt(LINE, "wonderland"), 0x9F)
    checks.equal("reason", attempt(other, "wonderland"), 0x00)
