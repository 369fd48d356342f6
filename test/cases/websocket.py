"""WebSocket as a transport (section 6 of both versions, RFC 6455): the broker's side."""

import time

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import DISCONNECT, PUBACK, PUBLISH, SUBACK
from websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, frame, request


def web(t, **options):
    """A broker that speaks it, and what makes a client of it."""
    t.start(web=True, **options)
    address = t.broker.listeners()["ws"]

    def new():
        client = WebSocket(address)
        t.opened.append(client)
        return client
    return new


def expect_end(client):
    """The end of the stream, and nothing before it."""
    try:
        raise AssertionError(f"a frame where the end was due: {client.frame()}")
    except (EOFError, ConnectionResetError):
        pass


@case("MQTT-6.0.0-1", "MQTT-6.0.0-2", "MQTT-6.0.0-4", over={"workers": (1, 4)})
def packets_and_frames_have_nothing_to_do_with_each_other(t, workers):
    """One frame for several packets, several frames and fragments for one, a byte a frame."""
    new = web(t, workers=workers)
    for number in range(8):  # at home here and elsewhere
        client = new().upgrade()
        packets = (mqtt.connect(5, f"client-{number}") + mqtt.subscribe(5, 1, [("a", 1)]) +
                   mqtt.publish(5, "a", b"x" * 300, 1, 2))
        if number % 4 == 0:
            client.send(frame(packets))
        elif number % 4 == 1:
            client.send(b"".join(frame(packets[i:i + 1]) for i in range(len(packets))))
        elif number % 4 == 2:
            client.send(frame(packets[:50], fin=False) + frame(b"now", PING) +
                        frame(packets[50:60], CONTINUATION, fin=False) +
                        frame(b"", CONTINUATION, fin=False) + frame(packets[60:], CONTINUATION))
            checks.equal("Pong", client.frame(), (PONG, b"now"))
        else:
            for at in range(0, len(packets), 7):
                client.send(frame(packets[at:at + 7]))
        checks.equal("first answer", client.packet().kind, mqtt.CONNACK)
        answers = [client.packet() for _ in range(3)]
        checks.equal("answers", sorted(answer.kind for answer in answers),
                     sorted((SUBACK, PUBLISH, PUBACK)))
        message = next(answer for answer in answers if answer.kind == PUBLISH)
        checks.equal("payload", message.payload, b"x" * 300)
        client.send(frame(mqtt.acknowledgement(PUBACK, message.packet_id) +
                          mqtt.unsubscribe(5, 3, ["a"]) + mqtt.disconnect(5)))
        checks.equal("last answer", client.packet().kind, mqtt.UNSUBACK)
        checks.equal("Close", client.frame(), (CLOSE, b"\x03\xe8"))
        expect_end(client)


@case("MQTT-6.0.0-1", over={"size": (100, 126, 65535, 65536, 900000)})
def a_message_of_any_size_comes_whole(t, size):
    new = web(t)
    client = new().connect("client")
    payload = bytes(t.random.randrange(256) for _ in range(100)) * (size // 100)
    client.send(frame(mqtt.subscribe(5, 1, [("a", 0)])))
    checks.equal("answer", client.packet().kind, SUBACK)
    client.send(frame(mqtt.publish(5, "a", payload)))
    checks.equal("payload", client.packet().payload, payload)


@case("MQTT-6.0.0-3", "MQTT-6.0.0-4")
def what_is_no_opening_handshake_is_told_so_and_closed(t):
    new = web(t)
    for status, bytes_ in (
            (400, b"\x10\x10\0\4MQTT\r\n\r\n"), (400, request(Sec_WebSocket_Protocol=None)),
            (400, request(Sec_WebSocket_Protocol="mqttv3.1")), (405, b"POST" + request()[3:]),
            (426, request(Upgrade=None)), (426, request(Sec_WebSocket_Version="8")),
            (400, request(Host=None)), (431, b"GET / HTTP/1.1\r\nX: " + b"x" * 10000)):
        client = new()
        client.send(bytes_)
        checks.equal(f"status for {bytes_[:60]}", client.response()[0], status)
        while client._read():
            continue
    client = new()
    client.send(request(Sec_WebSocket_Protocol="soap, mqtt"))
    status, head = client.response()
    checks.equal("status", status, 101)
    checks.that("sec-websocket-protocol: mqtt" in head.lower().split("\r\n"), head)


@case("MQTT-6.0.0-4")
def pages_of_other_origins_are_kept_out(t):
    new = web(t, ws={"allowed_origins": "https://a.example https://b.example"})
    for origin, status in (("https://a.example", 101), ("https://b.example", 101), (None, 101),
                           ("https://c.example", 403), ("https://a.example.evil", 403)):
        client = new()
        client.send(request(Origin=origin))
        checks.equal(f"status for {origin}", client.response()[0], status)


@case("MQTT-3.1.0-1", over={"sent": (b"", request()[:-2], request())})
def who_does_not_get_to_connect_is_closed_in_time(t, sent):
    new = web(t, mqtt={"connect_timeout": 1})
    client = new()
    started = time.monotonic()
    client.send(sent)
    if sent.endswith(b"\r\n\r\n"):
        checks.equal("status", client.response()[0], 101)
    expect_end(client)
    checks.that(0.9 < time.monotonic() - started < 5, "not closed after 1 s")


@case("MQTT-6.0.0-1", "MQTT-3.1.2-8",
      over={"bad": ("text", "unmasked", "reserved", "stray continuation", "long ping", "close",
                    "gone")})
def a_connection_that_ends_by_its_frames_is_lost_to_mqtt(t, bad):
    """The Will Message says so, and nobody else notices."""
    new = web(t)
    watcher = t.client("watcher")
    watcher.subscribe("will")
    client = new().connect("client", will={"topic": "will", "payload": b"lost"})
    client.send({"text": frame(b"x", TEXT), "unmasked": b"\x82\x01x",
                 "reserved": b"\xc2\x80\0\0\0\0", "stray continuation": frame(b"", CONTINUATION),
                 "long ping": frame(b"x" * 126, PING), "close": frame(b"\x03\xe8", CLOSE),
                 "gone": b""}[bad])
    if bad == "gone":
        client.close()
    else:
        opcode, payload = client.frame()
        checks.equal("opcode", opcode, CLOSE)
        if payload:
            checks.equal("code", int.from_bytes(payload[:2], "big"),
                         {"text": 1003, "close": 1000}.get(bad, 1002))
        expect_end(client)
    watcher.message(topic="will", payload=b"lost")


@case("MQTT-3.1.4-3", "MQTT-6.0.0-1")
def who_is_taken_over_gets_disconnect_and_then_close(t):
    new = web(t)
    first = new().connect("client")
    t.client("client")
    disconnect = first.packet()
    checks.equal("packet", (disconnect.kind, disconnect.reason), (DISCONNECT, 0x8E))
    checks.equal("Close", first.frame(), (CLOSE, b"\x03\xe8"))
    expect_end(first)


@case("rule 20", timeout=60)
def pings_of_a_client_that_reads_nothing_take_bounded_memory(t):
    new = web(t)
    client = new().connect("client")
    before = t.broker.resident_bytes()
    pings = frame(b"x" * 125, PING) * 1000
    client.socket.settimeout(1)
    sent = 0
    try:
        while sent < 300 << 20:
            sent += client.socket.send(pings)
    except TimeoutError:
        pass
    checks.that(sent < 300 << 20, "the broker reads without end what nobody lets it answer")
    t.check_growth(before, 30)
    t.check_health()


@case("MQTT-6.0.0-2", "MQTT-6.0.0-1", timeout=60)
def garbage_disturbs_nobody(t):
    new = web(t)
    subscriber = new().connect("subscriber")
    subscriber.send(frame(mqtt.subscribe(5, 1, [("a", 0)])))
    checks.equal("answer", subscriber.packet().kind, SUBACK)
    for _ in range(200):
        client = new()
        if t.random.random() < 0.8:
            client.upgrade()
        if t.random.random() < 0.5:
            client.send(frame(mqtt.connect(5, "")))
        try:
            for _ in range(t.random.randrange(4)):
                client.send(t.random.choice((frame, bytes))(t.random.randbytes(
                    t.random.randrange(200))))
        except OSError:
            pass  # it was closed
        client.close()
    t.client("publisher").publish("a", b"still here")
    checks.equal("payload", subscriber.packet().payload, b"still here")
