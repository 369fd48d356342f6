"""Keep Alive and the timers that close silent connections."""

import time

import checks
import mqtt_packet as mqtt
from case import case

VERSIONS = {"version": (3, 4, 5)}


@case("MQTT-3.1.2-22", over=VERSIONS)
def a_silent_client_is_closed_at_one_and_a_half_times_its_keep_alive(t, version):
    t.start()
    started = time.monotonic()  # before CONNECT: how long its answer takes is not the broker's affair
    client = t.client("silent", version, keep_alive=1)
    client.expect_disconnect(0x8D)
    elapsed = time.monotonic() - started
    checks.that(1.4 < elapsed < 5, f"closed after {elapsed:.1f} s, not 1.5 s")


@case("MQTT-3.1.2-22", "MQTT-3.12.4-1", over=VERSIONS)
def a_client_that_pings_is_not_closed(t, version):
    t.start()
    client = t.client("lively", version, keep_alive=2)
    for _ in range(4):
        t.pass_time(1)
        client.expect_nothing()


@case("MQTT-3.1.2-22")
def a_client_that_only_receives_is_closed(t):
    """What the broker sends does not keep a connection alive."""
    t.start()
    client = t.client("silent", keep_alive=1)
    client.subscribe("a")
    publisher = t.client("publisher")
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        publisher.publish("a", b"x")
        packet = client.receive()
        if packet.kind == mqtt.DISCONNECT:
            checks.equal("Reason Code", packet.reason, 0x8D)
            client.expect_close()
            return
        t.pass_time(0.1)
    raise AssertionError("it was not closed")


@case("rule 20", "MQTT-3.1.2-22", over={"workers": (1, 4), "stored": (False, True)})
def what_came_while_the_broker_stood_still_counts(t, workers, stored):
    """Frozen for longer than the keep alive and the time for CONNECT: nobody was silent. A stored
    session's CONNACK waits for the disk from there."""
    t.start(workers=workers, mqtt={"connect_timeout": 1})
    clients = [t.client(f"lively-{number}", keep_alive=1) for number in range(8)]
    new = [t.open() for _ in range(8)]
    for client in new:
        client.send(b"\x10")  # so that it has been accepted
    clients[0].expect_nothing()
    t.broker.pause()
    for client in clients:
        client.send(mqtt.pingreq())
    properties = {"session_expiry_interval": 100} if stored else {}
    for number, client in enumerate(new):
        client.send(mqtt.connect(5, f"new-{number}", props=properties)[1:])
    t.pass_time(2)
    t.broker.resume()
    for client in clients:
        client.expect(mqtt.PINGRESP)
    for client in new:
        client.expect(mqtt.CONNACK, reason=0)
    for client in clients:
        client.expect_disconnect(0x8D)


@case("MQTT-3.1.2-22")
def a_keep_alive_of_zero_has_no_timer(t):
    t.start()
    client = t.client("eternal", keep_alive=0)
    t.pass_time(3)
    client.expect_nothing()


@case("MQTT-3.1.2-22", "MQTT-3.1.2-8")
def the_will_of_a_client_that_timed_out_is_published(t):
    t.start()
    watcher = t.client("watcher")
    watcher.subscribe("will", qos=1)
    t.client("silent", keep_alive=1, will={"topic": "will", "payload": b"gone", "qos": 1})
    watcher.message(topic="will", payload=b"gone")


@case("MQTT-3.1.2-22")
def a_session_survives_its_keep_alive_timeout(t):
    t.start()
    client = t.client("silent", stored=True, keep_alive=1)
    client.subscribe("a", qos=1)
    client.expect_disconnect(0x8D)
    t.client("publisher").publish("a", b"x", qos=1)
    t.back("silent").message(payload=b"x")


@case("MQTT-3.1.2-22", "rule 20")
def half_a_packet_does_not_keep_a_connection_alive(t):
    """One byte at a time is not a Control Packet."""
    t.start()
    client = t.client("dripping", keep_alive=1)
    packet = mqtt.publish(5, "a", b"x" * 1000)
    started = time.monotonic()
    for byte in packet:
        try:
            client.send(bytes([byte]))
            client.poll()
        except AssertionError:
            return
        if client.eof or client.input:
            break
        checks.that(time.monotonic() - started < 6, "it was not closed")
        t.pass_time(0.1)
    client.expect_disconnect(0x8D)


@case("MQTT-3.1.4-1", over={"transport": ("tcp", "tls"), "what": ("nothing", "half", "drip")},
      timeout=40)
def a_connect_that_does_not_come_is_not_waited_for(t, transport, what):
    t.holdfast_only("connect_timeout")
    t.start(tls=transport == "tls", mqtt={"connect_timeout": 2})
    client = t.open(5, transport)
    connect = mqtt.connect(5, "late", True, user="u" * 100)
    started = time.monotonic()
    if what == "half":
        client.send(connect[:20])
    for byte in connect if what == "drip" else ():
        try:
            client.send(bytes([byte]))
            client.poll()
        except AssertionError:
            break
        if client.eof:
            break
        t.pass_time(0.25)
    client.expect_close()
    elapsed = time.monotonic() - started
    checks.that(1.5 < elapsed < 8, f"closed after {elapsed:.1f} s, not 2 s")
    t.check_health()
